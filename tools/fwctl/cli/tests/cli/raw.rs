// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rpc`, and what holds for every verb: formats, exit statuses, readers that go away.

use crate::machine::Machine;
use std::process::Stdio;

/// Get Supported Features for no entries: struct fwctl_rpc_cxl, CXL 3.2 section 8.2.10.6.1.
const REQUEST: &str = "00050000 00000000 08000000 00000000 08000000 0000 0000";

fn request() -> Vec<u8> {
    [
        0, 5, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
    ]
    .to_vec()
}

fn machine(scope: &str, answer: &str) -> Machine {
    let machine = Machine::with_cxl(&format!("info cxl\nrpc {scope} {REQUEST} -> {answer}"));
    std::fs::write(machine.path("request"), request()).unwrap();
    machine
}

const ANSWER: &str = "08000000 00000000 0000 0300 00000000";

#[test]
fn a_request_and_its_reply() {
    machine("configuration", ANSWER)
        .run(&["rpc", "mem0", "--scope", "configuration", "-i", "request"])
        .is(
            0,
            "device:   fwctl0\nscope:    configuration\nrequest:  24 bytes\nreply:    16 bytes\n\n\
         00000000  08 00 00 00 00 00 00 00  00 00 03 00 00 00 00 00  |................|\n",
            "",
        );
    machine("configuration", ANSWER)
        .run(&[
            "rpc",
            "mem0",
            "--scope",
            "configuration",
            "-i",
            "request",
            "--output",
            "json",
        ])
        .is(
            0,
            r#"{
  "format": 2,
  "device": "fwctl0",
  "scope": "configuration",
  "request_len": 24,
  "reply_len": 16,
  "truncated": false,
  "firmware_status": null,
  "firmware_status_name": null,
  "syndrome": null,
  "reply": "08000000000000000000030000000000"
}
"#,
            "",
        );
}

#[test]
fn from_stdin_to_stdout_and_to_a_file() {
    let ended = machine("configuration", ANSWER).run_with_input(
        &[
            "rpc",
            "mem0",
            "--scope",
            "configuration",
            "-i",
            "-",
            "--out",
            "-",
        ],
        &request(),
    );
    assert_eq!(
        ended.bytes,
        [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0]
    );
    let machine = machine("configuration", ANSWER);
    let args = [
        "rpc",
        "mem0",
        "--scope",
        "configuration",
        "-i",
        "request",
        "--out",
        "reply",
    ];
    machine
        .run(&args)
        .is(0, "", "fwctl: fwctl0: 16 bytes of reply written to reply\n");
    assert_eq!(std::fs::read(machine.path("reply")).unwrap(), ended.bytes);
    // Programs get the same object as without the file, also of a refusal.
    let machine = self::machine("configuration", ANSWER);
    let json = machine.run(&[&args[..], &["-o", "json"]].concat()).stdout;
    let same = machine.run(&[&args[..6], &["-o", "json"]].concat()).stdout;
    assert!(
        json == same && json.contains("\"reply_len\": 16,"),
        "{json}"
    );
    let refused = self::machine("configuration", "00000000 02000000");
    let ended = refused.run(&[&args[..], &["-o", "json"]].concat());
    assert_eq!(ended.status, 3);
    assert!(
        ended.stdout.contains("\"firmware_status\": 2,"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_file_is_replaced_only_on_success() {
    let args = [
        "rpc",
        "mem0",
        "--scope",
        "configuration",
        "-i",
        "request",
        "--out",
        "reply",
    ];
    let content = |machine: &Machine| {
        let mut names: Vec<_> = std::fs::read_dir(machine.path("."))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("reply") || name.contains(".fwctl"))
            .collect();
        names.sort();
        (names, std::fs::read(machine.path("reply")).unwrap())
    };
    // An errno, and a refusal by the firmware.
    for (answer, status) in [("errno 5", 1), ("00000000 02000000", 3)] {
        let machine = machine("configuration", answer);
        machine.write("reply", "old");
        assert_eq!(machine.run(&args).status, status);
        assert_eq!(content(&machine), (vec!["reply".into()], b"old".to_vec()));
    }
    // A link stays, and the file keeps its mode.
    let machine = machine("configuration", ANSWER);
    machine.write("target-of-reply", "old");
    machine.set_mode("target-of-reply", 0o640);
    std::os::unix::fs::symlink("target-of-reply", machine.path("reply")).unwrap();
    assert_eq!(machine.run(&args).status, 0);
    let names = vec!["reply".into(), "target-of-reply".into()];
    assert_eq!(
        content(&machine),
        (
            names,
            [&[8, 0, 0, 0, 0, 0, 0, 0][..], &[0, 0, 3, 0, 0, 0, 0, 0]].concat()
        )
    );
    let metadata = std::fs::symlink_metadata(machine.path("target-of-reply")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    assert_eq!(mode & 0o777, 0o640);
    assert!(machine.path("reply").is_symlink());
}

#[test]
fn nothing_is_sent_unless_the_reply_can_be_written_down() {
    let machine = machine("configuration", "errno 5");
    let args = [
        "rpc",
        "mem0",
        "--scope",
        "configuration",
        "-i",
        "request",
        "--out",
        "no/such/dir",
    ];
    machine.run(&args).is(
        1,
        "",
        "fwctl: no/such/dir: No such file or directory (ENOENT)\n",
    );
}

#[test]
fn dry_run_sends_nothing_and_names_the_taint() {
    let machine = Machine::with_cxl("open errno 13");
    machine.run_with_input(&["rpc", "mem0", "--scope", "debug-write", "-i", "-", "--dry-run"], b"hello").is(
        0,
        "would send to:   fwctl0 (./dev/fwctl/fwctl0)\nscope:           debug-write\n\
         note:            a request in scope debug-write taints the kernel (flag J) until the next boot, even if it fails\n\
         reply capacity:  4096 bytes\nrequest:         5 bytes\n\n\
         00000000  68 65 6c 6c 6f                                    |hello|\n",
        "",
    );
    let raw = machine.run_with_input(
        &[
            "rpc",
            "mem0",
            "--scope",
            "debug-write",
            "-i",
            "-",
            "--dry-run",
            "--output",
            "raw",
        ],
        b"hello",
    );
    assert_eq!(raw.bytes, b"hello");
}

#[test]
fn a_long_reply_is_fetched_again_only_where_that_is_safe() {
    let machine = Machine::with_cxl(&format!(
        "info cxl\nrpc configuration {REQUEST} -> {ANSWER}\nrpc configuration {REQUEST} -> {ANSWER}"
    ));
    let args = |scope| {
        [
            "rpc",
            "mem0",
            "--scope",
            scope,
            "-i",
            "-",
            "--out",
            "-",
            "--out-len",
            "4",
        ]
    };
    let ended = machine.run_with_input(&args("configuration"), &request());
    assert_eq!(
        (ended.status, ended.bytes.len(), ended.stderr.as_str()),
        (0, 16, "")
    );
    // Set Feature changes something, also in scope debug-read-only.
    let exchange = format!("rpc debug-read-only 02050000 -> {ANSWER}");
    let machine = Machine::with_cxl(&format!("info cxl\n{exchange}"));
    let ended = machine.run_with_input(&args("debug-read-only"), &[2, 5, 0, 0]);
    assert_eq!((ended.status, ended.bytes.len()), (0, 4));
    assert_eq!(
        ended.stderr,
        "fwctl: fwctl0: the reply has 16 bytes, 4 of them were returned: give a larger --out-len, or --repeat if the request may be \
         sent twice\n"
    );
    // When asked.
    let machine = Machine::with_cxl(&format!("info cxl\n{exchange}\n{exchange}"));
    let ended = machine.run_with_input(
        &[&args("debug-read-only")[..], &["--repeat"]].concat(),
        &[2, 5, 0, 0],
    );
    assert_eq!(
        (ended.status, ended.bytes.len(), ended.stderr.as_str()),
        (0, 16, "")
    );
}

#[test]
fn a_reply_that_claims_gigabytes() {
    let machine = machine("debug-read-only", "len 4294967295 08000000");
    let args = [
        "rpc",
        "mem0",
        "--scope",
        "debug-read-only",
        "-i",
        "request",
        "--out-len",
        "4",
    ];
    let ended = machine.run(&args);
    assert_eq!(ended.status, 0);
    assert!(
        ended
            .stdout
            .contains("reply:    4294967295 bytes, the first 4 follow"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_refusal_is_printed_and_has_its_own_exit_status() {
    machine("configuration", "00000000 02000000")
        .run(&["rpc", "mem0", "--scope", "configuration", "-i", "request"])
        .is(
            3,
            "device:   fwctl0\nscope:    configuration\nrequest:  24 bytes\nreply:    8 bytes\n\n\
         00000000  00 00 00 00 02 00 00 00                           |........|\n",
            "fwctl: fwctl0: firmware refused with status 0x2 (invalid input)\n",
        );
    let machine = Machine::new();
    machine.add_pci(
        0,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "info mlx5\nrpc configuration 0805 -> 02000000 0000beef",
    );
    machine
        .run_with_input(
            &[
                "rpc",
                "fwctl0",
                "--scope",
                "configuration",
                "-i",
                "-",
                "--out",
                "/dev/null",
            ],
            &[8, 5],
        )
        .is(
            3,
            "",
            "fwctl: fwctl0: nothing written to /dev/null\n\
         fwctl: fwctl0: firmware refused with status 0x2 (bad operation), syndrome 0x0000beef\n",
        );
}

#[test]
fn an_errno_is_explained_for_the_call_that_failed() {
    machine("debug-write-full", "errno 1").run(&["rpc", "mem0", "--scope", "debug-write-full", "-i", "request"]).is(
        1,
        "",
        "fwctl: warning: a request in scope debug-write-full taints the kernel (flag J) until the next boot, even if it fails\n\
         fwctl: fwctl0: FWCTL_RPC (scope debug-write-full, request 24 bytes, reply buffer 4096): Operation not permitted (EPERM)\n  \
         meaning: scope debug-write-full needs CAP_SYS_RAWIO, or the driver keeps this command for the kernel\n  \
         remedy:  run it as root, outside of containers that drop the capability\n",
    );
}

#[test]
fn verbose_shows_both_directions() {
    let ended = machine("configuration", ANSWER).run(&[
        "-v",
        "rpc",
        "mem0",
        "--scope",
        "configuration",
        "-i",
        "request",
    ]);
    assert_eq!(
        ended.stderr,
        "fwctl: fwctl0: request in scope configuration: 000500000000000008000000000000000800000000000000\n\
         fwctl: fwctl0: reply of 16 bytes: 08000000000000000000030000000000\n"
    );
}

#[test]
fn usage_errors_are_2() {
    let machine = machine("configuration", ANSWER);
    for args in [
        &["rpc", "mem0", "-i", "request"][..],
        &["rpc", "mem0", "--scope", "all", "-i", "request"],
        &[
            "rpc",
            "mem0",
            "--scope",
            "configuration",
            "-i",
            "request",
            "--out-len",
            "2097153",
        ],
        &[
            "rpc",
            "mem0",
            "--scope",
            "configuration",
            "-i",
            "request",
            "--out-len",
            "-1",
        ],
        &["list", "-o", "xml"],
        &["list", "-o", "raw"],
        &["frobnicate"],
        &[],
    ] {
        let ended = machine.run(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
    // A program that asks for JSON gets it.
    let ended = machine.run(&["cxl", "get", "mem0", "--siz", "1", "-o", "json"]);
    let why = "unexpected argument '--siz' found";
    assert_eq!(
        (ended.status, ended.stderr.lines().next()),
        (2, Some(format!("error: {why}").as_str()))
    );
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&json["format"], &json["error"]["message"]),
        (&2.into(), &why.into())
    );
    assert_eq!(machine.run(&["--help"]).status, 0);
    assert_eq!(machine.run(&["rpc", "--help"]).status, 0);
}

#[test]
fn input_without_end_is_not_read_to_its_end() {
    let machine = machine("configuration", ANSWER);
    machine
        .run(&["rpc", "mem0", "--scope", "configuration", "-i", "/dev/zero"])
        .is(
            1,
            "",
            "fwctl: /dev/zero: longer than 2097152 bytes, the maximum for a request\n",
        );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for args in [&["list"][..], &["--help"], &["completions", "bash"]] {
        let machine = Machine::with_cxl("info cxl");
        let mut child = machine
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr).as_ref()
            ),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn messages_with_addresses_are_not_sent() {
    let machine = Machine::new();
    machine.add_pci(
        0,
        "0000:08:00.0",
        "pds_core",
        (0x1dd8, 0x100c),
        "info pds 01000000",
    );
    machine.run_with_input(&["rpc", "fwctl0", "--scope", "configuration", "-i", "-"], &[0; 48]).is(
        1,
        "",
        "fwctl: fwctl0: this pds message carries memory addresses, so it cannot be sent as plain bytes\n",
    );
}
