// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failures of commands, and their exit statuses.

use fwctl::sysfs::Entry;
use fwctl::{errno_name, errno_text, Error, MaxScope, Operation, Scope};
use serde::Serialize;
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorRow {
    pub message: String,
    pub meaning: Option<&'static str>,
    pub remedy: Option<&'static str>,
    /// Of the kernel's call.
    pub errno: Option<i32>,
    pub errno_name: Option<&'static str>,
    pub firmware_status: Option<u32>,
    pub firmware_status_name: Option<&'static str>,
    pub syndrome: Option<u32>,
}

impl ErrorRow {
    /// An error of which there is only a text.
    pub fn of_text(message: impl Into<String>) -> ErrorRow {
        ErrorRow {
            message: message.into(),
            ..ErrorRow::default()
        }
    }
}

impl From<&Error> for ErrorRow {
    fn from(error: &Error) -> ErrorRow {
        let errno = match error {
            Error::Call { source, .. } | Error::File { source, .. } => source.raw_os_error(),
            _ => None,
        };
        let of_errno = || error.advice().map(|advice| (advice.meaning, advice.remedy));
        let advice = limited(error).or_else(of_errno);
        let status = error.firmware_status();
        ErrorRow {
            message: error.to_string(),
            meaning: advice.map(|(meaning, _)| meaning),
            remedy: advice.map(|(_, remedy)| remedy),
            errno,
            errno_name: errno.and_then(errno_name),
            firmware_status: status.map(|status| status.code),
            firmware_status_name: status.map(|status| status.name),
            syndrome: status.and_then(|status| status.syndrome),
        }
    }
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

/// Advice about a request that the administrator's `max_scope` does not allow.
fn limited(error: &Error) -> Option<(&'static str, &'static str)> {
    let Error::Call {
        device,
        operation: Operation::Rpc { scope, .. },
        source,
    } = error
    else {
        return None;
    };
    let limited = LIMITED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_above = |(name, highest): &(String, MaxScope)| name == device && !highest.allows(*scope);
    let is_refused = errno_name(source.raw_os_error()?) == Some("EPERM");
    (is_refused && limited.iter().any(is_above)).then_some((
        "the administrator does not allow this scope on this device",
        "fwctl info shows the highest one; root can change it in /sys/class/fwctl/*/max_scope",
    ))
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
        Failure::Device(Box::new(ErrorRow::from(&error)))
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
