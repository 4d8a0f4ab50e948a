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
    Cached(TryLockGuard<'a, Option<KVBytes>>, usize),
    /// A separate buffer.
    Separate(KVBytes),
}

impl<'a> Request<'a> {
    /// Copies `len` bytes from user space, into `cache` if they fit and it is not in use.
    ///
    /// The memory is charged to the memory cgroup of the current task. Fails with [`ENOMEM`], and
    /// with [`EFAULT`] if not all of it can be read. May sleep.
    #[inline]
    pub(crate) fn from_user(cache: &'a Cache, from: UserPtr, len: usize) -> Result<Self> {
        match cache.take(len) {
            Some(mut guard) => {
                let bytes = guard.as_mut().and_then(|bytes| bytes.get_mut(..len));

                copy::read_bytes(from, bytes.ok_or(EINVAL)?)?;
                Ok(Self::Cached(guard, len))
            }
            None => KVBytes::from_user(from, len).map(Self::Separate),
        }
    }
}

impl Deref for Request<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Cached(guard, len) => guard.as_ref().and_then(|bytes| bytes.get(..*len)),
            Self::Separate(bytes) => Some(&**bytes),
        }
        .unwrap_or_default()
    }
}

impl DerefMut for Request<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Cached(guard, len) => guard.as_mut().and_then(|bytes| bytes.get_mut(..*len)),
            Self::Separate(bytes) => Some(&mut **bytes),
        }
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

    /// Takes the buffer, with a capacity of at least `len` bytes.
    ///
    /// Returns [`None`] if `len` is too large, if the buffer is in use, or if it cannot be
    /// allocated.
    #[inline]
    fn take(&self, len: usize) -> Option<TryLockGuard<'_, Option<KVBytes>>> {
        // KASAN and KMSAN find a read beyond the request only at the end of an allocation.
        if cfg!(any(CONFIG_KASAN, CONFIG_KMSAN)) || len > Self::LONG {
            return None;
        }

        let mut bytes = self.0.try_lock()?;
        if bytes.as_ref().is_none_or(|bytes| bytes.len() < len) {
            *bytes = Self::allocate(len);
        }
        bytes.is_some().then_some(bytes)
    }

    /// Allocates a buffer with a capacity of at least `len` bytes.
    #[cold]
    fn allocate(len: usize) -> Option<KVBytes> {
        let capacity = if len <= Self::SHORT {
            Self::SHORT
        } else {
            Self::LONG
        };

        KVBytes::zeroed(capacity).ok()
    }
}
