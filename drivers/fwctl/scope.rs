// SPDX-License-Identifier: GPL-2.0-only

//! The scopes of an RPC, and what each requires of the caller.

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

use crate::{
    device::Device,
    shim, //
};

/// What an RPC may do, from the least to the most.
///
/// A scope includes all lower ones, so drivers compare: `scope >= RpcScope::DebugWrite`. The driver
/// decides which scope a command needs. The core decides which callers may use a scope. The numbers
/// are `enum fwctl_rpc_scope` of `include/uapi/fwctl/fwctl.h`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RpcScope {
    /// Read and write the configuration of the device, while in-kernel users of the device are
    /// not disrupted.
    Configuration = 0,
    /// Read debug information.
    DebugReadOnly = 1,
    /// Write debug state in ways that a locked-down kernel allows. Taints the kernel.
    DebugWrite = 2,
    /// Write everything that the firmware allows. Needs `CAP_SYS_RAWIO` and taints the kernel.
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

    /// Returns the name, as in the trace events and in sysfs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::DebugReadOnly => "debug-read-only",
            Self::DebugWrite => "debug-write",
            Self::DebugWriteFull => "debug-write-full",
        }
    }
}

impl TryFrom<u32> for RpcScope {
    type Error = Error;

    /// Fails with [`EOPNOTSUPP`] for an unknown number.
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

/// The scopes that an administrator allows on a device: those up to one, or none.
pub(crate) struct MaxScope(
    /// How many scopes.
    Atomic<u32>,
);

impl MaxScope {
    /// Allows all scopes.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(RpcScope::ALL.len() as u32))
    }

    /// Returns whether `scope` is allowed.
    #[inline]
    fn allows(&self, scope: RpcScope) -> bool {
        (scope as u32) < self.0.load(Relaxed)
    }

    /// Returns the highest scope that is allowed, or [`None`] if there is none.
    pub(crate) fn get(&self) -> Option<RpcScope> {
        RpcScope::ALL
            .into_iter()
            .rev()
            .find(|scope| self.allows(*scope))
    }

    /// Allows the scopes up to `scope`, or none. RPCs that have begun are not affected.
    ///
    /// Fails with [`EPERM`] if that allows more than before and the current task does not have
    /// `CAP_SYS_RAWIO`.
    pub(crate) fn set(&self, scope: Option<RpcScope>) -> Result {
        self.change(scope, || capable(Capability::SysRawio))
    }

    fn change(&self, scope: Option<RpcScope>, may_raise: impl Fn() -> bool) -> Result {
        let to = scope.map_or(0, |scope| scope as u32 + 1);
        let mut from = self.0.load(Relaxed);

        loop {
            if to > from && !may_raise() {
                return Err(EPERM);
            }
            // Another task may have lowered it meanwhile.
            match self.0.cmpxchg(from, to, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => from = now,
            }
        }
    }
}

/// Checks that the current task may use `scope` on `device`.
///
/// Fails with [`EPERM`] if it may not, or if the administrator does not allow the scope on this
/// device. Otherwise taints the kernel if the scope requires it; the
/// taint stays even if the RPC fails later. Must run before the driver sees the request.
#[inline(always)]
pub(crate) fn authorize(scope: RpcScope, device: &Device) -> Result {
    if !device.max_scope.allows(scope) {
        return Err(EPERM);
    }
    if scope < RpcScope::DebugWrite {
        return Ok(());
    }
    if scope == RpcScope::DebugWriteFull && !capable(Capability::SysRawio) {
        return Err(EPERM);
    }

    taint_once(device.as_ref());
    Ok(())
}

/// Taints the kernel and logs a warning, once after the subsystem was loaded.
#[inline(never)]
fn taint_once(device: &device::Device) {
    static TAINTED: Atomic<bool> = Atomic::new(false);

    if TAINTED.load(Relaxed) || TAINTED.xchg(true, Relaxed) {
        return;
    }

    let (comm, pid) = shim::comm_and_pid();
    let comm = CStr::from_bytes_until_nul(&comm).unwrap_or(c"?");

    dev_warn!(
        device,
        "{}({}): has requested full access to the physical device\n",
        comm,
        pid
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
    fn any_scope_is_allowed_at_first() {
        let max = MaxScope::new();

        assert_eq!(max.get(), Some(RpcScope::DebugWriteFull));
        assert!(RpcScope::ALL.into_iter().all(|scope| max.allows(scope)));
    }

    #[test]
    fn only_scopes_up_to_the_highest_are_allowed() -> Result {
        let max = MaxScope::new();

        for highest in RpcScope::ALL {
            max.change(Some(highest), || true)?;
            assert_eq!(max.get(), Some(highest));
            for scope in RpcScope::ALL {
                assert_eq!(max.allows(scope), scope <= highest);
            }
        }
        max.change(None, || false)?;
        assert_eq!(max.get(), None);
        assert!(!RpcScope::ALL.into_iter().any(|scope| max.allows(scope)));
        Ok(())
    }

    #[test]
    fn raising_needs_a_permission_and_lowering_none() -> Result {
        let max = MaxScope::new();

        max.change(Some(RpcScope::DebugReadOnly), || false)?;
        max.change(Some(RpcScope::DebugReadOnly), || false)?;
        assert_eq!(max.change(Some(RpcScope::DebugWrite), || false), Err(EPERM));
        assert_eq!(max.get(), Some(RpcScope::DebugReadOnly));
        max.change(None, || false)?;
        assert_eq!(
            max.change(Some(RpcScope::Configuration), || false),
            Err(EPERM)
        );
        max.change(Some(RpcScope::DebugWriteFull), || true)?;
        assert_eq!(max.get(), Some(RpcScope::DebugWriteFull));
        Ok(())
    }

    #[test]
    fn scopes_are_ordered() {
        assert!(RpcScope::Configuration < RpcScope::DebugReadOnly);
        assert!(RpcScope::DebugReadOnly < RpcScope::DebugWrite);
        assert!(RpcScope::DebugWrite < RpcScope::DebugWriteFull);
    }
}
