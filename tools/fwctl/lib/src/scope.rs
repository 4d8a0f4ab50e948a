// SPDX-License-Identifier: MIT OR Apache-2.0

//! RPC scopes.

use fwctl_uapi::scope;
use std::fmt;
use std::str::FromStr;

/// What a request is allowed to do. Scopes are cumulative: a request in one may do whatever those
/// before it admit, so a request in [`Scope::DebugReadOnly`] may still change configuration. What a
/// request does depends on its command: [`Device::only_reads`](crate::Device::only_reads).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Read and write configuration; the device stays in a supported state.
    Configuration,
    /// Read debug information, and all that [`Scope::Configuration`] allows.
    DebugReadOnly,
    /// Write debug state. Taints the kernel.
    DebugWrite,
    /// Write anything. Taints the kernel and needs `CAP_SYS_RAWIO`.
    DebugWriteFull,
}

impl Scope {
    /// All scopes, in ascending order.
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

    /// Returns whether a request in this scope taints the kernel, whatever the firmware answers.
    pub const fn is_tainting(self) -> bool {
        matches!(self, Scope::DebugWrite | Scope::DebugWriteFull)
    }
}

/// The scopes that an administrator allows on a device, `max_scope` in sysfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaxScope {
    /// No scope: every RPC is refused.
    None,
    /// This scope and those before it.
    UpTo(Scope),
}

impl MaxScope {
    /// Whether RPCs may use a scope.
    pub fn allows(self, scope: Scope) -> bool {
        matches!(self, MaxScope::UpTo(highest) if scope <= highest)
    }
}

impl fmt::Display for MaxScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxScope::None => f.pad("none"),
            MaxScope::UpTo(scope) => scope.fmt(f),
        }
    }
}

impl FromStr for MaxScope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<MaxScope, UnknownScope> {
        match name {
            "none" => Ok(MaxScope::None),
            name => name.parse().map(MaxScope::UpTo),
        }
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
    }

    #[test]
    fn the_highest_scope_includes_those_before_it() {
        let highest: MaxScope = "debug-read-only".parse().unwrap();
        assert_eq!(highest, MaxScope::UpTo(Scope::DebugReadOnly));
        assert!(highest.allows(Scope::Configuration) && !highest.allows(Scope::DebugWrite));
        let none: MaxScope = "none".parse().unwrap();
        assert!(Scope::ALL.into_iter().all(|scope| !none.allows(scope)) && none < highest);
        assert_eq!(
            (none.to_string(), highest.to_string()),
            ("none".into(), "debug-read-only".into())
        );
        assert!("all".parse::<MaxScope>().is_err());
    }
}
