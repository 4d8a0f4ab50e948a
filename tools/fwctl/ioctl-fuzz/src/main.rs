// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fuzzes the ioctls of a fwctl device, guided by the coverage of the kernel (KCOV) if it has it.
//!
//! A case is a sequence of calls on one device, see [`case`]. [`grammar`] generates and mutates
//! cases. [`run`] runs a case and compares the results with the predictions of [`model`] and
//! [`devices`]. Memory and locking errors of the kernel are left to its own checkers, whose reports
//! are in its log. [`mod@fuzz`] maintains the corpus. All unsafe code is in [`sys`].

#![deny(unsafe_code)]

mod answer;
mod case;
mod coverage;
mod devices;
mod fuzz;
mod grammar;
mod model;
mod rng;
mod run;
#[allow(unsafe_code)]
mod sys;
mod watchdog;

use anyhow::{Context, Result};
use case::Case;
use clap::Parser;
use fuzz::{is_finding, Fuzzer};
use run::Runner;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Fuzz the ioctls of a fwctl device. This may crash the machine and damage the device.
#[derive(Parser)]
#[command(name = "fwctl-ioctl-fuzz", version, max_term_width = 100)]
struct Options {
    /// Device node
    node: PathBuf,
    /// Time to fuzz after the corpus
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File with additional cases, in the format in which findings are printed
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,
    /// Log each case to the kernel before it is run, to know which one crashed the machine
    #[arg(long)]
    trace: bool,
    /// At the end, print a minimal set of the cases that coverage added
    #[arg(long)]
    print_found: bool,
}

fn main() -> ExitCode {
    match fuzz(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwctl-ioctl-fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(options: &Options) -> Result<()> {
    let mut more = Vec::new();
    for path in &options.cases {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| path.display().to_string())?;
        more.extend(Case::parse_all(&text).with_context(|| path.display().to_string())?);
    }
    let mut fuzzer = Fuzzer::new(Runner::new(&options.node)?, options.trace)?;
    println!("{}, seed {}", fuzzer.describe(), options.seed);
    let ended = fuzzer
        .replay(more)
        .and_then(|()| fuzzer.explore(Duration::from_secs(options.seconds), options.seed));
    let findings = ended.as_ref().err().is_some_and(is_finding);
    if options.print_found {
        println!("found:");
        for case in fuzzer.minimised() {
            println!("{case}");
        }
        println!("end of found cases");
    }
    println!("{}", fuzzer.row(u32::from(findings)));
    ended
}
