// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device registers (8.2.9): the capability array, device status, the primary mailbox, and the
//! status of the memory device.

use super::codes::ReturnCode;
use super::payloads::BackgroundStatus;
use super::PAYLOAD_SIZES;
use std::ops::Range;

/// Capability identifiers (8.2.9.2.1).
mod capability {
    pub const DEVICE_STATUS: u16 = 0x0001;
    pub const PRIMARY_MAILBOX: u16 = 0x0002;
    pub const MEMORY_DEVICE_STATUS: u16 = 0x4000;
}

/// Offsets of the registers in the BAR.
mod at {
    use super::Range;
    pub const ARRAY: Range<u64> = 0x000..0x040;
    pub const DEVICE_STATUS: Range<u64> = 0x080..0x088;
    pub const MEMORY_DEVICE_STATUS: Range<u64> = 0x090..0x098;
    pub const MAILBOX: u64 = 0x100;
    // In the mailbox (8.2.9.4.2).
    pub const CONTROL: u64 = MAILBOX + 0x04;
    pub const COMMAND: Range<u64> = MAILBOX + 0x08..MAILBOX + 0x10;
    pub const PAYLOAD: u64 = MAILBOX + 0x20;
}

/// Mailbox Control (8.2.9.4.4).
mod control {
    pub const DOORBELL: u8 = 1 << 0;
    pub const BACKGROUND_INTERRUPT: u8 = 1 << 2;
}

/// Mailbox Capabilities (8.2.9.4.3).
mod capabilities {
    pub const BACKGROUND_INTERRUPT: u32 = 1 << 6;
    pub const INTERRUPT_NUMBER: u32 = 7;
    /// Type of the mailbox: memory device commands.
    pub const TYPE: u32 = 1 << 19;
}

/// Memory Device Status (8.2.9.5.1.1).
mod memory_device {
    pub const MEDIA_READY: u8 = 1 << 2;
    pub const MAILBOX_READY: u8 = 1 << 4;
}

/// Vector of the interrupt for completion in the background.
pub const BACKGROUND_VECTOR: u8 = 1;
/// Maximum of the length field of the command register: 21 bits (8.2.9.4.5).
pub const MAX_LENGTH: u32 = (1 << 21) - 1;

/// Content of the command register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Opcode.
    pub opcode: u16,
    /// Length of the input according to the guest.
    pub len: usize,
}

/// The registers.
pub struct Registers {
    /// Mask of the logs that have events (8.2.9.3.1).
    pub event_status: u8,
    /// Fatal and firmware halt: the lowest bits of the status of the memory device.
    pub health: u8,
    capabilities: u32,
    control: u8,
    command: u64,
    status: u64,
    background: u64,
    payload: Vec<u8>,
}

impl Registers {
    /// Returns registers with this payload size, one of [`PAYLOAD_SIZES`].
    pub fn new(payload_size: u32) -> Self {
        assert!(PAYLOAD_SIZES.contains(&payload_size) && payload_size.is_power_of_two());
        let capabilities = payload_size.ilog2()
            | capabilities::BACKGROUND_INTERRUPT
            | u32::from(BACKGROUND_VECTOR) << capabilities::INTERRUPT_NUMBER
            | capabilities::TYPE;
        Registers {
            event_status: 0,
            health: 0,
            capabilities,
            control: 0,
            command: 0,
            status: 0,
            background: 0,
            payload: vec![0; payload_size as usize],
        }
    }

    /// Returns the size of the BAR that they need.
    pub fn bar(&self) -> u64 {
        (at::PAYLOAD + self.payload.len() as u64)
            .next_power_of_two()
            .max(0x1000)
    }

    /// Returns the payload size.
    pub fn payload_size(&self) -> usize {
        self.payload.len()
    }

    /// Resets the registers, except the status of the device.
    pub fn reset(&mut self) {
        (self.control, self.command, self.status, self.background) = (0, 0, 0, 0);
        self.payload.fill(0);
    }

    /// Returns whether a command is in flight.
    pub fn is_busy(&self) -> bool {
        self.control & control::DOORBELL != 0
    }

    /// Returns whether the guest has enabled the interrupt for completion in the background.
    pub fn wants_interrupt(&self) -> bool {
        self.control & control::BACKGROUND_INTERRUPT != 0
    }

    /// Returns the command that the guest has written.
    pub fn command(&self) -> Command {
        Command {
            opcode: self.command as u16,
            len: (self.command >> 16) as usize & MAX_LENGTH as usize,
        }
    }

    /// Returns its input, or `None` if the input is longer than the payload.
    pub fn input(&self) -> Option<&[u8]> {
        self.payload.get(..self.command().len)
    }

    /// Completes the command. Writes as much of `output` as fits, and reports a length of `len`.
    pub fn complete(&mut self, code: ReturnCode, output: &[u8], len: u32) {
        let room = output.len().min(self.payload.len());
        self.payload[..room].copy_from_slice(&output[..room]);
        self.command = self.command & 0xffff | u64::from(len & MAX_LENGTH) << 16;
        self.status = self.status & 1 | u64::from(code.0) << 32;
        self.control &= !control::DOORBELL;
    }

    /// Returns the progress of the last background operation as a command reports it (8.2.10.1.2).
    pub fn background_status(&self) -> BackgroundStatus {
        let percent = (self.background >> 16 & 0x7f) as u8;
        let is_running = self.status & 1 != 0;
        BackgroundStatus {
            status: percent << 1 | u8::from(is_running),
            reserved: 0,
            opcode: (self.background as u16).into(),
            code: ((self.background >> 32) as u16).into(),
            vendor: 0.into(),
        }
    }

    /// Sets the progress of the background operation (8.2.9.4.7). `code` is its return code once
    /// complete.
    pub fn set_background(&mut self, opcode: u16, percent: u8, code: Option<ReturnCode>) {
        let result = code.map_or(0, |code| code.0);
        self.background =
            u64::from(opcode) | u64::from(percent & 0x7f) << 16 | u64::from(result) << 32;
        self.status = self.status & !1 | u64::from(code.is_none());
    }

    /// Reads.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        for (n, byte) in data.iter_mut().enumerate() {
            *byte = offset.checked_add(n as u64).map_or(0, |at| self.byte(at));
        }
    }

    /// Writes. Returns whether the guest has set the doorbell.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        let was_busy = self.is_busy();
        for (n, &byte) in data.iter().enumerate() {
            let Some(at) = offset.checked_add(n as u64) else {
                break;
            };
            match at {
                at::CONTROL => {
                    let kept = self.control & control::DOORBELL;
                    self.control =
                        kept | byte & (control::DOORBELL | control::BACKGROUND_INTERRUPT);
                }
                // The payload does not change while the device uses it.
                _ if was_busy => {}
                _ if at::COMMAND.contains(&at) => {
                    let mut command = self.command.to_le_bytes();
                    command[(at - at::COMMAND.start) as usize] = byte;
                    self.command = u64::from_le_bytes(command);
                }
                _ => {
                    let index = at
                        .checked_sub(at::PAYLOAD)
                        .and_then(|n| usize::try_from(n).ok());
                    if let Some(to) = index.and_then(|index| self.payload.get_mut(index)) {
                        *to = byte;
                    }
                }
            }
        }
        self.is_busy() && !was_busy
    }

    fn byte(&self, at: u64) -> u8 {
        let (value, first) = match at {
            at if at >= at::PAYLOAD => {
                let index = usize::try_from(at - at::PAYLOAD).ok();
                return index
                    .and_then(|index| self.payload.get(index))
                    .copied()
                    .unwrap_or(0);
            }
            0x118.. => (self.background, 0x118),
            0x110.. => (self.status, 0x110),
            0x108.. => (self.command, 0x108),
            0x100.. => (
                u64::from(self.capabilities) | u64::from(self.control) << 32,
                0x100,
            ),
            at if at::MEMORY_DEVICE_STATUS.contains(&at) => {
                let status =
                    self.health | memory_device::MEDIA_READY | memory_device::MAILBOX_READY;
                (status.into(), at::MEMORY_DEVICE_STATUS.start)
            }
            at if at::DEVICE_STATUS.contains(&at) => {
                (self.event_status.into(), at::DEVICE_STATUS.start)
            }
            at if at::ARRAY.contains(&at) => {
                let (low, high) = self.array(at / 16);
                (if at & 8 == 0 { low } else { high }, at & !7)
            }
            _ => (0, at),
        };
        value.to_le_bytes()[(at - first) as usize]
    }

    /// Returns entry `n` of the capability array (8.2.9.1, 8.2.9.2). Entry 0 is its header.
    fn array(&self, n: u64) -> (u64, u64) {
        let capability = |id: u16, version: u64, range: Range<u64>| {
            let low = u64::from(id) | version << 16 | range.start << 32;
            (low, range.end - range.start)
        };
        let mailbox = at::MAILBOX..at::PAYLOAD + self.payload.len() as u64;
        match n {
            // Identifier 0, version 1, three entries.
            0 => (1 << 16 | 3 << 32, 0),
            1 => capability(capability::DEVICE_STATUS, 2, at::DEVICE_STATUS),
            2 => capability(capability::PRIMARY_MAILBOX, 1, mailbox),
            _ => capability(
                capability::MEMORY_DEVICE_STATUS,
                1,
                at::MEMORY_DEVICE_STATUS,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dwords<const N: usize>(registers: &Registers, offset: u64) -> [u32; N] {
        std::array::from_fn(|n| {
            let mut word = [0; 4];
            registers.read(offset + 4 * n as u64, &mut word);
            u32::from_le_bytes(word)
        })
    }

    #[test]
    fn golden_array() {
        let registers = Registers::new(1 << 11);
        assert_eq!(dwords(&registers, 0x00), [0x0001_0000, 3, 0, 0]);
        assert_eq!(dwords(&registers, 0x10), [0x0002_0001, 0x80, 8, 0]);
        assert_eq!(dwords(&registers, 0x20), [0x0001_0002, 0x100, 0x820, 0]);
        assert_eq!(dwords(&registers, 0x30), [0x0001_4000, 0x90, 8, 0]);
        assert_eq!(dwords(&registers, 0x40), [0; 4]);
        // Status: media ready, mailbox ready.
        assert_eq!(dwords(&registers, 0x90), [0x14, 0]);
        // 2^11 bytes, interrupt for the background, vector 1, memory device.
        assert_eq!(dwords(&registers, 0x100), [0x0008_00cb, 0]);
        assert_eq!(registers.bar(), 0x1000);
        assert_eq!(Registers::new(1 << 20).bar(), 1 << 21);
    }

    #[test]
    fn commands_complete() {
        let mut registers = Registers::new(256);
        assert!(!registers.write(0x120, &[1, 2, 3, 4]));
        assert!(!registers.write(0x108, &0x0004_0501u64.to_le_bytes()));
        assert!(registers.write(0x104, &5u32.to_le_bytes()));
        assert_eq!(dwords(&registers, 0x104), [5]);
        assert_eq!(
            registers.command(),
            Command {
                opcode: 0x501,
                len: 4
            }
        );
        assert_eq!(registers.input(), Some(&[1, 2, 3, 4][..]));
        assert!(registers.wants_interrupt());

        // Nothing changes while a command is in flight, and a second doorbell is ignored.
        assert!(!registers.write(0x108, &[0xff; 8]));
        assert!(!registers.write(0x120, &[0xff; 8]));
        assert!(!registers.write(0x104, &[0xff; 4]));
        assert_eq!(dwords(&registers, 0x108), [0x0004_0501, 0]);

        registers.complete(ReturnCode(0x1a), &[9; 300], 300);
        assert_eq!(dwords(&registers, 0x104), [4, 0x012c_0501, 0, 0, 0x1a]);
        assert_eq!(dwords(&registers, 0x21c), [0x0909_0909, 0]);
    }

    #[test]
    fn background() {
        let mut registers = Registers::new(256);
        registers.set_background(0x502, 50, None);
        assert_eq!(dwords(&registers, 0x110), [1, 0, 0x0032_0502, 0]);
        registers.complete(ReturnCode::BACKGROUND, &[], 0);
        assert_eq!(dwords(&registers, 0x110), [1, 1]);
        registers.set_background(0x502, 100, Some(ReturnCode::INTERNAL));
        assert_eq!(dwords(&registers, 0x110), [0, 1, 0x0064_0502, 4]);
    }

    #[test]
    fn any_access_is_fine() {
        let mut registers = Registers::new(256);
        for offset in [
            0,
            3,
            0x3f,
            0x7f,
            0x97,
            0xff,
            0x11f,
            0x21d,
            0x1000,
            u64::MAX - 3,
            u64::MAX,
        ] {
            let mut bytes = [0xff; 9];
            registers.read(offset, &mut bytes);
            registers.write(offset, &[0xff; 9]);
        }
        let mut registers = Registers::new(256);
        assert!(registers.write(0, &[0xff; 0x200]));
        assert_eq!(registers.input(), None, "longer than the payload");
    }
}
