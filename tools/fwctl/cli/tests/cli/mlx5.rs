// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mlx5 reg`, `caps` and `query`. Bytes: include/linux/mlx5/mlx5_ifc.h.

use crate::machine::Machine;
use std::fs;

fn machine(recording: &str) -> Machine {
    let machine = Machine::new();
    let recording = format!("info mlx5 05000000 04000000\n{recording}");
    machine.add_pci(0, "0000:07:00.0", "mlx5_core", (0x15b3, 0x1021), &recording);
    machine
}

/// MTMP, sensor 1: 42 degrees in units of 1/8, threshold 105.
const READ_MTMP: &str = "rpc debug-read-only 08050000 00000001 0000900a 00000000
    00000001 00000000 00000000 00000000 0000000000000000 0000000000000000
    -> 00000000 00000000 00000000 00000000
    00000001 00000150 40000160 00000348 0000000000000000 6173696300000000\n";

#[test]
fn a_register_by_name_and_by_number() {
    for name in ["mtmp", "0x900a", "36874"] {
        machine(READ_MTMP)
            .run(&["mlx5", "reg", "fwctl0", name, "--arg", "sensor_index=1"])
            .is(
                0,
                "device:    fwctl0\nregister:  0x900a (mtmp)\n\n\
             FIELD              VALUE\n\
             sensor_index       1\n\
             temperature        42 C (0x150)\n\
             mte                0\n\
             mtr                1\n\
             max_temperature    44 C (0x160)\n\
             tee                0\n\
             temp_threshold_hi  105 C (0x348)\n\
             temp_threshold_lo  0 C (0x0)\n\
             sensor_name        \"asic\"\n",
                "",
            );
    }
}

#[test]
fn a_register_that_is_not_known() {
    let answer = "-> 00000000 00000000 00000000 00000000 01020304 05060708\n";
    let read = format!(
        "rpc debug-read-only 08050000 00000001 00009999 00000000 00000000 00000000 {answer}"
    );
    machine(&read)
        .run(&["mlx5", "reg", "fwctl0", "0x9999", "--size", "8"])
        .is(
            0,
            "device:    fwctl0\nregister:  0x9999\n\n\
         00000000  01 02 03 04 05 06 07 08                           |........|\n",
            "",
        );
    let raw = machine(&read).run(&[
        "mlx5", "reg", "fwctl0", "0x9999", "--size", "8", "-o", "raw",
    ]);
    assert_eq!(raw.bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
    machine("").run(&["mlx5", "reg", "fwctl0", "0x9999"]).is(
        2,
        "",
        "fwctl: 0x9999: its length is not known: give it with --size\n",
    );
}

#[test]
fn bytes_behind_the_fields_are_dumped() {
    let read = "rpc debug-read-only 08050000 00000001 00009059 00000000 00000000 00000000 00000000 00000000 00000000
        -> 00000000 00000000 00000000 00000000 80000001 00000000 02000000 00000000 0a0b0c0d";
    machine(read)
        .run(&["mlx5", "reg", "fwctl0", "mpir", "--size", "20"])
        .is(
            0,
            "device:    fwctl0\nregister:  0x9059 (mpir)\n\n\
         FIELD       VALUE\nsdm         1\nhost_buses  1\nlocal_port  2\n\n\
         00000000  0a 0b 0c 0d                                       |....|\n",
            "",
        );
}

/// MPIR as a stand-in for a register that can be written: host_buses at bit 28.
const READ_MPIR: &str =
    "rpc debug-read-only 08050000 00000001 00009059 00000000 00000000 00000000 00000000 00000000
    -> 00000000 00000000 00000000 00000000 80000001 00000000 02000000 00000000\n";

#[test]
fn a_write_keeps_the_other_fields_and_is_read_back() {
    let write =
        "rpc configuration 08050000 00000000 00009059 00000000 80000007 00000000 02000000 00000000
        -> 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n";
    let back = READ_MPIR.replace("80000001", "80000007");
    machine(&format!("{READ_MPIR}{write}{back}"))
        .run(&[
            "mlx5",
            "reg",
            "fwctl0",
            "mpir",
            "--set",
            "host_buses=7",
            "--scope",
            "configuration",
            "-o",
            "json",
        ])
        .is(
            0,
            r#"{
  "format": 2,
  "device": "fwctl0",
  "name": "mpir",
  "id": 36953,
  "written": true,
  "fields": {
    "sdm": {
      "value": 1
    },
    "host_buses": {
      "value": 7
    },
    "local_port": {
      "value": 2
    }
  },
  "data": "80000007000000000200000000000000"
}
"#,
            "",
        );
    // The scope is the user's to name.
    assert_eq!(
        machine("")
            .run(&["mlx5", "reg", "fwctl0", "mpir", "--set", "host_buses=7"])
            .status,
        2
    );
}

#[test]
fn fields_that_do_not_fit() {
    let set = |set| {
        machine("").run(&[
            "mlx5",
            "reg",
            "fwctl0",
            "mpir",
            "--scope",
            "configuration",
            "--set",
            set,
        ])
    };
    set("host_buses=16").is(
        2,
        "",
        "fwctl: mpir: host_buses=16: the field has 4 bits, the value needs more; its fields are sdm, host_buses, local_port\n",
    );
    set("hosts=1").is(
        2,
        "",
        "fwctl: mpir: hosts=1: no field of this name; did you mean host_buses?\n",
    );
    for absurd in [
        "host_buses",
        "host_buses=",
        "host_buses=many",
        "host_buses=99999999999999999999",
    ] {
        assert_eq!(set(absurd).status, 2, "{absurd}");
    }
    for size in ["0", "3", "4100", "-4"] {
        assert_eq!(
            machine("")
                .run(&["mlx5", "reg", "fwctl0", "mpir", "--size", size])
                .status,
            2,
            "{size}"
        );
    }
}

#[test]
fn a_register_that_the_firmware_refuses() {
    let refused =
        READ_MPIR.split("->").next().unwrap().to_owned() + "-> 03000000 00a2b3c4 00000000 00000000";
    machine(&refused).run(&["mlx5", "reg", "fwctl0", "mpir"]).is(
        3,
        "",
        "fwctl: fwctl0: ACCESS_REG of mpir: firmware refused with status 0x3 (bad parameter), syndrome 0x00a2b3c4\n",
    );
    let dry = machine("").run(&["mlx5", "reg", "fwctl0", "mpir", "--dry-run", "-o", "raw"]);
    assert_eq!(dry.bytes[..12], [8, 5, 0, 0, 0, 0, 0, 1, 0, 0, 0x90, 0x59]);
}

#[test]
fn capabilities_that_are_not_0() {
    // dtor at bit 0x22, vhca_id at 0x30.
    let answer = |second_word: &str| format!("-> len 4112 {:032x} 00000000 {second_word}", 0);
    let (current, maximum) = (answer("20000005"), answer("20000000"));
    let recording = format!(
        "rpc configuration 01000000 00000001 00000000 00000000 {current}\n\
         rpc configuration 01000000 00000000 00000000 00000000 {maximum}"
    );
    let ended = machine(&recording).run(&["mlx5", "caps", "fwctl0"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(
        ended
            .stdout
            .starts_with("device:  fwctl0\ntype:    general (0x0)\n\nCAPABILITY"),
        "{}",
        ended.stdout
    );
    let words = |name: &str| {
        let line = ended.stdout.lines().find(|line| line.starts_with(name));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(words("dtor").as_deref(), Some("dtor 1 1"));
    assert_eq!(words("vhca_id").as_deref(), Some("vhca_id 5 0"));
    assert_eq!(words("abs_native_port_num"), None);
    let all = machine(&recording).run(&["mlx5", "caps", "fwctl0", "--zeros"]);
    assert!(all.stdout.lines().count() > 300);
    assert_eq!(
        machine("")
            .run(&["mlx5", "caps", "fwctl0", "--type", "magic"])
            .status,
        2
    );
}

#[test]
fn a_query_with_an_argument() {
    // mlx5_ifc_query_vport_state_in_bits: op_mod at bit 48, vport_number at 80; in the reply, state
    // at 124.
    let recording = "rpc debug-read-only 07500000 00000001 00000003 00000000
        -> 00000000 00000000 00000000 00000012";
    machine(recording)
        .run(&[
            "mlx5",
            "query",
            "fwctl0",
            "vport-state",
            "--arg",
            "vport_number=3",
            "--arg",
            "op_mod=1",
        ])
        .is(
            0,
            "device:   fwctl0\ncommand:  vport-state (0x750)\n\n\
         FIELD         VALUE\n\
         max_tx_speed  0 Mb/s\n\
         admin_state   1\n\
         state         2\n",
            "",
        );
}

/// PPCNT of port 1: header, and a counter set of 248 bytes.
fn ppcnt(group: u8, counters: &str) -> String {
    let header = format!("000100{group:02x} 00000000");
    format!(
        "rpc debug-read-only 08050000 00000001 00005008 00000000 {header} {:0496x} -> 00000000 00000000 00000000 00000000 {header} {counters:0<496}",
        0
    )
}

#[test]
fn counters_of_the_group_that_was_asked_for() {
    let args = |group: &'static str| {
        [
            "mlx5",
            "reg",
            "fwctl0",
            "ppcnt",
            "--arg",
            "local_port=1",
            "--arg",
            group,
        ]
    };
    let lines = |ended: &crate::machine::Ended| {
        let lines = ended.stdout.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        lines.collect::<Vec<_>>()
    };
    // mlx5_ifc_phys_layer_cntrs_bits: time_since_last_clear, symbol_errors.
    let physical = machine(&ppcnt(0x12, "0000000000000005000000000000002a")).run(&args("grp=0x12"));
    assert_eq!((physical.status, physical.stderr.as_str()), (0, ""));
    let found = lines(&physical);
    assert!(
        found.contains(&"counter_set.phys_layer_cntrs.symbol_errors 42 (0x2a)".into()),
        "{found:?}"
    );
    assert!(!physical.stdout.contains("802_3"), "{found:?}");
    // A group that the kernel's headers do not describe.
    let unknown = machine(&ppcnt(0x3e, "0102")).run(&args("grp=0x3e"));
    let found = lines(&unknown);
    assert!(!unknown.stdout.contains("counter_set."), "{found:?}");
    assert!(
        found.contains(
            &"00000000 00 01 00 3e 00 00 00 00 01 02 00 00 00 00 00 00 |...>............|".into()
        ),
        "{found:?}"
    );
}

#[test]
fn a_command_and_a_capability_by_number_are_dumped() {
    let query = "rpc debug-read-only 0b220000 00000002 00000007 00000000 -> 00000000 00000000 00000001 00000bb8";
    let args = [
        "mlx5", "query", "fwctl0", "0xb22", "--size", "16", "--arg", "op_mod=2",
    ];
    for number in [["--arg", "word_8=7"], ["--id", "7"]] {
        machine(query).run(&[&args[..], &number].concat()).is(
            0,
            "device:   fwctl0\ncommand:  0xb22\n\n\
             00000000  00 00 00 00 00 00 00 00  00 00 00 01 00 00 0b b8  |................|\n",
            "",
        );
    }
    machine("").run(&["mlx5", "query", "fwctl0", "0xb22"]).is(
        2,
        "",
        "fwctl: 0xb22: its length is not known: give it with --size\n",
    );
    // The number of an object, and a reply that is longer than its layout.
    let counter = "rpc debug-read-only 093b0000 00000000 00000000 00000000 00000000 00000000 00000000 00000012
        -> 00000000 00000000 00000000 00000000 00000000 00000005 00000000 00000140";
    machine(counter)
        .run(&[
            "mlx5",
            "query",
            "fwctl0",
            "flow-counter",
            "--id",
            "0x12",
            "--size",
            "32",
        ])
        .is(
            0,
            "device:   fwctl0\ncommand:  flow-counter (0x93b)\n\n\
             00000000  00 00 00 00 00 00 00 05  00 00 00 00 00 00 01 40  |...............@|\n",
            "",
        );
    machine("")
        .run(&["mlx5", "query", "fwctl0", "adapter", "--id", "1"])
        .is(
            2,
            "",
            "fwctl: adapter: there is only one, so --id has no meaning\n",
        );
    // By number, and known all the same.
    let known = "rpc debug-read-only 07500000 00000000 00000000 00000000 -> 00000000 00000000 00000000 00000012";
    let known = machine(known).run(&["mlx5", "query", "fwctl0", "0x750"]);
    assert!(
        known
            .stdout
            .starts_with("device:   fwctl0\ncommand:  vport-state (0x750)\n"),
        "{}",
        known.stdout
    );

    let caps = "rpc configuration 01000000 00000037 00000000 00000000 -> len 4112 00000000 00000000 00000000 00000000 aabb
rpc configuration 01000000 00000036 00000000 00000000 -> len 4112 00000000 00000000 00000000 00000000 ccdd";
    let caps = machine(caps).run(&["mlx5", "caps", "fwctl0", "--type", "0x1b"]);
    assert_eq!((caps.status, caps.stderr.as_str()), (0, ""));
    assert!(
        caps.stdout.starts_with(
            "device:  fwctl0\ntype:    0x1b\n\ncurrent:  4096 bytes\n\n\
             00000000  aa bb 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n"
        ),
        "{}",
        caps.stdout
    );
    assert!(caps
        .stdout
        .contains("\nmaximum:  4096 bytes\n\n00000000  cc dd 00"));
}

#[test]
fn a_dry_run_of_a_write_shows_old_and_new_values() {
    let args = [
        "mlx5",
        "reg",
        "fwctl0",
        "mtmp",
        "--arg",
        "sensor_index=1",
        "--set",
        "temp_threshold_hi=800",
        "--scope",
        "configuration",
        "--dry-run",
    ];
    // The recording has the read and nothing else.
    let ended = machine(READ_MTMP).run(&args);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(
        ended
            .stdout
            .contains("\nscope:           configuration\nreply capacity:  48 bytes\n")
            && ended.stdout.contains("00000000  08 05 00 00 00 00 00 00  00 00 90 0a")
            && ended
                .stdout
                .ends_with("\nFIELD              OLD            NEW\ntemp_threshold_hi  105 C (0x348)  100 C (0x320)\n"),
        "{}",
        ended.stdout
    );
    let ended = machine(READ_MTMP).run(&[&args[..], &["-o", "json"]].concat());
    assert!(
        ended.stdout.contains(
            "  \"changes\": {\n    \"temp_threshold_hi\": {\n      \"old\": 840,\n      \"new\": 800\n    }\n  }\n}"
        ),
        "{}",
        ended.stdout
    );
}

#[test]
fn query_takes_query_commands_only() {
    // MODIFY_CONG_STATUS, ACCESS_REG, SET_DIAGNOSTIC_PARAMS, and an opcode that nobody has. The
    // device is not opened.
    for opcode in ["0x823", "0x805", "0x820", "0xfff"] {
        for more in [&[][..], &["--dry-run"]] {
            let args = [
                "mlx5",
                "query",
                "fwctl0",
                opcode,
                "--size",
                "16",
                "--arg",
                "word_8=0x11",
            ];
            machine("open errno 5").run(&[&args[..], more].concat()).is(
                2,
                "",
                &format!("fwctl: {opcode}: opcode {opcode} is not one of the query commands, which change nothing; see fwctl rpc\n"),
            );
        }
    }
    machine("open errno 5")
        .run(&["mlx5", "query", "fwctl0", "q-counter", "--arg", "clear=1"])
        .is(
            2,
            "",
            "fwctl: q-counter: the request clears the counters that it reads; see fwctl rpc\n",
        );
}

#[test]
fn names_that_there_are_not() {
    for args in [
        &["mlx5", "reg", "fwctl0", "magic"][..],
        &["mlx5", "reg", "fwctl0", "65536", "--size", "4"],
        &["mlx5", "query", "fwctl0", "-1"],
        &["mlx5", "query", "fwctl0", "0x201", "--size", "12"],
        &["mlx5", "caps", "fwctl0", "--type", "general2"],
    ] {
        let ended = machine("").run(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
    let ended = machine("").run(&["mlx5", "reg", "fwctl0", "magic"]);
    assert!(
        ended.stderr.starts_with("error: invalid value 'magic' for '<REGISTER>': neither a known name nor a number from 0 to 65535; fwctl mlx5 regs lists the names\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn other_devices_are_refused() {
    let machine = Machine::with_cxl("info cxl");
    machine.run(&["mlx5", "caps", "mem0"]).is(
        1,
        "",
        "fwctl: fwctl0: this is a cxl device, not a mlx5 device\n",
    );
}

#[test]
fn capabilities_of_all_types_with_an_error_for_each_that_fails() {
    // The types in the order of the layouts; the last one, port-selection, is refused.
    let types = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x0c, 0x0d, 0x0f, 0x11, 0x15, 0x1a, 0x1f, 0x20,
    ];
    let answer = |id: u16, which: u16| {
        let op_mod = (id << 1) | which;
        // dtor of general at bit 0x22.
        let first = if id == 0 { "00000000 20000000" } else { "00" };
        format!("rpc configuration 01000000 {op_mod:08x} 00000000 00000000 -> len 4112 {:032x} {first}\n", 0)
    };
    let mut recording: String = types
        .iter()
        .map(|&id| answer(id, 1) + &answer(id, 0))
        .collect();
    recording += "rpc configuration 01000000 0000004b 00000000 00000000 -> 03000000 000e0008";
    let refused = "fwctl0: QUERY_HCA_CAP: firmware refused with status 0x3 (bad parameter), syndrome 0x000e0008";
    let names = [
        "ethernet-offloads (0x1)",
        "odp (0x2)",
        "atomic (0x3)",
        "roce (0x4)",
        "qos (0xc)",
        "debug (0xd)",
        "device-memory (0xf)",
        "tls (0x11)",
        "ipsec (0x15)",
        "crypto (0x1a)",
        "macsec (0x1f)",
        "general-2 (0x20)",
    ];
    let others = names.map(|name| format!("\ntype:  {name}\n")).concat();
    machine(&recording).run(&["mlx5", "caps", "fwctl0", "--all"]).is(
        0,
        &format!(
            "device:  fwctl0\ntype:    general (0x0)\n\nCAPABILITY  CURRENT  MAXIMUM\ndtor        1        1\n{others}\n\
             type:   port-selection (0x25)\nerror:  {refused}\n"
        ),
        "",
    );
    let json = machine(&recording).run(&["mlx5", "caps", "fwctl0", "--all", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let types = &json["types"];
    assert_eq!(types[0]["capabilities"]["dtor"]["current"], 1);
    assert_eq!(types[0]["error"], serde_json::Value::Null);
    assert_eq!(types[13]["error"]["message"], refused);
    assert_eq!(types[13]["error"]["syndrome"], 0xe0008);
    assert_eq!(
        machine("")
            .run(&["mlx5", "caps", "fwctl0", "--all", "--type", "roce"])
            .status,
        2
    );
}

#[test]
fn errors_are_json_where_the_output_is() {
    let refused =
        READ_MPIR.split("->").next().unwrap().to_owned() + "-> 03000000 00a2b3c4 00000000 00000000";
    let text =
        "fwctl0: ACCESS_REG of mpir: firmware refused with status 0x3 (bad parameter), syndrome 0x00a2b3c4";
    machine(&refused)
        .run(&["mlx5", "reg", "fwctl0", "mpir", "-o", "json"])
        .is(
            3,
            &format!(
                r#"{{
  "format": 2,
  "error": {{
    "message": "{text}",
    "meaning": null,
    "remedy": null,
    "errno": null,
    "errno_name": null,
    "firmware_status": 3,
    "firmware_status_name": "bad parameter",
    "syndrome": 10662852
  }}
}}
"#
            ),
            &format!("fwctl: {text}\n"),
        );
    // The kernel refused.
    let denied = READ_MPIR.split("->").next().unwrap().to_owned() + "-> errno 1";
    let ended = machine(&denied).run(&["mlx5", "reg", "fwctl0", "mpir", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (ended.status, &json["error"]["errno_name"]),
        (1, &serde_json::json!("EPERM"))
    );
    assert!(json["error"]["meaning"].is_string());
}

#[test]
fn a_register_with_an_argument() {
    let read = READ_MPIR.replace("00009059 00000000 00000000", "00009059 0000002a 00000000");
    let ended = machine(&read).run(&["mlx5", "reg", "fwctl0", "mpir", "--argument", "42"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
}

/// A step of RESOURCE_DUMP: the request's and the reply's first words, and the data.
fn step(request: &str, reply: &str, size: usize, data: &str) -> String {
    format!(
        "rpc debug-read-only 08050000 00000001 0000c000 00000000 {request:0<96} {:0416x} -> 00000000 00000000 00000000 00000000 {}{:016x}{:016x} {data:0<416}\n",
        0,
        &format!("{reply:0<64}"),
        size,
        0
    )
}

/// The menu in two steps: one record, PRM_QUERY_QP, and the end.
fn menu() -> String {
    let name = |text: &str| -> String {
        let digits = text.bytes().map(|byte| format!("{byte:02x}"));
        format!("{:0<32}", digits.collect::<Vec<_>>().concat())
    };
    let record = format!(
        "00031234{}{}{}",
        name("PRM_QUERY_QP"),
        name("QPN"),
        name("")
    );
    let segment = format!("000fffff00000001{record}");
    step("4000ffff", "c001ffff", 60, &segment) + &step("c001ffff", "4002ffff", 4, "0001fffb")
}

#[test]
fn the_menu_of_dumps() {
    machine(&menu()).run(&["mlx5", "dump", "fwctl0"]).is(
        0,
        "NAME          TYPE    INDEX1          INDEX2\n\
         PRM_QUERY_QP  0x1234  QPN (required)  -\n",
        "",
    );
}

#[test]
fn a_dump_by_name_with_its_segments() {
    // index1 72; a resource with a payload of 8 bytes, then the end.
    let dump = step(
        "400012340000000000000048",
        "400112340000000000000048",
        28,
        "0006123400000000000000480000000001020304050607080001fffb",
    );
    let args = ["mlx5", "dump", "fwctl0", "prm_query_qp", "--index1", "0x48"];
    machine(&(menu() + &dump)).run(&args).is(
        0,
        "device:  fwctl0\ntype:    0x1234\nsize:    28 bytes\n\n\
         resource:  index1 72 (0x48), index2 0\ntype:      0x1234\n\n\
         00000000  01 02 03 04 05 06 07 08                           |........|\n\n\
         terminate:\n",
        "",
    );
    let raw = machine(&(menu() + &dump)).run(&[&args[..], &["-o", "raw"]].concat());
    assert_eq!((raw.bytes.len(), raw.bytes[27]), (28, 0xfb));
    machine(&menu())
        .run(&["mlx5", "dump", "fwctl0", "magic"])
        .is(
            1,
            "",
            "fwctl: magic: cannot be dumped: not a number, and not one of PRM_QUERY_QP\n",
        );
}

#[test]
fn a_dump_that_the_firmware_ends_with_an_error() {
    let text = "6e6f2073756368206f626a656374";
    let dump = step(
        "40001234",
        "40011234",
        48,
        &format!("000cfffc00000007{:016x}{text:0<64}", 0),
    );
    let ended = machine(&dump).run(&["mlx5", "dump", "fwctl0", "0x1234"]);
    assert_eq!(
        (ended.status, ended.stderr.as_str()),
        (
            3,
            "fwctl: fwctl0: the dump has an error: no such object (syndrome 0x7)\n"
        )
    );
}

/// Memory with the key 0x142, whose addresses begin at 0x1000.
fn memory() -> String {
    format!(
        "memory 7 0x142\nrpc debug-read-only 02010000 00000000 00000001 00000000 -> \
         00000000 00000000 {:048x} {:016x} {:016x} {:0512x}\n",
        0, 0x1000, 0x100000, 0
    )
}

/// A step of RESOURCE_DUMP into memory: size and address are in the register then.
fn memory_step(request: &str, size: u32, reply: &str, data: &str) -> String {
    format!(
        "rpc debug-read-only 08050000 00000001 0000c000 00000000 {request:0<64} 00000142 {size:08x} {:016x} {:0416x} -> \
         dma {data} then 00000000 00000000 00000000 00000000 {reply:0<64} 00000142 {:08x} {:016x} {:0416x}\n",
        0x1000,
        0,
        data.len() / 2,
        0x1000,
        0
    )
}

#[test]
fn a_dump_by_memory_is_the_same() {
    let whole = "0006123400000000000000480000000001020304050607080001fffb";
    let inline = step(
        "400012340000000000000048",
        "400112340000000000000048",
        28,
        whole,
    );
    let in_two = memory()
        + &memory_step(
            "000012340000000000000048",
            1 << 20,
            "800112340000000000000048",
            &whole[..40],
        )
        + &memory_step(
            "800112340000000000000048",
            1 << 20,
            "000212340000000000000048",
            &whole[40..],
        );
    let args = ["mlx5", "dump", "fwctl0", "0x1234", "--index1", "0x48"];
    let forced = format!("memory 7 0x142\n{inline}");
    let forced = machine(&forced).run(&[&args[..], &["--inline"]].concat());
    let [inline, in_two] = [inline, in_two].map(|recording| machine(&recording).run(&args));
    assert_eq!(forced.stdout, inline.stdout);
    assert_eq!((in_two.stderr.as_str(), in_two.status), ("", 0));
    assert_eq!(in_two.stdout, inline.stdout);
}

#[test]
fn what_came_before_an_error_is_kept() {
    let first = "0001fffb".repeat(8);
    let refused = "-> 09000000 00000077";
    let second = memory_step("80011234", 1 << 20, "0", "00");
    let second = second.split("->").next().unwrap().to_owned() + refused;
    let recording =
        memory() + &memory_step("00001234", 1 << 20, "80011234", &first) + &second + "\n";
    let machine = machine(&recording);
    machine.write("qp.bin", "old");
    machine
        .run(&["mlx5", "dump", "fwctl0", "0x1234", "--out", "qp.bin"])
        .is(
            3,
            "",
            "fwctl: fwctl0: 32 bytes came before the error; they are in qp.bin.partial\n\
             fwctl: fwctl0: ACCESS_REG of resource-dump: firmware refused with status 0x9 (bad resource state), syndrome 0x00000077\n",
        );
    assert_eq!(fs::read(machine.path("qp.bin")).unwrap(), b"old");
    assert_eq!(fs::read(machine.path("qp.bin.partial")).unwrap().len(), 32);
}

/// The debug capability of a device that needs 8 MiB for a core dump.
fn core_dump_capability() -> String {
    format!(
        "rpc configuration 01000000 0000001b 00000000 00000000 -> len 4112 {:032x} 05800000\n",
        0
    )
}

/// A step of CORE_DUMP.
fn core_step(cookie: u64, answer: &str) -> String {
    format!(
        "rpc debug-read-only 08050000 00000001 0000402e 00000000 \
         00000002 00000000 00000000 00000000 00000142 00800000 {:016x} {cookie:016x} {:048x} -> {answer}\n",
        0x1000, 0
    )
}

/// The answer to a step: cookie 0 ends the dump.
fn core_part(data: &str, cookie: u64) -> String {
    format!(
        "dma {data} then 00000000 00000000 00000000 00000000 \
         {:08x} 00000000 00000000 00000000 00000142 {:08x} {:016x} {cookie:016x} {:048x}",
        (u64::from(cookie != 0) << 31) | 2,
        data.len() / 2,
        0x1000,
        0
    )
}

fn core_memory() -> String {
    core_dump_capability() + &memory().replace("0000000000100000", "0000000000800000")
}

#[test]
fn a_core_dump_in_parts() {
    let recording = core_memory()
        + &core_step(0, &core_part("00010203", 4))
        + &core_step(4, &core_part("04050607", 0));
    let machine = machine(&recording);
    machine
        .run(&["mlx5", "coredump", "fwctl0", "--out", "core.bin"])
        .is(
            0,
            "device:  fwctl0\nsize:    8 bytes\nfile:    core.bin\n",
            "",
        );
    assert_eq!(
        fs::read(machine.path("core.bin")).unwrap(),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
}

#[test]
fn a_core_dump_that_fails() {
    let recording = core_memory()
        + &core_step(0, &core_part("00010203", 4))
        + &core_step(4, "01000000 00000055");
    let failing = machine(&recording);
    failing
        .run(&["mlx5", "coredump", "fwctl0", "--out", "core.bin"])
        .is(
            3,
            "",
            "fwctl: fwctl0: 4 bytes came before the error; they are in core.bin.partial\n\
             fwctl: fwctl0: ACCESS_REG of core-dump: firmware refused with status 0x1 (internal error), syndrome 0x00000055\n",
        );
    assert!(!failing.path("core.bin").exists());
    assert_eq!(
        fs::read(failing.path("core.bin.partial")).unwrap(),
        [0, 1, 2, 3]
    );
    // A kernel without memory, and a device that needs none.
    machine(&core_dump_capability())
        .run(&["mlx5", "coredump", "fwctl0", "--out", "core.bin"])
        .is(
            1,
            "",
            "fwctl: fwctl0: no memory for the core dump\n  \
             meaning: the kernel, or the driver of this device, cannot register memory for the firmware\n  \
             remedy:  use a kernel whose driver can, or dump single objects: fwctl mlx5 dump DEV\n",
        );
    machine(&core_dump_capability().replace("05800000", "00400000"))
        .run(&["mlx5", "coredump", "fwctl0", "--out", "core.bin"])
        .is(
            1,
            "",
            "fwctl: fwctl0: the device does not offer core dumps into memory; --memory tries it anyway\n",
        );
}

#[test]
fn all_that_can_be_dumped() {
    let name = |text: &str| -> String {
        let digits = text.bytes().map(|byte| format!("{byte:02x}"));
        format!("{:0<32}", digits.collect::<Vec<_>>().concat())
    };
    let row = |bits: &str, kind: &str, called: &str| {
        format!("{bits}{kind}{}{}{}", name(called), name("N"), name(""))
    };
    // All of the first, one without a number, and one that needs a number.
    let records = [
        row("0053", "1000", "A"),
        row("0000", "1001", "B"),
        row("0003", "1002", "C"),
    ];
    let menu = format!("0029ffff00000003{}", records.concat());
    let recording = step("4000ffff", "4001ffff", 164, &menu)
        + &step(
            "40001000000000000000000000000000ffff",
            "40011000",
            4,
            "0001fffb",
        )
        + &step("40001001", "40011001", 8, "0001fffb0001fffb");
    let args = ["mlx5", "dump", "fwctl0", "--all"];
    machine(&recording).run(&args).is(
        0,
        "NAME  TYPE    BYTES  NOTE\n\
         A     0x1000  4\n\
         B     0x1001  8\n\
         C     0x1002  -      needs a number\n",
        "",
    );
    let raw = machine(&recording).run(&[&args[..], &["-o", "raw"]].concat());
    assert_eq!(raw.bytes.len(), 12);
}

#[test]
fn diagnostic_counters_are_listed_chosen_and_read() {
    let caps = format!(
        "rpc configuration 01000000 0000001b 00000000 00000000 -> len 4112 {:032x} 00000005 c000000a {:0112x} 80000402 00001001\n",
        0, 0
    );
    machine(&caps).run(&["mlx5", "diag", "caps", "fwctl0"]).is(
        0,
        "device:           fwctl0\nsingle:           yes\nrepetitive:       yes\n\
         most samples:     2^5\nshortest period:  2^10 device clocks\n\n\
         COUNTER  SYNC  UNIT           ABOUT\n\
         0x0402   yes   device clocks  outbound stalled writes\n\
         0x1001   no    packets        packets in receive steering\n",
        "",
    );
    let context = "0001 00 03 44 0000 1b 00000000000000000000000000000000 0000 0402";
    let query = format!("rpc debug-read-only 0819 0000 0000 0000 0000 0000 0000 0000 -> len 4064 00000000 00000000 {context}\n");
    let set = format!(
        "rpc debug-write 0820 0000 0000 0000 {context} -> {:032x}\n",
        0
    );
    let args = [
        "mlx5",
        "diag",
        "set",
        "fwctl0",
        "--counter",
        "0x402",
        "--repetitive",
        "--log-samples",
        "3",
        "--log-period",
        "27",
        "--scope",
        "debug-write",
    ];
    let params = "device:      fwctl0\nenabled:     yes\nsingle:      no\nrepetitive:  yes\n\
                  on demand:   no\nsync:        no\nclear:       no\nsamples:     2^3\n\
                  period:      2^27 device clocks\ncounters:    0x0402\n";
    machine(&(set + &query)).run(&args).is(
        0,
        params,
        "fwctl: warning: a request in scope debug-write taints the kernel (flag J) until the next boot, even if it fails\n",
    );
    machine(&query)
        .run(&["mlx5", "diag", "params", "fwctl0"])
        .is(0, params, "");
    let dry = machine("").run(&[&args[..], &["--dry-run", "-o", "raw"]].concat());
    assert_eq!(dry.bytes[..2], [0x08, 0x20]);
    let read = "rpc debug-read-only 0821 0000 0000 0000 0001 0000 0000 0000
        -> 00000000 00000000 00000000 00000000 0402 0007 00000009 00000001 00000002\n";
    machine(&(query + read))
        .run(&["mlx5", "diag", "read", "fwctl0"])
        .is(
            0,
            "COUNTER  SAMPLE  TIME STAMP  VALUE       ABOUT\n\
             0x0402   7       9           4294967298  outbound stalled writes\n",
            "",
        );
    // The scope is the user's to name.
    assert_eq!(
        machine("")
            .run(&["mlx5", "diag", "disable", "fwctl0"])
            .status,
        2
    );
}

#[test]
fn names_and_fields_are_listed_without_a_device() {
    let machine = Machine::without_fwctl();
    machine.run(&["mlx5", "regs", "temperature"]).is(
        0,
        "NAME   NUMBER  BYTES  ABOUT\n\
         mtcap  0x9009  16     temperature sensors\n\
         mtmp   0x900a  32     temperature of a sensor\n",
        "",
    );
    machine.run(&["mlx5", "regs", "mpir"]).is(
        0,
        "name:    mpir\nnumber:  0x9059\nsize:    16 bytes\n\n\
         FIELD       FIRST BIT  BITS\nsdm         0          1\nhost_buses  28         4\nlocal_port  64         8\n",
        "",
    );
    let left_out = machine.run(&["mlx5", "regs", "mcda"]);
    assert_eq!(left_out.status, 0);
    let queries = machine.run(&["mlx5", "regs", "--group", "queries", "-o", "json"]);
    let queries: serde_json::Value = serde_json::from_str(&queries.stdout).unwrap();
    let qp = queries["names"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "qp");
    assert_eq!(qp.unwrap()["left_out"], "needs the number of an object");
    machine.run(&["mlx5", "regs", "tempreature"]).is(
        2,
        "",
        "fwctl: tempreature: in no name and no description\n",
    );
    machine.run(&["mlx5", "regs", "rqt"]).is(
        2,
        "",
        "fwctl: rqt: in no name and no description; it is in --group queries\n",
    );
    machine.run(&["mlx5", "regs", "ppcmt"]).is(
        2,
        "",
        "fwctl: ppcmt: in no name and no description; did you mean ppcnt?\n",
    );
}

#[test]
fn a_name_with_a_typing_error_gets_a_hint() {
    let machine = machine("");
    for (args, hint) in [
        (
            &["mlx5", "reg", "fwctl0", "mtmpp"][..],
            "did you mean 'mtmp'?",
        ),
        (
            &["mlx5", "query", "fwctl0", "adaptor"],
            "did you mean 'adapter'?",
        ),
        (
            &["mlx5", "caps", "fwctl0", "--type", "genral"],
            "did you mean 'general'?",
        ),
        (
            &["mlx5", "reg", "fwctl0", "mtmp", "--arg", "sensor=1"],
            "no field of this name; did you mean sensor_index?",
        ),
        (
            &["mlx5", "reg", "fwctl0", "ppcnt", "--arg", "qqq=1"],
            "no field of this name; fwctl mlx5 regs ppcnt lists its fields",
        ),
    ] {
        let ended = machine.run(args);
        assert_eq!(ended.status, 2);
        assert!(ended.stderr.contains(hint), "{}", ended.stderr);
    }
}
