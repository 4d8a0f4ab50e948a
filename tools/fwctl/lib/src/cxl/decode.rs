// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values of the Features that the specification defines, field by field (CXL 3.2, sections
//! 8.2.10.7.2 and 8.2.10.9.11).

use super::known_features;
use crate::Uuid;

/// A field of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FeatureField {
    /// Its name, unique in the value.
    pub name: String,
    /// Its bits.
    pub value: u64,
    /// Unit of the number, where it has one.
    pub unit: Option<&'static str>,
    /// What the number stands for, where it stands for something.
    pub meaning: Option<&'static str>,
}

impl FeatureField {
    /// The value for people: with its unit, or what it stands for.
    pub fn text(&self) -> String {
        match (self.meaning, self.unit) {
            (Some(meaning), None) => meaning.to_owned(),
            (Some(meaning), Some(unit)) => format!("{meaning} {unit}"),
            (None, Some(unit)) => format!("{} {unit}", self.value),
            (None, None) => self.value.to_string(),
        }
    }
}

/// What the bits of a field are.
#[derive(Clone, Copy)]
enum Kind {
    Flag,
    Number(Option<&'static str>),
    /// Numbers that stand for something; with the unit of that.
    Names(&'static [(u64, &'static str)], Option<&'static str>),
}

/// Where a field is: its first byte, its lowest bit there, and its width.
#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    byte: usize,
    bit: u32,
    width: u32,
    kind: Kind,
}

const fn flag(name: &'static str, byte: usize, bit: u32) -> Place {
    Place {
        name,
        byte,
        bit,
        width: 1,
        kind: Kind::Flag,
    }
}

const fn bits(name: &'static str, byte: usize, bit: u32, width: u32, kind: Kind) -> Place {
    Place {
        name,
        byte,
        bit,
        width,
        kind,
    }
}

const HOURS: Kind = Kind::Number(Some("h"));
const PLAIN: Kind = Kind::Number(None);

/// Device Patrol Scrub Control (8.2.10.9.11.1).
const PATROL_SCRUB: &[Place] = &[
    flag("cycle-changeable", 0, 0),
    flag("real-time-report", 0, 1),
    bits("cycle", 1, 0, 8, HOURS),
    bits("minimum-cycle", 2, 0, 8, HOURS),
    flag("enabled", 3, 0),
];

/// DDR5 Error Check Scrub Control (8.2.10.9.11.2): the part before the media FRUs.
const ECS: &[Place] = &[bits(
    "log-entry-type",
    0,
    0,
    2,
    Kind::Names(&[(0, "per DRAM"), (1, "per media FRU")], None),
)];

/// The same: each media FRU.
const ECS_FRU: &[Place] = &[
    flag("real-time-report", 0, 0),
    bits(
        "threshold",
        1,
        0,
        3,
        Kind::Names(
            &[(3, "256"), (4, "1024"), (5, "4096")],
            Some("errors per Gbit"),
        ),
    ),
    bits(
        "count-mode",
        1,
        3,
        1,
        Kind::Names(
            &[(0, "rows with errors"), (1, "codewords with errors")],
            None,
        ),
    ),
    flag("reset-counter", 1, 4),
    bits("flags", 3, 0, 8, PLAIN),
];

/// Size of the values of each media FRU, and of what is before them.
const ECS_HEAD: usize = 1;
const ECS_FRU_SIZE: usize = 4;

/// What all repairs have (8.2.10.7.2): latency, capabilities, mode, and class.
const REPAIR: &[Place] = &[
    bits("maximum-latency", 0, 0, 8, PLAIN),
    flag("device-initiated-capable", 1, 0),
    flag("device-initiated", 3, 0),
    bits(
        "class",
        5,
        0,
        8,
        Kind::Names(&[(1, "PPR"), (2, "memory sparing")], None),
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
    flag("sparing-event-record-enabled", 19, 0),
    flag("device-initiated-at-boot-enabled", 19, 1),
];

/// Memory sparing (8.2.10.7.2.3).
const SPARING: &[Place] = &[
    flag("not-safe-when-in-use", 17, 0),
    flag("hard-sparing-supported", 17, 1),
    flag("soft-sparing-supported", 17, 2),
];

/// The fields of a whole value of a Feature that the specification defines. Nothing for other
/// Features, and for a value that is too short.
pub fn feature_fields(uuid: Uuid, value: &[u8]) -> Option<Vec<FeatureField>> {
    let (name, _) = known_features().find(|(_, known)| *known == uuid)?;
    let read = |places: &[Place], at: usize, prefix: &str| -> Option<Vec<FeatureField>> {
        places
            .iter()
            .map(|place| place.read(value.get(at..)?, prefix))
            .collect()
    };
    let parts = match name {
        "patrol-scrub" => vec![read(PATROL_SCRUB, 0, "")?],
        "ecs" => {
            let frus = value.len().checked_sub(ECS_HEAD)? / ECS_FRU_SIZE;
            let fru = |n: usize| {
                let at = ECS_HEAD + n * ECS_FRU_SIZE;
                read(ECS_FRU, at, &format!("fru{n}."))
            };
            let mut parts = vec![read(ECS, 0, "")?];
            parts.extend((0..frus).map(fru).collect::<Option<Vec<_>>>()?);
            parts
        }
        "sppr" | "hppr" => vec![read(REPAIR, 0, "")?, read(PPR, 0, "")?],
        _ => vec![read(REPAIR, 0, "")?, read(SPARING, 0, "")?],
    };
    Some(parts.concat())
}

impl Place {
    /// Reads the field from a value in which all places are relative to the start.
    fn read(&self, value: &[u8], prefix: &str) -> Option<FeatureField> {
        let byte = u64::from(*value.get(self.byte)?);
        let value = (byte >> self.bit) & ((1 << self.width) - 1);
        let (unit, meaning) = match self.kind {
            Kind::Flag => (None, Some(if value == 0 { "no" } else { "yes" })),
            Kind::Number(unit) => (unit, None),
            Kind::Names(names, unit) => {
                let found = names.iter().find(|(number, _)| *number == value);
                (
                    unit.filter(|_| found.is_some()),
                    found.map(|(_, name)| *name),
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
