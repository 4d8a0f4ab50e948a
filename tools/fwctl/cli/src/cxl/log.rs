// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl cxl log`.

use crate::common::{DeviceArg, World};
use crate::failure::Failure;
use crate::file::Output;
use crate::output::{self, bytes, say, Block, Bytes, OutputArgs, Report};
use fwctl::cxl::{known_log, CxlDevice, Log};
use fwctl::Uuid;
use serde::Serialize;

/// List the logs of a device, or read one
///
/// Raw output is the content of the log. A vendor's debug log may have to be filled first: with
/// Populate Log, fwctl cxl command DEV 0x0404.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl cxl log mem0 vendor-debug -o raw > debug.bin")]
pub struct LogArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// UUID of a log, or effects, vendor-debug, component-state-dump or ecs. Without it, the logs
    /// are listed
    #[arg(value_parser = log_uuid, add = crate::complete::logs())]
    log: Option<Uuid>,
    /// Write the content to this file, - for stdout, instead of printing it
    #[arg(long = "out", value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires = "log")]
    out: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn log_uuid(text: &str) -> Result<Uuid, String> {
    known_log(text)
        .map_or_else(|| text.parse(), Ok)
        .map_err(|_| {
            "not a UUID, and not one of effects, vendor-debug, component-state-dump, ecs".into()
        })
}

#[derive(Serialize)]
struct Logs {
    device: String,
    logs: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    uuid: String,
    name: Option<&'static str>,
    size: u32,
}

#[derive(Serialize)]
struct Content {
    device: String,
    uuid: String,
    name: Option<&'static str>,
    size: usize,
    content: Bytes,
}

pub fn log(world: &World, args: LogArgs) -> Result<(), Failure> {
    let cxl = CxlDevice::new(args.device.open(world)?)?;
    let device = cxl.device().name().to_owned();
    // Explains what is missing on a kernel that does not pass these commands.
    super::commands::all(&cxl)?;
    let logs = cxl.logs()?;
    let Some(uuid) = args.log else {
        let row = |log: &Log| Row {
            uuid: log.uuid.to_string(),
            name: log.name(),
            size: log.size,
        };
        let logs = logs.iter().map(row).collect();
        return output::print(args.output.output, &Logs { device, logs });
    };
    let found = logs.into_iter().find(|log| log.uuid == uuid);
    let log = found.ok_or_else(|| {
        Failure::Failed(format!(
            "{device}: no log {uuid}; list the logs with: fwctl cxl log {device}"
        ))
    })?;
    let file = Output::unless_stdout(args.out.as_deref())?;
    let content = cxl.log(&log)?;
    let content = Content {
        device,
        uuid: log.uuid.to_string(),
        name: log.name(),
        size: content.len(),
        content: Bytes(content),
    };
    match (file, &args.out) {
        (Some((name, file)), _) => {
            file.write(&content.content.0)?;
            let (device, count) = (&content.device, bytes(content.size));
            say(&format!("{device}: {count} of log written to {name}"));
            output::print_beside_file(args.output.output, &content)
        }
        (None, Some(_)) => output::print_bytes(&content.content.0),
        (None, None) => output::print(args.output.output, &content),
    }
}

impl Report for Logs {
    fn blocks(&self) -> Vec<Block> {
        let cells = |row: &Row| {
            vec![
                row.uuid.clone(),
                row.name.unwrap_or("-").into(),
                row.size.to_string(),
            ]
        };
        vec![Block::Table(
            &["UUID", "NAME", "SIZE"],
            self.logs.iter().map(cells).collect(),
        )]
    }
}

impl Report for Content {
    fn blocks(&self) -> Vec<Block> {
        let name = self
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let fields = vec![
            ("device", self.device.clone()),
            ("log", format!("{}{name}", self.uuid)),
            ("size", bytes(self.size)),
        ];
        vec![Block::Fields(fields), Block::Dump(self.content.0.clone())]
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.content.0)
    }
}
