// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_RPC`: sends a request to the firmware and returns its reply.

use kernel::{
    io_uring::Cmd,
    prelude::*,
    uaccess::copy, //
};

use crate::{
    async_rpc::{
        self,
        Caller,
        Progress, //
    },
    caller_memory::CallerMemory,
    exchange::{
        Answer,
        MAX_RPC_LEN, //
    },
    ops::Passing,
    scope::{
        self,
        RpcScope, //
    },
    trace::{
        self,
        RpcTrace, //
    },
    uctx::Uctx, //
};

/// `struct fwctl_rpc` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct RpcArgs {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Number of the scope.
    scope: u32,
    /// Length of the request, in bytes.
    in_len: u32,
    /// In: size of the reply buffer, in bytes. Out: length of the reply, which may be larger.
    pub(crate) out_len: u32,
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
    let mut trace = trace::rpc_start(uctx.device(), args.scope, args.in_len, args.out_len);

    match uctx.device().driver.passing {
        Passing::Directly => {
            let result = transfer(uctx, args, &mut trace);

            end(uctx, arg, args, trace, result)
        }
        Passing::WithBuffers => execute_with_buffers(uctx, arg, args, trace),
        Passing::Asynchronously => wait_for_answer(uctx, arg, args, trace),
    }
}

/// Executes `FWCTL_RPC` on a driver whose requests can name buffers of the caller.
#[inline(never)]
fn execute_with_buffers(
    uctx: &Uctx,
    arg: UserPtr,
    args: &mut RpcArgs,
    mut trace: RpcTrace,
) -> Result {
    let result = transfer_with_buffers(uctx, args, &mut trace);

    end(uctx, arg, args, trace, result)
}

/// Writes the structure back if the RPC has succeeded, and reports its end.
#[inline]
fn end(
    uctx: &Uctx,
    arg: UserPtr,
    args: &mut RpcArgs,
    trace: RpcTrace,
    result: Result<u32>,
) -> Result {
    let result = result.and_then(|reply_len| {
        args.out_len = reply_len;
        copy::write(arg, args)?;
        Ok(reply_len)
    });

    trace.done(uctx, &result);
    result.map(|_| ())
}

/// Executes `FWCTL_RPC` on an asynchronous driver, and waits for the answer.
#[inline(never)]
fn wait_for_answer(uctx: &Uctx, arg: UserPtr, args: &RpcArgs, trace: RpcTrace) -> Result {
    let mut caller = Caller {
        args,
        arg,
        trace,
        may_wait: true,
    };

    match submit(uctx, &mut caller)? {
        Progress::Done(_) => Ok(()),
        Progress::Waiting(rpc) => rpc.wait(uctx),
    }
}

/// Begins `FWCTL_RPC` on an asynchronous driver for a command of io_uring.
///
/// Fails with [`EAGAIN`] if the command may not wait and the driver would have to.
pub(crate) fn submit_queued(
    uctx: &Uctx,
    arg: UserPtr,
    args: &RpcArgs,
    cmd: &Cmd<'_>,
) -> Result<Progress> {
    let trace = if cmd.is_issued_again() {
        trace::rpc_restart(args.scope)
    } else {
        trace::rpc_start(uctx.device(), args.scope, args.in_len, args.out_len)
    };

    submit(
        uctx,
        &mut Caller {
            args,
            arg,
            trace,
            may_wait: cmd.may_wait(),
        },
    )
}

/// Passes an RPC to an asynchronous driver.
fn submit(uctx: &Uctx, caller: &mut Caller<'_>) -> Result<Progress> {
    let progress = authorize(uctx, caller.args).and_then(|(scope, from, in_len)| {
        let request = uctx.read_request(from, in_len)?;
        async_rpc::submit(uctx, scope, request, caller)
    });

    let result = match &progress {
        Ok(Progress::Done(reply_len)) => Ok(*reply_len),
        Ok(Progress::Waiting(_)) => return progress,
        // The command is issued again.
        Err(EAGAIN) if !caller.may_wait => return progress,
        Err(error) => Err(*error),
    };
    caller.trace.done(uctx, &result);
    progress
}

/// Executes `FWCTL_RPC` if the driver answers without sleeping. Returns [`None`] otherwise.
///
/// It also returns that if the RPC fails before the driver sees the request: then it fails again
/// where it may sleep, with the right error.
pub(crate) fn execute_now(uctx: &Uctx, arg: UserPtr, args: &mut RpcArgs) -> Result<Option<Result>> {
    let Ok((scope, from, in_len)) = authorize(uctx, args) else {
        return Ok(None);
    };
    let Ok(mut request) = uctx.read_request(from, in_len) else {
        return Ok(None);
    };
    let request = &mut *request;
    let call = uctx.enter()?;
    if !call.never_sleeps(request) {
        return Ok(None);
    }

    let mut rpc = trace::rpc_start(uctx.device(), args.scope, args.in_len, args.out_len);
    rpc.ask_opcode(&call, request);
    let answer = call.fw_rpc(
        scope,
        request,
        &mut CallerMemory::empty(),
        args.out_len as usize,
    );
    drop(call);
    let result = answer.and_then(|answer| write_visible(reply_in(request, &answer)?, args));
    Ok(Some(end(uctx, arg, args, rpc, result)))
}

/// Checks the structure, and that the current task may use its scope. Returns the scope, and where
/// and how long the request is.
#[inline(always)]
fn authorize(uctx: &Uctx, args: &RpcArgs) -> Result<(RpcScope, UserPtr, usize)> {
    let in_len = args.in_len as usize;
    let out_len = args.out_len as usize;

    if in_len > MAX_RPC_LEN || out_len > MAX_RPC_LEN {
        return Err(EMSGSIZE);
    }
    let scope = RpcScope::try_from(args.scope)?;
    scope::authorize(scope, uctx.device())?;

    Ok((scope, UserPtr::from_addr(args.request as usize), in_len))
}

/// Carries out an RPC; returns the length of the reply.
#[inline]
fn transfer(uctx: &Uctx, args: &RpcArgs, trace: &mut RpcTrace) -> Result<u32> {
    let (scope, from, in_len) = authorize(uctx, args)?;

    match uctx.cache.take(in_len) {
        Some(mut cached) => {
            let request = cached.bytes_mut();

            copy::read_bytes(from, request)?;
            deliver(uctx, args, trace, scope, request)
        }
        None => {
            let mut request = uctx.read_request(from, in_len)?;

            deliver(uctx, args, trace, scope, &mut request)
        }
    }
}

/// Passes a request to the driver, and writes the reply to user space; returns its length.
// Inlined twice: a call would cost more than the check that it saves.
#[inline(always)]
fn deliver(
    uctx: &Uctx,
    args: &RpcArgs,
    trace: &mut RpcTrace,
    scope: RpcScope,
    request: &mut [u8],
) -> Result<u32> {
    let memory = &mut CallerMemory::empty();
    let answer = call(uctx, args, trace, scope, request, memory)?;

    write_visible(reply_in(request, &answer)?, args)
}

/// Carries out an RPC that can name buffers of the caller; returns the length of the reply.
fn transfer_with_buffers(uctx: &Uctx, args: &RpcArgs, trace: &mut RpcTrace) -> Result<u32> {
    let (scope, from, in_len) = authorize(uctx, args)?;
    let mut request = uctx.read_request(from, in_len)?;
    let request = &mut *request;
    let mut memory = uctx.read_buffers(request)?;
    let answer = call(uctx, args, trace, scope, request, &mut memory)?;

    memory.write()?;
    write_visible(reply_in(request, &answer)?, args)
}

/// Calls the driver.
///
/// The call ends before this returns: user memory is only touched before and after it.
#[inline(always)]
fn call(
    uctx: &Uctx,
    args: &RpcArgs,
    trace: &mut RpcTrace,
    scope: RpcScope,
    request: &mut [u8],
    memory: &mut CallerMemory,
) -> Result<Answer> {
    let call = uctx.enter()?;

    trace.ask_opcode(&call, request);
    call.fw_rpc(scope, request, memory, args.out_len as usize)
}

/// Returns the reply, which may be in the memory of the request.
#[inline]
pub(crate) fn reply_in<'a>(request: &'a [u8], answer: &'a Answer) -> Result<&'a [u8]> {
    match answer {
        Answer::InPlace(len) => request.get(..*len).ok_or(EINVAL),
        Answer::New(bytes) => Ok(bytes),
    }
}

/// Writes what fits of the reply to user space; returns the reply's length.
#[inline]
fn write_visible(reply: &[u8], args: &RpcArgs) -> Result<u32> {
    let out_len = args.out_len as usize;

    // Check the length first: if it cannot be reported, user space gets no reply either.
    let reply_len = u32::try_from(reply.len()).map_err(|_| EOVERFLOW)?;
    let visible = &reply[..reply.len().min(out_len)];
    copy::write_bytes(UserPtr::from_addr(args.reply as usize), visible)?;
    Ok(reply_len)
}

/// Writes the reply, and the structure to `arg`; returns the reply's length.
pub(crate) fn write_reply(reply: &[u8], args: &RpcArgs, arg: UserPtr) -> Result<u32> {
    let reply_len = write_visible(reply, args)?;

    copy::write(
        arg,
        &RpcArgs {
            out_len: reply_len,
            ..*args
        },
    )?;
    Ok(reply_len)
}
