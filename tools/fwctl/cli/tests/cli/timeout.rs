// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--timeout`. The recordings answer after a minute, so a command that waited would exceed the
//! limits here.

use crate::machine::Machine;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

const REMEDY: &str = "  \
    meaning: the firmware did not answer in the time that you set; it may still carry out the request\n  \
    remedy:  allow more time; if it stays so, the firmware hangs: see the kernel log with dmesg, the device may need a reset\n";

#[test]
fn an_rpc_without_an_answer() {
    let machine = Machine::with_cxl("info none\nrpc configuration 01 -> after 60000 02");
    std::fs::write(machine.path("request"), [1]).unwrap();
    let start = Instant::now();
    let rpc = [
        "rpc",
        "fwctl0",
        "--scope",
        "configuration",
        "-i",
        "request",
        "--timeout",
        "3",
    ];
    machine.run(&rpc).is(
        1,
        "",
        &format!(
            "fwctl: fwctl0: FWCTL_RPC (scope configuration, request 1 bytes, reply buffer 4096): \
             no answer by the deadline\n{REMEDY}"
        ),
    );
    assert!(start.elapsed() >= Duration::from_secs(3) && start.elapsed() < MINUTE);
}

#[test]
fn a_device_that_does_not_open() {
    let machine = Machine::with_cxl("open after 60000\ninfo cxl");
    let start = Instant::now();
    for verb in [
        &["cxl", "features", "mem0", "--timeout", "3"][..],
        &["info", "mem0", "--timeout", "3"],
    ] {
        machine.run(verb).is(
            1,
            "",
            &format!("fwctl: fwctl0: open: no answer by the deadline\n{REMEDY}"),
        );
    }
    assert!(start.elapsed() < MINUTE);
}

/// The limit is for all requests of a command together: the first answer is in time, the second is
/// not.
#[test]
fn the_second_request_is_too_late() {
    let ask = "rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000";
    let list = "rpc configuration 00050000 00000000 08000000 00000000 38000000 0000 0000";
    let machine = Machine::with_cxl(&format!(
        "info cxl\n{ask} -> 08000000 00000000 0000 0100 00000000\n{list} -> after 60000 00"
    ));
    let start = Instant::now();
    let ended = machine.run(&["cxl", "get", "mem0", "patrol-scrub", "--timeout", "3"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains("no answer by the deadline"),
        "{ended:?}"
    );
    assert!(start.elapsed() < MINUTE);
}

/// The rest of a document is printed.
#[test]
fn a_snapshot_of_a_device_that_does_not_answer() {
    let machine = Machine::with_cxl("info cxl\notherwise after 60000 00");
    let start = Instant::now();
    let ended = machine.run(&["snapshot", "mem0", "--timeout", "3"]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let device = &document["devices"][0];
    let message = device["error"]["message"].as_str().unwrap();
    assert!(
        message.ends_with(": no answer by the deadline"),
        "{message}"
    );
    assert_eq!((ended.status, &device["type"]), (1, &"cxl".into()));
    assert!(start.elapsed() < MINUTE);
}

#[test]
fn an_answer_in_time_is_as_without_a_limit() {
    let recording = "info mlx5 0500000004000000\n\
         rpc debug-read-only 01010000 00000000 00000000 00000000 -> 03000000 00001234";
    let machine = Machine::with_cxl(recording);
    let query = ["mlx5", "query", "fwctl0", "0x101", "--size", "16"];
    let without = machine.run(&query);
    let with = machine.run(&[&query[..], &["--timeout", "60"]].concat());
    assert_eq!(without.status, 3, "{without:?}");
    assert_eq!(
        (without.status, without.stdout, without.stderr),
        (with.status, with.stdout, with.stderr)
    );
}

/// Standard input is left to the child.
#[test]
fn a_request_from_stdin() {
    let machine = Machine::with_cxl("info none\nrpc configuration 0102 -> 0304");
    let rpc = [
        "rpc",
        "fwctl0",
        "--scope",
        "configuration",
        "-i",
        "-",
        "-o",
        "raw",
        "--timeout",
        "60",
    ];
    let ended = machine.run_with_input(&rpc, &[1, 2]);
    assert_eq!(
        (ended.status, ended.bytes),
        (0, vec![3, 4]),
        "{}",
        ended.stderr
    );
}

#[test]
fn limits_that_are_none() {
    for limit in ["0", "-1", "soon", "86401"] {
        let limit = format!("--timeout={limit}");
        let ended = Machine::with_cxl("info cxl").run(&["info", "mem0", &limit]);
        assert_eq!(ended.status, 2, "{ended:?}");
    }
}

/// Each verb that can send an RPC has the option.
#[test]
fn verbs_with_a_limit() {
    let machine = Machine::new();
    for verb in [
        &["info"][..],
        &["rpc"],
        &["cxl", "features"],
        &["cxl", "get"],
        &["cxl", "set"],
        &["mlx5", "reg"],
        &["mlx5", "caps"],
        &["mlx5", "query"],
        &["mlx5", "dump"],
        &["mlx5", "diag", "caps"],
        &["mlx5", "diag", "params"],
        &["mlx5", "diag", "read"],
        &["mlx5", "diag", "set"],
        &["mlx5", "diag", "disable"],
        &["snapshot"],
        &["capture"],
        &["export"],
        &["apply"],
    ] {
        let help = machine.run(&[verb, &["--help"]].concat());
        assert!(help.stdout.contains("--timeout <SECONDS>"), "{verb:?}");
    }
}
