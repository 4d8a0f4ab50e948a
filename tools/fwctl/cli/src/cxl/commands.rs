// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl commands`.

use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use fwctl::cxl::{effect_names, Command, CommandPolicy, CxlDevice, FIRST_VENDOR_OPCODE};
use serde::Serialize;

/// List the commands of a device, with their effects and the scope that sending them needs
///
/// SCOPE is the least scope in which the kernel sends the command, or why it does not send it in
/// any. EFFECTS are what the device claims. The device is not asked: the kernel has read the list
/// when it probed the device.
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
    let (scope, by_feature, refused) = match command.policy {
        CommandPolicy::Scope(scope) => (Some(scope.name()), false, None),
        CommandPolicy::ByFeature(scope) => (Some(scope.name()), true, None),
        CommandPolicy::Never(refusal) => (None, false, Some(refusal.name())),
    };
    Row {
        opcode: command.opcode,
        name: command.name(),
        vendor: command.opcode >= FIRST_VENDOR_OPCODE,
        effects: command.effects,
        effect_names: effect_names(command.effects)
            .iter()
            .map(|effect| effect.name)
            .collect(),
        scope,
        by_feature,
        refused,
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
    match command.policy {
        CommandPolicy::Scope(scope) => scope.name().into(),
        CommandPolicy::ByFeature(scope) => format!("{scope} or more, by feature"),
        CommandPolicy::Never(refusal) => format!("never ({})", refusal.name()),
    }
}
