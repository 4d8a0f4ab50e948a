// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels that tests can be told to run on, and how each differs from the usual one.

use crate::cli::TEST_KERNEL;
use crate::pattern;

/// One of them: `make test KERNEL=NAME`.
#[derive(Debug, PartialEq)]
pub struct Kernel {
    /// Its folder below `kernel/` in the artifacts.
    pub name: &'static str,
    /// Factor for all time limits.
    pub slowness: f64,
    /// Memory of its machines in MiB.
    pub memory: u32,
    /// Added to its command line.
    pub cmdline: &'static str,
    /// Has kmemleak enabled; each machine is checked for leaks after its tests.
    pub has_kmemleak: bool,
    /// Has checkers, which must not be disabled after the tests of a machine.
    pub has_checkers: bool,
    /// Has PREEMPT_RT: see the field of the same name of `Machine`.
    pub is_realtime: bool,
    /// The machines whose tests it can run, if not all, apart from its own machines.
    pub machines: Option<&'static [&'static str]>,
    /// Tests of these machines that it cannot run: a pattern for their names, and what it lacks.
    pub lacks: &'static [(&'static str, &'static str)],
}

/// Defaults for the other kernels.
const USUAL: Kernel = Kernel {
    name: TEST_KERNEL,
    slowness: 1.0,
    memory: 1024,
    cmdline: "",
    has_kmemleak: false,
    has_checkers: false,
    is_realtime: false,
    machines: None,
    lacks: &[],
};

const NO_BNXT: (&str, &str) = ("c-api/bnxt", "the driver bnxt_fwctl");

static KERNELS: &[Kernel] = &[
    USUAL,
    Kernel {
        name: "debug",
        slowness: 5.0,
        memory: 2048,
        // KASAN otherwise reports once. With five-level page tables it takes an interrupt for a
        // wild access if that comes while the boot processor's capabilities are read: mainline
        // clears them, LA57 among them, before it reads them again. All checks of SLUB except user
        // tracking, which KASAN and kmemleak do as well, and which slows each of them down.
        cmdline: "kasan_multi_shot no5lvl slab_debug=FZP",
        has_kmemleak: true,
        has_checkers: true,
        ..USUAL
    },
    Kernel {
        name: "kcsan",
        slowness: 5.0,
        has_checkers: true,
        ..USUAL
    },
    // Its core is the one in C, so it runs the tests of the machine `c-core` only.
    Kernel {
        name: "c",
        machines: Some(&[]),
        ..USUAL
    },
    // Options of distributions.
    Kernel {
        name: "hardened",
        slowness: 2.0,
        is_realtime: true,
        machines: Some(&["plain", "kunit", "connectx", "pds", "cxl-emulated"]),
        lacks: &[NO_BNXT],
        ..USUAL
    },
    Kernel {
        name: "lto",
        machines: Some(&["plain"]),
        lacks: &[NO_BNXT],
        ..USUAL
    },
    // One processor, and what the demo needs.
    Kernel {
        name: "builtin",
        machines: Some(&["plain"]),
        lacks: &[
            NO_BNXT,
            ("uring/abi-*", "io_uring"),
            ("uring/rpc-*", "io_uring"),
            ("uring/sysfs-*", "io_uring"),
            ("*-32bit", "32-bit programs"),
            ("core/lifetime", "the module fwctl_lifetime"),
            ("core/load-unload", "a core that can be unloaded"),
            ("core/trace-events", "trace events"),
            ("cli/loopback", "trace events"),
        ],
        ..USUAL
    },
    // Those of arm64 with larger pages.
    Kernel {
        name: "16k",
        ..USUAL
    },
    Kernel {
        name: "64k",
        memory: 2048,
        ..USUAL
    },
];

/// What is known of the kernel in the folder `name`.
pub fn of(name: &str) -> &'static Kernel {
    let mut kernels = KERNELS.iter();
    kernels
        .find(|kernel| kernel.name == name)
        .unwrap_or(&KERNELS[0])
}

impl Kernel {
    /// Whether it has what the tests of the machine need.
    pub fn serves(&self, machine: &str) -> bool {
        self.machines.is_none_or(|served| served.contains(&machine))
    }

    /// Returns what a test needs and the kernel lacks, if anything.
    pub fn lacks(&self, test: &str) -> Option<&'static str> {
        let mut lacks = self.lacks.iter();
        lacks
            .find(|(tests, _)| pattern::matches(tests, test))
            .map(|(_, what)| *what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, machine};

    #[test]
    fn kernels() {
        assert!(of("debug").has_checkers && of("kcsan").has_checkers);
        assert!(!of("test").has_checkers && !of("c").has_checkers);
        assert!(of("debug").serves("connectx") && !of("c").serves("plain"));
        assert!(of("hardened").is_realtime && of("hardened").serves("plain"));
        assert!(!of("lto").serves("connectx"));
        let test = "uring/abi-rust";
        assert_eq!(of("builtin").lacks(test), Some("io_uring"));
        assert_eq!(of("lto").lacks(test), None);
        for (tests, _) in KERNELS.iter().flat_map(|kernel| kernel.lacks) {
            let mut all = catalogue::all();
            assert!(
                all.any(|test| pattern::matches(tests, test.name)),
                "{tests}"
            );
        }
        assert_eq!(of("bench"), of(TEST_KERNEL));
        assert!(of("debug").memory > of(TEST_KERNEL).memory);
        for machine in KERNELS
            .iter()
            .filter_map(|kernel| kernel.machines)
            .flatten()
        {
            assert!(machine::find(machine).is_some(), "{machine}");
        }
    }
}
