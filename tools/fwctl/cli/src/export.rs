// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl export`.

use crate::common::World;
use crate::failure::Failure;
use crate::file::Output;
use crate::output::{self, say};
use crate::snapshot::{self, limit, Document, Extent};
use clap::value_parser;
use fwctl::sysfs::Entry;
use fwctl::{Error, Scope};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Print temperatures and counters, of the firmware and of RPCs, for Prometheus
///
/// The output is for the textfile collector of node_exporter: give --out a file that ends with
/// .prom in its directory. The file is replaced as a whole, so it is never read half written. With
/// --openmetrics, the output is OpenMetrics, which that collector does not read.
///
/// A device that cannot be read has fwctl_device_up 0, and the command still succeeds; so it does on
/// a machine without fwctl devices. fwctl-export.timer runs it each minute; see the documentation.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl export --out /var/lib/prometheus/node-exporter/fwctl.prom")]
pub struct ExportArgs {
    /// Devices, by any of their names; without one, all devices
    #[arg(value_name = "DEV", add = crate::complete::devices())]
    devices: Vec<String>,
    /// Write to this file, which is replaced as a whole
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Print OpenMetrics 1.0
    #[arg(long)]
    openmetrics: bool,
    /// Time limit for each device; 20 if there are several
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=3600))]
    timeout: Option<u64>,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Info,
}

/// All samples of one name.
struct Family {
    kind: Kind,
    help: String,
    unit: Option<&'static str>,
    samples: Vec<(Labels, String)>,
}

type Labels = Vec<(String, String)>;

/// Families by their names, without the suffixes _total and _info.
#[derive(Default)]
struct Metrics(BTreeMap<String, Family>);

pub fn export(world: &World, args: &ExportArgs) -> Result<(), Failure> {
    let entries = match snapshot::entries(world, &args.devices) {
        Ok(entries) => entries,
        // A timer runs on machines without a device, too.
        Err(_) if args.devices.is_empty() && is_absent(world) => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let limit = limit(args.timeout, &entries, 20);
    let file = args.out.as_deref().map(Output::prepare).transpose()?;
    let snapshot = snapshot::take(world, &entries, Extent::Metrics, limit)?;
    for device in &snapshot.devices {
        if let Some(message) = device["error"]["message"].as_str() {
            say(message);
        }
    }
    let mut metrics = metrics(&snapshot);
    for entry in &entries {
        metrics.rpcs(world, entry);
    }
    let text = metrics.text(args.openmetrics);
    match file {
        Some(file) => file.write(text.as_bytes()),
        None => output::print_bytes(text.as_bytes()),
    }
}

fn is_absent(world: &World) -> bool {
    matches!(world.root.devices(), Err(Error::Absent(_)))
}

fn metrics(snapshot: &Document) -> Metrics {
    let mut metrics = Metrics::default();
    for device in &snapshot.devices {
        let name = device["device"].as_str().unwrap_or("?").to_owned();
        let base = vec![("device".to_owned(), name)];
        let items = device["items"].as_object();
        let items = || items.into_iter().flatten();
        metrics.info(device, &base);
        metrics.add(
            "fwctl_device_up",
            Kind::Gauge,
            "Whether the device could be read.",
            None,
            &base,
            u8::from(device["error"].is_null()).to_string(),
        );
        let failed = items().filter(|(_, item)| !item["error"].is_null());
        metrics.add(
            "fwctl_device_items_failed",
            Kind::Gauge,
            "Items that the firmware or the kernel refused to read.",
            None,
            &base,
            failed.count().to_string(),
        );
        for (path, item) in items() {
            metrics.item(path, item, &base);
        }
    }
    metrics
}

impl Metrics {
    fn add(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        unit: Option<&'static str>,
        labels: &[(String, String)],
        value: String,
    ) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| Family {
            kind,
            help: help.to_owned(),
            unit,
            samples: Vec::new(),
        });
        // Two registers that happen to have one name do not make a sample appear twice.
        if family.samples.iter().all(|(known, _)| known != labels) {
            family.samples.push((labels.to_vec(), value));
        }
    }

    /// Identity of a device, as labels.
    fn info(&mut self, device: &Value, base: &Labels) {
        let item = |path: &str, field: &str| &device["items"][path]["fields"][field]["value"];
        let parent = &device["parent"];
        let firmware = match &parent["firmware_version"] {
            Value::Null => item(
                "register/mcqi/component_index=0,info_type=1",
                "data.mcqi_version.version",
            ),
            version => version,
        };
        let psid = item("query/adapter", "query_adapter_struct.vsd_contd_psid");
        let mut labels = base.clone();
        for (name, value) in [
            ("type", &device["type"]),
            ("parent", &parent["name"]),
            ("pci_address", &parent["pci_address"]),
            ("driver", &parent["driver"]),
            ("firmware_version", firmware),
            ("psid", psid),
            ("serial", &parent["serial"]),
        ] {
            let text = value.as_str().unwrap_or_default();
            if !text.is_empty() {
                labels.push((name.into(), text.into()));
            }
        }
        self.add(
            "fwctl_device",
            Kind::Info,
            "Identity of the device.",
            None,
            &labels,
            "1".into(),
        );
    }

    /// What the kernel has counted of a device's RPCs, and the scopes that it allows.
    fn rpcs(&mut self, world: &World, entry: &Entry) {
        let base = vec![("device".to_owned(), entry.name.clone())];
        if let Some(highest) = entry.max_scope {
            let allowed = Scope::ALL
                .into_iter()
                .filter(|scope| highest.allows(*scope));
            self.add(
                "fwctl_device_allowed_scopes",
                Kind::Gauge,
                "Scopes that the administrator allows: 0 (none) to 4 (up to debug-write-full).",
                None,
                &base,
                allowed.count().to_string(),
            );
        }
        for (scope, counters) in world.root.rpc_counters(entry) {
            let mut labels = base.clone();
            labels.push(("scope".into(), scope.name().into()));
            for (name, help, unit, value) in [
                (
                    "fwctl_rpc_requests",
                    "RPCs that have ended.",
                    None,
                    counters.requests.to_string(),
                ),
                (
                    "fwctl_rpc_refusals",
                    "RPCs that were not permitted.",
                    None,
                    counters.refusals.to_string(),
                ),
                (
                    "fwctl_rpc_errors",
                    "RPCs that failed otherwise.",
                    None,
                    counters.errors.to_string(),
                ),
                (
                    "fwctl_rpc_duration_seconds",
                    "Time that RPCs took.",
                    Some("seconds"),
                    counters.time.as_secs_f64().to_string(),
                ),
            ] {
                self.add(name, Kind::Counter, help, unit, &labels, value);
            }
        }
    }

    fn item(&mut self, path: &str, item: &Value, base: &Labels) {
        let mut parts = path.splitn(3, '/').skip(1);
        let (name, selection) = (parts.next().unwrap_or_default(), parts.next());
        let Some(fields) = item["fields"].as_object() else {
            return;
        };
        if name == "mtmp" {
            return self.temperatures(fields, base);
        }
        let mut labels = base.clone();
        let pairs = selection.into_iter().flat_map(|text| text.split(','));
        for (key, value) in pairs.filter_map(|pair| pair.split_once('=')) {
            // The group of PPCNT and MPCNT is part of the names of its counters.
            if key != "grp" {
                labels.push((key.into(), value.into()));
            }
        }
        let of_item = &item["volatility"];
        for (field, decoded) in fields {
            let volatility = match &decoded["volatility"] {
                Value::Null => of_item,
                volatility => volatility,
            };
            let Some(number) = decoded["value"]
                .as_u64()
                .filter(|_| volatility == "counter")
            else {
                continue;
            };
            let field = field.strip_prefix("counter_set.").unwrap_or(field);
            let (value, unit) = base_unit(number, decoded["unit"].as_str());
            let metric = metric_name(name, field, unit);
            let about = item["about"].as_str().unwrap_or_default();
            let help = format!("{field}: {about}");
            self.add(&metric, Kind::Counter, &help, unit, &labels, value);
        }
    }

    fn temperatures(&mut self, fields: &serde_json::Map<String, Value>, base: &Labels) {
        const METRICS: [(&str, &str, &str); 4] = [
            ("temperature", "fwctl_temperature_celsius", "Temperature."),
            (
                "max_temperature",
                "fwctl_temperature_highest_celsius",
                "Highest temperature since it was last reset.",
            ),
            (
                "temp_threshold_hi",
                "fwctl_temperature_high_threshold_celsius",
                "Temperature above which the firmware warns.",
            ),
            (
                "temp_threshold_lo",
                "fwctl_temperature_low_threshold_celsius",
                "Temperature below which the warning ends.",
            ),
        ];
        let value = |field: &str| fields.get(field).map(|field| &field["value"]);
        let mut labels = base.clone();
        let index = value("sensor_index").and_then(Value::as_u64).unwrap_or(0);
        labels.push(("sensor".into(), index.to_string()));
        let name = value("sensor_name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        labels.push(("name".into(), name.into()));
        for (field, metric, help) in METRICS {
            if let Some(degrees) = value(field).and_then(Value::as_f64) {
                self.add(
                    metric,
                    Kind::Gauge,
                    help,
                    Some("celsius"),
                    &labels,
                    degrees.to_string(),
                );
            }
        }
    }

    fn text(&self, is_openmetrics: bool) -> String {
        let mut text = String::new();
        for (name, family) in &self.0 {
            let suffix = match family.kind {
                Kind::Gauge => "",
                Kind::Counter => "_total",
                Kind::Info => "_info",
            };
            let sample = format!("{name}{suffix}");
            // The older format has no infos, and names a family like its samples.
            let (name, kind) = match (family.kind, is_openmetrics) {
                (Kind::Gauge, _) => (name, "gauge"),
                (Kind::Counter, true) => (name, "counter"),
                (Kind::Counter, false) => (&sample, "counter"),
                (Kind::Info, true) => (name, "info"),
                (Kind::Info, false) => (&sample, "gauge"),
            };
            let help = escaped(&family.help, is_openmetrics);
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            if let Some(unit) = family.unit.filter(|_| is_openmetrics) {
                let _ = writeln!(text, "# UNIT {name} {unit}");
            }
            for (labels, value) in &family.samples {
                let label = |(name, value): &(String, String)| {
                    format!("{name}=\"{}\"", escaped(value, true))
                };
                let labels: Vec<String> = labels.iter().map(label).collect();
                let _ = writeln!(text, "{sample}{{{}}} {value}", labels.join(","));
            }
        }
        if is_openmetrics {
            text += "# EOF\n";
        }
        text
    }
}

/// A counter in the base unit of Prometheus, and that unit.
fn base_unit(number: u64, unit: Option<&str>) -> (String, Option<&'static str>) {
    match unit {
        Some("bytes") => (number.to_string(), Some("bytes")),
        Some("words") => (number.saturating_mul(4).to_string(), Some("bytes")),
        Some("packets") => (number.to_string(), Some("packets")),
        Some("bits") => (number.to_string(), Some("bits")),
        Some("milliseconds") => (seconds(number, 1_000), Some("seconds")),
        Some("microseconds") => (seconds(number, 1_000_000), Some("seconds")),
        _ => (number.to_string(), None),
    }
}

/// A number of parts of a second.
fn seconds(number: u64, parts: u64) -> String {
    (number as f64 / parts as f64).to_string()
}

/// The name of a counter, which ends with its unit and does not say that it is a counter.
fn metric_name(item: &str, field: &str, unit: Option<&str>) -> String {
    let words = format!("fwctl_mlx5_{}_{}", word(item), word(field));
    let words = words
        .split('_')
        .filter(|word| !matches!(*word, "" | "counter"));
    let mut words: Vec<&str> = words.collect();
    if let Some(unit) = unit {
        words.retain(|word| *word != unit && !(unit == "bytes" && *word == "octets"));
        words.push(unit);
    }
    words.join("_")
}

/// A name in the alphabet of metrics.
fn word(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Text of a label or of a description; quotes are escaped in labels, and in OpenMetrics in both.
fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    match quotes {
        true => text.replace('"', "\\\""),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_device_cannot_end_a_line_or_a_label() {
        let mut metrics = Metrics::default();
        let labels = vec![("name".into(), "a\"} 1\nb\\".into())];
        metrics.add("x", Kind::Gauge, "h\n\"", None, &labels, "1".into());
        assert_eq!(
            metrics.text(false),
            "# HELP x h\\n\"\n# TYPE x gauge\nx{name=\"a\\\"} 1\\nb\\\\\"} 1\n"
        );
        assert_eq!(
            metrics.text(true),
            "# HELP x h\\n\\\"\n# TYPE x gauge\nx{name=\"a\\\"} 1\\nb\\\\\"} 1\n# EOF\n"
        );
        assert_eq!(
            word("received_errors.a-B[0]\u{e9}"),
            "received_errors_a_b_0__"
        );
    }

    #[test]
    fn names_end_with_their_unit() {
        assert_eq!(
            metric_name("vport-counter", "received_errors.octets", Some("bytes")),
            "fwctl_mlx5_vport_received_errors_bytes"
        );
        assert_eq!(
            metric_name("mpcnt", "a_grp[0].life_time_counter", None),
            "fwctl_mlx5_mpcnt_a_grp_0_life_time"
        );
    }

    #[test]
    fn counters_are_in_base_units() {
        assert_eq!(base_unit(3, Some("words")), ("12".into(), Some("bytes")));
        assert_eq!(
            base_unit(1_500, Some("milliseconds")),
            ("1.5".into(), Some("seconds"))
        );
        assert_eq!(base_unit(u64::MAX, None).0, u64::MAX.to_string());
    }
}
