// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl pds operations`.

use super::hex_number;
use crate::common::{number, DeviceArg, World};
use crate::failure::{self, ErrorRow, Failure};
use crate::output::{self, say, Block, OutputArgs, Report};
use fwctl::pds::{Operation, PdsDevice};
use serde::Serialize;

/// List operations of the firmware, with the scope that each needs
///
/// Of all endpoints, or of one. SCOPE is the least scope that the kernel's driver allows an operation
/// in; debug-write and debug-write-full taint the kernel. VERSION is the newest one, and calls may
/// name an older one. If several lines of an endpoint match a call, the first counts. The driver
/// answers; no operation is executed. The driver of Linux 7.3 has no such lists.
///
/// If the operations of an endpoint cannot be listed, those of the others are, and the command fails.
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
    /// Endpoints whose operations could not be listed.
    errors: Vec<Unlisted>,
}

#[derive(Serialize)]
struct Unlisted {
    endpoint: u32,
    error: ErrorRow,
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
    let (mut rows, mut errors, mut end) = (Vec::new(), Vec::new(), Ok(()));
    for (&endpoint, operations) in endpoints.iter().zip(pds.operations_of(&endpoints)?) {
        match operations {
            Ok(operations) => rows.extend(operations.iter().map(|found| row(endpoint, found))),
            Err(error) if endpoints.len() == 1 => return Err(error.into()),
            Err(error) => {
                errors.push(Unlisted {
                    endpoint,
                    error: failure::row(&error),
                });
                let (status, text) = Failure::from(error).outcome();
                text.iter()
                    .for_each(|text| say(&format!("endpoint {endpoint:#x}: {text}")));
                end = Err(Failure::Status(status));
            }
        }
    }
    let operations = Operations {
        device: pds.device().name().into(),
        operations: rows,
        errors,
    };
    output::print(args.output.output, &operations)?;
    end
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
