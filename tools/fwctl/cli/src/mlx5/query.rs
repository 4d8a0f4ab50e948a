// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 query`.

use super::{assign, assignment, blocks, rows, Assignment, FieldRow};
use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, Bytes, OutputArgs, Report};
use crate::rpc::Plan;
use clap::builder::PossibleValuesParser;
use fwctl::mlx5::{command, commands, Mlx5Device, READ_SCOPE};
use serde::Serialize;

/// Send a query command and print its reply
///
/// Commands and fields are those that the kernel's headers describe. Raw output is the whole reply, with its header.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl mlx5 query 0000:07:00.0 vport-counter --arg port_num=1")]
pub struct QueryArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// What is asked for
    #[arg(value_parser = names())]
    command: String,
    /// Set a field of the request
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    arg: Vec<Assignment>,
    /// Send nothing, print what would be sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn names() -> PossibleValuesParser {
    commands()
        .iter()
        .map(|command| command.input.name)
        .collect::<Vec<_>>()
        .into()
}

#[derive(Serialize)]
struct Answer {
    device: String,
    command: &'static str,
    opcode: u16,
    fields: Vec<FieldRow>,
    reply: Bytes,
}

pub fn query(world: &World, args: QueryArgs) -> Result<(), Failure> {
    let command = command(&args.command)
        .ok_or_else(|| Failure::Usage(format!("{}: no such command", args.command)))?;
    let mut request = command.request();
    assign(&command.input, &mut request, &args.arg)?;
    let entry = args.device.entry(world)?;
    if args.dry_run {
        let plan = Plan::new(&entry, READ_SCOPE, command.output.size, request);
        return output::print(args.output.output, &plan);
    }
    let mlx5 = Mlx5Device::new(world.open_entry(&entry)?)?;
    let reply = mlx5.query(command, &request)?;
    let answer = Answer {
        device: entry.name,
        command: command.input.name,
        opcode: command.input.id,
        fields: rows(&command.output, &reply),
        reply: Bytes(reply),
    };
    output::print(args.output.output, &answer)
}

impl Report for Answer {
    fn blocks(&self) -> Vec<Block> {
        let fields = vec![
            ("device", self.device.clone()),
            ("command", format!("{} ({:#x})", self.command, self.opcode)),
        ];
        let mut all = vec![Block::Fields(fields)];
        all.extend(blocks(&self.fields, &[]));
        all
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.reply.0)
    }
}
