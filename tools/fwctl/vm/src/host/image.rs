// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's root file system: this program as init, busybox, modules, programs under test.

use crate::guest;
use crate::host::artifacts::Artifacts;
use crate::host::initramfs::Archive;
use crate::machine::Machine;
use anyhow::{ensure, Context, Result};
use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder of the test scripts in the guest.
pub const SCRIPTS: &str = "/usr/lib/fwctl-vm";

/// The files of that folder: the name and the text of each in `guest/`.
pub static GUEST_FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

const PROFILE: &str = "\
export PATH=/bin:/sbin HOME=/root
PS1='\\[\\e[1m\\]fwctl-vm\\[\\e[0m\\]:\\w# '
cd
";

/// Writes the initramfs for `machine`.
pub fn write(path: &Path, artifacts: &Artifacts, machine: &Machine, busybox: &Path) -> Result<()> {
    let file = fs::File::create(path)
        .with_context(|| format!("cannot write the initramfs {}", path.display()))?;
    // Uncompressed: under TCG the guest would take longer to unpack it than the host to copy it.
    let mut image = Image {
        archive: Archive::new(BufWriter::new(file)),
    };
    for dir in ["dev", "proc", "sys", "run", "tmp", "root", "sbin"] {
        image.archive.dir(dir)?;
    }
    image.archive.chardev("dev/console", 0o600, 5, 1)?;
    image.archive.chardev("dev/null", 0o666, 1, 3)?;
    image.program("init", &artifacts.init(machine)?)?;
    for name in [guest::emu::NAME, guest::queue::NAME] {
        image.archive.link(&format!("bin/{name}"), "/init")?;
    }
    image.busybox(busybox, &artifacts.busybox(machine, busybox))?;
    image
        .archive
        .file("etc/profile", 0o644, PROFILE.as_bytes())?;
    image.archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    image
        .archive
        .file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    for (name, text) in GUEST_FILES {
        image
            .archive
            .file(&format!("{SCRIPTS}/{name}"), 0o755, text.as_bytes())?;
    }
    image.modules("lib/modules", &artifacts.modules(machine)?)?;
    if let Some(other) = machine.other_modules {
        image.modules(
            &format!("lib/{other}"),
            &artifacts.modules_in(machine, other)?,
        )?;
    }
    for (name, path) in [
        ("bin/fwctl", artifacts.cli(machine)),
        ("bin/fwctl-ioctl-fuzz", artifacts.fuzzer(machine)),
    ] {
        if path.is_file() {
            image.program(name, &path)?;
        }
    }
    image.programs_below("selftests", &artifacts.selftests(machine))?;
    image.programs_below("examples", &artifacts.examples(machine))?;
    if machine.has_seeded_bugs {
        image.programs_below("lib/seeded", &artifacts.seeded(machine))?;
    }
    if machine.has_vendor_tools {
        image.tree(&artifacts.vendor())?;
    }
    image.archive.finish()?;
    Ok(())
}

struct Image<W: Write> {
    archive: Archive<W>,
}

impl<W: Write> Image<W> {
    /// Adds the program `guest`, with links for the applets that `busybox` lists, which runs here.
    fn busybox(&mut self, busybox: &Path, guest: &Path) -> Result<()> {
        let list = Command::new(busybox).arg("--list").output();
        let list = list.with_context(|| {
            format!(
                "cannot run {}: install the package busybox-static",
                busybox.display()
            )
        })?;
        ensure!(
            list.status.success(),
            "`{} --list` fails",
            busybox.display()
        );
        self.program("bin/busybox", guest)?;
        for applet in String::from_utf8_lossy(&list.stdout).split_whitespace() {
            let name = format!("bin/{applet}");
            if !self.archive.has(&name) {
                self.archive.link(&name, "/bin/busybox")?;
            }
        }
        // Where the kernel looks for it (request_module()).
        self.archive.link("sbin/modprobe", "/bin/busybox")
    }

    /// The modules and the lists that busybox's modprobe reads.
    fn modules(&mut self, to: &str, dir: &Path) -> Result<()> {
        let release = dir.file_name().context("the modules' folder has no name")?;
        let to = format!("{to}/{}", release.to_string_lossy());
        for path in files_below(dir)? {
            let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
            if name.ends_with(".ko") || (name.starts_with("modules.") && !name.ends_with(".bin")) {
                self.archive.copy(&format!("{to}/{name}"), 0o644, &path)?;
            }
        }
        Ok(())
    }

    fn programs_below(&mut self, to: &str, dir: &Path) -> Result<()> {
        if !dir.is_dir() {
            return Ok(());
        }
        for path in files_below(dir)? {
            let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
            self.program(&format!("{to}/{name}"), &path)?;
        }
        Ok(())
    }

    /// Adds the files below `dir` at the same paths, unless the image has them already.
    fn tree(&mut self, dir: &Path) -> Result<()> {
        for path in files_below(dir)? {
            let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
            if !self.archive.has(&name) {
                let mode = path.metadata()?.permissions().mode() & 0o777;
                self.archive.copy(&name, mode, &path)?;
            }
        }
        Ok(())
    }

    /// A file with its mode; a dynamically linked program with its libraries.
    fn program(&mut self, to: &str, path: &Path) -> Result<()> {
        let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mode = path.metadata()?.permissions().mode() & 0o777;
        self.archive.file(to, mode, &data)?;
        if !wants_interpreter(&data) {
            return Ok(());
        }
        let ldd = Command::new("ldd")
            .arg(path)
            .output()
            .context("cannot run ldd")?;
        ensure!(
            ldd.status.success(),
            "ldd cannot say which libraries {} needs; link it statically",
            path.display()
        );
        for library in libraries(&String::from_utf8_lossy(&ldd.stdout)) {
            let name = library.to_string_lossy().into_owned();
            if !self.archive.has(&name) {
                self.archive.copy(&name, 0o755, &library)?;
            }
        }
        Ok(())
    }
}

/// Regular files below `dir`, sorted, symbolic links to folders not followed.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir();
        for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The absolute paths in `ldd`'s output.
fn libraries(ldd: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let line = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        let path = line.split(" (").next().unwrap_or(line);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    ldd.lines().filter_map(path).collect()
}

/// Whether `data` is a 64-bit or 32-bit little-endian ELF file with a PT_INTERP header.
fn wants_interpreter(data: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let word = |at: u64, bytes: u64| -> Option<u64> {
        let start = usize::try_from(at).ok()?;
        let field = data.get(start..start.checked_add(bytes as usize)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |sum, &byte| (sum << 8) | u64::from(byte)),
        )
    };
    let scan = || {
        let (offset, size, count) = match data.get(..6)? {
            b"\x7fELF\x02\x01" => (word(0x20, 8)?, word(0x36, 2)?, word(0x38, 2)?),
            b"\x7fELF\x01\x01" => (word(0x1c, 4)?, word(0x2a, 2)?, word(0x2c, 2)?),
            _ => return None,
        };
        let mut types = (0..count).map(|n| word(offset.checked_add(n * size)?, 4));
        types.any(|kind| kind == Some(PT_INTERP)).then_some(())
    };
    scan().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_output() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)\n\
                    \tlibgone.so => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f01)\n";
        let paths = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(libraries(text), paths.map(PathBuf::from));
        assert!(libraries("\tstatically linked\n").is_empty());
    }

    #[test]
    fn interpreters() {
        assert!(!wants_interpreter(b""));
        assert!(!wants_interpreter(b"#!/bin/sh\n"));
        assert!(!wants_interpreter(b"\x7fELF\x02\x01"));
        let mut elf = vec![0; 0x40 + 0x38];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[0x20] = 0x40; // e_phoff
        elf[0x36] = 0x38; // e_phentsize
        elf[0x38] = 1; // e_phnum
        elf[0x40] = 1; // PT_LOAD
        assert!(!wants_interpreter(&elf));
        elf[0x40] = 3;
        assert!(wants_interpreter(&elf));
        elf[0x27] = 0xff;
        assert!(!wants_interpreter(&elf));
    }
}
