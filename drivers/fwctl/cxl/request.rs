// SPDX-License-Identifier: GPL-2.0-only

//! Requests of user space: reads one, and checks that it is well-formed.

use core::ops::Range;

use kernel::prelude::*;

use crate::wire::{
    GetFeatureIn,
    GetSupportedIn,
    RpcIn,
    SetFeatureIn, //
};

/// Features are addressed by 16-bit offsets: no byte lies at or beyond this one.
const ADDRESS_SPACE: usize = 1 << 16;

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

#[kunit_tests(cxl_fwctl_request)]
mod tests {
    use super::*;
    use crate::wire::Uuid;

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
}
