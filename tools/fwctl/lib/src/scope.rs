// SPDX-License-Identifier: MIT OR Apache-2.0

//! RPC scopes.

use fwctl_uapi::scope;
use std::fmt;
use std::str::FromStr;

/// What a request is allowed to do, from the harmless to the harmful: each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read and write configuration; the device stays in a supported state.
    Configuration,
    /// Read debug information.
    DebugReadOnly,
    /// Write debug state. Taints the kernel.
    DebugWrite,
    /// Write anything. Taints the kernel and needs `CAP_SYS_RAWIO`.
    DebugWriteFull,
}

impl Scope {
    /// All scopes, the harmless first.
    pub const ALL: [Scope; 4] = [
        Scope::Configuration,
        Scope::DebugReadOnly,
        Scope::DebugWrite,
        Scope::DebugWriteFull,
    ];

    /// The number in the ABI.
    pub const fn number(self) -> u32 {
        match self {
            Scope::Configuration => scope::CONFIGURATION,
            Scope::DebugReadOnly => scope::DEBUG_READ_ONLY,
            Scope::DebugWrite => scope::DEBUG_WRITE,
            Scope::DebugWriteFull => scope::DEBUG_WRITE_FULL,
        }
    }

    /// The scope with this number in the ABI.
    pub fn from_number(number: u32) -> Option<Scope> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.number() == number)
    }

    /// The name that command lines and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Configuration => "configuration",
            Scope::DebugReadOnly => "debug-read-only",
            Scope::DebugWrite => "debug-write",
            Scope::DebugWriteFull => "debug-write-full",
        }
    }

    /// The kernel is tainted once a request in this scope is made, whatever the firmware answers.
    pub const fn is_tainting(self) -> bool {
        matches!(self, Scope::DebugWrite | Scope::DebugWriteFull)
    }

    /// A request in this scope changes nothing, so it can be repeated.
    pub const fn is_read_only(self) -> bool {
        matches!(self, Scope::DebugReadOnly)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Scope, UnknownScope> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.name() == name)
            .ok_or(UnknownScope)
    }
}

/// No scope has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: use configuration, debug-read-only, debug-write or debug-write-full")]
pub struct UnknownScope;

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers: enum fwctl_rpc_scope, include/uapi/fwctl/fwctl.h.
    #[test]
    fn numbers_names_and_order_agree() {
        for (number, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(scope.number() as usize, number);
            assert_eq!(Scope::from_number(number as u32), Some(scope));
            assert_eq!(scope.name().parse(), Ok(scope));
        }
        assert_eq!(Scope::from_number(4), None);
        assert_eq!("DEBUG-WRITE".parse::<Scope>(), Err(UnknownScope));
        assert!(
            Scope::Configuration < Scope::DebugReadOnly
                && Scope::DebugWrite < Scope::DebugWriteFull
        );
    }

    #[test]
    fn exactly_the_two_write_scopes_taint() {
        assert_eq!(
            Scope::ALL.map(Scope::is_tainting),
            [false, false, true, true]
        );
        assert_eq!(
            Scope::ALL.map(Scope::is_read_only),
            [false, true, false, false]
        );
    }
}
