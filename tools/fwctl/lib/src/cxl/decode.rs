// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values of the Features that the specification defines, field by field (CXL 3.2, sections
//! 8.2.10.7.2 and 8.2.10.9.11).

use super::known_features;
use crate::catalogue::{Datum, Decoded, Unit};
use crate::Uuid;
use std::ops::Range;

/// A field of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FeatureField {
    /// Its name, unique in the value.
    pub name: String,
    /// Its bits.
    pub value: u64,
    /// Unit of the number, or of what it stands for, where there is one.
    pub unit: Option<Unit>,
    /// What the number stands for, where it stands for something.
    pub meaning: Option<&'static str>,
}

impl FeatureField {
    /// The value for people: with its unit, or what it stands for.
    pub fn text(&self) -> String {
        match (self.meaning, self.unit.map(Unit::symbol)) {
            (Some(meaning), None) => meaning.to_owned(),
            (Some(meaning), Some(unit)) => format!("{meaning} {unit}"),
            (None, Some(unit)) => format!("{} {unit}", self.value),
            (None, None) => self.value.to_string(),
        }
    }
}

impl From<FeatureField> for Decoded {
    fn from(field: FeatureField) -> Decoded {
        // A number that stands for another one, in a unit.
        let converted = field.unit.and_then(|_| field.meaning?.parse::<u64>().ok());
        Decoded {
            name: field.name.into(),
            datum: Datum::Number(converted.unwrap_or(field.value)),
            unit: field.unit,
            volatility: None,
            raw: converted.map(|_| field.value),
            meaning: field.meaning.filter(|_| converted.is_none()),
        }
    }
}

/// What the bits of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Number(Option<Unit>),
    /// Numbers that stand for something; with the unit of that.
    Names(&'static [Named], Option<Unit>),
}

/// A number that stands for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) number: u64,
    /// The word that a setting uses.
    pub(super) keyword: &'static str,
    /// What it stands for.
    pub(super) meaning: &'static str,
}

/// Where a field is: its first byte, its lowest bit there, and its width. No field crosses a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: &'static str,
    byte: usize,
    bit: u32,
    pub(super) width: u32,
    pub(super) kind: Kind,
    /// Set Feature takes it.
    pub(super) is_writable: bool,
    /// The flag of the value without which the device does not change the field, or does not turn
    /// it on.
    pub(super) needs: Option<&'static str>,
    /// The field of the value that has its minimum.
    pub(super) least: Option<&'static str>,
}

const fn flag(name: &'static str, byte: usize, bit: u32) -> Place {
    bits(name, byte, bit, 1, Kind::Flag)
}

const fn bits(name: &'static str, byte: usize, bit: u32, width: u32, kind: Kind) -> Place {
    Place {
        name,
        byte,
        bit,
        width,
        kind,
        is_writable: false,
        needs: None,
        least: None,
    }
}

const fn named(number: u64, keyword: &'static str, meaning: &'static str) -> Named {
    Named {
        number,
        keyword,
        meaning,
    }
}

impl Place {
    const fn writable(self) -> Place {
        Place {
            is_writable: true,
            ..self
        }
    }

    const fn needs(self, flag: &'static str) -> Place {
        Place {
            needs: Some(flag),
            ..self
        }
    }

    const fn at_least(self, field: &'static str) -> Place {
        Place {
            least: Some(field),
            ..self
        }
    }
}

const HOURS: Kind = Kind::Number(Some(Unit::Hours));
const PLAIN: Kind = Kind::Number(None);

/// Device Patrol Scrub Control (8.2.10.9.11.1).
const PATROL_SCRUB: &[Place] = &[
    flag("cycle-changeable", 0, 0),
    flag("real-time-report", 0, 1),
    bits("cycle", 1, 0, 8, HOURS)
        .writable()
        .needs("cycle-changeable")
        .at_least("minimum-cycle"),
    bits("minimum-cycle", 2, 0, 8, HOURS),
    flag("enabled", 3, 0).writable(),
];

/// DDR5 Error Check Scrub Control (8.2.10.9.11.2): the part before the media FRUs.
const ECS: &[Place] = &[bits(
    "log-entry-type",
    0,
    0,
    2,
    Kind::Names(
        &[
            named(0, "dram", "per DRAM"),
            named(1, "media-fru", "per media FRU"),
        ],
        None,
    ),
)
.writable()];

/// The same: each media FRU.
const ECS_FRU: &[Place] = &[
    flag("real-time-report", 0, 0),
    bits(
        "threshold",
        1,
        0,
        3,
        Kind::Names(
            &[
                named(3, "256", "256"),
                named(4, "1024", "1024"),
                named(5, "4096", "4096"),
            ],
            Some(Unit::ErrorsPerGigabit),
        ),
    )
    .writable(),
    bits(
        "count-mode",
        1,
        3,
        1,
        Kind::Names(
            &[
                named(0, "rows", "rows with errors"),
                named(1, "codewords", "codewords with errors"),
            ],
            None,
        ),
    )
    .writable(),
    flag("reset-counter", 1, 4).writable(),
    bits("flags", 3, 0, 8, PLAIN),
];

/// Size of the values of each media FRU, and of what is before them.
const ECS_HEAD: usize = 1;
const ECS_FRU_SIZE: usize = 4;

/// What all repairs have (8.2.10.7.2): latency, capabilities, mode, and class.
const REPAIR: &[Place] = &[
    bits("maximum-latency", 0, 0, 8, PLAIN),
    flag("device-initiated-capable", 1, 0),
    flag("device-initiated", 3, 0)
        .writable()
        .needs("device-initiated-capable"),
    bits(
        "class",
        5,
        0,
        8,
        Kind::Names(
            &[
                named(1, "ppr", "PPR"),
                named(2, "sparing", "memory sparing"),
            ],
            None,
        ),
    ),
    bits("subclass", 6, 0, 8, PLAIN),
];

/// Post package repair, soft and hard (8.2.10.7.2.1, 8.2.10.7.2.2).
const PPR: &[Place] = &[
    flag("dpa-supported", 16, 0),
    flag("nibble-mask-supported", 16, 1),
    flag("sparing-event-record-supported", 16, 2),
    flag("device-initiated-at-boot-supported", 16, 3),
    flag("media-not-accessible", 17, 0),
    flag("data-not-retained", 17, 2),
    flag("sparing-event-record-enabled", 19, 0)
        .writable()
        .needs("sparing-event-record-supported"),
    flag("device-initiated-at-boot-enabled", 19, 1)
        .writable()
        .needs("device-initiated-at-boot-supported"),
];

/// Memory sparing (8.2.10.7.2.3).
const SPARING: &[Place] = &[
    flag("not-safe-when-in-use", 17, 0),
    flag("hard-sparing-supported", 17, 1),
    flag("soft-sparing-supported", 17, 2),
];

/// The layout of the value of a Feature that the specification defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    PatrolScrub,
    Ecs,
    Ppr,
    Sparing,
}

/// Fields in sequence.
pub(super) struct Part {
    /// What the names of its fields begin with.
    pub(super) prefix: String,
    /// The byte of the value that the places are relative to.
    pub(super) at: usize,
    pub(super) places: &'static [Place],
}

impl Layout {
    pub(super) fn of(uuid: Uuid) -> Option<Layout> {
        let (name, _) = known_features().find(|(_, known)| *known == uuid)?;
        Some(match name {
            "patrol-scrub" => Layout::PatrolScrub,
            "ecs" => Layout::Ecs,
            "sppr" | "hppr" => Layout::Ppr,
            _ => Layout::Sparing,
        })
    }

    /// Number of media FRUs in a value of this length, of a Feature that has them.
    pub(super) fn frus(self, len: usize) -> usize {
        match self {
            Layout::Ecs => len.saturating_sub(ECS_HEAD) / ECS_FRU_SIZE,
            _ => 0,
        }
    }

    /// What a value has once.
    pub(super) fn common(self) -> Vec<Part> {
        let part = |places| Part {
            prefix: String::new(),
            at: 0,
            places,
        };
        match self {
            Layout::PatrolScrub => vec![part(PATROL_SCRUB)],
            Layout::Ecs => vec![part(ECS)],
            Layout::Ppr => vec![part(REPAIR), part(PPR)],
            Layout::Sparing => vec![part(REPAIR), part(SPARING)],
        }
    }

    /// What a value has for a media FRU.
    pub(super) fn fru(self, number: usize) -> Option<Part> {
        (self == Layout::Ecs).then(|| Part {
            prefix: format!("fru{number}."),
            at: ECS_HEAD + number * ECS_FRU_SIZE,
            places: ECS_FRU,
        })
    }

    /// The bytes of a value that Set Feature takes, in its order.
    pub(super) fn writable_bytes(self, len: usize) -> Vec<Range<usize>> {
        match self {
            // Cycle, and flags.
            Layout::PatrolScrub => vec![1..2, 3..4],
            // Type of log entries, and the configuration of each media FRU.
            Layout::Ecs => {
                let fru = |n| ECS_HEAD + n * ECS_FRU_SIZE;
                let configs = (0..self.frus(len)).map(|n| fru(n) + 1..fru(n) + 3);
                std::iter::once(0..1).chain(configs).collect()
            }
            // Mode of the maintenance operation, and mode of PPR.
            Layout::Ppr => vec![3..5, 19..20],
            Layout::Sparing => std::iter::once(3..5).collect(),
        }
    }
}

/// The fields of a whole value of a Feature that the specification defines. Nothing for other
/// Features, and for a value that is too short.
pub fn feature_fields(uuid: Uuid, value: &[u8]) -> Option<Vec<FeatureField>> {
    let layout = Layout::of(uuid)?;
    let frus = (0..layout.frus(value.len())).filter_map(|number| layout.fru(number));
    let parts = layout.common().into_iter().chain(frus);
    let read = |part: Part| -> Option<Vec<FeatureField>> {
        let value = value.get(part.at..)?;
        let fields = part.places.iter();
        fields
            .map(|place| place.read(value, &part.prefix))
            .collect()
    };
    let fields: Vec<Vec<FeatureField>> = parts.map(read).collect::<Option<_>>()?;
    Some(fields.concat())
}

impl Place {
    /// The bits of the field, in a value in which all places are relative to the start.
    pub(super) fn get(&self, value: &[u8]) -> Option<u64> {
        let byte = u64::from(*value.get(self.byte)?);
        Some((byte >> self.bit) & self.most())
    }

    /// Replaces the bits of the field; nothing if the value is too short or the number too large.
    pub(super) fn set(&self, value: &mut [u8], number: u64) -> Option<()> {
        let byte = value.get_mut(self.byte)?;
        let bits = u8::try_from(number)
            .ok()
            .filter(|_| number <= self.most())?;
        let mask = (self.most() as u8) << self.bit;
        *byte = (*byte & !mask) | (bits << self.bit);
        Some(())
    }

    /// The largest number that fits in the field.
    pub(super) fn most(&self) -> u64 {
        (1 << self.width) - 1
    }

    fn read(&self, value: &[u8], prefix: &str) -> Option<FeatureField> {
        let value = self.get(value)?;
        let (unit, meaning) = match self.kind {
            Kind::Flag => (None, Some(if value == 0 { "no" } else { "yes" })),
            Kind::Number(unit) => (unit, None),
            Kind::Names(names, unit) => {
                let found = names.iter().find(|known| known.number == value);
                (
                    unit.filter(|_| found.is_some()),
                    found.map(|known| known.meaning),
                )
            }
        };
        Some(FeatureField {
            name: format!("{prefix}{}", self.name),
            value,
            unit,
            meaning,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cxl::known_feature;

    fn texts(name: &str, value: &[u8]) -> Vec<String> {
        let fields = feature_fields(known_feature(name).unwrap(), value).unwrap();
        let text = |field: &FeatureField| format!("{}={}", field.name, field.text());
        fields.iter().map(text).collect()
    }

    // The values of QEMU's device.
    #[test]
    fn scrub_and_ecs() {
        assert_eq!(
            texts("patrol-scrub", &[3, 12, 1, 0]),
            [
                "cycle-changeable=yes",
                "real-time-report=yes",
                "cycle=12 h",
                "minimum-cycle=1 h",
                "enabled=no"
            ]
        );
        let ecs = texts("ecs", &[1, 1, 3, 0, 0, 0, 0x1c, 0, 9]);
        assert_eq!(
            ecs,
            [
                "log-entry-type=per media FRU",
                "fru0.real-time-report=yes",
                "fru0.threshold=256 errors per Gbit",
                "fru0.count-mode=rows with errors",
                "fru0.reset-counter=no",
                "fru0.flags=0",
                "fru1.real-time-report=no",
                "fru1.threshold=1024 errors per Gbit",
                "fru1.count-mode=codewords with errors",
                "fru1.reset-counter=yes",
                "fru1.flags=9"
            ]
        );
        // A number without a meaning.
        assert_eq!(texts("ecs", &[2, 0, 7, 0, 0])[2], "fru0.threshold=7");
    }

    #[test]
    fn fields_as_the_catalogue_has_them() {
        let decoded = |name: &str, value: &[u8]| -> Vec<Decoded> {
            let fields = feature_fields(known_feature(name).unwrap(), value).unwrap();
            fields.into_iter().map(Decoded::from).collect()
        };
        let scrub = decoded("patrol-scrub", &[3, 12, 1, 0]);
        let cycle = (&scrub[2].datum, scrub[2].unit, scrub[2].meaning);
        assert_eq!(cycle, (&Datum::Number(12), Some(Unit::Hours), None));
        assert_eq!(
            (&scrub[4].datum, scrub[4].meaning, scrub[4].raw),
            (&Datum::Number(0), Some("no"), None)
        );
        // What the number stands for has the unit.
        let threshold = &decoded("ecs", &[1, 1, 3, 0, 0])[2];
        assert_eq!(
            (&threshold.datum, threshold.unit, threshold.raw),
            (&Datum::Number(256), Some(Unit::ErrorsPerGigabit), Some(3))
        );
        assert_eq!(threshold.meaning, None);
    }

    #[test]
    fn repairs() {
        let mut value = [5, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let ppr = [&value[..], &[0x05, 0x04, 0, 0x02]].concat();
        assert_eq!(
            texts("sppr", &ppr),
            [
                "maximum-latency=5",
                "device-initiated-capable=yes",
                "device-initiated=yes",
                "class=PPR",
                "subclass=0",
                "dpa-supported=yes",
                "nibble-mask-supported=no",
                "sparing-event-record-supported=yes",
                "device-initiated-at-boot-supported=no",
                "media-not-accessible=no",
                "data-not-retained=yes",
                "sparing-event-record-enabled=no",
                "device-initiated-at-boot-enabled=yes"
            ]
        );
        assert_eq!(texts("hppr", &ppr), texts("sppr", &ppr));
        (value[5], value[6]) = (2, 3);
        let sparing = [&value[..], &[0, 0x05, 0]].concat();
        assert_eq!(
            texts("rank-sparing", &sparing)[3..],
            [
                "class=memory sparing",
                "subclass=3",
                "not-safe-when-in-use=yes",
                "hard-sparing-supported=no",
                "soft-sparing-supported=yes"
            ]
        );
    }

    #[test]
    fn short_values_and_other_features() {
        for (name, _) in known_features() {
            let uuid = known_feature(name).unwrap();
            assert_eq!(feature_fields(uuid, &[]), None);
            for len in 0..40 {
                let _ = feature_fields(uuid, &vec![0xff; len]);
            }
        }
        assert_eq!(feature_fields(Uuid([0xff; 16]), &[0; 64]), None);
    }
}
