// SPDX-License-Identifier: MIT OR Apache-2.0

//! From options to a booted machine.

pub mod artifacts;
pub mod emulated;
pub mod image;
pub mod initramfs;
pub mod qemu;
pub mod session;
pub mod shell;
pub mod vm;

use crate::cli::{Accel, Options};
use crate::kernel;
use crate::machine::Machine;
use anyhow::{bail, ensure, Context, Result};
use artifacts::Artifacts;
use emulated::Emulator;
use qemu::{quote, Launch, Sockets};
use session::{Boot, NoBoot, Session};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

/// Time until a machine must be up, in seconds.
const BOOT_LIMIT: u64 = 90;

/// Time until the kernel's first message, in seconds; it usually takes less than one.
const SILENCE_LIMIT: u64 = 30;

/// What firmware takes before it starts the kernel, at most, in seconds.
const FIRMWARE_LIMIT: u64 = 90;

/// Time for an emulated device to start, or to end after QEMU, in seconds.
const EMULATOR_LIMIT: u64 = 10;

/// How often to boot a machine whose kernel disables the timer of its processor.
const MAX_BOOTS: u32 = 3;

/// What the verbs need to know of the host.
pub struct Host {
    /// As given on the command line.
    pub options: Options,
    /// What was built.
    pub artifacts: Artifacts,
    /// Where logs go; made on first use.
    pub logs: PathBuf,
    accel: Mutex<Accel>,
}

/// A booted machine and the folder with its sockets and initramfs.
pub struct Booted {
    /// The machine; dropped, and so killed, before its devices and its folder.
    pub session: Session,
    emulators: Vec<Emulator>,
    patience: Duration,
    /// Its kind.
    pub machine: &'static str,
    /// Its kernel log.
    pub console_log: PathBuf,
    _dir: TempDir,
}

/// An emulated device did not end as it should.
pub struct BadEnd {
    /// Its name on the machine.
    pub name: &'static str,
    /// What was wrong.
    pub what: String,
    /// What the device said.
    pub log: PathBuf,
}

impl Booted {
    /// Whether each emulated device is still there.
    pub fn has_its_devices(&mut self) -> bool {
        !self.emulators.iter_mut().any(Emulator::has_ended)
    }

    /// Ends the machine, then its emulated devices.  `was_detached`: no driver used them any more.
    pub fn end(self, was_detached: bool) -> Vec<BadEnd> {
        drop(self.session);
        finish(self.emulators, was_detached, self.patience)
    }
}

fn finish(emulators: Vec<Emulator>, was_detached: bool, patience: Duration) -> Vec<BadEnd> {
    let end = |emulator: Emulator| {
        let (name, log) = (emulator.name, emulator.log.clone());
        let what = emulator.finish(was_detached, patience)?;
        Some(BadEnd { name, what, log })
    };
    emulators.into_iter().filter_map(end).collect()
}

impl Host {
    /// Checks the options.
    pub fn new(options: &Options) -> Result<Host> {
        let artifacts = options.artifacts.as_deref().context(
            "say where the build is: --artifacts DIR, or FWCTL_ARTIFACTS in the environment",
        )?;
        let factor = options.time_factor;
        ensure!(
            factor.is_finite() && factor > 0.0,
            "--time-factor {factor} is not above 0"
        );
        let artifacts = Artifacts::new(artifacts, options.arch, &options.kernel)?
            .without(options.absent.clone());
        let logs = options.logs.clone().unwrap_or_else(|| artifacts.logs());
        let accel = Mutex::new(options.accel.unwrap_or_else(choose_accel));
        Ok(Host {
            options: options.clone(),
            artifacts,
            logs,
            accel,
        })
    }

    /// How machines run, as far as is known.
    pub fn accel(&self) -> Accel {
        *self.accel.lock().expect("a worker panicked")
    }

    /// How many times as long as usual everything may take.
    pub fn patience(&self) -> f64 {
        self.options.time_factor * kernel::of(&self.options.kernel).slowness
    }

    /// A time limit for this host.
    pub fn limit(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).mul_f64(self.patience())
    }

    /// A file for logs, its folder made.
    pub fn log_file(&self, name: &str) -> Result<PathBuf> {
        fs::create_dir_all(&self.logs)
            .with_context(|| format!("cannot make the folder {}", self.logs.display()))?;
        Ok(self.logs.join(name))
    }

    /// Boots `machine`; `None` for a dry run.
    pub fn boot(&self, machine: &Machine, log_name: &str) -> Result<Option<Booted>> {
        for _ in 1..MAX_BOOTS {
            match self.boot_somehow(machine, log_name)? {
                Some(booted) if booted.session.has_slow_timer() => eprintln!(
                    "fwctl-vm: {}: the kernel could not calibrate its timer, as this host stood still meanwhile; booting again",
                    machine.name
                ),
                booted => return Ok(booted),
            }
        }
        self.boot_somehow(machine, log_name)
    }

    /// Boots with KVM, if that can be used, or without it.
    fn boot_somehow(&self, machine: &Machine, log_name: &str) -> Result<Option<Booted>> {
        match self.try_boot(machine, log_name) {
            // A KVM can be there, start, and get nowhere.
            Err(error) if is_silent(&error) && self.may_emulate() => {
                eprintln!("fwctl-vm: {error}; trying again without KVM");
                *self.accel.lock().expect("a worker panicked") = Accel::Tcg;
                self.try_boot(machine, log_name)
            }
            result => result,
        }
    }

    fn may_emulate(&self) -> bool {
        self.options.accel.is_none() && self.accel() == Accel::Kvm
    }

    fn try_boot(&self, machine: &Machine, log_name: &str) -> Result<Option<Booted>> {
        let kernel = self.artifacts.kernel(machine)?;
        self.artifacts.modules(machine)?;
        if let Some(reason) = self.artifacts.unavailable(machine) {
            bail!(reason);
        }
        let dir = scratch_dir()?;
        let sockets = Sockets::in_dir(dir.path());
        let initramfs = dir.path().join("initramfs");
        let qemu = self.artifacts.qemu(machine, &self.options.qemu);
        let argv = Launch {
            qemu: &qemu,
            machine,
            arch: self.artifacts.arch(machine),
            checks: kernel::of(self.artifacts.flavour(machine)),
            kernel: &kernel,
            initramfs: &initramfs,
            sockets: &sockets,
            dir: dir.path(),
            accel: self.accel(),
            time_factor: self.options.time_factor,
            cmdline: &self.options.append,
        }
        .argv();
        let program = self.artifacts.emu();
        let devices = machine.emulated.iter();
        let devices: Vec<_> = devices
            .map(|device| (device.name, emulated::argv(&program, device, dir.path())))
            .collect();
        if self.options.show_command || self.options.dry_run {
            for argv in devices.iter().map(|(_, argv)| argv).chain([&argv]) {
                eprintln!("{}", quote(argv));
            }
        }
        if self.options.dry_run {
            return Ok(None);
        }
        image::write(&initramfs, &self.artifacts, machine, &self.options.busybox)?;
        let console_log = self.log_file(&format!("{log_name}.console"))?;
        let patience = self.limit(EMULATOR_LIMIT);
        let start = |(name, argv): &(&'static str, Vec<String>)| {
            let log = self.log_file(&format!("{log_name}.{name}"))?;
            Emulator::start(name, argv, log, patience)
        };
        let emulators = devices.iter().map(start).collect::<Result<Vec<_>>>()?;
        let firmware = match machine.has_secure_boot {
            true => FIRMWARE_LIMIT,
            false => 0,
        };
        let booted = Session::boot(Boot {
            argv: &argv,
            sockets: &sockets,
            console_log: console_log.clone(),
            beside: emulators.iter().map(Emulator::process).collect(),
            limit: self.limit(BOOT_LIMIT + firmware),
            silence: self.limit(SILENCE_LIMIT + firmware),
        });
        let session = match booted {
            Ok(session) => session,
            Err(error) => {
                return Err(finish(emulators, false, patience)
                    .into_iter()
                    .fold(error, |error, end| {
                        error.context(format!("the emulated {}: {}", end.name, end.what))
                    }))
            }
        };
        Ok(Some(Booted {
            session,
            emulators,
            patience,
            machine: machine.name,
            console_log,
            _dir: dir,
        }))
    }
}

fn is_silent(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<NoBoot>()
        .is_some_and(|error| error.is_silent)
}

/// KVM if the processor has what it needs and we may use it.
fn choose_accel() -> Accel {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_open = || {
        fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
    };
    // arm64 has no flag for it.
    let has_it = cfg!(target_arch = "aarch64") || has_virtualisation(&cpuinfo);
    if has_it && is_open() {
        Accel::Kvm
    } else {
        Accel::Tcg
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    let mut words = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(|line| line.split(' '));
    words.any(|word| word == "vmx" || word == "svm")
}

/// A folder with a short name: the path of a socket has at most 108 bytes.
fn scratch_dir() -> Result<TempDir> {
    let temp = std::env::temp_dir();
    let base = if temp.as_os_str().len() > 70 {
        Path::new("/tmp")
    } else {
        temp.as_path()
    };
    tempfile::Builder::new()
        .prefix("fwctl-vm.")
        .tempdir_in(base)
        .with_context(|| format!("cannot make a folder in {}", base.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtualisation() {
        assert!(has_virtualisation(
            "processor : 0\nflags\t\t: fpu vmx sse\n"
        ));
        assert!(has_virtualisation("flags\t\t: fpu svm\n"));
        assert!(!has_virtualisation(
            "flags\t\t: fpu sse\nvmx flags\t: svm vnmi\n"
        ));
        assert!(!has_virtualisation(""));
    }
}
