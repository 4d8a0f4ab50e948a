// SPDX-License-Identifier: MIT OR Apache-2.0

//! Settings against the tables of CXL 3.2.

use super::*;
use crate::cxl::{feature_fields, known_feature, known_features};

fn feature(name: &str, set_size: u16) -> Feature {
    Feature {
        uuid: known_feature(name).unwrap(),
        id: 0,
        get_size: 0,
        set_size,
        flags: 1,
        get_version: 1,
        set_version: 1,
        effects: 2,
    }
}

/// Applies settings to a value; returns the new one, and what is written.
fn change(name: &str, value: &[u8], texts: &[&str]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let uuid = known_feature(name).unwrap();
    let data = writable_part(uuid, value).unwrap_or_default();
    let feature = feature(name, data.len() as u16);
    let new = Settings::parse(uuid, texts).and_then(|found| found.apply(&feature, value));
    let new = new.map_err(|error| error.to_string())?;
    Ok((new.value, new.data))
}

// Tables 8-222 and 8-223 of CXL 3.2: cycle and flags are what is written.
#[test]
fn patrol_scrub() {
    let value = [0x03, 12, 1, 0xfe];
    let texts = ["cycle=24h", "enabled=on"];
    assert_eq!(
        change("patrol-scrub", &value, &texts),
        Ok((vec![0x03, 24, 1, 0xff], vec![24, 0xff]))
    );
    // The others keep their bits.
    for (text, data) in [
        ("cycle=1d", [24, 0xfe]),
        ("cycle=10d", [240, 0xfe]),
        ("cycle=255h", [255, 0xfe]),
        ("enabled=yes", [12, 0xff]),
        ("enabled=off", [12, 0xfe]),
    ] {
        let (_, written) = change("patrol-scrub", &value, &[text]).unwrap();
        assert_eq!(written, data, "{text}");
    }
}

#[test]
fn numbers_as_the_device_stores_them() {
    let uuid = known_feature("patrol-scrub").unwrap();
    let value = [0x03, 12, 1, 0xfe];
    let set = |name, number| {
        let settings = Settings::new(uuid, [(name, NewField::Number(number))])?;
        Ok(settings.apply(&feature("patrol-scrub", 2), &value)?.data)
    };
    assert_eq!(set("cycle", 24), Ok(vec![24, 0xfe]));
    assert_eq!(set("enabled", 1), Ok(vec![12, 0xff]));
    for (name, number) in [("cycle", 0), ("cycle", 256), ("enabled", 2)] {
        let error = set(name, number).unwrap_err();
        assert!(matches!(error, SettingError::Value { .. }), "{error}");
    }
    let error = set("minimum-cycle", 1).unwrap_err();
    assert!(matches!(error, SettingError::ReadOnly { .. }), "{error}");
    // Of fields whose numbers stand for something, those that do.
    let uuid = known_feature("ecs").unwrap();
    let set = |number| Settings::new(uuid, [("fru0.threshold", NewField::Number(number))]);
    assert!(set(3).is_ok() && set(0).is_err());
}

// Tables 8-225 and 8-226: capabilities and flags of a media FRU are not written.
#[test]
fn error_check_scrub() {
    let value = [0xf0, 1, 0xe3, 0xab, 0x11, 0, 0x0c, 0xcd, 0x22];
    let texts = [
        "fru1.threshold=4096",
        "log-entry-type=media-fru",
        "fru1.count-mode=rows",
        "fru1.reset-counter=on",
    ];
    assert_eq!(
        change("ecs", &value, &texts),
        Ok((
            vec![0xf1, 1, 0xe3, 0xab, 0x11, 0, 0x15, 0xcd, 0x22],
            vec![0xf1, 0xe3, 0xab, 0x15, 0xcd]
        ))
    );
    let error = |text| change("ecs", &value, &[text]).unwrap_err();
    assert_eq!(
        error("fru2.threshold=256"),
        "no field \"fru2.threshold\": the device has 2 media FRUs, and the first is fru0"
    );
    // The number in the bits is not the threshold.
    assert_eq!(
        error("fru0.threshold=3"),
        "fru0.threshold=3: not one of the values; possible is fru0.threshold=256|1024|4096"
    );
    for text in [
        "threshold=256",
        "fru00.threshold=256",
        "fru+1.threshold=256",
        "fru65536.threshold=256",
        "fru0.log-entry-type=dram",
        "fruN.threshold=256",
    ] {
        assert!(error(text).starts_with("no field"), "{text}");
    }
    assert!(error("fru0.flags=1").starts_with(
        "fru0.flags can only be read; possible are log-entry-type=dram|media-fru, fruN.threshold="
    ));
}

// Tables 8-128, 8-129, 8-134 and 8-135: the mode of the operation, and of PPR.
#[test]
fn repairs() {
    let mut head = [5, 1, 0, 0xf0, 0x0f, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let ppr = [&head[..], &[0x0c, 0, 0, 0x80]].concat();
    let texts = [
        "device-initiated=on",
        "device-initiated-at-boot-enabled=on",
        "sparing-event-record-enabled=off",
    ];
    for name in ["sppr", "hppr"] {
        let (value, data) = change(name, &ppr, &texts).unwrap();
        assert_eq!(data, [0xf1, 0x0f, 0x82]);
        assert_eq!((value[3], value[19]), (0xf1, 0x82));
    }
    let sparing = [&head[..], &[0, 5, 0]].concat();
    let on = ["device-initiated=on"];
    assert_eq!(
        change("row-sparing", &sparing, &on).map(|(_, data)| data),
        Ok(vec![0xf1, 0x0f])
    );
    // What the device cannot do can still be turned off.
    head[1] = 0;
    let incapable = [&head[..], &[0, 5, 0]].concat();
    assert_eq!(
        change("bank-sparing", &incapable, &on).unwrap_err(),
        "device-initiated cannot be set to on: device-initiated-capable of this device is no"
    );
    assert!(change("bank-sparing", &incapable, &["device-initiated=off"]).is_ok());
}

#[test]
fn errors_say_what_is_possible() {
    const ALL: &str = "possible are cycle=1h..255h, enabled=on|off";
    const CYCLE: &str = "possible is cycle=1h..255h";
    let value = [1, 12, 6, 0];
    for (text, error) in [
        ("speed=1", format!("no field \"speed\"; {ALL}")),
        ("=1", format!("no field \"\"; {ALL}")),
        (
            "cycle",
            format!("\"cycle\" is not of the form FIELD=VALUE; {ALL}"),
        ),
        (
            "minimum-cycle=2h",
            format!("minimum-cycle can only be read; {ALL}"),
        ),
        (
            "cycle=24",
            format!("cycle=24: a unit is missing: h is hours, d is days; {CYCLE}"),
        ),
        (
            "cycle=90m",
            format!("cycle=90m: not a unit of the field: h is hours, d is days; {CYCLE}"),
        ),
        ("cycle=0h", format!("cycle=0h: not in this range; {CYCLE}")),
        (
            "cycle=256h",
            format!("cycle=256h: not in this range; {CYCLE}"),
        ),
        (
            "cycle=11d",
            format!("cycle=11d: not in this range; {CYCLE}"),
        ),
        (
            "cycle=99999999999999999999h",
            format!("cycle=99999999999999999999h: not in this range; {CYCLE}"),
        ),
        (
            "cycle=18446744073709551615d",
            format!("cycle=18446744073709551615d: not in this range; {CYCLE}"),
        ),
        (
            "cycle=-1h",
            format!("cycle=-1h: not a whole number with a unit, such as 24h or 1d; {CYCLE}"),
        ),
        (
            "cycle=5h",
            "cycle=5h: less than the minimum of this device; possible is cycle=6h..255h".into(),
        ),
        (
            "enabled=1",
            "enabled=1: neither on nor off; possible is enabled=on|off".into(),
        ),
    ] {
        assert_eq!(
            change("patrol-scrub", &value, &[text]),
            Err(error),
            "{text}"
        );
    }
    assert_eq!(
        change("patrol-scrub", &value, &["cycle=7h", "cycle=8h"]),
        Err("cycle is named twice".into())
    );
    assert_eq!(
        change("patrol-scrub", &[2, 12, 6, 0], &["cycle=7h"]),
        Err("cycle cannot be set to 7h: cycle-changeable of this device is no".into())
    );
    assert_eq!(
        Settings::parse(Uuid([0xff; 16]), &["a=1"]),
        Err(SettingError::UnknownLayout)
    );
}

#[test]
fn values_of_other_layouts_are_not_written() {
    let uuid = known_feature("patrol-scrub").unwrap();
    let settings = Settings::parse(uuid, &["enabled=on"]).unwrap();
    for (value, set_size, error) in [
        (&[3, 12, 1][..], 2, SettingError::Short { got: 3 }),
        (&[], 2, SettingError::Short { got: 0 }),
        (
            &[3, 12, 1, 0],
            4,
            SettingError::Size {
                takes: 4,
                layout: 2,
            },
        ),
    ] {
        let feature = feature("patrol-scrub", set_size);
        assert_eq!(settings.apply(&feature, value), Err(error));
    }
}

// Whatever the device returns: what is written is part of it, and has the new fields.
#[test]
fn every_field_of_every_feature() {
    for (name, uuid) in known_features() {
        for len in 0..40 {
            let value = vec![0xff; len];
            let data = writable_part(uuid, &value).unwrap_or_default();
            let feature = feature(name, data.len() as u16);
            for (field, values) in settable_fields(uuid).unwrap() {
                let field = field.replace(ANY_FRU, "fru0.");
                let first = values.split(['|', '.']).next().unwrap();
                let first = if first == "1h" { "255h" } else { first };
                let text = format!("{field}={first}");
                let settings = Settings::parse(uuid, &[&text]).unwrap();
                assert_eq!(settings.names().concat(), field);
                let Ok(new) = settings.apply(&feature, &value) else {
                    continue;
                };
                assert_eq!(writable_part(uuid, &new.value), Some(new.data));
                let fields = feature_fields(uuid, &new.value);
                if len >= 20 {
                    assert!(fields.unwrap().iter().any(|found| found.name == field));
                }
            }
        }
    }
}
