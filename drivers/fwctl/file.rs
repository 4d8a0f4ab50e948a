// SPDX-License-Identifier: GPL-2.0-only

//! The file operations of a node.
//!
//! The `private_data` of a file is its [`Uctx`]. Nothing here is generic: [`THIS_MODULE`] has to be
//! that of the core.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::from_result,
    io_uring::{
        self,
        Claim,
        Completion, //
    },
    mm::virt::VmaNew,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    ModuleMetadata, //
};

use crate::{
    async_rpc::InFlight,
    device::{
        Device,
        NodeOperations, //
    },
    ioctl,
    shim,
    uctx::Uctx,
    umem,
    uring, //
};

const THIS_MODULE: ThisModule = <crate::LocalModule as ModuleMetadata>::THIS_MODULE;

/// What poll(2) returns for a file without a poll operation.
const ALWAYS_READY: bindings::__poll_t =
    bindings::POLLIN | bindings::POLLOUT | bindings::POLLRDNORM | bindings::POLLWRNORM;

/// The operations of all nodes.
pub(crate) static OPERATIONS: NodeOperations = NodeOperations(bindings::file_operations {
    // An open file needs our module. The driver's module can be unloaded at any time.
    owner: THIS_MODULE.as_ptr(),
    open: Some(open),
    release: Some(release),
    unlocked_ioctl: Some(unlocked_ioctl),
    // All structures have the same layout for 32-bit programs.
    #[cfg(CONFIG_COMPAT)]
    compat_ioctl: bindings::compat_ptr_ioctl,
    mmap: Some(mmap),
    uring_cmd: Some(uring_cmd),
    poll: Some(poll),
    ..pin_init::zeroed()
});

/// Returns the context of an open file.
///
/// # Safety
///
/// `file` must have been opened by [`open`], and must not be released during `'a`.
#[inline]
unsafe fn uctx<'a>(file: *mut bindings::file) -> &'a Uctx {
    // SAFETY: The caller promises that `open()` has opened the file. It has stored a context, which
    // lives until `release()`.
    unsafe { &*(*file).private_data.cast() }
}

/// # Safety
///
/// `inode` must be that of a node of a device, and `file` a file of it that is being opened.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    from_result(|| {
        // SAFETY: The caller promises that the node is that of a device. `chrdev_open()` holds a
        // reference to its cdev, and the cdev holds one to the device.
        let device = unsafe { Device::from_cdev(shim::fwctl_shim_inode_cdev(inode)) };
        // SAFETY: The caller promises that the file is being opened. `release()` closes the
        // context, before `__fput()` drops the reference to the cdev.
        let uctx = unsafe { Uctx::open(device) }?;

        // SAFETY: The file is valid. While it is being opened, nothing else uses its private data.
        unsafe { (*file).private_data = uctx.as_ptr().cast() };
        Ok(0)
    })
}

/// # Safety
///
/// `file` must have been opened by [`open`], and must not be used again.
unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The caller promises that `open()` has opened the file. It has stored a context, which
    // is not null.
    let uctx = unsafe { NonNull::new_unchecked((*file).private_data.cast::<Uctx>()) };
    // SAFETY: `open()` got the context from `Uctx::open()`. The caller promises that the file, and
    // so its context, is not used again.
    unsafe { Uctx::close(uctx) };
    0
}

/// # Safety
///
/// `file` must have been opened by [`open`], and must not be released during the call.
unsafe extern "C" fn unlocked_ioctl(
    file: *mut bindings::file,
    number: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: The caller promises that `open()` has opened the file, and that it is not released.
    let uctx = unsafe { uctx(file) };

    match ioctl::dispatch(uctx, number, UserPtr::from_addr(arg)) {
        Ok(()) => 0,
        // CAST: A `c_long` holds any `c_int`.
        Err(error) => error.to_errno() as c_long,
    }
}

/// # Safety
///
/// `file` must have been opened by [`open`], and must not be released during the call. `vma` must
/// be a new mapping of it that is being set up.
unsafe extern "C" fn mmap(file: *mut bindings::file, vma: *mut bindings::vm_area_struct) -> c_int {
    // SAFETY: The caller promises that `open()` has opened the file, and that it is not released.
    let uctx = unsafe { uctx(file) };
    // SAFETY: The caller promises that the mapping is valid. Nothing changes its offset meanwhile.
    let offset = unsafe { (*vma).vm_pgoff };
    // SAFETY: The caller promises that the mapping is being set up.
    let vma = unsafe { VmaNew::from_raw(vma) };

    match umem::map(uctx, vma, offset) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// `cmd` must be a command for a file that was opened by [`open`] and is not released during the
/// call, which io_uring issues or cancels with `flags`.
unsafe extern "C" fn uring_cmd(cmd: *mut bindings::io_uring_cmd, flags: c_uint) -> c_int {
    // SAFETY: The caller promises that `cmd` is a command, so it is not null.
    let cmd = unsafe { NonNull::new_unchecked(cmd) };

    if io_uring::is_cancel(flags) {
        // SAFETY: The caller promises that io_uring cancels the command. All commands of our files
        // are queued by `Cmd::queue()`.
        return unsafe { io_uring::cancel_queued(cmd, flags) };
    }

    // SAFETY: The caller promises that `cmd` is a command that io_uring issues for a file which
    // `open()` has opened, and that the file is not released.
    let uctx = unsafe { uctx(io_uring::file(cmd).as_ptr()) };
    // SAFETY: The caller promises that io_uring issues the command with these flags. The result is
    // returned.
    unsafe { io_uring::Cmd::issue(cmd, flags, |cmd| uring::dispatch(uctx, cmd)) }
}

/// # Safety
///
/// `file` must have been opened by [`open`], and must not be released during the call. `table` must
/// be null or valid.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: The caller promises that `open()` has opened the file, and that it is not released.
    let device = unsafe { uctx(file) }.device();

    // Join the queue before checking the state, so no wakeup is missed.
    //
    // SAFETY:
    // - The caller promises that `file` is valid, and `table` null or valid.
    // - The queue is valid while a poller is on it: a poller leaves it before the file is released,
    //   and an open file keeps the device alive.
    unsafe { bindings::poll_wait(file, device.removed.as_raw(), table) };
    if device.calls.is_active() {
        ALWAYS_READY
    } else {
        bindings::POLLHUP | bindings::POLLERR
    }
}

impl Completion for InFlight {
    fn complete(self: Arc<Self>, file: NonNull<bindings::file>, is_exiting: bool) -> c_int {
        // SAFETY: The core queues only commands of its own files. A command keeps its file from
        // being released.
        let uctx = unsafe { uctx(file.as_ptr()) };

        InFlight::complete(&self, uctx, is_exiting)
    }

    fn cancel(this: ArcBorrow<'_, Self>, file: NonNull<bindings::file>) -> Option<Claim> {
        // SAFETY: The core queues only commands of its own files. A command keeps its file from
        // being released.
        let uctx = unsafe { uctx(file.as_ptr()) };

        InFlight::cancel(&this, uctx)
    }
}
