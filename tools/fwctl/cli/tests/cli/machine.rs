// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine made of files: sysfs, nodes that answer from a recording, and the command running on
//! it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub struct Machine {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub bytes: Vec<u8>,
}

impl Machine {
    /// A Linux without fwctl.
    pub fn without_fwctl() -> Machine {
        let machine = Machine {
            dir: TempDir::new().unwrap(),
        };
        machine.write("sys/class/net/uevent", "");
        machine.write("proc/sys/kernel/osrelease", "7.3.4\n");
        machine.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        machine.write("etc/group", "root:x:0:\n");
        machine
    }

    /// fwctl is loaded, and has no devices.
    pub fn new() -> Machine {
        let machine = Machine::without_fwctl();
        fs::create_dir_all(machine.path("sys/class/fwctl")).unwrap();
        machine
    }

    /// One CXL memory device, `mem0`, that answers from a recording.
    pub fn with_cxl(recording: &str) -> Machine {
        let machine = Machine::new();
        machine.add_cxl(0, "0000:0d:00.0", recording);
        machine
    }

    /// Adds CXL memory device `mem<number>` as `fwctl<number>`.
    pub fn add_cxl(&self, number: u32, address: &str, recording: &str) {
        let function = self.add_function(address, "cxl_pci", 0x8086, 0x0d93);
        let memdev = format!("{function}/mem{number}");
        self.link(&format!("{memdev}/subsystem"), "sys/bus/cxl");
        self.write(&format!("{memdev}/serial"), "0xabcd\n");
        self.write(&format!("{memdev}/firmware_version"), "BWFW VERSION 00\n");
        self.add_fwctl(number, &memdev, recording);
    }

    /// Adds a PCI function with a driver as `fwctl<number>`.
    pub fn add_pci(
        &self,
        number: u32,
        address: &str,
        driver: &str,
        ids: (u16, u16),
        recording: &str,
    ) {
        let function = self.add_function(address, driver, ids.0, ids.1);
        self.add_fwctl(number, &function, recording);
    }

    fn add_function(&self, address: &str, driver: &str, vendor: u16, device: u16) -> String {
        let function = format!("sys/devices/pci0000:00/{address}");
        if !self.path(&function).exists() {
            self.link(&format!("{function}/subsystem"), "sys/bus/pci");
            self.link(
                &format!("{function}/driver"),
                &format!("sys/bus/pci/drivers/{driver}"),
            );
            self.write(&format!("{function}/vendor"), &format!("{vendor:#06x}\n"));
            self.write(&format!("{function}/device"), &format!("{device:#06x}\n"));
        }
        function
    }

    fn add_fwctl(&self, number: u32, parent: &str, recording: &str) {
        let name = format!("fwctl{number}");
        let device = format!("{parent}/fwctl/{name}");
        self.link(&format!("{device}/device"), parent);
        self.write(
            &format!("{device}/uevent"),
            &format!("MAJOR=240\nMINOR={number}\nDEVNAME=fwctl/{name}\n"),
        );
        self.link(&format!("sys/class/fwctl/{name}"), &device);
        let node = format!("dev/fwctl/{name}");
        self.write(&node, recording);
        self.set_mode(&node, 0o600);
    }

    /// Adds the attributes of our core to `fwctl<number>`: type, highest scope, and counters.
    pub fn add_attributes(&self, number: u32, device_type: u32, max_scope: &str) {
        let class = format!("sys/class/fwctl/fwctl{number}");
        self.write(&format!("{class}/type"), &format!("{device_type}\n"));
        self.write(&format!("{class}/max_scope"), &format!("{max_scope}\n"));
        for (n, scope) in [
            "configuration",
            "debug-read-only",
            "debug-write",
            "debug-write-full",
        ]
        .into_iter()
        .enumerate()
        {
            let requests = 1000 >> (3 * n);
            for (name, value) in [
                ("requests", requests),
                ("refusals", n),
                ("errors", 3 - n),
                ("time_ms", 7 * requests),
            ] {
                self.write(
                    &format!("{class}/rpc-{scope}/{name}"),
                    &format!("{value}\n"),
                );
            }
        }
    }

    pub fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Path of a file of this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn link(&self, link: &str, to: &str) {
        let (link, to) = (self.path(link), self.path(to));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::create_dir_all(&to).unwrap();
        symlink(to, link).unwrap();
    }

    /// The command on this machine, whose root is the working directory: nodes are called
    /// ./dev/fwctl/...
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwctl"));
        command
            .args(args)
            .env("FWCTL_ROOT", ".")
            .current_dir(self.dir.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with_input(args, &[])
    }

    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that ends before it reads its input closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ended {
            status: output.status.code().expect("the command ended by itself"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }
}

impl Ended {
    /// Asserts everything about the end.
    #[track_caller]
    pub fn is(&self, status: i32, stdout: &str, stderr: &str) {
        assert_eq!(self.stdout, stdout, "stdout");
        assert_eq!(self.stderr, stderr, "stderr");
        assert_eq!(self.status, status, "exit status");
    }
}
