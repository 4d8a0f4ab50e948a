// SPDX-License-Identifier: MIT OR Apache-2.0

//! A ConnectX: as much of one as mlx5_core of Linux 7.3 drives without a network interface.
//!
//! - [`bits`]: command queue entry, mailbox block, event; [`fields`]: the commands' own layouts;
//! - [`opcodes`]: which commands there are, and who may use them when;
//! - [`cmds`]: bytes to a request, or a [`refusal`];
//! - [`queue`]: fetching commands from guest memory, and delivering answers;
//! - [`device`]: the function and the life of a command, with [`iseg`], the registers in BAR 0;
//! - [`exec`]: executing one; [`query`]: what QUERY commands answer; [`caps`]: capability pages;
//! - [`eq`], [`pages`], [`uctx`]: resources that a driver must give back;
//! - [`registers`]: access registers; [`management`]: their content; [`nvconfig`]: configuration;
//! - [`counters`]: for the control socket and the report at the end.
//!
//! Layouts and numbers are facts from `include/linux/mlx5/{device,mlx5_ifc,driver}.h` of Linux 7.3,
//! named at each; what is only in mstflint's `register_access_table.adb` says so.

pub mod bits;
pub mod caps;
pub mod cmds;
pub mod counters;
pub mod device;
pub mod eq;
pub mod exec;
pub mod fields;
pub mod fuzz;
pub mod iseg;
pub mod management;
pub mod nvconfig;
pub mod opcodes;
pub mod pages;
pub mod query;
pub mod queue;
pub mod refusal;
pub mod registers;
pub mod uctx;

pub use device::ConnectX;

use crate::fault::Dialect;

/// Faults of the device.
pub const FAULTS: Dialect = Dialect {
    keys: &[
        "op", "op_mod", "reg", "user", "nth", "times", "status", "delivery", "late", "never",
        "garble", "truncate", "silent", "lost", "vanish", "exit", "health",
    ],
    max_status: 0xff,
    help: "\
match:  op=N  op_mod=N  reg=N  user (only commands of a user context); without any, every command
which:  nth=N (1)  times=N|forever (1)
effect: status=N[/SYNDROME]  delivery=N  late=MS  never  garble[=FROM]
        truncate=LEN  silent (no interrupt)  lost (no event)
        vanish (reads as all ones)  exit (of the process)  health[=SYNDROME]",
};

/// What can be chosen about the device.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// PCI device identifier, one that mlx5_core knows.
    pub device_id: u16,
    /// Distinguishes devices.
    pub serial: u16,
    /// Capabilities of user contexts.
    pub uctx_caps: u32,
    /// User contexts at one time.
    pub max_uctx: u16,
    /// Pages asked for at boot.
    pub boot_pages: u16,
    /// Pages asked for at initialisation.
    pub init_pages: u16,
    /// Command timeout in ms that the device announces.
    pub cmd_timeout: Option<u32>,
    /// The driver may reset the firmware.
    pub has_fw_reset: bool,
    /// Log each command.
    pub is_verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            device_id: 0x1021,
            serial: 0,
            uctx_caps: 7,
            max_uctx: 64,
            boot_pages: 8,
            init_pages: 64,
            cmd_timeout: None,
            has_fw_reset: true,
            is_verbose: false,
        }
    }
}

/// Names and versions of the device.
pub mod identity {
    /// Mellanox.
    pub const VENDOR: u16 = 0x15b3;
    /// What the board calls itself; not a board of anybody's.
    pub const SUBSYSTEM: u16 = 0x7e57;
    /// Firmware version.
    pub const FIRMWARE: (u16, u16, u16) = (28, 45, 1200);
    /// Day of its build: year, month, day, as in a calendar.
    pub const BUILT: (u16, u8, u8) = (0x2025, 0x11, 0x20);
    /// Hardware device: ConnectX-7.
    pub const HW_DEVICE: u16 = 0x0218;
    /// Parameter set identifier, 16 bytes with its zeroes.
    pub const PSID: &[u8; 16] = b"EMU0000000001\0\0\0";
    /// Name of the model.
    pub const MODEL: &[u8] = b"EMU-CX7";
    /// What it is.
    pub const DESCRIPTION: &[u8] = b"Emulated ConnectX-7 of fwctl-emu";

    /// What mstflint calls vendor specific data.
    pub const VSD: &[u8] = b"fwctl-emu";

    /// MAC address of a device: locally administered.
    pub fn mac(serial: u16) -> [u8; 6] {
        let [high, low] = serial.to_be_bytes();
        [0x02, 0x00, 0x15, 0xb3, high, low]
    }
}
