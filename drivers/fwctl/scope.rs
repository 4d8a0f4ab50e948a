// SPDX-License-Identifier: GPL-2.0-only

//! The scopes of an RPC, and who may use them.

use kernel::{
    capability::{
        capable,
        Capability, //
    },
    device,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    taint::{
        self,
        Taint, //
    }, //
};

use crate::shim;

/// How far an RPC reaches, from the least to the most.
///
/// A scope allows what the scopes below it allow, too, so that drivers compare: `scope >=
/// RpcScope::DebugWrite`. Which scope a command needs is for the driver to decide; the core decides
/// who gets a scope. The numbers are `enum fwctl_rpc_scope` of `include/uapi/fwctl/fwctl.h`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RpcScope {
    /// Read and write the configuration of the device, as far as it takes no effect behind the
    /// kernel's back.
    Configuration = 0,
    /// Read debug information.
    DebugReadOnly = 1,
    /// Write debug state in ways that keep a locked-down kernel intact. Taints the kernel.
    DebugWrite = 2,
    /// Write whatever the firmware lets one write. Needs `CAP_SYS_RAWIO` and taints the kernel.
    DebugWriteFull = 3,
}

impl RpcScope {
    /// All scopes, in ascending order.
    pub const ALL: [Self; 4] = [
        Self::Configuration,
        Self::DebugReadOnly,
        Self::DebugWrite,
        Self::DebugWriteFull,
    ];
}

impl TryFrom<u32> for RpcScope {
    type Error = Error;

    /// Fails with [`EOPNOTSUPP`] for a number that stands for no scope.
    #[inline]
    fn try_from(number: u32) -> Result<Self> {
        Ok(match number {
            0 => Self::Configuration,
            1 => Self::DebugReadOnly,
            2 => Self::DebugWrite,
            3 => Self::DebugWriteFull,
            _ => return Err(EOPNOTSUPP),
        })
    }
}

/// Lets the current task use `scope` on `device`.
///
/// Fails with [`EPERM`] if it may not; then nothing has changed. Else the kernel is tainted where
/// the scope calls for it, even if the RPC fails later. Goes before all that the driver does.
#[inline]
pub(crate) fn authorize(scope: RpcScope, device: &impl AsRef<device::Device>) -> Result {
    if scope < RpcScope::DebugWrite {
        return Ok(());
    }
    if scope == RpcScope::DebugWriteFull && !capable(Capability::SysRawio) {
        return Err(EPERM);
    }

    taint_once(device.as_ref());
    Ok(())
}

/// Taints the kernel, and says so, if that has not been done since the subsystem was loaded.
fn taint_once(device: &device::Device) {
    static TAINTED: Atomic<bool> = Atomic::new(false);

    if TAINTED.load(Relaxed) || TAINTED.xchg(true, Relaxed) {
        return;
    }

    let mut comm = [0u8; 16];
    // SAFETY: The array is as long as the function asks for.
    unsafe { shim::fwctl_shim_comm(comm.as_mut_ptr().cast()) };
    let comm = CStr::from_bytes_until_nul(&comm).unwrap_or(c"?");

    dev_warn!(
        device,
        "{}({}): has requested full access to the physical device\n",
        comm,
        current!().pid()
    );
    taint::add(Taint::Fwctl);
}

#[kunit_tests(rust_fwctl_scope)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_uapi() -> Result {
        use kernel::bindings::fwctl_rpc_scope as uapi;

        for (number, scope) in [
            (uapi::FWCTL_RPC_CONFIGURATION, RpcScope::Configuration),
            (uapi::FWCTL_RPC_DEBUG_READ_ONLY, RpcScope::DebugReadOnly),
            (uapi::FWCTL_RPC_DEBUG_WRITE, RpcScope::DebugWrite),
            (uapi::FWCTL_RPC_DEBUG_WRITE_FULL, RpcScope::DebugWriteFull),
        ] {
            assert_eq!(RpcScope::try_from(number.0)?, scope);
            assert_eq!(scope as u32, number.0);
        }
        Ok(())
    }

    #[test]
    fn other_numbers_are_refused() {
        for number in [4, 5, 0x8000_0000, u32::MAX] {
            assert_eq!(RpcScope::try_from(number), Err(EOPNOTSUPP));
        }
    }

    #[test]
    fn scopes_are_ordered() {
        assert!(RpcScope::Configuration < RpcScope::DebugReadOnly);
        assert!(RpcScope::DebugReadOnly < RpcScope::DebugWrite);
        assert!(RpcScope::DebugWrite < RpcScope::DebugWriteFull);
    }
}
