// SPDX-License-Identifier: MIT OR Apache-2.0

//! `export`, `capture` and `apply`.

use crate::machine::Machine;
use crate::snapshot::{before, machine};
use flate2::read::GzDecoder;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

/// Lines that are about the values of the recording, not the zeros of other counters.
fn interesting(text: &str) -> String {
    let is_about = |line: &&str| {
        line.contains("fwctl_device")
            || line.contains("celsius")
            || line.contains("received_errors")
    };
    text.lines()
        .filter(is_about)
        .map(|line| line.to_owned() + "\n")
        .collect()
}

#[test]
fn metrics_of_a_connectx() {
    let ended = before().run(&["export"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    let failed = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("fwctl_device_items_failed{"))
        .unwrap();
    assert_eq!(
        interesting(&ended.stdout),
        format!(
            "\
# HELP fwctl_device_info Identity of the device.
# TYPE fwctl_device_info gauge
fwctl_device_info{{device=\"fwctl0\",type=\"mlx5\",parent=\"0000:07:00.0\",pci_address=\"0000:07:00.0\",driver=\"mlx5_core\",psid=\"MT_0000000838\"}} 1
# HELP fwctl_device_items_failed Items that the firmware or the kernel refused to read.
# TYPE fwctl_device_items_failed gauge
{failed}
# HELP fwctl_device_up Whether the device could be read.
# TYPE fwctl_device_up gauge
fwctl_device_up{{device=\"fwctl0\"}} 1
# HELP fwctl_mlx5_vport_received_errors_bytes_total received_errors.octets: packet counters of the virtual port
# TYPE fwctl_mlx5_vport_received_errors_bytes_total counter
fwctl_mlx5_vport_received_errors_bytes_total{{device=\"fwctl0\",port_num=\"1\"}} 0
# HELP fwctl_mlx5_vport_received_errors_packets_total received_errors.packets: packet counters of the virtual port
# TYPE fwctl_mlx5_vport_received_errors_packets_total counter
fwctl_mlx5_vport_received_errors_packets_total{{device=\"fwctl0\",port_num=\"1\"}} 5
# HELP fwctl_temperature_celsius Temperature.
# TYPE fwctl_temperature_celsius gauge
fwctl_temperature_celsius{{device=\"fwctl0\",sensor=\"0\",name=\"asic\"}} 45
# HELP fwctl_temperature_high_threshold_celsius Temperature above which the firmware warns.
# TYPE fwctl_temperature_high_threshold_celsius gauge
fwctl_temperature_high_threshold_celsius{{device=\"fwctl0\",sensor=\"0\",name=\"asic\"}} 105
# HELP fwctl_temperature_highest_celsius Highest temperature since it was last reset.
# TYPE fwctl_temperature_highest_celsius gauge
fwctl_temperature_highest_celsius{{device=\"fwctl0\",sensor=\"0\",name=\"asic\"}} 0
# HELP fwctl_temperature_low_threshold_celsius Temperature below which the warning ends.
# TYPE fwctl_temperature_low_threshold_celsius gauge
fwctl_temperature_low_threshold_celsius{{device=\"fwctl0\",sensor=\"0\",name=\"asic\"}} 0
"
        )
    );
    let open = before().run(&["export", "--openmetrics"]).stdout;
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    assert!(open.contains(
        "# HELP fwctl_mlx5_vport_received_errors_packets received_errors.packets: packet counters of the virtual port\n\
         # TYPE fwctl_mlx5_vport_received_errors_packets counter\n\
         # UNIT fwctl_mlx5_vport_received_errors_packets packets\n\
         fwctl_mlx5_vport_received_errors_packets_total{device=\"fwctl0\",port_num=\"1\"} 5\n"
    ));
    assert!(open.contains("# TYPE fwctl_device info\nfwctl_device_info{"));
}

#[test]
fn rpcs_are_metrics_even_of_a_device_that_cannot_be_read() {
    let machine = Machine::with_cxl("open errno 5");
    machine.add_attributes(0, 2, "debug-read-only");
    let ended = machine.run(&["export"]);
    assert_eq!(ended.status, 0);
    for line in [
        "fwctl_device_allowed_scopes{device=\"fwctl0\"} 2",
        "# TYPE fwctl_rpc_requests_total counter",
        "fwctl_rpc_requests_total{device=\"fwctl0\",scope=\"configuration\"} 1000",
        "fwctl_rpc_refusals_total{device=\"fwctl0\",scope=\"debug-write-full\"} 3",
        "fwctl_rpc_errors_total{device=\"fwctl0\",scope=\"debug-read-only\"} 2",
        "fwctl_rpc_duration_seconds_total{device=\"fwctl0\",scope=\"debug-read-only\"} 0.875",
    ] {
        assert!(
            ended.stdout.lines().any(|found| found == line),
            "{line}: {}",
            ended.stdout
        );
    }
    let open = machine.run(&["export", "--openmetrics"]).stdout;
    assert!(
        open.contains("# UNIT fwctl_rpc_duration_seconds seconds\n"),
        "{open}"
    );
}

#[test]
fn each_family_is_in_one_piece_and_no_sample_is_twice() {
    let machine = before();
    machine.add_pci(
        1,
        "0000:08:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "open errno 5",
    );
    let ended = machine.run(&["export", "--out", "x.prom"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (0, ""));
    assert!(ended.stderr.contains("fwctl1"), "{}", ended.stderr);
    let text = std::fs::read_to_string(machine.path("x.prom")).unwrap();
    assert!(text
        .contains("fwctl_device_up{device=\"fwctl0\"} 1\nfwctl_device_up{device=\"fwctl1\"} 0\n"));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            family = name.split(' ').next().unwrap();
            *seen.entry(family).or_default() += 1;
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(&format!("{family}{{")), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            *seen.entry(sample).or_default() += 1;
        }
    }
    assert!(seen.values().all(|count| *count == 1));
}

#[test]
fn a_machine_without_devices_has_no_metrics_and_no_error() {
    for machine in [Machine::new(), Machine::without_fwctl()] {
        machine.run(&["export"]).is(0, "", "");
        machine
            .run(&["export", "--openmetrics"])
            .is(0, "# EOF\n", "");
    }
    // A device that was named has to be there.
    assert_eq!(Machine::new().run(&["export", "fwctl0"]).status, 1);
}

/// The files of an archive, without the directory in front.
fn files(machine: &Machine, name: &str) -> BTreeMap<String, Vec<u8>> {
    let file = std::fs::File::open(machine.path(name)).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let path = entry.path().unwrap().display().to_string();
        let (directory, name) = path.split_once('/').unwrap();
        assert!(directory.starts_with("fwctl-host-a-20"), "{directory}");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name.to_owned(), bytes)
    });
    files.collect()
}

#[test]
fn a_bundle() {
    let machine = before();
    machine.write("proc/version", "Linux version 7.3.4\n");
    machine.write("sys/module/fwctl/srcversion", "ABC\n");
    let ended = machine.run(&["capture", "--out", "c.tar.gz"]);
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (0, "archive:  c.tar.gz\nfiles:    3\n")
    );
    let mode = std::fs::metadata(machine.path("c.tar.gz"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let files = files(&machine, "c.tar.gz");
    let json = |name: &str| -> Value { serde_json::from_slice(&files[name]).unwrap() };
    assert_eq!(json("snapshot.json")["kind"], "snapshot");
    let versions = json("versions.json");
    assert_eq!(versions["kernel"], "Linux version 7.3.4");
    assert_eq!(versions["modules"][0]["srcversion"], "ABC");
    let manifest = json("manifest.json");
    assert_eq!(manifest["files"].as_array().unwrap().len(), files.len() - 1);
    // There is no tracefs, and the firmware refuses to dump.
    let errors = manifest["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2);
    let message = |error: &Value| error["message"].as_str().unwrap().to_owned();
    assert!(message(&errors[0]).starts_with("no trace: "));
    assert!(message(&errors[1]).contains("firmware refused"));
    assert_eq!(errors[1]["firmware_status"], 3);
    // By default, the name has host and time.
    let ended = machine.run(&["capture", "-o", "json"]);
    let captured: Value = serde_json::from_str(&ended.stdout).unwrap();
    let name = captured["file"].as_str().unwrap();
    assert!(name.starts_with("fwctl-host-a-20"), "{name}");
    assert_eq!(captured["files"].as_array().unwrap().len(), 3);
    assert_eq!(&captured["errors"], &manifest["errors"]);
    assert_eq!(Machine::new().run(&["capture"]).status, 1);
}

/// Settings for the threshold of sensor 0.
fn settings(value: &str) -> String {
    format!(
        r#"{{"kind": "settings", "devices": {{"07:00.0": {{"register/mtmp/sensor_index=0": {{"temp_threshold_hi": {value}}}}}}}}}"#
    )
}

#[test]
fn settings_are_compared_and_written() {
    let machine = before();
    machine.write("s.json", &settings("720"));
    let table = "DEVICE  VALUE                                           OLD            NEW\n\
                 fwctl0  register/mtmp/sensor_index=0 temp_threshold_hi  105 C (0x348)  90 C (0x2d0)\n";
    machine.run(&["apply", "s.json", "--dry-run"]).is(
        0,
        &format!("changes:  not written\n\n{table}"),
        "",
    );
    // The recording refuses the write, which has the new value.
    let ended = machine.run(&["-v", "apply", "s.json", "--scope", "configuration"]);
    assert_eq!(ended.status, 3);
    assert!(ended.stderr.contains("000002d0"), "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("changes:  0 of 1 written\n"),
        "{}",
        ended.stdout
    );
    // Nothing to write.
    machine.write("s.json", &settings("840"));
    machine
        .run(&["apply", "s.json", "--scope", "configuration"])
        .is(0, "changes:  nothing to change\n", "");
    let ended = machine.run_with_input(
        &["apply", "-", "--dry-run", "-o", "json"],
        settings("1").as_bytes(),
    );
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["changes"][0]["new"], json!(1));
    assert_eq!(machine.run(&["apply", "s.json"]).status, 2);
}

#[test]
fn a_write_that_fails_is_the_last_and_the_report_says_what_was_written() {
    let read = |buses: u32, scope: &str, op_mod: u32| {
        format!(
            "rpc {scope} 08050000 {op_mod:08x} 00009059 00000000 {buses:08x} 00000000 {:08x} 00000000",
            if op_mod == 0 { 0x0200_0000 } else { 0 }
        )
    };
    let answer = "-> 00000000 00000000 00000000 00000000 80000001 00000000 02000000 00000000\n";
    let machine = Machine::new();
    let written = read(0x8000_0007, "configuration", 0);
    for (number, address, end) in [
        (0, "0000:07:00.0", answer),
        (1, "0000:08:00.0", "-> 02000000 00000077\n"),
        (2, "0000:09:00.0", "-> errno 5\n"),
    ] {
        let recording = format!(
            "info mlx5 05000000 04000000\n{} {answer}{written} {end}",
            read(0, "debug-read-only", 1)
        );
        machine.add_pci(number, address, "mlx5_core", (0x15b3, 0x1021), &recording);
    }
    machine.write(
        "s.json",
        r#"{"kind": "settings", "devices": {
            "fwctl0": {"register/mpir": {"host_buses": 7}},
            "fwctl1": {"register/mpir": {"host_buses": 7}},
            "fwctl2": {"register/mpir": {"host_buses": 7}}}}"#,
    );
    let args = ["apply", "s.json", "--scope", "configuration"];
    let refused =
        "fwctl1: ACCESS_REG of mpir: firmware refused with status 0x2 (bad operation), syndrome 0x00000077";
    machine.run(&args).is(
        3,
        "changes:  1 of 3 written\n\n\
         DEVICE  WRITTEN  VALUE                     OLD  NEW\n\
         fwctl0  yes      register/mpir host_buses  1    7\n\
         fwctl1  no       register/mpir host_buses  1    7\n\
         fwctl2  no       register/mpir host_buses  1    7\n",
        &format!("fwctl: {refused}\n"),
    );
    let json = machine.run(&[&args[..], &["-o", "json"]].concat()).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["written"], json!(false));
    let of = |number: usize, key: &str| json["changes"][number][key].clone();
    assert_eq!(
        (of(0, "written"), of(0, "error")),
        (json!(true), json!(null))
    );
    assert_eq!(of(1, "error")["message"], refused);
    assert_eq!(
        (of(2, "written"), of(2, "error")),
        (json!(false), json!(null))
    );
}

#[test]
fn settings_that_are_wrong_open_no_device() {
    let machine = machine("X", "00000168", "0000000000000005");
    machine.write("dev/fwctl/fwctl0", "open errno 5");
    for (text, why) in [
        ("{}", "not settings: its kind is not \"settings\""),
        (r#"{"kind": "settings"}"#, "devices is not an object"),
        (
            &settings("65536"),
            "temp_threshold_hi=65536: the field has 16 bits, the value needs more",
        ),
        (&settings("\"x\""), "temp_threshold_hi: not a number"),
        (&settings("-1"), "temp_threshold_hi: not a number"),
        (&settings("1").replace("mtmp", "magic"), "no such register"),
        (&settings("1").replace("mtmp", "qetcr"), "no such register"),
        (
            &settings("1").replace("register", "query"),
            "only registers and features can be set",
        ),
        (
            &settings("1").replace("index=0", "index=x"),
            "sensor_index=x: not a number",
        ),
        (&settings("1").replace("hi", "ho"), "no field of this name"),
        (
            &feature_settings("entry/uuid=ecs", "{}"),
            "not of the form feature/value/uuid=FEATURE",
        ),
        (&feature_settings("value/uuid=edac", "{}"), "UUID"),
        (
            &feature_settings("value/uuid=ecs,selection=saved", "{}"),
            "UUID",
        ),
        (
            &feature_settings("value/uuid=patrol-scrub", r#"{"cycle": 300}"#),
            "cycle=300: not one of the numbers that the field can have; possible is cycle=1h..255h",
        ),
        (
            &feature_settings("value/uuid=patrol-scrub", r#"{"cycle": "24"}"#),
            "cycle=24: a unit is missing",
        ),
        (
            &feature_settings("value/uuid=patrol-scrub", r#"{"cycle": null}"#),
            "cycle: neither a number nor a text",
        ),
        (&feature_settings(VENDOR, r#"{"x": 1}"#), "name them raw"),
        (
            &feature_settings(VENDOR, r#"{"raw": "0g"}"#),
            "raw: not bytes in hexadecimal digits",
        ),
        (
            &feature_settings(VENDOR, r#"{"raw": ""}"#),
            "raw: not bytes in hexadecimal digits",
        ),
        (
            &feature_settings(VENDOR, r#"{"raw": "00", "x": 1}"#),
            "raw is all of the value",
        ),
    ] {
        machine.write("s.json", text);
        let ended = machine.run(&["apply", "s.json", "--dry-run"]);
        assert_eq!(ended.status, 2, "{text}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{text}: {}", ended.stderr);
    }
}

/// A Feature of a vendor, as in a document.
const VENDOR: &str = "value/uuid=ffffffff-ffff-ffff-ffff-ffffffffffff";

/// Settings for a Feature of a memory device.
fn feature_settings(item: &str, fields: &str) -> String {
    format!(r#"{{"kind": "settings", "devices": {{"fwctl0": {{"feature/{item}": {fields}}}}}}}"#)
}

/// A memory device whose patrol scrub a program may set, with a cycle of 12 hours; and a Feature of a
/// vendor.
fn memory(more: &str) -> Machine {
    let get = |uuid: &str, size: &str, answer: &str| {
        format!(
            "rpc configuration 01050000 00000000 15000000 00000000 {uuid} 0000 {size} 00 -> {answer}\n"
        )
    };
    let scrub = get(
        "96dad7d6fde8482ba73375774e06db8a",
        "0400",
        "04000000 00000000 030c0100",
    );
    let vendor = get(
        "ffffffffffffffffffffffffffffffff",
        "0200",
        "02000000 00000000 1122",
    );
    Machine::with_cxl(&format!(
        "unordered
info cxl
rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 0300 00000000
rpc configuration 00050000 00000000 08000000 00000000 98000000 0000 0000 -> 98000000 00000000 0300 0300 00000000
    96dad7d6fde8482ba73375774e06db8a 0000 0400 0200 01000000 01 01 0202 000000000000000000000000000000000000
    ffffffffffffffffffffffffffffffff 0100 0200 0200 01000000 01 02 0102 000000000000000000000000000000000000
    e5b13f2223284a14b8bab9691e893386 0200 0400 0000 00000000 01 01 0202 000000000000000000000000000000000000
{scrub}{vendor}{more}"
    ))
}

#[test]
fn features_are_compared_and_written() {
    let both = |cycle: &str, raw: &str| {
        format!(
            r#"{{"kind": "settings", "devices": {{"mem0": {{
                "feature/value/uuid=patrol-scrub,selection=current": {{"cycle": {cycle}, "enabled": 0}},
                "feature/{VENDOR}": {{"raw": "{raw}"}}}}}}}}"#
        )
    };
    let machine = memory("");
    machine.write("s.json", &both("\"1d\"", "11ab"));
    machine.run(&["apply", "s.json", "--dry-run"]).is(
        0,
        "changes:       not written\n\
         scope needed:  debug-write-full\n\n\
         DEVICE  VALUE                                                        OLD   NEW\n\
         fwctl0  feature/value/uuid=patrol-scrub,selection=current cycle      12 h  24 h\n\
         fwctl0  feature/value/uuid=ffffffff-ffff-ffff-ffff-ffffffffffff raw  1122  11ab\n",
        "",
    );
    let ended = machine.run(&["apply", "s.json", "--dry-run", "-o", "json"]);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["least_scope"], "debug-write-full");
    let change = |number: usize| json["changes"][number].clone();
    assert_eq!(
        (&change(0)["old"], &change(0)["new"]),
        (&json!(12), &json!(24))
    );
    assert_eq!(
        (&change(1)["old"], &change(1)["new"]),
        (&json!("1122"), &json!("11ab"))
    );
    // Nothing is written in a scope that is too low for one of them.
    let ended = machine.run(&["apply", "s.json", "--scope", "debug-write"]);
    assert_eq!(ended.status, 2);
    assert!(
        ended.stderr.contains("which need debug-write-full"),
        "{}",
        ended.stderr
    );
    // The second write fails.
    let set = "rpc debug-write-full 02050000 00000000 22000000 00000000";
    let scrub = "96dad7d6fde8482ba73375774e06db8a 00000000 0000 01 000000000000000000 1800";
    let vendor = "ffffffffffffffffffffffffffffffff 00000000 0000 02 000000000000000000 11ab";
    let machine = memory(&format!(
        "{set} {scrub} -> 00000000 00000000\n{set} {vendor} -> 00000000 02000000\n"
    ));
    machine.write("s.json", &both("24", "11ab"));
    let ended = machine.run(&["apply", "s.json", "--scope", "debug-write-full"]);
    assert_eq!(ended.status, 3, "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("changes:       1 of 2 written\n"),
        "{}",
        ended.stdout
    );
    // They have these values.
    let machine = memory("");
    machine.write("s.json", &both("\"12h\"", "1122"));
    machine
        .run(&["apply", "s.json", "--scope", "debug-write-full"])
        .is(0, "changes:  nothing to change\n", "");
}

#[test]
fn features_that_cannot_be_set() {
    let machine = memory("");
    for (item, fields, status, why) in [
        (
            "value/uuid=ecs",
            r#"{"log-entry-type": "dram"}"#,
            1,
            "the kernel keeps this feature for itself",
        ),
        ("value/uuid=sppr", r#"{}"#, 1, "no feature 892ba475"),
        (
            VENDOR,
            r#"{"raw": "112233"}"#,
            1,
            "the range is bytes 0 to 2, and the feature has 2 bytes",
        ),
    ] {
        machine.write("s.json", &feature_settings(item, fields));
        let ended = machine.run(&["apply", "s.json", "--dry-run"]);
        assert_eq!(ended.status, status, "{item}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{item}: {}", ended.stderr);
    }
    // The second would undo the first.
    machine.write(
        "s.json",
        r#"{"kind": "settings", "devices": {
            "mem0": {"feature/value/uuid=patrol-scrub": {"cycle": "24h"}},
            "fwctl0": {"feature/value/uuid=96dad7d6-fde8-482b-a733-75774e06db8a": {"enabled": "on"}}}}"#,
    );
    let ended = machine.run(&["apply", "s.json", "--dry-run"]);
    assert_eq!(ended.status, 2);
    assert!(
        ended.stderr.contains("fwctl0 has this item twice"),
        "{}",
        ended.stderr
    );
}
