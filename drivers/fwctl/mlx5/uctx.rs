// SPDX-License-Identifier: GPL-2.0-only

//! User contexts: one for each open file.
//!
//! The firmware identifies a user context by its uid, checks its privileges, and isolates its
//! objects from those of others. Every command of a file runs in the user context of that file.
//!
//! # Contexts that are not destroyed
//!
//! A user context exists until the firmware is told to destroy it or the device is torn down, and
//! the number of contexts is limited. A context that could not be destroyed when its file was
//! closed is kept in [`Contexts`], and destroyed once the firmware answers again.
//!
//! So is a context whose file was closed while commands of it were in flight, which their callers
//! had given up: until these have ended, its uid must not become that of another context.
//!
//! Two kinds of contexts are lost until `mlx5_core` tears the device down:
//!
//! - A context whose `CREATE_UCTX` timed out. If the firmware has executed the command, the uid is
//!   in an output that `mlx5_core` discards.
//! - A context whose `DESTROY_UCTX` timed out, if the firmware did not execute it. If it did, the
//!   uid may belong to another context by now, so the command must not be repeated.

use kernel::{
    device,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

use crate::{
    cmd::{
        Command,
        CreateUctxIn,
        Description,
        DestroyUctxIn,
        UCTX_CAP_TOOLS_RESOURCES,
        UID_OF_KERNEL, //
    },
    core_dev::{
        debug,
        CoreDev,
        Failure, //
    },
};

/// Delay between a `DESTROY_UCTX` that timed out and the next one, unless the firmware answers
/// another command before.
const PAUSE: Delta = Delta::from_secs(1);

/// One open file.
pub(crate) struct Uctx {
    uid: Uid,
    caps: u32,
}

/// The uid of a user context, which counts its commands in flight.
#[derive(Clone)]
pub(crate) struct Uid {
    number: u16,
    in_flight: Arc<Atomic<u32>>,
}

impl Uid {
    fn is_in_use(&self) -> bool {
        // Pairs with the end of the last command.
        self.in_flight.load(Acquire) != 0
    }

    /// Counts a command until the returned value is dropped, in any context.
    fn begin_use(&self) -> UidInUse {
        self.in_flight.fetch_add(1, Relaxed);
        UidInUse(self.clone())
    }
}

/// A uid that a command in flight uses.
pub(crate) struct UidInUse(Uid);

impl UidInUse {
    /// Returns the uid.
    pub(crate) fn number(&self) -> u16 {
        self.0.number
    }
}

impl Drop for UidInUse {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Release);
    }
}

impl Uctx {
    /// Creates a firmware user context with the tools capability, if the device supports it. On old
    /// firmware, the context has only the privileges of an RDMA user.
    ///
    /// Fails if the firmware refuses or does not answer. Fails with [`EIO`] if the firmware returns
    /// [`UID_OF_KERNEL`], which would give the file the privileges of the kernel. May sleep.
    pub(crate) fn create(
        contexts: &Contexts,
        core_dev: &CoreDev<'_>,
        device: &device::Device,
    ) -> Result<Self> {
        let caps = core_dev.uctx_cap() & UCTX_CAP_TOOLS_RESOURCES;
        let in_flight = Arc::new(Atomic::new(0), GFP_KERNEL)?;

        contexts.expect_one()?;
        let created = core_dev
            .run(CreateUctxIn::new(caps))
            .map(|out| out.uid.get())
            .map_err(Error::from);
        debug(
            device,
            current!().pid(),
            created.unwrap_or(UID_OF_KERNEL),
            CreateUctxIn::OPCODE,
            created.map(|_| (0, 0)),
        );

        match created {
            Ok(UID_OF_KERNEL) => {
                contexts.expect_one_less();
                Err(EIO)
            }
            Ok(number) => Ok(Self {
                uid: Uid { number, in_flight },
                caps,
            }),
            Err(error) => {
                contexts.expect_one_less();
                Err(error)
            }
        }
    }

    /// Returns the uid.
    pub(crate) fn uid(&self) -> u16 {
        self.uid.number
    }

    /// Returns the uid for a command, which counts as in flight until it is dropped.
    pub(crate) fn uid_for_command(&self) -> UidInUse {
        self.uid.begin_use()
    }

    /// Returns the device data for `FWCTL_INFO`.
    pub(crate) fn describe(&self) -> Description {
        Description {
            uid: self.uid.number.into(),
            uctx_caps: self.caps,
        }
    }
}

/// User contexts of closed files, until they are destroyed.
///
/// One caller at a time destroys them, without the lock, until none is left. So no `close()` waits
/// for another one, and together they use one command slot.
#[pin_data]
pub(crate) struct Contexts {
    #[pin]
    state: Mutex<State>,
    /// Whether [`Contexts::answered`] has to take the lock.
    has_work: Atomic<bool>,
}

/// # Invariants
///
/// `closed` has spare capacity for `expected` elements.
struct State {
    /// uids of the contexts to destroy.
    closed: KVVec<Uid>,
    /// Number of contexts that may be added: those of open files, and the one being destroyed.
    expected: usize,
    /// Whether a caller is destroying contexts.
    is_busy: bool,
    silence: Silence,
}

/// Whether a `DESTROY_UCTX` timed out, and the firmware has answered no command of this driver
/// since.
///
/// The next `DESTROY_UCTX` would probably time out as well, which takes a minute and occupies
/// another slot. RPCs that time out do not count, since the cause may be the request itself. A
/// `CREATE_UCTX` does not count either.
#[derive(Clone, Copy)]
enum Silence {
    None,
    /// Since this time. The next command may be sent after [`PAUSE`].
    Since(Instant<Monotonic>),
    /// No command is sent before the firmware answers another one: the device is being
    /// unregistered.
    UntilAnswer,
}

impl Silence {
    fn new(is_unregistering: bool) -> Self {
        if is_unregistering {
            Self::UntilAnswer
        } else {
            Self::Since(Instant::now())
        }
    }

    /// Returns whether a `DESTROY_UCTX` may be sent.
    fn allows_command(self) -> bool {
        match self {
            Self::None => true,
            Self::Since(start) => start.elapsed() >= PAUSE,
            Self::UntilAnswer => false,
        }
    }
}

impl State {
    fn new() -> Self {
        // INVARIANT: `expected` is 0, which needs no capacity.
        Self {
            closed: KVVec::new(),
            expected: 0,
            is_busy: false,
            silence: Silence::None,
        }
    }

    /// Reserves capacity for the context of a file that is being opened.
    fn expect_one(&mut self) -> Result {
        self.closed.reserve(self.expected + 1, GFP_KERNEL)?;
        // INVARIANT: The capacity was reserved above.
        self.expected += 1;
        Ok(())
    }

    /// Cancels one [`State::expect_one`].
    fn expect_one_less(&mut self) {
        self.expected = self.expected.saturating_sub(1);
    }

    /// Adds a context that was expected.
    fn add(&mut self, uid: Uid) {
        // Cannot fail: the type invariant guarantees the capacity.
        let _ = self.closed.push_within_capacity(uid);
        self.expect_one_less();
    }

    /// Takes the next context to destroy, if there is one without commands in flight, and a command
    /// may be sent. The caller may add it again.
    fn take(&mut self) -> Option<Uid> {
        if !self.silence.allows_command() {
            return None;
        }
        let index = self.closed.iter().rposition(|uid| !uid.is_in_use())?;
        let uid = self.closed.remove(index).ok()?;
        // INVARIANT: `remove()` has freed the capacity for one element.
        self.expected += 1;
        Some(uid)
    }

    /// Records the result of destroying `uid`. Returns whether to continue with other contexts.
    fn attempted(
        &mut self,
        uid: Uid,
        result: &Result<(), Failure>,
        is_unregistering: bool,
    ) -> bool {
        match result {
            // The firmware would refuse a repeated command as well.
            Ok(()) | Err(Failure::Refused(_)) => {
                self.silence = Silence::None;
                self.expect_one_less();
                true
            }
            Err(Failure::NoAnswer(_)) => {
                self.silence = Silence::new(is_unregistering);
                self.expect_one_less();
                false
            }
            Err(Failure::NoSlot(_)) => {
                self.silence = Silence::new(is_unregistering);
                self.add(uid);
                false
            }
            Err(Failure::NotExecuted(_)) => {
                self.add(uid);
                false
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.closed.is_empty() || !matches!(self.silence, Silence::None)
    }
}

impl Contexts {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(State::new(), "mlx5_fwctl::contexts"),
            has_work: Atomic::new(false),
        })
    }

    /// Reserves capacity for a context, so that closing its file cannot fail.
    fn expect_one(&self) -> Result {
        self.state.lock().expect_one()
    }

    fn expect_one_less(&self) {
        self.state.lock().expect_one_less();
    }

    /// Destroys the context of a file that is being closed, and those left from other files.
    ///
    /// A failure cannot be reported. After a timeout, further commands are delayed, see
    /// [`Silence`]: otherwise a program or an unbind that closes many files would wait for each.
    /// May sleep.
    pub(crate) fn close(
        &self,
        uctx: &Uctx,
        core_dev: &CoreDev<'_>,
        device: &device::Device,
        is_unregistering: bool,
    ) {
        self.state.lock().add(uctx.uid.clone());
        self.destroy_closed(core_dev, device, is_unregistering);
    }

    /// Returns whether contexts are left to be destroyed.
    pub(crate) fn are_left(&self) -> bool {
        self.has_work.load(Relaxed)
    }

    /// Destroys contexts that are left. Must be called after the firmware has answered another
    /// command.
    ///
    /// May sleep if there are any.
    #[inline]
    pub(crate) fn answered(&self, core_dev: &CoreDev<'_>, device: &device::Device) {
        if self.has_work.load(Relaxed) {
            self.state.lock().silence = Silence::None;
            self.destroy_closed(core_dev, device, false);
        }
    }

    /// Destroys contexts that are left after unregistration. May sleep.
    pub(crate) fn finish(&self, core_dev: &CoreDev<'_>) {
        self.destroy_closed(core_dev, core_dev.host(), true);
    }

    /// Destroys contexts until none is left or the firmware does not answer. Does nothing if
    /// another caller is destroying them: that one continues with those added since.
    fn destroy_closed(
        &self,
        core_dev: &CoreDev<'_>,
        device: &device::Device,
        is_unregistering: bool,
    ) {
        let mut state = self.state.lock();

        if !state.is_busy {
            state.is_busy = true;
            while let Some(uid) = state.take() {
                drop(state);
                let result = destroy(uid.number, core_dev, device);
                state = self.state.lock();
                if !state.attempted(uid, &result, is_unregistering) {
                    break;
                }
            }
            state.is_busy = false;
        }
        self.has_work.store(state.has_work(), Relaxed);
    }
}

/// Destroys a user context. Retries once on `ENOMEM`.
fn destroy(uid: u16, core_dev: &CoreDev<'_>, device: &device::Device) -> Result<(), Failure> {
    let destroyed = match core_dev.run(DestroyUctxIn::new(uid)) {
        Err(Failure::NotExecuted(ENOMEM)) => core_dev.run(DestroyUctxIn::new(uid)),
        destroyed => destroyed,
    };
    let result = match &destroyed {
        Ok(_) => Ok((0, 0)),
        Err(failure) => Err(failure.error()),
    };

    debug(device, current!().pid(), uid, DestroyUctxIn::OPCODE, result);
    destroyed.map(|_| ())
}

#[kunit_tests(mlx5_fwctl_uctx)]
mod tests {
    use super::*;

    fn uid(number: u16) -> Result<Uid> {
        Ok(Uid {
            number,
            in_flight: Arc::new(Atomic::new(0), GFP_KERNEL)?,
        })
    }

    fn number(uid: Option<Uid>) -> Option<u16> {
        uid.map(|uid| uid.number)
    }

    /// Returns the state after files with these contexts were opened and closed.
    fn closed(uids: &[u16]) -> Result<State> {
        let mut state = State::new();

        for _ in uids {
            state.expect_one()?;
        }
        for &number in uids {
            state.add(uid(number)?);
        }
        assert_eq!(state.expected, 0);
        Ok(state)
    }

    #[test]
    fn all_are_destroyed() -> Result {
        let mut state = closed(&[1, 2, 3])?;

        for expected in [3, 2, 1] {
            assert_eq!(number(state.take()), Some(expected));
            assert!(state.attempted(uid(expected)?, &Ok(()), false));
        }
        assert_eq!(number(state.take()), None);
        assert_eq!(state.expected, 0);
        assert!(!state.has_work());
        Ok(())
    }

    #[test]
    fn not_executed_is_repeated() -> Result {
        let mut state = closed(&[1, 2])?;

        assert_eq!(number(state.take()), Some(2));
        assert!(!state.attempted(uid(2)?, &Err(Failure::NotExecuted(EAGAIN)), false));
        assert!(state.has_work());
        // The command did not wait, so the next one may be sent.
        assert_eq!(number(state.take()), Some(2));
        assert!(!state.attempted(uid(2)?, &Err(Failure::NoSlot(EBUSY)), false));
        // The command waited for a slot, so the next one may not.
        assert_eq!(number(state.take()), None);
        state.silence = Silence::None;
        assert_eq!(number(state.take()), Some(2));
        assert!(state.attempted(uid(2)?, &Ok(()), false));
        assert_eq!(number(state.take()), Some(1));
        Ok(())
    }

    #[test]
    fn possibly_executed_is_not_repeated() -> Result {
        let mut state = closed(&[1, 2, 3])?;

        assert_eq!(number(state.take()), Some(3));
        assert!(!state.attempted(uid(3)?, &Err(Failure::NoAnswer(ETIMEDOUT)), true));
        assert_eq!(number(state.take()), None);
        state.silence = Silence::None;
        assert_eq!(number(state.take()), Some(2));
        assert!(state.attempted(uid(2)?, &Err(Failure::Refused(EINVAL)), true));
        assert_eq!(number(state.take()), Some(1));
        assert!(state.attempted(uid(1)?, &Ok(()), true));
        assert_eq!(number(state.take()), None);
        assert!(!state.has_work());
        Ok(())
    }

    #[test]
    fn closing_needs_no_memory() -> Result {
        let mut state = State::new();

        for _ in 0..1000 {
            state.expect_one()?;
        }
        let capacity = state.closed.capacity();
        for number in 0..500 {
            state.add(uid(number)?);
        }
        // One is being destroyed while more files are opened.
        assert_eq!(number(state.take()), Some(499));
        for _ in 0..100 {
            state.expect_one()?;
        }
        assert!(state.closed.capacity() - state.closed.len() >= state.expected);
        state.add(uid(499)?);
        for number in 500..1100 {
            state.add(uid(number)?);
        }
        assert_eq!((state.closed.len(), state.expected), (1100, 0));
        assert!(capacity >= 1000);
        Ok(())
    }

    #[test]
    fn commands_in_flight_delay_the_end() -> Result {
        let mut state = State::new();
        let busy = uid(2)?;
        let command = busy.begin_use();
        let other = busy.begin_use();

        for uid in [uid(1)?, busy, uid(3)?] {
            state.expect_one()?;
            state.add(uid);
        }
        assert_eq!(number(state.take()), Some(3));
        assert_eq!(number(state.take()), Some(1));
        assert_eq!(number(state.take()), None);
        drop(command);
        assert_eq!(number(state.take()), None);
        assert!(state.has_work());
        drop(other);
        assert_eq!(number(state.take()), Some(2));
        Ok(())
    }
}
