// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shared by the verbs.

use crate::failure::{self, Failure};
use crate::output::{hex, say};
use crate::progress::Waiting;
use crate::timeout::{self, Limit};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::Args;
use fwctl::sysfs::{Entry, Root};
use fwctl::{errno_text, Device, Exchange, Observer, Scope, MAX_RPC_LEN};
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read};
use std::num::IntErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The machine that a command works on.
pub struct World {
    pub root: Root,
    is_verbose: bool,
    limit: OnceCell<Limit>,
}

impl World {
    /// This machine; or, for tests, the copy of one in the directory `FWCTL_ROOT`.
    pub fn new(is_verbose: bool) -> World {
        let root = match std::env::var_os("FWCTL_ROOT") {
            Some(path) if !path.is_empty() => Root::copy(path),
            _ => Root::default(),
        };
        World {
            root,
            is_verbose,
            limit: OnceCell::new(),
        }
    }

    /// Starts a time limit for all requests of this command, as [`timeout::start`] does: nothing
    /// must have been read or printed before.
    pub fn limit(&self, limit: Duration) -> Result<(), Failure> {
        let limit = timeout::start(limit)?;
        self.limit.get_or_init(|| limit);
        Ok(())
    }

    /// Opens the device of an entry.
    pub fn open_entry(&self, entry: &Entry) -> Result<Device, fwctl::Error> {
        failure::opens(entry);
        let device = match self.limit.get() {
            Some(limit) => entry.open_by(limit.end)?,
            None => entry.open()?,
        };
        let terminal = Terminal {
            device: device.name().to_owned(),
            is_verbose: self.is_verbose,
            waiting: Mutex::default(),
        };
        Ok(device.observed(terminal))
    }
}

/// Shows on stderr that a request takes long, and with --verbose the bytes of requests and replies.
struct Terminal {
    device: String,
    is_verbose: bool,
    /// Number of requests in flight, and the line that says so.
    waiting: Mutex<(usize, Option<Waiting>)>,
}

impl Terminal {
    fn waiting(&self) -> MutexGuard<'_, (usize, Option<Waiting>)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Terminal {
    fn sent(&self) {
        let mut waiting = self.waiting();
        waiting.0 += 1;
        if waiting.1.is_none() {
            waiting.1 = Waiting::start(format!("{}: waiting for the firmware", self.device));
        }
    }

    fn ended(&self, exchange: &Exchange<'_>) {
        let mut waiting = self.waiting();
        waiting.0 -= 1;
        if waiting.0 == 0 || self.is_verbose {
            waiting.1 = None;
        }
        drop(waiting);
        if !self.is_verbose {
            return;
        }
        let name = &self.device;
        say(&format!(
            "{name}: request in scope {}: {}",
            exchange.scope,
            hex(exchange.request)
        ));
        say(&match exchange.outcome {
            Ok((reply, true_len)) => {
                format!("{name}: reply of {true_len} bytes: {}", hex(reply))
            }
            Err(error) => format!("{name}: no reply: {}", errno_text(error)),
        });
    }
}

/// The device argument of a verb.
#[derive(Args, Clone, Debug)]
pub struct DeviceArg {
    /// fwctl0, a path, a PCI address, a memdev, a netdev, an RDMA device or a devlink handle
    #[arg(value_name = "DEV", add = crate::complete::devices())]
    dev: String,
    #[command(flatten)]
    limit: LimitArg,
}

/// The time limit of a verb that sends RPCs.
#[derive(Args, Clone, Debug)]
pub struct LimitArg {
    /// Give up if the firmware has not answered all requests by then
    ///
    /// The firmware may still carry out what was sent.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    timeout: Option<u64>,
}

impl LimitArg {
    /// Starts the time limit: see [`World::limit`].
    pub fn start(&self, world: &World) -> Result<(), Failure> {
        match self.timeout {
            Some(seconds) => world.limit(Duration::from_secs(seconds)),
            None => Ok(()),
        }
    }
}

impl DeviceArg {
    /// Looks the device up in sysfs. The time limit starts here.
    pub fn entry(&self, world: &World) -> Result<Entry, Failure> {
        self.limit.start(world)?;
        Ok(world.root.resolve(&self.dev)?)
    }

    /// Opens the device.
    pub fn open(&self, world: &World) -> Result<Device, Failure> {
        Ok(world.open_entry(&self.entry(world)?)?)
    }
}

/// Reads a request of at most `max` bytes from a file, or from stdin for `-`.
pub fn read_input(name: &str, max: usize) -> Result<Vec<u8>, Failure> {
    read_limited(name, max, "the maximum for a request")
}

/// Reads a file, or stdin for `-`, of at most `max` bytes.
pub fn read_file(name: &str, max: usize) -> Result<Vec<u8>, Failure> {
    read_limited(name, max, "the most that is read")
}

fn read_limited(name: &str, max: usize, why: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = max as u64 + 1;
    let result = match name {
        "-" => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        _ => File::open(name).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    result.map_err(|e| Failure::Failed(format!("{name}: {}", errno_text(&e))))?;
    if bytes.len() > max {
        return Err(Failure::Failed(format!(
            "{name}: longer than {max} bytes, {why}"
        )));
    }
    Ok(bytes)
}

/// Parses a number in decimal, or in hexadecimal after 0x.
pub fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let value = value.map_err(|e| match e.kind() {
        IntErrorKind::PosOverflow => "number too large".to_owned(),
        _ => "not a whole number, in decimal or after 0x in hexadecimal".to_owned(),
    })?;
    let most = 1u128 << (8 * size_of::<T>());
    T::try_from(value).map_err(|_| format!("number too large, the most is {}", most - 1))
}

/// Parses the length of a request or reply buffer.
pub fn rpc_len(text: &str) -> Result<u32, String> {
    number(text)
        .ok()
        .filter(|&len| len <= MAX_RPC_LEN)
        .ok_or_else(|| format!("not a number from 0 to {MAX_RPC_LEN}"))
}

/// A number in decimal, and in hexadecimal if that differs.
pub fn number_text(value: u64) -> String {
    match value {
        0..=9 => value.to_string(),
        _ => format!("{value} ({value:#x})"),
    }
}

/// Parser of scope names, which also provides them to completions.
pub fn scope_parser() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::name)).try_map(|name| name.parse::<Scope>())
}

/// Warns on stderr if a request in this scope taints the kernel.
pub fn warn_of_taint(scope: Scope) {
    if scope.is_tainting() {
        say(&format!("warning: {}", taint(scope)));
    }
}

/// Describes the effect of a request in a tainting scope on the kernel.
pub fn taint(scope: Scope) -> String {
    format!("a request in scope {scope} taints the kernel (flag J) until the next boot, even if it fails")
}

/// What a request in this scope needs and costs, and how to agree to that: lines for a message, with
/// labels of this width.
pub fn terms(scope: Scope, width: usize) -> String {
    let more = match scope {
        Scope::DebugWriteFull => ", and CAP_SYS_RAWIO",
        _ => "",
    };
    let mut lines = vec![("it needs:", format!("scope {scope}{more}"))];
    if scope.is_tainting() {
        let until = "the kernel (flag J) until the next boot, even if it fails";
        lines.push(("it taints:", until.into()));
    }
    lines.push(("to agree:", format!("run it again with --scope {scope}")));
    let line = |(label, text)| format!("\n  {label:width$}{text}");
    lines.into_iter().map(line).collect()
}

/// The name that is most like a word, if one is.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let word = word.to_ascii_lowercase();
    let rated = names.map(|name| (strsim::jaro_winkler(&word, name), name));
    rated
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_notations() {
        assert_eq!(number::<u16>("12"), Ok(12));
        assert_eq!(number::<u16>("0xffff"), Ok(0xffff));
        assert_eq!(
            number::<u16>("65536"),
            Err("number too large, the most is 65535".into())
        );
        for text in ["", "0x", "-1", "1k", "0x-1"] {
            let error = number::<u16>(text).unwrap_err();
            assert!(error.starts_with("not a whole number"), "{text}: {error}");
        }
        assert_eq!(
            number::<u16>("99999999999999999999"),
            Err("number too large".into())
        );
    }
}
