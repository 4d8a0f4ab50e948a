// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzzer of the ioctls.

use super::{machine, Fuzzer, Module, Test, BASE};

/// Calls that nobody would make, on a device of one driver.
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

/// The ioctls as no program would use them.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    fuzz!("fuzz/loopback-rust", "the ioctls, fuzzed, on the Rust loopback sample", PLAIN_LEAKS, "fwctl_loopback"),
    fuzz!("fuzz/loopback-c", "the ioctls, fuzzed, on the C twin, through the C door", PLAIN_LEAKS, "fwctl_loopback_c"),
    fuzz!("fuzz/cxl", "the ioctls and CXL Features, fuzzed, on QEMU's memory device", CXL_LEAKS, "cxl_fwctl"),
    fuzz!("fuzz/cxl-emulated", "the same, on one whose Features can be set", CXL_EMULATED, "cxl_fwctl"),
    fuzz!("fuzz/mlx5", "the ioctls and commands of a ConnectX, fuzzed, on the emulated one", CONNECTX_LEAKS, "mlx5_fwctl"),
];
