// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl snapshot`.

use crate::children::{self, Ended};
use crate::common::World;
use crate::failure::{self, ErrorRow, Failure};
use crate::file::Output;
use crate::mlx5::dump;
use crate::output::{self, say, Block, Bytes, Format, Report};
use crate::progress;
use clap::value_parser;
use fwctl::catalogue::{Item, Volatility};
use fwctl::mlx5::{segments, Content, DumpRequest, Index, MenuRecord, Mlx5Device, MENU};
use fwctl::snapshot::{DeviceSnapshot, Snapshot};
use fwctl::sysfs::Entry;
use fwctl::{Device, DeviceType};
use serde::Serialize;
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
    /// Print the document (json), or a summary with the reasons of failures (table)
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "json")]
    pub output: Format,
}

/// Name and version of this tool.
pub const TOOL: &str = concat!("fwctl ", env!("CARGO_PKG_VERSION"));

/// The document. Its devices may come from other processes.
pub type Document = Snapshot<Value>;

/// One device of the document.
#[derive(Serialize)]
struct DeviceRow {
    #[serde(flatten)]
    device: DeviceSnapshot,
    /// Bytes of each dump, or its error; with --dumps.
    #[serde(skip_serializing_if = "Option::is_none")]
    dumps: Option<Vec<DumpRow>>,
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
    let is_whole = is_whole(&snapshot);
    match file {
        Some(file) => {
            file.write(&bytes(&snapshot)?)?;
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
) -> Result<Document, Failure> {
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
                    Err(error) => {
                        let mut device = DeviceSnapshot::new(entry);
                        let error = format!("{}: {error}", entry.name);
                        device.error = Some(ErrorRow::of_text(error));
                        value(&device)
                    }
                })
                .collect::<Result<_, _>>()?
        }
    };
    Ok(Snapshot::new(TOOL, &world.root, devices))
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
    let mut row = DeviceRow {
        device: DeviceSnapshot::new(entry),
        dumps: None,
    };
    let result = world
        .open_entry(entry)
        .and_then(|device| fill(&mut row, &device, extent));
    if let Err(error) = result {
        row.device.fail(&error);
    }
    row
}

fn fill(row: &mut DeviceRow, device: &Device, extent: Extent) -> Result<(), fwctl::Error> {
    let is_wanted = |item: &Item| extent != Extent::Metrics || is_metric(item);
    let progress = |count| progress::count(device.name(), "items read", count);
    let result = row.device.read(device, is_wanted, progress);
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
        error: result.as_ref().err().map(failure::row),
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

/// Returns whether every device was read to the end.
fn is_whole(document: &Document) -> bool {
    let mut devices = document.devices.iter();
    devices.all(|device| device["error"].is_null())
}

/// The document as it is written to files.
pub fn bytes(document: &Document) -> Result<Vec<u8>, Failure> {
    Ok((output::json(document)? + "\n").into_bytes())
}

impl Report for Document {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for device in &self.devices {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let items = device["items"].as_object();
            let items = || items.into_iter().flatten();
            // A ConnectX refuses many items for the same reason.
            let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
            for (path, item) in items().filter(|(_, item)| !item["error"].is_null()) {
                let reason = reason(&item["error"]);
                match reasons.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, paths)) => paths.push(path),
                    None => reasons.push((reason, vec![path])),
                }
            }
            let failed: usize = reasons.iter().map(|(_, paths)| paths.len()).sum();
            let mut fields = vec![
                ("device", text(&device["device"])),
                ("type", text(&device["type"])),
                ("items read", (items().count() - failed).to_string()),
                ("items failed", failed.to_string()),
            ];
            if let Some(error) = device["error"]["message"].as_str() {
                fields.push(("error", error.to_owned()));
            }
            blocks.push(Block::Fields(fields));
            if failed > 0 {
                let cells = |(reason, paths): (String, Vec<&str>)| {
                    vec![reason, paths.len().to_string(), paths[0].to_owned()]
                };
                let rows = reasons.into_iter().map(cells).collect();
                blocks.push(Block::Table(&["REASON", "ITEMS", "FIRST ITEM"], rows));
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
