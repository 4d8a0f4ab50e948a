// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl pds endpoints`.

use super::hex_number;
use crate::common::{DeviceArg, World};
use crate::failure::{self, ErrorRow, Failure};
use crate::output::{self, Block, OutputArgs, Report};
use fwctl::pds::{Operation, PdsDevice};
use fwctl::{Error, Scope};
use serde::Serialize;

/// List the endpoints of the firmware, with the number of their operations
///
/// SCOPES counts the operations by the least scope that they need; debug-write and debug-write-full
/// taint the kernel. The kernel's driver answers; no operation is executed. The driver of Linux 7.3
/// has no such lists.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl pds endpoints 0000:0a:00.0")]
pub struct EndpointsArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Endpoints {
    device: String,
    endpoints: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    endpoint: u32,
    /// Number of operations; none if they cannot be listed.
    operations: Option<usize>,
    scopes: Vec<Count>,
    error: Option<ErrorRow>,
}

/// How many operations need a scope.
#[derive(Serialize)]
struct Count {
    scope: &'static str,
    operations: usize,
}

pub fn endpoints(world: &World, args: &EndpointsArgs) -> Result<(), Failure> {
    let pds = PdsDevice::new(args.device.open(world)?)?;
    let numbers = pds.endpoints()?;
    let operations = pds.operations_of(&numbers)?;
    output::print(
        args.output.output,
        &Endpoints {
            device: pds.device().name().into(),
            endpoints: numbers.into_iter().zip(operations).map(row).collect(),
        },
    )
}

fn row((endpoint, operations): (u32, Result<Vec<Operation>, Error>)) -> Row {
    match operations {
        Ok(operations) => Row {
            endpoint,
            operations: Some(operations.len()),
            scopes: Scope::ALL
                .iter()
                .map(|scope| Count {
                    scope: scope.name(),
                    operations: operations.iter().filter(|op| op.scope == *scope).count(),
                })
                .filter(|count| count.operations > 0)
                .collect(),
            error: None,
        },
        Err(error) => Row {
            endpoint,
            operations: None,
            scopes: Vec::new(),
            error: Some(failure::row(&error)),
        },
    }
}

/// An error that fits into a table.
fn short(error: &ErrorRow) -> &str {
    error.errno_name.unwrap_or(&error.message)
}

impl Report for Endpoints {
    fn blocks(&self) -> Vec<Block> {
        let count = |count: &Count| format!("{} {}", count.operations, count.scope);
        let cells = |row: &Row| {
            let scopes: Vec<String> = row.scopes.iter().map(count).collect();
            vec![
                hex_number(row.endpoint),
                row.operations.map_or("-".into(), |count| count.to_string()),
                match &row.error {
                    Some(error) => format!("failed: {}", short(error)),
                    None if scopes.is_empty() => "-".into(),
                    None => scopes.join(", "),
                },
            ]
        };
        vec![Block::Table(
            &["ENDPOINT", "OPERATIONS", "SCOPES"],
            self.endpoints.iter().map(cells).collect(),
        )]
    }
}
