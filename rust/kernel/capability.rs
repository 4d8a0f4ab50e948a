// SPDX-License-Identifier: GPL-2.0-only

//! Capabilities of the current task.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::bindings;

/// A capability, see capabilities(7).
///
/// Only what Rust code asks for so far is listed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Raw access to hardware and to the memory behind it.
    SysRawio = bindings::CAP_SYS_RAWIO,
}

/// Returns whether the current task has `capability` in the initial user namespace.
///
/// For process context: a kernel thread or an interrupt has no caller to ask about. A yes marks the
/// task as one that used superuser rights (`PF_SUPERPRIV`) and may be audited, so ask only when the
/// answer decides something.
pub fn capable(capability: Capability) -> bool {
    // SAFETY: Every value of `Capability` is a capability that the kernel knows.
    // CAST: The numbers of capabilities are small.
    unsafe { bindings::capable(capability as i32) }
}
