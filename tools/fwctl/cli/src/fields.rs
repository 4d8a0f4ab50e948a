// SPDX-License-Identifier: MIT OR Apache-2.0

//! Decoded fields in tables.

use crate::common::number_text;
use crate::output::{hex, Block};
use fwctl::catalogue::{Datum, Decoded};
pub use fwctl::snapshot::Fields;

/// A table of names and values; nothing if there are no fields.
pub fn block(fields: &Fields) -> Option<Block> {
    let cells = |field: &Decoded| vec![field.name.to_string(), text(field)];
    let rows: Vec<_> = fields.as_slice().iter().map(cells).collect();
    (!rows.is_empty()).then_some(Block::Table(&["FIELD", "VALUE"], rows))
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
    use fwctl::catalogue::Unit;

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
}
