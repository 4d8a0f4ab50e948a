// SPDX-License-Identifier: MIT OR Apache-2.0

//! Executes commands: input bytes to output bytes or a return code.

use super::codes::ReturnCode;
use super::events::Events;
use super::features::{Features, Reset, Set};
use super::logs::{self, VendorDebug};
use super::memory::{self, Clock};
use super::opcodes::Offer;
use super::payloads::BackgroundStatus;
use super::vendor::Vendor;
use super::{opcodes, Options};
use std::time::Instant;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The state of the device apart from its registers.
pub struct Firmware {
    offer: Offer,
    clock: Clock,
    /// Event logs.
    pub events: Events,
    /// Features.
    pub features: Features,
    vendor: Vendor,
    debug_log: VendorDebug,
}

/// Circumstances of the execution of a command.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Capacity for the answer.
    pub room: usize,
    /// Whether an operation is running in the background.
    pub is_busy: bool,
    /// Status of the last operation in the background.
    pub background: BackgroundStatus,
    /// Current time.
    pub now: Instant,
}

impl Firmware {
    /// Returns the state of a device from the factory.
    pub fn new(options: &Options) -> Self {
        Firmware {
            offer: Offer {
                has_features: options.has_features,
                has_set: options.has_set,
                has_vendor: options.has_vendor,
                has_all_effects: options.has_all_effects,
            },
            clock: Clock::default(),
            events: Events::default(),
            features: Features::new(options.part_timeout),
            vendor: Vendor::default(),
            debug_log: VendorDebug::default(),
        }
    }

    /// Resets the function or the device.
    pub fn reset(&mut self, reset: Option<Reset>) {
        self.features.transfers.reset();
        self.events.reset();
        if let Some(reset) = reset {
            self.features.reset(reset);
            self.vendor.reset(reset);
        }
        if reset == Some(Reset::Cold) {
            self.clock = Clock::default();
            self.debug_log = VendorDebug::default();
        }
    }

    /// Adds an event. Returns whether to raise an interrupt.
    pub fn add_event(&mut self, log: usize, now: Instant) -> bool {
        self.events.add(log, self.clock.get(now))
    }

    /// Executes a command. Returns its answer or return code.
    pub fn execute(
        &mut self,
        opcode: u16,
        input: &[u8],
        at: Circumstances,
    ) -> Result<Vec<u8>, ReturnCode> {
        match opcode {
            opcode if !self.offer.has(opcode) => Err(ReturnCode::UNSUPPORTED),
            opcodes::BACKGROUND_STATUS => answer(input, &at.background),
            opcodes::GET_EVENT_RECORDS => self.events.get(exact::<u8>(input)?, at.room),
            opcodes::CLEAR_EVENT_RECORDS => self.events.clear(input).map(nothing),
            opcodes::GET_EVENT_INTERRUPT_POLICY => {
                none(input)?;
                Ok(self.events.policy().to_vec())
            }
            opcodes::SET_EVENT_INTERRUPT_POLICY => self.events.set_policy(input).map(nothing),
            opcodes::GET_TIMESTAMP => {
                none(input)?;
                Ok(self.clock.get(at.now).to_le_bytes().to_vec())
            }
            opcodes::SET_TIMESTAMP => {
                let time = exact::<[u8; 8]>(input)?;
                self.clock.set(u64::from_le_bytes(time), at.now);
                Ok(Vec::new())
            }
            opcodes::GET_SUPPORTED_LOGS => {
                none(input)?;
                Ok(logs::supported(self.offer))
            }
            opcodes::GET_LOG => logs::get(&exact(input)?, self.offer, &self.debug_log, at.room),
            opcodes::GET_LOG_CAPABILITIES => logs::capabilities(&exact(input)?),
            opcodes::POPULATE_LOG => {
                logs::may_populate(&exact(input)?)?;
                self.debug_log.populate(&self.vendor.take_trace());
                Ok(Vec::new())
            }
            opcodes::GET_SUPPORTED_FEATURES => self.features.supported(&exact(input)?, at.room),
            opcodes::GET_FEATURE => self.features.get(&exact(input)?, at.room),
            opcodes::SET_FEATURE => self.set_feature(input, at),
            opcodes::IDENTIFY_MEMORY_DEVICE => answer(input, &memory::identify()),
            opcodes::GET_PARTITION_INFO => answer(input, &memory::partitions()),
            opcodes::GET_HEALTH_INFO => answer(input, &memory::health()),
            opcodes::VENDOR.. => self.vendor.execute(opcode, input, at.room, at.is_busy),
            _ => Err(ReturnCode::UNSUPPORTED),
        }
    }

    fn set_feature(&mut self, input: &[u8], at: Circumstances) -> Result<Vec<u8>, ReturnCode> {
        if at.is_busy {
            return Err(ReturnCode::BUSY);
        }
        match self.features.set(input, at.now)? {
            Set::Background => Err(ReturnCode::BACKGROUND),
            Set::InParts | Set::Done => Ok(Vec::new()),
        }
    }
}

fn nothing((): ()) -> Vec<u8> {
    Vec::new()
}

/// Parses an input that has exactly this layout.
fn exact<T: FromBytes + KnownLayout + Immutable>(input: &[u8]) -> Result<T, ReturnCode> {
    T::read_from_bytes(input).map_err(|_| ReturnCode::PAYLOAD_LENGTH)
}

/// Checks that the input is empty.
fn none(input: &[u8]) -> Result<(), ReturnCode> {
    match input.is_empty() {
        true => Ok(()),
        false => Err(ReturnCode::PAYLOAD_LENGTH),
    }
}

/// Answers a command without input.
fn answer<T: IntoBytes + Immutable>(input: &[u8], value: &T) -> Result<Vec<u8>, ReturnCode> {
    none(input)?;
    Ok(value.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    const ROOM: usize = 512;

    fn execute(firmware: &mut Firmware, opcode: u16, input: &[u8]) -> Result<Vec<u8>, ReturnCode> {
        let at = Circumstances {
            room: ROOM,
            is_busy: false,
            background: BackgroundStatus::new_zeroed(),
            now: Instant::now(),
        };
        firmware.execute(opcode, input, at)
    }

    #[test]
    fn lengths_of_inputs() {
        let mut firmware = Firmware::new(&Options::default());
        for (opcode, len) in [
            (0x0002, 0),
            (0x0100, 1),
            (0x0102, 0),
            (0x0103, 4),
            (0x0300, 0),
            (0x0301, 8),
            (0x0400, 0),
            (0x0401, 24),
            (0x0402, 16),
            (0x0404, 16),
            (0x0500, 8),
            (0x0501, 21),
            (0x4000, 0),
            (0x4100, 0),
            (0x4200, 0),
            (0xc001, 0),
            (0xc020, 16),
        ] {
            for wrong in (0..40).filter(|wrong| *wrong != len) {
                let refused = execute(&mut firmware, opcode, &vec![0; wrong]);
                assert_eq!(
                    refused,
                    Err(ReturnCode::PAYLOAD_LENGTH),
                    "{opcode:#06x} {wrong}"
                );
            }
            let taken = execute(&mut firmware, opcode, &vec![0; len]);
            assert_ne!(taken, Err(ReturnCode::PAYLOAD_LENGTH), "{opcode:#06x}");
        }
    }

    #[test]
    fn unknown_commands() {
        let mut firmware = Firmware::new(&Options::default());
        for opcode in [0, 1, 0x0503, 0x4102, 0x4400, 0xc0ff, 0xd000, 0xfffe] {
            assert_eq!(
                execute(&mut firmware, opcode, &[]),
                Err(ReturnCode::UNSUPPORTED)
            );
        }
        let options = Options {
            has_set: false,
            ..Options::default()
        };
        let refused = execute(&mut Firmware::new(&options), 0x0502, &[0; 40]);
        assert_eq!(refused, Err(ReturnCode::UNSUPPORTED));
        let options = Options {
            has_features: false,
            ..Options::default()
        };
        let mut firmware = Firmware::new(&options);
        for (opcode, length) in [(0x0500, 8), (0x0501, 23), (0x0502, 40)] {
            let refused = execute(&mut firmware, opcode, &vec![0; length]);
            assert_eq!(refused, Err(ReturnCode::UNSUPPORTED), "{opcode:#06x}");
        }
    }

    #[test]
    fn populate_log() {
        const CEL: [u8; 4] = [0x0d, 0xa9, 0xc0, 0xb5];
        const DEBUG: [u8; 16] = 0x5e18_19d9_11a9_400c_811f_d607_1940_3d86u128.to_be_bytes();
        let mut firmware = Firmware::new(&Options::default());
        let part = [&DEBUG[..], &0u32.to_le_bytes(), &18u32.to_le_bytes()].concat();
        assert_eq!(execute(&mut firmware, 0x0401, &part), Ok(vec![0; 18]));
        execute(&mut firmware, 0xc023, b"hello").unwrap();
        assert_eq!(
            execute(&mut firmware, 0x0401, &part),
            Ok(vec![0; 18]),
            "not yet"
        );
        assert_eq!(execute(&mut firmware, 0x0404, &DEBUG), Ok(vec![]));
        assert_eq!(
            execute(&mut firmware, 0x0401, &part).unwrap(),
            b"hello\nc023 5 bytes"
        );
        let mut effects = [0; 16];
        effects[..4].copy_from_slice(&CEL);
        assert_eq!(
            execute(&mut firmware, 0x0404, &effects),
            Err(ReturnCode::LOG)
        );
        assert_eq!(execute(&mut firmware, 0x0402, &DEBUG), Ok(vec![2, 0, 0, 0]));
        firmware.reset(Some(Reset::Cold));
        assert_eq!(execute(&mut firmware, 0x0401, &part), Ok(vec![0; 18]));
    }

    #[test]
    fn answers_fit() {
        let mut firmware = Firmware::new(&Options::default());
        for log in 0..4 {
            for _ in 0..20 {
                firmware.add_event(log, Instant::now());
            }
        }
        let lists = [
            (0x0100, vec![0]),
            (0x0500, vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ];
        for (opcode, input) in lists {
            let answer = execute(&mut firmware, opcode, &input).unwrap();
            assert!(
                answer.len() <= ROOM && answer.len() > ROOM / 2,
                "{opcode:#06x}"
            );
        }
    }
}
