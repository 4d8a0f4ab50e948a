// SPDX-License-Identifier: MIT OR Apache-2.0

//! The temperature of a ConnectX: `cargo run --example mlx5 0000:07:00.0`.

use fwctl::mlx5::{decode, register, Mlx5Device};
use fwctl::{Device, Result};

/// With its unit, from register MTMP of the first sensor; none if the register does not have it.
pub fn temperature(device: Device) -> Result<Option<String>> {
    let mlx5 = Mlx5Device::new(device)?;
    let mtmp = register("mtmp").expect("the kernel's headers have it");
    let data = mlx5.read_register(mtmp.id, &vec![0; mtmp.size])?;
    let mut fields = decode(mtmp, &data).into_iter();
    let found = fields.find(|field| field.name == "temperature");
    Ok(found.map(|field| field.to_string()))
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "fwctl0".into());
    match temperature(fwctl::open(&name)?)? {
        Some(temperature) => println!("{temperature}"),
        None => println!("unknown"),
    }
    Ok(())
}
