// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far a long command is: a line on stderr, if that is a terminal, which the next output replaces.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Counts that are worth a line.
const MANY: usize = 16;

/// One of many things is done.
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

/// Something that may take long is under way, until this is dropped. From the second second on, it says so.
pub struct Waiting {
    end: Option<Sender<()>>,
    clock: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Nothing without a terminal.
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
        // The clock sees its sender go, and the line is gone before anything else is printed.
        self.end = None;
        if let Some(clock) = self.clock.take() {
            let _ = clock.join();
        }
    }
}

fn show(text: &str) {
    let _ = write!(io::stderr(), "\r{text}\x1b[K");
}

fn clear() {
    let _ = write!(io::stderr(), "\r\x1b[K");
}
