// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many RPCs in flight on one device, from one thread.
//!
//! ```
//! use fwctl::{replay::Replay, Device, Queue, Rpc, Scope};
//!
//! let replay = Replay::parse("
//! info none
//! rpc configuration 01 -> aa
//! rpc configuration 02 -> bb
//! ").unwrap();
//! let device = Device::with_transport("fwctl0", replay);
//! let mut queue = Queue::new(&device);
//! let first = queue.begin(Rpc::new(Scope::Configuration, [1], 8))?;
//! let second = queue.begin(Rpc::new(Scope::Configuration, [2], 8))?;
//! assert_eq!(queue.wait(second).unwrap().reply?.bytes, [0xbb]);
//! assert_eq!(queue.wait_any().unwrap().ticket, first);
//! assert!(queue.wait_any().is_none());
//! # Ok::<(), fwctl::Error>(())
//! ```

mod pool;
#[allow(unsafe_code)]
mod ring;

use crate::{Device, Error, Exchange, Operation, Reply, Result, Scope, MAX_RPC_LEN};
use pool::Pool;
use ring::Ring;
use std::cmp::min;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Most RPCs of a [`Queue`] that are in flight, unless [`QueueOptions::depth`] says otherwise.
pub const DEFAULT_DEPTH: usize = 16;

/// Most threads of a queue without io_uring.
const MAX_THREADS: usize = 16;

/// Most RPCs in flight on a ring.
const MAX_DEPTH: usize = 1024;

/// An RPC for a [`Queue`], with its buffers.
#[derive(Clone, Debug)]
pub struct Rpc {
    scope: Scope,
    request: Vec<u8>,
    reply: Vec<u8>,
    deadline: Option<Instant>,
}

impl Rpc {
    /// A request with a buffer of `reply_len` bytes for its reply. Both are at most
    /// [`MAX_RPC_LEN`](crate::MAX_RPC_LEN).
    pub fn new(scope: Scope, request: impl Into<Vec<u8>>, reply_len: usize) -> Rpc {
        // Queue::begin() refuses longer ones, so no more is allocated here.
        let len = min(reply_len, MAX_RPC_LEN as usize + 1);
        Rpc::with_buffer(scope, request, vec![0; len])
    }

    /// As [`Rpc::new`], with the caller's buffer: [`Reply::bytes`](crate::Reply::bytes) is the same
    /// memory, cut to the length of the reply.
    pub fn with_buffer(scope: Scope, request: impl Into<Vec<u8>>, reply: Vec<u8>) -> Rpc {
        Rpc {
            scope,
            request: request.into(),
            reply,
            deadline: None,
        }
    }

    /// Ends the wait for the answer at this time, with [`Error::TimedOut`]. A deadline of the
    /// device, [`Device::with_deadline`], holds as well.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Rpc {
        self.deadline = Some(deadline);
        self
    }

    /// Ends the wait for the answer this long from now.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Rpc {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }
}

/// Names one RPC of a [`Queue`]. No other RPC of this process has the same ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    fn new() -> Ticket {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ticket(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The ticket as a number, which is never 0.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// The end of an RPC.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// Which RPC.
    pub ticket: Ticket,
    /// Its reply, or why there is none.
    pub reply: Result<Reply>,
}

/// What a [`Queue`] sends RPCs with. The results are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// One io_uring, without a thread.
    IoUring,
    /// A few threads that wait in ioctl(2).
    Threads,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::IoUring => "io_uring",
            Backend::Threads => "threads",
        })
    }
}

/// Why a [`Queue`] does not use io_uring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoRing {
    /// The device is not reached through a node.
    #[error("the device is not reached through a node")]
    NotANode,
    /// Threads were asked for.
    #[error("threads were asked for")]
    NotWanted,
    /// No ring could be created: the kernel has no io_uring, or a sysctl, a seccomp filter or a
    /// limit forbids it.
    #[error("no ring can be created: {0}")]
    Setup(io::Error),
    /// The kernel's io_uring lacks something.
    #[error("the kernel's io_uring is too old: it lacks {0}")]
    TooOld(&'static str),
    /// The trial, FWCTL_INFO by io_uring, failed: with `EOPNOTSUPP` if the kernel's fwctl has no
    /// io_uring commands.
    #[error("the device does not accept FWCTL_INFO by io_uring: {0}")]
    Refused(io::Error),
}

/// Settings of a [`Queue`].
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    depth: usize,
    backend: Option<Backend>,
}

impl Default for QueueOptions {
    fn default() -> QueueOptions {
        QueueOptions {
            depth: DEFAULT_DEPTH,
            backend: None,
        }
    }
}

impl QueueOptions {
    /// The defaults: a depth of [`DEFAULT_DEPTH`], and io_uring if it is allowed.
    pub fn new() -> QueueOptions {
        QueueOptions::default()
    }

    /// Sets how many RPCs may be in flight, 1 to 1024; threads are at most 16. RPCs beyond that
    /// wait in the queue, in the order in which they were begun.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> QueueOptions {
        self.depth = depth.clamp(1, MAX_DEPTH);
        self
    }

    /// Uses this backend only.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> QueueOptions {
        self.backend = Some(backend);
        self
    }

    /// Creates the queue.
    ///
    /// # Errors
    ///
    /// [`Error::NoRing`] if io_uring was asked for and cannot be used.
    pub fn create(self, device: &Device) -> Result<Queue> {
        let ring = match (self.backend, device.transport().node()) {
            (Some(Backend::Threads), _) => Err(NoRing::NotWanted),
            (_, None) => Err(NoRing::NotANode),
            (_, Some(node)) => Ring::new(node, self.depth),
        };
        let engine = match ring {
            Ok(ring) => Engine::Ring(Box::new(ring)),
            Err(why) if self.backend == Some(Backend::IoUring) => {
                return Err(Error::NoRing {
                    device: device.name().into(),
                    why,
                })
            }
            Err(why) => Engine::Pool(Pool::new(device.transport().clone()), why),
        };
        let depth = match engine {
            Engine::Ring(_) => self.depth,
            Engine::Pool(..) => {
                let most = device.transport().concurrency().clamp(1, MAX_THREADS);
                min(self.depth, most)
            }
        };
        Ok(Queue {
            device: device.clone(),
            engine,
            depth,
            waiting: VecDeque::new(),
            flight: HashMap::new(),
            abandoned: 0,
            done: VecDeque::new(),
            thread: PhantomData,
        })
    }
}

/// RPCs in flight on one device.
///
/// [`Queue::begin`] sends an RPC without waiting for its answer. It is carried by io_uring where
/// the kernel allows that and its fwctl accepts it, otherwise by a few threads;
/// [`Queue::backend`] tells which, and nothing else does.
///
/// The answers come in any order. A driver decides how many requests its firmware works on.
///
/// # Giving up
///
/// [`Queue::cancel`], a deadline, and dropping the queue end the wait for an answer at once,
/// whatever the driver does. **Whether the firmware carries the request out is then unknown.** The
/// kernel is asked to cancel it, which a driver that waits in its own code cannot; the late answer
/// goes nowhere. The buffers stay allocated until the kernel has let go of them, also if the queue
/// is forgotten. Until then the RPC counts as one in flight, so a device that never answers stops
/// the queue, and the deadlines of the RPCs behind it still end them.
///
/// The kernel may keep a process or a thread that exits until such a driver returns.
///
/// # Threads
///
/// A queue stays on the thread that made it, because the kernel cancels the requests of a thread
/// that exits. Use one queue per thread; they can share the device.
pub struct Queue {
    device: Device,
    engine: Engine,
    depth: usize,
    /// Not sent yet, in order.
    waiting: VecDeque<(Pending, Call)>,
    flight: HashMap<u64, Pending>,
    /// Number of RPCs that were given up and have not ended.
    abandoned: usize,
    done: VecDeque<Completion>,
    thread: PhantomData<*const ()>,
}

/// The part of an RPC that stays with the queue.
struct Pending {
    ticket: Ticket,
    scope: Scope,
    operation: Operation,
    deadline: Option<Instant>,
    /// A copy of the request for the device's observers, if it has any.
    observed: Option<Vec<u8>>,
}

/// The part of an RPC that the kernel or a thread works on.
struct Call {
    scope: Scope,
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// A call that has ended: its buffers, and the length of its reply or an errno.
struct Ended {
    id: u64,
    reply: Vec<u8>,
    result: io::Result<u32>,
}

enum Engine {
    Ring(Box<Ring>),
    Pool(Pool, NoRing),
}

impl Engine {
    fn start(&mut self, id: u64, call: Call) -> io::Result<()> {
        match self {
            Engine::Ring(ring) => ring.start(id, call),
            Engine::Pool(pool, _) => pool.start(id, call),
        }
    }

    /// Hands over all that was started.
    fn submit(&mut self) -> io::Result<()> {
        match self {
            Engine::Ring(ring) => ring.submit(),
            Engine::Pool(..) => Ok(()),
        }
    }

    /// Asks for the end of a call. Returns whether it is known that it was not sent; it ends then.
    fn cancel(&mut self, id: u64) -> bool {
        match self {
            Engine::Ring(ring) => {
                ring.cancel(id);
                false
            }
            Engine::Pool(pool, _) => pool.cancel(id),
        }
    }

    /// Waits until a call has ended or the time has come; returns all that have ended.
    fn reap(&mut self, until: Until) -> io::Result<Vec<Ended>> {
        match self {
            Engine::Ring(ring) => ring.reap(until),
            Engine::Pool(pool, _) => Ok(pool.reap(until)),
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Now,
    Time(Instant),
    Ever,
}

impl Until {
    /// The time that is left; none if there is no limit.
    fn left(self) -> Option<Duration> {
        match self {
            Until::Now => Some(Duration::ZERO),
            Until::Time(time) => Some(time.saturating_duration_since(Instant::now())),
            Until::Ever => None,
        }
    }

    fn earlier(self, other: Option<Instant>) -> Until {
        match (self, other) {
            (Until::Time(time), Some(other)) => Until::Time(min(time, other)),
            (Until::Ever, Some(other)) => Until::Time(other),
            (until, _) => until,
        }
    }

    fn is_over(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}

/// Why an RPC ends without its answer.
#[derive(Clone, Copy)]
enum GivenUp {
    Cancelled,
    TimedOut,
}

impl Queue {
    /// A queue with the default settings.
    pub fn new(device: &Device) -> Queue {
        QueueOptions::new()
            .create(device)
            .expect("only a queue that insists on io_uring can fail")
    }

    /// What RPCs are sent with.
    pub fn backend(&self) -> Backend {
        match self.engine {
            Engine::Ring(_) => Backend::IoUring,
            Engine::Pool(..) => Backend::Threads,
        }
    }

    /// Why io_uring is not used; none if it is.
    pub fn no_ring(&self) -> Option<&NoRing> {
        match &self.engine {
            Engine::Ring(_) => None,
            Engine::Pool(_, why) => Some(why),
        }
    }

    /// Most RPCs that are in flight.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of RPCs whose completion has not been returned.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.flight.len() + self.done.len()
    }

    /// Returns whether the completion of every RPC has been returned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins an RPC, and sends it unless [`Queue::depth`] RPCs are in flight.
    ///
    /// # Errors
    ///
    /// As [`Device::rpc`] before anything is sent. All else is the result of the RPC.
    pub fn begin(&mut self, rpc: Rpc) -> Result<Ticket> {
        let ticket = self.add(rpc)?;
        self.send();
        Ok(ticket)
    }

    /// Begins RPCs, with one system call where io_uring is used. The tickets are in the same order.
    ///
    /// # Errors
    ///
    /// As [`Queue::begin`], in which case none is begun.
    pub fn begin_all(&mut self, rpcs: impl IntoIterator<Item = Rpc>) -> Result<Vec<Ticket>> {
        let before = self.waiting.len();
        let tickets: Result<_> = rpcs.into_iter().map(|rpc| self.add(rpc)).collect();
        if tickets.is_err() {
            self.waiting.truncate(before);
        }
        self.send();
        tickets
    }

    /// Waits for any RPC. None if there is none: all completions have been returned.
    pub fn wait_any(&mut self) -> Option<Completion> {
        self.wait_any_within(Until::Ever)
    }

    /// Waits for any RPC until a time. None if none has completed by then, or there is none: see
    /// [`Queue::is_empty`].
    pub fn wait_any_until(&mut self, time: Instant) -> Option<Completion> {
        self.wait_any_within(Until::Time(time))
    }

    /// Returns an RPC that has completed, without waiting.
    pub fn try_any(&mut self) -> Option<Completion> {
        self.wait_any_within(Until::Now)
    }

    /// Waits for one RPC; the completions of others are kept. None if its completion has been
    /// returned, or the ticket is of another queue.
    pub fn wait(&mut self, ticket: Ticket) -> Option<Completion> {
        self.wait_within(ticket, Until::Ever)
    }

    /// As [`Queue::wait`], until a time. The RPC goes on.
    pub fn wait_until(&mut self, ticket: Ticket, time: Instant) -> Option<Completion> {
        self.wait_within(ticket, Until::Time(time))
    }

    /// Waits for all RPCs; the completions are in the order in which the RPCs were begun.
    pub fn wait_all(&mut self) -> Vec<Completion> {
        while !self.waiting.is_empty() || !self.flight.is_empty() {
            self.turn(Until::Ever);
        }
        let mut all: Vec<Completion> = self.done.drain(..).collect();
        all.sort_by_key(|completion| completion.ticket);
        all
    }

    /// Gives an RPC up: it completes at once, with [`Error::Cancelled`]. Returns false if it has
    /// completed already, or the ticket is of another queue.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        // An answer that is there is worth more.
        self.collect(Until::Now);
        let is_outstanding = self.is_outstanding(ticket);
        if is_outstanding {
            self.give_up(ticket, GivenUp::Cancelled);
            self.send();
        }
        is_outstanding
    }

    /// Gives all RPCs up that have not completed.
    pub fn cancel_all(&mut self) {
        self.collect(Until::Now);
        for ticket in self.outstanding(|_| true) {
            self.give_up(ticket, GivenUp::Cancelled);
        }
    }

    /// Checks an RPC and adds it to those that wait.
    fn add(&mut self, rpc: Rpc) -> Result<Ticket> {
        let Rpc {
            scope,
            request,
            reply,
            deadline,
        } = rpc;
        let operation = self.device.check(scope, &request, reply.len())?;
        let own = self.device.deadline();
        let deadline = deadline.map_or(own, |time| Some(own.map_or(time, |own| min(own, time))));
        let ticket = Ticket::new();
        let pending = Pending {
            ticket,
            scope,
            operation,
            deadline,
            observed: self.device.is_observed().then(|| request.clone()),
        };
        let call = Call {
            scope,
            request,
            reply,
        };
        self.waiting.push_back((pending, call));
        Ok(ticket)
    }

    /// Sends those that wait, as many as the depth permits.
    fn send(&mut self) {
        self.expire();
        while self.flight.len() + self.abandoned < self.depth {
            let Some((pending, call)) = self.waiting.pop_front() else {
                break;
            };
            self.device.observe_start();
            let id = pending.ticket.0;
            self.flight.insert(id, pending);
            if let Err(error) = self.engine.start(id, call) {
                self.fail(id, error);
            }
        }
        if let Err(error) = self.engine.submit() {
            self.fail_all(&error);
        }
    }

    fn wait_within(&mut self, ticket: Ticket, until: Until) -> Option<Completion> {
        self.collect(Until::Now);
        self.send();
        loop {
            if let Some(index) = self.done.iter().position(|done| done.ticket == ticket) {
                return self.done.remove(index);
            }
            if !self.is_outstanding(ticket) || until.is_over() {
                return None;
            }
            self.turn(until);
        }
    }

    fn wait_any_within(&mut self, until: Until) -> Option<Completion> {
        if self.done.is_empty() {
            self.collect(Until::Now);
            self.send();
        }
        loop {
            if let Some(done) = self.done.pop_front() {
                return Some(done);
            }
            if (self.waiting.is_empty() && self.flight.is_empty()) || until.is_over() {
                return None;
            }
            self.turn(until);
        }
    }

    /// Waits until something happens: an RPC ends, a deadline passes, or the time is over.
    fn turn(&mut self, until: Until) {
        // A call that was reaped without waiting has left its place to one that waits. Without this,
        // nothing may be in flight, and the wait would never end.
        self.send();
        let first = self
            .flight
            .values()
            .chain(self.waiting.iter().map(|(pending, _)| pending))
            .filter_map(|pending| pending.deadline)
            .min();
        self.collect(until.earlier(first));
        self.send();
    }

    /// Takes the results of those that have ended.
    fn collect(&mut self, until: Until) {
        match self.engine.reap(until) {
            Ok(ended) => {
                for ended in ended {
                    self.end(ended);
                }
            }
            Err(error) => self.fail_all(&error),
        }
    }

    fn end(&mut self, ended: Ended) {
        let Ended {
            id,
            mut reply,
            result,
        } = ended;
        let Some(pending) = self.flight.remove(&id) else {
            self.abandoned -= 1;
            return;
        };
        if let Some(request) = &pending.observed {
            let outcome = result.as_ref().map(|&len| {
                let len = len as usize;
                (&reply[..reply.len().min(len)], len)
            });
            self.device.observe_end(&Exchange {
                scope: pending.scope,
                request,
                outcome,
            });
        }
        let reply = match result {
            Ok(len) => {
                reply.truncate(len as usize);
                Ok(Reply {
                    bytes: reply,
                    true_len: len as usize,
                })
            }
            Err(source) => Err(Error::Call {
                device: self.device.name().into(),
                operation: pending.operation,
                source,
            }),
        };
        self.done.push_back(Completion {
            ticket: pending.ticket,
            reply,
        });
    }

    /// Ends a call that has not been started.
    fn fail(&mut self, id: u64, error: io::Error) {
        self.end(Ended {
            id,
            reply: Vec::new(),
            result: Err(error),
        });
    }

    /// Ends all calls in flight, because nothing more will be heard of them.
    fn fail_all(&mut self, error: &io::Error) {
        let ids: Vec<u64> = self.flight.keys().copied().collect();
        for id in ids {
            let error = error.raw_os_error().unwrap_or(libc::EIO);
            self.fail(id, io::Error::from_raw_os_error(error));
            self.abandoned += 1;
        }
        // Those that wait could not be sent either.
        for (mut pending, _) in std::mem::take(&mut self.waiting) {
            // Observers have not seen it begin.
            pending.observed = None;
            let id = pending.ticket.0;
            self.flight.insert(id, pending);
            let error = error.raw_os_error().unwrap_or(libc::EIO);
            self.fail(id, io::Error::from_raw_os_error(error));
        }
    }

    /// Ends those whose deadline has passed.
    fn expire(&mut self) {
        let now = Instant::now();
        for ticket in self.outstanding(|pending| pending.deadline.is_some_and(|time| time <= now)) {
            self.give_up(ticket, GivenUp::TimedOut);
        }
    }

    /// Completes an outstanding RPC without its answer.
    fn give_up(&mut self, ticket: Ticket, why: GivenUp) {
        let (pending, was_sent) = match self.flight.remove(&ticket.0) {
            Some(pending) => {
                let was_sent = !self.engine.cancel(ticket.0);
                if was_sent {
                    self.abandoned += 1;
                }
                (pending, was_sent)
            }
            None => {
                let waits = |(pending, _): &(Pending, Call)| pending.ticket == ticket;
                let Some(index) = self.waiting.iter().position(waits) else {
                    return;
                };
                let Some((pending, _)) = self.waiting.remove(index) else {
                    return;
                };
                (pending, false)
            }
        };
        let (device, operation) = (self.device.name().to_owned(), pending.operation);
        let (errno, error) = match why {
            GivenUp::Cancelled => (
                libc::ECANCELED,
                Error::Cancelled {
                    device,
                    operation,
                    was_sent,
                },
            ),
            GivenUp::TimedOut => (
                libc::ETIMEDOUT,
                Error::TimedOut {
                    device,
                    operation,
                    was_sent,
                },
            ),
        };
        if let (Some(request), true) = (&pending.observed, was_sent) {
            self.device.observe_end(&Exchange {
                scope: pending.scope,
                request,
                outcome: Err(&io::Error::from_raw_os_error(errno)),
            });
        }
        self.done.push_back(Completion {
            ticket,
            reply: Err(error),
        });
    }

    fn is_outstanding(&self, ticket: Ticket) -> bool {
        self.flight.contains_key(&ticket.0)
            || self
                .waiting
                .iter()
                .any(|(pending, _)| pending.ticket == ticket)
    }

    /// The RPCs that are in flight or wait and that are wanted, in order.
    fn outstanding(&self, is_wanted: impl Fn(&Pending) -> bool) -> Vec<Ticket> {
        let mut tickets: Vec<Ticket> = self
            .flight
            .values()
            .chain(self.waiting.iter().map(|(pending, _)| pending))
            .filter(|pending| is_wanted(pending))
            .map(|pending| pending.ticket)
            .collect();
        tickets.sort();
        tickets
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("device", &self.device.name())
            .field("backend", &self.backend())
            .field("outstanding", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
