// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices of `fwctl-emu`: one process each, to which QEMU connects over vfio-user.
//!
//! A process starts before QEMU and ends with QEMU's connection, reporting the resources that the
//! driver left.  QEMU does not survive the end of a process, so QEMU is ended first.

use crate::machine::Emulated;
use crate::pace::{Clock, Deadline};
use crate::sys;
use anyhow::{bail, Context, Result};
use rustix::process::{kill_process, Pid, Signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What it says when QEMU can connect.
const READY: &str = "ready";

/// How soon its end is noticed.
const TICK: Duration = Duration::from_millis(5);

/// Exit status: a driver left something behind.
const EXIT_LEAKS: i32 = 3;

/// A running device.
pub struct Emulator {
    /// Its name on the machine.
    pub name: &'static str,
    /// What it said.
    pub log: PathBuf,
    child: Child,
}

/// Where a device's sockets are, as QEMU and the device itself are told.
#[derive(Clone, Debug)]
pub struct EmulatorSockets {
    /// vfio-user.
    pub device: PathBuf,
    /// Faults and counters.
    pub control: PathBuf,
}

impl EmulatorSockets {
    /// The sockets of the device `name` in `dir`.
    pub fn in_dir(dir: &Path, name: &str) -> EmulatorSockets {
        EmulatorSockets {
            device: dir.join(format!("{name}.vfio")),
            control: dir.join(format!("{name}.control")),
        }
    }
}

/// How to start a device.
pub fn argv(program: &Path, device: &Emulated, dir: &Path) -> Vec<String> {
    let sockets = EmulatorSockets::in_dir(dir, device.name);
    let text = |path: &Path| path.display().to_string();
    let mut argv = vec![text(program), device.kind.into()];
    argv.extend(["--socket".into(), text(&sockets.device)]);
    argv.extend(["--control".into(), text(&sockets.control)]);
    argv.extend(device.arguments.iter().map(|word| word.to_string()));
    argv
}

impl Emulator {
    /// Starts a device and waits until QEMU can connect.
    pub fn start(
        name: &'static str,
        argv: &[String],
        log: PathBuf,
        limit: Duration,
    ) -> Result<Emulator> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file);
        // Its own group, as QEMU has: Ctrl-C on the terminal is for us to answer.
        let child = sys::die_with_parent(command.process_group(0)).spawn();
        let mut child = child.with_context(|| format!("cannot run {}", argv[0]))?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut emulator = Emulator { name, log, child };

        let (sender, said) = channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            // It never writes to a closed pipe.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let mut clock = emulator.clock();
        let deadline = Deadline::after(clock.now(), limit);
        let said = loop {
            match said.recv_timeout(TICK) {
                Err(RecvTimeoutError::Timeout) if !deadline.is_over(clock.now()) => {}
                end => break end,
            }
        };
        match said {
            Ok(line) if line.trim_end() == READY => Ok(emulator),
            Ok(_) => {
                let _ = emulator.child.wait();
                bail!(
                    "the emulated {name} does not start: {}",
                    emulator.last_lines()
                )
            }
            Err(_) => bail!(
                "the emulated {name} was not ready after {} s",
                limit.as_secs()
            ),
        }
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn clock(&self) -> Clock {
        Clock::new(vec![self.process()])
    }

    /// Whether it has ended; QEMU and the guest then have no device any more.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// After QEMU's end: waits for the device's, and says what was wrong with it.
    ///
    /// `was_detached` says that the guest's driver had let go of the device, so that anything it
    /// still holds is a leak.
    pub fn finish(mut self, was_detached: bool, patience: Duration) -> Option<String> {
        let Some(status) = self.wait(patience) else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            return Some(format!(
                "it did not end with QEMU, not even on SIGTERM; {}",
                self.last_lines()
            ));
        };
        complaint(status, &self.said(), was_detached)
    }

    /// Its end, which follows from QEMU's; asks for it if it does not come.
    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        for is_asked in [false, true] {
            if is_asked {
                let _ = kill_process(Pid::from_child(&self.child), Signal::Term);
            }
            let mut clock = self.clock();
            let deadline = Deadline::after(clock.now(), patience);
            while !deadline.is_over(clock.now()) {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Some(status);
                }
                thread::sleep(TICK);
            }
        }
        None
    }

    fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn last_lines(&self) -> String {
        last_lines(&self.said())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was wrong with a device that ended like this.
fn complaint(status: ExitStatus, said: &str, was_detached: bool) -> Option<String> {
    let lines = |what: &str| -> Vec<&str> {
        let found = said.lines().filter(|line| line.contains(what));
        found
            .map(|line| line.trim_start_matches("fwctl-emu: "))
            .collect()
    };
    // A thread can panic without the process.
    let panics = lines("panicked at");
    if !panics.is_empty() {
        return Some(format!("it panicked: {}", last_lines(said)));
    }
    match status.code() {
        Some(0) => None,
        Some(EXIT_LEAKS) if !was_detached => None,
        Some(EXIT_LEAKS) => {
            let leaks = lines("leak: ");
            let what = if leaks.is_empty() {
                last_lines(said)
            } else {
                leaks.join("; ")
            };
            Some(format!("its driver left something behind: {what}"))
        }
        Some(code) => Some(format!("it ended with status {code}: {}", last_lines(said))),
        None => {
            let signal = status.signal().unwrap_or_default();
            Some(format!("signal {signal} ended it: {}", last_lines(said)))
        }
    }
}

/// The last few lines, as one.
fn last_lines(said: &str) -> String {
    const MOST: usize = 4;
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.len() {
        0 => "it said nothing".into(),
        count => lines[count.saturating_sub(MOST)..].join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Emulated, Slot};

    #[test]
    fn command_line() {
        let device = Emulated {
            name: "card",
            kind: "connectx",
            arguments: &["--serial", "1"],
            slot: Slot::RootPort,
        };
        assert_eq!(
            argv(Path::new("/e"), &device, Path::new("/d")).join(" "),
            "/e connectx --socket /d/card.vfio --control /d/card.control --serial 1"
        );
    }

    #[test]
    fn complaints() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let leak = "fwctl-emu: 9 commands\nfwctl-emu: leak: user context 3\n";
        assert_eq!(complaint(exited(0), "fwctl-emu: clean\n", true), None);
        assert_eq!(complaint(exited(3), leak, false), None);
        let what = complaint(exited(3), leak, true).unwrap();
        assert!(what.ends_with(": leak: user context 3"), "{what}");
        let what = complaint(exited(101), "a\n\nb\nc\nd\ne\n", false).unwrap();
        assert_eq!(what, "it ended with status 101: b; c; d; e");
        let what = complaint(ExitStatus::from_raw(9), "", false).unwrap();
        assert_eq!(what, "signal 9 ended it: it said nothing");
        let panic = "thread '<unnamed>' panicked at src/a.rs:1:2:\nboom\n";
        assert!(complaint(exited(0), panic, false).unwrap().contains("boom"));
    }

    fn start(script: &str, limit: Duration) -> Result<Emulator> {
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let argv = ["/bin/sh", "-c", script].map(String::from);
        Emulator::start("card", &argv, log.keep().unwrap(), limit)
    }

    #[test]
    fn life_and_death() {
        let long = Duration::from_secs(30);
        let short = Duration::from_millis(100);
        let mut emulator = start("echo ready; echo leak: x >&2; exit 3", long).unwrap();
        while !emulator.has_ended() {
            thread::sleep(Duration::from_millis(5));
        }
        let what = emulator.finish(true, long).unwrap();
        assert!(what.contains("leak: x"), "{what}");
        let emulator = start("echo ready; exec sleep 600", long).unwrap();
        let what = emulator.finish(true, short).unwrap();
        assert!(what.starts_with("signal 15 ended it"), "{what}");
        let deaf = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
        let what = start(deaf, long).unwrap().finish(true, short).unwrap();
        assert!(what.contains("not even on SIGTERM"), "{what}");

        let error = start("echo no socket >&2; exit 1", long).err().unwrap();
        assert!(
            error.to_string().ends_with("does not start: no socket"),
            "{error}"
        );
        let error = start("exec sleep 600", short).err().unwrap();
        assert!(error.to_string().contains("was not ready"), "{error}");
        assert!(Emulator::start("card", &["/no/such".into()], "/dev/null".into(), long).is_err());
    }
}
