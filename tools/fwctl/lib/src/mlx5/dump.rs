// SPDX-License-Identifier: MIT OR Apache-2.0

//! Resource dumps: state of queues, contexts and other objects of the firmware, by the register
//! RESOURCE_DUMP in its inline mode, which needs no memory that the device can write to.
//!
//! Layouts are those of `mlx5_ifc_resource_dump_*` in `include/linux/mlx5/mlx5_ifc.h`; that of a
//! reference and of a notice, and the numbers of the segment types, are mstflint's.

use super::{register, Layout, Mlx5Device};
use crate::{Error, Malformed, Result};

/// Type of the segment that lists what can be dumped.
pub const MENU: u16 = 0xffff;

/// What to dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpRequest {
    /// Type of the segment: one of the menu, or [`MENU`] itself.
    pub segment_type: u16,
    /// Virtual device whose objects are meant.
    pub vhca_id: u16,
    /// First number of the object.
    pub index1: u32,
    /// Second number of the object.
    pub index2: u32,
    /// How many objects, from the first number on.
    pub num_of_obj1: u16,
    /// How many objects, from the second number on.
    pub num_of_obj2: u16,
}

impl DumpRequest {
    /// The object with number 0 of a segment type.
    pub fn new(segment_type: u16) -> DumpRequest {
        DumpRequest {
            segment_type,
            vhca_id: 0,
            index1: 0,
            index2: 0,
            num_of_obj1: 0,
            num_of_obj2: 0,
        }
    }
}

/// A part of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its type.
    pub segment_type: u16,
    /// Its bytes, without the header.
    pub data: Vec<u8>,
    /// What they mean.
    pub content: Content,
}

/// What a segment says. Text comes from the device, so it may contain anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Versions.
    Info {
        /// Version of the dump's format.
        dump_version: u8,
        /// Version of the hardware.
        hw_version: u32,
        /// Version of the firmware.
        fw_version: u32,
    },
    /// The request, as the firmware understood it.
    Command(DumpRequest),
    /// What can be dumped.
    Menu(Vec<MenuRecord>),
    /// A message.
    Notice(Message),
    /// The firmware could not dump something.
    Error(Message),
    /// Something else to dump.
    Reference(DumpRequest),
    /// State of an object.
    Resource {
        /// First number of the object.
        index1: u32,
        /// Second number of the object.
        index2: u32,
    },
    /// The end.
    Terminate,
    /// Of another type, or too short for its type.
    Unknown,
}

/// A message of the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub syndrome: u16,
    /// Its text.
    pub text: String,
}

/// Something that can be dumped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MenuRecord {
    /// Type of the segment.
    pub segment_type: u16,
    /// Its name.
    pub name: String,
    /// What the first number is; empty if there is none.
    pub index1: Index,
    /// What the second number is.
    pub index2: Index,
}

/// A number of an object that can be dumped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// It can be given.
    pub is_supported: bool,
    /// It must be given.
    pub is_required: bool,
    /// A count of objects can be given.
    pub takes_count: bool,
    /// A count of objects must be given.
    pub requires_count: bool,
    /// The count can mean all objects.
    pub takes_all: bool,
    /// The count can mean the active objects.
    pub takes_active: bool,
}

/// Bytes of a segment's header.
const HEADER: usize = 4;
/// Bytes of a menu record.
const RECORD: usize = 52;
/// Where the inline data starts in the register.
const INLINE: usize = 48;

impl Mlx5Device {
    /// Dumps something: asks the register until the firmware has no more, or until `max` bytes have
    /// come. `progress` is told how many bytes have come. The result is the segments' bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`]; [`Error::Malformed`] if a step claims more bytes than
    /// it has, is out of order, or announces more and brings nothing, or if there are more than
    /// `max` bytes.
    pub fn dump(
        &self,
        what: &DumpRequest,
        max: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<u8>> {
        let malformed = |why| Error::Malformed {
            device: self.device().name().into(),
            what: "RESOURCE_DUMP".into(),
            why,
        };
        let Some(layout) = register("resource-dump") else {
            return Ok(Vec::new());
        };
        let mut step = vec![0; layout.size];
        let set = |step: &mut [u8], name: &str, value: u64| {
            // Each value has the type of its field.
            let _ = layout.set(step, name, value);
        };
        for (name, value) in [
            ("segment_type", what.segment_type.into()),
            ("vhca_id", what.vhca_id.into()),
            ("index1", what.index1.into()),
            ("index2", what.index2.into()),
            ("num_of_obj1", what.num_of_obj1.into()),
            ("num_of_obj2", what.num_of_obj2.into()),
        ] {
            set(&mut step, name, value);
        }
        let mut all = Vec::new();
        loop {
            set(&mut step, "inline_dump", 1);
            let sequence = number(layout, &step, "seq_num");
            let mut reply = self.read_register(layout.id, &step)?;
            let size = number(layout, &reply, "size") as usize;
            let inline = reply.get(INLINE..).unwrap_or_default();
            let data = inline.get(..size).ok_or_else(|| {
                malformed(Malformed::Short {
                    part: "the inline data",
                    needed: size,
                    got: inline.len(),
                })
            })?;
            all.extend(data);
            progress(all.len());
            if all.len() > max {
                return Err(malformed(Malformed::Long {
                    part: "the dump",
                    asked: max,
                    got: all.len(),
                }));
            }
            if number(layout, &reply, "more_dump") == 0 {
                return Ok(all);
            }
            let expected = (sequence + 1) % 16;
            let got = number(layout, &reply, "seq_num");
            if got != expected {
                return Err(malformed(Malformed::Order {
                    part: "step of the dump",
                    expected,
                    got,
                }));
            }
            if size == 0 {
                return Err(malformed(Malformed::Short {
                    part: "a step of the dump",
                    needed: HEADER,
                    got: 0,
                }));
            }
            // The next request is the reply, which has the place to go on from.
            reply[INLINE..].fill(0);
            for (name, value) in [
                ("segment_type", what.segment_type.into()),
                ("vhca_id", what.vhca_id.into()),
                ("mkey", 0),
                ("size", 0),
                ("address", 0),
            ] {
                set(&mut reply, name, value);
            }
            step = reply;
        }
    }

    /// Lists what can be dumped.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::dump`].
    pub fn dump_menu(&self) -> Result<Vec<MenuRecord>> {
        const MAX_MENU: usize = 1 << 20;
        let bytes = self.dump(&DumpRequest::new(MENU), MAX_MENU, |_| {})?;
        let (segments, _) = segments(&bytes);
        let records = |segment: Segment| match segment.content {
            Content::Menu(records) => records,
            _ => Vec::new(),
        };
        Ok(segments.into_iter().flat_map(records).collect())
    }
}

fn number(layout: &Layout, data: &[u8], name: &str) -> u64 {
    match layout.field(name).and_then(|field| field.get(data)) {
        Some(super::Value::Number(number)) => number,
        _ => 0,
    }
}

/// The segments of a dump, and the bytes after the last one that is whole: none if the dump is
/// sound.
pub fn segments(bytes: &[u8]) -> (Vec<Segment>, &[u8]) {
    let mut segments = Vec::new();
    let mut rest = bytes;
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let len = 4 * usize::from(u16::from_be_bytes([header[0], header[1]]));
        let segment_type = u16::from_be_bytes([header[2], header[3]]);
        let Some(data) = rest.get(HEADER..len) else {
            break;
        };
        segments.push(Segment {
            segment_type,
            data: data.to_vec(),
            content: content(segment_type, data).unwrap_or(Content::Unknown),
        });
        rest = &rest[len..];
    }
    (segments, rest)
}

fn content(segment_type: u16, data: &[u8]) -> Option<Content> {
    Some(match segment_type {
        0..=0xfeff => Content::Resource {
            index1: word(data, 4)?,
            index2: word(data, 8)?,
        },
        0xfff9 => Content::Notice(message(data)?),
        0xfffa => Content::Command(request(data, half(data, 0)?, half(data, 2)?)?),
        0xfffb => Content::Terminate,
        0xfffc => Content::Error(message(data)?),
        0xfffd => Content::Reference(request(data, half(data, 2)?, 0)?),
        0xfffe => Content::Info {
            dump_version: *data.get(3)?,
            hw_version: word(data, 4)?,
            fw_version: word(data, 8)?,
        },
        MENU => {
            let records = data.get(4..)?.chunks_exact(RECORD);
            // No more than there are bytes for.
            let count = usize::from(half(data, 2)?);
            Content::Menu(records.take(count).filter_map(record).collect())
        }
        _ => return None,
    })
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

fn request(data: &[u8], segment_type: u16, vhca_id: u16) -> Option<DumpRequest> {
    Some(DumpRequest {
        segment_type,
        vhca_id,
        index1: word(data, 4)?,
        index2: word(data, 8)?,
        num_of_obj1: half(data, 12)?,
        num_of_obj2: half(data, 14)?,
    })
}

fn message(data: &[u8]) -> Option<Message> {
    Some(Message {
        syndrome: half(data, 2)?,
        text: text(data.get(12..44)?),
    })
}

fn record(data: &[u8]) -> Option<MenuRecord> {
    let bits = half(data, 0)?;
    let has = |bit: u16| bits & (1 << bit) != 0;
    let index = |name: &[u8], shift: u16| Index {
        name: text(name),
        is_supported: has(shift),
        is_required: has(shift + 1),
        takes_count: has(2 * shift + 4),
        requires_count: has(2 * shift + 5),
        takes_all: has(2 * shift + 6),
        takes_active: has(2 * shift + 7),
    };
    Some(MenuRecord {
        segment_type: half(data, 2)?,
        name: text(data.get(4..20)?),
        index1: index(data.get(20..36)?, 0),
        index2: index(data.get(36..52)?, 2),
    })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0);
    let text = &bytes[..end.unwrap_or(bytes.len())];
    String::from_utf8_lossy(text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, DeviceType, InfoReply, Scope, Transport};
    use std::io;

    fn segment(segment_type: u16, data: &[u8]) -> Vec<u8> {
        let words = (data.len() / 4 + 1) as u16;
        [&words.to_be_bytes()[..], &segment_type.to_be_bytes(), data].concat()
    }

    fn named(name: &str) -> Vec<u8> {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes
    }

    fn menu() -> Vec<u8> {
        // QP: index1 is supported and required, a count can be given and can mean all.
        let first = [
            &[0x00, 0x53, 0x12, 0x34][..],
            &named("PRM_QUERY_QP"),
            &named("QPN"),
            &named(""),
        ]
        .concat();
        // index2: all bits.
        let second = [
            &[0x0f, 0x0c, 0x10, 0x00][..],
            &named("A"),
            &named(""),
            &named("I2"),
        ]
        .concat();
        segment(MENU, &[&[0, 0, 0, 2][..], &first, &second].concat())
    }

    // mlx5_ifc_resource_dump_menu_record_bits: support_index1 is bit 15 of the first word.
    #[test]
    fn the_menu_is_read_bit_by_bit() {
        let bytes = menu();
        let (segments, rest) = segments(&bytes);
        assert!(rest.is_empty());
        let Content::Menu(records) = &segments[0].content else {
            panic!("{segments:?}");
        };
        assert_eq!(
            (records[0].segment_type, records[0].name.as_str()),
            (0x1234, "PRM_QUERY_QP")
        );
        let qpn = &records[0].index1;
        assert_eq!(qpn.name, "QPN");
        assert!(qpn.is_supported && qpn.is_required && qpn.takes_count && qpn.takes_all);
        assert!(!qpn.requires_count && !qpn.takes_active && !records[0].index2.is_supported);
        let index2 = &records[1].index2;
        assert_eq!(index2.name, "I2");
        assert!(index2.is_supported && index2.is_required && index2.takes_count);
        assert!(index2.requires_count && index2.takes_all && index2.takes_active);
        assert!(!records[1].index1.is_supported && !records[1].index1.takes_count);
    }

    #[test]
    fn every_type_of_segment() {
        let text = [&[0, 0, 0, 7][..], &[0; 8], b"no such object", &[0; 18]].concat();
        let params = [0, 0, 0, 1, 0, 0, 0, 2, 0, 3, 0, 4];
        let bytes = [
            segment(0xfffe, &[0, 0, 0, 1, 0, 0, 2, 0x18, 0, 28, 45, 0]),
            segment(0xfffa, &[&[0x12, 0x34, 0, 9][..], &params].concat()),
            segment(
                0x1234,
                &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6, 0xaa, 0xbb, 0xcc, 0xdd],
            ),
            segment(0xfff9, &text),
            segment(0xfffc, &text),
            segment(0xfffd, &[&[0, 0, 0x10, 0x00][..], &params].concat()),
            segment(0xff00, &[]),
            segment(0xfffb, &[]),
        ]
        .concat();
        let (found, rest) = segments(&bytes);
        assert!(rest.is_empty());
        let message = Message {
            syndrome: 7,
            text: "no such object".into(),
        };
        let request = |segment_type, vhca_id| DumpRequest {
            segment_type,
            vhca_id,
            index1: 1,
            index2: 2,
            num_of_obj1: 3,
            num_of_obj2: 4,
        };
        let content: Vec<Content> = found.iter().map(|found| found.content.clone()).collect();
        assert_eq!(
            content,
            [
                Content::Info {
                    dump_version: 1,
                    hw_version: 0x218,
                    fw_version: 0x1c2d00
                },
                Content::Command(request(0x1234, 9)),
                Content::Resource {
                    index1: 5,
                    index2: 6
                },
                Content::Notice(message.clone()),
                Content::Error(message),
                Content::Reference(request(0x1000, 0)),
                Content::Unknown,
                Content::Terminate,
            ]
        );
        assert_eq!(found[2].data[12..], [0xaa, 0xbb, 0xcc, 0xdd]);
    }

    #[test]
    fn segments_that_lie_about_their_length() {
        // Length 0 does not hold the header, and another is longer than the dump.
        for bytes in [&[0, 0, 0xff, 0xfb][..], &[0, 2, 0xff, 0xfb], &[0, 1, 0xff]] {
            let (found, rest) = segments(bytes);
            assert_eq!((found.len(), rest), (0, bytes));
        }
        // More records than bytes.
        let (found, _) = segments(&[0, 2, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        assert_eq!(found[0].content, Content::Menu(Vec::new()));
        // Too short for an info segment.
        let (found, _) = segments(&[0, 2, 0xff, 0xfe, 0, 0, 0, 0]);
        assert_eq!(found[0].content, Content::Unknown);
    }

    /// Dumps `data` in steps of `step` bytes; `lie` changes a reply.
    struct Card {
        data: Vec<u8>,
        step: usize,
        lie: fn(&mut [u8]),
    }

    impl Transport for Card {
        fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
            Ok(InfoReply {
                device_type: DeviceType::Mlx5.number(),
                data_len: 0,
            })
        }

        fn rpc(&self, scope: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
            assert_eq!(
                (scope, &request[10..12]),
                (Scope::DebugReadOnly, &[0xc0, 0][..])
            );
            let layout = register("resource-dump").unwrap();
            let asked = &request[16..];
            assert_eq!(number(layout, asked, "segment_type"), 0x1234);
            assert_eq!(number(layout, asked, "inline_dump"), 1);
            assert_eq!(number(layout, asked, "size"), 0);
            let at = number(layout, asked, "device_opaque") as usize;
            let end = self.data.len().min(at + self.step);
            reply.fill(0);
            let body = &mut reply[16..];
            body.copy_from_slice(asked);
            let sequence = (number(layout, asked, "seq_num") + 1) % 16;
            layout.set(body, "seq_num", sequence).unwrap();
            layout
                .set(body, "more_dump", (end < self.data.len()).into())
                .unwrap();
            layout.set(body, "device_opaque", end as u64).unwrap();
            layout.set(body, "size", (end - at) as u64).unwrap();
            body[INLINE..][..end - at].copy_from_slice(&self.data[at..end]);
            (self.lie)(body);
            Ok(reply.len() as u32)
        }
    }

    fn dump(card: Card, max: usize) -> Result<Vec<u8>> {
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", card)).unwrap();
        mlx5.dump(&DumpRequest::new(0x1234), max, |_| {})
    }

    #[test]
    fn a_dump_is_put_together_from_its_steps() {
        // 20 steps, so the sequence number wraps around.
        let data: Vec<u8> = (0..2000).map(|n| n as u8).collect();
        for step in [100, 208, 2000] {
            let card = Card {
                data: data.clone(),
                step: step.min(208),
                lie: |_| {},
            };
            assert_eq!(dump(card, 4096).unwrap(), data);
        }
    }

    #[test]
    fn dumps_that_lie() {
        let card = |lie| Card {
            data: vec![1; 800],
            step: 100,
            lie,
        };
        let text = |lie, max| dump(card(lie), max).unwrap_err().to_string();
        assert_eq!(
            text(|body| body[36..40].fill(0xff), 4096),
            "fwctl0: RESOURCE_DUMP: bad reply: the inline data needs 4294967295 bytes and has 208"
        );
        assert_eq!(
            text(|body| body[1] = 9, 4096),
            "fwctl0: RESOURCE_DUMP: bad reply: step of the dump 1 was expected, and 9 came"
        );
        assert_eq!(
            text(|body| body[36..40].fill(0), 4096),
            "fwctl0: RESOURCE_DUMP: bad reply: a step of the dump needs 4 bytes and has 0"
        );
        assert_eq!(
            text(|_| {}, 150),
            "fwctl0: RESOURCE_DUMP: bad reply: the dump has 200 bytes, at most 150 were asked for"
        );
    }
}
