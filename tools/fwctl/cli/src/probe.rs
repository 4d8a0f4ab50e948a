// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asks devices for their type, by running `fwctl info` on each.

use crate::children::{self, Ended};
use fwctl::sysfs::Entry;
use std::time::Duration;

/// What came of asking a device.
pub enum Answer {
    /// It answered.
    Info {
        /// Its type.
        device_type: String,
        /// Version of its firmware.
        firmware_version: Option<String>,
        /// Serial number.
        serial: Option<String>,
        /// Identifier of the board of a ConnectX.
        psid: Option<String>,
    },
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

/// Asks each device; the answers are in the order of the entries.
pub fn probe(entries: &[Entry], limit: Duration) -> Vec<Answer> {
    let ends = children::run(entries, &["info", "-o", "json"], limit);
    ends.into_iter()
        .map(|end| match end {
            Ended::Output(stdout, stderr) => answer(&stdout, &stderr),
            Ended::Failed(error) => failed(&error),
            Ended::Silent => Answer::Silent,
        })
        .collect()
}

fn answer(stdout: &str, stderr: &str) -> Answer {
    let info: Option<serde_json::Value> = serde_json::from_str(stdout).ok();
    let text = |key: &str| Some(info.as_ref()?[key].as_str()?.to_owned());
    if let Some(device_type) = text("type") {
        return Answer::Info {
            device_type,
            firmware_version: text("firmware_version"),
            serial: text("serial"),
            psid: text("psid"),
        };
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
