// SPDX-License-Identifier: GPL-2.0-only

//! The layouts of the CXL mailbox, and of the RPCs that carry them.
//!
//! An RPC is a header of fwctl's own, in the byte order of the machine, and behind it the input
//! payload of a mailbox command, which is little-endian. C headers:
//! [`include/uapi/fwctl/cxl.h`](srctree/include/uapi/fwctl/cxl.h) and
//! [`include/uapi/cxl/features.h`](srctree/include/uapi/cxl/features.h). Section numbers are those
//! of the CXL specification, revision 3.2.

use core::mem::offset_of;

use kernel::prelude::*;
use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::Immutable;

/// Identifies a Feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

/// A status that a device gave a command, section 8.2.9.4.5.1.
///
/// The reply of an RPC carries it as `retval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReturnCode(pub(crate) u16);

impl ReturnCode {
    /// The command was executed.
    pub(crate) const SUCCESS: Self = Self(0);
}

/// Before each request, `struct fwctl_rpc_cxl`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RpcIn {
    /// Which command it is.
    pub(crate) opcode: u32,
    /// Must be 0.
    pub(crate) flags: u32,
    /// Bytes of the input payload that follows.
    pub(crate) op_size: u32,
    /// Must be 0.
    pub(crate) reserved1: u32,
}

/// Before each reply, `struct fwctl_rpc_cxl_out`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RpcOut {
    size: u32,
    retval: u32,
}

impl RpcOut {
    /// Returns the header of a reply with a payload of `size` bytes.
    pub(crate) fn new(size: usize, code: ReturnCode) -> Result<Self> {
        Ok(Self {
            size: size.try_into()?,
            retval: code.0.into(),
        })
    }
}

/// Input of Get Supported Features, section 8.2.10.6.1.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct GetSupportedIn {
    count: U32,
    start: U16,
    /// Must be 0.
    pub(crate) reserved: [u8; 2],
}

impl GetSupportedIn {
    /// Which command this is the input of.
    pub(crate) const OPCODE: u32 = 0x0500;

    /// Returns how many entries there is room for.
    pub(crate) fn entries(&self) -> usize {
        self.count.get() as usize / size_of::<FeatureEntry>()
    }

    /// Returns the index of the first entry that is wanted.
    pub(crate) fn start(&self) -> usize {
        self.start.get().into()
    }
}

/// Output of Get Supported Features, entries follow.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct GetSupportedOut {
    entries: U16,
    supported: U16,
    reserved: [u8; 4],
}

impl GetSupportedOut {
    /// Returns the head of a list of `entries` out of `supported` Features.
    pub(crate) fn new(entries: usize, supported: usize) -> Result<Self> {
        Ok(Self {
            entries: U16::new(entries.try_into()?),
            supported: U16::new(supported.try_into()?),
            reserved: [0; 4],
        })
    }
}

/// Supported Feature Entry: what a device says about one of its Features.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct FeatureEntry {
    /// Which Feature it is.
    pub(crate) uuid: Uuid,
    /// Its number on this device.
    id: U16,
    /// Most bytes that a Get Feature takes.
    get_feat_size: U16,
    /// Most bytes that a Set Feature takes, 0 if there is none.
    set_feat_size: U16,
    /// Whether it can be changed, and what values it has besides the current one.
    flags: U32,
    /// Version of what a Get Feature returns.
    get_feat_ver: u8,
    /// Version of what a Set Feature takes.
    set_feat_ver: u8,
    /// What a Set Feature has an effect on, table 8-87.
    pub(crate) effects: U16,
    reserved: [u8; 18],
}

impl FeatureEntry {
    /// Set in `flags`: Set Feature is possible.
    const CHANGEABLE: u32 = 1 << 0;

    /// Does the device let the Feature be changed?
    pub(crate) fn is_changeable(&self) -> bool {
        self.flags.get() & Self::CHANGEABLE != 0
    }

    /// Returns the entry of the same Feature where it cannot be changed.
    pub(crate) fn unchangeable(mut self) -> Self {
        self.flags.set(self.flags.get() & !Self::CHANGEABLE);
        self.set_feat_size.set(0);
        self
    }
}

/// Input of Get Feature, section 8.2.10.6.2.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct GetFeatureIn {
    pub(crate) uuid: Uuid,
    /// The first byte that is wanted.
    pub(crate) offset: U16,
    count: U16,
    /// Which of the values is wanted: the current one, the default or the saved one.
    pub(crate) selection: u8,
}

impl GetFeatureIn {
    /// Which command this is the input of.
    pub(crate) const OPCODE: u32 = 0x0501;

    /// Returns how many bytes are wanted.
    pub(crate) fn count(&self) -> usize {
        self.count.get().into()
    }

    /// Returns the command for `count` bytes from `skip` on, of those that this one wants.
    ///
    /// Fails with [`EINVAL`] if no Feature is that large.
    pub(crate) fn part(&self, skip: usize, count: usize) -> Result<Self> {
        Ok(Self {
            offset: offset_after(self.offset, skip)?,
            count: U16::new(count.try_into()?),
            ..*self
        })
    }
}

/// Input of Set Feature, section 8.2.10.6.3; data follows.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SetFeatureIn {
    uuid: Uuid,
    /// Bits 0 to 2 are a [`Transfer`].
    pub(crate) flags: U32,
    /// Where the data begins in the value.
    pub(crate) offset: U16,
    /// Version of the data.
    pub(crate) version: u8,
    /// Must be 0.
    pub(crate) reserved: [u8; 9],
}

impl SetFeatureIn {
    /// Which command this is the input of.
    pub(crate) const OPCODE: u32 = 0x0502;

    /// In `flags`: the value survives a reset.
    pub(crate) const SAVED: u32 = 1 << 3;

    /// Returns the Feature that is to be changed.
    pub(crate) fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// Returns the header for the data from `skip` on.
    ///
    /// Fails with [`EINVAL`] if no Feature is that large.
    pub(crate) fn part(&self, action: Transfer, skip: usize) -> Result<Self> {
        Ok(Self {
            // Every value is saved, asked to or not: mainline does so, and programs that leave the
            // bit out would lose what they set at the next reset.
            flags: U32::new(action as u32 | Self::SAVED),
            offset: offset_after(self.offset, skip)?,
            ..*self
        })
    }
}

/// What a Set Feature command is to a transfer, bits 0 to 2 of its `flags`.
///
/// Aborting one, action 4, is up to `cxl_core`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Transfer {
    /// All of it.
    Full = 0,
    /// The first part of it.
    Initiate = 1,
    /// Neither the first nor the last part of it.
    Continue = 2,
    /// The last part of it.
    Finish = 3,
}

// The layouts of the C headers, all of them without padding.
const _: () = {
    assert!(size_of::<RpcIn>() == 16);
    assert!(size_of::<RpcOut>() == 8);
    assert!(size_of::<GetSupportedIn>() == 8);
    assert!(size_of::<GetSupportedOut>() == 8);
    assert!(size_of::<FeatureEntry>() == 48);
    assert!(offset_of!(FeatureEntry, flags) == 22);
    assert!(offset_of!(FeatureEntry, effects) == 28);
    assert!(size_of::<GetFeatureIn>() == 21);
    assert!(size_of::<SetFeatureIn>() == 32);
    assert!(offset_of!(SetFeatureIn, version) == 22);
};

/// Returns the offset of the byte `skip` bytes behind the one at `offset`.
fn offset_after(offset: U16, skip: usize) -> Result<U16> {
    let offset = usize::from(offset.get()).checked_add(skip).ok_or(EINVAL)?;

    Ok(U16::new(offset.try_into()?))
}

#[kunit_tests(cxl_fwctl_wire)]
mod tests {
    use super::*;

    #[test]
    fn kernel_keeps_the_entry_but_for_two_fields() -> Result {
        let mut bytes = [0xff; 48];
        let entry = FeatureEntry::read_from_bytes(&bytes).map_err(|_| EINVAL)?;
        assert!(entry.is_changeable());

        let entry = entry.unchangeable();
        assert!(!entry.is_changeable());
        bytes[20..22].fill(0);
        bytes[22] = 0xfe;
        assert_eq!(entry.as_bytes(), &bytes);
        Ok(())
    }
}
