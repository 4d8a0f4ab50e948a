// SPDX-License-Identifier: MIT OR Apache-2.0

//! Injected failures, one after the other.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// Injects a failure into each step of adding, using and removing a driver's device, then checks
/// for leaks.  Unless all steps of loading fail, `first` is the first that does; it differs between
/// drivers because most of their steps are the same.
macro_rules! faults {
    ($name:literal, $about:literal, $machine:ident, $module:literal, $first:literal $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["faults.sh", $module, $first $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest("fwctl_fail_drivers"), Module("fwctl"), Module($module)],
            limit: 1200,
            // Warnings of the kernel on failed allocations for a module and for its trace events.
            tolerates: &["event_define_fields", "vmalloc error: "],
            ..BASE
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    faults!("faults/driver-rust", "each step of the core and the loopback in Rust fails once", PLAIN_LEAKS, "fwctl_loopback", "1"),
    faults!("faults/driver-c", "each step of the loopback in C fails once", PLAIN_LEAKS, "fwctl_loopback_c", "3", "-T", "load_the_core"),
    faults!("faults/driver-cxl", "each step of the CXL driver fails once", CXL_LEAKS, "cxl_fwctl", "5", "-T", "load_the_core"),
    faults!("faults/driver-mlx5", "each step of the ConnectX driver fails once", CONNECTX_LEAKS, "mlx5_fwctl", "7", "-T", "load_the_core"),
    faults!("faults/driver-pds", "each step of the pds driver fails once", PDS_LEAKS, "pds_fwctl", "7", "-T", "load_the_core"),
    Test {
        name: "faults/commands-mlx5",
        about: "each firmware command of an mlx5_core probe and of an RPC fails once",
        machine: &machine::CONNECTX_FAULTS,
        script: &["commands-mlx5.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 1800,
        // After a failed probe mlx5_core does not always wait for all pages; the script checks that
        // none is left, and knows what mlx5_core leaks.
        tolerates: &["mlx5_reclaim_startup_pages", "kmemleak: "],
        ..BASE
    },
    Test {
        name: "faults/commands-cxl",
        about: "each mailbox command of a cxl_pci probe and of an RPC fails once",
        machine: &machine::CXL_EMULATED,
        script: &["commands-cxl.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 1800,
        ..BASE
    },
];
