// SPDX-License-Identifier: MIT OR Apache-2.0

//! The vendors' tools, with and without lockdown.

use super::{machine, Cli, Module, Test, BASE};

/// A test of the vendors' tools: without lockdown and in its two modes.
macro_rules! with_vendor_tools {
    ($name:literal, $about:literal, [$script:literal $(, $unlocked:literal, $locked:literal)?], [$($need:expr),*]) => {
        [
            Test {
                name: concat!("vendor/", $name),
                about: $about,
                machine: &machine::VENDOR,
                script: &[$script $(, $unlocked)?],
                needs: &[Cli, $($need),*],
                limit: 300,
                ..BASE
            },
            Test {
                name: concat!("vendor/locked-", $name),
                about: concat!("under lockdown=integrity: ", $about),
                machine: &machine::LOCKED,
                script: &[$script $(, $locked)?],
                needs: &[Cli, $($need),*],
                limit: 300,
                ..BASE
            },
            Test {
                name: concat!("vendor/confidential-", $name),
                about: concat!("under lockdown=confidentiality: ", $about),
                machine: &machine::CONFIDENTIAL,
                script: &[$script $(, $locked)?],
                needs: &[Cli, $($need),*],
                limit: 300,
                ..BASE
            },
        ]
    };
}

/// The vendors' tools.
#[rustfmt::skip]
pub(super) const TESTS: &[[Test; 3]] = &[
    with_vendor_tools!("bypass", "access that bypasses the kernel's drivers works, or is denied", ["vendor-bypass.sh", "open", "closed"], [Module("mlx5_core"), Module("mlx5_fwctl"), Module("fwctl_loopback")]),
    with_vendor_tools!("mstflint", "mstflint's query is complete and correct", ["vendor-mstflint.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("mstfwctrl", "mstfwctrl names the device, its parent and its uid", ["vendor-mstfwctrl.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("mstreg", "mstreg lists, reads and writes registers", ["vendor-mstreg.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("mstconfig", "mstconfig shows, changes and resets the configuration", ["vendor-mstconfig.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("rawio", "mstflint's tools are refused without CAP_SYS_RAWIO", ["vendor-rawio.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("cxl", "libcxl finds the fwctl device of the memory device", ["vendor-cxl.sh"], [Module("cxl_pci"), Module("cxl_fwctl")]),
];
