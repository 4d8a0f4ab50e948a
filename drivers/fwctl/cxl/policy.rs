// SPDX-License-Identifier: GPL-2.0-only

//! Policy: the scope that setting a Feature requires.
//!
//! A device lists the effects of setting each of its Features. [`EFFECTS`] maps an effect to the
//! least scope that allows it. Everything that the table does not allow is refused.

use fwctl::RpcScope;
use kernel::prelude::*;

use crate::wire::FeatureEntry;

/// How an effect decides on setting a Feature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Describes no change: neither requires a scope nor allows anything.
    Neutral,
    /// Requires at least this scope.
    Needs(RpcScope),
    /// Not allowed in any scope.
    Refused,
}

/// The effects by bit number, CXL specification 3.2, table 8-87.
///
/// Immediate changes can disrupt in-kernel users of the memory and require the highest scope. So
/// does the security state, which controls who may read and erase the memory. A change that takes
/// effect at a reset disrupts nothing before it.
const EFFECTS: [Effect; 16] = {
    use Effect::*;

    [
        Needs(RpcScope::DebugWrite),     // Configuration change at a cold reset.
        Needs(RpcScope::DebugWriteFull), // Immediate configuration change.
        Needs(RpcScope::DebugWriteFull), // Immediate data change.
        Needs(RpcScope::DebugWriteFull), // Immediate policy change.
        Needs(RpcScope::DebugWriteFull), // Immediate log change.
        Needs(RpcScope::DebugWriteFull), // Security state change.
        Refused,                         // Background operation, of unknown duration.
        Neutral,                         // Supported on the secondary mailbox.
        Neutral,                         // The background operation can be aborted.
        Neutral,                         // `RESETS_ARE_VALID`.
        Needs(RpcScope::DebugWrite),     // Configuration change at a conventional reset.
        Needs(RpcScope::DebugWrite),     // Configuration change at a CXL reset.
        Refused,                         // Reserved, as all bits below.
        Refused,
        Refused,
        Refused,
    ]
};

/// The effect bit that declares the bits in [`RESETS`] valid.
const RESETS_ARE_VALID: u16 = 1 << 9;

/// The effect bits of changes at a conventional reset and at a CXL reset.
const RESETS: u16 = 1 << 10 | 1 << 11;

/// Returns the least scope that allows setting a Feature with these effects.
///
/// Returns `None` if no scope does: if an effect is refused, or if there is none. A changeable
/// Feature without effects is a bug in the device.
pub(crate) fn needed_scope(effects: u16) -> Option<RpcScope> {
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

/// Checks whether an RPC of `scope` may set the Feature.
///
/// Fails with [`EPERM`] in every scope if the kernel reserves the Feature for itself. Fails with
/// [`EINVAL`] if the device does not allow the Feature to be changed, or if its effects require a
/// higher scope or are refused.
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

    /// Derives the policy a second time, by masks instead of by bit numbers.
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
    fn exclusive_features() -> Result {
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
        // All flags except the one for changeable Features.
        for scope in RpcScope::ALL {
            assert_eq!(may_set(&entry(0xfe, 1)?, false, scope), Err(EINVAL));
        }
        Ok(())
    }
}
