// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pds endpoints`, `operations` and `call`. Bytes: include/uapi/fwctl/pds.h; a call is the message
//! with zeros as addresses, and the request.

use crate::machine::{Ended, Machine};

/// Two endpoints; 0x20 has an operation for every scope.
const LISTS: &str = "
unordered
info pds 07000000
rpc configuration 01000000 00000000 00000000 00000000
    -> 02000000 00000000  20000000 00000000  ffffffff 00000000
rpc configuration 02000000 20000000 00000000 00000000
    -> 04000000 00000000  01010100 00 00 0000  03010000 02 01 0000  04010000 08 02 0000  05010000 40 03 0000
rpc configuration 02000000 ffffffff 00000000 00000000 -> 00000000 00000000
";

fn machine(recording: &str) -> Machine {
    let machine = Machine::new();
    let ids = (0x1dd8, 0x100c);
    machine.add_pci(0, "0000:0a:00.0", "pds_core", ids, recording);
    machine
}

fn with_lists(more: &str) -> Machine {
    machine(&format!("{LISTS}{more}"))
}

fn run(more: &str, args: &[&str]) -> Ended {
    with_lists(more).run(&[&["pds"], args].concat())
}

#[test]
fn endpoints() {
    run("", &["endpoints", "0a:00.0"]).is(
        0,
        "ENDPOINT    OPERATIONS  SCOPES\n\
         0x20        4           1 configuration, 1 debug-read-only, 1 debug-write, 1 debug-write-full\n\
         0xffffffff  0           -\n",
        "",
    );
    let json = run("", &["endpoints", "fwctl0", "-o", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["endpoints"][0]["endpoint"], 0x20);
    assert_eq!(
        json["endpoints"][0]["scopes"][3]["scope"],
        "debug-write-full"
    );
    assert_eq!(json["endpoints"][1]["operations"], 0);
}

#[test]
fn an_endpoint_that_cannot_be_listed() {
    let machine = machine(
        "unordered
info pds 07000000
rpc configuration 01000000 00000000 00000000 00000000 -> 02000000 00000000 01000000 00000000 02000000 00000000
rpc configuration 02000000 01000000 00000000 00000000 -> errno 71
rpc configuration 02000000 02000000 00000000 00000000 -> 01000000 00000000 01010100 10 00 0000
",
    );
    machine.run(&["pds", "endpoints", "fwctl0"]).is(
        0,
        "ENDPOINT  OPERATIONS  SCOPES\n\
         0x1       -           failed: EPROTO\n\
         0x2       1           1 configuration\n",
        "",
    );
    // The others are listed.
    let why = "FWCTL_RPC (scope configuration, request 16 bytes, reply buffer 8192): Protocol error (EPROTO)";
    machine.run(&["pds", "operations", "fwctl0"]).is(
        1,
        "ENDPOINT  OPERATION  COMMAND  VERSION  ATTRIBUTE  SCOPE\n\
         0x2       0x10101    0x101    1        sync       configuration\n",
        &format!(
            "fwctl: endpoint 0x1: fwctl0: {why}\n  \
             meaning: the firmware's list of endpoints or operations contradicts itself\n  \
             remedy:  see the kernel log: dmesg; the device may need other firmware\n"
        ),
    );
    let ended = machine.run(&["pds", "operations", "fwctl0", "-o", "json"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["operations"][0]["endpoint"], 2);
    assert_eq!(json["errors"][0]["endpoint"], 1);
    assert_eq!(json["errors"][0]["error"]["errno_name"], "EPROTO");
    let ended = machine.run(&["pds", "operations", "fwctl0", "1"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""));
}

#[test]
fn operations() {
    const HEAD: &str = "ENDPOINT  OPERATION  COMMAND  VERSION  ATTRIBUTE       SCOPE\n";
    const ROWS: &str = "\
        0x20      0x10101    0x101    1        read            configuration\n\
        0x20      0x103      0x103    0        debug-read      debug-read-only\n\
        0x20      0x104      0x104    0        debug-write     debug-write\n\
        0x20      0x105      0x105    0        0x40 (unknown)  debug-write-full\n";
    for args in [
        &["operations", "fwctl0"][..],
        &["operations", "fwctl0", "32"],
        &["operations", "fwctl0", "0x20", "--timeout", "60"],
    ] {
        run("", args).is(0, &format!("{HEAD}{ROWS}"), "");
    }
    let json = run("", &["operations", "fwctl0", "-o", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = &json["operations"][2];
    assert_eq!(
        (&row["scope"], &row["taints"]),
        (&"debug-write".into(), &true.into())
    );
    assert_eq!(
        json["operations"][3]["attribute_name"],
        serde_json::Value::Null
    );
    let ended = run("", &["operations", "fwctl0", "-o", "raw"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (2, ""));
}

#[test]
fn a_driver_without_lists() {
    for (args, text) in [
        (
            &["endpoints", "fwctl0"][..],
            "fwctl0: its driver does not list endpoints and operations",
        ),
        (
            &["operations", "fwctl0", "1"],
            "fwctl0: its driver does not list endpoints and operations",
        ),
    ] {
        let ended = machine("info pds").run(&[&["pds"], args].concat());
        ended.is(1, "", &format!("fwctl: {text}\n"));
    }
    // The scope has to be named.
    machine("info pds").run(&["pds", "call", "fwctl0", "0x20", "0x101"]).is(
        2,
        "",
        "fwctl: fwctl0: operation 0x101 of endpoint 0x20: nothing was sent: the driver does not say which scope it \
         needs, so give one with --scope\n",
    );
    let recording = format!(
        "info pds\nrpc debug-read-only {} -> 00000000 0102",
        call(0x101, 0, 2)
    );
    let args = [
        "pds",
        "call",
        "fwctl0",
        "0x20",
        "0x101",
        "--out-len",
        "2",
        "--scope",
        "debug-read-only",
    ];
    let ended = machine(&recording).run(&[&args[..], &["-o", "raw"]].concat());
    assert_eq!(
        (ended.status, &ended.bytes[..], ended.stderr.as_str()),
        (0, &[1, 2][..], "")
    );
}

#[test]
fn devices_of_another_type() {
    for verb in ["endpoints", "operations"] {
        Machine::with_cxl("info cxl")
            .run(&["pds", verb, "mem0"])
            .is(
                1,
                "",
                "fwctl: fwctl0: this is a cxl device, not a pds device\n",
            );
    }
}

/// The bytes of a call of an operation of endpoint 0x20.
fn call(operation: u32, request_len: u32, response_len: u32) -> String {
    let words = [
        operation,
        0x20,
        0,
        request_len,
        0,
        0,
        0,
        0,
        0,
        response_len,
        0,
        0,
    ];
    words
        .map(|word| format!("{:08x}", word.swap_bytes()))
        .join(" ")
}

#[test]
fn a_call_in_the_least_scope() {
    let recording = format!(
        "rpc configuration {} -> 00000000 6f6b0a00",
        call(0x101, 0, 4)
    );
    run(&recording, &["call", "fwctl0", "0x20", "0x101", "--out-len", "4"]).is(
        0,
        "device:     fwctl0\n\
         endpoint:   0x20\n\
         operation:  0x101\n\
         scope:      configuration\n\
         request:    0 bytes\n\
         result:     0x0\n\
         response:   4 bytes\n\
         \n\
         00000000  6f 6b 0a 00                                       |ok..|\n",
        "fwctl: fwctl0: operation 0x101 of endpoint 0x20 (read) needs scope configuration; called in scope configuration\n",
    );
    let json = run(
        &recording,
        &[
            "call",
            "fwctl0",
            "0x20",
            "0x101",
            "--out-len",
            "4",
            "-o",
            "json",
        ],
    );
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["response"], "6f6b0a00");
    assert_eq!(json["least_scope"], "configuration");
}

#[test]
fn a_call_with_a_request_and_a_time_limit() {
    let recording = format!("rpc debug-write {} 616263 -> 00000000", call(0x104, 3, 0));
    let args = [
        "pds",
        "call",
        "fwctl0",
        "0x20",
        "0x104",
        "-i",
        "-",
        "--out-len",
        "0",
        "--scope",
        "debug-write",
    ];
    for limit in [&[][..], &["--timeout", "60"]] {
        let ended = with_lists(&recording).run_with_input(&[&args, limit].concat(), b"abc");
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended
            .stderr
            .contains("(debug-write) needs scope debug-write; called in scope debug-write\n"));
        assert!(ended
            .stderr
            .contains("warning: a request in scope debug-write taints the kernel"));
    }
}

#[test]
fn no_answer_within_the_time_limit() {
    let recording = format!(
        "rpc configuration {} -> after 20000 00000000",
        call(0x101, 0, 0)
    );
    let ended = run(
        &recording,
        &[
            "call",
            "fwctl0",
            "0x20",
            "0x101",
            "--out-len",
            "0",
            "--timeout",
            "1",
        ],
    );
    assert_eq!(ended.status, 1);
    assert!(
        ended.stderr.contains("no answer by the deadline"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_scope_that_was_not_agreed_to() {
    run("", &["call", "fwctl0", "0x20", "0x105"]).is(
        2,
        "",
        "fwctl: fwctl0: operation 0x105 of endpoint 0x20: nothing was sent.\n  \
         attribute:  unknown, 0x40\n  \
         it needs:   scope debug-write-full, and CAP_SYS_RAWIO\n  \
         it taints:  the kernel (flag J) until the next boot, even if it fails\n  \
         to agree:   run it again with --scope debug-write-full\n",
    );
    run("", &["call", "fwctl0", "0x20", "0x103"]).is(
        2,
        "",
        "fwctl: fwctl0: operation 0x103 of endpoint 0x20: nothing was sent.\n  \
         attribute:  debug-read\n  \
         it needs:   scope debug-read-only\n  \
         to agree:   run it again with --scope debug-read-only\n",
    );
    run("", &["call", "fwctl0", "0x20", "0x104", "--scope", "debug-read-only"]).is(
        2,
        "",
        "fwctl: fwctl0: operation 0x104 of endpoint 0x20: nothing was sent: scope debug-read-only is too low, it needs \
         debug-write\n",
    );
}

#[test]
fn operations_that_do_not_exist() {
    // Another version, and another endpoint.
    run("", &["call", "fwctl0", "0x20", "0x20101"]).is(
        1,
        "",
        "fwctl: fwctl0: operation 0x20101 of endpoint 0x20: the firmware has no such operation, or not in this version; \
         list them with: fwctl pds operations fwctl0 0x20\n",
    );
    let more = "rpc configuration 02000000 01000000 00000000 00000000 -> errno 22";
    let ended = run(more, &["call", "fwctl0", "1", "1"]);
    assert_eq!(ended.status, 1);
    assert!(
        ended.stderr.contains("does not know the endpoint"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_operation_that_fails() {
    let recording = format!("rpc configuration {} -> 02010000 0000", call(0x101, 0, 2));
    let args = ["call", "fwctl0", "0x20", "0x101", "--out-len", "2"];
    let ended = run(&recording, &[&args[..], &["-o", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.status, json["retval"].as_u64()), (3, Some(0x102)));
    assert!(ended.stderr.ends_with(
        "fwctl: fwctl0: operation 0x101 of endpoint 0x20: the operation failed with 0x102\n"
    ));
    // A file is not replaced.
    let machine = with_lists(&recording);
    machine.write("response.bin", "old");
    let ended = machine.run(&[&["pds"], &args[..], &["--out", "response.bin"]].concat());
    assert_eq!(ended.status, 3);
    assert!(ended
        .stderr
        .contains("fwctl0: nothing written to response.bin\n"));
    assert_eq!(std::fs::read(machine.path("response.bin")).unwrap(), b"old");
}

#[test]
fn a_response_in_a_file() {
    let recording = format!("rpc configuration {} -> 00000000 0102", call(0x101, 0, 2));
    let machine = with_lists(&recording);
    let ended = machine.run(&[
        "pds",
        "call",
        "fwctl0",
        "0x20",
        "0x101",
        "--out-len",
        "2",
        "--out",
        "response.bin",
    ]);
    assert_eq!((ended.status, ended.stdout.as_str()), (0, ""));
    assert!(ended
        .stderr
        .ends_with("fwctl: fwctl0: 2 bytes of response written to response.bin\n"));
    assert_eq!(std::fs::read(machine.path("response.bin")).unwrap(), [1, 2]);
}

#[test]
fn a_dry_run() {
    run("", &["call", "fwctl0", "0x20", "0x104", "--dry-run"]).is(
        0,
        "would call:         fwctl0 (./dev/fwctl/fwctl0)\n\
         endpoint:           0x20\n\
         operation:          0x104\n\
         attribute:          debug-write\n\
         least scope:        debug-write\n\
         scope:              debug-write\n\
         note:               a request in scope debug-write taints the kernel (flag J) until the next boot, even if it fails\n\
         response capacity:  4096 bytes\n\
         request:            0 bytes\n\n",
        "",
    );
}

#[test]
fn verbose_shows_what_a_recording_has() {
    let message = call(0x101, 3, 2);
    let recording = format!("rpc configuration {message} 616263 -> 00000000 0102");
    let machine = with_lists(&recording);
    let ended = machine.run_with_input(
        &[
            "-v",
            "pds",
            "call",
            "fwctl0",
            "0x20",
            "0x101",
            "-i",
            "-",
            "--out-len",
            "2",
        ],
        b"abc",
    );
    let request = format!("{}616263", message.replace(' ', ""));
    assert!(
        ended.stderr.contains(&format!(
            "fwctl: fwctl0: request in scope configuration: {request}\nfwctl: fwctl0: reply of 6 bytes: 000000000102\n"
        )),
        "{}",
        ended.stderr
    );
}
