// SPDX-License-Identifier: MIT OR Apache-2.0

//! Emulated PCI devices with a firmware control interface, for stock QEMU over vfio-user.
//!
//! The framework, shared by all devices:
//!
//! - [`device`]: the interface between a device and the framework;
//! - [`server`]: the vfio-user connection and the threads around a device;
//! - [`pci`]: configuration space;
//! - [`dma`]: guest memory; [`irq`]: MSI-X vectors;
//! - [`fault`]: fault injection: which command fails, and how;
//! - `fuzz`: input for the hostile guests of the devices;
//! - [`control`]: the socket on which a test reads counters and injects faults.
//!
//! Devices: [`mlx5`], a ConnectX; [`cxl`], a CXL type 3 memory device; [`pds`], an AMD Pensando
//! card.
//!
//! Nothing that a guest writes is trusted: each length, address and index is compared with a named
//! maximum before it is used, and no input ends the process.

pub mod control;
pub mod counters;
pub mod cxl;
pub mod device;
pub mod dma;
pub mod fault;
mod fuzz;
pub mod irq;
pub mod mlx5;
pub mod pci;
pub mod pds;
pub mod server;

/// Logs to stderr. Ignores errors: stderr may be closed, which is no reason to panic.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "fwctl-emu: {}", format_args!($($arg)*));
    }};
}
pub(crate) use say;
