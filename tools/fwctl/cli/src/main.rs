// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl`: list fwctl devices, inspect them, and send requests to their firmware.
//!
//! | file | what |
//! |---|---|
//! | `main.rs` | the verbs, and the exit status |
//! | `list.rs` `info.rs` `rpc.rs` `cxl.rs` `mlx5.rs` `pds.rs` `snapshot.rs` `diff.rs` `apply.rs` `capture.rs` `export.rs` `watch.rs` | one file per group of verbs: arguments, action, report |
//! | `generate.rs` | completions and man pages, from the definitions of the verbs |
//! | `help.rs` | help about the whole command |
//! | `complete.rs` | completion of devices, registers, features and fields |
//! | `common.rs` | shared by verbs: the device argument, input, numbers |
//! | `children.rs` | a verb on several devices at the same time, with a limit |
//! | `timeout.rs` | the time limit of a command |
//! | `probe.rs` | devices asked for their type, for `list --probe` |
//! | `clock.rs` | wall-clock time |
//! | `fields.rs` | decoded fields, in tables and in JSON |
//! | `process.rs` | the sender of a request, for `watch` |
//! | `file.rs` | output files, replaced as a whole |
//! | `output.rs` | the only printer |
//! | `progress.rs` | progress of long commands, on a terminal |
//! | `failure.rs` | failures, and their exit statuses |

#![forbid(unsafe_code)]

mod apply;
mod capture;
mod children;
mod clock;
mod common;
mod complete;
mod cxl;
mod diff;
mod export;
mod failure;
mod fields;
mod file;
mod generate;
mod help;
mod info;
mod list;
mod mlx5;
mod output;
mod pds;
mod probe;
mod process;
mod progress;
mod rpc;
mod snapshot;
mod timeout;
mod watch;

use clap::{Parser, Subcommand};
use common::World;
use failure::{ErrorRow, Failure};
use output::{Block, Format, Report};
use serde::Serialize;
use std::process::ExitCode;

/// List fwctl devices, inspect them, and send requests to their firmware
#[derive(Parser, Debug)]
#[command(name = "fwctl", version, after_help = help::short(), after_long_help = help::long(), max_term_width = 120)]
struct Cli {
    /// Show every request and reply on stderr
    #[arg(short, long, global = true)]
    verbose: bool,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    List(list::ListArgs),
    Info(info::InfoArgs),
    Rpc(rpc::RpcArgs),
    #[command(subcommand)]
    Cxl(cxl::CxlVerb),
    #[command(subcommand)]
    Mlx5(mlx5::Mlx5Verb),
    #[command(subcommand)]
    Pds(pds::PdsVerb),
    Snapshot(snapshot::SnapshotArgs),
    Diff(diff::DiffArgs),
    Apply(apply::ApplyArgs),
    Capture(capture::CaptureArgs),
    Export(export::ExportArgs),
    Watch(watch::WatchArgs),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

fn main() -> ExitCode {
    complete::answer::<Cli>();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure. Neither is a closed stdout.
            let is_failure = error.use_stderr();
            if is_failure && asks_for_json(std::env::args().skip(1)) {
                let text = error.to_string();
                let text = text.split("\n\n").next().unwrap_or_default();
                print_json(ErrorRow::of_text(text.trim_start_matches("error: ")));
            }
            let _ = error.print();
            return ExitCode::from(if is_failure { 2 } else { 0 });
        }
    };
    let is_json = cli.verb.format() == Some(Format::Json);
    let status = match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(row) = failure.row().filter(|_| is_json) {
                print_json(row);
            }
            let (status, text) = failure.outcome();
            if let Some(text) = text {
                output::say(&text);
            }
            ExitCode::from(status)
        }
    };
    timeout::close_output();
    status
}

/// Prints an error for programs. The message on stderr is printed in any case.
fn print_json(error: ErrorRow) {
    let _ = output::print(Format::Json, &FailedReport { error });
}

/// Returns whether a command line that cannot be parsed has -o json.
fn asks_for_json(args: impl Iterator<Item = String>) -> bool {
    let mut is_next = false;
    for arg in args.take_while(|arg| arg != "--") {
        let value = arg
            .strip_prefix("--output=")
            .or_else(|| arg.strip_prefix("-o"))
            .map(|value| value.trim_start_matches('='));
        if (is_next && arg == "json") || value == Some("json") {
            return true;
        }
        is_next = arg == "-o" || arg == "--output";
    }
    false
}

impl Verb {
    /// How the verb prints its report, if it has one.
    fn format(&self) -> Option<Format> {
        Some(match self {
            Verb::List(args) => args.output.output,
            Verb::Info(args) => args.output.output,
            Verb::Rpc(args) => args.output.output,
            Verb::Cxl(verb) => verb.format(),
            Verb::Mlx5(verb) => verb.format(),
            Verb::Pds(verb) => verb.format(),
            Verb::Snapshot(args) => args.output,
            Verb::Diff(args) => args.output.output,
            Verb::Watch(args) => args.output,
            Verb::Apply(args) => args.output.output,
            Verb::Capture(args) => args.output.output,
            Verb::Export(_) | Verb::Completions(_) | Verb::Man(_) => return None,
        })
    }
}

/// A command that failed, in JSON.
#[derive(Serialize)]
struct FailedReport {
    error: ErrorRow,
}

impl Report for FailedReport {
    fn blocks(&self) -> Vec<Block> {
        Vec::new()
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let world = World::new(cli.verbose);
    match cli.verb {
        Verb::List(args) => list::list(&world, args),
        Verb::Info(args) => info::info(&world, args),
        Verb::Rpc(args) => rpc::rpc(&world, args),
        Verb::Cxl(verb) => cxl::run(&world, verb),
        Verb::Mlx5(verb) => mlx5::run(&world, verb),
        Verb::Pds(verb) => pds::run(&world, verb),
        Verb::Snapshot(args) => snapshot::snapshot(&world, &args),
        Verb::Diff(args) => diff::diff(args),
        Verb::Apply(args) => apply::apply(&world, &args),
        Verb::Capture(args) => capture::capture(&world, &args),
        Verb::Export(args) => export::export(&world, &args),
        Verb::Watch(args) => watch::watch(&world, args),
        Verb::Completions(args) => generate::completions(args),
        Verb::Man(args) => generate::man(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::asks_for_json;

    #[test]
    fn command_lines_that_ask_for_json() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(str::to_owned));
        for line in [
            "list -o json",
            "-o json",
            "-ojson",
            "-o=json x",
            "x --output json",
            "--output=json",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "list",
            "json",
            "-o table json",
            "-o",
            "-- -o json",
            "--out json",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
