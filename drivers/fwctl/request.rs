// SPDX-License-Identifier: GPL-2.0-only

//! Memory for requests.

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

/// The bytes of a request, in a [`Spare`] for as long as this lives, or in memory of their own from
/// `kvmalloc()`.
///
/// # Invariants
///
/// - Nobody else has access to the memory at `ptr`, of which the first `len` bytes are initialised;
///   `len` is at most [`isize::MAX`].
/// - `spare`, if there is one, was taken, and `ptr` is its memory. Else `ptr` is to be freed with
///   `kvfree()`, which does nothing for what `kmalloc()` returns for no bytes at all.
pub(crate) struct Request<'a> {
    ptr: NonNull<u8>,
    len: usize,
    spare: Option<&'a Spare>,
}

impl<'a> Request<'a> {
    /// Copies `len` bytes from user space, to `spare` if they fit and it is not in use.
    ///
    /// The memory is charged to the memory cgroup of the current task. Fails with [`ENOMEM`], and
    /// with [`EFAULT`] if not all of it can be read. May sleep.
    pub(crate) fn from_user(spare: &'a Spare, from: UserPtr, len: usize) -> Result<Self> {
        let mut request = match spare.take(len) {
            Some(request) => request,
            None => Self::new(len)?,
        };

        // SAFETY: The memory has room for `len` bytes, and by the invariant nobody else uses them.
        let room = unsafe {
            slice::from_raw_parts_mut(request.ptr.as_ptr().cast::<MaybeUninit<u8>>(), len)
        };
        user::read_bytes(from, room)?;

        // INVARIANT: `read_bytes()` initialised all `len` bytes.
        request.len = len;
        Ok(request)
    }

    /// Allocates room for `room` bytes. None of them counts as initialised.
    fn new(room: usize) -> Result<Self> {
        // SAFETY: The function has no requirement.
        let ptr = unsafe { shim::fwctl_shim_kvmalloc(room) };

        // INVARIANT: The memory is new, and from `kvmalloc()`.
        Ok(Self {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?.cast(),
            len: 0,
            spare: None,
        })
    }
}

impl Deref for Request<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant, these bytes are initialised and nobody else writes them.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for Request<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant, these bytes are initialised and nobody else uses them.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Request<'_> {
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
    fn take(&self, room: usize) -> Option<Request<'_>> {
        // A sanitizer sees a read behind the request only if that is the end of the allocation.
        if cfg!(any(CONFIG_KASAN, CONFIG_KMSAN)) {
            return None;
        }
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
            Some(ptr) => Some(Request {
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
