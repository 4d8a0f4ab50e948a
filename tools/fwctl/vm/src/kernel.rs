// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels that all tests can run on, and how debug kernels differ.

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
}

/// Defaults for the other kernels.
const USUAL: Kernel = Kernel {
    name: TEST_KERNEL,
    slowness: 1.0,
    memory: 1024,
    cmdline: "",
    has_kmemleak: false,
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
    },
    Kernel {
        name: "kcsan",
        slowness: 5.0,
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

/// Whether it checks more than the usual one.
pub fn checks_more(name: &str) -> bool {
    of(name).name != TEST_KERNEL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels() {
        assert!(checks_more("debug") && checks_more("kcsan"));
        assert!(!checks_more("test") && !checks_more("builtin"));
        assert_eq!(of("bench"), of(TEST_KERNEL));
        assert!(of("debug").memory > of(TEST_KERNEL).memory);
    }
}
