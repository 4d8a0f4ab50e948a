// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters for the control socket and the final report.

use super::codes::ReturnCode;
use super::opcodes;
use crate::counters::{named, total, Counts};
use serde_json::{json, Value};

/// Counters since the process started. Resets do not clear them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Commands by opcode.
    pub commands: Counts<u16>,
    /// Refused commands, by return code.
    pub refused: Counts<ReturnCode>,
    /// Background operations completed.
    pub backgrounds: u64,
    /// Commands that a reset cancelled.
    pub cancelled: u64,
    /// Resets of the function: by machine, FLR or control socket.
    pub resets: u64,
}

impl Counters {
    /// Number of commands executed.
    pub fn total(&self) -> u64 {
        total(&self.commands)
    }

    /// Returns the counters for the control socket.
    pub fn json(&self) -> Value {
        json!({
            "commands": named(&self.commands, |opcode| opcodes::name(*opcode)),
            "refused": named(&self.refused, ReturnCode::to_string),
            "total": self.total(),
            "backgrounds": self.backgrounds,
            "cancelled": self.cancelled,
            "resets": self.resets,
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
        count(&mut counters.commands, 0x0502);
        count(&mut counters.commands, 0xd00);
        count(&mut counters.refused, ReturnCode::INPUT);
        let json = counters.json();
        assert_eq!(json["commands"], json!({"Set Feature": 1, "0x0d00": 1}));
        assert_eq!(json["refused"], json!({"Invalid Input": 1}));
        assert_eq!(json["total"], 2);
    }
}
