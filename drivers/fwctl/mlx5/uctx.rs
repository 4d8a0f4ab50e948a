// SPDX-License-Identifier: GPL-2.0-only

//! User contexts: what an open file is for the firmware.
//!
//! The firmware knows a user context by its number, the uid, checks what it may do, and keeps its
//! objects apart from those of others. Every command of a file carries the number of its own.
//!
//! # Contexts that are not destroyed
//!
//! A context that the firmware is not asked to destroy stays until the device is torn down, and a
//! device has a limited number of them. So one that could not be destroyed when its file was closed
//! is kept in [`Contexts`], and destroyed once the firmware answers again.
//!
//! That excludes two kinds, which are lost until `mlx5_core` tears the device down:
//!
//! - A context whose `CREATE_UCTX` timed out. If the firmware has executed the command, the number
//!   is in an answer that `mlx5_core` drops.
//! - A context whose `DESTROY_UCTX` timed out, if the firmware has not executed it. It may have, and
//!   may have given the number to somebody else since, so it must not be asked again.

use kernel::{
    device,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
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

/// How long the firmware is left alone after a command that destroys a context got no answer,
/// unless it answers another one.
const PAUSE: Delta = Delta::from_secs(1);

/// One open file.
pub(crate) struct Uctx {
    uid: u16,
    caps: u32,
}

impl Uctx {
    /// Creates a user context in the firmware, with the tools capability if the device offers it.
    /// Old firmware does not: there it is one like those of any program that uses the device.
    ///
    /// Fails if the firmware refuses or does not answer; then there is none. Fails with [`EIO`] if
    /// it gives the number of the kernel, in whose name no program may speak. May sleep.
    pub(crate) fn create(
        contexts: &Contexts,
        core_dev: &CoreDev<'_>,
        device: &device::Device,
    ) -> Result<Self> {
        let caps = core_dev.uctx_cap() & UCTX_CAP_TOOLS_RESOURCES;

        contexts.expect_one()?;
        let created = core_dev
            .run(CreateUctxIn::new(caps))
            .map(|out| out.uid.get())
            .map_err(Error::from);
        debug(
            device,
            created.unwrap_or(UID_OF_KERNEL),
            CreateUctxIn::OPCODE,
            created.map(|_| (0, 0)),
        );

        match created {
            Ok(UID_OF_KERNEL) => {
                contexts.expect_one_less();
                Err(EIO)
            }
            Ok(uid) => Ok(Self { uid, caps }),
            Err(error) => {
                contexts.expect_one_less();
                Err(error)
            }
        }
    }

    /// Returns the number of the user context.
    pub(crate) fn uid(&self) -> u16 {
        self.uid
    }

    /// Returns what user space may know.
    pub(crate) fn describe(&self) -> Description {
        Description {
            uid: self.uid.into(),
            uctx_caps: self.caps,
        }
    }
}

/// The user contexts of a device whose files are closed and that are still to be destroyed.
///
/// One caller at a time destroys them, without the lock, and goes on until there is none. So no
/// `close()` waits for another one, and all of them together use one command slot.
#[pin_data]
pub(crate) struct Contexts {
    #[pin]
    state: Mutex<State>,
    /// Whether [`Contexts::answered`] has anything to do.
    has_work: Atomic<bool>,
}

/// # Invariants
///
/// `closed` has the capacity for `expected` more.
struct State {
    /// Numbers of the contexts that are to be destroyed.
    closed: KVVec<u16>,
    /// How many more there may be: contexts of open files, and the one that is being destroyed.
    expected: usize,
    /// Whether a caller is destroying contexts.
    is_busy: bool,
    silence: Silence,
}

/// Whether the firmware has left a command that destroys a context without an answer, and answered
/// no command of this driver since.
///
/// Then the next one is likely to wait as long, which is a minute, and to cost another of the few
/// slots of `mlx5_core`. RPCs that time out do not count: it may be this one request that the
/// firmware has no answer to. Neither does a `CREATE_UCTX`: the next command may well be answered.
#[derive(Clone, Copy)]
enum Silence {
    None,
    /// Since then. It is asked again after a while.
    Since(Instant<Monotonic>),
    /// It is not asked again: the device is being unregistered.
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

    /// Returns whether the firmware may be asked.
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
        // INVARIANT: Nothing is expected.
        Self {
            closed: KVVec::new(),
            expected: 0,
            is_busy: false,
            silence: Silence::None,
        }
    }

    /// Makes room for the context of a file that is being opened.
    fn expect_one(&mut self) -> Result {
        self.closed.reserve(self.expected + 1, GFP_KERNEL)?;
        // INVARIANT: There is capacity for one more.
        self.expected += 1;
        Ok(())
    }

    /// One that was expected does not come.
    fn expect_one_less(&mut self) {
        self.expected = self.expected.saturating_sub(1);
    }

    /// Adds one that was expected.
    fn add(&mut self, uid: u16) {
        // By the type invariant, this does not fail.
        let _ = self.closed.push_within_capacity(uid);
        self.expect_one_less();
    }

    /// Takes the next one to be destroyed, if there is one and the firmware may be asked. It may be
    /// added again.
    fn take(&mut self) -> Option<u16> {
        if !self.silence.allows_command() {
            return None;
        }
        let uid = self.closed.pop()?;
        // INVARIANT: There is capacity for the one that was taken.
        self.expected += 1;
        Some(uid)
    }

    /// Takes note of what came of destroying `uid`. Returns whether to go on with others.
    fn attempted(
        &mut self,
        uid: u16,
        result: &Result<(), Failure>,
        is_unregistering: bool,
    ) -> bool {
        match result {
            // A context that the firmware refuses to destroy would be refused again.
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

    /// Makes room for a context, so that closing its file needs no memory.
    fn expect_one(&self) -> Result {
        self.state.lock().expect_one()
    }

    fn expect_one_less(&self) {
        self.state.lock().expect_one_less();
    }

    /// Destroys the context of a file that is being closed, and what is left of others.
    ///
    /// There is nobody to tell if that fails. A firmware that is silent is not asked again and again:
    /// a program or an unbind that closes many files would wait in vain for each. May sleep.
    pub(crate) fn close(
        &self,
        uctx: &Uctx,
        core_dev: &CoreDev<'_>,
        device: &device::Device,
        is_unregistering: bool,
    ) {
        self.state.lock().add(uctx.uid);
        self.destroy_closed(core_dev, device, is_unregistering);
    }

    /// To be called when the firmware has answered another command: destroys what is left.
    ///
    /// May sleep if there is something left.
    #[inline]
    pub(crate) fn answered(&self, core_dev: &CoreDev<'_>, device: &device::Device) {
        if self.has_work.load(Relaxed) {
            self.state.lock().silence = Silence::None;
            self.destroy_closed(core_dev, device, false);
        }
    }

    /// Destroys what is left when the registration has ended. May sleep.
    pub(crate) fn finish(&self, core_dev: &CoreDev<'_>) {
        self.destroy_closed(core_dev, core_dev.host(), true);
    }

    /// Destroys contexts until none is left, or the firmware does not answer. If another caller is
    /// at it, that one does it.
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
                let result = destroy(uid, core_dev, device);
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

/// Makes the firmware destroy a user context.
fn destroy(uid: u16, core_dev: &CoreDev<'_>, device: &device::Device) -> Result<(), Failure> {
    let destroyed = match core_dev.run(DestroyUctxIn::new(uid)) {
        Err(Failure::NotExecuted(ENOMEM)) => core_dev.run(DestroyUctxIn::new(uid)),
        destroyed => destroyed,
    };
    let result = match &destroyed {
        Ok(_) => Ok((0, 0)),
        Err(failure) => Err(failure.error()),
    };

    debug(device, uid, DestroyUctxIn::OPCODE, result);
    destroyed.map(|_| ())
}

#[kunit_tests(mlx5_fwctl_uctx)]
mod tests {
    use super::*;

    /// The files with these contexts are opened and closed.
    fn closed(uids: &[u16]) -> Result<State> {
        let mut state = State::new();

        for _ in uids {
            state.expect_one()?;
        }
        for &uid in uids {
            state.add(uid);
        }
        assert_eq!(state.expected, 0);
        Ok(state)
    }

    #[test]
    fn all_are_destroyed() -> Result {
        let mut state = closed(&[1, 2, 3])?;

        for uid in [3, 2, 1] {
            assert_eq!(state.take(), Some(uid));
            assert!(state.attempted(uid, &Ok(()), false));
        }
        assert_eq!(state.take(), None);
        assert_eq!(state.expected, 0);
        assert!(!state.has_work());
        Ok(())
    }

    #[test]
    fn what_was_not_executed_is_kept() -> Result {
        let mut state = closed(&[1, 2])?;

        assert_eq!(state.take(), Some(2));
        assert!(!state.attempted(2, &Err(Failure::NotExecuted(EAGAIN)), false));
        assert!(state.has_work());
        // There was no wait, so the next one may try.
        assert_eq!(state.take(), Some(2));
        assert!(!state.attempted(2, &Err(Failure::NoSlot(EBUSY)), false));
        // There was, so it may not.
        assert_eq!(state.take(), None);
        state.silence = Silence::None;
        assert_eq!(state.take(), Some(2));
        assert!(state.attempted(2, &Ok(()), false));
        assert_eq!(state.take(), Some(1));
        Ok(())
    }

    #[test]
    fn what_may_have_been_executed_is_not_repeated() -> Result {
        let mut state = closed(&[1, 2, 3])?;

        assert_eq!(state.take(), Some(3));
        assert!(!state.attempted(3, &Err(Failure::NoAnswer(ETIMEDOUT)), true));
        assert_eq!(state.take(), None);
        state.silence = Silence::None;
        assert_eq!(state.take(), Some(2));
        assert!(state.attempted(2, &Err(Failure::Refused(EINVAL)), true));
        assert_eq!(state.take(), Some(1));
        assert!(state.attempted(1, &Ok(()), true));
        assert_eq!(state.take(), None);
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
        for uid in 0..500 {
            state.add(uid);
        }
        // Some are under way again while more are opened.
        assert_eq!(state.take(), Some(499));
        for _ in 0..100 {
            state.expect_one()?;
        }
        assert!(state.closed.capacity() - state.closed.len() >= state.expected);
        state.add(499);
        for uid in 500..1100 {
            state.add(uid);
        }
        assert_eq!((state.closed.len(), state.expected), (1100, 0));
        assert!(capacity >= 1000);
        Ok(())
    }
}
