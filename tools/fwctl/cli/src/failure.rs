// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failures of commands, and their exit statuses.

use fwctl::sysfs::Entry;
use fwctl::{errno_text, Error, MaxScope, Scope};
use std::io;
use std::sync::{Mutex, PoisonError};

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Exit status 1.
    Failed(String),
    /// The command line is wrong. Exit status 2.
    Usage(String),
    /// A call of the library failed. Exit status 3 if the firmware refused, else 1.
    Device(Box<ErrorRow>),
    /// The firmware refused, and the report has its status. Exit status 3.
    Reported(String),
    /// The outcome is a status, and everything has been printed.
    Status(u8),
    /// The reader of stdout has closed it. Exit status 0.
    ReaderGone,
}

/// An error in JSON, of a command or of one of many things that a command did.
pub use fwctl::snapshot::ErrorReport as ErrorRow;

/// An error of the library, in JSON.
pub fn row(error: &Error) -> ErrorRow {
    let limited = LIMITED.lock().unwrap_or_else(PoisonError::into_inner);
    let highest = match error {
        Error::Call { device, .. } => limited.iter().find(|(name, _)| name == device),
        _ => None,
    };
    ErrorRow::new(error, highest.map(|(_, highest)| *highest))
}

/// Devices that were opened although an administrator does not allow all scopes on them.
static LIMITED: Mutex<Vec<(String, MaxScope)>> = Mutex::new(Vec::new());

/// Notes that a device is opened, for advice about errors.
pub fn opens(entry: &Entry) {
    if let Some(highest) = entry.max_scope {
        if !highest.allows(Scope::DebugWriteFull) {
            let mut limited = LIMITED.lock().unwrap_or_else(PoisonError::into_inner);
            limited.push((entry.name.clone(), highest));
        }
    }
}

impl Failure {
    /// A file that could not be read or written.
    pub fn file(name: &str, error: &io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::ReaderGone;
        }
        Failure::Failed(format!("{name}: {}", errno_text(error)))
    }

    /// The error in JSON, unless a report on stdout has it already.
    pub fn row(&self) -> Option<ErrorRow> {
        match self {
            Failure::Failed(text) | Failure::Usage(text) => Some(ErrorRow::of_text(text)),
            Failure::Device(row) => Some(row.as_ref().clone()),
            Failure::Reported(_) | Failure::Status(_) | Failure::ReaderGone => None,
        }
    }

    /// Returns the exit status, and the message for stderr.
    pub fn outcome(self) -> (u8, Option<String>) {
        match self {
            Failure::Failed(text) => (1, Some(text)),
            Failure::Usage(text) => (2, Some(text)),
            Failure::Device(row) => {
                let status = if row.firmware_status.is_some() { 3 } else { 1 };
                let advice = row.meaning.zip(row.remedy);
                (status, Some(with_advice(row.message, advice)))
            }
            Failure::Reported(text) => (3, Some(text)),
            Failure::Status(status) => (status, None),
            Failure::ReaderGone => (0, None),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Device(Box::new(row(&error)))
    }
}

/// Appends the meaning and the remedy of an error to its text.
pub fn with_advice(text: String, advice: Option<(&str, &str)>) -> String {
    match advice {
        Some((meaning, remedy)) => {
            format!("{text}\n  meaning: {meaning}\n  remedy:  {remedy}")
        }
        None => text,
    }
}
