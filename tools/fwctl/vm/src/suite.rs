// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl-vm test`: boots machines, several at a time, and runs their tests.
//!
//! Tests on the same machine share a boot, until one fails: the next test gets a fresh boot.

use crate::case::Test;
use crate::catalogue;
use crate::host::image;
use crate::host::session::{Ran, Seen};
use crate::host::{Booted, Host};
use crate::judge::outcome::{self, TestResult, Totals, Verdict};
use crate::judge::{complaints, judge, trouble};
use crate::kernel;
use crate::machine::{Machine, MACHINES};
use crate::protocol::Step;
use crate::report::{self, print};
use crate::sys::Interrupted;
use anyhow::{bail, Context, Result};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io::{stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Tests that share a boot.
type Chunk = VecDeque<&'static Test>;

/// Settings of a run.
pub struct Wishes<'a> {
    /// The patterns that selected the tests and select their cases.
    pub patterns: &'a [String],
    /// Environment variables of the guest's scripts.
    pub variables: &'a [(String, String)],
    /// The time within which tests are started.
    pub start_within: Option<Duration>,
    /// Seconds added to each limit.
    pub extend: u64,
}

/// Runs `selected`, `jobs` machines at a time.  Returns whether none failed.
pub fn run(
    host: &Host,
    selected: &[&'static Test],
    wishes: Wishes<'_>,
    jobs: usize,
    results_file: Option<&Path>,
) -> Result<bool> {
    if selected.is_empty() {
        bail!(
            "no test is called like {}; `fwctl-vm list` names them all",
            wishes.patterns.join(" or ")
        );
    }
    let chunks = Mutex::new(chunks(selected, wishes.start_within.is_some()));
    let suite = Suite {
        host,
        wishes,
        started: Instant::now(),
        results: Mutex::default(),
    };
    // A closure, so that the lock is not held while the chunk runs.
    let next = || lock(&chunks).pop_front();
    // The first one to be interrupted says so; the others notice by themselves.
    let outcome = thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(chunk) = next() {
                suite.chunk(chunk)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let ends = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker panicked"));
        ends.collect::<Result<()>>()
    });
    if host.options.dry_run {
        return outcome.map(|()| true);
    }
    let results = suite.sorted();
    // Write the results so far even if the run was interrupted.
    if let Some(path) = results_file {
        outcome::write(&results, path)?;
    }
    outcome?;
    print(&report::sum(&results, &host.logs));
    Ok(Totals::of(&results).failed == 0)
}

/// One machine per CPU, at most four.
pub fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get().min(4))
}

/// Tests by machine, cut where one wants a fresh boot; the longest chunks first. If the time
/// `is_limited`, those with slow tests come after all others: they are about what comes on top.
fn chunks(selected: &[&'static Test], is_limited: bool) -> VecDeque<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for machine in MACHINES {
        let mut chunk = Chunk::new();
        for test in selected {
            if !std::ptr::eq(test.machine, *machine) {
                continue;
            }
            if test.wants_fresh && !chunk.is_empty() {
                chunks.push(std::mem::take(&mut chunk));
            }
            chunk.push_back(*test);
        }
        chunks.extend((!chunk.is_empty()).then_some(chunk));
    }
    let cost = |chunk: &Chunk| {
        let limits = chunk.iter().map(|test| test.limit);
        let is_slow = chunk.iter().any(|test| catalogue::is_slow(test));
        (is_slow != is_limited, limits.sum::<u64>())
    };
    chunks.sort_by_key(|chunk| Reverse(cost(chunk)));
    chunks.into()
}

struct Suite<'a> {
    host: &'a Host,
    wishes: Wishes<'a>,
    started: Instant,
    results: Mutex<Vec<TestResult>>,
}

impl Suite<'_> {
    /// Whether the time within which tests are started is over.
    fn time_is_up(&self) -> bool {
        let limit = self.wishes.start_within;
        limit.is_some_and(|limit| self.started.elapsed() >= limit)
    }

    /// Runs tests of one machine in as many boots as it takes.
    fn chunk(&self, tests: Chunk) -> Result<()> {
        let mut left = Chunk::new();
        for test in tests {
            let artifacts = &self.host.artifacts;
            let left_out = artifacts.is_left_out(test.machine);
            if let Some(reason) = left_out
                .or_else(|| artifacts.lacks(test))
                .or_else(|| artifacts.unavailable(test.machine))
            {
                let skipped = TestResult::new(test.name, Verdict::Skip(reason));
                self.record(test, vec![skipped], None);
                continue;
            }
            let (artifacts, machine) = (&self.host.artifacts, test.machine);
            let no_kernel = artifacts.kernel(machine).err().map(|e| e.to_string());
            let mut needs = test.needs.iter();
            match no_kernel.or_else(|| needs.find_map(|need| artifacts.missing(machine, *need))) {
                Some(advice) => self.record(test, vec![failed(test.name, advice)], None),
                None => left.push_back(test),
            }
        }
        while let Some(first) = left.front().copied() {
            if self.time_is_up() {
                for test in left.drain(..) {
                    let reason = "no time was left to start it".into();
                    let skipped = TestResult::new(test.name, Verdict::Skip(reason));
                    self.record(test, vec![skipped], None);
                }
                break;
            }
            match self.host.boot(first.machine, &log_name(first)) {
                Ok(Some(booted)) => self.boot(booted, first.machine, &mut left)?,
                Ok(None) => return Ok(()),
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => {
                    // It would not boot for the next test either.
                    for test in left.drain(..) {
                        self.record(test, vec![failed(test.name, format!("{error:#}"))], None);
                    }
                }
            }
        }
        Ok(())
    }

    /// Runs tests on a booted machine until none is left or one failed.
    fn boot(&self, mut booted: Booted, machine: &Machine, left: &mut Chunk) -> Result<()> {
        let session = &booted.session;
        print(&report::booted(
            machine.name,
            &session.release,
            session.boot_time,
        ));
        let mut is_sound = true;
        while is_sound && !self.time_is_up() {
            let Some(test) = left.pop_front() else { break };
            // A failed test may leave modules loaded, lockdep disabled, or one-time warnings used
            // up.
            is_sound = self.test(&mut booted, test)? && booted.has_its_devices();
        }
        let was_detached = is_sound
            && !machine.emulated.is_empty()
            && self.afterwards(&mut booted, "detach", 120)?;
        let flavour = self.host.artifacts.flavour(machine);
        if is_sound && kernel::of(flavour).has_checkers && !machine.has_seeded_bugs {
            self.afterwards(&mut booted, "checkers", 120)?;
        }
        if let Some(complaint) = complaints(&booted.session.stray, &[]) {
            let name = format!("boot/{}", machine.name);
            self.record_of_boot(name, complaint, booted.console_log.clone());
        }
        for end in booted.end(was_detached) {
            let name = format!("{}/emulated-{}", machine.name, end.name);
            self.record_of_boot(name, end.what, end.log);
        }
        Ok(())
    }

    /// Runs a script after the tests of a machine.  Returns whether it passed.
    fn afterwards(&self, booted: &mut Booted, what: &str, limit: u64) -> Result<bool> {
        let name = format!("{}/{what}", booted.machine);
        let step = Step {
            seq: 0,
            name: name.clone(),
            argv: vec!["/bin/sh".into(), format!("{}/{what}.sh", image::SCRIPTS)],
            env: Vec::new(),
        };
        let mut output = Vec::new();
        let mut watch = |seen: Seen<'_>| {
            if let Seen::Output(_, bytes) = seen {
                output.extend_from_slice(bytes);
            }
        };
        let limit = self.host.limit(limit);
        let ran = booted.session.run(step, limit, &mut watch)?;
        let output = String::from_utf8_lossy(&output);
        let Some(trouble) = trouble(&ran, &output) else {
            return Ok(true);
        };
        let log = self
            .host
            .log_file(&format!("{}.log", name.replace('/', ".")))?;
        std::fs::write(&log, output.as_bytes())
            .with_context(|| format!("cannot write {}", log.display()))?;
        self.record_of_boot(name, trouble, log);
        Ok(false)
    }

    /// Prints and records a failure of a boot rather than of one of its tests.
    fn record_of_boot(&self, name: String, what: String, log: PathBuf) {
        let mut result = failed(&name, what);
        result.log = Some(log);
        print(&report::reasons(std::slice::from_ref(&result), true));
        outcome::merge(&mut lock(&self.results), vec![result]);
    }

    /// Runs one test.  Returns whether the machine can run further tests.
    fn test(&self, booted: &mut Booted, test: &'static Test) -> Result<bool> {
        let mut output = Vec::new();
        let mut watch = |seen: Seen<'_>| {
            if let Seen::Output(_, bytes) = seen {
                output.extend_from_slice(bytes);
                if self.host.options.verbose {
                    let _ = stdout().write_all(bytes);
                }
            }
        };
        let limit = self.host.limit(test.limit) + Duration::from_secs(self.wishes.extend);
        let ran = booted.session.run(self.step(test), limit, &mut watch);
        let output = String::from_utf8_lossy(&output).into_owned();
        let mut results = match &ran {
            Ok(ran) => judge(test, ran, &output),
            Err(error) if error.is::<Interrupted>() => return ran.map(|_| false),
            Err(error) => vec![failed(test.name, format!("{error:#}"))],
        };
        let ran = ran.as_ref().ok();
        let log = self.keep_log(test, &output, ran, &booted.console_log)?;
        for result in &mut results {
            result.log = Some(log.clone());
        }
        let is_sound = Totals::of(&results).failed == 0;
        self.record(test, results, ran.map(|ran| ran.time));
        Ok(is_sound)
    }

    fn step(&self, test: &Test) -> Step {
        // One pipe for both outputs keeps them in order.
        let shell = ["/bin/sh", "-c", "exec /bin/sh \"$@\" 2>&1", "sh"].map(String::from);
        let script = format!("{}/{}", image::SCRIPTS, test.script[0]);
        let arguments = test.script[1..].iter().map(|word| word.to_string());
        let machine = ("FWCTL_VM_MACHINE".to_string(), test.machine.name.into());
        // The selftest programs have separate limits.
        let patience = self.host.patience().ceil().max(1.0).to_string();
        let patience = ("FWCTL_TEST_PATIENCE".to_string(), patience);
        let env = self
            .wishes
            .variables
            .iter()
            .cloned()
            .chain([machine, patience])
            .collect();
        Step {
            seq: 0,
            name: test.name.into(),
            argv: shell.into_iter().chain([script]).chain(arguments).collect(),
            env,
        }
    }

    /// Prints and records the selected results; the failure of a whole suite always.
    fn record(&self, test: &Test, mut results: Vec<TestResult>, time: Option<Duration>) {
        results.retain(|result| {
            result.name == test.name || catalogue::wants(self.wishes.patterns, &result.name)
        });
        if results.is_empty() {
            let reason = format!("it has no case like {}", self.wishes.patterns.join(" or "));
            results.push(failed(test.name, reason));
        }
        if let ([only], Some(time)) = (results.as_mut_slice(), time) {
            only.milliseconds = time.as_millis() as u64;
        }
        print(&report::results(
            test,
            &results,
            time,
            self.host.options.verbose,
        ));
        outcome::merge(&mut lock(&self.results), results);
    }

    /// Writes the output of the test and the kernel messages during it.
    fn keep_log(
        &self,
        test: &Test,
        output: &str,
        ran: Option<&Ran>,
        console: &Path,
    ) -> Result<PathBuf> {
        let path = self.host.log_file(&format!("{}.log", log_name(test)))?;
        let mut text = format!(
            "# {}: {}\n# The machine's console: {}\n\n# Output\n{output}\n# Kernel log meanwhile\n",
            test.name,
            test.about,
            console.display()
        );
        for line in ran
            .iter()
            .flat_map(|ran| ran.kernel.iter().chain(&ran.stacks))
        {
            text.push_str(&line.text);
            text.push('\n');
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// All results, in the order of the table of tests.
    fn sorted(&self) -> Vec<TestResult> {
        let mut results = lock(&self.results).clone();
        let place =
            |name: &str| catalogue::all().position(|test| catalogue::is_of(test.name, name));
        results.sort_by_key(|result| place(&result.name));
        results
    }
}

/// Name of a test's files, and of the console of a boot that it is the first one of.
fn log_name(test: &Test) -> String {
    test.name.replace('/', ".")
}

fn failed(name: &str, reason: impl Into<String>) -> TestResult {
    TestResult::new(name, Verdict::Fail(reason.into()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a worker panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_every_test_once_and_machines_apart() {
        let all = catalogue::select(&[]);
        let chunks = chunks(&all, false);
        assert_eq!(chunks.iter().map(VecDeque::len).sum::<usize>(), all.len());
        for chunk in &chunks {
            assert!(chunk
                .iter()
                .all(|test| std::ptr::eq(test.machine, chunk[0].machine)));
            assert!(chunk.iter().skip(1).all(|test| !test.wants_fresh));
        }
    }

    #[test]
    fn slow_tests_come_first_unless_the_time_is_limited() {
        let all = catalogue::select(&[]);
        let is_slow = |chunk: &Chunk| chunk.iter().any(|test| catalogue::is_slow(test));
        for is_limited in [false, true] {
            let chunks = chunks(&all, is_limited);
            let first = chunks
                .iter()
                .take_while(|chunk| is_slow(chunk) != is_limited);
            let rest = &chunks.iter().skip(first.count()).collect::<Vec<_>>();
            assert!(!rest.is_empty() && rest.len() < chunks.len());
            assert!(rest.iter().all(|chunk| is_slow(chunk) == is_limited));
        }
    }
}
