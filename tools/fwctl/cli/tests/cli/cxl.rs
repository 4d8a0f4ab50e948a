// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cxl features`, `get` and `set`. Bytes: CXL 3.2, sections 8.2.10.6.1 to 8.2.10.6.3, in the
//! envelope of include/uapi/fwctl/cxl.h.

use crate::machine::Machine;

/// Four features: patrol scrub, kept by the kernel, and three of a vendor with effects at once,
/// after reset, and none.
pub const FEATURES: &str = "
info cxl
rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 0400 00000000
rpc configuration 00050000 00000000 08000000 00000000 c8000000 0000 0000 -> c8000000 00000000 0400 0400 00000000
    96dad7d6fde8482ba73375774e06db8a 0000 0c00 0000 60000000 01 01 0602 000000000000000000000000000000000000
    ffffffffffffffffffffffffffffffff 0100 0400 0400 61000000 01 02 0202 000000000000000000000000000000000000
    eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee 0200 0400 0400 01000000 01 01 0106 000000000000000000000000000000000000
    dddddddddddddddddddddddddddddddd 0300 0100 0100 01000000 01 01 0000 000000000000000000000000000000000000
";
const IMMEDIATE: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
const AFTER_RESET: &str = "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee";
const NO_EFFECTS: &str = "dddddddd-dddd-dddd-dddd-dddddddddddd";

fn machine(more: &str) -> Machine {
    Machine::with_cxl(&format!("{FEATURES}\n{more}"))
}

#[test]
fn the_features_of_a_device() {
    machine("").run(&["cxl", "features", "mem0"]).is(
        0,
        "FEATURE                               GET  SET  CHANGEABLE        EFFECTS OF A CHANGE\n\
         patrol-scrub                          12   0    kernel only       configuration at once; data at once\n\
         ffffffff-ffff-ffff-ffff-ffffffffffff  4    4    debug-write-full  configuration at once\n\
         eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee  4    4    debug-write       configuration after cold reset; \
         configuration after conventional reset\n\
         dddddddd-dddd-dddd-dddd-dddddddddddd  1    1    no (no effects)   none\n",
        "",
    );
    let json = machine("")
        .run(&["cxl", "features", "mem0", "-o", "json"])
        .stdout;
    assert!(
        json.contains(
            r#"    {
      "id": 2,
      "uuid": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee",
      "name": null,
      "get_size": 4,
      "set_size": 4,
      "get_version": 1,
      "set_version": 1,
      "flags": 1,
      "changeable": true,
      "kernel_exclusive": false,
      "has_default": false,
      "has_saved": false,
      "persistent": false,
      "effects": 1537,
      "effect_names": [
        "config-cold-reset",
        "config-conventional-reset"
      ],
      "set_scope": "debug-write"
    },"#
        ),
        "{json}"
    );
}

#[test]
fn many_features_come_in_batches() {
    let entry = |id: u16| {
        format!(
            "{id:032x} {:04x} 0100 0000 00000000 01 01 0000 {:036x}",
            id.swap_bytes(),
            0
        )
    };
    let entries = |ids: std::ops::Range<u16>| ids.map(entry).collect::<Vec<_>>().join(" ");
    let machine = Machine::with_cxl(&format!(
        "info cxl\n\
         rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 4600 00000000\n\
         rpc configuration 00050000 00000000 08000000 00000000 080c0000 0000 0000 -> 080c0000 00000000 4000 4600 00000000 {}\n\
         rpc configuration 00050000 00000000 08000000 00000000 28010000 4000 0000 -> 98000000 00000000 0300 4600 00000000 {}\n\
         rpc configuration 00050000 00000000 08000000 00000000 98000000 4300 0000 -> 98000000 00000000 0300 4600 00000000 {}\n",
        entries(0..64),
        entries(64..67),
        entries(67..70)
    ));
    let ended = machine.run(&["cxl", "features", "mem0"]);
    assert_eq!(
        (
            ended.status,
            ended.stdout.lines().count(),
            ended.stderr.as_str()
        ),
        (0, 71, "")
    );
}

#[test]
fn replies_that_lie() {
    const FIRST: &str =
        "rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 ->";
    const NEXT: &str =
        "rpc configuration 00050000 00000000 08000000 00000000 38000000 0000 0000 ->";
    let one = format!("{FIRST} 08000000 00000000 0000 0100 00000000\n{NEXT}");
    for (answers, why) in [
        (
            format!("{FIRST} 0800"),
            "reply header needs 8 bytes and has 2",
        ),
        (
            format!("{FIRST} ffffffff 00000000 0000 0100 00000000"),
            "payload needs 4294967295 bytes and has 8",
        ),
        (
            format!("{FIRST} 04000000 00000000 0000 0100"),
            "features needs 8 bytes and has 4",
        ),
        (
            format!("{FIRST} 08000000 00000000 ffff ffff 00000000"),
            "the reply announces 65535 features and has 0 bytes of them",
        ),
        (
            format!("{one} 08000000 00000000 0000 0100 00000000"),
            "the device announced 1 features and returned 0",
        ),
        (
            format!("{one} 38000000 00000000 0200 0100 00000000 {:096x}", 0),
            "the reply announces 2 features and has 48 bytes of them",
        ),
        (
            format!("{one} 30000000 00000000 0100 0100 00000000 {:080x}", 0),
            "the reply announces 1 features and has 40 bytes of them",
        ),
    ] {
        let ended =
            Machine::with_cxl(&format!("info cxl\n{answers}")).run(&["cxl", "features", "mem0"]);
        ended.is(
            1,
            "",
            &format!("fwctl: fwctl0: Get Supported Features: bad reply: {why}\n"),
        );
    }
}

const GET_SCRUB: &str =
    "rpc configuration 01050000 00000000 15000000 00000000 96dad7d6fde8482ba73375774e06db8a";

#[test]
fn the_value_of_a_feature() {
    let all = format!("{GET_SCRUB} 0000 0c00 00 -> 0c000000 00000000 000102030405060708090a0b");
    machine(&all).run(&["cxl", "get", "mem0", "patrol-scrub"]).is(
        0,
        "device:   fwctl0\nfeature:  96dad7d6-fde8-482b-a733-75774e06db8a (patrol-scrub)\nvalue:    current\noffset:   0\n\
         size:     12 bytes\n\n00000000  00 01 02 03 04 05 06 07  08 09 0a 0b              |............|\n\n\
         FIELD             VALUE\n\
         cycle-changeable  no\n\
         real-time-report  no\n\
         cycle             1 h\n\
         minimum-cycle     2 h\n\
         enabled           yes\n",
        "",
    );
    let json = machine(&all)
        .run(&["cxl", "get", "mem0", "patrol-scrub", "-o", "json"])
        .stdout;
    assert!(
        json.contains(
            r#"  "fields": {
    "cycle-changeable": {
      "value": 0,
      "meaning": "no"
    },
    "real-time-report": {
      "value": 0,
      "meaning": "no"
    },
    "cycle": {
      "value": 1,
      "unit": "hours"
    },"#
        ),
        "{json}"
    );
    let part = format!("{GET_SCRUB} 0200 0300 02 -> 03000000 00000000 020304");
    let args = [
        "cxl",
        "get",
        "mem0",
        "patrol-scrub",
        "--selection",
        "saved",
        "--offset",
        "0x2",
        "--size",
        "3",
    ];
    machine(&part)
        .run(&[&args[..], &["-o", "json"]].concat())
        .is(
            0,
            r#"{
  "format": 2,
  "device": "fwctl0",
  "uuid": "96dad7d6-fde8-482b-a733-75774e06db8a",
  "name": "patrol-scrub",
  "selection": "saved",
  "offset": 2,
  "size": 3,
  "version": 1,
  "value": "020304",
  "fields": null
}
"#,
            "",
        );
    assert_eq!(
        machine(&part)
            .run(&[&args[..], &["-o", "raw"]].concat())
            .bytes,
        [2, 3, 4]
    );
    let dry = machine("").run(&[&args[..], &["--dry-run", "-o", "raw"]].concat());
    assert_eq!(
        dry.bytes[16..],
        *b"\x96\xda\xd7\xd6\xfd\xe8\x48\x2b\xa7\x33\x75\x77\x4e\x06\xdb\x8a\x02\x00\x03\x00\x02"
    );
}

#[test]
fn values_that_cannot_be_had() {
    let args = ["cxl", "get", "mem0", "patrol-scrub"];
    machine(&format!("{GET_SCRUB} 0000 0c00 00 -> 00000000 1a000000")).run(&args).is(
        3,
        "",
        "fwctl: fwctl0: Get Feature: firmware refused with status 0x1a (unsupported feature selection value)\n",
    );
    machine(&format!(
        "{GET_SCRUB} 0000 0c00 00 -> 02000000 00000000 0001"
    ))
    .run(&args)
    .is(
        1,
        "",
        "fwctl: fwctl0: Get Feature: bad reply: the feature needs 12 bytes and has 2\n",
    );
    machine("").run(&["cxl", "get", "mem0", "patrol-scrub", "--offset", "10", "--size", "3"]).is(
        1,
        "",
        "fwctl: fwctl0: patrol-scrub (96dad7d6-fde8-482b-a733-75774e06db8a): the range is bytes 10 to 12, and the feature has 12 bytes\n",
    );
    machine("").run(&["cxl", "get", "mem0", "ecs"]).is(
        1,
        "",
        "fwctl: fwctl0: no feature e5b13f22-2328-4a14-b8ba-b9691e893386; list the features with: fwctl cxl features fwctl0\n",
    );
    for absurd in [
        ["--size", "0"],
        ["--size", "65536"],
        ["--offset", "-1"],
        ["--selection", "best"],
    ] {
        assert_eq!(
            machine("").run(&[&args[..], &absurd].concat()).status,
            2,
            "{absurd:?}"
        );
    }
    let last = machine("").run(&[
        "cxl",
        "get",
        "mem0",
        "patrol-scrub",
        "--offset",
        "65535",
        "--size",
        "65535",
    ]);
    assert_eq!(last.status, 1, "{}", last.stderr);
    assert_eq!(machine("").run(&["cxl", "get", "mem0", "patrol"]).status, 2);
}

#[test]
fn a_device_that_leaves_in_mid_command() {
    machine(&format!("{GET_SCRUB} 0000 0c00 00 -> errno 19")).run(&["cxl", "get", "mem0", "patrol-scrub"]).is(
        1,
        "",
        "fwctl: fwctl0: FWCTL_RPC (scope configuration, request 37 bytes, reply buffer 20): No such device (ENODEV)\n  \
         meaning: the device was unplugged or its driver unbound while it was open\n  \
         remedy:  list the devices with: fwctl list\n",
    );
}

const SET_IMMEDIATE: &str =
    "rpc debug-write-full 02050000 00000000 22000000 00000000 ffffffffffffffffffffffffffffffff \
                             08000000 0100 02 000000000000000000 aabb";
const BACK_IMMEDIATE: &str =
    "rpc configuration 01050000 00000000 15000000 00000000 ffffffffffffffffffffffffffffffff 0100 0200 00 ->";

#[test]
fn a_change_is_agreed_to_made_and_read_back() {
    let machine = |answer: &str| {
        machine(&format!(
            "{SET_IMMEDIATE} -> 00000000 00000000\n{BACK_IMMEDIATE} 02000000 00000000 {answer}"
        ))
    };
    let args = [
        "cxl", "set", "mem0", IMMEDIATE, "-i", "-", "--offset", "1", "--saved",
    ];
    let agreed = [&args[..], &["--scope", "debug-write-full"]].concat();
    // Without agreement nothing is sent: the recording would have failed any other request.
    machine("aabb").run_with_input(&args, &[0xaa, 0xbb]).is(
        2,
        "",
        "fwctl: fwctl0: ffffffff-ffff-ffff-ffff-ffffffffffff: nothing was written.\n  \
         the change:  configuration at once\n  \
         it needs:    scope debug-write-full, and CAP_SYS_RAWIO\n  \
         it taints:   the kernel (flag J) until the next boot, even if it fails\n  \
         to agree:    run it again with --scope debug-write-full\n",
    );
    let said = "fwctl: fwctl0: ffffffff-ffff-ffff-ffff-ffffffffffff: changes configuration at once\n\
                fwctl: warning: a request in scope debug-write-full taints the kernel (flag J) until the next boot, even if \
                it fails\n";
    machine("aabb").run_with_input(&agreed, &[0xaa, 0xbb]).is(
        0,
        "device:        fwctl0\nfeature:       ffffffff-ffff-ffff-ffff-ffffffffffff\nscope:         debug-write-full\n\
         written:       2 bytes at offset 1\nacross reset:  kept\neffects:       configuration at once\n\
         read back:     the current value is what was written\n\n\
         00000000  aa bb                                             |..|\n",
        said,
    );
    let other =
        machine("aa00").run_with_input(&[&agreed[..], &["-o", "json"]].concat(), &[0xaa, 0xbb]);
    other.is(
        0,
        r#"{
  "format": 2,
  "device": "fwctl0",
  "uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "name": null,
  "scope": "debug-write-full",
  "offset": 1,
  "size": 2,
  "asked_saved": true,
  "effects": 514,
  "immediate": true,
  "read_back": "aa00",
  "matches": false
}
"#,
        said,
    );
}

#[test]
fn a_dry_run_of_a_change_shows_the_old_and_the_new_value() {
    let args = [
        "cxl",
        "set",
        "mem0",
        IMMEDIATE,
        "-i",
        "-",
        "--offset",
        "1",
        "--dry-run",
    ];
    let ended = machine(&format!("{BACK_IMMEDIATE} 02000000 00000000 0102"))
        .run_with_input(&args, &[0xaa, 0xbb]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(
        ended.stdout.ends_with(
            "\nold value:  2 bytes\n\n\
             00000000  01 02                                             |..|\n\n\
             new value:  2 bytes\n\n\
             00000000  aa bb                                             |..|\n"
        ),
        "{}",
        ended.stdout
    );
    // A device that does not tell the old value is no obstacle.
    let ended = machine("").run_with_input(&args, &[0xaa, 0xbb]);
    assert_eq!(ended.status, 0);
    assert!(
        ended.stderr.contains("the old value cannot be read")
            && !ended.stdout.contains("old value:"),
        "{}{}",
        ended.stderr,
        ended.stdout
    );
}

#[test]
fn changes_that_are_not_made() {
    for (feature, scope, data, status, why) in [
        (
            "patrol-scrub",
            "debug-write-full",
            &[1][..],
            1,
            "patrol-scrub (96dad7d6-fde8-482b-a733-75774e06db8a): the kernel keeps this feature for itself",
        ),
        (
            NO_EFFECTS,
            "debug-write-full",
            &[1],
            1,
            "dddddddd-dddd-dddd-dddd-dddddddddddd: the device does not say what setting it does, and the kernel sets no such feature",
        ),
        (
            IMMEDIATE,
            "debug-write",
            &[1],
            2,
            "ffffffff-ffff-ffff-ffff-ffffffffffff: scope debug-write is too low for this change, which needs debug-write-full",
        ),
        (
            AFTER_RESET,
            "configuration",
            &[1],
            2,
            "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee: scope configuration is too low for this change, which needs debug-write",
        ),
        (
            IMMEDIATE,
            "debug-write-full",
            &[1, 2, 3, 4, 5],
            1,
            "ffffffff-ffff-ffff-ffff-ffffffffffff: the range is bytes 0 to 4, and the feature has 4 bytes",
        ),
        (
            IMMEDIATE,
            "debug-write-full",
            &[],
            1,
            "ffffffff-ffff-ffff-ffff-ffffffffffff: the range has no bytes, and the feature has 4 bytes",
        ),
    ] {
        let ended = machine("").run_with_input(&["cxl", "set", "mem0", feature, "-i", "-", "--scope", scope], data);
        ended.is(status, "", &format!("fwctl: fwctl0: {why}\n"));
    }
}

#[test]
fn a_refused_change_has_the_firmware_s_status() {
    let machine = machine(&format!("{SET_IMMEDIATE} -> 00000000 17000000"));
    let args = [
        "cxl",
        "set",
        "mem0",
        IMMEDIATE,
        "-i",
        "-",
        "--offset",
        "1",
        "--saved",
        "--scope",
        "debug-write-full",
    ];
    let ended = machine.run_with_input(&args, &[0xaa, 0xbb]);
    assert_eq!((ended.status, ended.stdout.as_str()), (3, ""));
    assert!(
        ended
            .stderr
            .ends_with("Set Feature: firmware refused with status 0x17 (invalid log)\n"),
        "{}",
        ended.stderr
    );
}

/// Patrol scrub, ECS of two media FRUs and soft PPR, with a kernel that keeps none of them.
const KNOWN: &str = "
info cxl
rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 0300 00000000
rpc configuration 00050000 00000000 08000000 00000000 98000000 0000 0000 -> 98000000 00000000 0300 0300 00000000
    96dad7d6fde8482ba73375774e06db8a 0000 0400 0200 01000000 01 01 0202 000000000000000000000000000000000000
    e5b13f2223284a14b8bab9691e893386 0100 0900 0500 01000000 01 02 0102 000000000000000000000000000000000000
    892ba475fad8474e9d3e692c917568bb 0200 1400 0400 01000000 03 03 0202 000000000000000000000000000000000000
";
const SCRUB_NOW: &str =
    "rpc configuration 01050000 00000000 15000000 00000000 96dad7d6fde8482ba73375774e06db8a 0000 0400 00 \
     -> 04000000 00000000";
const SET_SCRUB: &str =
    "rpc debug-write-full 02050000 00000000 22000000 00000000 96dad7d6fde8482ba73375774e06db8a \
     00000000 0000 01 000000000000000000";
const SET_FIELDS: [&str; 6] = [
    "cxl",
    "set",
    "mem0",
    "patrol-scrub",
    "cycle=1d",
    "enabled=on",
];

fn known(more: &str) -> Machine {
    Machine::with_cxl(&format!("{KNOWN}\n{more}"))
}

#[test]
fn fields_are_set_and_read_back() {
    // Cycle and flags are written, and the upper bits of the flags stay.
    let written = format!(
        "{SCRUB_NOW} 030c01fe\n{SET_SCRUB} 18ff -> 00000000 00000000\n{SCRUB_NOW} 031801ff"
    );
    let agreed = [&SET_FIELDS[..], &["--scope", "debug-write-full"]].concat();
    let said = "fwctl: fwctl0: patrol-scrub (96dad7d6-fde8-482b-a733-75774e06db8a): changes configuration at once\n\
                fwctl: warning: a request in scope debug-write-full taints the kernel (flag J) until the next boot, even if \
                it fails\n";
    known(&written).run(&agreed).is(
        0,
        "device:        fwctl0\nfeature:       96dad7d6-fde8-482b-a733-75774e06db8a (patrol-scrub)\n\
         scope:         debug-write-full\nwritten:       2 bytes at offset 0\n\
         across reset:  not asked for; Linux 7.3 always keeps it\neffects:       configuration at once\n\
         read back:     the current value is what was written\n\n\
         FIELD    OLD   NEW   NOW\n\
         cycle    12 h  24 h  24 h\n\
         enabled  no    yes   yes\n",
        said,
    );
    // The device keeps the old cycle.
    let kept = written.replace("031801ff", "030c01ff");
    known(&kept)
        .run(&[&agreed[..], &["-o", "json"]].concat())
        .is(
            0,
            r#"{
  "format": 2,
  "device": "fwctl0",
  "uuid": "96dad7d6-fde8-482b-a733-75774e06db8a",
  "name": "patrol-scrub",
  "scope": "debug-write-full",
  "offset": 0,
  "size": 2,
  "asked_saved": false,
  "effects": 514,
  "immediate": true,
  "read_back": "030c01ff",
  "matches": false,
  "fields": {
    "cycle": {
      "old": 12,
      "new": 24,
      "now": 12,
      "unit": "hours"
    },
    "enabled": {
      "old": 0,
      "new": 1,
      "now": 1,
      "unit": null
    }
  }
}
"#,
            said,
        );
    // Without agreement only the present value is read.
    let asked = known(&format!("{SCRUB_NOW} 030c01fe")).run(&SET_FIELDS);
    assert_eq!(asked.status, 2);
    assert!(
        asked.stderr.contains("nothing was written"),
        "{}",
        asked.stderr
    );
}

#[test]
fn a_dry_run_of_fields_shows_those_that_change() {
    let machine = || known(&format!("{SCRUB_NOW} 030c01ff"));
    let dry = [&SET_FIELDS[..], &["--dry-run"]].concat();
    let ended = machine().run(&dry);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    // It is on already.
    assert!(
        ended
            .stdout
            .ends_with("\nFIELD  OLD   NEW\ncycle  12 h  24 h\n"),
        "{}",
        ended.stdout
    );
    let json = machine().run(&[&dry[..], &["-o", "json"]].concat()).stdout;
    let end = r#"  "old": "0cff",
  "new": "18ff",
  "changes": {
    "cycle": {
      "old": 12,
      "new": 24
    }
  }
}
"#;
    assert!(json.ends_with(end), "{json}");
    let raw = machine().run(&[&dry[..], &["-o", "raw"]].concat()).bytes;
    assert_eq!(raw[raw.len() - 2..], [0x18, 0xff]);
}

#[test]
fn a_field_of_a_media_fru() {
    const NOW: &str =
        "rpc configuration 01050000 00000000 15000000 00000000 e5b13f2223284a14b8bab9691e893386 0000 0900 00 \
         -> 09000000 00000000 01 01 0300 00";
    let set =
        "rpc debug-write 02050000 00000000 25000000 00000000 e5b13f2223284a14b8bab9691e893386 \
               00000000 0000 02 000000000000000000 01 0300 0b00 -> 00000000 00000000";
    let machine = |number: &str, answer: &str| {
        known(&format!("{NOW} 01 {number} 00\n{answer}\n{NOW} 01 0b00 00"))
    };
    let args = ["cxl", "set", "mem0", "ecs", "fru1.count-mode=codewords"];
    let args = [&args[..], &["--scope", "debug-write"]].concat();
    let ended = machine("0300", set).run(&args);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let row = "fru1.count-mode  rows with errors  codewords with errors  codewords with errors\n";
    assert!(ended.stdout.ends_with(row), "{}", ended.stdout);
}

#[test]
fn fields_that_are_not_set() {
    const UUID: &str = "(96dad7d6-fde8-482b-a733-75774e06db8a)";
    // Nothing is sent: the recording has no answer.
    let silent = || Machine::with_cxl("info cxl");
    for (feature, field, why) in [
        (
            "patrol-scrub",
            "speed=9",
            "patrol-scrub: no field \"speed\"; possible are cycle=1h..255h, enabled=on|off",
        ),
        (
            "patrol-scrub",
            "real-time-report=on",
            "patrol-scrub: real-time-report can only be read; possible are cycle=1h..255h, enabled=on|off",
        ),
        (
            "patrol-scrub",
            "cycle=24",
            "patrol-scrub: cycle=24: a unit is missing: h is hours, d is days; possible is cycle=1h..255h",
        ),
        (
            "patrol-scrub",
            "cycle=300h",
            "patrol-scrub: cycle=300h: not in this range; possible is cycle=1h..255h",
        ),
        (
            "ecs",
            "fru0.threshold=512",
            "ecs: fru0.threshold=512: not one of the values; possible is fru0.threshold=256|1024|4096",
        ),
        (
            IMMEDIATE,
            "cycle=24h",
            "ffffffff-ffff-ffff-ffff-ffffffffffff: the fields of this feature are not known, only its bytes can be \
             written: use --in",
        ),
    ] {
        let args = ["cxl", "set", "mem0", feature, field, "--scope", "debug-write-full"];
        silent().run(&args).is(2, "", &format!("fwctl: {why}\n"));
    }
    // What only the device can tell.
    let args = |field| ["cxl", "set", "mem0", "patrol-scrub", field, "--dry-run"];
    for (value, field, why) in [
        (
            "03180c00",
            "cycle=6h",
            "cycle=6h: less than the minimum of this device; possible is cycle=12h..255h",
        ),
        (
            "02180c00",
            "cycle=24h",
            "cycle cannot be set to 24h: cycle-changeable of this device is no",
        ),
    ] {
        known(&format!("{SCRUB_NOW} {value}")).run(&args(field)).is(
            1,
            "",
            &format!("fwctl: fwctl0: patrol-scrub {UUID}: {why}\n"),
        );
    }
    // The kernel keeps the Feature.
    machine("").run(&args("enabled=on")).is(
        1,
        "",
        &format!(
            "fwctl: fwctl0: patrol-scrub {UUID}: the kernel keeps this feature for itself: if it has EDAC drivers for CXL, \
             set it in /sys/bus/edac/devices/cxl_mem0\n"
        ),
    );
    // Soft PPR of another layout.
    let sppr = "rpc configuration 01050000 00000000 15000000 00000000 892ba475fad8474e9d3e692c917568bb 0000 1400 00 \
                -> 14000000 00000000 00010000000100000000000000000000 0f000000";
    known(sppr)
        .run(&["cxl", "set", "mem0", "sppr", "device-initiated=on", "--dry-run"])
        .is(
            1,
            "",
            "fwctl: fwctl0: sppr (892ba475-fad8-474e-9d3e-692c917568bb): the feature takes 4 bytes, and the layout of the \
             specification has 3\n",
        );
    for (feature, possible) in [
        (
            "patrol-scrub",
            "cycle=1h..255h, enabled=on|off, bytes with --in",
        ),
        (IMMEDIATE, "bytes with --in"),
    ] {
        silent().run(&["cxl", "set", "mem0", feature]).is(
            2,
            "",
            &format!("fwctl: {feature}: nothing to set; possible are {possible}\n"),
        );
    }
    for args in [
        &["patrol-scrub", "enabled=on", "-i", "-"][..],
        &["patrol-scrub", "enabled=on", "--offset", "1"],
    ] {
        let ended = silent().run(&[&["cxl", "set", "mem0"], args].concat());
        assert_eq!(ended.status, 2, "{args:?}");
    }
}

#[test]
fn bytes_of_a_known_feature_are_compared_with_what_set_feature_takes() {
    let machine = known(&format!(
        "{SCRUB_NOW} 030c0101\n{SET_SCRUB} 1801 -> 00000000 00000000\n{SCRUB_NOW} 03180101"
    ));
    let args = ["cxl", "set", "mem0", "patrol-scrub", "-i", "-"];
    let dry = machine.run_with_input(
        &[&args[..], &["--dry-run", "-o", "json"]].concat(),
        &[0x18, 1],
    );
    assert!(dry.stdout.contains(r#""old": "0c01""#), "{}", dry.stdout);
    let machine = known(&format!(
        "{SET_SCRUB} 1801 -> 00000000 00000000\n{SCRUB_NOW} 03180101"
    ));
    let args = [&args[..], &["--scope", "debug-write-full", "-o", "json"]].concat();
    let ended = machine.run_with_input(&args, &[0x18, 1]);
    assert!(
        ended.stdout.contains(r#""read_back": "1801""#)
            && ended.stdout.contains(r#""matches": true"#),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn other_devices_are_refused() {
    let machine = Machine::new();
    machine.add_pci(
        0,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "info mlx5 05000000 04000000",
    );
    machine.run(&["cxl", "features", "fwctl0"]).is(
        1,
        "",
        "fwctl: fwctl0: this is a mlx5 device, not a cxl device\n",
    );
}

/// A device with a kernel that passes commands: Get Log, one with another command in its payload,
/// and four of a vendor, one of which the kernel refuses.
const COMMANDS: &str = "
info cxl 03000000 00010000
rpc configuration 00000100 00000000 00000000 00000000 -> 38000000 00000000 06000000 00000000
    0104 0000 01 00 0000
    0053 0000 00 00 0200
    00c0 0000 01 00 0000
    10c0 0100 02 00 0000
    20c0 0200 03 00 0000
    30c0 4000 ff 04 0000
";

fn commands(more: &str) -> Machine {
    Machine::with_cxl(&format!("{COMMANDS}\n{more}"))
}

#[test]
fn the_commands_of_a_device() {
    commands("").run(&["cxl", "commands", "mem0"]).is(
        0,
        "OPCODE  NAME                       SCOPE                              EFFECTS\n\
         0x0401  Get Log                    debug-read-only                    none\n\
         0x5300  Tunnel Management Command  configuration or more, by payload  none\n\
         0xc000  (vendor)                   debug-read-only                    none\n\
         0xc010  (vendor)                   debug-write                        configuration after cold reset\n\
         0xc020  (vendor)                   debug-write-full                   configuration at once\n\
         0xc030  (vendor)                   never (background)                 in the background\n",
        "",
    );
    let json = commands("")
        .run(&["cxl", "commands", "mem0", "-o", "json"])
        .stdout;
    assert!(
        json.contains(
            r#"    {
      "opcode": 49200,
      "name": null,
      "vendor": true,
      "effects": 64,
      "effect_names": [
        "background"
      ],
      "scope": null,
      "by_feature": false,
      "by_payload": false,
      "refused": "background"
    }"#
        ),
        "{json}"
    );
    // A kernel that passes only the Feature commands.
    for verb in [&["commands"][..], &["log"]] {
        Machine::with_cxl("info cxl")
            .run(&[&["cxl"], verb, &["mem0"]].concat())
            .is(
                1,
                "",
                "fwctl: fwctl0: this kernel passes only the Feature commands of a CXL memory device\n",
            );
    }
}

#[test]
fn a_command_is_sent_in_the_scope_that_it_needs() {
    let echo = "rpc debug-read-only 00c00000 00000000 00000000 00000000 -> 02000000 00000000 6869";
    commands(echo).run(&["cxl", "command", "mem0", "0xc000"]).is(
        0,
        "device:   fwctl0\ncommand:  0xc000\nscope:    debug-read-only\ninput:    0 bytes\noutput:   2 bytes\n\n\
         00000000  68 69                                             |hi|\n",
        "fwctl: fwctl0: command 0xc000: changes nothing; sent in scope debug-read-only\n",
    );
    // The kernel decides by the command in the payload.
    let tunnel = "rpc configuration 00530000 00000000 00000000 00000000 -> 00000000 00000000";
    let sent = commands(tunnel).run(&["cxl", "command", "mem0", "0x5300"]);
    assert_eq!(
        sent.stderr,
        "fwctl: fwctl0: Tunnel Management Command (0x5300): changes nothing; sent in scope configuration; \
         the command in its payload may need a higher one\n"
    );
    // Nothing is sent without agreement.
    let asked = commands("").run(&["cxl", "command", "mem0", "0xc020"]);
    assert_eq!(asked.status, 2);
    assert!(
        asked.stderr.contains("nothing was sent")
            && asked
                .stderr
                .contains("run it again with --scope debug-write-full"),
        "{}",
        asked.stderr
    );
    commands("")
        .run(&["cxl", "command", "mem0", "0xc020", "--scope", "debug-write"])
        .is(
            2,
            "",
            "fwctl: fwctl0: command 0xc020: scope debug-write is too low for this command, which needs debug-write-full\n",
        );
    for args in [
        &["--dry-run"][..],
        &["--dry-run", "--scope", "debug-write-full"],
    ] {
        let dry =
            commands("").run(&[&["cxl", "command", "mem0", "0xc020", "-o", "raw"], args].concat());
        assert_eq!(dry.bytes, *b"\x20\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}

#[test]
fn commands_that_cannot_be_sent() {
    for (opcode, status, why) in [
        (
            "0xc030",
            1,
            "command 0xc030: not sent: it continues in the background",
        ),
        (
            "0xc0ff",
            1,
            "no command 0xc0ff; list the commands with: fwctl cxl commands fwctl0",
        ),
    ] {
        commands("").run(&["cxl", "command", "mem0", opcode]).is(
            status,
            "",
            &format!("fwctl: fwctl0: {why}\n"),
        );
    }
    // The device refuses.
    let refused = "rpc debug-read-only 00c00000 00000000 00000000 00000000 -> 00000000 16000000";
    let ended = commands(refused).run(&["cxl", "command", "mem0", "0xc000"]);
    assert_eq!(ended.status, 3);
}

#[test]
fn the_ports_of_a_switch() {
    const SWITCH: &str = "
info cxl 03000000 00020000
rpc configuration 00000100 00000000 00000000 00000000 -> 10000000 00000000 01000000 00000000
    0051 0000 00 00 0000
rpc configuration 00510000 00000000 00000000 00000000 -> 49000000 00000000
    0200 0301 0500000000000000000000000000000000000000000000000000000000000000
    0100000000000000000000000000000000000000000000000000000000000000 0300 0200 04
rpc configuration 01510000 00000000 03000000 00000000 020002 -> 24000000 00000000 02000000
    00030200 040f1008 3f050404 00000001
    02f40000 090f1010 3f050508 00000000
";
    let machine = Machine::with_cxl(SWITCH);
    machine.run(&["cxl", "ports", "mem0"]).is(
        0,
        "device:            fwctl0\n\
         ports:             3, 2 active\n\
         virtual switches:  1\n\
         vPPBs:             3, 2 bound\n\n\
         PORT  STATE       DEVICE      WIDTH       SPEED   LINK\n\
         0     downstream  type-3-sld  x8 of x16   4 of 5  l0\n\
         2     upstream    0x9         x16 of x16  5 of 5  disabled\n",
        "",
    );
    commands("")
        .run(&["cxl", "ports", "mem0"])
        .is(1, "", "fwctl: fwctl0: this is not a switch\n");
}

#[test]
fn the_logs_of_a_device() {
    const LIST: &str = "
rpc configuration 00040000 00000000 00000000 00000000 -> 1c000000 00000000 0100 000000000000
    5e1819d911a9400c811fd60719403d86 04000000";
    commands(LIST).run(&["cxl", "log", "mem0"]).is(
        0,
        "UUID                                  NAME          SIZE\n\
         5e1819d9-11a9-400c-811f-d60719403d86  vendor-debug  4\n",
        "",
    );
    let content = format!(
        "{LIST}
rpc debug-read-only 01040000 00000000 18000000 00000000 5e1819d911a9400c811fd60719403d86 00000000 04000000
    -> 04000000 00000000 31323334"
    );
    let raw = commands(&content).run(&["cxl", "log", "mem0", "vendor-debug", "-o", "raw"]);
    assert_eq!(raw.bytes, b"1234");
    let other = commands(LIST).run(&["cxl", "log", "mem0", "ecs"]);
    assert_eq!(other.status, 1);
}
