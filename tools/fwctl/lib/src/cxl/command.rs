// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mailbox commands beyond the Feature commands: which ones the kernel passes, and their logs.

use super::message::Payload;
use crate::{Malformed, Scope, Uuid};
use fwctl_uapi::cxl::{command_flags, reason, CommandEntry, CommandsOut, SCOPE_NEVER};
use std::fmt;

/// First opcode that the specification leaves to vendors (CXL 3.2, section 8.2.10).
pub const FIRST_VENDOR_OPCODE: u16 = 0xc000;

/// A command of a device, as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Command {
    /// Mailbox opcode.
    pub opcode: u16,
    /// What the device says that it does: see [`effect_names`](super::effect_names).
    pub effects: u16,
    /// What the kernel asks of a program that sends it.
    pub policy: CommandPolicy,
}

/// What sending a command requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum CommandPolicy {
    /// This scope or a higher one.
    Scope(Scope),
    /// This scope or a higher one; which, depends on the Feature.
    ByFeature(Scope),
    /// This scope or a higher one; which, depends on the command to another device in the payload.
    ByPayload(Scope),
    /// The kernel sends it in no scope.
    Never(Refusal),
}

impl CommandPolicy {
    /// The least scope in which the kernel sends the command.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], if the kernel sends it in no scope.
    pub const fn least_scope(self) -> Result<Scope, Refusal> {
        match self {
            CommandPolicy::Scope(scope)
            | CommandPolicy::ByFeature(scope)
            | CommandPolicy::ByPayload(scope) => Ok(scope),
            CommandPolicy::Never(refusal) => Err(refusal),
        }
    }

    /// The scope depends on the Feature, and is at least the least scope.
    pub const fn is_by_feature(self) -> bool {
        matches!(self, CommandPolicy::ByFeature(_))
    }

    /// The scope depends on the payload, and is at least the least scope.
    pub const fn is_by_payload(self) -> bool {
        matches!(self, CommandPolicy::ByPayload(_))
    }
}

/// Why the kernel does not let user space send a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Refusal {
    /// The kernel reserves it for itself.
    Kernel,
    /// The kernel does not know it.
    Unknown,
    /// It changes the security state.
    Security,
    /// It continues in the background.
    Background,
    /// It has effects that are reserved.
    Reserved,
    /// A reason that this library does not know.
    Other(u8),
}

impl Refusal {
    const fn of(number: u8) -> Refusal {
        match number {
            reason::KERNEL => Refusal::Kernel,
            reason::UNKNOWN => Refusal::Unknown,
            reason::SECURITY => Refusal::Security,
            reason::BACKGROUND => Refusal::Background,
            reason::RESERVED => Refusal::Reserved,
            other => Refusal::Other(other),
        }
    }

    /// Its name in outputs that programs read.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Kernel => "kernel",
            Refusal::Unknown => "unknown",
            Refusal::Security => "security",
            Refusal::Background => "background",
            Refusal::Reserved => "reserved",
            Refusal::Other(_) => "other",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Kernel => "the kernel reserves this command for itself",
            Refusal::Unknown => "the kernel does not know this command",
            Refusal::Security => "it changes the security state",
            Refusal::Background => "it continues in the background",
            Refusal::Reserved => "it has effects that are reserved",
            Refusal::Other(_) => "the kernel refuses this command",
        })
    }
}

impl Command {
    fn of(entry: CommandEntry) -> Command {
        let scope = match entry.scope {
            SCOPE_NEVER => None,
            number => Scope::from_number(number.into()),
        };
        let policy = match scope {
            Some(scope) if entry.flags & command_flags::BY_FEATURE != 0 => {
                CommandPolicy::ByFeature(scope)
            }
            Some(scope) if entry.flags & command_flags::BY_PAYLOAD != 0 => {
                CommandPolicy::ByPayload(scope)
            }
            Some(scope) => CommandPolicy::Scope(scope),
            None => CommandPolicy::Never(Refusal::of(entry.reason)),
        };
        Command {
            opcode: entry.opcode,
            effects: entry.effects,
            policy,
        }
    }

    /// Its name in the specification, where it has one.
    pub fn name(&self) -> Option<&'static str> {
        command_name(self.opcode)
    }
}

/// Commands with names (CXL 3.2, sections 8.2.10 and 7.6.7), sorted by opcode.
const NAMES: &[(u16, &str)] = &[
    (0x0001, "Identify"),
    (0x0002, "Background Operation Status"),
    (0x0003, "Get Response Message Limit"),
    (0x0004, "Set Response Message Limit"),
    (0x0005, "Request Abort Background Operation"),
    (0x0100, "Get Event Records"),
    (0x0101, "Clear Event Records"),
    (0x0102, "Get Event Interrupt Policy"),
    (0x0103, "Set Event Interrupt Policy"),
    (0x0104, "Get MCTP Event Interrupt Policy"),
    (0x0105, "Set MCTP Event Interrupt Policy"),
    (0x0106, "Event Notification"),
    (0x0200, "Get FW Info"),
    (0x0201, "Transfer FW"),
    (0x0202, "Activate FW"),
    (0x0300, "Get Timestamp"),
    (0x0301, "Set Timestamp"),
    (0x0400, "Get Supported Logs"),
    (0x0401, "Get Log"),
    (0x0402, "Get Log Capabilities"),
    (0x0403, "Clear Log"),
    (0x0404, "Populate Log"),
    (0x0405, "Get Supported Logs Sub-List"),
    (0x0500, "Get Supported Features"),
    (0x0501, "Get Feature"),
    (0x0502, "Set Feature"),
    (0x0600, "Perform Maintenance"),
    (0x4000, "Identify Memory Device"),
    (0x4100, "Get Partition Info"),
    (0x4101, "Set Partition Info"),
    (0x4102, "Get LSA"),
    (0x4103, "Set LSA"),
    (0x4200, "Get Health Info"),
    (0x4201, "Get Alert Configuration"),
    (0x4202, "Set Alert Configuration"),
    (0x4203, "Get Shutdown State"),
    (0x4204, "Set Shutdown State"),
    (0x4300, "Get Poison List"),
    (0x4301, "Inject Poison"),
    (0x4302, "Clear Poison"),
    (0x4303, "Get Scan Media Capabilities"),
    (0x4304, "Scan Media"),
    (0x4305, "Get Scan Media Results"),
    (0x4400, "Sanitize"),
    (0x4401, "Secure Erase"),
    (0x4402, "Media Operations"),
    (0x4500, "Get Security State"),
    (0x4501, "Set Passphrase"),
    (0x4502, "Disable Passphrase"),
    (0x4503, "Unlock"),
    (0x4504, "Freeze Security State"),
    (0x4505, "Passphrase Secure Erase"),
    (0x4600, "Security Send"),
    (0x4601, "Security Receive"),
    (0x4700, "Get SLD QoS Control"),
    (0x4701, "Set SLD QoS Control"),
    (0x4702, "Get SLD QoS Status"),
    (0x4800, "Get Dynamic Capacity Configuration"),
    (0x4801, "Get Dynamic Capacity Extent List"),
    (0x4802, "Add Dynamic Capacity Response"),
    (0x4803, "Release Dynamic Capacity"),
    (0x5100, "Identify Switch Device"),
    (0x5101, "Get Physical Port State"),
    (0x5102, "Physical Port Control"),
    (0x5103, "Send PPB CXL.io Configuration Request"),
    (0x5200, "Get Virtual CXL Switch Info"),
    (0x5201, "Bind vPPB"),
    (0x5202, "Unbind vPPB"),
    (0x5203, "Generate AER Event"),
    (0x5300, "Tunnel Management Command"),
    (0x5301, "Send LD CXL.io Configuration Request"),
    (0x5302, "Send LD CXL.io Memory Request"),
];

/// The name of a command in the specification, where it has one.
pub fn command_name(opcode: u16) -> Option<&'static str> {
    let found = NAMES.binary_search_by_key(&opcode, |(number, _)| *number);
    found.ok().map(|index| NAMES[index].1)
}

/// A log of a device (CXL 3.2, section 8.2.10.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Log {
    /// Its identifier.
    pub uuid: Uuid,
    /// Its size, in bytes.
    pub size: u32,
}

/// Logs with short names (CXL 3.2, section 8.2.10.5.2).
const LOGS: [(&str, Uuid); 4] = [
    (
        "effects",
        Uuid(0x0da9c0b5_bf41_4b78_8f79_96b1623b3f17_u128.to_be_bytes()),
    ),
    (
        "vendor-debug",
        Uuid(0x5e1819d9_11a9_400c_811f_d60719403d86_u128.to_be_bytes()),
    ),
    (
        "component-state-dump",
        Uuid(0xb3fab4cf_01b6_4332_943e_5e9962f23567_u128.to_be_bytes()),
    ),
    (
        "ecs",
        Uuid(0xf1720d60_a7a9_4306_a003_9948b0e78a82_u128.to_be_bytes()),
    ),
];

impl Log {
    /// Its short name, where it has one.
    pub fn name(&self) -> Option<&'static str> {
        let found = LOGS.into_iter().find(|(_, uuid)| *uuid == self.uuid);
        found.map(|(name, _)| name)
    }
}

/// The log with this short name: effects, vendor-debug, component-state-dump or ecs.
pub fn known_log(name: &str) -> Option<Uuid> {
    let found = LOGS.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, uuid)| uuid)
}

/// Every log with a short name.
pub fn known_logs() -> impl Iterator<Item = (&'static str, Uuid)> {
    LOGS.into_iter()
}

/// The commands in the payload of the answer to the query.
pub(super) fn commands(payload: &Payload) -> Result<Vec<Command>, Malformed> {
    let short = Malformed::Short {
        part: "list of commands",
        needed: CommandsOut::LEN,
        got: payload.0.len(),
    };
    let (head, entries) = CommandsOut::split_from(&payload.0).ok_or(short)?;
    if entries.len() as u64 != u64::from(head.num_commands) * CommandEntry::LEN as u64 {
        return Err(Malformed::Count {
            part: "commands",
            count: head.num_commands as usize,
            got: entries.len(),
        });
    }
    let entries = entries
        .chunks_exact(CommandEntry::LEN)
        .filter_map(CommandEntry::split_from);
    Ok(entries.map(|(entry, _)| Command::of(entry)).collect())
}

/// The logs in the output payload of Get Supported Logs.
pub(super) fn logs(payload: &[u8]) -> Result<Vec<Log>, Malformed> {
    const HEAD: usize = 8;
    const ENTRY: usize = 20;
    let short = |needed| Malformed::Short {
        part: "list of logs",
        needed,
        got: payload.len(),
    };
    let (head, entries) = payload.split_at_checked(HEAD).ok_or(short(HEAD))?;
    let count = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let needed = HEAD + count * ENTRY;
    let entries = entries.get(..count * ENTRY).ok_or(short(needed))?;
    let log = |entry: &[u8]| {
        let (uuid, size) = entry.split_at(16);
        Log {
            uuid: Uuid(uuid.try_into().unwrap_or_default()),
            size: u32::from_le_bytes(size.try_into().unwrap_or_default()),
        }
    };
    Ok(entries.chunks_exact(ENTRY).map(log).collect())
}

/// Input payload of Get Log (CXL 3.2, section 8.2.10.5.2).
pub(super) fn get_log(uuid: Uuid, offset: u32, length: u32) -> Vec<u8> {
    [&uuid.0[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(command_name(0x0404), Some("Populate Log"));
        assert_eq!(command_name(0xc000), None);
    }

    fn list(count: u32, entries: &[CommandEntry]) -> Payload {
        let head = CommandsOut {
            num_commands: count,
            reserved: 0,
        };
        let mut bytes = head.to_bytes().to_vec();
        bytes.extend(entries.iter().flat_map(|entry| entry.to_bytes()));
        Payload(bytes)
    }

    // struct fwctl_cxl_command, include/uapi/fwctl/cxl.h.
    #[test]
    fn commands_are_read_field_by_field() {
        let entry = |opcode, scope, reason, flags| CommandEntry {
            opcode,
            effects: 0x0e01,
            scope,
            reason,
            flags,
        };
        let entries = [
            entry(0x0502, 2, 0, 1),
            entry(0xc000, 1, 0, 0),
            entry(0xc001, 0xff, 4, 0),
            entry(0xc002, 0xff, 77, 0),
            entry(0xc003, 9, 0, 0),
            entry(0x5300, 0, 0, 2),
            // A flag of a newer kernel.
            entry(0xc004, 1, 0, 4),
        ];
        let read = commands(&list(7, &entries)).unwrap();
        let policies: Vec<_> = read.iter().map(|command| command.policy).collect();
        assert_eq!(
            policies,
            [
                CommandPolicy::ByFeature(Scope::DebugWrite),
                CommandPolicy::Scope(Scope::DebugReadOnly),
                CommandPolicy::Never(Refusal::Background),
                CommandPolicy::Never(Refusal::Other(77)),
                CommandPolicy::Never(Refusal::Other(0)),
                CommandPolicy::ByPayload(Scope::Configuration),
                CommandPolicy::Scope(Scope::DebugReadOnly),
            ]
        );
        let least: Vec<_> = policies.iter().map(|policy| policy.least_scope()).collect();
        assert_eq!(least[0], Ok(Scope::DebugWrite));
        assert_eq!(least[2], Err(Refusal::Background));
        assert_eq!(least[5], Ok(Scope::Configuration));
        assert!(policies[0].is_by_feature() && !policies[0].is_by_payload());
        assert!(policies[5].is_by_payload() && !policies[5].is_by_feature());
        assert_eq!(
            (read[0].name(), read[0].effects),
            (Some("Set Feature"), 0x0e01)
        );
        assert!(commands(&list(4, &entries)).is_err());
        assert!(commands(&list(u32::MAX, &entries)).is_err());
        assert!(commands(&Payload(vec![0; 7])).is_err());
    }

    // CXL 3.2, section 8.2.10.5.1.
    #[test]
    fn lists_of_logs() {
        let uuid = known_log("vendor-debug").unwrap();
        let list = [&[1, 0, 0, 0, 0, 0, 0, 0], &uuid.0[..], &[0, 8, 0, 0]].concat();
        let read = logs(&list).unwrap();
        assert_eq!(read, [Log { uuid, size: 2048 }]);
        assert_eq!(read[0].name(), Some("vendor-debug"));
        assert!(logs(&list[..27]).is_err());
        assert!(logs(&[1; 7]).is_err());
        assert_eq!(get_log(uuid, 0x102, 3)[16..], [2, 1, 0, 0, 3, 0, 0, 0]);
    }
}
