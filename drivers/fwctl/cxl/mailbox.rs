// SPDX-License-Identifier: GPL-2.0-only

//! The words of the CXL mailbox, and of the RPCs that carry them.
//!
//! An RPC is a header of fwctl's own, in the byte order of the machine, and behind it the input
//! payload of a mailbox command, which is little-endian. C headers:
//! [`include/uapi/fwctl/cxl.h`](srctree/include/uapi/fwctl/cxl.h) and
//! [`include/uapi/cxl/features.h`](srctree/include/uapi/cxl/features.h). Section numbers are those
//! of the CXL specification, revision 3.2.

use core::{
    mem::offset_of,
    ops::Range, //
};

use kernel::prelude::*;
use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::Immutable;

/// Features are addressed by 16-bit offsets: no byte lies at or beyond this one.
const ADDRESS_SPACE: usize = 1 << 16;

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

/// Why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The device answered, and refused. That is the result of the RPC.
    Refused(ReturnCode),
    /// There is no answer: the RPC fails.
    Undelivered(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Undelivered(error)
    }
}

/// What can be asked of the mailbox, once its [lock](crate::memdev::Memdev::lock) is held.
///
/// [`transfer`](crate::transfer) is written in terms of it.
pub(crate) trait Mailbox {
    /// Returns how many bytes one command can carry in either direction.
    fn payload_size(&self) -> usize;

    /// Sends one Get Feature command and returns how many bytes the device put into `out`.
    fn get(&mut self, input: &GetFeatureIn, out: &mut [u8]) -> Result<usize, Failure>;

    /// Sends one Set Feature command: a [`SetFeatureIn`] and its data.
    ///
    /// If a part of a transfer fails, the transfer has been aborted, or will be before the next one
    /// begins: `cxl_core` does that for all users of the mailbox.
    fn set(&mut self, input: &mut [u8]) -> Result<(), Failure>;

    /// Aborts the transfer whose parts were sent so far, now or before the next one begins.
    fn abort(&mut self);
}

/// Before each request, `struct fwctl_rpc_cxl`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RpcIn {
    opcode: u32,
    flags: u32,
    op_size: u32,
    reserved1: u32,
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
    reserved: [u8; 2],
}

impl GetSupportedIn {
    /// Which command this is the input of.
    const OPCODE: u32 = 0x0500;

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
    uuid: Uuid,
    offset: U16,
    count: U16,
    selection: u8,
}

impl GetFeatureIn {
    /// Which command this is the input of.
    const OPCODE: u32 = 0x0501;

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
    flags: U32,
    offset: U16,
    version: u8,
    reserved: [u8; 9],
}

impl SetFeatureIn {
    /// Which command this is the input of.
    const OPCODE: u32 = 0x0502;

    /// In `flags`: the value survives a reset.
    const SAVED: u32 = 1 << 3;

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

/// One request of user space, understood and well-formed.
pub(crate) enum Request {
    /// The list of the device's Features.
    GetSupported(GetSupportedIn),
    /// The value of a Feature; at least one byte, and all within the space of Features.
    Get(GetFeatureIn),
    /// A new value for a Feature; at least one byte, and all within the space of Features.
    Set {
        /// The head of the command.
        input: SetFeatureIn,
        /// Where the whole command lies in the request: head and data.
        command: Range<usize>,
    },
}

impl Request {
    /// Reads a request.
    ///
    /// Fails with [`EINVAL`] for a command that is unknown or not of its size, for reserved bits
    /// that are set, for a Set Feature that is only a part of a transfer, and for bytes that no
    /// Feature can have. What lies behind the command is ignored.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let (rpc, payload) = RpcIn::read_from_prefix(bytes).map_err(|_| EINVAL)?;

        if rpc.flags != 0 || rpc.reserved1 != 0 {
            return Err(EINVAL);
        }

        let payload = payload.get(..rpc.op_size as usize).ok_or(EINVAL)?;

        match rpc.opcode {
            GetSupportedIn::OPCODE => Self::parse_get_supported(payload),
            GetFeatureIn::OPCODE => Self::parse_get(payload),
            SetFeatureIn::OPCODE => Self::parse_set(payload),
            _ => Err(EINVAL),
        }
    }

    /// Reads a Get Supported Features.
    fn parse_get_supported(payload: &[u8]) -> Result<Self> {
        let input = GetSupportedIn::read_from_bytes(payload).map_err(|_| EINVAL)?;

        if input.reserved != [0; 2] {
            return Err(EINVAL);
        }
        Ok(Self::GetSupported(input))
    }

    /// Reads a Get Feature.
    fn parse_get(payload: &[u8]) -> Result<Self> {
        let input = GetFeatureIn::read_from_bytes(payload).map_err(|_| EINVAL)?;

        if input.count() == 0 || usize::from(input.offset.get()) + input.count() > ADDRESS_SPACE {
            return Err(EINVAL);
        }
        Ok(Self::Get(input))
    }

    /// Reads a Set Feature, whose data is what follows its head.
    fn parse_set(payload: &[u8]) -> Result<Self> {
        let (input, data) = SetFeatureIn::read_from_prefix(payload).map_err(|_| EINVAL)?;

        // Neither an action other than "full", which is 0, nor a bit that is not defined.
        if input.flags.get() & !SetFeatureIn::SAVED != 0 || input.reserved != [0; 9] {
            return Err(EINVAL);
        }
        if data.is_empty() || data.len() > ADDRESS_SPACE - usize::from(input.offset.get()) {
            return Err(EINVAL);
        }

        let start = size_of::<RpcIn>();
        Ok(Self::Set {
            input,
            command: start..start + payload.len(),
        })
    }
}

#[kunit_tests(cxl_fwctl_mailbox)]
mod tests {
    use super::*;

    /// Well-formed requests; what the words mean is written out once more, by hand.
    struct Words {
        opcode: u32,
        flags: u32,
        op_size: Option<u32>,
        reserved1: u32,
        payload: KVec<u8>,
    }

    impl Words {
        fn new(opcode: u32, parts: &[&[u8]]) -> Result<Self> {
            let mut payload = KVec::new();
            for part in parts {
                payload.extend_from_slice(part, GFP_KERNEL)?;
            }
            Ok(Self {
                opcode,
                flags: 0,
                op_size: None,
                reserved1: 0,
                payload,
            })
        }

        fn get_supported() -> Result<Self> {
            Self::new(0x500, &[&[0x00, 0x01, 0, 0], &[2, 0], &[0; 2]])
        }

        fn get(offset: u16, count: u16) -> Result<Self> {
            Self::new(
                0x501,
                &[&[7; 16], &offset.to_le_bytes(), &count.to_le_bytes(), &[2]],
            )
        }

        fn set(flags: u32, offset: u16, data: &[u8]) -> Result<Self> {
            Self::new(
                0x502,
                &[
                    &[7; 16],
                    &flags.to_le_bytes(),
                    &offset.to_le_bytes(),
                    &[1],
                    &[0; 9],
                    data,
                ],
            )
        }

        fn parse(&self) -> Result<Request> {
            let op_size = self.op_size.unwrap_or(self.payload.len() as u32);
            let mut bytes = KVec::new();
            for word in [self.opcode, self.flags, op_size, self.reserved1] {
                bytes.extend_from_slice(&word.to_ne_bytes(), GFP_KERNEL)?;
            }
            bytes.extend_from_slice(&self.payload, GFP_KERNEL)?;
            Request::parse(&bytes)
        }
    }

    fn refused(words: Words) -> bool {
        matches!(words.parse(), Err(error) if error == EINVAL)
    }

    #[test]
    fn well_formed() -> Result {
        let Request::GetSupported(input) = Words::get_supported()?.parse()? else {
            return Err(EINVAL);
        };
        assert_eq!((input.entries(), input.start()), (256 / 48, 2));

        let Request::Get(input) = Words::get(0x1234, 9)?.parse()? else {
            return Err(EINVAL);
        };
        assert_eq!(input.uuid, Uuid([7; 16]));
        assert_eq!(
            (input.offset.get(), input.count(), input.selection),
            (0x1234, 9, 2)
        );

        let Request::Set { input, command } = Words::set(8, 0x1234, &[3; 5])?.parse()? else {
            return Err(EINVAL);
        };
        assert_eq!(input.uuid(), &Uuid([7; 16]));
        assert_eq!((input.offset.get(), input.version), (0x1234, 1));
        assert_eq!(command, 16..16 + 32 + 5);
        Ok(())
    }

    #[test]
    fn opcode_has_32_bits() -> Result {
        for opcode in [0, 0x4ff, 0x503, 0x1_0500, 0x8000_0501, u32::MAX] {
            assert!(refused(Words {
                opcode,
                ..Words::get_supported()?
            }));
        }
        Ok(())
    }

    #[test]
    fn header_is_checked() -> Result {
        for make in [
            Words::get_supported as fn() -> Result<Words>,
            || Words::get(0, 4),
            || Words::set(0, 0, &[1]),
        ] {
            assert!(make()?.parse().is_ok());
            assert!(refused(Words {
                flags: 1,
                ..make()?
            }));
            assert!(refused(Words {
                reserved1: 1 << 31,
                ..make()?
            }));
            // More than there is.
            let len = make()?.payload.len() as u32;
            for op_size in [len + 1, u32::MAX] {
                assert!(refused(Words {
                    op_size: Some(op_size),
                    ..make()?
                }));
            }
            assert!(refused(Words {
                op_size: Some(0),
                ..make()?
            }));
        }
        for len in 0..16 {
            assert!(Request::parse(&[0; 16][..len]).is_err());
        }
        Ok(())
    }

    #[test]
    fn sizes_are_exact() -> Result {
        for make in [Words::get_supported as fn() -> Result<Words>, || {
            Words::get(0, 4)
        }] {
            let mut long = make()?;
            long.payload.push(0, GFP_KERNEL)?;
            assert!(refused(long));

            // But what lies behind the command does not count.
            let mut tail = make()?;
            tail.op_size = Some(tail.payload.len() as u32);
            tail.payload.push(1, GFP_KERNEL)?;
            assert!(tail.parse().is_ok());
        }
        // Nothing to set.
        assert!(refused(Words::set(0, 0, &[])?));
        Ok(())
    }

    #[test]
    fn reserved_is_checked() -> Result {
        for byte in 6..8 {
            let mut words = Words::get_supported()?;
            words.payload[byte] = 1;
            assert!(refused(words));
        }
        for byte in 23..32 {
            let mut words = Words::set(0, 0, &[1])?;
            words.payload[byte] = 1;
            assert!(refused(words));
        }
        Ok(())
    }

    #[test]
    fn only_full_transfers() -> Result {
        for bit in 0..32 {
            let words = Words::set(1 << bit, 0, &[1])?;
            assert_eq!(words.parse().is_ok(), bit == 3);
        }
        for action in 1..8 {
            assert!(refused(Words::set(8 | action, 0, &[1])?));
        }
        Ok(())
    }

    #[test]
    fn nothing_beyond_64k() -> Result {
        assert!(refused(Words::get(0, 0)?));
        assert!(Words::get(0, u16::MAX)?.parse().is_ok());
        assert!(Words::get(1, u16::MAX)?.parse().is_ok());
        assert!(refused(Words::get(2, u16::MAX)?));
        assert!(Words::get(u16::MAX, 1)?.parse().is_ok());
        assert!(refused(Words::get(u16::MAX, 2)?));

        assert!(Words::set(0, u16::MAX, &[1])?.parse().is_ok());
        assert!(refused(Words::set(0, u16::MAX, &[1, 2])?));
        let mut data = KVec::new();
        data.resize(ADDRESS_SPACE, 0, GFP_KERNEL)?;
        assert!(Words::set(0, 0, &data)?.parse().is_ok());
        assert!(refused(Words::set(0, 1, &data)?));
        data.push(0, GFP_KERNEL)?;
        assert!(refused(Words::set(0, 0, &data)?));
        Ok(())
    }

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
