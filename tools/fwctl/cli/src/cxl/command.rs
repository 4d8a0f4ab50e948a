// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl command`.

use super::commands::all;
use super::features::effects_in_words;
use crate::common::{number, read_input, scope_parser, terms, warn_of_taint, DeviceArg, World};
use crate::failure::Failure;
use crate::file::Output;
use crate::output::{self, bytes, say, Block, Bytes, OutputArgs, Report};
use crate::rpc::Plan;
use fwctl::cxl::{effect_names, Command, CxlDevice};
use fwctl::{Scope, MAX_RPC_LEN};
use serde::Serialize;

/// Send a command to a CXL memory device or a switch and print its output
///
/// The kernel sends a command only if the effects that the device claims for it allow that, in the
/// scope that follows from them: see fwctl cxl commands. That scope is printed before anything is
/// sent. If it does not taint the kernel, it is the default of --scope. Otherwise nothing is sent
/// without --scope. A command with another one in its payload, as of a switch to a device behind it,
/// needs the scope of that one as well: the kernel then refuses a lower one.
///
/// A command that continues in the background is waited for.
///
/// Without --in, the command has no input. Raw output is the output payload.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl cxl command mem0 0xc000 -i input.bin --out output.bin")]
pub struct CommandArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Opcode of the command, such as 0xc000
    #[arg(value_parser = number::<u16>)]
    opcode: u16,
    /// File with the input payload, - for stdin
    #[arg(short, long = "in", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    input: Option<String>,
    /// Write the output payload to this file, - for stdout, instead of printing it
    #[arg(long = "out", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Scope of the request
    #[arg(long, value_parser = scope_parser())]
    scope: Option<Scope>,
    /// Send nothing; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Answer {
    device: String,
    opcode: u16,
    name: Option<&'static str>,
    scope: &'static str,
    effects: u16,
    input_len: usize,
    output_len: usize,
    output: Bytes,
}

pub fn command(world: &World, args: CommandArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    let input = match &args.input {
        Some(name) => read_input(name, MAX_RPC_LEN as usize)?,
        None => Vec::new(),
    };
    let cxl = CxlDevice::new(world.open_entry(&entry)?)?;
    let command = find(&cxl, args.opcode)?;
    let title = title(&entry.name, &command);
    let needed = command
        .policy
        .least_scope()
        .map_err(|refusal| Failure::Failed(format!("{title}: not sent: {refusal}")))?;
    if matches!(args.opcode, 0x0500..=0x0502) {
        return Err(feature_command(&title));
    }
    let most = cxl.payload_size()?.unwrap_or(0);
    if input.len() > most {
        return Err(Failure::Usage(format!(
            "{title}: the input has {}, and the mailbox of the device takes {}",
            bytes(input.len()),
            bytes(most)
        )));
    }
    if args.dry_run {
        let scope = args.scope.unwrap_or(needed);
        let request = CxlDevice::command_request(args.opcode, &input);
        return output::print(
            args.output.output,
            &Plan::new(&entry, scope, 8 + most, request),
        );
    }
    let scope = agreed(&title, &command, needed, args.scope)?;
    let more = match command.policy.is_by_payload() && scope < Scope::DebugWriteFull {
        true => "; the command in its payload may need a higher one",
        false => "",
    };
    say(&format!(
        "{title}: changes {}; sent in scope {scope}{more}",
        changes(&command)
    ));
    // Before the request: it may not be possible to get the same output a second time.
    let file = Output::unless_stdout(args.out.as_deref())?;
    warn_of_taint(scope);
    let answer = cxl.send(scope, args.opcode, &input, most)?;
    let answer = Answer {
        device: entry.name,
        opcode: command.opcode,
        name: command.name(),
        scope: scope.name(),
        effects: command.effects,
        input_len: input.len(),
        output_len: answer.len(),
        output: Bytes(answer),
    };
    match (file, &args.out) {
        (Some((name, file)), _) => {
            file.write(&answer.output.0)?;
            let count = bytes(answer.output_len);
            say(&format!("{title}: {count} of output written to {name}"));
            output::print_beside_file(args.output.output, &answer)
        }
        (None, Some(_)) => output::print_bytes(&answer.output.0),
        (None, None) => output::print(args.output.output, &answer),
    }
}

/// Finds a command of the device.
fn find(cxl: &CxlDevice, opcode: u16) -> Result<Command, Failure> {
    let found = all(cxl)?
        .into_iter()
        .find(|command| command.opcode == opcode);
    found.ok_or_else(|| {
        let device = cxl.device().name();
        Failure::Failed(format!(
            "{device}: no command {opcode:#06x}; list the commands with: fwctl cxl commands {device}"
        ))
    })
}

fn title(device: &str, command: &Command) -> String {
    match command.name() {
        Some(name) => format!("{device}: {name} ({:#06x})", command.opcode),
        None => format!("{device}: command {:#06x}", command.opcode),
    }
}

/// What the command changes, for people.
fn changes(command: &Command) -> String {
    /// The effect of a command that continues in the background (CXL 3.2, table 8-87).
    const BACKGROUND: u16 = 1 << 6;
    let others = command.effects & !BACKGROUND;
    let what = match effect_names(others).is_empty() {
        true => "nothing".into(),
        false => effects_in_words(others),
    };
    match command.effects & BACKGROUND {
        0 => what,
        _ => format!("{what}; continues in the background"),
    }
}

fn feature_command(title: &str) -> Failure {
    Failure::Usage(format!(
        "{title}: use fwctl cxl features, fwctl cxl get or fwctl cxl set"
    ))
}

/// The scope to send in, if it is harmless or the user has agreed to it.
fn agreed(
    title: &str,
    command: &Command,
    needed: Scope,
    agreed: Option<Scope>,
) -> Result<Scope, Failure> {
    match agreed {
        Some(scope) if scope >= needed => Ok(scope),
        Some(scope) => Err(Failure::Usage(format!(
            "{title}: scope {scope} is too low for this command, which needs {needed}"
        ))),
        None if !needed.is_tainting() => Ok(needed),
        None => Err(Failure::Usage(format!(
            "{title}: nothing was sent.\n  \
             the command:  changes {}{}",
            changes(command),
            terms(needed, 14),
        ))),
    }
}

impl Report for Answer {
    fn blocks(&self) -> Vec<Block> {
        let name = self
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let fields = vec![
            ("device", self.device.clone()),
            ("command", format!("{:#06x}{name}", self.opcode)),
            ("scope", self.scope.to_owned()),
            ("input", bytes(self.input_len)),
            ("output", bytes(self.output_len)),
        ];
        let mut blocks = vec![Block::Fields(fields)];
        if self.output_len > 0 {
            blocks.push(Block::Dump(self.output.0.clone()));
        }
        blocks
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.output.0)
    }
}
