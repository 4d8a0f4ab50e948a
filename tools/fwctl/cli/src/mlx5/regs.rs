// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 regs`.

use crate::common::nearest;
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use clap::ValueEnum;
use fwctl::catalogue::{items, left_out, Kind};
use fwctl::mlx5::{capabilities, commands, registers, Layout};
use fwctl::DeviceType;
use serde::Serialize;

/// List the names of registers, query commands and capabilities, and their fields
///
/// Needs no device. With the name of a register, lists its fields. A register that fwctl snapshot
/// does not read has the reason.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl mlx5 regs\n  fwctl mlx5 regs temperature\n  fwctl mlx5 regs mtmp\n  fwctl mlx5 regs --group queries"
)]
pub struct RegsArgs {
    /// The name of one, to list its fields; or a word of names and descriptions
    #[arg(value_name = "NAME|WORD", add = crate::complete::registers())]
    word: Option<String>,
    /// What to list
    #[arg(long, value_enum, value_name = "GROUP", default_value_t)]
    group: Group,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Registers, for fwctl mlx5 reg
    #[default]
    Registers,
    /// Query commands, for fwctl mlx5 query
    Queries,
    /// Types of capabilities, for fwctl mlx5 caps
    Capabilities,
}

#[derive(Serialize)]
struct Names {
    names: Vec<NameRow>,
}

#[derive(Serialize)]
struct NameRow {
    name: &'static str,
    number: u16,
    /// Bytes; 0 if they are not known.
    size: usize,
    about: &'static str,
    /// Why snapshot does not read it.
    left_out: Option<&'static str>,
}

#[derive(Serialize)]
struct FieldNames {
    name: &'static str,
    number: u16,
    size: usize,
    fields: Vec<FieldRow>,
}

#[derive(Serialize)]
struct FieldRow {
    name: &'static str,
    bit: usize,
    width: usize,
}

impl Group {
    /// The kind of its items, and their layouts.
    fn layouts(self) -> (Kind, Vec<&'static Layout>) {
        match self {
            Group::Registers => (Kind::Register, registers().iter().collect()),
            Group::Queries => {
                let inputs = commands().iter().map(|command| &command.input);
                (Kind::Query, inputs.collect())
            }
            Group::Capabilities => (Kind::Capability, capabilities().iter().collect()),
        }
    }
}

pub fn regs(args: &RegsArgs) -> Result<(), Failure> {
    let (kind, layouts) = args.group.layouts();
    let word = args.word.as_deref().unwrap_or_default();
    if let Some(layout) = layouts.iter().find(|layout| layout.name == word) {
        let row = |field: &fwctl::mlx5::Field| FieldRow {
            name: field.name,
            bit: field.bit,
            width: field.width,
        };
        let report = FieldNames {
            name: layout.name,
            number: layout.id,
            size: layout.size,
            fields: layout.fields.iter().map(row).collect(),
        };
        return output::print(args.output.output, &report);
    }
    let row = |layout: &&'static Layout| NameRow {
        name: layout.name,
        number: layout.id,
        size: layout.size,
        about: crate::complete::about(kind, layout.name),
        left_out: left_out()
            .iter()
            .find(|(of, name, _)| (*of, *name) == (kind, layout.name))
            .map(|(_, _, why)| *why),
    };
    // An item can have several descriptions, one for each of its groups.
    let is_meant = |row: &NameRow| {
        let descriptions = items(DeviceType::Mlx5)
            .iter()
            .filter(|item| (item.kind, item.name) == (kind, row.name));
        row.name.contains(word) || descriptions.clone().any(|item| item.about.contains(word))
    };
    let names: Vec<NameRow> = layouts.iter().map(row).filter(is_meant).collect();
    if names.is_empty() {
        let near = nearest(word, layouts.iter().map(|layout| layout.name));
        let has_it = |group: &Group| group.layouts().1.iter().any(|layout| layout.name == word);
        let other = Group::value_variants().iter().find(|group| has_it(group));
        let hint = match (other.and_then(Group::to_possible_value), near) {
            (Some(group), _) => format!("; it is in --group {}", group.get_name()),
            (None, Some(name)) => format!("; did you mean {name}?"),
            (None, None) => String::new(),
        };
        return Err(Failure::Usage(format!(
            "{word}: in no name and no description{hint}"
        )));
    }
    output::print(args.output.output, &Names { names })
}

impl Report for Names {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &NameRow| {
            let about = match (row.left_out, row.about) {
                (Some(why), _) => format!("({why})"),
                (None, about) => about.to_owned(),
            };
            let size = match row.size {
                0 => "-".to_owned(),
                size => size.to_string(),
            };
            vec![row.name.into(), format!("{:#06x}", row.number), size, about]
        };
        let rows = self.names.iter().map(cells).collect();
        vec![Block::Table(&["NAME", "NUMBER", "BYTES", "ABOUT"], rows)]
    }
}

impl Report for FieldNames {
    fn blocks(&self) -> Vec<Block> {
        let head = vec![
            ("name", self.name.to_owned()),
            ("number", format!("{:#06x}", self.number)),
            ("size", output::bytes(self.size)),
        ];
        let cells =
            |row: &FieldRow| vec![row.name.into(), row.bit.to_string(), row.width.to_string()];
        let mut blocks = vec![Block::Fields(head)];
        if !self.fields.is_empty() {
            let rows = self.fields.iter().map(cells).collect();
            blocks.push(Block::Table(&["FIELD", "FIRST BIT", "BITS"], rows));
        }
        blocks
    }
}
