// SPDX-License-Identifier: GPL-2.0-only

//! From when until when a driver may be called.
//!
//! A driver can go at any time, with files open. Then [`Device::unregister`] waits for the calls
//! that are under way, lets none start after them, and closes what is still open, so that the
//! driver's module can be unloaded. The files stay open; they only see [`ENODEV`] from then on.
//!
//! # Locking
//!
//! Nothing but this file takes these two, in this order:
//!
//! 1. [`Device::calls`], SRCU: whoever calls the driver is a reader, by [`Device::enter`], and has
//!    [`Calls`] to prove it. Readers may sleep, as calls to a firmware do, and do not disturb each
//!    other. [`Device::unregister`] sets the state first and then waits for the readers.
//! 2. [`Device::contexts`], a mutex: the list of contexts that the driver knows. Who takes a
//!    context off the list closes it; it never is off and open.
//!
//! The driver is called under the first one. Its `close` is also called under both: by
//! [`Device::unregister`], when it has waited, and for a file that is closed while that is under
//! way.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Acquire,
        AtomicType,
        Relaxed,
        Release, //
    }, //
};

use crate::{
    device::Device,
    door::{
        Binding,
        Door, //
    },
    readers::Entry,
    uctx::Uctx, //
};

/// What a device has been through.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It was made, and can be registered.
    New = 0,
    /// It is registered, or about to be: the driver may be called.
    Live = 1,
    /// It was unregistered, which is for ever.
    Gone = 2,
}

// SAFETY: `State` has the size and alignment of `i32`, and a value of it that was stored is read
// back as the same value.
unsafe impl AtomicType for State {
    type Repr = i32;
}

/// The right to call the driver of a device, which lasts as long as this does.
///
/// # Invariants
///
/// - The driver behind `device` is there: `entry` was made before the state was seen to be
///   [`State::Live`]; or the device is being unregistered, which is not over yet.
/// - `entry` is of [`Device::calls`].
pub(crate) struct Calls<'a> {
    device: &'a Device,
    entry: Entry,
}

impl Drop for Calls<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { self.device.calls.leave(&self.entry) };
    }
}

impl Calls<'_> {
    /// Returns the device, to call its driver.
    #[inline]
    pub(crate) fn callable(&self) -> Callable<'_> {
        // INVARIANT: By our own, for as long as we are borrowed.
        Callable {
            device: self.device,
        }
    }
}

/// A device whose driver may be called, for `'a`.
///
/// Unlike the [`Calls`] that it borrows from, it is one word, for drivers to be called with.
///
/// # Invariants
///
/// The driver behind `device` is there for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Callable<'a> {
    device: &'a Device,
}

impl<'a> Callable<'a> {
    /// Returns the device.
    #[inline]
    pub(crate) fn device(self) -> &'a Device {
        self.device
    }

    /// Returns what the Rust door stored, if the driver came in through that.
    #[inline]
    pub(crate) fn binding(self) -> Option<&'a Binding> {
        self.device.driver.binding.as_ref()
    }

    /// Returns the functions of the driver, if it came in through the Rust door.
    #[inline]
    pub(crate) fn door(self) -> Option<&'a Door> {
        let binding = self.binding()?;

        // SAFETY: By the type invariant the device is not unregistered yet, and so long `door` is
        // valid.
        Some(unsafe { binding.door.as_ref() })
    }
}

impl Device {
    /// Returns the right to call the driver, unless the device is gone.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Calls<'_>> {
        // INVARIANT: It is entered first; what is returned has seen the state after that.
        let calls = Calls {
            device: self,
            entry: self.calls.enter(),
        };

        // Pairs with the store in `register()`, so that what the driver set up before is seen.
        if self.state.load(Acquire) != State::Live {
            return Err(ENODEV);
        }
        Ok(calls)
    }

    /// Returns whether the driver is gone for ever.
    pub(crate) fn is_gone(&self) -> bool {
        self.state.load(Relaxed) == State::Gone
    }

    /// Makes the device visible: its node and its place in sysfs.
    ///
    /// The driver may be called from then on, even before this returns. Fails with [`EINVAL`] if
    /// the device was registered before, and with what the driver core fails with; then no call is
    /// under way when it returns, and none will be. May sleep.
    pub(crate) fn register(&self) -> Result {
        if self
            .state
            .cmpxchg(State::New, State::Live, Release)
            .is_err()
        {
            return Err(EINVAL);
        }

        let raw = self.as_raw();
        // SAFETY: By the type invariant, both are initialised, and they are registered once only.
        to_result(unsafe { bindings::cdev_device_add(&raw mut (*raw).cdev, &raw mut (*raw).dev) })
            .inspect_err(|_| self.shut_down())
    }

    /// Takes the device away: on return no call to the driver is under way, none will be, and all
    /// contexts are closed.
    ///
    /// Waits for the calls that are under way, however long they take. Returns whether the device
    /// was registered; if not, nothing happens. May sleep.
    pub(crate) fn unregister(&self) -> bool {
        if self.state.load(Relaxed) != State::Live {
            return false;
        }

        let raw = self.as_raw();
        // SAFETY: The state says that `register()` succeeded and that this is the first time: who
        // unregisters twice at the same time breaks the rule that both doors have.
        unsafe { bindings::cdev_device_del(&raw mut (*raw).cdev, &raw mut (*raw).dev) };
        self.shut_down();
        true
    }

    fn shut_down(&self) {
        self.state.store(State::Gone, Release);
        self.gone.notify_all();
        self.calls.wait();

        // INVARIANT: This is the unregistration.
        let calls = Calls {
            device: self,
            entry: self.calls.enter(),
        };
        let mut contexts = self.contexts.lock();
        while let Some(uctx) = contexts.pop() {
            // SAFETY: The context was on the list, so that it is open, and it is closed here only.
            // No call is under way.
            unsafe { uctx.as_ref().close_driver(&calls) };
        }
    }

    /// Lets the driver know the context `uctx`, which it has opened.
    pub(crate) fn add_context(&self, _calls: &Calls<'_>, uctx: NonNull<Uctx>) {
        // SAFETY: The context was made for this device just now, so that it is on no list.
        unsafe { self.contexts.lock().push(uctx) };
    }

    /// Lets the driver close the context `uctx`, if it has not been closed by the unregistration.
    ///
    /// # Safety
    ///
    /// - `uctx` must have been added by [`Device::add_context`], once.
    /// - No call in that context may be under way or start.
    pub(crate) unsafe fn close_context(&self, uctx: NonNull<Uctx>) {
        if let Ok(calls) = self.enter() {
            // The mutex is not held across the call to the driver, so that a slow firmware delays
            // no other file.
            //
            // SAFETY: By the safety requirements, a context that is on a list is on ours.
            let is_open = unsafe { self.contexts.lock().remove(uctx) };
            if is_open {
                // SAFETY: The context was open, and it is closed here only.
                unsafe { uctx.as_ref().close_driver(&calls) };
            }
            return;
        }

        let mut contexts = self.contexts.lock();
        // SAFETY: As above.
        if unsafe { contexts.remove(uctx) } {
            // Entered with the mutex held, which is in order: who waits does so without it.
            //
            // INVARIANT: The context was still on the list, and the unregistration is not over
            // before it has seen the list, with the mutex that we hold, empty.
            let calls = Calls {
                device: self,
                entry: self.calls.enter(),
            };
            // SAFETY: As above.
            unsafe { uctx.as_ref().close_driver(&calls) };
        }
    }
}
