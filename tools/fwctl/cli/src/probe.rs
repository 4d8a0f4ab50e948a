// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asks devices for their type, all at the same time and with a time limit.
//!
//! Each is asked by a separate process, which runs `fwctl info`. A driver may wait for silent
//! firmware in a sleep that no signal ends, and a process with a thread in such a sleep cannot
//! exit; a child in it can be left behind.

use crate::progress::counted;
use fwctl::sysfs::Entry;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// What came of asking a device.
pub enum Answer {
    /// Its type.
    Type(String),
    /// The call failed.
    Failed {
        /// The error, on one line.
        error: String,
        /// The lines with its meaning and remedy, if it has any.
        advice: String,
    },
    /// There was no answer within the time limit.
    Silent,
}

/// Output of a child: stdout and stderr.
type Output = io::Result<(String, String)>;

/// Asks each device; the answers are in the order of the entries.
pub fn probe(entries: &[Entry], limit: Duration) -> Vec<Answer> {
    let children: Vec<_> = entries.iter().map(start).collect();
    let end = Instant::now() + limit;
    let mut answers = Vec::new();
    for child in children {
        answers.push(match child {
            Ok((mut child, output)) => finish(&mut child, &output, end),
            Err(error) => failed(&format!("cannot start a process: {error}")),
        });
        counted("devices", answers.len(), entries.len());
    }
    answers
}

fn start(entry: &Entry) -> io::Result<(Child, Receiver<Output>)> {
    // Not the node: info looks it up, and checks its number, once more.
    let mut child = Command::new("/proc/self/exe")
        .args(["info", "-o", "json", "--"])
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

fn finish(child: &mut Child, output: &Receiver<Output>, end: Instant) -> Answer {
    match output.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(Ok((stdout, stderr))) => {
            // Both pipes are closed, so it is exiting.
            let _ = child.wait();
            answer(&stdout, &stderr)
        }
        Ok(Err(error)) => failed(&format!("cannot read the answer: {error}")),
        Err(_) => {
            // It may not die before the firmware answers, so it is not waited for.
            let _ = child.kill();
            Answer::Silent
        }
    }
}

fn answer(stdout: &str, stderr: &str) -> Answer {
    let info: Option<serde_json::Value> = serde_json::from_str(stdout).ok();
    if let Some(device_type) = info.as_ref().and_then(|info| info["type"].as_str()) {
        return Answer::Type(device_type.into());
    }
    failed(stderr.trim_end())
}

fn failed(text: &str) -> Answer {
    let text = text.strip_prefix("fwctl: ").unwrap_or(text);
    let (error, advice) = text.split_once('\n').unwrap_or((text, ""));
    Answer::Failed {
        error: error.into(),
        advice: advice.into(),
    }
}
