// SPDX-License-Identifier: MIT OR Apache-2.0

//! Injected failures, one after the other.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// Fault injection in all that makes, uses and ends the device of a driver, and no leak afterwards.  `first` is the first step
/// of loading that fails where not each does: each driver has another one, as most steps are the same.
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
            is_slow: true,
            // What the kernel says of its own accord if there is no memory: for the trace events of a module, and for a module.
            tolerates: &["event_define_fields", "vmalloc error: "],
            ..BASE
        }
    };
}

/// What fails, one step after the other.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    faults!("faults/driver-rust", "each step of the core and the Rust sample fails once", PLAIN_LEAKS, "fwctl_loopback", "1"),
    faults!("faults/driver-c", "each step of the C twin fails once", PLAIN_LEAKS, "fwctl_loopback_c", "3", "-T", "load_the_core"),
    faults!("faults/driver-cxl", "each step of the CXL driver fails once", CXL_LEAKS, "cxl_fwctl", "5", "-T", "load_the_core"),
    faults!("faults/driver-mlx5", "each step of the ConnectX driver fails once", CONNECTX_LEAKS, "mlx5_fwctl", "7", "-T", "load_the_core"),
    Test {
        name: "faults/commands-mlx5",
        about: "each command of a probe of mlx5_core, and of a call, goes wrong",
        machine: &machine::CONNECTX_FAULTS,
        script: &["commands-mlx5.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 1800,
        is_slow: true,
        // mlx5_core, when a probe has failed, does not always wait for all of its pages; the script looks that none is left. What
        // it forgets the script knows as well.
        tolerates: &["mlx5_reclaim_startup_pages", "kmemleak: "],
        ..BASE
    },
    Test {
        name: "faults/commands-cxl",
        about: "each command of a probe of cxl_pci, and of a call, goes wrong",
        machine: &machine::CXL_EMULATED,
        script: &["commands-cxl.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 1800,
        is_slow: true,
        ..BASE
    },
];
