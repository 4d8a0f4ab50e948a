// SPDX-License-Identifier: GPL-2.0-only

//! Device classes, the directories below `/sys/class`.
//!
//! C header: [`include/linux/device/class.h`](srctree/include/linux/device/class.h)

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sysfs::Groups, //
};

/// Frees a device of a class when its last reference is dropped, which may happen in atomic
/// context.
pub(crate) type ReleaseFn = unsafe extern "C" fn(dev: *mut bindings::device);

/// Returns the name of the node of a device, in memory from `kmalloc()`, or null for the name of
/// the device.
///
/// `mode` is null, or valid for a write of the node's permissions.
pub(crate) type DevnodeFn =
    unsafe extern "C" fn(dev: *const bindings::device, mode: *mut bindings::umode_t) -> *mut c_char;

/// A class of devices.
///
/// Meant for a `static`: devices point to their class while they live.
#[repr(transparent)]
pub(crate) struct Class(bindings::class);

// SAFETY: The C side takes a `const struct class`, and keeps its state elsewhere.
unsafe impl Sync for Class {}

impl Class {
    /// Creates the class `name`, whose devices have the files of `groups` in sysfs.
    ///
    /// # Safety
    ///
    /// - `release` must be sound to call, once, for any device of this class that has no reference
    ///   left.
    /// - `devnode` must be sound to call for any registered device of this class.
    /// - All devices of this class must be of type `D`.
    pub(crate) const unsafe fn new<D, const N: usize>(
        name: &'static CStr,
        release: ReleaseFn,
        devnode: DevnodeFn,
        groups: &'static Groups<D, N>,
    ) -> Self {
        Self(bindings::class {
            name: kernel::str::as_char_ptr_in_const_context(name),
            dev_release: Some(release),
            devnode: Some(devnode),
            dev_groups: groups.as_raw(),
            ..pin_init::zeroed()
        })
    }

    /// Registers the class with sysfs until the returned value is dropped.
    ///
    /// Fails with [`EEXIST`] and a message in the log if the name is in use, and with [`ENOMEM`].
    /// May sleep.
    pub(crate) fn register(&'static self) -> Result<Registration> {
        // SAFETY: The class is initialised, and a static.
        to_result(unsafe { bindings::class_register(self.as_raw()) })?;

        // INVARIANT: `class_register()` succeeded.
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
