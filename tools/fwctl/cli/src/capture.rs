// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl capture`.

use crate::clock;
use crate::common::World;
use crate::failure::{ErrorRow, Failure};
use crate::file::Output;
use crate::output::{self, json_line, no_raw_output, say, Block, Format, OutputArgs, Report};
use crate::snapshot::{self, limit, Extent};
use clap::value_parser;
use flate2::{write::GzEncoder, Compression};
use fwctl::trace::Session;
use serde::Serialize;
use serde_json::{json, Value};
use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};
use tar::{Builder, EntryType, Header};

/// Collect what a vendor's support needs in one archive
///
/// The archive has a snapshot of the devices, the dumps that need no number of an object, the
/// kernel's trace of these requests if this process may trace, and the versions of kernel, modules
/// and tool. Nothing is changed. What could not be collected is in the archive's manifest.json.
///
/// Its mode is 0600: it has serial numbers, addresses and state of the firmware.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fwctl capture --out support.tar.gz")]
pub struct CaptureArgs {
    /// Devices, by any of their names; without one, all devices
    #[arg(value_name = "DEV", add = crate::complete::devices())]
    devices: Vec<String>,
    /// The archive, which is replaced as a whole; by default fwctl-HOST-TIME.tar.gz
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Time limit for each device; 120 if there are several
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=3600))]
    timeout: Option<u64>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What was written.
#[derive(Serialize)]
struct Captured {
    file: String,
    files: Vec<FileRow>,
    /// What could not be collected.
    errors: Vec<Value>,
}

impl Report for Captured {
    fn blocks(&self) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("archive", self.file.clone()),
            ("files", self.files.len().to_string()),
        ])]
    }
}

/// Modules whose versions matter.
const MODULES: [&str; 10] = [
    "fwctl",
    "mlx5_fwctl",
    "cxl_fwctl",
    "bnxt_fwctl",
    "pds_fwctl",
    "mlx5_core",
    "cxl_core",
    "cxl_pci",
    "bnxt_en",
    "pds_core",
];

#[derive(Serialize)]
struct Versions {
    tool: &'static str,
    kernel: Option<String>,
    tainted: Option<String>,
    lockdown: Option<String>,
    modules: Vec<Module>,
}

/// A module that is loaded or built in.
#[derive(Serialize)]
struct Module {
    name: &'static str,
    version: Option<String>,
    srcversion: Option<String>,
    taint: Option<String>,
}

#[derive(Serialize)]
struct Manifest {
    kind: &'static str,
    tool: &'static str,
    time: String,
    files: Vec<FileRow>,
    errors: Vec<Value>,
}

#[derive(Clone, Serialize)]
struct FileRow {
    name: String,
    size: usize,
}

/// The archive, and what is in it.
struct Archive {
    tar: Builder<GzEncoder<Vec<u8>>>,
    directory: String,
    seconds: u64,
    files: Vec<FileRow>,
    errors: Vec<Value>,
}

pub fn capture(world: &World, args: &CaptureArgs) -> Result<(), Failure> {
    if args.output.output == Format::Raw {
        return Err(no_raw_output());
    }
    let time = clock::now();
    let host = text(world, "proc/sys/kernel/hostname").unwrap_or_else(|| "host".into());
    let host: String = host
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let directory = format!("fwctl-{host}-{}", time.replace([':', '-'], ""));
    let name = args
        .out
        .clone()
        .unwrap_or_else(|| format!("{directory}.tar.gz"));
    let entries = snapshot::entries(world, &args.devices)?;
    let limit = limit(args.timeout, &entries, 120);
    let file = Output::prepare_private(&name)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut archive = Archive {
        tar: Builder::new(GzEncoder::new(Vec::new(), Compression::default())),
        directory,
        seconds: since.unwrap_or_default().as_secs(),
        files: Vec::new(),
        errors: Vec::new(),
    };
    let session = Session::start(&world.root);
    let mut snapshot = snapshot::take(world, &entries, Extent::Dumps, limit)?;
    match session.and_then(|session| {
        trace(session).map_err(|source| fwctl::Error::File {
            path: world.root.join("sys/kernel/tracing"),
            source,
        })
    }) {
        Ok(trace) => archive.add("trace.txt", trace.as_bytes())?,
        Err(error) => {
            let row = ErrorRow::of_text(format!("no trace: {error}"));
            archive.errors.push(json!(row));
        }
    }
    for device in &mut snapshot.devices {
        archive.dumps(device)?;
    }
    archive.add("snapshot.json", &snapshot::bytes(&snapshot)?)?;
    archive.add(
        "versions.json",
        (json_line(&versions(world))? + "\n").as_bytes(),
    )?;
    let errors = archive.errors.clone();
    let (bytes, files) = archive.finish(time)?;
    file.write(&bytes)?;
    for error in &errors {
        say(error["message"].as_str().unwrap_or_default());
    }
    let captured = Captured {
        file: name,
        files,
        errors,
    };
    output::print(args.output.output, &captured)
}

/// The events since the session was started.
fn trace(mut session: Session) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let lines = session.lines()?;
        if lines.is_empty() {
            return Ok(text);
        }
        for line in lines {
            text += &line;
            text.push('\n');
        }
    }
}

fn text(world: &World, path: &str) -> Option<String> {
    let bytes = fs::read(world.root.join(path)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn versions(world: &World) -> Versions {
    let module = |name: &'static str| {
        let file = |file: &str| text(world, &format!("sys/module/{name}/{file}"));
        let is_there = world.root.join("sys/module").join(name).is_dir();
        is_there.then(|| Module {
            name,
            version: file("version"),
            srcversion: file("srcversion"),
            taint: file("taint"),
        })
    };
    Versions {
        tool: snapshot::TOOL,
        kernel: text(world, "proc/version"),
        tainted: text(world, "proc/sys/kernel/tainted"),
        lockdown: text(world, "sys/kernel/security/lockdown"),
        modules: MODULES.into_iter().filter_map(module).collect(),
    }
}

impl Archive {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(self.seconds);
        header.set_size(bytes.len() as u64);
        let path = format!("{}/{name}", self.directory);
        self.tar
            .append_data(&mut header, path, bytes)
            .map_err(|e| Failure::file(name, &e))?;
        self.files.push(FileRow {
            name: name.to_owned(),
            size: bytes.len(),
        });
        Ok(())
    }

    /// Moves the dumps of a device into files.
    fn dumps(&mut self, device: &mut Value) -> Result<(), Failure> {
        let name = device["device"].as_str().unwrap_or("device").to_owned();
        if device["error"].is_object() {
            self.errors.push(device["error"].clone());
        }
        let Some(dumps) = device
            .as_object_mut()
            .and_then(|device| device.remove("dumps"))
        else {
            return Ok(());
        };
        for dump in dumps.as_array().into_iter().flatten() {
            if dump["error"].is_object() {
                self.errors.push(dump["error"].clone());
                continue;
            }
            // The name is the firmware's, so the number names the file.
            let number = dump["segment_type"].as_u64().unwrap_or(0);
            let bytes = unhex(dump["data"].as_str().unwrap_or_default());
            self.add(&format!("{name}-dump-{number:#06x}.bin"), &bytes)?;
        }
        Ok(())
    }

    /// Returns the archive, and what is in it.
    fn finish(mut self, time: String) -> Result<(Vec<u8>, Vec<FileRow>), Failure> {
        let manifest = Manifest {
            kind: "capture",
            tool: snapshot::TOOL,
            time,
            files: self.files.clone(),
            errors: std::mem::take(&mut self.errors),
        };
        let text = output::json(&manifest)? + "\n";
        self.add("manifest.json", text.as_bytes())?;
        let failed = |e| Failure::file("the archive", &e);
        let bytes = self.tar.into_inner().and_then(GzEncoder::finish);
        Ok((bytes.map_err(failed)?, self.files))
    }
}

/// Bytes of hexadecimal digits, which another process of this command wrote.
fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).filter_map(byte).collect()
}
