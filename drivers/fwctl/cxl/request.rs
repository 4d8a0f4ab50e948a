// SPDX-License-Identifier: GPL-2.0-only

//! Parsing and checking of requests from user space.

use core::ops::Range;

use kernel::prelude::*;

use crate::wire::{
    GetFeatureIn,
    GetSupportedIn,
    RpcIn,
    SetFeatureIn,
    QUERY_COMMANDS, //
};

/// Size of the address space of a Feature, whose offsets have 16 bits.
const ADDRESS_SPACE: usize = 1 << 16;

/// A well-formed request.
pub(crate) enum Request {
    /// Lists the Features of the device.
    GetSupported(GetSupportedIn),
    /// Reads a Feature: at least one byte, and none beyond the address space.
    Get(GetFeatureIn),
    /// Sets a Feature: at least one byte, and none beyond the address space.
    Set {
        /// Header of the command.
        input: SetFeatureIn,
        /// Range of the whole command, header and data, in the request.
        command: Range<usize>,
    },
    /// Lists the commands of the device.
    QueryCommands,
    /// Sends another command.
    Command {
        /// Its opcode.
        opcode: u16,
        /// Range of the input payload in the request.
        payload: Range<usize>,
    },
}

impl Request {
    /// Returns the opcode of a request, or [`None`] if it is too short.
    pub(crate) fn opcode(bytes: &[u8]) -> Option<u32> {
        let (rpc, _) = RpcIn::read_from_prefix(bytes).ok()?;

        Some(rpc.opcode)
    }

    /// Parses a request.
    ///
    /// Fails with [`EINVAL`] for an opcode beyond those of the mailbox, a wrong size, reserved bits
    /// that are set, a Set Feature that is only a part of a transfer, and bytes beyond the address
    /// space. Data after the command is ignored.
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
            QUERY_COMMANDS if payload.is_empty() => Ok(Self::QueryCommands),
            opcode => Ok(Self::Command {
                opcode: opcode.try_into().map_err(|_| EINVAL)?,
                payload: Self::payload_range(payload),
            }),
        }
    }

    /// Returns where a payload is in the request.
    fn payload_range(payload: &[u8]) -> Range<usize> {
        let start = size_of::<RpcIn>();

        start..start + payload.len()
    }

    /// Parses a Get Supported Features.
    fn parse_get_supported(payload: &[u8]) -> Result<Self> {
        let input = GetSupportedIn::read_from_bytes(payload).map_err(|_| EINVAL)?;

        if input.reserved != [0; 2] {
            return Err(EINVAL);
        }
        Ok(Self::GetSupported(input))
    }

    /// Parses a Get Feature.
    fn parse_get(payload: &[u8]) -> Result<Self> {
        let input = GetFeatureIn::read_from_bytes(payload).map_err(|_| EINVAL)?;

        if input.count() == 0 || usize::from(input.offset.get()) + input.count() > ADDRESS_SPACE {
            return Err(EINVAL);
        }
        Ok(Self::Get(input))
    }

    /// Parses a Set Feature: all that follows its header is data.
    fn parse_set(payload: &[u8]) -> Result<Self> {
        let (input, data) = SetFeatureIn::read_from_prefix(payload).map_err(|_| EINVAL)?;

        // The action must be `Transfer::Full`, which is 0, and `SAVED` is the only valid flag.
        if input.flags.get() & !SetFeatureIn::SAVED != 0 || input.reserved != [0; 9] {
            return Err(EINVAL);
        }
        if data.is_empty() || data.len() > ADDRESS_SPACE - usize::from(input.offset.get()) {
            return Err(EINVAL);
        }

        Ok(Self::Set {
            input,
            command: Self::payload_range(payload),
        })
    }
}

#[kunit_tests(cxl_fwctl_request)]
mod tests {
    use super::*;
    use crate::wire::Uuid;

    /// A request by fields, with a separate encoding of the layouts.
    struct Raw {
        opcode: u32,
        flags: u32,
        op_size: Option<u32>,
        reserved1: u32,
        payload: KVec<u8>,
    }

    impl Raw {
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

    fn refused(raw: Raw) -> bool {
        matches!(raw.parse(), Err(error) if error == EINVAL)
    }

    #[test]
    fn well_formed() -> Result {
        let Request::GetSupported(input) = Raw::get_supported()?.parse()? else {
            return Err(EINVAL);
        };
        assert_eq!((input.entries(), input.start()), (256 / 48, 2));

        let Request::Get(input) = Raw::get(0x1234, 9)?.parse()? else {
            return Err(EINVAL);
        };
        assert_eq!(input.uuid, Uuid([7; 16]));
        assert_eq!(
            (input.offset.get(), input.count(), input.selection),
            (0x1234, 9, 2)
        );

        let Request::Set { input, command } = Raw::set(8, 0x1234, &[3; 5])?.parse()? else {
            return Err(EINVAL);
        };
        assert_eq!(input.uuid(), &Uuid([7; 16]));
        assert_eq!((input.offset.get(), input.version), (0x1234, 1));
        assert_eq!(command, 16..16 + 32 + 5);
        Ok(())
    }

    #[test]
    fn opcode_has_32_bits() -> Result {
        for opcode in [0x1_0001, 0x1_0500, 0x1_c000, 0x8000_0501, u32::MAX] {
            assert!(refused(Raw {
                opcode,
                ..Raw::get_supported()?
            }));
        }
        Ok(())
    }

    #[test]
    fn commands() -> Result {
        for opcode in [0, 0x4ff, 0x503, 0xc000, 0xffff] {
            for len in [0, 1, 600] {
                let mut data = KVec::new();
                data.resize(len, 3, GFP_KERNEL)?;
                let Request::Command {
                    opcode: parsed,
                    payload,
                } = Raw::new(opcode, &[&data])?.parse()?
                else {
                    return Err(EINVAL);
                };
                assert_eq!(u32::from(parsed), opcode);
                assert_eq!(payload, 16..16 + len);
            }
        }

        assert!(matches!(
            Raw::new(0x1_0000, &[])?.parse()?,
            Request::QueryCommands
        ));
        assert!(refused(Raw::new(0x1_0000, &[&[0]])?));
        Ok(())
    }

    #[test]
    fn header_is_checked() -> Result {
        for make in [
            Raw::get_supported as fn() -> Result<Raw>,
            || Raw::get(0, 4),
            || Raw::set(0, 0, &[1]),
            || Raw::new(0xc000, &[&[1]]),
        ] {
            assert!(make()?.parse().is_ok());
            assert!(refused(Raw {
                flags: 1,
                ..make()?
            }));
            assert!(refused(Raw {
                reserved1: 1 << 31,
                ..make()?
            }));
            // Larger than the payload.
            let len = make()?.payload.len() as u32;
            for op_size in [len + 1, u32::MAX] {
                assert!(refused(Raw {
                    op_size: Some(op_size),
                    ..make()?
                }));
            }
            // A command of a vendor may have no input.
            let empty = Raw {
                op_size: Some(0),
                ..make()?
            };
            assert_eq!(empty.parse().is_ok(), empty.opcode == 0xc000);
        }
        for len in 0..16 {
            assert!(Request::parse(&[0; 16][..len]).is_err());
        }
        Ok(())
    }

    #[test]
    fn sizes_are_exact() -> Result {
        for make in [Raw::get_supported as fn() -> Result<Raw>, || Raw::get(0, 4)] {
            let mut long = make()?;
            long.payload.push(0, GFP_KERNEL)?;
            assert!(refused(long));

            // Data after the command is ignored.
            let mut tail = make()?;
            tail.op_size = Some(tail.payload.len() as u32);
            tail.payload.push(1, GFP_KERNEL)?;
            assert!(tail.parse().is_ok());
        }
        // No data.
        assert!(refused(Raw::set(0, 0, &[])?));
        Ok(())
    }

    #[test]
    fn reserved_is_checked() -> Result {
        for byte in 6..8 {
            let mut raw = Raw::get_supported()?;
            raw.payload[byte] = 1;
            assert!(refused(raw));
        }
        for byte in 23..32 {
            let mut raw = Raw::set(0, 0, &[1])?;
            raw.payload[byte] = 1;
            assert!(refused(raw));
        }
        Ok(())
    }

    #[test]
    fn only_full_transfers() -> Result {
        for bit in 0..32 {
            let raw = Raw::set(1 << bit, 0, &[1])?;
            assert_eq!(raw.parse().is_ok(), bit == 3);
        }
        for action in 1..8 {
            assert!(refused(Raw::set(8 | action, 0, &[1])?));
        }
        Ok(())
    }

    #[test]
    fn nothing_beyond_64k() -> Result {
        assert!(refused(Raw::get(0, 0)?));
        assert!(Raw::get(0, u16::MAX)?.parse().is_ok());
        assert!(Raw::get(1, u16::MAX)?.parse().is_ok());
        assert!(refused(Raw::get(2, u16::MAX)?));
        assert!(Raw::get(u16::MAX, 1)?.parse().is_ok());
        assert!(refused(Raw::get(u16::MAX, 2)?));

        assert!(Raw::set(0, u16::MAX, &[1])?.parse().is_ok());
        assert!(refused(Raw::set(0, u16::MAX, &[1, 2])?));
        let mut data = KVec::new();
        data.resize(ADDRESS_SPACE, 0, GFP_KERNEL)?;
        assert!(Raw::set(0, 0, &data)?.parse().is_ok());
        assert!(refused(Raw::set(0, 1, &data)?));
        data.push(0, GFP_KERNEL)?;
        assert!(refused(Raw::set(0, 0, &data)?));
        Ok(())
    }
}
