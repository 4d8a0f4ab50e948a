// SPDX-License-Identifier: GPL-2.0-only

//! A module and a work item that count together, without a lock.
//!
//! Safe code cannot do that, so the number has a `Sync` implementation that is unsound. KCSAN
//! samples accesses, so the parameter `seconds` sets how long they count.

use core::cell::UnsafeCell;

use kernel::{
    prelude::*,
    sync::{Arc, Completion},
    time::{delay::fsleep, Delta, Instant, Monotonic},
    workqueue,
};

module! {
    type: Race,
    name: "seeded_race_rust",
    authors: ["fwctl in Rust developers"],
    description: "A seeded race in Rust for KCSAN",
    license: "GPL",
    params: {
        seconds: i64 {
            default: 10,
            description: "how long they count",
        },
    },
}

struct Shared(UnsafeCell<u64>);

// SAFETY: Not satisfied on purpose: sharing the number without a lock is the seeded bug.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(0));

/// Counts for `duration`, with pauses to let other tasks run.
fn count(duration: Delta) {
    let start = Instant::<Monotonic>::now();
    while start.elapsed() < duration {
        for _ in 0..10_000 {
            let shared = SHARED.0.get();
            // SAFETY: `shared` is the address of a static. That access is exclusive is not
            // satisfied on purpose: it is the seeded bug.
            unsafe { shared.write(core::hint::black_box(shared.read() + 1)) };
        }
        fsleep(Delta::from_micros(10));
    }
}

struct Race;

impl kernel::Module for Race {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let duration = Delta::from_secs(module_parameters::seconds.value());
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let signal = done.clone();
        workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            count(duration);
            signal.complete_all();
        })?;
        count(duration);
        done.wait_for_completion();
        // SAFETY: `SHARED` is a static, and the work item has completed, so nothing writes to it.
        pr_info!("they counted to {}\n", unsafe { SHARED.0.get().read() });
        Ok(Race)
    }
}
