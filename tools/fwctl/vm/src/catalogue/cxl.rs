// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CXL driver, on all kinds of memory devices.

use super::{machine, Cli, Example, Module, Reads, Selftest, Test, BASE};

/// All of them.
pub(super) const TESTS: &[Test] = &[
    Test {
        name: "emu/memory",
        about: "the emulated CXL memory device has a fwctl device and accepts the commands of `emu`",
        machine: &machine::CXL_EMULATED,
        script: &["emu-memory.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cxl/featureless",
        about: "a memory device without Features and vendor commands gets no fwctl device, and works",
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
            "fwctl and the kernel's EDAC controls use Features of QEMU's type 3 device concurrently",
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
        about: "the fwctl device is removed and added with its driver",
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
        about: "complete output of the command on QEMU's CXL memory device",
        machine: &machine::CXL,
        script: &["cli.sh", "cli-cxl.session"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        ..BASE
    },
    Test {
        name: "cli/cxl-test",
        about: "complete output of the command that changes Features of the kernel's mock devices",
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
        about: "complete output of the command on the emulated CXL memory device",
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
        name: "cxl/emulated-uring",
        about: "the same by io_uring",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-selftest.sh", "emulated+uring"],
        reads: Reads::Tap,
        needs: &[Selftest("cxl"), Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/features",
        about: "Features of all effects in all scopes; values larger than the mailbox",
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
        name: "cxl/commands",
        about: "commands of all effects in all scopes, their payloads, and commands that lie",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-selftest.sh", "emulated", "cxl_commands"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl_commands"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/switch",
        about: "the mailbox of a switch: its commands, its ports, and tunnels to a device behind it",
        machine: &machine::CXL_SWITCH,
        script: &["cxl-switch.sh"],
        reads: Reads::Tap,
        needs: &[
            Selftest("cxl_switch"),
            Module("cxl_pci"),
            Module("cxl_switch"),
            Module("cxl_fwctl"),
        ],
        ..BASE
    },
    Test {
        name: "cxl/switch-unbind",
        about: "the fwctl device of a switch goes with its drivers and with the PCI function",
        machine: &machine::CXL_SWITCH,
        script: &["cxl-switch-unbind.sh"],
        needs: &[
            Module("cxl_pci"),
            Module("cxl_switch"),
            Module("cxl_fwctl"),
        ],
        ..BASE
    },
    Test {
        name: "cli/cxl-switch",
        about: "complete output of the command on a switch",
        machine: &machine::CXL_SWITCH,
        script: &["cli.sh", "cli-cxl-switch.session"],
        needs: &[
            Cli,
            Module("cxl_pci"),
            Module("cxl_switch"),
            Module("cxl_fwctl"),
        ],
        ..BASE
    },
    Test {
        name: "cxl/all-effects",
        about: "the same with a command for every combination of effects, on a device without Features",
        machine: &machine::CXL_COMMANDS,
        script: &["cxl-all-effects.sh"],
        reads: Reads::Tap,
        needs: &[
            Cli,
            Selftest("cxl_commands"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        limit: 600,
        ..BASE
    },
    Test {
        name: "cli/cxl-commands",
        about: "complete output of the command that lists and sends commands of the emulated CXL memory device",
        machine: &machine::CXL_EMULATED,
        script: &["cli.sh", "cli-cxl-commands.session"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/examples",
        about: "the examples of the C API list the commands of the device, and read what the command reads",
        machine: &machine::CXL_EMULATED,
        script: &["examples.sh", "cxl"],
        needs: &[
            Cli,
            Example("commands"),
            Example("snapshot"),
            Module("cxl_pci"),
            Module("cxl_fwctl"),
        ],
        ..BASE
    },
    Test {
        name: "cxl/values",
        about: "default, saved and current values across resets, read by the command",
        machine: &machine::CXL_EMULATED,
        script: &["cxl-values.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cxl/faults",
        about: "a memory device that rejects, delays, drops or garbles commands, and is removed meanwhile",
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
