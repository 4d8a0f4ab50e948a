// SPDX-License-Identifier: MIT OR Apache-2.0

//! A CXL type 3 memory device: the parts that cxl_pci of Linux 7.3 needs to create a memdev, and
//! Features of all kinds. It has no memory.
//!
//! - [`config`]: DVSECs in configuration space; [`component`]: component registers in BAR 0;
//! - [`registers`]: device registers in BAR 2, and the mailbox;
//! - [`opcodes`], [`codes`], [`payloads`]: numbers and layouts of the mailbox;
//! - [`firmware`]: executes a command, by [`logs`], [`events`], [`memory`], [`vendor`];
//! - [`catalogue`]: the list of Features; [`features`]: their values; [`transfer`]: values set in
//!   parts;
//! - [`device`]: the function and the life of a command;
//! - [`counters`]: counters for the control socket and the final report.
//!
//! Section numbers are those of the CXL specification, revision 3.2, unless they name another one.
//! Layouts are written from it and from the numbers in drivers/cxl/{cxl,cxlmem,cxlpci}.h and
//! include/uapi/{linux/pci_regs,cxl/features}.h of Linux 7.3.

use crate::fault::Dialect;
use std::time::Duration;

pub mod catalogue;
pub mod codes;
pub mod component;
pub mod config;
pub mod counters;
pub mod device;
pub mod events;
pub mod features;
pub mod firmware;
pub mod fuzz;
pub mod logs;
pub mod memory;
pub mod opcodes;
pub mod payloads;
pub mod registers;
pub mod transfer;
pub mod vendor;

pub use device::Type3;

/// Supported faults.
pub const FAULTS: Dialect = Dialect {
    keys: &[
        "op",
        "feature",
        "action",
        "nth",
        "times",
        "status",
        "late",
        "never",
        "garble",
        "truncate",
        "claim",
        "background",
        "silent",
        "lost",
        "vanish",
        "exit",
        "health",
    ],
    max_status: u16::MAX,
    help:
        "\
match:  op=N  feature=ID  action=N (0 full, 1 initiate, 2 continue, 3 finish, 4 abort)
        without any, every command
which:  nth=N (1)  times=N|forever (1)
effect: status=N (return code)  late=MS  never  garble[=FROM]  truncate=LEN
        claim=LEN (in the length register)  background (late=MS says for how long)
        silent (no interrupt at its end)  lost (its result: that of another operation is there)
        vanish (reads as all ones)  exit (of the process)  health[=BITS] (1 fatal, 2 firmware halt)",
};

/// Valid payload sizes of a mailbox (8.2.9.4.3): powers of two.
pub const PAYLOAD_SIZES: std::ops::RangeInclusive<u32> = 256..=1 << 20;

/// Options of the device.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Serial number: distinguishes devices.
    pub serial: u64,
    /// Payload size of the mailbox: one of [`PAYLOAD_SIZES`].
    pub payload_size: u32,
    /// Whether the device supports Features.
    pub has_features: bool,
    /// Whether the device supports Set Feature.
    pub has_set: bool,
    /// Whether the device has vendor commands and the vendor debug log.
    pub has_vendor: bool,
    /// Whether it has a vendor command for every combination of effects.
    pub has_all_effects: bool,
    /// Maximum time between the parts of a Feature (8.2.10.6.3: 30 s).
    pub part_timeout: Duration,
    /// Log each command.
    pub is_verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            serial: 0x6677_6374_6c00_0001,
            payload_size: 512,
            has_features: true,
            has_set: true,
            has_vendor: true,
            has_all_effects: false,
            part_timeout: Duration::from_secs(30),
            is_verbose: false,
        }
    }
}

/// Identity of the device.
pub mod identity {
    /// PCI vendor ID of the CXL Consortium, which makes no devices.
    pub const VENDOR: u16 = 0x1e98;
    /// Device and subsystem ID; not those of a real device.
    pub const DEVICE: u16 = 0x7e57;
    /// Memory controller, CXL, memory device (8.1.12.1).
    pub const CLASS: u32 = 0x05_0210;
    /// Firmware version, zero-padded.
    pub const FIRMWARE: &[u8; 16] = b"fwctl-emu 1\0\0\0\0\0";
}
