// SPDX-License-Identifier: MIT OR Apache-2.0

//! All operations at once while devices come and go.

use super::{machine, Module, Selftest, Test, BASE};

/// All operations at once on the devices of some drivers.
macro_rules! storm {
    ($name:literal, $about:literal, $machine:ident, $($module:literal),+) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["storm.sh", $($module),+],
            needs: &[Selftest("fwctl_stress"), Module("fwctl"), $(Module($module)),+],
            limit: 300,
            ..BASE
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    storm!("storm/loopback", "both loopbacks: all operations while modules are loaded and unloaded", PLAIN, "fwctl_loopback", "fwctl_loopback_c"),
    Test {
        name: "storm/async",
        about: "the asynchronous loopback: the same, with RPCs that are never answered",
        machine: &machine::PLAIN,
        script: &["storm.sh", "async", "fwctl_loopback"],
        needs: &[Selftest("fwctl_stress"), Module("fwctl"), Module("fwctl_loopback")],
        limit: 300,
        ..BASE
    },
    storm!("storm/cxl", "a memory device: all operations while it and its driver are removed and added", CXL, "cxl_fwctl"),
    storm!("storm/memory", "the same, with surprise removal", CXL_EMULATED, "cxl_fwctl"),
    storm!("storm/pds", "a Pensando card: all operations while it and its driver are removed and added, also by surprise", PDS, "pds_fwctl"),
    storm!("storm/mlx5", "a ConnectX: all operations while it and its driver are removed and added, also by surprise", CONNECTX_FAULTS, "mlx5_fwctl"),
];
