// SPDX-License-Identifier: GPL-2.0-only

//! Notifiers: callbacks for what happens to devices on a bus, and to modules.
//!
//! C headers: [`include/linux/notifier.h`](srctree/include/linux/notifier.h),
//! [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h),
//! [`include/linux/module.h`](srctree/include/linux/module.h)

use core::{
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    device,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// What happens to the driver of a device on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// The driver is about to be unbound: nothing of it has run yet.
    UnbindDriver,
    /// The driver's probe failed.
    DriverNotBound,
}

impl BusEvent {
    fn from_raw(event: c_ulong) -> Option<Self> {
        // CAST: The events are small numbers.
        match event as bindings::bus_notifier_event {
            bindings::bus_notifier_event_BUS_NOTIFY_UNBIND_DRIVER => Some(Self::UnbindDriver),
            bindings::bus_notifier_event_BUS_NOTIFY_DRIVER_NOT_BOUND => Some(Self::DriverNotBound),
            _ => None,
        }
    }
}

/// The callback of a [`BusNotifier`].
pub trait BusCallback: 'static {
    /// Handles `event` of `dev`.
    ///
    /// Runs with the device lock of `dev` held, and the notifier chain of its bus locked for
    /// reading: it must neither add nor remove a notifier of that bus. May sleep.
    fn call(event: BusEvent, dev: &device::Device);
}

/// A notifier in the chain of one bus, before those with a lower priority, which all others have.
///
/// # Invariants
///
/// `block` is in the notifier chain of `bus`, if that bus is still registered.
#[pin_data(PinnedDrop)]
pub struct BusNotifier<T: BusCallback> {
    bus: *const bindings::bus_type,
    #[pin]
    block: Opaque<bindings::notifier_block>,
    _callback: PhantomData<fn() -> T>,
}

// SAFETY: A notifier can be removed from any thread.
unsafe impl<T: BusCallback> Send for BusNotifier<T> {}

impl<T: BusCallback> BusNotifier<T> {
    /// Adds a notifier to the bus of `dev`, whose driver is being probed or unbound.
    ///
    /// The notifier is removed when the value is dropped. Fails with [`ENODEV`] if the device is on
    /// no bus. May sleep.
    pub fn new<'a>(dev: &'a device::Device<device::Core<'_>>) -> impl PinInit<Self, Error> + 'a {
        let raw = bus_of(dev);

        try_pin_init!(Self {
            bus: raw,
            block <- Opaque::try_ffi_init(move |slot: *mut bindings::notifier_block| {
                if raw.is_null() {
                    return Err(ENODEV);
                }
                // SAFETY:
                // - `slot` is valid for writes, and pinned.
                // - The bus is registered: it has a device in a callback of its driver.
                // - The block is removed before it is freed, when the notifier is dropped.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::callback),
                        // A notifier can keep an event from those after it.
                        priority: c_int::MAX,
                        ..pin_init::zeroed()
                    });
                    to_result(bindings::bus_register_notifier(raw, slot))
                }
            }),
            _callback: PhantomData,
        })
    }

    /// Returns whether this is a notifier of the bus of `dev`.
    pub fn is_of_bus_of(&self, dev: &device::Device) -> bool {
        self.bus == bus_of(dev)
    }

    /// # Safety
    ///
    /// `data` must be the device that `event` is about.
    unsafe extern "C" fn callback(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        if let Some(event) = BusEvent::from_raw(event) {
            // SAFETY: The caller promises that `data` is a device, which lives during the call.
            T::call(event, unsafe { device::Device::from_raw(data.cast()) });
        }
        // CAST: The results of a notifier are small numbers.
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<T: BusCallback> PinnedDrop for BusNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The function looks the bus up by its address. It fails, and does nothing else, if
        // the bus or the block is not there.
        unsafe { bindings::bus_unregister_notifier(self.bus, self.block.get()) };
    }
}

/// Returns the bus of `dev`, or null if it is on none.
fn bus_of<Ctx: device::DeviceContext>(dev: &device::Device<Ctx>) -> *const bindings::bus_type {
    let raw = NonNull::from(dev).cast::<bindings::device>();

    // SAFETY: `device::Device` is a transparent wrapper of a valid `struct device`, whose bus does
    // not change once it is registered.
    unsafe { (*raw.as_ptr()).bus }
}

/// Identifies a loaded module, or the kernel itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleId(usize);

impl ModuleId {
    /// Returns the module of the driver of `dev`, which is being probed; [`None`] if `dev` has no
    /// driver.
    pub fn of_driver(dev: &device::Device<device::Core<'_>>) -> Option<Self> {
        let raw = NonNull::from(dev).cast::<bindings::device>();

        // SAFETY: `device::Device` is a transparent wrapper of a valid `struct device`. The `Core`
        // context shows that its lock is held, so the driver does not change, and is registered.
        let owner = unsafe { (*raw.as_ptr()).driver.as_ref() }?.owner;
        Some(Self(owner.addr()))
    }
}

/// The callback of a [`ModuleNotifier`].
pub trait ModuleCallback: 'static {
    /// Handles the end of `module`, whose `exit()` has returned. Its code is still there. May
    /// sleep.
    fn going(module: ModuleId);
}

/// A notifier of the module loader.
///
/// Without `CONFIG_MODULES` it is never called.
///
/// # Invariants
///
/// With `CONFIG_MODULES`, `block` is in the notifier chain of the module loader.
#[pin_data(PinnedDrop)]
pub struct ModuleNotifier<T: ModuleCallback> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    _callback: PhantomData<fn() -> T>,
}

// SAFETY: A notifier can be removed from any thread.
unsafe impl<T: ModuleCallback> Send for ModuleNotifier<T> {}
// SAFETY: A shared reference gives no access.
unsafe impl<T: ModuleCallback> Sync for ModuleNotifier<T> {}

impl<T: ModuleCallback> ModuleNotifier<T> {
    /// Adds a notifier, which is removed when the value is dropped. May sleep.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                #[cfg(CONFIG_MODULES)]
                // SAFETY:
                // - `slot` is valid for writes, and pinned.
                // - The block is removed before it is freed, when the notifier is dropped.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::callback),
                        ..pin_init::zeroed()
                    });
                    to_result(bindings::register_module_notifier(slot))
                }
                #[cfg(not(CONFIG_MODULES))]
                {
                    let _ = slot;
                    Ok::<(), Error>(())
                }
            }),
            _callback: PhantomData,
        })
    }

    /// # Safety
    ///
    /// `data` must be the module that `state` is about.
    #[cfg(CONFIG_MODULES)]
    unsafe extern "C" fn callback(
        _block: *mut bindings::notifier_block,
        state: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // CAST: The states are small numbers.
        if state as bindings::module_state == bindings::module_state_MODULE_STATE_GOING {
            T::going(ModuleId(data.addr()));
        }
        // CAST: The results of a notifier are small numbers.
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<T: ModuleCallback> PinnedDrop for ModuleNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        #[cfg(CONFIG_MODULES)]
        // SAFETY: By the type invariant, the block is in the chain.
        unsafe {
            bindings::unregister_module_notifier(self.block.get())
        };
    }
}
