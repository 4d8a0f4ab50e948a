// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results: the three outcomes, their sum, and the file they are kept in.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Verdict {
    /// It did what it should.
    Pass,
    /// It did not, and how.
    Fail(String),
    /// It could not be tried, and why.
    Skip(String),
}

/// One line of the results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// `group/test` or `group/suite/case`.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Time that the test took; 0 for the cases of a suite.
    pub milliseconds: u64,
    /// Where its output lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

impl TestResult {
    /// A result without time and log.
    pub fn new(name: impl Into<String>, verdict: Verdict) -> Self {
        TestResult {
            name: name.into(),
            verdict,
            milliseconds: 0,
            log: None,
        }
    }
}

/// Numbers of passed, failed and skipped tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that could not be tried.
    pub skipped: usize,
}

impl Totals {
    /// Counts `results`.
    pub fn of(results: &[TestResult]) -> Totals {
        let mut totals = Totals::default();
        for result in results {
            match result.verdict {
                Verdict::Pass => totals.passed += 1,
                Verdict::Fail(_) => totals.failed += 1,
                Verdict::Skip(_) => totals.skipped += 1,
            }
        }
        totals
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Adds `more` to `results`; of two results for one name the worse one stays.
///
/// Names repeat when a machine is booted again for the tests that its first boot left over.
pub fn merge(results: &mut Vec<TestResult>, more: Vec<TestResult>) {
    fn badness(verdict: &Verdict) -> u8 {
        match verdict {
            Verdict::Pass => 0,
            Verdict::Skip(_) => 1,
            Verdict::Fail(_) => 2,
        }
    }
    for new in more {
        match results.iter_mut().find(|old| old.name == new.name) {
            Some(old) if badness(&new.verdict) > badness(&old.verdict) => *old = new,
            Some(_) => {}
            None => results.push(new),
        }
    }
}

/// Writes one JSON object per result and line.
pub fn write(results: &[TestResult], path: &Path) -> Result<()> {
    let attempt = || -> Result<()> {
        let mut file = File::create(path)?;
        for result in results {
            writeln!(file, "{}", serde_json::to_string(result)?)?;
        }
        Ok(())
    };
    attempt().with_context(|| format!("cannot write the results to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(name: &str) -> TestResult {
        TestResult::new(name, Verdict::Fail("why".into()))
    }

    fn skip(name: &str) -> TestResult {
        TestResult::new(name, Verdict::Skip("why".into()))
    }

    fn pass(name: &str) -> TestResult {
        TestResult::new(name, Verdict::Pass)
    }

    #[test]
    fn the_worse_result_stays() {
        let mut results = vec![pass("a"), skip("b"), fail("c")];
        merge(
            &mut results,
            vec![fail("a"), pass("b"), pass("c"), pass("d")],
        );
        assert_eq!(results, [fail("a"), skip("b"), fail("c"), pass("d")]);
        merge(&mut results, vec![fail("b")]);
        assert_eq!(results[1], fail("b"));
    }

    #[test]
    fn totals_are_one_line() {
        let totals = Totals::of(&[pass("a"), skip("b"), fail("c"), pass("d")]);
        assert_eq!(totals.to_string(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(Totals::of(&[]).to_string(), "0 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn file_format() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        write(&[pass("a"), fail("b")], &path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"name\":\"a\",\"outcome\":\"pass\",\"milliseconds\":0}\n\
             {\"name\":\"b\",\"outcome\":\"fail\",\"reason\":\"why\",\"milliseconds\":0}\n"
        );
    }
}
