// SPDX-License-Identifier: MIT OR Apache-2.0

//! The firmware's version of a NetXtreme card: `cargo run --example bnxt 0000:09:00.0`.
//!
//! The library has no language for this type, so the request is made by hand: HWRM_VER_GET,
//! `include/linux/bnxt/hsi.h`.

use fwctl::{Device, DeviceType, FirmwareStatus, Result, Scope};

/// Bytes of `struct hwrm_ver_get_input` and `struct hwrm_ver_get_output`.
const INPUT: usize = 24;
const OUTPUT: usize = 176;

/// `major.minor.build`, or the firmware's refusal.
pub fn version(device: &Device) -> Result<std::result::Result<String, FirmwareStatus>> {
    device.expect_type(DeviceType::Bnxt)?;
    let mut request = [0; INPUT];
    // target_id: the firmware itself. The request type, HWRM_VER_GET, is 0.
    request[6..8].copy_from_slice(&0xffff_u16.to_le_bytes());
    let reply = device.rpc(Scope::DebugReadOnly, &request, OUTPUT)?;
    if let Some(status) = FirmwareStatus::of_reply(DeviceType::Bnxt, &reply.bytes) {
        return Ok(Err(status));
    }
    Ok(Ok(match reply.bytes.get(12..15) {
        Some([major, minor, build]) => format!("{major}.{minor}.{build}"),
        _ => "unknown: the reply is too short".into(),
    }))
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "fwctl0".into());
    let device = fwctl::open(&name)?;
    match version(&device)? {
        Ok(version) => println!("firmware {version}"),
        Err(status) => println!("the firmware refused with {status}"),
    }
    Ok(())
}
