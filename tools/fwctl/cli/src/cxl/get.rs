// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl get`.

use super::{check_range, feature_uuid, find};
use crate::common::{number, DeviceArg, World};
use crate::failure::Failure;
use crate::fields::{block, Fields};
use crate::output::{self, Block, Bytes, OutputArgs, Report};
use crate::rpc::Plan;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fwctl::catalogue::Decoded;
use fwctl::cxl::{feature_fields, CxlDevice, GetFeature, Selection, READ_SCOPE};
use fwctl::Uuid;
use serde::Serialize;

/// Read the value of a feature
///
/// Without --offset and --size, all of it. The values of the features that the specification defines
/// are decoded field by field. Raw output is the value's bytes.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: fwctl cxl get mem0 patrol-scrub --selection default -o raw > scrub.bin"
)]
pub struct GetArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// UUID of the feature, or its short name such as patrol-scrub
    #[arg(value_parser = feature_uuid, add = crate::complete::features())]
    feature: Uuid,
    /// Which value: the current one, the default, or the one saved across resets
    #[arg(long, default_value = "current", value_parser = selection())]
    selection: Selection,
    /// First byte to read
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>)]
    offset: u16,
    /// Number of bytes to read
    #[arg(long, value_name = "N", value_parser = size)]
    size: Option<u16>,
    /// Read no value; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn selection() -> impl TypedValueParser<Value = Selection> {
    PossibleValuesParser::new(Selection::ALL.map(Selection::name))
        .try_map(|name| name.parse::<Selection>())
}

fn size(text: &str) -> Result<u16, String> {
    match number(text)? {
        0 => Err("not at least 1 byte".into()),
        size => Ok(size),
    }
}

#[derive(Serialize)]
struct Value {
    device: String,
    uuid: String,
    name: Option<&'static str>,
    selection: &'static str,
    offset: u16,
    size: u16,
    version: u8,
    value: Bytes,
    /// The value field by field, if its layout is known and all of it was read.
    fields: Option<Fields>,
}

pub fn get(world: &World, args: GetArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    let cxl = CxlDevice::new(world.open_entry(&entry)?)?;
    let feature = find(&cxl, args.feature)?;
    let size = args
        .size
        .unwrap_or(feature.get_size.saturating_sub(args.offset).max(1));
    check_range(&cxl, &feature, feature.get_size, args.offset, size.into())?;
    let get = GetFeature {
        uuid: args.feature,
        selection: args.selection,
        offset: args.offset,
        size,
    };
    if args.dry_run {
        return output::print(
            args.output.output,
            &Plan::new(&entry, READ_SCOPE, usize::from(size) + 8, get.request()),
        );
    }
    let bytes = cxl.get(&get)?;
    let is_whole = args.offset == 0 && size == feature.get_size;
    let fields = feature_fields(feature.uuid, &bytes).filter(|_| is_whole);
    let value = Value {
        device: entry.name,
        uuid: feature.uuid.to_string(),
        name: feature.name(),
        selection: args.selection.name(),
        offset: args.offset,
        size,
        version: feature.get_version,
        value: Bytes(bytes),
        fields: fields.map(|fields| Fields::new(fields.into_iter().map(Decoded::from).collect())),
    };
    output::print(args.output.output, &value)
}

impl Report for Value {
    fn blocks(&self) -> Vec<Block> {
        let name = self
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let fields = vec![
            ("device", self.device.clone()),
            ("feature", format!("{}{name}", self.uuid)),
            ("value", self.selection.to_owned()),
            ("offset", self.offset.to_string()),
            ("size", output::bytes(self.size.into())),
        ];
        let mut blocks = vec![Block::Fields(fields), Block::Dump(self.value.0.clone())];
        blocks.extend(self.fields.as_ref().and_then(block));
        blocks
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.value.0)
    }
}
