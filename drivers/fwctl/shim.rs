// SPDX-License-Identifier: GPL-2.0-only

//! C helpers for what bindgen cannot express: macros, static inlines and unions of structures.
//!
//! They are implemented in `shim.c`.

use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    prelude::*,
    sync::WaitQueue,
    time::Jiffies,
    types::Opaque, //
};

// Some fields of these structures are empty in some configurations. Only pointers are passed.
#[allow(improper_ctypes)]
extern "C" {
    /// The device numbers in use: `DEFINE_IDA()`.
    pub(crate) static fwctl_shim_ida: Opaque<bindings::ida>;

    /// Allocates `size` bytes for a context, charged to the memory cgroup of the current task.
    ///
    /// The bytes from `offset` on are zero, those before it undefined. The memory is aligned to the
    /// largest power of two that divides `size`. Free it with `kfree()`. May sleep. Returns null on
    /// failure.
    ///
    /// # Safety
    ///
    /// `offset` must be at most `size`.
    pub(crate) fn fwctl_shim_uctx(size: usize, offset: usize) -> *mut c_void;

    /// Returns whether a fatal signal is pending for the current task, or any if it is a worker of
    /// io_uring.
    fn fwctl_shim_is_killed() -> bool;

    /// Returns whether the current task is a worker of io_uring.
    fn fwctl_shim_is_worker() -> bool;

    /// Returns whether the current task is a worker of io_uring whose request is cancelled.
    fn fwctl_shim_is_cancelled() -> bool;

    /// Returns the character device of `inode`.
    ///
    /// # Safety
    ///
    /// `inode` must be that of a character device, of which a file is being opened.
    pub(crate) fn fwctl_shim_inode_cdev(inode: *mut bindings::inode) -> *mut bindings::cdev;

    /// Writes the name of the current task, NUL-terminated, to `comm`, and returns its pid. For a
    /// thread of io_uring, they are those of the process.
    ///
    /// # Safety
    ///
    /// `comm` must be valid for a write of `TASK_COMM_LEN` (16) bytes.
    fn fwctl_shim_comm(comm: *mut c_char) -> c_int;

    /// Adds a devres action: `devm_add_action()`. Returns 0 or a negative errno.
    ///
    /// # Safety
    ///
    /// `dev` must be bound. `action` must be sound to call with `data` when devres releases the
    /// resources of `dev`, which it does with the device locked.
    pub(crate) fn fwctl_shim_add_action(
        dev: *mut bindings::device,
        action: unsafe extern "C" fn(*mut c_void),
        data: *mut c_void,
    ) -> c_int;

    /// Removes a devres action unless it has run. When this returns, it is not running.
    ///
    /// # Safety
    ///
    /// `dev` must be valid, and not locked by the current task.
    pub(crate) fn fwctl_shim_remove_action(
        dev: *mut bindings::device,
        action: unsafe extern "C" fn(*mut c_void),
        data: *mut c_void,
    );

    /// Ends all memory accesses of a device for good. Returns whether that succeeded.
    ///
    /// For a PCI function: takes its permission to be bus master, and resets it, unless it was
    /// removed by surprise. Other devices cannot be silenced.
    ///
    /// # Safety
    ///
    /// `dev` must be valid and locked, and its driver must have released it.
    pub(crate) fn fwctl_shim_quiesce(dev: *mut bindings::device) -> bool;

    /// Tells kmemleak that an allocation is leaked on purpose: `kmemleak_not_leak()`. It ignores an
    /// address that it does not know.
    fn fwctl_shim_not_leak(memory: *const c_void);
}

/// Tells kmemleak that the allocation at `memory` is leaked on purpose. What it refers to does not
/// count as leaked either.
pub(crate) fn not_leak(memory: *const c_void) {
    // SAFETY: The function only looks the address up.
    unsafe { fwctl_shim_not_leak(memory) };
}

/// Returns whether a fatal signal is pending for the current task.
///
/// A worker of io_uring has no fatal signals. A signal asks it to end its request.
pub(crate) fn is_killed() -> bool {
    // SAFETY: The function only reads flags of the current task.
    unsafe { fwctl_shim_is_killed() }
}

/// Returns whether the current task is a worker of io_uring.
fn is_worker() -> bool {
    // SAFETY: The function only reads flags of the current task.
    unsafe { fwctl_shim_is_worker() }
}

/// Sleeps until `condition` returns `true`, for at most `timeout` jiffies; returns whether it did.
///
/// Fails with [`EINTR`] if the task is killed, or, for a worker of io_uring, on any signal.
pub(crate) fn wait(
    queue: &WaitQueue,
    timeout: Option<Jiffies>,
    condition: impl FnMut() -> bool,
) -> Result<bool> {
    if is_worker() {
        queue.wait_interruptible(timeout, condition)
    } else {
        queue.wait_killable(timeout, condition)
    }
}

/// Returns whether the current task is a worker of io_uring whose request is cancelled, or whose
/// process is killed.
///
/// Other signals, such as one that stops the process, only interrupt it.
pub(crate) fn is_cancelled() -> bool {
    // SAFETY: The function only reads flags of the current task.
    unsafe { fwctl_shim_is_cancelled() }
}

/// Returns the time since boot in ticks, which wraps around.
#[inline]
pub(crate) fn ticks() -> Jiffies {
    // SAFETY: The variable is valid for reads. It is a word, so a volatile read is not torn.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Returns a number of ticks in milliseconds.
pub(crate) fn ticks_to_ms(ticks: u64) -> u64 {
    // SAFETY: The function takes any number.
    unsafe { bindings::jiffies64_to_msecs(ticks) }
}

/// Returns the name of the current task, NUL-terminated, and its pid; for a thread of io_uring,
/// those of the process.
pub(crate) fn comm_and_pid() -> ([u8; 16], c_int) {
    let mut comm = [0; 16];

    // SAFETY: The array is valid for a write of `TASK_COMM_LEN` bytes.
    let pid = unsafe { fwctl_shim_comm(comm.as_mut_ptr().cast()) };
    (comm, pid)
}
