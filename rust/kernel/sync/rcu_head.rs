// SPDX-License-Identifier: GPL-2.0-only

//! Dropping a value later, from a context in which it must not be dropped.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::cell::UnsafeCell;

use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// What a value embeds to be dropped by [`RcuHead::drop_later`].
///
/// # Examples
///
/// ```
/// use kernel::sync::{Arc, RcuHead};
///
/// struct Buffer {
///     rcu: RcuHead,
///     bytes: KVVec<u8>,
/// }
///
/// let buffer = Arc::new(Buffer { rcu: RcuHead::new(), bytes: KVVec::new() }, GFP_KERNEL)?;
///
/// // May be called with a spinlock held, where `vfree()` may not.
/// RcuHead::drop_later(buffer, |buffer| &buffer.rcu);
/// // Before the module is unloaded:
/// RcuHead::barrier();
/// # Ok::<(), Error>(())
/// ```
#[repr(C)]
pub struct RcuHead {
    // Must be the first field: the callback casts its argument to a pointer to the `RcuHead`.
    head: Opaque<bindings::callback_head>,
    /// An [`Arc`] of the value, and how to drop it. Only valid once queued.
    owner: UnsafeCell<Owner>,
    /// Whether it was queued; never reset.
    is_queued: Atomic<bool>,
}

#[derive(Clone, Copy)]
struct Owner {
    value: *const c_void,
    drop: unsafe fn(*const c_void),
}

// SAFETY: The head is only used by the one thread that has set `is_queued`, and by RCU.
unsafe impl Send for RcuHead {}
// SAFETY: The head is only used by the one thread that has set `is_queued`, and by RCU.
unsafe impl Sync for RcuHead {}

impl RcuHead {
    /// Returns a head that is not queued.
    pub const fn new() -> Self {
        Self {
            head: Opaque::uninit(),
            owner: UnsafeCell::new(Owner {
                value: core::ptr::null(),
                drop: drop_nothing,
            }),
            is_queued: Atomic::new(false),
        }
    }

    /// Drops `value` after a grace period of RCU, with softirqs disabled.
    ///
    /// `head` returns the head that is embedded in the value. Can be called in any context but that
    /// of an NMI. `vfree()` does not sleep where the value is dropped.
    ///
    /// A value can be passed once. Another reference to it, or a head that is not part of it,
    /// causes a warning, and the reference is leaked.
    pub fn drop_later<T: Send + Sync + 'static>(value: Arc<T>, head: fn(&T) -> &RcuHead) {
        let start = core::ptr::from_ref(&*value).addr();
        let this = head(&value);
        let offset = core::ptr::from_ref(this).addr().wrapping_sub(start);

        // A head of another value might be freed while it is queued. One that is queued must not be
        // queued again.
        let is_within = offset <= size_of::<T>() && size_of::<T>() - offset >= size_of::<Self>();
        if kernel::warn_on!(!is_within || this.is_queued.xchg(true, Full)) {
            core::mem::forget(value);
            return;
        }

        let this = core::ptr::from_ref(this);
        let owner = Owner {
            value: Arc::into_raw(value).cast(),
            drop: drop_arc::<T>,
        };
        // SAFETY:
        // - The head is part of the value, as checked above. `owner` has a reference to the value,
        //   so it is valid until the callback drops that.
        // - It was not queued, and is now, by this call. So nothing else uses it.
        unsafe {
            *(*this).owner.get() = owner;
            bindings::call_rcu((*this).head.get(), Some(callback));
        }
    }

    /// Waits until all values that were passed to [`RcuHead::drop_later`] before are dropped.
    ///
    /// A module that has passed values has to call it before it is unloaded, because the code that
    /// drops them is part of the module. May sleep.
    pub fn barrier() {
        // SAFETY: The function may be called wherever sleeping is allowed.
        unsafe { bindings::rcu_barrier() };
    }
}

impl Default for RcuHead {
    fn default() -> Self {
        Self::new()
    }
}

/// # Safety
///
/// `head` must be part of an [`RcuHead`] that was queued.
unsafe extern "C" fn callback(head: *mut bindings::callback_head) {
    // SAFETY: The caller promises that the head is part of an `RcuHead`, whose first field it is.
    // It was queued with an owner.
    let Owner { value, drop } = unsafe { *(*head.cast::<RcuHead>()).owner.get() };

    // SAFETY: `drop_later()` has stored matching values, and the callback runs once.
    unsafe { drop(value) };
}

/// # Safety
///
/// `value` must be from `Arc::<T>::into_raw()`, and must not be used again.
unsafe fn drop_arc<T>(value: *const c_void) {
    // SAFETY: The caller promises both.
    drop(unsafe { Arc::<T>::from_raw(value.cast()) });
}

/// # Safety
///
/// It can be called with any argument.
unsafe fn drop_nothing(_value: *const c_void) {}

#[kunit_tests(rust_rcu_head)]
mod tests {
    use super::*;
    use kernel::sync::atomic::Relaxed;

    static DROPPED: Atomic<u32> = Atomic::new(0);

    struct Counted(RcuHead);

    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_value_is_dropped_once() -> Result {
        let value = Arc::new(Counted(RcuHead::new()), GFP_KERNEL)?;

        RcuHead::drop_later(value.clone(), |value| &value.0);
        RcuHead::barrier();
        assert_eq!(DROPPED.load(Relaxed), 0);
        drop(value);
        assert_eq!(DROPPED.load(Relaxed), 1);
        Ok(())
    }
}
