// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asks devices for their type, by running `fwctl info` on each.

use crate::children::{self, Ended};
use fwctl::sysfs::Entry;
use std::time::Duration;

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
