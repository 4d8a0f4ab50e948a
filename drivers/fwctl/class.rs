// SPDX-License-Identifier: GPL-2.0-only

//! Device classes, the directories below `/sys/class`.
//!
//! C header: [`include/linux/device/class.h`](srctree/include/linux/device/class.h)

use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// The function that frees a device of a class once its last reference is gone.
///
/// It runs in the context in which that happens, which may be atomic.
pub(crate) type ReleaseFn = unsafe extern "C" fn(dev: *mut bindings::device);

/// The function that names the node of a device.
///
/// Returns memory from `kmalloc()`, or null for the device's own name. `mode` is null, or points to
/// where the permissions of the node can be stored.
pub(crate) type DevnodeFn =
    unsafe extern "C" fn(dev: *const bindings::device, mode: *mut bindings::umode_t) -> *mut c_char;

/// A class of devices.
///
/// Meant for a `static`: devices point to their class while they live.
#[repr(transparent)]
pub(crate) struct Class(bindings::class);

// SAFETY: The C side takes a `const struct class`; what changes it keeps in memory of its own.
unsafe impl Sync for Class {}

impl Class {
    /// Describes the class `name`.
    ///
    /// # Safety
    ///
    /// - `release` must be safe to call, once, with a device of this class without a reference
    ///   left.
    /// - `devnode` must be safe to call with any registered device of this class.
    pub(crate) const unsafe fn new(
        name: &'static CStr,
        release: ReleaseFn,
        devnode: DevnodeFn,
    ) -> Self {
        Self(bindings::class {
            name: kernel::str::as_char_ptr_in_const_context(name),
            dev_release: Some(release),
            devnode: Some(devnode),
            ..pin_init::zeroed()
        })
    }

    /// Makes the class appear in sysfs until the returned value is dropped.
    ///
    /// May sleep. Fails with [`EEXIST`], and a message in the log, if a class of this name is
    /// there already, and with [`ENOMEM`].
    pub(crate) fn register(&'static self) -> Result<Registration> {
        // SAFETY: `self.0` is a fully initialised class in a static.
        to_result(unsafe { bindings::class_register(self.as_raw()) })?;

        // INVARIANT: `class_register()` succeeded just now.
        Ok(Registration { class: self })
    }

    /// Returns the C class, for `struct device::class`.
    pub(crate) const fn as_raw(&'static self) -> *const bindings::class {
        &raw const self.0
    }
}

/// A registered [`Class`], unregistered on drop.
///
/// # Invariants
///
/// `class` is registered.
#[must_use = "the class is unregistered when this is dropped"]
pub(crate) struct Registration {
    class: &'static Class,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the class is registered.
        unsafe { bindings::class_unregister(self.class.as_raw()) };
    }
}
