// SPDX-License-Identifier: MIT OR Apache-2.0

//! Completions and man pages.

use crate::machine::Machine;

#[test]
fn completions_know_verbs_and_scopes() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Machine::new().run(&["completions", shell]);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{shell}");
        assert!(
            ended.stdout.contains("features") && ended.stdout.contains("debug-read-only"),
            "{shell}"
        );
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
