// SPDX-License-Identifier: MIT OR Apache-2.0

//! The package on the other flavours of Debian's kernel: generic selftests on both loopbacks, and
//! the ConnectX.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// A selftest program on a loopback device of the flavour's machine.
macro_rules! on_loopback {
    ($machine:ident, $flavour:literal, $what:literal, $driver:literal, $module:literal, $program:literal) => {
        Test {
            name: concat!("flavours/", $flavour, "-", $what, "-", $driver),
            about: concat!(
                "Debian's ",
                $flavour,
                " kernel: ",
                $program,
                " on the loopback, driver ",
                $driver
            ),
            machine: &machine::$machine,
            script: &["selftest.sh", $driver, $program],
            reads: Reads::Tap,
            needs: &[Selftest($program), Module("fwctl"), Module($module)],
            limit: 600,
            wants_fresh: matches!($program.as_bytes(), b"fwctl"),
            ..BASE
        }
    };
}

/// What each flavour has.
macro_rules! loopbacks {
    ($machine:ident, $flavour:literal) => {
        &[
            on_loopback!($machine, $flavour, "abi", "rust", "fwctl_loopback", "fwctl"),
            on_loopback!(
                $machine,
                $flavour,
                "rpc",
                "rust",
                "fwctl_loopback",
                "fwctl_rpc"
            ),
            on_loopback!(
                $machine,
                $flavour,
                "files",
                "rust",
                "fwctl_loopback",
                "fwctl_files"
            ),
            on_loopback!(
                $machine,
                $flavour,
                "teardown",
                "rust",
                "fwctl_loopback",
                "fwctl_teardown"
            ),
            on_loopback!($machine, $flavour, "abi", "c", "fwctl_loopback_c", "fwctl"),
        ]
    };
}

/// What those with an emulated ConnectX have in addition.
macro_rules! connectx {
    ($machine:ident, $flavour:literal) => {
        &[
            Test {
                name: concat!("flavours/", $flavour, "-connectx"),
                about: concat!(
                    "Debian's ",
                    $flavour,
                    " kernel: the modalias loads the driver, the card answers"
                ),
                machine: &machine::$machine,
                script: &["stock-connectx.sh"],
                needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
                limit: 300,
                ..BASE
            },
            Test {
                name: concat!("flavours/", $flavour, "-mlx5"),
                about: concat!(
                    "Debian's ",
                    $flavour,
                    " kernel: the selftest of the mlx5 driver"
                ),
                machine: &machine::$machine,
                script: &["mlx5-selftest.sh", "rust", "mlx5"],
                reads: Reads::Tap,
                needs: &[Selftest("mlx5"), Module("mlx5_core"), Module("mlx5_fwctl")],
                limit: 900,
                ..BASE
            },
        ]
    };
}

/// All of them.
pub(super) const TESTS: &[&[Test]] = &[
    loopbacks!(STOCK_RT, "rt-amd64"),
    connectx!(STOCK_RT, "rt-amd64"),
    loopbacks!(STOCK_CLOUD, "cloud-amd64"),
    connectx!(STOCK_CLOUD, "cloud-amd64"),
    loopbacks!(ARM64_RT, "rt-arm64"),
    connectx!(ARM64_RT, "rt-arm64"),
    loopbacks!(ARM64_CLOUD, "cloud-arm64"),
    connectx!(ARM64_CLOUD, "cloud-arm64"),
    loopbacks!(ARM64_16K, "arm64-16k"),
];
