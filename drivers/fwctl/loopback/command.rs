// SPDX-License-Identifier: GPL-2.0-only

//! What a request asks for: the layouts of `loopback.h`.
//!
//! First bytes become a structure, then the structure becomes a [`Command`], with all that can be
//! wrong with it found; the driver only ever sees the latter.

use kernel::{
    prelude::*,
    sizes::SZ_4M, //
};

/// How a request starts that asks for something: `FWCTL_LOOPBACK_MAGIC`.
pub(crate) const MAGIC: u32 = 0x7030_6c66;

/// The longest sleep, in milliseconds: `FWCTL_LOOPBACK_MAX_SLEEP_MS`.
const MAX_SLEEP_MS: u32 = 60_000;

/// The longest reply that can be asked for, in bytes: `FWCTL_LOOPBACK_MAX_FILL`.
const MAX_FILL: usize = SZ_4M;

/// `struct fwctl_loopback_cmd`, wherever it lies.
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

/// `struct fwctl_loopback_state`, the reply to [`Op::State`].
#[repr(C)]
#[derive(IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct State {
    /// Contexts open on this device, the asking one included.
    pub(crate) open_uctx: u32,
    /// The scope that the core handed to the driver.
    pub(crate) scope: u32,
    /// Room for the reply, in bytes.
    pub(crate) out_len: u32,
    /// Number of the asking context, from 1 in the order of opening.
    pub(crate) uid: u32,
}

/// What to do with a request.
pub(crate) enum Command {
    /// Nothing was asked for: send it back as it is.
    Echo,
    /// Something was.
    Op(Op),
}

/// `enum fwctl_loopback_op`.
pub(crate) enum Op {
    /// Reply with a copy in new memory.
    Copy,
    /// Sleep for so many milliseconds, then send the request back.
    Sleep(i64),
    /// Fail.
    Fail(Error),
    /// Claim a reply of so many bytes where the request is.
    InPlace(usize),
    /// Reply with so many bytes.
    Fill(usize),
    /// Reply with [`State`].
    State,
    /// Reply with so many zeros.
    Zeros(usize),
}

impl Command {
    /// Parses a request.
    ///
    /// Fails with [`EINVAL`] if a field is out of its range, and with [`EOPNOTSUPP`] if there is no
    /// such operation.
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
            (0..=7, _) => return Err(EINVAL),
            _ => return Err(EOPNOTSUPP),
        }))
    }
}
