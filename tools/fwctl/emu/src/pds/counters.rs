// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters of the device, for the control socket and the report at the end.

use super::codes::{self, Status};
use crate::counters::{named, total, Counts};
use serde_json::{json, Value};

/// Counters since the process started; no reset clears them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Commands by opcode, numbered as in a fault.
    pub commands: Counts<u16>,
    /// Refused commands, by status.
    pub refused: Counts<Status>,
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
    /// RPCs with a request or a response at address 0.
    pub null_buffers: u64,
    /// Accesses to guest memory that failed, or were attempted without bus mastering.
    pub bad_dma: u64,
}

impl Counters {
    /// Number of commands.
    pub fn total(&self) -> u64 {
        total(&self.commands)
    }

    /// For the control socket.
    pub fn json(&self) -> Value {
        json!({
            "commands": named(&self.commands, |opcode| codes::name(*opcode)),
            "refused": named(&self.refused, Status::to_string),
            "total": self.total(),
            "cancelled": self.cancelled,
            "resets": self.resets,
            "restarts": self.restarts,
            "events": self.events,
            "bad_doorbells": self.bad_doorbells,
            "null_buffers": self.null_buffers,
            "bad_dma": self.bad_dma,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::count;

    #[test]
    fn names_in_json() {
        let mut counters = Counters::default();
        count(&mut counters.commands, 0x147);
        count(&mut counters.refused, Status::EINVAL);
        let json = counters.json();
        assert_eq!(json["commands"], json!({"fwctl RPC": 1}));
        assert_eq!(json["refused"], json!({"EINVAL": 1}));
        assert_eq!(json["total"], 1);
    }
}
