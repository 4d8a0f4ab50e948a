// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mlx5 driver on the emulated ConnectX.

use super::{machine, Cli, Example, Module, Reads, Selftest, Test, BASE};

/// The ConnectX is removed in one way, and comes back, while RPCs are in flight.
macro_rules! under_load {
    ($name:literal, $about:literal, $machine:ident $(, $what:literal)+) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["mlx5-under-load.sh" $(, $what)+],
            needs: &[Selftest("mlx5_load"), Module("mlx5_core"), Module("mlx5_fwctl")],
            limit: 300,
            ..BASE
        }
    };
}

/// A selftest on the emulated ConnectX; `driver` is "rust" for ours or "c" for mainline's.
macro_rules! on_connectx {
    ($name:literal, $about:literal, $machine:ident, $driver:literal, $program:literal) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["mlx5-selftest.sh", $driver, $program],
            reads: Reads::Tap,
            needs: &[
                Selftest($program),
                Module("mlx5_core"),
                Module("mlx5_fwctl"),
            ],
            limit: 400,
            ..BASE
        }
    };
}

/// The mlx5 driver on the emulated ConnectX.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    on_connectx!("mlx5/selftest", "the mlx5 selftest on the emulated ConnectX", CONNECTX, "rust", "mlx5"),
    on_connectx!("mlx5/selftest-c", "the same with mainline's C driver, on our core", CONNECTX_MAINLINE, "c", "mlx5"),
    on_connectx!("mlx5/selftest-uring", "the mlx5 selftest by io_uring", CONNECTX, "rust+uring", "mlx5"),
    on_connectx!("mlx5/selftest-c-uring", "the same with mainline's C driver, on our core", CONNECTX_MAINLINE, "c+uring", "mlx5"),
    Test {
        limit: 600,
        ..on_connectx!("mlx5/faults", "commands that fail, are late, never complete or return garbage", CONNECTX_FAULTS, "rust", "mlx5_faults")
    },
    Test {
        limit: 600,
        ..on_connectx!("mlx5/faults-c", "the same with mainline's C driver, on our core", CONNECTX_MAINLINE, "c", "mlx5_faults")
    },
    on_connectx!("mlx5/umem", "memory registered for the firmware, and what becomes of it if the firmware is silent", CONNECTX_FAULTS, "rust", "mlx5_umem"),
    on_connectx!("mlx5/umem-bounce", "with bounce buffers, memory of programs is refused, and memory of the kernel works", CONNECTX_BOUNCE, "rust", "mlx5_umem"),
    Test {
        name: "mlx5/timeout",
        about: "fwctl --timeout ends in time, although the firmware is silent and the driver waits",
        machine: &machine::CONNECTX,
        script: &["mlx5-timeout.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 200,
        ..BASE
    },
    under_load!("mlx5/unbind", "the fwctl driver is unbound while RPCs are in flight", CONNECTX_FAULTS, "unbind"),
    under_load!("mlx5/unload", "mlx5_fwctl is unloaded while RPCs are in flight", CONNECTX_FAULTS, "unload"),
    under_load!("mlx5/core-unbind", "mlx5_core is unbound while RPCs are in flight", CONNECTX_FAULTS, "core-unbind"),
    under_load!("mlx5/remove", "the function is removed while RPCs are in flight", CONNECTX_FAULTS, "remove"),
    Test {
        needs: &[Selftest("mlx5_load"), Selftest("devlink_reload"), Module("mlx5_core"), Module("mlx5_fwctl")],
        ..under_load!("mlx5/reload", "devlink reloads the driver while RPCs are in flight", CONNECTX_FAULTS, "reload")
    },
    Test {
        name: "mlx5/function-reset",
        about: "function-level reset between unbind and bind, with an open file",
        machine: &machine::CONNECTX_FAULTS,
        script: &["mlx5-function-reset.sh"],
        needs: &[Cli, Selftest("fwctl_hold"), Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 100,
        ..BASE
    },
    under_load!("mlx5/vanish", "the card is removed by surprise during an RPC", CONNECTX_FAULTS, "vanish"),
    under_load!("mlx5/stall", "the same after a command has timed out, and keeps its slot", CONNECTX_FAULTS, "stall"),
    under_load!("mlx5/health", "the card reports fatal health during an RPC", CONNECTX, "health"),
    Test {
        limit: 600,
        ..under_load!("mlx5/leaks", "kmemleak finds nothing after most of these", CONNECTX_LEAKS, "unbind", "unload", "core-unbind", "remove", "vanish")
    },
    Test {
        name: "mlx5/memory",
        about: "dumps by way of registered memory are the same as inline, and faster",
        machine: &machine::CONNECTX,
        script: &["mlx5-memory.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        ..BASE
    },
    Test {
        name: "mlx5/memory-bounce",
        about: "the same where memory of programs would need bounce buffers",
        machine: &machine::CONNECTX_BOUNCE,
        script: &["mlx5-memory.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        ..BASE
    },
    Test {
        name: "mlx5/examples",
        about: "the examples of the C API read temperatures, dump by way of memory, and read what the command reads",
        machine: &machine::CONNECTX,
        script: &["examples.sh", "connectx"],
        needs: &[
            Cli,
            Example("registers"),
            Example("dump"),
            Example("snapshot"),
            Module("mlx5_core"),
            Module("mlx5_fwctl"),
        ],
        ..BASE
    },
    Test {
        name: "mlx5/mstflint-register",
        about: "memory is registered by the calls of mstflint, byte for byte",
        machine: &machine::CONNECTX,
        script: &["mlx5-mstflint-umem.sh", "register"],
        needs: &[Selftest("mstflint-umem"), Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "mlx5/mstflint-burn",
        about: "a component is burnt and read back by the calls of mstflint, byte for byte",
        machine: &machine::CONNECTX,
        script: &["mlx5-mstflint-umem.sh", "burn"],
        needs: &[Selftest("mstflint-umem"), Module("mlx5_core"), Module("mlx5_fwctl")],
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "emu/connectx",
        about: "the emulated ConnectX has a fwctl device and accepts the commands of `emu`",
        machine: &machine::CONNECTX,
        script: &["emu-connectx.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "emu/two-cards",
        about: "`emu` selects a card by name, and each card has a fwctl device",
        machine: &machine::CONNECTX2,
        script: &["emu-two-cards.sh"],
        needs: &[Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "cli/connectx",
        about: "complete output of the command on the emulated ConnectX",
        machine: &machine::CONNECTX,
        script: &["cli.sh", "cli-connectx.session"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        wants_fresh: true,
        ..BASE
    },
];
