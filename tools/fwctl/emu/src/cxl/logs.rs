// SPDX-License-Identifier: MIT OR Apache-2.0

//! Logs (8.2.10.5): the Command Effects Log only.

use super::codes::ReturnCode;
use super::opcodes::{Offer, COMMANDS};
use super::payloads::{CommandEffects, GetLogIn, SupportedLog, SupportedLogsHead, Uuid};
use zerocopy::IntoBytes;

/// Command Effects Log (8.2.10.5.2.1): 0da9c0b5-bf41-4b78-8f79-96b1623b3f17.
pub const COMMAND_EFFECTS: Uuid = 0x0da9_c0b5_bf41_4b78_8f79_96b1_623b_3f17u128.to_be_bytes();

/// Returns the Command Effects Log of a device with these commands.
fn command_effects(offer: Offer) -> Vec<u8> {
    let commands = COMMANDS.iter().filter(|command| offer.has(command.opcode));
    let entry = |opcode: u16, effects: u16| CommandEffects {
        opcode: opcode.into(),
        effects: effects.into(),
    };
    commands
        .flat_map(|command| entry(command.opcode, command.effects).as_bytes().to_vec())
        .collect()
}

/// Get Supported Logs: returns the answer.
pub fn supported(offer: Offer) -> Vec<u8> {
    let head = SupportedLogsHead {
        count: 1.into(),
        reserved: [0; 6],
    };
    let log = SupportedLog {
        uuid: COMMAND_EFFECTS,
        size: (command_effects(offer).len() as u32).into(),
    };
    [head.as_bytes(), log.as_bytes()].concat()
}

/// Get Log: returns the answer, at most `room` bytes.
pub fn get(input: &GetLogIn, offer: Offer, room: usize) -> Result<Vec<u8>, ReturnCode> {
    if input.uuid != COMMAND_EFFECTS {
        return Err(ReturnCode::LOG);
    }
    let (offset, length) = (input.offset.get() as usize, input.length.get() as usize);
    if length > room {
        return Err(ReturnCode::INPUT);
    }
    let log = command_effects(offer);
    let part = offset
        .checked_add(length)
        .and_then(|end| log.get(offset..end));
    part.map(<[u8]>::to_vec).ok_or(ReturnCode::INPUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offer = Offer {
        has_features: true,
        has_set: true,
    };

    fn log(uuid: Uuid, offset: u32, length: u32) -> Result<Vec<u8>, ReturnCode> {
        let input = GetLogIn {
            uuid,
            offset: offset.into(),
            length: length.into(),
        };
        get(&input, ALL, 256)
    }

    #[test]
    fn golden_bytes() {
        let logs = supported(ALL);
        assert_eq!(logs[..12], [1, 0, 0, 0, 0, 0, 0, 0, 0x0d, 0xa9, 0xc0, 0xb5]);
        assert_eq!(logs[24..], [56, 0, 0, 0]);
        let some = Offer {
            has_set: false,
            ..ALL
        };
        assert_eq!(supported(some)[24..], [52, 0, 0, 0]);
        let none = Offer {
            has_features: false,
            ..ALL
        };
        assert_eq!(supported(none)[24..], [44, 0, 0, 0]);
        assert_eq!(
            log(COMMAND_EFFECTS, 0, 8).unwrap(),
            [0, 1, 0, 0, 1, 1, 0x10, 0]
        );
        assert_eq!(log(COMMAND_EFFECTS, 40, 4).unwrap(), [2, 5, 0x7f, 0x0e]);
        assert_eq!(log(COMMAND_EFFECTS, 56, 0), Ok(Vec::new()));
    }

    #[test]
    fn invalid_requests_are_refused() {
        assert_eq!(log([0; 16], 0, 4), Err(ReturnCode::LOG));
        for (offset, length) in [
            (0, 57),
            (57, 0),
            (0, 257),
            (u32::MAX, u32::MAX),
            (52, u32::MAX),
        ] {
            assert_eq!(log(COMMAND_EFFECTS, offset, length), Err(ReturnCode::INPUT));
        }
    }
}
