// SPDX-License-Identifier: GPL-2.0-only

//! Memory for requests.

use core::ops::{
    Deref,
    DerefMut, //
};

use kernel::{
    alloc::kvbytes::KVBytes,
    prelude::*,
    sizes::SZ_4K,
    sync::{
        TryLock,
        TryLockGuard, //
    },
    uaccess::copy, //
};

/// The bytes of a request.
pub(crate) enum Request<'a> {
    /// The first bytes of a [`Cache`].
    Cached(Cached<'a>),
    /// A separate buffer.
    Separate(KVBytes),
}

impl<'a> Request<'a> {
    /// Copies `len` bytes from user space, into `cache` if they fit and it is not in use.
    ///
    /// The memory is charged to the memory cgroup of the current task. Fails with [`ENOMEM`], and
    /// with [`EFAULT`] if not all of it can be read. May sleep.
    pub(crate) fn from_user(cache: &'a Cache, from: UserPtr, len: usize) -> Result<Self> {
        match cache.take(len).or_else(|| cache.enlarge(len)) {
            Some(mut cached) => {
                copy::read_bytes(from, cached.bytes_mut())?;
                Ok(Self::Cached(cached))
            }
            None => KVBytes::from_user(from, len).map(Self::Separate),
        }
    }
}

impl Deref for Request<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Cached(cached) => cached.bytes(),
            Self::Separate(bytes) => bytes,
        }
    }
}

impl DerefMut for Request<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Cached(cached) => cached.bytes_mut(),
            Self::Separate(bytes) => bytes,
        }
    }
}

/// The first bytes of a [`Cache`], which nobody else uses meanwhile.
pub(crate) struct Cached<'a> {
    guard: TryLockGuard<'a, Option<KVBytes>>,
    len: usize,
}

impl Cached<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        let bytes = self.guard.as_ref();

        bytes
            .and_then(|bytes| bytes.get(..self.len))
            .unwrap_or_default()
    }

    /// Returns the bytes, which have the content of an earlier request at first.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.guard.as_mut();

        bytes
            .and_then(|bytes| bytes.get_mut(..self.len))
            .unwrap_or_default()
    }
}

/// A request buffer cached per open file, so that only the first RPC allocates.
///
/// One RPC at a time uses it; others allocate their own. It stays charged to the memory cgroup of
/// the task that sent the first RPC until the file is closed.
pub(crate) struct Cache(TryLock<Option<KVBytes>>);

impl Cache {
    /// The capacity that is allocated for requests up to that length, in bytes. Most firmware
    /// commands fit.
    const SHORT: usize = 256;

    /// The capacity that is allocated for longer requests, in bytes. A request longer than this is
    /// not cached.
    const LONG: usize = SZ_4K;

    /// Returns an empty cache.
    pub(crate) const fn new() -> Self {
        Self(TryLock::new(None))
    }

    /// Takes the first `len` bytes of the buffer.
    ///
    /// Returns [`None`] if it has fewer, or if it is in use.
    #[inline]
    pub(crate) fn take(&self, len: usize) -> Option<Cached<'_>> {
        let guard = self.0.try_lock()?;

        match &*guard {
            Some(bytes) if bytes.len() >= len => Some(Cached { guard, len }),
            _ => None,
        }
    }

    /// Replaces the buffer by one with at least `len` bytes, and takes these.
    ///
    /// Returns [`None`] if `len` is too large, if the buffer is in use, or if there is no memory.
    #[cold]
    fn enlarge(&self, len: usize) -> Option<Cached<'_>> {
        let capacity = match len {
            0..=Self::SHORT => Self::SHORT,
            _ => Self::LONG,
        };
        // KASAN and KMSAN find a read beyond the request only at the end of an allocation.
        if cfg!(any(CONFIG_KASAN, CONFIG_KMSAN)) || len > capacity {
            return None;
        }

        let mut guard = self.0.try_lock()?;
        *guard = Some(KVBytes::zeroed(capacity).ok()?);
        Some(Cached { guard, len })
    }
}
