// SPDX-License-Identifier: MIT OR Apache-2.0

//! Resource dumps: state of queues, contexts and other objects of the firmware, by the register
//! RESOURCE_DUMP. In its inline mode, each request brings some 200 bytes; where the kernel registers
//! memory, it brings as many as fit. Core dumps: the device's own registers, by the register
//! CORE_DUMP, which needs memory.
//!
//! Layouts are those of `mlx5_ifc_resource_dump_*` in `include/linux/mlx5/mlx5_ifc.h`; that of a
//! reference and of a notice, and the numbers of the segment types, are mstflint's; that of CORE_DUMP
//! is the public tool mlx5ctl's.

use super::{register, request as command, Capability, Layout, Mlx5Device};
use crate::{Error, Malformed, Memory, MemoryUse, Result};
use std::ops::ControlFlow;

/// Type of the segment that lists what can be dumped.
pub const MENU: u16 = 0xffff;

/// What to dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Message {
    /// Its number.
    pub syndrome: u16,
    /// Its text.
    pub text: String,
}

/// Something that can be dumped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
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
/// Where the inline data starts in the register, and its bytes.
const INLINE: usize = 48;
const INLINE_LEN: usize = 208;

/// CORE_DUMP, its length, and the type of a dump into memory.
const CORE_DUMP: u16 = 0x402e;
const CORE_DUMP_LEN: usize = 0x40;
const TO_MEMORY: u8 = 2;
/// Command that reads the context of a memory key.
const QUERY_MKEY: u16 = 0x201;
/// Bytes of its reply, and where the first address of the key and its length are.
const MKEY_REPLY: usize = 0x130;
const MKEY_START: usize = 0x20;
const MKEY_LEN: usize = 0x28;
/// Capability that tells how much memory a core dump needs.
const DEBUG: u16 = 0xd;
/// Less memory than this is not worth its registration.
const LEAST_MEMORY: usize = 64 << 10;

/// Makes what was written before unreadable, so nothing old can be taken for new.
fn clear(memory: &Memory, len: usize) {
    const ZEROS: [u8; 4096] = [0; 4096];
    for at in (0..len).step_by(ZEROS.len()) {
        // It ends with a whole page.
        let _ = memory.write(at, &ZEROS);
    }
}

impl Mlx5Device {
    /// Registers memory for dumps: `len` bytes, or half of it and so on if that is above a limit, but
    /// not less than 64 KiB. None if the kernel, or the driver, cannot register any.
    ///
    /// # Errors
    ///
    /// As for [`Device::register_memory`](crate::Device::register_memory), but for `ENOTTY` and
    /// `EOPNOTSUPP`.
    pub fn dump_memory(&self, mut len: usize) -> Result<Option<Memory>> {
        loop {
            let error = match self.device().register_memory(len, MemoryUse::KEY) {
                Ok(memory) => return Ok(Some(memory)),
                Err(error) => error,
            };
            match error.errno() {
                Some(libc::ENOTTY | libc::EOPNOTSUPP) => return Ok(None),
                _ if error.is_above_limit() && len / 2 >= LEAST_MEMORY => len /= 2,
                _ => return Err(error),
            }
        }
    }

    /// The first address of the key of memory.
    ///
    /// Where the addresses of a key begin is the driver's choice. If the firmware does not tell, they
    /// are those of this process.
    fn key_start(&self, memory: &Memory) -> Result<u64> {
        if let Some(&start) = memory.key_start.get() {
            return Ok(start);
        }
        let body = [&(memory.ids().key >> 8).to_be_bytes()[..], &[0; 4]].concat();
        let query = command(QUERY_MKEY, 0, &body);
        let start = match self.command("QUERY_MKEY", super::READ_SCOPE, &query, MKEY_REPLY) {
            Ok(reply) if double_word(&reply, MKEY_LEN) >= Some(memory.len() as u64) => {
                double_word(&reply, MKEY_START).unwrap_or_default()
            }
            Ok(_) | Err(Error::Refused { .. } | Error::Malformed { .. }) => memory.address(),
            Err(error) => return Err(error),
        };
        Ok(*memory.key_start.get_or_init(|| start))
    }

    /// Dumps something: asks the register until the firmware has no more, or until `max` bytes have
    /// come. `progress` is told how many bytes have come, and can end it. The result is the segments'
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`], [`Error::Stopped`]; [`Error::Malformed`] if a step claims
    /// more bytes than it has, is out of order, or announces more and brings nothing, or if there are
    /// more than `max` bytes.
    pub fn dump(
        &self,
        what: &DumpRequest,
        max: usize,
        progress: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.dump_to(what, max, None, &mut all, progress)?;
        Ok(all)
    }

    /// Like [`Mlx5Device::dump`], by way of memory if there is some, with the same result in fewer
    /// steps. Appends the bytes to `all`, also those that came before an error.
    ///
    /// The memory is that of [`Mlx5Device::dump_memory`], or other memory with a key. It is
    /// overwritten. Two dumps into the same memory at the same time are mixed up.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::dump`].
    pub fn dump_to(
        &self,
        what: &DumpRequest,
        max: usize,
        memory: Option<&Memory>,
        all: &mut Vec<u8>,
        mut progress: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        let malformed = |why| self.malformed("RESOURCE_DUMP", why);
        let Some(layout) = register("resource-dump") else {
            return Ok(());
        };
        let first = all.len();
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
        let start = memory.map(|memory| self.key_start(memory)).transpose()?;
        loop {
            let mut room = INLINE_LEN;
            match memory {
                None => set(&mut step, "inline_dump", 1),
                Some(memory) => {
                    // As much too much as an inline dump would bring.
                    let left = max.saturating_sub(all.len() - first).saturating_add(1);
                    room = whole(left, INLINE_LEN, memory);
                    clear(memory, room);
                    for (name, value) in [
                        ("mkey", memory.ids().key.into()),
                        ("size", room as u64),
                        ("address", start.unwrap_or_default()),
                    ] {
                        set(&mut step, name, value);
                    }
                }
            }
            let sequence = number(layout, &step, "seq_num");
            let mut reply = self.read_register(layout.id, &step)?;
            let size = number(layout, &reply, "size") as usize;
            let from = match memory {
                None => Source::Inline(&reply[INLINE..]),
                Some(memory) => Source::Memory(memory),
            };
            from.append(size, room, all).map_err(malformed)?;
            self.told("RESOURCE_DUMP", progress(all.len() - first))?;
            check_len(all.len() - first, max).map_err(malformed)?;
            if number(layout, &reply, "more_dump") == 0 {
                return Ok(());
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
            check_step(size).map_err(malformed)?;
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

    /// How much memory a core dump needs, if the device can make one.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::capability`].
    pub fn core_dump_len(&self) -> Result<Option<usize>> {
        let debug = self.capability(DEBUG, Capability::Current)?;
        // log_cr_dump_to_mem_size: bits 4 to 8, in units of 4 KiB.
        let log = debug.first_chunk().map_or(0, |&[high, low]| {
            (u16::from_be_bytes([high, low]) >> 7) & 0x1f
        });
        Ok((log > 0).then(|| 4096 << log))
    }

    /// Dumps the device's own registers: asks for it until the firmware has no more, or until `max`
    /// bytes have come. Appends the bytes to `all`, also those that came before an error. `progress`
    /// is told how many bytes have come, and can end it. The memory is as for [`Mlx5Device::dump_to`].
    ///
    /// # Errors
    ///
    /// [`Error::Call`], [`Error::Refused`], [`Error::Stopped`]; [`Error::Malformed`] if a step claims
    /// more bytes than there is memory, or announces more and brings nothing, or if there are more
    /// than `max` bytes.
    pub fn core_dump(
        &self,
        memory: &Memory,
        max: usize,
        all: &mut Vec<u8>,
        mut progress: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        let malformed = |why| self.malformed("CORE_DUMP", why);
        let first = all.len();
        let mut cookie = [0; 8];
        let start = self.key_start(memory)?;
        loop {
            let left = max.saturating_sub(all.len() - first).saturating_add(4);
            let room = whole(left, 4, memory);
            clear(memory, room);
            let mut step = vec![0; CORE_DUMP_LEN];
            step[3] = TO_MEMORY;
            step[0x10..0x14].copy_from_slice(&memory.ids().key.to_be_bytes());
            step[0x14..0x18].copy_from_slice(&(room as u32).to_be_bytes());
            step[0x18..0x20].copy_from_slice(&start.to_be_bytes());
            step[0x20..0x28].copy_from_slice(&cookie);
            let reply = self.read_register(CORE_DUMP, &step)?;
            let size = word(&reply, 0x14).unwrap_or(0) as usize;
            Source::Memory(memory)
                .append(size, room, all)
                .map_err(malformed)?;
            self.told("CORE_DUMP", progress(all.len() - first))?;
            check_len(all.len() - first, max).map_err(malformed)?;
            if reply[0] & 0x80 == 0 {
                return Ok(());
            }
            check_step(size).map_err(malformed)?;
            cookie.copy_from_slice(&reply[0x20..0x28]);
        }
    }

    /// Ends a dump if `progress` wants that.
    fn told(&self, what: &str, told: ControlFlow<()>) -> Result<()> {
        match told {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped {
                device: self.device().name().into(),
                what: what.into(),
            }),
        }
    }

    fn malformed(&self, what: &str, why: Malformed) -> Error {
        Error::Malformed {
            device: self.device().name().into(),
            what: what.into(),
            why,
        }
    }

    /// Lists what can be dumped.
    ///
    /// # Errors
    ///
    /// As for [`Mlx5Device::dump`].
    pub fn dump_menu(&self) -> Result<Vec<MenuRecord>> {
        const MAX_MENU: usize = 1 << 20;
        let bytes = self.dump(&DumpRequest::new(MENU), MAX_MENU, |_| {
            ControlFlow::Continue(())
        })?;
        let (segments, _) = segments(&bytes);
        let records = |segment: Segment| match segment.content {
            Content::Menu(records) => records,
            _ => Vec::new(),
        };
        Ok(segments.into_iter().flat_map(records).collect())
    }
}

/// Where the firmware has written a step of a dump.
enum Source<'a> {
    Inline(&'a [u8]),
    Memory(&'a Memory),
}

impl Source<'_> {
    /// Appends the `size` bytes that the firmware says it has written, if it had `room` for them.
    fn append(
        &self,
        size: usize,
        room: usize,
        all: &mut Vec<u8>,
    ) -> std::result::Result<(), Malformed> {
        if size > room {
            return Err(Malformed::Short {
                part: match self {
                    Source::Inline(_) => "the inline data",
                    Source::Memory(_) => "the memory for the dump",
                },
                needed: size,
                got: room,
            });
        }
        match self {
            Source::Inline(bytes) => all.extend(&bytes[..size]),
            Source::Memory(memory) => {
                let at = all.len();
                all.resize(at + size, 0);
                // The size was checked, so it is all there, unless this is a child of fork().
                if !memory.read(0, &mut all[at..]) {
                    all.truncate(at);
                    return Err(Malformed::Short {
                        part: "the memory for the dump",
                        needed: size,
                        got: 0,
                    });
                }
            }
        }
        Ok(())
    }
}

/// How much a step may bring: `left` bytes, rounded up to whole units, but not more than the memory
/// and the registers' fields can hold.
fn whole(left: usize, unit: usize, memory: &Memory) -> usize {
    const MOST: usize = 1 << 30;
    let most = memory.len().min(MOST);
    left.min(most).next_multiple_of(unit).min(most)
}

/// Checks that a dump has at most `max` bytes.
fn check_len(count: usize, max: usize) -> std::result::Result<(), Malformed> {
    if count > max {
        return Err(Malformed::Long {
            part: "the dump",
            asked: max,
            got: count,
        });
    }
    Ok(())
}

/// Checks that a step after which more is to come has brought something.
fn check_step(size: usize) -> std::result::Result<(), Malformed> {
    if size == 0 {
        return Err(Malformed::Short {
            part: "a step of the dump",
            needed: HEADER,
            got: 0,
        });
    }
    Ok(())
}

fn double_word(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u64::from_be_bytes(*bytes))
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
    use crate::{Device, DeviceType, InfoReply, MemoryIds, Pages, Scope, Transport};
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

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

    /// Dumps `data` in steps of `step` bytes, inline or into memory; `lie` changes a reply.
    struct Card {
        data: Vec<u8>,
        step: usize,
        lie: fn(&mut [u8]),
        pages: Mutex<Option<Arc<Pages>>>,
        rpcs: Arc<AtomicUsize>,
        /// The first address of the memory key, or none if the firmware does not tell.
        start: Option<u64>,
        has_memory: bool,
    }

    fn card(data: Vec<u8>, step: usize, lie: fn(&mut [u8])) -> Card {
        Card {
            data,
            step,
            lie,
            pages: Mutex::default(),
            rpcs: Arc::default(),
            start: Some(0x7000),
            has_memory: true,
        }
    }

    impl Card {
        /// What the firmware writes to memory, by the address in a request.
        fn dma(&self, key: u64, address: u64, size: u64, bytes: &[u8]) {
            let pages = self.pages.lock().unwrap();
            let pages = pages.as_ref().expect("registered");
            assert_eq!(key, 0x142);
            let start = self.start.unwrap_or(pages.address());
            assert!(address == start && size <= pages.len() as u64);
            assert!(bytes.len() as u64 <= size && pages.write(0, bytes));
        }
    }

    impl Transport for Card {
        fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
            Ok(InfoReply {
                device_type: DeviceType::Mlx5.number(),
                data_len: 0,
            })
        }

        fn register_memory(&self, pages: &Arc<Pages>, use_: MemoryUse) -> io::Result<MemoryIds> {
            if !self.has_memory {
                return Err(io::Error::from_raw_os_error(libc::ENOTTY));
            }
            assert_eq!(use_, MemoryUse::KEY);
            *self.pages.lock().unwrap() = Some(pages.clone());
            Ok(MemoryIds {
                umem: 7,
                key: 0x142,
                resource: 3,
            })
        }

        fn release_memory(&self, resource: u32) -> io::Result<()> {
            assert_eq!(resource, 3);
            *self.pages.lock().unwrap() = None;
            Ok(())
        }

        fn rpc(&self, scope: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
            assert_eq!(scope, Scope::DebugReadOnly);
            self.rpcs.fetch_add(1, Ordering::Relaxed);
            reply.fill(0);
            if request[..2] == [0x02, 0x01] {
                assert_eq!(request[8..12], [0, 0, 0, 1]);
                match self.start {
                    Some(start) => {
                        reply[0x20..0x28].copy_from_slice(&start.to_be_bytes());
                        reply[0x28..0x30].copy_from_slice(&(1u64 << 40).to_be_bytes());
                    }
                    None => reply[0] = 5,
                }
                return Ok(reply.len() as u32);
            }
            let asked = &request[16..];
            let body = &mut reply[16..];
            body.copy_from_slice(asked);
            if request[10..12] == [0x40, 0x2e] {
                assert_eq!(asked[3], 2);
                let at = double_word(asked, 0x20).unwrap() as usize;
                let size = word(asked, 0x14).unwrap();
                let end = self.data.len().min(at + self.step.min(size as usize));
                self.dma(
                    word(asked, 0x10).unwrap().into(),
                    double_word(asked, 0x18).unwrap(),
                    size.into(),
                    &self.data[at..end],
                );
                body[0] = u8::from(end < self.data.len()) << 7;
                body[0x14..0x18].copy_from_slice(&((end - at) as u32).to_be_bytes());
                body[0x20..0x28].copy_from_slice(&(end as u64).to_be_bytes());
                (self.lie)(body);
                return Ok(reply.len() as u32);
            }
            assert_eq!(request[10..12], [0xc0, 0]);
            let layout = register("resource-dump").unwrap();
            assert_eq!(number(layout, asked, "segment_type"), 0x1234);
            let is_inline = number(layout, asked, "inline_dump") == 1;
            let size = number(layout, asked, "size");
            assert_eq!(size == 0, is_inline);
            let room = if is_inline { 208 } else { size as usize };
            let at = number(layout, asked, "device_opaque") as usize;
            let end = self.data.len().min(at + self.step.min(room));
            let sequence = (number(layout, asked, "seq_num") + 1) % 16;
            layout.set(body, "seq_num", sequence).unwrap();
            layout
                .set(body, "more_dump", (end < self.data.len()).into())
                .unwrap();
            layout.set(body, "device_opaque", end as u64).unwrap();
            layout.set(body, "size", (end - at) as u64).unwrap();
            let bytes = &self.data[at..end];
            if is_inline {
                body[INLINE..][..end - at].copy_from_slice(bytes);
            } else {
                let address = number(layout, asked, "address");
                self.dma(number(layout, asked, "mkey"), address, size, bytes);
            }
            (self.lie)(body);
            Ok(reply.len() as u32)
        }
    }

    fn go_on(_: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn dump(card: Card, max: usize) -> Result<Vec<u8>> {
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", card)).unwrap();
        mlx5.dump(&DumpRequest::new(0x1234), max, go_on)
    }

    /// The same into `len` bytes of memory.
    fn dump_by(card: Card, max: usize, len: usize) -> (Result<()>, Vec<u8>) {
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", card)).unwrap();
        let memory = mlx5.dump_memory(len).unwrap().expect("memory");
        let mut all = vec![];
        let what = DumpRequest::new(0x1234);
        let result = mlx5.dump_to(&what, max, Some(&memory), &mut all, go_on);
        (result, all)
    }

    #[test]
    fn a_dump_is_put_together_from_its_steps() {
        // 20 steps, so the sequence number wraps around.
        let data: Vec<u8> = (0..2000).map(|n| n as u8).collect();
        for step in [100, 208, 2000] {
            let inline = card(data.clone(), step, |_| {});
            assert_eq!(dump(inline, 4096).unwrap(), data);
            let by_memory = card(data.clone(), step, |_| {});
            let (result, all) = dump_by(by_memory, 4096, 1);
            result.unwrap();
            assert_eq!(all, data);
        }
    }

    #[test]
    fn memory_saves_requests() {
        let data: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_be_bytes).collect();
        let rpcs = |memory: bool| {
            let card = card(data.clone(), usize::MAX >> 1, |_| {});
            let rpcs = card.rpcs.clone();
            let all = if memory {
                let (result, all) = dump_by(card, 1 << 24, 1 << 18);
                result.map(|()| all)
            } else {
                dump(card, 1 << 24)
            };
            assert!(all.unwrap() == data);
            rpcs.load(Ordering::Relaxed)
        };
        // One asks for the key.
        assert_eq!((rpcs(true), rpcs(false)), (5, 5042));
    }

    #[test]
    fn a_device_without_memory() {
        let without = Card {
            has_memory: false,
            ..card(vec![], 1, |_| {})
        };
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", without)).unwrap();
        assert!(mlx5.dump_memory(1).unwrap().is_none());
        // Memory above a limit: half of it.
        let recording =
            "info mlx5\nmemory errno 12\nmemory errno 28\nmemory 7 0x142\nmemory errno 12";
        let limited = crate::replay::Replay::parse(recording).unwrap();
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", limited)).unwrap();
        assert_eq!(mlx5.dump_memory(1 << 20).unwrap().unwrap().len(), 1 << 18);
        let error = mlx5.dump_memory(1 << 20).unwrap_err().to_string();
        assert!(error.contains("(65536 bytes): Cannot allocate"), "{error}");
        // A device that does not answer does not tell either, and may later.
        let limited = format!(
            "info mlx5\nmemory 7 0x142\nrpc debug-read-only 02010000 00000000 00000001 00000000 -> errno 110\n\
             rpc debug-read-only 02010000 00000000 00000001 00000000 -> len 304 {:064x} 0000000000007000 0000010000000000",
            0
        );
        let replay = crate::replay::Replay::parse(&limited).unwrap();
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", replay)).unwrap();
        let memory = mlx5.dump_memory(1).unwrap().unwrap();
        let error = mlx5.key_start(&memory).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ETIMEDOUT));
        for _ in 0..2 {
            assert_eq!(mlx5.key_start(&memory).unwrap(), 0x7000);
        }
        // Firmware that does not tell where the addresses of the key begin.
        let silent = Card {
            start: None,
            ..card(vec![1; 8], 8, |_| {})
        };
        let (result, all) = dump_by(silent, 8, 1);
        assert_eq!((result.is_ok(), all), (true, vec![1; 8]));
    }

    #[test]
    fn dumps_that_lie() {
        let card = |lie| card(vec![1; 800], 100, lie);
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
        // No limit.
        let (result, all) = dump_by(card(|_| {}), usize::MAX, 4096);
        assert_eq!((result.is_ok(), all), (true, vec![1; 800]));
        // What came before is kept.
        let (result, all) = dump_by(card(|_| {}), 350, 4096);
        assert_eq!((result.is_err(), all), (true, vec![1; 400]));
        let (result, _) = dump_by(card(|body| body[36..40].fill(0xff)), 350, 4096);
        assert_eq!(
            result.unwrap_err().to_string(),
            "fwctl0: RESOURCE_DUMP: bad reply: the memory for the dump needs 4294967295 bytes and has 416"
        );
    }

    #[test]
    fn a_dump_can_be_ended() {
        let end_at = |end| {
            move |count: usize| match count {
                count if count >= end => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let card = card(vec![1; 800], 100, |_| {});
        let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", card)).unwrap();
        let (mut all, what) = (vec![], DumpRequest::new(0x1234));
        let stopped = mlx5.dump_to(&what, 4096, None, &mut all, end_at(300));
        let stopped = stopped.unwrap_err();
        assert_eq!(
            stopped.to_string(),
            "fwctl0: RESOURCE_DUMP: stopped by this program"
        );
        assert_eq!(stopped.nearest_errno(), libc::ECANCELED);
        // What came is kept.
        assert_eq!(all, vec![1; 300]);
        let memory = mlx5.dump_memory(1).unwrap().unwrap();
        let stopped = mlx5.core_dump(&memory, 4096, &mut all, end_at(100));
        assert!(matches!(stopped, Err(Error::Stopped { .. })));
        assert_eq!(all.len(), 400);
    }

    #[test]
    fn core_dumps() {
        let core_dump = |step, max, lie: fn(&mut [u8])| {
            let data = (0..20_000u32).map(|n| n as u8).collect();
            let card = card(data, step, lie);
            let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", card)).unwrap();
            let memory = mlx5.dump_memory(8192).unwrap().unwrap();
            let (mut all, mut told) = (vec![], vec![]);
            let result = mlx5.core_dump(&memory, max, &mut all, |count| {
                told.push(count);
                go_on(count)
            });
            (result.map_err(|error| error.to_string()), all, told)
        };
        let (result, all, told) = core_dump(8192, 1 << 20, |_| {});
        assert_eq!((result, told), (Ok(()), vec![8192, 16384, 20_000]));
        assert!(all.iter().enumerate().all(|(n, byte)| *byte == n as u8));
        let (result, all, _) = core_dump(8192, usize::MAX, |_| {});
        assert_eq!((result, all.len()), (Ok(()), 20_000));
        let (result, all, _) = core_dump(5000, 10_000, |_| {});
        assert_eq!(
            result.unwrap_err(),
            "fwctl0: CORE_DUMP: bad reply: the dump has 10004 bytes, at most 10000 were asked for"
        );
        assert_eq!(all.len(), 10_004);
        let (result, ..) = core_dump(5000, 1 << 20, |body| body[0x14..0x18].fill(0x7f));
        assert!(result.unwrap_err().ends_with("and has 8192"));
        let (result, ..) = core_dump(5000, 1 << 20, |body| body[0x14..0x18].fill(0));
        assert!(result.unwrap_err().ends_with("needs 4 bytes and has 0"));
    }

    #[test]
    fn the_capability_tells_how_much_memory() {
        let len = |bytes: &str| {
            let recording = format!(
                "info mlx5\nrpc configuration 01000000 0000001b 00000000 00000000 -> len 4112 {:032x} {bytes}",
                0
            );
            let replay = crate::replay::Replay::parse(&recording).unwrap();
            let mlx5 = Mlx5Device::new(Device::with_transport("fwctl0", replay)).unwrap();
            mlx5.core_dump_len().unwrap()
        };
        // log_cr_dump_to_mem_size 11, after core_dump_general and before resource_dump.
        assert_eq!(len("85c00008"), Some(8 << 20));
        assert_eq!(len("80400008"), None);
    }
}
