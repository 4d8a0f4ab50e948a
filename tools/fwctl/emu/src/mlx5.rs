// SPDX-License-Identifier: MIT OR Apache-2.0

//! A ConnectX: the parts that mlx5_core of Linux 7.3 needs without a network interface.
//!
//! - [`bits`]: command queue entry, mailbox block, event; [`fields`]: layouts of the commands;
//! - [`opcodes`]: the supported commands, and when and by which contexts they may be used;
//! - [`cmds`]: parses bytes into a request or a [`refusal`];
//! - [`queue`]: fetches commands from guest memory and writes answers;
//! - [`device`]: the card and the life of a command; [`iseg`]: the registers in BAR 0;
//! - [`exec`]: executes a command; [`query`]: answers of QUERY commands; [`caps`]: capability
//!   pages;
//! - [`diagnostics`], [`dump`], [`cr_space`]: sampled counters, and dumps of objects and registers;
//! - [`component`]: update and readback of the firmware; [`transfer`]: what is written to host memory;
//! - [`eq`], [`memory`], [`pages`], [`uctx`]: resources that a driver must release;
//! - [`registers`]: the access registers; [`management`]: their content; [`nvconfig`]:
//!   configuration;
//! - [`counters`]: counters for the control socket and the final report.
//!
//! Layouts and numbers are from `include/linux/mlx5/{device,mlx5_ifc,driver}.h` of Linux 7.3,
//! unless a comment names mstflint's `register_access_table.adb` (`.adb`).

pub mod bits;
pub mod caps;
pub mod cmds;
pub mod component;
pub mod counters;
pub mod cr_space;
pub mod device;
pub mod diagnostics;
pub mod dump;
pub mod eq;
pub mod exec;
pub mod fields;
pub mod fuzz;
pub mod iseg;
pub mod management;
pub mod memory;
pub mod nvconfig;
pub mod opcodes;
pub mod pages;
pub mod query;
pub mod queue;
pub mod refusal;
pub mod registers;
pub mod transfer;
pub mod uctx;

pub use device::ConnectX;

use crate::fault::Dialect;

/// Supported faults.
pub const FAULTS: Dialect = Dialect {
    keys: &[
        "op", "op_mod", "reg", "user", "nth", "times", "status", "delivery", "late", "never",
        "garble", "truncate", "silent", "lost", "dma_late", "dma_lost", "vanish", "exit", "health",
    ],
    max_status: 0xff,
    help: "\
match:  op=N  op_mod=N  reg=N  user (only commands of a user context); without any, every command
which:  nth=N (1)  times=N|forever (1)
effect: status=N[/SYNDROME]  delivery=N  late=MS  never  garble[=FROM]
        truncate=LEN  silent (no interrupt)  lost (no event)
        dma_late=MS  dma_lost (dumps and pages of components, not the answer)
        vanish (reads as all ones)  exit (of the process)  health[=SYNDROME]",
};

/// Options of the device.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// PCI device ID, one that mlx5_core supports.
    pub device_id: u16,
    /// Serial number: distinguishes devices.
    pub serial: u16,
    /// Capabilities that a user context can have.
    pub uctx_caps: u32,
    /// Maximum number of user contexts.
    pub max_uctx: u16,
    /// Pages requested before INIT_HCA.
    pub boot_pages: u16,
    /// Pages requested for INIT_HCA.
    pub init_pages: u16,
    /// Command timeout in ms that the device announces.
    pub cmd_timeout: Option<u32>,
    /// Whether the driver may reset the firmware.
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

/// Identity of the device.
pub mod identity {
    /// PCI vendor ID.
    pub const VENDOR: u16 = 0x15b3;
    /// Subsystem ID; not that of a real board.
    pub const SUBSYSTEM: u16 = 0x7e57;
    /// Firmware version.
    pub const FIRMWARE: (u16, u16, u16) = (28, 45, 1200);
    /// Build date: year, month, day, binary coded decimal.
    pub const BUILT: (u16, u8, u8) = (0x2025, 0x11, 0x20);
    /// Hardware device: ConnectX-7.
    pub const HW_DEVICE: u16 = 0x0218;
    /// Parameter set identifier, zero-padded to 16 bytes.
    pub const PSID: &[u8; 16] = b"EMU0000000001\0\0\0";
    /// Model.
    pub const MODEL: &[u8] = b"EMU-CX7";
    /// Description.
    pub const DESCRIPTION: &[u8] = b"Emulated ConnectX-7 of fwctl-emu";

    /// Vendor specific data, as mstflint calls it.
    pub const VSD: &[u8] = b"fwctl-emu";

    /// Serial number in the vital product data.
    pub fn serial(serial: u16) -> String {
        format!("EMU{serial:05}")
    }

    /// MAC address of a device, locally administered.
    pub fn mac(serial: u16) -> [u8; 6] {
        let [high, low] = serial.to_be_bytes();
        [0x02, 0x00, 0x15, 0xb3, high, low]
    }
}
