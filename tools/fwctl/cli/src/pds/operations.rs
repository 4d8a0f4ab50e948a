// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl pds operations`.

use super::hex_number;
use crate::common::{number, DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use fwctl::pds::{Operation, PdsDevice};
use serde::Serialize;

/// List operations of the firmware, with the scope that each needs
///
/// Of all endpoints, or of one. SCOPE is the least scope that the kernel's driver allows an operation
/// in; debug-write and debug-write-full taint the kernel. VERSION is the newest one, and calls may
/// name an older one. If several lines of an endpoint match a call, the first counts. The driver
/// answers; no operation is executed. The driver of Linux 7.3 has no such lists.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl pds operations 0000:0a:00.0\n  fwctl pds operations 0000:0a:00.0 0x20 -o json"
)]
pub struct OperationsArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Number of the endpoint
    #[arg(value_parser = number::<u32>)]
    endpoint: Option<u32>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Operations {
    device: String,
    operations: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    endpoint: u32,
    operation: u32,
    command: u16,
    version: u8,
    attribute: u8,
    attribute_name: Option<&'static str>,
    scope: &'static str,
    taints: bool,
}

pub fn operations(world: &World, args: &OperationsArgs) -> Result<(), Failure> {
    let pds = PdsDevice::new(args.device.open(world)?)?;
    let endpoints = match args.endpoint {
        Some(endpoint) => vec![endpoint],
        None => pds.endpoints()?,
    };
    let mut rows = Vec::new();
    for (endpoint, operations) in endpoints.iter().zip(pds.operations_of(&endpoints)?) {
        rows.extend(
            operations?
                .iter()
                .map(|operation| row(*endpoint, operation)),
        );
    }
    output::print(
        args.output.output,
        &Operations {
            device: pds.device().name().into(),
            operations: rows,
        },
    )
}

fn row(endpoint: u32, operation: &Operation) -> Row {
    Row {
        endpoint,
        operation: operation.id,
        command: operation.command(),
        version: operation.version(),
        attribute: operation.attribute,
        attribute_name: operation.attribute_name(),
        scope: operation.scope.name(),
        taints: operation.scope.is_tainting(),
    }
}

impl Report for Operations {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &Row| {
            vec![
                hex_number(row.endpoint),
                hex_number(row.operation),
                hex_number(row.command.into()),
                row.version.to_string(),
                match row.attribute_name {
                    Some(name) => name.into(),
                    None => format!("{:#04x} (unknown)", row.attribute),
                },
                row.scope.into(),
            ]
        };
        const HEAD: &[&str] = &[
            "ENDPOINT",
            "OPERATION",
            "COMMAND",
            "VERSION",
            "ATTRIBUTE",
            "SCOPE",
        ];
        vec![Block::Table(
            HEAD,
            self.operations.iter().map(cells).collect(),
        )]
    }
}
