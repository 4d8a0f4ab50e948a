// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl commands`.

use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use fwctl::cxl::{effect_names, Command, CxlDevice, FIRST_VENDOR_OPCODE};
use serde::Serialize;

/// List the commands of a device, with their effects and the scope that sending them needs
///
/// SCOPE is the least scope in which the kernel sends the command, or why it does not send it in
/// any. For Set Feature it depends on the feature, and for a command with another one in its payload
/// on that one: it is then at least this scope. EFFECTS are what the device claims. The device is
/// not asked: the kernel has read the list when it probed the device.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl cxl commands mem0 -o json")]
pub struct CommandsArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Commands {
    device: String,
    commands: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    opcode: u16,
    name: Option<&'static str>,
    vendor: bool,
    effects: u16,
    effect_names: Vec<&'static str>,
    /// Least scope that sending it needs; none if it cannot be sent through fwctl.
    scope: Option<&'static str>,
    /// The scope depends on the feature; it is at least `scope`.
    by_feature: bool,
    /// The scope depends on the payload; it is at least `scope`.
    by_payload: bool,
    /// Why it cannot be sent.
    refused: Option<&'static str>,
    #[serde(skip)]
    command: Command,
}

pub fn commands(world: &World, args: CommandsArgs) -> Result<(), Failure> {
    let cxl = CxlDevice::new(args.device.open(world)?)?;
    let commands = all(&cxl)?.into_iter().map(row).collect();
    output::print(
        args.output.output,
        &Commands {
            device: cxl.device().name().into(),
            commands,
        },
    )
}

/// The commands of a device; fails if the kernel does not list them.
pub fn all(cxl: &CxlDevice) -> Result<Vec<Command>, Failure> {
    cxl.commands()?.ok_or_else(|| {
        let device = cxl.device().name();
        Failure::Failed(format!(
            "{device}: this kernel passes only the Feature commands of a CXL memory device"
        ))
    })
}

fn row(command: Command) -> Row {
    let least = command.policy.least_scope();
    Row {
        opcode: command.opcode,
        name: command.name(),
        vendor: command.opcode >= FIRST_VENDOR_OPCODE,
        effects: command.effects,
        effect_names: effect_names(command.effects)
            .iter()
            .map(|effect| effect.name)
            .collect(),
        scope: least.ok().map(|scope| scope.name()),
        by_feature: command.policy.is_by_feature(),
        by_payload: command.policy.is_by_payload(),
        refused: least.err().map(|refusal| refusal.name()),
        command,
    }
}

impl Report for Commands {
    fn blocks(&self) -> Vec<Block> {
        const HEAD: &[&str] = &["OPCODE", "NAME", "SCOPE", "EFFECTS"];
        let cells = |row: &Row| {
            vec![
                format!("{:#06x}", row.opcode),
                row.name
                    .unwrap_or(if row.vendor { "(vendor)" } else { "-" })
                    .into(),
                scope(&row.command),
                super::features::effects_in_words(row.effects),
            ]
        };
        vec![Block::Table(
            HEAD,
            self.commands.iter().map(cells).collect(),
        )]
    }
}

fn scope(command: &Command) -> String {
    match command.policy.least_scope() {
        Ok(scope) if command.policy.is_by_feature() => format!("{scope} or more, by feature"),
        Ok(scope) if command.policy.is_by_payload() => format!("{scope} or more, by payload"),
        Ok(scope) => scope.name().into(),
        Err(refusal) => format!("never ({})", refusal.name()),
    }
}
