// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fields as values with units: temperatures in degrees, text as text, halves of a number as one.

use super::{Field, Layout, Value};
use crate::catalogue::{Datum, Decoded, Unit, Volatility};
use std::borrow::Cow;

/// How the bits of a field are to be read.
#[derive(Clone, Copy)]
enum Reading {
    /// A number.
    Number,
    /// Signed, in units of 1/8 degree.
    Eighths,
    /// Units of 100 Mb/s.
    HundredMegabits,
    /// ASCII, to the first zero.
    Text,
    /// A MAC address.
    Mac,
    /// Major, minor and subminor number, of 8, 8 and 16 bits.
    Version,
}

/// What is known about a field beyond its place.
struct Meaning {
    reading: Reading,
    unit: Option<Unit>,
    volatility: Option<Volatility>,
}

/// Suffixes of the two halves of a value.
const HALVES: [(&str, &str); 5] = [
    ("_high", "_low"),
    ("_hi", "_lo"),
    ("_h", "_l"),
    ("_47_32", "_31_0"),
    ("52_32", "31_0"),
];

/// Decodes the fields that `data` has, in their order.
pub fn decode(layout: &Layout, data: &[u8]) -> Vec<Decoded> {
    let mut fields = layout.fields_of(data).peekable();
    let mut all = Vec::new();
    while let Some(field) = fields.next() {
        let whole = fields.peek().and_then(|low| join(field, low));
        let decoded = match whole {
            Some((whole, name)) => {
                fields.next();
                value(layout, &whole, name.into(), data)
            }
            None => value(layout, field, field.name.into(), data),
        };
        all.extend(decoded);
    }
    all
}

/// The field that two adjacent halves are, and its name.
fn join(high: &Field, low: &Field) -> Option<(Field, String)> {
    // Two thresholds of 16 bits are called temp_threshold_hi and _lo.
    if high.bit + high.width != low.bit || low.width != 32 || high.when != low.when {
        return None;
    }
    let name = HALVES.iter().find_map(|(upper, lower)| {
        let name = high.name.strip_suffix(upper)?;
        (low.name.strip_suffix(lower) == Some(name)).then_some(name)
    })?;
    let whole = Field {
        bit: high.bit,
        width: high.width + low.width,
        name: "",
        when: high.when,
    };
    Some((whole, name.to_owned()))
}

fn value(layout: &Layout, field: &Field, name: Cow<'static, str>, data: &[u8]) -> Option<Decoded> {
    let Meaning {
        reading,
        unit,
        volatility,
    } = meaning(layout.name, &name);
    let got = field.get(data)?;
    let (datum, raw) = match (reading, got) {
        (Reading::Eighths, Value::Number(raw)) => {
            let signed = i16::from_ne_bytes((raw as u16).to_ne_bytes());
            (Datum::Decimal(f64::from(signed) / 8.0), Some(raw))
        }
        (Reading::HundredMegabits, Value::Number(raw)) => {
            (Datum::Number(raw.saturating_mul(100)), Some(raw))
        }
        (Reading::Mac, Value::Number(raw)) => {
            let bytes = raw.to_be_bytes();
            let parts: Vec<String> = bytes[2..]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            (Datum::Text(parts.join(":")), None)
        }
        (Reading::Version, Value::Number(raw)) => {
            let (major, minor, sub) = ((raw >> 24) & 0xff, (raw >> 16) & 0xff, raw & 0xffff);
            let text = format!("{major}.{minor}.{sub:04}");
            (Datum::Text(text), Some(raw))
        }
        (Reading::Text, Value::Number(raw)) => (text(&raw.to_be_bytes()), None),
        (Reading::Text, Value::Bytes(bytes)) => (text(&bytes), None),
        (_, Value::Number(raw)) => (Datum::Number(raw), None),
        (_, Value::Bytes(bytes)) => (Datum::Bytes(bytes), None),
    };
    Some(Decoded {
        name,
        datum,
        unit,
        volatility,
        raw,
        meaning: None,
    })
}

fn text(bytes: &[u8]) -> Datum {
    let end = bytes.iter().position(|&byte| byte == 0);
    let text = &bytes[..end.unwrap_or(bytes.len())];
    Datum::Text(String::from_utf8_lossy(text).into_owned())
}

/// What is known about a field of this layout, by its full name.
fn meaning(layout: &str, name: &str) -> Meaning {
    let last = name.rsplit('.').next().unwrap_or(name);
    let reading = match (layout, last) {
        ("mtmp", "temperature" | "max_temperature") => Reading::Eighths,
        ("mtmp", "temp_threshold_hi" | "temp_threshold_lo") => Reading::Eighths,
        ("vport-state", "max_tx_speed") => Reading::HundredMegabits,
        ("mtmp", "sensor_name")
        | ("adapter", "vsd_contd_psid")
        | ("mcqi", "version_string")
        | ("pddr", "status_message") => Reading::Text,
        ("mcqi", "version") => Reading::Version,
        (_, "mac_addr" | "source_mac" | "rmac") => Reading::Mac,
        _ => Reading::Number,
    };
    let is_counter = name.starts_with("counter_set.") || matches!(layout, "vport-counter");
    let ends = |ends: &[&str]| ends.iter().any(|end| last.ends_with(end));
    let unit = match (reading, last) {
        (Reading::Eighths, _) => Some(Unit::Celsius),
        (Reading::HundredMegabits, _) => Some(Unit::MegabitsPerSecond),
        (_, "time_since_last_clear") => Some(Unit::Milliseconds),
        (_, "tx_pause_duration" | "rx_pause_duration") => Some(Unit::Microseconds),
        (_, "port_xmit_data" | "port_rcv_data") => Some(Unit::Words),
        (_, "max_mtu" | "admin_mtu" | "oper_mtu" | "mtu") => Some(Unit::Bytes),
        _ if is_counter && ends(&["octets"]) => Some(Unit::Bytes),
        _ if is_counter && ends(&["packets", "pkts", "frames"]) => Some(Unit::Packets),
        _ if is_counter && ends(&["_bits"]) => Some(Unit::Bits),
        _ => None,
    };
    Meaning {
        reading,
        unit,
        volatility: volatility(layout, name, last),
    }
}

/// When a field changes, if that is not what the catalogue says about all of its layout.
fn volatility(layout: &str, name: &str, last: &str) -> Option<Volatility> {
    use Volatility::{Configuration, Counter, Identity, State};
    match (layout, last) {
        ("mtmp", "temperature" | "max_temperature") => Some(State),
        ("mtmp", "sensor_name") => Some(Identity),
        ("ptys", "an_status" | "connector_type") => Some(State),
        ("ptys", _) if last.ends_with("_oper") || last == "eth_proto_lp_advertise" => Some(State),
        ("ptys", _) if last.ends_with("_capability") || last == "an_disable_cap" => Some(Identity),
        ("pmtu", "max_mtu") => Some(Identity),
        ("pmtu", "oper_mtu") => Some(State),
        ("paos" | "pmaos", "oper_status") => Some(State),
        ("pplm", "retransmission_active" | "fec_mode_active" | "active_port_profile") => {
            Some(State)
        }
        ("pplm", _) if last.contains("_cap") => Some(Identity),
        ("pelc", "op_active" | "active") => Some(State),
        ("pvlc", "vl_operational") => Some(State),
        ("mpein", "link_width_active" | "link_speed_active" | "pwr_status") => Some(State),
        ("mpein", "max_read_request_size" | "max_payload_size") => Some(Configuration),
        ("mfrl", "reset_state") => Some(State),
        ("mcqs", "component_status" | "component_update_state") => Some(State),
        ("sbpr" | "sbcm", _) if last.ends_with("_occupancy") => Some(State),
        ("dcbx-param", _) if last.ends_with("_oper") || last.starts_with("error") => Some(State),
        ("mlcr", "beacon_remain") => Some(State),
        ("vport-state", "state" | "max_tx_speed") => Some(State),
        ("hca-vport-context", "port_physical_state" | "port_state" | "vport_state") => Some(State),
        ("hca-vport-context", "lid" | "sm_lid" | "sm_sl" | "lmc") => Some(State),
        ("nic-vport-context" | "hca-vport-context", _) if last.ends_with("_counter") => {
            Some(Counter)
        }
        ("lag", "active_port") => Some(State),
        (
            "cong-statistics",
            "rp_cur_flows" | "sum_flows" | "time_stamp" | "accumulators_period",
        ) => Some(State),
        // Selection of what was read.
        ("ppcnt" | "mpcnt", _) if !name.starts_with("counter_set.") => Some(Identity),
        ("ppcnt", "time_since_last_clear") => Some(State),
        ("vnic-env", "counter_error_queues" | "total_error_queues") => Some(State),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlx5::{command, commands, register, registers};

    fn field(fields: &[Decoded], name: &str) -> Decoded {
        let found = fields.iter().find(|field| field.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    }

    // mlx5_ifc_mtmp_reg_bits: temperature in units of 0.125 degrees, in two's complement.
    #[test]
    fn temperatures_are_signed_eighths_of_a_degree() {
        let mtmp = register("mtmp").unwrap();
        let mut data = vec![0; mtmp.size];
        data[6..8].copy_from_slice(&(-84i16).to_be_bytes());
        data[10..12].copy_from_slice(&361u16.to_be_bytes());
        data[24..].copy_from_slice(b"module0\0");
        let fields = decode(mtmp, &data);
        let now = field(&fields, "temperature");
        assert_eq!(now.datum, Datum::Decimal(-10.5));
        assert_eq!(
            (now.unit, now.raw, now.volatility),
            (Some(Unit::Celsius), Some(0xffac), Some(Volatility::State))
        );
        assert_eq!(
            field(&fields, "max_temperature").datum,
            Datum::Decimal(45.125)
        );
        assert_eq!(
            field(&fields, "sensor_name").datum,
            Datum::Text("module0".into())
        );
        // No halves of one number.
        field(&fields, "temp_threshold_hi");
        field(&fields, "temp_threshold_lo");
    }

    #[test]
    fn halves_of_counters_are_one_number() {
        let ppcnt = register("ppcnt").unwrap();
        let mut data = vec![0; ppcnt.size];
        data[3] = 0x12;
        // time_since_last_clear is the first of the group, at bit 64.
        data[8..16].copy_from_slice(&0x1_0000_0002u64.to_be_bytes());
        let fields = decode(ppcnt, &data);
        let time = field(
            &fields,
            "counter_set.phys_layer_cntrs.time_since_last_clear",
        );
        assert_eq!(time.datum, Datum::Number(0x1_0000_0002));
        assert_eq!(time.unit, Some(Unit::Milliseconds));
        assert!(fields.iter().all(|field| !field.name.ends_with("_high")));
    }

    #[test]
    fn every_pair_of_halves_is_joined() {
        let layouts = registers()
            .iter()
            .chain(commands().iter().map(|command| &command.output));
        for layout in layouts {
            let data = vec![0; layout.size];
            for field in decode(layout, &data) {
                let name = field.name;
                // An address of IPv6 is four words.
                assert!(
                    !name.ends_with("_high")
                        && (!name.ends_with("_31_0") || name.ends_with(".ipv6_31_0")),
                    "{} {name}",
                    layout.name
                );
            }
        }
    }

    #[test]
    fn text_addresses_and_versions() {
        let adapter = command("adapter").unwrap();
        let mut reply = vec![0; adapter.output.size];
        reply[0x100..0x10d].copy_from_slice(b"MT_0000000838");
        let psid = "query_adapter_struct.vsd_contd_psid";
        assert_eq!(
            field(&decode(&adapter.output, &reply), psid).datum,
            Datum::Text("MT_0000000838".into())
        );
        let vport = command("nic-vport-context").unwrap();
        let mut reply = vec![0; vport.output.size];
        reply[262..268].copy_from_slice(&[0x0c, 0x42, 0xa1, 0, 0, 0x0f]);
        let mac = "nic_vport_context.permanent_address.mac_addr";
        assert_eq!(
            field(&decode(&vport.output, &reply), mac).datum,
            Datum::Text("0c:42:a1:00:00:0f".into())
        );
        let mcqi = register("mcqi").unwrap();
        let mut data = vec![0; mcqi.size];
        data[11] = 1;
        data[28..32].copy_from_slice(&0x1c2d_04b0u32.to_be_bytes());
        let version = field(&decode(mcqi, &data), "data.mcqi_version.version");
        assert_eq!(version.datum, Datum::Text("28.45.1200".into()));
        assert_eq!(version.raw, Some(0x1c2d_04b0));
    }

    #[test]
    fn short_data_has_fewer_fields() {
        let mtmp = register("mtmp").unwrap();
        assert_eq!(decode(mtmp, &[]), []);
        assert_eq!(decode(mtmp, &[0; 8]).len(), 2);
    }
}
