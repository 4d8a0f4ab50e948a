// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl-emu`: serves an emulated device to one QEMU.

use clap::{Args, Parser, Subcommand};
use fwctl_emu::device::Device;
use fwctl_emu::fault::{number, BadFault, Fault};
use fwctl_emu::{cxl, mlx5, pds, server};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Emulated devices with a firmware control interface, for stock QEMU over vfio-user.
///
/// Prints `ready` when QEMU can connect, serves one connection, then reports resources that the
/// driver did not release. Exit status: 0 clean, 1 failed, 2 usage, 3 leaked resources.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    device: Which,
}

#[derive(Subcommand)]
enum Which {
    /// A ConnectX network adapter, for mlx5_core.
    Connectx(Connectx),
    /// A CXL type 3 memory device with Features, for cxl_pci.
    Cxl(Cxl),
    /// An AMD Pensando card, for pds_core.
    Pds(Pds),
}

#[derive(Args)]
struct Common {
    /// Unix socket to create for QEMU's vfio-user-pci; must not exist.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Unix socket to create for counters and faults: one command per line, `help` lists them.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Log each command to stderr.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Args)]
struct Connectx {
    #[command(flatten)]
    common: Common,
    /// Fault to inject, for example `op=0x805,reg=0x9020,nth=2,late=500`; can be repeated.
    #[arg(long, value_name = "SPEC", value_parser = |spec: &str| mlx5::FAULTS.parse(spec),
          long_help = format!("Fault to inject; can be repeated.\n{}", mlx5::FAULTS.help))]
    fault: Vec<Fault>,
    /// PCI device identifier.
    #[arg(long, value_name = "ID", value_parser = number::<u16>, default_value = "0x1021")]
    device_id: u16,
    /// Serial number: distinguishes devices by MAC address and VUID.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "0")]
    serial: u16,
    /// Capabilities that a user context can have (uctx_cap); 0 emulates firmware without user
    /// contexts.
    #[arg(long, value_name = "BITS", value_parser = number::<u32>, default_value = "7")]
    uctx_caps: u32,
    /// Maximum number of user contexts.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "64")]
    max_uctx: u16,
    /// Pages that the device requests before INIT_HCA.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "8")]
    boot_pages: u16,
    /// Pages that the device requests for INIT_HCA.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "64")]
    init_pages: u16,
    /// Command timeout that the device announces; the driver's default is 60 s.
    #[arg(long, value_name = "MS", value_parser = number::<u32>)]
    cmd_timeout: Option<u32>,
    /// Do not let the driver reset the firmware after a fatal error.
    #[arg(long)]
    no_fw_reset: bool,
}

#[derive(Args)]
struct Cxl {
    #[command(flatten)]
    common: Common,
    /// Fault to inject, for example `op=0x502,action=2,nth=2,status=4`; can be repeated.
    #[arg(long, value_name = "SPEC", value_parser = |spec: &str| cxl::FAULTS.parse(spec),
          long_help = format!("Fault to inject; can be repeated.\n{}", cxl::FAULTS.help))]
    fault: Vec<Fault>,
    /// Serial number: distinguishes devices.
    #[arg(long, value_name = "N", value_parser = number::<u64>, default_value = "0x667763746c000001")]
    serial: u64,
    /// Payload size of the mailbox: a power of two from 256 to 1048576 bytes.
    #[arg(long, value_name = "BYTES", value_parser = payload_size, default_value = "512")]
    payload_size: u32,
    /// Emulate a device without Features.
    #[arg(long)]
    no_features: bool,
    /// Emulate a device without the Set Feature command.
    #[arg(long)]
    no_set: bool,
    /// Emulate a device without vendor commands and without the vendor debug log.
    #[arg(long)]
    no_vendor: bool,
    /// Also have a vendor command for every combination of effects: D000h plus the effects.
    #[arg(long)]
    all_effects: bool,
    /// How long the device waits for the next part of a Feature before it aborts the transfer.
    #[arg(long, value_name = "MS", value_parser = number::<u32>, default_value = "30000")]
    part_timeout: u32,
}

#[derive(Args)]
struct Pds {
    #[command(flatten)]
    common: Common,
    /// What goes wrong, for example `op=0x147,reg=0x10,nth=2,late=500`; can be repeated.
    #[arg(long, value_name = "SPEC", value_parser = |spec: &str| pds::FAULTS.parse(spec),
          long_help = format!("What goes wrong; can be repeated.\n{}", pds::FAULTS.help))]
    fault: Vec<Fault>,
    /// Distinguishes several devices: part of the serial number.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "0")]
    serial: u16,
    /// Interrupts, from 1 to 512.
    #[arg(long, value_name = "N", value_parser = interrupts, default_value = "4")]
    interrupts: u16,
    /// Newest version of IDENTIFY that the firmware accepts: 1 or 2.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2), default_value = "2")]
    identity_version: u8,
    /// Pieces of host memory that the firmware asks for.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "2")]
    host_memory: u16,
    /// Largest request and response that the firmware claims to take; it takes at most 4194304.
    #[arg(long, value_name = "BYTES", value_parser = number::<u32>, default_value = "131072")]
    max_payload: u32,
    /// The firmware offers no fwctl device.
    #[arg(long)]
    no_fwctl: bool,
}

fn interrupts(text: &str) -> Result<u16, String> {
    let interrupts = number::<u16>(text)?;
    match (1..=pds::registers::MAX_INTERRUPTS).contains(&interrupts) {
        true => Ok(interrupts),
        false => Err("not from 1 to 512".into()),
    }
}

fn payload_size(text: &str) -> Result<u32, String> {
    let size = number::<u32>(text)?;
    match size.is_power_of_two() && cxl::PAYLOAD_SIZES.contains(&size) {
        true => Ok(size),
        false => Err("not a power of two from 256 to 1048576".into()),
    }
}

impl Connectx {
    fn device(self) -> Result<(Common, Box<dyn Device>), BadFault> {
        let mut device = mlx5::ConnectX::new(mlx5::Options {
            device_id: self.device_id,
            serial: self.serial,
            uctx_caps: self.uctx_caps,
            max_uctx: self.max_uctx,
            boot_pages: self.boot_pages,
            init_pages: self.init_pages,
            cmd_timeout: self.cmd_timeout,
            has_fw_reset: !self.no_fw_reset,
            is_verbose: self.common.verbose,
        });
        let mut faults = self.fault.into_iter();
        faults.try_for_each(|fault| device.add_fault(fault))?;
        Ok((self.common, Box::new(device)))
    }
}

impl Cxl {
    fn device(self) -> Result<(Common, Box<dyn Device>), BadFault> {
        let mut device = cxl::Type3::new(cxl::Options {
            serial: self.serial,
            payload_size: self.payload_size,
            has_features: !self.no_features,
            has_set: !self.no_set,
            has_vendor: !self.no_vendor,
            has_all_effects: self.all_effects,
            part_timeout: Duration::from_millis(self.part_timeout.into()),
            is_verbose: self.common.verbose,
        });
        let mut faults = self.fault.into_iter();
        faults.try_for_each(|fault| device.add_fault(fault))?;
        Ok((self.common, Box::new(device)))
    }
}

impl Pds {
    fn device(self) -> Result<(Common, Box<dyn Device>), BadFault> {
        let mut device = pds::Pensando::new(pds::Options {
            serial: self.serial,
            interrupts: self.interrupts,
            identity_version: self.identity_version,
            host_memory: self.host_memory,
            max_payload: self.max_payload,
            has_fwctl: !self.no_fwctl,
            is_verbose: self.common.verbose,
        });
        let mut faults = self.fault.into_iter();
        faults.try_for_each(|fault| device.add_fault(fault))?;
        Ok((self.common, Box::new(device)))
    }
}

fn main() -> ExitCode {
    let made = match Cli::parse().device {
        Which::Connectx(connectx) => connectx.device(),
        Which::Cxl(cxl) => cxl.device(),
        Which::Pds(pds) => pds.device(),
    };
    let ran = made.map_err(Into::into).and_then(|(common, device)| {
        server::run(device, &common.socket, common.control.as_deref())
    });
    ran.unwrap_or_else(|error| {
        eprintln!("fwctl-emu: {error}");
        ExitCode::FAILURE
    })
}
