// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to bytes, bytes to replies.

use super::Feature;
use crate::{DeviceType, FirmwareStatus, Malformed, Uuid};
use fwctl_uapi::cxl::{
    selection, FeatureEntry, GetFeatureIn, GetSupportedFeaturesIn, GetSupportedFeaturesOut,
    ReplyHeader, RpcHeader, SetFeatureIn, OPCODE_GET_FEATURE, OPCODE_GET_SUPPORTED_FEATURES,
    OPCODE_SET_FEATURE, SET_SAVED_ACROSS_RESET,
};
use std::fmt;
use std::str::FromStr;

/// Bytes before a reply's payload.
pub(super) const REPLY_HEADER: usize = ReplyHeader::LEN;

/// Payload of a reply to a command that succeeded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload(pub(super) Vec<u8>);

/// Which of a feature's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The value in force.
    Current,
    /// The value that the device was made with.
    Default,
    /// The value that the device keeps across resets.
    Saved,
}

impl Selection {
    /// All selections.
    pub const ALL: [Selection; 3] = [Selection::Current, Selection::Default, Selection::Saved];

    /// The name that command lines and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Selection::Current => "current",
            Selection::Default => "default",
            Selection::Saved => "saved",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Selection::Current => selection::CURRENT,
            Selection::Default => selection::DEFAULT,
            Selection::Saved => selection::SAVED,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Selection {
    type Err = UnknownSelection;

    fn from_str(name: &str) -> Result<Selection, UnknownSelection> {
        Selection::ALL
            .into_iter()
            .find(|selection| selection.name() == name)
            .ok_or(UnknownSelection)
    }
}

/// No selection has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a selection: use current, default or saved")]
pub struct UnknownSelection;

/// A Get Feature command (CXL 3.2, section 8.2.10.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetFeature {
    /// The feature.
    pub uuid: Uuid,
    /// Which of its values.
    pub selection: Selection,
    /// First byte wanted.
    pub offset: u16,
    /// Number of bytes wanted; the kernel refuses 0.
    pub size: u16,
}

impl GetFeature {
    /// The request's bytes.
    pub fn request(&self) -> Vec<u8> {
        let body = GetFeatureIn {
            uuid: self.uuid.0,
            offset: self.offset,
            count: self.size,
            selection: self.selection.number(),
        };
        request(OPCODE_GET_FEATURE, &[&body.to_bytes()])
    }
}

/// A Set Feature command (CXL 3.2, section 8.2.10.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetFeature<'a> {
    /// The feature.
    pub uuid: Uuid,
    /// Layout version of the data: [`Feature::set_version`].
    pub version: u8,
    /// First byte that the data replaces.
    pub offset: u16,
    /// The device is to keep the value across resets.
    pub is_saved: bool,
    /// The new bytes; the kernel refuses none.
    pub data: &'a [u8],
}

impl SetFeature<'_> {
    /// The request's bytes.
    pub fn request(&self) -> Vec<u8> {
        let body = SetFeatureIn {
            uuid: self.uuid.0,
            flags: if self.is_saved {
                SET_SAVED_ACROSS_RESET
            } else {
                0
            },
            offset: self.offset,
            version: self.version,
            rsvd: [0; 9],
        };
        request(OPCODE_SET_FEATURE, &[&body.to_bytes(), self.data])
    }
}

/// A Get Supported Features command for `count` entries from `start` on.
pub(super) fn get_supported(start: u16, count: u16) -> Vec<u8> {
    let bytes = GetSupportedFeaturesOut::LEN + usize::from(count) * FeatureEntry::LEN;
    let body = GetSupportedFeaturesIn {
        count: bytes as u32,
        start_idx: start,
        reserved: [0; 2],
    };
    request(OPCODE_GET_SUPPORTED_FEATURES, &[&body.to_bytes()])
}

/// Size of the reply buffer for `count` entries. The C driver appends 8 bytes without meaning.
pub(super) fn supported_room(count: u16) -> usize {
    const C_DRIVER_SURPLUS: usize = 8;
    let entries = usize::from(count) * FeatureEntry::LEN;
    REPLY_HEADER + GetSupportedFeaturesOut::LEN + entries + C_DRIVER_SURPLUS
}

/// Payload of a Get Supported Features reply: the number of features that the device has, and those
/// in the reply.
pub(super) fn supported(payload: &Payload, asked: u16) -> Result<(u16, Vec<Feature>), Malformed> {
    const PART: &str = "features";
    let short = |got| Malformed::Short {
        part: PART,
        needed: GetSupportedFeaturesOut::LEN,
        got,
    };
    let bytes = payload.0.as_slice();
    let (header, entries) =
        GetSupportedFeaturesOut::split_from(bytes).ok_or_else(|| short(bytes.len()))?;
    let count = usize::from(header.num_entries);
    if entries.len() != count * FeatureEntry::LEN {
        return Err(Malformed::Count {
            part: PART,
            count,
            got: entries.len(),
        });
    }
    if count > usize::from(asked) {
        let asked = usize::from(asked) * FeatureEntry::LEN;
        return Err(Malformed::Long {
            part: PART,
            asked,
            got: entries.len(),
        });
    }
    let features = entries
        .chunks_exact(FeatureEntry::LEN)
        .filter_map(FeatureEntry::split_from);
    Ok((
        header.supported_feats,
        features.map(|(entry, _)| Feature::of(entry)).collect(),
    ))
}

/// Takes a reply out of its envelope: its payload, or the device's refusal.
pub(super) fn open(reply: &[u8]) -> Result<Result<Payload, FirmwareStatus>, Malformed> {
    let short = Malformed::Short {
        part: "reply header",
        needed: REPLY_HEADER,
        got: reply.len(),
    };
    let (header, body) = ReplyHeader::split_from(reply).ok_or(short)?;
    if let Some(status) = FirmwareStatus::of_reply(DeviceType::Cxl, reply) {
        return Ok(Err(status));
    }
    let payload = body.get(..header.size as usize).ok_or(Malformed::Short {
        part: "payload",
        needed: header.size as usize,
        got: body.len(),
    })?;
    Ok(Ok(Payload(payload.to_vec())))
}

/// A request: the envelope and its payload.
pub(super) fn request(opcode: u32, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let header = RpcHeader {
        opcode,
        flags: 0,
        op_size: body.len() as u32,
        reserved1: 0,
    };
    [&header.to_bytes()[..], &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Patrol scrub control, include/cxl/features.h.
    const UUID: Uuid = Uuid([
        0x96, 0xda, 0xd7, 0xd6, 0xfd, 0xe8, 0x48, 0x2b, 0xa7, 0x33, 0x75, 0x77, 0x4e, 0x06, 0xdb,
        0x8a,
    ]);

    // Golden bytes have the envelope in the byte order of x86; the payload's order is CXL's.
    #[cfg(target_endian = "little")]
    mod golden {
        use super::*;

        // CXL 3.2, section 8.2.10.6.1.
        #[test]
        fn get_supported_features() {
            assert_eq!(
                get_supported(2, 3),
                [0x00, 5, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 152, 0, 0, 0, 2, 0, 0, 0]
            );
        }

        // CXL 3.2, table 8-111.
        #[test]
        fn get_feature() {
            let get = GetFeature {
                uuid: UUID,
                selection: Selection::Saved,
                offset: 0x102,
                size: 0x304,
            };
            let mut expected = vec![0x01, 5, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 0, 0, 0, 0];
            expected.extend(UUID.0);
            expected.extend([0x02, 0x01, 0x04, 0x03, 2]);
            assert_eq!(get.request(), expected);
        }

        // CXL 3.2, table 8-113.
        #[test]
        fn set_feature() {
            let set = SetFeature {
                uuid: UUID,
                version: 7,
                offset: 0x102,
                is_saved: true,
                data: &[0xaa, 0xbb],
            };
            let mut expected = vec![0x02, 5, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 0, 0, 0, 0];
            expected.extend(UUID.0);
            expected.extend([
                8, 0, 0, 0, 0x02, 0x01, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb,
            ]);
            assert_eq!(set.request(), expected);
        }
    }

    fn reply(size: u32, retval: u32, payload: &[u8]) -> Vec<u8> {
        [&size.to_ne_bytes(), &retval.to_ne_bytes(), payload].concat()
    }

    fn features(count: u16, entries: usize) -> Payload {
        let mut payload = [count.to_le_bytes(), 9u16.to_le_bytes(), [0; 2], [0; 2]].concat();
        payload.resize(8 + entries * 48, 0x11);
        Payload(payload)
    }

    #[test]
    fn an_envelope_is_opened_only_if_its_size_is_true() {
        assert_eq!(open(&reply(2, 0, &[1, 2])), Ok(Ok(Payload(vec![1, 2]))));
        // The surplus of the C driver after the payload is ignored.
        assert_eq!(
            open(&reply(2, 0, &[1, 2, 0, 0, 0])),
            Ok(Ok(Payload(vec![1, 2])))
        );
        assert_eq!(
            open(&reply(3, 0, &[1, 2])),
            Err(Malformed::Short {
                part: "payload",
                needed: 3,
                got: 2
            })
        );
        assert!(matches!(
            open(&reply(u32::MAX, 0, &[])),
            Err(Malformed::Short {
                part: "payload",
                ..
            })
        ));
        assert_eq!(
            open(&[0; 7]),
            Err(Malformed::Short {
                part: "reply header",
                needed: 8,
                got: 7
            })
        );
        let refused = open(&reply(u32::MAX, 2, &[])).unwrap().unwrap_err();
        assert_eq!((refused.code, refused.name), (2, "invalid input"));
    }

    #[test]
    fn entries_must_be_as_many_as_announced_and_asked() {
        let (announced, got) = supported(&features(2, 2), 2).unwrap();
        assert_eq!((announced, got.len()), (9, 2));
        assert_eq!(
            supported(&features(2, 1), 2).unwrap_err(),
            Malformed::Count {
                part: "features",
                count: 2,
                got: 48
            }
        );
        assert_eq!(
            supported(&features(0xffff, 0), 2).unwrap_err().to_string(),
            "the reply announces 65535 features and has 0 bytes of them"
        );
        assert!(matches!(
            supported(&features(3, 3), 2),
            Err(Malformed::Long { .. })
        ));
        assert!(matches!(
            supported(&Payload(vec![0; 7]), 2),
            Err(Malformed::Short { .. })
        ));
    }
}
