// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl`: the features and the commands of a CXL memory device, and the ports of a switch.

mod command;
mod commands;
mod features;
mod get;
mod log;
mod ports;
pub mod set;

use crate::common::{nearest, World};
use crate::failure::Failure;
use crate::output::{bytes, Format};
use crate::progress::counted;
use clap::Subcommand;
use fwctl::cxl::{known_feature, known_features, CxlDevice, Feature};
use fwctl::{Error, Uuid};

/// Features, commands and logs of a CXL memory device; commands and ports of a switch
#[derive(Subcommand, Debug)]
pub enum CxlVerb {
    Features(features::FeaturesArgs),
    Get(get::GetArgs),
    Set(set::SetArgs),
    Commands(commands::CommandsArgs),
    Command(command::CommandArgs),
    Log(log::LogArgs),
    Ports(ports::PortsArgs),
}

impl CxlVerb {
    pub fn format(&self) -> Format {
        match self {
            CxlVerb::Features(args) => args.output.output,
            CxlVerb::Get(args) => args.output.output,
            CxlVerb::Set(args) => args.output.output,
            CxlVerb::Commands(args) => args.output.output,
            CxlVerb::Command(args) => args.output.output,
            CxlVerb::Log(args) => args.output.output,
            CxlVerb::Ports(args) => args.output.output,
        }
    }
}

pub fn run(world: &World, verb: CxlVerb) -> Result<(), Failure> {
    match verb {
        CxlVerb::Features(args) => features::features(world, args),
        CxlVerb::Get(args) => get::get(world, args),
        CxlVerb::Set(args) => set::set(world, args),
        CxlVerb::Commands(args) => commands::commands(world, args),
        CxlVerb::Command(args) => command::command(world, args),
        CxlVerb::Log(args) => log::log(world, args),
        CxlVerb::Ports(args) => ports::ports(world, args),
    }
}

/// Parses a feature: its UUID, or its short name.
pub fn feature_uuid(text: &str) -> Result<Uuid, String> {
    let known = known_feature(text).map_or_else(|| text.parse(), Ok);
    known.map_err(|_| {
        let names = || known_features().map(|(name, _)| name);
        match nearest(text, names()) {
            Some(name) => format!("neither a UUID nor a short name; did you mean '{name}'?"),
            None => {
                let names: Vec<&str> = names().collect();
                format!("not a UUID, and not one of {}", names.join(", "))
            }
        }
    })
}

/// Every feature of a device.
pub fn all(cxl: &CxlDevice) -> Result<Vec<Feature>, Failure> {
    Ok(cxl.features_with(|done, all| counted("features", done, all))?)
}

/// Finds a feature of the device.
fn find(cxl: &CxlDevice, uuid: Uuid) -> Result<Feature, Failure> {
    all(cxl)?
        .into_iter()
        .find(|feature| feature.uuid == uuid)
        .ok_or_else(|| {
            let device = cxl.device().name();
            Failure::Failed(format!(
                "{device}: no feature {uuid}; list the features with: fwctl cxl features {device}"
            ))
        })
}

/// Fails if bytes from `offset` on do not lie within the feature.
pub fn check_range(
    cxl: &CxlDevice,
    feature: &Feature,
    max: u16,
    offset: u16,
    size: usize,
) -> Result<(), Failure> {
    let end = usize::from(offset) + size;
    if end <= usize::from(max) && size > 0 {
        return Ok(());
    }
    let asked = match size {
        0 => "the range has no bytes".to_owned(),
        1 => format!("the range is byte {offset}"),
        _ => format!("the range is bytes {offset} to {}", end - 1),
    };
    let why = format!("{asked}, and the feature has {}", bytes(max.into()));
    Err(Error::Feature {
        device: cxl.device().name().into(),
        feature: title(feature),
        why,
    }
    .into())
}

/// Its short name with the UUID, or the UUID alone.
fn title(feature: &Feature) -> String {
    match feature.name() {
        Some(name) => format!("{name} ({})", feature.uuid),
        None => feature.uuid.to_string(),
    }
}
