// SPDX-License-Identifier: GPL-2.0-only

//! The kernel crate together with what it lacks in a kernel that is not ours.
//!
//! In a kernel tree the modules below are part of the crate `kernel`, one patch lists them there. A
//! distribution's kernel comes without. The core is compiled with this crate under the name of
//! `kernel` (see Kbuild), so that the same sources serve both.

pub use kernel::*;

pub mod capability;
pub mod chrdev;
pub mod taint;

/// The kernel's own synchronisation primitives, and ours.
pub mod sync {
    pub use kernel::sync::*;

    mod active;
    mod wait_queue;

    pub use active::{
        new_active_count,
        ActiveCount,
        ActiveGuard, //
    };
    pub use wait_queue::WaitQueue;
}
