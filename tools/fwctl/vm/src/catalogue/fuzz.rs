// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzzer of the ioctls.

use super::{machine, Fuzzer, Module, Test, BASE};

/// Fuzzes the ioctls on a device of one driver.
macro_rules! fuzz {
    ($name:literal, $about:literal, $machine:ident, $module:literal) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["fuzz.sh", $module],
            needs: &[Fuzzer, Module("fwctl"), Module($module)],
            limit: 300,
            wants_fresh: true,
            ..BASE
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    fuzz!("fuzz/loopback-rust", "fuzz the ioctls, on the loopback in Rust", PLAIN_LEAKS, "fwctl_loopback"),
    fuzz!("fuzz/loopback-c", "fuzz the ioctls, on the loopback in C", PLAIN_LEAKS, "fwctl_loopback_c"),
    fuzz!("fuzz/cxl", "fuzz the ioctls and CXL Features, on QEMU's memory device", CXL_LEAKS, "cxl_fwctl"),
    fuzz!("fuzz/cxl-emulated", "the same, on the emulated one, whose Features can be set", CXL_EMULATED, "cxl_fwctl"),
    fuzz!("fuzz/pds", "fuzz the ioctls, on the emulated Pensando card", PDS_LEAKS, "pds_fwctl"),
    fuzz!("fuzz/mlx5", "fuzz the ioctls and firmware commands, on the emulated ConnectX", CONNECTX_LEAKS, "mlx5_fwctl"),
];
