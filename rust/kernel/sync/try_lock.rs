// SPDX-License-Identifier: GPL-2.0-only

//! A lock that callers never wait for.

use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    },
};

use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
};

/// A value that one caller at a time can use, while others do without it.
///
/// This suits caches: a caller that does not get the cached value makes its own. Since nobody
/// waits, there is no order of locks to keep, lockdep need not know, and the guard may be held for
/// long. A [`Mutex`](kernel::sync::Mutex) that is only ever tried does the same, and costs more.
///
/// # Examples
///
/// ```
/// use kernel::sync::TryLock;
///
/// let cache = TryLock::new(0);
///
/// let mut value = cache.try_lock().ok_or(EBUSY)?;
/// *value = 7;
/// assert!(cache.try_lock().is_none());
/// drop(value);
/// assert_eq!(cache.try_lock().as_deref(), Some(&7));
/// # Ok::<(), Error>(())
/// ```
pub struct TryLock<T> {
    is_locked: Atomic<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: A `TryLock` owns its value, so it can be sent to another thread if the value can.
unsafe impl<T: Send> Send for TryLock<T> {}
// SAFETY: One thread at a time gets at the value, which amounts to sending it there.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> TryLock<T> {
    /// Returns an unlocked `value`.
    pub const fn new(value: T) -> Self {
        Self {
            is_locked: Atomic::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Returns the value, unless another caller has it.
    #[inline]
    pub fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
        // Pairs with the store in `drop()`: what the last holder did is done.
        if self.is_locked.xchg(true, Acquire) {
            return None;
        }
        // INVARIANT: It was not locked, and now it is, by this call.
        Some(TryLockGuard { lock: self })
    }
}

/// A value that is locked until this is dropped.
///
/// # Invariants
///
/// `lock` is locked, and this is its only guard.
#[must_use = "the value is unlocked when this is dropped"]
pub struct TryLockGuard<'a, T> {
    lock: &'a TryLock<T>,
}

// SAFETY: A shared guard gives a shared reference to the value.
unsafe impl<T: Sync> Sync for TryLockGuard<'_, T> {}

impl<T> Deref for TryLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant, only this guard gives access to the value, and it is
        // borrowed.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for TryLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant, only this guard gives access to the value, and it is
        // borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for TryLockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.is_locked.store(false, Release);
    }
}

#[kunit_tests(rust_try_lock)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_at_a_time() {
        let lock = TryLock::new(1);

        let guard = lock.try_lock();
        assert!(guard.is_some());
        assert!(lock.try_lock().is_none());
        // A failed attempt does not unlock it.
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert!(lock.try_lock().is_some());
        assert!(lock.try_lock().is_some());
    }

    #[test]
    fn the_value_stays_changed() {
        let lock = TryLock::new(1);

        if let Some(mut value) = lock.try_lock() {
            *value += 1;
        }
        assert_eq!(lock.try_lock().as_deref(), Some(&2));
    }
}
