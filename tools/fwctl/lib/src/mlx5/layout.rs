// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the fields of registers, capabilities and commands are. The table is `layouts.txt`.

use std::sync::OnceLock;

/// Names and places of the fields of a block of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// Number that the device knows it by: register id, capability type or opcode.
    pub id: u16,
    /// Bytes; 0 if the kernel's headers do not say.
    pub size: usize,
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

/// A field: big-endian bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Field {
    /// First bit; bit 0 is the most significant one of byte 0.
    pub bit: usize,
    /// Bits.
    pub width: usize,
    /// Its name.
    pub name: &'static str,
    /// What says that it is there, for a member of a union; without it, it always is.
    pub when: Option<Choice>,
}

/// A member of a union holds if a number elsewhere in the same block has this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Choice {
    /// First bit of the number.
    pub bit: usize,
    /// Bits of the number, at most 64.
    pub width: usize,
    /// The value.
    pub value: u64,
}

/// A query command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Command {
    /// Its request, header included.
    pub input: Layout,
    /// Its reply, header included.
    pub output: Layout,
}

/// Value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Value {
    /// Of up to 64 bits.
    Number(u64),
    /// Of more.
    Bytes(Vec<u8>),
}

/// A field that cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadField {
    /// There is no field of this name.
    #[error("no field of this name")]
    Unknown,
    /// The value has more bits than the field.
    #[error("the field has {0} bits, the value needs more")]
    TooLarge(usize),
    /// The field has more than 64 bits, or lies outside of the data.
    #[error("the field cannot be set as a number")]
    NotANumber,
}

impl Field {
    /// Its value in `data`; nothing if it lies outside.
    pub fn get(&self, data: &[u8]) -> Option<Value> {
        let end = self.bit.checked_add(self.width)?;
        if end > data.len() * 8 {
            return None;
        }
        if self.width > 64 && self.bit % 8 == 0 && self.width % 8 == 0 {
            return Some(Value::Bytes(data[self.bit / 8..end / 8].to_vec()));
        }
        let bits = |from: usize, to: usize| {
            (from..to).fold(0, |value, bit| {
                (value << 1) | u64::from((data[bit / 8] >> (7 - bit % 8)) & 1)
            })
        };
        if self.width > 64 {
            // Aligned to its end, as a number would be.
            let first = self.width % 8;
            let starts = std::iter::once((self.bit, self.bit + first)).filter(|_| first != 0);
            let rest = (self.bit + first..end)
                .step_by(8)
                .map(|from| (from, from + 8));
            return Some(Value::Bytes(
                starts
                    .chain(rest)
                    .map(|(from, to)| bits(from, to) as u8)
                    .collect(),
            ));
        }
        Some(Value::Number(bits(self.bit, end)))
    }

    /// It is there: it is no member of a union, or of the one that `data` says.
    pub fn holds(&self, data: &[u8]) -> bool {
        self.when.is_none_or(|Choice { bit, width, value }| {
            let selector = Field {
                bit,
                width,
                name: "",
                when: None,
            };
            selector.get(data) == Some(Value::Number(value))
        })
    }

    fn put(&self, data: &mut [u8], value: u64) -> Result<(), BadField> {
        if self.width > 64 || self.bit + self.width > data.len() * 8 {
            return Err(BadField::NotANumber);
        }
        if self.width < 64 && value >> self.width != 0 {
            return Err(BadField::TooLarge(self.width));
        }
        for i in 0..self.width {
            let bit = self.bit + i;
            let mask = 1 << (7 - bit % 8);
            match (value >> (self.width - 1 - i)) & 1 {
                0 => data[bit / 8] &= !mask,
                _ => data[bit / 8] |= mask,
            }
        }
        Ok(())
    }
}

impl Layout {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields that `data` has.
    pub fn fields_of<'a>(&'a self, data: &'a [u8]) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(|field| field.holds(data))
    }

    /// `data` says that it has a member of a union whose fields are not known.
    pub fn has_unknown_part(&self, data: &[u8]) -> bool {
        let mut members = self
            .fields
            .iter()
            .filter(|field| field.when.is_some())
            .peekable();
        members.peek().is_some() && !members.any(|field| field.holds(data))
    }

    /// Sets a field in `data`.
    ///
    /// # Errors
    ///
    /// [`BadField`]: the field is not there, is no number, or is too small for the value. `data` is
    /// as it was.
    pub fn set(&self, data: &mut [u8], name: &str, value: u64) -> Result<(), BadField> {
        self.field(name).ok_or(BadField::Unknown)?.put(data, value)
    }
}

impl Command {
    /// A request with all fields 0.
    pub fn request(&self) -> Vec<u8> {
        let mut request = vec![0; self.input.size];
        request[..2].copy_from_slice(&self.input.id.to_be_bytes());
        request
    }

    /// The field of the request that has the number of what is asked about, such as that of a queue;
    /// none if there is only one of it.
    pub fn number_field(&self) -> Option<&Field> {
        // Behind the first half of the header. Shorter fields are flags and kinds.
        let is_number = |field: &&Field| field.bit >= 64 && field.width >= 8;
        self.input.fields.iter().rfind(is_number)
    }
}

/// Registers that the kernel's headers name.
pub fn registers() -> &'static [Layout] {
    &tables().registers
}

/// The register of this name.
pub fn register(name: &str) -> Option<&'static Layout> {
    registers().iter().find(|layout| layout.name == name)
}

/// Capabilities that the kernel's headers describe.
pub fn capabilities() -> &'static [Layout] {
    &tables().capabilities
}

/// Query commands that the kernel's headers describe.
pub fn commands() -> &'static [Command] {
    &tables().commands
}

/// The query command of this name, such as `adapter`.
pub fn command(name: &str) -> Option<&'static Command> {
    commands().iter().find(|command| command.input.name == name)
}

#[derive(Debug, Default)]
struct Tables {
    registers: Vec<Layout>,
    capabilities: Vec<Layout>,
    commands: Vec<Command>,
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| parse(include_str!("layouts.txt")))
}

/// Lines that are no section and no field are comments; a test holds that there are none but the
/// header.
fn parse(text: &'static str) -> Tables {
    let mut sections: Vec<(&str, Layout)> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), sections.last_mut()) {
            ([kind @ ("reg" | "cap" | "in" | "out"), name, id, size], _) => {
                let id = id
                    .strip_prefix("0x")
                    .and_then(|id| u16::from_str_radix(id, 16).ok());
                if let (Some(id), Ok(size)) = (id, size.parse()) {
                    sections.push((
                        kind,
                        Layout {
                            name,
                            id,
                            size,
                            fields: Vec::new(),
                        },
                    ));
                }
            }
            ([bit, width, name, when @ ..], Some((_, layout))) if when.len() <= 1 => {
                let choice = when.first().map(|when| choice(layout, when));
                // One that is not understood takes its field with it, which a test sees.
                let is_understood = choice != Some(None);
                if let (Ok(bit), Ok(width), true) = (bit.parse(), width.parse(), is_understood) {
                    let when = choice.flatten();
                    layout.fields.push(Field {
                        bit,
                        width,
                        name,
                        when,
                    });
                }
            }
            _ => {}
        }
    }
    let mut tables = Tables::default();
    let mut input = None;
    for (kind, layout) in sections {
        match (kind, input.take()) {
            ("reg", _) => tables.registers.push(layout),
            ("cap", _) => tables.capabilities.push(layout),
            ("in", _) => input = Some(layout),
            (_, Some(input)) => tables.commands.push(Command {
                input,
                output: layout,
            }),
            _ => {}
        }
    }
    tables
}

/// `grp=0x10`: the field `grp` of this layout has this value.
fn choice(layout: &Layout, text: &str) -> Option<Choice> {
    let (name, value) = text.split_once("=0x")?;
    let selector = layout.field(name)?;
    Some(Choice {
        bit: selector.bit,
        width: selector.width,
        value: u64::from_str_radix(value, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlx5::HEADER;

    #[test]
    fn the_table_is_read_to_the_last_line() {
        let text = include_str!("layouts.txt");
        let tables = tables();
        let commands = tables
            .commands
            .iter()
            .flat_map(|command| [&command.input, &command.output]);
        let layouts: Vec<&Layout> = tables
            .registers
            .iter()
            .chain(&tables.capabilities)
            .chain(commands)
            .collect();
        let lines: usize = layouts.iter().map(|layout| 1 + layout.fields.len()).sum();
        assert_eq!(
            lines,
            text.lines().filter(|line| !line.starts_with('#')).count()
        );
        for layout in layouts {
            for field in &layout.fields {
                assert!(
                    field.width > 0 && field.bit + field.width <= layout.size * 8,
                    "{} {}",
                    layout.name,
                    field.name
                );
            }
        }
        for command in &tables.commands {
            assert_eq!(
                (command.input.name, command.input.id),
                (command.output.name, command.output.id)
            );
            assert!(command.input.size >= HEADER && command.output.size >= HEADER);
            assert!(command
                .request()
                .starts_with(&command.input.id.to_be_bytes()));
        }
    }

    // Places: mlx5_ifc_mtmp_reg_bits, mlx5_ifc_cmd_hca_cap_bits, mlx5_ifc_query_adapter_out_bits.
    #[test]
    fn places_are_those_of_the_header() {
        let mtmp = register("mtmp").unwrap();
        assert_eq!((mtmp.id, mtmp.size), (0x900a, 32));
        assert_eq!(
            mtmp.field("sensor_index"),
            Some(&Field {
                bit: 0x14,
                width: 12,
                name: "sensor_index",
                when: None
            })
        );
        assert_eq!(
            mtmp.field("max_temperature"),
            Some(&Field {
                bit: 0x50,
                width: 16,
                name: "max_temperature",
                when: None
            })
        );
        let general = &capabilities()[0];
        assert_eq!((general.name, general.id), ("general", 0));
        assert_eq!(
            general.field("vhca_id"),
            Some(&Field {
                bit: 0x30,
                width: 16,
                name: "vhca_id",
                when: None
            })
        );
        let adapter = command("adapter").unwrap();
        assert_eq!((adapter.input.id, adapter.output.size), (0x101, 272));
        let psid = adapter
            .output
            .field("query_adapter_struct.vsd_contd_psid")
            .unwrap();
        assert_eq!((psid.bit / 8, psid.width / 8), (0x100, 16));
    }

    #[test]
    fn objects_have_numbers() {
        for (name, field) in [
            ("qp", Some("qpn")),
            ("tis", Some("tisn")),
            ("eq", Some("eq_number")),
            ("mkey", Some("mkey_index")),
            ("q-counter", Some("counter_set_id")),
            ("flow-group", Some("group_id")),
            ("vport-state", Some("vport_number")),
            ("adapter", None),
            ("cong-status", None),
        ] {
            let found = command(name).unwrap().number_field();
            assert_eq!(found.map(|field| field.name), field, "{name}");
        }
    }

    // mlx5_ifc_ppcnt_reg_bits: grp at bit 26, counter_set at 64; groups: device.h.
    #[test]
    fn of_a_union_the_member_that_the_data_names() {
        let ppcnt = register("ppcnt").unwrap();
        let names = |group: u8| {
            let mut data = vec![0; ppcnt.size];
            data[3] = group;
            let fields: Vec<&str> = ppcnt.fields_of(&data).map(|field| field.name).collect();
            (fields.join(" "), ppcnt.has_unknown_part(&data))
        };
        let (ieee, is_unknown) = names(0);
        assert!(
            ieee.starts_with("swid local_port pnat grp ")
                && ieee.contains("a_frames_transmitted_ok_high"),
            "{ieee}"
        );
        assert!(!ieee.contains("phys_layer") && !is_unknown);
        let (physical, is_unknown) = names(0x12);
        assert!(
            physical.contains("phys_layer_cntrs.symbol_errors_high") && !physical.contains("802_3"),
            "{physical}"
        );
        assert!(!is_unknown);
        let (unknown, is_unknown) = names(0x3f);
        assert!(!unknown.contains("counter_set.") && is_unknown, "{unknown}");
        // Too short to say.
        assert_eq!(
            ppcnt
                .fields_of(&[0; 2])
                .filter(|field| field.when.is_some())
                .count(),
            0
        );
        assert!(!register("mtmp").unwrap().has_unknown_part(&[0; 32]));
    }

    #[test]
    fn fields_are_big_endian_and_stay_inside() {
        let field = |bit, width| Field {
            bit,
            width,
            name: "x",
            when: None,
        };
        let data = [0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0xff];
        assert_eq!(field(4, 12).get(&data), Some(Value::Number(0x234)));
        assert_eq!(field(0, 1).get(&data), Some(Value::Number(0)));
        assert_eq!(
            field(0, 64).get(&data),
            Some(Value::Number(0x1234_5678_0000_0000))
        );
        assert_eq!(
            field(4, 68).get(&data),
            Some(Value::Bytes(vec![0x2, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0xff]))
        );
        assert_eq!(field(0, 72).get(&data), Some(Value::Bytes(data.to_vec())));
        assert_eq!(field(65, 8).get(&data), None);
        assert_eq!(field(usize::MAX, 8).get(&data), None);
        assert_eq!(field(0, 1).get(&[]), None);

        let mut data = [0xff; 2];
        assert_eq!(field(4, 8).put(&mut data, 0x5a), Ok(()));
        assert_eq!(data, [0xf5, 0xaf]);
        assert_eq!(
            field(4, 8).put(&mut data, 0x100),
            Err(BadField::TooLarge(8))
        );
        assert_eq!(field(9, 8).put(&mut data, 0), Err(BadField::NotANumber));
    }
}
