// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl apply`.

use crate::common::{read_file, scope_parser, warn_of_taint, LimitArg, World};
use crate::cxl::{all, check_range, feature_uuid, set};
use crate::failure::{self, ErrorRow, Failure};
use crate::mlx5::value_text;
use crate::output::{self, hex, say, Block, OutputArgs, Report};
use crate::rpc::Changed;
use fwctl::cxl::{CxlDevice, Feature, NewField, SetFeature, Settings};
use fwctl::mlx5::{register, Layout, Mlx5Device, Value as FieldValue};
use fwctl::sysfs::Entry;
use fwctl::{Device, Error, Scope, Uuid};
use serde::Serialize;
use serde_json::{Map, Value};
use std::ops::Range;

/// Set registers of a ConnectX and features of a CXL memory device as a document says
///
/// FILE is a JSON document that names devices, items as in a snapshot, and fields with numbers as the
/// device stores them:
///
/// {"kind": "settings", "devices": {"0000:07:00.0": {"register/mtmp/sensor_index=0":
/// {"temp_threshold_hi": 840}}, "mem0": {"feature/value/uuid=patrol-scrub": {"cycle": "24h"}}}}
///
/// Fields of features may also have texts, as in fwctl cxl set. A feature whose fields are not known
/// has one named raw, the bytes to set in hexadecimal digits.
///
/// All of it is checked, and all old values are read, before any is written. What has the new value
/// already is not written. With --dry-run, nothing is. If a write fails, no other follows, and the
/// report says what was written before.
///
/// Capabilities and the results of queries cannot be set. What the kernel keeps for itself is
/// refused, as most of the specification's features are. A Pensando card has no values that can be
/// compared, only operations: see fwctl pds call.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl apply settings.json --dry-run")]
pub struct ApplyArgs {
    /// The document; - is stdin
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Scope of the writes. With --dry-run, the report has the one that features need
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
    /// All changes were written.
    written: bool,
    /// The least scope that the features among the changes need.
    least_scope: Option<&'static str>,
    changes: Vec<Change>,
}

/// A field that differs.
#[derive(Serialize)]
struct Change {
    device: String,
    item: String,
    field: String,
    /// A number; bytes are hexadecimal digits.
    old: Value,
    new: Value,
    /// It was written.
    written: bool,
    /// Why not, if its write was the one that failed.
    error: Option<ErrorRow>,
    /// Both values for people.
    #[serde(skip)]
    texts: [String; 2],
}

/// What a document says about an item.
enum Setting {
    Register {
        layout: &'static Layout,
        select: Vec<u8>,
        fields: Map<String, Value>,
    },
    Feature {
        uuid: Uuid,
        new: NewFeature,
    },
}

enum NewFeature {
    Fields(Settings),
    Bytes(Vec<u8>),
}

/// A device of the document.
struct Target {
    entry: Entry,
    device: Device,
    /// Of a CXL memory device, once they have been read.
    features: Vec<Feature>,
}

/// A write, and where its fields are in the list of changes.
struct Write {
    device: Device,
    what: Written,
    changes: Range<usize>,
}

enum Written {
    Register(&'static Layout, Vec<u8>),
    Feature(Feature, Vec<u8>),
}

/// A setting, compared with what the device has.
struct Compared {
    changes: Vec<Changed>,
    /// Of a feature that is set by bytes: the old and the new ones.
    bytes: Option<[Vec<u8>; 2]>,
    write: Written,
    least_scope: Option<Scope>,
}

/// The longest document.
const MAX_DOCUMENT: usize = 16 << 20;

/// The name of the bytes of a feature.
const RAW: &str = "raw";

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
            let fields = object(&fields, &item)?;
            let setting = Setting::parse(&item, fields);
            let setting = setting.map_err(|why| bad(format!("{item}: {why}")))?;
            settings.push((device.clone(), item, setting));
        }
    }
    let mut targets: Vec<Target> = Vec::new();
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    let (mut changes, mut writes, mut least_scope) = (Vec::new(), Vec::new(), None);
    for (device, item, setting) in settings {
        let target = open(world, &mut targets, &device)?;
        let name = target.entry.name.clone();
        // The second would write back what the first has changed.
        let key = (name.clone(), setting.key());
        if seen.contains(&key) {
            return Err(bad(format!("{item}: {name} has this item twice")));
        }
        seen.push(key);
        let compared = setting.compare(target).map_err(|error| match error {
            Failure::Usage(why) => bad(format!("{item}: {why}")),
            error => error,
        })?;
        let Some(compared) = compared else {
            continue;
        };
        let first = changes.len();
        changes.extend(compared.rows(&name, &item));
        least_scope = least_scope.max(compared.least_scope);
        writes.push(Write {
            device: target.device.clone(),
            what: compared.write,
            changes: first..changes.len(),
        });
    }
    let scope = args.scope.filter(|_| !args.dry_run);
    if let (Some(scope), Some(least)) = (scope, least_scope) {
        if scope < least {
            return Err(Failure::Usage(format!(
                "{}: nothing was written: scope {scope} is too low for the features in it, which need {least}",
                args.file
            )));
        }
    }
    let result = match scope.filter(|_| !writes.is_empty()) {
        Some(scope) => write_all(&writes, scope, &mut changes),
        None => Ok(()),
    };
    let applied = Applied {
        written: scope.is_some() && result.is_ok(),
        least_scope: least_scope.map(Scope::name),
        changes,
    };
    output::print(args.output.output, &applied)?;
    result
}

/// The device of this name, opened once.
fn open<'a>(
    world: &World,
    targets: &'a mut Vec<Target>,
    name: &str,
) -> Result<&'a mut Target, Failure> {
    let entry = world.root.resolve(name)?;
    let known = targets
        .iter()
        .position(|target| target.entry.name == entry.name);
    let index = match known {
        Some(index) => index,
        None => {
            targets.push(Target {
                device: world.open_entry(&entry)?,
                entry,
                features: Vec::new(),
            });
            targets.len() - 1
        }
    };
    Ok(&mut targets[index])
}

/// Writes in the order of the document, until something cannot be written.
fn write_all(writes: &[Write], scope: Scope, changes: &mut [Change]) -> Result<(), Failure> {
    warn_of_taint(scope);
    for write in writes {
        let result = write.write(scope);
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

impl Write {
    fn write(&self, scope: Scope) -> Result<(), Error> {
        match &self.what {
            Written::Register(layout, data) => {
                let mlx5 = Mlx5Device::new(self.device.clone())?;
                mlx5.write_register(scope, layout.id, data).map(|_| ())
            }
            Written::Feature(feature, data) => {
                let set = SetFeature {
                    uuid: feature.uuid,
                    version: feature.set_version,
                    offset: 0,
                    is_saved: false,
                    data,
                };
                CxlDevice::new(self.device.clone())?.set(scope, &set)
            }
        }
    }
}

impl Compared {
    fn rows(&self, device: &str, item: &str) -> Vec<Change> {
        let change = |field: &str, old: Value, new: Value, texts: [String; 2]| Change {
            device: device.to_owned(),
            item: item.to_owned(),
            field: field.to_owned(),
            old,
            new,
            written: false,
            error: None,
            texts,
        };
        let fields = self.changes.iter().map(|changed| {
            let (old, new) = (changed.old.into(), changed.new.into());
            change(&changed.name, old, new, changed.texts.clone())
        });
        let bytes = self.bytes.iter().map(|bytes| {
            let [old, new] = [&bytes[0], &bytes[1]].map(|bytes| hex(bytes));
            change(RAW, old.clone().into(), new.clone().into(), [old, new])
        });
        fields.chain(bytes).collect()
    }
}

impl Setting {
    /// What a document says about an item such as `register/mtmp/sensor_index=0`.
    fn parse(item: &str, fields: Map<String, Value>) -> Result<Setting, String> {
        let (kind, name) = item.split_once('/').unwrap_or((item, ""));
        match kind {
            "register" => {
                let (layout, select) = selected(name)?;
                assign(layout, &mut select.clone(), &fields)?;
                Ok(Setting::Register {
                    layout,
                    select,
                    fields,
                })
            }
            "feature" => {
                let uuid = name.strip_prefix("value/uuid=");
                let uuid = uuid.map(|uuid| uuid.strip_suffix(",selection=current").unwrap_or(uuid));
                let uuid = uuid.ok_or("not of the form feature/value/uuid=FEATURE")?;
                let uuid = feature_uuid(uuid)?;
                Ok(Setting::Feature {
                    uuid,
                    new: NewFeature::parse(uuid, &fields)?,
                })
            }
            _ => Err("only registers and features can be set: register/NAME, register/NAME/FIELD=N or feature/value/uuid=FEATURE".into()),
        }
    }

    /// The same for two settings of the same thing.
    fn key(&self) -> Vec<u8> {
        match self {
            Setting::Register { layout, select, .. } => {
                [&layout.id.to_be_bytes()[..], select].concat()
            }
            Setting::Feature { uuid, .. } => uuid.0.to_vec(),
        }
    }

    /// Reads the old value; nothing if it is the new one.
    fn compare(&self, target: &mut Target) -> Result<Option<Compared>, Failure> {
        match self {
            Setting::Register {
                layout,
                select,
                fields,
            } => {
                let mlx5 = Mlx5Device::new(target.device.clone())?;
                let old = mlx5.read_register(layout.id, select)?;
                compare_register(layout, old, fields)
            }
            Setting::Feature { uuid, new } => new.compare(target, *uuid),
        }
    }
}

fn compare_register(
    layout: &'static Layout,
    old: Vec<u8>,
    fields: &Map<String, Value>,
) -> Result<Option<Compared>, Failure> {
    let mut data = old.clone();
    assign(layout, &mut data, fields).map_err(Failure::Usage)?;
    let value = |data: &[u8], field: &str| match layout.field(field)?.get(data) {
        Some(FieldValue::Number(number)) => Some(number),
        _ => None,
    };
    let changed = |field: &String| {
        let (old_value, new_value) = (value(&old, field)?, value(&data, field)?);
        (old_value != new_value).then(|| Changed {
            name: field.clone(),
            old: old_value,
            new: new_value,
            texts: [&old, &data].map(|data| value_text(layout, data, field)),
        })
    };
    let changes = fields.keys().filter_map(changed).collect();
    Ok((data != old).then_some(Compared {
        changes,
        bytes: None,
        write: Written::Register(layout, data),
        least_scope: None,
    }))
}

impl NewFeature {
    fn parse(uuid: Uuid, fields: &Map<String, Value>) -> Result<NewFeature, String> {
        if let Some(raw) = fields.get(RAW) {
            let bytes = raw.as_str().and_then(bytes_of);
            return match bytes {
                Some(_) if fields.len() > 1 => {
                    Err("raw is all of the value, so it stands alone".into())
                }
                Some(bytes) if !bytes.is_empty() => Ok(NewFeature::Bytes(bytes)),
                _ => Err("raw: not bytes in hexadecimal digits".into()),
            };
        }
        let field = |(name, value): (&'_ String, &'_ Value)| match (value.as_u64(), value.as_str())
        {
            (Some(number), _) => Ok((name.clone(), Ok(number))),
            (None, Some(text)) => Ok((name.clone(), Err(text.to_owned()))),
            (None, None) => Err(format!("{name}: neither a number nor a text")),
        };
        let fields: Vec<(String, Result<u64, String>)> =
            fields.iter().map(field).collect::<Result<_, _>>()?;
        let fields = fields.iter().map(|(name, value)| {
            let value = match value {
                Ok(number) => NewField::Number(*number),
                Err(text) => NewField::Text(text),
            };
            (name.as_str(), value)
        });
        let settings = Settings::new(uuid, fields).map_err(|error| match error {
            fwctl::cxl::SettingError::UnknownLayout => format!("{error}: name them {RAW}"),
            _ => error.to_string(),
        });
        Ok(NewFeature::Fields(settings?))
    }

    fn compare(&self, target: &mut Target, uuid: Uuid) -> Result<Option<Compared>, Failure> {
        let cxl = CxlDevice::new(target.device.clone())?;
        if target.features.is_empty() {
            target.features = all(&cxl)?;
        }
        let found = target.features.iter().find(|feature| feature.uuid == uuid);
        let Some(feature) = found else {
            let device = &target.entry.name;
            return Err(Failure::Failed(format!(
                "{device}: no feature {uuid}; list the features with: fwctl cxl features {device}"
            )));
        };
        let is_by_field = matches!(self, NewFeature::Fields(_));
        let needed = set::needed(&target.entry, feature, is_by_field)?;
        let (changes, bytes, data) = match self {
            NewFeature::Fields(settings) => {
                let old = set::whole(&cxl, feature)?;
                let new = settings
                    .apply(feature, &old)
                    .map_err(|error| set::refused(&target.entry, feature, &error))?;
                (set::changes(uuid, &old, &new.value).0, None, new.data)
            }
            NewFeature::Bytes(data) => {
                check_range(&cxl, feature, feature.set_size, 0, data.len())?;
                let old = set::current(&cxl, feature, 0, data.len())?;
                let bytes = (old != *data).then(|| [old, data.clone()]);
                (Vec::new(), bytes, data.clone())
            }
        };
        let is_new = !changes.is_empty() || bytes.is_some();
        Ok(is_new.then_some(Compared {
            changes,
            bytes,
            write: Written::Feature(*feature, data),
            least_scope: Some(needed),
        }))
    }
}

/// Bytes of hexadecimal digits.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (is_hex && digits.len() % 2 == 0)
        .then(|| (0..digits.len()).step_by(2).map(byte).collect())
        .flatten()
}

/// The register of a name such as `mtmp/sensor_index=0`, and a request that selects it.
fn selected(name: &str) -> Result<(&'static Layout, Vec<u8>), String> {
    let mut parts = name.splitn(2, '/');
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
        let mut head = vec![("changes", state)];
        if let (Some(least), false) = (self.least_scope, self.written) {
            head.push(("scope needed", least.to_owned()));
        }
        let mut blocks = vec![Block::Fields(head)];
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
