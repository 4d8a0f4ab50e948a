// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 query`.

use super::{assign, assignment, blocks, size, Assignment, Id, IdParser};
use crate::common::{number, DeviceArg, World};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::output::{self, Block, Bytes, OutputArgs, Report};
use crate::rpc::Plan;
use fwctl::mlx5::{
    check_query, commands, decode, Command, Field, Layout, Mlx5Device, HEADER, READ_SCOPE,
};
use serde::Serialize;

/// Send a query command and print its reply
///
/// Takes query commands only, by name or number: those that the kernel's headers describe and that
/// change nothing. A request that would clear the counters it reads is refused. Other commands can
/// be sent with fwctl rpc.
///
/// Fields are decoded where the tool has a layout for the command. For the rest, give the length of
/// the reply with --size; the request has the fields op_mod, word_8 and word_12, of which --id sets
/// word_8, and the reply is shown as bytes. Raw output is the whole reply with its header.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl mlx5 query 0000:07:00.0 vport-counter --arg port_num=1\n  \
                        fwctl mlx5 query 0000:07:00.0 qp --id 0x48\n  \
                        fwctl mlx5 query 0000:07:00.0 0xb22 --size 528 --arg word_8=1"
)]
pub struct QueryArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Name or number of a query command
    #[arg(value_parser = IdParser(names), add = crate::complete::commands())]
    command: Id,
    /// Set a field of the request
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment, add = crate::complete::fields())]
    arg: Vec<Assignment>,
    /// Number of the object to ask about, such as a queue; sets the field that has it
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    id: Option<u64>,
    /// Length of the reply with its header, if the command has no known layout or a longer reply
    #[arg(long, value_name = "N", value_parser = size)]
    size: Option<u16>,
    /// Send nothing; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn names() -> Vec<&'static str> {
    commands()
        .iter()
        .map(|command| command.input.name)
        .collect()
}

/// The command of a name or number, which can be one of which nothing is known but the length of
/// its reply.
fn find(id: &Id, size: Option<u16>) -> Result<Command, Failure> {
    if size.is_some_and(|size| usize::from(size) < HEADER) {
        return Err(Failure::Usage(format!(
            "{id}: a reply has at least the {HEADER} bytes of its header"
        )));
    }
    if let Some(command) = commands().iter().find(|command| id.means(&command.input)) {
        let mut command = command.clone();
        command.output.size = size.map_or(command.output.size, usize::from);
        return Ok(command);
    }
    let output = id.unknown(size)?;
    let field = |bit, width, name| Field {
        bit,
        width,
        name,
        when: None,
    };
    let fields = vec![
        field(48, 16, "op_mod"),
        field(64, 32, "word_8"),
        field(96, 32, "word_12"),
    ];
    let input = Layout {
        size: HEADER,
        fields,
        ..output.clone()
    };
    Ok(Command { input, output })
}

#[derive(Serialize)]
struct Answer {
    device: String,
    command: Option<&'static str>,
    opcode: u16,
    fields: Fields,
    reply: Bytes,
    /// What the fields leave open.
    #[serde(skip)]
    rest: Vec<u8>,
}

pub fn query(world: &World, args: QueryArgs) -> Result<(), Failure> {
    let command = find(&args.command, args.size)?;
    let mut request = command.request();
    if let Some(value) = args.id {
        let field = number_field(&command)?.into();
        assign(&command.input, &mut request, &[Assignment { field, value }])?;
    }
    assign(&command.input, &mut request, &args.arg)?;
    check_query(&request)
        .map_err(|why| Failure::Usage(format!("{}: {why}; see fwctl rpc", args.command)))?;
    let entry = args.device.entry(world)?;
    if args.dry_run {
        let plan = Plan::new(&entry, READ_SCOPE, command.output.size, request);
        return output::print(args.output.output, &plan);
    }
    let mlx5 = Mlx5Device::new(world.open_entry(&entry)?)?;
    let reply = mlx5.query(&command, &request)?;
    let answer = Answer {
        device: entry.name,
        command: Some(command.input.name).filter(|name| !name.is_empty()),
        opcode: command.input.id,
        fields: Fields::new(decode(&command.output, &reply)),
        rest: rest(&command, &reply).to_vec(),
        reply: Bytes(reply),
    };
    output::print(args.output.output, &answer)
}

/// The field that --id sets.
fn number_field(command: &Command) -> Result<&'static str, Failure> {
    if command.input.name.is_empty() {
        return Ok("word_8");
    }
    let field = command.number_field().map(|field| field.name);
    field.ok_or_else(|| {
        let name = command.input.name;
        Failure::Usage(format!("{name}: there is only one, so --id has no meaning"))
    })
}

/// The part of a reply that the fields leave open.
fn rest<'a>(command: &Command, reply: &'a [u8]) -> &'a [u8] {
    let known = commands()
        .iter()
        .find(|known| known.input.id == command.input.id);
    match known {
        Some(known) => reply.get(known.output.size..).unwrap_or_default(),
        None => reply,
    }
}

impl Report for Answer {
    fn blocks(&self) -> Vec<Block> {
        let command = match self.command {
            Some(name) => format!("{name} ({:#x})", self.opcode),
            None => format!("{:#x}", self.opcode),
        };
        let fields = vec![("device", self.device.clone()), ("command", command)];
        let mut all = vec![Block::Fields(fields)];
        all.extend(blocks(&self.fields, &self.rest));
        all
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.reply.0)
    }
}
