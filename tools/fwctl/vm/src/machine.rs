// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machines that tests run on: kernel, devices, topology.

use crate::arch::{Arch, ARM64, X86_64};

/// One kind of virtual machine.  Tests on the same machine share a boot.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// Name for `--machine`, logs and results.
    pub name: &'static str,
    /// One line for `fwctl-vm list` and for the table in `testing.rst`.
    pub about: &'static str,
    /// Its architecture.
    pub arch: &'static Arch,
    /// Directory below `kernel/` in the artifacts.
    pub flavour: &'static str,
    /// Directory of the flavour that contains `lib/modules`.
    pub modules: &'static str,
    /// A second such directory, `/lib/NAME` in the guest, for scripts that swap the two.
    pub other_modules: Option<&'static str>,
    /// Number of CXL type 3 devices of QEMU.
    pub cxl_devices: u8,
    /// The first of them is behind a CXL switch of QEMU, which has a mailbox.
    pub has_cxl_switch: bool,
    /// Devices of fwctl-emu.
    pub emulated: &'static [Emulated],
    /// Contains the vendors' tools.
    pub has_vendor_tools: bool,
    /// Has two NUMA nodes on two sockets, which cxl_test requires.
    pub is_numa: bool,
    /// Boots from UEFI firmware with Secure Boot; its files are beside the kernel.
    pub has_secure_boot: bool,
    /// Contains the modules with seeded bugs.
    pub has_seeded_bugs: bool,
    /// Can suspend to RAM.
    pub can_suspend: bool,
    /// An IOMMU is in front of all PCI devices.
    pub has_iommu: bool,
    /// Enables kmemleak, so tests can check for leaks.  Boots more slowly.
    pub has_kmemleak: bool,
    /// Has one CPU whose time stamp counter counts executed instructions.
    pub is_counted: bool,
    /// Boots a kernel with PREEMPT_RT.  With one thread of QEMU for each CPU, text that the kernel
    /// patches is executed half-written once in a while ("Oops: int3").
    pub is_realtime: bool,
    /// Its tests run only if its kernel is asked for or a pattern names their group: it takes
    /// minutes to build.
    pub is_extra: bool,
    /// Added to the kernel's command line.
    pub cmdline: &'static str,
}

/// A device of fwctl-emu.
#[derive(Debug, PartialEq, Eq)]
pub struct Emulated {
    /// Its name on this machine: for `emu` in the guest, logs and results.
    pub name: &'static str,
    /// The command of fwctl-emu that emulates it.
    pub kind: &'static str,
    /// Added to the arguments of fwctl-emu.
    pub arguments: &'static [&'static str],
    /// Where it is plugged in.
    pub slot: Slot,
}

/// Where a device is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Behind a separate PCI Express root port.
    RootPort,
    /// On the root bus, where it has no link.
    RootBus,
}

/// The ConnectX of most tests.
const CARD: Emulated = Emulated {
    name: "connectx",
    kind: "connectx",
    arguments: &[],
    slot: Slot::RootPort,
};

/// A ConnectX whose driver times out after 2 s, plus 5 s that mlx5_core adds.
const IMPATIENT_CARD: Emulated = Emulated {
    arguments: &["--cmd-timeout", "2000"],
    ..CARD
};

/// A CXL memory device with Features of every kind.  On the root bus it would be a root complex
/// integrated endpoint.
const MEMORY: Emulated = Emulated {
    name: "memory",
    kind: "cxl",
    arguments: &[],
    slot: Slot::RootPort,
};

/// A Pensando card.
const PENSANDO: Emulated = Emulated {
    name: "pds",
    kind: "pds",
    arguments: &[],
    slot: Slot::RootPort,
};

/// All DMA goes through bounce buffers, of which there are 64 MiB. That is x86-64's default; arm64's
/// is 1 MiB for each GiB of memory, which pages of 64 KiB exhaust.
const BOUNCING: &str = "kunit.enable=0 swiotlb=32768 swiotlb=force";

/// Defaults for the machines.
const BASE: Machine = Machine {
    name: "",
    about: "",
    arch: &X86_64,
    flavour: "test",
    modules: "modules",
    other_modules: None,
    cxl_devices: 0,
    has_cxl_switch: false,
    emulated: &[],
    has_vendor_tools: false,
    is_numa: false,
    has_secure_boot: false,
    has_seeded_bugs: false,
    can_suspend: false,
    has_iommu: false,
    has_kmemleak: false,
    is_counted: false,
    is_realtime: false,
    is_extra: false,
    cmdline: "kunit.enable=0",
};

/// Defines the machines, and [`MACHINES`] with all of them in the order of their definitions.
macro_rules! machines {
    ($($(#[$doc:meta])* pub static $machine:ident: Machine = $value:expr;)+) => {
        $($(#[$doc])* pub static $machine: Machine = $value;)+

        /// All machines, in the order in which `test` boots them.
        pub static MACHINES: &[&Machine] = &[$(&$machine),+];
    };
}

machines! {
    /// Runs most tests of the core.
    pub static PLAIN: Machine = Machine {
        name: "plain",
        about: "no devices",
        ..BASE
    };

    /// Runs the kmemleak tests of the core.
    pub static PLAIN_LEAKS: Machine = Machine {
        name: "plain-leaks",
        about: "no devices, kmemleak",
        has_kmemleak: true,
        ..BASE
    };

    /// Runs KUnit suites when their module is loaded.
    pub static KUNIT: Machine = Machine {
        name: "kunit",
        about: "no devices, KUnit enabled",
        cmdline: "kunit.enable=1 kunit.autorun=1",
        ..BASE
    };

    /// The machine of `fwctl-vm run` without fwctl-emu.
    pub static CXL: Machine = Machine {
        name: "cxl",
        about: "one CXL type 3 device of QEMU",
        cxl_devices: 1,
        ..BASE
    };

    /// Runs the kmemleak tests of the CXL driver.
    pub static CXL_LEAKS: Machine = Machine {
        name: "cxl-leaks",
        about: "one CXL type 3 device of QEMU, kmemleak",
        cxl_devices: 1,
        has_kmemleak: true,
        ..BASE
    };

    /// Two devices side by side.
    pub static CXL2: Machine = Machine {
        name: "cxl2",
        about: "two CXL type 3 devices of QEMU",
        cxl_devices: 2,
        ..BASE
    };

    /// The mailbox of a switch.
    pub static CXL_SWITCH: Machine = Machine {
        name: "cxl-switch",
        about: "a CXL switch of QEMU with a mailbox, one CXL type 3 device behind it",
        cxl_devices: 1,
        has_cxl_switch: true,
        ..BASE
    };

    /// Runs most tests of the mlx5 driver.
    pub static CONNECTX: Machine = Machine {
        name: "connectx",
        about: "one emulated ConnectX",
        emulated: &[CARD],
        ..BASE
    };

    /// Short command timeout, for fault injection.
    pub static CONNECTX_FAULTS: Machine = Machine {
        name: "connectx-faults",
        about: "one emulated ConnectX, short command timeout",
        emulated: &[IMPATIENT_CARD],
        ..BASE
    };

    /// The card cannot access the memory of programs but through bounce buffers.
    pub static CONNECTX_BOUNCE: Machine = Machine {
        name: "connectx-bounce",
        about: "as connectx-faults, booted with swiotlb=force",
        cmdline: BOUNCING,
        ..CONNECTX_FAULTS
    };

    /// Runs the mlx5 tests with the C driver, which replaces ours.
    pub static CONNECTX_MAINLINE: Machine = Machine {
        name: "connectx-mainline",
        about: "one emulated ConnectX, mainline's mlx5 driver in C",
        modules: "modules-mainline",
        emulated: &[IMPATIENT_CARD],
        ..BASE
    };

    /// Runs the kmemleak tests of the mlx5 driver.
    pub static CONNECTX_LEAKS: Machine = Machine {
        name: "connectx-leaks",
        about: "one emulated ConnectX, kmemleak",
        emulated: &[IMPATIENT_CARD],
        has_kmemleak: true,
        ..BASE
    };

    /// Two cards side by side.
    pub static CONNECTX2: Machine = Machine {
        name: "connectx2",
        about: "two emulated ConnectX",
        emulated: &[
            CARD,
            Emulated {
                name: "second",
                arguments: &["--serial", "1"],
                slot: Slot::RootBus,
                ..CARD
            },
        ],
        ..BASE
    };

    /// Runs most tests of the pds driver.
    pub static PDS: Machine = Machine {
        name: "pds",
        about: "one emulated Pensando card",
        emulated: &[PENSANDO],
        ..BASE
    };

    /// Runs the pds tests with the C driver, which replaces ours.
    pub static PDS_MAINLINE: Machine = Machine {
        name: "pds-mainline",
        about: "one emulated Pensando card, mainline's pds driver in C",
        modules: "modules-mainline",
        ..PDS
    };

    /// Runs the pds tests on a pds_core as the base has it.
    pub static PDS_UNPATCHED: Machine = Machine {
        name: "pds-unpatched",
        about: "as pds, the base's pds_core without our patches",
        modules: "modules-unpatched",
        ..PDS
    };

    /// Runs the kmemleak tests of the pds driver.
    pub static PDS_LEAKS: Machine = Machine {
        name: "pds-leaks",
        about: "one emulated Pensando card, kmemleak",
        has_kmemleak: true,
        ..PDS
    };

    /// The card cannot access the memory of the guest but through bounce buffers.
    pub static PDS_BOUNCE: Machine = Machine {
        name: "pds-bounce",
        about: "as pds, booted with swiotlb=force",
        cmdline: BOUNCING,
        ..PDS
    };

    /// The same with the C driver.
    pub static PDS_BOUNCE_MAINLINE: Machine = Machine {
        name: "pds-bounce-c",
        about: "as pds-mainline, booted with swiotlb=force",
        cmdline: BOUNCING,
        ..PDS_MAINLINE
    };

    /// A memory device whose Features are not exclusive to the kernel, unlike those of QEMU's.
    pub static CXL_EMULATED: Machine = Machine {
        name: "cxl-emulated",
        about: "one CXL memory device of fwctl-emu, vendor Features",
        emulated: &[MEMORY],
        ..BASE
    };

    /// Memory devices with unusual mailboxes.
    pub static CXL_MAILBOXES: Machine = Machine {
        name: "cxl-mailboxes",
        about: "three CXL memory devices of fwctl-emu: without Set Feature, with the smallest and \
                with the largest mailbox",
        emulated: &[
            Emulated {
                name: "constant",
                arguments: &["--serial", "1", "--no-set"],
                ..MEMORY
            },
            Emulated {
                name: "smallest",
                arguments: &["--serial", "2", "--payload-size", "256"],
                ..MEMORY
            },
            Emulated {
                name: "largest",
                arguments: &["--serial", "3", "--payload-size", "1048576"],
                ..MEMORY
            },
        ],
        ..BASE
    };

    /// A memory device that must not get a fwctl device.
    pub static CXL_FEATURELESS: Machine = Machine {
        name: "cxl-featureless",
        about: "one CXL memory device of fwctl-emu, neither Features nor vendor commands",
        emulated: &[Emulated {
            arguments: &["--no-features", "--no-vendor"],
            ..MEMORY
        }],
        ..BASE
    };

    /// A memory device that has a fwctl device for its vendor commands alone.
    pub static CXL_COMMANDS: Machine = Machine {
        name: "cxl-commands",
        about: "one CXL memory device of fwctl-emu, a vendor command for every combination of \
                effects, no Features",
        emulated: &[Emulated {
            arguments: &["--no-features", "--all-effects"],
            ..MEMORY
        }],
        ..BASE
    };

    /// The machine of `fwctl-vm run`.
    pub static BOTH: Machine = Machine {
        name: "both",
        about: "one CXL type 3 device of QEMU and one emulated ConnectX",
        cxl_devices: 1,
        emulated: &[CARD],
        ..BASE
    };

    /// Suspends with files open.
    pub static ASLEEP: Machine = Machine {
        name: "asleep",
        about: "as both, can suspend to RAM",
        can_suspend: true,
        ..BOTH
    };

    /// Runs the vendors' tools.
    pub static VENDOR: Machine = Machine {
        name: "vendor",
        about: "as both, with the vendors' tools",
        has_vendor_tools: true,
        ..BOTH
    };

    /// Runs the vendors' tools under lockdown.
    pub static LOCKED: Machine = Machine {
        name: "locked",
        about: "as vendor, booted with lockdown=integrity",
        cmdline: "kunit.enable=0 lockdown=integrity",
        ..VENDOR
    };

    /// Runs the vendors' tools under the stricter lockdown.
    pub static CONFIDENTIAL: Machine = Machine {
        name: "confidential",
        about: "as vendor, booted with lockdown=confidentiality",
        cmdline: "kunit.enable=0 lockdown=confidentiality",
        ..VENDOR
    };

    /// The kernel's mock CXL topology.
    pub static CXL_TEST: Machine = Machine {
        name: "cxl-test",
        about: "the mock devices of the kernel's cxl_test modules, two NUMA nodes",
        modules: "modules-cxl-test",
        is_numa: true,
        ..BASE
    };

    /// Loads the C drivers for mlx5 and pds, which replace ours.
    pub static MAINLINE: Machine = Machine {
        name: "mainline",
        about: "no devices, mainline's mlx5 and pds drivers in C",
        modules: "modules-mainline",
        ..BASE
    };

    /// fwctl is built into the kernel.
    pub static BUILTIN: Machine = Machine {
        name: "builtin",
        about: "FWCTL=y, no devices",
        flavour: "builtin",
        ..BASE
    };

    /// fwctl and CXL are built into the kernel.
    pub static BUILTIN_CXL: Machine = Machine {
        name: "builtin-cxl",
        about: "FWCTL=y, one CXL type 3 device of QEMU",
        flavour: "builtin",
        cxl_devices: 1,
        ..BASE
    };

    /// Debian's kernel with our modules, built and signed by DKMS.
    pub static STOCK: Machine = Machine {
        name: "stock",
        about: "Debian's kernel with our DKMS modules, one emulated ConnectX",
        flavour: "stock",
        emulated: &[CARD],
        cmdline: "",
        ..BASE
    };

    /// Debian's kernel, locked down and without DKMS's key.
    pub static STOCK_LOCKED: Machine = Machine {
        name: "stock-locked",
        about: "as stock, booted with lockdown=integrity, DKMS's key not enrolled",
        cmdline: "lockdown=integrity",
        ..STOCK
    };

    /// Debian's kernel behind firmware that has Debian's key and DKMS's enrolled.
    pub static STOCK_SECURE: Machine = Machine {
        name: "stock-secure",
        about: "as stock, Secure Boot with DKMS's key enrolled, the vendors' tools",
        has_secure_boot: true,
        has_vendor_tools: true,
        ..STOCK
    };

    /// The kernel's DMA API gives the card addresses that only the IOMMU knows.
    pub static STOCK_IOMMU: Machine = Machine {
        name: "stock-iommu",
        about: "as stock, short command timeout, an IOMMU that translates addresses for DMA",
        emulated: &[IMPATIENT_CARD],
        has_iommu: true,
        cmdline: "intel_iommu=on iommu.passthrough=0 iommu.strict=1",
        ..STOCK
    };

    /// The IOMMU passes addresses through.
    pub static STOCK_IOMMU_PT: Machine = Machine {
        name: "stock-iommu-pt",
        about: "as stock-iommu, booted with iommu=pt",
        cmdline: "intel_iommu=on iommu=pt",
        ..STOCK_IOMMU
    };

    /// Debian's arm64 kernel with our modules, built by the source of the DKMS package.
    pub static ARM64_STOCK: Machine = Machine {
        name: "arm64",
        about: "Debian's arm64 kernel with our DKMS modules, one emulated ConnectX",
        arch: &ARM64,
        ..STOCK
    };

    /// Debian's real-time kernel, likewise.
    pub static STOCK_RT: Machine = Machine {
        name: "rt-amd64",
        about: "as stock, Debian's flavour rt-amd64",
        flavour: "stock-rt-amd64",
        is_realtime: true,
        is_extra: true,
        ..STOCK
    };

    /// Debian's kernel for virtual machines in clouds, likewise.
    pub static STOCK_CLOUD: Machine = Machine {
        name: "cloud-amd64",
        about: "as stock, Debian's flavour cloud-amd64",
        flavour: "stock-cloud-amd64",
        is_extra: true,
        ..STOCK
    };

    /// Debian's real-time kernel for arm64, likewise.
    pub static ARM64_RT: Machine = Machine {
        name: "rt-arm64",
        about: "as arm64, Debian's flavour rt-arm64",
        flavour: "stock-rt-arm64",
        is_realtime: true,
        is_extra: true,
        ..ARM64_STOCK
    };

    /// Debian's kernel for virtual machines in clouds on arm64, likewise.
    pub static ARM64_CLOUD: Machine = Machine {
        name: "cloud-arm64",
        about: "as arm64, Debian's flavour cloud-arm64",
        flavour: "stock-cloud-arm64",
        is_extra: true,
        ..ARM64_STOCK
    };

    /// Debian's kernel with pages of 16 KiB, likewise.
    pub static ARM64_16K: Machine = Machine {
        name: "arm64-16k",
        about: "Debian's flavour arm64-16k with our DKMS modules, no devices",
        flavour: "stock-arm64-16k",
        emulated: &[],
        is_extra: true,
        ..ARM64_STOCK
    };

    /// Our core and mainline's, of which one can be loaded at a time.
    pub static CORES: Machine = Machine {
        name: "cores",
        about: "no devices, our core and mainline's, one loaded at a time",
        other_modules: Some("modules-mainline-core"),
        ..BASE
    };

    /// Our core and mainline's, each with its pds driver.
    pub static PDS_CORES: Machine = Machine {
        name: "pds-cores",
        about: "as cores, one emulated Pensando card",
        emulated: &[PENSANDO],
        ..CORES
    };

    /// Runs the generic selftests on the core that kernels without Rust have.
    pub static C_CORE: Machine = Machine {
        name: "c-core",
        about: "no devices, a kernel without Rust, so fwctl is the core in C",
        flavour: "c",
        is_extra: true,
        ..BASE
    };

    /// Runs seeded bugs that lockdep reports, after which it is disabled.
    pub static SEEDED: Machine = Machine {
        name: "seeded",
        about: "as cores, for bugs that lockdep reports",
        ..CORES
    };

    /// Runs the test after which the auxiliary bus cannot be used.
    pub static FORGETFUL: Machine = Machine {
        name: "forgetful",
        about: "no devices, for a module that leaks its driver",
        ..BASE
    };

    /// Counts the instructions of an ioctl.
    pub static BENCH: Machine = Machine {
        name: "bench",
        about: "as cores, a kernel without debug checks, instructions counted",
        flavour: "bench",
        is_counted: true,
        cmdline: "kunit.enable=0 clocksource=tsc",
        ..CORES
    };

    /// Counts the instructions of an ioctl of the mlx5 drivers, without those of the firmware.
    pub static BENCH_CONNECTX: Machine = Machine {
        name: "bench-connectx",
        about: "as bench, one emulated ConnectX",
        emulated: &[CARD],
        // The card runs outside of the counted CPU, so the CPU must not skip time while it waits.
        cmdline: "kunit.enable=0 clocksource=tsc idle=poll",
        ..BENCH
    };

    /// Counts the instructions of an ioctl of the CXL drivers.
    pub static BENCH_MEMORY: Machine = Machine {
        name: "bench-memory",
        about: "as bench, one CXL memory device of fwctl-emu",
        emulated: &[MEMORY],
        ..BENCH_CONNECTX
    };

    /// Measures two CPUs at a time.
    pub static BENCH_SMP: Machine = Machine {
        name: "bench-smp",
        about: "as bench, two CPUs, nothing counted",
        flavour: "bench",
        ..CORES
    };

    /// Measures RPCs that wait for a card.
    pub static BENCH_READS: Machine = Machine {
        name: "bench-reads",
        about: "as bench-smp, one emulated ConnectX",
        emulated: &[CARD],
        ..BENCH_SMP
    };

    /// Shows that the checkers of the flavour "debug" report bugs.
    pub static SEEDED_BUGS: Machine = Machine {
        name: "seeded-bugs",
        about: "no devices, modules with seeded bugs, a kernel with KASAN",
        flavour: "debug",
        has_seeded_bugs: true,
        ..BASE
    };

    /// Shows that KCSAN reports races.
    pub static RACES: Machine = Machine {
        name: "races",
        about: "no devices, modules with seeded races, a kernel with KCSAN",
        flavour: "kcsan",
        has_seeded_bugs: true,
        ..BASE
    };
}

/// The machine called `name`.
pub fn find(name: &str) -> Option<&'static Machine> {
    MACHINES
        .iter()
        .find(|machine| machine.name == name)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for machine in MACHINES {
            assert!(std::ptr::eq(find(machine.name).unwrap(), *machine));
            for (n, device) in machine.emulated.iter().enumerate() {
                let others = &machine.emulated[n + 1..];
                assert!(others.iter().all(|other| other.name != device.name));
            }
        }
    }
}
