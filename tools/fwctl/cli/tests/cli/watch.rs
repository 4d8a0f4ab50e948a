// SPDX-License-Identifier: MIT OR Apache-2.0

//! `watch`: what it prints of a saved trace, and what it needs of the machine.

use crate::machine::Machine;

const TRACE: &str = "\
# tracer: nop
#
           fwctl-42      [000] .....    12.345678: fwctl_rpc_start: dev=fwctl0 pid=42 scope=configuration in_len=24 out_len=4096
           fwctl-42      [000] .....    12.346000: fwctl_rpc_done: dev=fwctl0 pid=42 scope=configuration ret=0 out_len=344 duration_ns=322000
        mstflint-51      [001] .....    13.000000: fwctl_rpc_start: dev=fwctl1 pid=50 scope=debug-write-full in_len=272 out_len=272
        mstflint-51      [001] .....    13.500000: fwctl_rpc_done: dev=fwctl1 pid=50 scope=debug-write-full ret=-1 out_len=0 duration_ns=900 opcode=0x805
";

#[test]
fn a_saved_trace_as_a_table() {
    let machine = Machine::new();
    machine.run_with_input(&["watch", "--from", "-"], TRACE.as_bytes()).is(
        0,
        "           TIME  PROCESS                   UID  DEVICE    SCOPE               OPCODE       IN      OUT    DURATION  RESULT\n\
         \x20     12.346000  fwctl[42]                   -  fwctl0    configuration            -       24      344    322.0 us  ok\n\
         \x20     13.500000  mstflint[50]                -  fwctl1    debug-write-full     0x805      272        -      900 ns  EPERM\n",
        "",
    );
}

#[test]
fn a_saved_trace_as_json_of_one_device_and_a_limit() {
    let machine = Machine::new();
    let line = r#"{"format":2,"time":"13.500000","wall_time":null,"pid":50,"uid":null,"container":null,"comm":"mstflint","device":"fwctl1","scope":"debug-write-full","opcode":2053,"request_len":272,"out_len":272,"reply_len":0,"result":-1,"duration_ns":900}"#;
    machine
        .run_with_input(
            &["watch", "--from", "-", "-o", "json", "--device", "fwctl1"],
            TRACE.as_bytes(),
        )
        .is(0, &format!("{line}\n"), "");
    let one = machine.run_with_input(
        &["trace", "--from", "-", "-o", "json", "-n", "1"],
        TRACE.as_bytes(),
    );
    assert_eq!((one.status, one.stdout.lines().count()), (0, 1));
}

#[test]
fn a_device_by_any_of_its_names() {
    let machine = Machine::with_cxl("info cxl");
    for name in ["fwctl0", "mem0", "0d:00.0"] {
        let ended = machine.run_with_input(
            &["watch", "--from", "-", "--device", name],
            TRACE.as_bytes(),
        );
        assert_eq!(
            (ended.status, ended.stdout.lines().count()),
            (0, 2),
            "{name}: {}",
            ended.stdout
        );
    }
}

#[test]
fn without_tracefs_or_events() {
    let machine = Machine::new();
    machine.run(&["watch"]).is(
        1,
        "",
        "fwctl: ./sys/kernel/tracing: watching needs tracefs: mount -t tracefs nodev /sys/kernel/tracing, on a kernel with \
         CONFIG_FTRACE\n",
    );
    machine.write(
        "sys/kernel/security/lockdown",
        "none integrity [confidentiality]\n",
    );
    machine.run(&["watch"]).is(
        1,
        "",
        "fwctl: ./sys/kernel/tracing: the kernel is locked down for confidentiality, which disables tracing: boot it with \
         lockdown=integrity to watch\n",
    );
    machine.write("sys/kernel/tracing/events/sched/enable", "0\n");
    machine.run(&["watch"]).is(
        1,
        "",
        "fwctl: ./sys/kernel/tracing/events/fwctl: the kernel has no fwctl trace events: load the fwctl module; the C core \
         has none\n",
    );
    assert_eq!(machine.run(&["watch", "-o", "raw"]).status, 2);
    assert_eq!(machine.run(&["watch", "-n", "many"]).status, 2);
}

#[test]
fn lost_events_are_said() {
    let machine = Machine::new();
    let trace =
        format!("# entries-in-buffer/entries-written: 4/9   #P:1\n{TRACE}CPU:0 [LOST 3 EVENTS]\n");
    let json = machine.run_with_input(&["watch", "--from", "-", "-o", "json"], trace.as_bytes());
    assert_eq!(
        json.stderr,
        "fwctl: 5 events were lost: the kernel's buffer was full\n\
         fwctl: 3 events were lost: the kernel's buffer was full\n"
    );
    let lines: Vec<&str> = json.stdout.lines().collect();
    assert_eq!(
        (lines[0], lines[3]),
        (r#"{"format":2,"lost":5}"#, r#"{"format":2,"lost":3}"#)
    );
    assert_eq!(json.status, 0);
}
