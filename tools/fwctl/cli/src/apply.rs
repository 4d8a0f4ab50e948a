// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl apply`.

use crate::common::{read_file, scope_parser, warn_of_taint, LimitArg, World};
use crate::failure::{self, ErrorRow, Failure};
use crate::mlx5::value_text;
use crate::output::{self, say, Block, OutputArgs, Report};
use fwctl::mlx5::{register, Layout, Mlx5Device, Value as FieldValue};
use fwctl::Scope;
use serde::Serialize;
use serde_json::{Map, Value};
use std::ops::Range;

/// Set fields of registers as a document says
///
/// FILE is a JSON document that names devices, items as in a snapshot, and fields with numbers in
/// the device's own unit:
///
/// {"kind": "settings", "devices": {"0000:07:00.0": {"register/mtmp/sensor_index=0":
/// {"temp_threshold_hi": 840}}}}
///
/// All of it is checked and all registers are read before any is written. Registers that have the
/// values already are not written. With --dry-run, none is. If a write fails, no other follows, and
/// the report says which fields were written before.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl apply settings.json --dry-run")]
pub struct ApplyArgs {
    /// The document; - is stdin
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Scope of the writes
    #[arg(long, value_parser = scope_parser(), required_unless_present = "dry_run")]
    scope: Option<Scope>,
    /// Write nothing; print the old and new values
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    limit: LimitArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Applied {
    /// All registers were written.
    written: bool,
    changes: Vec<Change>,
}

/// A field that differs.
#[derive(Serialize)]
struct Change {
    device: String,
    item: String,
    field: String,
    old: u64,
    new: u64,
    /// It was written.
    written: bool,
    /// Why not, if its register was the one that could not be written.
    error: Option<ErrorRow>,
    /// Both values for people.
    #[serde(skip)]
    texts: [String; 2],
}

/// A register to write.
struct Write {
    mlx5: Mlx5Device,
    layout: &'static Layout,
    data: Vec<u8>,
    /// Where its fields are in the list of changes.
    changes: Range<usize>,
}

/// The longest document.
const MAX_DOCUMENT: usize = 16 << 20;

pub fn apply(world: &World, args: &ApplyArgs) -> Result<(), Failure> {
    args.limit.start(world)?;
    let bytes = read_file(&args.file, MAX_DOCUMENT)?;
    let bad = |why: String| Failure::Usage(format!("{}: {why}", args.file));
    let document: Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if document["kind"] != "settings" {
        return Err(bad("not settings: its kind is not \"settings\"".into()));
    }
    let object = |value: &Value, what: &str| match value.as_object() {
        Some(map) => Ok(map.clone()),
        None => Err(bad(format!("{what} is not an object"))),
    };
    // Before any device is opened.
    let mut settings = Vec::new();
    for (device, items) in object(&document["devices"], "devices")? {
        for (item, fields) in object(&items, &device)? {
            let (layout, select) = parse(&item).map_err(|why| bad(format!("{item}: {why}")))?;
            let fields = object(&fields, &item)?;
            assign(layout, &mut select.clone(), &fields)
                .map_err(|why| bad(format!("{item}: {why}")))?;
            settings.push((device.clone(), item, layout, select, fields));
        }
    }
    let mut devices: Vec<(String, Mlx5Device)> = Vec::new();
    let (mut changes, mut writes) = (Vec::new(), Vec::new());
    for (device, item, layout, select, fields) in settings {
        let entry = world.root.resolve(&device)?;
        let known = devices.iter().find(|(name, _)| *name == entry.name);
        let mlx5 = match known {
            Some((_, mlx5)) => mlx5.clone(),
            None => {
                let mlx5 = Mlx5Device::new(world.open_entry(&entry)?)?;
                devices.push((entry.name.clone(), mlx5.clone()));
                mlx5
            }
        };
        let old_data = mlx5.read_register(layout.id, &select)?;
        let mut data = old_data.clone();
        assign(layout, &mut data, &fields).map_err(|why| bad(format!("{item}: {why}")))?;
        if data == old_data {
            continue;
        }
        let first = changes.len();
        for field in fields.keys() {
            let value = |data: &[u8]| match layout.field(field)?.get(data) {
                Some(FieldValue::Number(number)) => Some(number),
                _ => None,
            };
            if let (Some(old), Some(new)) = (value(&old_data), value(&data)) {
                if old != new {
                    changes.push(Change {
                        device: entry.name.clone(),
                        item: item.clone(),
                        field: field.clone(),
                        old,
                        new,
                        written: false,
                        error: None,
                        texts: [&old_data, &data].map(|data| value_text(layout, data, field)),
                    });
                }
            }
        }
        writes.push(Write {
            mlx5,
            layout,
            data,
            changes: first..changes.len(),
        });
    }
    let scope = args.scope.filter(|_| !args.dry_run);
    let result = match scope.filter(|_| !writes.is_empty()) {
        Some(scope) => write_all(&writes, scope, &mut changes),
        None => Ok(()),
    };
    let applied = Applied {
        written: scope.is_some() && result.is_ok(),
        changes,
    };
    output::print(args.output.output, &applied)?;
    result
}

/// Writes the registers in their order, until one cannot be written.
fn write_all(writes: &[Write], scope: Scope, changes: &mut [Change]) -> Result<(), Failure> {
    warn_of_taint(scope);
    for write in writes {
        let result = write
            .mlx5
            .write_register(scope, write.layout.id, &write.data);
        let error = result.as_ref().err().map(failure::row);
        for change in &mut changes[write.changes.clone()] {
            change.written = error.is_none();
            change.error = error.clone();
        }
        if let Err(error) = result {
            // The report has it, too.
            let (status, text) = Failure::from(error).outcome();
            text.iter().for_each(|text| say(text));
            return Err(Failure::Status(status));
        }
    }
    Ok(())
}

/// The register of an item such as `register/mtmp/sensor_index=0`, and a request that selects it.
fn parse(item: &str) -> Result<(&'static Layout, Vec<u8>), String> {
    let mut parts = item.splitn(3, '/');
    if parts.next() != Some("register") {
        return Err("only registers can be set: register/NAME or register/NAME/FIELD=N".into());
    }
    let layout = parts
        .next()
        .and_then(register)
        .filter(|layout| layout.size > 0);
    let layout = layout.ok_or("no such register")?;
    let mut select = vec![0; layout.size];
    for pair in parts.next().into_iter().flat_map(|text| text.split(',')) {
        let (name, value) = pair.split_once('=').ok_or("not of the form FIELD=N")?;
        let value = value.parse().map_err(|_| format!("{pair}: not a number"))?;
        let set = layout.set(&mut select, name, value);
        set.map_err(|why| format!("{pair}: {why}"))?;
    }
    Ok((layout, select))
}

fn assign(layout: &Layout, data: &mut [u8], fields: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in fields {
        let number = value
            .as_u64()
            .ok_or_else(|| format!("{name}: not a number"))?;
        let set = layout.set(data, name, number);
        set.map_err(|why| format!("{name}={number}: {why}"))?;
    }
    Ok(())
}

impl Report for Applied {
    fn blocks(&self) -> Vec<Block> {
        let is_partial = self.changes.iter().any(|change| change.error.is_some());
        let count = self.changes.iter().filter(|change| change.written).count();
        let state = match (self.changes.is_empty(), self.written) {
            (true, _) => "nothing to change".into(),
            (false, true) => "written".into(),
            (false, false) if is_partial => format!("{count} of {} written", self.changes.len()),
            (false, false) => "not written".into(),
        };
        let mut blocks = vec![Block::Fields(vec![("changes", state)])];
        if self.changes.is_empty() {
            return blocks;
        }
        let cells = |change: &Change| {
            let [old, new] = change.texts.clone();
            let what = format!("{} {}", change.item, change.field);
            let mut cells = vec![change.device.clone(), what, old, new];
            if is_partial {
                let written = if change.written { "yes" } else { "no" };
                cells.insert(1, written.into());
            }
            cells
        };
        let head: &[&str] = match is_partial {
            true => &["DEVICE", "WRITTEN", "VALUE", "OLD", "NEW"],
            false => &["DEVICE", "VALUE", "OLD", "NEW"],
        };
        blocks.push(Block::Table(head, self.changes.iter().map(cells).collect()));
        blocks
    }
}
