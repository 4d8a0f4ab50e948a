// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asks devices for their type, by running `fwctl info` on each.

use crate::children::{self, Ended};
use crate::failure::ErrorRow;
use fwctl::sysfs::Entry;
use serde_json::{json, Value};
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
    /// The call failed: its error, as commands have it in JSON.
    Failed(Value),
    /// There was no answer within the time limit.
    Silent,
}

/// Asks each device; the answers are in the order of the entries.
pub fn probe(entries: &[Entry], limit: Duration) -> Vec<Answer> {
    let ends = children::run(entries, &["info", "-o", "json"], limit);
    ends.into_iter()
        .map(|end| match end {
            Ended::Output(stdout, stderr) => answer(&stdout, &stderr),
            Ended::Failed(error) => failed(error),
            Ended::Silent => Answer::Silent,
        })
        .collect()
}

fn answer(stdout: &str, stderr: &str) -> Answer {
    let info: Value = serde_json::from_str(stdout).unwrap_or_default();
    let text = |key: &str| Some(info[key].as_str()?.to_owned());
    if let Some(device_type) = text("type") {
        return Answer::Info {
            device_type,
            firmware_version: text("firmware_version"),
            serial: text("serial"),
            psid: text("psid"),
        };
    }
    match info["error"]["message"].is_string() {
        true => Answer::Failed(info["error"].clone()),
        false => failed(format!("its process failed: {}", stderr.trim_end())),
    }
}

fn failed(message: String) -> Answer {
    Answer::Failed(json!(ErrorRow::of_text(message)))
}
