// SPDX-License-Identifier: GPL-2.0-only

//! When the core may call into a driver.
//!
//! A driver can be removed at any time, with files open. [`Device::unregister`] then refuses new
//! calls, waits for those in flight, and closes the contexts that are still open, so the driver's
//! module can be unloaded. The files stay open, and their ioctls fail with [`ENODEV`] from then on.
//!
//! # Locking
//!
//! Only this file and `uctx.rs` take these two, in this order:
//!
//! 1. [`Device::calls`] counts the calls into the driver. [`Device::enter`] returns a [`Call`],
//!    which is one of them. A call may sleep. User memory must not be touched during a call: a
//!    program could delay the access forever, and with it the unregistration.
//! 2. [`Device::uctx_list`] is a mutex around the contexts that the driver has opened. Code that
//!    removes a context from the list also closes it, so a context is open while it is listed.
//!
//! The driver is called with the first one held. Its `close` is also called with the second one
//! held: by [`Device::unregister`], after the calls have drained, and for a file that is closed
//! while the device is being unregistered.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        ActiveGuard, //
    },
    time::Jiffies, //
};

use crate::{
    binding::Binding,
    c_memory,
    device::Device,
    ops::DriverOps,
    shim,
    uctx::Uctx,
    umem::MemoryOps, //
};

/// What a device has been through.
pub(crate) struct State(Atomic<i32>);

impl State {
    /// The device can be registered.
    const NEW: i32 = 0;
    /// The device is registered, or about to be: the driver may be called.
    const LIVE: i32 = 1;
    /// The device was unregistered, or its registration failed. It cannot be registered again.
    const REMOVED: i32 = 2;

    /// Returns the state of a new device.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(Self::NEW))
    }

    /// Moves from one state to another. Returns whether the device was in the state `from`.
    fn change(&self, from: i32, to: i32) -> bool {
        self.0.cmpxchg(from, to, Full).is_ok()
    }
}

/// A call into the driver of a device, in flight until this is dropped.
pub(crate) struct Call<'a> {
    device: &'a Device,
    _guard: ActiveGuard<'a>,
}

impl Call<'_> {
    /// Returns the device, to call its driver.
    #[inline]
    pub(crate) fn device(&self) -> LiveDevice<'_> {
        // INVARIANT: The call is in flight while `self` is borrowed, and unregistration waits for
        // it.
        LiveDevice {
            device: self.device,
        }
    }
}

/// A device whose driver may be called, for `'a`.
///
/// It is one word, so it is passed to drivers in a register.
///
/// # Invariants
///
/// The device was registered, and its unregistration does not end during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct LiveDevice<'a> {
    device: &'a Device,
}

impl<'a> LiveDevice<'a> {
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
        // SAFETY: The caller promises that the device is one of a Rust driver, so
        // `UnregisteredDevice::register()` registered it. That sets the binding first, and nothing
        // changes it afterwards.
        unsafe { (*self.device.binding.get()).assume_init_ref() }
    }

    /// Returns the functions of a Rust driver, or [`None`] for a driver in C.
    #[inline]
    pub(crate) fn rust_ops(self) -> Option<&'a DriverOps> {
        let ops = self.device.driver.rust_ops?;

        // SAFETY: `Device::new()` requires that the functions are valid until the device is
        // unregistered. By the type invariant, it is still registered.
        Some(unsafe { ops.as_ref() })
    }

    /// Returns the functions of a driver that has registered memory.
    pub(crate) fn memory_ops(self) -> Option<&'a MemoryOps> {
        match self.rust_ops() {
            Some(ops) => ops.memory.as_ref(),
            None => self.device.offer.as_ref().map(|_| &c_memory::OPS),
        }
    }

    /// Fails with [`ENODEV`] once the device is being unregistered, and with [`EINTR`] if the
    /// current task is killed, or is a worker of io_uring whose request is cancelled.
    pub(crate) fn check(self) -> Result {
        self.device.check_live()?;
        if shim::is_killed() {
            return Err(EINTR);
        }
        Ok(())
    }

    /// Sleeps until `condition` returns `true`, for at most `timeout` jiffies; returns whether it
    /// did. For kCFI, `condition` is a reference to a closure: see `WaitQueue::sleep()`.
    ///
    /// Fails as [`LiveDevice::check`], also if that only happens later.
    pub(crate) fn wait(
        self,
        timeout: Option<Jiffies>,
        condition: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        let calls = &self.device.calls;
        let mut is_met = false;

        let has_ended = shim::wait(calls.waiters(), timeout, || {
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
    pub(crate) fn enter(&self) -> Result<Call<'_>> {
        Ok(Call {
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
        if !self.state.change(State::NEW, State::LIVE) {
            return Err(EINVAL);
        }

        self.calls.activate();
        let raw = self.as_raw();
        // SAFETY: By the type invariant of `Device`, both are initialised. The state shows that
        // they have not been registered before.
        to_result(unsafe { bindings::cdev_device_add(&raw mut (*raw).cdev, &raw mut (*raw).dev) })
            .inspect_err(|_| {
                self.state.change(State::LIVE, State::REMOVED);
                self.shut_down();
            })
    }

    /// Removes the device: on return no call into the driver is in flight, none will begin, and all
    /// contexts are closed.
    ///
    /// Waits for the calls in flight, however long they take. Returns `false`, and does nothing, if
    /// the device is not registered, or if another caller is unregistering it. May sleep.
    pub(crate) fn unregister(&self) -> bool {
        if !self.state.change(State::LIVE, State::REMOVED) {
            return false;
        }

        let raw = self.as_raw();
        // SAFETY: The state was `LIVE`, so `register()` has added both. No other caller has moved
        // away from that state.
        unsafe { bindings::cdev_device_del(&raw mut (*raw).cdev, &raw mut (*raw).dev) };
        self.shut_down();
        true
    }

    fn shut_down(&self) {
        self.calls.deactivate();
        self.removed.wake_all();
        self.calls.drain();
        self.flights.remove_all();

        // INVARIANT: The device was registered, and this is its unregistration.
        let live = LiveDevice { device: self };
        let mut list = self.uctx_list.lock();
        while let Some(uctx) = list.pop() {
            // SAFETY:
            // - The context was on the list of this device.
            // - It was on the list, so it is open, and whatever removes it closes it.
            // - No call is in flight, and none begins.
            unsafe { uctx.as_ref().close_driver(live) };
        }
    }

    /// Calls the driver to close the context `uctx`, unless the unregistration has closed it.
    ///
    /// # Safety
    ///
    /// - `uctx` must be a context of this device that was added to its list.
    /// - No call in that context may be in flight or begin.
    pub(crate) unsafe fn close_context(&self, uctx: NonNull<Uctx>) {
        // SAFETY: The caller promises that the context was added to the list, so it is valid.
        let uctx = unsafe { uctx.as_ref() };
        let call = self.enter();
        let mut list = self.uctx_list.lock();

        if !list.remove(uctx) {
            return;
        }
        let live = match &call {
            Ok(call) => {
                // Do not hold the mutex during the call: a slow firmware must not delay other
                // files.
                drop(list);
                call.device()
            }
            // INVARIANT: The context was still on the list. The unregistration does not end before
            // it has seen the list empty, for which it needs the mutex, which is held until the
            // context is closed.
            Err(_) => LiveDevice { device: self },
        };
        // SAFETY:
        // - The caller promises that the context is one of this device.
        // - It was on the list, so it is open, and whatever removes it closes it.
        // - The caller promises that no call in it is in flight or begins.
        unsafe { uctx.close_driver(live) };
    }
}
