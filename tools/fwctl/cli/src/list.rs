// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl list`.

use crate::common::World;
use crate::failure::{with_advice, ErrorRow, Failure};
use crate::output::{self, say, Block, OutputArgs, Report};
use crate::probe::{self, Answer};
use clap::value_parser;
use fwctl::snapshot::ParentReport;
use fwctl::sysfs::{Absence, Access, Entry, PciFunction};
use fwctl::Error;
use serde::Serialize;
use serde_json::{json, Value};
use std::time::Duration;

/// List every fwctl device: type, parent, driver, and who may open it
///
/// Reads sysfs only: no device is opened, and no firmware receives a command. TYPE is the device
/// type that the kernel states, or what the driver of the parent implies. PARENT has in parentheses
/// what else the parent is called: PCI address, network devices and RDMA devices. A narrow terminal
/// gets fewer columns.
///
/// With --probe, each device is opened and asked for its type and its firmware's version, all of
/// them at the same time. A device that does not answer within --timeout gets a row that says so.
/// Opening a ConnectX sends its firmware a command.
///
/// OPEN TO is who may open the node. It should be root alone: scope debug-write needs no
/// capability, so anyone who can open a node can write to the firmware and taint the kernel. A
/// warning names the nodes that others may open.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl list\n  fwctl list --probe\n  fwctl list -o json | jq -r '.devices[] | select(.type == \"cxl\").name'"
)]
pub struct ListArgs {
    /// Open each device and ask it for its type
    #[arg(long)]
    probe: bool,
    /// Time limit for the answers
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = value_parser!(u64).range(1..=3600), requires = "probe")]
    timeout: u64,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct List {
    devices: Vec<Row>,
    #[serde(skip)]
    is_probed: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    r#type: Option<String>,
    /// The kernel states the type; otherwise the parent's driver implies it.
    type_is_certain: bool,
    /// Highest scope that the administrator allows.
    max_scope: Option<String>,
    node: String,
    /// This process may open the node. With --probe: it opened the node.
    can_open: bool,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    parent: ParentReport,
    /// With --probe, how that went.
    probe: Option<ProbeRow>,
    #[serde(skip)]
    access: Option<Access>,
    /// The product's name, or the ids of the PCI function.
    #[serde(skip)]
    product: Option<String>,
}

#[derive(Serialize)]
struct ProbeRow {
    /// ok, failed or silent.
    outcome: &'static str,
    error: Option<Value>,
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
    let mut devices: Vec<Row> = entries.iter().map(row).collect();
    if args.probe {
        let limit = Duration::from_secs(args.timeout);
        let mut problems = Problems::default();
        for (row, answer) in devices.iter_mut().zip(probe::probe(&entries, limit)) {
            row.take(answer, limit, &mut problems);
        }
        problems.say();
    }
    warn_of_open_nodes(&entries);
    let list = List {
        devices,
        is_probed: args.probe,
    };
    output::print(args.output.output, &list)
}

/// Warns of nodes that others than root may open: they can write to the firmware.
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

/// Errors of devices that could not be asked. Advice that several share is printed once.
#[derive(Default)]
struct Problems(Vec<(String, Vec<String>)>);

impl Problems {
    fn add(&mut self, error: &Value) {
        let text = |key: &str| error[key].as_str();
        let advice = text("meaning").zip(text("remedy"));
        let advice = with_advice(String::new(), advice);
        let message = text("message").unwrap_or("?").to_owned();
        match self.0.iter_mut().find(|(known, _)| *known == advice) {
            Some((_, errors)) => errors.push(message),
            None => self.0.push((advice, vec![message])),
        }
    }

    fn say(self) {
        for (advice, errors) in self.0 {
            say(&(errors.join("\nfwctl: ") + &advice));
        }
    }
}

fn row(entry: &Entry) -> Row {
    Row {
        name: entry.name.clone(),
        r#type: entry
            .likely_type()
            .map(|device_type| device_type.to_string()),
        type_is_certain: entry.device_type.is_some(),
        max_scope: entry.max_scope.map(|scope| scope.to_string()),
        node: entry.node.display().to_string(),
        can_open: rustix::fs::access(&entry.node, rustix::fs::Access::READ_OK).is_ok(),
        mode: entry
            .access
            .as_ref()
            .map(|access| format!("{:04o}", access.mode)),
        owner: entry.access.as_ref().map(|access| access.owner.clone()),
        group: entry.access.as_ref().map(|access| access.group.clone()),
        parent: ParentReport::new(&entry.parent),
        probe: None,
        access: entry.access.clone(),
        product: entry.parent.pci.as_ref().map(PciFunction::product_or_ids),
    }
}

impl Report for List {
    fn blocks(&self) -> Vec<Block> {
        const HEAD: &[&str] = &["NAME", "TYPE", "PARENT", "DRIVER", "OPEN TO", "PRODUCT"];
        const PROBED: &[&str] = &[
            "NAME", "TYPE", "PARENT", "PROBE", "OPEN TO", "FIRMWARE", "PRODUCT",
        ];
        if self.devices.is_empty() {
            return Vec::new();
        }
        // The type implies the driver, and a warning names nodes that are open to others.
        vec![Block::Trimmed(
            if self.is_probed { PROBED } else { HEAD },
            self.devices.iter().map(Row::cells).collect(),
            &["DRIVER", "OPEN TO"],
        )]
    }
}

impl Row {
    /// Enters the answer of a device.
    fn take(&mut self, answer: Answer, limit: Duration, problems: &mut Problems) {
        let (outcome, error) = match answer {
            Answer::Info {
                device_type,
                firmware_version,
                serial,
                psid,
            } => {
                self.r#type = Some(device_type);
                self.parent.firmware_version = firmware_version;
                self.parent.serial = serial;
                self.parent.psid = psid;
                self.type_is_certain = true;
                ("ok", None)
            }
            Answer::Failed(error) => ("failed", Some(error)),
            Answer::Silent => {
                let message = format!("{}: no answer in {} s", self.name, limit.as_secs());
                let mut error = ErrorRow::of_text(message);
                error.meaning = Some("the firmware does not answer, or the driver waits for it");
                error.remedy = Some("see the kernel log: dmesg; the device may need a reset");
                ("silent", Some(json!(error)))
            }
        };
        if let Some(error) = &error {
            problems.add(error);
        }
        self.can_open = outcome == "ok";
        self.probe = Some(ProbeRow { outcome, error });
    }

    fn cells(&self) -> Vec<String> {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let parent = &self.parent;
        let address = parent.pci_address.iter();
        let others: Vec<&str> = address
            .chain(&parent.netdevs)
            .chain(&parent.rdma_devices)
            .filter(|other| Some(*other) != parent.name.as_ref())
            .map(String::as_str)
            .collect();
        let parent_text = match (&parent.name, others.as_slice()) {
            (Some(name), [_, ..]) => format!("{name} ({})", others.join(", ")),
            (name, _) => or_none(name),
        };
        let mut cells = vec![
            self.name.clone(),
            or_none(&self.r#type),
            parent_text,
            match &self.probe {
                Some(probe) => probe.outcome.into(),
                None => or_none(&parent.driver),
            },
            self.access
                .as_ref()
                .map_or_else(|| "nobody (no node)".into(), open_to),
            or_none(&self.product),
        ];
        if self.probe.is_some() {
            cells.insert(5, or_none(&parent.firmware_version));
        }
        cells
    }
}

fn is_open_to_others(access: &Access) -> bool {
    // A system without a list of users has no name for root.
    let is_root = |name: &str| matches!(name, "root" | "0");
    !is_root(&access.owner)
        || (access.mode & 0o060 != 0 && !is_root(&access.group))
        || access.mode & 0o006 != 0
}

/// Describes who may open a node. Permission to read or to write is enough: no fwctl call needs
/// more.
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
    fn open_to_names_owner_group_or_everyone() {
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
