// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl set`.

use super::features::effects_in_words;
use super::{check_range, feature_uuid, find, title};
use crate::common::{number, read_input, scope_parser, taint, terms, DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, say, Block, Bytes, OutputArgs, Report};
use crate::rpc::{Changed, Changes, Plan};
use fwctl::catalogue::Unit;
use fwctl::cxl::{
    feature_fields, known_features, settable_fields, writable_part, CxlDevice, Feature,
    FeatureField, GetFeature, Selection, SetFeature, SetPolicy, SettingError, Settings, Verdict,
};
use fwctl::sysfs::Entry;
use fwctl::{Error, Scope, Uuid};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Change the value of a feature, and read it back
///
/// Features that the specification defines can be changed by field. The present value is read, the
/// fields are replaced in it, and every other bit stays. Hours have a unit: 24h or 1d. A field that
/// does not exist or cannot be set is refused with a list of those that can. Other features are
/// changed by bytes, with --in.
///
/// The scope that a change needs follows from the effects that the device announces. Both possible
/// scopes taint the kernel, so there is no default: without --scope nothing is written, and the
/// command prints the scope and the effects.
///
/// A change is refused before anything is sent if the feature is reserved for the kernel or not
/// changeable, or if the kernel does not accept its effects.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl cxl set mem0 patrol-scrub cycle=24h enabled=on --dry-run\n  fwctl cxl set mem0 patrol-scrub -i value.bin --scope debug-write-full"
)]
pub struct SetArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// UUID of the feature, or its short name such as patrol-scrub
    #[arg(value_parser = feature_uuid, add = crate::complete::features())]
    feature: Uuid,
    /// Fields to replace, such as cycle=24h
    #[arg(value_name = "FIELD=VALUE", add = crate::complete::settings())]
    fields: Vec<String>,
    /// File with the new bytes, - for stdin
    #[arg(short, long = "in", value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "fields")]
    input: Option<String>,
    /// First byte to replace
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>, conflicts_with = "fields")]
    offset: u16,
    /// Ask the device to keep the value across resets. Linux 7.3 always does
    #[arg(long)]
    saved: bool,
    /// Scope of the change. Omit it to see which one is needed
    #[arg(long, value_parser = scope_parser())]
    scope: Option<Scope>,
    /// Write nothing: print the request, and the old and the new value
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Change {
    device: String,
    uuid: String,
    name: Option<&'static str>,
    scope: &'static str,
    offset: u16,
    size: usize,
    /// The request asked for it; the kernel may have done so without being asked.
    asked_saved: bool,
    effects: u16,
    /// The change is in force now; else after a reset.
    immediate: bool,
    /// Value in force after the change; none if it could not be read.
    read_back: Option<Bytes>,
    /// It is what was written.
    matches: Option<bool>,
    /// The fields that were set; none if bytes were.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    fields: Vec<FieldChange>,
}

/// A field that was set.
#[derive(Serialize)]
struct FieldChange {
    #[serde(skip)]
    name: String,
    old: u64,
    new: u64,
    /// The value in force after the change; none if it could not be read.
    now: Option<u64>,
    unit: Option<&'static str>,
    /// All three for people.
    #[serde(skip)]
    texts: [String; 3],
}

/// In JSON: an object of names.
fn by_name<S: Serializer>(fields: &[FieldChange], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for field in fields {
        map.serialize_entry(&field.name, field)?;
    }
    map.end()
}

/// What to write.
struct New {
    offset: u16,
    data: Vec<u8>,
    /// By field: the whole value before and after, as Get Feature returns it, and the fields.
    fields: Option<(Vec<u8>, Vec<u8>, Vec<String>)>,
}

pub fn set(world: &World, args: SetArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    // Before anything is sent.
    let settings = match args.fields.as_slice() {
        [] if args.input.is_none() => return Err(nothing(args.feature)),
        [] => None,
        fields => Some(settings(args.feature, fields)?),
    };
    let data = match &args.input {
        Some(name) => read_input(name, usize::from(u16::MAX))?,
        None => Vec::new(),
    };
    let cxl = CxlDevice::new(world.open_entry(&entry)?)?;
    let feature = find(&cxl, args.feature)?;
    let needed = needed(&entry, &feature, settings.is_some())?;
    let new = match &settings {
        None => New {
            offset: args.offset,
            data,
            fields: None,
        },
        Some(settings) => {
            let old = whole(&cxl, &feature)?;
            let new = settings.apply(&feature, &old);
            let new = new.map_err(|error| refused(&entry, &feature, &error))?;
            New {
                offset: 0,
                data: new.data,
                fields: Some((old, new.value, settings.names())),
            }
        }
    };
    let (offset, size) = (new.offset, new.data.len());
    check_range(&cxl, &feature, feature.set_size, offset, size)?;
    let set = SetFeature {
        uuid: feature.uuid,
        version: feature.set_version,
        offset,
        is_saved: args.saved,
        data: &new.data,
    };
    if args.dry_run {
        let mut plan = Plan::new(&entry, args.scope.unwrap_or(needed), 8, set.request());
        let old = match &new.fields {
            Some((old, value, _)) => {
                plan.changes = changes(feature.uuid, old, value);
                writable_part(feature.uuid, old)
            }
            None => current(&cxl, &feature, offset, size)
                .map_err(|error| say(&format!("the old value cannot be read: {error}")))
                .ok(),
        };
        return output::print(args.output.output, &plan.with_values(old, new.data.clone()));
    }
    let scope = agreed(&entry.name, &feature, needed, args.scope)?;
    say(&format!(
        "{}: {}: changes {}",
        entry.name,
        title(&feature),
        effects_in_words(feature.effects)
    ));
    say(&format!("warning: {}", taint(scope)));
    cxl.set(scope, &set)?;
    let (read_back, fields) = read_back(&cxl, &feature, &new);
    let matches = match (&new.fields, &read_back) {
        (_, None) => None,
        (None, Some(now)) => Some(*now == new.data),
        (Some(_), Some(_)) => Some(fields.iter().all(|field| field.now == Some(field.new))),
    };
    let change = Change {
        device: entry.name,
        uuid: feature.uuid.to_string(),
        name: feature.name(),
        scope: scope.name(),
        offset,
        size,
        asked_saved: args.saved,
        effects: feature.effects,
        immediate: feature.is_immediate(),
        matches,
        read_back: read_back.map(Bytes),
        fields,
    };
    output::print(args.output.output, &change)
}

/// The change of a feature is refused, before anything is sent.
pub fn refused(entry: &Entry, feature: &Feature, why: &impl ToString) -> Error {
    Error::Feature {
        device: entry.name.clone(),
        feature: title(feature),
        why: why.to_string(),
    }
}

/// The scope that a change of the feature needs, by field or by bytes; fails if no scope is enough.
pub fn needed(entry: &Entry, feature: &Feature, is_by_field: bool) -> Result<Scope, Error> {
    match feature.set_policy() {
        SetPolicy::Scope(scope) => Ok(scope),
        SetPolicy::Never(Verdict::KernelExclusive) if is_by_field => {
            let memdev = entry.parent.memdev.as_ref();
            let name = memdev.map_or("memN", |memdev| &memdev.name);
            let why = format!(
                "{}: if it has EDAC drivers for CXL, set it in /sys/bus/edac/devices/cxl_{name}",
                Verdict::KernelExclusive
            );
            Err(refused(entry, feature, &why))
        }
        SetPolicy::Never(verdict) => Err(refused(entry, feature, &verdict)),
    }
}

/// Neither fields nor bytes were given.
fn nothing(uuid: Uuid) -> Failure {
    let fields = settable_fields(uuid).unwrap_or_default().into_iter();
    let fields: Vec<String> = fields
        .map(|(name, values)| format!("{name}={values}, "))
        .collect();
    let name = name(uuid);
    Failure::Usage(format!(
        "{name}: nothing to set; possible are {}bytes with --in",
        fields.concat()
    ))
}

/// The short name of a feature, or its UUID.
fn name(uuid: Uuid) -> String {
    let known = known_features().find(|(_, known)| *known == uuid);
    known.map_or_else(|| uuid.to_string(), |(name, _)| name.to_owned())
}

/// Parses the settings of fields.
fn settings(uuid: Uuid, fields: &[String]) -> Result<Settings, Failure> {
    let name = name(uuid);
    Settings::parse(uuid, fields).map_err(|error| {
        let help = match error {
            SettingError::UnknownLayout => ": use --in",
            _ => "",
        };
        Failure::Usage(format!("{name}: {error}{help}"))
    })
}

/// The fields in which two whole values differ.
pub fn changes(uuid: Uuid, old: &[u8], new: &[u8]) -> Changes {
    let fields = |value| feature_fields(uuid, value).unwrap_or_default();
    let pairs = fields(old).into_iter().zip(fields(new));
    let changed = pairs.filter(|(old, new)| old.value != new.value);
    let change = |(old, new): (FeatureField, FeatureField)| Changed {
        texts: [old.text(), new.text()],
        name: old.name,
        old: old.value,
        new: new.value,
    };
    Changes(changed.map(change).collect())
}

/// The scope to write in, if the user has agreed to it.
fn agreed(
    device: &str,
    feature: &Feature,
    needed: Scope,
    agreed: Option<Scope>,
) -> Result<Scope, Failure> {
    match agreed {
        Some(scope) if scope >= needed => Ok(scope),
        Some(scope) => Err(Failure::Usage(format!(
            "{device}: {}: scope {scope} is too low for this change, which needs {needed}",
            title(feature)
        ))),
        None => Err(Failure::Usage(format!(
            "{device}: {}: nothing was written.\n  \
             the change:  {}{}",
            title(feature),
            effects_in_words(feature.effects),
            terms(needed, 13),
        ))),
    }
}

/// Reads the present value where the change was made, and its fields if those were set. That this
/// fails does not mean that the change failed.
fn read_back(cxl: &CxlDevice, feature: &Feature, new: &New) -> (Option<Vec<u8>>, Vec<FieldChange>) {
    let complain = |error| say(&format!("written, but cannot be read back: {error}"));
    let Some((old, value, names)) = &new.fields else {
        let now = current(cxl, feature, new.offset, new.data.len());
        return (now.map_err(complain).ok(), Vec::new());
    };
    let now = whole(cxl, feature).map_err(complain).ok();
    let fields = |value| feature_fields(feature.uuid, value).unwrap_or_default();
    let (old, value) = (fields(old), fields(value));
    let read = now.as_deref().map(fields).unwrap_or_default();
    let change = |name: &String| {
        let of = |fields: &[FeatureField]| fields.iter().find(|field| field.name == *name).cloned();
        let (old, new, now) = (of(&old)?, of(&value)?, of(&read));
        let now_text = now.as_ref().map_or_else(|| "-".into(), FeatureField::text);
        Some(FieldChange {
            texts: [old.text(), new.text(), now_text],
            old: old.value,
            new: new.value,
            now: now.map(|field| field.value),
            unit: new.unit.map(Unit::name),
            name: new.name,
        })
    };
    let changes = names.iter().filter_map(change).collect();
    (now, changes)
}

/// Reads a part of the present value that Set Feature can replace. It has been checked to lie within
/// the feature.
pub fn current(
    cxl: &CxlDevice,
    feature: &Feature,
    offset: u16,
    size: usize,
) -> Result<Vec<u8>, Error> {
    // Get Feature and Set Feature have different layouts.
    if feature.name().is_some() {
        let part = writable_part(feature.uuid, &whole(cxl, feature)?);
        let from = usize::from(offset);
        let bytes = part.and_then(|part| part.get(from..from + size).map(<[u8]>::to_vec));
        return bytes.ok_or_else(|| Error::Feature {
            device: cxl.device().name().into(),
            feature: title(feature),
            why: "the present value does not have the layout of the specification".into(),
        });
    }
    cxl.get(&GetFeature {
        uuid: feature.uuid,
        selection: Selection::Current,
        offset,
        size: u16::try_from(size).unwrap_or(u16::MAX),
    })
}

/// Reads the whole present value.
pub fn whole(cxl: &CxlDevice, feature: &Feature) -> Result<Vec<u8>, Error> {
    cxl.get(&GetFeature {
        uuid: feature.uuid,
        selection: Selection::Current,
        offset: 0,
        size: feature.get_size,
    })
}

impl Report for Change {
    fn blocks(&self) -> Vec<Block> {
        let name = self
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let read_back = match (self.matches, self.immediate) {
            (Some(true), _) => "the current value is what was written",
            (Some(false), true) => "the current value is not what was written",
            (Some(false), false) => "the current value does not change before a reset",
            (None, _) => "failed",
        };
        let fields = vec![
            ("device", self.device.clone()),
            ("feature", format!("{}{name}", self.uuid)),
            ("scope", self.scope.to_owned()),
            (
                "written",
                format!("{} at offset {}", output::bytes(self.size), self.offset),
            ),
            (
                "across reset",
                if self.asked_saved {
                    "kept"
                } else {
                    "not asked for; Linux 7.3 always keeps it"
                }
                .to_owned(),
            ),
            ("effects", effects_in_words(self.effects)),
            ("read back", read_back.to_owned()),
        ];
        let mut blocks = vec![Block::Fields(fields)];
        if !self.fields.is_empty() {
            let cells = |field: &FieldChange| {
                let names = std::iter::once(field.name.clone());
                names.chain(field.texts.clone()).collect()
            };
            let rows = self.fields.iter().map(cells).collect();
            blocks.push(Block::Table(&["FIELD", "OLD", "NEW", "NOW"], rows));
            return blocks;
        }
        blocks.extend(
            self.read_back
                .iter()
                .map(|bytes| Block::Dump(bytes.0.clone())),
        );
        blocks
    }

    fn raw(&self) -> Option<&[u8]> {
        self.read_back.as_ref().map(|bytes| bytes.0.as_slice())
    }
}
