// SPDX-License-Identifier: GPL-2.0-only

//! How much of the command interface user space can take.
//!
//! `mlx5_core` has a slot for each command that the device executes at a time, 31 at most, and
//! shares them with the drivers of the network card. A command that timed out keeps its slot until
//! the firmware completes it after all: it is *stalled*. Without a limit, one program with a request
//! that the firmware never answers could take them all.
//!
//! So RPCs in flight, together with stalled commands, take at most half of the slots. The commands
//! by which files are opened have a quarter for themselves, so they work while RPCs use all they
//! may, and are not sent when three quarters are stalled. Closing files takes one slot at a time,
//! see `uctx.rs`.
//!
//! Callers wait for a slot until they are killed or the device is removed. They do not wait for the
//! firmware to complete what is stalled: if that is all there is to wait for, they fail at once.

use fwctl::Context;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        SpinLock, //
    },
};

use crate::{
    core_dev::CoreDev,
    uctx::Uctx, //
};

/// A share of the slots, and how many are in use.
#[pin_data]
pub(crate) struct Share {
    /// Commands in flight. A command that times out is counted here and as stalled for a moment, but
    /// never as neither.
    #[pin]
    in_flight: SpinLock<u32>,
    /// Callers that wait for a slot.
    waiting: Atomic<u32>,
    /// Most commands in flight.
    limit: u32,
    /// Most commands in flight and stalled ones together.
    limit_with_stalled: u32,
}

/// What came of an attempt to take a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Taken,
    /// Another command in flight will give one back.
    Full,
    /// All that this share could use are lost to commands that timed out.
    Stalled,
}

impl Share {
    /// Returns the share of RPCs, for a device with that many slots.
    pub(crate) fn of_rpcs(slots: u32) -> impl PinInit<Self> {
        let half = at_least_one(slots / 2);

        Self::new(half, half)
    }

    /// Returns the share of commands by which files are opened.
    pub(crate) fn of_opens(slots: u32) -> impl PinInit<Self> {
        // At least one more than RPCs can take.
        Self::new(at_least_one(slots / 4), slots / 2 + at_least_one(slots / 4))
    }

    fn new(limit: u32, limit_with_stalled: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            in_flight <- new_spinlock!(0),
            waiting: Atomic::new(0),
            limit,
            limit_with_stalled,
        })
    }

    /// Runs `command` with a slot for it.
    ///
    /// Waits for one if need be. Fails with [`EAGAIN`] if commands that timed out have left none,
    /// with [`EINTR`] if the caller is killed, and with [`ENODEV`] if the device is being
    /// unregistered; then `command` does not run.
    pub(crate) fn run<R>(
        &self,
        cx: &Context<'_, '_, Uctx>,
        core_dev: &CoreDev<'_>,
        command: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let mut attempt = self.attempt(|| core_dev.stalled());

        if attempt == Attempt::Full {
            self.waiting.fetch_add(1, Full);
            let waited = cx.wait(|| {
                attempt = self.attempt(|| core_dev.stalled());
                attempt != Attempt::Full
            });
            self.waiting.fetch_sub(1, Relaxed);
            if attempt == Attempt::Full {
                waited?;
            }
        }
        if attempt != Attempt::Taken {
            return Err(EAGAIN);
        }

        let result = command();
        if self.give_back() {
            cx.notify();
        }
        result
    }

    /// Tries to take a slot. `stalled` returns how many slots are lost to commands that timed out.
    fn attempt(&self, stalled: impl FnOnce() -> u32) -> Attempt {
        let mut in_flight = self.in_flight.lock();
        // Counted after `in_flight` was read: a command that gave its slot back because it timed out
        // is among them.
        let stalled = stalled();

        if stalled >= self.limit_with_stalled {
            return Attempt::Stalled;
        }
        if *in_flight >= self.limit.min(self.limit_with_stalled - stalled) {
            return Attempt::Full;
        }
        *in_flight += 1;
        Attempt::Taken
    }

    /// Gives a slot back. Returns whether there may be callers that wait for it.
    fn give_back(&self) -> bool {
        *self.in_flight.lock() -= 1;
        // A caller that found no slot before that has counted itself before it took the lock.
        self.waiting.load(Relaxed) != 0
    }
}

const fn at_least_one(slots: u32) -> u32 {
    if slots == 0 {
        1
    } else {
        slots
    }
}

#[kunit_tests(mlx5_fwctl_slots)]
mod tests {
    use super::*;

    /// Takes slots until there is none; returns how many, and why it ended.
    fn take_all(share: &Share, stalled: u32) -> (u32, Attempt) {
        let mut taken = 0;

        loop {
            match share.attempt(|| stalled) {
                Attempt::Taken => taken += 1,
                end => return (taken, end),
            }
        }
    }

    #[test]
    fn rpcs_take_half() -> Result {
        for (slots, half) in [(1, 1), (3, 1), (7, 3), (15, 7), (31, 15)] {
            for stalled in 0..half {
                let share = KBox::pin_init(Share::of_rpcs(slots), GFP_KERNEL)?;
                assert_eq!(take_all(&share, stalled), (half - stalled, Attempt::Full));
            }
            for stalled in half..=slots {
                let share = KBox::pin_init(Share::of_rpcs(slots), GFP_KERNEL)?;
                assert_eq!(take_all(&share, stalled), (0, Attempt::Stalled));
            }
        }
        Ok(())
    }

    #[test]
    fn opens_go_on_when_rpcs_cannot() -> Result {
        for (slots, half, quarter) in [(1, 0, 1), (3, 1, 1), (7, 3, 1), (15, 7, 3), (31, 15, 7)] {
            let share = KBox::pin_init(Share::of_opens(slots), GFP_KERNEL)?;
            assert_eq!(take_all(&share, half), (quarter, Attempt::Full));
            for stalled in 0..quarter {
                let share = KBox::pin_init(Share::of_opens(slots), GFP_KERNEL)?;
                let taken = take_all(&share, half + stalled);
                assert_eq!(taken, (quarter - stalled, Attempt::Full));
            }
            let share = KBox::pin_init(Share::of_opens(slots), GFP_KERNEL)?;
            assert_eq!(take_all(&share, half + quarter), (0, Attempt::Stalled));
        }
        Ok(())
    }

    #[test]
    fn a_slot_that_comes_back_can_be_taken() -> Result {
        let share = KBox::pin_init(Share::of_rpcs(7), GFP_KERNEL)?;

        assert_eq!(take_all(&share, 0), (3, Attempt::Full));
        assert!(!share.give_back());
        assert_eq!(take_all(&share, 0), (1, Attempt::Full));
        // What was stalled is completed, while others wait.
        assert_eq!(share.attempt(|| 3), Attempt::Stalled);
        share.waiting.fetch_add(1, Full);
        assert!(share.give_back());
        assert_eq!(share.attempt(|| 1), Attempt::Full);
        assert_eq!(share.attempt(|| 0), Attempt::Taken);
        Ok(())
    }

    /// Commands that time out during an attempt are counted once at least, whatever the moment.
    #[test]
    fn a_timeout_during_an_attempt_frees_no_slot() -> Result {
        let share = KBox::pin_init(Share::of_rpcs(7), GFP_KERNEL)?;

        assert_eq!(take_all(&share, 0), (3, Attempt::Full));
        // Times out before the attempt counts what is stalled.
        assert_eq!(share.attempt(|| 1), Attempt::Full);
        // Gives its slot back; nobody can do so between the two counts.
        share.give_back();
        let attempt = share.attempt(|| {
            assert!(share.in_flight.try_lock().is_none());
            1
        });
        assert_eq!(attempt, Attempt::Full);
        Ok(())
    }
}
