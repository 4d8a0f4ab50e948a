// SPDX-License-Identifier: MIT OR Apache-2.0

//! Paths of the built files, and advice if one is missing.
//!
//! ```text
//! OUT/kernel/FLAVOUR/bzImage                                 FLAVOUR stock: Debian's kernel
//! OUT/seeded/FLAVOUR/NAME.ko                                 modules with seeded bugs
//! OUT/kernel/stock/{firmware,variables}.fd                   UEFI firmware with Secure Boot, and its keys
//! OUT/kernel/FLAVOUR/modules/lib/modules/RELEASE/            what `make modules_install` wrote
//! OUT/kernel/test/modules-cxl-test/lib/modules/RELEASE/      the same with tools/testing/cxl in updates/
//! OUT/kernel/test/modules-mainline/lib/modules/RELEASE/      the same with mainline's mlx5_fwctl in updates/
//! OUT/kernel/test/modules-unpatched/lib/modules/RELEASE/     the same with the unpatched pds_core in updates/
//! OUT/kernel/FLAVOUR/modules-mainline-core/lib/modules/...   the same with mainline's core in C instead of ours
//! OUT/bin/fwctl                                              the CLI, static
//! OUT/bin/fwctl-ioctl-fuzz                                   the fuzzer of the ioctls, static
//! OUT/bin/fwctl-emu                                          the emulated devices
//! OUT/selftests/...                                          the kselftest programs
//! OUT/arm64/...                                              the same for arm64 (Image), with busybox, the guest's init
//!                                                            (fwctl-vm) and QEMU in bin/
//! OUT/vendor/...                                             the vendors' tools, with the guest's paths
//! ```

use crate::arch::Arch;
use crate::case::Test;
use crate::cli::TEST_KERNEL;
use crate::kernel;
use crate::machine::Machine;
use anyhow::{bail, ensure, Context, Result};
use std::path::{Path, PathBuf};

/// The directory with the built files.
#[derive(Clone, Debug)]
pub struct Artifacts {
    root: PathBuf,
    arch: &'static Arch,
    kernel: String,
    /// Pieces of the build that are not there, each with the reason.
    absent: Vec<(String, String)>,
}

/// A built file without which a test cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A program of the selftests.
    Selftest(&'static str),
    /// A kernel module, loadable or built in.
    Module(&'static str),
    /// The command line tool.
    Cli,
    /// The fuzzer of the ioctls.
    Fuzzer,
    /// An example of the C API.
    Example(&'static str),
}

impl Artifacts {
    /// The artifacts in `root`, with `arch` and `kernel` for the machines that do not name one.
    pub fn new(root: &Path, arch: &'static Arch, kernel: &str) -> Result<Self> {
        ensure!(
            root.is_dir(),
            "there is no folder {}: build first (`make kernel`), or name the folder with --artifacts",
            root.display()
        );
        let root = root
            .canonicalize()
            .with_context(|| root.display().to_string())?;
        Ok(Artifacts {
            root,
            arch,
            kernel: kernel.to_string(),
            absent: Vec::new(),
        })
    }

    /// The artifacts without some pieces of the build, each with the reason.
    pub fn without(self, absent: Vec<(String, String)>) -> Self {
        Artifacts { absent, ..self }
    }

    /// Folder of the machine's kernel below `kernel/`.
    pub fn flavour<'a>(&'a self, machine: &Machine) -> &'a str {
        flavour(machine, &self.kernel)
    }

    /// The machine's architecture.
    pub fn arch(&self, machine: &Machine) -> &'static Arch {
        arch(machine, self.arch)
    }

    /// Returns why the requested kernel is not tested on this machine, if so.
    pub fn is_left_out(&self, machine: &Machine) -> Option<String> {
        is_left_out(machine, self.arch, &self.kernel)
    }

    /// Returns why the kernel of a test's machine cannot run it, if so.
    pub fn lacks(&self, test: &Test) -> Option<String> {
        let arch = self.arch(test.machine);
        if let Some(module) = arch.leaves_out(test.needs) {
            return Some(format!("the {} kernel has no {module}", arch.name));
        }
        let flavour = self.flavour(test.machine);
        let what = kernel::of(flavour).lacks(test.name)?;
        Some(format!("the kernel {flavour} lacks {what}"))
    }

    /// `OUT/logs`.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Where the guest's files are: `OUT`, or a folder in it for another architecture.
    fn guest(&self, machine: &Machine) -> PathBuf {
        self.arch(machine).in_artifacts(&self.root)
    }

    /// `OUT/selftests`.
    pub fn selftests(&self, machine: &Machine) -> PathBuf {
        self.guest(machine).join("selftests")
    }

    /// `OUT/bin/fwctl`.
    pub fn cli(&self, machine: &Machine) -> PathBuf {
        self.guest(machine).join("bin/fwctl")
    }

    /// `OUT/bin/fwctl-ioctl-fuzz`.
    pub fn fuzzer(&self, machine: &Machine) -> PathBuf {
        self.guest(machine).join("bin/fwctl-ioctl-fuzz")
    }

    /// The examples of the C API.
    pub fn examples(&self, machine: &Machine) -> PathBuf {
        self.guest(machine).join("examples")
    }

    /// The guest's init: this program, as built for the machine.
    pub fn init(&self, machine: &Machine) -> Result<PathBuf> {
        if self.arch(machine).is_separate() {
            return Ok(self.guest(machine).join("bin/fwctl-vm"));
        }
        std::env::current_exe().context("cannot find this program's own file")
    }

    /// The guest's busybox: `own`, or the one that was built for the machine.
    pub fn busybox(&self, machine: &Machine, own: &Path) -> PathBuf {
        if self.arch(machine).is_separate() {
            return self.guest(machine).join("bin/busybox");
        }
        own.into()
    }

    /// QEMU for the machine: `own`, or another one for another architecture.
    pub fn qemu(&self, machine: &Machine, own: &Path) -> PathBuf {
        let other = self.arch(machine).qemu;
        other.map_or(own.into(), |path| self.guest(machine).join(path))
    }

    /// `OUT/bin/fwctl-emu`.
    pub fn emu(&self) -> PathBuf {
        self.root.join("bin/fwctl-emu")
    }

    /// `OUT/seeded/FLAVOUR`.
    pub fn seeded(&self, machine: &Machine) -> PathBuf {
        self.root.join("seeded").join(self.flavour(machine))
    }

    /// `OUT/vendor`.
    pub fn vendor(&self) -> PathBuf {
        self.root.join("vendor")
    }

    /// Returns why the machine, its devices or its tools are unavailable, if so. They are fetched
    /// from the network, so their tests are skipped rather than failed. A failed build counts as a
    /// separate failure.
    pub fn unavailable(&self, machine: &Machine) -> Option<String> {
        let arch = self.arch(machine);
        let needed = pieces(machine, self.arch, &self.kernel);
        let mut absent = self.absent.iter();
        if let Some((piece, why)) = absent.find(|(piece, _)| needed.contains(piece)) {
            return Some(format!("{piece} is absent: {why}"));
        }
        if arch.is_separate() && (self.kernel(machine).is_err() || !self.cli(machine).is_file()) {
            return Some(format!(
                "the {} kernel, or what runs on it, is absent: Debian's mirror could not be reached",
                arch.name
            ));
        }
        if machine.flavour.starts_with("stock") && self.kernel(machine).is_err() {
            let why = "Debian's mirror could not be reached";
            return Some(format!("Debian's kernel with our modules is absent: {why}"));
        }
        if !machine.emulated.is_empty() && !self.emu().is_file() {
            let why = "crates.io could not be reached when it was to be built";
            return Some(format!("there is no fwctl-emu: {why}"));
        }
        if machine.has_vendor_tools && !self.vendor().is_dir() {
            let why = "Debian's packages of them could not be had";
            return Some(format!("there are no vendors' tools: {why}"));
        }
        None
    }

    /// The machine's kernel image.
    pub fn kernel(&self, machine: &Machine) -> Result<PathBuf> {
        let path = self
            .guest(machine)
            .join("kernel")
            .join(self.flavour(machine))
            .join(self.arch(machine).image);
        ensure!(
            path.is_file(),
            "there is no kernel {}: run `make kernel`",
            path.display()
        );
        Ok(path)
    }

    /// The machine's `lib/modules/RELEASE`.
    pub fn modules(&self, machine: &Machine) -> Result<PathBuf> {
        self.modules_in(machine, machine.modules)
    }

    /// The same in another folder of the machine's kernel.
    pub fn modules_in(&self, machine: &Machine, folder: &str) -> Result<PathBuf> {
        let tree = self
            .guest(machine)
            .join("kernel")
            .join(self.flavour(machine))
            .join(folder);
        let base = tree.join("lib/modules");
        let mut found = Vec::new();
        for entry in base.read_dir().into_iter().flatten() {
            let path = entry?.path();
            if path.join("modules.dep").is_file() {
                found.push(path);
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => bail!(
                "there are no modules in {}: run `make kernel`",
                base.display()
            ),
            _ => bail!(
                "{} holds the modules of several kernels: remove {} and run `make kernel`",
                base.display(),
                tree.display()
            ),
        }
    }

    /// Says what to do about `need`, if it is not there.
    pub fn missing(&self, machine: &Machine, need: Need) -> Option<String> {
        let program = |path: PathBuf, target| {
            (!path.is_file())
                .then(|| format!("there is no {}: `make {target}` builds it", path.display()))
        };
        match need {
            Need::Selftest(name) => program(self.selftests(machine).join(name), "test"),
            Need::Cli => program(self.cli(machine), "run"),
            Need::Fuzzer => program(self.fuzzer(machine), "fuzz"),
            Need::Example(name) => program(self.examples(machine).join(name), "test"),
            Need::Module(name) => match self.modules(machine) {
                Err(error) => Some(format!("{error:#}")),
                Ok(dir) => {
                    let lists = ["modules.dep", "modules.builtin"];
                    let found = lists.iter().any(|list| {
                        let text = std::fs::read_to_string(dir.join(list)).unwrap_or_default();
                        lists_module(&text, name)
                    });
                    (!found).then(|| {
                        format!(
                            "there is no module {name} in {}: run `make kernel`",
                            dir.display()
                        )
                    })
                }
            },
        }
    }
}

/// Folder of a machine's kernel: its own, or `kernel`, which takes the place of the usual one.
pub fn flavour<'a>(machine: &Machine, kernel: &'a str) -> &'a str {
    match machine.flavour {
        TEST_KERNEL => kernel,
        own => own,
    }
}

/// The architecture of a machine: its own, or `wanted`, which takes the place of the usual one.
pub fn arch(machine: &Machine, wanted: &'static Arch) -> &'static Arch {
    match machine.flavour {
        TEST_KERNEL => wanted,
        _ => machine.arch,
    }
}

/// The pieces of the build that tests on the machine need.
pub fn pieces(machine: &Machine, wanted: &'static Arch, kernel: &str) -> Vec<String> {
    let flavour = flavour(machine, kernel);
    let arch = arch(machine, wanted);
    let mut pieces = vec![
        "tools".to_string(),
        arch.piece("tools"),
        arch.piece("selftests"),
        arch.piece(&format!("kernel-{flavour}")),
    ];
    if !machine.emulated.is_empty() {
        pieces.push("emu".into());
    }
    if machine.has_vendor_tools {
        pieces.push("vendor".into());
    }
    if machine.has_seeded_bugs {
        pieces.push(format!("mistakes-{flavour}"));
    }
    pieces
}

/// Why the machine has no part in tests of `kernel` for the architecture `wanted`.
pub fn is_left_out(machine: &Machine, wanted: &'static Arch, kernel: &str) -> Option<String> {
    let flavour = flavour(machine, kernel);
    if wanted.is_separate() && arch(machine, wanted) != wanted {
        Some(format!(
            "it needs a kernel that is not built for {}",
            wanted.name
        ))
    } else if let Some(lack) = wanted.lacks(machine) {
        Some(format!("on {} there are no {lack}", wanted.name))
    } else if flavour == kernel {
        let is_own = machine.flavour == kernel;
        let is_served = is_own || kernel::of(kernel).serves(machine.name);
        (!is_served).then(|| format!("the kernel {kernel} lacks options or drivers that it needs"))
    } else if kernel != TEST_KERNEL {
        Some(format!("it needs a specific kernel, not {kernel}"))
    } else {
        kernel::of(flavour)
            .has_checkers
            .then(|| format!("it is about another kernel: make test KERNEL={flavour}"))
    }
}

/// Whether a `modules.dep` or `modules.builtin` names the module.
fn lists_module(list: &str, name: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or(line);
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.split(".ko").next().unwrap_or(file);
        stem.replace('-', "_") == name.replace('-', "_")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ARM64, X86_64};
    use crate::machine;
    use std::fs;

    #[test]
    fn module_lists() {
        let dep = "kernel/drivers/fwctl/fwctl.ko:\nupdates/fwctl-loopback.ko: kernel/fwctl.ko\n";
        assert!(lists_module(dep, "fwctl"));
        assert!(lists_module(dep, "fwctl_loopback"));
        assert!(!lists_module(dep, "fwctl_loopback_c"));
        assert!(!lists_module(dep, "loopback"));
        assert!(lists_module("kernel/drivers/fwctl/fwctl.ko\n", "fwctl"));
    }

    #[test]
    fn machines_that_are_left_out() {
        let is_left_out = |machine, kernel| is_left_out(machine, &X86_64, kernel);
        assert_eq!(is_left_out(&machine::PLAIN, TEST_KERNEL), None);
        assert_eq!(is_left_out(&machine::BUILTIN, TEST_KERNEL), None);
        assert_eq!(is_left_out(&machine::PLAIN, "debug"), None);
        assert_eq!(is_left_out(&machine::SEEDED_BUGS, "debug"), None);
        assert!(is_left_out(&machine::BUILTIN, "debug").is_some());
        // Each machine is searched for leaks there, but these have the sweeps of faults and the
        // fuzzer, too.
        assert_eq!(is_left_out(&machine::CONNECTX_LEAKS, "debug"), None);
        assert!(is_left_out(&machine::SEEDED_BUGS, "kcsan").is_some());
        assert!(is_left_out(&machine::PLAIN, "c").is_some());
        for kernel in [TEST_KERNEL, "c"] {
            assert_eq!(is_left_out(&machine::C_CORE, kernel), None);
        }
        assert!(is_left_out(&machine::C_CORE, "debug").is_some());
        let advice = is_left_out(&machine::SEEDED_BUGS, TEST_KERNEL).unwrap();
        assert!(advice.contains("KERNEL=debug"), "{advice}");
    }

    #[test]
    fn another_architecture() {
        let is_left_out = |machine, kernel| is_left_out(machine, &ARM64, kernel);
        assert_eq!(is_left_out(&machine::PLAIN, TEST_KERNEL), None);
        assert_eq!(is_left_out(&machine::ARM64_STOCK, TEST_KERNEL), None);
        assert_eq!(is_left_out(&machine::CONNECTX, "64k"), None);
        assert!(is_left_out(&machine::ARM64_STOCK, "64k").is_some());
        for machine in [&machine::CXL, &machine::STOCK, &machine::BUILTIN] {
            let reason = is_left_out(machine, TEST_KERNEL).unwrap();
            assert!(reason.contains("arm64"), "{reason}");
        }
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(dir.path(), &ARM64, "16k").unwrap();
        let error = artifacts.kernel(&machine::PLAIN).unwrap_err();
        assert!(error.to_string().contains("/arm64/kernel/16k/Image"));
        let artifacts = Artifacts::new(dir.path(), &X86_64, TEST_KERNEL).unwrap();
        assert_eq!(artifacts.arch(&machine::PLAIN), &X86_64);
        assert_eq!(artifacts.arch(&machine::ARM64_STOCK), &ARM64);
    }

    #[test]
    fn what_is_absent_for_another_reason_is_not_blamed_on_the_network() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(dir.path(), &X86_64, TEST_KERNEL).unwrap();
        let why = |artifacts: &Artifacts| artifacts.unavailable(&machine::CONNECTX).unwrap();
        assert!(why(&artifacts).contains("crates.io"));
        let absent = |piece: &str| (piece.to_string(), "it did not build".to_string());
        let artifacts = artifacts.without(vec![absent("vendor"), absent("emu")]);
        assert_eq!(why(&artifacts), "emu is absent: it did not build");
        assert_eq!(artifacts.unavailable(&machine::PLAIN), None);
        let artifacts = artifacts.without(vec![absent("arm64-selftests"), absent("kernel-test")]);
        let why = artifacts.unavailable(&machine::ARM64_STOCK).unwrap();
        assert_eq!(why, "arm64-selftests is absent: it did not build");
        let why = artifacts.unavailable(&machine::PLAIN).unwrap();
        assert_eq!(why, "kernel-test is absent: it did not build");
    }

    #[test]
    fn errors_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = Artifacts::new(&dir.path().join("none"), &X86_64, TEST_KERNEL).unwrap_err();
        assert!(error.to_string().contains("make kernel"));

        let artifacts = Artifacts::new(dir.path(), &X86_64, TEST_KERNEL).unwrap();
        let error = artifacts.kernel(&machine::PLAIN).unwrap_err();
        assert!(error.to_string().contains("make kernel"));
        let error = artifacts.modules(&machine::PLAIN).unwrap_err();
        assert!(error.to_string().contains("make kernel"));

        let tree = dir.path().join("kernel/test/modules/lib/modules");
        for release in ["7.3.4", "7.3.5"] {
            fs::create_dir_all(tree.join(release)).unwrap();
            fs::write(tree.join(release).join("modules.dep"), "a/fwctl.ko:\n").unwrap();
        }
        let error = artifacts.modules(&machine::PLAIN).unwrap_err();
        assert!(error.to_string().contains("several kernels"));
        fs::remove_dir_all(tree.join("7.3.4")).unwrap();
        assert_eq!(
            artifacts.missing(&machine::PLAIN, Need::Module("fwctl")),
            None
        );
        for need in [
            Need::Module("x"),
            Need::Selftest("x"),
            Need::Cli,
            Need::Fuzzer,
        ] {
            let advice = artifacts.missing(&machine::PLAIN, need).unwrap();
            assert!(advice.contains("`make "), "{advice}");
        }
    }
}
