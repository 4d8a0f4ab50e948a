// SPDX-License-Identifier: GPL-2.0-only

//! Commands of io_uring: `IORING_OP_URING_CMD`, which io_uring passes to the `uring_cmd` operation
//! of a file.
//!
//! io_uring first issues a command in the context of its submitter, which must not wait. A command
//! that has to wait has two ways out:
//!
//! - It is issued again by a worker of the same process, with the submitter's memory and
//!   credentials, which may wait: [`Cmd::retry`].
//! - It is queued, and completed later through a [`QueuedCmd`]: [`Cmd::queue`].
//!
//! A task that exits, or closes its ring, cancels its queued commands, see [`Completion::cancel`].
//! `IORING_OP_ASYNC_CANCEL` and linked timeouts only reach them in kernels in which
//! [`Cmd::is_cancelable`] returns `true`. In all kernels they reach a command that a worker
//! executes, as a signal.
//!
//! C header: [`include/linux/io_uring/cmd.h`](srctree/include/linux/io_uring/cmd.h)

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

use crate::{
    bindings,
    error::code::{
        ECANCELED,
        EIOCBQUEUED,
        ERESTARTSYS, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        ArcBorrow, //
    },
    task::Task,
    types::ForeignOwnable, //
};

/// What `io_uring_cmd_view()` of `rust/helpers/io_uring.c` returns.
///
/// A file operation reads it once, because user space can change the SQE at any time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    /// The address in the SQE.
    pub addr: u64,
    /// The length in the SQE.
    pub len: u32,
    /// The operation in the SQE, which the file defines.
    pub op: u32,
    how: u32,
}

impl View {
    /// The submitter must not wait.
    const NONBLOCK: u32 = 1 << 0;
    /// A worker executes the command.
    const WORKER: u32 = 1 << 1;
    /// All requests for cancellation reach a queued command.
    const CANCELABLE: u32 = 1 << 2;
    /// The command was issued before, and failed with [`EAGAIN`].
    const ISSUED_AGAIN: u32 = 1 << 4;
    /// The SQE has a flag, or a byte in its command area, that is not zero.
    const EXTRAS: u32 = 1 << 3;
}

/// A command that is being issued.
///
/// # Invariants
///
/// `raw` is a command that io_uring is issuing with `flags`, and that was not completed or queued.
pub struct Cmd<'a> {
    raw: NonNull<bindings::io_uring_cmd>,
    flags: c_uint,
    view: View,
    _issue: PhantomData<&'a mut bindings::io_uring_cmd>,
}

impl<'a> Cmd<'a> {
    /// Issues a command: calls `issue` with it, and returns what `uring_cmd` has to return.
    ///
    /// # Safety
    ///
    /// These must be the arguments of a call of `file_operations::uring_cmd` for which
    /// [`is_cancel`] returns `false`. The caller must return the result from it, and must not use
    /// the command otherwise.
    #[inline]
    pub unsafe fn issue(
        raw: NonNull<bindings::io_uring_cmd>,
        flags: c_uint,
        issue: impl for<'b> FnOnce(Cmd<'b>) -> Outcome<'b>,
    ) -> c_int {
        let mut view = View {
            addr: 0,
            len: 0,
            op: 0,
            how: 0,
        };

        // SAFETY: The caller promises that the command is being issued, so it has an SQE. `view` is
        // valid for a write.
        unsafe {
            bindings::io_uring_cmd_view(raw.as_ptr(), flags, (&raw mut view).cast());
        }
        // INVARIANT: The caller promises that the command is being issued with `flags`, and not
        // used otherwise. The lifetime of the `Cmd` is that of the call.
        issue(Cmd {
            raw,
            flags,
            view,
            _issue: PhantomData,
        })
        .ret
    }

    /// Ends the command with `result`, 0 or a negative errno.
    ///
    /// Errnos that have a meaning for io_uring, from `ERESTARTSYS` on, become `EINTR`.
    #[inline]
    pub fn done(self, result: c_int) -> Outcome<'a> {
        let ret = match result {
            result if result <= ERESTARTSYS.to_errno() => EINTR.to_errno(),
            // Returning it would issue the command again.
            result if result == EAGAIN.to_errno() && !self.may_wait() => {
                // SAFETY: By the type invariant, the command is being issued with these flags, and
                // was neither completed nor queued.
                unsafe { bindings::io_uring_cmd_complete(self.raw.as_ptr(), result, self.flags) };
                EIOCBQUEUED.to_errno()
            }
            result => result,
        };

        Outcome {
            ret,
            _issue: PhantomData,
        }
    }

    /// Makes io_uring issue the command again, where it may wait. Ends it with [`EAGAIN`] if it
    /// already may.
    #[inline]
    pub fn retry(self) -> Outcome<'a> {
        Outcome {
            ret: EAGAIN.to_errno(),
            _issue: PhantomData,
        }
    }

    /// Returns the SQE's fields.
    #[inline]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns whether this call may wait.
    #[inline]
    pub fn may_wait(&self) -> bool {
        self.view.how & View::NONBLOCK == 0
    }

    /// Returns whether the command was issued before, and failed with [`EAGAIN`].
    #[inline]
    pub fn is_issued_again(&self) -> bool {
        self.view.how & View::ISSUED_AGAIN != 0
    }

    /// Returns whether a worker of io_uring executes the command.
    #[inline]
    pub fn is_in_worker(&self) -> bool {
        self.view.how & View::WORKER != 0
    }

    /// Returns whether the SQE has flags, or bytes in its command area, that are not zero.
    #[inline]
    pub fn has_extras(&self) -> bool {
        self.view.how & View::EXTRAS != 0
    }

    /// Returns whether `IORING_OP_ASYNC_CANCEL` and linked timeouts reach the command when it is
    /// queued.
    #[inline]
    pub fn is_cancelable(&self) -> bool {
        self.view.how & View::CANCELABLE != 0
    }

    /// Returns the task that submitted the command.
    #[inline]
    pub fn submitter(&self) -> &Task {
        // SAFETY: By the type invariant, the command is being issued, so it has a task, to which
        // it holds a reference. A `Task` is a transparent wrapper of the C structure.
        unsafe { &*bindings::io_uring_cmd_task(self.raw.as_ptr()).cast() }
    }

    /// Queues the command, to be completed later through the returned [`QueuedCmd`].
    ///
    /// From now on `T::cancel` may be called for `owner`. A worker has to check afterwards whether
    /// it was asked to end the command before: that request is not repeated.
    pub fn queue<T: Completion>(self, owner: Arc<T>) -> (Queued<'a>, QueuedCmd) {
        let pdu = Pdu {
            complete: complete::<T>,
            cancel: cancel::<T>,
            drop_owner: drop_owner::<T>,
            owner: owner.into_foreign(),
        };

        // SAFETY: By the type invariant, the command is being issued and not queued, so its private
        // data are ours. The C helper asserts that they have the size and alignment of a `Pdu`.
        unsafe {
            bindings::io_uring_cmd_pdu(self.raw.as_ptr())
                .cast::<Pdu>()
                .write(pdu)
        };
        // SAFETY: By the type invariant, the command is being issued with these flags, and was
        // neither completed nor queued.
        unsafe { bindings::io_uring_cmd_mark_cancelable_any(self.raw.as_ptr(), self.flags) };

        // INVARIANT: The command was queued just now, with the private data of `T`.
        let queued = Queued {
            raw: self.raw,
            flags: self.flags,
            _issue: PhantomData,
        };
        // INVARIANT: The command was queued just now, and only one `QueuedCmd` was made.
        let cmd = QueuedCmd {
            raw: self.raw,
            is_claimed: Atomic::new(false),
        };
        (queued, cmd)
    }
}

/// What a call of `uring_cmd` has done with its command.
pub struct Outcome<'a> {
    ret: c_int,
    _issue: PhantomData<&'a mut bindings::io_uring_cmd>,
}

/// A command that was queued by a call of `uring_cmd` that has not returned.
///
/// # Invariants
///
/// `raw` was queued by a call of `uring_cmd` with `flags`, which has not returned.
#[must_use = "it makes the outcome of the call"]
pub struct Queued<'a> {
    raw: NonNull<bindings::io_uring_cmd>,
    flags: c_uint,
    _issue: PhantomData<&'a mut bindings::io_uring_cmd>,
}

impl<'a> Queued<'a> {
    /// Leaves the command queued.
    pub fn outcome(self) -> Outcome<'a> {
        Outcome {
            ret: EIOCBQUEUED.to_errno(),
            _issue: PhantomData,
        }
    }

    /// Ends the command with `result` if `claim` is for it, otherwise that of `claim` in its task.
    pub fn complete(self, claim: Claim, result: c_int) -> Outcome<'a> {
        if claim.raw == self.raw {
            // SAFETY: By the type invariants, the command was queued and is not completed, and
            // these are the flags of a call that has not returned.
            unsafe { claim.complete(result, self.flags) };
        } else {
            claim.complete_in_task();
        }
        self.outcome()
    }
}

/// A command that waits for its completion.
///
/// Several parties may want to complete it; the first to [`claim`](Self::claim) it does.
///
/// # Invariants
///
/// `raw` is queued, and valid until the claim is used.
pub struct QueuedCmd {
    raw: NonNull<bindings::io_uring_cmd>,
    is_claimed: Atomic<bool>,
}

// SAFETY: A command can be completed from any thread.
unsafe impl Send for QueuedCmd {}
// SAFETY: The only shared access is to an atomic variable.
unsafe impl Sync for QueuedCmd {}

impl QueuedCmd {
    /// Returns the right to complete the command, to the first caller.
    ///
    /// Can be called in any context.
    pub fn claim(&self) -> Option<Claim> {
        if self.is_claimed.xchg(true, Full) {
            return None;
        }

        // INVARIANT: The command is queued, and there was no other claim.
        Some(Claim { raw: self.raw })
    }
}

/// The right, and the duty, to complete a queued command.
///
/// A claim that is forgotten keeps the ring of the submitter from being closed.
///
/// # Invariants
///
/// `raw` is queued and not completed. There is no other claim for it.
#[must_use = "the command is never completed unless the claim is used"]
pub struct Claim {
    raw: NonNull<bindings::io_uring_cmd>,
}

// SAFETY: A command can be completed from any thread.
unsafe impl Send for Claim {}

impl Claim {
    /// Calls [`Completion::complete`] in the context of the submitter, soon.
    ///
    /// Can be called in any context.
    pub fn complete_in_task(self) {
        // SAFETY: By the type invariant, the command is queued and not completed, and nothing else
        // completes it.
        unsafe { bindings::io_uring_cmd_complete_in_task(self.raw.as_ptr()) };
    }

    /// Completes the command without [`Completion::complete`].
    ///
    /// # Safety
    ///
    /// `flags` must be those of a call from io_uring for the command, which has not returned.
    unsafe fn complete(self, result: c_int, flags: c_uint) {
        // SAFETY: By the type invariant, the command is queued, so its private data are a `Pdu`.
        let pdu = unsafe { pdu(self.raw) };
        let (drop_owner, owner) = (pdu.drop_owner, pdu.owner);

        // SAFETY: By the type invariant, the command is queued and not completed. The caller
        // promises the flags.
        unsafe { bindings::io_uring_cmd_complete(self.raw.as_ptr(), result, flags) };
        // Drop the owner last: until now the command could be cancelled, which borrows it.
        //
        // SAFETY: By the type invariant, nothing else completes the command, so nothing else takes
        // the owner.
        unsafe { drop_owner(owner) };
    }
}

/// What is done when a queued command ends.
pub trait Completion: Send + Sync + 'static {
    /// Ends the command, in the context of its submitter. Returns the result, for the CQE.
    ///
    /// `file` is valid during the call. If `is_exiting`, the submitter has ended: the memory of
    /// the process must not be touched. May sleep.
    fn complete(self: Arc<Self>, file: NonNull<bindings::file>, is_exiting: bool) -> c_int;

    /// Returns a claim for the command if it can end now, with [`ECANCELED`].
    ///
    /// Called when the submitter exits, closes its ring, or asks for the command to be cancelled,
    /// possibly several times. [`None`] lets the command go on; if the ring is being closed, it is
    /// called again. `file` is valid during the call. Must not sleep for long.
    fn cancel(this: ArcBorrow<'_, Self>, file: NonNull<bindings::file>) -> Option<Claim>;
}

/// The private data of a queued command: `struct rust_io_uring_pdu` of `rust/helpers/io_uring.c`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pdu {
    complete:
        unsafe extern "C" fn(cmd: *mut bindings::io_uring_cmd, flags: c_uint, is_exiting: bool),
    cancel: unsafe fn(cmd: NonNull<bindings::io_uring_cmd>, flags: c_uint),
    drop_owner: unsafe fn(owner: *mut c_void),
    owner: *mut c_void,
}

/// Returns the private data of a command.
///
/// # Safety
///
/// `cmd` must be queued, and not completed during `'a`.
unsafe fn pdu<'a>(cmd: NonNull<bindings::io_uring_cmd>) -> &'a Pdu {
    // SAFETY: The caller promises that the command is queued, which `Cmd::queue()` does after it
    // has written the private data. Nothing changes them before the command is completed.
    unsafe { &*bindings::io_uring_cmd_pdu(cmd.as_ptr()).cast() }
}

/// Completes a claimed command, as task work.
///
/// # Safety
///
/// `cmd` must be queued for a `T` and not completed, with a claim that was used up. `flags` must be
/// those of task work.
unsafe extern "C" fn complete<T: Completion>(
    cmd: *mut bindings::io_uring_cmd,
    flags: c_uint,
    is_exiting: bool,
) {
    // SAFETY: The caller promises that the command is queued, so it is not null, and has private
    // data, whose owner is an `Arc<T>`. The claim was used up, so nothing else takes it.
    let owner = unsafe {
        let pdu = pdu(NonNull::new_unchecked(cmd));
        <Arc<T> as ForeignOwnable>::from_foreign(pdu.owner)
    };
    // SAFETY: The caller promises that the command is not null and not completed.
    let file = unsafe { file(NonNull::new_unchecked(cmd)) };

    let result = owner.complete(file, is_exiting);
    // SAFETY: The caller promises that the command is not completed, and the flags.
    unsafe { bindings::io_uring_cmd_complete(cmd, result, flags) };
}

/// Calls `T::cancel`, and completes the command if that returns a claim for it.
///
/// # Safety
///
/// `cmd` must be queued for a `T` and not completed. `flags` must be those of a call from io_uring
/// for the command, which has not returned.
unsafe fn cancel<T: Completion>(cmd: NonNull<bindings::io_uring_cmd>, flags: c_uint) {
    // SAFETY: The caller promises that the command is queued and not completed, so its owner is an
    // `Arc<T>` that nothing takes during the call: io_uring completes commands under the lock that
    // it holds during the call.
    let owner = unsafe { <Arc<T> as ForeignOwnable>::borrow(pdu(cmd).owner) };
    // SAFETY: The caller promises that the command is not completed.
    let file = unsafe { file(cmd) };

    if let Some(claim) = T::cancel(owner, file) {
        if claim.raw == cmd {
            // SAFETY: The caller promises the flags.
            unsafe { claim.complete(ECANCELED.to_errno(), flags) };
        } else {
            claim.complete_in_task();
        }
    }
}

/// Drops the owner of a command.
///
/// # Safety
///
/// `owner` must be from `Arc::<T>::into_foreign()`, and must not be used again.
unsafe fn drop_owner<T: Completion>(owner: *mut c_void) {
    // SAFETY: The caller promises both.
    drop(unsafe { <Arc<T> as ForeignOwnable>::from_foreign(owner) });
}

/// Returns whether `uring_cmd` was called to cancel a command, not to issue it.
#[inline]
pub fn is_cancel(flags: c_uint) -> bool {
    // SAFETY: The function only compares the flags with a constant.
    unsafe { bindings::io_uring_is_cancel(flags) }
}

/// Returns the file of a command.
///
/// # Safety
///
/// `cmd` must be a command that io_uring has passed to a file, and that is not completed.
#[inline]
pub unsafe fn file(cmd: NonNull<bindings::io_uring_cmd>) -> NonNull<bindings::file> {
    // SAFETY: The caller promises that the command is valid. It has a file until it is completed.
    unsafe { NonNull::new_unchecked(bindings::io_uring_cmd_file(cmd.as_ptr())) }
}

/// Cancels a queued command if its owner agrees. Returns what `uring_cmd` has to return.
///
/// # Safety
///
/// These must be the arguments of a call of `file_operations::uring_cmd` that has not returned, and
/// for which [`is_cancel`] returns `true`. All commands of the file that are queued must have been
/// queued by [`Cmd::queue`].
pub unsafe fn cancel_queued(cmd: NonNull<bindings::io_uring_cmd>, flags: c_uint) -> c_int {
    // SAFETY: io_uring only cancels commands that are queued and not completed. The caller promises
    // that `Cmd::queue()` queued it, which sets the matching function.
    unsafe { (pdu(cmd).cancel)(cmd, flags) };
    0
}
