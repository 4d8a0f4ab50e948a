// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's trace events for RPCs: who asked what of which firmware, and how it ended.
//!
//! [`Session`] has the kernel write the events as text; [`Event`] reads a line of it, fields by
//! name; [`Pairing`] makes one [`Rpc`] of the start and the end of a request.

use crate::sysfs::Root;
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Names of the events, in the kernel's group `fwctl`.
const EVENTS: [&str; 2] = ["fwctl_rpc_start", "fwctl_rpc_done"];

/// A request and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rpc {
    /// When it ended, by the kernel's trace clock: seconds since boot.
    pub time: String,
    /// Name of the thread.
    pub comm: String,
    /// Process id.
    pub pid: u32,
    /// The device.
    pub device: String,
    /// Scope: its name, or its number if it has none.
    pub scope: String,
    /// Bytes of the request; unknown if the start was not seen.
    pub request_len: Option<u64>,
    /// Bytes of the reply buffer; unknown if the start was not seen.
    pub room: Option<u64>,
    /// 0, or a negative errno.
    pub result: i64,
    /// Bytes of the whole reply.
    pub reply_len: u64,
    /// Time between start and end, in nanoseconds.
    pub duration_ns: u64,
    /// Number of the command in the request, if the kernel's events have it and the driver tells it.
    pub opcode: Option<u64>,
}

/// One line of a trace: a request starts or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Event {
    is_start: bool,
    time: String,
    comm: String,
    tid: u32,
    fields: HashMap<String, String>,
}

impl Event {
    /// Reads a line such as `fwctl-42 [000] ..... 12.345678: fwctl_rpc_start: dev=fwctl0
    /// scope=configuration ...`; nothing if it is about something else.
    pub fn parse(line: &str) -> Option<Event> {
        let (left, is_start, right) = EVENTS.iter().enumerate().find_map(|(number, event)| {
            let (left, right) = line.split_once(&format!(": {event}: "))?;
            Some((left, number == 0, right))
        })?;
        // The name of a thread may hold anything, so what follows it is looked for from the right.
        let (task, rest) = left.rsplit_once(" [")?;
        let (comm, tid) = task.trim().rsplit_once('-')?;
        let fields = right
            .split_whitespace()
            .filter_map(|word| word.split_once('='));
        Some(Event {
            is_start,
            time: rest.split_whitespace().next_back()?.to_owned(),
            comm: comm.to_owned(),
            tid: tid.parse().ok()?,
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Kernels print numbers in decimal, or in hexadecimal where the trace option `fields` is on.
    fn number(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        match text.strip_prefix("0x") {
            // The word wraps around for negative numbers of 32 bits.
            Some(digits) => u64::from_str_radix(digits, 16)
                .ok()
                .map(|n| match u32::try_from(n) {
                    Ok(n) if name == "ret" => i64::from(n as i32),
                    _ => n as i64,
                }),
            None => text.parse().ok(),
        }
    }

    fn unsigned(&self, name: &str) -> Option<u64> {
        u64::try_from(self.number(name)?).ok()
    }
}

/// The number of events that the kernel could not keep, if a line of a trace says so: that of a pipe,
/// such as `CPU:1 [LOST 4 EVENTS]`, or the head of a saved trace.
pub fn lost(line: &str) -> Option<u64> {
    if let Some((_, rest)) = line.split_once(" [LOST ") {
        return rest
            .split(' ')
            .next()?
            .parse()
            .ok()
            .filter(|_| line.starts_with("CPU:"));
    }
    let (kept, written) = line
        .strip_prefix("# entries-in-buffer/entries-written:")?
        .trim()
        .split_once('/')?;
    let written: u64 = written.split_whitespace().next()?.parse().ok()?;
    let lost = written.checked_sub(kept.parse().ok()?)?;
    (lost > 0).then_some(lost)
}

/// Removes the trace buffer of a process that has ended, if it left one behind.
///
/// # Errors
///
/// The buffer cannot be removed while somebody reads it.
pub fn remove_instance(root: &Root, pid: u32) -> io::Result<()> {
    for tracing in TRACING {
        let instance = root.join(tracing).join(format!("instances/fwctl-{pid}"));
        match fs::remove_dir(instance) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Where tracefs can be.
const TRACING: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];

/// Pairs starts with ends. A thread has at most one request in flight.
#[derive(Debug, Default)]
pub struct Pairing {
    started: HashMap<u32, Event>,
}

/// Starts that are remembered. A start whose end got lost stays until its thread makes another
/// request.
const MAX_STARTED: usize = 4096;

impl Pairing {
    /// Takes an event; a request that ended comes out.
    pub fn take(&mut self, event: Event) -> Option<Rpc> {
        if event.is_start {
            if self.started.len() >= MAX_STARTED {
                self.started.clear();
            }
            self.started.insert(event.tid, event);
            return None;
        }
        let start = self
            .started
            .remove(&event.tid)
            .filter(|start| start.text("dev") == event.text("dev"));
        let from_start = |name| start.as_ref().and_then(|start| start.unsigned(name));
        let scope = event
            .text("scope")
            .or_else(|| start.as_ref()?.text("scope"))
            .unwrap_or("?")
            .to_owned();
        Some(Rpc {
            device: event.text("dev").unwrap_or("?").to_owned(),
            scope: number_to_scope(scope),
            request_len: from_start("in_len"),
            room: from_start("out_len"),
            result: event.number("ret").unwrap_or(0),
            reply_len: event.unsigned("out_len").unwrap_or(0),
            duration_ns: event.unsigned("duration_ns").unwrap_or(0),
            pid: event
                .unsigned("pid")
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or(event.tid),
            opcode: event.unsigned("opcode").or_else(|| from_start("opcode")),
            time: event.time,
            comm: event.comm,
        })
    }
}

fn number_to_scope(scope: String) -> String {
    let digits = scope.strip_prefix("0x").unwrap_or(&scope);
    let known = u32::from_str_radix(digits, 16)
        .ok()
        .and_then(crate::Scope::from_number);
    known.map_or(scope, |scope| scope.name().to_owned())
}

/// Lines of the kernel's trace, from a separate buffer, which is removed on drop. Other users of
/// tracing are not disturbed.
#[derive(Debug)]
pub struct Session {
    instance: PathBuf,
    pipe: Option<File>,
    unfinished: Vec<u8>,
}

impl Session {
    /// Enables the events. Needs tracefs, the fwctl module, and root's right to trace.
    ///
    /// # Errors
    ///
    /// [`Error::File`]: tracefs is not mounted, has no events of fwctl, or may not be written.
    pub fn start(root: &Root) -> Result<Session> {
        let tracing = TRACING.map(|path| root.join(path));
        let failed = |path: &Path, source| Error::File {
            path: path.to_owned(),
            source,
        };
        let [usual, _] = &tracing;
        let denied = |path: &Path| matches!(fs::metadata(path), Err(e) if e.kind() == io::ErrorKind::PermissionDenied);
        if denied(&usual.join("events")) {
            return Err(failed(
                usual,
                io::Error::other("you may not trace: run it as root"),
            ));
        }
        let Some(tracing) = tracing.iter().find(|path| path.join("events").is_dir()) else {
            let lockdown = root.join("sys/kernel/security/lockdown");
            if fs::read_to_string(lockdown).is_ok_and(|text| text.contains("[confidentiality]")) {
                let why = "the kernel is locked down for confidentiality, which disables tracing: boot it with lockdown=integrity \
                           to watch";
                return Err(failed(usual, io::Error::other(why)));
            }
            let why = "watching needs tracefs: mount -t tracefs nodev /sys/kernel/tracing, on a kernel with CONFIG_FTRACE";
            return Err(failed(usual, io::Error::other(why)));
        };
        let events = tracing.join("events/fwctl");
        if !EVENTS.iter().all(|event| events.join(event).is_dir()) {
            let why =
                "the kernel has no fwctl trace events: load the fwctl module; the C core has none";
            return Err(failed(&events, io::Error::other(why)));
        }
        remove_stale(root, &tracing.join("instances"));
        let instance = tracing.join(format!("instances/fwctl-{}", std::process::id()));
        fs::create_dir(&instance).map_err(|source| failed(&instance, source))?;
        let mut session = Session {
            instance,
            pipe: None,
            unfinished: Vec::new(),
        };
        // A kernel that does not have it keeps its own clock: see has_boot_clock().
        let _ = fs::write(session.instance.join("trace_clock"), "boot");
        for event in EVENTS {
            let enable = session
                .instance
                .join("events/fwctl")
                .join(event)
                .join("enable");
            fs::write(&enable, "1").map_err(|source| failed(&enable, source))?;
        }
        let pipe = session.instance.join("trace_pipe");
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe);
        session.pipe = Some(file.map_err(|source| failed(&pipe, source))?);
        Ok(session)
    }

    /// Returns whether the times of the events are those of CLOCK_BOOTTIME.
    pub fn has_boot_clock(&self) -> bool {
        fs::read_to_string(self.instance.join("trace_clock"))
            .is_ok_and(|clocks| clocks.contains("[boot]"))
    }

    /// Lines that came since the last call; does not wait for any.
    ///
    /// # Errors
    ///
    /// What reading the kernel's pipe ends in.
    pub fn lines(&mut self) -> io::Result<Vec<String>> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Vec::new());
        };
        let mut chunk = [0; 4096];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => self.unfinished.extend(&chunk[..len]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => break,
                Err(e) => return Err(e),
            }
        }
        let Some(end) = self.unfinished.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.unfinished.split_off(end + 1);
        let text = std::mem::replace(&mut self.unfinished, rest);
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect())
    }
}

/// Removes the buffers of processes that were killed.
fn remove_stale(root: &Root, instances: &Path) {
    let names = fs::read_dir(instances).into_iter().flatten();
    for name in names.filter_map(|name| name.ok()?.file_name().into_string().ok()) {
        let pid = name
            .strip_prefix("fwctl-")
            .and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !root.join(format!("proc/{pid}")).exists()) {
            let _ = fs::remove_dir(instances.join(name));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The kernel refuses to remove an instance that is being read.
        self.pipe = None;
        let _ = fs::remove_dir(&self.instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpcs(text: &str) -> Vec<Rpc> {
        let mut pairing = Pairing::default();
        text.lines()
            .filter_map(Event::parse)
            .filter_map(|event| pairing.take(event))
            .collect()
    }

    #[test]
    fn starts_and_ends_are_paired_by_thread() {
        let rpcs = rpcs(
            "# tracer: nop\n\
             \x20          fwctl-42      [000] .....    12.345678: fwctl_rpc_start: dev=fwctl0 pid=42 scope=configuration in_len=24 out_len=4096\n\
             \x20  my - [tool]-43      [001] .....    12.345700: fwctl_rpc_start: dev=fwctl1 pid=40 scope=debug-write in_len=8 out_len=0\n\
             \x20          fwctl-42      [000] .....    12.346000: fwctl_rpc_done: dev=fwctl0 pid=42 scope=configuration ret=0 out_len=344 duration_ns=322000\n\
             \x20  my - [tool]-43      [001] .....    12.347000: fwctl_rpc_done: dev=fwctl1 pid=40 scope=debug-write ret=-22 out_len=0 duration_ns=1\n",
        );
        assert_eq!(rpcs.len(), 2);
        assert_eq!(
            rpcs[0],
            Rpc {
                time: "12.346000".into(),
                comm: "fwctl".into(),
                pid: 42,
                device: "fwctl0".into(),
                scope: "configuration".into(),
                request_len: Some(24),
                room: Some(4096),
                result: 0,
                reply_len: 344,
                duration_ns: 322000,
                opcode: None,
            }
        );
        assert_eq!(
            (rpcs[1].comm.as_str(), rpcs[1].pid, rpcs[1].result),
            ("my - [tool]", 40, -22)
        );
    }

    // The trace option `fields` prints raw fields, and hexadecimal numbers with the decimal in
    // parentheses.
    #[test]
    fn raw_fields_are_understood_and_unknown_ones_ignored() {
        let line = "fwctl-42 [000] ..... 1.5: fwctl_rpc_done: new=1 ret=0xffffffea (-22) scope=0x3 (3) dev=fwctl0 duration_ns=0x10 (16) opcode=0x805 (2053)";
        let rpc = &rpcs(line)[0];
        assert_eq!(
            (rpc.result, rpc.scope.as_str(), rpc.duration_ns),
            (-22, "debug-write-full", 16)
        );
        assert_eq!((rpc.request_len, rpc.pid), (None, 42));
        assert_eq!(rpc.opcode, Some(0x805));
    }

    #[test]
    fn an_opcode_that_the_driver_does_not_tell() {
        let rpcs = rpcs(
            "a-1 [000] ..... 2.0: fwctl_rpc_done: dev=fwctl1 ret=0 opcode=0xffffffffffffffff\n",
        );
        assert_eq!(rpcs[0].opcode, None);
    }

    // The end of one request got lost, and then the start of the next.
    #[test]
    fn a_start_of_another_device_is_not_taken() {
        let rpcs = rpcs(
            "a-1 [000] ..... 1.0: fwctl_rpc_start: dev=fwctl0 in_len=24 out_len=8\n\
             a-1 [000] ..... 2.0: fwctl_rpc_done: dev=fwctl1 ret=0 out_len=4 duration_ns=5\n",
        );
        assert_eq!(
            (rpcs[0].device.as_str(), rpcs[0].request_len, rpcs[0].room),
            ("fwctl1", None, None)
        );
    }

    #[test]
    fn lost_events_are_counted() {
        assert_eq!(lost("CPU:1 [LOST 4 EVENTS]"), Some(4));
        assert_eq!(
            lost("# entries-in-buffer/entries-written: 205/300   #P:2"),
            Some(95)
        );
        for line in [
            "",
            "# entries-in-buffer/entries-written: 205/205   #P:2",
            "# entries-in-buffer/entries-written: 9/2",
            "CPU:1 [LOST EVENTS]",
            "my [LOST 4 EVENTS]-42 [000] ..... 1.5: fwctl_rpc_done: dev=x",
        ] {
            assert_eq!(lost(line), None, "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_events() {
        for line in [
            "",
            "fwctl_rpc_start: ",
            ": fwctl_rpc_start: dev=x",
            "fwctl [000] 1.5: fwctl_rpc_start: dev=x",
            "fwctl-x [000] 1.5: fwctl_rpc_start: dev=x",
            "fwctl-1 [000]: fwctl_rpc_start: dev=x",
            "CPU:1 [LOST 4 EVENTS]",
        ] {
            let event = Event::parse(line);
            assert!(
                event.is_none() || line.starts_with("fwctl-1"),
                "{line}: {event:?}"
            );
        }
    }
}
