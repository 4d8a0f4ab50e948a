// SPDX-License-Identifier: GPL-2.0-only

//! What a driver sees of the ioctls: [`Rpc`] and its [`Response`], and [`Info`].

use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};

use kernel::{
    alloc::{
        flags::GFP_KERNEL_ACCOUNT,
        kvbytes::KVBytes, //
    },
    prelude::*,
    sizes::SZ_2M, //
};

use crate::caller_memory::CallerMemory;

/// The longest request, and the largest reply buffer, that user space may ask for, in bytes.
pub const MAX_RPC_LEN: usize = SZ_2M;

/// One RPC: the request, in memory that can also hold the reply.
///
/// A driver turns it into a [`Response`] in one of two ways: by [`Rpc::in_place`] if the reply is
/// no longer than the request, or by [`Rpc::reply`].
pub struct Rpc<'a> {
    exchange: &'a mut Exchange,
}

impl<'a> Rpc<'a> {
    /// Returns the request, 0 to [`MAX_RPC_LEN`] bytes.
    ///
    /// Its content comes from user space, so every length and index in it must be checked. The
    /// memory may be from `vmalloc()`, so it must not be mapped for DMA.
    #[inline]
    pub fn request(&self) -> &[u8] {
        // SAFETY: By the invariant of `Exchange`, the request is valid while it is borrowed. It is
        // only written through `&mut self`.
        unsafe { self.exchange.request.as_ref() }
    }

    /// Returns the request, to change it or to overwrite it with the reply.
    #[inline]
    pub fn request_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the invariant of `Exchange`, the request is valid while it is borrowed, and
        // only used through this `Rpc`, which is borrowed mutably.
        unsafe { self.exchange.request.as_mut() }
    }

    /// Returns the size of the caller's reply buffer, in bytes, at most [`MAX_RPC_LEN`].
    ///
    /// A longer reply is not an error: it is cut, and the caller is told its true length.
    #[inline]
    pub fn out_len(&self) -> usize {
        self.exchange.out_len
    }

    /// Replies with the first `len` bytes of the memory of the request.
    ///
    /// Bytes that the driver did not overwrite through [`Rpc::request_mut`] are those of the
    /// request. Fails with [`EINVAL`] if the request has fewer than `len` bytes.
    #[inline]
    pub fn in_place(self, len: usize) -> Result<Response<'a>> {
        if len > self.exchange.request.len() {
            return Err(EINVAL);
        }

        Ok(self.answer(Answer::InPlace(len)))
    }

    /// Replies with `bytes`.
    ///
    /// There may be none, or more than [`Rpc::out_len`]. The RPC fails with [`EOVERFLOW`] if there
    /// are 4 GiB or more.
    #[inline]
    pub fn reply(self, bytes: impl Into<Reply>) -> Response<'a> {
        self.answer(Answer::New(bytes.into().0))
    }

    /// Returns the content of the buffers that [`Operations::name_buffers`] named.
    ///
    /// [`Operations::name_buffers`]: crate::Operations::name_buffers
    #[inline]
    pub fn caller_memory(&mut self) -> &mut CallerMemory {
        // SAFETY: By the invariant of `Exchange`, the content is valid while it is borrowed, and
        // only used through this `Rpc`, which is borrowed mutably.
        unsafe { self.exchange.memory.as_mut() }
    }

    #[inline]
    fn answer(self, answer: Answer) -> Response<'a> {
        // No answer has been stored yet, so there is nothing to drop: answering consumes the `Rpc`.
        core::mem::forget(core::mem::replace(&mut self.exchange.answer, answer));
        Response(PhantomData)
    }
}

/// Proof that an RPC was answered.
///
/// All bytes of the reply were written, by the driver or by the caller in the request.
pub struct Response<'a>(PhantomData<Rpc<'a>>);

/// The request and the answer of one RPC. A Rust driver gets a pointer to it, which fits a
/// register.
///
/// # Invariants
///
/// While this is borrowed by an [`Rpc`], `request` and `memory` are valid for reads and writes, and
/// only used through that `Rpc`.
pub(crate) struct Exchange {
    request: NonNull<[u8]>,
    out_len: usize,
    answer: Answer,
    memory: NonNull<CallerMemory>,
}

// SAFETY: `request` and `memory` stand for a `&mut [u8]` and a `&mut CallerMemory`, which are
// `Send`. The other fields are `Send`.
unsafe impl Send for Exchange {}
// SAFETY: `request` and `memory` stand for a `&mut [u8]` and a `&mut CallerMemory`, which are
// `Sync`. The other fields are `Sync`.
unsafe impl Sync for Exchange {}

impl Exchange {
    /// Makes `driver` answer the request, which named the buffers in `memory`; the caller's reply
    /// buffer has `out_len` bytes.
    #[inline]
    pub(crate) fn run(
        request: &mut [u8],
        memory: &mut CallerMemory,
        out_len: usize,
        driver: impl for<'a> FnOnce(Rpc<'a>) -> Result<Response<'a>>,
    ) -> Result<Answer> {
        // INVARIANT: `exchange` is dropped before the mutable borrows of both end.
        let mut exchange = Self {
            request: NonNull::from(request),
            out_len,
            answer: Answer::InPlace(0),
            memory: NonNull::from(memory),
        };
        let answered = driver(Rpc {
            exchange: &mut exchange,
        })
        .map(|Response(_)| ());

        answered.map(|()| exchange.answer)
    }
}

/// Where the reply is.
pub(crate) enum Answer {
    /// The first bytes of the request's memory, at most as many as the request has.
    InPlace(usize),
    /// A separate buffer.
    New(KVBytes),
}

/// A separately allocated reply, charged to the caller's memory cgroup.
pub struct Reply(KVBytes);

impl Reply {
    /// Returns `len` zero bytes, for the driver to fill.
    ///
    /// May sleep. Fails with [`ENOMEM`].
    #[inline]
    pub fn zeroed(len: usize) -> Result<Self> {
        KVBytes::zeroed(len).map(Self)
    }

    /// Returns a copy of `bytes`.
    ///
    /// May sleep. Fails with [`ENOMEM`].
    #[inline]
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        KVBytes::copy_of(bytes).map(Self)
    }

    /// Drops the bytes after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Returns the bytes.
    pub(crate) fn into_bytes(self) -> KVBytes {
        self.0
    }
}

impl Deref for Reply {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Reply {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl From<KVVec<u8>> for Reply {
    fn from(bytes: KVVec<u8>) -> Self {
        Self(KVBytes::from(bytes))
    }
}

/// The device data of `FWCTL_INFO`: what a driver tells user space about the device.
///
/// When the driver has returned, the core copies them to the caller's buffer and fills the rest of
/// the buffer with zeros.
pub struct Info {
    /// The size of the caller's buffer, in bytes.
    size: usize,
    /// The length of the device data, in bytes. Bytes that do not fit the buffer are not kept.
    len: usize,
    data: Data,
}

/// Where the device data are.
enum Data {
    /// Here. It takes what the drivers have.
    Short([u8; Info::SHORT]),
    /// Moved, as there were too many.
    Long(KVVec<u8>),
    /// In memory of a C driver.
    Foreign(KVBytes),
}

impl Info {
    const SHORT: usize = 64;

    /// Returns empty device data for a caller's buffer of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            len: 0,
            data: Data::Short([0; Self::SHORT]),
        }
    }

    /// Appends `bytes` to the device data.
    ///
    /// Always write all device data: bytes that do not fit the caller's buffer still count for the
    /// length that the caller is told. Fails with [`EOVERFLOW`] if the data would have 4 GiB
    /// or more, and with [`ENOMEM`]. May sleep.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        let end = self
            .len
            .checked_add(bytes.len())
            .filter(|&end| u32::try_from(end).is_ok())
            .ok_or(EOVERFLOW)?;

        let fitting = &bytes[..bytes.len().min(self.size.saturating_sub(self.len))];
        if !fitting.is_empty() {
            self.keep(fitting)?;
        }
        self.len = end;
        Ok(())
    }

    /// Stores `bytes`, which fit the caller's buffer, after those stored already.
    #[inline]
    fn keep(&mut self, bytes: &[u8]) -> Result {
        if let Data::Short(short) = &mut self.data {
            if let Some(to) = short.get_mut(self.len..self.len + bytes.len()) {
                to.copy_from_slice(bytes);
                return Ok(());
            }
        }
        self.keep_long(bytes)
    }

    #[cold]
    fn keep_long(&mut self, bytes: &[u8]) -> Result {
        let mut long = match core::mem::replace(&mut self.data, Data::Long(KVVec::new())) {
            Data::Long(long) => long,
            Data::Short(short) => copy_of(&short[..self.len])?,
            Data::Foreign(buffer) => copy_of(&buffer)?,
        };

        let kept = long.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT);
        self.data = Data::Long(long);
        Ok(kept?)
    }

    /// Makes `buffer` the device data.
    ///
    /// Fails with [`EOVERFLOW`] if it has 4 GiB or more.
    pub(crate) fn replace(&mut self, buffer: KVBytes) -> Result {
        u32::try_from(buffer.len()).map_err(|_| EOVERFLOW)?;

        self.len = buffer.len();
        self.data = Data::Foreign(buffer);
        Ok(())
    }

    /// Returns the length of the device data, in bytes. It is below 4 GiB.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes of the device data that fit the caller's buffer.
    pub(crate) fn kept(&self) -> &[u8] {
        let kept = self.len.min(self.size);

        match &self.data {
            Data::Short(short) => short.get(..kept),
            Data::Long(long) => long.get(..kept),
            Data::Foreign(buffer) => buffer.get(..kept),
        }
        .unwrap_or(&[])
    }
}

fn copy_of(bytes: &[u8]) -> Result<KVVec<u8>> {
    let mut copy = KVVec::new();

    copy.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
    Ok(copy)
}

#[kunit_tests(rust_fwctl_rpc)]
mod rpc_tests {
    use super::*;

    /// Returns the reply of `driver` to `request`.
    fn reply_to(
        request: &[u8],
        driver: impl for<'a> FnOnce(Rpc<'a>) -> Result<Response<'a>>,
    ) -> Result<KVVec<u8>> {
        let mut memory = KVVec::new();
        memory.extend_from_slice(request, GFP_KERNEL)?;

        let mut reply = KVVec::new();
        match Exchange::run(&mut memory, &mut CallerMemory::empty(), MAX_RPC_LEN, driver)? {
            Answer::InPlace(len) => reply.extend_from_slice(&memory[..len], GFP_KERNEL)?,
            Answer::New(bytes) => reply.extend_from_slice(&bytes, GFP_KERNEL)?,
        }
        Ok(reply)
    }

    #[test]
    fn in_place_keeps_what_the_driver_wrote() -> Result {
        let reply = reply_to(b"abcd", |mut rpc| {
            rpc.request_mut()[0] = b'x';
            rpc.in_place(3)
        })?;

        assert_eq!(&*reply, b"xbc");
        Ok(())
    }

    #[test]
    fn in_place_is_no_longer_than_the_request() -> Result {
        assert_eq!(&*reply_to(b"abcd", |rpc| rpc.in_place(4))?, b"abcd");
        assert_eq!(&*reply_to(b"abcd", |rpc| rpc.in_place(0))?, b"");
        assert_eq!(reply_to(b"abcd", |rpc| rpc.in_place(5)).err(), Some(EINVAL));
        assert_eq!(reply_to(b"", |rpc| rpc.in_place(1)).err(), Some(EINVAL));
        assert_eq!(
            reply_to(b"abcd", |rpc| rpc.in_place(usize::MAX)).err(),
            Some(EINVAL)
        );
        Ok(())
    }

    #[test]
    fn a_new_reply_may_be_longer_or_empty() -> Result {
        let long = reply_to(b"ab", |rpc| Ok(rpc.reply(Reply::zeroed(4096)?)))?;
        assert_eq!(long.len(), 4096);
        assert_eq!(&*reply_to(b"ab", |rpc| Ok(rpc.reply(KVVec::new())))?, b"");
        assert_eq!(
            &*reply_to(b"ab", |rpc| Ok(rpc.reply(Reply::zeroed(0)?)))?,
            b""
        );
        Ok(())
    }

    #[test]
    fn an_rpc_that_failed_has_no_reply() {
        assert_eq!(reply_to(b"abcd", |_rpc| Err(EBUSY)).err(), Some(EBUSY));
    }

    #[test]
    fn zeroed_replies_are_zero() -> Result {
        for len in [0, 1, 4096, MAX_RPC_LEN] {
            let bytes = Reply::zeroed(len)?;
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
        Ok(())
    }

    #[test]
    fn copied_replies_are_copies() -> Result {
        assert_eq!(&*Reply::copy_of(b"")?, b"");
        assert_eq!(&*Reply::copy_of(b"abcd")?, b"abcd");
        Ok(())
    }

    #[test]
    fn replies_are_only_cut() -> Result {
        let mut reply = Reply::copy_of(b"abcd")?;

        reply.truncate(5);
        assert_eq!(&*reply, b"abcd");
        reply.truncate(2);
        assert_eq!(&*reply, b"ab");
        Ok(())
    }
}

#[kunit_tests(rust_fwctl_info)]
mod info_tests {
    use super::*;

    /// Returns the device data that fit a buffer of `size` bytes, and their length.
    fn written(size: usize, parts: &[&[u8]]) -> Result<(KVVec<u8>, usize)> {
        let mut info = Info::new(size);

        for part in parts {
            info.write(part)?;
        }
        Ok((copy_of(info.kept())?, info.len))
    }

    #[test]
    fn short_data_are_kept() -> Result {
        let (bytes, len) = written(16, &[b"abcd", b"efgh"])?;

        assert_eq!(&*bytes, b"abcdefgh");
        assert_eq!(len, 8);
        Ok(())
    }

    #[test]
    fn the_length_counts_what_does_not_fit() -> Result {
        let (bytes, len) = written(6, &[b"abcd", b"efgh", b"ijkl"])?;

        assert_eq!(&*bytes, b"abcdef");
        assert_eq!(len, 12);
        let (bytes, len) = written(0, &[b"abcd"])?;
        assert!(bytes.is_empty());
        assert_eq!(len, 4);
        Ok(())
    }

    #[test]
    fn long_data_move_to_memory() -> Result {
        for first in [1, Info::SHORT - 1, Info::SHORT, Info::SHORT + 1] {
            let mut info = Info::new(4096);

            for value in 0..first {
                info.write(&[value as u8])?;
            }
            info.write(&[0xff; 200])?;
            assert_eq!(info.kept().len(), first + 200);
            for (value, byte) in info.kept()[..first].iter().enumerate() {
                assert_eq!(*byte, value as u8);
            }
            assert!(info.kept()[first..].iter().all(|&byte| byte == 0xff));
        }
        Ok(())
    }

    #[test]
    fn memory_of_a_driver_is_cut_to_the_size() -> Result {
        let mut info = Info::new(2);

        info.replace(KVBytes::copy_of(b"abcd")?)?;
        assert_eq!(info.kept(), b"ab");
        assert_eq!(info.len, 4);
        Ok(())
    }
}
