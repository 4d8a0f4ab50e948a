// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is known of a device's answer to a request.

use std::fmt;
use std::ops::RangeInclusive;

/// What is known of a reply.
pub enum Reply {
    /// All of it.
    Bytes(Vec<u8>),
    /// `struct fwctl_loopback_state`: scope and room.
    LoopbackState(u32, u32),
    /// Its length.
    Len(usize),
    /// A list of features: the number of entries in it, and of all.
    CxlList(u16, u16),
    /// A part of a feature, of at most so many bytes.
    CxlValue(usize),
    /// Nothing.
    Any,
}

/// What the device makes of a request.
pub struct Answer {
    /// It may fail with one of these.
    pub errnos: &'static [i32],
    /// It may reply.
    pub reply: Option<Reply>,
}

impl Answer {
    /// It fails, so.
    pub fn fails(errnos: &'static [i32]) -> Self {
        Answer {
            errnos,
            reply: None,
        }
    }

    /// It replies, so.
    pub fn replies(reply: Reply) -> Self {
        Answer {
            errnos: &[],
            reply: Some(reply),
        }
    }
}

impl Reply {
    /// How long it may be.
    pub fn lens(&self) -> RangeInclusive<usize> {
        match self {
            Reply::Bytes(bytes) => bytes.len()..=bytes.len(),
            Reply::LoopbackState(..) => 16..=16,
            Reply::Len(len) => *len..=*len,
            Reply::CxlList(entries, _) => {
                let len = 16 + 48 * usize::from(*entries);
                len..=len
            }
            Reply::CxlValue(count) => 8..=8 + count,
            Reply::Any => 0..=u32::MAX as usize,
        }
    }

    /// Whether it can be `len` bytes that begin with `visible`.
    pub fn is(&self, len: usize, visible: &[u8]) -> bool {
        // The words that are visible, by their offsets.
        let is = |at, value| visible.len() < at + 4 || word(visible, at) == value;
        self.lens().contains(&len)
            && match self {
                Reply::Bytes(bytes) => bytes.starts_with(visible),
                Reply::LoopbackState(scope, room) => is(4, *scope) && is(8, *room),
                Reply::Len(_) | Reply::Any => true,
                Reply::CxlList(entries, all) => {
                    let counts = u32::from(*entries) | (u32::from(*all) << 16);
                    is(0, len as u32 - 8) && is(4, 0) && is(8, counts) && is(12, 0)
                }
                // A device that refuses has no value.
                Reply::CxlValue(_) => is(0, len as u32 - 8) && (len == 8 || is(4, 0)),
            }
    }
}

/// As it is said of another one: long ones are cut.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Bytes(bytes) => {
                let front = &bytes[..bytes.len().min(32)];
                write!(f, "{} bytes, {front:x?}", bytes.len())
            }
            Reply::LoopbackState(scope, room) => write!(f, "a state: scope {scope}, room {room}"),
            Reply::Len(len) => write!(f, "{len} bytes"),
            Reply::CxlList(entries, all) => write!(f, "{entries} of {all} entries"),
            Reply::CxlValue(count) => write!(f, "a status, or at most {count} bytes of a value"),
            Reply::Any => f.write_str("any"),
        }
    }
}

/// A number in the machine's byte order.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes[at..at + 4].try_into();
    u32::from_ne_bytes(word.expect("four bytes"))
}
