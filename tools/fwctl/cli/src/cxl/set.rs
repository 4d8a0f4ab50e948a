// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl set`.

use super::features::effects_in_words;
use super::{check_range, feature_uuid, find, title};
use crate::common::{number, read_input, scope_parser, taint, DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, say, Block, Bytes, OutputArgs, Report};
use crate::rpc::Plan;
use fwctl::cxl::{CxlDevice, Feature, GetFeature, Selection, SetFeature, SetPolicy};
use fwctl::{Error, Scope, Uuid};
use serde::Serialize;

/// Change the value of a feature, and read it back
///
/// The scope that a change needs follows from the effects that the device announces. Both possible
/// scopes taint the kernel, so there is no default: without --scope nothing is written, and the
/// command prints the scope and the effects.
///
/// A change is refused before anything is sent if the feature is reserved for the kernel or not
/// changeable, or if the kernel does not accept its effects.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: fwctl cxl set mem0 ffffffff-ffff-ffff-ffff-ffffffffffff -i value.bin --scope debug-write-full"
)]
pub struct SetArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// UUID of the feature
    #[arg(value_parser = feature_uuid, add = crate::complete::features())]
    feature: Uuid,
    /// File with the new bytes, - for stdin
    #[arg(short, long = "in", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    input: String,
    /// First byte to replace
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>)]
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
}

pub fn set(world: &World, args: SetArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    let data = read_input(&args.input, usize::from(u16::MAX))?;
    let cxl = CxlDevice::new(world.open_entry(&entry)?)?;
    let feature = find(&cxl, args.feature)?;
    let needed = match feature.set_policy() {
        SetPolicy::Scope(scope) => scope,
        SetPolicy::Never(verdict) => {
            let (device, feature, why) = (entry.name, title(&feature), verdict.to_string());
            return Err(Error::Feature {
                device,
                feature,
                why,
            }
            .into());
        }
    };
    check_range(&cxl, &feature, feature.set_size, args.offset, data.len())?;
    let set = SetFeature {
        uuid: feature.uuid,
        version: feature.set_version,
        offset: args.offset,
        is_saved: args.saved,
        data: &data,
    };
    if args.dry_run {
        let plan = Plan::new(&entry, args.scope.unwrap_or(needed), 8, set.request());
        let old = current(&cxl, &feature, args.offset, data.len())
            .map_err(|error| say(&format!("the old value cannot be read: {error}")))
            .ok();
        return output::print(args.output.output, &plan.with_values(old, data.clone()));
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
    let read_back = read_back(&cxl, &feature, args.offset, data.len());
    let change = Change {
        device: entry.name,
        uuid: feature.uuid.to_string(),
        name: feature.name(),
        scope: scope.name(),
        offset: args.offset,
        size: data.len(),
        asked_saved: args.saved,
        effects: feature.effects,
        immediate: feature.is_immediate(),
        matches: read_back.as_ref().map(|now| *now == data),
        read_back: read_back.map(Bytes),
    };
    output::print(args.output.output, &change)
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
             the change:  {}\n  it needs:    scope {needed}; {}{}\n  to agree:    run it again with --scope {needed}",
            title(feature),
            effects_in_words(feature.effects),
            taint(needed),
            if needed == Scope::DebugWriteFull { ", and needs CAP_SYS_RAWIO" } else { "" },
        ))),
    }
}

/// Reads the present value where the change was made. That this fails does not mean that the change
/// failed.
fn read_back(cxl: &CxlDevice, feature: &Feature, offset: u16, size: usize) -> Option<Vec<u8>> {
    current(cxl, feature, offset, size)
        .map_err(|error| say(&format!("written, but cannot be read back: {error}")))
        .ok()
}

/// Reads a part of the present value. It has been checked to lie within the feature.
fn current(cxl: &CxlDevice, feature: &Feature, offset: u16, size: usize) -> Result<Vec<u8>, Error> {
    cxl.get(&GetFeature {
        uuid: feature.uuid,
        selection: Selection::Current,
        offset,
        size: u16::try_from(size).unwrap_or(u16::MAX),
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
