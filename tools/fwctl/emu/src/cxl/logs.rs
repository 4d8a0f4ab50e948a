// SPDX-License-Identifier: MIT OR Apache-2.0

//! Logs (8.2.10.5): the Command Effects Log and the vendor debug log.

use super::codes::ReturnCode;
use super::opcodes::Offer;
use super::payloads::{CommandEffects, GetLogIn, LogIn, SupportedLog, SupportedLogsHead, Uuid};
use zerocopy::IntoBytes;

/// Command Effects Log (8.2.10.5.2.1): 0da9c0b5-bf41-4b78-8f79-96b1623b3f17.
pub const COMMAND_EFFECTS: Uuid = 0x0da9_c0b5_bf41_4b78_8f79_96b1_623b_3f17u128.to_be_bytes();
/// Vendor debug log (8.2.10.5.2.2): 5e1819d9-11a9-400c-811f-d60719403d86.
pub const VENDOR_DEBUG: Uuid = 0x5e18_19d9_11a9_400c_811f_d607_1940_3d86u128.to_be_bytes();

/// Capability of a log (8.2.10.5.3): it can be populated.
const CAN_POPULATE: u32 = 1 << 1;

/// The vendor debug log: what the last Populate Log recorded, then zeros.
#[derive(Debug)]
pub struct VendorDebug([u8; Self::SIZE]);

impl VendorDebug {
    /// Size of the log; larger than the default payload.
    pub const SIZE: usize = 2048;

    /// Replaces the log with the end of `trace`.
    pub fn populate(&mut self, trace: &[u8]) {
        let end = &trace[trace.len().saturating_sub(Self::SIZE)..];
        self.0 = [0; Self::SIZE];
        self.0[..end.len()].copy_from_slice(end);
    }
}

impl Default for VendorDebug {
    fn default() -> Self {
        VendorDebug([0; Self::SIZE])
    }
}

/// Returns the Command Effects Log of a device with these commands.
fn command_effects(offer: Offer) -> Vec<u8> {
    let entry = |opcode: u16, effects: u16| CommandEffects {
        opcode: opcode.into(),
        effects: effects.into(),
    };
    offer
        .commands()
        .flat_map(|command| entry(command.opcode, command.effects).as_bytes().to_vec())
        .collect()
}

/// Get Supported Logs: returns the answer.
pub fn supported(offer: Offer) -> Vec<u8> {
    let effects = SupportedLog {
        uuid: COMMAND_EFFECTS,
        size: (command_effects(offer).len() as u32).into(),
    };
    let debug = SupportedLog {
        uuid: VENDOR_DEBUG,
        size: (VendorDebug::SIZE as u32).into(),
    };
    let logs = match offer.has_vendor {
        true => vec![effects, debug],
        false => vec![effects],
    };
    let head = SupportedLogsHead {
        count: (logs.len() as u16).into(),
        reserved: [0; 6],
    };
    [head.as_bytes(), logs.as_bytes()].concat()
}

/// Get Log: returns the answer, at most `room` bytes.
pub fn get(
    input: &GetLogIn,
    offer: Offer,
    debug: &VendorDebug,
    room: usize,
) -> Result<Vec<u8>, ReturnCode> {
    let log = match input.uuid {
        COMMAND_EFFECTS => command_effects(offer),
        VENDOR_DEBUG if offer.has_vendor => debug.0.to_vec(),
        _ => return Err(ReturnCode::LOG),
    };
    let (offset, length) = (input.offset.get() as usize, input.length.get() as usize);
    if length > room {
        return Err(ReturnCode::INPUT);
    }
    let part = offset
        .checked_add(length)
        .and_then(|end| log.get(offset..end));
    part.map(<[u8]>::to_vec).ok_or(ReturnCode::INPUT)
}

/// Get Log Capabilities: returns the answer.
pub fn capabilities(input: &LogIn) -> Result<Vec<u8>, ReturnCode> {
    let capabilities = match input.uuid {
        COMMAND_EFFECTS => 0,
        VENDOR_DEBUG => CAN_POPULATE,
        _ => return Err(ReturnCode::LOG),
    };
    Ok(capabilities.as_bytes().to_vec())
}

/// Checks whether Populate Log supports the log.
pub fn may_populate(input: &LogIn) -> Result<(), ReturnCode> {
    match input.uuid {
        VENDOR_DEBUG => Ok(()),
        _ => Err(ReturnCode::LOG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offer = Offer {
        has_features: true,
        has_set: true,
        has_vendor: false,
        has_all_effects: false,
    };

    fn log(uuid: Uuid, offset: u32, length: u32) -> Result<Vec<u8>, ReturnCode> {
        let input = GetLogIn {
            uuid,
            offset: offset.into(),
            length: length.into(),
        };
        get(&input, ALL, &VendorDebug::default(), 256)
    }

    #[test]
    fn golden_bytes() {
        let logs = supported(ALL);
        assert_eq!(logs[..12], [1, 0, 0, 0, 0, 0, 0, 0, 0x0d, 0xa9, 0xc0, 0xb5]);
        assert_eq!(logs[24..], [60, 0, 0, 0]);
        let some = Offer {
            has_set: false,
            ..ALL
        };
        assert_eq!(supported(some)[24..], [56, 0, 0, 0]);
        let none = Offer {
            has_features: false,
            ..ALL
        };
        assert_eq!(supported(none)[24..], [48, 0, 0, 0]);
        assert_eq!(
            log(COMMAND_EFFECTS, 4, 8).unwrap(),
            [0, 1, 0, 0, 1, 1, 0x10, 0]
        );
        assert_eq!(log(COMMAND_EFFECTS, 44, 4).unwrap(), [2, 5, 0x7f, 0x0e]);
        assert_eq!(log(COMMAND_EFFECTS, 60, 0), Ok(Vec::new()));
        assert_eq!(log(VENDOR_DEBUG, 0, 4), Err(ReturnCode::LOG));
        let vendor = Offer {
            has_vendor: true,
            ..ALL
        };
        let logs = supported(vendor);
        assert_eq!((logs[0], logs.len()), (2, 8 + 2 * 20));
        assert_eq!(logs[28..32], [0x5e, 0x18, 0x19, 0xd9]);
        assert_eq!(logs[44..], [0, 8, 0, 0]);
    }

    #[test]
    fn populated_with_the_end() {
        let mut debug = VendorDebug::default();
        debug.populate(&[1; 3]);
        assert_eq!(debug.0[..4], [1, 1, 1, 0]);
        debug.populate(&[&[2; 10][..], &[3; 2048]].concat());
        assert_eq!(debug.0, [3; 2048]);
        debug.populate(&[]);
        assert_eq!(debug.0, [0; 2048]);
    }

    #[test]
    fn invalid_requests_are_refused() {
        assert_eq!(log([0; 16], 0, 4), Err(ReturnCode::LOG));
        assert_eq!(capabilities(&LogIn { uuid: [0; 16] }), Err(ReturnCode::LOG));
        for (offset, length) in [
            (0, 61),
            (61, 0),
            (0, 257),
            (u32::MAX, u32::MAX),
            (56, u32::MAX),
        ] {
            assert_eq!(log(COMMAND_EFFECTS, offset, length), Err(ReturnCode::INPUT));
        }
    }
}
