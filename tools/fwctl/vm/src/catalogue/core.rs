// SPDX-License-Identifier: MIT OR Apache-2.0

//! The core: lifetime, module loading, tracing, drivers in C.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// A selftest that loads its own drivers.
macro_rules! with_test_driver {
    ($name:literal, $about:literal, $machine:ident, $module:literal, $program:literal $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["lifetime.sh", $program $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest($program), Module("fwctl"), Module($module)],
            limit: 600,
            ..BASE
        }
    };
}

/// A seeded bug of a C driver, on one of the two cores.
macro_rules! seeded {
    ($name:literal, $about:literal, $core:literal, $case:literal, $report:literal) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::SEEDED,
            script: &["seeded.sh", $core, $case, $report],
            needs: &[
                Selftest("fwctl_careless"),
                Module("fwctl"),
                Module("fwctl_careless_c"),
            ],
            // lockdep is disabled after its first report.
            wants_fresh: true,
            tolerates: &[$report],
            ..BASE
        }
    };
}

/// All of them; the first are of drivers that misuse the API.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    with_test_driver!("core/lifetime", "a Rust driver cannot keep its registration alive beyond unbind", PLAIN, "fwctl_lifetime", "fwctl_lifetime", "-T", "driver_is_forgotten"),
    with_test_driver!("core/lifetime-leaks", "the same, and nothing leaks", PLAIN_LEAKS, "fwctl_lifetime", "fwctl_lifetime", "-T", "driver_is_forgotten"),
    Test {
        // The script expects these leaks. On the debug kernel, kmemleak also reports them in the kernel log.
        tolerates: &["kmemleak: "],
        ..with_test_driver!("core/lifetime-forgotten", "unload a Rust module that leaked its driver and its devices", FORGETFUL, "fwctl_lifetime", "fwctl_lifetime", "-t", "driver_is_forgotten")
    },
    with_test_driver!("core/careless", "the core handles misuse by a C driver", PLAIN, "fwctl_careless_c", "fwctl_careless", "-T", "overread", "-T", "deadlock"),
    seeded!("core/deadlock-ours", "lockdep reports a mutex that is held over unregistration and taken by RPCs, on our core", "ours", "deadlock", "possible circular locking dependency detected"),
    seeded!("core/deadlock-mainline", "the same on mainline's core", "mainline", "deadlock", "possible circular locking dependency detected"),
    Test {
        name: "core/load-unload",
        about: "load and unload 50 times, and with a file open",
        script: &["load-unload.sh"],
        needs: &[
            Module("fwctl"),
            Module("fwctl_loopback"),
            Module("fwctl_loopback_c"),
        ],
        ..BASE
    },
    Test {
        name: "core/trace-events",
        about: "an RPC emits two trace events with its caller and parameters",
        script: &["trace-events.sh"],
        needs: &[Cli, Module("fwctl"), Module("fwctl_loopback")],
        ..BASE
    },
    Test {
        name: "cli/loopback",
        about: "complete output of the command on the loopback in Rust",
        script: &["cli.sh", "cli-loopback.session"],
        needs: &[Cli, Module("fwctl"), Module("fwctl_loopback")],
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "c-api/bnxt",
        about: "mainline's C driver for Broadcom loads on our core",
        script: &["c-driver.sh", "bnxt_fwctl"],
        needs: &[Module("fwctl"), Module("bnxt_fwctl")],
        ..BASE
    },
    Test {
        name: "c-api/pds",
        about: "mainline's C driver for AMD Pensando loads on our core",
        machine: &machine::MAINLINE,
        script: &["c-driver.sh", "pds_fwctl"],
        needs: &[Module("fwctl"), Module("pds_fwctl")],
        ..BASE
    },
    Test {
        name: "c-api/mlx5",
        about: "mainline's C driver for NVIDIA ConnectX loads on our core",
        machine: &machine::MAINLINE,
        script: &["c-driver.sh", "mlx5_fwctl"],
        needs: &[Module("fwctl"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "core/suspend",
        about: "the machine suspends to RAM with files open and RPCs in flight",
        machine: &machine::ASLEEP,
        script: &["suspend.sh"],
        needs: &[
            Cli,
            Selftest("fwctl_hold"),
            Selftest("mlx5_load"),
            Module("fwctl_loopback"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
            Module("mlx5_core"),
            Module("mlx5_fwctl"),
        ],
        limit: 300,
        ..BASE
    },
    super::loopback::NUMBERS,
    Test {
        name: "core/kunit",
        about: "the KUnit suites of the core and its drivers",
        machine: &machine::KUNIT,
        script: &["kunit.sh", "cxl_fwctl", "mlx5_fwctl", "pds_fwctl", "fwctl"],
        reads: Reads::Kunit,
        needs: &[Module("fwctl"), Module("cxl_fwctl"), Module("mlx5_fwctl"), Module("pds_fwctl")],
        ..BASE
    },
];
