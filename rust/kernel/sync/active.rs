// SPDX-License-Identifier: GPL-2.0-only

//! Counting users of something that can be deactivated.
//!
//! This is the scheme of kernfs's active references ([`fs/kernfs/dir.c`]): users come and go until
//! the owner deactivates the count, which refuses new users at once, and drains it, which waits for
//! those that are left.
//!
//! Entering and leaving are one atomic operation each on a cache line that all users share. In
//! exchange, nothing has to wait for a grace period, a count needs no per-CPU memory, and it can be
//! freed in atomic context. Use it where a call takes microseconds or more, such as one to a
//! firmware; SRCU and `percpu_ref` scale to calls that take less.
//!
//! [`fs/kernfs/dir.c`]: srctree/fs/kernfs/dir.c

use core::pin::Pin;

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        static_lock_class,
        LockClassKey, //
    },
    types::NotThreadSafe, //
};

use super::WaitQueue;

/// What the count is moved by while it is inactive, as `KN_DEACTIVATED_BIAS` of kernfs.
const INACTIVE: i32 = i32::MIN;

/// A count of users that can be activated, deactivated and drained.
///
/// lockdep treats a user as a reader, and [`ActiveCount::drain`] as a writer, of a lock: it reports
/// a task that drains while it holds a lock that users take.
///
/// # Examples
///
/// ```
/// use kernel::sync::{new_active_count, ActiveCount};
///
/// let calls = KBox::pin_init(new_active_count!("doctest"), GFP_KERNEL)?;
///
/// // A new count has to be activated.
/// assert!(calls.try_enter().is_none());
/// assert!(calls.activate());
/// {
///     let _user = calls.try_enter().ok_or(ENODEV)?;
/// }
/// assert!(calls.deactivate());
/// assert!(!calls.deactivate());
/// assert!(calls.try_enter().is_none());
/// calls.drain();
/// # Ok::<(), Error>(())
/// ```
#[pin_data]
pub struct ActiveCount {
    /// The number of users, plus [`INACTIVE`] unless the count is active. Users that are refused
    /// count for a moment, too.
    count: Atomic<i32>,
    #[pin]
    waiters: WaitQueue,
    #[pin]
    dep_map: lockdep::Map,
}

/// Creates an [`ActiveCount`] initialiser with the given name and a newly-created lock class.
#[macro_export]
macro_rules! new_active_count {
    ($name:literal) => {
        $crate::sync::ActiveCount::new($crate::c_str!($name), $crate::static_lock_class!())
    };
}
pub use new_active_count;

impl ActiveCount {
    /// Creates an initialiser of an inactive count without users; `name` and `key` are for lockdep.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            count: Atomic::new(INACTIVE),
            waiters <- WaitQueue::new(name, static_lock_class!()),
            dep_map <- lockdep::Map::new(name, key),
        })
    }

    /// Counts the caller as a user until the guard is dropped, unless the count is inactive.
    ///
    /// Never waits. A user may sleep.
    #[inline]
    pub fn try_enter(&self) -> Option<ActiveGuard<'_>> {
        // Pairs with `activate()`: a user sees what was done before.
        if self.count.fetch_add(1, Acquire) < 0 {
            self.leave();
            return None;
        }

        self.dep_map.acquire_user();
        Some(ActiveGuard {
            active: self,
            _not_send: NotThreadSafe,
        })
    }

    #[inline]
    fn leave(&self) {
        // Pairs with `drain()`: what a user did is done when it returns.
        if self.count.fetch_sub(1, Release) == INACTIVE + 1 {
            self.waiters.wake_all();
        }
    }

    /// Returns whether users can enter now.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.count.load(Acquire) >= 0
    }

    /// Lets users enter from now on; returns whether the count was inactive.
    pub fn activate(&self) -> bool {
        self.switch(|count| count < 0)
    }

    /// Refuses users from now on, and wakes the waiters of [`ActiveCount::waiters`]; returns
    /// whether the count was active.
    pub fn deactivate(&self) -> bool {
        let was_active = self.switch(|count| count >= 0);

        if was_active {
            self.waiters.wake_all();
        }
        was_active
    }

    /// Moves the count by [`INACTIVE`], in whichever direction, if it `is_expected`.
    fn switch(&self, is_expected: impl Fn(i32) -> bool) -> bool {
        let mut count = self.count.load(Relaxed);

        while is_expected(count) {
            match self
                .count
                .cmpxchg(count, count.wrapping_add(INACTIVE), Full)
            {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    /// Waits until an inactive count has no users, however long they take.
    ///
    /// May sleep. Must not be called by a user, which would wait for itself.
    pub fn drain(&self) {
        self.dep_map.acquire_drain();
        self.waiters.wait(|| self.count.load(Acquire) == INACTIVE);
        self.dep_map.release();
    }

    /// Returns the queue that [`ActiveCount::deactivate`] wakes, for users that wait for something
    /// and have to stop then.
    pub fn waiters(&self) -> &WaitQueue {
        &self.waiters
    }
}

/// One user of an [`ActiveCount`], counted until this is dropped by the same task.
#[must_use = "the user leaves when this is dropped"]
pub struct ActiveGuard<'a> {
    active: &'a ActiveCount,
    _not_send: NotThreadSafe,
}

impl Drop for ActiveGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.active.dep_map.release();
        self.active.leave();
    }
}

#[cfg(CONFIG_LOCKDEP)]
mod lockdep {
    use core::{
        pin::Pin,
        ptr::null_mut, //
    };

    use kernel::{
        bindings,
        prelude::*,
        sync::LockClassKey,
        types::Opaque, //
    };

    /// A lock as far as lockdep is concerned.
    #[pin_data]
    pub(super) struct Map {
        #[pin]
        map: Opaque<bindings::lockdep_map>,
    }

    // SAFETY: lockdep keeps a map consistent whichever tasks use it.
    unsafe impl Send for Map {}
    // SAFETY: lockdep keeps a map consistent however many tasks use it.
    unsafe impl Sync for Map {}

    impl Map {
        pub(super) fn new(
            name: &'static CStr,
            key: Pin<&'static LockClassKey>,
        ) -> impl PinInit<Self> {
            pin_init!(Self {
                // SAFETY:
                // - `slot` is valid for writes.
                // - `name` and `key` are static.
                map <- Opaque::ffi_init(|slot| unsafe {
                    bindings::lockdep_init_map_type(
                        slot,
                        name.as_char_ptr(),
                        key.as_ptr(),
                        0,
                        // CAST: The types of waits are small numbers.
                        bindings::lockdep_wait_type_LD_WAIT_SLEEP as u8,
                        bindings::lockdep_wait_type_LD_WAIT_INV as u8,
                        bindings::lockdep_lock_type_LD_LOCK_NORMAL as u8,
                    )
                }),
            })
        }

        /// A user enters: like a trylock, as it never waits, and shared.
        pub(super) fn acquire_user(&self) {
            self.acquire(1, 1);
        }

        /// The owner drains: exclusive, and waits.
        pub(super) fn acquire_drain(&self) {
            self.acquire(0, 0);
        }

        fn acquire(&self, trylock: c_int, read: c_int) {
            // SAFETY: The map is initialised, and there is no outer lock.
            unsafe {
                bindings::lock_acquire(self.map.get(), 0, trylock, read, 1, null_mut(), here())
            };
        }

        pub(super) fn release(&self) {
            // SAFETY: The map is initialised. A task that does not hold it gets a report, no more.
            unsafe { bindings::lock_release(self.map.get(), here()) };
        }
    }

    /// An address in this file, which lockdep prints as the place of an acquisition.
    fn here() -> usize {
        Map::acquire as usize
    }
}

#[cfg(not(CONFIG_LOCKDEP))]
mod lockdep {
    use core::pin::Pin;

    use kernel::{
        prelude::*,
        sync::LockClassKey, //
    };

    /// Nothing, in a kernel without lockdep.
    pub(super) struct Map;

    impl Map {
        pub(super) fn new(
            _name: &'static CStr,
            _key: Pin<&'static LockClassKey>,
        ) -> impl PinInit<Self> {
            Ok::<Self, core::convert::Infallible>(Self)
        }

        #[inline]
        pub(super) fn acquire_user(&self) {}

        #[inline]
        pub(super) fn acquire_drain(&self) {}

        #[inline]
        pub(super) fn release(&self) {}
    }
}
