// SPDX-License-Identifier: GPL-2.0-only

//! Limits of the command slots that user space can occupy.
//!
//! `mlx5_core` has one slot for each command in flight, 31 at most, which all drivers of the device
//! share. A command that timed out is *stalled*: it keeps its slot until the firmware completes it.
//! Without a limit, a program could occupy all slots by a request that the firmware never answers.
//!
//! RPCs in flight, together with stalled commands, occupy at most half of the slots. Commands that
//! open files have a separate quarter, so they work while RPCs use their whole share. They are not
//! sent when three quarters of the slots are stalled. Closing files takes one slot at a time, see
//! `uctx.rs`.
//!
//! Callers wait for a slot until they are killed or the device is removed. They do not wait for
//! stalled commands: if these occupy the whole share, callers fail immediately.

use fwctl::{
    Context,
    Device, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

use crate::{
    core_dev::CoreDev,
    uctx::Uctx, //
};

/// A share of the command slots.
pub(crate) struct Share {
    /// Number of commands in flight in the low half, and of changes of it in the high half. A
    /// command that times out is counted as stalled before it is removed here, so it is counted
    /// twice for a moment.
    in_flight: Atomic<u64>,
    /// Number of callers that wait for a slot.
    waiting: Atomic<u32>,
    /// Maximum number of commands in flight.
    limit: u32,
    /// Maximum number of commands in flight and stalled commands together.
    limit_with_stalled: u32,
}

/// A slot that was taken, released on drop, in any context.
pub(crate) struct Slot {
    share: Arc<Share>,
    device: ARef<Device>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.share.give_back() {
            self.device.notify();
        }
    }
}

/// Result of an attempt to take a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Taken,
    /// A command in flight will release one.
    Full,
    /// Stalled commands occupy all slots of the share.
    Stalled,
}

impl Share {
    /// Returns the share of RPCs for a device with `slots` slots.
    pub(crate) fn of_rpcs(slots: u32) -> Self {
        let half = at_least_one(slots / 2);

        Self::new(half, half)
    }

    /// Returns the share of commands that open files.
    pub(crate) fn of_opens(slots: u32) -> Self {
        // At least one more than RPCs can take.
        Self::new(at_least_one(slots / 4), slots / 2 + at_least_one(slots / 4))
    }

    fn new(limit: u32, limit_with_stalled: u32) -> Self {
        Self {
            in_flight: Atomic::new(0),
            waiting: Atomic::new(0),
            limit,
            limit_with_stalled,
        }
    }

    /// Takes a slot. Waits for one if none is free and the caller `may_wait`.
    ///
    /// Fails with [`EAGAIN`] if stalled commands occupy the whole share, or if the caller may not
    /// wait, with [`EINTR`] if the caller is killed, and with [`ENODEV`] if the device is being
    /// unregistered.
    pub(crate) fn take(
        self: &Arc<Self>,
        cx: &Context<'_, '_, Uctx>,
        core_dev: &CoreDev<'_>,
        may_wait: bool,
    ) -> Result<Slot> {
        let mut attempt = self.attempt(|| core_dev.stalled());

        if attempt == Attempt::Full && may_wait {
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
        Ok(Slot {
            share: self.clone(),
            device: cx.handle(),
        })
    }

    /// Tries to take a slot. `stalled` returns the number of stalled commands.
    fn attempt(&self, stalled: impl Fn() -> u32) -> Attempt {
        let mut before = self.in_flight.load(Acquire);

        loop {
            // Must be counted after `in_flight` was read, so it includes commands that timed out
            // and released their slot before. If another one does meanwhile, the exchange fails.
            let stalled = stalled();
            if stalled >= self.limit_with_stalled {
                return Attempt::Stalled;
            }
            // CAST: The low half.
            if before as u32 >= self.limit.min(self.limit_with_stalled - stalled) {
                return Attempt::Full;
            }
            match self
                .in_flight
                .cmpxchg(before, before.wrapping_add(ONE_CHANGE + 1), Full)
            {
                Ok(_) => return Attempt::Taken,
                Err(now) => before = now,
            }
        }
    }

    /// Releases a slot. Returns whether callers may be waiting for it.
    fn give_back(&self) -> bool {
        self.in_flight.fetch_add(ONE_CHANGE - 1, Full);
        // A caller that found no slot before this has incremented `waiting` before.
        self.waiting.load(Relaxed) != 0
    }
}

/// One change of [`Share::in_flight`], which may overflow.
const ONE_CHANGE: u64 = 1 << 32;

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

    /// Takes slots until an attempt fails. Returns the number of slots and the failed attempt.
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
    fn rpcs_take_half() {
        for (slots, half) in [(1, 1), (3, 1), (7, 3), (15, 7), (31, 15)] {
            for stalled in 0..half {
                let share = Share::of_rpcs(slots);
                assert_eq!(take_all(&share, stalled), (half - stalled, Attempt::Full));
            }
            for stalled in half..=slots {
                let share = Share::of_rpcs(slots);
                assert_eq!(take_all(&share, stalled), (0, Attempt::Stalled));
            }
        }
    }

    #[test]
    fn opens_work_while_rpcs_cannot() {
        for (slots, half, quarter) in [(1, 0, 1), (3, 1, 1), (7, 3, 1), (15, 7, 3), (31, 15, 7)] {
            let share = Share::of_opens(slots);
            assert_eq!(take_all(&share, half), (quarter, Attempt::Full));
            for stalled in 0..quarter {
                let share = Share::of_opens(slots);
                let taken = take_all(&share, half + stalled);
                assert_eq!(taken, (quarter - stalled, Attempt::Full));
            }
            let share = Share::of_opens(slots);
            assert_eq!(take_all(&share, half + quarter), (0, Attempt::Stalled));
        }
    }

    #[test]
    fn a_released_slot_can_be_taken() {
        let share = Share::of_rpcs(7);

        assert_eq!(take_all(&share, 0), (3, Attempt::Full));
        assert!(!share.give_back());
        assert_eq!(take_all(&share, 0), (1, Attempt::Full));
        // The firmware completes stalled commands while callers wait.
        assert_eq!(share.attempt(|| 3), Attempt::Stalled);
        share.waiting.fetch_add(1, Full);
        assert!(share.give_back());
        assert_eq!(share.attempt(|| 1), Attempt::Full);
        assert_eq!(share.attempt(|| 0), Attempt::Taken);
    }

    /// A command that times out during an attempt is counted at least once.
    #[test]
    fn a_timeout_during_an_attempt_frees_no_slot() {
        let share = Share::of_rpcs(7);
        let stalled = Atomic::new(0u32);

        assert_eq!(take_all(&share, 0), (3, Attempt::Full));
        share.give_back();
        // The last slot is taken, and another command times out, after stalled ones were counted.
        let attempt = share.attempt(|| {
            let before = stalled.load(Relaxed);
            if before == 0 {
                assert_eq!(share.attempt(|| 0), Attempt::Taken);
                stalled.store(1, Relaxed);
                share.give_back();
            }
            before
        });
        assert_eq!(attempt, Attempt::Full);
    }
}
