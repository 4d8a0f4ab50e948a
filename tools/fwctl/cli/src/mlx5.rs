// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5`: registers, capabilities and query commands of a ConnectX.

mod caps;
mod coredump;
mod diag;
pub mod dump;
mod query;
mod reg;
mod regs;

use crate::common::{nearest, number, number_text, World};
use crate::failure::Failure;
use crate::fields::{block, text, Fields};
use crate::output::{Block, Format};
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, Error, Subcommand};
use fwctl::mlx5::{decode, BadField, Layout, Value};
use std::ffi::OsStr;
use std::fmt;

/// Access registers, capabilities, queries and dumps of a ConnectX
#[derive(Subcommand, Debug)]
pub enum Mlx5Verb {
    Reg(reg::RegArgs),
    Caps(caps::CapsArgs),
    Query(query::QueryArgs),
    Dump(dump::DumpArgs),
    Coredump(coredump::CoredumpArgs),
    Regs(regs::RegsArgs),
    #[command(subcommand)]
    Diag(diag::DiagVerb),
}

impl Mlx5Verb {
    pub fn format(&self) -> Format {
        match self {
            Mlx5Verb::Reg(args) => args.output.output,
            Mlx5Verb::Caps(args) => args.output.output,
            Mlx5Verb::Query(args) => args.output.output,
            Mlx5Verb::Dump(args) => args.output.output,
            Mlx5Verb::Coredump(args) => args.output.output,
            Mlx5Verb::Regs(args) => args.output.output,
            Mlx5Verb::Diag(verb) => verb.format(),
        }
    }
}

pub fn run(world: &World, verb: Mlx5Verb) -> Result<(), Failure> {
    match verb {
        Mlx5Verb::Reg(args) => reg::reg(world, args),
        Mlx5Verb::Caps(args) => caps::caps(world, &args),
        Mlx5Verb::Query(args) => query::query(world, args),
        Mlx5Verb::Dump(args) => dump::dump(world, &args),
        Mlx5Verb::Coredump(args) => coredump::coredump(world, &args),
        Mlx5Verb::Regs(args) => regs::regs(&args),
        Mlx5Verb::Diag(verb) => diag::diag(world, &verb),
    }
}

/// Something that the kernel's headers name, or the number that the device knows it by.
#[derive(Clone, Debug)]
pub enum Id {
    Name(String),
    Number(u16),
}

impl Id {
    /// This layout is meant.
    fn means(&self, layout: &Layout) -> bool {
        match self {
            Id::Name(name) => layout.name == name,
            Id::Number(number) => layout.id == *number,
        }
    }

    /// Number and no fields, for what the headers do not describe; its length has to be said.
    fn unknown(&self, size: Option<u16>) -> Result<Layout, Failure> {
        match (self, size) {
            (Id::Number(id), Some(size)) => Ok(Layout {
                name: "",
                id: *id,
                size: size.into(),
                fields: Vec::new(),
            }),
            (id, _) => Err(Failure::Usage(format!(
                "{id}: its length is not known: give it with --size"
            ))),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Name(name) => f.write_str(name),
            Id::Number(number) => write!(f, "{number:#x}"),
        }
    }
}

/// Parser of names and numbers; completions know the names.
#[derive(Clone)]
struct IdParser(fn() -> Vec<&'static str>);

impl TypedValueParser for IdParser {
    type Value = Id;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Id, Error> {
        let text = value.to_string_lossy();
        if (self.0)().contains(&text.as_ref()) {
            return Ok(Id::Name(text.into()));
        }
        number(&text).map(Id::Number).map_err(|_| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let names = (self.0)();
            let hint = match nearest(&text, names.iter().copied()) {
                Some(name) => format!("did you mean '{name}'?"),
                None if names.len() <= MANY => format!("the names are {}", names.join(", ")),
                None => "fwctl mlx5 regs lists the names".into(),
            };
            let text = format!(
                "invalid value '{text}' for '{name}': neither a known name nor a number from 0 to 65535; {hint}\n"
            );
            Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// More names than this are not listed in an error.
const MANY: usize = 16;

/// Longest register or reply that is asked for, in bytes.
const MAX_SIZE: u16 = 4096;

fn size(text: &str) -> Result<u16, String> {
    let is_right = |size: &u16| (4..=MAX_SIZE).contains(size) && size % 4 == 0;
    number(text)
        .ok()
        .filter(is_right)
        .ok_or_else(|| format!("not a multiple of 4 from 4 to {MAX_SIZE}"))
}

/// `field=value` of a command line.
#[derive(Clone, Debug)]
struct Assignment {
    field: String,
    value: u64,
}

fn assignment(text: &str) -> Result<Assignment, String> {
    let (field, value) = text.split_once('=').ok_or("not of the form field=value")?;
    Ok(Assignment {
        field: field.into(),
        value: number(value)?,
    })
}

/// Sets fields of a block of bytes.
fn assign(layout: &Layout, data: &mut [u8], assignments: &[Assignment]) -> Result<(), Failure> {
    for Assignment { field, value } in assignments {
        layout.set(data, field, *value).map_err(|why| {
            let known: Vec<&str> = layout.fields.iter().map(|field| field.name).collect();
            let near = nearest(field, known.iter().copied()).filter(|near| near != field);
            let hint = match (near, known.as_slice()) {
                (_, []) => "none of its fields are known".into(),
                (Some(near), _) if why == BadField::Unknown => format!("did you mean {near}?"),
                (_, known) if known.len() <= MANY => format!("its fields are {}", known.join(", ")),
                _ => format!("fwctl mlx5 regs {} lists its fields", layout.name),
            };
            Failure::Usage(format!("{}: {field}={value}: {why}; {hint}", layout.name))
        })?;
    }
    Ok(())
}

/// The value of a field for people, decoded if it is one of those that can be.
pub fn value_text(layout: &Layout, data: &[u8], field: &str) -> String {
    let decoded = decode(layout, data)
        .into_iter()
        .find(|decoded| decoded.name == field);
    // A half of a number has no value for people.
    let number = || match layout.field(field)?.get(data) {
        Some(Value::Number(number)) => Some(number_text(number)),
        _ => None,
    };
    decoded
        .map(|decoded| text(&decoded))
        .or_else(number)
        .unwrap_or_else(|| "-".into())
}

/// What of a block of bytes its fields leave open: all of it if it has a part that is not known,
/// else what lies behind them.
fn undescribed<'a>(layout: &Layout, data: &'a [u8]) -> &'a [u8] {
    if layout.fields.is_empty() || layout.has_unknown_part(data) {
        return data;
    }
    data.get(layout.size..).unwrap_or_default()
}

/// Fields for people, and the bytes that no field describes as a dump.
fn blocks(fields: &Fields, rest: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::from_iter(block(fields));
    if !rest.is_empty() {
        blocks.push(Block::Dump(rest.to_vec()));
    }
    blocks
}
