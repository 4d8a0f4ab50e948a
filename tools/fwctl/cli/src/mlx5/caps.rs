// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 caps`.

use super::{Id, IdParser};
use crate::common::{DeviceArg, World};
use crate::failure::{self, ErrorRow, Failure};
use crate::fields::{is_zero, text};
use crate::output::{self, Block, Bytes, OutputArgs, Report};
use fwctl::catalogue::{Datum, Decoded};
use fwctl::mlx5::{capabilities, decode, Capability, Layout, Mlx5Device};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What a device can do, and what of that is switched on
///
/// Names are those of the kernel's headers. Those that are 0 in both columns are left out, unless
/// --zeros asks for them. With --all, a type that the device refuses is reported with its error, and
/// the command still succeeds.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl mlx5 caps 0000:07:00.0 --type roce --zeros\n  fwctl mlx5 caps 0000:07:00.0 --all -o json"
)]
pub struct CapsArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Kind of capability, or its number: one that is not known is dumped
    #[arg(long = "type", value_name = "TYPE", default_value = "general", value_parser = IdParser(types))]
    kind: Id,
    /// All types that have names
    #[arg(long, conflicts_with = "kind")]
    all: bool,
    /// Also those that are 0
    #[arg(long)]
    zeros: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn types() -> Vec<&'static str> {
    capabilities().iter().map(|layout| layout.name).collect()
}

#[derive(Serialize)]
struct Caps {
    device: String,
    types: Vec<Type>,
}

/// The capabilities of a type, or why they could not be read.
#[derive(Serialize)]
struct Type {
    r#type: Option<&'static str>,
    type_number: u16,
    capabilities: Rows,
    /// The capability as it came, if its fields are not known.
    current_bytes: Option<Bytes>,
    maximum_bytes: Option<Bytes>,
    error: Option<ErrorRow>,
}

/// In JSON: an object, with the capabilities in the order of the layout.
#[derive(Default)]
struct Rows(Vec<(Decoded, Decoded)>);

#[derive(Serialize)]
struct Row<'a> {
    current: &'a Datum,
    maximum: &'a Datum,
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (current, maximum) in &self.0 {
            let row = Row {
                current: &current.datum,
                maximum: &maximum.datum,
            };
            map.serialize_entry(&current.name, &row)?;
        }
        map.end()
    }
}

/// The values of a type that are read.
const VALUES: [Capability; 2] = [Capability::Current, Capability::Maximum];

pub fn caps(world: &World, args: &CapsArgs) -> Result<(), Failure> {
    let layouts = if args.all {
        capabilities().to_vec()
    } else {
        match capabilities().iter().find(|layout| args.kind.means(layout)) {
            Some(layout) => vec![layout.clone()],
            None => vec![args.kind.unknown(Some(0))?],
        }
    };
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let wanted: Vec<(u16, Capability)> = layouts
        .iter()
        .flat_map(|layout| VALUES.map(|which| (layout.id, which)))
        .collect();
    let mut replies = mlx5.capabilities(&wanted)?.into_iter();
    let mut types = Vec::new();
    for layout in layouts {
        let mut next = || replies.next().expect("one for each that was asked for");
        let (current, maximum) = (next(), next());
        match current.and_then(|current| Ok((current, maximum?))) {
            Ok((current, maximum)) => types.push(found(&layout, current, maximum, args.zeros)),
            // The kernel's errors, such as that the device was removed, are not about the type.
            Err(error) if args.all && error.firmware_status().is_some() => types.push(Type {
                error: Some(failure::row(&error)),
                ..Type::new(&layout)
            }),
            Err(error) => return Err(error.into()),
        }
    }
    let device = mlx5.device().name().into();
    output::print(args.output.output, &Caps { device, types })
}

fn found(layout: &Layout, current: Vec<u8>, maximum: Vec<u8>, zeros: bool) -> Type {
    let pairs = decode(layout, &current)
        .into_iter()
        .zip(decode(layout, &maximum));
    let is_wanted = |(current, maximum): &(Decoded, Decoded)| {
        zeros || !is_zero(&current.datum) || !is_zero(&maximum.datum)
    };
    let unless_known = |bytes| Some(Bytes(bytes)).filter(|_| layout.name.is_empty());
    Type {
        capabilities: Rows(pairs.filter(is_wanted).collect()),
        current_bytes: unless_known(current),
        maximum_bytes: unless_known(maximum),
        ..Type::new(layout)
    }
}

impl Type {
    fn new(layout: &Layout) -> Type {
        Type {
            r#type: Some(layout.name).filter(|name| !name.is_empty()),
            type_number: layout.id,
            capabilities: Rows::default(),
            current_bytes: None,
            maximum_bytes: None,
            error: None,
        }
    }

    fn blocks(&self, blocks: &mut Vec<Block>) {
        if let (Some(current), Some(maximum)) = (&self.current_bytes, &self.maximum_bytes) {
            for (title, bytes) in [("current", current), ("maximum", maximum)] {
                let size = output::bytes(bytes.0.len());
                blocks.push(Block::Fields(vec![(title, size)]));
                blocks.push(Block::Dump(bytes.0.clone()));
            }
        }
        if !self.capabilities.0.is_empty() {
            let cells = |(current, maximum): &(Decoded, Decoded)| {
                vec![current.name.to_string(), text(current), text(maximum)]
            };
            let rows = self.capabilities.0.iter().map(cells).collect();
            blocks.push(Block::Table(&["CAPABILITY", "CURRENT", "MAXIMUM"], rows));
        }
    }
}

impl Report for Caps {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for found in &self.types {
            let kind = match found.r#type {
                Some(name) => format!("{name} ({:#x})", found.type_number),
                None => format!("{:#x}", found.type_number),
            };
            let mut head = vec![("type", kind)];
            if blocks.is_empty() {
                head.insert(0, ("device", self.device.clone()));
            }
            if let Some(error) = &found.error {
                head.push(("error", error.message.clone()));
            }
            blocks.push(Block::Fields(head));
            found.blocks(&mut blocks);
        }
        blocks
    }
}
