// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reader for the Test Anything Protocol as kselftest and KUnit write it (KTAP).
//!
//! The text comes from programs under test, so anything may be in it: the reader ignores what it
//! does not know and reports what does not add up.

use crate::judge::outcome::Verdict;
use std::collections::HashMap;

/// Results of one test of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Names of the enclosing subtests and of the test, joined with `.`.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// What a suite wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its tests in order.
    pub cases: Vec<Case>,
    /// Why the report as a whole cannot be trusted.
    pub problems: Vec<String>,
    /// The suite skipped itself, and why.
    pub skipped: Option<String>,
}

/// More than this from one suite is nonsense.
const MAX_CASES: usize = 10_000;
const MAX_DEPTH: usize = 8;
const MAX_NAME: usize = 200;

/// Reads the output of a suite.
pub fn parse(text: &str) -> Report {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line.trim_end());
    }
    reader.close(0);
    reader.report
}

/// One nesting level that is being read.
#[derive(Default)]
struct Level {
    name: Option<String>,
    planned: Option<u64>,
    seen: u64,
    failed: bool,
}

#[derive(Default)]
struct Reader {
    report: Report,
    levels: Vec<Option<Level>>,
    /// Diagnostic lines since the last result.
    notes: Vec<String>,
    names: HashMap<String, u32>,
}

/// A line `ok 1 name # SKIP reason`, taken apart.
struct ResultLine<'a> {
    ok: bool,
    description: &'a str,
    directive: Option<(String, &'a str)>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let body = line.trim_start_matches(' ');
        let depth = (line.len() - body.len()) / 4;
        if depth > MAX_DEPTH {
            return;
        }
        if body.starts_with("TAP version ") || body.starts_with("KTAP version ") {
            self.close(depth);
            self.level(depth);
        } else if let Some(plan) = body.strip_prefix("1..") {
            self.plan(depth, plan);
        } else if let Some(reason) = body.strip_prefix("Bail out!") {
            self.report
                .problems
                .push(format!("it gave up:{}", clean(reason, MAX_NAME)));
        } else if let Some(name) = body.strip_prefix("# Subtest:") {
            self.level(depth).name = Some(case_name(name));
        } else if let Some(result) = ResultLine::parse(body) {
            self.result(depth, result);
        } else if let Some(note) = body.strip_prefix('#') {
            let note = note.trim();
            if !note.is_empty() && !note.starts_with("RUN ") && self.notes.len() < 20 {
                self.notes.push(clean(note, MAX_NAME));
            }
        }
    }

    /// The level at `depth`, deeper ones closed.
    fn level(&mut self, depth: usize) -> &mut Level {
        self.close(depth + 1);
        self.levels.resize_with(depth + 1, || None);
        self.levels[depth].get_or_insert_with(Level::default)
    }

    /// Ends the levels from `depth` on and checks their plans; the outermost one's own results.
    fn close(&mut self, depth: usize) -> Option<Level> {
        let mut last = None;
        while self.levels.len() > depth {
            let Some(level) = self.levels.pop().flatten() else {
                continue;
            };
            let of = level
                .name
                .as_ref()
                .map(|name| format!(" of {name}"))
                .unwrap_or_default();
            let seen = level.seen;
            match level.planned {
                Some(planned) if planned != seen => self.report.problems.push(format!(
                    "the plan{of} says {planned} tests, but {seen} reported"
                )),
                None if seen > 0 => self
                    .report
                    .problems
                    .push(format!("the plan{of} is missing")),
                _ => {}
            }
            last = Some(level);
        }
        last
    }

    fn plan(&mut self, depth: usize, plan: &str) {
        let (number, rest) = plan.split_once(' ').unwrap_or((plan, ""));
        let Ok(number) = number.parse::<u64>() else {
            return;
        };
        if let (0, 0, Some((_, reason))) = (number, depth, directive(rest)) {
            self.report.skipped = Some(clean(reason, MAX_NAME));
        }
        let level = self.level(depth);
        if level.planned.replace(number).is_some() {
            self.report.problems.push("it has two plans".into());
        }
    }

    fn result(&mut self, depth: usize, line: ResultLine<'_>) {
        let inner = self.close(depth + 1).filter(|inner| inner.seen > 0);
        let verdict = self.verdict(&line);
        let failed = matches!(verdict, Verdict::Fail(_));
        let mut name = case_name(line.description);
        if name.is_empty() {
            // `ok 3 # SKIP some text`, as ksft_test_result_skip() writes it.
            name = line
                .directive
                .map(|(_, text)| case_name(text))
                .unwrap_or_default();
        }
        let level = self.level(depth);
        level.seen += 1;
        level.failed |= failed || inner.as_ref().is_some_and(|inner| inner.failed);
        let number = level.seen;
        if name.is_empty() {
            name = number.to_string();
        }
        // The line after a subtest repeats it, unless it knows of a failure that the subtest's
        // own lines do not show.
        if inner.is_none_or(|inner| failed && !inner.failed) {
            self.case(depth, name, verdict);
        }
    }

    fn verdict(&mut self, line: &ResultLine<'_>) -> Verdict {
        let notes = std::mem::take(&mut self.notes);
        let (word, text) = match &line.directive {
            Some((word, text)) => (word.as_str(), clean(text, MAX_NAME)),
            None => ("", String::new()),
        };
        match (line.ok, word) {
            (_, "SKIP") => Verdict::Skip(or(text, "no reason given")),
            (true, _) | (false, "XFAIL") => Verdict::Pass,
            (false, "TODO") => Verdict::Skip(format!("known to fail: {text}")),
            (false, _) => {
                let mut why: Vec<String> = notes.into_iter().filter(|n| !is_summary(n)).collect();
                why.extend((!word.is_empty()).then(|| format!("{word} {text}")));
                why.drain(..why.len().saturating_sub(3));
                Verdict::Fail(or(why.join(" | "), "it says no more than \"not ok\""))
            }
        }
    }

    fn case(&mut self, depth: usize, name: String, verdict: Verdict) {
        if self.report.cases.len() == MAX_CASES {
            self.report
                .problems
                .push(format!("it reports more than {MAX_CASES} tests"));
        }
        if self.report.cases.len() >= MAX_CASES {
            self.report.problems.truncate(20);
            return;
        }
        let outer = self.levels[..=depth]
            .iter()
            .flatten()
            .filter_map(|level| level.name.clone());
        let mut name = outer.chain([name]).collect::<Vec<_>>().join(".");
        let times = self.names.entry(name.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            name = format!("{name}~{times}");
        }
        self.report.cases.push(Case { name, verdict });
    }
}

impl<'a> ResultLine<'a> {
    fn parse(body: &'a str) -> Option<Self> {
        let (ok, rest) = match body.strip_prefix("not ok") {
            Some(rest) => (false, rest),
            None => (true, body.strip_prefix("ok")?),
        };
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        let rest = rest.trim_start();
        let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let numbered = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
        let rest = if numbered { after.trim_start() } else { rest };
        let (description, directive) = match rest.find('#') {
            Some(at) if directive(&rest[at..]).is_some() => (&rest[..at], directive(&rest[at..])),
            _ => (rest, None),
        };
        let description = description.trim();
        let description = description.strip_prefix("- ").unwrap_or(description);
        Some(ResultLine {
            ok,
            description,
            directive,
        })
    }
}

/// `# SKIP why` -> ("SKIP", "why").
fn directive(text: &str) -> Option<(String, &str)> {
    let text = text.trim().strip_prefix('#')?.trim();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let word = word.trim_end_matches(':').to_ascii_uppercase();
    let known = ["SKIP", "SKIPPED", "TODO", "XFAIL", "TIMEOUT", "ERROR"].contains(&word.as_str());
    known.then(|| (word.replace("SKIPPED", "SKIP"), rest.trim()))
}

/// Lines with which the kselftest harness and KUnit sum up, and which explain nothing.
fn is_summary(note: &str) -> bool {
    [
        "Totals:",
        "FAIL ",
        "FAILED:",
        "PASSED:",
        "Starting ",
        "module:",
    ]
    .iter()
    .any(|start| note.starts_with(start))
        || note.contains(": pass:")
}

fn or(text: String, instead: &str) -> String {
    if text.is_empty() {
        instead.into()
    } else {
        text
    }
}

/// `text` without control characters and not too long.
fn clean(text: &str, longest: usize) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(longest).map(plain).collect()
}

/// A test's name as one word.
fn case_name(text: &str) -> String {
    clean(text.trim(), MAX_NAME)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(name: &str) -> Case {
        Case {
            name: name.into(),
            verdict: Verdict::Pass,
        }
    }

    fn fail(name: &str, why: &str) -> Case {
        Case {
            name: name.into(),
            verdict: Verdict::Fail(why.into()),
        }
    }

    fn skip(name: &str, why: &str) -> Case {
        Case {
            name: name.into(),
            verdict: Verdict::Skip(why.into()),
        }
    }

    #[test]
    fn kselftest_harness() {
        let report = parse(
            "TAP version 13\n1..4\n# Starting 4 tests from 1 test cases.\n\
             #  RUN           global.a ...\n#            OK  global.a\nok 1 global.a\n\
             #  RUN           global.b ...\n\
             # fwctl.c:12:b:Expected 0 (0) == rc (-1)\n# b: Test failed\n\
             #          FAIL  global.b\nnot ok 2 global.b\n\
             ok 3 global.c # SKIP no root\nok 4 global.d # XFAIL known\n\
             # FAILED: 3 / 4 tests passed.\n\
             # Totals: pass:2 fail:1 xfail:1 xpass:0 skip:1 error:0\n",
        );
        let why = "fwctl.c:12:b:Expected 0 (0) == rc (-1) | b: Test failed";
        assert_eq!(
            report.cases,
            [
                pass("global.a"),
                fail("global.b", why),
                skip("global.c", "no root"),
                pass("global.d")
            ]
        );
        assert!(report.problems.is_empty());
    }

    #[test]
    fn kunit_with_noise_between() {
        let lines = [
            "KTAP version 1",
            "1..2",
            "    KTAP version 1",
            "    # Subtest: scope",
            "    # module: fwctl",
            "    1..2",
            "    ok 1 order",
            "usb 1-1: new device",
            "    # taint: EXPECTATION FAILED at rpc.rs:9",
            "    not ok 2 taint",
            "# scope: pass:1 fail:1 skip:0 total:2",
            "# Totals: pass:1 fail:1 skip:0 total:2",
            "not ok 1 scope",
            "    KTAP version 1",
            "    # Subtest: sizes",
            "    1..1",
            "    ok 1 max # SKIP later",
            "ok 2 sizes",
        ];
        let report = parse(&lines.join("\n"));
        assert_eq!(
            report.cases,
            [
                pass("scope.order"),
                fail("scope.taint", "taint: EXPECTATION FAILED at rpc.rs:9"),
                skip("sizes.max", "later"),
            ]
        );
        assert_eq!(report.problems, [] as [&str; 0]);
    }

    #[test]
    fn several_documents() {
        let one = "KTAP version 1\n1..1\n    # Subtest: a\n    1..1\n    ok 1 x\nok 1 a\n";
        let report = parse(&format!("{one}{one}"));
        assert_eq!(report.cases, [pass("a.x"), pass("a.x~2")]);
        assert!(report.problems.is_empty());
    }

    #[test]
    fn a_suite_can_fail_though_its_cases_pass() {
        let report = parse("1..1\n    # Subtest: a\n    1..1\n    ok 1 x\nnot ok 1 a\n");
        assert_eq!(report.cases.len(), 2);
        assert!(matches!(report.cases[1].verdict, Verdict::Fail(_)));
    }

    #[test]
    fn plans_that_do_not_add_up() {
        for (text, problem) in [
            ("1..3\nok 1 a\n", "the plan says 3 tests, but 1 reported"),
            (
                "1..1\nok 1 a\nok 2 b\n",
                "the plan says 1 tests, but 2 reported",
            ),
            ("ok 1 a\n", "the plan is missing"),
            ("1..1\n1..1\nok 1 a\n", "it has two plans"),
            (
                "1..1\nok 1 a\nBail out! no device\n",
                "it gave up: no device",
            ),
            (
                "1..1\n    # Subtest: s\n    1..2\n    ok 1 a\nok 1 s\n",
                "the plan of s says 2 tests, but 1 reported",
            ),
        ] {
            assert_eq!(parse(text).problems, [problem], "{text}");
        }
    }

    #[test]
    fn skipped_as_a_whole() {
        let report = parse("TAP version 13\n1..0 # SKIP needs root\n");
        assert_eq!(report.skipped.as_deref(), Some("needs root"));
        assert!(report.cases.is_empty() && report.problems.is_empty());
        // Nothing to run is no reason.
        assert_eq!(parse("TAP version 13\n1..0\n").skipped, None);
    }

    #[test]
    fn names() {
        let report = parse("1..6\nok 1 - a b\nok 2\nok\nok 4 a b\nok 5 # SKIP no x\nok 6 c#1\n");
        let names: Vec<&str> = report.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["a-b", "2", "3", "a-b~2", "no-x", "c#1"]);
    }

    #[test]
    fn hostile_input() {
        assert_eq!(parse(""), Report::default());
        for text in [
            "okay\n",
            "ok1 a\n",
            "1..x\n",
            "1..99999999999999999999999\n",
            "not okay",
            "\0",
        ] {
            assert!(parse(text).cases.is_empty(), "{text}");
        }
        let deep = format!("{}ok 1 a\n", " ".repeat(4000));
        assert!(parse(&deep).cases.is_empty());
        assert_eq!(parse("1..18446744073709551615\nok 1 a\n").problems.len(), 1);
        let long = parse(&format!("1..1\nok 1 {}\x1b[2J\n", "x".repeat(100_000)));
        assert_eq!(long.cases[0].name.len(), MAX_NAME);
        assert_eq!(parse("1..1\nok 1 a\x1bb\n").cases[0].name, "a?b");
        let many = parse(&"ok\n".repeat(MAX_CASES + 5));
        assert_eq!(many.cases.len(), MAX_CASES);
        assert!(!many.problems.is_empty());
    }
}
