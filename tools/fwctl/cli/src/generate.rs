// SPDX-License-Identifier: MIT OR Apache-2.0

//! Completions and man pages, generated from the definitions of the command line.

use crate::failure::Failure;
use crate::{complete, help, output, Cli};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::roff::{bold, roman, Roff};
use clap_mangen::Man;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
    // The engine does not know every shell that the generator knows.
    let text = complete::registration(&args.shell.to_string()).unwrap_or_else(|| {
        let mut text = Vec::new();
        clap_complete::generate(args.shell, &mut Cli::command(), "fwctl", &mut text);
        text
    });
    output::print_bytes(&text)
}

pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut verbs = Vec::new();
    collect(&command, &mut verbs);
    pages(&command, &command, &verbs, &args.dir)
}

/// The names of the pages of commands that do something themselves.
fn collect<'a>(command: &'a Command, verbs: &mut Vec<&'a str>) {
    if !command.has_subcommands() {
        verbs.push(page_name(command));
    }
    visible(command).for_each(|below| collect(below, verbs));
}

/// The page of a command, and those of the commands below it.
fn pages(command: &Command, above: &Command, verbs: &[&str], dir: &Path) -> Result<(), Failure> {
    let path = dir.join(format!("{}.1", page_name(command)));
    page(command, above, verbs)
        .and_then(|text| fs::write(&path, text))
        .map_err(|e| Failure::file(&path.display().to_string(), &e))?;
    visible(command).try_for_each(|below| pages(below, command, verbs, dir))
}

/// The pages of the commands that the help of this one names.
fn mentioned<'a>(command: &Command, verbs: &[&'a str]) -> Vec<&'a str> {
    let help = command.clone().render_long_help().to_string();
    let help: Vec<&str> = help.split_whitespace().collect();
    let help = help.join(" ");
    let is_named = |page: &&str| {
        let words = page.replace('-', " ");
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        **page != *page_name(command) && help.split(&words).skip(1).any(is_end)
    };
    verbs.iter().copied().filter(is_named).collect()
}

/// What to read besides the page of the whole command.
const RELATED: [&str; 4] = ["cxl(1)", "devlink(8)", "ethtool(8)", "mstflint(1)"];
const DOCUMENTATION: &str =
    "The kernel's documentation is in Documentation/userspace-api/fwctl of its source.";

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
}

fn page_name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, above: &Command, verbs: &[&str]) -> io::Result<Vec<u8>> {
    // The text after the options of --help goes into separate sections.
    let man = Man::new(command.clone().after_help("").after_long_help(""))
        .title(page_name(command).to_uppercase())
        .manual("User Commands")
        .source(format!("fwctl {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut roff = Roff::new();
    if command.has_subcommands() {
        roff.control("SH", ["COMMANDS"]);
        for below in visible(command) {
            roff.control("TP", []);
            roff.text([bold(format!("{}(1)", page_name(below)))]);
            roff.text([roman(
                below
                    .get_about()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            )]);
        }
    }
    if page_name(command) == page_name(above) {
        for part in &help::PARTS {
            roff.control("SH", [part.title.to_uppercase().as_str()]);
            paragraphs(&mut roff, part.text);
        }
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold(RELATED.join(", "))]);
        roff.control("PP", []);
        roff.text([roman(DOCUMENTATION)]);
    } else {
        if let Some(examples) = command.get_after_help() {
            roff.control("SH", ["EXAMPLES"]);
            let examples = examples.to_string();
            let commands = examples
                .split_once(':')
                .map_or(examples.as_str(), |(_, rest)| rest);
            paragraphs(&mut roff, &format!(" {}", commands.trim()));
        }
        roff.control("SH", ["SEE ALSO"]);
        let pages = std::iter::once(page_name(above)).chain(mentioned(command, verbs));
        let pages: Vec<String> = pages.map(|page| format!("{page}(1)")).collect();
        roff.text([bold(pages.join(", "))]);
    }
    roff.to_writer(&mut text)?;
    Ok(text)
}

/// Lines that start with a space stay as they are.
fn paragraphs(roff: &mut Roff, text: &str) {
    let mut is_literal = false;
    for line in text.lines() {
        if line.starts_with(' ') != is_literal {
            is_literal = !is_literal;
            roff.control(if is_literal { "nf" } else { "fi" }, []);
        }
        roff.text([roman(line.trim_start())]);
    }
    if is_literal {
        roff.control("fi", []);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
