// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations of a Pensando card's firmware, with the scope that each needs:
//! `cargo run --example pds 0000:0a:00.0`.

use fwctl::pds::{Operation, PdsDevice};
use fwctl::{Device, Result};

/// Every endpoint with its operations.
pub fn operations(device: Device) -> Result<Vec<(u32, Vec<Operation>)>> {
    let pds = PdsDevice::new(device)?;
    let endpoints = pds.endpoints()?;
    let operations = pds.operations_of(&endpoints)?;
    endpoints
        .into_iter()
        .zip(operations)
        .map(|(endpoint, operations)| Ok((endpoint, operations?)))
        .collect()
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "fwctl0".into());
    let device = fwctl::open(&name)?;
    for (endpoint, operations) in operations(device)? {
        for operation in operations {
            println!("{endpoint:#x} {:#x} {}", operation.id, operation.scope);
        }
    }
    Ok(())
}
