// SPDX-License-Identifier: MIT OR Apache-2.0

//! An AMD Pensando card: the physical function that pds_core of Linux 7.3 drives, with the firmware
//! endpoints that pds_fwctl talks to.  It has no network port and no virtual functions.
//!
//! - [`wire`]: layouts of registers, commands and completions; [`codes`]: their numbers;
//! - [`registers`]: BAR 0, with [`interrupt`] control;
//! - [`firmware`]: executes device commands; [`queue`]: the admin and notify queues;
//! - [`rpc`]: executes the commands of a fwctl client on the endpoints of the [`catalogue`];
//! - [`device`]: the function, resets, faults and the control socket;
//! - [`counters`]: for the control socket and the report at the end.
//!
//! The layouts were written from the descriptions in include/linux/pds/{pds_core_if,pds_adminq,
//! pds_intr}.h and from how drivers/net/ethernet/amd/pds_core and drivers/fwctl/pds of Linux 7.3
//! use them. There is no public specification; where the headers are silent, the comment says what
//! was chosen.

use crate::fault::Dialect;

pub mod catalogue;
pub mod codes;
pub mod counters;
pub mod device;
pub mod firmware;
pub mod interrupt;
pub mod queue;
pub mod registers;
pub mod rpc;
pub mod wire;

pub use device::Pensando;

/// Faults of the device.
pub const FAULTS: Dialect = Dialect {
    keys: &[
        "op",
        "op_mod",
        "reg",
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
    max_status: 0xff,
    help: "\
match:  op=N (a device command; 0x100 + N for the admin queue, where 0x146, 0x147 and 0x148 are a
        client's IDENT, RPC and QUERY)  reg=ENDPOINT  op_mod=N (an RPC's operation without its
        version, a QUERY's entity, a host memory command's operation)
        without any, every command
which:  nth=N (1)  times=N|forever (1)
effect: status=N (enum pds_core_status_code)  late=MS  never (and so none after it in the queue)
        background (with late or never: the data too are written with the completion)
        garble[=FROM] (the data)  truncate=LEN (only so much data is written)
        claim=N (limits of an IDENT, entries of a list, size of a response, client identifier, count or size of host
        memory, number of interrupts)
        silent (no interrupt)  lost (no completion: that of the next command takes its place)
        vanish (reads as all ones)  exit (of the process)
        health[=KIND] (1 the firmware stops, 2 it restarts, 3 another version starts)",
};

/// What can be chosen about the device.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Distinguishes several devices: part of the serial number.
    pub serial: u16,
    /// Interrupts, each with an MSI-X vector; at least 1.
    pub interrupts: u16,
    /// Newest version of IDENTIFY that the firmware accepts: 1 or 2.
    pub identity_version: u8,
    /// Pieces of host memory that the firmware asks for; none of them with identity version 1.
    pub host_memory: u16,
    /// The largest request and the largest response that the firmware claims to take, in bytes.
    pub max_payload: u32,
    /// The firmware offers endpoints to fwctl.
    pub has_fwctl: bool,
    /// Log each command.
    pub is_verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            serial: 0,
            interrupts: 4,
            identity_version: 2,
            host_memory: 2,
            max_payload: 128 << 10,
            has_fwctl: true,
            is_verbose: false,
        }
    }
}

/// Names of the device (pds_core_if.h, PCI_*).
pub mod identity {
    /// Pensando Systems, now AMD.
    pub const VENDOR: u16 = 0x1dd8;
    /// The physical function of the core.
    pub const DEVICE: u16 = 0x100c;
    /// Processing accelerator; pds_core does not check the class.
    pub const CLASS: u32 = 0x12_0000;
    /// Version of the firmware in the information registers.
    pub const FIRMWARE: &str = "fwctl-emu-1";
    /// Version of the firmware after an update.
    pub const NEXT_FIRMWARE: &str = "fwctl-emu-2";
}
