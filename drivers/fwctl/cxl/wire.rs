// SPDX-License-Identifier: GPL-2.0-only

//! Layouts of mailbox commands and of the RPCs that carry them.
//!
//! An RPC is a fwctl header in native byte order, followed by the input payload of a mailbox
//! command, which is little-endian. C headers:
//! [`include/uapi/fwctl/cxl.h`](srctree/include/uapi/fwctl/cxl.h) and
//! [`include/uapi/cxl/features.h`](srctree/include/uapi/cxl/features.h). Section numbers refer to
//! the CXL specification, revision 3.2.

use core::mem::offset_of;

use kernel::prelude::*;
use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::Immutable;

/// UUID of a Feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

/// Return code of a mailbox command, section 8.2.9.4.5.1.
///
/// A reply carries it as `retval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReturnCode(pub(crate) u16);

impl ReturnCode {
    /// The command succeeded.
    pub(crate) const SUCCESS: Self = Self(0);

    /// The command continues in the background.
    pub(crate) const BACKGROUND: Self = Self(1);
}

/// Header of each request, `struct fwctl_rpc_cxl`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RpcIn {
    /// Opcode of the mailbox command.
    pub(crate) opcode: u32,
    /// Must be 0.
    pub(crate) flags: u32,
    /// Size of the input payload, which follows.
    pub(crate) op_size: u32,
    /// Must be 0.
    pub(crate) reserved1: u32,
}

/// Header of each reply, `struct fwctl_rpc_cxl_out`.
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

/// Device data of `FWCTL_INFO`, `struct fwctl_info_cxl`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct DeviceInfo {
    uctx_caps: u32,
    payload_size: u32,
}

impl DeviceInfo {
    /// In `uctx_caps`: the driver answers [`QUERY_COMMANDS`].
    const QUERY_COMMANDS: u32 = 1 << 0;

    /// In `uctx_caps`: the driver passes the commands that the answer lists with a scope.
    const COMMANDS: u32 = 1 << 1;

    /// Returns the device data for a mailbox with this payload size.
    pub(crate) fn new(payload_size: usize) -> Result<Self> {
        Ok(Self {
            uctx_caps: Self::QUERY_COMMANDS | Self::COMMANDS,
            payload_size: payload_size.try_into()?,
        })
    }
}

/// Opcode of the query for the commands of the device, which the driver answers.
///
/// It is outside of the 16 bits of mailbox opcodes.
pub(crate) const QUERY_COMMANDS: u32 = 0x1_0000;

/// Output of [`QUERY_COMMANDS`], `struct fwctl_cxl_commands`; entries follow.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CommandsOut {
    num_commands: u32,
    reserved: u32,
}

impl CommandsOut {
    /// Returns the header of a list of `count` commands.
    pub(crate) fn new(count: usize) -> Result<Self> {
        Ok(Self {
            num_commands: count.try_into()?,
            reserved: 0,
        })
    }
}

/// A command of the device, `struct fwctl_cxl_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CommandEntry {
    /// Opcode.
    pub(crate) opcode: u16,
    /// Effects according to the Command Effects Log.
    pub(crate) effects: u16,
    /// Number of the least scope, or [`CommandEntry::NEVER`].
    pub(crate) scope: u8,
    /// Why no scope allows it, or 0.
    pub(crate) reason: u8,
    /// [`CommandEntry::BY_FEATURE`].
    pub(crate) flags: u16,
}

impl CommandEntry {
    /// As `scope`: no scope allows the command.
    pub(crate) const NEVER: u8 = 0xff;

    /// In `flags`: the scope depends on the Feature.
    pub(crate) const BY_FEATURE: u16 = 1 << 0;

    /// In `flags`: the scope depends on the command to another device in the payload.
    pub(crate) const BY_PAYLOAD: u16 = 1 << 1;
}

/// Entry of the Command Effects Log, table 8-87.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CelEntry {
    /// Opcode.
    pub(crate) opcode: U16,
    /// Effects.
    pub(crate) effects: U16,
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
    /// Opcode of the command.
    pub(crate) const OPCODE: u32 = 0x0500;

    /// Returns the number of entries that fit into the requested size.
    pub(crate) fn entries(&self) -> usize {
        self.count.get() as usize / size_of::<FeatureEntry>()
    }

    /// Returns the index of the first requested entry.
    pub(crate) fn start(&self) -> usize {
        self.start.get().into()
    }
}

/// Output of Get Supported Features; entries follow.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct GetSupportedOut {
    entries: U16,
    supported: U16,
    reserved: [u8; 4],
}

impl GetSupportedOut {
    /// Returns the header of a list of `entries` out of `supported` Features.
    pub(crate) fn new(entries: usize, supported: usize) -> Result<Self> {
        Ok(Self {
            entries: U16::new(entries.try_into()?),
            supported: U16::new(supported.try_into()?),
            reserved: [0; 4],
        })
    }
}

/// Supported Feature Entry: the properties of one Feature.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct FeatureEntry {
    /// UUID of the Feature.
    pub(crate) uuid: Uuid,
    /// Index of the Feature on this device.
    id: U16,
    /// Maximum size of the data of Get Feature.
    get_feat_size: U16,
    /// Maximum size of the data of Set Feature, 0 if that is not supported.
    set_feat_size: U16,
    /// Whether the Feature can be changed, and which values it has besides the current one.
    flags: U32,
    /// Version of the data of Get Feature.
    get_feat_ver: u8,
    /// Version of the data of Set Feature.
    set_feat_ver: u8,
    /// Effects of Set Feature, table 8-87.
    pub(crate) effects: U16,
    reserved: [u8; 18],
}

impl FeatureEntry {
    /// In `flags`: the Feature can be changed.
    const CHANGEABLE: u32 = 1 << 0;

    /// Returns whether the device allows the Feature to be changed.
    pub(crate) fn is_changeable(&self) -> bool {
        self.flags.get() & Self::CHANGEABLE != 0
    }

    /// Returns the entry with the Feature marked as not changeable.
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
    /// Offset of the first requested byte.
    pub(crate) offset: U16,
    count: U16,
    /// Which value is requested: the current, the default or the saved one.
    pub(crate) selection: u8,
}

impl GetFeatureIn {
    /// Opcode of the command.
    pub(crate) const OPCODE: u32 = 0x0501;

    /// Returns the number of requested bytes.
    pub(crate) fn count(&self) -> usize {
        self.count.get().into()
    }

    /// Returns the command for `count` of the requested bytes, starting at the one numbered `skip`.
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
    /// A [`Transfer`] in bits 0 to 2, and flags.
    pub(crate) flags: U32,
    /// Offset of the data in the value.
    pub(crate) offset: U16,
    /// Version of the data.
    pub(crate) version: u8,
    /// Must be 0.
    pub(crate) reserved: [u8; 9],
}

impl SetFeatureIn {
    /// Opcode of the command.
    pub(crate) const OPCODE: u32 = 0x0502;

    /// In `flags`: the value is saved across resets.
    pub(crate) const SAVED: u32 = 1 << 3;

    /// Returns the UUID of the Feature to change.
    pub(crate) fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// Returns the header for the data that starts at the byte numbered `skip`.
    ///
    /// Fails with [`EINVAL`] if no Feature is that large.
    pub(crate) fn part(&self, action: Transfer, skip: usize) -> Result<Self> {
        Ok(Self {
            // Always save the value, as the C core does: programs that leave the flag out would
            // otherwise lose it at the next reset.
            flags: U32::new(action as u32 | Self::SAVED),
            offset: offset_after(self.offset, skip)?,
            ..*self
        })
    }
}

/// Action of a Set Feature command, bits 0 to 2 of its `flags`.
///
/// Action 4 aborts a transfer; only `cxl_core` uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Transfer {
    /// The whole value in one command.
    Full = 0,
    /// The first part of a transfer.
    Initiate = 1,
    /// A part that is neither the first nor the last.
    Continue = 2,
    /// The last part, which completes the transfer.
    Finish = 3,
}

/// Input of Tunnel Management Command, section 7.6.7.3.1: a command to a device behind the switch.
///
/// The header is followed by a message in the format of section 7.6.3, whose payload follows.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TunnelIn {
    /// Number of the port or of the logical device.
    target: u8,
    /// What `target` is, and reserved bits.
    target_type: u8,
    /// Size of the message.
    size: U16,
    /// [`TunnelIn::REQUEST`] in bits 0 to 3, and reserved bits.
    category: u8,
    /// Returned with the response.
    tag: u8,
    reserved: u8,
    /// Opcode of the command in the message.
    opcode: U16,
    /// Size of the payload in bits 0 to 20, reserved bits, and whether a background operation was
    /// started.
    payload_size: [u8; 3],
    /// Only in responses.
    return_code: U16,
    /// Only in responses.
    extended_status: U16,
}

impl TunnelIn {
    /// As `category`: the message is a request.
    const REQUEST: u8 = 0;

    /// The largest valid `target_type`: the pool of logical devices.
    const POOL: u8 = 1;

    /// Size of the part that precedes the message.
    const HEAD: usize = offset_of!(Self, category);

    /// Parses the input, which must have no other length than it says, and nothing in reserved
    /// fields.
    pub(crate) fn parse(input: &[u8]) -> Result<Self> {
        let (tunnel, payload) = Self::read_from_prefix(input).map_err(|_| EINVAL)?;
        let [low, middle, high] = tunnel.payload_size;

        let is_request = tunnel.category == Self::REQUEST
            && tunnel.return_code.get() == 0
            && tunnel.extended_status.get() == 0;
        let has_sizes = usize::from(tunnel.size.get()) == input.len() - Self::HEAD
            && u32::from_le_bytes([low, middle, high, 0]) as usize == payload.len();

        if is_request && has_sizes && tunnel.target_type <= Self::POOL && tunnel.reserved == 0 {
            Ok(tunnel)
        } else {
            Err(EINVAL)
        }
    }

    /// Returns the opcode of the command to the other device.
    pub(crate) fn opcode(&self) -> u16 {
        self.opcode.get()
    }
}

// The layouts of the C headers, none of which has padding.
const _: () = {
    assert!(size_of::<RpcIn>() == 16);
    assert!(size_of::<RpcOut>() == 8);
    assert!(size_of::<DeviceInfo>() == 8);
    assert!(size_of::<CommandsOut>() == 8);
    assert!(size_of::<CommandEntry>() == 8);
    assert!(size_of::<CelEntry>() == 4);
    assert!(size_of::<GetSupportedIn>() == 8);
    assert!(size_of::<GetSupportedOut>() == 8);
    assert!(size_of::<FeatureEntry>() == 48);
    assert!(offset_of!(FeatureEntry, flags) == 22);
    assert!(offset_of!(FeatureEntry, effects) == 28);
    assert!(size_of::<GetFeatureIn>() == 21);
    assert!(size_of::<SetFeatureIn>() == 32);
    assert!(offset_of!(SetFeatureIn, version) == 22);
    assert!(size_of::<TunnelIn>() == 16);
    assert!(offset_of!(TunnelIn, opcode) == 7);
};

/// Returns `offset` plus `skip`, or fails with [`EINVAL`] if that exceeds 16 bits.
fn offset_after(offset: U16, skip: usize) -> Result<U16> {
    let offset = usize::from(offset.get()).checked_add(skip).ok_or(EINVAL)?;

    Ok(U16::new(offset.try_into()?))
}

#[kunit_tests(cxl_fwctl_wire)]
mod tests {
    use super::*;

    #[test]
    fn unchangeable_clears_two_fields() -> Result {
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

    /// Get Log through port 3, byte by byte.
    const TUNNEL: [u8; 40] = {
        let mut bytes = [0; 40];
        bytes[0] = 3;
        bytes[2] = 36;
        bytes[5] = 0x77;
        bytes[7] = 0x01;
        bytes[8] = 0x04;
        bytes[9] = 24;
        bytes
    };

    #[test]
    fn tunnel_is_parsed() -> Result {
        assert_eq!(TunnelIn::parse(&TUNNEL)?.opcode(), 0x0401);

        let mut empty = [0; 16];
        empty[1] = 1;
        empty[2] = 12;
        empty[7..9].copy_from_slice(&[0xfe, 0xca]);
        assert_eq!(TunnelIn::parse(&empty)?.opcode(), 0xcafe);
        Ok(())
    }

    /// Every bit but those of the target, the tag, the opcode and the payload has one valid value.
    #[test]
    fn tunnel_is_checked() {
        for bit in 0..TUNNEL.len() * 8 {
            let mut bytes = TUNNEL;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let is_free = matches!(bit / 8, 0 | 5 | 7 | 8 | 16..) || bit == 8;
            assert_eq!(TunnelIn::parse(&bytes).is_ok(), is_free);
        }
        for len in 0..TUNNEL.len() {
            assert!(TunnelIn::parse(&TUNNEL[..len]).is_err());
        }
    }
}
