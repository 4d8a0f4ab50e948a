// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl snapshot`.

use crate::children::{self, Ended};
use crate::clock;
use crate::common::World;
use crate::failure::{ErrorRow, Failure};
use crate::fields::Fields;
use crate::file::Output;
use crate::list::{parent, ParentRow};
use crate::output::{self, hex, say, Block, Format, Report};
use crate::progress;
use clap::value_parser;
use fwctl::catalogue::{read_all, Reading};
use fwctl::sysfs::Entry;
use fwctl::{Device, DriverInfo};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::time::Duration;

/// Read everything that devices say about themselves, as one JSON document
///
/// Reads every register, capability, query command and feature that the tool knows of, raw and
/// decoded, for every port and sensor. Nothing is changed: no counter is cleared, and no
/// request is sent in a scope that taints the kernel. Each device is opened once.
///
/// An item that the device refuses has its error in the document, and the command still succeeds.
/// It fails if a device cannot be read at all; the other devices are in the document.
///
/// Several devices are read at the same time, each by a separate process; one that does not answer
/// within --timeout is reported as an error. fwctl diff compares two documents.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl snapshot --all --out before.json\n  fwctl snapshot fwctl0 | jq '.devices[].items[\"query/adapter\"].fields'"
)]
pub struct SnapshotArgs {
    /// Devices, by any of their names
    #[arg(value_name = "DEV", required_unless_present = "all", value_hint = clap::ValueHint::FilePath)]
    devices: Vec<String>,
    /// All devices
    #[arg(long, conflicts_with = "devices")]
    all: bool,
    /// Time limit for each device, if there are several
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Write the document to this file, which is replaced as a whole
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Print the document (json), or a summary with the items that failed (table)
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "json")]
    pub output: Format,
}

/// What kind of document this is, for programs that get several.
pub const KIND: &str = "snapshot";

/// The document. Its devices may come from other processes.
#[derive(Serialize)]
pub struct Snapshot {
    kind: &'static str,
    tool: &'static str,
    time: String,
    host: Host,
    pub devices: Vec<Value>,
}

#[derive(Serialize)]
struct Host {
    name: Option<String>,
    kernel: Option<String>,
}

/// One device of the document.
#[derive(Serialize)]
struct DeviceRow {
    device: String,
    r#type: Option<String>,
    parent: ParentRow,
    driver_info: Option<InfoRow>,
    items: Items,
    /// Why the device, or the rest of it, could not be read.
    error: Option<ErrorRow>,
}

/// The driver's data, without what differs for each open file.
#[derive(Serialize)]
struct InfoRow {
    uctx_caps: Option<u32>,
    uctx_cap_names: Vec<&'static str>,
}

/// In JSON: an object, with the items by their paths in the order of the catalogue.
#[derive(Default)]
struct Items(Vec<(String, ItemRow)>);

#[derive(Serialize)]
struct ItemRow {
    about: &'static str,
    scope: &'static str,
    volatility: &'static str,
    /// Length of the bytes.
    length: Option<usize>,
    /// The bytes, without zeros at their end.
    raw: Option<String>,
    fields: Option<Fields>,
    error: Option<ErrorRow>,
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (path, item) in &self.0 {
            map.serialize_entry(path, item)?;
        }
        map.end()
    }
}

impl ItemRow {
    fn new(reading: Reading) -> ItemRow {
        let item = reading.item;
        let mut row = ItemRow {
            about: item.about,
            scope: item.scope.name(),
            volatility: item.volatility.name(),
            length: None,
            raw: None,
            fields: None,
            error: None,
        };
        match reading.outcome {
            Ok((raw, fields)) => {
                let end = raw.iter().rposition(|byte| *byte != 0);
                row.length = Some(raw.len());
                row.raw = Some(hex(&raw[..end.map_or(0, |last| last + 1)]));
                row.fields = Some(Fields::of_item(fields, item.volatility));
            }
            Err(error) => row.error = Some(ErrorRow::from(&error)),
        }
        row
    }
}

pub fn snapshot(world: &World, args: &SnapshotArgs) -> Result<(), Failure> {
    if args.output == Format::Raw {
        return Err(Failure::Usage(
            "this command has no raw output: use -o table or -o json".into(),
        ));
    }
    let entries = entries(world, &args.devices)?;
    // Before anything is sent.
    let file = args.out.as_deref().map(Output::prepare).transpose()?;
    let limit = Duration::from_secs(args.timeout);
    let snapshot = take(world, &entries, limit)?;
    for device in &snapshot.devices {
        if let Some(message) = device["error"]["message"].as_str() {
            say(message);
        }
    }
    let is_whole = snapshot.is_whole();
    match file {
        Some(file) => {
            file.write(&snapshot.document()?)?;
            if args.output == Format::Table {
                output::print(Format::Table, &snapshot)?;
            }
        }
        None => output::print(args.output, &snapshot)?,
    }
    match is_whole {
        true => Ok(()),
        false => Err(Failure::Status(1)),
    }
}

/// The devices of these names; all devices if there is no name.
pub fn entries(world: &World, names: &[String]) -> Result<Vec<Entry>, Failure> {
    if names.is_empty() {
        return Ok(world.root.devices()?);
    }
    let mut entries: Vec<Entry> = Vec::new();
    for name in names {
        let entry = world.root.resolve(name)?;
        if entries.iter().all(|known| known.name != entry.name) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Reads the devices: one in this process, several in a process each.
pub fn take(world: &World, entries: &[Entry], limit: Duration) -> Result<Snapshot, Failure> {
    let devices = match entries {
        [entry] => vec![value(&read(world, entry))?],
        _ => {
            let ends = children::run(entries, &["snapshot", "-o", "json"], limit);
            let pairs = entries.iter().zip(ends);
            pairs
                .map(|(entry, end)| match of_child(end, limit) {
                    Ok(device) => Ok(device),
                    Err(error) => value(&DeviceRow {
                        error: Some(ErrorRow::of_text(format!("{}: {error}", entry.name))),
                        ..DeviceRow::new(entry)
                    }),
                })
                .collect::<Result<_, _>>()?
        }
    };
    let text = |path| {
        let text = std::fs::read_to_string(world.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    };
    Ok(Snapshot {
        kind: KIND,
        tool: concat!("fwctl ", env!("CARGO_PKG_VERSION")),
        time: clock::now(),
        host: Host {
            name: text("proc/sys/kernel/hostname"),
            kernel: text("proc/sys/kernel/osrelease"),
        },
        devices,
    })
}

fn value(row: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(row).map_err(|e| Failure::Failed(e.to_string()))
}

/// The device in the document of a child.
fn of_child(end: Ended, limit: Duration) -> Result<Value, String> {
    let (stdout, stderr) = match end {
        Ended::Output(stdout, stderr) => (stdout, stderr),
        Ended::Failed(error) => return Err(error),
        Ended::Silent => return Err(format!("no answer in {} s", limit.as_secs())),
    };
    let mut document: Value = serde_json::from_str(&stdout)
        .map_err(|_| format!("its process failed: {}", stderr.trim_end()))?;
    match document["devices"].as_array_mut() {
        Some(devices) if devices.len() == 1 => Ok(devices.remove(0)),
        _ => Err(format!("its process failed: {}", stderr.trim_end())),
    }
}

fn read(world: &World, entry: &Entry) -> DeviceRow {
    let mut row = DeviceRow::new(entry);
    let result = world
        .open_entry(entry)
        .and_then(|device| fill(&mut row, &device));
    row.error = result.err().map(|error| ErrorRow::from(&error));
    row
}

fn fill(row: &mut DeviceRow, device: &Device) -> Result<(), fwctl::Error> {
    let info = device.info()?;
    row.r#type = Some(info.device_type.to_string());
    row.driver_info = Some(InfoRow {
        uctx_caps: match info.driver {
            DriverInfo::Mlx5 { uctx_caps, .. }
            | DriverInfo::Pds { uctx_caps }
            | DriverInfo::Bnxt { uctx_caps } => Some(uctx_caps),
            DriverInfo::Cxl | DriverInfo::Bytes => None,
        },
        uctx_cap_names: info
            .driver
            .capabilities()
            .into_iter()
            .filter_map(|(_, name)| name)
            .collect(),
    });
    let items = &mut row.items.0;
    let result = read_all(device, |reading| {
        items.push((reading.path(), ItemRow::new(reading)));
        progress::count(device.name(), "items read", items.len());
    });
    progress::clear();
    result
}

impl DeviceRow {
    fn new(entry: &Entry) -> DeviceRow {
        DeviceRow {
            device: entry.name.clone(),
            r#type: entry.likely_type().map(|known| known.to_string()),
            parent: parent(&entry.parent),
            driver_info: None,
            items: Items::default(),
            error: None,
        }
    }
}

impl Snapshot {
    /// Returns whether every device was read to the end.
    pub fn is_whole(&self) -> bool {
        self.devices.iter().all(|device| device["error"].is_null())
    }

    /// The document as it is written to files.
    pub fn document(&self) -> Result<Vec<u8>, Failure> {
        Ok((output::json(self)? + "\n").into_bytes())
    }
}

impl Report for Snapshot {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for device in &self.devices {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let items = device["items"].as_object();
            let items = || items.into_iter().flatten();
            let failed: Vec<Vec<String>> = items()
                .filter(|(_, item)| !item["error"].is_null())
                .map(|(path, item)| vec![path.clone(), reason(&item["error"])])
                .collect();
            let mut fields = vec![
                ("device", text(&device["device"])),
                ("type", text(&device["type"])),
                ("items read", (items().count() - failed.len()).to_string()),
                ("items failed", failed.len().to_string()),
            ];
            if let Some(error) = device["error"]["message"].as_str() {
                fields.push(("error", error.to_owned()));
            }
            blocks.push(Block::Fields(fields));
            if !failed.is_empty() {
                blocks.push(Block::Table(&["ITEM", "REASON"], failed));
            }
        }
        blocks
    }
}

/// An error in a few words: the firmware's status or the errno, where there is one.
pub fn reason(error: &Value) -> String {
    let name = |key: &str| error[key].as_str();
    match (name("firmware_status_name"), name("errno_name")) {
        (Some(status), _) => match error["syndrome"].as_u64() {
            Some(syndrome) => format!("{status}, syndrome {syndrome:#010x}"),
            None => status.to_owned(),
        },
        (None, Some(errno)) => errno.to_owned(),
        (None, None) => name("message").unwrap_or("-").to_owned(),
    }
}
