// SPDX-License-Identifier: MIT OR Apache-2.0

//! Derives results from the exit status, TAP output and the kernel log.

pub mod console;
pub mod outcome;
pub mod tap;

use crate::case::{Reads, Test};
use crate::host::session::{Ended, Ran};
use crate::protocol::Status;
use console::{Line, Scanner};
use outcome::{TestResult, Verdict};
use tap::Report;

/// Exit status of a selftest that skips itself.
const KSFT_SKIP: i32 = 4;

/// Results of a test that ran.
pub fn judge(test: &Test, ran: &Ran, output: &str) -> Vec<TestResult> {
    let complaints = complaints(&ran.kernel, test.tolerates);
    match test.reads {
        Reads::Exit => {
            let verdict = match (complaints, ended(ran)) {
                (Some(complaint), Err(what)) => Verdict::Fail(format!("{what}; {complaint}")),
                (Some(complaint), Ok(_)) => Verdict::Fail(complaint),
                (None, Err(what)) => Verdict::Fail(what),
                (None, Ok(0)) => Verdict::Pass,
                (None, Ok(KSFT_SKIP)) => Verdict::Skip(last_line(output)),
                (None, Ok(status)) => {
                    Verdict::Fail(format!("{} (exit status {status})", last_line(output)))
                }
            };
            vec![TestResult::new(test.name, verdict)]
        }
        Reads::Tap => suite(test, ran, tap::parse(output), output, complaints),
        Reads::Kunit => {
            let kernel: Vec<&str> = ran
                .kernel
                .iter()
                .filter(|l| !l.from_user)
                .map(|l| l.text.as_str())
                .collect();
            suite(
                test,
                ran,
                tap::parse(&kernel.join("\n")),
                output,
                complaints,
            )
        }
    }
}

/// What went wrong in a step that is no test, if anything did.
pub fn trouble(ran: &Ran, output: &str) -> Option<String> {
    complaints(&ran.kernel, &[]).or_else(|| match ended(ran) {
        Err(what) => Some(what),
        Ok(0) => None,
        Ok(status) => Some(format!("{} (exit status {status})", last_line(output))),
    })
}

/// A failure for every case that says so, and one for the suite if anything else is wrong.
fn suite(
    test: &Test,
    ran: &Ran,
    report: Report,
    output: &str,
    complaints: Option<String>,
) -> Vec<TestResult> {
    let is_failed = report
        .cases
        .iter()
        .any(|case| matches!(case.verdict, Verdict::Fail(_)));
    let mut trouble = Vec::new();
    let mut skipped = report.skipped;
    match ended(ran) {
        Err(what) => trouble.push(what),
        Ok(0) if report.cases.is_empty() && skipped.is_none() => {
            trouble.push("it reported no results".into());
        }
        Ok(0) => {}
        Ok(KSFT_SKIP) if report.cases.is_empty() => {
            skipped = skipped.or_else(|| Some(last_line(output)));
        }
        Ok(KSFT_SKIP) => {}
        Ok(_) if is_failed => {}
        Ok(status) => trouble.push(format!("{} (exit status {status})", last_line(output))),
    }
    trouble.extend(complaints);
    // A suite that was cut short says so above; that its plan is not met follows.
    if trouble.is_empty() {
        trouble.extend(report.problems);
    }
    let mut results: Vec<TestResult> = report
        .cases
        .into_iter()
        .map(|case| TestResult::new(format!("{}/{}", test.name, case.name), case.verdict))
        .collect();
    if !trouble.is_empty() {
        results.push(TestResult::new(
            test.name,
            Verdict::Fail(trouble.join("; ")),
        ));
    } else if let (Some(reason), true) = (skipped, results.is_empty()) {
        results.push(TestResult::new(test.name, Verdict::Skip(reason)));
    }
    results
}

/// The exit status, or what went wrong instead of one.
fn ended(ran: &Ran) -> Result<i32, String> {
    match &ran.ended {
        Ended::Status(Status::Exited(status)) => Ok(*status),
        Ended::Status(Status::Killed(signal)) => Err(format!("killed by signal {signal}")),
        Ended::Status(Status::TimedOut) => {
            Err(format!("not done after {} s, stopped", ran.time.as_secs()))
        }
        Ended::Status(Status::NotStarted(why)) => Err(format!("cannot start {why}")),
        Ended::Died => Err("the VM died".into()),
        Ended::Hung => Err(format!(
            "the VM hung, no answer for {} s",
            ran.time.as_secs()
        )),
    }
}

/// What the kernel complained about, in one line.
pub fn complaints(kernel: &[Line], tolerates: &[&str]) -> Option<String> {
    let found = Scanner::tolerating(tolerates).scan(kernel);
    let first = found.first()?;
    let more = match found.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    Some(format!("kernel log, {}: {}{more}", first.kind, first.line))
}

fn last_line(output: &str) -> String {
    let line = output
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    line.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::all;
    use std::time::Duration;

    fn test(reads: Reads) -> &'static Test {
        all().find(|test| test.reads == reads).unwrap()
    }

    fn ran(ended: Ended, kernel: &[&str]) -> Ran {
        let kernel = kernel.iter().map(|line| Line::parse(line)).collect();
        Ran {
            ended,
            kernel,
            stacks: Vec::new(),
            time: Duration::from_secs(3),
        }
    }

    fn exited(status: i32) -> Ended {
        Ended::Status(Status::Exited(status))
    }

    fn verdicts(reads: Reads, ran: &Ran, output: &str) -> Vec<(String, Verdict)> {
        let test = test(reads);
        let results = judge(test, ran, output);
        let short = |name: &str| name.replacen(test.name, "T", 1);
        results
            .into_iter()
            .map(|result| (short(&result.name), result.verdict))
            .collect()
    }

    fn only(reads: Reads, ran: &Ran, output: &str) -> Verdict {
        let mut all = verdicts(reads, ran, output);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).1
    }

    const WARNING: &str = "<4>[1.0] WARNING: a.c:1 at f+0x1/0x2, CPU#0: sh/1";

    #[test]
    fn exit_status() {
        let is = |status, output, expected| {
            assert_eq!(
                only(Reads::Exit, &ran(exited(status), &[]), output),
                expected
            );
        };
        is(0, "", Verdict::Pass);
        is(4, "a\nno device\n\n", Verdict::Skip("no device".into()));
        is(1, "boom", Verdict::Fail("boom (exit status 1)".into()));
    }

    #[test]
    fn a_complaint_fails_a_test_that_exits_well() {
        let ran = ran(exited(0), &[WARNING, "<6>[1.0] fine"]);
        for reads in [Reads::Exit, Reads::Tap] {
            let all = verdicts(reads, &ran, "1..1\nok 1 a\n");
            let (name, Verdict::Fail(reason)) = all.last().unwrap() else {
                panic!("{all:?}")
            };
            assert_eq!(name, "T");
            assert!(reason.contains("WARNING: a.c:1"), "{reason}");
        }
    }

    #[test]
    fn deaths() {
        for (end, says) in [
            (Ended::Died, "the VM died"),
            (Ended::Hung, "hung"),
            (Ended::Status(Status::TimedOut), "not done after 3 s"),
            (Ended::Status(Status::Killed(11)), "signal 11"),
            (
                Ended::Status(Status::NotStarted("x: gone".into())),
                "cannot start x",
            ),
        ] {
            for reads in [Reads::Exit, Reads::Tap, Reads::Kunit] {
                let Verdict::Fail(reason) = only(reads, &ran(end.clone(), &[]), "") else {
                    panic!("{says}")
                };
                assert!(reason.contains(says), "{reason}");
            }
        }
    }

    #[test]
    fn tap_cases() {
        let fine = "1..2\nok 1 a\nok 2 b # SKIP why\n";
        let all = verdicts(Reads::Tap, &ran(exited(0), &[]), fine);
        let expected = [("T/a", Verdict::Pass), ("T/b", Verdict::Skip("why".into()))];
        assert_eq!(
            all,
            expected.map(|(name, verdict)| (name.to_string(), verdict))
        );

        // A failing case explains the exit status, a missing one does not.
        let bad = "1..2\nok 1 a\nnot ok 2 b\n";
        assert_eq!(verdicts(Reads::Tap, &ran(exited(1), &[]), bad).len(), 2);
        let all = verdicts(Reads::Tap, &ran(exited(1), &[]), fine);
        assert!(matches!(&all[2], (name, Verdict::Fail(_)) if name == "T"));
        let all = verdicts(Reads::Tap, &ran(exited(0), &[]), "1..3\nok 1 a\n");
        assert!(matches!(&all[1].1, Verdict::Fail(why) if why.contains("3 tests")));
    }

    #[test]
    fn suites_without_results() {
        let quiet = only(Reads::Tap, &ran(exited(0), &[]), "hello\n");
        assert_eq!(quiet, Verdict::Fail("it reported no results".into()));
        let skip = only(
            Reads::Tap,
            &ran(exited(4), &[]),
            "TAP version 13\n1..0 # SKIP root\n",
        );
        assert_eq!(skip, Verdict::Skip("root".into()));
        let skip = only(Reads::Tap, &ran(exited(4), &[]), "needs two devices\n");
        assert_eq!(skip, Verdict::Skip("needs two devices".into()));
    }

    #[test]
    fn kunit_reads_the_kernel_log() {
        let log = [
            "<6>[1.0] KTAP version 1",
            "<6>[1.0] 1..1",
            "<6>[1.0] ok 1 a",
            "<12>[1.0] ok 2 b",
        ];
        let all = verdicts(Reads::Kunit, &ran(exited(0), &log), "not ok 1 c\n");
        assert_eq!(all, [("T/a".to_string(), Verdict::Pass)]);
    }
}
