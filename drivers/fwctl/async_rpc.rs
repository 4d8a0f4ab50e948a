// SPDX-License-Identifier: GPL-2.0-only

//! RPCs that a driver answers later, and the requests of io_uring.
//!
//! [`Operations::submit`](crate::Operations::submit) gets a [`Submission`], which it answers at
//! once, refuses, or accepts. Only accepting allocates memory: the driver then has a
//! [`PendingRpc`], which owns the request. The core keeps an [`InFlight`] for the caller, who waits
//! in ioctl(2) or has queued a command to an io_uring. Neither refers to the driver: a caller that
//! stops waiting, or the end of the registration, ends an RPC without the driver, and an answer
//! that comes later is dropped.
//!
//! # Who ends an RPC
//!
//! An RPC ends once, by a change of its phase:
//!
//! | from         | to          | by                            | who tells the caller          |
//! |--------------|-------------|-------------------------------|-------------------------------|
//! | `SUBMITTING` | `ANSWERED`  | the driver, during `submit()` | the submitter, at once        |
//! | `PENDING`    | `ANSWERED`  | the driver, in any context    | the driver: wakes or queues   |
//! | either       | `CANCELLED` | the caller                    | the caller itself             |
//! | `SUBMITTING` | `REMOVED`   | the unregistration            | the submitter, at once        |
//! | `PENDING`    | `REMOVED`   | the unregistration            | the unregistration            |
//!
//! The submitter moves it from `SUBMITTING` to `PENDING` when it is ready to be told.
//!
//! # Memory
//!
//! Request and reply are in kernel memory, charged to the memory cgroup of the submitter. A buffer
//! may be from `vmalloc()`, which cannot be freed in atomic context, in which a driver may answer.
//! So the submitter's side frees an answer that it gets, and RCU one that comes too late.

use core::marker::PhantomData;

use kernel::{
    alloc::kvbytes::KVBytes,
    error::code::ECANCELED,
    io_uring::{
        Claim,
        Cmd,
        Outcome,
        QueuedCmd, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        static_lock_class,
        Arc,
        Mutex,
        RcuHead,
        SetOnce,
        TryLock,
        WaitQueue, //
    }, //
};

use crate::{
    exchange::{
        Answer,
        Reply, //
    },
    memory::Request,
    rpc::{
        reply_in,
        write_reply,
        RpcArgs, //
    },
    scope::RpcScope,
    shim,
    trace::RpcTrace,
    uctx::Uctx,
    uring, //
};

/// How many RPCs of one file the driver can have. More fail with [`EBUSY`].
const MAX_PER_FILE: u32 = 128;

/// How many RPCs of one device the driver can have. More fail with [`EBUSY`].
const MAX_PER_DEVICE: u32 = 4096;

/// An RPC that the driver has to answer, accept or refuse.
///
/// To answer it at once, use [`Submission::in_place`] or [`Submission::reply`]. To answer it later,
/// use [`Submission::accept`]. To refuse it, return an error from
/// [`Operations::submit`](crate::Operations::submit).
pub struct Submission<'a> {
    memory: Memory<'a>,
    uctx: &'a Uctx,
    caller: &'a Caller<'a>,
    decision: &'a mut Option<Decision>,
}

/// The memory of a request.
enum Memory<'a> {
    /// That of the file's cache.
    Borrowed(&'a mut [u8]),
    Owned(KVBytes),
}

impl Memory<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl<'a> Submission<'a> {
    /// Returns the request, 0 to [`MAX_RPC_LEN`](crate::MAX_RPC_LEN) bytes.
    ///
    /// Its content comes from user space, so every length and index in it must be checked. The
    /// memory may be from `vmalloc()`, so it must not be mapped for DMA.
    pub fn request(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// Returns the request, to change it or to overwrite it with the reply.
    pub fn request_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Borrowed(bytes) => bytes,
            Memory::Owned(bytes) => bytes,
        }
    }

    /// Returns the size of the caller's reply buffer, as [`Rpc::out_len`](crate::Rpc::out_len).
    pub fn out_len(&self) -> usize {
        self.caller.args.out_len as usize
    }

    /// Returns whether [`Operations::submit`](crate::Operations::submit) may wait, for example for
    /// a free command slot.
    ///
    /// If it may not, and would have to, fail with [`EAGAIN`]: the core calls again from where it
    /// may.
    pub fn may_wait(&self) -> bool {
        self.caller.may_wait
    }

    /// Replies with the first `len` bytes of the memory of the request.
    ///
    /// Fails with [`EINVAL`] if the request has fewer.
    pub fn in_place(self, len: usize) -> Result<Submitted<'a>> {
        if len > self.request().len() {
            return Err(EINVAL);
        }

        *self.decision = Some(Decision::Answered(match self.memory {
            Memory::Borrowed(_) => Answer::InPlace(len),
            Memory::Owned(mut bytes) => {
                bytes.truncate(len);
                Answer::New(bytes)
            }
        }));
        Ok(Submitted(PhantomData))
    }

    /// Replies with `bytes`, as [`Rpc::reply`](crate::Rpc::reply).
    pub fn reply(self, bytes: impl Into<Reply>) -> Submitted<'a> {
        *self.decision = Some(Decision::Answered(Answer::New(bytes.into().into_bytes())));
        Submitted(PhantomData)
    }

    /// Accepts the RPC, to answer it later. It is in flight from now on.
    ///
    /// If [`Operations::submit`](crate::Operations::submit) fails afterwards, its error is what the
    /// caller gets, whatever the driver answers.
    ///
    /// Fails with [`EBUSY`] if too many RPCs are in flight, and with [`ENOMEM`]. May sleep.
    pub fn accept(self) -> Result<(PendingRpc, Submitted<'a>)> {
        let counted = Counted::new(self.uctx)?;
        let request = match self.memory {
            Memory::Borrowed(bytes) => KVBytes::copy_of(bytes)?,
            Memory::Owned(bytes) => bytes,
        };
        let flight = Arc::pin_init(InFlight::new(self.caller), GFP_KERNEL_ACCOUNT)?;

        self.uctx.device().flights.add(&flight)?;
        *self.decision = Some(Decision::Accepted(flight.clone()));
        let rpc = PendingRpc {
            inner: Some(Inner {
                request,
                flight,
                _counted: counted,
            }),
        };
        Ok((rpc, Submitted(PhantomData)))
    }
}

/// Proof that an RPC was answered or accepted.
pub struct Submitted<'a>(PhantomData<Submission<'a>>);

/// What a driver has decided about an RPC.
enum Decision {
    Answered(Answer),
    Accepted(Arc<InFlight>),
}

/// An RPC that the driver has accepted, to be answered from any thread and in any context.
///
/// It owns the request, and does not refer to the driver, so it can be kept wherever the answer
/// arrives, such as the argument of a completion handler. Each of the methods that answer takes it
/// by value; if it is dropped instead, the RPC fails with [`EIO`].
///
/// The caller may have stopped waiting, or the device may be removed. Then the answer is ignored.
pub struct PendingRpc {
    /// [`None`] once it was answered.
    inner: Option<Inner>,
}

struct Inner {
    request: KVBytes,
    flight: Arc<InFlight>,
    _counted: Counted,
}

impl PendingRpc {
    /// Takes out request and caller. The RPC does not count as in flight any longer.
    fn take(&mut self) -> Option<(KVBytes, Arc<InFlight>)> {
        self.inner.take().map(|inner| (inner.request, inner.flight))
    }

    /// Answers with `result`, unless it was answered. The memory of the request is dropped later,
    /// as is `unused`.
    fn answer(&mut self, result: Result<Reply>, unused: Option<Reply>) {
        if let Some((request, flight)) = self.take() {
            let unused = unused.map(Reply::into_bytes);

            flight.answer(result.map(Reply::into_bytes), [Some(request), unused]);
        }
    }

    fn flight(&self) -> Option<&InFlight> {
        self.inner.as_ref().map(|inner| &*inner.flight)
    }

    /// Returns the request, 0 to [`MAX_RPC_LEN`](crate::MAX_RPC_LEN) bytes.
    ///
    /// Its content comes from user space, so every length and index in it must be checked. The
    /// memory may be from `vmalloc()`, so it must not be mapped for DMA.
    pub fn request(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], |inner| &inner.request)
    }

    /// Returns the request, to change it or to overwrite it with the reply.
    pub fn request_mut(&mut self) -> &mut [u8] {
        match &mut self.inner {
            Some(inner) => &mut inner.request,
            None => &mut [],
        }
    }

    /// Returns the size of the caller's reply buffer, as [`Rpc::out_len`](crate::Rpc::out_len).
    pub fn out_len(&self) -> usize {
        self.flight()
            .map_or(0, |flight| flight.args.out_len as usize)
    }

    /// Returns whether the caller still waits for the answer.
    pub fn is_wanted(&self) -> bool {
        self.flight().is_some_and(|flight| !flight.has_ended())
    }

    /// Replies with the first `len` bytes of the memory of the request.
    ///
    /// The RPC fails with [`EINVAL`] if the request has fewer. Does not sleep.
    pub fn in_place(mut self, len: usize) {
        let Some((mut request, flight)) = self.take() else {
            return;
        };

        if len > request.len() {
            flight.answer(Err(EINVAL), [Some(request), None]);
        } else {
            request.truncate(len);
            flight.answer(Ok(request), [None, None]);
        }
    }

    /// Replies with `bytes`, as [`Rpc::reply`](crate::Rpc::reply). Does not sleep.
    pub fn reply(mut self, bytes: impl Into<Reply>) {
        self.answer(Ok(bytes.into()), None);
    }

    /// Fails the RPC: the request was not delivered, or its fate is unknown. Does not sleep.
    pub fn fail(mut self, error: Error) {
        self.answer(Err(error), None);
    }

    /// Fails the RPC, as [`PendingRpc::fail`], and drops a reply that is not needed, which may not
    /// be done in atomic context.
    pub fn fail_with(mut self, error: Error, reply: Reply) {
        self.answer(Err(error), Some(reply));
    }
}

impl Drop for PendingRpc {
    fn drop(&mut self) {
        self.answer(Err(EIO), None);
    }
}

/// What a driver has answered.
struct Answered {
    result: Result<KVBytes>,
    /// Memory that is not part of the reply.
    _unused: [Option<KVBytes>; 2],
}

/// An RPC in flight, as the core sees it.
#[pin_data]
pub(crate) struct InFlight {
    phase: Atomic<u32>,
    /// Written by the driver before `ANSWERED`, and taken by the submitter's side afterwards, so it
    /// is never contended.
    answer: TryLock<Option<Answered>>,
    /// Woken at the end of the RPC, for a caller of ioctl(2).
    #[pin]
    ended: WaitQueue,
    /// Set before `PENDING` if a command of io_uring waits.
    cmd: SetOnce<QueuedCmd>,
    /// The index in [`Flights`], protected by its mutex.
    index: Atomic<usize>,
    rcu: RcuHead,
    /// The structure of the caller, its address, and the start of the RPC.
    args: RpcArgs,
    arg: usize,
    trace: RpcTrace,
}

impl InFlight {
    /// `submit()` is running, or has returned just now.
    const SUBMITTING: u32 = 0;
    /// The caller waits for the answer.
    const PENDING: u32 = 1;
    /// The driver has answered.
    const ANSWERED: u32 = 2;
    /// The caller has stopped waiting.
    const CANCELLED: u32 = 3;
    /// The device was removed.
    const REMOVED: u32 = 4;

    fn has_ended(&self) -> bool {
        !matches!(self.phase.load(Acquire), Self::SUBMITTING | Self::PENDING)
    }

    /// Moves from one phase to another; returns the phase that it was in otherwise.
    fn change(&self, from: u32, to: u32) -> Result<(), u32> {
        self.phase.cmpxchg(from, to, Full).map(|_| ())
    }

    /// Ends the RPC unless it has ended; returns the phase it was in then.
    fn end(&self, to: u32) -> Option<u32> {
        let mut from = self.phase.load(Relaxed);

        while matches!(from, Self::SUBMITTING | Self::PENDING) {
            match self.change(from, to) {
                Ok(()) => return Some(from),
                Err(now) => from = now,
            }
        }
        None
    }

    /// Stores the driver's answer, and tells the caller. Can be called in any context.
    fn answer(self: Arc<Self>, result: Result<KVBytes>, unused: [Option<KVBytes>; 2]) {
        if let Some(mut answer) = self.answer.try_lock() {
            *answer = Some(Answered {
                result,
                _unused: unused,
            });
        }

        match self.end(Self::ANSWERED) {
            Some(Self::PENDING) => self.tell(),
            Some(_) => {}
            // The answer may not be freed in this context.
            None => RcuHead::drop_later(self, |flight| &flight.rcu),
        }
    }

    /// Tells the caller that the RPC has ended, after it was `PENDING`.
    fn tell(&self) {
        match self.cmd.as_ref() {
            Some(cmd) => {
                if let Some(claim) = cmd.claim() {
                    claim.complete_in_task();
                }
            }
            None => self.ended.wake_all(),
        }
    }

    /// Ends an RPC of a device that is being unregistered.
    fn remove(&self) {
        if self.end(Self::REMOVED) == Some(Self::PENDING) {
            self.tell();
        }
    }

    /// Returns the driver's answer, or why there is none. The RPC must have ended.
    fn take_answer(&self) -> Result<KVBytes> {
        // Pairs with `change()`: the answer was stored before.
        match self.phase.load(Acquire) {
            Self::ANSWERED => {
                let answered = self.answer.try_lock().and_then(|mut answer| answer.take());

                answered.ok_or(EIO)?.result
            }
            Self::REMOVED => Err(ENODEV),
            _ => Err(ECANCELED),
        }
    }

    /// Does what is left when an RPC has ended: gives the reply to the caller unless it
    /// `is_exiting`.
    ///
    /// Must run in the context of the caller, once.
    fn finish(&self, uctx: &Uctx, is_exiting: bool) -> Result {
        uctx.device().flights.remove(self);

        let answer = self.take_answer();
        let result = if is_exiting {
            Err(ECANCELED)
        } else {
            answer.and_then(|reply| write_reply(&reply, &self.args, UserPtr::from_addr(self.arg)))
        };

        self.trace.done(uctx, &result);
        result.map(|_| ())
    }

    /// Returns an initialiser of an RPC that is about to be submitted.
    fn new<'a>(caller: &'a Caller<'a>) -> impl PinInit<Self> + 'a {
        pin_init!(Self {
            phase: Atomic::new(Self::SUBMITTING),
            answer: TryLock::new(None),
            ended <- WaitQueue::new(c"fwctl_rpc::ended", static_lock_class!()),
            cmd: SetOnce::new(),
            index: Atomic::new(Flights::NONE),
            rcu: RcuHead::new(),
            args: *caller.args,
            arg: caller.arg.as_const_ptr().addr(),
            trace: caller.trace,
        })
    }

    /// Waits for the end of the RPC. Fails with [`EINTR`] if the caller is killed, or, in a worker
    /// of io_uring, if the request is cancelled.
    fn wait(&self) -> Result {
        // The driver may have answered already.
        if self.change(Self::SUBMITTING, Self::PENDING).is_err() {
            return Ok(());
        }

        match shim::wait(&self.ended, None, || self.has_ended()) {
            // The RPC may have ended at the same time.
            Err(error) if self.end(Self::CANCELLED).is_some() => Err(error),
            _ => Ok(()),
        }
    }
}

// For a command of io_uring: `file.rs` implements `Completion` with these.
impl InFlight {
    /// Ends the command of `uctx`. Returns the result.
    pub(crate) fn complete(&self, uctx: &Uctx, is_exiting: bool) -> c_int {
        uring::to_errno(self.finish(uctx, is_exiting))
    }

    /// Returns a claim for the command of `uctx`, which was cancelled, unless the RPC has ended.
    pub(crate) fn cancel(&self, uctx: &Uctx) -> Option<Claim> {
        // Not set yet while the command is being queued by a worker.
        let cmd = self.cmd.as_ref()?;
        self.end(Self::CANCELLED)?;
        // A worker that is queueing the command may complete it instead.
        let claim = cmd.claim()?;

        // The answer is not given to the caller, whose memory is not touched.
        let _ = self.finish(uctx, true);
        Some(claim)
    }
}

/// Waits on drop until all late answers are dropped.
pub(crate) struct LateAnswers;

impl Drop for LateAnswers {
    fn drop(&mut self) {
        RcuHead::barrier();
    }
}

/// The caller of an RPC.
pub(crate) struct Caller<'a> {
    /// The structure, and its address.
    pub(crate) args: &'a RpcArgs,
    pub(crate) arg: UserPtr,
    /// The start of the RPC.
    pub(crate) trace: RpcTrace,
    /// Whether the current task may wait.
    pub(crate) may_wait: bool,
}

/// Passes an RPC to the driver.
///
/// Fails with [`EINTR`] if a worker was asked to end the request, with [`ENODEV`] if the device is
/// being unregistered, and with the errors of the driver.
fn pass(
    uctx: &Uctx,
    scope: RpcScope,
    memory: Memory<'_>,
    caller: &mut Caller<'_>,
) -> Result<Decision> {
    // A worker was asked to end the request before it has begun.
    if shim::is_cancelled() {
        return Err(EINTR);
    }

    let mut decision = None;
    let call = uctx.enter()?;
    caller.trace.ask_opcode(&call, memory.bytes());
    let result = call.submit(
        scope,
        Submission {
            memory,
            uctx,
            caller,
            decision: &mut decision,
        },
    );
    let result = result.map(|Submitted(_)| ());
    drop(call);

    match result {
        // There is one: `Submitted` proves it.
        Ok(()) => decision.ok_or(EIO),
        Err(error) => {
            if let Some(Decision::Accepted(flight)) = decision {
                // What the driver may have answered is dropped here.
                flight.end(InFlight::CANCELLED);
                uctx.device().flights.remove(&flight);
                let _ = flight.take_answer();
            }
            Err(error)
        }
    }
}

/// Carries out an RPC of an asynchronous driver, unless its caller has to wait.
///
/// Fails with [`EINTR`] if a worker was asked to end the request, with [`ENODEV`] if the device is
/// being unregistered, and with the errors of the driver and of copying.
pub(crate) fn submit(
    uctx: &Uctx,
    scope: RpcScope,
    request: Request<'_>,
    caller: &mut Caller<'_>,
) -> Result<Progress> {
    let mut cached = None;
    let memory = match request {
        Request::Separate(bytes) => Memory::Owned(bytes),
        request => Memory::Borrowed(cached.insert(request)),
    };

    match pass(uctx, scope, memory, caller)? {
        Decision::Accepted(flight) => Ok(Progress::Waiting(Waiting(flight))),
        Decision::Answered(answer) => {
            let request = cached.as_deref().unwrap_or_default();
            let reply = reply_in(request, &answer)?;

            write_reply(reply, caller.args, caller.arg).map(Progress::Done)
        }
    }
}

/// How far an RPC has come.
pub(crate) enum Progress {
    /// The caller has the reply, of this length.
    Done(u32),
    Waiting(Waiting),
}

/// An RPC that the driver has accepted.
#[must_use = "the caller has to be told how it ends"]
pub(crate) struct Waiting(Arc<InFlight>);

impl Waiting {
    /// Waits for the answer, and writes it to user space.
    ///
    /// Fails with [`EINTR`] if the caller is killed, or, in a worker of io_uring, if the request is
    /// cancelled; with [`ENODEV`] if the device is removed; and with the errors of the driver and
    /// of copying.
    pub(crate) fn wait(self, uctx: &Uctx) -> Result {
        let waited = self.0.wait();
        if waited.is_ok() {
            if let Ok(call) = uctx.enter() {
                call.answered();
            }
        }
        let finished = self.0.finish(uctx, false);

        waited.and(finished)
    }

    /// Queues `cmd` until the driver answers, or ends it if the driver has answered.
    pub(crate) fn queue<'a>(self, uctx: &Uctx, cmd: Cmd<'a>) -> Outcome<'a> {
        let flight = self.0;
        if flight.has_ended() {
            return uring::end(cmd, flight.finish(uctx, false));
        }

        let (queued, token) = cmd.queue(flight.clone());
        flight.cmd.populate(token);
        let pending = flight.change(InFlight::SUBMITTING, InFlight::PENDING);
        // A worker may have been asked to end the request before it was queued.
        if pending.is_ok() && (!shim::is_cancelled() || flight.end(InFlight::CANCELLED).is_none()) {
            return queued.outcome();
        }
        // It has ended meanwhile. If another task has cancelled it, that one completes the command,
        // unless this is faster.
        match flight.cmd.as_ref().and_then(|cmd| cmd.claim()) {
            Some(claim) => {
                let result = flight.finish(uctx, false);

                queued.complete(claim, uring::to_errno(result))
            }
            None => queued.outcome(),
        }
    }
}

/// A number of RPCs that a driver has not given back, shared with them.
pub(crate) type Count = Arc<Atomic<u32>>;

/// An RPC that counts as in flight until the driver gives it back, even if nobody waits for it.
struct Counted {
    of_file: Count,
    of_device: Count,
}

impl Counted {
    /// Fails with [`EBUSY`] if too many are in flight, and with [`ENOMEM`].
    fn new(uctx: &Uctx) -> Result<Self> {
        let counted = Self {
            of_file: uctx.in_flight()?,
            of_device: uctx.device().flights.count.clone(),
        };

        // Both are counted first, because the drop takes both back.
        let of_file = counted.of_file.fetch_add(1, Relaxed);
        let of_device = counted.of_device.fetch_add(1, Relaxed);
        if of_file >= MAX_PER_FILE || of_device >= MAX_PER_DEVICE {
            return Err(EBUSY);
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of_file.fetch_sub(1, Relaxed);
        self.of_device.fetch_sub(1, Relaxed);
    }
}

/// The RPCs of a device that are in flight.
#[pin_data]
pub(crate) struct Flights {
    /// Those whose callers wait.
    #[pin]
    list: Mutex<KVVec<Arc<InFlight>>>,
    /// Those that the driver has.
    count: Count,
}

impl Flights {
    /// The index of an RPC that is not on the list.
    const NONE: usize = usize::MAX;

    /// Returns an initialiser of an empty list. Fails with [`ENOMEM`].
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            list <- new_mutex!(KVVec::new(), "fwctl_device::flights"),
            count: Arc::new(Atomic::new(0), GFP_KERNEL)?,
        })
    }

    /// Adds an RPC.
    ///
    /// Fails with [`ENOMEM`]. Must be called during a call into the driver. The unregistration
    /// waits for such calls before it ends the RPCs on the list.
    fn add(&self, flight: &Arc<InFlight>) -> Result {
        let mut list = self.list.lock();

        flight.index.store(list.len(), Relaxed);
        Ok(list.push(flight.clone(), GFP_KERNEL)?)
    }

    /// Removes an RPC, if it is on the list.
    fn remove(&self, flight: &InFlight) {
        let mut list = self.list.lock();
        let index = flight.index.load(Relaxed);
        if list
            .get(index)
            .is_none_or(|found| !core::ptr::eq(&**found, flight))
        {
            return;
        }

        // The last one takes its place.
        let Some(last) = list.pop() else { return };
        if let Some(place) = list.get_mut(index) {
            last.index.store(index, Relaxed);
            *place = last;
        }
        flight.index.store(Self::NONE, Relaxed);
    }

    /// Ends all RPCs with [`ENODEV`]. No call into the driver may be in flight or begin.
    pub(crate) fn remove_all(&self) {
        for flight in self.list.lock().iter() {
            flight.remove();
        }
    }
}
