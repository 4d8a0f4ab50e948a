// SPDX-License-Identifier: GPL-2.0-only

//! Byte buffers from `kvmalloc()`, for data whose length user space chooses.

use core::{
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull,
    slice, //
};

use crate::{
    bindings,
    prelude::*,
    uaccess::{
        copy,
        UserPtr, //
    },
};

/// An owned byte buffer of fixed capacity, allocated by one call of `kvmalloc()`.
///
/// The memory is charged to the memory cgroup of the current task (`GFP_KERNEL_ACCOUNT`). Unlike a
/// [`KVVec`] the buffer cannot grow. In exchange it is cheaper to allocate, takes two words, and
/// can take over memory that C code allocated.
///
/// # Invariants
///
/// - `ptr` is valid for reads and writes of `len` initialised bytes, which this value owns; `len`
///   is at most [`isize::MAX`].
/// - `ptr` can be passed to `kvfree()`.
///
/// # Examples
///
/// ```
/// use kernel::alloc::kvbytes::KVBytes;
///
/// let mut bytes = KVBytes::zeroed(4)?;
/// bytes[0] = 1;
/// assert_eq!(&*bytes, &[1, 0, 0, 0]);
///
/// bytes.truncate(2);
/// assert_eq!(&*bytes, &[1, 0]);
/// assert_eq!(&*KVBytes::copy_of(b"abc")?, b"abc");
/// # Ok::<(), Error>(())
/// ```
pub struct KVBytes {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: `kvfree()` can be called from any thread that may sleep.
unsafe impl Send for KVBytes {}
// SAFETY: `&KVBytes` only gives read access to bytes.
unsafe impl Sync for KVBytes {}

impl KVBytes {
    /// Allocates memory for `len` bytes.
    #[inline]
    fn allocate(len: usize) -> Result<NonNull<u8>> {
        // SAFETY: The function takes any size.
        let ptr = unsafe { bindings::kvmalloc_account(len) };

        NonNull::new(ptr.cast()).ok_or(ENOMEM)
    }

    /// Returns `len` zero bytes.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    #[inline]
    pub fn zeroed(len: usize) -> Result<Self> {
        // SAFETY: The function takes any size.
        let ptr = unsafe { bindings::kvzalloc_account(len) };

        // INVARIANT: The memory is new, has `len` bytes, and is zeroed. `kvmalloc()` allocates at
        // most `isize::MAX` bytes.
        Ok(Self {
            ptr: NonNull::new(ptr.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    /// Returns a copy of `bytes`.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    #[inline]
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let ptr = Self::allocate(bytes.len())?;

        // SAFETY: The memory is new, so it does not overlap `bytes`, and has `bytes.len()` bytes.
        unsafe { ptr.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        // INVARIANT: The memory is new, and its `bytes.len()` bytes were just written.
        Ok(Self {
            ptr,
            len: bytes.len(),
        })
    }

    /// Copies `len` bytes from user space.
    ///
    /// Fails with [`ENOMEM`], and with [`EFAULT`] if not all of them can be read. May sleep.
    #[inline]
    pub fn from_user(from: UserPtr, len: usize) -> Result<Self> {
        let ptr = Self::allocate(len)?;

        // INVARIANT: The memory is new. None of its bytes counts as initialised yet.
        let mut bytes = Self { ptr, len: 0 };
        // SAFETY: The memory has `len` bytes, and is ours.
        let memory = unsafe { slice::from_raw_parts_mut(ptr.as_ptr().cast(), len) };
        copy::read_uninit(from, memory)?;
        // INVARIANT: All `len` bytes were written.
        bytes.len = len;
        Ok(bytes)
    }

    /// Takes over `len` bytes at `ptr`.
    ///
    /// # Safety
    ///
    /// The first `len` bytes at `ptr` must be initialised, `len` must be at most [`isize::MAX`],
    /// the caller must own the memory, and `ptr` must be what `kvfree()` takes.
    #[inline]
    pub unsafe fn from_raw(ptr: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: These are the safety requirements.
        Self { ptr, len }
    }

    /// Drops the bytes after the first `len`. The memory stays allocated.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        // INVARIANT: The first bytes of those that are initialised are initialised.
        self.len = self.len.min(len);
    }
}

impl Deref for KVBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant, `len` bytes are initialised, and only written through
        // `&mut self`.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for KVBytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant, `len` bytes are initialised, and owned by `self`, which is
        // borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl From<KVVec<u8>> for KVBytes {
    fn from(bytes: KVVec<u8>) -> Self {
        // A vector without capacity has a pointer that `kvfree()` does not take.
        if bytes.capacity() == 0 {
            // INVARIANT: There are no bytes, and `kvfree()` ignores `ZERO_SIZE_PTR`.
            return Self {
                ptr: ZERO_SIZE_PTR,
                len: 0,
            };
        }

        let (ptr, len, _capacity) = bytes.into_raw_parts();
        // INVARIANT: `KVVec` allocates with `kvmalloc()`, and handed its memory over, whose first
        // `len` bytes are initialised.
        Self {
            // SAFETY: The pointer of a vector is never null.
            ptr: unsafe { NonNull::new_unchecked(ptr) },
            len,
        }
    }
}

impl Drop for KVBytes {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the memory is owned by `self`, and `kvfree()` takes it.
        unsafe { bindings::kvfree(self.ptr.as_ptr().cast()) };
    }
}

/// `ZERO_SIZE_PTR` of [`include/linux/slab.h`](srctree/include/linux/slab.h).
const ZERO_SIZE_PTR: NonNull<u8> = match NonNull::new(core::ptr::without_provenance_mut(16)) {
    Some(ptr) => ptr,
    None => unreachable!(),
};

#[kunit_tests(rust_kvbytes)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_is_zero() -> Result {
        for len in [0, 1, 4096, 1 << 20] {
            let bytes = KVBytes::zeroed(len)?;
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
        Ok(())
    }

    #[test]
    fn truncate_only_shortens() -> Result {
        let mut bytes = KVBytes::copy_of(b"abcd")?;

        bytes.truncate(5);
        assert_eq!(&*bytes, b"abcd");
        bytes.truncate(2);
        assert_eq!(&*bytes, b"ab");
        Ok(())
    }

    #[test]
    fn vectors_are_taken_over() -> Result {
        let mut vec = KVVec::new();
        assert_eq!(&*KVBytes::from(KVVec::new()), b"");
        vec.extend_from_slice(b"abcd", GFP_KERNEL)?;
        assert_eq!(&*KVBytes::from(vec), b"abcd");
        Ok(())
    }

    #[test]
    fn a_bad_user_pointer_is_refused() {
        let nowhere = UserPtr::from_addr(usize::MAX);

        assert_eq!(KVBytes::from_user(nowhere, 8).err(), Some(EFAULT));
    }
}
