// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 caps`.

use super::{rows, FieldRow};
use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use clap::builder::PossibleValuesParser;
use fwctl::mlx5::{capabilities, Capability, Mlx5Device};
use serde::Serialize;

/// What a device can do, and what of that is switched on
///
/// Names are those of the kernel's headers.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl mlx5 caps 0000:07:00.0 --type roce --all")]
pub struct CapsArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Kind of capability
    #[arg(long = "type", value_name = "TYPE", default_value = "general", value_parser = types())]
    kind: String,
    /// Also those that are 0
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn types() -> PossibleValuesParser {
    capabilities()
        .iter()
        .map(|layout| layout.name)
        .collect::<Vec<_>>()
        .into()
}

#[derive(Serialize)]
struct Caps {
    device: String,
    r#type: &'static str,
    type_number: u16,
    capabilities: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    current: FieldRow,
    maximum: FieldRow,
}

pub fn caps(world: &World, args: &CapsArgs) -> Result<(), Failure> {
    let layout = capabilities()
        .iter()
        .find(|layout| layout.name == args.kind)
        .ok_or_else(|| Failure::Usage(format!("{}: no such type", args.kind)))?;
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let current = rows(layout, &mlx5.capability(layout.id, Capability::Current)?);
    let maximum = rows(layout, &mlx5.capability(layout.id, Capability::Maximum)?);
    let row = |(current, maximum): (FieldRow, FieldRow)| Row {
        name: current.name,
        current,
        maximum,
    };
    let is_wanted = |row: &Row| args.all || !row.current.is_zero() || !row.maximum.is_zero();
    let caps = Caps {
        device: mlx5.device().name().into(),
        r#type: layout.name,
        type_number: layout.id,
        capabilities: current
            .into_iter()
            .zip(maximum)
            .map(row)
            .filter(is_wanted)
            .collect(),
    };
    output::print(args.output.output, &caps)
}

impl Report for Caps {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &Row| vec![row.name.to_owned(), row.current.text(), row.maximum.text()];
        vec![
            Block::Fields(vec![
                ("device", self.device.clone()),
                ("type", format!("{} ({:#x})", self.r#type, self.type_number)),
            ]),
            Block::Table(
                &["CAPABILITY", "CURRENT", "MAXIMUM"],
                self.capabilities.iter().map(cells).collect(),
            ),
        ]
    }
}
