// SPDX-License-Identifier: GPL-2.0-only

//! Copies to and from user space without a reader or writer.
//!
//! [`UserSlice`](kernel::uaccess::UserSlice) keeps track of a position, which pays off for data
//! that are read in parts. The functions here copy a whole value or slice at once, for code such as
//! a short ioctl in which that bookkeeping is a visible part of the cost.
//!
//! All of them fail with [`EFAULT`] if the range is not accessible, and then may have copied a part
//! of it. All may sleep. The address may be any: each function checks that it lies in user space.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use core::mem::MaybeUninit;

use crate::{
    bindings,
    error::to_result,
    ffi::c_ulong,
    prelude::*,
    uaccess::UserPtr, //
};

/// The most words that a value may have to be copied word by word.
///
/// For so few, the general copy costs more than the words.
const MAX_WORDS: usize = 8;

/// Returns how many words of 64 bits a `T` has, if it can be copied word by word.
const fn words_of<T>() -> Option<usize> {
    let words = size_of::<T>() / size_of::<u64>();

    if align_of::<T>() % align_of::<u64>() == 0
        && size_of::<T>() % size_of::<u64>() == 0
        && words <= MAX_WORDS
    {
        Some(words)
    } else {
        None
    }
}

fn check(left: c_ulong) -> Result {
    if left == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Reads a `T` from user space into `value`.
///
/// # Examples
///
/// ```
/// use core::mem::MaybeUninit;
/// use kernel::uaccess::{copy, UserPtr};
///
/// let mut value = MaybeUninit::<u64>::uninit();
///
/// assert!(copy::read(UserPtr::from_addr(usize::MAX - 7), &mut value).is_err());
/// ```
#[inline]
pub fn read<T: FromBytes>(from: UserPtr, value: &mut MaybeUninit<T>) -> Result<&mut T> {
    let to = value.as_mut_ptr();
    let from = from.as_const_ptr();

    // SAFETY: `value` is valid for a write of `size_of::<T>()` bytes, and if there is a number of
    // words, it is aligned to a word and has as many.
    let left = unsafe {
        match words_of::<T>() {
            Some(words) => bindings::copy_words_from_user(to.cast(), from.cast(), words),
            None => bindings::copy_from_user(to.cast(), from, size_of::<T>() as c_ulong),
        }
    };
    check(left)?;

    // SAFETY: All bytes were written, and any bytes are a valid `T`, which is `FromBytes`.
    Ok(unsafe { value.assume_init_mut() })
}

/// Writes `value` to user space.
#[inline]
pub fn write<T: IntoBytes + zerocopy::Immutable>(to: UserPtr, value: &T) -> Result {
    let to = to.as_mut_ptr();
    let from = core::ptr::from_ref(value);

    // SAFETY: `value` is valid for a read of `size_of::<T>()` bytes, all of them initialised since
    // `T` is `IntoBytes`. If there is a number of words, it is aligned to a word and has as many.
    check(unsafe {
        match words_of::<T>() {
            Some(words) => bindings::copy_words_to_user(to.cast(), from.cast(), words),
            None => bindings::copy_to_user(to, from.cast(), size_of::<T>() as c_ulong),
        }
    })
}

/// Fills `to` from user space.
#[inline]
pub fn read_bytes(from: UserPtr, to: &mut [u8]) -> Result {
    // SAFETY: `to` is valid for a write of `to.len()` bytes.
    check(unsafe {
        bindings::copy_from_user(
            to.as_mut_ptr().cast(),
            from.as_const_ptr(),
            to.len() as c_ulong,
        )
    })
}

/// Fills `to` from user space; on success all of it is initialised.
#[inline]
pub fn read_uninit(from: UserPtr, to: &mut [MaybeUninit<u8>]) -> Result {
    // SAFETY: `to` is valid for a write of `to.len()` bytes.
    check(unsafe {
        bindings::copy_from_user(
            to.as_mut_ptr().cast(),
            from.as_const_ptr(),
            to.len() as c_ulong,
        )
    })
}

/// Writes `bytes` to user space.
#[inline]
pub fn write_bytes(to: UserPtr, bytes: &[u8]) -> Result {
    // SAFETY: `bytes` is valid for a read of `bytes.len()` bytes.
    check(unsafe {
        bindings::copy_to_user(
            to.as_mut_ptr(),
            bytes.as_ptr().cast(),
            bytes.len() as c_ulong,
        )
    })
}

/// Writes `bytes` to user space, cut or padded with zeros to `size` bytes.
#[inline]
pub fn write_padded(to: UserPtr, bytes: &[u8], size: usize) -> Result {
    let len = bytes.len().min(size);

    // SAFETY: `bytes` is valid for a read of `len` bytes, and `len` is at most `size`.
    let left =
        unsafe { bindings::copy_to_user_padded(to.as_mut_ptr(), bytes.as_ptr().cast(), len, size) };
    check(left)
}

/// Returns whether `len` bytes of user space are all zero.
pub fn is_zeroed(from: UserPtr, len: usize) -> Result<bool> {
    // SAFETY: `check_zeroed_user()` takes any address and length.
    let answer = unsafe { bindings::check_zeroed_user(from.as_const_ptr(), len) };

    to_result(answer).map(|()| answer > 0)
}
