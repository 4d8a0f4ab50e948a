// SPDX-License-Identifier: GPL-2.0-only

//! User space memory, as the ioctls need it.
//!
//! [`kernel::uaccess`] has readers and writers for whole slices. It lacks checking for zeros, and
//! copies of a size known at compile time without the bookkeeping of a reader: an RPC that fits a
//! cache line pays for every call.

use core::mem::MaybeUninit;

use kernel::{
    bindings,
    error::to_result,
    ffi::c_ulong,
    prelude::*, //
};

use crate::shim;

/// Reads a structure, to `value`.
///
/// Fails with [`EFAULT`] if not all of it can be read.
#[inline]
pub(crate) fn read<T: FromBytes>(from: UserPtr, value: &mut MaybeUninit<T>) -> Result<&mut T> {
    let to = value.as_mut_ptr().cast();
    let from = from.as_const_ptr();

    // SAFETY:
    // - `value` is valid for a write of `size_of::<T>()` bytes, and aligned to a word where a
    //   function asks for it.
    // - `from` may be any address: the functions check that it lies in user space.
    let is_read = unsafe {
        match (size_of::<T>(), align_of::<T>()) {
            (24, 8) => shim::fwctl_shim_read_24(to, from),
            (32, 8) => shim::fwctl_shim_read_32(to, from),
            (size, _) => bindings::_copy_from_user(to, from, size as c_ulong) == 0,
        }
    };
    if !is_read {
        return Err(EFAULT);
    }

    // SAFETY: All bytes were written, and every pattern of bytes is a `T` because of `FromBytes`.
    Ok(unsafe { value.assume_init_mut() })
}

/// Fills `to` from user space.
///
/// Fails with [`EFAULT`] if not all of it can be read.
#[inline]
pub(crate) fn read_bytes<'a>(from: UserPtr, to: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]> {
    // SAFETY:
    // - `to` is valid for a write of `to.len()` bytes.
    // - `from` may be any address: the function checks that it lies in user space.
    let left = unsafe {
        bindings::copy_from_user(
            to.as_mut_ptr().cast(),
            from.as_const_ptr(),
            to.len() as c_ulong,
        )
    };
    if left != 0 {
        return Err(EFAULT);
    }

    // SAFETY: All bytes were written.
    Ok(unsafe { &mut *(core::ptr::from_mut(to) as *mut [u8]) })
}

/// Writes `bytes` to user space.
///
/// Fails with [`EFAULT`] if not all of it can be written; a part may have been.
#[inline]
pub(crate) fn write_bytes(to: UserPtr, bytes: &[u8]) -> Result {
    // SAFETY:
    // - `bytes` is valid for a read of `bytes.len()` bytes.
    // - `to` may be any address: the function checks that it lies in user space.
    let left = unsafe {
        bindings::copy_to_user(
            to.as_mut_ptr(),
            bytes.as_ptr().cast(),
            bytes.len() as c_ulong,
        )
    };

    if left == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Writes a structure.
///
/// Fails with [`EFAULT`] if not all of it can be written; a part may have been.
#[inline]
pub(crate) fn write<T: IntoBytes + zerocopy::Immutable>(to: UserPtr, value: &T) -> Result {
    let to = to.as_mut_ptr();
    let from = core::ptr::from_ref(value).cast();

    // SAFETY:
    // - `value` is valid for a read of `size_of::<T>()` bytes, all of them initialised because of
    //   `IntoBytes`, and aligned to a word where a function asks for it.
    // - `to` may be any address: the functions check that it lies in user space.
    let is_written = unsafe {
        match (size_of::<T>(), align_of::<T>()) {
            (24, 8) => shim::fwctl_shim_write_24(to, from),
            (32, 8) => shim::fwctl_shim_write_32(to, from),
            (size, _) => bindings::_copy_to_user(to, from, size as c_ulong) == 0,
        }
    };

    if is_written {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Writes `bytes` to user space, and zeros behind them, `size` bytes in all.
///
/// Fails with [`EFAULT`] if not all of it can be written; a part may have been.
pub(crate) fn write_padded(to: UserPtr, bytes: &[u8], size: usize) -> Result {
    // SAFETY:
    // - `bytes` is valid for a read of `bytes.len()` bytes.
    // - `to` may be any address: the function checks that it lies in user space.
    let is_written = unsafe {
        shim::fwctl_shim_write_padded(
            to.as_mut_ptr(),
            bytes.as_ptr().cast(),
            bytes.len().min(size),
            size,
        )
    };

    if is_written {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Returns whether `len` bytes of user space are all zero.
///
/// Fails with [`EFAULT`] if they cannot be read.
pub(crate) fn is_zeroed(from: UserPtr, len: usize) -> Result<bool> {
    // SAFETY: `from` may be any address: the function checks that it lies in user space.
    let answer = unsafe { bindings::check_zeroed_user(from.as_const_ptr(), len) };

    to_result(answer).map(|()| answer > 0)
}
