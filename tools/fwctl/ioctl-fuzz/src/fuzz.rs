// SPDX-License-Identifier: MIT OR Apache-2.0

//! The corpus, and the loop that extends it.

use crate::case::{Call, Case};
use crate::coverage::{Coverage, Edge};
use crate::grammar::Messages;
use crate::rng::Rng;
use crate::run::{Finding, Runner};
use crate::watchdog::Watchdog;
use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// Interval between two lines about the progress.
const REPORT: Duration = Duration::from_secs(10);

/// Number of cases after which the device is checked.
const ALIVE: u64 = 64;

/// A case of the corpus.
struct Kept {
    case: Case,
    edges: HashSet<Edge>,
    is_found: bool,
}

/// A fuzzer of one device.
pub struct Fuzzer {
    runner: Runner,
    messages: Messages,
    /// [`None`] if the kernel has no KCOV.
    coverage: Option<Coverage>,
    corpus: Vec<Kept>,
    watchdog: Watchdog,
    /// Whether to log each case to the kernel before it is run.
    is_traced: bool,
    runs: u64,
}

impl Fuzzer {
    /// Returns a fuzzer with an empty corpus.
    pub fn new(runner: Runner, is_traced: bool) -> Result<Self> {
        Ok(Fuzzer {
            messages: Messages::of(runner.device_type, runner.features()),
            runner,
            coverage: Coverage::new()?,
            corpus: Vec::new(),
            watchdog: Watchdog::start(),
            is_traced,
            runs: 0,
        })
    }

    /// Describes the device and the coverage.
    pub fn describe(&self) -> String {
        format!(
            "device type {:#x} ({}), {}{}",
            self.messages.device_type,
            self.messages.name,
            match self.coverage {
                Some(_) => "guided by the kernel's coverage",
                None => "blind: this kernel has no KCOV",
            },
            match self.runner.is_untainted() {
                true => "",
                false => "; taints are not checked, as the kernel is already tainted",
            }
        )
    }

    /// Runs the corpus of the device, and `more` cases.
    pub fn replay(&mut self, more: Vec<Case>) -> Result<()> {
        let mut cases = Vec::new();
        for text in self.messages.corpus {
            cases.extend(Case::parse_all(text).context("the corpus")?);
        }
        let written = Case::parse_all(self.messages.corpus[2])?.len();
        let found_from = cases.len() - written;
        cases.extend(more);
        let mut numbered: Vec<(usize, Case)> = cases.into_iter().enumerate().collect();
        // Cases that must not taint the kernel come first: a taint is only seen once.
        numbered.sort_by_key(|(_, case)| may_taint(case));
        for (n, case) in numbered {
            let edges = self.run(&case)?;
            if let Some(coverage) = &mut self.coverage {
                coverage.add(&edges);
            }
            self.corpus.push(Kept {
                case,
                edges,
                is_found: n >= found_from,
            });
        }
        println!("corpus: {}", self.state());
        Ok(())
    }

    /// Runs new cases for this duration.
    pub fn explore(&mut self, time: Duration, seed: u64) -> Result<()> {
        let start = Instant::now();
        let mut rng = Rng::new(seed);
        let mut reported = start;
        while start.elapsed() < time {
            let case = self.next_case(&mut rng);
            let edges = self.run(&case)?;
            if let Some(coverage) = &mut self.coverage {
                let new = coverage.add(&edges);
                if !new.is_empty() {
                    self.keep(case, edges, &new)?;
                }
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                println!("{} s: {}", start.elapsed().as_secs(), self.state());
            }
        }
        println!("end: {}", self.state());
        self.runner.check_alive()
    }

    fn next_case(&self, rng: &mut Rng) -> Case {
        let len = self.corpus.len();
        if len == 0 || rng.below(4) == 0 {
            return self.messages.generate(rng);
        }
        // The newest cases have been mutated least.
        let from = match rng.below(2) {
            0 => len - len.min(16),
            _ => 0,
        };
        let mut case = self.corpus[from + rng.below(len - from)].case.clone();
        let other = &self.corpus[rng.below(len)].case;
        self.messages.mutate(&mut case, other, rng);
        case
    }

    /// Adds a case to the corpus, without the calls that its new edges do not need.
    fn keep(
        &mut self,
        mut case: Case,
        mut edges: HashSet<Edge>,
        new: &HashSet<Edge>,
    ) -> Result<()> {
        let mut at = 0;
        while case.calls.len() > 1 && at < case.calls.len() {
            let mut shorter = case.clone();
            shorter.calls.remove(at);
            let reached = self.run(&shorter)?;
            if new.is_subset(&reached) {
                (case, edges) = (shorter, reached);
            } else {
                at += 1;
            }
        }
        self.corpus.push(Kept {
            case,
            edges,
            is_found: true,
        });
        Ok(())
    }

    /// Runs a case and returns the edges it reached. Fails with a [`Finding`].
    fn run(&mut self, case: &Case) -> Result<HashSet<Edge>> {
        if self.is_traced {
            say(case)?;
        }
        self.runs += 1;
        self.watchdog.begin(case);
        let (result, edges) = match &mut self.coverage {
            Some(coverage) => coverage.watch(|| self.runner.run(case))?,
            None => (self.runner.run(case), HashSet::new()),
        };
        let result = match result {
            Ok(()) if self.runs % ALIVE == 0 => self.runner.check_alive(),
            result => result,
        };
        self.watchdog.end();
        result.with_context(|| {
            let runs = self.runs;
            format!("run {runs}, of the case below\n\n{case}\n")
        })?;
        Ok(edges)
    }

    fn state(&self) -> String {
        let covered = match &self.coverage {
            Some(coverage) => {
                let (blocks, edges) = (coverage.blocks(), coverage.edges());
                format!("{blocks} blocks and {edges} edges of code")
            }
            None => "blind".to_string(),
        };
        let (runs, calls, cases) = (self.runs, self.runner.calls, self.corpus.len());
        format!("{runs} runs, {calls} calls, {cases} cases, {covered}")
    }

    /// Returns a minimal set of the cases added by coverage that reaches all code reached.
    pub fn minimised(&self) -> Vec<&Case> {
        let mut reached = HashSet::new();
        for kept in self.corpus.iter().filter(|kept| !kept.is_found) {
            reached.extend(&kept.edges);
        }
        let mut found: Vec<&Kept> = self.corpus.iter().filter(|kept| kept.is_found).collect();
        found.sort_by_key(|kept| kept.case.to_string().len());
        let mut needed = Vec::new();
        for kept in found {
            if !kept.edges.is_subset(&reached) {
                reached.extend(&kept.edges);
                needed.push(&kept.case);
            }
        }
        needed
    }

    /// Returns a row of the table that `make fuzz` prints.
    pub fn row(&self, findings: u32) -> String {
        let covered = match &self.coverage {
            Some(coverage) => coverage.blocks().to_string(),
            None => "blind".to_string(),
        };
        let (name, calls, cases) = (self.messages.name, self.runner.calls, self.corpus.len());
        format!("row\t{name}\t{calls}\t{covered}\t{cases}\t{findings}")
    }
}

/// Returns whether an error is a finding, not a failure of the machine.
pub fn is_finding(error: &anyhow::Error) -> bool {
    error.is::<Finding>() || error.chain().any(|cause| cause.is::<Finding>())
}

/// Returns whether a case has a call in a scope that taints, whatever its result.
fn may_taint(case: &Case) -> bool {
    let mut is_privileged = true;
    case.calls.iter().any(|call| match call {
        Call::Caller { is_privileged: is } => {
            is_privileged = *is;
            false
        }
        Call::Rpc { scope, .. } => *scope == 2 || (*scope == 3 && is_privileged),
        _ => false,
    })
}

/// Logs a case to the kernel.
fn say(case: &Case) -> Result<()> {
    let path = "/dev/kmsg";
    let mut log = File::options().write(true).open(path).context(path)?;
    for line in case.to_string().lines() {
        // A write is one record, of less than 1 KiB.
        for part in line.as_bytes().chunks(900) {
            log.write_all(part).context(path)?;
        }
    }
    Ok(())
}
