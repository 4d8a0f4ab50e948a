// SPDX-License-Identifier: MIT OR Apache-2.0

//! A CXL type 3 memory device: as much of one as cxl_pci of Linux 7.3 makes a memdev of, with
//! Features of every kind.  There is no memory behind it.
//!
//! - [`config`]: its DVSECs; [`component`]: component registers in BAR 0;
//! - [`registers`]: device registers in BAR 2, with the mailbox;
//! - [`opcodes`], [`codes`], [`payloads`]: the mailbox's numbers and layouts;
//! - [`firmware`]: executes a command, with [`logs`], [`events`], [`memory`];
//! - [`catalogue`]: which Features there are; [`features`]: their values; [`transfer`]: values that
//!   come in parts;
//! - [`device`]: the function and the life of a command;
//! - [`counters`]: for the control socket and the report at the end.
//!
//! Section numbers are those of the CXL specification, revision 3.2, unless they name another one.
//! Layouts were written from it and from the numbers in drivers/cxl/{cxl,cxlmem,cxlpci}.h and
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

pub use device::Type3;

/// Faults of the device.
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
        "vanish",
        "exit",
        "health",
    ],
    max_status: u16::MAX,
    help: "\
match:  op=N  feature=ID  action=N (0 full, 1 initiate, 2 continue, 3 finish, 4 abort)
        without any, every command
which:  nth=N (1)  times=N|forever (1)
effect: status=N (return code)  late=MS  never  garble[=FROM]  truncate=LEN
        claim=LEN (in the length register)  background (late=MS says for how long)
        silent (no interrupt at its end)  vanish (reads as all ones)
        exit (of the process)  health[=BITS] (1 fatal, 2 firmware halt)",
};

/// Sizes that a mailbox's payload can have (8.2.9.4.3): a power of two.
pub const PAYLOAD_SIZES: std::ops::RangeInclusive<u32> = 256..=1 << 20;

/// What can be chosen about the device.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Serial number, which names it.
    pub serial: u64,
    /// Bytes of the mailbox's payload: one of [`PAYLOAD_SIZES`].
    pub payload_size: u32,
    /// There are commands for Features.
    pub has_features: bool,
    /// There is a command Set Feature among them.
    pub has_set: bool,
    /// How long it waits for the next part of a Feature (8.2.10.6.3: 30 s).
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
            part_timeout: Duration::from_secs(30),
            is_verbose: false,
        }
    }
}

/// Names and versions of the device.
pub mod identity {
    /// The CXL consortium, which makes no devices.
    pub const VENDOR: u16 = 0x1e98;
    /// What the device and the board call themselves; not anybody's.
    pub const DEVICE: u16 = 0x7e57;
    /// Memory controller, CXL, memory device (8.1.12.1).
    pub const CLASS: u32 = 0x05_0210;
    /// Version of the firmware, with its zeroes.
    pub const FIRMWARE: &[u8; 16] = b"fwctl-emu 1\0\0\0\0\0";
}
