// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwctl watch`.

use crate::clock;
use crate::common::World;
use crate::failure::Failure;
use crate::output::{self, json_line, Format};
use crate::process::Process;
use fwctl::errno_name;
use fwctl::sysfs::Root;
use fwctl::trace::{self, Event, Pairing, Rpc, Session};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Print every request to any firmware when it completes
///
/// Needs tracefs and root. TIME is the time of day in UTC; of a saved trace, in seconds since boot.
/// UID, and in JSON the container, are those of the process, if it still exists when its request is
/// printed. IN and OUT are the lengths of request and reply in bytes. A narrow terminal gets fewer
/// columns. Events that the kernel could not keep are counted on stderr. End it with ctrl-c. JSON
/// output has one object on each line.
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
    /// Wait for the end of stdin, and remove the trace buffer of this process
    #[arg(long, value_name = "PID", hide = true)]
    remove_instance_of: Option<u32>,
    /// Print a table or JSON
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
}

#[derive(Serialize)]
struct Line<'a> {
    /// In seconds since boot.
    time: &'a str,
    /// In UTC.
    wall_time: Option<String>,
    pid: u32,
    uid: Option<u32>,
    container: Option<String>,
    comm: &'a str,
    device: &'a str,
    scope: &'a str,
    /// From kernels whose events have it.
    opcode: Option<u64>,
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
    root: Option<Root>,
    /// When the events' clock was 0, since 1970.
    boot: Option<Duration>,
    columns: Vec<Column>,
}

/// A column of the table. Widths are fixed: a line is printed before the next one is known.
struct Column {
    title: &'static str,
    width: usize,
    is_number: bool,
}

/// The columns for a terminal of this width; all of them if it is not one.
fn columns(width: Option<u16>) -> Vec<Column> {
    let column = |(title, width, is_number)| Column {
        title,
        width,
        is_number,
    };
    let wide = [
        ("TIME", 15, true),
        ("PROCESS", 22, false),
        ("UID", 5, true),
        ("DEVICE", 8, false),
        ("SCOPE", 16, false),
        ("OPCODE", 8, true),
        ("IN", 7, true),
        ("OUT", 7, true),
        ("DURATION", 10, true),
        ("RESULT", 8, false),
    ];
    let narrow = [
        ("TIME", 15, true),
        ("PROCESS", 16, false),
        ("DEVICE", 7, false),
        ("SCOPE", 16, false),
        ("DURATION", 8, true),
        ("RESULT", 8, false),
    ];
    let len: usize = wide.iter().map(|(_, width, _)| width + 2).sum();
    match width {
        Some(width) if usize::from(width) + 2 < len => narrow.map(column).into(),
        _ => wide.map(column).into(),
    }
}

/// A process that removes the trace buffer if this one is killed.
struct Guard(Child);

impl Guard {
    /// Without it, the buffer stays until the next start: that is no reason to fail.
    fn start() -> Option<Guard> {
        let child = Command::new("/proc/self/exe")
            .args(["watch", "--remove-instance-of"])
            .arg(std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Signals of the terminal are not for it.
            .process_group(0)
            .spawn();
        child.ok().map(Guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.stdin = None;
        let _ = self.0.wait();
    }
}

/// What the guard does: nothing until the other process has ended.
fn remove_instance(root: &Root, pid: u32) {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    // The kernel may still have its files open.
    for _ in 0..100 {
        if trace::remove_instance(root, pid).is_ok() {
            return;
        }
        std::thread::sleep(PERIOD);
    }
}

/// How often new events are read.
const PERIOD: Duration = Duration::from_millis(50);

pub fn watch(world: &World, args: WatchArgs) -> Result<(), Failure> {
    if let Some(pid) = args.remove_instance_of {
        remove_instance(&world.root, pid);
        return Ok(());
    }
    if args.output == Format::Raw {
        return Err(output::no_raw_output());
    }
    let mut printer = Printer {
        format: args.output,
        device: args.device.map(|device| name_of(world, device)),
        left: args.count,
        pairing: Pairing::default(),
        root: args.from.is_none().then(|| world.root.clone()),
        boot: None,
        columns: columns(output::width()),
    };
    if let Some(name) = args.from {
        return saved(&name, printer);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))
            .map_err(|e| Failure::file("signals", &e))?;
    }
    // Dropped last, so that it finds nothing to remove.
    let _guard;
    let mut session = Session::start(&world.root)?;
    _guard = Guard::start();
    printer.boot = clock::boot().filter(|_| session.has_boot_clock());
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
            Format::Table => {
                let head = |title: &str| title.to_owned();
                output::print_bytes(self.line(head).as_bytes())
            }
            Format::Json | Format::Raw => Ok(()),
        }
    }

    fn line(&self, cell: impl Fn(&'static str) -> String) -> String {
        let mut line = String::new();
        for Column {
            title,
            width,
            is_number,
        } in &self.columns
        {
            let text = output::printable(&cell(title));
            line += &match is_number {
                true => format!("{text:>width$}  "),
                false => format!("{text:width$}  "),
            };
        }
        line.trim_end().to_owned() + "\n"
    }

    fn take(&mut self, line: &str) -> Result<Progress, Failure> {
        if self.left == Some(0) {
            return Ok(Progress::Done);
        }
        if let Some(count) = trace::lost(line) {
            output::say(&format!(
                "{count} events were lost: the kernel's buffer was full"
            ));
            if self.format == Format::Json {
                output::print_bytes((json_line(&Lost { lost: count })? + "\n").as_bytes())?;
            }
            return Ok(Progress::More);
        }
        let Some(mut rpc) = Event::parse(line).and_then(|event| self.pairing.take(event)) else {
            return Ok(Progress::More);
        };
        if self
            .device
            .as_ref()
            .is_some_and(|device| *device != rpc.device)
        {
            return Ok(Progress::More);
        }
        let root = self.root.as_ref();
        let process = root.map_or_else(Process::default, |root| Process::of(root, rpc.pid));
        // The kernel records a name only when the process is next scheduled.
        if let Some(name) = process.name.as_ref().filter(|_| rpc.comm == "<...>") {
            rpc.comm.clone_from(name);
        }
        let wall_time = self.boot.and_then(|boot| {
            let seconds: f64 = rpc.time.parse().ok()?;
            let since = Duration::try_from_secs_f64(seconds).ok()?;
            Some(clock::microseconds(boot.checked_add(since)?))
        });
        let text = match self.format {
            Format::Json => json_line(&json(&rpc, wall_time, process))? + "\n",
            Format::Table | Format::Raw => {
                self.line(|title| cell(title, &rpc, wall_time.as_deref(), &process))
            }
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

/// The cell of a request in the column of this title.
fn cell(title: &str, rpc: &Rpc, wall_time: Option<&str>, process: &Process) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "?".into(), |value| value.to_string());
    let hex = |value: Option<u64>| value.map_or_else(|| "-".into(), |value| format!("{value:#x}"));
    match title {
        // The time of day, of 2026-11-28T12:34:56.123456Z.
        "TIME" => wall_time
            .and_then(|time| time.get(11..26))
            .unwrap_or(&rpc.time)
            .into(),
        "PROCESS" => format!("{}[{}]", rpc.comm, rpc.pid),
        "UID" => process
            .uid
            .map_or_else(|| "-".into(), |uid| uid.to_string()),
        "DEVICE" => rpc.device.clone(),
        "SCOPE" => rpc.scope.clone(),
        "OPCODE" => hex(rpc.opcode),
        "IN" => number(rpc.request_len),
        "OUT" if rpc.result == 0 => rpc.reply_len.to_string(),
        "OUT" => "-".into(),
        "DURATION" => duration(rpc.duration_ns),
        _ => result(rpc.result),
    }
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

/// Events that the kernel could not keep, in JSON.
#[derive(Serialize)]
struct Lost {
    lost: u64,
}

fn json(rpc: &Rpc, wall_time: Option<String>, process: Process) -> Line<'_> {
    Line {
        time: &rpc.time,
        wall_time,
        pid: rpc.pid,
        uid: process.uid,
        container: process.container,
        opcode: rpc.opcode,
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
