// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5`: registers, capabilities and query commands of a ConnectX.

mod caps;
mod query;
mod reg;

use crate::common::{number, World};
use crate::failure::Failure;
use crate::output::{hex, Block};
use clap::Subcommand;
use fwctl::mlx5::{Layout, Value};
use serde::Serialize;

/// Registers, capabilities and queries of a ConnectX
#[derive(Subcommand, Debug)]
pub enum Mlx5Verb {
    Reg(reg::RegArgs),
    Caps(caps::CapsArgs),
    Query(query::QueryArgs),
}

pub fn run(world: &World, verb: Mlx5Verb) -> Result<(), Failure> {
    match verb {
        Mlx5Verb::Reg(args) => reg::reg(world, args),
        Mlx5Verb::Caps(args) => caps::caps(world, &args),
        Mlx5Verb::Query(args) => query::query(world, args),
    }
}

/// `field=value` of a command line.
#[derive(Clone, Debug)]
struct Assignment {
    field: String,
    value: u64,
}

fn assignment(text: &str) -> Result<Assignment, String> {
    let (field, value) = text.split_once('=').ok_or("not of the form field=value")?;
    Ok(Assignment {
        field: field.into(),
        value: number(value)?,
    })
}

/// Sets fields of a block of bytes.
fn assign(layout: &Layout, data: &mut [u8], assignments: &[Assignment]) -> Result<(), Failure> {
    for Assignment { field, value } in assignments {
        layout.set(data, field, *value).map_err(|why| {
            let known: Vec<&str> = layout.fields.iter().map(|field| field.name).collect();
            let known = if known.is_empty() {
                "none that are known".into()
            } else {
                known.join(", ")
            };
            Failure::Usage(format!(
                "{}: {field}={value}: {why}; its fields are {known}",
                layout.name
            ))
        })?;
    }
    Ok(())
}

/// A field and its value, for JSON.
#[derive(Serialize)]
struct FieldRow {
    name: &'static str,
    value: Option<u64>,
    /// The value, if it has more than 64 bits.
    bytes: Option<String>,
}

impl FieldRow {
    fn is_zero(&self) -> bool {
        self.value == Some(0)
            || self
                .bytes
                .as_ref()
                .is_some_and(|bytes| bytes.bytes().all(|digit| digit == b'0'))
    }

    fn text(&self) -> String {
        match (self.value, &self.bytes) {
            (Some(value @ 0..=9), _) => value.to_string(),
            (Some(value), _) => format!("{value} ({value:#x})"),
            (None, Some(bytes)) if self.is_zero() => format!("0 ({} bytes)", bytes.len() / 2),
            (None, Some(bytes)) => bytes.clone(),
            (None, None) => "-".into(),
        }
    }
}

/// The fields of a block of bytes.
fn rows(layout: &Layout, data: &[u8]) -> Vec<FieldRow> {
    let row = |field: &fwctl::mlx5::Field| {
        let (value, bytes) = match field.get(data)? {
            Value::Number(value) => (Some(value), None),
            Value::Bytes(bytes) => (None, Some(hex(&bytes))),
        };
        Some(FieldRow {
            name: field.name,
            value,
            bytes,
        })
    };
    layout.fields.iter().filter_map(row).collect()
}

/// Fields for people, and the bytes that no field describes as a dump.
fn blocks(fields: &[FieldRow], rest: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    if !fields.is_empty() {
        let cells = |field: &FieldRow| vec![field.name.to_owned(), field.text()];
        let rows = fields.iter().map(cells).collect();
        blocks.push(Block::Table(&["FIELD", "VALUE"], rows));
    }
    if !rest.is_empty() {
        blocks.push(Block::Dump(rest.to_vec()));
    }
    blocks
}
