// SPDX-License-Identifier: MIT OR Apache-2.0

//! The time limit of a command.
//!
//! The library ends the wait for the firmware, but a driver may still wait in a sleep that no
//! signal ends, and a process with a thread in such a sleep cannot exit. So a command with a time
//! limit runs in a child, which can be left behind.

use crate::failure::Failure;
use crate::output::say;
use rustix::process::{set_parent_process_death_signal, Signal};
use std::fs::{self, File};
use std::process::{exit, Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Set for the child.
const CHILD: &str = "FWCTL_LIMITED";

/// Time for a child to print why it ends.
const GRACE: Duration = Duration::from_secs(1);

/// How often to look whether the child has ended: soon at first, as most are quick.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The time limit of this command.
#[derive(Debug)]
pub struct Limit {
    /// When the wait for the firmware ends.
    pub end: Instant,
}

/// Starts the clock. The parent does not return from here: it exits with the status of the child.
/// Nothing must have been read or printed before.
pub fn start(limit: Duration) -> Result<Limit, Failure> {
    let end = Instant::now() + limit;
    if is_child() {
        // If it fails, the child outlives a parent that is killed.
        let _ = set_parent_process_death_signal(Some(Signal::Kill));
        return Ok(Limit { end });
    }
    let child = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(CHILD, "1")
        .spawn();
    match child {
        Ok(child) => exit(wait(child, limit)),
        Err(error) => Err(Failure::Failed(format!(
            "cannot start a process, which --timeout needs: {error}"
        ))),
    }
}

/// Closes stdout and stderr, in a child only: it may not be able to exit, and a reader of its
/// output is to see the end.
pub fn close_output() {
    if let (true, Ok(null)) = (is_child(), File::create("/dev/null")) {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Waits for a child; returns the exit status.
fn wait(mut child: Child, limit: Duration) -> i32 {
    let end = Instant::now() + limit;
    let mut pause = PAUSES.0;
    while Instant::now() < end + GRACE {
        if let Ok(Some(status)) = child.try_wait() {
            return code(status);
        }
        // Every process is in this state for a moment.
        if Instant::now() > end + GRACE / 4 && is_exiting(&child) {
            break;
        }
        sleep(pause);
        pause = (2 * pause).min(PAUSES.1);
    }
    if is_exiting(&child) {
        // It has printed why, and cannot go.
        return 1;
    }
    let _ = child.kill();
    say(&format!(
        "not finished within {} s: the kernel or the driver still holds the command",
        limit.as_secs()
    ));
    1
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Returns whether the first thread of a child has exited, while others have not.
fn is_exiting(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state.unwrap_or_default()
}
