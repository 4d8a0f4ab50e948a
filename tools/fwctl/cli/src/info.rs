// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl info`.

use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::output::{self, say, Block, Bytes, OutputArgs, Report};
use fwctl::mlx5::{Identity, Mlx5Device};
use fwctl::sysfs::{Parent, PciFunction};
use fwctl::{DeviceType, DriverInfo};
use serde::Serialize;
use std::collections::BTreeMap;

/// Show what the kernel and the device's driver report about a device
///
/// A ConnectX is also asked for its firmware's version and its PSID. Raw output is the driver's data.
/// "max scope" is the highest scope that the administrator allows, by max_scope in the device's
/// directory in /sys/class/fwctl; RPCs are those of all programs since the device was registered.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl info fwctl0\n  fwctl info 0000:07:00.0 -o json | jq .uctx_cap_names"
)]
pub struct InfoArgs {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Serialize)]
struct Info {
    device: String,
    node: String,
    parent: Option<String>,
    bus: Option<String>,
    driver: Option<String>,
    pci_address: Option<String>,
    product: Option<String>,
    netdevs: Vec<String>,
    rdma_devices: Vec<String>,
    serial: Option<String>,
    firmware_version: Option<String>,
    psid: Option<String>,
    r#type: String,
    type_number: u32,
    /// Length of the driver's data.
    data_len: usize,
    /// The part of it that was read.
    data: Bytes,
    uid: Option<u32>,
    uctx_caps: Option<u32>,
    uctx_cap_names: Vec<&'static str>,
    max_scope: Option<String>,
    /// By scope; none if the kernel does not count them.
    rpcs: BTreeMap<&'static str, Rpcs>,
    #[serde(skip)]
    decoded: DriverInfo,
}

#[derive(Serialize)]
struct Rpcs {
    requests: u64,
    refusals: u64,
    errors: u64,
}

pub fn info(world: &World, args: InfoArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    // Before this command adds its own.
    let counters = world.root.rpc_counters(&entry);
    let device = world.open_entry(&entry)?;
    let info = device.info()?;
    let identity = match info.device_type {
        DeviceType::Mlx5 => Mlx5Device::new(device)?.identity(),
        _ => Identity::default(),
    };
    if info.data.len() < info.data_len {
        say(&format!(
            "{}: the driver's data has {} bytes, {} of them were read",
            entry.name,
            info.data_len,
            info.data.len()
        ));
    }
    let (uid, uctx_caps) = match info.driver {
        DriverInfo::Mlx5 { uid, uctx_caps } => (Some(uid), Some(uctx_caps)),
        DriverInfo::Pds { uctx_caps }
        | DriverInfo::Bnxt { uctx_caps }
        | DriverInfo::CxlCommands { uctx_caps, .. } => (None, Some(uctx_caps)),
        _ => (None, None),
    };
    let Parent {
        name: parent,
        bus,
        driver,
        pci,
        memdev,
        netdevs,
        rdma_devices,
        ..
    } = entry.parent;
    let (serial, firmware_version) = match memdev {
        Some(memdev) => (memdev.serial, memdev.firmware_version),
        None => (
            pci.as_ref().and_then(|pci| world.root.serial_of(pci)),
            identity.firmware_version,
        ),
    };
    let rpcs = counters.into_iter().map(|(scope, counters)| {
        let rpcs = Rpcs {
            requests: counters.requests,
            refusals: counters.refusals,
            errors: counters.errors,
        };
        (scope.name(), rpcs)
    });
    let report = Info {
        max_scope: entry.max_scope.map(|scope| scope.to_string()),
        rpcs: rpcs.collect(),
        device: entry.name,
        node: entry.node.display().to_string(),
        parent: Some(parent).filter(|name| !name.is_empty()),
        bus,
        driver,
        pci_address: pci.as_ref().map(|pci| pci.address.clone()),
        product: pci.as_ref().map(PciFunction::product_or_ids),
        netdevs,
        rdma_devices,
        serial,
        firmware_version,
        psid: identity.psid,
        r#type: info.device_type.to_string(),
        type_number: info.device_type.number(),
        data_len: info.data_len,
        data: Bytes(info.data),
        uid,
        uctx_caps,
        uctx_cap_names: info
            .driver
            .capabilities()
            .into_iter()
            .filter_map(|(_, name)| name)
            .collect(),
        decoded: info.driver,
    };
    output::print(args.output.output, &report)
}

impl Report for Info {
    fn blocks(&self) -> Vec<Block> {
        let mut fields = vec![
            ("device", self.device.clone()),
            ("node", self.node.clone()),
            ("parent", self.parent.clone().unwrap_or_else(|| "-".into())),
        ];
        let (netdevs, rdma_devices) = (joined(&self.netdevs), joined(&self.rdma_devices));
        let known = [
            (
                "PCI address",
                self.pci_address
                    .as_ref()
                    .filter(|address| Some(*address) != self.parent.as_ref()),
            ),
            ("product", self.product.as_ref()),
            ("netdevs", netdevs.as_ref()),
            ("RDMA devices", rdma_devices.as_ref()),
            ("serial", self.serial.as_ref()),
            ("firmware", self.firmware_version.as_ref()),
            ("PSID", self.psid.as_ref()),
            ("driver", self.driver.as_ref()),
        ];
        fields.extend(
            known
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?.clone()))),
        );
        fields.push(("type", format!("{} ({})", self.r#type, self.type_number)));
        fields.push(("driver data", output::bytes(self.data_len)));
        if let Some(uid) = self.uid {
            fields.push(("firmware uid", uid.to_string()));
        }
        if let Some(caps) = self.uctx_caps {
            let names: Vec<String> = self
                .decoded
                .capabilities()
                .into_iter()
                .map(|(mask, name)| name.map_or_else(|| format!("{mask:#x}"), str::to_owned))
                .collect();
            let names = if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            };
            fields.push(("capabilities", format!("{caps:#x} ({names})")));
        }
        if let Some(scope) = &self.max_scope {
            fields.push(("max scope", scope.clone()));
        }
        let mut blocks = vec![Block::Fields(fields)];
        if !self.rpcs.is_empty() {
            let cells = |(scope, rpcs): (&&str, &Rpcs)| {
                vec![
                    (*scope).to_owned(),
                    rpcs.requests.to_string(),
                    rpcs.refusals.to_string(),
                    rpcs.errors.to_string(),
                ]
            };
            blocks.push(Block::Table(
                &["SCOPE", "RPCS", "REFUSED", "FAILED"],
                self.rpcs.iter().map(cells).collect(),
            ));
        }
        if self.decoded == DriverInfo::Bytes && !self.data.0.is_empty() {
            blocks.push(Block::Dump(self.data.0.clone()));
        }
        blocks
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.data.0)
    }
}

fn joined(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}
