// SPDX-License-Identifier: GPL-2.0-only

//! Requests and replies, with the layouts of `loopback.h`.
//!
//! [`Command::parse`] validates a request completely; the driver only sees the result.

use kernel::{
    prelude::*,
    sizes::SZ_4M, //
};

/// The first word of a command: `FWCTL_LOOPBACK_MAGIC`.
pub(crate) const MAGIC: u32 = 0x7030_6c66;

/// Maximum sleep in milliseconds: `FWCTL_LOOPBACK_MAX_SLEEP_MS`.
const MAX_SLEEP_MS: u32 = 60_000;

/// Maximum length of a requested reply in bytes: `FWCTL_LOOPBACK_MAX_FILL`.
const MAX_FILL: usize = SZ_4M;

/// `struct fwctl_loopback_cmd`, at any address.
#[repr(C, packed)]
#[derive(
    FromBytes, zerocopy_derive::Immutable, zerocopy_derive::KnownLayout, zerocopy_derive::Unaligned,
)]
struct Head {
    magic: u32,
    op: u32,
    arg: u32,
    reserved: u32,
}

/// `struct fwctl_loopback_memory` after its header, at any address.
#[repr(C, packed)]
#[derive(
    Clone,
    Copy,
    FromBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
    zerocopy_derive::Unaligned,
)]
struct Place {
    umem_id: u32,
    len: u32,
    offset: u64,
}

/// Bytes of registered memory.
pub(crate) struct MemoryRange {
    /// What the firmware calls the memory.
    pub(crate) umem_id: u32,
    pub(crate) offset: usize,
    /// At most [`MAX_FILL`].
    pub(crate) len: usize,
}

/// `enum fwctl_loopback_memory_mode`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryMode {
    Works,
    Refused,
    Unanswered,
    Kept,
}

impl TryFrom<u32> for MemoryMode {
    type Error = Error;

    fn try_from(number: u32) -> Result<Self> {
        Ok(match number {
            0 => Self::Works,
            1 => Self::Refused,
            2 => Self::Unanswered,
            3 => Self::Kept,
            _ => return Err(EINVAL),
        })
    }
}

/// `struct fwctl_loopback_state`, the reply to [`Op::State`].
#[repr(C)]
#[derive(IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct State {
    /// Number of open contexts of this device, including the caller's.
    pub(crate) open_uctx: u32,
    /// Scope that the core passed to the driver.
    pub(crate) scope: u32,
    /// Size of the reply buffer in bytes.
    pub(crate) out_len: u32,
    /// Number of the caller's context, counted from 1 in the order of opening.
    pub(crate) uid: u32,
}

/// A parsed request.
pub(crate) enum Command {
    /// Not a command: reply with the request.
    Echo,
    /// A command.
    Op(Op),
}

/// `enum fwctl_loopback_op`.
pub(crate) enum Op {
    /// Reply with a copy in separate memory.
    Copy,
    /// Sleep for the given number of milliseconds, then reply with the request.
    Sleep(i64),
    /// Fail with the given error.
    Fail(Error),
    /// Claim a reply in place of the given length.
    InPlace(usize),
    /// Reply with the given number of bytes.
    Fill(usize),
    /// Reply with [`State`].
    State,
    /// Reply with the given number of zeros.
    Zeros(usize),
    /// Do what [`MemoryOp::parse`] returns for the request.
    Memory,
}

/// An operation on registered memory. Apart from [`Op`], to keep that small.
pub(crate) enum MemoryOp {
    /// Fill it with a value.
    Fill(MemoryRange, u8),
    /// Reply with bytes of it, after the given number of milliseconds.
    Read(MemoryRange, i64),
    /// Handle it in another way.
    Mode(MemoryMode),
}

impl Command {
    /// Returns the number of the operation, or [`None`] if the request is not a command.
    pub(crate) fn opcode(request: &[u8]) -> Option<u32> {
        let (head, _) = Head::ref_from_prefix(request).ok()?;

        (head.magic == MAGIC).then_some(head.op)
    }

    /// Parses a request.
    ///
    /// Fails with [`EINVAL`] if a field is out of range, and with [`EOPNOTSUPP`] for an unknown
    /// operation.
    pub(crate) fn parse(request: &[u8]) -> Result<Self> {
        let head = match Head::ref_from_prefix(request) {
            Ok((head, _)) if head.magic == MAGIC => head,
            _ => return Ok(Self::Echo),
        };
        if head.reserved != 0 {
            return Err(EINVAL);
        }

        Ok(Self::Op(match (head.op, head.arg) {
            (0, _) => return Ok(Self::Echo),
            (1, _) => Op::Copy,
            (2, time @ 0..=MAX_SLEEP_MS) => Op::Sleep(time.into()),
            (3, errno @ 1..=4095) => Op::Fail(Error::from_errno(-(errno as c_int))),
            (4, len) => Op::InPlace(len as usize),
            (5, len) if len as usize <= MAX_FILL => Op::Fill(len as usize),
            (6, _) => Op::State,
            (7, len) if len as usize <= MAX_FILL => Op::Zeros(len as usize),
            (8..=10, _) => Op::Memory,
            (0..=7, _) => return Err(EINVAL),
            _ => return Err(EOPNOTSUPP),
        }))
    }
}

impl MemoryOp {
    /// Parses a request that is [`Op::Memory`]. Fails with [`EINVAL`] if a field is out of range.
    pub(crate) fn parse(request: &[u8]) -> Result<Self> {
        let (head, rest) = Head::ref_from_prefix(request).map_err(|_| EINVAL)?;

        Ok(match (head.op, head.arg) {
            (8, value @ 0..=0xff) => Self::Fill(MemoryRange::parse(rest)?, value as u8),
            (9, time @ 0..=MAX_SLEEP_MS) => Self::Read(MemoryRange::parse(rest)?, time.into()),
            (10, mode) => Self::Mode(mode.try_into()?),
            _ => return Err(EINVAL),
        })
    }
}

impl MemoryRange {
    /// Parses what follows the header.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let (place, _) = Place::ref_from_prefix(bytes).map_err(|_| EINVAL)?;
        let len = place.len as usize;
        if len > MAX_FILL {
            return Err(EINVAL);
        }

        Ok(Self {
            umem_id: place.umem_id,
            offset: usize::try_from(place.offset).map_err(|_| EINVAL)?,
            len,
        })
    }
}
