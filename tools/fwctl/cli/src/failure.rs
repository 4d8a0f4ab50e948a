// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failures of commands, and their exit statuses.

use fwctl::{errno_text, Advice, Error};
use std::io;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Exit status 1.
    Failed(String),
    /// The command line is wrong. Exit status 2.
    Usage(String),
    /// The firmware refused. Exit status 3.
    Refused(String),
    /// The reader of stdout has closed it. Exit status 0.
    ReaderGone,
}

impl Failure {
    /// A file that could not be read or written.
    pub fn file(name: &str, error: &io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::ReaderGone;
        }
        Failure::Failed(format!("{name}: {}", errno_text(error)))
    }

    /// Returns the exit status, and the message for stderr.
    pub fn outcome(self) -> (u8, Option<String>) {
        match self {
            Failure::Failed(text) => (1, Some(text)),
            Failure::Usage(text) => (2, Some(text)),
            Failure::Refused(text) => (3, Some(text)),
            Failure::ReaderGone => (0, None),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let text = with_advice(error.to_string(), error.advice());
        match error.firmware_status() {
            Some(_) => Failure::Refused(text),
            None => Failure::Failed(text),
        }
    }
}

/// Appends the meaning and the remedy of an error to its text.
pub fn with_advice(text: String, advice: Option<Advice>) -> String {
    match advice {
        Some(Advice {
            meaning, remedy, ..
        }) => {
            format!("{text}\n  meaning: {meaning}\n  remedy:  {remedy}")
        }
        None => text,
    }
}
