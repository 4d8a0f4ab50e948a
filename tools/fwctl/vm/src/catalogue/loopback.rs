// SPDX-License-Identifier: MIT OR Apache-2.0

//! The selftests of the ioctls, on the loopback devices.

use super::{machine, Module, Reads, Selftest, Test, BASE};

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
pub(super) const TESTS: &[Test] = &[
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
pub(super) const SLOW: Test = Test {
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
