// SPDX-License-Identifier: MIT OR Apache-2.0

//! Expected answers of devices.

use std::fmt;
use std::ops::RangeInclusive;

/// The expected content of a reply.
pub enum Reply {
    /// Exactly these bytes.
    Bytes(Vec<u8>),
    /// `struct fwctl_loopback_state` with this scope and capacity.
    LoopbackState(u32, u32),
    /// Any bytes of this length.
    Len(usize),
    /// A list of features: number of entries in the reply, and total number.
    CxlList(u16, u16),
    /// Part of a feature, of at most this length.
    CxlValue(usize),
    /// Any reply.
    Any,
}

/// The expected answer to a request.
pub struct Answer {
    /// Errors that may be returned.
    pub errnos: &'static [i32],
    /// The reply, if the request may succeed.
    pub reply: Option<Reply>,
}

impl Answer {
    /// The request fails with one of `errnos`.
    pub fn fails(errnos: &'static [i32]) -> Self {
        Answer {
            errnos,
            reply: None,
        }
    }

    /// The request succeeds.
    pub fn replies(reply: Reply) -> Self {
        Answer {
            errnos: &[],
            reply: Some(reply),
        }
    }
}

impl Reply {
    /// Returns the possible lengths.
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

    /// Returns whether the reply can be `len` bytes long and start with `visible`.
    pub fn is(&self, len: usize, visible: &[u8]) -> bool {
        // Checks a 32-bit word if all of it is visible.
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
                // An error reply has no value.
                Reply::CxlValue(_) => is(0, len as u32 - 8) && (len == 8 || is(4, 0)),
            }
    }
}

/// For messages about a mismatch. Long replies are truncated.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Bytes(bytes) => {
                let front = &bytes[..bytes.len().min(32)];
                write!(f, "{} bytes, {front:x?}", bytes.len())
            }
            Reply::LoopbackState(scope, out_len) => {
                write!(f, "a state: scope {scope}, out_len {out_len}")
            }
            Reply::Len(len) => write!(f, "{len} bytes"),
            Reply::CxlList(entries, all) => write!(f, "{entries} of {all} entries"),
            Reply::CxlValue(count) => write!(f, "a status, or at most {count} bytes of a value"),
            Reply::Any => f.write_str("any"),
        }
    }
}

/// Reads a word in native byte order.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes[at..at + 4].try_into();
    u32::from_ne_bytes(word.expect("four bytes"))
}
