// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl ports`.

use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, Block, OutputArgs, Report};
use fwctl::cxl::{CxlDevice, Port, Switch};
use serde::Serialize;

/// List the ports of a switch, and what is behind them
///
/// STATE is how the port is configured, DEVICE what is behind it, WIDTH the lanes in use and those
/// of the port, SPEED the generation of PCI Express of the link and that of the port. Only ports
/// that the switch calls active are listed.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl cxl ports 0e:00.1")]
pub struct PortsArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Ports {
    device: String,
    ingress_port: u8,
    num_ports: u8,
    num_virtual_switches: u8,
    num_vppbs: u16,
    num_bound_vppbs: u16,
    num_decoders: u8,
    ports: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    port: u8,
    state: u8,
    state_name: Option<&'static str>,
    device: u8,
    device_name: Option<&'static str>,
    width: u8,
    max_width: u8,
    speed: u8,
    max_speed: u8,
    link: u8,
    link_name: Option<&'static str>,
    flags: u16,
    num_logical_devices: u8,
}

pub fn ports(world: &World, args: PortsArgs) -> Result<(), Failure> {
    let cxl = CxlDevice::new(args.device.open(world)?)?;
    let device = cxl.device().name().to_owned();
    let is_switch = |opcode| opcode == CxlDevice::IDENTIFY_SWITCH;
    if !super::commands::all(&cxl)?
        .iter()
        .any(|command| is_switch(command.opcode))
    {
        return Err(Failure::Failed(format!("{device}: this is not a switch")));
    }
    let switch = cxl.switch()?;
    let rows = cxl.ports(&switch.active_ports)?.iter().map(row).collect();
    output::print(args.output.output, &report(device, &switch, rows))
}

fn report(device: String, switch: &Switch, ports: Vec<Row>) -> Ports {
    Ports {
        device,
        ingress_port: switch.ingress_port,
        num_ports: switch.num_ports,
        num_virtual_switches: switch.num_virtual_switches,
        num_vppbs: switch.num_vppbs,
        num_bound_vppbs: switch.num_bound_vppbs,
        num_decoders: switch.num_decoders,
        ports,
    }
}

fn row(port: &Port) -> Row {
    Row {
        port: port.id,
        state: port.state,
        state_name: port.state_name(),
        device: port.device,
        device_name: port.device_name(),
        width: port.width,
        max_width: port.max_width,
        speed: port.speed,
        max_speed: port.max_speed,
        link: port.link,
        link_name: port.link_name(),
        flags: port.flags,
        num_logical_devices: port.num_logical_devices,
    }
}

impl Report for Ports {
    fn blocks(&self) -> Vec<Block> {
        const HEAD: &[&str] = &["PORT", "STATE", "DEVICE", "WIDTH", "SPEED", "LINK"];
        let name = |name: Option<&'static str>, number: u8| match name {
            Some(name) => name.to_owned(),
            None => format!("{number:#x}"),
        };
        let cells = |row: &Row| {
            vec![
                row.port.to_string(),
                name(row.state_name, row.state),
                name(row.device_name, row.device),
                format!("x{} of x{}", row.width, row.max_width),
                format!("{} of {}", row.speed, row.max_speed),
                name(row.link_name, row.link),
            ]
        };
        let fields = vec![
            ("device", self.device.clone()),
            (
                "ports",
                format!("{}, {} active", self.num_ports, self.ports.len()),
            ),
            ("virtual switches", self.num_virtual_switches.to_string()),
            (
                "vPPBs",
                format!("{}, {} bound", self.num_vppbs, self.num_bound_vppbs),
            ),
        ];
        vec![
            Block::Fields(fields),
            Block::Table(HEAD, self.ports.iter().map(cells).collect()),
        ]
    }
}
