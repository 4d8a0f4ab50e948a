// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl pds call`.

use super::hex_number;
use crate::common::{
    number, read_input, rpc_len, scope_parser, taint, terms, warn_of_taint, DeviceArg, World,
};
use crate::failure::Failure;
use crate::file::Output;
use crate::output::{self, say, Block, Bytes, OutputArgs, Report};
use fwctl::pds::{Call, Operation, PdsDevice};
use fwctl::sysfs::Entry;
use fwctl::{Error, Scope, MAX_RPC_LEN};
use serde::Serialize;

/// Call an operation of the firmware and print its response
///
/// The driver is asked first which scope the operation needs, and the command says so on stderr. If
/// --scope is too low, or missing and the operation needs more than configuration, nothing is sent.
/// The driver of Linux 7.3 does not say: then --scope must be given.
///
/// What requests and responses hold depends on the firmware. The response is as long as its buffer,
/// with zeros where the firmware wrote nothing. Raw output is the response's bytes.
///
/// If the operation fails, its error is printed with the response, and the exit status is 3. The file
/// of --out is replaced as a whole, and only if the operation succeeded.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fwctl pds call 0000:0a:00.0 0x10 0x1\n  fwctl pds call 0000:0a:00.0 0x20 0x103 --scope debug-read-only -o raw"
)]
pub struct CallArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Number of the endpoint
    #[arg(value_parser = number::<u32>)]
    endpoint: u32,
    /// Number of the operation: its command in bits 0 to 15, its version in bits 16 to 23
    #[arg(value_parser = number::<u32>)]
    operation: u32,
    /// Scope of the call. Omit it to see which one is needed
    #[arg(long, value_parser = scope_parser())]
    scope: Option<Scope>,
    /// File with the request, - for stdin. Without it, the request is empty
    #[arg(short, long = "in", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    input: Option<String>,
    /// Write the response's bytes to this file, - for stdout, instead of printing it
    #[arg(long = "out", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<String>,
    /// Size of the response buffer, in bytes
    #[arg(long, value_name = "N", default_value = "4096", value_parser = rpc_len)]
    out_len: u32,
    /// Call nothing; print the request
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What would be sent.
#[derive(Serialize)]
struct Plan {
    device: String,
    node: String,
    endpoint: u32,
    operation: u32,
    attribute: Option<u8>,
    attribute_name: Option<&'static str>,
    /// The least scope; none if the driver does not say.
    least_scope: Option<&'static str>,
    scope: &'static str,
    taints: bool,
    out_len: u32,
    request: Bytes,
}

#[derive(Serialize)]
struct Outcome {
    device: String,
    endpoint: u32,
    operation: u32,
    least_scope: Option<&'static str>,
    scope: &'static str,
    request_len: usize,
    /// 0, or the error of the operation.
    retval: u32,
    response: Bytes,
}

pub fn call(world: &World, args: CallArgs) -> Result<(), Failure> {
    let entry = args.device.entry(world)?;
    let request = match &args.input {
        Some(name) => read_input(name, MAX_RPC_LEN as usize)?,
        None => Vec::new(),
    };
    let pds = PdsDevice::new(world.open_entry(&entry)?)?;
    let listed = find(&pds, &args)?;
    if args.dry_run {
        let needed = listed.map(|listed| listed.scope);
        let scope = args.scope.or(needed).unwrap_or(Scope::Configuration);
        let plan = Plan {
            device: entry.name,
            node: entry.node.display().to_string(),
            endpoint: args.endpoint,
            operation: args.operation,
            attribute: listed.map(|listed| listed.attribute),
            attribute_name: listed.and_then(|listed| listed.attribute_name()),
            least_scope: needed.map(Scope::name),
            scope: scope.name(),
            taints: scope.is_tainting(),
            out_len: args.out_len,
            request: Bytes(request),
        };
        return output::print(args.output.output, &plan);
    }
    let scope = agreed(&entry, &args, listed)?;
    // Before the call: it may not be possible to get the same response a second time.
    let file = Output::unless_stdout(args.out.as_deref())?;
    warn_of_taint(scope);
    let request_len = request.len();
    let call = Call::new(
        args.endpoint,
        args.operation,
        request,
        args.out_len as usize,
    );
    let response = pds.call(scope, call)?;
    let status = response.status();
    let outcome = Outcome {
        device: entry.name.clone(),
        endpoint: args.endpoint,
        operation: args.operation,
        least_scope: listed.map(|listed| listed.scope.name()),
        scope: scope.name(),
        request_len,
        retval: response.retval,
        response: Bytes(response.bytes),
    };
    match (file, &args.out) {
        (Some((name, _)), _) if status.is_some() => {
            say(&format!("{}: nothing written to {name}", entry.name));
            output::print_beside_file(args.output.output, &outcome)?;
        }
        (Some((name, file)), _) => {
            file.write(&outcome.response.0)?;
            say(&format!(
                "{}: {} of response written to {name}",
                entry.name,
                output::bytes(outcome.response.0.len())
            ));
            output::print_beside_file(args.output.output, &outcome)?;
        }
        (None, Some(_)) => output::print_bytes(&outcome.response.0)?,
        (None, None) => output::print(args.output.output, &outcome)?,
    }
    match status {
        None => Ok(()),
        Some(status) => Err(Failure::Reported(format!(
            "{}: {}: the operation failed with {:#x}",
            entry.name,
            title(&args),
            status.code
        ))),
    }
}

/// The operation on the driver's list; none if the driver has no list.
fn find(pds: &PdsDevice, args: &CallArgs) -> Result<Option<Operation>, Failure> {
    let device = pds.device().name();
    match pds.find(args.endpoint, args.operation) {
        Ok(Some(listed)) => Ok(Some(listed)),
        Ok(None) => Err(Failure::Failed(format!(
            "{device}: {}: the firmware has no such operation, or not in this version; list them with: \
             fwctl pds operations {device} {}",
            title(args),
            hex_number(args.endpoint)
        ))),
        Err(Error::NoLists { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn title(args: &CallArgs) -> String {
    let (endpoint, operation) = (hex_number(args.endpoint), hex_number(args.operation));
    format!("operation {operation} of endpoint {endpoint}")
}

/// The scope of the call, if the user has agreed to what the operation needs. Says what that is.
fn agreed(entry: &Entry, args: &CallArgs, listed: Option<Operation>) -> Result<Scope, Failure> {
    let (device, title) = (&entry.name, title(args));
    let Some(listed) = listed else {
        return args.scope.ok_or_else(|| {
            Failure::Usage(format!(
                "{device}: {title}: nothing was sent: the driver does not say which scope it needs, so give one with --scope"
            ))
        });
    };
    let attribute = match listed.attribute_name() {
        Some(name) => name.to_owned(),
        None => format!("unknown, {:#04x}", listed.attribute),
    };
    let needed = listed.scope;
    match args.scope {
        Some(scope) if scope < needed => Err(Failure::Usage(format!(
            "{device}: {title}: nothing was sent: scope {scope} is too low, it needs {needed}"
        ))),
        None if needed > Scope::Configuration => Err(Failure::Usage(format!(
            "{device}: {title}: nothing was sent.\n  \
             attribute:  {attribute}{}",
            terms(needed, 12),
        ))),
        scope => {
            let scope = scope.unwrap_or(needed);
            say(&format!(
                "{device}: {title} ({attribute}) needs scope {needed}; called in scope {scope}"
            ));
            Ok(scope)
        }
    }
}

impl Report for Plan {
    fn blocks(&self) -> Vec<Block> {
        let attribute = match (self.attribute_name, self.attribute) {
            (Some(name), _) => name.into(),
            (None, Some(attribute)) => format!("{attribute:#04x} (unknown)"),
            (None, None) => "not stated by the driver".into(),
        };
        let mut fields = vec![
            ("would call", format!("{} ({})", self.device, self.node)),
            ("endpoint", hex_number(self.endpoint)),
            ("operation", hex_number(self.operation)),
            ("attribute", attribute),
            (
                "least scope",
                self.least_scope
                    .unwrap_or("not stated by the driver")
                    .into(),
            ),
            ("scope", self.scope.to_owned()),
            ("response capacity", output::bytes(self.out_len as usize)),
            ("request", output::bytes(self.request.0.len())),
        ];
        if let Some(scope) = self.scope.parse().ok().filter(|_| self.taints) {
            fields.insert(6, ("note", taint(scope)));
        }
        vec![Block::Fields(fields), Block::Dump(self.request.0.clone())]
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.request.0)
    }
}

impl Report for Outcome {
    fn blocks(&self) -> Vec<Block> {
        let fields = vec![
            ("device", self.device.clone()),
            ("endpoint", hex_number(self.endpoint)),
            ("operation", hex_number(self.operation)),
            ("scope", self.scope.to_owned()),
            ("request", output::bytes(self.request_len)),
            ("result", hex_number(self.retval)),
            ("response", output::bytes(self.response.0.len())),
        ];
        vec![Block::Fields(fields), Block::Dump(self.response.0.clone())]
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.response.0)
    }
}
