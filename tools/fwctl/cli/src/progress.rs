// SPDX-License-Identifier: MIT OR Apache-2.0

//! Progress of long commands: a line on stderr, if that is a terminal, which the next output
//! replaces.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Smaller counts are not shown.
const MANY: usize = 16;

/// Shows how many of `all` are done.
pub fn counted(what: &str, done: usize, all: usize) {
    if all <= MANY || !io::stderr().is_terminal() {
        return;
    }
    if done < all {
        show(&format!("{what}: {done} of {all}"));
    } else {
        clear();
    }
}

/// Shows how many are done, of a number that is not known.
pub fn count(name: &str, what: &str, done: usize) {
    if done > MANY && done % MANY == 0 && io::stderr().is_terminal() {
        show(&format!("{name}: {what}: {done}"));
    }
}

/// Shows that something takes long, from its second second until this is dropped.
pub struct Waiting {
    end: Option<Sender<()>>,
    clock: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Returns none if stderr is not a terminal.
    pub fn start(what: String) -> Option<Waiting> {
        const SECOND: Duration = Duration::from_secs(1);
        if !io::stderr().is_terminal() {
            return None;
        }
        let (end, ended) = mpsc::channel();
        let clock = thread::Builder::new().spawn(move || {
            let mut seconds = 0;
            while ended.recv_timeout(SECOND) == Err(RecvTimeoutError::Timeout) {
                seconds += 1;
                show(&format!("{what}: {seconds} s"));
            }
            if seconds > 0 {
                clear();
            }
        });
        Some(Waiting {
            end: Some(end),
            clock: clock.ok(),
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Dropping the sender ends the clock, which removes the line before anything else is
        // printed.
        self.end = None;
        if let Some(clock) = self.clock.take() {
            let _ = clock.join();
        }
    }
}

fn show(text: &str) {
    let _ = write!(io::stderr(), "\r{text}\x1b[K");
}

/// Removes the line.
pub fn clear() {
    if !io::stderr().is_terminal() {
        return;
    }
    let _ = write!(io::stderr(), "\r\x1b[K");
}
