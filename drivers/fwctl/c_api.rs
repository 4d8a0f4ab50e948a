// SPDX-License-Identifier: GPL-2.0-only

//! The C driver API, [`include/linux/fwctl.h`](srctree/include/linux/fwctl.h). Registered memory is
//! in `c_memory.rs`.
//!
//! A C driver embeds `struct fwctl_device` at the start of its own structure, and `struct
//! fwctl_uctx` at the start of its per-file structure. It provides `struct fwctl_ops`, whose
//! functions are called as the header says. Of the private members of the two structures the core
//! uses only the pointers `fwctl_device::ops` and `fwctl_uctx::fwctl`. All other state of the core
//! precedes the structures in memory, out of the driver's sight.
//!
//! The core does not trust C drivers: what can be validated is validated, and a violation returns
//! an error instead of exposing kernel memory.

use core::{
    alloc::Layout,
    ptr::NonNull, //
};

use kernel::{
    alloc::kvbytes::KVBytes,
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        }, //
    }, //
};

use crate::{
    device::{
        kmalloc_align,
        Device, //
    },
    exchange::{
        Answer,
        Info, //
    },
    ops::{
        Driver,
        Passing, //
    },
    registration::LiveDevice,
    scope::RpcScope, //
};

/// Creates a device: `_fwctl_alloc_device()`, behind the macro `fwctl_alloc_device()`.
///
/// `size` is the size of the driver's structure, in bytes. Returns null if memory or device numbers
/// are exhausted, if the subsystem is not initialised, if `ops` is null or `ops->uctx_size` out of
/// range, or if `size` is less than that of `struct fwctl_device`. The caller frees the device with
/// `fwctl_put()`, in any context. May sleep.
///
/// # Safety
///
/// - `parent` must be valid until the device is registered or freed.
/// - `ops` must be null, or valid until the device is unregistered, or freed if it is never
///   registered.
#[export]
pub(crate) unsafe extern "C" fn _fwctl_alloc_device(
    parent: *mut bindings::device,
    ops: *const bindings::fwctl_ops,
    size: usize,
) -> *mut bindings::fwctl_device {
    // SAFETY: The caller promises what `allocate()` requires, in the same words.
    match unsafe { allocate(parent, ops, size) } {
        Ok(device) => {
            let raw = device.as_raw();
            // The reference now belongs to the caller.
            core::mem::forget(device);
            raw
        }
        Err(_) => core::ptr::null_mut(),
    }
}

/// Creates a device, as [`_fwctl_alloc_device`].
///
/// # Safety
///
/// - `parent` must be valid until the device is registered or freed.
/// - `ops` must be null, or valid until the device is unregistered, or freed if it is never
///   registered.
unsafe fn allocate(
    parent: *mut bindings::device,
    ops: *const bindings::fwctl_ops,
    size: usize,
) -> Result<ARef<Device>> {
    // SAFETY: The caller promises that `ops` is null or valid.
    let known = unsafe { ops.as_ref() }.ok_or(EINVAL)?;
    let driver = Driver {
        device_type: known.device_type,
        uctx: uctx_layout(known)?,
        passing: Passing::Directly,
        rust_ops: None,
        has_never_sleeps: false,
        memory: None,
    };

    // SAFETY:
    // - The caller promises that `parent` is valid until the device is registered or freed.
    // - The functions of a C driver are those of `fwctl_device::ops`, which is set below. The
    //   caller promises that they are valid until the device is unregistered.
    let device = unsafe { Device::new(parent, driver, size) }?;

    // SAFETY: The device is valid. It was created just now, so nothing else uses it.
    unsafe { (*device.as_raw()).ops = ops };
    Ok(device)
}

/// Registers a device: `fwctl_register()`.
///
/// The node exists when this returns 0. The operations may be called earlier. Returns `-EINVAL` if
/// the device was registered before, successfully or not, and the errors of the driver core. May
/// sleep.
///
/// # Safety
///
/// `fwctl` must be from `fwctl_alloc_device()`, and not freed.
#[export]
pub(crate) unsafe extern "C" fn fwctl_register(fwctl: *mut bindings::fwctl_device) -> c_int {
    // SAFETY: The caller promises that `fwctl` is from `fwctl_alloc_device()`, and not freed.
    match unsafe { Device::from_raw(fwctl) }.register() {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Unregisters a device: `fwctl_unregister()`.
///
/// Waits for the operations that are running. When this returns, no operation is running, none will
/// be called, and all contexts are closed. Files stay open. The caller keeps its reference, for
/// `fwctl_put()`. May sleep.
///
/// # Safety
///
/// - `fwctl` must be from `fwctl_alloc_device()`, and not freed.
/// - This must not be called twice at the same time for the same device.
#[export]
pub(crate) unsafe extern "C" fn fwctl_unregister(fwctl: *mut bindings::fwctl_device) {
    // SAFETY: The caller promises that `fwctl` is from `fwctl_alloc_device()`, and not freed.
    let device = unsafe { Device::from_raw(fwctl) };

    if device.unregister() {
        // SAFETY: The device is valid. No operation is running or will be called, so nothing else
        // uses the pointer.
        unsafe { (*fwctl).ops = core::ptr::null() };
    } else {
        dev_err!(
            device.as_ref(),
            "fwctl_unregister() called on a device that is not registered\n"
        );
    }
}

/// Returns the operations of a driver.
#[inline]
fn ops(live: LiveDevice<'_>) -> &bindings::fwctl_ops {
    // SAFETY: `allocate()` requires that the operations are valid until the device is unregistered.
    // By the invariant of `live`, it is still registered.
    unsafe { &*(*live.device().as_raw()).ops }
}

/// Returns the layout of a context.
fn uctx_layout(ops: &bindings::fwctl_ops) -> Result<Layout> {
    // The core itself writes a `struct fwctl_uctx`.
    let size = ops.uctx_size.max(size_of::<bindings::fwctl_uctx>());

    // Align as `kmalloc(size)` does. Drivers rely on it; `kernel::fwctl` rounds its sizes up for
    // it.
    Layout::from_size_align(size, kmalloc_align(size)).map_err(|_| EINVAL)
}

/// Opens a context of a C driver.
///
/// # Safety
///
/// The requirements are those of [`DriverOps`](crate::ops::DriverOps), for a device without
/// `rust_ops`.
#[inline(always)]
pub(crate) unsafe fn open(uctx: NonNull<u8>, live: LiveDevice<'_>) -> Result {
    let uctx = uctx.cast::<bindings::fwctl_uctx>().as_ptr();

    // SAFETY: The caller promises that `uctx` is valid for writes of the layout, which has at least
    // a `struct fwctl_uctx`.
    unsafe { (*uctx).fwctl = live.device().as_raw() };
    match ops(live).open_uctx {
        // SAFETY: The caller promises that `uctx` is zeroed, and has the size that the driver asked
        // for.
        Some(open_uctx) => to_result(unsafe { open_uctx(uctx) }),
        None => Ok(()),
    }
}

/// Closes a context of a C driver.
///
/// # Safety
///
/// The requirements are those of [`DriverOps`](crate::ops::DriverOps), for a device without
/// `rust_ops`.
#[inline(always)]
pub(crate) unsafe fn close(uctx: NonNull<u8>, live: LiveDevice<'_>) {
    if let Some(close_uctx) = ops(live).close_uctx {
        // SAFETY: The caller promises that `uctx` is open, and that no other call in it is in
        // flight.
        unsafe { close_uctx(uctx.cast().as_ptr()) };
    }
}

/// Calls `info` of a C driver.
///
/// # Safety
///
/// The requirements are those of [`DriverOps`](crate::ops::DriverOps), for a device without
/// `rust_ops`.
#[inline(always)]
pub(crate) unsafe fn info(uctx: NonNull<u8>, live: LiveDevice<'_>, info: &mut Info) -> Result {
    let Some(op) = ops(live).info else {
        return Ok(());
    };

    // A driver that does not set the length has returned no bytes.
    let mut len = 0;
    // SAFETY: The caller promises that `uctx` is open. `len` is valid for a write.
    let data = checked(unsafe { op(uctx.cast().as_ptr(), &raw mut len) })?;
    let Some(data) = NonNull::new(data.cast::<u8>()) else {
        return Ok(());
    };

    // SAFETY: The driver returned `len` bytes that it allocated with `kmalloc()` and hands over.
    // `kvfree()` takes such memory.
    info.replace(unsafe { KVBytes::from_raw(data, len) })
}

/// Calls `fw_rpc` of a C driver.
///
/// # Safety
///
/// The requirements are those of [`DriverOps`](crate::ops::DriverOps), for a device without
/// `rust_ops`.
#[inline(always)]
pub(crate) unsafe fn fw_rpc(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    scope: RpcScope,
    request: &mut [u8],
    out_len: usize,
) -> Result<Answer> {
    let op = ops(live).fw_rpc.ok_or(EOPNOTSUPP)?;
    let mut len = out_len;

    // SAFETY:
    // - The caller promises that `uctx` is open.
    // - `request` is valid for reads and writes of its length, and borrowed during the call.
    // - `len` is valid for reads and writes.
    let reply = checked(unsafe {
        op(
            uctx.cast().as_ptr(),
            bindings::fwctl_rpc_scope(scope as u32),
            request.as_mut_ptr().cast(),
            request.len(),
            &raw mut len,
        )
    })?;

    if reply.cast() == request.as_mut_ptr() {
        // Beyond the request there are bytes that nobody wrote for user space.
        if len > request.len() {
            warn_of_claim(live.device());
            return Err(EINVAL);
        }
        return Ok(Answer::InPlace(len));
    }
    match NonNull::new(reply.cast()) {
        // SAFETY: The driver returned `len` bytes that it allocated for `kvfree()` and hands over.
        Some(reply) => Ok(Answer::New(unsafe { KVBytes::from_raw(reply, len) })),
        None if len == 0 => Ok(Answer::InPlace(0)),
        None => Err(EINVAL),
    }
}

/// Returns what a driver returned, unless it is an error pointer.
///
/// [`kernel::error::from_err_ptr`] calls a C function for this.
#[inline]
fn checked(ptr: *mut c_void) -> Result<*mut c_void> {
    // The highest addresses.
    const LOWEST: usize = (bindings::MAX_ERRNO as usize).wrapping_neg();

    if ptr.addr() >= LOWEST {
        // CAST: These addresses are small negative numbers, whose upper bits are all set.
        return Err(Error::from_errno(ptr.addr() as c_int));
    }
    Ok(ptr)
}

/// Warns once that the driver of `device` claimed a reply longer than it can have written.
#[cold]
fn warn_of_claim(device: &Device) {
    static HAS_WARNED: Atomic<bool> = Atomic::new(false);

    if !HAS_WARNED.xchg(true, Relaxed) {
        dev_warn!(
            device.as_ref(),
            "driver claims a reply longer than the request's buffer\n"
        );
    }
}
