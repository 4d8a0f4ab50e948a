// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

use crate::arch::{self, Arch};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Boots the fwctl kernel in QEMU, with emulated devices.
#[derive(Parser)]
#[command(name = "fwctl-vm", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Options of every verb.
    #[command(flatten)]
    pub options: Options,
}

/// The verbs.
#[derive(Subcommand)]
pub enum Verb {
    /// Show what this is about: modules, the device, the CLI; then a shell if there is a terminal
    Run {
        #[command(flatten)]
        machine: MachineName,
        /// Leave a shell in the VM after the demo, or fail if there is no terminal
        #[arg(long, overrides_with = "no_interactive")]
        interactive: bool,
        /// End with the demo
        #[arg(long, overrides_with = "interactive")]
        no_interactive: bool,
    },
    /// Boot, load the drivers, and leave a shell in the VM
    Shell {
        #[command(flatten)]
        machine: MachineName,
    },
    /// Boot, load the drivers, run one command; its exit status, or 255 if the VM died
    Exec {
        #[command(flatten)]
        machine: MachineName,
        /// Time limit in seconds
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        limit: u64,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// List the tests, the machines they run on, and what each is about
    List {
        /// Part of a test's name, or a glob over the whole name
        patterns: Vec<String>,
    },
    /// Print the table of machines in testing.rst
    #[command(hide = true)]
    Machines,
    /// Print the pieces of the build that tests need, for scripts/test
    #[command(hide = true)]
    Pieces {
        /// As for test
        #[arg(long)]
        quick: bool,
        /// As for test
        patterns: Vec<String>,
    },
    /// Print those names on standard input, one per line, that the patterns select, for
    /// scripts/test and scripts/list
    #[command(hide = true)]
    Select {
        /// As for test
        patterns: Vec<String>,
    },
    /// Run tests; exit status 0 if none failed
    Test {
        /// Write one JSON object per result to this file
        #[arg(long, value_name = "FILE")]
        results: Option<PathBuf>,
        /// Leave out the slow tests
        #[arg(long)]
        quick: bool,
        /// A variable for the guest's scripts
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
        variables: Vec<(String, String)>,
        /// Start no test later than this: skip those that are left, and run those that take a
        /// minute each last
        #[arg(long, value_name = "SECONDS")]
        start_within: Option<u64>,
        /// Add to each test's limit, for tests that are told how long to take
        #[arg(long, default_value_t = 0, value_name = "SECONDS")]
        extend: u64,
        /// Machines to run at a time [default: one per processor, at most 4]
        #[arg(short, long, value_name = "N")]
        jobs: Option<usize>,
        /// Part of a test's name, or a glob over the whole name
        patterns: Vec<String>,
    },
}

/// Parses `NAME=VALUE`.
fn pair(word: &str) -> Result<(String, String), String> {
    let (name, value) = word.split_once('=').ok_or("it has no '='")?;
    Ok((name.into(), value.into()))
}

/// Which machine to boot.
#[derive(Args)]
pub struct MachineName {
    /// The machine to boot; `fwctl-vm list` names them [default: the one with most devices]
    #[arg(long = "machine", value_name = "NAME")]
    pub name: Option<String>,
}

/// The kernel that tests run on, unless another is asked for.
pub const TEST_KERNEL: &str = "test";

/// Options of every verb.
#[derive(Args, Clone)]
pub struct Options {
    /// Folder with kernel/, bin/ and selftests/, as `make` leaves it
    #[arg(long, global = true, env = "FWCTL_ARTIFACTS", value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
    /// A piece of the build that is not in the artifacts, and the reason
    #[arg(long, global = true, hide = true, value_name = "PIECE=REASON", value_parser = pair)]
    pub absent: Vec<(String, String)>,
    /// Folder for logs [default: logs/ in the artifacts]
    #[arg(long, global = true, value_name = "DIR")]
    pub logs: Option<PathBuf>,
    /// The QEMU to run
    #[arg(
        long,
        global = true,
        env = "FWCTL_QEMU",
        default_value = "qemu-system-x86_64"
    )]
    pub qemu: PathBuf,
    /// The busybox to pack, statically linked
    #[arg(
        long,
        global = true,
        env = "FWCTL_BUSYBOX",
        default_value = "/bin/busybox"
    )]
    pub busybox: PathBuf,
    /// The kernel of all machines that do not name one: a folder below kernel/
    #[arg(long, global = true, default_value = TEST_KERNEL, value_name = "FLAVOUR")]
    pub kernel: String,
    /// The architecture of all machines that do not name one
    #[arg(long, global = true, default_value = arch::native().name, value_parser = arch::parse)]
    pub arch: &'static Arch,
    /// How the VM's processors run [default: kvm where it works, else tcg]
    #[arg(long, global = true, value_enum)]
    pub accel: Option<Accel>,
    /// More arguments for the kernel
    #[arg(long, global = true, default_value = "", value_name = "ARGS")]
    pub append: String,
    /// Multiply every time limit, for a slow host
    #[arg(
        long,
        global = true,
        env = "FWCTL_TIME_FACTOR",
        default_value_t = 1.0,
        value_name = "X"
    )]
    pub time_factor: f64,
    /// Print QEMU's command line
    #[arg(long, global = true)]
    pub show_command: bool,
    /// Print what would be booted, and do not
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Show the output of tests while they run
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// How the VM's processors run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// On the host's, by hardware virtualisation
    Kvm,
    /// Emulated
    Tcg,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_go_anywhere() {
        for line in [
            "fwctl-vm --artifacts O test a b",
            "fwctl-vm test a b --artifacts O",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.options.artifacts, Some("O".into()));
            assert!(matches!(cli.verb, Verb::Test { patterns, .. } if patterns == ["a", "b"]));
        }
    }

    #[test]
    fn exec_takes_everything_after_the_dashes() {
        let cli = parse("fwctl-vm exec --machine plain -- ls -l --dry-run").unwrap();
        assert!(!cli.options.dry_run);
        let Verb::Exec {
            machine, command, ..
        } = cli.verb
        else {
            panic!()
        };
        assert_eq!((machine.name.as_deref(), command.len()), (Some("plain"), 3));
        assert!(parse("fwctl-vm exec").is_err());
        assert!(parse("fwctl-vm exec ls").is_err());
    }

    #[test]
    fn the_last_of_two_opposites_counts() {
        let cli = parse("fwctl-vm run --interactive --no-interactive").unwrap();
        let Verb::Run {
            interactive,
            no_interactive,
            ..
        } = cli.verb
        else {
            panic!()
        };
        assert!(no_interactive && !interactive);
    }
}
