// SPDX-License-Identifier: GPL-2.0-only

//! The kernel crate together with what it lacks in a kernel that is not ours.
//!
//! In a kernel tree the modules below are part of the crate `kernel`, one patch lists them there. A
//! distribution's kernel comes without. The core is compiled with this crate under the name of
//! `kernel` (see Kbuild), so that the same sources serve both.

pub use kernel::*;

/// The kernel's own bindings, and the helpers of the modules below, from `helpers.c`.
// As in the crate `bindings`: the functions are documented where they are defined, in C, and their
// structures have members of size zero.
#[allow(missing_docs, improper_ctypes)]
pub mod bindings {
    pub use kernel::bindings::*;

    use kernel::ffi::{
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    };

    // The symbols differ from those of `rust/helpers`, which a later kernel may have.
    extern "C" {
        #[link_name = "fwctl_helper_kvmalloc_account"]
        pub fn kvmalloc_account(size: usize) -> *mut c_void;
        #[link_name = "fwctl_helper_kvzalloc_account"]
        pub fn kvzalloc_account(size: usize) -> *mut c_void;
        #[link_name = "fwctl_helper_copy_words_from_user"]
        pub fn copy_words_from_user(to: *mut u64, from: *const u64, count: usize) -> c_ulong;
        #[link_name = "fwctl_helper_copy_words_to_user"]
        pub fn copy_words_to_user(to: *mut u64, from: *const u64, count: usize) -> c_ulong;
        #[link_name = "fwctl_helper_copy_to_user_padded"]
        pub fn copy_to_user_padded(
            to: *mut c_void,
            from: *const c_void,
            len: usize,
            size: usize,
        ) -> c_ulong;
        #[link_name = "fwctl_helper_io_uring_cmd_view"]
        pub fn io_uring_cmd_view(cmd: *mut io_uring_cmd, flags: c_uint, to: *mut c_void);
        #[link_name = "fwctl_helper_io_uring_is_cancel"]
        pub fn io_uring_is_cancel(flags: c_uint) -> bool;
        #[link_name = "fwctl_helper_io_uring_cmd_pdu"]
        pub fn io_uring_cmd_pdu(cmd: *mut io_uring_cmd) -> *mut c_void;
        #[link_name = "fwctl_helper_io_uring_cmd_file"]
        pub fn io_uring_cmd_file(cmd: *mut io_uring_cmd) -> *mut file;
        #[link_name = "fwctl_helper_io_uring_cmd_task"]
        pub fn io_uring_cmd_task(cmd: *mut io_uring_cmd) -> *mut task_struct;
        #[link_name = "fwctl_helper_io_uring_cmd_mark_cancelable_any"]
        pub fn io_uring_cmd_mark_cancelable_any(cmd: *mut io_uring_cmd, flags: c_uint);
        #[link_name = "fwctl_helper_io_uring_cmd_complete"]
        pub fn io_uring_cmd_complete(cmd: *mut io_uring_cmd, result: c_int, flags: c_uint);
        #[link_name = "fwctl_helper_io_uring_cmd_complete_in_task"]
        pub fn io_uring_cmd_complete_in_task(cmd: *mut io_uring_cmd);
    }
}

pub mod capability;
pub mod chrdev;
pub mod io_uring;
pub mod notifier;
pub mod sysfs;
pub mod taint;

/// The kernel's own memory allocation, and ours.
pub mod alloc {
    pub use kernel::alloc::*;

    pub mod kvbytes;
}

/// The kernel's own memory management, and ours.
pub mod mm {
    pub use kernel::mm::*;

    pub mod shared_pages;
    pub mod user_pages;
}

/// The kernel's own synchronisation primitives, and ours.
pub mod sync {
    pub use kernel::sync::*;

    mod active;
    mod rcu_head;
    mod try_lock;
    mod wait_queue;

    pub use active::{
        new_active_count,
        ActiveCount,
        ActiveGuard, //
    };
    pub use rcu_head::RcuHead;
    pub use try_lock::{
        TryLock,
        TryLockGuard, //
    };
    pub use wait_queue::WaitQueue;
}

/// The kernel's own access to user space, and ours.
pub mod uaccess {
    pub use kernel::uaccess::*;

    pub mod copy;
}
