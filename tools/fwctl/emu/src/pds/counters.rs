// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters of the device, for the control socket and the report at the end.

use super::codes::{self, Status};
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;

/// Counters since the process started; no reset clears them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Commands by opcode, numbered as in a fault.
    pub commands: BTreeMap<u16, u64>,
    /// Refused commands, by status.
    pub refused: BTreeMap<Status, u64>,
    /// Commands that a reset or a stop of the firmware ended.
    pub cancelled: u64,
    /// Resets: RESET commands, FLR, machine.
    pub resets: u64,
    /// Starts of the firmware after the first.
    pub restarts: u64,
    /// Events in the notify queue.
    pub events: u64,
    /// Doorbells that named no queue, or an entry beyond its end.
    pub bad_doorbells: u64,
    /// Accesses to guest memory that failed, or were attempted without bus mastering.
    pub bad_dma: u64,
}

impl Counters {
    /// Counts one in a map.
    pub fn count<K: Ord>(map: &mut BTreeMap<K, u64>, key: K) {
        *map.entry(key).or_default() += 1;
    }

    /// Number of commands.
    pub fn total(&self) -> u64 {
        self.commands.values().sum()
    }

    /// For the control socket.
    pub fn json(&self) -> Map<String, Value> {
        let commands = self.commands.iter();
        let refused = self.refused.iter();
        let json = [
            (
                "commands",
                commands
                    .map(|(opcode, n)| (codes::name(*opcode), json!(n)))
                    .collect(),
            ),
            (
                "refused",
                refused
                    .map(|(status, n)| (status.to_string(), json!(n)))
                    .collect(),
            ),
            ("total", json!(self.total())),
            ("cancelled", json!(self.cancelled)),
            ("resets", json!(self.resets)),
            ("restarts", json!(self.restarts)),
            ("events", json!(self.events)),
            ("bad_doorbells", json!(self.bad_doorbells)),
            ("bad_dma", json!(self.bad_dma)),
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
        Counters::count(&mut counters.commands, 0x147);
        Counters::count(&mut counters.refused, Status::EINVAL);
        let json = counters.json();
        assert_eq!(json["commands"], json!({"fwctl RPC": 1}));
        assert_eq!(json["refused"], json!({"EINVAL": 1}));
        assert_eq!(json["total"], 1);
    }
}
