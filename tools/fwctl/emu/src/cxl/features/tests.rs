// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

struct Device(Features, Instant);

fn index(name: &str) -> usize {
    CATALOGUE
        .iter()
        .position(|definition| definition.name == name)
        .unwrap()
}

impl Device {
    fn new() -> Self {
        Device(Features::new(Duration::from_secs(30)), Instant::now())
    }

    fn get(
        &mut self,
        name: &str,
        offset: u16,
        count: u16,
        selection: u8,
    ) -> Result<Vec<u8>, ReturnCode> {
        let n = index(name);
        let input = GetFeatureIn {
            uuid: CATALOGUE[n].uuid(n),
            offset: offset.into(),
            count: count.into(),
            selection,
        };
        self.0.get(&input, 512)
    }

    fn values(&mut self, name: &str) -> [Vec<u8>; 3] {
        [0, 1, 2].map(|selection| self.get(name, 0, 4, selection).unwrap())
    }

    fn set(&mut self, name: &str, flags: u32, offset: u16, data: &[u8]) -> Result<Set, ReturnCode> {
        let n = index(name);
        self.set_raw(CATALOGUE[n].uuid(n), flags, offset, 1, data)
    }

    fn set_raw(
        &mut self,
        uuid: Uuid,
        flags: u32,
        offset: u16,
        version: u8,
        data: &[u8],
    ) -> Result<Set, ReturnCode> {
        let head = SetFeatureHead {
            uuid,
            flags: flags.into(),
            offset: offset.into(),
            version,
            reserved: [0; 9],
        };
        self.0.set(&[head.as_bytes(), data].concat(), self.1)
    }
}

const OLD: [u8; 4] = [1, 2, 3, 4];
const NEW: [u8; 4] = [9, 8, 7, 6];

#[test]
fn listed() {
    let features = Features::new(Duration::ZERO);
    let list = |count: u32, start: u16| {
        let input = GetSupportedIn {
            count: count.into(),
            start: start.into(),
            reserved: [0; 2],
        };
        features.supported(&input, 512)
    };
    let count = CATALOGUE.len() as u16;
    let head = list(8, 0).unwrap();
    assert_eq!(head, [0, 0, count as u8, 0, 0, 0, 0, 0]);
    assert_eq!(list(8 + 48 * 2 + 47, 3).unwrap().len(), 8 + 48 * 2);
    assert_eq!(list(u32::MAX, 0).unwrap()[0], 10, "as many as fit");
    assert_eq!(list(u32::MAX, count - 1).unwrap()[0], 1);
    assert_eq!(list(7, 0), Err(ReturnCode::INPUT));
    assert_eq!(list(100, count), Err(ReturnCode::INPUT));
}

#[test]
fn parts_of_a_value() {
    let mut device = Device::new();
    let whole = CATALOGUE[index("large")].default_value(index("large"));
    assert_eq!(
        device.get("large", 1000, 512, 0).unwrap(),
        whole[1000..1512]
    );
    assert_eq!(device.get("large", 4990, 512, 1).unwrap(), whole[4990..]);
    assert_eq!(device.get("large", 0, 513, 0), Err(ReturnCode::INPUT));
    assert_eq!(device.get("large", 5000, 1, 0), Err(ReturnCode::INPUT));
    assert_eq!(
        device.get("large", u16::MAX, u16::MAX, 0),
        Err(ReturnCode::INPUT)
    );
    assert_eq!(device.get("current-only", 0, 4, 0).unwrap().len(), 4);
    for selection in [1, 2, 3, 0xff] {
        assert_eq!(
            device.get("current-only", 0, 4, selection),
            Err(ReturnCode::FEATURE_SELECTION)
        );
    }
}

#[test]
fn at_once() {
    let mut device = Device::new();
    let before = device.values("immediate-data")[1].clone();
    assert_eq!(device.set("immediate-data", 0, 0, &NEW), Ok(Set::Done));
    assert_eq!(
        device.values("immediate-data"),
        [NEW.to_vec(), before.clone(), before.clone()]
    );
    // Not saved: lost at the next reset, except for the effect that is not about configuration.
    device.0.reset(Reset::Cxl);
    assert_eq!(device.values("immediate-data")[0], NEW);
    device.0.reset(Reset::Conventional);
    assert_eq!(
        device.values("immediate-data"),
        [before.clone(), before.clone(), before.clone()]
    );
    // Saved; then one byte changes without being saved.
    assert_eq!(device.set("immediate-data", 8, 0, &OLD), Ok(Set::Done));
    assert_eq!(device.set("immediate-data", 0, 3, &[0xff]), Ok(Set::Done));
    assert_eq!(device.values("immediate-data")[0], [1, 2, 3, 0xff]);
    device.0.reset(Reset::Cold);
    assert_eq!(
        device.values("immediate-data"),
        [OLD.to_vec(), before, OLD.to_vec()]
    );
}

#[test]
fn at_a_reset() {
    for (name, least) in [
        ("cxl-reset", Reset::Cxl),
        ("any-reset", Reset::Cxl),
        ("conventional-reset", Reset::Conventional),
        ("cold-reset", Reset::Cold),
    ] {
        let mut device = Device::new();
        let [before, ..] = device.values(name);
        assert_eq!(device.set(name, 8, 0, &NEW), Ok(Set::Done));
        // Two changes before the reset: the second modifies the first.
        assert_eq!(device.set(name, 0, 1, &[0]), Ok(Set::Done));
        assert_eq!(
            device.values(name),
            [before.clone(), before.clone(), NEW.to_vec()]
        );
        for reset in [Reset::Cxl, Reset::Conventional, Reset::Cold] {
            if reset < least {
                device.0.reset(reset);
                assert_eq!(device.values(name)[0], before, "{name} {reset:?}");
            }
        }
        device.0.reset(least);
        assert_eq!(device.values(name)[0], [9, 0, 7, 6], "{name}");
        device.0.reset(Reset::Cold);
        assert_eq!(device.values(name)[0], NEW, "{name}: the saved value");
    }
    // With an additional immediate effect, or reset effects that are not valid.
    for name in [
        "immediate-and-reset",
        "security-and-reset",
        "resets-not-valid",
    ] {
        let mut device = Device::new();
        device.set(name, 0, 0, &NEW).unwrap();
        assert_eq!(device.values(name)[0], NEW, "{name}");
    }
}

#[test]
fn in_parts() {
    let mut device = Device::new();
    let before = device.get("large", 0, 8, 0).unwrap();
    assert_eq!(device.set("large", 8 | 1, 2, &[1, 2]), Ok(Set::InParts));
    assert_eq!(
        device.0.open_transfer().unwrap(),
        "transfer of large, 2 bytes"
    );
    assert_eq!(device.set("large", 8 | 2, 4, &[3]), Ok(Set::InParts));
    assert_eq!(
        device.get("large", 0, 8, 0).unwrap(),
        before,
        "only when the transfer is complete"
    );
    assert_eq!(
        device.set("cold-reset", 0, 0, &NEW),
        Err(ReturnCode::FEATURE_TRANSFER_IN_PROGRESS)
    );
    assert_eq!(device.set("large", 8 | 3, 5, &[4]), Ok(Set::Done));
    let expected = [&before[..2], &[1, 2, 3, 4], &before[6..]].concat();
    assert_eq!(device.get("large", 0, 8, 0).unwrap(), expected);
    assert_eq!(device.get("large", 0, 8, 2).unwrap(), expected);

    // A refused value leaves the transfer in progress, for the guest to abort.
    assert_eq!(device.set("limited", 1, 0, &[101]), Ok(Set::InParts));
    assert_eq!(device.set("limited", 3, 1, &[0]), Err(ReturnCode::INPUT));
    assert!(device.0.open_transfer().is_some());
    assert_eq!(device.set("limited", 4, 0, &[]), Ok(Set::InParts));
    assert_eq!(device.0.open_transfer(), None);
}

#[test]
fn invalid_requests_are_refused() {
    let mut device = Device::new();
    let unknown = [0xf0; 16];
    let known = CATALOGUE[0].uuid(0);
    let cases: [(Uuid, u32, u16, u8, &[u8], _); 9] = [
        (unknown, 0, 0, 1, &NEW, ReturnCode::UNSUPPORTED),
        (
            CATALOGUE[index("read-only")].uuid(index("read-only")),
            0,
            0,
            1,
            &NEW,
            ReturnCode::UNSUPPORTED,
        ),
        (known, 5, 0, 1, &NEW, ReturnCode::INPUT),
        (known, 0x10, 0, 1, &NEW, ReturnCode::INPUT),
        (known, 0, 0, 2, &NEW, ReturnCode::FEATURE_VERSION),
        (known, 0, 1, 1, &NEW, ReturnCode::INPUT),
        (known, 0, u16::MAX, 1, &NEW, ReturnCode::INPUT),
        (known, 0, 0, 1, &[], ReturnCode::INPUT),
        (
            known,
            2,
            0,
            1,
            &NEW,
            ReturnCode::FEATURE_TRANSFER_OUT_OF_ORDER,
        ),
    ];
    for (uuid, flags, offset, version, data, code) in cases {
        let result = device.set_raw(uuid, flags, offset, version, data);
        assert_eq!(result, Err(code), "{uuid:x?} {flags:#x} {offset} {version}");
    }
    assert_eq!(
        device.0.set(&[0; 31], device.1),
        Err(ReturnCode::PAYLOAD_LENGTH)
    );
    assert_eq!(device.set("limited", 0, 0, &[101]), Err(ReturnCode::INPUT));
    assert_eq!(device.set("limited", 0, 0, &[100]), Ok(Set::Done));
    assert_eq!(device.set("background", 0, 0, &NEW), Ok(Set::Background));
}

#[test]
fn shown() {
    let mut device = Device::new();
    device.set("cold-reset", 8, 0, &NEW).unwrap();
    let one = device.0.one("cold-reset").unwrap();
    assert_eq!(
        (&one["pending"], &one["saved"]),
        (&json!("09080706"), &json!("09080706"))
    );
    assert_eq!(one["uuid"], "66776374-6c00-4000-8000-000000000004");
    assert_eq!(device.0.one("4"), Some(one));
    assert_eq!(device.0.one("nonsense"), None);
    assert_eq!(device.0.one("1000"), None);
    assert_eq!(
        device.0.json()[20]["current"].as_str().unwrap().len(),
        2 * SHOWN + 3
    );
}
