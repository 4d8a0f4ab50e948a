// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters for the control socket and the final report.

use super::opcodes;
use crate::counters::{named, total, Counts};
use serde_json::{json, Value};

/// Maximum number of leaks that are recorded individually.
const MAX_LEAKS: usize = 64;

/// Counters since the process started. Resets do not clear them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Commands by opcode.
    pub commands: Counts<u16>,
    /// Register accesses by register.
    pub registers: Counts<u16>,
    /// Refused commands, by status.
    pub refused: Counts<u8>,
    /// Commands from user contexts.
    pub user_commands: u64,
    /// Commands that could not be fetched or answered.
    pub delivery_errors: u64,
    /// Doorbells for slots without a new command.
    pub idle_doorbells: u64,
    /// Doorbells ignored because there is no queue or the health is fatal.
    pub ignored_doorbells: u64,
    /// Commands in flight that a reset cancelled.
    pub cancelled: u64,
    /// Resets of the function: by machine, FLR or firmware.
    pub resets: u64,
    /// Resources that a driver had not released when it shut the function down.
    leaks: Vec<String>,
    leaks_left_out: u64,
    /// Resources that a reset released.
    pub dropped: u64,
}

impl Counters {
    /// Records a leak.
    pub fn leak(&mut self, what: String) {
        if self.leaks.len() < MAX_LEAKS {
            self.leaks.push(what);
        } else {
            self.leaks_left_out += 1;
        }
    }

    /// Returns the recorded leaks.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = self.leaks.clone();
        if self.leaks_left_out > 0 {
            leaks.push(format!("and {} more", self.leaks_left_out));
        }
        leaks
    }

    /// Returns the recorded leaks and clears them.
    pub fn forgive_leaks(&mut self) -> Vec<String> {
        let leaks = self.leaks();
        self.leaks.clear();
        self.leaks_left_out = 0;
        leaks
    }

    /// Number of commands executed.
    pub fn total(&self) -> u64 {
        total(&self.commands)
    }

    /// Returns the counters for the control socket.
    pub fn json(&self) -> Value {
        json!({
            "commands": named(&self.commands, |opcode| opcodes::name(*opcode)),
            "registers": named(&self.registers, |id| format!("{id:#06x}")),
            "refused": named(&self.refused, |status| format!("{status:#04x}")),
            "total": self.total(),
            "user_commands": self.user_commands,
            "delivery_errors": self.delivery_errors,
            "idle_doorbells": self.idle_doorbells,
            "ignored_doorbells": self.ignored_doorbells,
            "cancelled": self.cancelled,
            "resets": self.resets,
            "dropped": self.dropped,
            "leaks": self.leaks(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::count;

    #[test]
    fn leaks_are_bounded() {
        let mut counters = Counters::default();
        for n in 0..100 {
            counters.leak(format!("uid {n}"));
        }
        assert_eq!(counters.leaks().len(), MAX_LEAKS + 1);
        assert_eq!(counters.leaks()[MAX_LEAKS], "and 36 more");
        assert_eq!(counters.forgive_leaks().len(), MAX_LEAKS + 1);
        assert_eq!(counters.leaks(), [""; 0]);
    }

    #[test]
    fn names_in_json() {
        let mut counters = Counters::default();
        count(&mut counters.commands, 0x805);
        count(&mut counters.commands, 0xd00);
        let json = counters.json();
        assert_eq!(json["commands"], json!({"ACCESS_REG": 1, "0x0d00": 1}));
        assert_eq!(json["total"], 2);
    }
}
