// SPDX-License-Identifier: MIT OR Apache-2.0

//! Completions and man pages.

use crate::machine::Machine;

/// What fish gets for the last word: candidates without their descriptions.
fn offered(machine: &Machine, words: &[&str]) -> Vec<String> {
    let args = [&["--", "fwctl"][..], words].concat();
    let output = machine
        .command(&args)
        .env("FWCTL_COMPLETE", "fish")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines();
    lines
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect()
}

#[test]
fn completions_know_verbs_devices_registers_features_and_fields() {
    let machine = Machine::with_cxl("open errno 5");
    machine.add_pci(
        1,
        "0000:07:00.0",
        "mlx5_core",
        (0x15b3, 0x1021),
        "open errno 5",
    );
    machine.write("sys/devices/pci0000:00/0000:07:00.0/net/eth9/mtu", "1500");
    assert!(offered(&machine, &[""]).contains(&"snapshot".into()));
    assert!(offered(&machine, &["cxl", ""]).contains(&"features".into()));
    let devices = offered(&machine, &["info", ""]);
    for name in ["fwctl0", "mem0", "fwctl1", "eth9", "0000:07:00.0"] {
        assert!(devices.contains(&name.into()), "{devices:?}");
    }
    assert_eq!(offered(&machine, &["snapshot", "me"]), ["mem0"]);
    assert_eq!(
        offered(&machine, &["mlx5", "reg", "fwctl1", "mtm"]),
        ["mtmp"]
    );
    assert_eq!(
        offered(&machine, &["mlx5", "query", "fwctl1", "vport-"]),
        ["vport-state", "vport-counter"]
    );
    assert_eq!(
        offered(&machine, &["cxl", "get", "mem0", "patrol"]),
        ["patrol-scrub"]
    );
    assert_eq!(
        offered(&machine, &["cxl", "set", "mem0", "patrol-scrub", ""])[..2],
        ["cycle=", "enabled="]
    );
    assert_eq!(
        offered(&machine, &["cxl", "set", "mem0", "ecs", "log"]),
        ["log-entry-type="]
    );
    assert_eq!(
        offered(
            &machine,
            &["mlx5", "reg", "fwctl1", "mtmp", "--set", "temp_"]
        ),
        ["temp_threshold_hi=", "temp_threshold_lo="]
    );
    assert_eq!(
        offered(
            &machine,
            &["mlx5", "query", "fwctl1", "vport-state", "--arg", "vport"]
        ),
        ["vport_number="]
    );
    assert!(offered(&machine, &["rpc", "fwctl0", "--scope", "debug-"]).len() == 3);
    // Without devices there are none, and no error.
    assert_eq!(offered(&Machine::without_fwctl(), &["info", "f"]), [""; 0]);
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = Machine::new().run(&["completions", shell]);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{shell}");
        assert!(ended.stdout.contains("FWCTL_COMPLETE"), "{shell}");
    }
}

#[test]
fn one_man_page_per_verb() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("man")).unwrap();
    machine.run(&["man", "man"]).is(0, "", "");
    for page in [
        "fwctl.1",
        "fwctl-list.1",
        "fwctl-rpc.1",
        "fwctl-cxl.1",
        "fwctl-cxl-get.1",
    ] {
        let text = std::fs::read_to_string(machine.path("man").join(page)).unwrap();
        let title = page.trim_end_matches(".1").to_uppercase();
        assert!(text.contains(&format!(".TH {title} 1")), "{page}");
    }
    // The verb that writes them is not for users.
    assert!(!machine.path("man/fwctl-man.1").exists());
    assert_eq!(machine.run(&["man", "no/such"]).status, 1);
}

#[test]
fn the_rule_about_who_may_open_a_node_is_where_people_look() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("man")).unwrap();
    machine.run(&["man", "man"]).is(0, "", "");
    for page in ["fwctl.1", "fwctl-list.1"] {
        let text = std::fs::read_to_string(machine.path("man").join(page)).unwrap();
        assert!(text.contains("needs no capability"), "{page}");
    }
    for args in [&["--help"][..], &["list", "--help"]] {
        let words = machine.run(args).stdout;
        let words: Vec<&str> = words.split_whitespace().collect();
        assert!(words.join(" ").contains("needs no capability"), "{args:?}");
    }
}
