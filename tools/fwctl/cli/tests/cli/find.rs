// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding devices: `list`, `info`, and the names that a device has.

use crate::machine::Machine;

#[test]
fn devices_with_type_parent_driver_owner_and_product() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_pci(
        10,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "info mlx5 05000000 04000000",
    );
    machine.write(
        "usr/share/misc/pci.ids",
        "15b3  Mellanox Technologies\n\t1021  MT2910 Family [ConnectX-7]\n",
    );
    machine.run(&["list"]).is(
        0,
        "NAME     TYPE  PARENT               DRIVER     OPEN TO      PRODUCT\n\
         fwctl0   cxl   mem0 (0000:0d:00.0)  cxl_pci    root (0600)  8086:0d93\n\
         fwctl10  mlx5  0000:07:00.0         mlx5_core  root (0600)  MT2910 Family [ConnectX-7]\n",
        "",
    );
}

#[test]
fn the_list_as_json() {
    let machine = Machine::with_cxl("info cxl");
    machine.run(&["list", "-o", "json"]).is(
        0,
        r#"{
  "format": 2,
  "devices": [
    {
      "name": "fwctl0",
      "type": "cxl",
      "type_is_certain": false,
      "max_scope": null,
      "node": "./dev/fwctl/fwctl0",
      "can_open": true,
      "mode": "0600",
      "owner": "root",
      "group": "root",
      "parent": {
        "name": "mem0",
        "bus": "cxl",
        "driver": "cxl_pci",
        "pci_address": "0000:0d:00.0",
        "pci_vendor": 32902,
        "pci_device": 3475,
        "product": null,
        "netdevs": [],
        "rdma_devices": [],
        "memdev": "mem0",
        "serial": "0xabcd",
        "firmware_version": "BWFW VERSION 00",
        "psid": null
      },
      "probe": null
    }
  ]
}
"#,
        "",
    );
}

#[test]
fn the_kernel_says_type_and_highest_scope() {
    let machine = Machine::new();
    machine.add_pci(0, "0000:07:00.0", "what", (0x15b3, 0x1021), "open errno 13");
    machine.add_attributes(0, 1, "none");
    machine.run(&["list"]).is(
        0,
        "NAME    TYPE  PARENT        DRIVER  OPEN TO      PRODUCT\n\
         fwctl0  mlx5  0000:07:00.0  what    root (0600)  15b3:1021\n",
        "",
    );
    let json = machine.run(&["list", "-o", "json"]).stdout;
    assert!(
        json.contains(
            "\"type\": \"mlx5\",\n      \"type_is_certain\": true,\n      \"max_scope\": \"none\","
        ),
        "{json}"
    );
}

#[test]
fn a_scope_that_the_administrator_does_not_allow() {
    let machine = Machine::with_cxl("info cxl\notherwise errno 1");
    machine.add_attributes(0, 2, "configuration");
    let ended = machine.run(&["info", "fwctl0"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(
        ended.stdout.ends_with(
            "max scope:    configuration\n\n\
             SCOPE             RPCS  REFUSED  FAILED\n\
             configuration     1000  0        3\n\
             debug-read-only   125   1        2\n\
             debug-write       15    2        1\n\
             debug-write-full  1     3        0\n"
        ),
        "{}",
        ended.stdout
    );
    machine.write("request", "01234567");
    let rpc = |scope| {
        machine
            .run(&[
                "rpc",
                "fwctl0",
                "--scope",
                scope,
                "-i",
                "request",
                "--out-len",
                "16",
            ])
            .stderr
    };
    let text = "meaning: the administrator does not allow this scope on this device\n";
    assert!(
        rpc("debug-read-only").contains(text),
        "{}",
        rpc("debug-read-only")
    );
    assert!(!rpc("configuration").contains(text));
}

#[test]
fn without_probe_no_device_is_opened() {
    let machine = Machine::with_cxl("open errno 13");
    machine.add_pci(1, "0000:07:00.0", "what", (1, 2), "info cxl");
    machine.run(&["list"]).is(
        0,
        "NAME    TYPE  PARENT               DRIVER   OPEN TO      PRODUCT\n\
         fwctl0  cxl   mem0 (0000:0d:00.0)  cxl_pci  root (0600)  8086:0d93\n\
         fwctl1  -     0000:07:00.0         what     root (0600)  0001:0002\n",
        "",
    );
    // The kernel's attribute says more than the driver's name.
    machine.write("sys/class/fwctl/fwctl1/type", "1\n");
    let ended = machine.run(&["list"]);
    assert!(ended.stdout.contains("fwctl1  mlx5  "), "{}", ended.stdout);
}

#[test]
fn probe_asks_each_device() {
    let machine = Machine::with_cxl("open errno 13");
    machine.add_pci(1, "0000:07:00.0", "what", (1, 2), "info type-77");
    machine.run(&["list", "--probe"]).is(
        0,
        "NAME    TYPE     PARENT               PROBE   OPEN TO      FIRMWARE         PRODUCT\n\
         fwctl0  cxl      mem0 (0000:0d:00.0)  failed  root (0600)  BWFW VERSION 00  8086:0d93\n\
         fwctl1  type-77  0000:07:00.0         ok      root (0600)  -                0001:0002\n",
        &format!(
            "fwctl: ./dev/fwctl/fwctl0: open: Permission denied (EACCES)\n{}",
            eacces()
        ),
    );
    let json = machine.run(&["list", "--probe", "-o", "json"]).stdout;
    assert!(
        json.contains("\"type\": \"type-77\",\n      \"type_is_certain\": true,")
            && json.contains("\"outcome\": \"ok\",\n        \"error\": null")
            && json.contains("\"can_open\": false"),
        "{json}"
    );
    // The error has the keys of every other one.
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let error = &json["devices"][0]["probe"]["error"];
    assert_eq!(error["errno_name"], "EACCES");
    assert_eq!(
        error["message"],
        "./dev/fwctl/fwctl0: open: Permission denied (EACCES)"
    );
    assert!(error["meaning"].is_string() && error["remedy"].is_string());
}

/// The recording answers after a minute, so the command ends before that only if it does not wait.
#[test]
fn a_silent_device_does_not_hold_up_the_others() {
    let machine = Machine::with_cxl("open after 60000\ninfo cxl");
    machine.add_pci(1, "0000:07:00.0", "what", (1, 2), "info mlx5");
    let start = std::time::Instant::now();
    machine.run(&["list", "--probe", "--timeout", "3"]).is(
        0,
        "NAME    TYPE  PARENT               PROBE   OPEN TO      FIRMWARE         PRODUCT\n\
         fwctl0  cxl   mem0 (0000:0d:00.0)  silent  root (0600)  BWFW VERSION 00  8086:0d93\n\
         fwctl1  mlx5  0000:07:00.0         ok      root (0600)  -                0001:0002\n",
        "fwctl: fwctl0: no answer in 3 s\n  \
         meaning: the firmware does not answer, or the driver waits for it\n  \
         remedy:  see the kernel log: dmesg; the device may need a reset\n",
    );
    assert!(start.elapsed().as_secs() < 60);
}

/// What EACCES on open means to the user who runs the tests.
fn eacces() -> &'static str {
    let metadata = std::fs::metadata("/proc/self").unwrap();
    match std::os::unix::fs::MetadataExt::uid(&metadata) {
        0 => {
            "  meaning: you are root, so not the node's mode but a security module or a user namespace forbids it\n  \
             remedy:  see the log of the security module; in a container, have its manager pass the node in\n"
        }
        _ => {
            "  meaning: you may not open the node; by default, nodes belong to root\n  \
             remedy:  run it as root. Do not widen the mode lightly: anyone who can open a node can write to the firmware\n"
        }
    }
}

#[test]
fn nodes_are_looked_up_by_number() {
    let machine = Machine::with_cxl("number 240:0\ninfo cxl");
    machine.add_cxl(1, "0000:0e:00.0", "number 240:1\ninfo cxl 01");
    machine.write("sys/class/fwctl/fwctl0/dev", "240:0\n");
    machine.write("sys/class/fwctl/fwctl1/dev", "240:1\n");
    let device = |name: &str| {
        let ended = machine.run(&["info", name]);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{name}");
        ended.stdout.lines().take(3).collect::<Vec<_>>().join(" ")
    };
    let node = |name: &str| machine.path(&format!("dev/fwctl/{name}"));
    // As a container does: fwctl1's node has the name of fwctl0.
    std::fs::rename(node("fwctl0"), node("other")).unwrap();
    std::fs::rename(node("fwctl1"), node("fwctl0")).unwrap();
    assert_eq!(
        device("./dev/fwctl/fwctl0"),
        "device:       fwctl1 node:         ./dev/fwctl/fwctl0 parent:       mem1"
    );
    assert_eq!(
        device("fwctl0"),
        "device:       fwctl0 node:         ./dev/fwctl/other parent:       mem0"
    );
    std::fs::remove_file(node("other")).unwrap();
    machine.run(&["info", "mem0"]).is(
        1,
        "",
        "fwctl: ./dev/fwctl/fwctl0: is device 240:1, and fwctl0 is 240:0: the node was renamed or is stale\n",
    );
    machine.write("dev/watchdog", "number 10:130\nopen errno 5");
    machine.run(&["info", "dev/watchdog"]).is(
        1,
        "",
        "fwctl: dev/watchdog: not a fwctl device, but device 10:130; the fwctl devices are fwctl0 (mem0), fwctl1 (mem1)\n",
    );
}

#[test]
fn names_of_the_function_s_other_devices() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_pci(
        1,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "info mlx5 05000000 04000000",
    );
    let function = "sys/devices/pci0000:00/0000:07:00.0";
    for (class, name) in [("net", "ens1"), ("infiniband", "storage")] {
        machine.link(&format!("{function}/{class}/{name}/device"), function);
        machine.link(
            &format!("sys/class/{class}/{name}"),
            &format!("{function}/{class}/{name}"),
        );
    }
    machine.link("sys/bus/pci/devices/0000:07:00.0", function);
    for name in [
        "ens1",
        "storage",
        "pci/0000:07:00.0",
        "./sys/class/fwctl/fwctl1",
        "./sys/bus/pci/devices/0000:07:00.0",
    ] {
        let ended = machine.run(&["info", name]);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{name}");
        assert!(
            ended.stdout.starts_with("device:        fwctl1\n")
                && ended
                    .stdout
                    .contains("netdevs:       ens1\nRDMA devices:  storage\n"),
            "{name}: {}",
            ended.stdout
        );
    }
    machine.run(&["list"]).is(
        0,
        "NAME    TYPE  PARENT                        DRIVER     OPEN TO      PRODUCT\n\
         fwctl0  cxl   mem0 (0000:0d:00.0)           cxl_pci    root (0600)  8086:0d93\n\
         fwctl1  mlx5  0000:07:00.0 (ens1, storage)  mlx5_core  root (0600)  15b3:1021\n",
        "",
    );
    let ended = machine.run(&["info", "pci/0000:0f:00.0"]);
    assert!(ended.stderr.contains("ENOENT"), "{}", ended.stderr);
}

/// Opening a ConnectX sends its firmware a command.
#[test]
fn firmware_that_does_not_answer_is_explained() {
    for (errno, text) in [
        (110, "Connection timed out (ETIMEDOUT)"),
        (11, "Resource temporarily unavailable (EAGAIN)"),
        (125, "Operation canceled (ECANCELED)"),
        (67, "Link has been severed (ENOLINK)"),
        (16, "Device or resource busy (EBUSY)"),
    ] {
        let ended = Machine::with_cxl(&format!("open errno {errno}")).run(&["info", "fwctl0"]);
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(ended.status, 1);
        assert!(lines[0].ends_with(text), "{}", ended.stderr);
        assert!(lines[1].starts_with("  meaning: "), "{}", ended.stderr);
        assert!(lines[2].starts_with("  remedy:  "), "{}", ended.stderr);
    }
}

#[test]
fn a_node_that_is_open_to_others_is_named() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_cxl(1, "0000:0e:00.0", "info cxl");
    machine.set_mode("dev/fwctl/fwctl1", 0o666);
    let ended = machine.run(&["list"]);
    assert_eq!(
        ended.stderr,
        "fwctl: warning: open to others than root: fwctl1 to everyone (0666); they can write to the firmware and taint the kernel\n"
    );
    assert_eq!((ended.status, ended.stdout.lines().count()), (0, 3));
}

#[test]
fn names_from_the_command_line_cannot_steer_the_terminal() {
    let ended = Machine::with_cxl("info cxl").run(&["info", "x\x1b[2J"]);
    assert_eq!(
        ended.stderr,
        "fwctl: x\u{fffd}[2J: no such fwctl device; the fwctl devices are fwctl0 (mem0)\n"
    );
}

#[test]
fn devices_are_in_the_order_of_their_numbers() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_cxl(10, "0000:0e:00.0", "info cxl");
    machine.add_cxl(2, "0000:0f:00.0", "info cxl");
    let stdout = machine.run(&["list"]).stdout;
    let names: Vec<&str> = stdout
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["fwctl0", "fwctl2", "fwctl10"]);
}

#[test]
fn advice_is_given_once() {
    let machine = Machine::with_cxl("open errno 13");
    machine.add_cxl(1, "0000:0e:00.0", "open errno 13");
    machine.add_cxl(2, "0000:0f:00.0", "info errno 19");
    let ended = machine.run(&["list", "--probe"]);
    assert_eq!(ended.stdout.lines().count(), 4);
    assert_eq!(
        ended.stderr,
        format!(
            "fwctl: ./dev/fwctl/fwctl0: open: Permission denied (EACCES)\n\
             fwctl: ./dev/fwctl/fwctl1: open: Permission denied (EACCES)\n{}\
             fwctl: fwctl2: FWCTL_INFO: No such device (ENODEV)\n  \
             meaning: the device was unplugged or its driver unbound while it was open\n  \
             remedy:  list the devices with: fwctl list\n",
            eacces()
        )
    );
}

#[test]
fn a_device_without_a_node_is_listed() {
    let machine = Machine::with_cxl("info cxl");
    std::fs::remove_file(machine.path("dev/fwctl/fwctl0")).unwrap();
    let ended = machine.run(&["list"]);
    assert!(
        ended.stdout.contains("nobody (no node)"),
        "{}",
        ended.stdout
    );
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    let probed = machine.run(&["list", "--probe"]);
    assert!(
        probed.stderr.contains("ENOENT") && probed.stderr.contains("devtmpfs"),
        "{}",
        probed.stderr
    );
}

#[test]
fn no_devices() {
    Machine::new().run(&["list"]).is(
        0,
        "",
        "fwctl: no fwctl devices: load the driver of your device, such as modprobe cxl_fwctl or modprobe mlx5_fwctl; if it is loaded, it \
         found no device (see dmesg)\n",
    );
    let ended = Machine::new().run(&["list", "-o", "json"]);
    assert_eq!(ended.stdout, "{\n  \"format\": 2,\n  \"devices\": []\n}\n");
}

#[test]
fn no_devices_but_one_waits_for_a_driver() {
    let machine = Machine::new();
    machine.write("sys/bus/auxiliary/devices/mlx5_core.fwctl.0/uevent", "");
    machine.write("sys/bus/auxiliary/devices/mlx5_core.eth.0/uevent", "");
    machine.run(&["list"]).is(
        0,
        "",
        "fwctl: no fwctl devices, but mlx5_core.fwctl.0 has no driver: load it, such as modprobe cxl_fwctl or \
         modprobe mlx5_fwctl\n",
    );
}

#[test]
fn no_module() {
    let machine = Machine::without_fwctl();
    machine.run(&["list"]).is(
        1,
        "",
        "fwctl: the kernel (7.3.4) has no fwctl class: load a device driver, such as modprobe cxl_fwctl or modprobe mlx5_fwctl, if \
         the kernel has them (CONFIG_FWCTL)\n",
    );
    machine.write(
        "lib/modules/7.3.4/modules.dep",
        "kernel/drivers/fwctl/fwctl.ko:\n",
    );
    let loadable = machine.run(&["info", "fwctl0"]);
    assert!(
        loadable
            .stderr
            .starts_with("fwctl: the fwctl module is not loaded: "),
        "{}",
        loadable.stderr
    );
    machine.write(
        "lib/modules/7.3.4/modules.dep",
        "kernel/drivers/net/dummy.ko:\n",
    );
    let missing = machine.run(&["list"]);
    assert!(
        missing
            .stderr
            .starts_with("fwctl: this kernel (7.3.4) has no fwctl module: "),
        "{}",
        missing.stderr
    );
    assert_eq!((loadable.status, missing.status), (1, 1));
    std::fs::remove_dir_all(machine.path("sys")).unwrap();
    let no_sysfs = machine.run(&["list"]);
    assert!(
        no_sysfs.stderr.starts_with("fwctl: sysfs is not mounted"),
        "{}",
        no_sysfs.stderr
    );
}

#[test]
fn a_device_has_many_names() {
    let machine = Machine::with_cxl("info cxl");
    machine.link("dev/by-name", "dev/fwctl");
    for name in [
        "fwctl0",
        "mem0",
        "0000:0d:00.0",
        "0d:00.0",
        "0D:00.0",
        "./dev/fwctl/fwctl0",
        "dev/by-name/fwctl0",
    ] {
        let ended = machine.run(&["info", name, "-o", "json"]);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{name}");
        assert!(
            ended.stdout.contains(r#""device": "fwctl0""#)
                && ended.stdout.contains(r#""parent": "mem0""#),
            "{name}"
        );
    }
}

#[test]
fn other_names_get_the_list() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_cxl(1, "0000:0e:00.0", "info cxl");
    machine.run(&["info", "fwctl7"]).is(
        1,
        "",
        "fwctl: fwctl7: no such fwctl device; the fwctl devices are fwctl0 (mem0), fwctl1 (mem1)\n",
    );
    let ended = machine.run(&["info", "/dev/no/such"]);
    assert!(
        ended
            .stderr
            .contains("/dev/no/such: open: No such file or directory (ENOENT)"),
        "{}",
        ended.stderr
    );
    machine.add_pci(2, "0000:0e:00.0", "cxl_pci", (0x8086, 0x0d93), "info cxl");
    machine.run(&["info", "0e:00.0"]).is(
        1,
        "",
        "fwctl: 0e:00.0: several fwctl devices match: give one of fwctl1 (mem1), fwctl2 (0000:0e:00.0)\n",
    );
}

#[test]
fn info_per_type() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_pci(
        1,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "info mlx5 05000000 04000080",
    );
    machine.add_pci(2, "0000:08:00.0", "what", (1, 2), "info type-77 0102");
    machine.add_pci(
        3,
        "0000:09:00.0",
        "bnxt_en",
        (0x14e4, 0x1750),
        "info bnxt 0f000000",
    );
    machine.add_pci(
        4,
        "0000:0a:00.0",
        "pds_core",
        (0x1dd8, 0x100c),
        "info pds 03000000",
    );
    let info = |name: &str| machine.run(&["info", name]);
    info("fwctl0").is(
        0,
        "device:       fwctl0\nnode:         ./dev/fwctl/fwctl0\nparent:       mem0\nPCI address:  0000:0d:00.0\n\
         product:      8086:0d93\nserial:       0xabcd\nfirmware:     BWFW VERSION 00\ndriver:       cxl_pci\n\
         type:         cxl (2)\ndriver data:  0 bytes\n",
        "",
    );
    info("fwctl1").is(
        0,
        "device:        fwctl1\nnode:          ./dev/fwctl/fwctl1\nparent:        0000:07:00.0\nproduct:       15b3:1021\n\
         driver:        mlx5_core\ntype:          mlx5 (1)\ndriver data:   8 bytes\nfirmware uid:  5\n\
         capabilities:  0x80000004 (tools-resources, 0x80000000)\n",
        "",
    );
    info("fwctl2").is(
        0,
        "device:       fwctl2\nnode:         ./dev/fwctl/fwctl2\nparent:       0000:08:00.0\nproduct:      0001:0002\n\
         driver:       what\ntype:         type-77 (77)\ndriver data:  2 bytes\n\n\
         00000000  01 02                                             |..|\n",
        "",
    );
    info("fwctl3").is(
        0,
        "device:        fwctl3\nnode:          ./dev/fwctl/fwctl3\nparent:        0000:09:00.0\nproduct:       14e4:1750\n\
         driver:        bnxt_en\ntype:          bnxt (3)\ndriver data:   4 bytes\n\
         capabilities:  0xf (inline-commands, query-commands, send-commands, dma-commands)\n",
        "",
    );
    info("fwctl4").is(
        0,
        "device:        fwctl4\nnode:          ./dev/fwctl/fwctl4\nparent:        0000:0a:00.0\nproduct:       1dd8:100c\n\
         driver:        pds_core\ntype:          pds (4)\ndriver data:   4 bytes\ncapabilities:  0x3 (query, send)\n",
        "",
    );
    assert_eq!(
        machine.run(&["info", "fwctl1", "-o", "raw"]).bytes,
        [5, 0, 0, 0, 4, 0, 0, 0x80]
    );
}

#[test]
fn info_as_json() {
    let machine = Machine::with_cxl("info cxl");
    machine.add_pci(
        1,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "info mlx5 05000000 04000000",
    );
    machine.run(&["info", "fwctl1", "-o", "json"]).is(
        0,
        r#"{
  "format": 2,
  "device": "fwctl1",
  "node": "./dev/fwctl/fwctl1",
  "parent": "0000:07:00.0",
  "bus": "pci",
  "driver": "mlx5_core",
  "pci_address": "0000:07:00.0",
  "product": "15b3:1021",
  "netdevs": [],
  "rdma_devices": [],
  "serial": null,
  "firmware_version": null,
  "psid": null,
  "type": "mlx5",
  "type_number": 1,
  "data_len": 8,
  "data": "0500000004000000",
  "uid": 5,
  "uctx_caps": 4,
  "uctx_cap_names": [
    "tools-resources"
  ],
  "max_scope": null,
  "rpcs": {}
}
"#,
        "",
    );
}

#[test]
fn a_device_that_left() {
    let machine = Machine::with_cxl("info errno 19");
    machine.run(&["info", "fwctl0"]).is(
        1,
        "",
        "fwctl: fwctl0: FWCTL_INFO: No such device (ENODEV)\n  \
         meaning: the device was unplugged or its driver unbound while it was open\n  \
         remedy:  list the devices with: fwctl list\n",
    );
}
