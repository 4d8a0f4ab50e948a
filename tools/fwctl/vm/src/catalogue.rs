// SPDX-License-Identifier: MIT OR Apache-2.0

//! The catalogue of the tests that need a VM.
//!
//! A new test is an entry in one of the tables below and, unless an existing script serves it, a
//! script in `guest/`.  `guest/lib.sh` has what the scripts share.

mod c_core;
mod checkers;
mod core;
mod cxl;
mod faults;
mod flavours;
mod fuzz;
mod loopback;
mod mlx5;
mod pds;
mod stock;
mod stress;
mod vendor;

use crate::case::{Reads, Test, BASE};
use crate::host::artifacts::Need::{Cli, Example, Fuzzer, Module, Selftest};
use crate::machine;
use crate::pattern::{any_matches, matches};

/// All tests, in the order in which they run on a machine.
pub fn all() -> impl Iterator<Item = &'static Test> {
    loopback::TESTS
        .iter()
        .chain(mlx5::TESTS)
        .chain(pds::TESTS)
        .chain(core::TESTS)
        .chain(c_core::TESTS)
        .chain(cxl::TESTS)
        .chain(stock::TESTS)
        .chain(flavours::TESTS.iter().copied().flatten())
        .chain(faults::TESTS)
        .chain(stress::TESTS)
        .chain(checkers::TESTS)
        .chain(fuzz::TESTS)
        .chain(vendor::TESTS.iter().flatten())
}

/// Globs of the tests that `--quick` leaves out. They take half a minute or more on two processors
/// without KVM, need a separate kernel, or repeat others on a machine that no quick test needs.
/// Their subjects have quick tests, too, which are less thorough.
const SLOW: &[&str] = &[
    "*/faults*",
    "*bounce*",
    "*leaks*",
    "arm64/mlx5",
    "cli/connectx",
    "core/abstraction*",
    "core/builtin*",
    "core/lifetime*",
    "core/load-unload",
    "core/queue-c",
    "core/selftest-files-32bit",
    "core/selftest-numbers",
    "core/selftest-teardown-c",
    "core/selftest-umem-32bit",
    "core/suspend",
    "cxl/all-effects",
    "cxl/builtin",
    "cxl/emulated-uring",
    "cxl/features",
    "cxl/other-mailboxes",
    "emu/two-cards",
    "faults/*",
    "fuzz/*",
    "mlx5/memory*",
    "mlx5/selftest-c*",
    "mlx5/stall",
    "mlx5/umem*",
    "pds/selftest-unpatched",
    "stock/iommu*",
    "storm/*",
    "uring/abi-c",
    "uring/ioctl-files",
    "vendor/confidential-*",
];

/// Whether `--quick` leaves `test` out.
pub fn is_slow(test: &Test) -> bool {
    SLOW.iter().any(|glob| matches(glob, test.name))
}

/// The tests that at least one of `patterns` selects; all if there are none.
pub fn select(patterns: &[String]) -> Vec<&'static Test> {
    all().filter(|test| selects(patterns, test)).collect()
}

fn selects(patterns: &[String], test: &Test) -> bool {
    // A pattern may name a case of a suite.
    any_matches(patterns, test.name) || patterns.iter().any(|name| is_of(test.name, name))
}

/// The tests to run: as [`select`], but those on extra machines only if their kernel is the one to
/// test, `kernel`, or by patterns that begin with the name of their group. If it `is_quick`, without
/// those that are slow.
pub fn select_to_run(patterns: &[String], kernel: &str, is_quick: bool) -> Vec<&'static Test> {
    let is_named = |test: &Test| {
        let group = test.name.split('/').next().unwrap_or(test.name);
        let mut named = patterns.iter().filter(|pattern| pattern.starts_with(group));
        named.any(|pattern| selects(std::slice::from_ref(pattern), test))
    };
    let mut tests = select(patterns);
    tests.retain(|test| {
        let machine = test.machine;
        let is_due = !machine.is_extra || machine.flavour == kernel || is_named(test);
        is_due && !(is_quick && is_slow(test))
    });
    tests
}

/// Whether `name` is the suite itself or one of its cases.
pub fn is_of(suite: &str, name: &str) -> bool {
    name.strip_prefix(suite)
        .is_some_and(|case| case.is_empty() || case.starts_with('/'))
}

/// Whether to report the result `name`.  Selecting a suite selects its cases.
pub fn wants(patterns: &[String], name: &str) -> bool {
    let suite = all().map(|test| test.name).find(|suite| is_of(suite, name));
    any_matches(patterns, name) || suite.is_some_and(|suite| any_matches(patterns, suite))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::TEST_KERNEL;
    use crate::host::image::GUEST_FILES;
    use std::collections::BTreeSet;

    #[test]
    fn table_is_sound() {
        let names: BTreeSet<&str> = all().map(|test| test.name).collect();
        assert_eq!(names.len(), all().count(), "duplicate names");
        for test in all() {
            assert!(
                test.name.contains('/') && !test.about.is_empty(),
                "{}",
                test.name
            );
            assert!(
                GUEST_FILES.iter().any(|(name, _)| *name == test.script[0]),
                "{}",
                test.name
            );
            assert!(machine::find(test.machine.name).is_some(), "{}", test.name);
        }
    }

    #[test]
    fn cases_of_a_suite() {
        let pattern = ["core/selftest-c/info".to_string()];
        let selected: Vec<&str> = select(&pattern).iter().map(|test| test.name).collect();
        assert_eq!(selected, ["core/selftest-c"]);
        assert!(wants(&pattern, "core/selftest-c/info.size"));
        assert!(!wants(&pattern, "core/selftest-c/rpc.size"));
        let suite = ["selftest-c".to_string()];
        assert!(wants(&suite, "core/selftest-c/rpc.size"));
        assert!(select(&["nothing like this".into()]).is_empty());
        assert_eq!(select(&[]).len(), all().count());
    }

    #[test]
    fn quick_tests() {
        for glob in SLOW {
            assert!(all().any(|test| matches(glob, test.name)), "{glob}");
        }
        let quick = select_to_run(&[], TEST_KERNEL, true);
        assert!(quick.iter().all(|test| !is_slow(test)));
        for name in ["core/selftest-rust", "cxl/selftest", "mlx5/selftest"] {
            assert!(quick.iter().any(|test| test.name == name), "{name}");
        }
        let storms = ["storm/".to_string()];
        assert!(select_to_run(&storms, TEST_KERNEL, true).is_empty());
        assert!(!select_to_run(&storms, TEST_KERNEL, false).is_empty());
    }

    #[test]
    fn extra_tests_run_by_name() {
        let has_extra = |tests: Vec<&Test>| tests.iter().any(|test| test.machine.is_extra);
        let select_to_run =
            |patterns: &[String]| super::select_to_run(patterns, TEST_KERNEL, false);
        assert!(has_extra(select(&[])) && !has_extra(select_to_run(&[])));
        assert!(has_extra(select_to_run(&["flavours".into()])));
        assert!(has_extra(select_to_run(&["flavours/rt-*".into()])));
        assert!(has_extra(select_to_run(&[
            "flavours/rt-amd64-abi-c/info".into()
        ])));
        // Not by a part of a name that others share.
        for pattern in ["core/", "stock", "arm64", "mlx5", "connectx", "*-rust"] {
            assert!(!has_extra(select_to_run(&[pattern.into()])), "{pattern}");
        }
        // Those of the kernel that is tested.
        let mut on_c = super::select_to_run(&[], "c", false);
        on_c.retain(|test| test.machine.is_extra);
        assert!(!on_c.is_empty() && on_c.iter().all(|test| test.machine.flavour == "c"));
    }
}
