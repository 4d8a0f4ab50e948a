// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl-vm` boots the fwctl kernel in QEMU and runs a demo, a shell, a command or the tests.
//!
//! The files, top down:
//!
//! * [`cli`]: the command line; [`verbs`]: run, shell, exec; [`suite`] and [`report`]: test, list
//! * [`catalogue`]: the tests, each a [`case`], selected by [`pattern`]; [`machine`]: the machines,
//!   each of an architecture ([`arch`])
//! * [`host`]: starts QEMU and the emulated devices, and talks to the guest
//! * [`judge`]: turns output, exit status and kernel log into results
//! * [`pace`]: limits in the machine's own time, on a busy host; [`kernel`]: kernel flavours
//! * [`protocol`]: messages between host and guest
//! * [`guest`]: the same program as the guest's init, and as its commands `emu` and
//!   `fwctl-queue`
//! * [`sys`]: the `unsafe` code

mod arch;
mod case;
mod catalogue;
mod cli;
mod guest;
mod host;
mod judge;
mod kernel;
mod machine;
mod pace;
mod pattern;
mod protocol;
mod report;
mod suite;
mod sys;
mod verbs;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Verb};
use host::{session, shell, Host};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    if guest::is_init() {
        guest::main();
    }
    if guest::emu::is_called() {
        return ExitCode::from(guest::emu::main() as u8);
    }
    if guest::queue::is_called() {
        return ExitCode::from(guest::queue::main() as u8);
    }
    let cli = Cli::parse();
    sys::catch_signals();
    match dispatch(&cli) {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            eprintln!("fwctl-vm: {error:#}");
            if let Some(sys::Interrupted(signal)) = error.downcast_ref() {
                ExitCode::from(128 + *signal as u8)
            } else if error.is::<session::NoBoot>() {
                ExitCode::from(verbs::DIED as u8)
            } else {
                ExitCode::from(2)
            }
        }
    }
}

/// Does what was asked for; the exit status.
fn dispatch(cli: &Cli) -> Result<i32> {
    let host = || Host::new(&cli.options);
    match &cli.verb {
        Verb::Run {
            machine,
            interactive,
            no_interactive,
        } => {
            let interactive = *interactive || (!no_interactive && shell::is_possible());
            verbs::run(&host()?, machine.name.as_deref(), interactive)
        }
        Verb::Shell { machine } => verbs::shell(&host()?, machine.name.as_deref()),
        Verb::Exec {
            machine,
            limit,
            command,
        } => verbs::exec(&host()?, machine.name.as_deref(), *limit, command),
        Verb::Pieces { quick, patterns } => {
            let kernel = &cli.options.kernel;
            let tests = catalogue::select_to_run(patterns, kernel, *quick);
            report::print(&report::pieces(&tests, cli.options.arch, kernel));
            Ok(0)
        }
        Verb::List { patterns } => {
            report::print(&report::list(patterns));
            Ok(0)
        }
        Verb::Machines => {
            report::print(&report::machine_table());
            Ok(0)
        }
        Verb::Select { patterns } => {
            let names = std::io::read_to_string(std::io::stdin())?;
            report::print(&report::selected(patterns, &names));
            Ok(0)
        }
        Verb::Test {
            results,
            quick,
            variables,
            start_within,
            extend,
            jobs,
            patterns,
        } => {
            let selected = catalogue::select_to_run(patterns, &cli.options.kernel, *quick);
            let jobs = jobs.unwrap_or_else(suite::default_jobs);
            let results = results.as_deref();
            let wishes = suite::Wishes {
                patterns,
                variables,
                start_within: start_within.map(Duration::from_secs),
                extend: *extend,
            };
            let is_good = suite::run(&host()?, &selected, wishes, jobs, results)?;
            Ok(i32::from(!is_good))
        }
    }
}
