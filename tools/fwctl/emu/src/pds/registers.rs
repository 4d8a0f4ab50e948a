// SPDX-License-Identifier: MIT OR Apache-2.0

//! BAR 0: information registers, device command registers and interrupt control.
//!
//! Offsets are those of pds_core_if.h, PDS_CORE_BAR0_* and struct pds_core_dev_{info,cmd}_regs.

use super::interrupt::{self, Interrupt};
use super::wire::{self, Info, COMMAND, COMPLETION};
use super::{identity, Options};
use crate::irq::Vectors;
use zerocopy::IntoBytes;

/// Size of BAR 0; the driver asks for at least 0x8000.
pub const BAR0: u64 = 0x10000;
/// Where the MSI-X table and its pending bits are, beyond what the driver uses.
pub const MSIX_TABLE: u32 = 0x8000;
/// See [`MSIX_TABLE`].
pub const MSIX_PENDING: u32 = 0xc000;
/// Most interrupts of a device: their control registers end where the MSI-X table begins.
pub const MAX_INTERRUPTS: u16 = 512;

/// Device command registers.
const DEVICE_COMMAND: u64 = 0x800;
const DEVICE_COMMAND_END: u64 = 0x1000;
const INTERRUPT_CONTROL: u64 = 0x2000;

/// Offsets in the device command registers.
mod offset {
    pub const DOORBELL: usize = 0x00;
    pub const DONE: usize = 0x04;
    pub const COMMAND: usize = 0x08;
    pub const COMPLETION: usize = 0x48;
    pub const DATA: usize = 0x88;
}

/// Bytes of side data of a device command.
pub const DATA: usize = 1912;

/// Values of the registers.
pub struct Registers {
    /// The firmware runs.
    pub is_running: bool,
    /// Changes each time the firmware starts; 4 bits.
    pub generation: u8,
    /// Version of the firmware.
    pub version: &'static str,
    heartbeat: u32,
    serial: [u8; 32],
    device_command: [u8; 0x800],
    /// Interrupt control.
    pub interrupts: Vec<Interrupt>,
}

impl Registers {
    /// Registers as after power on.
    pub fn new(options: &Options) -> Self {
        Registers {
            is_running: true,
            generation: 1,
            version: identity::FIRMWARE,
            heartbeat: 0,
            serial: wire::text(&format!("FWCTL{:05}", options.serial)),
            device_command: [0; 0x800],
            interrupts: vec![Interrupt::default(); options.interrupts.into()],
        }
    }

    /// Clears what a reset of the function clears.
    pub fn reset(&mut self) {
        self.device_command.fill(0);
        self.reset_interrupts();
    }

    /// Masks all interrupts and clears their credits.
    pub fn reset_interrupts(&mut self) {
        self.interrupts.fill(Interrupt::default());
    }

    /// The information registers; the heart beats with each read while the firmware runs.
    fn info(&mut self) -> Info {
        self.heartbeat = self.heartbeat.wrapping_add(self.is_running.into());
        let running = if self.is_running { wire::RUNNING } else { 0 };
        Info {
            signature: wire::SIGNATURE.into(),
            version: 1,
            asic_type: 0,
            asic_revision: 1,
            status: running | self.generation << 4,
            heartbeat: self.heartbeat.into(),
            firmware: wire::text(self.version),
            serial: self.serial,
        }
    }

    /// The interrupt whose registers are at `offset`, and the offset in them.
    fn interrupt(&self, offset: u64) -> Option<(usize, u64)> {
        let at = offset.checked_sub(INTERRUPT_CONTROL)?;
        let index = usize::try_from(at / interrupt::LEN).ok()?;
        (index < self.interrupts.len()).then_some((index, at % interrupt::LEN))
    }

    /// Reads; undefined registers are zero.
    pub fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        match offset {
            0..DEVICE_COMMAND => copy(self.info().as_bytes(), offset as usize, data),
            DEVICE_COMMAND..DEVICE_COMMAND_END => {
                let at = (offset - DEVICE_COMMAND) as usize;
                copy(&self.device_command, at, data);
            }
            _ => {
                if let Some((index, at)) = self.interrupt(offset) {
                    let value = self.interrupts[index].read(at & !3);
                    copy(&value.to_le_bytes(), (at & 3) as usize, data);
                }
            }
        }
    }

    /// Writes; returns whether the doorbell of the device command rang.
    pub fn write(&mut self, offset: u64, data: &[u8], vectors: &mut Vectors) -> bool {
        match offset {
            DEVICE_COMMAND..DEVICE_COMMAND_END => {
                let at = (offset - DEVICE_COMMAND) as usize;
                let len = data.len().min(self.device_command.len() - at);
                self.device_command[at..at + len].copy_from_slice(&data[..len]);
                at == offset::DOORBELL && data.first().is_some_and(|byte| byte & 1 != 0)
            }
            _ => {
                if let (Some((index, at)), Ok(value)) = (self.interrupt(offset), data.try_into()) {
                    let value = u32::from_le_bytes(value);
                    self.interrupts[index].write(at, value, vectors, index);
                }
                false
            }
        }
    }

    /// The command.
    pub fn command(&self) -> [u8; COMMAND] {
        let bytes = &self.device_command[offset::COMMAND..][..COMMAND];
        bytes.try_into().expect("the range has this length")
    }

    /// Its side data.
    pub fn data(&self) -> &[u8] {
        &self.device_command[offset::DATA..][..DATA]
    }

    /// Answers a command; `data` replaces the beginning of the side data.
    pub fn complete(&mut self, completion: &[u8; COMPLETION], data: &[u8]) {
        let len = data.len().min(DATA);
        self.device_command[offset::DATA..][..len].copy_from_slice(&data[..len]);
        self.device_command[offset::COMPLETION..][..COMPLETION].copy_from_slice(completion);
        self.device_command[offset::DONE] = 1;
    }
}

/// Copies the bytes of `from` that there are at `at`.
fn copy(from: &[u8], at: usize, to: &mut [u8]) {
    let from = from.get(at..).unwrap_or_default();
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(registers: &mut Registers, offset: u64) -> [u8; N] {
        let mut data = [0xee; N];
        registers.read(offset, &mut data);
        data
    }

    /// pds_core_if.h, struct pds_core_dev_info_regs.
    #[test]
    fn information() {
        let mut registers = Registers::new(&Options::default());
        assert_eq!(read(&mut registers, 0), *b"IVED");
        assert_eq!(read(&mut registers, 7), [0x11]);
        assert_eq!(read(&mut registers, 0x0c), *b"fwctl-emu-1\0");
        assert_eq!(read(&mut registers, 0x2c), *b"FWCTL00000\0");
        let before: [u8; 4] = read(&mut registers, 8);
        assert_ne!(read(&mut registers, 8), before, "the heart beats");
        registers.is_running = false;
        registers.generation = 15;
        assert_eq!(read(&mut registers, 7), [0xf0]);
        let before: [u8; 4] = read(&mut registers, 8);
        assert_eq!(read(&mut registers, 8), before);
        assert_eq!(read(&mut registers, 0x400), [0; 8]);
    }

    /// pds_core_if.h, struct pds_core_dev_cmd_regs.
    #[test]
    fn device_command() {
        let mut registers = Registers::new(&Options::default());
        let mut vectors = Vectors::default();
        let mut write =
            |registers: &mut Registers, at, data: &[u8]| registers.write(at, data, &mut vectors);
        assert!(!write(&mut registers, 0x808, &[1, 2]));
        assert!(!write(&mut registers, 0x888, &[7; 4]));
        assert!(!write(&mut registers, 0x800, &[0; 4]));
        assert!(write(&mut registers, 0x800, &[1, 0, 0, 0]));
        assert_eq!(registers.command()[..3], [1, 2, 0]);
        assert_eq!(registers.data()[..5], [7, 7, 7, 7, 0]);
        registers.complete(&[9; 16], &[5; DATA + 1]);
        assert_eq!(read(&mut registers, 0x804), [1, 0, 0, 0]);
        assert_eq!(read(&mut registers, 0x848), [9; 16]);
        assert_eq!(read(&mut registers, 0xffe), [5, 5]);
    }

    #[test]
    fn any_access_is_fine() {
        let mut registers = Registers::new(&Options::default());
        let mut vectors = Vectors::default();
        for offset in [
            0,
            0x7ff,
            0xfff,
            0x1000,
            0x2000,
            0x2001,
            0x207f,
            0x2080,
            BAR0,
            u64::MAX,
        ] {
            for len in [0, 1, 3, 4, 8, 4096] {
                registers.write(offset, &vec![0xff; len], &mut vectors);
                registers.read(offset, &mut vec![0; len]);
            }
        }
        assert_eq!(read(&mut registers, 0), *b"IVED");
    }
}
