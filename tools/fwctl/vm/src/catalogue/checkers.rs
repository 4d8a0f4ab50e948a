// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's checkers report seeded bugs.

use super::{machine, Module, Reads, Selftest, Test, BASE};

/// A disabled checker is as silent as one that finds nothing, so each has to report a bug.
pub(super) const TESTS: &[Test] = &[
    Test {
        name: "debug/seeded-bugs",
        about: "KASAN, UBSAN, lockdep and others report seeded bugs, in C and in Rust",
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
            // A Rust panic ends in BUG().
            "kernel BUG at ",
            "Oops: invalid opcode",
        ],
        ..BASE
    },
    Test {
        name: "kcsan/seeded-bugs",
        about: "KCSAN reports a seeded race, in C and in Rust",
        machine: &machine::RACES,
        script: &["seeded-bugs.sh", "kcsan"],
        reads: Reads::Tap,
        tolerates: &["[seeded_race]", "[seeded_race_rust]"],
        ..BASE
    },
];
