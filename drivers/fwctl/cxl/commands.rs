// SPDX-License-Identifier: GPL-2.0-only

//! Policy: the scope that a command requires, and the commands of a device.
//!
//! The specification leaves opcodes from [`VENDOR`] on to vendors. The Command Effects Log tells
//! what such a command changes, and [`by_effects`] maps that to a scope. Of the commands that the
//! specification defines, [`SPECIFIED`] lists those that user space may send, and those that the
//! kernel reserves for itself. All others are refused: the kernel may use them one day. [`FABRIC`]
//! is the same for the commands that only a switch has.

use core::{
    cmp::Ordering,
    ops::RangeInclusive, //
};

use fwctl::RpcScope;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

use crate::{
    policy,
    wire::{
        CelEntry,
        CommandEntry,
        GetFeatureIn,
        GetSupportedIn,
        SetFeatureIn,
        TunnelIn, //
    },
};

/// The first opcode that the specification leaves to vendors, section 8.2.10.
const VENDOR: u16 = 0xc000;

/// What a device is, which decides what its opcodes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A memory device.
    Memory,
    /// A switch.
    Switch,
}

/// Why no scope allows a command, `enum fwctl_cxl_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// The kernel reserves the command for itself.
    Kernel = 1,
    /// Neither the kernel nor this driver knows the command.
    Unknown = 2,
    /// The command changes the security state: who may read and erase the memory.
    Security = 3,
    /// The command continued in the background although its effects do not say so.
    Background = 4,
    /// The command has effects that the specification reserves.
    Reserved = 5,
}

/// What the policy decides on a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Requires at least this scope.
    Needs(RpcScope),
    /// A Feature command, which has separate code: requires at least this scope.
    Feature(RpcScope),
    /// A command to another device in the payload: requires at least this scope, see [`tunnelled`].
    Tunnel(RpcScope),
    /// Refused in all scopes.
    Never(Reason),
}

/// A rule on commands that the specification defines.
#[derive(Clone, Copy)]
enum Rule {
    /// Requires at least this scope, or a higher one if its effects do.
    Scope(RpcScope),
    /// The same, for a command to another device, which [`tunnelled`] decides on, too.
    Tunnel(RpcScope),
    /// Refused in all scopes.
    Kernel,
}

/// Rules by opcode, in ascending order.
type Rules = [(RangeInclusive<u16>, Rule)];

/// The rules on commands that the specification defines, by opcode, CXL specification 3.2, section
/// 8.2.10, in ascending order. Commands that are not listed are refused.
const SPECIFIED: &Rules = {
    use RpcScope::*;
    use Rule::*;

    &[
        // Identify, Background Operation Status, Get Response Message Limit.
        (0x0001..=0x0003, Scope(Configuration)),
        // Set Response Message Limit limits the kernel's own commands. Request Abort Background
        // Operation ends those of the kernel.
        (0x0004..=0x0005, Kernel),
        // Get Event Records, Clear Event Records: the kernel reads events, and reports them.
        (0x0100..=0x0101, Kernel),
        // Get Event Interrupt Policy.
        (0x0102..=0x0102, Scope(Configuration)),
        // Set Event Interrupt Policy: the kernel would miss events.
        (0x0103..=0x0103, Kernel),
        // Get MCTP Event Interrupt Policy.
        (0x0104..=0x0104, Scope(Configuration)),
        // Set MCTP Event Interrupt Policy, Event Notification.
        (0x0105..=0x0106, Kernel),
        // Get FW Info.
        (0x0200..=0x0200, Scope(Configuration)),
        // Transfer FW, Activate FW: the kernel's firmware loader.
        (0x0201..=0x0202, Kernel),
        // Get Timestamp.
        (0x0300..=0x0300, Scope(Configuration)),
        // Set Timestamp: set by the kernel.
        (0x0301..=0x0301, Kernel),
        // Get Supported Logs.
        (0x0400..=0x0400, Scope(Configuration)),
        // Get Log: may be the vendor debug log.
        (0x0401..=0x0401, Scope(DebugReadOnly)),
        // Get Log Capabilities.
        (0x0402..=0x0402, Scope(Configuration)),
        // Clear Log: the memdev passes it for the log for which it is harmless.
        (0x0403..=0x0403, Kernel),
        // Populate Log: an immediate log change, whatever the device claims.
        (0x0404..=0x0404, Scope(DebugWriteFull)),
        // Get Supported Logs Sub-List.
        (0x0405..=0x0405, Scope(Configuration)),
        // Perform Maintenance: EDAC repairs memory.
        (0x0600..=0x0600, Kernel),
        // Identify Memory Device.
        (0x4000..=0x4000, Scope(Configuration)),
        // Get Partition Info.
        (0x4100..=0x4100, Scope(Configuration)),
        // Set Partition Info, Get LSA, Set LSA: regions and namespaces.
        (0x4101..=0x4103, Kernel),
        // Get Health Info, Get Alert Configuration.
        (0x4200..=0x4201, Scope(Configuration)),
        // Set Alert Configuration: the memdev passes it.
        (0x4202..=0x4202, Kernel),
        // Get Shutdown State.
        (0x4203..=0x4203, Scope(Configuration)),
        // Set Shutdown State: only the kernel knows whether it is true.
        (0x4204..=0x4204, Kernel),
        // Poison and media scans, sanitize and media operations, security of persistent memory,
        // security passthrough.
        (0x4300..=0x46ff, Kernel),
        // Get SLD QoS Control.
        (0x4700..=0x4700, Scope(Configuration)),
        // Set SLD QoS Control: an immediate policy change, whatever the device claims.
        (0x4701..=0x4701, Scope(DebugWriteFull)),
        // Get SLD QoS Status.
        (0x4702..=0x4702, Scope(Configuration)),
        // Dynamic capacity: the kernel accepts and releases extents.
        (0x4800..=0x48ff, Kernel),
    ]
};

/// The rules on commands that only a switch has, sections 7.6.7.1 to 7.6.7.3.
///
/// A host that manages a switch can take devices away from itself and from other hosts, and access
/// their configuration space and memory. The kernel leaves that to a fabric manager outside.
const FABRIC: &Rules = {
    use RpcScope::*;
    use Rule::*;

    &[
        // Identify Switch Device, Get Physical Port State.
        (0x5100..=0x5101, Scope(Configuration)),
        // Physical Port Control resets a port under the driver of the device behind it. Send PPB
        // CXL.io Configuration Request writes to configuration space.
        (0x5102..=0x5103, Kernel),
        // Get Virtual CXL Switch Info.
        (0x5200..=0x5200, Scope(Configuration)),
        // Bind vPPB and Unbind vPPB plug and unplug devices. Generate AER Event forges errors.
        (0x5201..=0x5203, Kernel),
        // Tunnel Management Command.
        (0x5300..=0x5300, Tunnel(Configuration)),
        // Send LD CXL.io Configuration Request and Memory Request: access to configuration space
        // and memory.
        (0x5301..=0x5302, Kernel),
    ]
};

/// The effect bit of a change of the security state.
const SECURITY_STATE: u16 = 1 << 5;

/// The effect bit of a background operation.
const BACKGROUND: u16 = 1 << 6;

/// The effect bits that the specification reserves.
const RESERVED: u16 = 0xf000;

/// Decides by the effects of a command that requires at least `scope`.
///
/// A command without effects only reads. The device may lie, but then a program can do no more than
/// the vendor has put into a command that claims to be harmless.
///
/// A background operation requires the highest scope, whatever it does: the device executes one at
/// a time and meanwhile rejects those of the kernel.
fn by_effects(scope: RpcScope, effects: u16) -> Verdict {
    if effects & SECURITY_STATE != 0 {
        return Verdict::Never(Reason::Security);
    }
    if effects & RESERVED != 0 {
        return Verdict::Never(Reason::Reserved);
    }
    if effects & BACKGROUND != 0 {
        return Verdict::Needs(RpcScope::DebugWriteFull);
    }

    // `None` if it changes nothing, as those that are refused were handled above.
    match policy::needed_scope(effects) {
        Some(needed) => Verdict::Needs(needed.max(scope)),
        None => Verdict::Needs(scope),
    }
}

/// Finds the rule on an opcode.
fn rule(rules: &Rules, opcode: u16) -> Option<Rule> {
    let found = rules.binary_search_by(|(range, _)| {
        if *range.end() < opcode {
            Ordering::Less
        } else if *range.start() > opcode {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    });

    let (_, rule) = rules.get(found.ok()?)?;
    Some(*rule)
}

/// Decides on a command to another device, in the input of a Tunnel Management Command.
///
/// Returns the scope that it requires. Nobody has read the Command Effects Log of that device, and
/// another host may be using it. So this allows only what the specification defines to be a query,
/// which vendor commands and another tunnel are not.
///
/// Fails with [`EINVAL`] if the input is malformed or the opcode is unknown, and with [`EPERM`] if
/// it is refused in every scope.
fn tunnelled(input: &[u8]) -> Result<RpcScope> {
    let opcode = TunnelIn::parse(input)?.opcode();

    if opcode >= VENDOR || rule(FABRIC, opcode).is_some() {
        return Err(EPERM);
    }
    match rule(SPECIFIED, opcode) {
        Some(Rule::Scope(scope)) if scope <= RpcScope::DebugReadOnly => Ok(scope),
        Some(_) => Err(EPERM),
        None => Err(EINVAL),
    }
}

/// Decides on a command with these effects.
fn verdict(kind: Kind, opcode: u16, effects: u16) -> Verdict {
    if opcode >= VENDOR {
        return by_effects(RpcScope::DebugReadOnly, effects);
    }

    match u32::from(opcode) {
        GetSupportedIn::OPCODE | GetFeatureIn::OPCODE => {
            return Verdict::Feature(RpcScope::Configuration);
        }
        // The effects are those of all Features together; `policy.rs` decides by those of one.
        SetFeatureIn::OPCODE => return Verdict::Feature(RpcScope::DebugWrite),
        _ => {}
    }

    let fabric = match kind {
        Kind::Memory => None,
        Kind::Switch => rule(FABRIC, opcode),
    };
    match fabric.or_else(|| rule(SPECIFIED, opcode)) {
        Some(Rule::Scope(scope)) => by_effects(scope, effects),
        Some(Rule::Tunnel(scope)) => match by_effects(scope, effects) {
            Verdict::Needs(scope) => Verdict::Tunnel(scope),
            verdict => verdict,
        },
        Some(Rule::Kernel) => Verdict::Never(Reason::Kernel),
        None => Verdict::Never(Reason::Unknown),
    }
}

/// Checks whether an RPC of `scope` may send a command on which the policy decides `verdict`.
///
/// `is_listed` tells whether the Command Effects Log lists the command, and `input` is its payload.
///
/// Fails with [`EPERM`] if the policy refuses the command in every scope, and with [`EINVAL`] if it
/// is unknown, not listed, a Feature command, or requires a higher scope. Fails like [`tunnelled`]
/// for the command in a tunnel.
fn check(verdict: Verdict, is_listed: bool, input: &[u8], scope: RpcScope) -> Result {
    let needed = match verdict {
        Verdict::Never(Reason::Unknown) | Verdict::Feature(_) => return Err(EINVAL),
        Verdict::Never(_) => return Err(EPERM),
        Verdict::Needs(needed) => needed,
        Verdict::Tunnel(needed) => needed.max(tunnelled(input)?),
    };

    if is_listed && scope >= needed {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// A command of the device.
pub(crate) struct Command {
    opcode: u16,
    effects: u16,
    /// Whether it continued in the background although its effects do not say so.
    has_lied: Atomic<bool>,
}

impl Command {
    fn verdict(&self, kind: Kind) -> Verdict {
        match verdict(kind, self.opcode, self.effects) {
            Verdict::Needs(_) | Verdict::Tunnel(_) if self.has_lied.load(Relaxed) => {
                Verdict::Never(Reason::Background)
            }
            verdict => verdict,
        }
    }

    /// Returns what user space is told about the command.
    ///
    /// `passes_feature` tells whether the driver passes a Feature command of the device.
    pub(crate) fn entry(&self, kind: Kind, passes_feature: impl Fn(u16) -> bool) -> CommandEntry {
        let verdict = match self.verdict(kind) {
            Verdict::Feature(_) if !passes_feature(self.opcode) => Verdict::Never(Reason::Unknown),
            verdict => verdict,
        };
        let (scope, reason) = match verdict {
            Verdict::Needs(scope) | Verdict::Feature(scope) | Verdict::Tunnel(scope) => {
                (scope as u8, 0)
            }
            Verdict::Never(reason) => (CommandEntry::NEVER, reason as u8),
        };
        let flags = match verdict {
            Verdict::Feature(_) if u32::from(self.opcode) == SetFeatureIn::OPCODE => {
                CommandEntry::BY_FEATURE
            }
            Verdict::Tunnel(_) => CommandEntry::BY_PAYLOAD,
            _ => 0,
        };

        CommandEntry {
            opcode: self.opcode,
            effects: self.effects,
            scope,
            reason,
            flags,
        }
    }

    /// Returns whether the command continues in the background, according to its effects.
    pub(crate) fn is_background(&self) -> bool {
        self.effects & BACKGROUND != 0
    }

    /// Records that the command continued in the background. Returns whether that is new.
    ///
    /// It is refused from now on.
    pub(crate) fn lied(&self) -> bool {
        !self.has_lied.xchg(true, Relaxed)
    }
}

/// The commands of a device.
///
/// # Invariants
///
/// The commands in `list` are sorted by opcode, and no two have the same.
pub(crate) struct Commands {
    kind: Kind,
    list: KVVec<Command>,
}

/// The largest possible number of commands: one for each opcode.
const MAX_COMMANDS: usize = 1 << 16;

impl Commands {
    /// Returns the commands that a Command Effects Log lists.
    ///
    /// A command that is listed twice has the effects of both. Entries that cannot all be different
    /// are ignored.
    pub(crate) fn new(kind: Kind, log: &[CelEntry]) -> Result<Self> {
        let log = &log[..log.len().min(MAX_COMMANDS)];
        let mut sorted = KVVec::with_capacity(log.len(), GFP_KERNEL)?;
        for entry in log {
            sorted.push((entry.opcode.get(), entry.effects.get()), GFP_KERNEL)?;
        }
        sorted.sort_unstable();

        let mut commands: KVVec<Command> = KVVec::with_capacity(log.len(), GFP_KERNEL)?;
        for &(opcode, effects) in sorted.iter() {
            match commands.last_mut() {
                Some(last) if last.opcode == opcode => last.effects |= effects,
                _ => commands.push(
                    Command {
                        opcode,
                        effects,
                        has_lied: Atomic::new(false),
                    },
                    GFP_KERNEL,
                )?,
            }
        }

        // INVARIANT: `sorted` is sorted, and entries of one opcode became one command.
        Ok(Self {
            kind,
            list: commands,
        })
    }

    /// Returns the command that an RPC of `scope` may send with the payload `input`.
    ///
    /// Fails with [`EPERM`] if the policy refuses the command in every scope, and with [`EINVAL`]
    /// if it is unknown, the device does not have it, or it requires a higher scope.
    pub(crate) fn find(&self, opcode: u16, input: &[u8], scope: RpcScope) -> Result<&Command> {
        let found = self
            .list
            .binary_search_by_key(&opcode, |command| command.opcode);
        let command = found.ok().and_then(|index| self.list.get(index));

        let verdict = match command {
            Some(command) => command.verdict(self.kind),
            None => verdict(self.kind, opcode, 0),
        };

        check(verdict, command.is_some(), input, scope)?;
        command.ok_or(EINVAL)
    }

    /// Returns the kind of the device.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns all commands, sorted by opcode.
    pub(crate) fn all(&self) -> &[Command] {
        &self.list
    }
}

#[kunit_tests(cxl_fwctl_commands)]
mod tests {
    use super::*;

    /// What the independent policy decides: the least scope, or the errno.
    #[derive(Clone, Copy, PartialEq)]
    enum Expected {
        From(RpcScope),
        Fails(Error),
    }

    /// Derives the least scope of an effects word a second time, by masks.
    fn expected_of_effects(floor: u32, effects: u16) -> Expected {
        const REFUSED: u16 = 0xf020;
        const IMMEDIATE_OR_BACKGROUND: u16 = 0x005e;

        if effects & REFUSED != 0 {
            return Expected::Fails(EPERM);
        }
        let is_at_reset = effects & 1 != 0 || matches!(effects >> 9, 0b011 | 0b101 | 0b111);
        let least = match (effects & IMMEDIATE_OR_BACKGROUND != 0, is_at_reset) {
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => 0,
        };
        match RpcScope::try_from(floor.max(least)) {
            Ok(scope) => Expected::From(scope),
            Err(error) => Expected::Fails(error),
        }
    }

    /// Decides a second time, by the command sets of the specification.
    ///
    /// Not on a tunnel, whose payload decides, too.
    fn expected(kind: Kind, opcode: u16, effects: u16) -> Expected {
        let [command, set] = opcode.to_le_bytes();
        // `None`: refused as the kernel's.
        let floor = match (set, command) {
            (0x51, 0 | 1) | (0x52, 0) if kind == Kind::Switch => Some(0),
            (0x51, 2 | 3) | (0x52, 1..=3) | (0x53, 1 | 2) if kind == Kind::Switch => None,
            (0xc0..=0xff, _) => Some(1),
            (0x00, 1..=3) => Some(0),
            (0x00, 4 | 5) => None,
            (0x01, 2 | 4) => Some(0),
            (0x01, 0 | 1 | 3 | 5 | 6) => None,
            (0x02, 0) | (0x03, 0) => Some(0),
            (0x02, 1 | 2) | (0x03, 1) => None,
            (0x04, 0 | 2 | 5) => Some(0),
            (0x04, 1) => Some(1),
            (0x04, 3) => None,
            (0x04, 4) => Some(3),
            (0x06, 0) => None,
            (0x40, 0) | (0x41, 0) | (0x42, 0 | 1 | 3) => Some(0),
            (0x41, 1..=3) | (0x42, 2 | 4) => None,
            (0x43 | 0x44 | 0x45 | 0x46 | 0x48, _) => None,
            (0x47, 0 | 2) => Some(0),
            (0x47, 1) => Some(3),
            // Also the Feature commands, which are not sent this way.
            _ => return Expected::Fails(EINVAL),
        };

        match floor {
            Some(floor) => expected_of_effects(floor, effects),
            None => Expected::Fails(EPERM),
        }
    }

    const KINDS: [Kind; 2] = [Kind::Memory, Kind::Switch];

    /// The opcode of Tunnel Management Command.
    const TUNNEL: u16 = 0x5300;

    fn may_send(kind: Kind, opcode: u16, effects: Option<u16>, scope: RpcScope) -> Result {
        check(
            verdict(kind, opcode, effects.unwrap_or(0)),
            effects.is_some(),
            &[],
            scope,
        )
    }

    fn agrees_on(kind: Kind, opcode: u16, effects: u16) -> bool {
        RpcScope::ALL.iter().all(|&scope| {
            let expected = match expected(kind, opcode, effects) {
                Expected::From(least) if scope >= least => Ok(()),
                Expected::From(_) => Err(EINVAL),
                Expected::Fails(error) => Err(error),
            };
            may_send(kind, opcode, Some(effects), scope) == expected
        })
    }

    fn agrees(opcode: u16, effects: u16) -> bool {
        agrees_on(Kind::Memory, opcode, effects)
            && (opcode == TUNNEL || agrees_on(Kind::Switch, opcode, effects))
    }

    /// All effects, for each opcode that the specification leaves to vendors at both ends, and for
    /// all others that a rule names.
    #[test]
    fn all_effects() {
        let others = [
            0, 0x04ff, 0x0500, 0x0501, 0x0502, 0x0503, 0xbfff, VENDOR, 0xc0ff, 0xd123, 0xffff,
        ];

        for effects in 0..=u16::MAX {
            for (range, _) in [SPECIFIED, FABRIC].into_iter().flatten() {
                assert!(agrees(*range.start(), effects));
                assert!(agrees(*range.end(), effects));
            }
            for opcode in others {
                assert!(agrees(opcode, effects));
            }
        }
    }

    /// All opcodes, for each effect alone, and for some combinations.
    #[test]
    fn all_opcodes() {
        for opcode in 0..=u16::MAX {
            for bit in 0..16 {
                assert!(agrees(opcode, 1 << bit));
            }
            for effects in [0, 0x0c00, 0x0e00, 0x0e01, 0x0e1f, 0x019e, 0x0fff, 0xffff] {
                assert!(agrees(opcode, effects));
            }
        }
    }

    /// The verdict depends on the effects only through [`by_effects`], and on the opcode only
    /// through its rule: so the two tests above cover all pairs.
    #[test]
    fn commands_not_in_the_log() {
        for kind in KINDS {
            for opcode in 0..=u16::MAX {
                for scope in RpcScope::ALL {
                    let sent = may_send(kind, opcode, None, scope);
                    match expected(kind, opcode, 0) {
                        Expected::Fails(error) => assert_eq!(sent, Err(error)),
                        Expected::From(_) => assert_eq!(sent, Err(EINVAL)),
                    }
                }
            }
        }
    }

    /// A request without payload, through port 0.
    fn tunnel(opcode: u16) -> [u8; 16] {
        let mut input = [0; 16];
        input[2] = 12;
        input[7..9].copy_from_slice(&opcode.to_le_bytes());
        input
    }

    /// All opcodes in a tunnel: those that only read, by their numbers.
    #[test]
    fn tunnelled_commands() -> Result {
        let commands = log_of(Kind::Switch, &[(TUNNEL, 0)])?;

        for opcode in 0..=u16::MAX {
            let expected = match opcode {
                0x0001..=0x0003 | 0x0102 | 0x0104 | 0x0200 | 0x0300 | 0x0400 | 0x0402 | 0x0405 => {
                    Ok(RpcScope::Configuration)
                }
                0x4000 | 0x4100 | 0x4200 | 0x4201 | 0x4203 | 0x4700 | 0x4702 => {
                    Ok(RpcScope::Configuration)
                }
                0x0401 => Ok(RpcScope::DebugReadOnly),
                0x0004 | 0x0005 | 0x0100 | 0x0101 | 0x0103 | 0x0105 | 0x0106 => Err(EPERM),
                0x0201 | 0x0202 | 0x0301 | 0x0403 | 0x0404 | 0x0600 => Err(EPERM),
                0x4101..=0x4103 | 0x4202 | 0x4204 | 0x4300..=0x46ff | 0x4701 => Err(EPERM),
                0x4800..=0x48ff | 0x5100..=0x5103 | 0x5200..=0x5203 => Err(EPERM),
                0x5300..=0x5302 | 0xc000..=0xffff => Err(EPERM),
                // Also the Feature commands.
                _ => Err(EINVAL),
            };
            assert_eq!(tunnelled(&tunnel(opcode)), expected);

            for scope in RpcScope::ALL {
                let sent = commands.find(TUNNEL, &tunnel(opcode), scope).map(|_| ());
                match expected {
                    Ok(needed) if scope >= needed => assert_eq!(sent, Ok(())),
                    Ok(_) => assert_eq!(sent, Err(EINVAL)),
                    Err(error) => assert_eq!(sent, Err(error)),
                }
            }
        }
        Ok(())
    }

    /// The effects of the tunnel count, too, and a memory device has none.
    #[test]
    fn tunnels() -> Result {
        let identify = tunnel(0x0001);

        let commands = log_of(Kind::Switch, &[(TUNNEL, 1 << 4)])?;
        for scope in RpcScope::ALL {
            let is_allowed = commands.find(TUNNEL, &identify, scope).is_ok();
            assert_eq!(is_allowed, scope == RpcScope::DebugWriteFull);
        }
        let commands = log_of(Kind::Switch, &[(TUNNEL, 1 << 5)])?;
        let refused = commands.find(TUNNEL, &identify, RpcScope::DebugWriteFull);
        assert_eq!(refused.err(), Some(EPERM));

        for commands in [
            log_of(Kind::Switch, &[])?,
            log_of(Kind::Memory, &[(TUNNEL, 0)])?,
        ] {
            let refused = commands.find(TUNNEL, &identify, RpcScope::DebugWriteFull);
            assert_eq!(refused.err(), Some(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn rules_are_sorted() {
        for rules in [SPECIFIED, FABRIC] {
            for pair in rules.windows(2) {
                assert!(pair[0].0.end() < pair[1].0.start());
            }
            assert!(rules
                .iter()
                .all(|(range, _)| !range.is_empty() && *range.end() < VENDOR));
        }
    }

    fn log(entries: &[(u16, u16)]) -> Result<Commands> {
        log_of(Kind::Memory, entries)
    }

    fn log_of(kind: Kind, entries: &[(u16, u16)]) -> Result<Commands> {
        let mut log = KVec::new();
        for (opcode, effects) in entries {
            log.push(
                CelEntry {
                    opcode: (*opcode).into(),
                    effects: (*effects).into(),
                },
                GFP_KERNEL,
            )?;
        }
        Commands::new(kind, &log)
    }

    #[test]
    fn listed_twice() -> Result {
        let commands = log(&[
            (0xc001, 0),
            (0xc000, 1),
            (0xc001, 0x10),
            (0xc000, 0),
            (0xc001, 1),
        ])?;
        let all = commands.all();

        assert_eq!(all.len(), 2);
        assert_eq!((all[0].opcode, all[0].effects), (0xc000, 1));
        assert_eq!((all[1].opcode, all[1].effects), (0xc001, 0x11));
        assert!(commands.find(0xc000, &[], RpcScope::DebugWrite).is_ok());
        assert_eq!(
            commands.find(0xc001, &[], RpcScope::DebugWrite).err(),
            Some(EINVAL)
        );
        assert!(commands.find(0xc001, &[], RpcScope::DebugWriteFull).is_ok());
        Ok(())
    }

    #[test]
    fn at_most_one_for_each_opcode() -> Result {
        let mut entries = KVVec::new();
        for opcode in 0..=u16::MAX {
            entries.push(
                CelEntry {
                    opcode: opcode.into(),
                    effects: 0.into(),
                },
                GFP_KERNEL,
            )?;
        }
        for _ in 0..3 {
            let entry = entries[9];
            entries.push(entry, GFP_KERNEL)?;
        }
        let all = Commands::new(Kind::Memory, &entries)?;
        assert_eq!(all.all().len(), MAX_COMMANDS);
        assert!(Commands::new(Kind::Memory, &[])?.all().is_empty());
        Ok(())
    }

    fn always(_opcode: u16) -> bool {
        true
    }

    #[test]
    fn liars_are_refused() -> Result {
        let commands = log(&[(0xc000, 0), (0xc001, 0)])?;
        let command = commands.find(0xc001, &[], RpcScope::DebugReadOnly)?;

        assert_eq!(command.entry(Kind::Memory, always).scope, 1);
        assert!(command.lied());
        assert!(!command.lied());
        assert_eq!(
            (
                command.entry(Kind::Memory, always).scope,
                command.entry(Kind::Memory, always).reason
            ),
            (CommandEntry::NEVER, 4)
        );
        for scope in RpcScope::ALL {
            assert_eq!(commands.find(0xc001, &[], scope).err(), Some(EPERM));
        }
        assert!(commands.find(0xc000, &[], RpcScope::DebugReadOnly).is_ok());
        Ok(())
    }

    #[test]
    fn entries_tell_the_verdict() -> Result {
        let commands = log(&[
            (0x0101, 0x10),
            (0x0401, 0),
            (0x0502, 0x0e7f),
            (0x4400, 0x44),
            (0x5100, 0),
            (0xc000, 0x20),
            (0xc001, 0x40),
            (0xc002, 0x8000),
            (0xc003, 1),
        ])?;
        let expected = [
            (0xff, 1, 0),
            (1, 0, 0),
            (2, 0, 1),
            (0xff, 1, 0),
            (0xff, 2, 0),
            (0xff, 3, 0),
            (3, 0, 0),
            (0xff, 5, 0),
            (2, 0, 0),
        ];
        for (command, expected) in commands.all().iter().zip(expected) {
            let entry = command.entry(Kind::Memory, always);
            assert_eq!((entry.scope, entry.reason, entry.flags), expected);
        }

        let entry = commands.all()[2].entry(Kind::Memory, |_| false);
        assert_eq!((entry.scope, entry.reason, entry.flags), (0xff, 2, 0));
        Ok(())
    }
}
