// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values of all features of a CXL memory device: `cargo run --example cxl mem0`.

use fwctl::cxl::{CxlDevice, GetFeature, Selection};
use fwctl::{Device, Result};
use std::fmt::Write;

/// One line per feature: its name or UUID, and its value in hexadecimal.
pub fn values(device: Device) -> Result<String> {
    let cxl = CxlDevice::new(device)?;
    let mut text = String::new();
    for feature in cxl.features()? {
        let value = cxl.get(&GetFeature {
            uuid: feature.uuid,
            selection: Selection::Current,
            offset: 0,
            size: feature.get_size,
        })?;
        let name = feature
            .name()
            .map_or_else(|| feature.uuid.to_string(), str::to_owned);
        let _ = writeln!(text, "{name}: {value:02x?}");
    }
    Ok(text)
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "mem0".into());
    print!("{}", values(fwctl::open(&name)?)?);
    Ok(())
}
