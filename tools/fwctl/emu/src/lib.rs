// SPDX-License-Identifier: MIT OR Apache-2.0

//! Emulated PCI devices with a firmware control interface, which stock QEMU plugs in over vfio-user.
//!
//! Framework, the same for each device:
//!
//! - [`device`]: what a device is to the framework, and what it gets from it;
//! - [`server`]: the vfio-user connection, and the threads around a device;
//! - [`pci`]: configuration space;
//! - [`dma`]: guest memory; [`irq`]: MSI-X vectors;
//! - [`fault`]: which command fails, and how;
//! - `fuzz`: what the hostile guests of the devices are made from;
//! - [`control`]: the socket through which a test reads counters and orders faults.
//!
//! Devices: [`mlx5`], a ConnectX; [`cxl`], a CXL type 3 memory device.
//!
//! A guest may write what it likes: lengths, addresses and indices from it are compared with a
//! named maximum before they are used, and nothing it does ends the process.

pub mod control;
pub mod cxl;
pub mod device;
pub mod dma;
pub mod fault;
mod fuzz;
pub mod irq;
pub mod mlx5;
pub mod pci;
pub mod server;

/// Says something on stderr; nobody may be listening any more, and that is no reason to panic.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "fwctl-emu: {}", format_args!($($arg)*));
    }};
}
pub(crate) use say;
