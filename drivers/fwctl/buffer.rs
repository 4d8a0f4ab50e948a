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
    sizes::SZ_4K,
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
            None => Self::new(len, false)?,
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

    /// Copies `bytes` to new memory, charged to the memory cgroup of the current task.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut buffer = Self::new(bytes.len(), false)?;

        // SAFETY: The memory is new, and has room for them.
        unsafe {
            buffer
                .ptr
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len())
        };

        // INVARIANT: These bytes were just written.
        buffer.len = bytes.len();
        Ok(buffer)
    }

    /// Returns `len` zeros in new memory, charged to the memory cgroup of the current task.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let mut buffer = Self::new(len, true)?;

        // INVARIANT: The memory is zeroed.
        buffer.len = len;
        Ok(buffer)
    }

    /// Allocates room for `room` bytes, zero or undefined. None of them counts as initialised.
    fn new(room: usize, is_zeroed: bool) -> Result<Self> {
        // SAFETY: The functions have no requirement.
        let ptr = unsafe {
            if is_zeroed {
                shim::fwctl_shim_kvzalloc(room)
            } else {
                shim::fwctl_shim_kvmalloc(room)
            }
        };

        // INVARIANT: The memory is new, and from `kvmalloc()`.
        Ok(Self {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?.cast(),
            len: 0,
            spare: None,
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

/// Memory for a request that an open file keeps, so that an RPC after the first allocates nothing.
/// One RPC at a time can use it.
///
/// It is `kmalloc()` memory, which a driver may map for DMA, and it is made at the first RPC, so
/// that opening a file costs nothing more; a longer request has it made anew. It stays charged to
/// the memory cgroup of whoever made that RPC until the file is closed.
///
/// # Invariants
///
/// - While `is_taken`, only who took it uses `ptr` and `size`, and nobody else does at any time.
/// - `ptr` is null and `size` 0, or `ptr` is `kvmalloc()` memory of `size` bytes.
pub(crate) struct Spare {
    ptr: UnsafeCell<*mut u8>,
    size: UnsafeCell<u32>,
    is_taken: Atomic<bool>,
}

// SAFETY: Any thread may free the memory.
unsafe impl Send for Spare {}
// SAFETY: By the type invariant, the cells are only used by who took it.
unsafe impl Sync for Spare {}

impl Spare {
    /// How much is made for a request that is not longer, in bytes: what most firmwares are sent.
    const SHORT: usize = 256;

    /// How much is made for all others that can have it, in bytes.
    const LONG: usize = SZ_4K;

    /// Returns memory that is still to be made.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Nobody took it, and there is none.
        Self {
            ptr: UnsafeCell::new(core::ptr::null_mut()),
            size: UnsafeCell::new(0),
            is_taken: Atomic::new(false),
        }
    }

    /// Takes the memory for up to `room` bytes, unless these are too many, or it is taken already,
    /// or cannot be made.
    #[inline]
    fn take(&self, room: usize) -> Option<Buffer<'_>> {
        if room > Self::LONG || self.is_taken.xchg(true, Acquire) {
            return None;
        }

        // SAFETY: It was not taken, and now it is, by us.
        let (ptr, size) = unsafe { (&mut *self.ptr.get(), &mut *self.size.get()) };
        if room > *size as usize {
            Self::make(ptr, size, room);
        }
        match NonNull::new(*ptr) {
            // INVARIANT: We took the memory, and nothing counts as initialised.
            Some(ptr) => Some(Buffer {
                ptr,
                len: 0,
                spare: Some(self),
            }),
            None => {
                self.is_taken.store(false, Release);
                None
            }
        }
    }

    /// Replaces the memory by some for `room` bytes, or by none if there is not so much.
    #[cold]
    fn make(ptr: &mut *mut u8, size: &mut u32, room: usize) {
        let new = if room <= Self::SHORT {
            Self::SHORT
        } else {
            Self::LONG
        };

        // INVARIANT: It is null, with a size of 0, or has as many bytes.
        // CAST: It is one of the two constants.
        // SAFETY: By the type invariant, `kvfree()` takes what was there; the caller took the spare.
        unsafe {
            bindings::kvfree(ptr.cast());
            *ptr = shim::fwctl_shim_kvmalloc(new).cast();
        }
        *size = if ptr.is_null() { 0 } else { new as u32 };
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let ptr = *self.ptr.get_mut();

        if !ptr.is_null() {
            // SAFETY: By the type invariant `kvfree()` takes it; nobody has it, who would have a
            // reference to `self`.
            unsafe { bindings::kvfree(ptr.cast()) };
        }
    }
}
