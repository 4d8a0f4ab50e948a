// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mlx5 reg`, `caps` and `query`. Bytes: include/linux/mlx5/mlx5_ifc.h.

use crate::machine::Machine;

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
             temperature        336 (0x150)\n\
             mte                0\n\
             mtr                1\n\
             max_temperature    352 (0x160)\n\
             tee                0\n\
             temp_threshold_hi  840 (0x348)\n\
             temp_threshold_lo  0\n\
             sensor_name_hi     1634953571 (0x61736963)\n\
             sensor_name_lo     0\n",
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
        "fwctl: 0x9999: its length is not known here: name it with --size\n",
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
  "format": 1,
  "device": "fwctl0",
  "name": "mpir",
  "id": 36953,
  "written": true,
  "fields": [
    {
      "name": "sdm",
      "value": 1,
      "bytes": null
    },
    {
      "name": "host_buses",
      "value": 7,
      "bytes": null
    },
    {
      "name": "local_port",
      "value": 2,
      "bytes": null
    }
  ],
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
        "fwctl: mpir: hosts=1: no field of this name; its fields are sdm, host_buses, local_port\n",
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
        "fwctl: fwctl0: ACCESS_REG: firmware refused with status 0x3 (bad parameter), syndrome 0x00a2b3c4\n",
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
    let all = machine(&recording).run(&["mlx5", "caps", "fwctl0", "--all"]);
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
    // mlx5_ifc_query_vport_state_in_bits: op_mod at bit 48, vport_number at 80; in the reply, state at 124.
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
         max_tx_speed  0\n\
         admin_state   1\n\
         state         2\n",
            "",
        );
}

#[test]
fn other_devices_are_refused() {
    let machine = Machine::with_cxl("info cxl");
    machine
        .run(&["mlx5", "caps", "mem0"])
        .is(1, "", "fwctl: fwctl0: is a cxl device, not mlx5\n");
}
