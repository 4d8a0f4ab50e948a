// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 caps`.

use super::{rows, FieldRow, Id, IdParser};
use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, Bytes, OutputArgs, Report};
use fwctl::mlx5::{capabilities, Capability, Mlx5Device};
use serde::Serialize;

/// What a device can do, and what of that is switched on
///
/// Names are those of the kernel's headers. Those that are 0 in both columns are left out, unless
/// --all asks for them.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl mlx5 caps 0000:07:00.0 --type roce --all")]
pub struct CapsArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Kind of capability, or its number: one that is not known is dumped
    #[arg(long = "type", value_name = "TYPE", default_value = "general", value_parser = IdParser(types))]
    kind: Id,
    /// Also those that are 0
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn types() -> Vec<&'static str> {
    capabilities().iter().map(|layout| layout.name).collect()
}

#[derive(Serialize)]
struct Caps {
    device: String,
    r#type: Option<&'static str>,
    type_number: u16,
    capabilities: Vec<Row>,
    /// The capability as it came, if its fields are not known.
    current_bytes: Option<Bytes>,
    maximum_bytes: Option<Bytes>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    current: FieldRow,
    maximum: FieldRow,
}

pub fn caps(world: &World, args: &CapsArgs) -> Result<(), Failure> {
    let known = capabilities().iter().find(|layout| args.kind.means(layout));
    let layout = match known {
        Some(layout) => layout.clone(),
        None => args.kind.unknown(Some(0))?,
    };
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let which = [Capability::Current, Capability::Maximum].map(|which| (layout.id, which));
    let mut both = mlx5.capabilities(&which)?.into_iter();
    let mut next = || both.next().expect("one for each that was asked for");
    let (current_bytes, maximum_bytes) = (next()?, next()?);
    let (current, maximum) = (rows(&layout, &current_bytes), rows(&layout, &maximum_bytes));
    let unless_known = |bytes| Some(Bytes(bytes)).filter(|_| known.is_none());
    let row = |(current, maximum): (FieldRow, FieldRow)| Row {
        name: current.name,
        current,
        maximum,
    };
    let is_wanted = |row: &Row| args.all || !row.current.is_zero() || !row.maximum.is_zero();
    let caps = Caps {
        device: mlx5.device().name().into(),
        r#type: known.map(|layout| layout.name),
        type_number: layout.id,
        current_bytes: unless_known(current_bytes),
        maximum_bytes: unless_known(maximum_bytes),
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
        let kind = match self.r#type {
            Some(name) => format!("{name} ({:#x})", self.type_number),
            None => format!("{:#x}", self.type_number),
        };
        let mut blocks = vec![Block::Fields(vec![
            ("device", self.device.clone()),
            ("type", kind),
        ])];
        if let (Some(current), Some(maximum)) = (&self.current_bytes, &self.maximum_bytes) {
            for (title, bytes) in [("current", current), ("maximum", maximum)] {
                let size = output::bytes(bytes.0.len());
                blocks.push(Block::Fields(vec![(title, size)]));
                blocks.push(Block::Dump(bytes.0.clone()));
            }
            return blocks;
        }
        let cells = |row: &Row| vec![row.name.to_owned(), row.current.text(), row.maximum.text()];
        let rows = self.capabilities.iter().map(cells).collect();
        blocks.push(Block::Table(&["CAPABILITY", "CURRENT", "MAXIMUM"], rows));
        blocks
    }
}
