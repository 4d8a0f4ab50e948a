// SPDX-License-Identifier: GPL-2.0-only

//! Memory for requests and replies.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull,
    slice, //
};

use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
};

use crate::{
    shim,
    user, //
};

/// Bytes in memory from `kvmalloc()`: a [`Spare`] for as long as this lives, or memory of its own.
///
/// Unlike a [`KVVec`] it costs at most one plain allocation, and its memory can come from a C
/// driver.
///
/// # Invariants
///
/// - Nobody else has access to the memory at `ptr`, of which the first `len` bytes are initialised;
///   `len` is at most [`isize::MAX`].
/// - `spare`, if there is one, was taken, and `ptr` is its memory. Else `ptr` is to be freed with
///   `kvfree()`, which does nothing for what the allocators return for no bytes at all.
pub(crate) struct Buffer<'a> {
    ptr: NonNull<u8>,
    len: usize,
    spare: Option<&'a Spare>,
}

// SAFETY: Any thread may free the memory, or give back a `Spare`, which is `Sync`.
unsafe impl Send for Buffer<'_> {}
// SAFETY: `&Buffer` only gives read access to bytes.
unsafe impl Sync for Buffer<'_> {}

impl<'a> Buffer<'a> {
    /// Copies `len` bytes from user space, to `spare` if they fit and it is not in use.
    ///
    /// The memory is charged to the memory cgroup of the current task. Fails with [`ENOMEM`], and
    /// with [`EFAULT`] if not all of it can be read. May sleep.
    pub(crate) fn from_user(spare: &'a Spare, from: UserPtr, len: usize) -> Result<Self> {
        let mut buffer = match spare.take(len) {
            Some(buffer) => buffer,
            None => Self::allocate(len)?,
        };

        // SAFETY: The buffer has room for `len` bytes, and by its invariant nobody else uses them.
        let room = unsafe {
            slice::from_raw_parts_mut(buffer.ptr.as_ptr().cast::<MaybeUninit<u8>>(), len)
        };
        user::read_bytes(from, room)?;

        // INVARIANT: `read_bytes()` initialised all `len` bytes.
        buffer.len = len;
        Ok(buffer)
    }

    /// Allocates room for `room` bytes, none of them initialised.
    fn allocate(room: usize) -> Result<Self> {
        // SAFETY: The function has no requirement.
        let ptr = NonNull::new(unsafe { shim::fwctl_shim_kvmalloc(room) }).ok_or(ENOMEM)?;

        // INVARIANT: The memory is new, and from `kvmalloc()`; none of it is initialised.
        Ok(Self {
            ptr: ptr.cast(),
            len: 0,
            spare: None,
        })
    }

    /// Takes over `len` bytes at `ptr`.
    ///
    /// # Safety
    ///
    /// The type invariants must hold for `ptr` and `len`, without a [`Spare`].
    pub(crate) unsafe fn from_raw(ptr: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            ptr,
            len,
            spare: None,
        }
    }

    /// Returns the address of the first byte, with the right to write all of them.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }
}

impl Deref for Buffer<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant, these bytes are initialised and nobody else writes them.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant, these bytes are initialised and nobody else uses them.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl From<KVVec<u8>> for Buffer<'_> {
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
            spare: None,
        }
    }
}

impl Drop for Buffer<'_> {
    #[inline]
    fn drop(&mut self) {
        match self.spare {
            // Pairs with the exchange in `take()`: who takes it next sees our use of it done.
            Some(spare) => spare.is_taken.store(false, Release),
            // SAFETY: By the type invariant, the memory is ours to free with `kvfree()`.
            None => unsafe { bindings::kvfree(self.ptr.as_ptr().cast()) },
        }
    }
}

/// What `kmalloc()` returns for no bytes, see `include/linux/slab.h`.
const ZERO_SIZE_PTR: *mut u8 = core::ptr::without_provenance_mut(16);

/// Memory for a short request that an open file keeps, so that an RPC after the first allocates
/// nothing. One RPC at a time can use it.
///
/// It is `kmalloc()` memory, which a driver may map for DMA, and it is made at the first RPC, so
/// that opening a file costs nothing more. It stays charged to the memory cgroup of whoever made
/// that RPC until the file is closed.
///
/// # Invariants
///
/// - While `is_taken`, only who took it uses `memory`, and nobody else does at any time.
/// - `memory` is null, or `kvmalloc()` memory of [`Spare::SIZE`] bytes.
pub(crate) struct Spare {
    is_taken: Atomic<bool>,
    memory: UnsafeCell<*mut u8>,
}

// SAFETY: Any thread may free the memory.
unsafe impl Send for Spare {}
// SAFETY: By the type invariant, `memory` is only used by who took it.
unsafe impl Sync for Spare {}

impl Spare {
    /// The length of the longest request that fits, in bytes.
    const SIZE: usize = 256;

    /// Returns memory that is still to be made.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Nobody took it, and there is none.
        Self {
            is_taken: Atomic::new(false),
            memory: UnsafeCell::new(core::ptr::null_mut()),
        }
    }

    /// Takes the memory for up to `room` bytes, unless it is too small, taken already, or cannot be
    /// made.
    #[inline]
    fn take(&self, room: usize) -> Option<Buffer<'_>> {
        if room > Self::SIZE || self.is_taken.xchg(true, Acquire) {
            return None;
        }

        // SAFETY: It was not taken, and now it is, by us.
        let memory = unsafe { &mut *self.memory.get() };
        if memory.is_null() {
            // SAFETY: The function has no requirement.
            // INVARIANT: It is null, or has as many bytes.
            *memory = unsafe { shim::fwctl_shim_kvmalloc(Self::SIZE) }.cast();
        }
        let Some(ptr) = NonNull::new(*memory) else {
            self.is_taken.store(false, Release);
            return None;
        };

        // INVARIANT: We took the memory, and nothing counts as initialised.
        Some(Buffer {
            ptr,
            len: 0,
            spare: Some(self),
        })
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: By the type invariant `kvfree()` takes it; nobody has it, who would have a
        // reference to `self`.
        unsafe { bindings::kvfree((*self.memory.get()).cast()) };
    }
}
