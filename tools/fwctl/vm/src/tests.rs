// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tests that need a machine.
//!
//! A new one is an entry in a table here and, unless an existing script serves it, a script in
//! `guest/` with a line in [`SCRIPTS`].  What the scripts share is in `guest/lib.sh`.

use crate::artifacts::Need::{self, Cli, Fuzzer, Module, Selftest};
use crate::machine::{self, Machine};

/// How a test's result is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// From the exit status: 0 passed, 4 skipped (the last line says why), else failed.
    Exit,
    /// From TAP on standard output, one result per line.
    Tap,
    /// From KTAP in the kernel log, one result per line.
    Kunit,
}

/// A registered test.
pub struct Test {
    /// `group/test`.
    pub name: &'static str,
    /// One line for `fwctl-vm list`.
    pub about: &'static str,
    /// Where it runs.
    pub machine: &'static Machine,
    /// A script of [`SCRIPTS`], and its arguments.
    pub script: &'static [&'static str],
    /// How its result is read.
    pub reads: Reads,
    /// What must have been built.
    pub needs: &'static [Need],
    /// Time limit in seconds of the machine's own time, generous: it may be emulated.
    pub limit: u64,
    /// It takes a minute or more: `--quick` leaves it out.
    pub is_slow: bool,
    /// It wants a kernel that nobody has tainted yet, or a device as it was made.
    pub wants_fresh: bool,
    /// Kernel messages that contain one of these are what the test is about.
    pub tolerates: &'static [&'static str],
}

/// What most tests have in common.
const BASE: Test = Test {
    name: "",
    about: "",
    machine: &machine::PLAIN,
    script: &[],
    reads: Reads::Exit,
    needs: &[],
    limit: 120,
    is_slow: false,
    wants_fresh: false,
    tolerates: &[],
};

/// A kselftest program on a loopback sample: `driver` is "rust" or "c".
macro_rules! on_loopback {
    ($name:literal, $about:literal, $machine:ident, $driver:literal, $module:literal, $program:literal
     $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["selftest.sh", $driver, $program $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest($program), Module("fwctl"), Module($module)],
            limit: 300,
            wants_fresh: matches!($program.as_bytes(), b"fwctl" | b"fwctl_32"),
            tolerates: match $program.as_bytes() {
                b"fwctl_fail_nth" => &["vmalloc error: "],
                _ => &[],
            },
            ..BASE
        }
    };
}

/// The same program on both samples, and as a 32-bit program where there is one.
#[rustfmt::skip]
const LOOPBACK: &[Test] = &[
    on_loopback!("core/selftest-rust", "the ABI, on the Rust loopback sample", PLAIN, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("core/selftest-rpc-rust", "FWCTL_RPC, on the Rust sample", PLAIN, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("core/selftest-files-rust", "open files, on the Rust sample", PLAIN, "rust", "fwctl_loopback", "fwctl_files"),
    on_loopback!("core/selftest-teardown-rust", "devices that go, on the Rust sample", PLAIN, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("core/selftest-userfault-rust", "user memory that nobody serves, on the Rust sample", PLAIN, "rust", "fwctl_loopback", "fwctl_userfault"),
    on_loopback!("core/selftest-modules-rust", "modules that go, on the Rust sample", PLAIN, "rust", "fwctl_loopback", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_loopback!("core/selftest-fail-nth-rust", "memory runs out at every point, on the Rust sample", PLAIN, "rust", "fwctl_loopback", "fwctl_fail_nth"),
    on_loopback!("core/selftest-c", "the ABI, on the sample's C twin, through the C door", PLAIN, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("core/selftest-rpc-c", "FWCTL_RPC, on the C twin", PLAIN, "c", "fwctl_loopback_c", "fwctl_rpc"),
    on_loopback!("core/selftest-files-c", "open files, on the C twin", PLAIN, "c", "fwctl_loopback_c", "fwctl_files"),
    on_loopback!("core/selftest-teardown-c", "devices that go, on the C twin", PLAIN, "c", "fwctl_loopback_c", "fwctl_teardown"),
    on_loopback!("core/selftest-userfault-c", "user memory that nobody serves, on the C twin", PLAIN, "c", "fwctl_loopback_c", "fwctl_userfault"),
    on_loopback!("core/selftest-modules-c", "modules that go, on the C twin", PLAIN, "c", "fwctl_loopback_c", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_loopback!("core/selftest-fail-nth-c", "memory runs out at every point, on the C twin", PLAIN, "c", "fwctl_loopback_c", "fwctl_fail_nth"),
    on_loopback!("core/selftest-32bit", "the ABI, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_32"),
    on_loopback!("core/selftest-rpc-32bit", "FWCTL_RPC, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_rpc_32"),
    on_loopback!("core/selftest-files-32bit", "open files, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_files_32"),
    on_loopback!("core/builtin", "FWCTL=y: the ABI, on the Rust sample", BUILTIN, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("core/builtin-rpc", "FWCTL=y: FWCTL_RPC, on the Rust sample", BUILTIN, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("core/builtin-teardown", "FWCTL=y: devices that go, on the Rust sample", BUILTIN, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("core/builtin-c", "FWCTL=y: the ABI, on the C twin", BUILTIN, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("core/abstraction", "FWCTL=y: the ABI, on a driver of the kernel's own abstraction", BUILTIN, "abstraction", "fwctl_loopback_kernel", "fwctl"),
    on_loopback!("core/abstraction-rpc", "FWCTL=y: FWCTL_RPC, on that driver", BUILTIN, "abstraction", "fwctl_loopback_kernel", "fwctl_rpc"),
    on_loopback!("core/abstraction-teardown", "FWCTL=y: devices that go, on that driver", BUILTIN, "abstraction", "fwctl_loopback_kernel", "fwctl_teardown"),
    on_loopback!("stock/selftest-rust", "Debian's kernel: the ABI, on the Rust sample", STOCK, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("stock/selftest-rpc-rust", "Debian's kernel: FWCTL_RPC, on the Rust sample", STOCK, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("stock/selftest-files-rust", "Debian's kernel: open files, on the Rust sample", STOCK, "rust", "fwctl_loopback", "fwctl_files"),
    on_loopback!("stock/selftest-teardown-rust", "Debian's kernel: devices that go, on the Rust sample", STOCK, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("stock/selftest-modules-rust", "Debian's kernel: modules that go, on the Rust sample", STOCK, "rust", "fwctl_loopback", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_loopback!("stock/selftest-c", "Debian's kernel: the ABI, on the C twin, through the C door", STOCK, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("stock/selftest-secure", "Debian's kernel under Secure Boot: the ABI, on the Rust sample", STOCK_SECURE, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("stock/selftest-32bit", "Debian's kernel: the ABI, for a 32-bit program", STOCK, "rust", "fwctl_loopback", "fwctl_32"),
];

/// Apart from the rest of its program, as it takes a minute.
const SLOW: Test = Test {
    limit: 600,
    is_slow: true,
    wants_fresh: true,
    ..on_loopback!(
        "core/selftest-numbers",
        "all 4096 device numbers are taken, on the Rust sample",
        PLAIN,
        "rust",
        "fwctl_loopback",
        "fwctl_modules",
        "-t",
        "all_numbers_are_taken"
    )
};

/// A test with the vendors' own tools, and the same again on the machines that are locked down.
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

/// The vendors' own tools.
#[rustfmt::skip]
const VENDOR: &[[Test; 3]] = &[
    with_vendor_tools!("doors", "the ways past the kernel's drivers are open, or closed", ["vendor-doors.sh", "open", "closed"], [Module("mlx5_core"), Module("mlx5_fwctl"), Module("fwctl_loopback")]),
    with_vendor_tools!("mstflint", "mstflint's query is complete and true", ["vendor-mstflint.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("mstfwctrl", "mstfwctrl names the device, its parent and its uid", ["vendor-mstfwctrl.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("mstreg", "mstreg lists, reads and writes registers", ["vendor-mstreg.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("mstconfig", "mstconfig shows, changes and resets the configuration", ["vendor-mstconfig.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("rawio", "mstflint's tools are refused without CAP_SYS_RAWIO", ["vendor-rawio.sh"], [Module("mlx5_core"), Module("mlx5_fwctl")]),
    with_vendor_tools!("cxl", "libcxl finds the fwctl device of the memory device", ["vendor-cxl.sh"], [Module("cxl_pci"), Module("cxl_fwctl")]),
];

/// The ConnectX goes and comes back while it is in use, in one way.
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

/// A selftest on the emulated ConnectX: `driver` is "rust" for ours, or "c" for mainline's.
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
const MLX5: &[Test] = &[
    on_connectx!("mlx5/selftest", "the mlx5 selftest on the emulated ConnectX", CONNECTX, "rust", "mlx5"),
    on_connectx!("mlx5/selftest-c", "the same with mainline's C driver, on our core", CONNECTX_MAINLINE, "c", "mlx5"),
    Test {
        limit: 600,
        is_slow: true,
        ..on_connectx!("mlx5/faults", "commands that fail, come late or never, or are noise", CONNECTX_FAULTS, "rust", "mlx5_faults")
    },
    Test {
        limit: 600,
        is_slow: true,
        ..on_connectx!("mlx5/faults-c", "the same with mainline's C driver, on our core", CONNECTX_MAINLINE, "c", "mlx5_faults")
    },
    under_load!("mlx5/unbind", "the fwctl driver is unbound while RPCs are under way", CONNECTX_FAULTS, "unbind"),
    under_load!("mlx5/unload", "mlx5_fwctl is unloaded while RPCs are under way", CONNECTX_FAULTS, "unload"),
    under_load!("mlx5/core-unbind", "mlx5_core is unbound while RPCs are under way", CONNECTX_FAULTS, "core-unbind"),
    under_load!("mlx5/remove", "the function is removed while RPCs are under way", CONNECTX_FAULTS, "remove"),
    under_load!("mlx5/vanish", "the card is pulled out in the middle of an RPC", CONNECTX_FAULTS, "vanish"),
    Test {
        needs: &[Selftest("mlx5_load"), Selftest("devlink_reload"), Module("mlx5_core"), Module("mlx5_fwctl")],
        ..under_load!("mlx5/reload", "devlink reloads the driver while RPCs are in flight", CONNECTX_FAULTS, "reload")
    },
    Test {
        name: "mlx5/function-reset",
        about: "a function-level reset between unbind and bind, with a file open",
        machine: &machine::CONNECTX_FAULTS,
        script: &["mlx5-function-reset.sh"],
        needs: &[Cli, Selftest("fwctl_hold"), Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 100,
        ..BASE
    },
    under_load!("mlx5/health", "the card reports fatal health in the middle of an RPC", CONNECTX_FAULTS, "health"),
    Test {
        limit: 600,
        is_slow: true,
        ..under_load!("mlx5/leaks", "kmemleak finds nothing after most of that", CONNECTX_LEAKS, "unbind", "unload", "core-unbind", "remove", "vanish")
    },
];

/// A selftest that loads its drivers itself.
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
            // The first report of lockdep is its last.
            wants_fresh: true,
            tolerates: &[$report],
            ..BASE
        }
    };
}

/// Drivers that do what they should not.
#[rustfmt::skip]
const TEST_DRIVERS: &[Test] = &[
    with_test_driver!("core/lifetime", "the registration of a Rust driver ends in time, whatever that does with it", PLAIN, "fwctl_lifetime", "fwctl_lifetime", "-T", "driver_is_forgotten"),
    with_test_driver!("core/lifetime-leaks", "the same, and nothing is leaked", PLAIN_LEAKS, "fwctl_lifetime", "fwctl_lifetime", "-T", "driver_is_forgotten"),
    with_test_driver!("core/lifetime-forgotten", "a Rust module is unloaded that has forgotten its driver and its devices", FORGETFUL, "fwctl_lifetime", "fwctl_lifetime", "-t", "driver_is_forgotten"),
    with_test_driver!("core/careless", "what a C driver can leave to the core", PLAIN, "fwctl_careless_c", "fwctl_careless", "-T", "overread", "-T", "deadlock"),
    seeded!("core/deadlock-ours", "lockdep reports a mutex that RPCs take and unregistration is called with, on our core", "ours", "deadlock", "possible circular locking dependency detected"),
    seeded!("core/deadlock-mainline", "the same on mainline's core", "mainline", "deadlock", "possible circular locking dependency detected"),
];

/// All other tests, in the order in which they run on a machine.
const OTHERS: &[Test] = &[
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
        about: "an RPC leaves two trace events that say who asked what",
        script: &["trace-events.sh"],
        needs: &[Cli, Module("fwctl"), Module("fwctl_loopback")],
        ..BASE
    },
    Test {
        name: "cli/loopback",
        about: "the command on the loopback sample: all that it prints",
        script: &["cli.sh", "cli-loopback.session"],
        needs: &[Cli, Module("fwctl"), Module("fwctl_loopback")],
        wants_fresh: true,
        ..BASE
    },
    Test {
        name: "cdoor/bnxt",
        about: "mainline's C driver for Broadcom loads on our core",
        script: &["cdoor.sh", "bnxt_fwctl"],
        needs: &[Module("fwctl"), Module("bnxt_fwctl")],
        ..BASE
    },
    Test {
        name: "cdoor/pds",
        about: "mainline's C driver for AMD Pensando loads on our core",
        script: &["cdoor.sh", "pds_fwctl"],
        needs: &[Module("fwctl"), Module("pds_fwctl")],
        ..BASE
    },
    Test {
        name: "cdoor/mlx5",
        about: "mainline's C driver for NVIDIA ConnectX loads on our core",
        machine: &machine::MAINLINE,
        script: &["cdoor.sh", "mlx5_fwctl"],
        needs: &[Module("fwctl"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "emu/connectx",
        about: "the emulated ConnectX has a fwctl device and obeys `emu`",
        machine: &machine::CONNECTX,
        script: &["emu-connectx.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    SLOW,
    Test {
        name: "emu/two-cards",
        about: "`emu` speaks to the card that it names, and each card has a fwctl device",
        machine: &machine::CONNECTX2,
        script: &["emu-two-cards.sh"],
        needs: &[Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
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
        name: "core/kunit",
        about: "the KUnit suites of the core and its drivers",
        machine: &machine::KUNIT,
        script: &["kunit.sh", "cxl_fwctl", "mlx5_fwctl", "fwctl"],
        reads: Reads::Kunit,
        needs: &[Module("fwctl"), Module("cxl_fwctl"), Module("mlx5_fwctl")],
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
        about: "fwctl and the kernel's EDAC controls use the Features of QEMU's type 3 device at once",
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
        name: "cli/connectx",
        about: "the command on the emulated ConnectX: all that it prints",
        machine: &machine::CONNECTX,
        script: &["cli.sh", "cli-connectx.session"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        wants_fresh: true,
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
    Test {
        name: "stock/connectx",
        about: "Debian's kernel: the card's modalias loads the signed driver, and the tool speaks to its firmware",
        machine: &machine::STOCK,
        script: &["stock-connectx.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "stock/secure-boot",
        about: "Debian's kernel under Secure Boot: the same, locked down, with DKMS's key enrolled",
        machine: &machine::STOCK_SECURE,
        script: &["stock-connectx.sh", "secure"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        ..BASE
    },
    Test {
        name: "stock/mstflint",
        about: "Debian's kernel under Secure Boot: mstflint's query is complete and true",
        machine: &machine::STOCK_SECURE,
        script: &["vendor-mstflint.sh"],
        needs: &[Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 300,
        ..BASE
    },
    Test {
        name: "stock/locked-down",
        about: "Debian's kernel, locked down: it refuses modules of a key that is not enrolled",
        machine: &machine::STOCK_LOCKED,
        script: &["stock-refused.sh"],
        needs: &[Module("fwctl"), Module("mlx5_core")],
        ..BASE
    },
];

/// Fault injection in all that makes, uses and ends the device of a driver, and no leak afterwards.  `first` is the first step
/// of loading that fails where not each does: each driver has another one, as most steps are the same.
macro_rules! faults {
    ($name:literal, $about:literal, $machine:ident, $module:literal, $first:literal $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["faults.sh", $module, $first $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest("fwctl_fail_drivers"), Module("fwctl"), Module($module)],
            limit: 1200,
            is_slow: true,
            // What the kernel says of its own accord if there is no memory: for the trace events of a module, and for a module.
            tolerates: &["event_define_fields", "vmalloc error: "],
            ..BASE
        }
    };
}

/// What fails, one step after the other.
#[rustfmt::skip]
const FAULTS: &[Test] = &[
    faults!("faults/driver-rust", "each step of the core and the Rust sample fails once", PLAIN_LEAKS, "fwctl_loopback", "1"),
    faults!("faults/driver-c", "each step of the C twin fails once", PLAIN_LEAKS, "fwctl_loopback_c", "3", "-T", "load_the_core"),
    faults!("faults/driver-cxl", "each step of the CXL driver fails once", CXL_LEAKS, "cxl_fwctl", "5", "-T", "load_the_core"),
    faults!("faults/driver-mlx5", "each step of the ConnectX driver fails once", CONNECTX_LEAKS, "mlx5_fwctl", "7", "-T", "load_the_core"),
    Test {
        name: "faults/commands-mlx5",
        about: "each command of a probe of mlx5_core, and of a call, goes wrong",
        machine: &machine::CONNECTX_FAULTS,
        script: &["commands-mlx5.sh"],
        needs: &[Cli, Module("mlx5_core"), Module("mlx5_fwctl")],
        limit: 1800,
        is_slow: true,
        // mlx5_core, when a probe has failed, does not always wait for all of its pages; the script looks that none is left. What
        // it forgets the script knows as well.
        tolerates: &["mlx5_reclaim_startup_pages", "kmemleak: "],
        ..BASE
    },
    Test {
        name: "faults/commands-cxl",
        about: "each command of a probe of cxl_pci, and of a call, goes wrong",
        machine: &machine::CXL_EMULATED,
        script: &["commands-cxl.sh"],
        needs: &[Cli, Module("cxl_pci"), Module("cxl_fwctl")],
        limit: 1800,
        is_slow: true,
        ..BASE
    },
];

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

/// What is to notice mistakes is on: a checker that is off is as silent as one that finds nothing.
const CHECKERS: &[Test] = &[
    Test {
        name: "debug/seeded-bugs",
        about: "KASAN, UBSAN, lockdep and the others notice mistakes, also those made in Rust",
        machine: &machine::SEEDED_BUGS,
        script: &["seeded-bugs.sh", "debug"],
        reads: Reads::Tap,
        needs: &[
            Selftest("fwctl_careless"),
            Module("fwctl"),
            Module("fwctl_careless_c"),
        ],
        limit: 300,
        tolerates: &[
            "[fwctl_careless_c]",
            "[seeded_c]",
            "seeded_c.c:",
            "[seeded_rust]",
            "seeded_rust.rs:",
            "possible circular locking dependency detected",
            "ODEBUG: free active",
            "WARNING: at debug_print_object+",
            "BUG kmalloc-64 ",
            "WARNING: at object_err+",
            "kmemleak: ",
            "INFO: task insmod:",
            "BUG: soft lockup - CPU#",
            "rcu: INFO: rcu_",
            // A panic of Rust ends here.
            "kernel BUG at ",
            "Oops: invalid opcode",
        ],
        ..BASE
    },
    Test {
        name: "kcsan/seeded-bugs",
        about: "KCSAN notices a race, also one in Rust",
        machine: &machine::RACES,
        script: &["seeded-bugs.sh", "kcsan"],
        reads: Reads::Tap,
        tolerates: &["[seeded_race]", "[seeded_race_rust]"],
        ..BASE
    },
];

/// What happens all at once.
#[rustfmt::skip]
const STORMS: &[Test] = &[
    storm!("storm/loopback", "both samples are used in every way while they come and go", PLAIN, "fwctl_loopback", "fwctl_loopback_c"),
    storm!("storm/cxl", "a memory device is used in every way while it, and its driver, come and go", CXL, "cxl_fwctl"),
    storm!("storm/memory", "the same, and it vanishes", CXL_EMULATED, "cxl_fwctl"),
    storm!("storm/mlx5", "a ConnectX is used in every way while it, and its driver, come and go, also by surprise", CONNECTX_FAULTS, "mlx5_fwctl"),
];

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
const FUZZING: &[Test] = &[
    fuzz!("fuzz/loopback-rust", "the ioctls, fuzzed, on the Rust loopback sample", PLAIN_LEAKS, "fwctl_loopback"),
    fuzz!("fuzz/loopback-c", "the ioctls, fuzzed, on the C twin, through the C door", PLAIN_LEAKS, "fwctl_loopback_c"),
    fuzz!("fuzz/cxl", "the ioctls and CXL Features, fuzzed, on QEMU's memory device", CXL_LEAKS, "cxl_fwctl"),
    fuzz!("fuzz/cxl-emulated", "the same, on one whose Features can be set", CXL_EMULATED, "cxl_fwctl"),
    fuzz!("fuzz/mlx5", "the ioctls and commands of a ConnectX, fuzzed, on the emulated one", CONNECTX_LEAKS, "mlx5_fwctl"),
];

/// All tests, in the order in which they run on a machine.
pub fn all() -> impl Iterator<Item = &'static Test> {
    LOOPBACK
        .iter()
        .chain(MLX5)
        .chain(TEST_DRIVERS)
        .chain(OTHERS)
        .chain(FAULTS)
        .chain(STORMS)
        .chain(CHECKERS)
        .chain(FUZZING)
        .chain(VENDOR.iter().flatten())
}

/// Files in the guest's [`crate::image::SCRIPTS`].
pub static SCRIPTS: &[(&str, &str)] = &[
    ("lib.sh", include_str!("../guest/lib.sh")),
    ("demo.sh", include_str!("../guest/demo.sh")),
    ("detach.sh", include_str!("../guest/detach.sh")),
    ("setup.sh", include_str!("../guest/setup.sh")),
    ("selftest.sh", include_str!("../guest/selftest.sh")),
    ("conformance.sh", include_str!("../guest/conformance.sh")),
    ("bench.sh", include_str!("../guest/bench.sh")),
    ("removal.sh", include_str!("../guest/removal.sh")),
    ("threads.sh", include_str!("../guest/threads.sh")),
    ("kunit.sh", include_str!("../guest/kunit.sh")),
    ("load-unload.sh", include_str!("../guest/load-unload.sh")),
    ("trace-events.sh", include_str!("../guest/trace-events.sh")),
    ("emu-connectx.sh", include_str!("../guest/emu-connectx.sh")),
    (
        "emu-two-cards.sh",
        include_str!("../guest/emu-two-cards.sh"),
    ),
    ("emu-memory.sh", include_str!("../guest/emu-memory.sh")),
    ("cli.sh", include_str!("../guest/cli.sh")),
    (
        "cli-loopback.session",
        include_str!("../guest/cli-loopback.session"),
    ),
    ("cli-cxl.session", include_str!("../guest/cli-cxl.session")),
    (
        "cli-cxl-test.session",
        include_str!("../guest/cli-cxl-test.session"),
    ),
    (
        "cli-connectx.session",
        include_str!("../guest/cli-connectx.session"),
    ),
    (
        "cli-memory.session",
        include_str!("../guest/cli-memory.session"),
    ),
    (
        "cxl-featureless.sh",
        include_str!("../guest/cxl-featureless.sh"),
    ),
    ("vendor.sh", include_str!("../guest/vendor.sh")),
    ("vendor-doors.sh", include_str!("../guest/vendor-doors.sh")),
    (
        "vendor-mstflint.sh",
        include_str!("../guest/vendor-mstflint.sh"),
    ),
    (
        "vendor-mstfwctrl.sh",
        include_str!("../guest/vendor-mstfwctrl.sh"),
    ),
    (
        "vendor-mstreg.sh",
        include_str!("../guest/vendor-mstreg.sh"),
    ),
    (
        "vendor-mstconfig.sh",
        include_str!("../guest/vendor-mstconfig.sh"),
    ),
    ("vendor-rawio.sh", include_str!("../guest/vendor-rawio.sh")),
    ("vendor-cxl.sh", include_str!("../guest/vendor-cxl.sh")),
    ("cdoor.sh", include_str!("../guest/cdoor.sh")),
    ("faults.sh", include_str!("../guest/faults.sh")),
    ("commands.sh", include_str!("../guest/commands.sh")),
    ("commands-cxl.sh", include_str!("../guest/commands-cxl.sh")),
    (
        "commands-mlx5.sh",
        include_str!("../guest/commands-mlx5.sh"),
    ),
    ("storm.sh", include_str!("../guest/storm.sh")),
    ("seeded-bugs.sh", include_str!("../guest/seeded-bugs.sh")),
    ("lifetime.sh", include_str!("../guest/lifetime.sh")),
    ("seeded.sh", include_str!("../guest/seeded.sh")),
    ("checkers.sh", include_str!("../guest/checkers.sh")),
    ("fuzz.sh", include_str!("../guest/fuzz.sh")),
    (
        "stock-connectx.sh",
        include_str!("../guest/stock-connectx.sh"),
    ),
    (
        "stock-refused.sh",
        include_str!("../guest/stock-refused.sh"),
    ),
    (
        "mlx5-selftest.sh",
        include_str!("../guest/mlx5-selftest.sh"),
    ),
    (
        "mlx5-under-load.sh",
        include_str!("../guest/mlx5-under-load.sh"),
    ),
    (
        "mlx5-function-reset.sh",
        include_str!("../guest/mlx5-function-reset.sh"),
    ),
    ("cxl-selftest.sh", include_str!("../guest/cxl-selftest.sh")),
    ("cxl-values.sh", include_str!("../guest/cxl-values.sh")),
    (
        "cxl-other-mailboxes.sh",
        include_str!("../guest/cxl-other-mailboxes.sh"),
    ),
    (
        "cxl-unbind-rebind.sh",
        include_str!("../guest/cxl-unbind-rebind.sh"),
    ),
    (
        "cxl-hot-remove.sh",
        include_str!("../guest/cxl-hot-remove.sh"),
    ),
    (
        "cxl-two-devices.sh",
        include_str!("../guest/cxl-two-devices.sh"),
    ),
];

/// Tests that one of `patterns` selects; without patterns all.
pub fn select(patterns: &[String]) -> Vec<&'static Test> {
    let selected = |test: &&Test| {
        patterns.is_empty() || patterns.iter().any(|pattern| selects(pattern, test.name))
    };
    all().filter(selected).collect()
}

/// Whether `pattern` selects the test `name`, or a case of the suite `name`.
fn selects(pattern: &str, name: &str) -> bool {
    matches(pattern, name) || is_of(name, pattern)
}

/// Whether `name` is the suite itself or one of its cases.
pub fn is_of(suite: &str, name: &str) -> bool {
    name.strip_prefix(suite)
        .is_some_and(|case| case.is_empty() || case.starts_with('/'))
}

/// Whether results called `name` are wanted; the case of a suite is if the suite is.
pub fn wants(patterns: &[String], name: &str) -> bool {
    let suite = all().map(|test| test.name).find(|suite| is_of(suite, name));
    patterns.is_empty()
        || patterns.iter().any(|pattern| {
            matches(pattern, name) || suite.is_some_and(|suite| matches(pattern, suite))
        })
}

/// A pattern with `*` or `?` is a glob over the whole name, any other is a part of the name.
pub fn matches(pattern: &str, name: &str) -> bool {
    if pattern.contains(['*', '?']) {
        glob(pattern.as_bytes(), name.as_bytes())
    } else {
        name.contains(pattern)
    }
}

/// `*` is any run of characters, `?` any one; linear in memory, no recursion.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod unit {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn table_is_sound() {
        let names: BTreeSet<&str> = all().map(|test| test.name).collect();
        assert_eq!(names.len(), all().count(), "a name is there twice");
        for test in all() {
            assert!(
                test.name.contains('/') && !test.about.is_empty(),
                "{}",
                test.name
            );
            assert!(
                SCRIPTS.iter().any(|(name, _)| *name == test.script[0]),
                "{}",
                test.name
            );
            assert!(machine::find(test.machine.name).is_some(), "{}", test.name);
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("core", "core/kunit", true),
            ("kunit", "core/kunit", true),
            ("cxl", "core/kunit", false),
            ("core/*", "core/kunit", true),
            ("*unit", "core/kunit", true),
            ("core/k?nit", "core/kunit", true),
            ("core/k?it", "core/kunit", false),
            ("core*x", "core/kunit", false),
            ("*", "", true),
            ("?", "", false),
            ("*a*b", "xaxbxb", true),
            ("*/*", "a/b/c", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let many = "*a".repeat(50) + "b";
        assert!(!matches(&many, &"a".repeat(5000)));
    }

    #[test]
    fn cases_of_a_suite() {
        let pattern = ["core/selftest-c/info".to_string()];
        let selected: Vec<&str> = select(&pattern).iter().map(|test| test.name).collect();
        assert_eq!(selected, ["core/selftest-c"]);
        assert!(wants(&pattern, "core/selftest-c/info.size"));
        assert!(!wants(&pattern, "core/selftest-c/rpc.size"));
        let suite = ["selftest-c".to_string()];
        assert!(wants(&suite, "core/selftest-c/rpc.size"));
        assert!(select(&["nothing like this".into()]).is_empty());
        assert_eq!(select(&[]).len(), all().count());
    }
}
