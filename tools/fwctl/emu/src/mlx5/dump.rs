// SPDX-License-Identifier: MIT OR Apache-2.0

//! Resource dumps, by the register RESOURCE_DUMP: state of the function's objects, in segments,
//! a part with each access.
//!
//! [`Dumps::part`] makes a part, of any size. The register gives it as inline data, or it goes to the
//! memory of a key ([`Target`]).
//!
//! Layouts: `resource_dump_*` of mlx5_ifc.h, and mstflint's `resourcedump_*` for a reference and a
//! notice. Segment types below 0xfff9 are the firmware's own.

use super::cr_space;
use super::eq::EventQueues;
use super::fields::{eq, resource_dump as layout};
use super::identity;
use super::refusal::{Refusal, Status, Syndrome};
use super::uctx::Contexts;
use std::collections::{BTreeSet, VecDeque};

/// Types of segments.
#[allow(missing_docs)]
pub mod kind {
    /// User contexts, event queues, UARs, and a pattern of any length.
    pub const UCTX: u16 = 0x1000;
    pub const EQC: u16 = 0x1001;
    pub const UAR: u16 = 0x1002;
    pub const PATTERN: u16 = 0x1003;
    /// Parts of the CR space.
    pub const CR_SPACE: u16 = 0x1004;
    pub const NOTICE: u16 = 0xfff9;
    pub const COMMAND: u16 = 0xfffa;
    pub const TERMINATE: u16 = 0xfffb;
    pub const ERROR: u16 = 0xfffc;
    pub const REFERENCE: u16 = 0xfffd;
    pub const INFO: u16 = 0xfffe;
    pub const MENU: u16 = 0xffff;
}

/// Counts that mean all objects and the active ones, which are the same here.
const ALL: u16 = 0xffff;
const ACTIVE: u16 = 0xfffe;
/// Maximum number of dumps in progress. A new one replaces the oldest.
const MAX_DUMPS: usize = 8;
/// Maximum number of bytes of a part that goes to memory.
const MAX_PART: usize = 1 << 20;
/// Maximum number of words of a pattern: 256 KiB less a header.
const MAX_PATTERN: u32 = 0xfff0;
/// Numbers of errors and notices.
const UNKNOWN_TYPE: u16 = 1;
const NO_OBJECT: u16 = 2;
const OTHER_VHCA: u16 = 3;

/// What can be dumped: type, name, what its index is, and whether the index is required.
const MENU: [(u16, &str, &str, bool); 5] = [
    (kind::UCTX, "EMU_UCTX", "UID", false),
    (kind::EQC, "FULL_EQC", "EQN", true),
    (kind::UAR, "EMU_UAR", "UAR", true),
    (kind::PATTERN, "EMU_PATTERN", "WORDS", true),
    (kind::CR_SPACE, "EMU_CRSPACE", "PART", true),
];
/// Bits of a menu record for its index and count.
const SUPPORTS_INDEX: u16 = 1 << 0;
const NEEDS_INDEX: u16 = 1 << 1;
const SUPPORTS_COUNT: u16 = 1 << 4;
const SUPPORTS_ALL: u16 = 1 << 6;
const SUPPORTS_ACTIVE: u16 = 1 << 7;

/// The objects that can be dumped.
pub struct Objects<'a> {
    /// Event queues.
    pub eqs: &'a EventQueues,
    /// UARs.
    pub uars: &'a BTreeSet<u32>,
    /// User contexts.
    pub contexts: &'a Contexts,
    /// The function's number.
    pub vhca_id: u16,
}

/// Where a part of a dump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into the register.
    Inline,
    /// Into the memory of a key: `size` bytes at `address`.
    Memory {
        /// The key.
        mkey: u32,
        /// Bytes of memory.
        size: u32,
        /// Address that the key translates.
        address: u64,
    },
}

impl Target {
    /// Number of bytes that fit.
    pub fn room(&self) -> usize {
        match self {
            Target::Inline => layout::INLINE_LEN,
            // Segments are made of words.
            Target::Memory { size, .. } => (*size as usize & !3).min(MAX_PART),
        }
    }
}

/// One access to the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    what: What,
    sequence: u8,
    opaque: u64,
    /// Where the part goes.
    pub target: Target,
}

/// What to dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct What {
    kind: u16,
    vhca_id: u16,
    index1: u32,
    index2: u32,
    count1: u16,
    count2: u16,
}

impl Ask {
    /// Returns what the register's content asks for.
    pub fn of(body: &[u8]) -> Self {
        Ask {
            what: What {
                kind: layout::SEGMENT_TYPE.get(body) as u16,
                vhca_id: layout::VHCA_ID.get(body) as u16,
                index1: layout::INDEX1.get(body) as u32,
                index2: layout::INDEX2.get(body) as u32,
                count1: layout::NUM_OF_OBJ1.get(body) as u16,
                count2: layout::NUM_OF_OBJ2.get(body) as u16,
            },
            sequence: layout::SEQ_NUM.get(body) as u8,
            opaque: layout::DEVICE_OPAQUE.get(body),
            target: if layout::INLINE_DUMP.is_set(body) {
                Target::Inline
            } else {
                Target::Memory {
                    mkey: layout::MKEY.get(body) as u32,
                    size: layout::SIZE.get(body) as u32,
                    address: layout::ADDRESS.get(body),
                }
            },
        }
    }
}

/// A part of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its bytes.
    pub bytes: Vec<u8>,
    sequence: u8,
    opaque: u64,
    is_last: bool,
}

impl Part {
    /// Writes all but the bytes into the register: where the dump goes on, and the size.
    fn describe(&self, body: &mut [u8]) {
        for (field, value) in [
            (layout::MORE_DUMP, u64::from(!self.is_last)),
            (layout::SEQ_NUM, self.sequence.into()),
            (layout::DEVICE_OPAQUE, self.opaque),
            (layout::SIZE, self.bytes.len() as u64),
        ] {
            field.set(body, value);
        }
    }
}

/// A dump in progress. It has the state of its first part.
#[derive(Clone, Debug)]
struct Dump {
    number: u32,
    uid: u16,
    bytes: Vec<u8>,
    /// Number of bytes given, and number of the next part.
    given: usize,
    sequence: u8,
}

/// The dumps in progress.
#[derive(Clone, Debug, Default)]
pub struct Dumps {
    open: VecDeque<Dump>,
    last: u32,
}

impl Dumps {
    /// Ends all dumps.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// Reads the register: replaces the request in `body` by the answer. Returns what goes to the
    /// memory of a key, if the request names one: the caller has checked that it is writable.
    pub fn read(
        &mut self,
        objects: &Objects<'_>,
        uid: u16,
        body: &mut [u8],
    ) -> Result<Vec<u8>, Refusal> {
        let ask = Ask::of(body);
        let part = self.part(objects, uid, &ask, ask.target.room())?;
        body[layout::INLINE_DATA..].fill(0);
        part.describe(body);
        match ask.target {
            Target::Inline => {
                body[layout::INLINE_DATA..][..part.bytes.len()].copy_from_slice(&part.bytes);
                Ok(Vec::new())
            }
            Target::Memory { .. } => Ok(part.bytes),
        }
    }

    /// Returns the next part of a dump, with at most `room` bytes.
    pub fn part(
        &mut self,
        objects: &Objects<'_>,
        uid: u16,
        ask: &Ask,
        room: usize,
    ) -> Result<Part, Refusal> {
        if room == 0 {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE));
        }
        let mut dump = match (ask.sequence, ask.opaque) {
            (0, 0) => {
                self.last = self.last.wrapping_add(1).max(1);
                Dump {
                    number: self.last,
                    uid,
                    bytes: segments(objects, &ask.what),
                    given: 0,
                    sequence: 0,
                }
            }
            (sequence, opaque) => {
                let is_next = |dump: &Dump| {
                    dump.uid == uid && dump.opaque() == opaque && dump.sequence == sequence
                };
                let at = self.open.iter().position(is_next);
                at.and_then(|at| self.open.remove(at))
                    .ok_or(Refusal(Status::BAD_PARAM, Syndrome::NOT_NEXT))?
            }
        };
        let end = dump.bytes.len().min(dump.given + room);
        let bytes = dump.bytes[dump.given..end].to_vec();
        dump.given = end;
        dump.sequence = (dump.sequence + 1) % 16;
        let part = Part {
            bytes,
            sequence: dump.sequence,
            opaque: dump.opaque(),
            is_last: end == dump.bytes.len(),
        };
        if !part.is_last {
            if self.open.len() == MAX_DUMPS {
                self.open.pop_front();
            }
            self.open.push_back(dump);
        }
        Ok(part)
    }
}

impl Dump {
    fn opaque(&self) -> u64 {
        u64::from(self.number) << 32 | self.given as u64
    }
}

/// Returns a whole dump.
fn segments(objects: &Objects<'_>, what: &What) -> Vec<u8> {
    let (major, minor, _) = identity::FIRMWARE;
    let mut dump = Vec::new();
    let mut info = vec![0, 0, 0, 1];
    info.extend(u32::from(identity::HW_DEVICE).to_be_bytes());
    info.extend((u32::from(major) << 16 | u32::from(minor)).to_be_bytes());
    segment(&mut dump, kind::INFO, &info);
    let vhca_id = what.vhca_id.to_be_bytes();
    segment(
        &mut dump,
        kind::COMMAND,
        &request([what.kind.to_be_bytes(), vhca_id], what),
    );
    if what.vhca_id != 0 && what.vhca_id != objects.vhca_id {
        message(&mut dump, kind::ERROR, OTHER_VHCA, "no such virtual HCA");
    } else {
        content(&mut dump, objects, what);
    }
    segment(&mut dump, kind::TERMINATE, &[]);
    dump
}

fn content(dump: &mut Vec<u8>, objects: &Objects<'_>, what: &What) {
    let alive: Vec<u32> = match what.kind {
        kind::MENU => return menu(dump),
        kind::PATTERN => return pattern(dump, what.index1),
        kind::UCTX => objects
            .contexts
            .alive()
            .into_iter()
            .map(u32::from)
            .collect(),
        kind::EQC => objects.eqs.numbers().map(u32::from).collect(),
        kind::UAR => objects.uars.iter().copied().collect(),
        kind::CR_SPACE => (0..cr_space::REGIONS as u32).collect(),
        _ => return message(dump, kind::ERROR, UNKNOWN_TYPE, "unknown segment type"),
    };
    let count = match what.count1 {
        ALL | ACTIVE => u32::MAX,
        count => u32::from(count).max(1),
    };
    let range = what.index1..what.index1.saturating_add(count);
    let chosen: Vec<u32> = alive
        .into_iter()
        .filter(|index| range.contains(index))
        .collect();
    if chosen.is_empty() {
        return message(dump, kind::ERROR, NO_OBJECT, "no such object");
    }
    let expected = match what.count1 {
        ALL | ACTIVE => chosen.len(),
        _ => count as usize,
    };
    for index in &chosen {
        object(dump, objects, what.kind, *index);
    }
    if chosen.len() < expected {
        message(dump, kind::NOTICE, NO_OBJECT, "some objects do not exist");
    }
}

/// Adds an object that exists.
fn object(dump: &mut Vec<u8>, objects: &Objects<'_>, kind: u16, index: u32) {
    let payload = match kind {
        kind::EQC => objects
            .eqs
            .query(index as u8)
            .map(|answer| answer[eq::CONTEXT..][..eq::CONTEXT_LEN].to_vec())
            .unwrap_or_default(),
        kind::CR_SPACE => {
            let start = index as usize * cr_space::REGION;
            cr_space::bytes(objects.vhca_id, start, cr_space::REGION)
        }
        kind::UCTX => objects.contexts.caps(index as u16).to_be_bytes().to_vec(),
        _ => index.to_be_bytes().to_vec(),
    };
    resource(dump, kind, index, &payload);
    if kind == kind::EQC {
        // Its UAR is worth a look, too.
        let what = What {
            kind: kind::UAR,
            vhca_id: 0,
            index1: eq::UAR_PAGE.get(&payload) as u32,
            index2: 0,
            count1: 0,
            count2: 0,
        };
        segment(
            dump,
            kind::REFERENCE,
            &request([[0; 2], kind::UAR.to_be_bytes()], &what),
        );
    }
}

fn pattern(dump: &mut Vec<u8>, words: u32) {
    let words = words.min(MAX_PATTERN);
    let payload: Vec<u8> = (0..words).flat_map(u32::to_be_bytes).collect();
    resource(dump, kind::PATTERN, words, &payload);
}

fn menu(dump: &mut Vec<u8>) {
    let mut data = (MENU.len() as u32).to_be_bytes().to_vec();
    for (kind, name, index, is_required) in MENU {
        let mut bits = SUPPORTS_INDEX;
        if is_required {
            bits |= NEEDS_INDEX;
        }
        if kind != kind::PATTERN {
            bits |= SUPPORTS_COUNT | SUPPORTS_ALL | SUPPORTS_ACTIVE;
        }
        data.extend(bits.to_be_bytes());
        data.extend(kind.to_be_bytes());
        data.extend(text::<16>(name));
        data.extend(text::<16>(index));
        data.extend(text::<16>(""));
    }
    segment(dump, kind::MENU, &data);
}

fn resource(dump: &mut Vec<u8>, kind: u16, index1: u32, payload: &[u8]) {
    let mut data = vec![0; 4];
    data.extend(index1.to_be_bytes());
    data.extend([0; 4]);
    data.extend(payload);
    segment(dump, kind, &data);
}

fn message(dump: &mut Vec<u8>, kind: u16, syndrome: u16, words: &str) {
    let mut data = vec![0; 2];
    data.extend(syndrome.to_be_bytes());
    data.extend([0; 8]);
    data.extend(text::<32>(words));
    segment(dump, kind, &data);
}

/// The content of a command or a reference.
fn request(head: [[u8; 2]; 2], what: &What) -> Vec<u8> {
    let mut data = head.concat();
    data.extend(what.index1.to_be_bytes());
    data.extend(what.index2.to_be_bytes());
    data.extend(what.count1.to_be_bytes());
    data.extend(what.count2.to_be_bytes());
    data
}

/// Adds a segment. The content has a multiple of 4 bytes.
fn segment(dump: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let mut header = [0; layout::HEADER];
    let words = (layout::HEADER + data.len()) / 4;
    layout::LENGTH_DW.set(&mut header, words as u64);
    layout::SEGMENT_TYPE.set(&mut header, kind.into());
    dump.extend(header);
    dump.extend(data);
}

fn text<const LEN: usize>(text: &str) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let len = text.len().min(LEN);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::fields::Field;
    use super::*;

    struct State {
        eqs: EventQueues,
        uars: BTreeSet<u32>,
        contexts: Contexts,
    }

    impl State {
        fn new() -> Self {
            let mut contexts = Contexts::new(7, 64);
            for _ in 0..3 {
                contexts.create(5).unwrap();
            }
            contexts.destroy(2).unwrap();
            State {
                eqs: EventQueues::default(),
                uars: BTreeSet::from([16]),
                contexts,
            }
        }

        fn objects(&self) -> Objects<'_> {
            Objects {
                eqs: &self.eqs,
                uars: &self.uars,
                contexts: &self.contexts,
                vhca_id: 7,
            }
        }
    }

    fn ask(fields: &[(Field, u64)]) -> Vec<u8> {
        let mut body = vec![0; layout::LEN];
        layout::INLINE_DUMP.set(&mut body, 1);
        for (field, value) in fields {
            field.set(&mut body, *value);
        }
        body
    }

    /// Reads until there is no more, as a driver does.
    fn whole(dumps: &mut Dumps, state: &State, mut body: Vec<u8>) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        for parts in 1.. {
            dumps.read(&state.objects(), 1, &mut body).unwrap();
            let size = layout::SIZE.get(&body) as usize;
            bytes.extend(&body[layout::INLINE_DATA..][..size]);
            assert_eq!(layout::SEQ_NUM.get(&body), parts as u64 % 16);
            if !layout::MORE_DUMP.is_set(&body) {
                return (bytes, parts);
            }
        }
        unreachable!()
    }

    #[test]
    fn golden_contexts() {
        let state = State::new();
        let body = ask(&[
            (layout::SEGMENT_TYPE, 0x1000),
            (layout::INDEX1, 1),
            (layout::NUM_OF_OBJ1, 2),
        ]);
        let (bytes, parts) = whole(&mut Dumps::default(), &state, body);
        assert_eq!(parts, 1);
        let mut golden = vec![
            0, 4, 0xff, 0xfe, 0, 0, 0, 1, 0, 0, 2, 0x18, 0, 28, 0, 45, // info
            0, 5, 0xff, 0xfa, 0x10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, // command
            0, 5, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, // uid 1
            0, 12, 0xff, 0xf9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, // uid 2 is destroyed
        ];
        golden.extend(text::<32>("some objects do not exist"));
        golden.extend([0, 1, 0xff, 0xfb]);
        assert_eq!(bytes, golden);
    }

    #[test]
    fn golden_menu() {
        let state = State::new();
        let body = ask(&[(layout::SEGMENT_TYPE, 0xffff)]);
        let (bytes, parts) = whole(&mut Dumps::default(), &state, body);
        assert_eq!(parts, 2, "longer than the inline data");
        let menu = &bytes[0x24..];
        assert_eq!(menu[..8], [0, 67, 0xff, 0xff, 0, 0, 0, 5]);
        assert_eq!(menu[8..12], [0, 0xd1, 0x10, 0]);
        assert_eq!(&menu[12..24], b"EMU_UCTX\0\0\0\0");
        assert_eq!(&menu[28..32], b"UID\0");
        let second = &menu[8 + layout::RECORD..];
        assert_eq!(second[..4], [0, 0xd3, 0x10, 1]);
    }

    #[test]
    fn long_dumps_come_in_parts() {
        let (mut dumps, state) = (Dumps::default(), State::new());
        let mut lens = vec![];
        for words in [0, 36, 37, 1000, 0xffff_ffff] {
            let body = ask(&[(layout::SEGMENT_TYPE, 0x1003), (layout::INDEX1, words)]);
            let (bytes, parts) = whole(&mut dumps, &state, body);
            assert_eq!(parts, bytes.len().div_ceil(layout::INLINE_LEN));
            lens.push((bytes.len(), parts));
        }
        let start = 16 + 20 + 16 + 4;
        assert_eq!(lens[0], (start, 1));
        assert_eq!(lens[1], (start + 144, 1));
        assert_eq!(lens[4].0, start + 4 * 0xfff0);
        assert!(dumps.open.is_empty());
    }

    #[test]
    fn only_the_next_part_of_ones_own_dump() {
        let (mut dumps, state) = (Dumps::default(), State::new());
        let mut body = ask(&[(layout::SEGMENT_TYPE, 0x1003), (layout::INDEX1, 100)]);
        dumps.read(&state.objects(), 1, &mut body).unwrap();
        let bad = Err(Refusal(Status::BAD_PARAM, Syndrome::NOT_NEXT));
        for (field, value) in [(layout::SEQ_NUM, 2), (layout::DEVICE_OPAQUE, 1 << 32 | 9)] {
            let mut wrong = body.clone();
            field.set(&mut wrong, value);
            assert_eq!(dumps.read(&state.objects(), 1, &mut wrong), bad);
        }
        let mut other = body.clone();
        assert_eq!(dumps.read(&state.objects(), 2, &mut other), bad);
        let mut again = body.clone();
        dumps.read(&state.objects(), 1, &mut body).unwrap();
        assert_eq!(dumps.read(&state.objects(), 1, &mut again), bad);
        // Many more: the first is forgotten.
        for _ in 0..MAX_DUMPS {
            let mut body = ask(&[(layout::SEGMENT_TYPE, 0x1003), (layout::INDEX1, 100)]);
            dumps.read(&state.objects(), 1, &mut body).unwrap();
        }
        assert_eq!(dumps.open.len(), MAX_DUMPS);
        assert_eq!(dumps.read(&state.objects(), 1, &mut body), bad);
    }

    #[test]
    fn errors_are_segments() {
        let state = State::new();
        let syndrome = |fields: &[(Field, u64)]| {
            let (bytes, _) = whole(&mut Dumps::default(), &state, ask(fields));
            let error = &bytes[0x24..];
            assert_eq!(error[..4], [0, 12, 0xff, 0xfc]);
            error[7]
        };
        assert_eq!(syndrome(&[(layout::SEGMENT_TYPE, 0x1)]), 1);
        assert_eq!(
            syndrome(&[(layout::SEGMENT_TYPE, 0x1000), (layout::INDEX1, 2)]),
            2
        );
        assert_eq!(
            syndrome(&[(layout::SEGMENT_TYPE, 0x1001), (layout::INDEX1, 9)]),
            2
        );
        assert_eq!(
            syndrome(&[(layout::SEGMENT_TYPE, 0xffff), (layout::VHCA_ID, 6)]),
            3
        );
    }

    #[test]
    fn the_same_into_memory() {
        let (mut dumps, state) = (Dumps::default(), State::new());
        let what = [
            (layout::SEGMENT_TYPE, 0x1004),
            (layout::NUM_OF_OBJ1, 0xffff),
        ];
        let (inline, steps) = whole(&mut dumps, &state, ask(&what));
        assert!(inline.len() > cr_space::LEN && steps > 20_000);
        let mut body = ask(&what);
        for (field, value) in [
            (layout::INLINE_DUMP, 0),
            (layout::MKEY, 0x142),
            (layout::SIZE, 8 << 20),
            (layout::ADDRESS, 0x7000),
        ] {
            field.set(&mut body, value);
        }
        assert_eq!(
            Ask::of(&body).target,
            Target::Memory {
                mkey: 0x142,
                size: 8 << 20,
                address: 0x7000
            }
        );
        let mut bytes = Vec::new();
        for parts in 1.. {
            let part = dumps.read(&state.objects(), 1, &mut body).unwrap();
            assert_eq!(layout::SIZE.get(&body), part.len() as u64);
            bytes.extend(part);
            if !layout::MORE_DUMP.is_set(&body) {
                assert_eq!(parts, 5);
                break;
            }
            layout::SIZE.set(&mut body, 8 << 20);
        }
        assert!(bytes == inline);
        // A part that brings nothing would never end.
        layout::SIZE.set(&mut body, 3);
        layout::SEQ_NUM.set(&mut body, 0);
        layout::DEVICE_OPAQUE.set(&mut body, 0);
        assert_eq!(
            dumps.read(&state.objects(), 1, &mut body),
            Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE))
        );
    }
}
