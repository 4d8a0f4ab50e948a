// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels that tests can be told to run on, and how each differs from the usual one.

use crate::cli::TEST_KERNEL;

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
    /// The machines whose tests it can run, if not all, apart from its own machines.
    pub machines: Option<&'static [&'static str]>,
}

/// Defaults for the other kernels.
const USUAL: Kernel = Kernel {
    name: TEST_KERNEL,
    slowness: 1.0,
    memory: 1024,
    cmdline: "",
    has_kmemleak: false,
    has_checkers: false,
    machines: None,
};

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine;

    #[test]
    fn kernels() {
        assert!(of("debug").has_checkers && of("kcsan").has_checkers);
        assert!(!of("test").has_checkers && !of("c").has_checkers);
        assert!(of("debug").serves("connectx") && !of("c").serves("plain"));
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
