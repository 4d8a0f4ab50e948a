// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a verb on several devices, all at the same time and with a time limit.
//!
//! Each device gets a separate process of this command. A driver may wait for silent firmware in a
//! sleep that no signal ends, and a process with a thread in such a sleep cannot exit; a child in it
//! can be left behind.

use crate::progress::counted;
use fwctl::sysfs::Entry;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How a child ended.
pub enum Ended {
    /// By itself, with this on stdout and stderr.
    Output(String, String),
    /// It could not be started, or its output not be read.
    Failed(String),
    /// It did not end within the time limit.
    Silent,
}

/// Output of a child: stdout and stderr.
type Output = io::Result<(String, String)>;

/// Runs the command with `args` and the name of each device; the ends are in the order of the
/// entries.
pub fn run(entries: &[Entry], args: &[&str], limit: Duration) -> Vec<Ended> {
    let children: Vec<_> = entries.iter().map(|entry| start(entry, args)).collect();
    let end = Instant::now() + limit;
    let mut ends = Vec::new();
    for child in children {
        ends.push(match child {
            Ok((mut child, output)) => finish(&mut child, &output, end),
            Err(error) => Ended::Failed(format!("cannot start a process: {error}")),
        });
        counted("devices", ends.len(), entries.len());
    }
    ends
}

fn start(entry: &Entry, args: &[&str]) -> io::Result<(Child, Receiver<Output>)> {
    // Not the node: the child looks it up, and checks its number, once more.
    let mut child = Command::new("/proc/self/exe")
        .args(args)
        .arg("--")
        .arg(&entry.name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, receiver) = mpsc::channel();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // One after the other is enough: the child writes less to stderr than a pipe holds before it
    // closes stdout.
    thread::Builder::new().spawn(move || {
        let _ = sender.send(text(stdout).and_then(|out| Ok((out, text(stderr)?))));
    })?;
    Ok((child, receiver))
}

fn text(pipe: Option<impl Read>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn finish(child: &mut Child, output: &Receiver<Output>, end: Instant) -> Ended {
    match output.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(Ok((stdout, stderr))) => {
            // Both pipes are closed, so it is exiting.
            let _ = child.wait();
            Ended::Output(stdout, stderr)
        }
        Ok(Err(error)) => Ended::Failed(format!("cannot read the answer: {error}")),
        Err(_) => {
            // It may not die before the firmware answers, so it is not waited for.
            let _ = child.kill();
            Ended::Silent
        }
    }
}
