// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl snapshot`.

use crate::children::{self, Ended};
use crate::clock;
use crate::common::World;
use crate::failure::{ErrorRow, Failure};
use crate::fields::Fields;
use crate::file::Output;
use crate::list::{parent, ParentRow};
use crate::mlx5::dump;
use crate::output::{self, hex, say, Block, Bytes, Format, Report};
use crate::progress;
use clap::value_parser;
use fwctl::catalogue::{read_some, Item, Reading, Volatility};
use fwctl::mlx5::{segments, Content, DumpRequest, Index, MenuRecord, Mlx5Device, MENU};
use fwctl::sysfs::Entry;
use fwctl::{Device, DeviceType, DriverInfo};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::time::Duration;

/// Read everything that devices say about themselves, as one JSON document
///
/// Reads every register, capability, query command and feature that the tool knows of, raw and
/// decoded, for every port and sensor. It also lists the commands of a CXL memory device, and the
/// operations of a Pensando card. Nothing is changed: no counter is cleared, and no
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
    #[arg(value_name = "DEV", required_unless_present = "all", add = crate::complete::devices())]
    devices: Vec<String>,
    /// All devices
    #[arg(long, conflicts_with = "devices")]
    all: bool,
    /// Also dump what the firmware of a ConnectX can dump without the number of an object
    #[arg(long)]
    dumps: bool,
    /// Read only what fwctl export needs
    #[arg(long, hide = true, conflicts_with = "dumps")]
    metrics: bool,
    /// Time limit for each device; 60 if there are several
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=3600))]
    timeout: Option<u64>,
    /// Write the document to this file, which is replaced as a whole
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Print the document (json), or a summary with the items that failed (table)
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "json")]
    pub output: Format,
}

/// What kind of document this is, for programs that get several.
pub const KIND: &str = "snapshot";

/// Name and version of this tool.
pub const TOOL: &str = concat!("fwctl ", env!("CARGO_PKG_VERSION"));

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
    /// Bytes of each dump, or its error; with --dumps.
    #[serde(skip_serializing_if = "Option::is_none")]
    dumps: Option<Vec<DumpRow>>,
    /// Why the device, or the rest of it, could not be read.
    error: Option<ErrorRow>,
}

/// The driver's data, without what differs for each open file.
#[derive(Serialize)]
struct InfoRow {
    uctx_caps: Option<u32>,
    uctx_cap_names: Vec<&'static str>,
}

#[derive(Serialize)]
struct DumpRow {
    name: String,
    segment_type: u16,
    data: Option<Bytes>,
    error: Option<ErrorRow>,
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The catalogue.
    Catalogue,
    /// The catalogue, and dumps.
    Dumps,
    /// Counters, temperatures and versions.
    Metrics,
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
                row.fields = Some(Fields::of_item(fields));
            }
            Err(error) => row.error = Some(ErrorRow::from(&error)),
        }
        row
    }
}

pub fn snapshot(world: &World, args: &SnapshotArgs) -> Result<(), Failure> {
    if args.output == Format::Raw {
        return Err(output::no_raw_output());
    }
    let entries = entries(world, &args.devices)?;
    let limit = Duration::from_secs(args.timeout.unwrap_or(60));
    if args.timeout.is_some() && entries.len() == 1 {
        // What was read by then is printed.
        world.limit(limit)?;
    }
    // Before anything is sent.
    let file = args.out.as_deref().map(Output::prepare).transpose()?;
    let extent = match (args.dumps, args.metrics) {
        (true, _) => Extent::Dumps,
        (false, true) => Extent::Metrics,
        (false, false) => Extent::Catalogue,
    };
    let limit = Some(limit).filter(|_| entries.len() != 1);
    let snapshot = take(world, &entries, extent, limit)?;
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

/// The time limit of a verb that does more than read devices: none for a single device, unless it
/// was asked for.
pub fn limit(asked: Option<u64>, entries: &[Entry], default: u64) -> Option<Duration> {
    match (asked, entries) {
        (None, [_]) => None,
        _ => Some(Duration::from_secs(asked.unwrap_or(default))),
    }
}

/// Reads the devices, each in a separate process with this time limit; or a single device in this
/// process, without one.
pub fn take(
    world: &World,
    entries: &[Entry],
    extent: Extent,
    limit: Option<Duration>,
) -> Result<Snapshot, Failure> {
    let devices = match (entries, limit) {
        ([entry], None) => vec![value(&read(world, entry, extent))?],
        _ => {
            // Only one device is read without a limit.
            let limit = limit.unwrap_or_default();
            let args: &[&str] = match extent {
                Extent::Catalogue => &["snapshot"],
                Extent::Dumps => &["snapshot", "--dumps"],
                Extent::Metrics => &["snapshot", "--metrics"],
            };
            let ends = children::run(entries, args, limit);
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
        tool: TOOL,
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

fn read(world: &World, entry: &Entry, extent: Extent) -> DeviceRow {
    let mut row = DeviceRow::new(entry);
    let result = world
        .open_entry(entry)
        .and_then(|device| fill(&mut row, &device, extent));
    row.error = result.err().map(|error| ErrorRow::from(&error));
    row
}

fn fill(row: &mut DeviceRow, device: &Device, extent: Extent) -> Result<(), fwctl::Error> {
    let info = device.info()?;
    row.r#type = Some(info.device_type.to_string());
    row.driver_info = Some(InfoRow {
        uctx_caps: match info.driver {
            DriverInfo::Mlx5 { uctx_caps, .. }
            | DriverInfo::Pds { uctx_caps }
            | DriverInfo::CxlCommands { uctx_caps, .. }
            | DriverInfo::Bnxt { uctx_caps } => Some(uctx_caps),
            _ => None,
        },
        uctx_cap_names: info
            .driver
            .capabilities()
            .into_iter()
            .filter_map(|(_, name)| name)
            .collect(),
    });
    let items = &mut row.items.0;
    let is_wanted = |item: &Item| extent != Extent::Metrics || is_metric(item);
    let result = read_some(device, is_wanted, |reading| {
        items.push((reading.path(), ItemRow::new(reading)));
        progress::count(device.name(), "items read", items.len());
    });
    progress::clear();
    result?;
    if extent == Extent::Dumps {
        row.dumps = Some(dumps(device)?);
    }
    Ok(())
}

/// What fwctl export needs.
fn is_metric(item: &Item) -> bool {
    item.volatility == Volatility::Counter || matches!(item.name, "mtmp" | "adapter" | "mcqi")
}

/// Most bytes of a dump.
const MAX_DUMP: usize = 4 << 20;

/// Dumps what the menu of a ConnectX lists and that needs no number.
fn dumps(device: &Device) -> Result<Vec<DumpRow>, fwctl::Error> {
    if device.device_type()? != DeviceType::Mlx5 {
        return Ok(Vec::new());
    }
    let mlx5 = Mlx5Device::new(device.clone())?;
    let row = |name: &str, segment_type, result: Result<Vec<u8>, fwctl::Error>| DumpRow {
        name: name.to_owned(),
        segment_type,
        error: result.as_ref().err().map(ErrorRow::from),
        data: result.ok().map(Bytes),
    };
    let menu = dump::read(&mlx5, &DumpRequest::new(MENU), MAX_DUMP);
    let bytes = menu.as_ref().map_or(&[][..], |bytes| bytes);
    let (found, _) = segments(bytes);
    let mut all = Vec::new();
    for segment in &found {
        let Content::Menu(records) = &segment.content else {
            continue;
        };
        let needs_number = |index: &Index| index.is_required || index.requires_count;
        let is_wanted =
            |record: &&MenuRecord| !needs_number(&record.index1) && !needs_number(&record.index2);
        for record in records.iter().filter(is_wanted) {
            let request = DumpRequest::new(record.segment_type);
            let bytes = dump::read(&mlx5, &request, MAX_DUMP);
            all.push(row(&record.name, record.segment_type, bytes));
        }
    }
    all.insert(0, row("menu", MENU, menu));
    Ok(all)
}

impl DeviceRow {
    fn new(entry: &Entry) -> DeviceRow {
        DeviceRow {
            device: entry.name.clone(),
            r#type: entry.likely_type().map(|known| known.to_string()),
            parent: parent(&entry.parent),
            driver_info: None,
            items: Items::default(),
            dumps: None,
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
