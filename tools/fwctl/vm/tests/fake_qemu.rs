// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runner against a "QEMU" that is none: it answers as a guest would, hangs, or dies.
//!
//! The stand-in is this test program itself: a shell script calls its ignored test `fake_qemu`,
//! which connects to the sockets that the runner named on the command line.  For fwctl-emu a shell
//! script stands in.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The guest's side of one boot, driven by `FAKE_MODE`.
#[test]
#[ignore = "the stand-in for QEMU, started by the other tests"]
fn fake_qemu() {
    let argv = std::env::var("FAKE_ARGV").expect("only for the script");
    let mode = std::env::var("FAKE_MODE").unwrap();
    let connect = |name: &str| {
        let (_, rest) = argv.split_once(&format!("socket,id={name},path=")).unwrap();
        UnixStream::connect(rest.split_whitespace().next().unwrap()).unwrap()
    };
    let mut console = connect("console");
    let _tty = connect("tty");
    let mut port = connect("port");
    if mode == "no-boot" {
        writeln!(
            console,
            "<0>[    0.5] Kernel panic - not syncing: no init\r"
        )
        .unwrap();
        return;
    }
    writeln!(console, "<6>[    0.1] Linux version 7.3.fake\r").unwrap();
    // FAKE_READY is a file for the next boot to see.
    let boots = std::env::var("FAKE_READY").unwrap();
    if mode == "always-slow" || mode == "slow-once" && !Path::new(&boots).exists() {
        fs::write(boots, "").unwrap();
        writeln!(
            console,
            "<4>[    0.2] APIC timer disabled due to verification failure\r"
        )
        .unwrap();
        // Its socket is read separately from that of the port.
        std::thread::sleep(Duration::from_millis(500));
    }
    writeln!(port, "{{\"Ready\":{{\"release\":\"7.3.fake\"}}}}").unwrap();
    let mut lines = BufReader::new(port.try_clone().unwrap()).lines();
    while let Some(line) = lines.next() {
        let line = line.unwrap();
        if line.starts_with("{\"Stop\"") {
            continue;
        }
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
            rest.split([',', '}'])
                .next()
                .unwrap()
                .trim_matches('"')
                .to_string()
        };
        let (seq, name) = (field("seq"), field("name"));
        writeln!(console, "<13>[    1.0] fwctl-vm: begin {seq} {name}\r").unwrap();
        let is_first = name == "c-api/bnxt";
        if mode == "interrupt" {
            fs::write(
                std::env::var("FAKE_READY").unwrap(),
                std::process::id().to_string(),
            )
            .unwrap();
        }
        match mode.as_str() {
            "hang" if is_first => std::thread::sleep(Duration::from_secs(600)),
            "late" if is_first => {
                // The host says when the step has had its time.
                let stop = lines.next().unwrap().unwrap();
                assert_eq!(stop, format!("{{\"Stop\":{{\"seq\":{seq}}}}}"));
                let end = format!("{{\"End\":{{\"seq\":{seq},\"status\":\"TimedOut\"}}}}");
                writeln!(port, "{end}").unwrap();
                writeln!(console, "<13>[    1.2] fwctl-vm: end {seq}\r").unwrap();
                continue;
            }
            "interrupt" => std::thread::sleep(Duration::from_secs(600)),
            "die" if is_first => {
                write!(
                    console,
                    "<1>[    1.1] BUG: kernel NULL pointer dereference\r\n<4>[    1"
                )
                .unwrap();
                std::process::abort();
            }
            "garbage" if is_first => writeln!(port, "what?").unwrap(),
            "warn" if is_first => {
                writeln!(
                    console,
                    "<4>[    1.1] WARNING: a.c:1 at f+0x1/0x2, CPU#0: x/1\r"
                )
                .unwrap();
            }
            _ => {}
        }
        let text = format!("hello from {name}\n");
        write!(
            port,
            "{{\"Output\":{{\"stream\":\"Out\",\"bytes\":{}}}}}\n{text}",
            text.len()
        )
        .unwrap();
        writeln!(
            port,
            "{{\"End\":{{\"seq\":{seq},\"status\":{{\"Exited\":0}}}}}}"
        )
        .unwrap();
        writeln!(console, "<13>[    1.2] fwctl-vm: end {seq}\r").unwrap();
    }
}

/// Artifacts that are just enough, and the script.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(mode: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "fwctl",
            "bnxt_fwctl",
            "pds_fwctl",
            "mlx5_core",
            "mlx5_fwctl",
        ];
        let dep = names
            .map(|name| {
                format!(
                    "kernel/{name}.ko:
"
                )
            })
            .concat();
        for modules in ["modules", "modules-mainline"] {
            let modules = dir.path().join("out/kernel/test").join(modules);
            let modules = modules.join("lib/modules/7.3.fake");
            fs::create_dir_all(&modules).unwrap();
            fs::write(modules.join("modules.dep"), &dep).unwrap();
        }
        fs::write(dir.path().join("out/kernel/test/bzImage"), "").unwrap();
        let world = World { dir };
        let own = std::env::current_exe().unwrap();
        world.script(
            "qemu",
            &format!(
                "echo $$ >{}\nFAKE_MODE={mode} FAKE_READY={} FAKE_ARGV=\"$*\" exec {} --ignored --exact fake_qemu",
                world.path("qemu.pid").display(),
                world.path("ready").display(),
                own.display()
            ),
        );
        world.script("busybox", "echo sh modprobe");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The stand-in for fwctl-emu: says that it is ready, and does `then` once QEMU runs; `$pid` is
    /// QEMU.
    fn emulator(&self, then: &str) {
        fs::create_dir_all(self.path("out/bin")).unwrap();
        let pid = self.path("qemu.pid");
        let pid = pid.display();
        let text = format!(
            "echo ready; until [ -s {pid} ]; do sleep 0.05; done; pid=$(cat {pid})\n{then}"
        );
        self.script("out/bin/fwctl-emu", &text);
    }

    /// Runs the tests on a machine with two emulated devices.
    fn test_emulated(&self) -> (i32, String, String) {
        let results = self.path("results");
        let file = results.to_str().unwrap();
        let (status, text) = self.run(&["test", "--results", file, "emu/two-cards"]);
        let results = fs::read_to_string(&results).unwrap_or_default();
        (status, text, results)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwctl-vm"));
        command
            .arg("--artifacts")
            .arg(self.path("out"))
            .arg("--qemu")
            .arg(self.path("qemu"))
            .arg("--busybox")
            .arg(self.path("busybox"))
            .args(arguments)
            .env("TMPDIR", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        let text = [stdout, stderr].concat();
        (
            status.code().expect("killed"),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn test(&self, factor: &str) -> (i32, String, String) {
        let results = self.path("results");
        let file = results.to_str().unwrap();
        let (status, text) = self.run(&[
            "test",
            "--results",
            file,
            "--time-factor",
            factor,
            "c-api/*",
        ]);
        (
            status,
            text,
            fs::read_to_string(&results).unwrap_or_default(),
        )
    }
}

fn outcomes(results: &str) -> Vec<&str> {
    results
        .lines()
        .map(|line| line.split("\"outcome\":\"").nth(1).unwrap())
        .map(|rest| &rest[..4])
        .collect()
}

#[test]
fn clean_exit() {
    let world = World::new("clean");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("3 passed, 0 failed, 0 skipped\n"), "{text}");
    assert_eq!(outcomes(&results), ["pass"; 3]);
    let log = fs::read_to_string(world.path("out/logs/c-api.pds.log")).unwrap();
    assert!(log.contains("hello from c-api/pds"), "{log}");
}

#[test]
fn tests_for_which_no_time_is_left_are_skipped() {
    let world = World::new("clean");
    let (status, text) = world.run(&["test", "--start-within", "0", "c-api/*"]);
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("boot "), "{text}");
    assert!(
        text.contains("c-api/pds: no time was left to start it"),
        "{text}"
    );
    assert!(text.ends_with("0 passed, 0 failed, 3 skipped\n"), "{text}");
}

#[test]
fn a_hang_fails_one_test_and_the_rest_get_a_fresh_machine() {
    let world = World::new("hang");
    let started = Instant::now();
    let (status, text, results) = world.test("0.01");
    assert_eq!(status, 1, "{text}");
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(outcomes(&results), ["fail", "pass", "pass"], "{text}");
    assert!(text.contains("the VM hung"), "{text}");
    assert!(world.path("out/logs/c-api.bnxt.console").is_file());
    assert!(world.path("out/logs/c-api.pds.console").is_file());
}

#[test]
fn a_test_that_takes_too_long_is_stopped() {
    let world = World::new("late");
    let (status, text, results) = world.test("0.01");
    assert_eq!(status, 1, "{text}");
    assert_eq!(outcomes(&results), ["fail", "pass", "pass"], "{text}");
    assert!(text.contains("not done after"), "{text}");
}

#[test]
fn a_death_fails_one_test_and_quotes_the_kernel() {
    let world = World::new("die");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 1, "{text}");
    assert_eq!(outcomes(&results), ["fail", "pass", "pass"], "{text}");
    assert!(
        text.contains("the VM died; kernel log, BUG: BUG: kernel NULL pointer"),
        "{text}"
    );
    let console = fs::read_to_string(world.path("out/logs/c-api.bnxt.console")).unwrap();
    assert!(console.ends_with("<4>[    1"), "{console}");
}

#[test]
fn a_warning_fails_the_test_that_made_it() {
    let world = World::new("warn");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 1, "{text}");
    assert_eq!(outcomes(&results), ["fail", "pass", "pass"], "{text}");
    assert!(
        results.lines().next().unwrap().contains("WARNING: a.c:1"),
        "{results}"
    );
}

#[test]
fn nonsense_on_the_port_fails_the_test() {
    let world = World::new("garbage");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 1, "{text}");
    assert_eq!(outcomes(&results), ["fail", "pass", "pass"], "{text}");
}

#[test]
fn no_boot_fails_all_tests() {
    let world = World::new("no-boot");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 1, "{text}");
    assert_eq!(outcomes(&results), ["fail"; 3], "{text}");
    assert!(text.contains("no init"), "{text}");
}

#[test]
fn a_machine_with_a_slow_timer_boots_again() {
    let world = World::new("slow-once");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 0, "{text}");
    assert_eq!(outcomes(&results), ["pass"; 3]);
    assert_eq!(text.matches("booting again").count(), 1, "{text}");
    let console = fs::read_to_string(world.path("out/logs/c-api.bnxt.console")).unwrap();
    assert!(!console.contains("APIC"), "{console}");
}

#[test]
fn a_machine_whose_timer_stays_slow_runs_its_tests() {
    let world = World::new("always-slow");
    let (status, text, results) = world.test("1");
    assert_eq!(status, 0, "{text}");
    assert_eq!(outcomes(&results), ["pass"; 3]);
    assert_eq!(text.matches("booting again").count(), 4, "{text}");
}

#[test]
fn exec_says_when_the_machine_died() {
    let world = World::new("no-boot");
    let (status, text) = world.run(&["exec", "--machine", "plain", "--", "true"]);
    assert_eq!(status, 255, "{text}");
}

#[test]
fn setup_errors_say_what_to_do() {
    let world = World::new("clean");
    fs::remove_file(world.path("out/kernel/test/bzImage")).unwrap();
    let (status, text) = world.run(&["exec", "--machine", "plain", "--", "true"]);
    assert_eq!(status, 2);
    assert!(text.contains("run `make kernel`"), "{text}");
    let (status, text) = world.run(&["test", "no-such-test"]);
    assert_eq!(status, 2);
    assert!(text.contains("fwctl-vm list"), "{text}");
    let (status, text) = world.run(&["exec", "--machine", "x", "--", "true"]);
    assert_eq!(status, 2);
    assert!(text.contains("plain, plain-leaks, kunit, cxl"), "{text}");
}

#[test]
fn a_dry_run_starts_nothing() {
    let world = World::new("clean");
    let (status, text) = world.run(&["test", "--dry-run", "c-api"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("-no-reboot"), "{text}");
    assert!(!world.path("out/logs").exists());
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let world = World::new("interrupt");
    let mut child = world
        .command(&["test", "c-api/bnxt"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = world.path("ready");
    let qemu = wait_for(|| {
        fs::read_to_string(&ready)
            .ok()
            .filter(|pid| !pid.is_empty())
    });
    let kill = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let proc = format!("/proc/{qemu}");
    wait_for(|| (!Path::new(&proc).exists()).then_some(()));
    let left = fs::read_dir(world.dir.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with("fwctl-vm.")),
        "{left:?}"
    );
}

/// Ends as the real one does: when QEMU's connection does.
const UNTIL_QEMU_ENDS: &str = "while kill -0 $pid 2>/dev/null; do sleep 0.05; done";

#[test]
fn emulated_devices_end_after_qemu_and_well() {
    let world = World::new("clean");
    world.emulator(&format!(
        "trap 'echo asked >&2; exit 9' TERM\n{UNTIL_QEMU_ENDS}\necho clean >&2"
    ));
    let (status, text, results) = world.test_emulated();
    assert_eq!(status, 0, "{text}");
    assert_eq!(outcomes(&results), ["pass"], "{results}");
    for name in ["connectx", "second"] {
        let log = world.path(&format!("out/logs/emu.two-cards.{name}"));
        assert_eq!(fs::read_to_string(log).unwrap(), "clean\n");
    }
}

#[test]
fn what_a_driver_leaves_behind_is_a_failure_of_its_own() {
    let world = World::new("clean");
    // Only one of the two devices.
    world.emulator(&format!(
        "{UNTIL_QEMU_ENDS}\ncase \"$*\" in *--serial*) exit 0;; esac\necho leak: 1 UARs >&2; exit 3"
    ));
    let (status, text, results) = world.test_emulated();
    assert_eq!(status, 1, "{text}");
    assert_eq!(outcomes(&results), ["fail", "pass"], "{results}");
    assert!(
        text.contains(
            "connectx2/emulated-connectx: its driver left something behind: leak: 1 UARs"
        ),
        "{text}"
    );
}

#[test]
fn an_emulated_device_that_dies_is_a_failure_of_its_own() {
    let world = World::new("clean");
    world.emulator("echo \"thread 'main' panicked at a.rs:1:\" >&2; echo boom >&2; exit 101");
    let (status, text, results) = world.test_emulated();
    assert_eq!(status, 1, "{text}");
    assert_eq!(results.matches("it panicked: ").count(), 2, "{results}");
    assert!(text.contains("boom"), "{text}");
}

#[test]
fn an_emulated_device_that_does_not_start_fails_the_test() {
    let world = World::new("clean");
    world.emulator("");
    world.script("out/bin/fwctl-emu", "echo no socket >&2; exit 1");
    let (status, text, results) = world.test_emulated();
    assert_eq!(status, 1, "{text}");
    assert!(
        results.contains("the emulated connectx does not start: no socket"),
        "{results}"
    );
}

#[test]
fn without_the_emulator_tests_are_skipped_and_the_rest_goes_on() {
    let world = World::new("clean");
    let (status, text, results) = world.test_emulated();
    assert_eq!(status, 0, "{text}");
    assert_eq!(outcomes(&results), ["skip"], "{results}");
    assert!(results.contains("crates.io"), "{results}");
    let exec = ["exec", "--machine", "connectx"];
    let (status, text) = world.run(&[&exec[..], &["--", "true"]].concat());
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("crates.io"), "{text}");
    // It was to be built, and that failed: the network has no part in it.
    let absent = ["--absent", "emu=see build/emu", "--", "true"];
    let (_, text) = world.run(&[&exec[..], &absent].concat());
    assert!(
        text.contains("emu is absent: see build/emu") && !text.contains("crates.io"),
        "{text}"
    );
    let (status, text) = world.run(&["exec", "--dry-run", "--", "true"]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("cxl-type3") && text.contains("has no ConnectX"),
        "{text}"
    );
    world.emulator("");
    let (status, text) = world.run(&["exec", "--dry-run", "--", "true"]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("cxl-type3") && text.contains("fwctl-emu connectx --socket"),
        "{text}"
    );
}

fn wait_for<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(value) = ready() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within 30 s");
}
