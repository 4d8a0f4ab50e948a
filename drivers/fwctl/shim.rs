// SPDX-License-Identifier: GPL-2.0-only

//! What only C can express: macros, static inlines and bitfields of structures.
//!
//! The C side is `shim.c`.

use kernel::{
    bindings,
    ffi::{
        c_char,
        c_void, //
    },
    types::Opaque, //
};

// Some fields of these structures are empty in some configurations. Only pointers to them pass.
#[allow(improper_ctypes)]
extern "C" {
    /// Numbers of devices in use; `DEFINE_IDA()`.
    pub(crate) static fwctl_shim_ida: Opaque<bindings::ida>;

    /// Allocates `size` bytes for a context, charged to the memory cgroup of the current task, to be
    /// freed with `kfree()`: zeros from `offset` on, and undefined before. They are aligned to the
    /// largest power of two that divides `size`. May sleep. Returns null if there is no memory.
    ///
    /// # Safety
    ///
    /// `offset` must be at most `size`.
    pub(crate) fn fwctl_shim_uctx(size: usize, offset: usize) -> *mut c_void;

    /// Allocates `size` bytes, charged to the memory cgroup of the current task, with undefined
    /// content; to be freed with `kvfree()`. May sleep. Returns null if there is no memory.
    pub(crate) fn fwctl_shim_kvmalloc(size: usize) -> *mut c_void;

    /// The same, with zeros for content.
    pub(crate) fn fwctl_shim_kvzalloc(size: usize) -> *mut c_void;

    /// Reads 24 bytes from user space to `to`, which is aligned to a word. May sleep.
    ///
    /// Returns whether all of them could be read; if not, what is at `to` is undefined.
    pub(crate) fn fwctl_shim_read_24(to: *mut c_void, from: *const c_void) -> bool;

    /// The same for 32 bytes.
    pub(crate) fn fwctl_shim_read_32(to: *mut c_void, from: *const c_void) -> bool;

    /// Writes 24 bytes from `from`, which is aligned to a word, to user space. May sleep.
    ///
    /// Returns whether all of them could be written; if not, a part may have been.
    pub(crate) fn fwctl_shim_write_24(to: *mut c_void, from: *const c_void) -> bool;

    /// The same for 32 bytes.
    pub(crate) fn fwctl_shim_write_32(to: *mut c_void, from: *const c_void) -> bool;

    /// Writes `len` bytes from `from` to user space, and zeros behind them, `room` bytes in all. May
    /// sleep.
    ///
    /// Returns whether all of them could be written; if not, a part may have been.
    ///
    /// # Safety
    ///
    /// `from` must be valid for a read of `len` bytes, and `len` at most `room`.
    pub(crate) fn fwctl_shim_write_padded(
        to: *mut c_void,
        from: *const c_void,
        len: usize,
        room: usize,
    ) -> bool;

    /// Returns whether a fatal signal is pending for the current task.
    pub(crate) fn fwctl_shim_is_killed() -> bool;

    /// Returns the character device that `inode` stands for.
    ///
    /// # Safety
    ///
    /// `inode` must be that of a character device that is being opened.
    pub(crate) fn fwctl_shim_inode_cdev(inode: *mut bindings::inode) -> *mut bindings::cdev;

    /// Writes the name of the current task, NUL-terminated, to `comm`.
    ///
    /// # Safety
    ///
    /// `comm` must be valid for a write of `TASK_COMM_LEN` (16) bytes.
    pub(crate) fn fwctl_shim_comm(comm: *mut c_char);
}
