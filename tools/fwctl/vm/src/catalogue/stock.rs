// SPDX-License-Identifier: MIT OR Apache-2.0

//! The packages on Debian's own kernel.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// A selftest on an emulated ConnectX behind an IOMMU whose groups are of the type `type`.
macro_rules! behind_iommu {
    ($name:literal, $about:literal, $machine:ident, $type:literal, $program:literal $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["mlx5-iommu.sh", $type, $program $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest($program), Module("mlx5_core"), Module("mlx5_fwctl")],
            limit: 400,
            ..BASE
        }
    };
}

/// All of them.
pub(super) const TESTS: &[Test] = &[
    Test {
        name: "stock/connectx",
        about: "Debian's kernel: the modalias loads the signed driver, and the command reaches the firmware",
        machine: &machine::STOCK,
        script: &["stock-connectx.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "arm64/connectx",
        about: "Debian's arm64 kernel: the modalias loads the driver, and the command reaches the firmware",
        machine: &machine::ARM64_STOCK,
        script: &["stock-connectx.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        ..BASE
    },
    Test {
        name: "arm64/mlx5",
        about: "Debian's arm64 kernel: the selftest of the mlx5 driver, on the emulated ConnectX",
        machine: &machine::ARM64_STOCK,
        script: &["mlx5-selftest.sh", "rust", "mlx5"],
        reads: Reads::Tap,
        needs: &[Selftest("mlx5"), Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 600,
        ..BASE
    },
    Test {
        name: "stock/secure-boot",
        about: "Debian's kernel under Secure Boot: the same, with DKMS's key enrolled",
        machine: &machine::STOCK_SECURE,
        script: &["stock-connectx.sh", "secure"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "stock/mstflint",
        about: "Debian's kernel under Secure Boot: mstflint's query is complete and correct",
        machine: &machine::STOCK_SECURE,
        script: &["vendor-mstflint.sh"],
        needs: &[Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        ..BASE
    },
    Test {
        name: "stock/locked-down",
        about: "Debian's kernel, locked down: modules signed with a key that is not enrolled are rejected",
        machine: &machine::STOCK_LOCKED,
        script: &["stock-refused.sh"],
        needs: &[Module("fwctl"), Module("mlx5_core")],
        ..BASE
    },
    behind_iommu!(
        "stock/iommu-late",
        "behind an IOMMU, what a ConnectX writes too late reaches no memory",
        STOCK_IOMMU,
        "DMA",
        "mlx5_iommu"
    ),
    behind_iommu!(
        "stock/iommu-umem",
        "memory registered for the firmware, behind an IOMMU that translates",
        STOCK_IOMMU,
        "DMA",
        "mlx5_umem",
        // Time out as the case of silent firmware does.
        "-T",
        "umems_that_may_exist_stay",
        "-T",
        "keys_that_may_exist_keep_their_umem"
    ),
    behind_iommu!(
        "stock/iommu-pt-late",
        "with iommu=pt, what a ConnectX writes too late reaches memory",
        STOCK_IOMMU_PT,
        "identity",
        "mlx5_iommu"
    ),
    behind_iommu!(
        "stock/iommu-pt-umem",
        "memory registered for the firmware, with iommu=pt",
        STOCK_IOMMU_PT,
        "identity",
        "mlx5_umem",
        "-F",
        "mlx5_quarantine"
    ),
];
