// SPDX-License-Identifier: MIT OR Apache-2.0

//! The architectures of the machines, and how their boards differ.

use crate::host::artifacts::Need;
use crate::machine::Machine;
use std::path::{Path, PathBuf};

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// Name for `--arch` and advice.
    pub name: &'static str,
    /// Folder in the artifacts with what is built for it, and prefix of the names of its pieces.
    /// Empty for x86-64.
    pub folder: &'static str,
    /// File name of the kernel's image.
    pub image: &'static str,
    /// QEMU for it, below that folder; `None` is the one of the option `--qemu`.
    pub qemu: Option<&'static str>,
    /// QEMU's board, with its fixed properties.
    pub board: &'static str,
    /// The CPU to emulate.
    pub cpu: &'static str,
    /// The serial port of the board.
    pub console: &'static str,
    /// Added to the kernel's command line.
    pub cmdline: &'static str,
    /// Modules that our kernels for it are built without.
    pub left_out: &'static [&'static str],
}

/// 64-bit x86.
pub static X86_64: Arch = Arch {
    name: "x86-64",
    folder: "",
    image: "bzImage",
    qemu: None,
    board: "q35,sata=off,smbus=off",
    cpu: "max",
    console: "ttyS0",
    cmdline: "tsc=reliable no_timer_check",
    left_out: &[],
};

/// 64-bit ARM.
pub static ARM64: Arch = Arch {
    name: "arm64",
    folder: "arm64",
    image: "Image",
    qemu: Some("bin/qemu-system-aarch64"),
    board: "virt,gic-version=3",
    // Emulating pointer authentication, as "max" does, takes longer.
    cpu: "cortex-a76",
    console: "ttyAMA0",
    cmdline: "",
    left_out: &["bnxt_fwctl"],
};

/// Returns the architecture of this program.
pub const fn native() -> &'static Arch {
    if cfg!(target_arch = "aarch64") {
        &ARM64
    } else {
        &X86_64
    }
}

/// All of them.
static ALL: &[&Arch] = &[&X86_64, &ARM64];

/// Parses the name of one.
pub fn parse(name: &str) -> Result<&'static Arch, String> {
    let names = || ALL.iter().map(|arch| arch.name).collect::<Vec<_>>();
    let found = ALL.iter().find(|arch| arch.name == name);
    found
        .copied()
        .ok_or_else(|| format!("not one of {}", names().join(", ")))
}

impl Arch {
    /// Returns what a machine needs and our kernel, the board or the tools of this architecture do
    /// not have, if anything.
    pub fn lacks(&self, machine: &Machine) -> Option<&'static str> {
        if !self.is_separate() {
            return None;
        }
        if machine.cxl_devices > 0 {
            Some("CXL devices of QEMU, which ACPI describes")
        } else if machine.has_vendor_tools {
            Some("the vendors' tools")
        } else if machine.can_suspend {
            Some("a board that suspends to RAM")
        } else if machine.modules != "modules" || machine.other_modules.is_some() {
            Some("modules of mainline or of cxl_test")
        } else {
            None
        }
    }

    /// Returns the module among the needs of a test that our kernels for it are built without, if
    /// any.
    pub fn leaves_out(&self, needs: &[Need]) -> Option<&'static str> {
        let mut left_out = self.left_out.iter().copied();
        left_out.find(|name| needs.contains(&Need::Module(name)))
    }

    /// Whether its files are in a separate folder.
    pub fn is_separate(&self) -> bool {
        !self.folder.is_empty()
    }

    /// Whether the processors of this host can run its machines.
    pub fn is_native(&self) -> bool {
        self == native()
    }

    /// Its folder in the artifacts `root`.
    pub fn in_artifacts(&self, root: &Path) -> PathBuf {
        root.join(self.folder)
    }

    /// The name of the piece `name` as built for it.
    pub fn piece(&self, name: &str) -> String {
        match self.folder {
            "" => name.into(),
            folder => format!("{folder}-{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine;

    #[test]
    fn names() {
        assert_eq!(parse("arm64"), Ok(&ARM64));
        assert_eq!(parse("x86-64"), Ok(&X86_64));
        assert_eq!(parse("mips").unwrap_err(), "not one of x86-64, arm64");
    }

    #[test]
    fn modules() {
        let needs = [Need::Module("fwctl"), Need::Module("bnxt_fwctl")];
        assert_eq!(ARM64.leaves_out(&needs), Some("bnxt_fwctl"));
        assert_eq!(ARM64.leaves_out(&needs[..1]), None);
        assert_eq!(X86_64.leaves_out(&needs), None);
    }

    #[test]
    fn what_is_lacking() {
        assert_eq!(ARM64.lacks(&machine::CONNECTX), None);
        assert_eq!(ARM64.lacks(&machine::CXL_EMULATED), None);
        for machine in [
            &machine::BOTH,
            &machine::CXL,
            &machine::CONNECTX_MAINLINE,
            &machine::CORES,
        ] {
            assert!(ARM64.lacks(machine).is_some(), "{}", machine.name);
            assert_eq!(X86_64.lacks(machine), None);
        }
    }
}
