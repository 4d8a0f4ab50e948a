// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl list`.

use crate::common::World;
use crate::failure::{with_advice, Failure};
use crate::output::{self, say, Block, OutputArgs, Report};
use crate::progress::counted;
use fwctl::sysfs::{Absence, Access, Entry, Parent, PciFunction};
use fwctl::{Advice, Error};
use serde::Serialize;

/// List every fwctl device: type, parent, node, and who may open it
///
/// The type is what the kernel says, for which the node is opened; where that is not permitted, it is guessed from the parent and
/// has a question mark. A machine without devices gets an empty list and a sentence on stderr that says what to do.
///
/// OPEN TO is who may open the node. It should be root alone: scope debug-write asks for no capability, so whoever can open a node
/// can write to the firmware and taint the kernel. A node that is open to more is named on stderr.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl list\n  fwctl list -o json | jq -r '.devices[] | select(.type == \"cxl\").name'"
)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct List {
    devices: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    r#type: Option<String>,
    /// The type is the kernel's word, not a guess.
    type_is_certain: bool,
    node: String,
    /// This process could open the node.
    can_open: bool,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    parent: ParentRow,
    #[serde(skip)]
    access: Option<Access>,
    /// The product's name, or the ids of the PCI function.
    #[serde(skip)]
    product: Option<String>,
}

#[derive(Serialize)]
struct ParentRow {
    name: Option<String>,
    bus: Option<String>,
    driver: Option<String>,
    pci_address: Option<String>,
    pci_vendor: Option<u16>,
    pci_device: Option<u16>,
    product: Option<String>,
    memdev: Option<String>,
    serial: Option<String>,
    firmware_version: Option<String>,
}

pub fn list(world: &World, args: ListArgs) -> Result<(), Failure> {
    let entries = match world.root.devices() {
        Ok(entries) => entries,
        Err(Error::Absent(absence @ Absence::NoDevices { .. })) => {
            say(&absence.to_string());
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let mut problems = Problems::default();
    let mut devices = Vec::new();
    for entry in &entries {
        devices.push(row(world, entry, &mut problems));
        counted("devices", devices.len(), entries.len());
    }
    problems.say();
    warn_of_open_nodes(&entries);
    output::print(args.output.output, &List { devices })
}

/// Whoever can open a node can write to the firmware, so it is worth a word if that is not only root.
fn warn_of_open_nodes(entries: &[Entry]) {
    let open: Vec<String> = entries
        .iter()
        .filter_map(|entry| {
            let access = entry
                .access
                .as_ref()
                .filter(|access| is_open_to_others(access))?;
            Some(format!("{} to {}", entry.name, open_to(access)))
        })
        .collect();
    if !open.is_empty() {
        say(&format!(
            "warning: open to others than root: {}; they can write to the firmware and taint the kernel",
            open.join("; ")
        ));
    }
}

/// Why devices could not be asked; what one errno means is said once, however many devices it is about.
#[derive(Default)]
struct Problems(Vec<(Option<Advice>, Vec<String>)>);

impl Problems {
    fn add(&mut self, error: &Error) {
        let (advice, text) = (error.advice(), error.to_string());
        match self.0.iter_mut().find(|(known, _)| *known == advice) {
            Some((_, texts)) => texts.push(text),
            None => self.0.push((advice, vec![text])),
        }
    }

    fn say(self) {
        for (advice, texts) in self.0 {
            say(&with_advice(texts.join("\nfwctl: "), advice));
        }
    }
}

fn row(world: &World, entry: &Entry, problems: &mut Problems) -> Row {
    let opened = world.open_entry(entry);
    let can_open = opened.is_ok();
    let (device_type, type_is_certain) = match opened.and_then(|device| device.device_type()) {
        Ok(device_type) => (Some(device_type), true),
        Err(error) => {
            problems.add(&error);
            (entry.likely_type(), false)
        }
    };
    Row {
        name: entry.name.clone(),
        r#type: device_type.map(|device_type| device_type.to_string()),
        type_is_certain,
        node: entry.node.display().to_string(),
        can_open,
        mode: entry
            .access
            .as_ref()
            .map(|access| format!("{:04o}", access.mode)),
        owner: entry.access.as_ref().map(|access| access.owner.clone()),
        group: entry.access.as_ref().map(|access| access.group.clone()),
        parent: parent(&entry.parent),
        access: entry.access.clone(),
        product: entry.parent.pci.as_ref().map(PciFunction::product_or_ids),
    }
}

fn parent(parent: &Parent) -> ParentRow {
    let (pci, memdev) = (parent.pci.as_ref(), parent.memdev.as_ref());
    ParentRow {
        name: Some(parent.name.clone()).filter(|name| !name.is_empty()),
        bus: parent.bus.clone(),
        driver: parent.driver.clone(),
        pci_address: pci.map(|pci| pci.address.clone()),
        pci_vendor: pci.map(|pci| pci.vendor),
        pci_device: pci.map(|pci| pci.device),
        product: pci.and_then(|pci| pci.product.clone()),
        memdev: memdev.map(|memdev| memdev.name.clone()),
        serial: memdev.and_then(|memdev| memdev.serial.clone()),
        firmware_version: memdev.and_then(|memdev| memdev.firmware_version.clone()),
    }
}

impl Report for List {
    fn blocks(&self) -> Vec<Block> {
        const HEAD: &[&str] = &[
            "NAME", "TYPE", "PARENT", "DRIVER", "PRODUCT", "NODE", "OPEN TO",
        ];
        if self.devices.is_empty() {
            return Vec::new();
        }
        vec![Block::Table(
            HEAD,
            self.devices.iter().map(Row::cells).collect(),
        )]
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let device_type = match (&self.r#type, self.type_is_certain) {
            (Some(device_type), true) => device_type.clone(),
            (Some(device_type), false) => format!("{device_type}?"),
            (None, _) => "?".into(),
        };
        let parent = &self.parent;
        let parent_text = match (&parent.name, &parent.pci_address) {
            (Some(name), Some(address)) if name != address => format!("{name} ({address})"),
            (Some(name), _) => name.clone(),
            (None, _) => "-".into(),
        };
        vec![
            self.name.clone(),
            device_type,
            parent_text,
            parent.driver.clone().unwrap_or_else(|| "-".into()),
            self.product.clone().unwrap_or_else(|| "-".into()),
            self.node.clone(),
            self.access
                .as_ref()
                .map_or_else(|| "nobody (no node)".into(), open_to),
        ]
    }
}

fn is_open_to_others(access: &Access) -> bool {
    // A system without a list of users has no name for root.
    let is_root = |name: &str| matches!(name, "root" | "0");
    !is_root(&access.owner)
        || (access.mode & 0o060 != 0 && !is_root(&access.group))
        || access.mode & 0o006 != 0
}

/// Who may open a node; one of the three permissions to read or write is enough, as no fwctl call asks for more.
fn open_to(access: &Access) -> String {
    let who = if access.mode & 0o006 != 0 {
        "everyone".to_owned()
    } else if access.mode & 0o060 != 0 {
        format!("{}, group {}", access.owner, access.group)
    } else {
        access.owner.clone()
    };
    format!("{who} ({:04o})", access.mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_open_in_words() {
        let access = |mode| {
            open_to(&Access {
                mode,
                owner: "root".into(),
                group: "fwctl".into(),
            })
        };
        assert_eq!(access(0o600), "root (0600)");
        assert_eq!(access(0o660), "root, group fwctl (0660)");
        assert_eq!(access(0o604), "everyone (0604)");
    }

    #[test]
    fn only_root_should_open_nodes() {
        let is_open = |mode, owner: &str, group: &str| {
            is_open_to_others(&Access {
                mode,
                owner: owner.into(),
                group: group.into(),
            })
        };
        assert!(!is_open(0o600, "root", "fwctl") && !is_open(0o660, "root", "root"));
        assert!(!is_open(0o660, "0", "0"));
        assert!(is_open(0o640, "root", "fwctl") && is_open(0o604, "root", "root"));
        assert!(is_open(0o600, "build", "build"));
    }
}
