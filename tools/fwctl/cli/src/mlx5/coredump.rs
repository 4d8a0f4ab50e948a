// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl mlx5 coredump`.

use super::dump::keep;
use crate::common::{number, DeviceArg, World};
use crate::failure::{ErrorRow, Failure};
use crate::file::Output;
use crate::output::{self, bytes, no_raw_output, Block, Format, OutputArgs, Report};
use crate::progress;
use fwctl::mlx5::Mlx5Device;
use serde::Serialize;
use std::ops::ControlFlow;

/// Dump the registers of the device itself, for the vendor's support
///
/// The firmware writes the dump to memory of this program, so the kernel must be able to register
/// memory for it. The content is the vendor's.
///
/// The file is replaced as a whole, and only by a dump that is complete. If the firmware fails
/// midway, what came before is written to a file of the same name with .partial at its end.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl mlx5 coredump 0000:07:00.0 --out core.bin")]
pub struct CoredumpArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Write the dump to this file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: String,
    /// Register this much memory for the firmware, which may need several steps for a dump then;
    /// by default as much as the device needs for one step
    #[arg(long, value_name = "BYTES", value_parser = memory_len)]
    memory: Option<u32>,
    /// Give up after this many bytes
    #[arg(long, value_name = "BYTES", default_value = "268435456", value_parser = number::<u32>)]
    max: u32,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct CoreDump {
    device: String,
    /// Bytes in the file.
    size: usize,
    file: String,
}

/// Most memory that the kernel registers at once.
const MAX_MEMORY: u32 = 64 << 20;

fn memory_len(text: &str) -> Result<u32, String> {
    number(text)
        .ok()
        .filter(|len| (1..=MAX_MEMORY).contains(len))
        .ok_or_else(|| format!("not a number from 1 to {MAX_MEMORY}"))
}

pub fn coredump(world: &World, args: &CoredumpArgs) -> Result<(), Failure> {
    // Before anything is sent.
    if args.output.output == Format::Raw {
        return Err(no_raw_output());
    }
    let file = Output::prepare(&args.out)?;
    let mlx5 = Mlx5Device::new(args.device.open(world)?)?;
    let device = mlx5.device().name().to_owned();
    let len = match args.memory {
        Some(len) => len as usize,
        None => mlx5.core_dump_len()?.ok_or_else(|| {
            Failure::Failed(format!(
                "{device}: the device does not offer core dumps into memory; --memory tries it anyway"
            ))
        })?,
    };
    let Some(memory) = mlx5.dump_memory(len.min(MAX_MEMORY as usize))? else {
        let mut row = ErrorRow::of_text(format!("{device}: no memory for the core dump"));
        row.meaning = Some(
            "the kernel, or the driver of this device, cannot register memory for the firmware",
        );
        row.remedy =
            Some("use a kernel whose driver can, or dump single objects: fwctl mlx5 dump DEV");
        return Err(Failure::Device(Box::new(row)));
    };
    let mut all = Vec::new();
    let result = mlx5.core_dump(&memory, args.max as usize, &mut all, |count| {
        progress::count(&device, "bytes dumped", count);
        ControlFlow::Continue(())
    });
    progress::clear();
    // The firmware forgets the memory before the file says that all is done.
    drop(memory);
    match result {
        Ok(()) => {
            let len = all.len();
            file.write(&all)?;
            let dump = CoreDump {
                device,
                size: len,
                file: args.out.clone(),
            };
            output::print(args.output.output, &dump)
        }
        Err(error) => {
            keep(&device, file, &all)?;
            Err(error.into())
        }
    }
}

impl Report for CoreDump {
    fn blocks(&self) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("device", self.device.clone()),
            ("size", bytes(self.size)),
            ("file", self.file.clone()),
        ])]
    }
}
