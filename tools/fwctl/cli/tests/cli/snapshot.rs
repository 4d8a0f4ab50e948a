// SPDX-License-Identifier: MIT OR Apache-2.0

//! `snapshot` and `diff`.

use crate::cxl::FEATURES;
use crate::machine::Machine;
use serde_json::{json, Value};

/// Refuses everything, but QUERY_ADAPTER, MTMP of sensor 0, and QUERY_VPORT_COUNTER of port 1.
fn recording(psid: &str, temperature: &str, packets: &str) -> String {
    let psid = psid.bytes().map(|byte| format!("{byte:02x}"));
    let psid = psid.collect::<Vec<_>>().concat();
    format!(
        "info mlx5 05000000 04000000
rpc debug-read-only 01010000 00000000 00000000 00000000 -> {:0512x} {psid:0<32}
rpc debug-read-only 08050000 00000001 0000900a 00000000 00000000 00000000 00000000 00000000 0000000000000000 0000000000000000
    -> 00000000 00000000 00000000 00000000
    00000000 {temperature} 00000000 00000348 0000000000000000 6173696300000000
rpc debug-read-only 07700000 00000000 00010000 00000000 00000000 00000000 00000000 00000000
    -> 00000000 00000000 00000000 00000000 {packets} {:01008x}
otherwise 03000000 000e000f
",
        0, 0
    )
}

pub fn machine(psid: &str, temperature: &str, packets: &str) -> Machine {
    let machine = Machine::new();
    machine.add_pci(
        0,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        &recording(psid, temperature, packets),
    );
    machine.write("proc/sys/kernel/hostname", "host-a\n");
    machine
}

pub fn before() -> Machine {
    machine("MT_0000000838", "00000168", "0000000000000005")
}

fn document(machine: &Machine, args: &[&str]) -> Value {
    let ended = machine.run(args);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_connectx_raw_and_decoded_with_an_error_for_each_item_that_fails() {
    let document = document(&before(), &["snapshot", "07:00.0"]);
    assert_eq!(
        (&document["format"], &document["kind"]),
        (&json!(2), &json!("snapshot"))
    );
    assert_eq!(
        document["host"],
        json!({"name": "host-a", "kernel": "7.3.4"})
    );
    let time = document["time"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    let device = &document["devices"][0];
    assert_eq!(device["parent"]["pci_address"], "0000:07:00.0");
    assert_eq!(
        device["driver_info"],
        json!({"uctx_caps": 4, "uctx_cap_names": ["tools-resources"]})
    );
    let items = device["items"].as_object().unwrap();
    assert!(items.len() > 100, "{}", items.len());
    let mtmp = &items["register/mtmp/sensor_index=0"];
    assert_eq!(
        mtmp["fields"]["temperature"],
        json!({"value": 45.0, "unit": "celsius", "raw": 360, "volatility": "state"})
    );
    assert_eq!(mtmp["fields"]["sensor_name"]["value"], "asic");
    assert_eq!(
        mtmp["raw"],
        "000000000000016800000000000003480000000000000000".to_owned() + "61736963"
    );
    assert_eq!(
        (&mtmp["length"], &mtmp["scope"], &mtmp["error"]),
        (&json!(32), &json!("debug-read-only"), &Value::Null)
    );
    let adapter = &items["query/adapter"]["fields"];
    assert_eq!(
        adapter["query_adapter_struct.vsd_contd_psid"]["value"],
        "MT_0000000838"
    );
    let refused = &items["register/ptys/local_port=1,proto_mask=4"];
    assert_eq!(
        (&refused["error"]["firmware_status"], &refused["raw"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(refused["error"]["syndrome"], 0xe000f);
    let failed = items.values().filter(|item| !item["error"].is_null());
    assert_eq!(failed.count(), items.len() - 3);
}

#[test]
fn a_summary() {
    let ended = before().run(&["snapshot", "--all", "-o", "table"]);
    let head = "device:        fwctl0\ntype:          mlx5\nitems read:    3\nitems failed:  ";
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(ended.stdout.starts_with(head), "{}", ended.stdout);
    let table: Vec<&str> = ended.stdout.lines().skip(5).collect();
    assert_eq!(table.len(), 2, "{}", ended.stdout);
    assert_eq!(
        table[0],
        "REASON                              ITEMS  FIRST ITEM"
    );
    assert!(
        table[1].starts_with("bad parameter, syndrome 0x000e000f  "),
        "{}",
        ended.stdout
    );
}

#[test]
fn the_features_of_a_memory_device() {
    let get = "rpc configuration 01050000 00000000 15000000 00000000 96dad7d6fde8482ba73375774e06db8a 0000 0c00 00";
    let machine = Machine::with_cxl(&format!(
        "{FEATURES}{get} -> 0c000000 00000000 030c0100 00000000 00000000\notherwise 00000000 02000000"
    ));
    let document = document(&machine, &["snapshot", "mem0"]);
    let items = document["devices"][0]["items"].as_object().unwrap();
    let entry = &items["feature/entry/uuid=patrol-scrub"];
    assert_eq!(
        entry["fields"]["uuid"]["value"],
        "96dad7d6-fde8-482b-a733-75774e06db8a"
    );
    assert_eq!(entry["volatility"], "identity");
    let value = &items["feature/value/uuid=patrol-scrub,selection=current"];
    assert_eq!(
        (&value["raw"], &value["length"]),
        (&json!("030c01"), &json!(12))
    );
    assert_eq!(
        value["fields"],
        json!({
            "cycle-changeable": {"value": 1, "meaning": "yes"},
            "real-time-report": {"value": 1, "meaning": "yes"},
            "cycle": {"value": 12, "unit": "hours"},
            "minimum-cycle": {"value": 1, "unit": "hours"},
            "enabled": {"value": 0, "meaning": "no"},
        })
    );
    let refused = "feature/value/uuid=ffffffff-ffff-ffff-ffff-ffffffffffff,selection=current";
    assert_eq!(items[refused]["error"]["firmware_status"], 2);
    // Somebody turns it on, and doubles the cycle.
    let after = Machine::with_cxl(&format!(
        "{FEATURES}{get} -> 0c000000 00000000 03180101 00000000 00000000\notherwise 00000000 02000000"
    ));
    let ended = two(&machine, &after).run(&["diff", "a.json", "b.json"]);
    let rows = "DEVICE  VALUE                                                      A         B\n\
                fwctl0  feature/value/uuid=patrol-scrub,selection=current cycle    12 hours  24 hours\n\
                fwctl0  feature/value/uuid=patrol-scrub,selection=current enabled  no        yes\n";
    assert!(ended.stdout.ends_with(rows), "{}", ended.stdout);
}

/// Two commands of a memory device with a Feature, the second with these effects and scope.
fn commands(effects: &str, scope: &str) -> Machine {
    Machine::with_cxl(&format!(
        "info cxl 03000000 00010000
rpc configuration 00000100 00000000 00000000 00000000 -> 18000000 00000000 02000000 00000000
    0404 1000 03 00 0000  00c0 {effects} {scope} 00 0000
rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 0100 00000000
rpc configuration 00050000 00000000 08000000 00000000 38000000 0000 0000 -> 38000000 00000000 0100 0100 00000000
    96dad7d6fde8482ba73375774e06db8a 0000 0000 0000 00000000 01 01 0602 000000000000000000000000000000000000
"
    ))
}

#[test]
fn the_commands_of_a_memory_device() {
    let document = document(&commands("0000", "01"), &["snapshot", "mem0"]);
    let items = document["devices"][0]["items"].as_object().unwrap();
    let paths: Vec<&String> = items.keys().collect();
    assert_eq!(
        paths,
        [
            "command/entry/opcode=0x0404",
            "command/entry/opcode=0xc000",
            "feature/entry/uuid=patrol-scrub"
        ]
    );
    let entry = &items["command/entry/opcode=0x0404"];
    assert_eq!(
        entry["fields"],
        json!({
            "name": {"value": "Populate Log"},
            "effects": {"value": 16},
            "scope": {"value": "debug-write-full"},
            "by_feature": {"value": 0},
            "by_payload": {"value": 0},
        })
    );
    assert_eq!(entry["volatility"], "identity");
    // After an update of the firmware, a command does more.
    let ended =
        two(&commands("0000", "01"), &commands("0100", "02")).run(&["diff", "a.json", "b.json"]);
    let rows = "DEVICE  VALUE                                A                B\n\
                fwctl0  command/entry/opcode=0xc000 effects  0                1\n\
                fwctl0  command/entry/opcode=0xc000 scope    debug-read-only  debug-write\n";
    assert!(ended.stdout.ends_with(rows), "{}", ended.stdout);
    assert_eq!(ended.status, 1);
}

#[test]
fn several_devices_are_read_in_parallel_and_a_silent_one_has_an_error() {
    let machine = before();
    machine.add_pci(
        1,
        "0000:08:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "open after 30000\ninfo mlx5",
    );
    machine.add_pci(
        2,
        "0000:09:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "open errno 13",
    );
    let ended = machine.run(&["snapshot", "--all", "--timeout", "2"]);
    assert_eq!(ended.status, 1);
    assert!(
        ended
            .stderr
            .contains("fwctl: fwctl1: no answer in 2 s\nfwctl: ./dev/fwctl/fwctl2: open: "),
        "{}",
        ended.stderr
    );
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let devices = document["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 3);
    assert_eq!(devices[0]["error"], Value::Null);
    assert!(devices[0]["items"].as_object().unwrap().len() > 100);
    assert_eq!(devices[1]["error"]["message"], "fwctl1: no answer in 2 s");
    assert_eq!(devices[1]["type"], "mlx5");
    assert_eq!(devices[2]["error"]["errno_name"], "EACCES");
}

#[test]
fn a_device_that_is_removed_keeps_what_was_read() {
    let machine = Machine::new();
    let recording = recording("X", "00000168", "0000000000000005")
        .replace("otherwise 03000000 000e000f", "otherwise errno 19");
    // It does not say how many ports and sensors it has.
    let recording = recording
        + "rpc configuration 01000000 00000001 00000000 00000000 -> 03000000 00000001\n"
        + "rpc debug-read-only 08050000 00000001 00009009 00000000 00000000 00000000 00000000 00000000 -> 03000000 00000001\n";
    machine.add_pci(0, "0000:07:00.0", "mlx5_core", (0x15b3, 0x1021), &recording);
    let ended = machine.run(&["snapshot", "fwctl0"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let device = &document["devices"][0];
    assert_eq!(ended.status, 1);
    assert_eq!(device["error"]["errno_name"], "ENODEV");
    assert_eq!(device["items"].as_object().unwrap().len(), 1);
}

#[test]
fn usage() {
    let machine = before();
    for args in [
        &["snapshot"][..],
        &["snapshot", "--all", "fwctl0"],
        &["snapshot", "--all", "-o", "raw"],
        &["snapshot", "--all", "--timeout", "0"],
        &["diff", "a"],
        &["diff", "-", "-"],
    ] {
        assert_eq!(machine.run(args).status, 2, "{args:?}");
    }
    // Named twice, read once.
    let document = document(&machine, &["snapshot", "fwctl0", "07:00.0"]);
    assert_eq!(document["devices"].as_array().unwrap().len(), 1);
}

/// Two snapshots on one machine, a.json and b.json.
fn two(a: &Machine, b: &Machine) -> Machine {
    let machine = Machine::new();
    for (name, from) in [("a.json", a), ("b.json", b)] {
        from.run(&["snapshot", "--all", "--out", "s.json"])
            .is(0, "", "");
        let text = std::fs::read_to_string(from.path("s.json")).unwrap();
        // The time differs from run to run.
        let mut document: Value = serde_json::from_str(&text).unwrap();
        document["time"] = json!("2026-11-28T12:00:00Z");
        machine.write(name, &document.to_string());
    }
    machine
}

#[test]
fn equal_snapshots() {
    two(&before(), &before())
        .run(&["diff", "a.json", "b.json"])
        .is(
            0,
            "A:                   a.json (host-a, 7.3.4, 2026-11-28T12:00:00Z)\n\
         B:                   b.json (host-a, 7.3.4, 2026-11-28T12:00:00Z)\n\
         differences:         0\n\
         of volatile values:  0\n",
            "",
        );
}

#[test]
fn volatile_values_are_apart() {
    let after = machine("MT_0000000838", "00000170", "0000000000000007");
    let machine = two(&before(), &after);
    let head = "A:                   a.json (host-a, 7.3.4, 2026-11-28T12:00:00Z)\n\
                B:                   b.json (host-a, 7.3.4, 2026-11-28T12:00:00Z)\n\
                differences:         0\n";
    machine.run(&["diff", "a.json", "b.json"]).is(
        0,
        &format!("{head}of volatile values:  2 (--volatile lists them)\n"),
        "",
    );
    machine.run(&["diff", "a.json", "b.json", "--volatile"]).is(
        0,
        &format!(
            "{head}of volatile values:  2\n\n\
             DEVICE  VALUE                                                   A             B\n\
             fwctl0  query/vport-counter/port_num=1 received_errors.packets  5 packets     7 packets\n\
             fwctl0  register/mtmp/sensor_index=0 temperature                45.0 celsius  46.0 celsius\n"
        ),
        "",
    );
}

#[test]
fn values_that_differ() {
    let after = machine("MT_0000000999", "00000168", "0000000000000005");
    let machine = two(&before(), &after);
    let ended = machine.run(&["diff", "a.json", "b.json", "-o", "json"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (1, ""));
    let diff: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        diff["differences"],
        json!([{
            "device": "fwctl0",
            "item": "query/adapter",
            "field": "query_adapter_struct.vsd_contd_psid",
            "a": "MT_0000000838",
            "b": "MT_0000000999",
        }])
    );
    assert_eq!(
        (&diff["differs"], &diff["volatile"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn devices_of_two_hosts_are_paired_by_type_and_the_rest_is_named() {
    let a = before();
    let b = Machine::new();
    // Another slot, another number, and one card more.
    for number in [3, 4] {
        b.add_pci(
            number,
            &format!("0000:0{number}:00.0"),
            "mlx5_core",
            (0x15b3, 0x101d),
            &recording("MT_0000000838", "00000168", "0000000000000005"),
        );
    }
    let ended = two(&a, &b).run(&["diff", "a.json", "b.json"]);
    let rows: Vec<String> = ended
        .stdout
        .lines()
        .skip(6)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            "fwctl0, fwctl3 pci_device 4129 (0x1021) 4125 (0x101d)",
            "fwctl4 the device - mlx5 device",
        ]
    );
    assert_eq!(ended.status, 1);
}

#[test]
fn an_item_that_fails_on_one_side() {
    let after = Machine::new();
    let recording = recording("MT_0000000838", "00000168", "0000000000000005").replace(
        "-> 00000000 00000000 00000000 00000000\n    00000000 00000168",
        "-> errno 12 #",
    );
    after.add_pci(0, "0000:07:00.0", "mlx5_core", (0x15b3, 0x1021), &recording);
    let ended = two(&before(), &after).run(&["diff", "a.json", "b.json"]);
    assert_eq!(ended.status, 1);
    assert!(
        ended.stdout.ends_with(
            "DEVICE  VALUE                         A         B\n\
             fwctl0  register/mtmp/sensor_index=0  was read  ENOMEM\n"
        ),
        "{}",
        ended.stdout
    );
}

#[test]
fn documents_that_are_none() {
    let machine = Machine::new();
    machine.write("empty", "");
    machine.write("other", "{\"format\": 2, \"devices\": []}");
    machine.write(
        "old",
        "{\"format\": 1, \"kind\": \"snapshot\", \"devices\": []}",
    );
    machine.write("deep", &"[".repeat(100_000));
    machine.write(
        "good",
        "{\"format\": 2, \"kind\": \"snapshot\", \"devices\": [3, null, {\"items\": 5}]}",
    );
    let stderr = |name| {
        let ended = machine.run(&["diff", name, "good"]);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{name}");
        ended.stderr
    };
    assert_eq!(
        stderr("other"),
        "fwctl: other: not a snapshot: make one with fwctl snapshot\n"
    );
    assert_eq!(
        stderr("old"),
        "fwctl: old: has format 1, and this command reads format 2\n"
    );
    assert!(stderr("empty").starts_with("fwctl: empty: EOF while parsing"));
    assert!(stderr("deep").starts_with("fwctl: deep: recursion limit"));
    assert!(stderr("missing").contains("ENOENT"));
    assert_eq!(machine.run(&["diff", "good", "good"]).status, 0);
    // stdin
    let ended = machine.run_with_input(&["diff", "-", "good"], b"[]");
    assert_eq!(ended.status, 2);
}
