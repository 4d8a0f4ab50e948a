// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_RPC`: a request to the firmware, and its reply.

use core::ops::{
    Deref,
    DerefMut, //
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
    uctx::Session,
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
    request: Buffer<'a>,
    out_len: usize,
}

impl<'a> Rpc<'a> {
    /// Returns the request as user space sent it, at most [`MAX_RPC_LEN`] bytes, or none at all.
    ///
    /// It comes from user space: none of it can be relied upon. It may be in memory from
    /// `vmalloc()`: what a device is to fetch by DMA has to be copied.
    #[inline]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Returns the request to be changed, or to be overwritten with the reply.
    #[inline]
    pub fn request_mut(&mut self) -> &mut [u8] {
        &mut self.request
    }

    /// Returns how much room user space has for the reply, in bytes, at most [`MAX_RPC_LEN`].
    ///
    /// A longer reply is no error: it is cut, and user space learns its true length.
    #[inline]
    pub fn out_len(&self) -> usize {
        self.out_len
    }

    /// Answers with the first `len` bytes of the memory of the request.
    ///
    /// User space sees what the driver wrote there by [`Rpc::request_mut`], and where it wrote
    /// nothing, its own request. Fails with [`EINVAL`] if the request had fewer bytes.
    #[inline]
    pub fn in_place(mut self, len: usize) -> Result<Response<'a>> {
        if len > self.request.len() {
            return Err(EINVAL);
        }

        self.request.truncate(len);
        Ok(Response(self.request))
    }

    /// Answers with `bytes`, of which there may be none, or more than user space has room for: then
    /// it sees the front and the true length.
    ///
    /// From 4 GiB on the RPC fails with [`EOVERFLOW`].
    #[inline]
    pub fn reply(self, bytes: impl Into<Reply>) -> Response<'a> {
        Response::from(bytes.into().0)
    }

    /// Returns the address of the request, for a C driver.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.request.as_mut_ptr()
    }
}

/// The reply to an RPC.
///
/// All of it was written: by the driver, or by user space itself in its request.
pub struct Response<'a>(Buffer<'a>);

impl<'a> From<Buffer<'a>> for Response<'a> {
    #[inline]
    fn from(buffer: Buffer<'a>) -> Self {
        Self(buffer)
    }
}

/// A reply that has memory of its own, charged to the memory cgroup of who asked for it.
pub struct Reply(Buffer<'static>);

impl Reply {
    /// Returns `len` bytes, all zero, to be filled by the driver.
    ///
    /// May sleep. Fails with [`ENOMEM`].
    pub fn zeroed(len: usize) -> Result<Self> {
        Buffer::zeroed(len).map(Self)
    }

    /// Returns a copy of `bytes`.
    ///
    /// May sleep. Fails with [`ENOMEM`].
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
pub(crate) fn execute(session: &Session<'_>, arg: UserPtr, command: &mut Command) -> Result {
    let rpc = trace::rpc_start(
        session.device(),
        command.scope,
        command.in_len,
        command.out_len,
    );

    let result = transfer(session, command).and_then(|reply_len| {
        command.out_len = reply_len;
        user::write(arg, command)?;
        Ok(reply_len)
    });
    rpc.done(session.device(), &result);
    result.map(|_| ())
}

/// Carries out an RPC; returns the length of the reply.
#[inline]
fn transfer(session: &Session<'_>, command: &Command) -> Result<u32> {
    let in_len = command.in_len as usize;
    let out_len = command.out_len as usize;

    if in_len > MAX_RPC_LEN || out_len > MAX_RPC_LEN {
        return Err(EMSGSIZE);
    }
    let scope = RpcScope::try_from(command.scope)?;
    scope::authorize(scope, session.device())?;

    let request = session.read_request(UserPtr::from_addr(command.request as usize), in_len)?;
    let response = session.fw_rpc(scope, Rpc { request, out_len })?;

    // Checked before anything is written, so that a length that cannot be told leaves no reply
    // behind.
    let reply_len = u32::try_from(response.0.len()).map_err(|_| EOVERFLOW)?;
    let visible = &response.0[..response.0.len().min(out_len)];
    user::write_bytes(UserPtr::from_addr(command.reply as usize), visible)?;
    Ok(reply_len)
}

#[kunit_tests(rust_fwctl_rpc)]
mod tests {
    use super::*;

    fn rpc(request: &[u8]) -> Result<Rpc<'static>> {
        let mut bytes = KVVec::new();
        bytes.extend_from_slice(request, GFP_KERNEL)?;

        Ok(Rpc {
            request: Buffer::from(bytes),
            out_len: MAX_RPC_LEN,
        })
    }

    #[test]
    fn in_place_keeps_what_the_driver_wrote() -> Result {
        let mut rpc = rpc(b"abcd")?;
        rpc.request_mut()[0] = b'x';

        let response = rpc.in_place(3)?;
        assert_eq!(&*response.0, b"xbc");
        Ok(())
    }

    #[test]
    fn in_place_is_no_longer_than_the_request() -> Result {
        assert!(rpc(b"abcd")?.in_place(4).is_ok());
        assert!(rpc(b"abcd")?.in_place(0).is_ok());
        assert_eq!(rpc(b"abcd")?.in_place(5).err(), Some(EINVAL));
        assert_eq!(rpc(b"")?.in_place(1).err(), Some(EINVAL));
        assert_eq!(rpc(b"abcd")?.in_place(usize::MAX).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn a_new_reply_may_be_longer_or_empty() -> Result {
        assert_eq!(rpc(b"ab")?.reply(Reply::zeroed(4096)?).0.len(), 4096);
        assert_eq!(rpc(b"ab")?.reply(KVVec::new()).0.len(), 0);
        assert_eq!(rpc(b"ab")?.reply(Reply::zeroed(0)?).0.len(), 0);
        Ok(())
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
