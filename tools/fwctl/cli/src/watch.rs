// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl watch`.

use crate::common::World;
use crate::failure::Failure;
use crate::output::{self, json_line, Format};
use fwctl::errno_name;
use fwctl::sysfs::Root;
use fwctl::trace::{Event, Pairing, Rpc, Session};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Print every request to any firmware when it completes
///
/// Needs tracefs and root. IN and OUT are the lengths of request and reply in bytes. TIME is in
/// seconds since boot, as in the kernel's log. End it with ctrl-c. JSON output has one object on
/// each line.
#[derive(clap::Args, Debug)]
#[command(
    visible_alias = "trace",
    after_help = "Example: fwctl watch -o json | jq 'select(.result != 0)'"
)]
pub struct WatchArgs {
    /// Exit after this many requests
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Read a saved trace, such as a copy of /sys/kernel/tracing/trace, - for stdin, instead of the
    /// live one
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    from: Option<String>,
    /// Print only requests to this device. A removed device can be given by its name
    #[arg(long, value_name = "DEV", add = crate::complete::devices())]
    device: Option<String>,
    /// Print a table or JSON
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    pid: u32,
    comm: &'a str,
    device: &'a str,
    scope: &'a str,
    request_len: Option<u64>,
    out_len: Option<u64>,
    reply_len: u64,
    /// 0, or a negative errno.
    result: i64,
    duration_ns: u64,
}

struct Printer {
    format: Format,
    device: Option<String>,
    left: Option<u64>,
    pairing: Pairing,
    /// Of a live trace.
    names: Option<Names>,
}

/// Looks up process names for `<...>`: the kernel records a name only when the process is next
/// scheduled.
struct Names(Root);

impl Names {
    fn of(&self, rpc: &Rpc) -> Option<String> {
        if rpc.comm != "<...>" {
            return None;
        }
        let name = std::fs::read(self.0.join(format!("proc/{}/comm", rpc.pid))).ok()?;
        Some(String::from_utf8_lossy(&name).trim_end().to_owned())
    }
}

/// How often new events are read.
const PERIOD: Duration = Duration::from_millis(50);

pub fn watch(world: &World, args: WatchArgs) -> Result<(), Failure> {
    if args.output == Format::Raw {
        return Err(Failure::Usage(
            "this command has no raw output: use -o table or -o json".into(),
        ));
    }
    let mut printer = Printer {
        format: args.output,
        device: args.device.map(|device| name_of(world, device)),
        left: args.count,
        pairing: Pairing::default(),
        names: args.from.is_none().then(|| Names(world.root.clone())),
    };
    if let Some(name) = args.from {
        return saved(&name, printer);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))
            .map_err(|e| Failure::file("signals", &e))?;
    }
    let mut session = Session::start(&world.root)?;
    printer.head()?;
    while !is_over.load(Ordering::Relaxed) {
        let lines = session
            .lines()
            .map_err(|e| Failure::file("trace_pipe", &e))?;
        for line in &lines {
            if printer.take(line)?.is_done() {
                return Ok(());
            }
        }
        if lines.is_empty() {
            // Writing would fail if the reader closed stdout, but there may never be anything to
            // write.
            if output::is_reader_gone() {
                return Err(Failure::ReaderGone);
            }
            std::thread::sleep(PERIOD);
        }
    }
    Ok(())
}

/// Returns the name that events have for the device. A saved trace may be from another machine, so
/// the device may be unknown here.
fn name_of(world: &World, device: String) -> String {
    world
        .root
        .resolve(&device)
        .map_or(device, |entry| entry.name)
}

fn saved(name: &str, mut printer: Printer) -> Result<(), Failure> {
    let source: Box<dyn BufRead> = match name {
        "-" => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(
            File::open(name).map_err(|e| Failure::file(name, &e))?,
        )),
    };
    printer.head()?;
    for line in source.split(b'\n') {
        let line = line.map_err(|e| Failure::file(name, &e))?;
        if printer.take(&String::from_utf8_lossy(&line))?.is_done() {
            break;
        }
    }
    Ok(())
}

enum Progress {
    More,
    Done,
}

impl Progress {
    fn is_done(&self) -> bool {
        matches!(self, Progress::Done)
    }
}

impl Printer {
    fn head(&self) -> Result<(), Failure> {
        match self.format {
            Format::Table => output::print_bytes(columns(&HEAD.map(str::to_owned)).as_bytes()),
            Format::Json | Format::Raw => Ok(()),
        }
    }

    fn take(&mut self, line: &str) -> Result<Progress, Failure> {
        if self.left == Some(0) {
            return Ok(Progress::Done);
        }
        let Some(mut rpc) = Event::parse(line).and_then(|event| self.pairing.take(event)) else {
            return Ok(Progress::More);
        };
        if let Some(name) = self.names.as_ref().and_then(|names| names.of(&rpc)) {
            rpc.comm = name;
        }
        if self
            .device
            .as_ref()
            .is_some_and(|device| *device != rpc.device)
        {
            return Ok(Progress::More);
        }
        let text = match self.format {
            Format::Json => json_line(&json(&rpc))? + "\n",
            Format::Table | Format::Raw => columns(&cells(&rpc)),
        };
        output::print_bytes(text.as_bytes())?;
        self.left = self.left.map(|left| left - 1);
        Ok(if self.left == Some(0) {
            Progress::Done
        } else {
            Progress::More
        })
    }
}

const HEAD: [&str; 8] = [
    "TIME", "PROCESS", "DEVICE", "SCOPE", "IN", "OUT", "DURATION", "RESULT",
];

/// Widths are fixed: a line is printed before the next one is known.
fn columns(cells: &[String; 8]) -> String {
    let [time, process, device, scope, request, reply, duration, result] =
        cells.each_ref().map(|cell| output::printable(cell));
    let line =
        format!("{time:>14}  {process:22}  {device:8}  {scope:16}  {request:>7}  {reply:>7}  {duration:>10}  {result}");
    line.trim_end().to_owned() + "\n"
}

fn cells(rpc: &Rpc) -> [String; 8] {
    let number = |value: Option<u64>| value.map_or_else(|| "?".into(), |value| value.to_string());
    [
        rpc.time.clone(),
        format!("{}[{}]", rpc.comm, rpc.pid),
        rpc.device.clone(),
        rpc.scope.clone(),
        number(rpc.request_len),
        number((rpc.result == 0).then_some(rpc.reply_len)).replace('?', "-"),
        duration(rpc.duration_ns),
        result(rpc.result),
    ]
}

fn result(result: i64) -> String {
    match result {
        0 => "ok".into(),
        errno => i32::try_from(-errno)
            .ok()
            .and_then(errno_name)
            .map_or_else(|| format!("errno {}", -errno), str::to_owned),
    }
}

fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        0..=999 => format!("{nanoseconds} ns"),
        1_000..=999_999 => format!("{:.1} us", nanoseconds as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.1} s", nanoseconds as f64 / 1e9),
    }
}

fn json(rpc: &Rpc) -> Line<'_> {
    Line {
        time: &rpc.time,
        pid: rpc.pid,
        comm: &rpc.comm,
        device: &rpc.device,
        scope: &rpc.scope,
        request_len: rpc.request_len,
        out_len: rpc.room,
        reply_len: rpc.reply_len,
        result: rpc.result,
        duration_ns: rpc.duration_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_durations_in_words() {
        assert_eq!(
            [0, -22, -9999, i64::MIN + 1].map(result),
            ["ok", "EINVAL", "errno 9999", "errno 9223372036854775807"]
        );
        assert_eq!(
            [999, 1_500, 2_000_000, 61_000_000_000].map(duration),
            ["999 ns", "1.5 us", "2.0 ms", "61.0 s"]
        );
    }
}
