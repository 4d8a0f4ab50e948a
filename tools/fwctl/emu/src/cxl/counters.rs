// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters for the control socket and the final report.

use super::codes::ReturnCode;
use super::opcodes;
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;

/// Counters since the process started. Resets do not clear them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Commands by opcode.
    pub commands: BTreeMap<u16, u64>,
    /// Refused commands, by return code.
    pub refused: BTreeMap<ReturnCode, u64>,
    /// Background operations completed.
    pub backgrounds: u64,
    /// Commands that a reset cancelled.
    pub cancelled: u64,
    /// Resets of the function: by machine, FLR or control socket.
    pub resets: u64,
}

impl Counters {
    /// Increments the counter of a key.
    pub fn count<K: Ord>(map: &mut BTreeMap<K, u64>, key: K) {
        *map.entry(key).or_default() += 1;
    }

    /// Number of commands executed.
    pub fn total(&self) -> u64 {
        self.commands.values().sum()
    }

    /// Returns the counters for the control socket.
    pub fn json(&self) -> Map<String, Value> {
        let commands = self.commands.iter();
        let refused = self.refused.iter();
        let json = [
            (
                "commands",
                commands
                    .map(|(opcode, n)| (opcodes::name(*opcode), json!(n)))
                    .collect(),
            ),
            (
                "refused",
                refused
                    .map(|(code, n)| (code.to_string(), json!(n)))
                    .collect(),
            ),
            ("total", json!(self.total())),
            ("backgrounds", json!(self.backgrounds)),
            ("cancelled", json!(self.cancelled)),
            ("resets", json!(self.resets)),
        ];
        json.into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_json() {
        let mut counters = Counters::default();
        Counters::count(&mut counters.commands, 0x0502);
        Counters::count(&mut counters.commands, 0xd00);
        Counters::count(&mut counters.refused, ReturnCode::INPUT);
        let json = counters.json();
        assert_eq!(json["commands"], json!({"Set Feature": 1, "0x0d00": 1}));
        assert_eq!(json["refused"], json!({"Invalid Input": 1}));
        assert_eq!(json["total"], 2);
    }
}
