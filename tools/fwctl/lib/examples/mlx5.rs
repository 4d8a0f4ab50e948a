// SPDX-License-Identifier: MIT OR Apache-2.0

//! The temperature of a ConnectX: `cargo run --example mlx5 0000:07:00.0`.

use fwctl::mlx5::{register, Mlx5Device, Value};
use fwctl::{Device, Result};

/// In degrees, from register MTMP, which counts in units of 1/8.
pub fn temperature(device: Device) -> Result<Option<f64>> {
    let mlx5 = Mlx5Device::new(device)?;
    let mtmp = register("mtmp").expect("the kernel's headers have it");
    let data = mlx5.read_register(mtmp.id, &vec![0; mtmp.size])?;
    let value = mtmp.field("temperature").and_then(|field| field.get(&data));
    Ok(match value {
        Some(Value::Number(eighths)) => Some(eighths as f64 / 8.0),
        _ => None,
    })
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "fwctl0".into());
    let entry = fwctl::sysfs::Root::default().resolve(&name)?;
    match temperature(entry.open()?)? {
        Some(degrees) => println!("{degrees:.1} degrees"),
        None => println!("unknown"),
    }
    Ok(())
}
