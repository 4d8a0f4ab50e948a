// SPDX-License-Identifier: GPL-2.0-only

//! Who may change a Feature.
//!
//! A device says of each Feature what setting it has an effect on. That decides which scope an RPC
//! needs, see [`EFFECTS`]; what the table does not allow is refused.

use fwctl::RpcScope;
use kernel::prelude::*;

use crate::wire::FeatureEntry;

/// What one effect means for user space that wants to have it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Not an effect on anything: needs nothing, allows nothing.
    Neutral,
    /// Needs at least this scope.
    Needs(RpcScope),
    /// Not available.
    Refused,
}

/// The effects by their bits, CXL specification 3.2, table 8-87.
///
/// What changes at once can pull something away from under the kernel and takes the highest scope.
/// So does the security state, which decides who may read and erase the memory. What waits for a
/// reset can only be prepared.
const EFFECTS: [Effect; 16] = {
    use Effect::*;

    [
        Needs(RpcScope::DebugWrite),     // Configuration, at a cold reset.
        Needs(RpcScope::DebugWriteFull), // Configuration, at once.
        Needs(RpcScope::DebugWriteFull), // Data, at once.
        Needs(RpcScope::DebugWriteFull), // Policy, at once.
        Needs(RpcScope::DebugWriteFull), // Log, at once.
        Needs(RpcScope::DebugWriteFull), // Security state.
        Refused,                         // In the background: nobody knows for how long.
        Neutral,                         // Also on the secondary mailbox.
        Neutral,                         // What is in the background can be aborted.
        Neutral,                         // `RESETS_ARE_VALID`.
        Needs(RpcScope::DebugWrite),     // Configuration, at a conventional reset.
        Needs(RpcScope::DebugWrite),     // Configuration, at a CXL reset.
        Refused,                         // Reserved, like those that follow: nobody knows
        Refused,                         // yet what they stand for.
        Refused,
        Refused,
    ]
};

/// The effect bit without which [`RESETS`] mean nothing.
const RESETS_ARE_VALID: u16 = 1 << 9;

/// The effects at a conventional reset and at a CXL reset.
const RESETS: u16 = 1 << 10 | 1 << 11;

/// Returns the scope that setting a Feature with these effects needs.
///
/// `None` if no scope is enough: for an effect that is not available, and where there is none at
/// all. A Feature that is set and has no effect is a bug in the device.
fn needed_scope(effects: u16) -> Option<RpcScope> {
    let effects = match effects & RESETS_ARE_VALID {
        0 => effects & !RESETS,
        _ => effects,
    };
    let mut needed = None;

    for (bit, effect) in EFFECTS.iter().enumerate() {
        if effects & (1 << bit) == 0 {
            continue;
        }
        match effect {
            Effect::Neutral => {}
            // `None` is less than any scope.
            Effect::Needs(scope) => needed = needed.max(Some(*scope)),
            Effect::Refused => return None,
        }
    }
    needed
}

/// Decides whether an RPC of `scope` may set the Feature.
///
/// Fails with [`EPERM`], whatever the scope, if the Feature is the kernel's own, and else with
/// [`EINVAL`] if the device does not let it be changed, or its effects need a higher scope or are
/// not available.
pub(crate) fn may_set(entry: &FeatureEntry, is_exclusive: bool, scope: RpcScope) -> Result {
    if is_exclusive {
        return Err(EPERM);
    }
    if !entry.is_changeable() {
        return Err(EINVAL);
    }
    match needed_scope(entry.effects.get()) {
        Some(needed) if scope >= needed => Ok(()),
        _ => Err(EINVAL),
    }
}

#[kunit_tests(cxl_fwctl_policy)]
mod tests {
    use super::*;

    fn entry(flags: u8, effects: u16) -> Result<FeatureEntry> {
        let mut bytes = [0; 48];
        bytes[22] = flags;
        bytes[28..30].copy_from_slice(&effects.to_le_bytes());
        FeatureEntry::read_from_bytes(&bytes).map_err(|_| EINVAL)
    }

    /// The policy once more, by masks instead of by bits.
    fn expected(effects: u16, scope: RpcScope) -> bool {
        const BACKGROUND_AND_RESERVED: u16 = 0xf040;
        const IMMEDIATE_AND_SECURITY: u16 = 0x003e;
        const COLD_RESET: u16 = 0x0001;

        if effects & BACKGROUND_AND_RESERVED != 0 {
            false
        } else if effects & IMMEDIATE_AND_SECURITY != 0 {
            scope == RpcScope::DebugWriteFull
        } else if effects & COLD_RESET != 0 || matches!(effects >> 9, 0b011 | 0b101 | 0b111) {
            scope == RpcScope::DebugWrite || scope == RpcScope::DebugWriteFull
        } else {
            false
        }
    }

    #[test]
    fn all_effects_and_scopes() -> Result {
        for effects in 0..=u16::MAX {
            let entry = entry(1, effects)?;
            for scope in RpcScope::ALL {
                let allowed = may_set(&entry, false, scope);
                assert_eq!(allowed.is_ok(), expected(effects, scope));
                assert!(allowed.is_ok() || allowed == Err(EINVAL));
            }
        }
        Ok(())
    }

    #[test]
    fn the_kernels_own() -> Result {
        for flags in [0, 1] {
            for effects in [0, 1, 2, 0x40, 0x8000] {
                for scope in RpcScope::ALL {
                    assert_eq!(may_set(&entry(flags, effects)?, true, scope), Err(EPERM));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn not_changeable() -> Result {
        // All flags but the one that says so.
        for scope in RpcScope::ALL {
            assert_eq!(may_set(&entry(0xfe, 1)?, false, scope), Err(EINVAL));
        }
        Ok(())
    }
}
