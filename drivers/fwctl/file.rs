// SPDX-License-Identifier: GPL-2.0-only

//! The file operations of a node.
//!
//! The `private_data` of a file is its [`Uctx`]. Nothing here is generic: [`THIS_MODULE`] has to be
//! that of the core.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::from_result,
    prelude::*,
    ModuleMetadata, //
};

use crate::{
    device::Device,
    ioctl,
    shim,
    uctx::Uctx, //
};

const THIS_MODULE: ThisModule = <crate::LocalModule as ModuleMetadata>::THIS_MODULE;

/// What a poll on a file that has no poll operation returns: ready for everything.
const ALWAYS_READY: bindings::__poll_t =
    bindings::POLLIN | bindings::POLLOUT | bindings::POLLRDNORM | bindings::POLLWRNORM;

struct Operations(bindings::file_operations);

// SAFETY: It is never written.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::file_operations {
    owner: THIS_MODULE.as_ptr(),
    open: Some(open),
    release: Some(release),
    unlocked_ioctl: Some(unlocked_ioctl),
    // All structures have the same layout for 32-bit programs.
    #[cfg(CONFIG_COMPAT)]
    compat_ioctl: bindings::compat_ptr_ioctl,
    poll: Some(poll),
    ..pin_init::zeroed()
});

/// Returns the operations for `cdev_init()`.
pub(crate) fn operations() -> *const bindings::file_operations {
    &raw const OPERATIONS.0
}

/// Returns the module that an open file needs: ours. The driver's can go at any time.
pub(crate) fn operations_owner() -> *mut bindings::module {
    THIS_MODULE.as_ptr()
}

/// Returns the context of an open file.
///
/// # Safety
///
/// `file` must be open, by [`open`], and stay so for `'a`.
#[inline]
unsafe fn uctx<'a>(file: *mut bindings::file) -> &'a Uctx {
    // SAFETY: By the safety requirements, `open()` has stored the context, which lives until
    // `release()`.
    unsafe { &*(*file).private_data.cast() }
}

/// # Safety
///
/// `inode` and `file` must be those of a node of ours that is being opened.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    from_result(|| {
        // SAFETY: By the safety requirements, the node is that of a device. `chrdev_open()` holds a
        // reference to its cdev, and the cdev one to the device.
        let device = unsafe { Device::from_cdev(shim::fwctl_shim_inode_cdev(inode)) };
        // SAFETY: The file is being opened, and closed by `release()`, after which `__fput()` lets
        // go of the cdev.
        let uctx = unsafe { Uctx::open(device) }?;

        // SAFETY: While a file is being opened, its private data is ours.
        unsafe { (*file).private_data = uctx.as_ptr().cast() };
        Ok(0)
    })
}

/// # Safety
///
/// `file` must be open, by [`open`], and used by nobody any more.
unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: By the safety requirements, `open()` has stored the context, which is not null.
    let uctx = unsafe { NonNull::new_unchecked((*file).private_data.cast::<Uctx>()) };
    // SAFETY: It is from `Uctx::open()`, and nobody uses it any more.
    unsafe { Uctx::close(uctx) };
    0
}

/// # Safety
///
/// `file` must be open, by [`open`].
unsafe extern "C" fn unlocked_ioctl(
    file: *mut bindings::file,
    number: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: By the safety requirements.
    let uctx = unsafe { uctx(file) };

    match ioctl::dispatch(uctx, number, UserPtr::from_addr(arg)) {
        Ok(()) => 0,
        // CAST: It widens.
        Err(error) => error.to_errno() as c_long,
    }
}

/// # Safety
///
/// `file` must be open, by [`open`], and `table` null or valid.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: The caller promises that the file is open.
    let device = unsafe { uctx(file) }.device();

    // First register, then look, so nothing that happens in between is missed.
    //
    // SAFETY:
    // - The caller promises that `file` is valid, and `table` null or valid.
    // - A poller leaves the queue before the file is released, and so long the file holds the
    //   device.
    unsafe { bindings::poll_wait(file, device.removed.as_raw(), table) };
    if device.calls.is_active() {
        ALWAYS_READY
    } else {
        bindings::POLLHUP | bindings::POLLERR
    }
}
