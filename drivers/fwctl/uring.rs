// SPDX-License-Identifier: GPL-2.0-only

//! Commands of io_uring, which are the ioctls under another name.
//!
//! A program submits `IORING_OP_URING_CMD` with the number of the ioctl as `cmd_op`, and the
//! address of the structure as `addr`. `len` is 0, or the size that the structure itself has as its
//! first member. The rest of the SQE's command area must be 0.
//!
//! io_uring first issues a command in the submitter's context, where it must not wait. Three kinds
//! of commands are carried out there; all others are issued again by a worker of the process:
//!
//! - RPCs that the driver answers without sleeping, see
//!   [`Operations::never_sleeps`](crate::Operations::never_sleeps);
//! - RPCs of an asynchronous driver. They are queued until the driver answers, in a kernel where
//!   requests for cancellation reach a queued command;
//! - commands that are malformed.
//!
//! A worker has the memory and the credentials of the submitter. It carries out a command as the
//! ioctl does, but it can be interrupted: a request for cancellation is a signal to the worker.

use core::mem::MaybeUninit;

use kernel::{
    error::code::ECANCELED,
    io_uring::{
        Cmd,
        Outcome, //
    },
    prelude::*,
    uaccess::copy, //
};

use crate::{
    async_rpc::Progress,
    ioctl::{
        self,
        FWCTL_INFO,
        FWCTL_RPC, //
    },
    ops::Passing,
    rpc,
    shim,
    uctx::Uctx, //
};

/// Carries out a command that is being issued.
///
/// Ends it with [`ENOTTY`] if there is no such ioctl, with [`EINVAL`] if the SQE has something that
/// the ioctls do not know, with [`ECANCELED`] if a worker is asked to, and with the errors of the
/// ioctl.
pub(crate) fn dispatch<'a>(uctx: &Uctx, cmd: Cmd<'a>) -> Outcome<'a> {
    let arg = match check(&cmd) {
        Ok(arg) => arg,
        Err(error) => return end(cmd, Err(error)),
    };
    let driver = &uctx.device().driver;

    if cmd.view().op == FWCTL_RPC {
        if driver.passing == Passing::Asynchronously && cmd.is_cancelable() {
            let submitted = ioctl::run(uctx, arg, |uctx, arg, args| {
                rpc::submit_queued(uctx, arg, args, &cmd)
            });
            return match submitted {
                Ok(Progress::Waiting(rpc)) => rpc.queue(uctx, cmd),
                Ok(Progress::Done(_)) => end(cmd, Ok(())),
                Err(EAGAIN) if !cmd.may_wait() => cmd.retry(),
                Err(error) => end(cmd, Err(error)),
            };
        }
        if driver.has_never_sleeps && !cmd.may_wait() {
            return match ioctl::run(uctx, arg, rpc::execute_now) {
                Ok(Some(result)) => end(cmd, result),
                Ok(None) => cmd.retry(),
                Err(error) => end(cmd, Err(error)),
            };
        }
    }
    if !cmd.may_wait() {
        return cmd.retry();
    }

    let result = ioctl::dispatch(uctx, cmd.view().op, arg);
    end(cmd, result)
}

/// Checks the SQE. Returns the address of the structure.
fn check(cmd: &Cmd<'_>) -> Result<UserPtr> {
    let view = cmd.view();

    if !matches!(view.op, FWCTL_INFO | FWCTL_RPC) {
        return Err(ENOTTY);
    }
    if cmd.has_extras() {
        return Err(EINVAL);
    }
    let arg = UserPtr::from_addr(usize::try_from(view.addr).map_err(|_| EFAULT)?);
    if view.len != 0 {
        let mut size = MaybeUninit::<u32>::uninit();

        if *copy::read(arg, &mut size)? != view.len {
            return Err(EINVAL);
        }
    }
    Ok(arg)
}

/// Ends a command that is being issued.
pub(crate) fn end<'a>(cmd: Cmd<'a>, result: Result) -> Outcome<'a> {
    let result = match result {
        // A worker that is asked to end its request is interrupted.
        Err(EINTR) if shim::is_cancelled() => Err(ECANCELED),
        result => result,
    };

    cmd.done(to_errno(result))
}

/// Returns 0 or a negative errno.
pub(crate) fn to_errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
