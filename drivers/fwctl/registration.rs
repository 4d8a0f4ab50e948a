// SPDX-License-Identifier: GPL-2.0-only

//! When the core may call into a driver.
//!
//! A driver can go at any time, with files open. [`Device::unregister`] then refuses new calls,
//! waits for those in flight, and closes the contexts that are still open, so the driver's module
//! can be unloaded. The files stay open and only see [`ENODEV`] from then on.
//!
//! # Locking
//!
//! Only this file takes these two, in this order:
//!
//! 1. [`Device::calls`], a count of the calls into the driver. [`Device::enter`] returns [`Calls`],
//!    which is one of them. A call may sleep. No user memory is touched during a call: a program
//!    could delay the access for as long as it likes, and with it the unregistration.
//! 2. [`Device::contexts`], a mutex: the list of contexts that the driver has opened. Whatever
//!    takes a context off the list closes it, so a context is never off the list and open.
//!
//! The driver is called with the first one held. Its `close` is also called by
//! [`Device::unregister`], which has drained the calls, with the second one held; and for a file
//! that is closed at that time.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            AtomicType,
            Full,
            Relaxed, //
        },
        ActiveGuard, //
    },
    time::Jiffies, //
};

use crate::{
    binding::Binding,
    device::Device,
    door::Door,
    shim,
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
    /// It was unregistered, or its registration failed. It cannot be registered again.
    Gone = 2,
}

// SAFETY: `State` has the size and alignment of `i32`, and a value of it that was stored is read
// back as the same value.
unsafe impl AtomicType for State {
    type Repr = i32;
}

/// A call into the driver of a device, counted until this is dropped.
pub(crate) struct Calls<'a> {
    device: &'a Device,
    _guard: ActiveGuard<'a>,
}

impl Calls<'_> {
    /// Returns the device, to call its driver.
    #[inline]
    pub(crate) fn callable(&self) -> Callable<'_> {
        // INVARIANT: The call is counted while we are borrowed, and unregistration waits for it.
        Callable {
            device: self.device,
        }
    }
}

/// A device whose driver may be called, for `'a`.
///
/// Unlike the [`Calls`] that it borrows from it is one word, so drivers get it in a register.
///
/// # Invariants
///
/// The device was registered, and its unregistration does not end during `'a`.
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

    /// Returns what binds the device to the host of a Rust driver.
    ///
    /// # Safety
    ///
    /// The device must be one of a Rust driver.
    #[inline]
    pub(crate) unsafe fn binding(self) -> &'a Binding {
        // SAFETY: By the safety requirements, `UnregisteredDevice::register()` registered the
        // device. It sets the binding before that, and nothing changes it afterwards.
        unsafe { (*self.device.binding.get()).assume_init_ref() }
    }

    /// Returns the functions of a Rust driver, or [`None`] for a driver in C.
    #[inline]
    pub(crate) fn door(self) -> Option<&'a Door> {
        let door = self.device.driver.door?;

        // SAFETY: `Device::new()` requires that the functions are valid until the device is
        // unregistered, which it is not yet by the type invariant.
        Some(unsafe { door.as_ref() })
    }

    /// Fails with [`ENODEV`] once the device is being unregistered, and with [`EINTR`] if the
    /// current task is killed.
    pub(crate) fn check(self) -> Result {
        if !self.device.calls.is_active() {
            return Err(ENODEV);
        }
        // SAFETY: The function only looks at the current task.
        if unsafe { shim::fwctl_shim_is_killed() } {
            return Err(EINTR);
        }
        Ok(())
    }

    /// Sleeps until `condition` returns `true`, for at most `timeout` jiffies; returns whether it
    /// did.
    ///
    /// Fails as [`Callable::check`], also if that only happens later.
    pub(crate) fn wait(
        self,
        timeout: Option<Jiffies>,
        condition: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        let calls = &self.device.calls;
        let mut is_met = false;

        let has_ended = calls.waiters().wait_killable(timeout, &mut || {
            is_met = condition();
            is_met || !calls.is_active()
        })?;
        if has_ended && !is_met {
            return Err(ENODEV);
        }
        Ok(is_met)
    }
}

impl Device {
    /// Begins a call into the driver; fails with [`ENODEV`] if the device is being unregistered.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Calls<'_>> {
        Ok(Calls {
            device: self,
            _guard: self.calls.try_enter().ok_or(ENODEV)?,
        })
    }

    /// Fails with [`ENODEV`] if the device is being unregistered.
    ///
    /// A later [`Device::enter`] can fail all the same: this only spares the work before it.
    #[inline]
    pub(crate) fn check_live(&self) -> Result {
        if self.calls.is_active() {
            Ok(())
        } else {
            Err(ENODEV)
        }
    }

    /// Makes the device visible: its node and its place in sysfs.
    ///
    /// The driver may be called from then on, even before this returns. Fails with [`EINVAL`] if
    /// the device was registered before, and with the errors of the driver core; then no call is in
    /// flight when it returns, and none will begin. May sleep.
    pub(crate) fn register(&self) -> Result {
        if self.state.cmpxchg(State::New, State::Live, Full).is_err() {
            return Err(EINVAL);
        }

        self.calls.activate();
        let raw = self.as_raw();
        // SAFETY: By the type invariant, both are initialised. They are registered once only, as
        // the state says.
        to_result(unsafe { bindings::cdev_device_add(&raw mut (*raw).cdev, &raw mut (*raw).dev) })
            .inspect_err(|_| {
                self.state.store(State::Gone, Relaxed);
                self.shut_down();
            })
    }

    /// Removes the device: on return no call into the driver is in flight, none will begin, and all
    /// contexts are closed.
    ///
    /// Waits for the calls in flight, however long they take. Returns `false`, and does nothing, if
    /// the device is not registered, or if another caller is unregistering it. May sleep.
    pub(crate) fn unregister(&self) -> bool {
        if self.state.cmpxchg(State::Live, State::Gone, Full).is_err() {
            return false;
        }

        let raw = self.as_raw();
        // SAFETY: The state was `Live`, so `register()` has added both, and this is the only caller
        // that has seen it.
        unsafe { bindings::cdev_device_del(&raw mut (*raw).cdev, &raw mut (*raw).dev) };
        self.shut_down();
        true
    }

    fn shut_down(&self) {
        self.calls.deactivate();
        self.removed.wake_all();
        self.calls.drain();

        // INVARIANT: The device was registered, and this is its unregistration.
        let callable = Callable { device: self };
        let mut contexts = self.contexts.lock();
        while let Some(uctx) = contexts.pop() {
            // SAFETY:
            // - The callable is of the device of the context, on whose list it was.
            // - It was on the list, so it is open, and only this closes it.
            // - No call is in flight.
            unsafe { uctx.as_ref().close_driver(callable) };
        }
    }

    /// Adds the context `uctx`, which the driver has opened, to the list.
    pub(crate) fn add_context(&self, _callable: Callable<'_>, uctx: NonNull<Uctx>) {
        // SAFETY: The context was made for this device just now, so it is on no list.
        unsafe { self.contexts.lock().push(uctx) };
    }

    /// Makes the driver close the context `uctx`, unless the unregistration has closed it.
    ///
    /// # Safety
    ///
    /// - `uctx` must have been added by [`Device::add_context`], once.
    /// - No call in that context may be in flight or begin.
    pub(crate) unsafe fn close_context(&self, uctx: NonNull<Uctx>) {
        if let Ok(calls) = self.enter() {
            // The mutex is not held during the call into the driver, so a slow firmware delays no
            // other file.
            //
            // SAFETY: The caller promises that `uctx` was added to our list, so it is valid, and on
            // no other.
            let is_open = unsafe { self.contexts.lock().remove(uctx) };
            if is_open {
                // SAFETY:
                // - The calls are of the device of the context.
                // - The context was open, and only this closes it.
                // - The caller promises that no call in it is in flight or begins.
                unsafe { uctx.as_ref().close_driver(calls.callable()) };
            }
            return;
        }

        let mut contexts = self.contexts.lock();
        // SAFETY: The caller promises that `uctx` was added to our list, so it is valid, and on no
        // other.
        if unsafe { contexts.remove(uctx) } {
            // INVARIANT: The context was still on the list. The unregistration does not end before
            // it has seen the list empty, for which it needs the mutex that we hold.
            let callable = Callable { device: self };
            // SAFETY:
            // - The callable is of the device of the context.
            // - The context was open, and only this closes it.
            // - The caller promises that no call in it is in flight or begins.
            unsafe { uctx.as_ref().close_driver(callable) };
        }
    }
}
