// SPDX-License-Identifier: MIT OR Apache-2.0

//! The supported commands and their effects (8.2.10).

use super::vendor;

/// Background Operation Status (8.2.10.1.2).
pub const BACKGROUND_STATUS: u16 = 0x0002;
/// Get Event Records (8.2.10.2.2).
pub const GET_EVENT_RECORDS: u16 = 0x0100;
/// Clear Event Records (8.2.10.2.3).
pub const CLEAR_EVENT_RECORDS: u16 = 0x0101;
/// Get Event Interrupt Policy (8.2.10.2.4).
pub const GET_EVENT_INTERRUPT_POLICY: u16 = 0x0102;
/// Set Event Interrupt Policy (8.2.10.2.5).
pub const SET_EVENT_INTERRUPT_POLICY: u16 = 0x0103;
/// Get Timestamp (8.2.10.4.1).
pub const GET_TIMESTAMP: u16 = 0x0300;
/// Set Timestamp (8.2.10.4.2).
pub const SET_TIMESTAMP: u16 = 0x0301;
/// Get Supported Logs (8.2.10.5.1).
pub const GET_SUPPORTED_LOGS: u16 = 0x0400;
/// Get Log (8.2.10.5.2).
pub const GET_LOG: u16 = 0x0401;
/// Get Log Capabilities (8.2.10.5.3).
pub const GET_LOG_CAPABILITIES: u16 = 0x0402;
/// Populate Log (8.2.10.5.5).
pub const POPULATE_LOG: u16 = 0x0404;
/// Get Supported Features (8.2.10.6.1).
pub const GET_SUPPORTED_FEATURES: u16 = 0x0500;
/// Get Feature (8.2.10.6.2).
pub const GET_FEATURE: u16 = 0x0501;
/// Set Feature (8.2.10.6.3).
pub const SET_FEATURE: u16 = 0x0502;
/// Identify Memory Device (8.2.10.9.1.1).
pub const IDENTIFY_MEMORY_DEVICE: u16 = 0x4000;
/// Get Partition Info (8.2.10.9.2.1).
pub const GET_PARTITION_INFO: u16 = 0x4100;
/// Get Health Info (8.2.10.9.3.1).
pub const GET_HEALTH_INFO: u16 = 0x4200;

/// Effects of a command (8.2.10.5.2.1) and of a Set Feature (8.2.10.6.1).
pub mod effect {
    /// Configuration change after cold reset.
    pub const CONFIGURATION_COLD_RESET: u16 = 1 << 0;
    /// Immediate configuration change.
    pub const IMMEDIATE_CONFIGURATION: u16 = 1 << 1;
    /// Immediate data change.
    pub const IMMEDIATE_DATA: u16 = 1 << 2;
    /// Immediate policy change.
    pub const IMMEDIATE_POLICY: u16 = 1 << 3;
    /// Immediate log change.
    pub const IMMEDIATE_LOG: u16 = 1 << 4;
    /// Security state change.
    pub const SECURITY_STATE: u16 = 1 << 5;
    /// Background operation.
    pub const BACKGROUND: u16 = 1 << 6;
    /// Supported by the secondary mailbox.
    pub const SECONDARY_MAILBOX: u16 = 1 << 7;
    /// The background operation can be aborted.
    pub const BACKGROUND_ABORT: u16 = 1 << 8;
    /// The next two bits are valid.
    pub const RESETS_ARE_VALID: u16 = 1 << 9;
    /// Configuration change after conventional reset.
    pub const CONFIGURATION_CONVENTIONAL_RESET: u16 = 1 << 10;
    /// Configuration change after CXL reset.
    pub const CONFIGURATION_CXL_RESET: u16 = 1 << 11;
    /// Any immediate change.
    pub const IMMEDIATE: u16 = IMMEDIATE_CONFIGURATION
        | IMMEDIATE_DATA
        | IMMEDIATE_POLICY
        | IMMEDIATE_LOG
        | SECURITY_STATE;
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// The opcode.
    pub opcode: u16,
    /// Name, for people.
    pub name: &'static str,
    /// [`effect`].
    pub effects: u16,
}

const fn command(opcode: u16, name: &'static str, effects: u16) -> Command {
    Command {
        opcode,
        name,
        effects,
    }
}

/// The commands that the specification defines, sorted by opcode, as in the Command Effects Log. Those
/// of [`vendor`] follow.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    command(BACKGROUND_STATUS, "Background Operation Status", 0),
    command(GET_EVENT_RECORDS, "Get Event Records", 0),
    command(CLEAR_EVENT_RECORDS, "Clear Event Records", effect::IMMEDIATE_LOG),
    command(GET_EVENT_INTERRUPT_POLICY, "Get Event Interrupt Policy", 0),
    command(SET_EVENT_INTERRUPT_POLICY, "Set Event Interrupt Policy", effect::IMMEDIATE_POLICY),
    command(GET_TIMESTAMP, "Get Timestamp", 0),
    command(SET_TIMESTAMP, "Set Timestamp", effect::IMMEDIATE_POLICY),
    command(GET_SUPPORTED_LOGS, "Get Supported Logs", 0),
    command(GET_LOG, "Get Log", 0),
    command(GET_LOG_CAPABILITIES, "Get Log Capabilities", 0),
    command(POPULATE_LOG, "Populate Log", effect::IMMEDIATE_LOG),
    command(GET_SUPPORTED_FEATURES, "Get Supported Features", 0),
    command(GET_FEATURE, "Get Feature", 0),
    command(SET_FEATURE, "Set Feature",
            effect::CONFIGURATION_COLD_RESET | effect::IMMEDIATE | effect::BACKGROUND
            | effect::RESETS_ARE_VALID | effect::CONFIGURATION_CONVENTIONAL_RESET | effect::CONFIGURATION_CXL_RESET),
    command(IDENTIFY_MEMORY_DEVICE, "Identify Memory Device", 0),
    command(GET_PARTITION_INFO, "Get Partition Info", 0),
    command(GET_HEALTH_INFO, "Get Health Info", 0),
];

/// The commands that a device supports.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Whether it supports Features.
    pub has_features: bool,
    /// Whether it supports Set Feature, if it supports Features.
    pub has_set: bool,
    /// Whether it has vendor commands and the vendor debug log.
    pub has_vendor: bool,
    /// Whether it has a vendor command for every combination of effects, if it has any.
    pub has_all_effects: bool,
}

impl Offer {
    /// Returns whether the device supports the command.
    pub fn has(&self, opcode: u16) -> bool {
        match opcode {
            GET_SUPPORTED_FEATURES | GET_FEATURE => self.has_features,
            SET_FEATURE => self.has_features && self.has_set,
            GET_LOG_CAPABILITIES | POPULATE_LOG => self.has_vendor,
            VENDOR.. => self.vendor().any(|command| command.opcode == opcode),
            _ => true,
        }
    }

    /// Returns the commands, sorted by opcode, as in the Command Effects Log.
    pub fn commands(self) -> impl Iterator<Item = Command> {
        let specified = COMMANDS.iter().copied();
        specified
            .filter(move |command| self.has(command.opcode))
            .chain(self.vendor())
    }

    fn vendor(&self) -> impl Iterator<Item = Command> {
        vendor::commands(self.has_all_effects).take(match self.has_vendor {
            true => usize::MAX,
            false => 0,
        })
    }
}

/// First opcode of vendor commands.
pub const VENDOR: u16 = 0xc000;

/// Returns the name of a command, for people.
pub fn name(opcode: u16) -> String {
    let specified = COMMANDS.iter().find(|command| command.opcode == opcode);
    specified
        .map(|command| command.name)
        .or_else(|| vendor::name(opcode))
        .map_or_else(|| format!("{opcode:#06x}"), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_named() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.opcode < b.opcode));
        assert_eq!(name(0x0502), "Set Feature");
        assert_eq!(name(0xc000), "Vendor Echo");
        assert_eq!(name(0x4400), "0x4400");
    }

    #[test]
    fn offers() {
        let offer = |has_features, has_set, has_vendor, has_all_effects| Offer {
            has_features,
            has_set,
            has_vendor,
            has_all_effects,
        };
        let count = |offer: Offer| offer.commands().count();
        let vendor = vendor::commands(false).count();
        let all = offer(true, true, true, true);
        assert_eq!(
            count(offer(true, true, true, false)),
            COMMANDS.len() + vendor
        );
        assert_eq!(count(all), COMMANDS.len() + vendor + 4096);
        assert_eq!(count(offer(true, true, false, true)), COMMANDS.len() - 2);
        assert_eq!(count(offer(true, false, false, false)), COMMANDS.len() - 3);
        assert_eq!(count(offer(false, true, false, false)), COMMANDS.len() - 5);
        assert!(all.commands().is_sorted_by(|a, b| a.opcode < b.opcode));
        assert!(all.has(0xd123) && !offer(true, true, true, false).has(0xd123));
        assert!(!all.has(0xc0ff) && !offer(true, true, false, false).has(0xc000));
    }
}
