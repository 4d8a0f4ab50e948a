// SPDX-License-Identifier: MIT OR Apache-2.0

//! The architectures of the machines, and how their boards differ.

use std::path::{Path, PathBuf};

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// Name for advice.
    pub name: &'static str,
    /// Folder in the artifacts with what is built for it, and prefix of the names of its pieces.
    /// Empty for the architecture of this program.
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
};

impl Arch {
    /// Whether machines of it are always emulated here.
    pub fn is_foreign(&self) -> bool {
        !self.folder.is_empty()
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
