// SPDX-License-Identifier: MIT OR Apache-2.0

//! All operations at once while devices come and go.

use super::{machine, Module, Selftest, Test, BASE};

/// Everything at once on the devices of some drivers.
macro_rules! storm {
    ($name:literal, $about:literal, $machine:ident, $($module:literal),+) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["storm.sh", $($module),+],
            needs: &[Selftest("fwctl_stress"), Module("fwctl"), $(Module($module)),+],
            limit: 300,
            is_slow: true,
            ..BASE
        }
    };
}

/// What happens all at once.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    storm!("storm/loopback", "both samples are used in every way while they come and go", PLAIN, "fwctl_loopback", "fwctl_loopback_c"),
    storm!("storm/cxl", "a memory device is used in every way while it, and its driver, come and go", CXL, "cxl_fwctl"),
    storm!("storm/memory", "the same, and it vanishes", CXL_EMULATED, "cxl_fwctl"),
    storm!("storm/mlx5", "a ConnectX is used in every way while it, and its driver, come and go, also by surprise", CONNECTX_FAULTS, "mlx5_fwctl"),
];
