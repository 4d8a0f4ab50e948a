// SPDX-License-Identifier: MIT OR Apache-2.0

//! The initialisation segment at the start of BAR 0: `struct mlx5_init_seg` and `struct
//! health_buffer`, include/linux/mlx5/device.h.

use super::identity::FIRMWARE;
use super::Options;
use std::time::Instant;

/// Size of the segment.
pub const LEN: u64 = 0x2010;
/// Command interface revision that the driver requires (`CMD_IF_REV`, cmd.c).
const COMMAND_INTERFACE: u32 = 5;
/// log2 of the number of command slots.
pub const LOG_SLOTS: u32 = 5;
/// log2 of the distance between command slots.
const LOG_STRIDE: u32 = 6;
/// Maximum time in ms that the firmware needs to start, for `cmd_q_init_to`.
const INIT_TIMEOUT: u32 = 2000;
/// Maximum of a timeout field, in ms.
pub const MAX_TIMEOUT: u32 = 0xf_ffff;
/// Period of the health counter, in ms.
const HEARTBEAT: u128 = 10;
/// The low bits of the queue address, which hold sizes and state.
const LOW_BITS: u32 = 0xfff;

/// NIC interface state, bits 10:8 (`MLX5_INITIAL_SEG_NIC_INTERFACE_*`, mlx5_core.h).
mod nic {
    pub const SHIFT: u32 = 8;
    pub const FULL_DRIVER: u32 = 0;
    pub const DISABLED: u32 = 1;
    pub const SW_RESET: u32 = 7;
}

/// Health of the firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The syndrome, or 0 if healthy.
    pub syndrome: u8,
    /// The firmware requests a reset and executes nothing until then (`rfr`).
    pub is_fatal: bool,
}

/// Side effect of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None.
    None,
    /// A driver starts to set the queue address, so commands in the old queue are obsolete.
    Queue,
    /// Commands were queued in these slots.
    Doorbell(u32),
    /// The firmware was reset.
    Reset,
}

/// The registers.
#[derive(Clone, Debug)]
pub struct Iseg {
    started: Instant,
    has_fw_reset: bool,
    timeout: Option<u32>,
    queue_high: u32,
    queue_low: u32,
    nic_state: u32,
    /// Health buffer.
    pub health: Health,
    /// The value at which the health counter is frozen.
    pub frozen: Option<u32>,
}

impl Iseg {
    /// Returns the registers after power on.
    pub fn new(options: &Options) -> Self {
        Iseg {
            started: Instant::now(),
            has_fw_reset: options.has_fw_reset,
            timeout: options.cmd_timeout.map(|ms| ms.clamp(1, MAX_TIMEOUT)),
            queue_high: 0,
            queue_low: 0,
            nic_state: nic::FULL_DRIVER,
            health: Health::default(),
            frozen: None,
        }
    }

    /// Clears what drivers have written.
    pub fn reset(&mut self) {
        (self.queue_high, self.queue_low, self.nic_state) = (0, 0, nic::FULL_DRIVER);
        (self.health, self.frozen) = (Health::default(), None);
    }

    /// Returns the guest address of a command slot, or `None` if no queue is set.
    pub fn slot(&self, slot: u8) -> Option<u64> {
        let queue = u64::from(self.queue_high) << 32 | u64::from(self.queue_low);
        (queue != 0).then(|| queue.wrapping_add(u64::from(slot) << LOG_STRIDE))
    }

    /// Returns the current value of the health counter.
    pub fn heartbeat(&self) -> u32 {
        (self.started.elapsed().as_millis() / HEARTBEAT) as u32
    }

    /// Reads any number of bytes at any offset.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        for (n, byte) in to.iter_mut().enumerate() {
            let at = offset.wrapping_add(n as u64);
            *byte = self.word(at & !3).to_be_bytes()[(at & 3) as usize];
        }
    }

    fn word(&self, at: u64) -> u32 {
        let (major, minor, sub) = FIRMWARE;
        let timeout = self.timeout.unwrap_or(0);
        match at {
            0x000 => u32::from(minor) << 16 | u32::from(major),
            0x004 => COMMAND_INTERFACE << 16 | u32::from(sub),
            0x010 => self.queue_high,
            // The driver reads the sizes at probe, also after an earlier one wrote the address.
            0x014 => self.queue_low | self.nic_state << nic::SHIFT | LOG_SLOTS << 4 | LOG_STRIDE,
            0x1fc => u32::from(self.has_fw_reset) << 30,
            0x230 => u32::from(major) << 24 | u32::from(minor) << 16 | u32::from(sub),
            0x234 => 0x0218,
            // rfr, severity valid, and severity 2 (critical) or 3 (error).
            0x238 if self.health.is_fatal => 0x8a << 24,
            0x238 if self.health.syndrome != 0 => 0x0b << 24,
            0x23c => u32::from(self.health.syndrome) << 16,
            0xff8 => timeout,
            0xffc if timeout != 0 => INIT_TIMEOUT,
            0x1000 => (self.started.elapsed().as_micros() >> 32) as u32,
            0x1004 => self.started.elapsed().as_micros() as u32,
            0x1010 => self.frozen.unwrap_or_else(|| self.heartbeat()),
            _ => 0,
        }
    }

    /// Writes an aligned word. Ignores other writes.
    pub fn write(&mut self, offset: u64, from: &[u8]) -> Effect {
        let Ok(word) = from.try_into().map(u32::from_be_bytes) else {
            return Effect::None;
        };
        match offset {
            0x010 => {
                self.queue_high = word;
                return Effect::Queue;
            }
            0x014 => {
                self.queue_low = word & !LOW_BITS;
                match word >> nic::SHIFT & 7 {
                    nic::SW_RESET => {
                        self.nic_state = nic::DISABLED;
                        return Effect::Reset;
                    }
                    state => self.nic_state = state,
                }
            }
            0x018 => return Effect::Doorbell(word),
            _ => {}
        }
        Effect::None
    }

    /// The state after a reset that the driver requested: disabled until a driver sets the queue
    /// address again.
    pub fn reset_by_driver(&mut self) {
        self.reset();
        self.nic_state = nic::DISABLED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iseg() -> Iseg {
        Iseg::new(&Options::default())
    }

    fn word(iseg: &Iseg, at: u64) -> u32 {
        let mut bytes = [0; 4];
        iseg.read(at, &mut bytes);
        u32::from_be_bytes(bytes)
    }

    #[test]
    fn golden_registers() {
        let iseg = iseg();
        assert_eq!(word(&iseg, 0), 45 << 16 | 28);
        assert_eq!(word(&iseg, 4), 5 << 16 | 1200);
        assert_eq!(word(&iseg, 0x14), 0x56);
        assert_eq!(word(&iseg, 0x1fc), 1 << 30);
        assert_ne!(word(&iseg, 0x230), u32::MAX);
        assert_eq!(word(&iseg, 0xffc), 0, "no timeouts");
        let mut byte = [9];
        iseg.read(0x23d, &mut byte);
        assert_eq!(byte, [0]);
    }

    #[test]
    fn queue_address_and_sizes() {
        let mut iseg = iseg();
        assert_eq!(iseg.slot(0), None);
        assert_eq!(iseg.write(0x10, &[0, 0, 0, 1]), Effect::Queue);
        iseg.write(0x14, &[0x12, 0x34, 0x50, 0]);
        assert_eq!(iseg.slot(2), Some(0x1_1234_5080));
        assert_eq!(word(&iseg, 0x14), 0x1234_5056, "sizes stay");
        assert_eq!(
            iseg.write(0x18, &[0x80, 0, 0, 1]),
            Effect::Doorbell(1 << 31 | 1)
        );
        assert_eq!(iseg.write(0x18, &[0x80, 0]), Effect::None);
        assert_eq!(iseg.write(0x19, &[0x80, 0, 0, 0]), Effect::None);
        iseg.reset();
        assert_eq!(iseg.slot(0), None);
    }

    #[test]
    fn health_and_reset() {
        let mut iseg = iseg();
        iseg.health = Health {
            syndrome: 0x10,
            is_fatal: true,
        };
        let mut bytes = [0; 2];
        iseg.read(0x238, &mut bytes[..1]);
        iseg.read(0x23d, &mut bytes[1..]);
        assert_eq!((bytes[0] >> 7, bytes[1]), (1, 0x10));
        assert_eq!(iseg.write(0x14, &[0, 0, 0x17, 0]), Effect::Reset);
        iseg.reset_by_driver();
        assert_eq!((word(&iseg, 0x14) >> 8 & 7, iseg.health.syndrome), (1, 0));
        iseg.write(0x14, &[0, 0, 0x10, 0]);
        assert_eq!(word(&iseg, 0x14) >> 8 & 7, 0, "a driver has set the queue");
        iseg.frozen = Some(7);
        assert_eq!(word(&iseg, 0x1010), 7);
    }

    #[test]
    fn announced_timeout() {
        let iseg = Iseg::new(&Options {
            cmd_timeout: Some(u32::MAX),
            ..Options::default()
        });
        assert_eq!((word(&iseg, 0xff8), word(&iseg, 0xffc)), (0xf_ffff, 2000));
    }

    #[test]
    fn any_offset_is_fine() {
        let mut iseg = iseg();
        for offset in [0, 1, 0x13, 0x200f, u64::MAX] {
            let mut bytes = [0; 9];
            iseg.read(offset, &mut bytes);
            iseg.write(offset, &bytes);
        }
    }
}
