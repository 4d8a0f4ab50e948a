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
        offered(&machine, &["cxl", "log", "mem0", "vend"]),
        ["vendor-debug"]
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

#[test]
fn pages_name_each_other() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("man")).unwrap();
    machine.run(&["man", "man"]).is(0, "", "");
    for (page, others) in [
        ("fwctl.1", "cxl(1), devlink(8), ethtool(8), mstflint(1)"),
        ("fwctl-diff.1", "fwctl(1), fwctl-snapshot(1)"),
        ("fwctl-mlx5-coredump.1", "fwctl-mlx5(1)"),
        ("fwctl-cxl-command.1", "fwctl-cxl(1), fwctl-cxl-commands(1)"),
        ("fwctl-mlx5-diag-set.1", "fwctl-mlx5-diag(1)"),
    ] {
        let text = std::fs::read_to_string(machine.path("man").join(page)).unwrap();
        let text = text
            .replace("\\-", "-")
            .replace("\\fB", "")
            .replace("\\fR", "");
        let also = text.split(".SH \"SEE ALSO\"\n").nth(1);
        assert_eq!(
            also.and_then(|also| also.lines().next()),
            Some(others),
            "{page}: {text}"
        );
    }
}

/// The help of a command and of all below it, on a terminal with so many columns.
fn all_help(machine: &Machine, verbs: &[&str], columns: &str, all: &mut Vec<(String, String)>) {
    for option in ["-h", "--help"] {
        let output = machine
            .command(&[verbs, &[option]].concat())
            .env("COLUMNS", columns)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.is_empty(), "{verbs:?}");
        all.push((format!("fwctl {} {option}", verbs.join(" ")), text));
    }
    let text = &all[all.len() - 2].1;
    let Some((_, commands)) = text.split_once("\nCommands:\n") else {
        return;
    };
    let below: Vec<String> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        // A description that goes on has more space in front.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect();
    assert!(below.len() > 2, "{text}");
    for verb in &below {
        all_help(machine, &[verbs, &[verb.as_str()]].concat(), columns, all);
    }
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    let machine = Machine::new();
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    all_help(&machine, &[], "80", &mut narrow);
    all_help(&machine, &[], "1000", &mut wide);
    assert!(narrow.len() > 60, "{}", narrow.len());
    for (command, text) in &narrow {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
    // No command line of an example is broken.
    for (command, text) in &wide {
        let examples = text.split("Example").skip(1).flat_map(str::lines);
        for line in examples.filter(|line| line.contains("fwctl ")) {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}

#[test]
fn the_sessions_of_the_readme_fit_80_columns() {
    let text = include_str!("../../README.md");
    let blocks = text.split("```").skip(1).step_by(2);
    let sessions = blocks.filter(|block| block.starts_with("\n# fwctl "));
    let lines: Vec<&str> = sessions.flat_map(str::lines).collect();
    assert!(lines.len() > 20);
    for line in lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
