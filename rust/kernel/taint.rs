// SPDX-License-Identifier: GPL-2.0-only

//! Taints of the running kernel.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)

use kernel::bindings;

/// Why the kernel counts as tainted, see `Documentation/admin-guide/tainted-kernels.rst`.
///
/// Only what Rust code sets so far is listed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taint {
    /// User space used fwctl to write debug state of a device, bit 19.
    Fwctl = bindings::TAINT_FWCTL,
}

/// Taints the kernel for the rest of its run; lock debugging stays on.
///
/// Setting the same taint again changes nothing. Does not return if `panic_on_taint=` on the
/// kernel's command line asks for a panic.
pub fn add(taint: Taint) {
    // SAFETY: Every value of `Taint` is a taint that the kernel knows.
    unsafe { bindings::add_taint(taint as u32, bindings::lockdep_ok_LOCKDEP_STILL_OK) };
}
