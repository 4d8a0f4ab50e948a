// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_RPC`: a request to the firmware, and its reply.

use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};

use kernel::{
    prelude::*,
    sizes::SZ_2M, //
};

use crate::{
    buffer::Buffer,
    scope::{
        self,
        RpcScope, //
    },
    trace,
    uctx::Uctx,
    user, //
};

/// The longest request, and the most room for a reply, that user space may ask for, in bytes.
pub const MAX_RPC_LEN: usize = SZ_2M;

/// `struct fwctl_rpc` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct Command {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Number of the scope.
    scope: u32,
    /// Length of the request in bytes.
    in_len: u32,
    /// In: room for the reply in bytes. Out: length of the reply, which may be more.
    out_len: u32,
    /// Address of the request. The uapi calls it `in`.
    request: u64,
    /// Address of the room for the reply. The uapi calls it `out`.
    reply: u64,
}

const _: () = {
    use kernel::bindings::fwctl_rpc as uapi;

    kernel::static_assert!(size_of::<Command>() == size_of::<uapi>());
    kernel::static_assert!(
        core::mem::offset_of!(Command, reply) == core::mem::offset_of!(uapi, out)
    );
};

/// One RPC: the request, in memory that can take the reply.
///
/// A driver turns it into a [`Response`], in one of two ways: [`Rpc::in_place`], when the reply is
/// no longer than the request, or [`Rpc::reply`].
pub struct Rpc<'a> {
    exchange: &'a mut Exchange,
}

impl<'a> Rpc<'a> {
    /// Returns the request as user space sent it, at most [`MAX_RPC_LEN`] bytes, or none at all.
    ///
    /// It comes from user space: none of it can be relied upon. It may be in memory from
    /// `vmalloc()`: what a device is to fetch by DMA has to be copied.
    #[inline]
    pub fn request(&self) -> &[u8] {
        // SAFETY: By the invariant of `Exchange`; it is written by `request_mut()` only.
        unsafe { self.exchange.request.as_ref() }
    }

    /// Returns the request to be changed, or to be overwritten with the reply.
    #[inline]
    pub fn request_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the invariant of `Exchange`; what is returned borrows from us.
        unsafe { self.exchange.request.as_mut() }
    }

    /// Returns how much room user space has for the reply, in bytes, at most [`MAX_RPC_LEN`].
    ///
    /// A longer reply is no error: it is cut, and user space learns its true length.
    #[inline]
    pub fn out_len(&self) -> usize {
        self.exchange.out_len
    }

    /// Answers with the first `len` bytes of the memory of the request.
    ///
    /// User space sees what the driver wrote there by [`Rpc::request_mut`], and where it wrote
    /// nothing, its own request. Fails with [`EINVAL`] if the request had fewer bytes.
    #[inline]
    pub fn in_place(self, len: usize) -> Result<Response<'a>> {
        if len > self.exchange.request.len() {
            return Err(EINVAL);
        }

        Ok(self.answer(Answer::InPlace(len)))
    }

    /// Answers with `bytes`, of which there may be none, or more than user space has room for: then
    /// it sees the front and the true length.
    ///
    /// From 4 GiB on the RPC fails with [`EOVERFLOW`].
    #[inline]
    pub fn reply(self, bytes: impl Into<Reply>) -> Response<'a> {
        self.answer(Answer::New(bytes.into().0))
    }

    #[inline]
    fn answer(self, answer: Answer) -> Response<'a> {
        // There was none, so that nothing has to be dropped: who answers gives the `Rpc` away.
        core::mem::forget(core::mem::replace(&mut self.exchange.answer, answer));
        Response(PhantomData)
    }
}

/// The proof that an RPC was answered.
///
/// All of the reply was written: by the driver, or by user space itself in its request.
pub struct Response<'a>(PhantomData<Rpc<'a>>);

/// What the core and a driver in Rust hand to each other, in memory of the core, so that nothing but
/// a pointer to it has to pass.
///
/// # Invariants
///
/// `request` is valid for reads and writes for as long as this is borrowed by an [`Rpc`], and only
/// used through that.
pub(crate) struct Exchange {
    request: NonNull<[u8]>,
    out_len: usize,
    answer: Answer,
}

// SAFETY: It stands for a `&mut [u8]`, which is `Send`; all else is.
unsafe impl Send for Exchange {}
// SAFETY: Likewise.
unsafe impl Sync for Exchange {}

impl Exchange {
    /// Has `driver` answer the request, with `out_len` bytes of room for the reply.
    #[inline]
    pub(crate) fn run(
        request: &mut [u8],
        out_len: usize,
        driver: impl for<'a> FnOnce(Rpc<'a>) -> Result<Response<'a>>,
    ) -> Result<Answer> {
        // INVARIANT: This is gone before the borrow of the request ends.
        let mut exchange = Self {
            request: NonNull::from(request),
            out_len,
            answer: Answer::InPlace(0),
        };

        match driver(Rpc {
            exchange: &mut exchange,
        }) {
            Ok(Response(_)) => Ok(exchange.answer),
            Err(error) => Err(error),
        }
    }
}

/// Where the reply is.
pub(crate) enum Answer {
    /// So many bytes of the memory of the request, which are not more than that had.
    InPlace(usize),
    /// In memory of its own.
    New(Buffer),
}

/// A reply that has memory of its own, charged to the memory cgroup of who asked for it.
pub struct Reply(Buffer);

impl Reply {
    /// Returns `len` bytes, all zero, to be filled by the driver.
    ///
    /// May sleep. Fails with [`ENOMEM`].
    #[inline]
    pub fn zeroed(len: usize) -> Result<Self> {
        Buffer::zeroed(len).map(Self)
    }

    /// Returns a copy of `bytes`.
    ///
    /// May sleep. Fails with [`ENOMEM`].
    #[inline]
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        Buffer::copy_of(bytes).map(Self)
    }

    /// Drops what comes after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
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
        Self(Buffer::from(bytes))
    }
}

/// Executes `FWCTL_RPC` and writes the structure back to `arg`.
///
/// An [`EFAULT`] may come when the firmware has executed the request already.
#[inline]
pub(crate) fn execute(uctx: &Uctx, arg: UserPtr, command: &mut Command) -> Result {
    let rpc = trace::rpc_start(
        uctx.device(),
        command.scope,
        command.in_len,
        command.out_len,
    );

    let result = transfer(uctx, command).and_then(|reply_len| {
        command.out_len = reply_len;
        user::write(arg, command)?;
        Ok(reply_len)
    });
    rpc.done(uctx.device(), &result);
    result.map(|_| ())
}

/// Carries out an RPC; returns the length of the reply.
#[inline]
fn transfer(uctx: &Uctx, command: &Command) -> Result<u32> {
    let in_len = command.in_len as usize;
    let out_len = command.out_len as usize;

    if in_len > MAX_RPC_LEN || out_len > MAX_RPC_LEN {
        return Err(EMSGSIZE);
    }
    let scope = RpcScope::try_from(command.scope)?;
    scope::authorize(scope, uctx.device())?;

    let mut request = uctx.read_request(UserPtr::from_addr(command.request as usize), in_len)?;
    // The call ends here: user memory is only touched before and after it.
    let answer = uctx.enter()?.fw_rpc(scope, &mut request, out_len)?;
    let reply_len = write_reply(&request, &answer, command);
    drop(request);
    reply_len
}

/// Writes the reply to user space; returns its length.
#[inline]
fn write_reply(request: &[u8], answer: &Answer, command: &Command) -> Result<u32> {
    let out_len = command.out_len as usize;
    let reply = match answer {
        Answer::InPlace(len) => request.get(..*len).ok_or(EINVAL)?,
        Answer::New(bytes) => bytes,
    };

    // Checked before anything is written, so a length that cannot be reported leaves no reply
    // behind.
    let reply_len = u32::try_from(reply.len()).map_err(|_| EOVERFLOW)?;
    let visible = &reply[..reply.len().min(out_len)];
    user::write_bytes(UserPtr::from_addr(command.reply as usize), visible)?;
    Ok(reply_len)
}

#[kunit_tests(rust_fwctl_rpc)]
mod tests {
    use super::*;

    /// What user space gets when `driver` answers `request`.
    fn reply_to(
        request: &[u8],
        driver: impl for<'a> FnOnce(Rpc<'a>) -> Result<Response<'a>>,
    ) -> Result<KVVec<u8>> {
        let mut memory = KVVec::new();
        memory.extend_from_slice(request, GFP_KERNEL)?;

        let mut reply = KVVec::new();
        match Exchange::run(&mut memory, MAX_RPC_LEN, driver)? {
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
