// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads the items of a device.

use super::{connectx, memory, pensando, Datum, Decoded, Item, Kind, Range};
use crate::cxl::{feature_fields, Command, CxlDevice, Feature, GetFeature, Selection};
use crate::mlx5::{capabilities, command, decode, register, Capability, Layout, Mlx5Device, Read};
use crate::pds::{Operation, PdsDevice};
use crate::{Device, DeviceType, Error, Result, Uuid, DEFAULT_DEPTH};
use std::collections::HashSet;

/// An instance of an item, and what reading it returned.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reading {
    /// The item.
    pub item: &'static Item,
    /// Which instance of it: fields of the request, and their values.
    pub selection: Vec<(&'static str, String)>,
    /// The bytes as the device returned them, and what they mean.
    pub outcome: Result<(Vec<u8>, Vec<Decoded>)>,
}

impl Reading {
    /// A name that is unique for the device, such as `register/mtmp/sensor_index=0`.
    pub fn path(&self) -> String {
        let select = |(name, value): &(&str, String)| format!("{name}={value}");
        let selection: Vec<String> = self.selection.iter().map(select).collect();
        let slash = if selection.is_empty() { "" } else { "/" };
        let (kind, name) = (self.item.kind.name(), self.item.name);
        format!("{kind}/{name}{slash}{}", selection.join(","))
    }
}

/// Reads everything that is known to be readable of a device, and hands out each reading. An item
/// that the device refuses is a reading, too.
///
/// # Errors
///
/// The device was removed or does not answer: the rest was not read. Or its type cannot be asked,
/// as for [`Device::device_type`].
pub fn read_all(device: &Device, each: impl FnMut(Reading)) -> Result<()> {
    read_some(device, |_| true, each)
}

/// Like [`read_all`], but reads only the items that are wanted.
///
/// # Errors
///
/// As for [`read_all`].
pub fn read_some(
    device: &Device,
    is_wanted: impl Fn(&Item) -> bool,
    mut each: impl FnMut(Reading),
) -> Result<()> {
    match device.device_type()? {
        DeviceType::Mlx5 => read_connectx(&Mlx5Device::new(device.clone())?, is_wanted, each),
        DeviceType::Cxl => read_memory(&CxlDevice::new(device.clone())?, is_wanted, &mut each),
        DeviceType::Pds => read_pensando(&PdsDevice::new(device.clone())?, is_wanted, &mut each),
        _ => Ok(()),
    }
}

/// Returns whether no further request makes sense after this error.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Call { source, .. } => matches!(
            source.raw_os_error(),
            Some(libc::ENODEV | libc::ETIMEDOUT | libc::ENXIO)
        ),
        Error::TimedOut { .. } => true,
        _ => false,
    }
}

/// Hands out a reading, unless its error is the end.
fn hand_out(each: &mut impl FnMut(Reading), reading: Reading) -> Result<()> {
    match reading.outcome {
        Err(error) if is_final(&error) => Err(error),
        _ => {
            each(reading);
            Ok(())
        }
    }
}

/// Ports and sensors of a ConnectX.
struct Parts {
    ports: Vec<u64>,
    sensors: Vec<u64>,
}

/// More ports than this are not a ConnectX's.
const MAX_PORTS: u64 = 16;

impl Parts {
    /// Where the device does not say: one port, and sensor 0. Fails with an error that is the end.
    fn of(mlx5: &Mlx5Device) -> Result<Parts> {
        let number = |layout: &Layout, name: &str, data: &[u8]| {
            let datum = decode(layout, data)
                .into_iter()
                .find(|field| field.name == name)?
                .datum;
            match datum {
                Datum::Number(number) => Some(number),
                _ => None,
            }
        };
        let unless_final = |read: Result<Vec<u8>>| match read {
            Err(error) if is_final(&error) => Err(error),
            read => Ok(read.ok()),
        };
        let (mut ports, mut sensors) = (None, None);
        if let Some(general) = capabilities().first() {
            let data = unless_final(mlx5.capability(general.id, Capability::Current))?;
            ports = data.and_then(|data| number(general, "num_ports", &data));
        }
        if let Some(mtcap) = register("mtcap") {
            let data = unless_final(mlx5.read_register(mtcap.id, &vec![0; mtcap.size]))?;
            sensors = data.and_then(|data| number(mtcap, "sensor_map", &data));
        }
        let map = sensors.unwrap_or(1);
        Ok(Parts {
            ports: (1..=ports.unwrap_or(1).clamp(1, MAX_PORTS)).collect(),
            sensors: (0..64).filter(|sensor| (map >> sensor) & 1 != 0).collect(),
        })
    }

    fn values(&self, range: Range) -> Vec<u64> {
        match range {
            Range::Each(values) => values.to_vec(),
            Range::Ports => self.ports.clone(),
            Range::Modules => self.ports.iter().map(|port| port - 1).collect(),
            Range::Sensors => self.sensors.clone(),
            Range::Features
            | Range::Values
            | Range::Commands
            | Range::Endpoints
            | Range::Operations => Vec::new(),
        }
    }

    /// Every combination of the values that an item's fields can have.
    fn instances(&self, item: &Item) -> Vec<Vec<(&'static str, u64)>> {
        let mut all = vec![Vec::new()];
        for &(field, range) in item.select {
            let values = self.values(range);
            let longer = |start: Vec<(&'static str, u64)>| {
                let with = move |&value: &u64| [start.as_slice(), &[(field, value)]].concat();
                values.iter().map(with).collect::<Vec<_>>()
            };
            all = all.into_iter().flat_map(longer).collect();
        }
        all
    }
}

fn read_connectx(
    mlx5: &Mlx5Device,
    is_wanted: impl Fn(&Item) -> bool,
    mut each: impl FnMut(Reading),
) -> Result<()> {
    let parts = Parts::of(mlx5)?;
    let mut wanted = Vec::new();
    for item in connectx::items().iter().filter(|item| is_wanted(item)) {
        for instance in parts.instances(item) {
            if let Some((read, layout)) = request(item, &instance) {
                wanted.push((item, instance, read, layout));
            }
        }
    }
    // No more at a time than can be in flight: after a batch that failed, no other is sent.
    for batch in wanted.chunks(DEFAULT_DEPTH) {
        let reads: Vec<Read> = batch.iter().map(|(_, _, read, _)| read.clone()).collect();
        for ((item, instance, _, layout), raw) in batch.iter().zip(mlx5.read_all(&reads)?) {
            let text = |(name, value): &(&'static str, u64)| (*name, value.to_string());
            let reading = Reading {
                item,
                selection: instance.iter().map(text).collect(),
                outcome: raw.map(|raw| {
                    let fields = decode(layout, &raw);
                    (raw, fields)
                }),
            };
            hand_out(&mut each, reading)?;
        }
    }
    Ok(())
}

/// How an instance of an item of a ConnectX is read, and the layout of what comes; nothing if the
/// item has no layout, which a test of the catalogue excludes.
fn request(item: &Item, instance: &[(&'static str, u64)]) -> Option<(Read, &'static Layout)> {
    let set = |layout: &Layout, data: &mut [u8]| {
        for (field, value) in instance.iter().chain(item.fixed) {
            // The catalogue's tests hold that fields exist; a value that the device named and that
            // does not fit reads another instance, which the reply shows.
            let _ = layout.set(data, field, *value);
        }
    };
    Some(match item.kind {
        Kind::Register => {
            let layout = register(item.name)?;
            let mut data = vec![0; layout.size];
            set(layout, &mut data);
            (Read::Register(layout.id, data), layout)
        }
        Kind::Query => {
            let command = command(item.name)?;
            let mut request = command.request();
            set(&command.input, &mut request);
            (Read::Query(command, request), &command.output)
        }
        Kind::Capability | Kind::Feature | Kind::Command | Kind::Operation => {
            let layout = capabilities()
                .iter()
                .find(|layout| layout.name == item.name)?;
            let which = match instance.iter().any(|(_, value)| *value != 0) {
                true => Capability::Maximum,
                false => Capability::Current,
            };
            (Read::Capability(layout.id, which), layout)
        }
    })
}

fn read_memory(
    cxl: &CxlDevice,
    is_wanted: impl Fn(&Item) -> bool,
    each: &mut impl FnMut(Reading),
) -> Result<()> {
    // Before the Features: a device can have commands only.
    if is_wanted(memory::COMMAND) {
        read_commands(cxl, each)?;
    }
    if !is_wanted(memory::ENTRY) && !is_wanted(memory::VALUE) {
        return Ok(());
    }
    for feature in cxl.features()? {
        let name = feature
            .name()
            .map_or_else(|| feature.uuid.to_string(), str::to_owned);
        if is_wanted(memory::ENTRY) {
            each(Reading {
                item: memory::ENTRY,
                selection: vec![("uuid", name.clone())],
                outcome: Ok((Vec::new(), entry(&feature))),
            });
        }
        let values = match is_wanted(memory::VALUE) {
            true => selections(&feature),
            false => Vec::new(),
        };
        for selection in values {
            let reading = Reading {
                item: memory::VALUE,
                selection: vec![
                    ("uuid", name.clone()),
                    ("selection", selection.name().to_owned()),
                ],
                outcome: value(cxl, feature.uuid, selection, feature.get_size),
            };
            hand_out(each, reading)?;
        }
    }
    Ok(())
}

/// The commands that the kernel lists; nothing if it has no list. None is sent: what one does is
/// what the device claims.
fn read_commands(cxl: &CxlDevice, each: &mut impl FnMut(Reading)) -> Result<()> {
    let reading = |selection, outcome| Reading {
        item: memory::COMMAND,
        selection,
        outcome,
    };
    let commands = match cxl.commands() {
        Ok(commands) => commands.unwrap_or_default(),
        Err(error) => return hand_out(each, reading(Vec::new(), Err(error))),
    };
    // Of several with the same opcode, the first counts.
    let mut known = HashSet::new();
    for command in commands {
        if known.insert(command.opcode) {
            let selection = vec![("opcode", format!("{:#06x}", command.opcode))];
            each(reading(selection, Ok((Vec::new(), sendable(&command)))));
        }
    }
    Ok(())
}

/// What the device claims about a command, and what the kernel asks of a program that sends it.
fn sendable(command: &Command) -> Vec<Decoded> {
    let text = |name, text: &str| field(name, Datum::Text(text.to_owned()));
    let (policy, least) = (command.policy, command.policy.least_scope());
    let name = command.name().map(|name| text("name", name));
    let mut fields: Vec<Decoded> = name.into_iter().collect();
    fields.extend([
        number("effects", command.effects.into()),
        text("scope", least.map_or("never", |scope| scope.name())),
        number("by_feature", policy.is_by_feature().into()),
        number("by_payload", policy.is_by_payload().into()),
    ]);
    fields.extend(least.err().map(|why| text("refused", why.name())));
    fields
}

/// The values that a Feature has.
fn selections(feature: &Feature) -> Vec<Selection> {
    // Get Feature takes at least a byte.
    if feature.get_size == 0 {
        return Vec::new();
    }
    let has = |selection: &Selection| match selection {
        Selection::Current => true,
        Selection::Default => feature.has_default(),
        Selection::Saved => feature.has_saved(),
    };
    Selection::ALL.into_iter().filter(has).collect()
}

fn value(
    cxl: &CxlDevice,
    uuid: Uuid,
    selection: Selection,
    size: u16,
) -> Result<(Vec<u8>, Vec<Decoded>)> {
    let get = GetFeature {
        uuid,
        selection,
        offset: 0,
        size,
    };
    let bytes = cxl.get(&get)?;
    let fields = feature_fields(uuid, &bytes).unwrap_or_default();
    Ok((bytes, fields.into_iter().map(Decoded::from).collect()))
}

/// The operations that the driver of a Pensando card lists; nothing if it has no lists. None is
/// executed: what one does is known to the firmware only.
fn read_pensando(
    pds: &PdsDevice,
    is_wanted: impl Fn(&Item) -> bool,
    each: &mut impl FnMut(Reading),
) -> Result<()> {
    if !is_wanted(pensando::ENTRY) || !pds.has_lists()? {
        return Ok(());
    }
    let endpoints = pds.endpoints()?;
    for (endpoint, operations) in endpoints.iter().zip(pds.operations_of(&endpoints)?) {
        let selection = vec![("endpoint", format!("{endpoint:#x}"))];
        let reading = |selection, outcome| Reading {
            item: pensando::ENTRY,
            selection,
            outcome,
        };
        match operations {
            Ok(operations) => {
                // Of several with the same number, the first counts.
                let mut known = HashSet::new();
                for operation in operations {
                    if !known.insert(operation.id) {
                        continue;
                    }
                    let number = ("operation", format!("{:#x}", operation.id));
                    let selection = [selection.as_slice(), &[number]].concat();
                    each(reading(selection, Ok((Vec::new(), listed(&operation)))));
                }
            }
            Err(error) => hand_out(each, reading(selection, Err(error)))?,
        }
    }
    Ok(())
}

/// What the driver lists about an operation.
fn listed(operation: &Operation) -> Vec<Decoded> {
    vec![
        number("command", operation.command().into()),
        number("version", operation.version().into()),
        number("attribute", operation.attribute.into()),
        field("scope", Datum::Text(operation.scope.name().to_owned())),
    ]
}

fn field(name: &'static str, datum: Datum) -> Decoded {
    Decoded::new(name, datum)
}

fn number(name: &'static str, number: u32) -> Decoded {
    field(name, Datum::Number(number.into()))
}

/// What the device says about a Feature.
fn entry(feature: &Feature) -> Vec<Decoded> {
    vec![
        field("uuid", Datum::Text(feature.uuid.to_string())),
        number("id", feature.id.into()),
        number("get_size", feature.get_size.into()),
        number("set_size", feature.set_size.into()),
        number("get_version", feature.get_version.into()),
        number("set_version", feature.set_version.into()),
        number("flags", feature.flags),
        number("effects", feature.effects.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{items, Volatility};
    use crate::replay::Replay;
    use crate::{Exchange, InfoReply, Scope, Transport};
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    /// A ConnectX with two ports and sensors 0 and 5, which answers everything with zeros.
    struct Card {
        errno: Option<i32>,
        concurrency: usize,
    }

    impl Transport for Card {
        fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
            Ok(InfoReply {
                device_type: DeviceType::Mlx5.number(),
                data_len: 0,
            })
        }

        fn rpc(&self, _: Scope, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
            reply.fill(0);
            let word = |at| u16::from_be_bytes([request[at], request[at + 1]]);
            match (word(0), word(6), word(10)) {
                // The current general capability.
                (0x100, 1, _) => {
                    let general = &capabilities()[0];
                    general.set(&mut reply[16..], "num_ports", 2).unwrap();
                }
                // MTCAP: the map of sensors.
                (0x805, _, 0x9009) => reply[16 + 15] = 0b10_0001,
                // PPCNT
                (0x805, _, 0x5008) => match self.errno {
                    Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
                    None => reply[0] = 3,
                },
                _ => {}
            }
            Ok(reply.len() as u32)
        }

        fn concurrency(&self) -> usize {
            self.concurrency
        }
    }

    fn read(errno: Option<i32>) -> (Vec<Reading>, Result<()>) {
        read_with(errno, 1)
    }

    fn read_with(errno: Option<i32>, concurrency: usize) -> (Vec<Reading>, Result<()>) {
        let mut all = Vec::new();
        let device = Device::with_transport("fwctl0", Card { errno, concurrency });
        let end = read_all(&device, |reading| all.push(reading));
        (all, end)
    }

    #[test]
    fn every_item_is_read_for_every_port_and_sensor() {
        let (all, end) = read(None);
        assert!(end.is_ok());
        let paths: HashSet<String> = all.iter().map(Reading::path).collect();
        assert_eq!(paths.len(), all.len(), "a path is not unique");
        for path in [
            "query/adapter",
            "capability/general/is_maximum=0",
            "register/mtmp/sensor_index=0",
            "register/mtmp/sensor_index=5",
            "register/ppcnt/local_port=2,grp=16,prio_tc=7",
            "register/pmaos/module=1",
        ] {
            assert!(paths.contains(path), "{path}");
        }
        assert!(!paths.contains("register/mtmp/sensor_index=1"));
        for item in items(DeviceType::Mlx5) {
            assert!(all.iter().any(|reading| reading.item == item), "{item:?}");
        }
        // The firmware refuses PPCNT, which is no reason to stop.
        let refused = all.iter().filter(|reading| reading.outcome.is_err());
        assert!(refused.clone().count() > 20);
        for reading in refused {
            assert_eq!(reading.item.name, "ppcnt");
            assert_eq!(reading.item.volatility, Volatility::Counter);
        }
    }

    #[test]
    fn a_device_that_is_removed_ends_it() {
        let (whole, _) = read(None);
        let (all, end) = read(Some(libc::ENODEV));
        let error = end.unwrap_err();
        assert!(error.to_string().contains("ENODEV"), "{error}");
        assert!(all.len() < whole.len());
        // PPCNT comes after FPGA_CTRL.
        assert_eq!(all.last().unwrap().item.name, "fpga-ctrl");
        // An errno of one request is an error of one item.
        assert_eq!(read(Some(libc::ENOMEM)).0.len(), whole.len());
    }

    #[test]
    fn a_device_that_does_not_answer_is_asked_once() {
        let replay = Replay::parse("info mlx5\notherwise errno 110").unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let device = Device::with_transport("fwctl0", replay).observed(move |_: &Exchange<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let end = read_all(&device, |reading| panic!("{reading:?}"));
        assert_eq!(end.unwrap_err().errno(), Some(libc::ETIMEDOUT));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn many_requests_in_flight_make_no_difference() {
        for errno in [None, Some(libc::ENODEV)] {
            let [(one, end), (many, end_many)] = [1, 16].map(|most| read_with(errno, most));
            assert_eq!(end.is_ok(), end_many.is_ok());
            let paths = |all: &[Reading]| all.iter().map(Reading::path).collect::<Vec<_>>();
            assert_eq!(paths(&one), paths(&many));
            let bytes = |reading: &Reading| Some(reading.outcome.as_ref().ok()?.0.clone());
            assert!(one.iter().map(bytes).eq(many.iter().map(bytes)));
        }
    }

    // struct fwctl_pds_list, include/uapi/fwctl/pds.h.
    #[test]
    fn operations_of_a_pensando() {
        let replay = Replay::parse(
            "unordered
info pds 07000000
rpc configuration 01000000 00000000 00000000 00000000 -> 02000000 00000000 20000000 00000000 30000000 00000000
rpc configuration 02000000 20000000 00000000 00000000
    -> 03000000 00000000 02010300 08 02 0000  02010300 00 00 0000  03010000 00 00 0000
rpc configuration 02000000 30000000 00000000 00000000 -> errno 71",
        );
        let mut all = Vec::new();
        let device = Device::with_transport("fwctl0", replay.unwrap());
        read_all(&device, |reading| all.push(reading)).unwrap();
        let paths: Vec<String> = all.iter().map(Reading::path).collect();
        assert_eq!(
            paths,
            [
                "operation/entry/endpoint=0x20,operation=0x30102",
                "operation/entry/endpoint=0x20,operation=0x103",
                "operation/entry/endpoint=0x30",
            ]
        );
        let fields = &all[0].outcome.as_ref().unwrap().1;
        assert_eq!(fields[3].datum, Datum::Text("debug-write".into()));
        assert!(all[2].outcome.is_err());
    }

    // struct fwctl_cxl_command, include/uapi/fwctl/cxl.h.
    #[test]
    fn commands_of_a_memory_device() {
        const QUERY: &str = "rpc configuration 00000100 00000000 00000000 00000000 ->";
        // It has no Features, which is the end. The commands have been read by then.
        let read = |recording: &str| {
            let replay = Replay::parse(&format!("{recording}\notherwise 00000000 15000000"));
            let device = Device::with_transport("fwctl0", replay.unwrap());
            let mut all = Vec::new();
            let end = read_all(&device, |reading| all.push(reading));
            (all, end)
        };
        let (all, end) = read(&format!(
            "info cxl 03000000 00010000\n{QUERY} 28000000 00000000 04000000 00000000
    0205 0e02 02 00 0100  10c0 0100 02 00 0000  30c0 4000 ff 04 0000  10c0 0000 00 00 0000"
        ));
        assert!(end.is_err());
        let paths: Vec<String> = all.iter().map(Reading::path).collect();
        assert_eq!(
            paths,
            [
                "command/entry/opcode=0x0502",
                "command/entry/opcode=0xc010",
                "command/entry/opcode=0xc030",
            ]
        );
        let fields = |reading: &Reading| {
            let (bytes, fields) = reading.outcome.as_ref().unwrap();
            assert!(bytes.is_empty());
            let fields = fields.iter();
            fields
                .map(|field| (field.name.to_string(), field.datum.clone()))
                .collect::<Vec<_>>()
        };
        let text = |name: &str, text: &str| (name.to_owned(), Datum::Text(text.to_owned()));
        let number = |name: &str, number| (name.to_owned(), Datum::Number(number));
        assert_eq!(
            fields(&all[0]),
            [
                text("name", "Set Feature"),
                number("effects", 0x20e),
                text("scope", "debug-write"),
                number("by_feature", 1),
                number("by_payload", 0),
            ]
        );
        assert_eq!(
            fields(&all[2]),
            [
                number("effects", 0x40),
                text("scope", "never"),
                number("by_feature", 0),
                number("by_payload", 0),
                text("refused", "background"),
            ]
        );
        // A list that lies is one item that failed; a kernel without a list has none.
        let (all, _) = read(&format!(
            "info cxl 03000000 00010000\n{QUERY} 08000000 00000000 04000000 00000000"
        ));
        assert_eq!((all.len(), all[0].path()), (1, "command/entry".into()));
        assert!(all[0].outcome.is_err());
        for kernel in ["info cxl", "info cxl 02000000 00010000"] {
            assert!(read(kernel).0.is_empty(), "{kernel}");
        }
    }

    #[test]
    fn other_types_have_no_items() {
        // The pds driver of Linux 7.3 has no lists.
        for name in ["pds", "bnxt", "type-77"] {
            let replay = Replay::parse(&format!("info {name} 01000000")).unwrap();
            let device = Device::with_transport("fwctl0", replay);
            read_all(&device, |reading| panic!("{reading:?}")).unwrap();
        }
    }
}
