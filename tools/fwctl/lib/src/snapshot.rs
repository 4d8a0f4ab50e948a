// SPDX-License-Identifier: MIT OR Apache-2.0

//! Snapshots: everything that devices say about themselves, as the document that `fwctl snapshot`
//! prints and `fwctl diff` compares. With the feature `serde`.
//!
//! ```
//! use fwctl::snapshot::{Snapshot, Versioned};
//! use fwctl::{replay::Replay, Device};
//!
//! let replay = Replay::parse("info mlx5 00000000\notherwise 03000000 00000000").unwrap();
//! let device = Device::with_transport("fwctl0", replay);
//! let (snapshot, end) = Snapshot::of_device("my-tool 1.0", &device);
//! assert!(end.is_ok());
//! let json = serde_json::to_string(&Versioned::new(&snapshot)).unwrap();
//! assert!(json.starts_with(r#"{"format":2,"kind":"snapshot","tool":"my-tool 1.0","time":"#));
//! ```

use crate::catalogue::{read_some, Datum, Decoded, Item, Reading, Unit, Volatility};
use crate::sysfs::{Entry, Parent, Root};
use crate::{errno_name, Device, DriverInfo, Error, MaxScope, Operation, Result};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Version of the JSON of the command, and of snapshots: raised when a key changes its meaning or is
/// removed. New keys do not raise it.
pub const FORMAT: u32 = 2;

/// The `kind` of a snapshot.
pub const KIND: &str = "snapshot";

/// A document with the version of its format in front.
#[derive(Debug, Serialize)]
pub struct Versioned<'a, T: Serialize> {
    format: u32,
    #[serde(flatten)]
    document: &'a T,
}

impl<'a, T: Serialize> Versioned<'a, T> {
    /// The document with its version.
    pub fn new(document: &'a T) -> Versioned<'a, T> {
        Versioned {
            format: FORMAT,
            document,
        }
    }
}

/// A snapshot. Its devices may have been read by other processes.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot<D = DeviceSnapshot> {
    /// [`KIND`].
    pub kind: &'static str,
    /// The program that has read the devices, and its version.
    pub tool: String,
    /// When they had been read, as [`rfc3339`] and `Z`.
    pub time: String,
    /// Where they are.
    pub host: Host,
    /// The devices.
    pub devices: Vec<D>,
}

/// The machine of a snapshot.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// Version of its kernel.
    pub kernel: Option<String>,
}

impl<D> Snapshot<D> {
    /// A snapshot of devices that have just been read, on this machine.
    pub fn new(tool: impl Into<String>, root: &Root, devices: Vec<D>) -> Snapshot<D> {
        let text = |path| {
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(text.trim().to_owned())
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Snapshot {
            kind: KIND,
            tool: tool.into(),
            time: format!("{}Z", rfc3339(since.unwrap_or_default())),
            host: Host {
                name: text("proc/sys/kernel/hostname"),
                kernel: text("proc/sys/kernel/osrelease"),
            },
            devices,
        }
    }
}

impl Snapshot {
    /// Reads an open device. If it fails, the snapshot has what was read before, and the error.
    pub fn of_device(tool: impl Into<String>, device: &Device) -> (Snapshot, Result<()>) {
        let root = Root::default();
        // The name of a device with another transport may be that of a device of this machine.
        let entry = device.fd().and_then(|_| root.resolve(device.name()).ok());
        let mut row = match &entry {
            Some(entry) => DeviceSnapshot::new(entry),
            None => DeviceSnapshot::unread(device.name(), None, ParentReport::default(), None),
        };
        let end = row.read(device, |_| true, |_| ());
        if let Err(error) = &end {
            row.fail(error);
        }
        (Snapshot::new(tool, &root, vec![row]), end)
    }
}

/// What a device says about itself.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct DeviceSnapshot {
    /// Its name.
    pub device: String,
    /// Name of its type, as far as it is known.
    pub r#type: Option<String>,
    /// The device that it controls.
    pub parent: ParentReport,
    /// What its driver says.
    pub driver_info: Option<DriverReport>,
    /// Items of the catalogue, by their paths.
    #[serde(serialize_with = "by_path")]
    pub items: Vec<(String, ItemReport)>,
    /// Why the device, or the rest of it, could not be read.
    pub error: Option<ErrorReport>,
    #[serde(skip)]
    max_scope: Option<MaxScope>,
}

/// The driver's data, without what differs for each open file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DriverReport {
    /// What the driver can do.
    pub uctx_caps: Option<u32>,
    /// The same, by names.
    pub uctx_cap_names: Vec<&'static str>,
}

/// An item of the catalogue.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ItemReport {
    /// What it is.
    pub about: &'static str,
    /// Scope of the request that reads it.
    pub scope: &'static str,
    /// When it changes.
    pub volatility: &'static str,
    /// Length of the bytes.
    pub length: Option<usize>,
    /// The bytes as hexadecimal digits, without zeros at their end.
    pub raw: Option<String>,
    /// The decoded fields.
    pub fields: Option<Fields>,
    /// Why it could not be read.
    pub error: Option<ErrorReport>,
}

impl ItemReport {
    fn new(reading: Reading, max_scope: Option<MaxScope>) -> ItemReport {
        let item = reading.item;
        let mut row = ItemReport {
            about: item.about,
            scope: item.scope.name(),
            volatility: item.volatility.name(),
            length: None,
            raw: None,
            fields: None,
            error: None,
        };
        match reading.outcome {
            Ok((mut raw, fields)) => {
                row.length = Some(raw.len());
                raw.truncate(
                    raw.iter()
                        .rposition(|byte| *byte != 0)
                        .map_or(0, |last| last + 1),
                );
                row.raw = Some(Datum::Bytes(raw).to_string());
                row.fields = Some(Fields::of_item(fields));
            }
            Err(error) => row.error = Some(ErrorReport::new(&error, max_scope)),
        }
        row
    }
}

fn by_path<S: Serializer>(
    items: &[(String, ItemReport)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(items.len()))?;
    for (path, item) in items {
        map.serialize_entry(path, item)?;
    }
    map.end()
}

impl DeviceSnapshot {
    /// A device that sysfs lists. Nothing has been read.
    pub fn new(entry: &Entry) -> DeviceSnapshot {
        let known = entry.likely_type().map(|known| known.to_string());
        let parent = ParentReport::new(&entry.parent);
        DeviceSnapshot::unread(&entry.name, known, parent, entry.max_scope)
    }

    fn unread(
        name: &str,
        r#type: Option<String>,
        parent: ParentReport,
        max_scope: Option<MaxScope>,
    ) -> DeviceSnapshot {
        DeviceSnapshot {
            device: name.to_owned(),
            r#type,
            parent,
            driver_info: None,
            items: Vec::new(),
            error: None,
            max_scope,
        }
    }

    /// Reads the items that are wanted, and reports how many have been read after each.
    ///
    /// # Errors
    ///
    /// As for [`read_all`](crate::catalogue::read_all). It has what was read before.
    pub fn read(
        &mut self,
        device: &Device,
        is_wanted: impl Fn(&Item) -> bool,
        mut progress: impl FnMut(usize),
    ) -> Result<()> {
        let info = device.info()?;
        self.r#type = Some(info.device_type.to_string());
        let names = info.driver.capabilities().into_iter();
        self.driver_info = Some(DriverReport {
            uctx_caps: match info.driver {
                DriverInfo::Mlx5 { uctx_caps, .. }
                | DriverInfo::Pds { uctx_caps }
                | DriverInfo::CxlCommands { uctx_caps, .. }
                | DriverInfo::Bnxt { uctx_caps } => Some(uctx_caps),
                _ => None,
            },
            uctx_cap_names: names.filter_map(|(_, name)| name).collect(),
        });
        read_some(device, is_wanted, |reading| {
            let path = reading.path();
            let item = ItemReport::new(reading, self.max_scope);
            self.items.push((path, item));
            progress(self.items.len());
        })
    }

    /// Notes why the device, or the rest of it, could not be read.
    pub fn fail(&mut self, error: &Error) {
        self.error = Some(ErrorReport::new(error, self.max_scope));
    }
}

/// The device behind a fwctl device.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ParentReport {
    /// Its name.
    pub name: Option<String>,
    /// Its bus.
    pub bus: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// Address of its PCI function.
    pub pci_address: Option<String>,
    /// Vendor of the function.
    pub pci_vendor: Option<u16>,
    /// Device id of the function.
    pub pci_device: Option<u16>,
    /// Name of the product.
    pub product: Option<String>,
    /// Its network devices.
    pub netdevs: Vec<String>,
    /// Its RDMA devices.
    pub rdma_devices: Vec<String>,
    /// Name of its CXL memory device.
    pub memdev: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Version of its firmware.
    pub firmware_version: Option<String>,
    /// Identifier of a ConnectX's configuration, if the card was asked for it.
    pub psid: Option<String>,
}

impl ParentReport {
    /// What sysfs says.
    pub fn new(parent: &Parent) -> ParentReport {
        let (pci, memdev) = (parent.pci.as_ref(), parent.memdev.as_ref());
        ParentReport {
            name: Some(parent.name.clone()).filter(|name| !name.is_empty()),
            bus: parent.bus.clone(),
            driver: parent.driver.clone(),
            pci_address: pci.map(|pci| pci.address.clone()),
            pci_vendor: pci.map(|pci| pci.vendor),
            pci_device: pci.map(|pci| pci.device),
            product: pci.and_then(|pci| pci.product.clone()),
            netdevs: parent.netdevs.clone(),
            rdma_devices: parent.rdma_devices.clone(),
            memdev: memdev.map(|memdev| memdev.name.clone()),
            serial: memdev.and_then(|memdev| memdev.serial.clone()),
            firmware_version: memdev.and_then(|memdev| memdev.firmware_version.clone()),
            psid: None,
        }
    }
}

/// An error of a device, or of one of the things that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErrorReport {
    /// What went wrong, on one line.
    pub message: String,
    /// What it means for the call that failed.
    pub meaning: Option<&'static str>,
    /// What may help.
    pub remedy: Option<&'static str>,
    /// Of the kernel's call.
    pub errno: Option<i32>,
    /// Name of the errno.
    pub errno_name: Option<&'static str>,
    /// The refusal of the firmware.
    pub firmware_status: Option<u32>,
    /// Name of the refusal.
    pub firmware_status_name: Option<&'static str>,
    /// What the firmware's makers can look up.
    pub syndrome: Option<u32>,
}

impl ErrorReport {
    /// An error of which there is only a text.
    pub fn of_text(message: impl Into<String>) -> ErrorReport {
        ErrorReport {
            message: message.into(),
            ..ErrorReport::default()
        }
    }

    /// An error of the library, on a device of which the administrator allows these scopes.
    pub fn new(error: &Error, max_scope: Option<MaxScope>) -> ErrorReport {
        let errno = match error {
            Error::Call { source, .. } | Error::File { source, .. } => source.raw_os_error(),
            _ => None,
        };
        let of_errno = || error.advice().map(|advice| (advice.meaning, advice.remedy));
        let advice = limited(error, max_scope).or_else(of_errno);
        let status = error.firmware_status();
        ErrorReport {
            message: error.to_string(),
            meaning: advice.map(|(meaning, _)| meaning),
            remedy: advice.map(|(_, remedy)| remedy),
            errno,
            errno_name: errno.and_then(errno_name),
            firmware_status: status.map(|status| status.code),
            firmware_status_name: status.map(|status| status.name),
            syndrome: status.and_then(|status| status.syndrome),
        }
    }
}

/// Advice about a request that the administrator's `max_scope` does not allow.
fn limited(error: &Error, max_scope: Option<MaxScope>) -> Option<(&'static str, &'static str)> {
    let Error::Call {
        operation: Operation::Rpc { scope, .. },
        source,
        ..
    } = error
    else {
        return None;
    };
    let is_refused = source.raw_os_error() == Some(libc::EPERM);
    (is_refused && max_scope.is_some_and(|highest| !highest.allows(*scope))).then_some((
        "the administrator does not allow this scope on this device",
        "fwctl info shows the highest one; root can change it in /sys/class/fwctl/*/max_scope",
    ))
}

/// Decoded fields. In JSON: an object, with the fields in the order of the layout.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    fields: Vec<Decoded>,
    /// JSON says which fields change otherwise than the item.
    has_volatility: bool,
}

impl Fields {
    /// Fields of bytes that are no item of the catalogue.
    pub fn new(fields: Vec<Decoded>) -> Fields {
        Fields {
            fields,
            has_volatility: false,
        }
    }

    /// The fields of an item of the catalogue.
    pub fn of_item(fields: Vec<Decoded>) -> Fields {
        Fields {
            fields,
            has_volatility: true,
        }
    }

    /// The fields.
    pub fn as_slice(&self) -> &[Decoded] {
        &self.fields
    }
}

/// A field in JSON. Keys that say nothing are left out.
#[derive(Serialize)]
struct FieldRow<'a> {
    value: &'a Datum,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
    /// The number in the device's own unit, if the value was converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volatility: Option<Volatility>,
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for field in &self.fields {
            let row = FieldRow {
                value: &field.datum,
                unit: field.unit,
                raw: field.raw,
                meaning: field.meaning,
                volatility: field.volatility.filter(|_| self.has_volatility),
            };
            map.serialize_entry(&field.name, &row)?;
        }
        map.end()
    }
}

/// A time since 1970 in UTC as RFC 3339 writes it, to the second and without the `Z` at the end:
/// `2026-11-28T23:59:59`.
pub fn rfc3339(since: Duration) -> String {
    let seconds = since.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Count the days from 1 March of year 0. A leap day is then the last day of its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;
    use crate::{DeviceType, Scope};
    use serde_json::{json, Value};

    fn snapshot(recording: &str) -> (Value, Result<()>) {
        let device = Device::with_transport("fwctl0", Replay::parse(recording).unwrap());
        let (snapshot, end) = Snapshot::of_device("test 1", &device);
        (
            serde_json::to_value(Versioned::new(&snapshot)).unwrap(),
            end,
        )
    }

    #[test]
    fn an_open_device() {
        let (document, end) = snapshot("info mlx5 05000000 06000000\notherwise 03000000 00000007");
        end.unwrap();
        assert_eq!(document["format"], 2);
        assert_eq!(
            (&document["kind"], &document["tool"]),
            (&json!("snapshot"), &json!("test 1"))
        );
        assert!(document["host"]["kernel"].is_string());
        let device = &document["devices"][0];
        assert_eq!(
            (&device["device"], &device["type"]),
            (&json!("fwctl0"), &json!("mlx5"))
        );
        // It is no device of this machine.
        assert_eq!(device["parent"]["name"], Value::Null);
        assert_eq!(device["error"], Value::Null);
        let error = &device["items"]["query/adapter"]["error"];
        assert_eq!(
            (&error["firmware_status"], &error["syndrome"]),
            (&json!(3), &json!(7))
        );
    }

    #[test]
    fn a_device_that_is_removed_has_an_error() {
        let (document, end) = snapshot("info mlx5 05000000 06000000\notherwise errno 19");
        assert_eq!(end.unwrap_err().errno(), Some(libc::ENODEV));
        let device = &document["devices"][0];
        assert_eq!(device["error"]["errno_name"], "ENODEV");
        assert_eq!(device["type"], "mlx5");
        let (document, end) = snapshot("info errno 19");
        assert!(end.is_err());
        assert_eq!(document["devices"][0]["type"], Value::Null);
    }

    #[test]
    fn errors_name_the_limit_of_the_administrator() {
        let error = |errno| Error::Call {
            device: "fwctl0".into(),
            operation: Operation::Rpc {
                scope: Scope::DebugReadOnly,
                request_len: 16,
                reply_len: 16,
                device_type: DeviceType::Cxl,
            },
            source: std::io::Error::from_raw_os_error(errno),
        };
        let meaning = |errno, limit: Option<&str>| {
            let limit = limit.map(|name| name.parse().unwrap());
            let report = ErrorReport::new(&error(errno), limit);
            report
                .meaning
                .is_some_and(|text| text.contains("administrator"))
        };
        assert!(meaning(libc::EPERM, Some("configuration")));
        assert!(!meaning(libc::EPERM, Some("debug-write")) && !meaning(libc::EPERM, None));
        assert!(!meaning(libc::EIO, Some("configuration")));
    }

    #[test]
    fn fields_are_an_object_in_json() {
        let mut converted = Decoded::new("x", Datum::Decimal(45.0));
        (converted.unit, converted.raw) = (Some(Unit::Celsius), Some(360));
        let mut identity = Decoded::new("y", Datum::Bytes(vec![1]));
        identity.volatility = Some(Volatility::Identity);
        let fields = vec![converted, identity];
        let json = |fields: &Fields| serde_json::to_string(fields).unwrap();
        assert_eq!(
            json(&Fields::new(fields.clone())),
            r#"{"x":{"value":45.0,"unit":"celsius","raw":360},"y":{"value":"01"}}"#
        );
        assert_eq!(
            json(&Fields::of_item(fields)),
            r#"{"x":{"value":45.0,"unit":"celsius","raw":360},"y":{"value":"01","volatility":"identity"}}"#
        );
    }

    // Expected values: date -u -d @SECONDS +%FT%T
    #[test]
    fn seconds_as_dates() {
        for (since, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_795_910_399, "2026-11-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(since)), text);
        }
    }
}
