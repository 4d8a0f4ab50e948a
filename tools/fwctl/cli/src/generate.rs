// SPDX-License-Identifier: MIT OR Apache-2.0

//! Completions and man pages. Both come from the definitions that parse the command line.

use crate::failure::Failure;
use crate::output;
use crate::Cli;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::PathBuf;

/// Print completions for a shell
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: fwctl completions bash > /usr/share/bash-completion/completions/fwctl"
)]
pub struct CompletionsArgs {
    /// Shell to complete for
    shell: Shell,
}

/// Write the man pages to a directory
#[derive(clap::Args, Debug)]
#[command(hide = true)]
pub struct ManArgs {
    /// Directory, which must exist
    #[arg(value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

pub fn completions(args: CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fwctl", &mut text);
    output::print_bytes(&text)
}

pub fn man(args: &ManArgs) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), &args.dir)
        .map_err(|e| Failure::file(&args.dir.display().to_string(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
