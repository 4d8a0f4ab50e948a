// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl diff`.

use crate::common::{number_text, read_file};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use crate::snapshot;
use fwctl::snapshot::{FORMAT, KIND};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Compare two snapshots: of two hosts, or before and after an update
///
/// A and B are documents of fwctl snapshot; - is stdin. Devices are compared with the device of the
/// same parent, such as the same PCI address, or else with the next one of the same type.
///
/// Values that change by themselves (counters, temperatures, clocks, link states) are counted, and
/// listed with --volatile; they do not make snapshots different.
///
/// The exit status is that of diff(1): 0 if nothing differs, 1 if something does, 2 if the
/// comparison failed.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl diff before.json after.json")]
pub struct DiffArgs {
    /// A snapshot
    #[arg(value_name = "A", value_hint = clap::ValueHint::FilePath)]
    a: String,
    /// Another snapshot
    #[arg(value_name = "B", value_hint = clap::ValueHint::FilePath)]
    b: String,
    /// List the differences of volatile values, too
    #[arg(long)]
    volatile: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Diff {
    a: Side,
    b: Side,
    differs: bool,
    differences: Vec<Difference>,
    volatile_count: usize,
    /// With --volatile.
    volatile: Vec<Difference>,
}

#[derive(Serialize)]
struct Side {
    file: String,
    host: Option<String>,
    kernel: Option<String>,
    time: Option<String>,
}

/// A value that differs. One that only one of the snapshots has is null in the other.
#[derive(Serialize)]
struct Difference {
    device: String,
    /// None: the device itself.
    item: Option<String>,
    /// None: the item as a whole.
    field: Option<String>,
    a: Value,
    b: Value,
    #[serde(skip)]
    is_volatile: bool,
    #[serde(skip)]
    unit: Option<String>,
    /// What the numbers stand for, for people.
    #[serde(skip)]
    meanings: [Option<String>; 2],
}

/// The longest document that is read: some thousand devices.
const MAX_DOCUMENT: usize = 256 << 20;

pub fn diff(args: DiffArgs) -> Result<(), Failure> {
    let trouble = |failure: Failure| match failure.row() {
        Some(row) => Failure::Usage(row.message),
        None => failure,
    };
    if args.a == "-" && args.b == "-" {
        return Err(Failure::Usage("only one of the snapshots can be -".into()));
    }
    let (a, b) = (
        document(&args.a).map_err(trouble)?,
        document(&args.b).map_err(trouble)?,
    );
    let mut all = Vec::new();
    for (a, b) in pairs(&a, &b) {
        devices(a, b, &mut all);
    }
    let (volatile, differences): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|found| found.is_volatile);
    let differs = !differences.is_empty();
    let report = Diff {
        a: side(args.a, &a),
        b: side(args.b, &b),
        differs,
        differences,
        volatile_count: volatile.len(),
        volatile: if args.volatile { volatile } else { Vec::new() },
    };
    output::print(args.output.output, &report)?;
    match differs {
        true => Err(Failure::Status(1)),
        false => Ok(()),
    }
}

fn document(name: &str) -> Result<Value, Failure> {
    let bytes = read_file(name, MAX_DOCUMENT)?;
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|e| Failure::Failed(format!("{name}: {e}")))?;
    if document["kind"] != KIND || !document["devices"].is_array() {
        return Err(Failure::Failed(format!(
            "{name}: not a snapshot: make one with fwctl snapshot"
        )));
    }
    if document["format"] != FORMAT {
        return Err(Failure::Failed(format!(
            "{name}: has format {}, and this command reads format {}",
            document["format"], FORMAT
        )));
    }
    Ok(document)
}

fn side(file: String, document: &Value) -> Side {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Side {
        file,
        host: text(&document["host"]["name"]),
        kernel: text(&document["host"]["kernel"]),
        time: text(&document["time"]),
    }
}

/// The devices of both snapshots: those of the same parent, then those of the same type in their
/// order, then those that only one has.
fn pairs<'a>(a: &'a Value, b: &'a Value) -> Vec<(Option<&'a Value>, Option<&'a Value>)> {
    let list = |document: &'a Value| document["devices"].as_array().into_iter().flatten();
    let mut rest: Vec<Option<&Value>> = list(b).map(Some).collect();
    let mut pairs: Vec<(Option<&Value>, Option<&Value>)> =
        list(a).map(|device| (Some(device), None)).collect();
    let rules: [fn(&Value, &Value) -> bool; 2] = [is_same_parent, is_same_type];
    for is_same in rules {
        for (a, b) in pairs.iter_mut().filter(|(_, b)| b.is_none()) {
            let found = rest
                .iter_mut()
                .find(|b| matches!((&a, b), (Some(a), Some(b)) if is_same(a, b)));
            *b = found.and_then(Option::take);
        }
    }
    let only_b = rest.into_iter().flatten().map(|b| (None, Some(b)));
    pairs.into_iter().chain(only_b).collect()
}

fn is_same_type(a: &Value, b: &Value) -> bool {
    a["type"] == b["type"]
}

fn is_same_parent(a: &Value, b: &Value) -> bool {
    let (parent_a, parent_b) = (&a["parent"], &b["parent"]);
    let has_same = |key: &str| !parent_a[key].is_null() && parent_a[key] == parent_b[key];
    is_same_type(a, b) && (has_same("name") || has_same("pci_address"))
}

fn name(device: &Value) -> &str {
    device["device"].as_str().unwrap_or("?")
}

/// Compares two devices.
fn devices(a: Option<&Value>, b: Option<&Value>, all: &mut Vec<Difference>) {
    let difference = |device: &str, field: Option<&str>, a: &Value, b: &Value| Difference {
        device: device.into(),
        item: None,
        field: field.map(str::to_owned),
        a: a.clone(),
        b: b.clone(),
        is_volatile: false,
        unit: None,
        meanings: [None, None],
    };
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (a, b) => {
            let label =
                |device: &Value| Value::from(format!("{} device", text_of(&device["type"])));
            let (of_a, of_b) = (a.map_or(Value::Null, label), b.map_or(Value::Null, label));
            let device = a.or(b).map_or("?", name);
            all.push(difference(device, None, &of_a, &of_b));
            return;
        }
    };
    let device = match (name(a), name(b)) {
        (a, b) if a == b => a.to_owned(),
        (a, b) => format!("{a}, {b}"),
    };
    // Names of network and RDMA devices belong to the host.
    for key in [
        "driver",
        "pci_vendor",
        "pci_device",
        "serial",
        "firmware_version",
    ] {
        let (of_a, of_b) = (&a["parent"][key], &b["parent"][key]);
        if of_a != of_b {
            all.push(difference(&device, Some(key), of_a, of_b));
        }
    }
    let caps = "uctx_caps";
    let (of_a, of_b) = (&a["driver_info"][caps], &b["driver_info"][caps]);
    if of_a != of_b {
        all.push(difference(&device, Some(caps), of_a, of_b));
    }
    let (of_a, of_b) = (&a["error"]["message"], &b["error"]["message"]);
    if of_a != of_b {
        all.push(difference(&device, Some("error"), of_a, of_b));
    }
    let none = Map::new();
    let (a, b) = (
        a["items"].as_object().unwrap_or(&none),
        b["items"].as_object().unwrap_or(&none),
    );
    for path in union(a, b) {
        items(&device, path, a.get(path), b.get(path), all);
    }
}

/// The keys of both, those of `a` first.
fn union<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Vec<&'a str> {
    let known: BTreeSet<&String> = a.keys().collect();
    let only_b = b.keys().filter(|key| !known.contains(key));
    a.keys().chain(only_b).map(String::as_str).collect()
}

/// Compares two readings of an item.
fn items(
    device: &str,
    path: &str,
    a: Option<&Value>,
    b: Option<&Value>,
    all: &mut Vec<Difference>,
) {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    let is_volatile = |volatility: &Value| matches!(volatility.as_str(), Some("state" | "counter"));
    let whole = |a: Value, b: Value, is_volatile| Difference {
        device: device.into(),
        item: Some(path.into()),
        field: None,
        a,
        b,
        is_volatile,
        unit: None,
        meanings: [None, None],
    };
    let failed = |item: &Value| match &item["error"] {
        Value::Null => Value::Null,
        error => Value::from(snapshot::reason(error)),
    };
    // It is missing, or one of them failed: there is nothing to compare.
    if a.is_null() || b.is_null() || !a["error"].is_null() || !b["error"].is_null() {
        let state = |item: &Value| match (item, failed(item)) {
            (Value::Null, _) => Value::Null,
            (_, Value::Null) => Value::from("was read"),
            (_, error) => error,
        };
        if state(a) != state(b) {
            all.push(whole(state(a), state(b), false));
        }
        return;
    }
    let fields = |item: &'_ Value| item["fields"].as_object().cloned().unwrap_or_default();
    let (fields_a, fields_b) = (fields(a), fields(b));
    let found = all.len();
    for name in union(&fields_a, &fields_b) {
        let null = Value::Null;
        let field = |fields: &'_ Map<String, Value>, key: &str| {
            fields
                .get(name)
                .and_then(|field| field.get(key))
                .unwrap_or(&null)
                .clone()
        };
        let (of_a, of_b) = (field(&fields_a, "value"), field(&fields_b, "value"));
        if of_a == of_b {
            continue;
        }
        let of_either = |key: &str| match field(&fields_a, key) {
            Value::Null => field(&fields_b, key),
            value => value,
        };
        all.push(Difference {
            field: Some(name.into()),
            is_volatile: is_volatile(match &of_either("volatility") {
                Value::Null => &a["volatility"],
                volatility => volatility,
            }),
            unit: of_either("unit").as_str().map(str::to_owned),
            meanings: [&fields_a, &fields_b]
                .map(|fields| field(fields, "meaning").as_str().map(str::to_owned)),
            ..whole(of_a, of_b, false)
        });
    }
    // Bytes that no field describes.
    if all.len() == found && (&a["raw"], &a["length"]) != (&b["raw"], &b["length"]) {
        all.push(whole(
            a["raw"].clone(),
            b["raw"].clone(),
            is_volatile(&a["volatility"]),
        ));
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number
            .as_u64()
            .map_or_else(|| number.to_string(), number_text),
        other => other.to_string(),
    }
}

impl Difference {
    fn cells(&self) -> Vec<String> {
        let value = |value: &Value, meaning: &Option<String>| match (meaning, &self.unit, value) {
            (Some(meaning), ..) => meaning.clone(),
            (None, Some(unit), Value::Number(number)) => format!("{number} {unit}"),
            _ => text_of(value),
        };
        let [of_a, of_b] = &self.meanings;
        let what = match (&self.item, &self.field) {
            (Some(item), Some(field)) => format!("{item} {field}"),
            (Some(item), None) => item.clone(),
            (None, Some(field)) => field.clone(),
            (None, None) => "the device".into(),
        };
        vec![
            self.device.clone(),
            what,
            value(&self.a, of_a),
            value(&self.b, of_b),
        ]
    }
}

impl Report for Diff {
    fn blocks(&self) -> Vec<Block> {
        const HEAD: &[&str] = &["DEVICE", "VALUE", "A", "B"];
        let side = |side: &Side| {
            let known = [&side.host, &side.kernel, &side.time];
            let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
            format!("{} ({})", side.file, known.join(", "))
        };
        let mut volatile = self.volatile_count.to_string();
        if self.volatile_count > 0 && self.volatile.is_empty() {
            volatile += " (--volatile lists them)";
        }
        let table =
            |rows: &[Difference]| Block::Table(HEAD, rows.iter().map(Difference::cells).collect());
        let mut blocks = vec![Block::Fields(vec![
            ("A", side(&self.a)),
            ("B", side(&self.b)),
            ("differences", self.differences.len().to_string()),
            ("of volatile values", volatile),
        ])];
        for rows in [&self.differences, &self.volatile] {
            if !rows.is_empty() {
                blocks.push(table(rows));
            }
        }
        blocks
    }
}
