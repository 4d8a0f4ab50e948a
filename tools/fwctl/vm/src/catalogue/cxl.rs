// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CXL driver, on all kinds of memory devices.

use super::{machine, Cli, Module, Reads, Selftest, Test, BASE};

/// All of them.
pub(super) const TESTS: &[Test] = &[
    Test {
        name: "emu/memory",
        about: "the emulated CXL memory device has a fwctl device and obeys `emu`",
        machine: &machine::CXL_EMULATED,
        script: &["emu-memory.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cxl/featureless",
        about: "a memory device without Features has no fwctl device, and works",
        machine: &machine::CXL_FEATURELESS,
        script: &["cxl-featureless.sh"],
        needs: &[Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cxl/selftest",
        about: "the CXL selftest on QEMU's type 3 device",
        machine: &machine::CXL,
        script: &["cxl-selftest.sh", "qemu"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl"),
            Module("fwctl"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        limit: 300,
        ..BASE
    },
    Test {
        name: "cxl/edac",
        about:
            "fwctl and the kernel's EDAC controls use the Features of QEMU's type 3 device at once",
        machine: &machine::CXL,
        script: &["cxl-selftest.sh", "qemu", "cxl_edac"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl_edac"),
            Module("cxl_pci"),
            Module("cxl_mem"),
            Module("cxl_fwctl"),
        ],
        limit: 300,
        ..BASE
    },
    Test {
        name: "cxl/unbind-rebind",
        about: "the fwctl device goes with its driver and comes back with it",
        machine: &machine::CXL,
        script: &["cxl-unbind-rebind.sh"],
        needs: &[Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cxl/hot-remove",
        about: "the memory device is removed while its fwctl device is open",
        machine: &machine::CXL,
        script: &["cxl-hot-remove.sh"],
        needs: &[Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cli/cxl",
        about: "the command on QEMU's CXL memory device: all that it prints",
        machine: &machine::CXL,
        script: &["cli.sh", "cli-cxl.session"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cli/cxl-test",
        about: "the command changes features of the kernel's mock devices: all that it prints",
        machine: &machine::CXL_TEST,
        script: &["cli.sh", "cli-cxl-test.session"],
        needs: &[
            Cli,
            Module("cxl_test"),
            Module("cxl_mock_mem"),
            Module("cxl_fwctl"),
        ],
        ..BASE
    },
    Test {
        name: "cli/memory",
        about: "the command on the emulated CXL memory device: all that it prints",
        machine: &machine::CXL_EMULATED,
        script: &["cli.sh", "cli-memory.session"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/two-devices",
        about: "two memory devices have a fwctl device each",
        machine: &machine::CXL2,
        script: &["cxl-two-devices.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cxl/cxl-test",
        about: "the CXL selftest on the kernel's mock devices",
        machine: &machine::CXL_TEST,
        script: &["cxl-selftest.sh", "cxl_test"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl"),
            Module("cxl_test"),
            Module("cxl_mock_mem"),
            Module("cxl_fwctl"),
        ],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/emulated",
        about: "the CXL selftest on the memory device of fwctl-emu",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-selftest.sh", "emulated"],
        reads: Reads::Tap,
        needs: &[Selftest("cxl"), Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/features",
        about: "Features of all effects in all scopes, values larger than the mailbox",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-selftest.sh", "emulated", "cxl_features"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl_features"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        limit: 300,
        ..BASE
    },
    Test {
        name: "cxl/values",
        about: "default, saved and current values over resets, by the tool",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-values.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/faults",
        about: "a memory device that refuses, is late, silent or wrong, and goes in the middle",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-selftest.sh", "emulated", "cxl_faults"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl_faults"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        limit: 600,
        ..BASE
    },
    Test {
        name: "cxl/other-mailboxes",
        about: "a memory device without Set Feature, and the smallest and largest mailboxes",
        machine: &machine::CXL_MAILBOXES,
        script: &["cxl-other-mailboxes.sh"],
        needs: &[
            Cli,
            Selftest("cxl_features"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        limit: 600,
        ..BASE
    },
    Test {
        name: "cxl/builtin",
        about: "FWCTL=y: the CXL selftest on QEMU's type 3 device",
        machine: &machine::BUILTIN_CXL,
        script: &["cxl-selftest.sh", "qemu"],
        reads: Reads::Tap,
        needs: &[Selftest("cxl"), Module("cxl_fwctl")],
        limit: 300,
        ..BASE
    },
];
