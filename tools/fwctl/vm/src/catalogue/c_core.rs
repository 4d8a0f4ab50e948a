// SPDX-License-Identifier: MIT OR Apache-2.0

//! The core in C, on a kernel without Rust: both cores serve the same programs.

use super::{machine, Module, Reads, Selftest, Test, BASE};

/// A selftest program on the loopback in C.  Where the cores differ by design, the result of a case
/// is expected to be that of the core in C: see `guest/c-core.sh`.
macro_rules! on_c_core {
    ($name:literal, $about:literal, $program:literal $(, $argument:literal)*) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::C_CORE,
            script: &["c-core.sh", $program $(, $argument)*],
            reads: Reads::Tap,
            needs: &[Selftest($program), Module("fwctl"), Module("fwctl_loopback_c")],
            limit: 300,
            wants_fresh: matches!($program.as_bytes(), b"fwctl"),
            tolerates: match $program.as_bytes() {
                b"fwctl_fail_nth" => &["vmalloc error: "],
                _ => &[],
            },
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    on_c_core!("c-core/selftest", "a kernel without Rust: the ABI", "fwctl"),
    on_c_core!("c-core/selftest-rpc", "a kernel without Rust: FWCTL_RPC", "fwctl_rpc"),
    on_c_core!("c-core/selftest-files", "a kernel without Rust: open files", "fwctl_files"),
    on_c_core!("c-core/selftest-teardown", "a kernel without Rust: removed devices", "fwctl_teardown"),
    on_c_core!("c-core/selftest-modules", "a kernel without Rust: unloaded modules", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_c_core!("c-core/selftest-careless", "a kernel without Rust: bugs of a C driver", "fwctl_careless", "-T", "overread", "-T", "deadlock"),
    // The core in C blocks unbind in the other cases, until they time out: see api/conformance.
    on_c_core!("c-core/selftest-userfault", "a kernel without Rust: an ioctl's structure behind userfaultfd", "fwctl_userfault", "-v", "structure"),
    on_c_core!("c-core/selftest-fail-nth", "a kernel without Rust: each allocation fails once", "fwctl_fail_nth"),
    on_c_core!("c-core/selftest-sysfs", "a kernel without Rust: there are no files in sysfs", "fwctl_sysfs"),
    on_c_core!("c-core/selftest-umem", "a kernel without Rust: there is no registered memory", "fwctl_umem"),
    on_c_core!("c-core/selftest-uring", "a kernel without Rust: there are no commands of io_uring", "fwctl_uring"),
    Test {
        name: "c-core/queue",
        about: "a kernel without Rust: the library's queue of RPCs, by threads",
        machine: &machine::C_CORE,
        script: &["queue.sh", "fwctl_loopback_c"],
        reads: Reads::Tap,
        needs: &[Module("fwctl"), Module("fwctl_loopback_c")],
        ..BASE
    },
];
