// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as used by QEMU and tests: sockets, output, exit status.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use vfio_user::Client;

const CONFIG: u32 = 7;
const BAR0: u32 = 0;
const MSIX: u32 = 2;

/// A running emulator in a separate directory.
struct Emu {
    child: Child,
    dir: PathBuf,
}

impl Emu {
    fn start(name: &str, more: &[&str]) -> Self {
        Emu::start_kind("connectx", name, more)
    }

    fn start_kind(kind: &str, name: &str, more: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("fwctl-emu-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_fwctl-emu"))
            .args([kind, "--socket"])
            .arg(dir.join("device"))
            .arg("--control")
            .arg(dir.join("control"))
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Emu { child, dir }
    }

    fn connect(&self) -> Client {
        Client::new(&self.dir.join("device")).unwrap()
    }

    fn control(&self, line: &str) -> Value {
        let mut stream = UnixStream::connect(self.dir.join("control")).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Waits for the emulator. Returns its exit status and output.
    fn end(mut self) -> (i32, String) {
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let status = self.child.wait().unwrap().code().unwrap();
        assert_eq!(
            std::fs::read_dir(&self.dir).unwrap().count(),
            0,
            "the sockets are removed"
        );
        std::fs::remove_dir(&self.dir).unwrap();
        (status, said)
    }
}

impl Drop for Emu {
    /// Kills the emulator if a test failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn word(client: &mut Client, region: u32, offset: u64) -> [u8; 4] {
    let mut word = [0; 4];
    client.region_read(region, offset, &mut word).unwrap();
    word
}

#[test]
fn what_qemu_does_first() {
    let emu = Emu::start("first", &["--device-id", "0x101d"]);
    let mut client = emu.connect();
    client.reset().unwrap();
    assert_eq!(word(&mut client, CONFIG, 0), [0xb3, 0x15, 0x1d, 0x10]);
    assert_eq!(word(&mut client, BAR0, 4)[..2], [0, 5]);
    assert_eq!(client.get_irq_info(MSIX).unwrap().count, 8);
    // One vector without a descriptor, then none at all.
    client.set_irqs(MSIX, 0x24, 0, 1, &[]).unwrap();
    client.set_irqs(MSIX, 0x21, 0, 0, &[]).unwrap();
    // Memory without a descriptor is not mapped.
    client.region_write(BAR0, 0x14, &[0, 0, 0x10, 0]).unwrap();
    client.region_write(BAR0, 0x18, &[0xff; 4]).unwrap();
    let counters = &emu.control("counters")["result"];
    assert_eq!(
        (&counters["delivery_errors"], &counters["resets"]),
        (&Value::from(32), &Value::from(1))
    );
    assert_eq!(emu.control("nonsense")["ok"], false);
    client.shutdown().unwrap();
    let (status, said) = emu.end();
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with("fwctl-emu: clean\n"), "{said}");
}

/// Behind an IOMMU QEMU maps single pages, each with a descriptor, and unmaps any ranges.
#[test]
fn maps_of_many_pages() {
    const PAGE: u64 = 4096;
    const PAGES: u64 = 5000;
    let emu = Emu::start("pages", &[]);
    let mut client = emu.connect();
    let lines = |name: &str| {
        let file = format!("/proc/{}/{name}", emu.child.id());
        match std::fs::read_dir(&file) {
            Ok(entries) => entries.count(),
            Err(_) => std::fs::read_to_string(&file).unwrap().lines().count(),
        }
    };
    let memory = || {
        let memory = &emu.control("memory")["result"];
        let number = |name: &str| memory[name].as_u64().unwrap();
        (number("regions"), number("bytes") / PAGE)
    };
    assert_eq!(memory(), (0, 0));
    let (descriptors, mappings) = (lines("fd"), lines("maps"));
    let file = fwctl_emu::dma::test::file(PAGES * PAGE);
    let fd = file.as_raw_fd();
    for page in 0..PAGES {
        let address = (PAGES - page) * PAGE;
        client.dma_map(page * PAGE, address, PAGE, fd).unwrap();
    }
    // Refused: taken, beyond the end of the file, unaligned.
    client.dma_map(0, PAGE, PAGE, fd).unwrap();
    client.dma_map(PAGE, 0x1000_0000, PAGES * PAGE, fd).unwrap();
    client.dma_map(1, 0x1000_0000, PAGE, fd).unwrap();
    assert_eq!(memory(), (PAGES, PAGES));
    assert!(lines("fd") < descriptors + 10, "descriptors are closed");
    assert!(lines("maps") < mappings + 10, "pages share a mapping");
    client.dma_unmap(PAGE, 100 * PAGE).unwrap();
    client.dma_map(0, PAGE, 100 * PAGE, fd).unwrap();
    client.dma_unmap(2 * PAGE, PAGE).unwrap();
    assert_eq!(memory(), (PAGES - 98, PAGES - 1));
    client.dma_unmap(0, 1 << 47).unwrap();
    assert_eq!(memory(), (0, 0));
    client.shutdown().unwrap();
    let (status, said) = emu.end();
    assert_eq!(status, 0, "{said}");
    assert_eq!(said.matches("guest memory at ").count(), 3, "{said}");
}

#[test]
fn cxl() {
    const BAR2: u32 = 2;
    let emu = Emu::start_kind(
        "cxl",
        "cxl",
        &["--payload-size", "4096", "--serial", "0x1234"],
    );
    let mut client = emu.connect();
    client.reset().unwrap();
    assert_eq!(word(&mut client, CONFIG, 8), [0, 0x10, 2, 5]);
    assert_eq!(word(&mut client, CONFIG, 0x104), [0x34, 0x12, 0, 0]);
    assert_eq!(word(&mut client, BAR2, 0x100)[0], 0xcc, "2^12 bytes");
    assert_eq!(client.get_irq_info(MSIX).unwrap().count, 2);
    assert_eq!(client.region(BAR2).unwrap().size, 0x2000);
    // The first part of Feature 20, and no other.
    let mut set = [0; 48];
    set[..6].copy_from_slice(&[0x66, 0x77, 0x63, 0x74, 0x6c, 0]);
    (set[6], set[8], set[15], set[16], set[22]) = (0x40, 0x80, 20, 1, 1);
    client.region_write(BAR2, 0x120, &set).unwrap();
    client
        .region_write(BAR2, 0x108, &[2, 5, 48, 0, 0, 0, 0, 0])
        .unwrap();
    client.region_write(BAR2, 0x104, &[1, 0, 0, 0]).unwrap();
    assert_eq!(word(&mut client, BAR2, 0x104), [0; 4], "answered");
    assert_eq!(word(&mut client, BAR2, 0x114), [0; 4], "success");
    assert_eq!(
        emu.control("fault user,never")["ok"],
        false,
        "only a ConnectX has this key"
    );
    assert_eq!(emu.control("fault action=1,never")["ok"], true);
    client.shutdown().unwrap();
    let (status, said) = emu.end();
    assert_eq!(status, 3, "{said}");
    assert!(
        said.ends_with("fwctl-emu: leak: transfer of large, 16 bytes\n"),
        "{said}"
    );
}

#[test]
fn vanish_and_return() {
    let emu = Emu::start("gone", &[]);
    let mut client = emu.connect();
    emu.control("vanish");
    assert_eq!(word(&mut client, CONFIG, 0), [0xff; 4]);
    assert_eq!(word(&mut client, BAR0, 0x230), [0xff; 4]);
    client.region_write(BAR0, 0x18, &[0xff; 4]).unwrap();
    emu.control("return");
    assert_eq!(word(&mut client, CONFIG, 0), [0xb3, 0x15, 0x21, 0x10]);
    emu.control("vanish");
    client.shutdown().unwrap();
    let (status, said) = emu.end();
    assert_eq!(status, 0);
    assert!(said.contains("removed"), "{said}");
}

#[test]
fn exit_on_command_and_on_a_signal() {
    let emu = Emu::start("exit", &[]);
    let _client = emu.connect();
    let mut stream = UnixStream::connect(emu.dir.join("control")).unwrap();
    writeln!(stream, "exit").unwrap();
    assert_eq!(emu.end().0, 0);

    let emu = Emu::start("signal", &[]);
    let pid = emu.child.id();
    assert!(Command::new("sh")
        .args(["-c", &format!("kill {pid}")])
        .status()
        .unwrap()
        .success());
    let (status, said) = emu.end();
    assert_eq!(
        (status, said.ends_with("fwctl-emu: clean\n")),
        (0, true),
        "{said}"
    );
}

#[test]
fn closed_output_is_ignored() {
    let mut emu = Emu::start("deaf", &["--verbose"]);
    drop(emu.child.stderr.take());
    drop(emu.child.stdout.take());
    let pid = emu.child.id();
    let killed = Command::new("sh")
        .args(["-c", &format!("kill {pid}")])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(emu.child.wait().unwrap().code(), Some(0));
    std::fs::remove_dir(&emu.dir).unwrap();
}

#[test]
fn usage_errors_are_2() {
    for arguments in [
        &["connectx"][..],
        &["connectx", "--socket", "/x", "--fault", "nonsense"],
        &["connectx", "--socket", "/x", "--fault", "action=1,never"],
        &["cxl", "--socket", "/x", "--fault", "user,never"],
        &["cxl", "--socket", "/x", "--payload-size", "128"],
        &["cxl", "--socket", "/x", "--payload-size", "1000"],
        &[],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_fwctl-emu"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fwctl-emu"))
        .args(["connectx", "--socket", "/nowhere/x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}
