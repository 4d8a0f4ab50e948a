// SPDX-License-Identifier: MIT OR Apache-2.0

//! The selftests of the ioctls, on the loopback devices.

use super::{machine, Module, Reads, Selftest, Test, BASE};

/// A selftest program on a loopback device; `driver` is "rust", "c" or "abstraction".
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
        }
    };
}

/// The library's queue of RPCs on a loopback device.
macro_rules! queue {
    ($name:literal, $about:literal, $machine:ident, $module:literal) => {
        Test {
            name: $name,
            about: $about,
            machine: &machine::$machine,
            script: &["queue.sh", $module],
            reads: Reads::Tap,
            needs: &[Module("fwctl"), Module($module)],
            ..BASE
        }
    };
}

/// Each program on the loopback in Rust and in C, and as a 32-bit program if it has one.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    on_loopback!("core/selftest-rust", "the ABI, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("core/selftest-rpc-rust", "FWCTL_RPC, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("core/selftest-files-rust", "open files, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_files"),
    on_loopback!("core/selftest-teardown-rust", "removed devices, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("core/selftest-userfault-rust", "user memory behind userfaultfd, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_userfault"),
    on_loopback!("core/selftest-modules-rust", "unloaded modules, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_loopback!("core/selftest-fail-nth-rust", "each allocation fails once, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_fail_nth"),
    on_loopback!("core/selftest-c", "the ABI, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("core/selftest-rpc-c", "FWCTL_RPC, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_rpc"),
    on_loopback!("core/selftest-files-c", "open files, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_files"),
    on_loopback!("core/selftest-teardown-c", "removed devices, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_teardown"),
    on_loopback!("core/selftest-userfault-c", "user memory behind userfaultfd, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_userfault"),
    on_loopback!("core/selftest-modules-c", "unloaded modules, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_loopback!("core/selftest-fail-nth-c", "each allocation fails once, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_fail_nth"),
    on_loopback!("core/selftest-sysfs-rust", "type, max_scope and counters, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_sysfs"),
    on_loopback!("core/selftest-sysfs-c", "type, max_scope and counters, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_sysfs"),
    on_loopback!("core/selftest-sysfs-32bit", "type, max_scope and counters, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_sysfs_32"),
    on_loopback!("core/selftest-umem-rust", "memory registered for the firmware, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_umem"),
    on_loopback!("core/selftest-umem-leaks", "memory registered for the firmware, and nothing leaks", PLAIN_LEAKS, "rust", "fwctl_loopback", "fwctl_umem"),
    on_loopback!("core/selftest-umem-c", "drivers without registered memory, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_umem"),
    on_loopback!("core/selftest-umem-32bit", "memory registered for the firmware, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_umem_32"),
    queue!("core/queue-rust", "the library's queue of RPCs, by io_uring and threads, on the loopback in Rust", PLAIN, "fwctl_loopback"),
    queue!("core/queue-c", "the same on the loopback in C", PLAIN, "fwctl_loopback_c"),
    queue!("stock/queue", "the same on Debian's kernel, on the loopback in Rust", STOCK, "fwctl_loopback"),
    on_loopback!("core/selftest-32bit", "the ABI, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_32"),
    on_loopback!("core/selftest-rpc-32bit", "FWCTL_RPC, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_rpc_32"),
    on_loopback!("core/selftest-files-32bit", "open files, for a 32-bit program", PLAIN, "rust", "fwctl_loopback", "fwctl_files_32"),
    on_loopback!("uring/selftest-rust", "many RPCs in flight from one thread, on the loopback in Rust", PLAIN, "rust", "fwctl_loopback", "fwctl_uring"),
    on_loopback!("uring/selftest-async", "RPCs that are answered later, cancelled or abandoned, on the asynchronous loopback", PLAIN, "async", "fwctl_loopback", "fwctl_uring"),
    on_loopback!("uring/selftest-c", "many RPCs in flight from one thread, on the loopback in C", PLAIN, "c", "fwctl_loopback_c", "fwctl_uring"),
    on_loopback!("uring/selftest-32bit", "the asynchronous loopback, for a 32-bit program", PLAIN, "async", "fwctl_loopback", "fwctl_uring_32"),
    on_loopback!("uring/abi-rust", "the ABI by io_uring, on the loopback in Rust", PLAIN, "rust+uring", "fwctl_loopback", "fwctl"),
    on_loopback!("uring/rpc-rust", "FWCTL_RPC by io_uring, on the loopback in Rust", PLAIN, "rust+uring", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("uring/abi-c", "the ABI by io_uring, on the loopback in C", PLAIN, "c+uring", "fwctl_loopback_c", "fwctl"),
    on_loopback!("uring/rpc-c", "FWCTL_RPC by io_uring, on the loopback in C", PLAIN, "c+uring", "fwctl_loopback_c", "fwctl_rpc"),
    on_loopback!("uring/abi-async", "the ABI by io_uring, on the asynchronous loopback", PLAIN, "async+uring", "fwctl_loopback", "fwctl"),
    on_loopback!("uring/rpc-async", "FWCTL_RPC by io_uring, on the asynchronous loopback", PLAIN, "async+uring", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("uring/rpc-32bit", "FWCTL_RPC by io_uring, for a 32-bit program", PLAIN, "async+uring", "fwctl_loopback", "fwctl_rpc_32"),
    on_loopback!("uring/sysfs-rust", "type, max_scope and counters by io_uring, on the loopback in Rust", PLAIN, "rust+uring", "fwctl_loopback", "fwctl_sysfs"),
    on_loopback!("uring/sysfs-c", "type, max_scope and counters by io_uring, on the loopback in C", PLAIN, "c+uring", "fwctl_loopback_c", "fwctl_sysfs"),
    on_loopback!("uring/sysfs-async", "type, max_scope and counters by io_uring, on the asynchronous loopback", PLAIN, "async+uring", "fwctl_loopback", "fwctl_sysfs"),
    on_loopback!("uring/ioctl-sysfs", "type, max_scope and counters by ioctl(2), on the asynchronous loopback", PLAIN, "async", "fwctl_loopback", "fwctl_sysfs"),
    on_loopback!("uring/ioctl-abi", "the ABI by ioctl(2), on the asynchronous loopback", PLAIN, "async", "fwctl_loopback", "fwctl"),
    on_loopback!("uring/ioctl-rpc", "FWCTL_RPC by ioctl(2), on the asynchronous loopback", PLAIN, "async", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("uring/ioctl-files", "open files by ioctl(2), on the asynchronous loopback", PLAIN, "async", "fwctl_loopback", "fwctl_files"),
    on_loopback!("uring/fail-nth-async", "each allocation fails once, on the asynchronous loopback", PLAIN, "async", "fwctl_loopback", "fwctl_fail_nth"),
    on_loopback!("core/builtin", "FWCTL=y: the ABI, on the loopback in Rust", BUILTIN, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("core/builtin-rpc", "FWCTL=y: FWCTL_RPC, on the loopback in Rust", BUILTIN, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("core/builtin-teardown", "FWCTL=y: removed devices, on the loopback in Rust", BUILTIN, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("core/builtin-c", "FWCTL=y: the ABI, on the loopback in C", BUILTIN, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("core/abstraction", "FWCTL=y: the ABI, on a driver of the base's Rust abstraction", BUILTIN, "abstraction", "fwctl_loopback_kernel", "fwctl"),
    on_loopback!("core/abstraction-rpc", "FWCTL=y: FWCTL_RPC, on that driver", BUILTIN, "abstraction", "fwctl_loopback_kernel", "fwctl_rpc"),
    on_loopback!("core/abstraction-teardown", "FWCTL=y: removed devices, on that driver", BUILTIN, "abstraction", "fwctl_loopback_kernel", "fwctl_teardown"),
    on_loopback!("stock/selftest-rust", "Debian's kernel: the ABI, on the loopback in Rust", STOCK, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("stock/selftest-rpc-rust", "Debian's kernel: FWCTL_RPC, on the loopback in Rust", STOCK, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("stock/selftest-files-rust", "Debian's kernel: open files, on the loopback in Rust", STOCK, "rust", "fwctl_loopback", "fwctl_files"),
    on_loopback!("stock/selftest-teardown-rust", "Debian's kernel: removed devices, on the loopback in Rust", STOCK, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("stock/selftest-modules-rust", "Debian's kernel: unloaded modules, on the loopback in Rust", STOCK, "rust", "fwctl_loopback", "fwctl_modules", "-T", "all_numbers_are_taken"),
    on_loopback!("stock/selftest-c", "Debian's kernel: the ABI, on the loopback in C", STOCK, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("stock/selftest-secure", "Debian's kernel under Secure Boot: the ABI, on the loopback in Rust", STOCK_SECURE, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("arm64/selftest-rust", "Debian's arm64 kernel: the ABI, on the loopback in Rust", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl"),
    on_loopback!("arm64/selftest-rpc-rust", "Debian's arm64 kernel: FWCTL_RPC, on the loopback in Rust", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl_rpc"),
    on_loopback!("arm64/selftest-files-rust", "Debian's arm64 kernel: open files, on the loopback in Rust", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl_files"),
    on_loopback!("arm64/selftest-teardown-rust", "Debian's arm64 kernel: removed devices, on the loopback in Rust", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl_teardown"),
    on_loopback!("arm64/selftest-uring-rust", "Debian's arm64 kernel: many RPCs in flight from one thread, on the loopback in Rust", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl_uring"),
    on_loopback!("arm64/selftest-c", "Debian's arm64 kernel: the ABI, on the loopback in C", ARM64_STOCK, "c", "fwctl_loopback_c", "fwctl"),
    on_loopback!("arm64/selftest-rpc-c", "Debian's arm64 kernel: FWCTL_RPC, on the loopback in C", ARM64_STOCK, "c", "fwctl_loopback_c", "fwctl_rpc"),
    on_loopback!("arm64/selftest-32bit", "Debian's arm64 kernel: FWCTL_RPC, for a 32-bit program", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl_rpc_32"),
    on_loopback!("arm64/selftest-umem-rust", "Debian's arm64 kernel: memory registered for the firmware, on the loopback in Rust", ARM64_STOCK, "rust", "fwctl_loopback", "fwctl_umem"),
    on_loopback!("stock/selftest-32bit", "Debian's kernel: the ABI, for a 32-bit program", STOCK, "rust", "fwctl_loopback", "fwctl_32"),
];

/// Takes a minute, so it is separate from the rest of its program.
pub(super) const NUMBERS: Test = Test {
    limit: 600,
    wants_fresh: true,
    ..on_loopback!(
        "core/selftest-numbers",
        "all 4096 device numbers are in use, on the loopback in Rust",
        PLAIN,
        "rust",
        "fwctl_loopback",
        "fwctl_modules",
        "-t",
        "all_numbers_are_taken"
    )
};
