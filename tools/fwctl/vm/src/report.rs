// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `fwctl-vm test` and `fwctl-vm list` print.

use crate::arch::Arch;
use crate::case::Test;
use crate::catalogue;
use crate::host::artifacts;
use crate::judge::outcome::{TestResult, Totals, Verdict};
use crate::machine::{Machine, MACHINES};
use crate::pattern;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{stdout, Write as _};
use std::path::Path;
use std::time::Duration;

/// Writes `text` at once, so concurrent machines do not mix their lines.  Ignores errors: a closed
/// pipe does not end the tests.
pub fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The line about a booted machine.
pub fn booted(machine: &str, release: &str, time: Duration) -> String {
    let seconds = time.as_secs_f32();
    format!("boot  {machine:<30} {seconds:>6.1} s  Linux {release}\n")
}

/// Results of one test: a line, and one for each reason why something in it did not pass.
///
/// Cases that skip for one reason share a line, unless `all`.
pub fn results(test: &Test, results: &[TestResult], time: Option<Duration>, all: bool) -> String {
    let totals = Totals::of(results);
    let word = match totals {
        Totals { failed: 1.., .. } => "FAIL",
        Totals { passed: 1.., .. } => "ok",
        _ => "skip",
    };
    let time = time
        .map(|time| format!("{:.1} s", time.as_secs_f32()))
        .unwrap_or_default();
    let sum = match results {
        [only] if only.name == test.name => String::new(),
        _ => format!("  {totals}"),
    };
    let line = format!("{word:<4}  {:<30} {time:>8}{sum}", test.name);
    format!("{}\n{}", line.trim_end(), reasons(results, all))
}

/// Why results did not pass.
pub fn reasons(results: &[TestResult], all: bool) -> String {
    let mut text = String::new();
    let mut skipped: Vec<(&str, Vec<&str>)> = Vec::new();
    for result in results {
        let name = result.name.as_str();
        match &result.verdict {
            Verdict::Pass => {}
            Verdict::Fail(reason) => {
                let _ = writeln!(text, "      FAIL  {name}: {reason}");
            }
            Verdict::Skip(reason) => match skipped.iter_mut().find(|(why, _)| why == reason) {
                Some((_, names)) if !all => names.push(name),
                _ => skipped.push((reason, vec![name])),
            },
        }
    }
    for (reason, names) in skipped {
        let _ = match names.as_slice() {
            [name] => writeln!(text, "      skip  {name}: {reason}"),
            _ => writeln!(text, "      skip  {} cases: {reason}", names.len()),
        };
    }
    let failed = results
        .iter()
        .find(|result| matches!(result.verdict, Verdict::Fail(_)));
    if let Some(log) = failed.and_then(|result| result.log.as_ref()) {
        let _ = writeln!(text, "            {}", log.display());
    }
    text
}

/// The summary: the failed tests, and one line with the totals.
pub fn sum(results: &[TestResult], logs: &Path) -> String {
    let totals = Totals::of(results);
    let mut text = String::new();
    if totals.failed > 0 {
        text.push_str("\nfailed:\n");
        for result in results {
            if matches!(result.verdict, Verdict::Fail(_)) {
                let _ = writeln!(text, "  {}", result.name);
            }
        }
        let _ = writeln!(text, "logs: {}", logs.display());
    }
    format!("{text}{totals}\n")
}

/// `fwctl-vm pieces`: the pieces that the selected tests need, one name per line.
pub fn pieces(tests: &[&Test], arch: &'static Arch, kernel: &str) -> String {
    let mut pieces = BTreeSet::new();
    for test in tests {
        // Tests that are left out print the reason.
        pieces.insert("tools".to_string());
        if artifacts::is_left_out(test.machine, arch, kernel).is_none() {
            pieces.extend(artifacts::pieces(test.machine, arch, kernel));
        }
    }
    let mut text = String::new();
    for piece in pieces {
        let _ = writeln!(text, "{piece}");
    }
    text
}

/// `fwctl-vm select`: the lines of `names` that `patterns` select.
pub fn selected(patterns: &[String], names: &str) -> String {
    let mut text = String::new();
    for name in names.lines() {
        if pattern::any_matches(patterns, name) {
            let _ = writeln!(text, "{name}");
        }
    }
    text
}

/// `fwctl-vm list`: name, machine, description, whether it is slow; without patterns the machines
/// as well.
pub fn list(patterns: &[String]) -> String {
    let mut text = String::new();
    for test in catalogue::select(patterns) {
        let is_slow = catalogue::is_slow(test);
        let mark = if is_slow { " (slow)" } else { "" };
        let _ = writeln!(
            text,
            "{:<30} {:<12} {}{mark}",
            test.name, test.machine.name, test.about
        );
    }
    if patterns.is_empty() {
        text.push_str("\nMachines:\n");
        for machine in MACHINES {
            let _ = writeln!(
                text,
                "{:<30} {:<12} {}",
                machine.name, machine.flavour, machine.about
            );
        }
    }
    text
}

/// `fwctl-vm machines`: the table of machines in `testing.rst`, as reStructuredText.
pub fn machine_table() -> String {
    /// Width of the page.
    const PAGE: usize = 80;
    let label = |machine: &Machine| format!("``{}``", machine.name);
    let names = MACHINES.iter().map(|machine| label(machine).len());
    let left = names.max().unwrap_or_default();
    let right = PAGE - left - 2;
    let rule = format!("{:=<left$}  {:=<right$}\n", "", "");
    let mut text = format!("{rule}{:<left$}  Kernel and devices\n{rule}", "Machine");
    for machine in MACHINES {
        let mut cell = label(machine);
        for line in wrap(machine.about, right) {
            let _ = writeln!(text, "{cell:<left$}  {line}");
            cell.clear();
        }
    }
    text + &rule
}

/// Breaks `text` into lines of at most `width` characters, as far as words permit.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ARM64, X86_64};
    use crate::cli::TEST_KERNEL;

    fn case(name: &str, verdict: Verdict) -> TestResult {
        let mut result = TestResult::new(name, verdict);
        result.log = Some("/logs/x.log".into());
        result
    }

    fn a_test() -> &'static Test {
        catalogue::all()
            .find(|test| test.name == "core/selftest-c")
            .unwrap()
    }

    #[test]
    fn pieces_of_tests() {
        let of_arch = |pattern: &str, arch, kernel| {
            let tests = catalogue::select_to_run(&[pattern.to_string()], kernel, false);
            pieces(&tests, arch, kernel)
        };
        let of = |pattern: &str, kernel| of_arch(pattern, &X86_64, kernel);
        let pattern = |pattern| of(pattern, TEST_KERNEL);
        assert_eq!(pattern("core/kunit"), "kernel-test\nselftests\ntools\n");
        assert_eq!(pattern("cxl/builtin"), "kernel-builtin\nselftests\ntools\n");
        assert!(pattern("emu/connectx").starts_with("emu\nkernel-test\n"));
        assert!(pattern("stock/locked").contains("kernel-stock\n"));
        assert!(pattern("vendor/cxl").ends_with("tools\nvendor\n"));
        assert_eq!(
            pattern("arm64/selftest-rpc"),
            "arm64-kernel-stock\narm64-selftests\narm64-tools\nemu\ntools\n"
        );
        assert_eq!(pattern("no such test"), "");
        assert!(of("core/kunit", "debug").starts_with("kernel-debug\n"));
        for kernel in [TEST_KERNEL, "c"] {
            let own = of("c-core/selftest", kernel);
            assert_eq!(own, "kernel-c\nselftests\ntools\n");
        }
        assert_eq!(of("pds/", "c"), "tools\n");
        assert_eq!(of("cxl/builtin", "debug"), "tools\n");
        assert!(of("debug/seeded-bugs", "debug").contains("mistakes-debug\n"));
        assert_eq!(pattern("debug/seeded-bugs"), "tools\n");
        assert_eq!(
            of_arch("core/kunit", &ARM64, "64k"),
            "arm64-kernel-64k\narm64-selftests\narm64-tools\ntools\n"
        );
    }

    #[test]
    fn quick_tests_need_one_kernel_of_ours() {
        let quick = catalogue::select_to_run(&[], TEST_KERNEL, true);
        let pieces = pieces(&quick, &X86_64, TEST_KERNEL);
        let mut kernels = pieces.lines().filter(|piece| piece.contains("kernel-"));
        assert!(kernels.all(|piece| piece == "kernel-test" || piece.ends_with("kernel-stock")));
    }

    #[test]
    fn selected_names() {
        let names = "style/words\nstyle/spdx\ndoc/machines\n";
        let select = |pattern: &str| selected(&[pattern.to_string()], names);
        assert_eq!(select("style"), "style/words\nstyle/spdx\n");
        assert_eq!(select("*s"), "style/words\ndoc/machines\n");
        assert_eq!(select("core"), "");
        assert_eq!(selected(&[], names), names);
    }

    #[test]
    fn table_fits_the_page() {
        let table = machine_table();
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        for machine in MACHINES {
            let label = format!("``{}`` ", machine.name);
            let rows = table.lines().filter(|line| line.starts_with(&label));
            assert_eq!(rows.count(), 1, "{label}");
        }
        assert_eq!(wrap("aa bb cccccc d", 5), ["aa bb", "cccccc", "d"]);
    }

    #[test]
    fn one_line_if_all_is_well() {
        let two = [case("core/selftest-c/a", Verdict::Pass)];
        let text = results(a_test(), &two, Some(Duration::from_millis(1250)), false);
        let line = format!(
            "ok    {:<30}    1.2 s  1 passed, 0 failed, 0 skipped\n",
            "core/selftest-c"
        );
        assert_eq!(text, line);
    }

    #[test]
    fn reasons_and_the_log() {
        let skip = |name| case(name, Verdict::Skip("no device".into()));
        let all = [
            skip("a"),
            case("b", Verdict::Fail("boom".into())),
            skip("c"),
        ];
        assert_eq!(
            reasons(&all, false),
            "      FAIL  b: boom\n      skip  2 cases: no device\n            /logs/x.log\n"
        );
        assert_eq!(reasons(&all, true).lines().count(), 4);
        assert_eq!(reasons(&[case("a", Verdict::Pass)], true), "");
    }

    #[test]
    fn the_sum_is_the_last_line() {
        let all = [
            case("a", Verdict::Pass),
            case("b", Verdict::Fail("boom".into())),
        ];
        let text = sum(&all, Path::new("/logs"));
        assert!(
            text.ends_with("\n1 passed, 1 failed, 0 skipped\n"),
            "{text}"
        );
        assert!(text.contains("  b\n"));
        assert_eq!(
            sum(&all[..1], Path::new("/logs")),
            "1 passed, 0 failed, 0 skipped\n"
        );
    }
}
