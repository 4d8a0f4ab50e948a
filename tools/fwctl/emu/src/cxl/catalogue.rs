// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list of Features: one for each effect of a Set Feature, and one for each other property that
//! a Feature can have.
//!
//! Their UUIDs are 66776374-6c00-4000-8000-0000000000NN ("fwctl"), where NN is the index of the
//! Feature. Patrol scrub has the UUID of the specification.

use super::opcodes::effect;
use super::payloads::{SupportedFeature, Uuid};

/// Flags of a Supported Feature Entry (8.2.10.6.1).
pub mod flag {
    /// The value can be changed.
    pub const CHANGEABLE: u32 = 1 << 0;
    /// The Feature has a default value.
    pub const DEFAULT_SELECTION: u32 = 1 << 5;
    /// The Feature has a saved value.
    pub const SAVED_SELECTION: u32 = 1 << 6;
}

/// Patrol scrub control (8.2.10.9.11.1): 96dad7d6-fde8-482b-a733-75774e06db8a.
pub const PATROL_SCRUB: Uuid = 0x96da_d7d6_fde8_482b_a733_7577_4e06_db8au128.to_be_bytes();

/// Version of the data of all Features.
pub const VERSION: u8 = 1;

/// Description of a Feature.
#[derive(Debug)]
pub struct Definition {
    /// Name, for people.
    pub name: &'static str,
    /// Size of the value.
    pub size: u16,
    /// UUID, if it is not derived from the index.
    uuid: Option<Uuid>,
    /// [`flag`].
    pub flags: u32,
    /// [`effect`].
    pub effects: u16,
    /// Maximum of the first byte.
    pub limit: u8,
}

impl Definition {
    /// Returns the UUID of the Feature with this index.
    pub fn uuid(&self, index: usize) -> Uuid {
        let ours = 0x6677_6374_6c00_4000_8000_0000_0000_0000u128 + index as u128;
        self.uuid.unwrap_or(ours.to_be_bytes())
    }

    /// Number of bytes that can be set.
    pub fn set_size(&self) -> u16 {
        match self.is_changeable() {
            true => self.size,
            false => 0,
        }
    }

    /// Returns whether the value can be changed.
    pub fn is_changeable(&self) -> bool {
        self.flags & flag::CHANGEABLE != 0
    }

    /// Returns whether the Feature has a saved value.
    pub fn is_saved(&self) -> bool {
        self.flags & flag::SAVED_SELECTION != 0
    }

    /// Returns the factory value of the Feature with this index.
    pub fn default_value(&self, index: usize) -> Vec<u8> {
        let byte = |n: u16| (index as u16 ^ n ^ n >> 8) as u8;
        (0..self.size).map(byte).collect()
    }

    /// Returns the Supported Feature Entry.
    pub fn entry(&self, index: usize) -> SupportedFeature {
        SupportedFeature {
            uuid: self.uuid(index),
            index: (index as u16).into(),
            get_size: self.size.into(),
            set_size: self.set_size().into(),
            flags: self.flags.into(),
            get_version: VERSION,
            set_version: VERSION,
            effects: self.effects.into(),
            reserved: [0; 18],
        }
    }
}

const ALL_SELECTIONS: u32 = flag::CHANGEABLE | flag::DEFAULT_SELECTION | flag::SAVED_SELECTION;

/// A value of four bytes that can be changed, with all selections.
const fn small(name: &'static str, effects: u16) -> Definition {
    Definition {
        name,
        size: 4,
        uuid: None,
        flags: ALL_SELECTIONS,
        effects,
        limit: u8::MAX,
    }
}

/// Effects of a reset, and the bits that make them valid.
const CONVENTIONAL: u16 = effect::RESETS_ARE_VALID | effect::CONFIGURATION_CONVENTIONAL_RESET;
const CXL: u16 = effect::RESETS_ARE_VALID | effect::CONFIGURATION_CXL_RESET;
const COLD: u16 = effect::CONFIGURATION_COLD_RESET;

/// All Features, by index.
pub const CATALOGUE: &[Definition] = &[
    // Each effect that requires a scope.
    small("immediate-configuration", effect::IMMEDIATE_CONFIGURATION),
    small("immediate-data", effect::IMMEDIATE_DATA),
    small("immediate-policy", effect::IMMEDIATE_POLICY),
    small("immediate-log", effect::IMMEDIATE_LOG),
    small("cold-reset", COLD),
    small("conventional-reset", CONVENTIONAL),
    small("cxl-reset", CXL),
    // Some of them combined.
    small("any-reset", COLD | CONVENTIONAL | CXL),
    small(
        "immediate-and-reset",
        effect::IMMEDIATE_CONFIGURATION | COLD,
    ),
    // Effects that require no scope, alone and with one that does; the security state requires one.
    small("none", 0),
    small("security-state", effect::SECURITY_STATE),
    small("resets-valid", effect::RESETS_ARE_VALID),
    small("security-and-reset", effect::SECURITY_STATE | COLD),
    small("abortable-and-reset", effect::BACKGROUND_ABORT | COLD),
    small("secondary-and-reset", effect::SECONDARY_MAILBOX | COLD),
    // Effects that no scope permits.
    small(
        "background",
        effect::BACKGROUND | effect::IMMEDIATE_CONFIGURATION,
    ),
    small("reserved-12", 1 << 12 | effect::IMMEDIATE_CONFIGURATION),
    small("reserved-13", 1 << 13 | effect::IMMEDIATE_CONFIGURATION),
    small("reserved-14", 1 << 14 | effect::IMMEDIATE_CONFIGURATION),
    small("reserved-15", 1 << 15 | effect::IMMEDIATE_CONFIGURATION),
    // Other properties.
    Definition {
        size: 5000,
        ..small("large", effect::IMMEDIATE_DATA)
    },
    Definition {
        size: 1000,
        ..small("large-at-reset", COLD)
    },
    Definition {
        flags: flag::DEFAULT_SELECTION | flag::SAVED_SELECTION,
        ..small("read-only", 0)
    },
    Definition {
        flags: flag::CHANGEABLE,
        ..small("current-only", effect::IMMEDIATE_CONFIGURATION)
    },
    Definition {
        size: 1200,
        limit: 100,
        ..small("limited", effect::IMMEDIATE_CONFIGURATION)
    },
    Definition {
        uuid: Some(PATROL_SCRUB),
        ..small("patrol-scrub", effect::IMMEDIATE_POLICY)
    },
    // Effects without the bit that makes them valid.
    small(
        "resets-not-valid",
        effect::CONFIGURATION_CONVENTIONAL_RESET | effect::CONFIGURATION_CXL_RESET,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use zerocopy::IntoBytes;

    #[test]
    fn names_and_uuids_are_unique() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|definition| definition.name).collect();
        let uuids: BTreeSet<_> = (0..)
            .zip(CATALOGUE)
            .map(|(n, definition)| definition.uuid(n))
            .collect();
        assert_eq!(
            (names.len(), uuids.len()),
            (CATALOGUE.len(), CATALOGUE.len())
        );
    }

    #[test]
    fn each_effect_has_a_feature() {
        let all = CATALOGUE
            .iter()
            .fold(0, |all, definition| all | definition.effects);
        assert_eq!(all, u16::MAX);
        assert!(CATALOGUE
            .iter()
            .any(|definition| definition.effects == 0 && definition.is_changeable()));
    }

    #[test]
    fn golden_bytes() {
        let entry = CATALOGUE[5].entry(5);
        let expected = [
            0x66, 0x77, 0x63, 0x74, 0x6c, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 5, // UUID
            5, 0, 4, 0, 4, 0, 0x61, 0, 0, 0, 1, 1, 0, 6,
        ];
        assert_eq!(entry.as_bytes()[..30], expected);
        let read_only = CATALOGUE
            .iter()
            .find(|definition| definition.name == "read-only")
            .unwrap();
        assert_eq!(
            read_only.entry(0).as_bytes()[16..30],
            [0, 0, 4, 0, 0, 0, 0x60, 0, 0, 0, 1, 1, 0, 0]
        );
        assert_eq!(
            CATALOGUE[20].default_value(20)[254..259],
            [20 ^ 254, 20 ^ 255, 20 ^ 1, 20, 20 ^ 3]
        );
    }
}
