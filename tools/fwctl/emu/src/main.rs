// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl-emu`: serves an emulated device to one QEMU.

use clap::{Args, Parser, Subcommand};
use fwctl_emu::fault::{number, Fault};
use fwctl_emu::mlx5::{ConnectX, Options, FAULTS};
use fwctl_emu::server;
use std::path::PathBuf;
use std::process::ExitCode;

/// Emulated devices with a firmware control interface, for stock QEMU over vfio-user.
///
/// Prints `ready` when QEMU can connect, serves one connection, and then reports what is still alive.
/// Exit status: 0 clean, 1 failed, 2 usage, 3 something was left alive.
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
}

#[derive(Args)]
struct Common {
    /// Unix socket on which QEMU's vfio-user-pci connects; must not exist.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Unix socket for counters and faults: one command per line, `help` lists them.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// What goes wrong, for example `op=0x805,reg=0x9020,nth=2,late=500`; can be repeated.
    #[arg(long, value_name = "SPEC", value_parser = |spec: &str| FAULTS.parse(spec),
          long_help = format!("What goes wrong; can be repeated.\n{}", FAULTS.help))]
    fault: Vec<Fault>,
    /// Log each command to stderr.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Args)]
struct Connectx {
    #[command(flatten)]
    common: Common,
    /// PCI device identifier.
    #[arg(long, value_name = "ID", value_parser = number::<u16>, default_value = "0x1021")]
    device_id: u16,
    /// Distinguishes several devices: part of the MAC address and the VUID.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "0")]
    serial: u16,
    /// What user contexts can be allowed to do (uctx_cap); 0 is firmware without user contexts.
    #[arg(long, value_name = "BITS", value_parser = number::<u32>, default_value = "7")]
    uctx_caps: u32,
    /// User contexts at one time.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "64")]
    max_uctx: u16,
    /// Pages that the device asks for before it is initialised.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "8")]
    boot_pages: u16,
    /// Pages that the device asks for to be initialised.
    #[arg(long, value_name = "N", value_parser = number::<u16>, default_value = "64")]
    init_pages: u16,
    /// How long the driver is to wait for an answer, instead of its own 60 s.
    #[arg(long, value_name = "MS", value_parser = number::<u32>)]
    cmd_timeout: Option<u32>,
    /// The driver may not reset the firmware after a fatal error.
    #[arg(long)]
    no_fw_reset: bool,
}

fn main() -> ExitCode {
    let Which::Connectx(connectx) = Cli::parse().device;
    let common = connectx.common;
    let options = Options {
        device_id: connectx.device_id,
        serial: connectx.serial,
        uctx_caps: connectx.uctx_caps,
        max_uctx: connectx.max_uctx,
        boot_pages: connectx.boot_pages,
        init_pages: connectx.init_pages,
        cmd_timeout: connectx.cmd_timeout,
        has_fw_reset: !connectx.no_fw_reset,
        is_verbose: common.verbose,
    };
    let mut device = ConnectX::new(options);
    let faults = common
        .fault
        .into_iter()
        .try_for_each(|fault| device.add_fault(fault));
    let ran = faults
        .map_err(Into::into)
        .and_then(|()| server::run(Box::new(device), &common.socket, common.control.as_deref()));
    ran.unwrap_or_else(|error| {
        eprintln!("fwctl-emu: {error}");
        ExitCode::FAILURE
    })
}
