// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machines that tests run on: kernel, devices, topology.

/// One kind of virtual machine.  Tests on the same machine share a boot.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// Name for `--machine`, logs and results.
    pub name: &'static str,
    /// One line for `fwctl-vm list`.
    pub about: &'static str,
    /// Folder below `kernel/` in the artifacts.
    pub flavour: &'static str,
    /// Folder of the flavour that holds `lib/modules`.
    pub modules: &'static str,
    /// Another such folder, `/lib/NAME` in the guest, for scripts that swap one for the other.
    pub other_modules: Option<&'static str>,
    /// Number of emulated CXL type 3 devices.
    pub cxl_devices: u8,
    /// Devices that fwctl-emu plays.
    pub emulated: &'static [Emulated],
    /// The vendors' own tools are in it.
    pub has_vendor_tools: bool,
    /// Two NUMA nodes on two sockets, which cxl_test asks for.
    pub is_numa: bool,
    /// It starts from UEFI firmware with Secure Boot on, whose files lie beside the kernel.
    pub has_secure_boot: bool,
    /// The modules with mistakes are in it.
    pub has_seeded_bugs: bool,
    /// The kernel keeps track of memory, so that a test can look for leaks.  It boots more slowly.
    pub has_kmemleak: bool,
    /// One processor whose time stamp counter counts the instructions that it executes.
    pub is_counted: bool,
    /// More for the kernel's command line.
    pub cmdline: &'static str,
}

/// One device that fwctl-emu plays.
#[derive(Debug, PartialEq, Eq)]
pub struct Emulated {
    /// Its name on this machine: for `emu` in the guest, logs and results.
    pub name: &'static str,
    /// Command of fwctl-emu.
    pub kind: &'static str,
    /// More arguments for it.
    pub arguments: &'static [&'static str],
    /// Where it is plugged in.
    pub slot: Slot,
}

/// Where a device is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Behind a PCI Express root port of its own.
    RootPort,
    /// On the root bus, where it has no link.
    RootBus,
}

/// A ConnectX as most tests want it.
const CARD: Emulated = Emulated {
    name: "connectx",
    kind: "connectx",
    arguments: &[],
    slot: Slot::RootPort,
};

/// One whose driver does not wait long for an answer: that is 2 s, and 5 s more of its own.
const IMPATIENT_CARD: Emulated = Emulated {
    arguments: &["--cmd-timeout", "2000"],
    ..CARD
};

/// A CXL memory device with Features of every kind; on the root bus it would be another kind of
/// device.
const MEMORY: Emulated = Emulated {
    name: "memory",
    kind: "cxl",
    arguments: &[],
    slot: Slot::RootPort,
};

/// What most machines have in common.
const BASE: Machine = Machine {
    name: "",
    about: "",
    flavour: "test",
    modules: "modules",
    other_modules: None,
    cxl_devices: 0,
    emulated: &[],
    has_vendor_tools: false,
    is_numa: false,
    has_secure_boot: false,
    has_seeded_bugs: false,
    has_kmemleak: false,
    is_counted: false,
    cmdline: "kunit.enable=0",
};

/// No devices.
pub static PLAIN: Machine = Machine {
    name: "plain",
    about: "no devices",
    ..BASE
};

/// For leaks.
pub static PLAIN_LEAKS: Machine = Machine {
    name: "plain-leaks",
    about: "no devices, and kmemleak",
    has_kmemleak: true,
    ..BASE
};

/// KUnit suites run when their module loads.
pub static KUNIT: Machine = Machine {
    name: "kunit",
    about: "no devices, KUnit suites on",
    cmdline: "kunit.enable=1 kunit.autorun=1",
    ..BASE
};

/// What `fwctl-vm run` shows without fwctl-emu.
pub static CXL: Machine = Machine {
    name: "cxl",
    about: "one emulated CXL type 3 device",
    cxl_devices: 1,
    ..BASE
};

/// For leaks.
pub static CXL_LEAKS: Machine = Machine {
    name: "cxl-leaks",
    about: "one emulated CXL type 3 device, and kmemleak",
    cxl_devices: 1,
    has_kmemleak: true,
    ..BASE
};

/// Two devices side by side.
pub static CXL2: Machine = Machine {
    name: "cxl2",
    about: "two emulated CXL type 3 devices",
    cxl_devices: 2,
    ..BASE
};

/// The firmware of a network adapter.
pub static CONNECTX: Machine = Machine {
    name: "connectx",
    about: "one emulated ConnectX",
    emulated: &[CARD],
    ..BASE
};

/// For faults.
pub static CONNECTX_FAULTS: Machine = Machine {
    name: "connectx-faults",
    about: "one emulated ConnectX, whose driver gives up early",
    emulated: &[IMPATIENT_CARD],
    ..BASE
};

/// The same with mainline's mlx5 driver in C in the place of ours.
pub static CONNECTX_MAINLINE: Machine = Machine {
    name: "connectx-mainline",
    about: "the same, and mainline's C driver for it",
    modules: "modules-mainline",
    emulated: &[IMPATIENT_CARD],
    ..BASE
};

/// For leaks.
pub static CONNECTX_LEAKS: Machine = Machine {
    name: "connectx-leaks",
    about: "the same, and kmemleak",
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

/// A memory device whose features the kernel does not keep for itself.
pub static CXL_EMULATED: Machine = Machine {
    name: "cxl-emulated",
    about: "one CXL memory device of fwctl-emu, with vendor features",
    emulated: &[MEMORY],
    ..BASE
};

/// Memory devices with other mailboxes.
pub static CXL_MAILBOXES: Machine = Machine {
    name: "cxl-mailboxes",
    about: "CXL memory devices of fwctl-emu: without Set Feature; smallest and largest mailbox",
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

/// A memory device that fwctl has nothing to do with.
pub static CXL_FEATURELESS: Machine = Machine {
    name: "cxl-featureless",
    about: "one CXL memory device of fwctl-emu without Features",
    emulated: &[Emulated {
        arguments: &["--no-features"],
        ..MEMORY
    }],
    ..BASE
};

/// What `fwctl-vm run` shows.
pub static BOTH: Machine = Machine {
    name: "both",
    about: "an emulated CXL type 3 device and an emulated ConnectX",
    cxl_devices: 1,
    emulated: &[CARD],
    ..BASE
};

/// The same with the vendors' own tools.
pub static VENDOR: Machine = Machine {
    name: "vendor",
    about: "both devices, and the vendors' own tools",
    has_vendor_tools: true,
    ..BOTH
};

/// The same under lockdown.
pub static LOCKED: Machine = Machine {
    name: "locked",
    about: "the same, booted with lockdown=integrity",
    cmdline: "kunit.enable=0 lockdown=integrity",
    ..VENDOR
};

/// The same under the stricter lockdown.
pub static CONFIDENTIAL: Machine = Machine {
    name: "confidential",
    about: "the same, booted with lockdown=confidentiality",
    cmdline: "kunit.enable=0 lockdown=confidentiality",
    ..VENDOR
};

/// The kernel's mock CXL topology.
pub static CXL_TEST: Machine = Machine {
    name: "cxl-test",
    about: "the kernel's cxl_test modules, two NUMA nodes",
    modules: "modules-cxl-test",
    is_numa: true,
    ..BASE
};

/// Mainline's mlx5 driver in C in the place of ours.
pub static MAINLINE: Machine = Machine {
    name: "mainline",
    about: "no devices, mainline's C driver for mlx5",
    modules: "modules-mainline",
    ..BASE
};

/// fwctl is part of the kernel image.
pub static BUILTIN: Machine = Machine {
    name: "builtin",
    about: "FWCTL=y, no devices",
    flavour: "builtin",
    ..BASE
};

/// fwctl and CXL are part of the kernel image.
pub static BUILTIN_CXL: Machine = Machine {
    name: "builtin-cxl",
    about: "FWCTL=y, one emulated CXL type 3 device",
    flavour: "builtin",
    cxl_devices: 1,
    ..BASE
};

/// Debian's own kernel, with our modules as DKMS built and signed them.
pub static STOCK: Machine = Machine {
    name: "stock",
    about: "Debian's own kernel, one emulated ConnectX",
    flavour: "stock",
    emulated: &[CARD],
    cmdline: "",
    ..BASE
};

/// The same, locked down, where nobody has enrolled DKMS's key.
pub static STOCK_LOCKED: Machine = Machine {
    name: "stock-locked",
    about: "Debian's own kernel, locked down",
    cmdline: "lockdown=integrity",
    ..STOCK
};

/// The same behind a firmware that knows Debian's key and DKMS's, and locks the kernel down.
pub static STOCK_SECURE: Machine = Machine {
    name: "stock-secure",
    about: "Debian's own kernel, Secure Boot, DKMS's key enrolled, and the vendors' own tools",
    has_secure_boot: true,
    has_vendor_tools: true,
    ..STOCK
};

/// Our core and mainline's, of which one can be loaded at a time.
pub static CORES: Machine = Machine {
    name: "cores",
    about: "no devices, our core and mainline's",
    other_modules: Some("modules-mainline-core"),
    ..BASE
};

/// Where lockdep reports a seeded bug, and then nothing more.
pub static SEEDED: Machine = Machine {
    name: "seeded",
    about: "the same, for bugs that lockdep reports",
    ..CORES
};

/// Where the auxiliary bus cannot be used afterwards.
pub static FORGETFUL: Machine = Machine {
    name: "forgetful",
    about: "no devices, for a module that forgets its driver",
    ..BASE
};

/// What an ioctl costs, in instructions.
pub static BENCH: Machine = Machine {
    name: "bench",
    about: "no devices, both cores, a kernel without checks, instructions counted",
    flavour: "bench",
    is_counted: true,
    cmdline: "kunit.enable=0 clocksource=tsc",
    ..CORES
};

/// What an ioctl of the mlx5 drivers costs, as far as the firmware has no part in it.
pub static BENCH_CONNECTX: Machine = Machine {
    name: "bench-connectx",
    about: "the same with one emulated ConnectX",
    emulated: &[CARD],
    // The card is no part of the machine, so that no time may be skipped while it answers.
    cmdline: "kunit.enable=0 clocksource=tsc idle=poll",
    ..BENCH
};

/// The same for the CXL drivers.
pub static BENCH_MEMORY: Machine = Machine {
    name: "bench-memory",
    about: "the same with one CXL memory device of fwctl-emu",
    emulated: &[MEMORY],
    ..BENCH_CONNECTX
};

/// What two processors do at a time.
pub static BENCH_SMP: Machine = Machine {
    name: "bench-smp",
    about: "no devices, both cores, a kernel without checks",
    flavour: "bench",
    ..CORES
};

/// Where the checks of the kernel "debug" are tried.
pub static SEEDED_BUGS: Machine = Machine {
    name: "seeded-bugs",
    about: "no devices, modules with seeded bugs, the kernel with KASAN",
    flavour: "debug",
    has_seeded_bugs: true,
    ..BASE
};

/// Where KCSAN is tried.
pub static RACES: Machine = Machine {
    name: "races",
    about: "no devices, modules with races, the kernel with KCSAN",
    flavour: "kcsan",
    has_seeded_bugs: true,
    ..BASE
};

/// All of them, in the order in which `test` boots them.
pub static MACHINES: &[&Machine] = &[
    &PLAIN,
    &PLAIN_LEAKS,
    &KUNIT,
    &CXL,
    &CXL_LEAKS,
    &CXL2,
    &CONNECTX,
    &CONNECTX_FAULTS,
    &CONNECTX_MAINLINE,
    &CONNECTX_LEAKS,
    &CONNECTX2,
    &CXL_EMULATED,
    &CXL_MAILBOXES,
    &CXL_FEATURELESS,
    &BOTH,
    &VENDOR,
    &LOCKED,
    &CONFIDENTIAL,
    &CXL_TEST,
    &MAINLINE,
    &BUILTIN,
    &BUILTIN_CXL,
    &STOCK,
    &STOCK_LOCKED,
    &STOCK_SECURE,
    &CORES,
    &SEEDED,
    &FORGETFUL,
    &BENCH,
    &BENCH_CONNECTX,
    &BENCH_MEMORY,
    &BENCH_SMP,
    &SEEDED_BUGS,
    &RACES,
];

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
