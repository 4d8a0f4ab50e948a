// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be read of a ConnectX. Names are those of [`mlx5::registers`](crate::mlx5::registers),
//! [`capabilities`] and [`commands`](crate::mlx5::commands).

use super::{Item, Kind, Range, Volatility};
use crate::mlx5::{capabilities, READ_SCOPE};
use crate::Scope;
use std::sync::OnceLock;
use Range::{Each, Modules, Ports, Sensors};
use Volatility::{Configuration, Counter, Identity, State};

type Select = &'static [(&'static str, Range)];
type Fixed = &'static [(&'static str, u64)];
type Line = (&'static str, &'static str, Volatility, Select, Fixed);

const PORT: Select = &[("local_port", Ports)];
const ONCE: Select = &[];
const NONE: Fixed = &[];
const PRIORITIES: Range = Each(&[0, 1, 2, 3, 4, 5, 6, 7]);

#[rustfmt::skip]
const REGISTERS: &[Line] = &[
    ("pcap", "InfiniBand capabilities of a port", Identity, PORT, NONE),
    ("pmtu", "MTU of a port", Configuration, PORT, NONE),
    // InfiniBand, then Ethernet.
    ("ptys", "link types and speeds of a port", Configuration, &[("local_port", Ports), ("proto_mask", Each(&[1, 4]))], NONE),
    ("paos", "administrative and operational state of a port", Configuration, PORT, NONE),
    ("pfcc", "flow control of a port", Configuration, PORT, NONE),
    ("pptb", "buffers of the priorities of a port", Configuration, PORT, NONE),
    ("pbmc", "sizes and thresholds of a port's buffers", Configuration, PORT, NONE),
    ("pmaos", "administrative and operational state of a module", Configuration, &[("module", Modules)], NONE),
    ("pude", "state of a port at its last event", State, PORT, NONE),
    ("pelc", "link capabilities of a port", Configuration, PORT, NONE),
    ("pvlc", "virtual lanes of a port", Configuration, PORT, NONE),
    ("pcmr", "checks of a port, such as the frame check sequence", Configuration, PORT, NONE),
    ("pmlp", "modules and lanes of a port", Configuration, PORT, NONE),
    ("pplm", "forward error correction of a port", Configuration, PORT, NONE),
    ("pcam", "port registers and features that the firmware has", Identity,
        &[("access_reg_group", Each(&[0])), ("feature_group", Each(&[0]))], NONE),
    ("mtcap", "temperature sensors", Identity, ONCE, NONE),
    ("mtmp", "temperature of a sensor", Configuration, &[("sensor_index", Sensors)], NONE),
    ("mfrl", "firmware reset levels", Configuration, ONCE, NONE),
    ("mrtc", "real-time clock", State, ONCE, NONE),
    ("mpein", "PCI Express link", Identity, ONCE, NONE),
    ("mpcnt", "PCI Express counters", Counter, &[("grp", Each(&[0]))], NONE),
    ("mtpps", "pulse-per-second pins", Configuration, ONCE, NONE),
    ("mtppse", "events of a pulse-per-second pin", Configuration, &[("pin", Each(&[0]))], NONE),
    ("mtutc", "adjustment of the clock", State, ONCE, NONE),
    ("mpegc", "PCI Express congestion marking", Configuration, ONCE, NONE),
    ("mpir", "hosts of a multi-host or socket-direct card", Identity, ONCE, NONE),
    ("mcqs", "state of a firmware component", Identity, &[("component_index", Each(&[0]))], NONE),
    ("mcqi", "capabilities of a firmware component", Identity,
        &[("component_index", Each(&[0])), ("info_type", Each(&[0]))], &[("data_size", 20)]),
    ("mcqi", "version of a firmware component", Identity,
        &[("component_index", Each(&[0])), ("info_type", Each(&[1]))], &[("data_size", 124)]),
    ("mcqi", "how a firmware component is activated", Identity,
        &[("component_index", Each(&[0])), ("info_type", Each(&[5]))], &[("data_size", 4)]),
    ("mcc", "state of a firmware update", State, ONCE, NONE),
    ("mcam", "management registers and features that the firmware has", Identity,
        &[("access_reg_group", Each(&[0, 1, 2, 3])), ("feature_group", Each(&[0]))], NONE),
    ("mirc", "state of an image reactivation", State, ONCE, NONE),
    ("nic-cap", "diagnostic capabilities of the device", Identity, ONCE, NONE),
    ("dtor", "time limits that the driver should use", Identity, ONCE, NONE),
    ("sbcam", "limits of shared buffers", Identity, ONCE, NONE),
    ("qcam", "quality of service registers and features that the firmware has", Identity, ONCE, NONE),
    ("sbpr", "a pool of shared buffers", Configuration, &[("dir", Each(&[0, 1])), ("pool", Each(&[0]))], NONE),
    ("sbcm", "shared buffer of a port", Configuration, &[("local_port", Ports), ("dir", Each(&[0, 1]))], NONE),
    ("qpts", "source of the priorities of a port", Configuration, PORT, NONE),
    ("qtct", "traffic class of a priority", Configuration, &[("port_number", Ports), ("prio", PRIORITIES)], NONE),
    ("qpdpm", "priorities of the DSCP values", Configuration, PORT, NONE),
    ("dcbx-param", "data center bridging of a port", Configuration, &[("port_number", Ports)], NONE),
    ("fpga-cap", "FPGA of the card", Identity, ONCE, NONE),
    ("fpga-ctrl", "image of the FPGA", Configuration, ONCE, NONE),
    ("ppcnt", "IEEE 802.3 counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[0]))], NONE),
    ("ppcnt", "RFC 2863 counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[1]))], NONE),
    ("ppcnt", "RFC 2819 counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[2]))], NONE),
    ("ppcnt", "RFC 3635 counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[3]))], NONE),
    ("ppcnt", "extended Ethernet counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[5]))], NONE),
    ("ppcnt", "counters of a priority of a port", Counter,
        &[("local_port", Ports), ("grp", Each(&[0x10])), ("prio_tc", PRIORITIES)], NONE),
    ("ppcnt", "counters of a traffic class of a port", Counter,
        &[("local_port", Ports), ("grp", Each(&[0x11])), ("prio_tc", PRIORITIES)], NONE),
    ("ppcnt", "physical layer counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[0x12]))], NONE),
    ("ppcnt", "congestion counters of a traffic class of a port", Counter,
        &[("local_port", Ports), ("grp", Each(&[0x13])), ("prio_tc", PRIORITIES)], NONE),
    ("ppcnt", "physical layer statistics of a port", Counter, &[("local_port", Ports), ("grp", Each(&[0x16]))], NONE),
    ("ppcnt", "physical layer recovery counters of a port", Counter,
        &[("local_port", Ports), ("grp", Each(&[0x1a]))], NONE),
    ("ppcnt", "InfiniBand counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[0x20]))], NONE),
    ("ppcnt", "extended InfiniBand counters of a port", Counter, &[("local_port", Ports), ("grp", Each(&[0x21]))], NONE),
    ("ppcnt", "histogram of Reed-Solomon corrections of a port", Counter,
        &[("local_port", Ports), ("grp", Each(&[0x23]))], NONE),
    ("pmpe", "state of a module at its last event", State, &[("module", Modules)], NONE),
    ("pddr", "why a link is down", State, &[("local_port", Ports), ("page_select", Each(&[1]))], NONE),
    ("pphcr", "bins of a port's error histogram", Configuration, PORT, NONE),
    ("mcia", "identification of a module", State, &[("module", Modules)], &[("i2c_device_address", 0x50), ("size", 48)]),
    ("mlcr", "beacon LED of a port", Configuration, PORT, NONE),
    ("mtrc-cap", "firmware tracer", Identity, ONCE, NONE),
    ("mtrc-conf", "configuration of the firmware tracer", Configuration, ONCE, NONE),
    ("mtrc-ctrl", "state of the firmware tracer", State, ONCE, NONE),
    ("msecq", "clock quality of synchronous Ethernet", State, ONCE, NONE),
    ("msees", "synchronous Ethernet of a port", State, PORT, NONE),
    ("mtptm", "precision time measurement on PCI Express", State, ONCE, NONE),
    ("mtctr", "timestamps of two clocks", State, ONCE, NONE),
    ("mrtcq", "identity of the real-time clock", Identity, ONCE, NONE),
    ("vhca-icm-ctrl", "memory of a virtual device", State, ONCE, NONE),
];

#[rustfmt::skip]
const QUERIES: &[Line] = &[
    ("adapter", "board: vendor data and PSID", Identity, ONCE, NONE),
    ("issi", "interface steps of driver and firmware", Identity, ONCE, NONE),
    ("pages", "pages that the firmware asks for", State, &[("op_mod", Each(&[1, 2, 3]))], NONE),
    ("special-contexts", "reserved memory keys", Identity, ONCE, NONE),
    ("esw-functions", "functions of the embedded switch", Configuration, ONCE, NONE),
    ("vport-state", "state of the virtual port", Configuration, ONCE, NONE),
    ("nic-vport-context", "virtual port: addresses, MTU, filters", Configuration, ONCE, NONE),
    ("hca-vport-context", "InfiniBand virtual port", Configuration, &[("port_num", Ports)], NONE),
    ("roce-address", "an entry of the RoCE address table", Configuration, &[("roce_address_index", Each(&[0]))], NONE),
    ("vnic-env", "counters of discarded packets and failed queues", Counter, ONCE, NONE),
    ("vport-counter", "packet counters of the virtual port", Counter, &[("port_num", Ports)], NONE),
    ("q-counter", "transport counters of the default counter set", Counter, &[("counter_set_id", Each(&[0]))], NONE),
    ("cong-status", "congestion control of a priority", Configuration,
        &[("cong_protocol", Each(&[1, 2])), ("priority", PRIORITIES)], NONE),
    ("cong-statistics", "counters of congestion control", Counter, ONCE, NONE),
    ("lag", "link aggregation", Configuration, ONCE, NONE),
    ("mad-demux", "which management datagrams the firmware handles", Configuration, ONCE, NONE),
    ("cong-params", "parameters of congestion control", Configuration, &[("cong_protocol", Each(&[1, 2]))], NONE),
    ("wol-rol", "wake on LAN", Configuration, ONCE, NONE),
];

const OBJECT: &str = "needs the number of an object";
const ADDRESS: &str = "needs memory that the device can write to";
const NO_LAYOUT: &str = "the kernel's headers do not describe it";

#[rustfmt::skip]
pub(super) const LEFT_OUT: &[(Kind, &str, &str)] = &[
    (Kind::Register, "mcda", "moves the data of a firmware update"),
    (Kind::Register, "fpga-access-reg", "reads the FPGA's own address space"),
    (Kind::Register, "core-dump", ADDRESS),
    (Kind::Register, "mtrc-stdb", "part of the tracer's strings, at an offset"),
    (Kind::Register, "resource-dump", "one step of a dump"),
    (Kind::Register, "qetcr", NO_LAYOUT),
    (Kind::Register, "dcbx-app", NO_LAYOUT),
    (Kind::Register, "node-desc", NO_LAYOUT),
    (Kind::Register, "host-endianness", NO_LAYOUT),
    (Kind::Register, "mnvda", NO_LAYOUT),
    (Kind::Query, "vhca-migration-state", "is answered only for a suspended function"),
    (Kind::Query, "eq", OBJECT),
    (Kind::Query, "cq", OBJECT),
    (Kind::Query, "qp", OBJECT),
    (Kind::Query, "sq", OBJECT),
    (Kind::Query, "rq", OBJECT),
    (Kind::Query, "tir", OBJECT),
    (Kind::Query, "tis", OBJECT),
    (Kind::Query, "rqt", OBJECT),
    (Kind::Query, "rmp", OBJECT),
    (Kind::Query, "dct", OBJECT),
    (Kind::Query, "srq", OBJECT),
    (Kind::Query, "xrc-srq", OBJECT),
    (Kind::Query, "xrq", OBJECT),
    (Kind::Query, "mkey", OBJECT),
    (Kind::Query, "l2-table-entry", OBJECT),
    (Kind::Query, "esw-vport-context", "needs the number of a virtual port of the embedded switch"),
    (Kind::Query, "hca-vport-gid", OBJECT),
    (Kind::Query, "hca-vport-pkey", OBJECT),
    (Kind::Query, "scheduling-element", OBJECT),
    (Kind::Query, "flow-table", OBJECT),
    (Kind::Query, "flow-group", OBJECT),
    (Kind::Query, "flow-counter", OBJECT),
    (Kind::Query, "packet-reformat-context", OBJECT),
];

/// What each capability is about.
fn about(capability: &str) -> &'static str {
    match capability {
        "general" => "general capabilities",
        "ethernet-offloads" => "Ethernet offloads",
        "odp" => "on-demand paging",
        "atomic" => "atomic operations",
        "roce" => "RDMA over Converged Ethernet",
        "qos" => "quality of service",
        "debug" => "debugging",
        "device-memory" => "memory on the device",
        "tls" => "TLS offload",
        "ipsec" => "IPsec offload",
        "crypto" => "encryption of storage",
        "macsec" => "MACsec offload",
        "general-2" => "more general capabilities",
        "port-selection" => "selection of a port by flow tables",
        _ => "",
    }
}

pub(super) fn items() -> &'static [Item] {
    static ITEMS: OnceLock<Vec<Item>> = OnceLock::new();
    ITEMS.get_or_init(|| {
        let item = |kind, &(name, about, volatility, select, fixed): &Line| Item {
            kind,
            name,
            about,
            scope: READ_SCOPE,
            volatility,
            select,
            fixed,
        };
        let capability = |name| Item {
            kind: Kind::Capability,
            name,
            about: about(name),
            scope: Scope::Configuration,
            volatility: Identity,
            // The current value, then the maximum.
            select: &[("is_maximum", Each(&[0, 1]))],
            fixed: NONE,
        };
        QUERIES
            .iter()
            .map(|line| item(Kind::Query, line))
            .chain(capabilities().iter().map(|layout| capability(layout.name)))
            .chain(REGISTERS.iter().map(|line| item(Kind::Register, line)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlx5::{check_query, command, commands, register, registers, Layout};

    #[test]
    fn every_layout_is_an_item_or_left_out() {
        let is_left_out = |kind, name| {
            LEFT_OUT
                .iter()
                .any(|(out, left, _)| (*out, *left) == (kind, name))
        };
        let is_item = |kind, name| {
            items()
                .iter()
                .any(|item| (item.kind, item.name) == (kind, name))
        };
        let check = |kind, layout: &Layout| {
            let name = layout.name;
            assert!(
                is_item(kind, name) != is_left_out(kind, name),
                "{kind:?} {name}"
            );
        };
        for layout in registers() {
            check(Kind::Register, layout);
        }
        for command in commands() {
            check(Kind::Query, &command.input);
        }
        for layout in capabilities() {
            check(Kind::Capability, layout);
            assert!(!about(layout.name).is_empty(), "{}", layout.name);
        }
    }

    #[test]
    fn items_name_fields_that_exist_and_values_that_fit() {
        for item in items().iter().filter(|item| item.kind != Kind::Capability) {
            let layout = match item.kind {
                Kind::Query => &command(item.name).unwrap().input,
                _ => register(item.name).unwrap(),
            };
            assert!(layout.size > 0, "{}", item.name);
            let mut data = vec![0; layout.size];
            for (field, range) in item.select {
                assert!(layout.field(field).is_some(), "{} {field}", item.name);
                if let Each(values) = range {
                    for value in *values {
                        layout.set(&mut data, field, *value).unwrap();
                    }
                }
            }
            for (field, value) in item.fixed {
                layout.set(&mut data, field, *value).unwrap();
            }
            if item.kind == Kind::Query {
                data[..2].copy_from_slice(&layout.id.to_be_bytes());
                assert_eq!(check_query(&data), Ok(()), "{}", item.name);
            }
            let clears = layout.field("clr").or_else(|| layout.field("clear"));
            assert!(
                clears.is_none_or(|field| {
                    item.select.iter().all(|(name, _)| *name != field.name)
                        && item.fixed.iter().all(|(name, _)| *name != field.name)
                }),
                "{} clears counters",
                item.name
            );
        }
    }
}
