// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_RPC`: sends a request to the firmware and returns its reply.

use kernel::{
    prelude::*,
    uaccess::copy, //
};

use crate::{
    exchange::{
        Answer,
        MAX_RPC_LEN, //
    },
    scope::{
        self,
        RpcScope, //
    },
    trace,
    uctx::Uctx, //
};

/// `struct fwctl_rpc` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct RpcArgs {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Number of the scope.
    scope: u32,
    /// Length of the request, in bytes.
    in_len: u32,
    /// In: size of the reply buffer, in bytes. Out: length of the reply, which may be larger.
    out_len: u32,
    /// Address of the request. The uapi calls it `in`.
    request: u64,
    /// Address of the reply buffer. The uapi calls it `out`.
    reply: u64,
}

const _: () = {
    use kernel::bindings::fwctl_rpc as uapi;

    kernel::static_assert!(size_of::<RpcArgs>() == size_of::<uapi>());
    kernel::static_assert!(
        core::mem::offset_of!(RpcArgs, reply) == core::mem::offset_of!(uapi, out)
    );
};

/// Executes `FWCTL_RPC` and writes the structure back to `arg`.
///
/// [`EFAULT`] does not tell whether the firmware has executed the request.
#[inline]
pub(crate) fn execute(uctx: &Uctx, arg: UserPtr, args: &mut RpcArgs) -> Result {
    let rpc = trace::rpc_start(uctx.device(), args.scope, args.in_len, args.out_len);

    let result = transfer(uctx, args).and_then(|reply_len| {
        args.out_len = reply_len;
        copy::write(arg, args)?;
        Ok(reply_len)
    });
    rpc.done(uctx.device(), &result);
    result.map(|_| ())
}

/// Carries out an RPC; returns the length of the reply.
#[inline]
fn transfer(uctx: &Uctx, args: &RpcArgs) -> Result<u32> {
    let in_len = args.in_len as usize;
    let out_len = args.out_len as usize;

    if in_len > MAX_RPC_LEN || out_len > MAX_RPC_LEN {
        return Err(EMSGSIZE);
    }
    let scope = RpcScope::try_from(args.scope)?;
    scope::authorize(scope, uctx.device())?;

    let mut request = uctx.read_request(UserPtr::from_addr(args.request as usize), in_len)?;
    let mut memory = uctx.read_buffers(&request)?;
    // The call into the driver ends here: user memory is only touched before and after it.
    let answer = uctx
        .enter()?
        .fw_rpc(scope, &mut request, &mut memory, out_len)?;
    memory.write()?;
    write_reply(&request, &answer, args)
}

/// Writes the reply to user space; returns its length.
#[inline]
fn write_reply(request: &[u8], answer: &Answer, args: &RpcArgs) -> Result<u32> {
    let out_len = args.out_len as usize;
    let reply = match answer {
        Answer::InPlace(len) => request.get(..*len).ok_or(EINVAL)?,
        Answer::New(bytes) => bytes,
    };

    // Check the length first: if it cannot be reported, user space gets no reply either.
    let reply_len = u32::try_from(reply.len()).map_err(|_| EOVERFLOW)?;
    let visible = &reply[..reply.len().min(out_len)];
    copy::write_bytes(UserPtr::from_addr(args.reply as usize), visible)?;
    Ok(reply_len)
}
