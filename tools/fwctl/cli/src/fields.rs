// SPDX-License-Identifier: MIT OR Apache-2.0

//! Decoded fields, in tables and in JSON.

use crate::common::number_text;
use crate::output::{hex, Block};
use fwctl::catalogue::{Datum, Decoded, Unit, Volatility};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// Fields of a block of bytes. In JSON: an object, with the fields in the order of the layout.
#[derive(Default)]
pub struct Fields {
    fields: Vec<Decoded>,
    /// JSON says which fields change otherwise than the block.
    has_volatility: bool,
}

impl Fields {
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

    /// A table of names and values; nothing if there are no fields.
    pub fn block(&self) -> Option<Block> {
        let cells = |field: &Decoded| vec![field.name.to_string(), text(field)];
        let rows: Vec<_> = self.fields.iter().map(cells).collect();
        (!rows.is_empty()).then_some(Block::Table(&["FIELD", "VALUE"], rows))
    }
}

/// A field in JSON. Keys that say nothing are left out.
#[derive(Serialize)]
struct Row<'a> {
    value: Json<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    /// The number in the device's own unit, if the value was converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volatility: Option<&'static str>,
}

/// A value in JSON. Bytes are hexadecimal digits.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Json<'a> {
    Number(u64),
    Decimal(f64),
    Text(Cow<'a, str>),
}

/// A decoded value for JSON.
pub fn json(datum: &Datum) -> Json<'_> {
    match datum {
        Datum::Number(number) => Json::Number(*number),
        Datum::Decimal(decimal) => Json::Decimal(*decimal),
        Datum::Text(text) => Json::Text(text.into()),
        Datum::Bytes(bytes) => Json::Text(hex(bytes).into()),
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for field in &self.fields {
            let volatility = field.volatility.filter(|_| self.has_volatility);
            let row = Row {
                value: json(&field.datum),
                unit: field.unit.map(Unit::name),
                raw: field.raw,
                meaning: field.meaning,
                volatility: volatility.map(Volatility::name),
            };
            map.serialize_entry(&field.name, &row)?;
        }
        map.end()
    }
}

/// A value for people.
pub fn text(field: &Decoded) -> String {
    let raw = field
        .raw
        .map_or_else(String::new, |raw| format!(" ({raw:#x})"));
    if let Some(meaning) = field.meaning {
        return meaning.to_owned();
    }
    match (&field.datum, field.unit) {
        (Datum::Number(number), None) => number_text(*number),
        (Datum::Number(number), Some(unit)) => format!("{number} {}", unit.symbol()),
        (Datum::Decimal(decimal), Some(unit)) => format!("{decimal} {}{raw}", unit.symbol()),
        (Datum::Decimal(decimal), None) => format!("{decimal}{raw}"),
        (Datum::Text(text), _) => format!("{text:?}"),
        (Datum::Bytes(bytes), _) => text_of_bytes(bytes),
    }
}

/// Returns whether a value is 0 or only zeros.
pub fn is_zero(datum: &Datum) -> bool {
    match datum {
        Datum::Number(number) => *number == 0,
        Datum::Decimal(decimal) => *decimal == 0.0,
        Datum::Text(text) => text.is_empty(),
        Datum::Bytes(bytes) => bytes.iter().all(|byte| *byte == 0),
    }
}

/// Bytes as text if they look like it, as versions and part numbers do; else as digits.
fn text_of_bytes(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return format!("0 ({} bytes)", bytes.len());
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\0');
    if text.bytes().all(|c| c.is_ascii_graphic() || c == b' ') {
        return format!("{text:?}");
    }
    hex(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(datum: Datum, unit: Option<Unit>, raw: Option<u64>) -> Decoded {
        let mut field = Decoded::new("x", datum);
        (field.unit, field.raw) = (unit, raw);
        field
    }

    #[test]
    fn values_in_tables() {
        let cases = [
            (field(Datum::Number(16), None, None), "16 (0x10)"),
            (
                field(Datum::Number(1500), Some(Unit::Bytes), None),
                "1500 bytes",
            ),
            (
                field(Datum::Decimal(-10.5), Some(Unit::Celsius), Some(0xffac)),
                "-10.5 C (0xffac)",
            ),
            (
                field(Datum::Text("a\u{1b}[2J".into()), None, None),
                "\"a\\u{1b}[2J\"",
            ),
            (
                field(Datum::Bytes(b"28.45\0\0".to_vec()), None, None),
                "\"28.45\"",
            ),
            (field(Datum::Bytes(vec![0; 3]), None, None), "0 (3 bytes)"),
            (field(Datum::Bytes(vec![0x1b, 0x5b]), None, None), "1b5b"),
            (field(Datum::Bytes(vec![0xc3, 0xa9]), None, None), "c3a9"),
            (
                field(Datum::Bytes(vec![0x31, 0, 0x32]), None, None),
                "310032",
            ),
        ];
        for (field, expected) in cases {
            assert_eq!(text(&field), expected);
        }
    }

    #[test]
    fn fields_are_an_object_in_json() {
        let mut identity = Decoded::new("y", Datum::Bytes(vec![1]));
        identity.volatility = Some(Volatility::Identity);
        let fields = vec![
            field(Datum::Decimal(45.0), Some(Unit::Celsius), Some(360)),
            identity,
        ];
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
}
