// SPDX-License-Identifier: GPL-2.0-only

//! Counters of RPCs, by scope.
//!
//! Each open file has counters, so programs on different processors do not write to the same cache
//! line. A device adds up those of its open files when they are read, and keeps the sums of closed
//! ones.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::Jiffies, //
};

use crate::scope::RpcScope;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// RPCs that have ended.
    Requests,
    /// Those that were not permitted.
    Refusals,
    /// Those that failed otherwise.
    Errors,
    /// The time that they took, in ticks.
    Ticks,
}

/// The counters of one scope.
struct OfScope {
    requests: Atomic<usize>,
    refusals: Atomic<usize>,
    errors: Atomic<usize>,
    ticks: Atomic<usize>,
}

impl OfScope {
    const fn new() -> Self {
        Self {
            requests: Atomic::new(0),
            refusals: Atomic::new(0),
            errors: Atomic::new(0),
            ticks: Atomic::new(0),
        }
    }

    fn get(&self, counter: Counter) -> usize {
        match counter {
            Counter::Requests => &self.requests,
            Counter::Refusals => &self.refusals,
            Counter::Errors => &self.errors,
            Counter::Ticks => &self.ticks,
        }
        .load(Relaxed)
    }

    #[cold]
    fn failed(&self, error: Error) {
        if is_refusal(error) {
            self.refusals.add(1usize, Relaxed);
        } else {
            self.errors.add(1usize, Relaxed);
        }
    }

    #[cold]
    fn took(&self, ticks: Jiffies) {
        self.ticks.add(ticks, Relaxed);
    }
}

/// Returns whether an RPC failed because it was not permitted: by the core with [`EPERM`], or by
/// the driver, which knows the scope that a command needs.
fn is_refusal(error: Error) -> bool {
    error == EPERM || error == EBADMSG
}

/// Counters of one open file.
pub(crate) struct Counters([OfScope; RpcScope::ALL.len()]);

impl Counters {
    /// Returns counters that are 0.
    pub(crate) const fn new() -> Self {
        Self([const { OfScope::new() }; RpcScope::ALL.len()])
    }

    /// Counts an RPC that has ended after this number of ticks. Unknown scopes are not counted.
    #[inline]
    pub(crate) fn count(&self, scope: u32, result: &Result<u32>, ticks: Jiffies) {
        let Some(of_scope) = self.0.get(scope as usize) else {
            return;
        };

        of_scope.requests.add(1usize, Relaxed);
        if let Err(error) = *result {
            of_scope.failed(error);
        }
        if ticks != 0 {
            of_scope.took(ticks);
        }
    }

    /// Returns a counter.
    pub(crate) fn get(&self, scope: RpcScope, counter: Counter) -> usize {
        self.0[scope as usize].get(counter)
    }
}

/// Sums of counters, of files that are closed.
pub(crate) struct Sums([[usize; 4]; RpcScope::ALL.len()]);

impl Sums {
    /// Returns sums that are 0.
    pub(crate) const fn new() -> Self {
        Self([[0; 4]; RpcScope::ALL.len()])
    }

    /// Adds the counters of a file.
    pub(crate) fn add(&mut self, counters: &Counters) {
        for (sums, of_scope) in self.0.iter_mut().zip(&counters.0) {
            // Most files use one scope.
            if of_scope.requests.load(Relaxed) == 0 {
                continue;
            }
            for counter in [
                Counter::Requests,
                Counter::Refusals,
                Counter::Errors,
                Counter::Ticks,
            ] {
                let sum = &mut sums[counter as usize];
                *sum = sum.wrapping_add(of_scope.get(counter));
            }
        }
    }

    /// Returns a sum.
    pub(crate) fn get(&self, scope: RpcScope, counter: Counter) -> usize {
        self.0[scope as usize][counter as usize]
    }
}

#[kunit_tests(rust_fwctl_counters)]
mod tests {
    use super::*;

    fn all(of: impl Fn(Counter) -> usize) -> [usize; 4] {
        [
            of(Counter::Requests),
            of(Counter::Refusals),
            of(Counter::Errors),
            of(Counter::Ticks),
        ]
    }

    #[test]
    fn each_end_is_counted_once() {
        let counters = Counters::new();

        counters.count(1, &Ok(8), 0);
        counters.count(1, &Err(EPERM), 0);
        counters.count(1, &Err(EBADMSG), 2);
        counters.count(1, &Err(EIO), 5);
        assert_eq!(
            all(|counter| counters.get(RpcScope::DebugReadOnly, counter)),
            [4, 2, 1, 7]
        );
        assert_eq!(
            all(|counter| counters.get(RpcScope::Configuration, counter)),
            [0; 4]
        );
    }

    #[test]
    fn unknown_scopes_are_not_counted() {
        let counters = Counters::new();

        for scope in [4, u32::MAX] {
            counters.count(scope, &Err(EOPNOTSUPP), 1);
        }
        for scope in RpcScope::ALL {
            assert_eq!(all(|counter| counters.get(scope, counter)), [0; 4]);
        }
    }

    #[test]
    fn sums_add_up_and_wrap() {
        let (counters, mut sums) = (Counters::new(), Sums::new());

        counters.count(3, &Err(EIO), usize::MAX);
        sums.add(&counters);
        counters.count(0, &Ok(0), 1);
        sums.add(&counters);
        assert_eq!(
            all(|counter| sums.get(RpcScope::DebugWriteFull, counter)),
            [2, 0, 2, usize::MAX - 1]
        );
        assert_eq!(
            all(|counter| sums.get(RpcScope::Configuration, counter)),
            [1, 0, 0, 1]
        );
    }
}
