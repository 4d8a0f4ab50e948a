// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fuzzes the ioctls of one fwctl device, guided by the coverage of the kernel (KCOV) where it has it.
//!
//! A case is a few calls on one device, see [`case`]; [`grammar`] makes and changes them, and knows each driver's messages.
//! [`run`] carries a case out, and compares with what [`model`] and [`devices`] say it has to come to. What the kernel does wrong
//! with its memory or locks is for the kernel to say, in its log. [`mod@fuzz`] keeps the corpus. Unsafe code is in [`sys`].

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

/// Fuzzes the ioctls of a fwctl device. Use it on a machine that may crash, and on a device that may break.
#[derive(Parser)]
#[command(name = "fwctl-ioctl-fuzz", version, max_term_width = 100)]
struct Options {
    /// The device's node
    node: PathBuf,
    /// How long, after the corpus
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Where the random numbers start
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More cases for the corpus, in the form in which they are printed
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,
    /// Say each case in the kernel's log before it is run, so that the one that ended the machine is known
    #[arg(long)]
    trace: bool,
    /// At the end, print the cases that coverage added, as few as reach the same code
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
        println!("end of what was found");
    }
    println!("{}", fuzzer.row(u32::from(findings)));
    ended
}
