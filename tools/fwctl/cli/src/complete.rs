// SPDX-License-Identifier: MIT OR Apache-2.0

//! Completion of what only this machine, or only another argument, can tell: devices, registers,
//! features and fields. The shells ask this command, by `clap_complete`'s dynamic engine.

use crate::common::World;
use clap::builder::StyledStr;
use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use fwctl::catalogue::{items, Kind};
use fwctl::cxl::{known_feature, settable_fields};
use fwctl::mlx5::{command, register, Layout};
use fwctl::sysfs::Entry;
use fwctl::DeviceType;
use std::ffi::OsStr;

/// The variable in which a shell asks. A common name, such as COMPLETE, could be set for others.
const VARIABLE: &str = "FWCTL_COMPLETE";

/// Answers a shell and exits, if one is asking.
pub fn answer<C: CommandFactory>() {
    CompleteEnv::with_factory(C::command)
        .var(VARIABLE)
        .completer("fwctl")
        .complete();
}

/// What a shell sources. Nothing for a shell that the engine does not know.
pub fn registration(shell: &str) -> Option<Vec<u8>> {
    let shells = Shells::builtins();
    let mut text = Vec::new();
    shells
        .completer(shell)?
        .write_registration(VARIABLE, "fwctl", "fwctl", "fwctl", &mut text)
        .ok()?;
    Some(text)
}

fn candidate(value: impl Into<String>, help: &str) -> CompletionCandidate {
    let help = (!help.is_empty()).then(|| StyledStr::from(help.to_owned()));
    CompletionCandidate::new(value.into()).help(help)
}

/// Names of the devices of this machine.
pub fn devices() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        // Not found is no answer: a shell cannot show errors.
        let entries = World::new(false).root.devices().unwrap_or_default();
        entries.iter().flat_map(names).collect()
    })
}

/// The names of a device, and what each is.
fn names(entry: &Entry) -> Vec<CompletionCandidate> {
    let parent = &entry.parent;
    let kind = entry
        .likely_type()
        .map_or_else(String::new, |known| known.to_string());
    let about = format!("{kind} {}", parent.name);
    let mut all = vec![candidate(entry.name.clone(), about.trim())];
    let of = format!("is {}", entry.name);
    let memdev = parent.memdev.iter().map(|memdev| &memdev.name);
    let pci = parent.pci.iter().map(|pci| &pci.address);
    let others = memdev
        .chain(&parent.netdevs)
        .chain(&parent.rdma_devices)
        .chain(pci);
    all.extend(others.map(|name| candidate(name.clone(), &of)));
    all
}

/// Features that have short names.
pub fn features() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = fwctl::cxl::known_features();
        names
            .map(|(name, uuid)| candidate(name, &uuid.to_string()))
            .collect()
    })
}

/// Logs that have short names.
pub fn logs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = fwctl::cxl::known_logs();
        names
            .map(|(name, uuid)| candidate(name, &uuid.to_string()))
            .collect()
    })
}

/// `FIELD=` for the fields that can be set of the feature that the command line names.
pub fn settings() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let current = current.to_string_lossy();
        let mut named = std::env::args().skip_while(|word| word != "--").skip(1);
        let uuid = named.find_map(|word| known_feature(&word).or_else(|| word.parse().ok()));
        let fields = uuid.and_then(settable_fields).unwrap_or_default();
        fields
            .iter()
            .filter(|(name, _)| name.starts_with(current.as_ref()))
            .map(|(name, values)| candidate(format!("{name}="), values))
            .collect()
    })
}

/// What the catalogue says about a register or a query command.
pub fn about(kind: Kind, name: &str) -> &'static str {
    let item = items(DeviceType::Mlx5)
        .iter()
        .find(|item| (item.kind, item.name) == (kind, name));
    item.map_or("", |item| item.about)
}

/// Names of registers.
pub fn registers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let layouts = fwctl::mlx5::registers().iter();
        layouts
            .map(|layout| candidate(layout.name, about(Kind::Register, layout.name)))
            .collect()
    })
}

/// Names of query commands.
pub fn commands() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let layouts = fwctl::mlx5::commands().iter().map(|command| &command.input);
        layouts
            .map(|layout| candidate(layout.name, about(Kind::Query, layout.name)))
            .collect()
    })
}

/// `FIELD=` for the fields of the register or query command that the command line names.
pub fn fields() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let current = current.to_string_lossy();
        let named = || std::env::args().skip_while(|word| word != "--").skip(1);
        let is_query = named().any(|word| word == "query");
        let layout: Option<&Layout> = named().find_map(|word| match is_query {
            true => command(&word).map(|command| &command.input),
            false => register(&word),
        });
        let fields = layout.map_or(&[][..], |layout| &layout.fields);
        fields
            .iter()
            .filter(|field| field.name.starts_with(current.as_ref()))
            .map(|field| candidate(format!("{}=", field.name), &format!("{} bits", field.width)))
            .collect()
    })
}
