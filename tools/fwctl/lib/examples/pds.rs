// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the firmware of a Pensando card can be asked: `cargo run --example pds 0000:0a:00.0`.
//!
//! Its messages hold addresses of the sender's memory, which plain bytes cannot, so the library
//! sends none.

use fwctl::{Device, DeviceType, Result};

/// Names of the capabilities; a bit without a name is its mask.
pub fn capabilities(device: &Device) -> Result<Vec<String>> {
    device.expect_type(DeviceType::Pds)?;
    let named = |(mask, name): (u32, Option<&str>)| {
        name.map_or_else(|| format!("{mask:#x}"), str::to_owned)
    };
    Ok(device
        .info()?
        .driver
        .capabilities()
        .into_iter()
        .map(named)
        .collect())
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "fwctl0".into());
    let device = fwctl::sysfs::Root::default().resolve(&name)?.open()?;
    println!("{}", capabilities(&device)?.join(" "));
    Ok(())
}
