// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl rpc`.

use crate::common::{read_input, rpc_len, taint, warn_of_taint, DeviceArg, World};
use crate::failure::Failure;
use crate::file::Output;
use crate::output::{self, say, Block, Bytes, OutputArgs, Report};
use fwctl::sysfs::Entry;
use fwctl::{FirmwareStatus, Scope, MAX_RPC_LEN};
use serde::{Serialize, Serializer};

/// Send bytes to the firmware and print its reply
///
/// The bytes are in the format of the device's type, as the kernel's headers in include/uapi/fwctl
/// describe it. A scope must be named: debug-write and debug-write-full taint the kernel until the
/// next boot, and debug-write-full needs CAP_SYS_RAWIO.
///
/// If the reply is longer than --out-len, a request that is known to change nothing is sent again
/// with a buffer for all of it: query commands of a ConnectX, Get Supported Features and Get
/// Feature of a CXL memory device. Any other request is sent once, unless --repeat permits a second
/// time; a message on stderr says that the reply was cut. No scope makes a request safe to repeat.
///
/// A reply in which the firmware refuses is printed as well, and the exit status is 3. The file of
/// --out is replaced as a whole, and only if the firmware accepted the request. With -o json, the
/// object is printed beside the file.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: fwctl rpc fwctl0 --scope configuration -i request.bin --out - | xxd"
)]
pub struct RpcArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// configuration, debug-read-only, debug-write or debug-write-full
    #[arg(long, value_parser = crate::common::scope_parser())]
    scope: Scope,
    /// File with the request, - for stdin
    #[arg(short, long = "in", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    input: String,
    /// Write the reply's bytes to this file, - for stdout, instead of printing it
    #[arg(long = "out", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Size of the reply buffer, in bytes
    #[arg(long, value_name = "N", default_value = "4096", value_parser = rpc_len)]
    out_len: u32,
    /// Send the request a second time if its reply is longer than --out-len
    #[arg(long)]
    repeat: bool,
    /// Send nothing; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What would be sent.
#[derive(Serialize)]
pub struct Plan {
    pub device: String,
    pub node: String,
    pub scope: &'static str,
    pub taints: bool,
    pub request_len: usize,
    /// Size of the reply buffer, in bytes.
    pub out_len: usize,
    pub request: Bytes,
    /// For a write: the present value, if it could be read.
    pub old: Option<Bytes>,
    /// For a write: the value that would be written.
    pub new: Option<Bytes>,
    /// For a write: the fields whose values would change.
    pub changes: Changes,
}

/// Fields whose values would change. In JSON: an object of names.
#[derive(Default)]
pub struct Changes(pub Vec<Changed>);

/// A field whose value would change.
#[derive(Serialize)]
pub struct Changed {
    #[serde(skip)]
    pub name: String,
    pub old: u64,
    pub new: u64,
    /// Both for people.
    #[serde(skip)]
    pub texts: [String; 2],
}

impl Serialize for Changes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|change| (&change.name, change)))
    }
}

#[derive(Serialize)]
struct Outcome {
    device: String,
    scope: &'static str,
    request_len: usize,
    /// Bytes that the whole reply has.
    reply_len: usize,
    truncated: bool,
    firmware_status: Option<u32>,
    firmware_status_name: Option<&'static str>,
    syndrome: Option<u32>,
    reply: Bytes,
}

pub fn rpc(world: &World, args: RpcArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    let request = read_input(&args.input, MAX_RPC_LEN as usize)?;
    if args.dry_run {
        return output::print(
            args.output.output,
            &Plan::new(&entry, args.scope, args.out_len as usize, request),
        );
    }
    let device = world.open_entry(&entry)?;
    // Before the request: it may not be possible to get the same reply a second time.
    let file = Output::unless_stdout(args.out.as_deref())?;
    warn_of_taint(args.scope);
    let mut reply = device.rpc_whole(args.scope, &request, args.out_len as usize)?;
    if args.repeat && reply.is_truncated() && reply.true_len <= MAX_RPC_LEN as usize {
        reply = device.rpc(args.scope, &request, reply.true_len)?;
    }
    let status = FirmwareStatus::of_reply(device.device_type()?, &reply.bytes);
    if reply.is_truncated() {
        say(&format!(
            "{}: the reply has {} bytes, {} of them were returned: give a larger --out-len, or --repeat if the request may be sent twice",
            entry.name,
            reply.true_len,
            reply.bytes.len()
        ));
    }
    let outcome = Outcome {
        device: entry.name.clone(),
        scope: args.scope.name(),
        request_len: request.len(),
        reply_len: reply.true_len,
        truncated: reply.is_truncated(),
        firmware_status: status.map(|status| status.code),
        firmware_status_name: status.map(|status| status.name),
        syndrome: status.and_then(|status| status.syndrome),
        reply: Bytes(reply.bytes),
    };
    match (file, &args.out) {
        (Some((name, _)), _) if status.is_some() => {
            say(&format!("{}: nothing written to {name}", entry.name));
            output::print_beside_file(args.output.output, &outcome)?;
        }
        (Some((name, file)), _) => {
            file.write(&outcome.reply.0)?;
            say(&format!(
                "{}: {} bytes of reply written to {name}",
                entry.name,
                outcome.reply.0.len()
            ));
            output::print_beside_file(args.output.output, &outcome)?;
        }
        (None, Some(_)) => output::print_bytes(&outcome.reply.0)?,
        (None, None) => output::print(args.output.output, &outcome)?,
    }
    match status {
        None => Ok(()),
        Some(status) => Err(Failure::Reported(format!(
            "{}: firmware refused with {status}",
            entry.name
        ))),
    }
}

impl Plan {
    /// A request that is not sent, with a reply buffer of `out_len` bytes.
    pub fn new(entry: &Entry, scope: Scope, out_len: usize, request: Vec<u8>) -> Plan {
        Plan {
            device: entry.name.clone(),
            node: entry.node.display().to_string(),
            scope: scope.name(),
            taints: scope.is_tainting(),
            request_len: request.len(),
            out_len,
            request: Bytes(request),
            old: None,
            new: None,
            changes: Changes::default(),
        }
    }

    /// The same, for a request that writes.
    pub fn with_values(mut self, old: Option<Vec<u8>>, new: Vec<u8>) -> Plan {
        self.old = old.map(Bytes);
        self.new = Some(Bytes(new));
        self
    }
}

impl Report for Plan {
    fn blocks(&self) -> Vec<Block> {
        let mut fields = vec![
            ("would send to", format!("{} ({})", self.device, self.node)),
            ("scope", self.scope.to_owned()),
            ("reply capacity", output::bytes(self.out_len)),
            ("request", output::bytes(self.request_len)),
        ];
        if let Some(scope) = self.scope.parse().ok().filter(|_| self.taints) {
            fields.insert(2, ("note", taint(scope)));
        }
        let mut blocks = vec![Block::Fields(fields), Block::Dump(self.request.0.clone())];
        if !self.changes.0.is_empty() {
            let cells = |change: &Changed| {
                let [old, new] = change.texts.clone();
                vec![change.name.clone(), old, new]
            };
            let rows = self.changes.0.iter().map(cells).collect();
            blocks.push(Block::Table(&["FIELD", "OLD", "NEW"], rows));
            return blocks;
        }
        for (name, value) in [("old value", &self.old), ("new value", &self.new)] {
            if let Some(Bytes(value)) = value {
                blocks.push(Block::Fields(vec![(name, output::bytes(value.len()))]));
                blocks.push(Block::Dump(value.clone()));
            }
        }
        blocks
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.request.0)
    }
}

impl Report for Outcome {
    fn blocks(&self) -> Vec<Block> {
        let mut reply = output::bytes(self.reply_len);
        if self.truncated {
            reply += &format!(", the first {} follow", self.reply.0.len());
        }
        let fields = vec![
            ("device", self.device.clone()),
            ("scope", self.scope.to_owned()),
            ("request", output::bytes(self.request_len)),
            ("reply", reply),
        ];
        vec![Block::Fields(fields), Block::Dump(self.reply.0.clone())]
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.reply.0)
    }
}
