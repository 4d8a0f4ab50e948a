// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl features`.

use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use fwctl::cxl::{effect_names, CxlDevice, Feature, SetPolicy, Verdict};
use serde::Serialize;

/// List the features of a device, with sizes, the scope of a change, and its effects
///
/// FEATURE is the name that the tool has for a feature of the specification, or the UUID of another
/// one. GET and SET are the most bytes that can be read and written; SET is 0 for features that are
/// reserved for the kernel. CHANGEABLE is the scope that a change needs; debug-write and
/// debug-write-full taint the kernel. JSON has more: index, UUID, versions and attributes.
#[derive(clap::Args, Debug)]
pub struct FeaturesArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Features {
    device: String,
    features: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: u16,
    uuid: String,
    name: Option<&'static str>,
    get_size: u16,
    set_size: u16,
    get_version: u8,
    set_version: u8,
    flags: u32,
    changeable: bool,
    kernel_exclusive: bool,
    has_default: bool,
    has_saved: bool,
    persistent: bool,
    effects: u16,
    effect_names: Vec<&'static str>,
    /// Scope that changing it needs; none if it cannot be changed through fwctl.
    set_scope: Option<&'static str>,
    #[serde(skip)]
    feature: Feature,
}

pub fn features(world: &World, args: FeaturesArgs) -> Result<(), Failure> {
    let cxl = CxlDevice::new(args.device.open(world)?)?;
    let features = super::all(&cxl)?.into_iter().map(row).collect();
    output::print(
        args.output.output,
        &Features {
            device: cxl.device().name().into(),
            features,
        },
    )
}

fn row(feature: Feature) -> Row {
    Row {
        id: feature.id,
        uuid: feature.uuid.to_string(),
        name: feature.name(),
        get_size: feature.get_size,
        set_size: feature.set_size,
        get_version: feature.get_version,
        set_version: feature.set_version,
        flags: feature.flags,
        changeable: feature.is_changeable(),
        kernel_exclusive: feature.is_kernel_exclusive(),
        has_default: feature.has_default(),
        has_saved: feature.has_saved(),
        persistent: feature.is_persistent(),
        effects: feature.effects,
        effect_names: effect_names(feature.effects)
            .iter()
            .map(|effect| effect.name)
            .collect(),
        set_scope: match feature.set_policy() {
            SetPolicy::Scope(scope) => Some(scope.name()),
            SetPolicy::Never(_) => None,
        },
        feature,
    }
}

impl Report for Features {
    fn blocks(&self) -> Vec<Block> {
        // 80 columns are enough for a UUID, the longest scope, and the longest word of an effect.
        const HEAD: &[&str] = &["FEATURE", "GET", "SET", "CHANGEABLE", "EFFECTS OF A CHANGE"];
        let cells = |row: &Row| {
            vec![
                row.name.map_or_else(|| row.uuid.clone(), str::to_owned),
                row.get_size.to_string(),
                row.set_size.to_string(),
                changeable(&row.feature),
                effects_in_words(row.effects),
            ]
        };
        vec![Block::Trimmed(
            HEAD,
            self.features.iter().map(cells).collect(),
            &["SET", "GET"],
        )]
    }
}

fn changeable(feature: &Feature) -> String {
    match feature.set_policy() {
        SetPolicy::Scope(scope) => scope.name().into(),
        SetPolicy::Never(Verdict::KernelExclusive) => "kernel only".into(),
        SetPolicy::Never(Verdict::NotChangeable) => "no".into(),
        SetPolicy::Never(Verdict::ReservedEffects) => "no (reserved)".into(),
        SetPolicy::Never(Verdict::Background) => "no (background)".into(),
        SetPolicy::Never(Verdict::NoEffects) => "no (no effects)".into(),
        SetPolicy::Never(_) => "no".into(),
    }
}

/// The effects of a change, for people.
pub fn effects_in_words(effects: u16) -> String {
    let words: Vec<&str> = effect_names(effects)
        .iter()
        .map(|effect| effect.words)
        .collect();
    if words.is_empty() {
        return "none".into();
    }
    words.join("; ")
}
