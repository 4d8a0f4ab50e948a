// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl`: list fwctl devices, inspect them, and send requests to their firmware.
//!
//! | file | what |
//! |---|---|
//! | `main.rs` | the verbs, and the exit status |
//! | `list.rs` `info.rs` `rpc.rs` `cxl.rs` `mlx5.rs` `watch.rs` | one file per group of verbs: arguments, action, report |
//! | `generate.rs` | completions and man pages, from the definitions of the verbs |
//! | `help.rs` | help about the whole command |
//! | `common.rs` | shared by verbs: the device argument, input, numbers |
//! | `probe.rs` | devices asked in parallel, for `list --probe` |
//! | `timeout.rs` | the time limit of a command |
//! | `file.rs` | output files, replaced as a whole |
//! | `output.rs` | the only printer |
//! | `progress.rs` | progress of long commands, on a terminal |
//! | `failure.rs` | failures, and their exit statuses |

#![forbid(unsafe_code)]

mod common;
mod cxl;
mod failure;
mod file;
mod generate;
mod help;
mod info;
mod list;
mod mlx5;
mod output;
mod probe;
mod progress;
mod rpc;
mod timeout;
mod watch;

use clap::{Parser, Subcommand};
use common::World;
use failure::Failure;
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
    Watch(watch::WatchArgs),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure. Neither is a closed stdout.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let status = match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
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

fn run(cli: Cli) -> Result<(), Failure> {
    let world = World::new(cli.verbose);
    match cli.verb {
        Verb::List(args) => list::list(&world, args),
        Verb::Info(args) => info::info(&world, args),
        Verb::Rpc(args) => rpc::rpc(&world, args),
        Verb::Cxl(verb) => cxl::run(&world, verb),
        Verb::Mlx5(verb) => mlx5::run(&world, verb),
        Verb::Watch(args) => watch::watch(&world, args),
        Verb::Completions(args) => generate::completions(args),
        Verb::Man(args) => generate::man(&args),
    }
}
