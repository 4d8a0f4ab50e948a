// SPDX-License-Identifier: MIT OR Apache-2.0

//! Features: what the device says about them, and what the kernel lets user space do with them.

use super::effects::{valid, AFTER_RESET, IMMEDIATE};
use crate::{Scope, Uuid};
use fwctl_uapi::cxl::{effects, feature_flags, FeatureEntry};
use std::fmt;

/// A feature of a device (CXL 3.2, table 8-109). Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Feature {
    /// Its identifier.
    pub uuid: Uuid,
    /// Its index on this device.
    pub id: u16,
    /// Most bytes that Get Feature returns.
    pub get_size: u16,
    /// Most bytes that Set Feature takes; the kernel reports 0 for features that it keeps for
    /// itself.
    pub set_size: u16,
    /// Attribute bits.
    pub flags: u32,
    /// Layout version of what Get Feature returns.
    pub get_version: u8,
    /// Layout version of what Set Feature takes.
    pub set_version: u8,
    /// What setting it does: see [`effect_names`](super::effect_names).
    pub effects: u16,
}

impl Feature {
    pub(super) fn of(entry: FeatureEntry) -> Feature {
        Feature {
            uuid: Uuid(entry.uuid),
            id: entry.id,
            get_size: entry.get_feat_size,
            set_size: entry.set_feat_size,
            flags: entry.flags,
            get_version: entry.get_feat_ver,
            set_version: entry.set_feat_ver,
            effects: entry.effects,
        }
    }
}

/// What setting a feature requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetPolicy {
    /// User space, in this scope or a higher one.
    Scope(Scope),
    /// Nobody through fwctl, for this reason.
    Never(Verdict),
}

/// Why the kernel does not let user space set a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The kernel keeps the feature for itself.
    KernelExclusive,
    /// The device says that it cannot be changed.
    NotChangeable,
    /// Its effects have reserved bits.
    ReservedEffects,
    /// It would continue in the background.
    Background,
    /// The device does not say what setting it does.
    NoEffects,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::KernelExclusive => "the kernel keeps this feature for itself",
            Verdict::NotChangeable => "the device says that this feature cannot be changed",
            Verdict::ReservedEffects => {
                "its effects have reserved bits, and the kernel sets no such feature"
            }
            Verdict::Background => {
                "setting it runs in the background, which the kernel does not let user space do"
            }
            Verdict::NoEffects => {
                "the device does not say what setting it does, and the kernel sets no such feature"
            }
        })
    }
}

/// Features that Linux 7.3 keeps for itself (`include/cxl/features.h`), and our short names for
/// them.
const KNOWN: [(&str, Uuid); 8] = [
    (
        "patrol-scrub",
        Uuid(0x96dad7d6_fde8_482b_a733_75774e06db8a_u128.to_be_bytes()),
    ),
    (
        "ecs",
        Uuid(0xe5b13f22_2328_4a14_b8ba_b9691e893386_u128.to_be_bytes()),
    ),
    (
        "sppr",
        Uuid(0x892ba475_fad8_474e_9d3e_692c917568bb_u128.to_be_bytes()),
    ),
    (
        "hppr",
        Uuid(0x80ea4521_786f_4127_afb1_ec7459fb0e24_u128.to_be_bytes()),
    ),
    (
        "cacheline-sparing",
        Uuid(0x96c33386_91dd_44c7_9ecb_fdaf6503bac4_u128.to_be_bytes()),
    ),
    (
        "row-sparing",
        Uuid(0x450ebf67_b135_4f97_a498_c2d57f279bed_u128.to_be_bytes()),
    ),
    (
        "bank-sparing",
        Uuid(0x78b79636_90ac_4b64_a4ef_faac5d18a863_u128.to_be_bytes()),
    ),
    (
        "rank-sparing",
        Uuid(0x34dbaff5_0552_4281_8f76_da0b5e7a76a7_u128.to_be_bytes()),
    ),
];

/// The feature with this short name: patrol-scrub, ecs, sppr, hppr, cacheline-, row-, bank- or
/// rank-sparing.
pub fn known_feature(name: &str) -> Option<Uuid> {
    KNOWN
        .into_iter()
        .find(|(known, _)| *known == name)
        .map(|(_, uuid)| uuid)
}

/// Every feature with a short name.
pub fn known_features() -> impl Iterator<Item = (&'static str, Uuid)> {
    KNOWN.into_iter()
}

impl Feature {
    /// Its short name, where it has one.
    pub fn name(&self) -> Option<&'static str> {
        KNOWN
            .into_iter()
            .find(|(_, uuid)| *uuid == self.uuid)
            .map(|(name, _)| name)
    }

    /// The kernel keeps it for itself: it then reports that nothing can be set.
    pub fn is_kernel_exclusive(&self) -> bool {
        self.name().is_some() && self.set_size == 0
    }

    /// The device, and the kernel on its behalf, say that Set Feature may change it.
    pub fn is_changeable(&self) -> bool {
        self.flags & feature_flags::CHANGEABLE != 0
    }

    /// Get Feature can return its default value.
    pub fn has_default(&self) -> bool {
        self.flags & feature_flags::DEFAULT_SELECTION != 0
    }

    /// Get Feature can return its saved value.
    pub fn has_saved(&self) -> bool {
        self.flags & feature_flags::SAVED_SELECTION != 0
    }

    /// Its saved value survives a firmware update.
    pub fn is_persistent(&self) -> bool {
        self.flags & feature_flags::PERSISTS_ACROSS_FW_UPDATE != 0
    }

    /// Setting it changes something at once; else only the next reset does.
    pub fn is_immediate(&self) -> bool {
        self.effects & IMMEDIATE != 0
    }

    /// What the kernel asks of a program that sets it.
    pub fn set_policy(&self) -> SetPolicy {
        let word = valid(self.effects);
        let never = if self.is_kernel_exclusive() {
            Some(Verdict::KernelExclusive)
        } else if !self.is_changeable() {
            Some(Verdict::NotChangeable)
        } else if word & effects::RESERVED != 0 {
            Some(Verdict::ReservedEffects)
        } else if word & effects::BACKGROUND != 0 {
            Some(Verdict::Background)
        } else if word & (IMMEDIATE | AFTER_RESET) == 0 {
            Some(Verdict::NoEffects)
        } else {
            None
        };
        match never {
            Some(verdict) => SetPolicy::Never(verdict),
            None if self.is_immediate() => SetPolicy::Scope(Scope::DebugWriteFull),
            None => SetPolicy::Scope(Scope::DebugWrite),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CXL 3.2, table 8-109.
    #[test]
    fn an_entry_is_read_field_by_field() {
        let mut bytes = 0x96dad7d6_fde8_482b_a733_75774e06db8a_u128
            .to_be_bytes()
            .to_vec();
        bytes.extend([
            0x02, 0x01, 0x0c, 0x00, 0x05, 0x04, 0x71, 0x00, 0x00, 0x80, 3, 4, 0x06, 0x02,
        ]);
        bytes.extend([0; 18]);
        let feature = Feature::of(FeatureEntry::split_from(&bytes).unwrap().0);
        assert_eq!(feature.name(), Some("patrol-scrub"));
        assert_eq!(
            (feature.id, feature.get_size, feature.set_size),
            (0x102, 0x0c, 0x405)
        );
        assert_eq!(
            (feature.flags, feature.get_version, feature.set_version),
            (0x8000_0071, 3, 4)
        );
        assert_eq!(feature.effects, 0x0206);
        assert!(
            feature.is_changeable()
                && feature.has_default()
                && feature.has_saved()
                && feature.is_persistent()
        );
    }

    fn vendor(flags: u32, effects: u16) -> Feature {
        let uuid = Uuid([0xff; 16]);
        Feature {
            uuid,
            id: 0,
            get_size: 4,
            set_size: 4,
            flags,
            get_version: 1,
            set_version: 1,
            effects,
        }
    }

    #[test]
    fn the_scope_follows_from_the_effects() {
        for (effects, policy) in [
            (1 << 1, SetPolicy::Scope(Scope::DebugWriteFull)),
            (1 << 2, SetPolicy::Scope(Scope::DebugWriteFull)),
            (1 << 3, SetPolicy::Scope(Scope::DebugWriteFull)),
            (1 << 4, SetPolicy::Scope(Scope::DebugWriteFull)),
            ((1 << 0) | (1 << 4), SetPolicy::Scope(Scope::DebugWriteFull)),
            (1 << 0, SetPolicy::Scope(Scope::DebugWrite)),
            ((1 << 10) | (1 << 9), SetPolicy::Scope(Scope::DebugWrite)),
            ((1 << 11) | (1 << 9), SetPolicy::Scope(Scope::DebugWrite)),
            (0, SetPolicy::Never(Verdict::NoEffects)),
            (1 << 10, SetPolicy::Never(Verdict::NoEffects)),
            (1 << 11, SetPolicy::Never(Verdict::NoEffects)),
            ((1 << 11) | (1 << 0), SetPolicy::Scope(Scope::DebugWrite)),
            (1 << 7, SetPolicy::Never(Verdict::NoEffects)),
            (1 << 8, SetPolicy::Never(Verdict::NoEffects)),
            (1 << 5, SetPolicy::Scope(Scope::DebugWriteFull)),
            ((1 << 5) | (1 << 0), SetPolicy::Scope(Scope::DebugWriteFull)),
            ((1 << 6) | (1 << 1), SetPolicy::Never(Verdict::Background)),
            (
                (1 << 12) | (1 << 1),
                SetPolicy::Never(Verdict::ReservedEffects),
            ),
        ] {
            assert_eq!(vendor(1, effects).set_policy(), policy, "{effects:#x}");
        }
        assert_eq!(
            vendor(0, 1 << 1).set_policy(),
            SetPolicy::Never(Verdict::NotChangeable)
        );
    }

    // cxlctl_get_supported_features() clears both for Features that the kernel keeps.
    #[test]
    fn a_feature_is_the_kernel_s_only_if_the_kernel_says_so() {
        let scrub = |flags, set_size| {
            let uuid = known_feature("patrol-scrub").unwrap();
            let feature = Feature {
                uuid,
                set_size,
                ..vendor(flags, 1 << 1)
            };
            feature.set_policy()
        };
        assert_eq!(scrub(0, 0), SetPolicy::Never(Verdict::KernelExclusive));
        assert_eq!(scrub(1, 0), SetPolicy::Never(Verdict::KernelExclusive));
        assert_eq!(scrub(0, 2), SetPolicy::Never(Verdict::NotChangeable));
        assert_eq!(scrub(1, 2), SetPolicy::Scope(Scope::DebugWriteFull));
    }

    #[test]
    fn names_and_uuids_are_unique() {
        for (name, uuid) in KNOWN {
            assert_eq!(
                KNOWN
                    .iter()
                    .filter(|known| known.0 == name || known.1 == uuid)
                    .count(),
                1
            );
        }
        assert_eq!(
            known_feature("ecs").unwrap().to_string(),
            "e5b13f22-2328-4a14-b8ba-b9691e893386"
        );
    }
}
