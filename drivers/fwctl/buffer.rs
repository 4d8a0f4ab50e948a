// SPDX-License-Identifier: GPL-2.0-only

//! Memory for replies.

use core::{
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull,
    slice, //
};

use kernel::{
    bindings,
    prelude::*, //
};

use crate::shim;

/// Bytes in memory of their own, from `kvmalloc()`.
///
/// Unlike a [`KVVec`] it costs one plain allocation, has two words, and its memory can come from a C
/// driver.
///
/// # Invariants
///
/// - Nobody else has access to the memory at `ptr`, of which the first `len` bytes are initialised;
///   `len` is at most [`isize::MAX`].
/// - `ptr` is to be freed with `kvfree()`, which does nothing for what the allocators return for no
///   bytes at all.
pub(crate) struct Buffer {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: Any thread may free the memory.
unsafe impl Send for Buffer {}
// SAFETY: `&Buffer` only gives read access to bytes.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Copies `bytes` to new memory, charged to the memory cgroup of the current task.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    #[inline]
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        // SAFETY: The function has no requirement.
        let ptr = unsafe { shim::fwctl_shim_kvmalloc(bytes.len()) };
        let ptr = NonNull::new(ptr.cast::<u8>()).ok_or(ENOMEM)?;

        // SAFETY: The memory is new, and has room for them.
        unsafe { ptr.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };

        // INVARIANT: The memory is new, from `kvmalloc()`, and these bytes were just written.
        Ok(Self {
            ptr,
            len: bytes.len(),
        })
    }

    /// Returns `len` zeros in new memory, charged to the memory cgroup of the current task.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    #[inline]
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        // SAFETY: The function has no requirement.
        let ptr = unsafe { shim::fwctl_shim_kvzalloc(len) };

        // INVARIANT: The memory is new, from `kvmalloc()`, and zeroed.
        Ok(Self {
            ptr: NonNull::new(ptr.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    /// Drops what comes after the first `len` bytes.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        // INVARIANT: Fewer bytes than are initialised are.
        self.len = self.len.min(len);
    }

    /// Takes over `len` bytes at `ptr`.
    ///
    /// # Safety
    ///
    /// The type invariants must hold for `ptr` and `len`.
    pub(crate) unsafe fn from_raw(ptr: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self { ptr, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant, these bytes are initialised and nobody else writes them.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant, these bytes are initialised and nobody else uses them.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl From<KVVec<u8>> for Buffer {
    fn from(bytes: KVVec<u8>) -> Self {
        // The pointer of a vector without memory is not one that `kvfree()` knows.
        let (ptr, len) = if bytes.capacity() == 0 {
            (ZERO_SIZE_PTR, 0)
        } else {
            let (ptr, len, _capacity) = bytes.into_raw_parts();
            (ptr, len)
        };

        // INVARIANT: `KVVec` allocates with `kvmalloc()`, owned its memory alone, and its first
        // `len` bytes are initialised.
        Self {
            // SAFETY: The pointer of a vector, like `ZERO_SIZE_PTR`, is never null.
            ptr: unsafe { NonNull::new_unchecked(ptr) },
            len,
        }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the memory is ours to free with `kvfree()`.
        unsafe { bindings::kvfree(self.ptr.as_ptr().cast()) };
    }
}

/// What `kmalloc()` returns for no bytes, see `include/linux/slab.h`.
const ZERO_SIZE_PTR: *mut u8 = core::ptr::without_provenance_mut(16);
