// SPDX-License-Identifier: GPL-2.0-only

//! The C door: the functions of [`include/linux/fwctl.h`](srctree/include/linux/fwctl.h).
//!
//! A C driver embeds `struct fwctl_device` at the start of its own structure, and `struct
//! fwctl_uctx` at the start of what it keeps for an open file. It has the `struct fwctl_ops`, whose
//! functions are called as the header says. Of the private members of the two structures only the
//! pointers `fwctl_device::ops` and `fwctl_uctx::fwctl` are used; what else the core needs it keeps
//! in front of them, out of the driver's sight.
//!
//! The core trusts a C driver no more than it has to: what can be checked is checked, and answered
//! with an error rather than with kernel memory.

use core::{
    alloc::Layout,
    ptr::NonNull, //
};

use kernel::{
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
    buffer::Buffer,
    device::{
        kmalloc_align,
        Device, //
    },
    door::Driver,
    info::Info,
    registration::Callable,
    rpc::Answer,
    scope::RpcScope, //
};

/// Makes a device: `_fwctl_alloc_device()`, behind the macro `fwctl_alloc_device()`.
///
/// `size` is that of the driver's structure, in bytes. Returns null if there is no memory or number
/// left, if the subsystem is not there, if `ops` is null or asks for contexts too large for memory,
/// or if `size` is less than that of `struct fwctl_device`. To be freed with `fwctl_put()`, in any
/// context. May sleep.
///
/// # Safety
///
/// - `parent` must be valid until the device was registered or freed.
/// - `ops` must be valid until the device was unregistered, or freed if it never was registered.
#[export]
pub(crate) unsafe extern "C" fn _fwctl_alloc_device(
    parent: *mut bindings::device,
    ops: *const bindings::fwctl_ops,
    size: usize,
) -> *mut bindings::fwctl_device {
    // SAFETY: By the safety requirements.
    match unsafe { allocate(parent, ops, size) } {
        Ok(device) => {
            let raw = device.as_raw();
            // The reference is the caller's from now on.
            core::mem::forget(device);
            raw
        }
        Err(_) => core::ptr::null_mut(),
    }
}

/// Makes a device, as [`_fwctl_alloc_device`].
///
/// # Safety
///
/// Those of [`_fwctl_alloc_device`].
unsafe fn allocate(
    parent: *mut bindings::device,
    ops: *const bindings::fwctl_ops,
    size: usize,
) -> Result<ARef<Device>> {
    // SAFETY: By the safety requirements, it is null or valid.
    let known = unsafe { ops.as_ref() }.ok_or(EINVAL)?;
    let driver = Driver {
        device_type: known.device_type,
        uctx: uctx_layout(known)?,
        door: None,
    };

    // SAFETY:
    // - By the safety requirements.
    // - The C door leads to the driver by `fwctl_device::ops`, which is set below.
    let device = unsafe { Device::new(parent, driver, size) }?;

    // SAFETY: The device was made just now, and nobody else knows it.
    unsafe { (*device.as_raw()).ops = ops };
    Ok(device)
}

/// Registers a device: `fwctl_register()`.
///
/// When this returns 0, the node is there. The operations may be called before. Returns `-EINVAL`
/// for a device that was registered before, successfully or not, and what the driver core fails
/// with. May sleep.
///
/// # Safety
///
/// `fwctl` must be from `fwctl_alloc_device()`, and not freed.
#[export]
pub(crate) unsafe extern "C" fn fwctl_register(fwctl: *mut bindings::fwctl_device) -> c_int {
    // SAFETY: By the safety requirements.
    match unsafe { Device::from_raw(fwctl) }.register() {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Unregisters a device: `fwctl_unregister()`.
///
/// When this returns, no operation is running and none will be called: all open contexts have been
/// closed. Files stay open. The caller still has its reference, for `fwctl_put()`. Waits for the
/// operations that are running. May sleep.
///
/// # Safety
///
/// - `fwctl` must be from `fwctl_alloc_device()`, and not freed.
/// - No other call of this function for the same device may be under way.
#[export]
pub(crate) unsafe extern "C" fn fwctl_unregister(fwctl: *mut bindings::fwctl_device) {
    // SAFETY: By the safety requirements.
    if unsafe { Device::from_raw(fwctl) }.unregister() {
        // SAFETY: No operation is running any more.
        unsafe { (*fwctl).ops = core::ptr::null() };
    } else {
        // SAFETY: By the safety requirements.
        let device = unsafe { Device::from_raw(fwctl) };
        dev_err!(
            device.as_ref(),
            "fwctl_unregister() called on a device that is not registered\n"
        );
    }
}

/// Returns the operations of a driver.
#[inline]
fn ops(callable: Callable<'_>) -> &bindings::fwctl_ops {
    // SAFETY: They are valid until the device was unregistered, which it is not by the invariant of
    // `callable`.
    unsafe { &*(*callable.device().as_raw()).ops }
}

/// Returns what a context needs in memory.
fn uctx_layout(ops: &bindings::fwctl_ops) -> Result<Layout> {
    // Never less than what the core itself writes.
    let size = ops.uctx_size.max(size_of::<bindings::fwctl_uctx>());

    // As `kmalloc(size)` would be aligned: `kernel::fwctl`, for one, rounds its sizes up for that.
    Layout::from_size_align(size, kmalloc_align(size)).map_err(|_| EINVAL)
}

/// # Safety
///
/// See [`Door`](crate::door::Door).
#[inline(always)]
pub(crate) unsafe fn open(uctx: NonNull<u8>, callable: Callable<'_>) -> Result {
    let uctx = uctx.cast::<bindings::fwctl_uctx>().as_ptr();

    // SAFETY: `uctx` is valid for a write, and zeroed.
    unsafe { (*uctx).fwctl = callable.device().as_raw() };
    match ops(callable).open_uctx {
        // SAFETY: `uctx` is new, and has as many bytes as the driver asked for.
        Some(open_uctx) => to_result(unsafe { open_uctx(uctx) }),
        None => Ok(()),
    }
}

/// # Safety
///
/// See [`Door`](crate::door::Door).
#[inline(always)]
pub(crate) unsafe fn close(uctx: NonNull<u8>, callable: Callable<'_>) {
    if let Some(close_uctx) = ops(callable).close_uctx {
        // SAFETY: `uctx` is open, and nothing else runs in it.
        unsafe { close_uctx(uctx.cast().as_ptr()) };
    }
}

/// # Safety
///
/// See [`Door`](crate::door::Door).
#[inline(always)]
pub(crate) unsafe fn info(uctx: NonNull<u8>, callable: Callable<'_>, info: &mut Info) -> Result {
    let Some(op) = ops(callable).info else {
        return Ok(());
    };

    // The driver has to set the length. One that does not has told us of no bytes.
    let mut len = 0;
    // SAFETY: `uctx` is open, and `len` valid.
    let data = checked(unsafe { op(uctx.cast().as_ptr(), &raw mut len) })?;
    let Some(data) = NonNull::new(data.cast::<u8>()) else {
        return Ok(());
    };

    // SAFETY: The driver returned `len` bytes from `kmalloc()`, which `kvfree()` frees as well.
    info.replace(unsafe { Buffer::from_raw(data, len) })
}

/// # Safety
///
/// See [`Door`](crate::door::Door).
#[inline(always)]
pub(crate) unsafe fn fw_rpc(
    uctx: NonNull<u8>,
    callable: Callable<'_>,
    scope: RpcScope,
    request: &mut [u8],
    out_len: usize,
) -> Result<Answer> {
    let op = ops(callable).fw_rpc.ok_or(EOPNOTSUPP)?;
    let mut len = out_len;

    // SAFETY:
    // - `uctx` is open.
    // - The bytes of `request` are the driver's to read and write during the call.
    // - `len` is valid.
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
        // More than the request had would be whatever lies behind it.
        if len > request.len() {
            warn_of_claim(callable.device());
            return Err(EINVAL);
        }
        return Ok(Answer::InPlace(len));
    }
    match NonNull::new(reply.cast()) {
        // SAFETY: The driver returned `len` bytes, to be freed with `kvfree()`.
        Some(reply) => Ok(Answer::New(unsafe { Buffer::from_raw(reply, len) })),
        None if len == 0 => Ok(Answer::InPlace(0)),
        None => Err(EINVAL),
    }
}

/// Returns what a driver returned, unless it is an error pointer.
///
/// [`kernel::error::from_err_ptr`] has to call C to find out.
#[inline]
fn checked(ptr: *mut c_void) -> Result<*mut c_void> {
    const LOWEST: isize = -(bindings::MAX_ERRNO as isize);

    // CAST: It wraps, as in C: error pointers are the last addresses that there are.
    match ptr.addr() as isize {
        // CAST: It is within the bounds.
        errno @ LOWEST..=-1 => Err(Error::from_errno(errno as c_int)),
        _ => Ok(ptr),
    }
}

/// Warns that the driver of `device` claimed more than it can have written, once.
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
