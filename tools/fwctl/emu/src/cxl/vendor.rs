// SPDX-License-Identifier: MIT OR Apache-2.0

//! Vendor commands, C000h and above (8.2.10): one for each effect that a command can have, and some
//! that do not do what the Command Effects Log says.
//!
//! With [`Offer::has_all_effects`](super::opcodes::Offer) the device also has a command for every
//! combination of effects, see [`EVERY_EFFECTS`].

use super::codes::ReturnCode;
use super::features::Reset;
use super::opcodes::{effect, Command};
use std::ops::RangeInclusive;

/// Number of bytes that [`READ`] returns and that the commands that write replace.
pub const SCRATCH: usize = 16;

/// Returns the scratch value.
pub const READ: u16 = 0xc001;
/// Returns a payload of the maximum size.
pub const FILL: u16 = 0xc003;

/// First opcode of those whose effects are their lower 12 bits.
const EVERY: u16 = 0xd000;
/// Opcodes whose effects are their lower 12 bits: all combinations without reserved bits.
pub const EVERY_EFFECTS: RangeInclusive<u16> = EVERY..=EVERY | 0x0fff;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Returns the input.
    Echo,
    /// Returns the scratch value.
    Read,
    /// Returns a payload of the maximum size. Each byte is the lower 8 bits of its offset.
    Fill,
    /// Replaces the scratch value at once.
    Write,
    /// Replaces the scratch value at this reset or a more thorough one.
    WriteAt(Reset),
    /// Adds the input to the trace, from which Populate Log makes the vendor debug log.
    Trace,
    /// Replaces the scratch value in the background.
    Background,
}

const CONVENTIONAL: u16 = effect::RESETS_ARE_VALID | effect::CONFIGURATION_CONVENTIONAL_RESET;
const CXL: u16 = effect::RESETS_ARE_VALID | effect::CONFIGURATION_CXL_RESET;
const BOTH_RESETS: u16 = effect::CONFIGURATION_CONVENTIONAL_RESET | effect::CONFIGURATION_CXL_RESET;

/// The commands, sorted by opcode.
#[rustfmt::skip]
const LIST: &[(u16, &str, u16, Action)] = &[
    // Without effects.
    (0xc000, "Vendor Echo", 0, Action::Echo),
    (READ, "Vendor Read", 0, Action::Read),
    (0xc002, "Vendor Secondary Mailbox", effect::SECONDARY_MAILBOX, Action::Echo),
    (FILL, "Vendor Fill", 0, Action::Fill),
    (0xc004, "Vendor Resets Valid", effect::RESETS_ARE_VALID, Action::Echo),
    (0xc005, "Vendor Resets Not Valid", BOTH_RESETS, Action::Echo),
    // At a reset.
    (0xc010, "Vendor Write At Cold Reset", effect::CONFIGURATION_COLD_RESET, Action::WriteAt(Reset::Cold)),
    (0xc011, "Vendor Write At Conventional Reset", CONVENTIONAL, Action::WriteAt(Reset::Conventional)),
    (0xc012, "Vendor Write At CXL Reset", CXL, Action::WriteAt(Reset::Cxl)),
    // At once.
    (0xc020, "Vendor Write Configuration", effect::IMMEDIATE_CONFIGURATION, Action::Write),
    (0xc021, "Vendor Write Data", effect::IMMEDIATE_DATA, Action::Write),
    (0xc022, "Vendor Write Policy", effect::IMMEDIATE_POLICY, Action::Write),
    (0xc023, "Vendor Write Log", effect::IMMEDIATE_LOG, Action::Trace),
    (0xc024, "Vendor Write Security State", effect::SECURITY_STATE, Action::Write),
    (0xc025, "Vendor Write Now And At Reset",
     effect::IMMEDIATE_CONFIGURATION | effect::CONFIGURATION_COLD_RESET, Action::Write),
    // In the background.
    (0xc030, "Vendor Background", effect::BACKGROUND, Action::Background),
    (0xc031, "Vendor Abortable Background", effect::BACKGROUND | effect::BACKGROUND_ABORT, Action::Background),
    (0xc032, "Vendor Background Configuration",
     effect::BACKGROUND | effect::IMMEDIATE_CONFIGURATION, Action::Background),
    // Reserved effects.
    (0xc040, "Vendor Reserved 12", 1 << 12, Action::Echo),
    (0xc041, "Vendor Reserved 13", 1 << 13, Action::Echo),
    (0xc042, "Vendor Reserved 14", 1 << 14, Action::Echo),
    (0xc043, "Vendor Reserved 15", 1 << 15, Action::Echo),
    // Lies: no effects, or fewer, in the Command Effects Log.
    (0xc050, "Vendor Lie Write", 0, Action::Write),
    (0xc051, "Vendor Lie Background", 0, Action::Background),
    (0xc052, "Vendor Lie Reset", effect::CONFIGURATION_COLD_RESET, Action::Write),
    // The last opcode.
    (0xffff, "Vendor Last", 0, Action::Echo),
];

/// The commands and the effects that the device claims.
pub fn commands(has_all_effects: bool) -> impl Iterator<Item = Command> {
    let listed = LIST.iter().map(|&(opcode, name, effects, _)| Command {
        opcode,
        name,
        effects,
    });
    let every = EVERY_EFFECTS.map(|opcode| Command {
        opcode,
        name: "Vendor Echo Of Effects",
        effects: opcode & !EVERY,
    });
    let mut commands: Vec<_> = match has_all_effects {
        true => listed.chain(every).collect(),
        false => listed.collect(),
    };
    commands.sort_by_key(|command| command.opcode);
    commands.into_iter()
}

/// Returns the name of a command, for people.
pub fn name(opcode: u16) -> Option<&'static str> {
    let listed = LIST.iter().find(|command| command.0 == opcode);
    listed.map(|command| command.1)
}

/// The state that the commands change.
#[derive(Debug, Default)]
pub struct Vendor {
    scratch: [u8; SCRATCH],
    /// The scratch value after this reset.
    pending: Option<(Reset, [u8; SCRATCH])>,
    /// Lines that the next Populate Log takes.
    trace: Vec<u8>,
}

/// Maximum size of the trace. The oldest lines are dropped.
const MAX_TRACE: usize = 4096;

impl Vendor {
    /// Executes a command, with `room` bytes for the answer.
    pub fn execute(
        &mut self,
        opcode: u16,
        input: &[u8],
        room: usize,
        is_busy: bool,
    ) -> Result<Vec<u8>, ReturnCode> {
        let answer = self.act(action(opcode), input, room, is_busy);
        let result = match &answer {
            Ok(output) => format!("{} bytes", output.len()),
            Err(code) => code.to_string(),
        };
        self.record(format!("{opcode:04x} {} bytes: {result}\n", input.len()).as_bytes());
        answer
    }

    fn act(
        &mut self,
        action: Action,
        input: &[u8],
        room: usize,
        is_busy: bool,
    ) -> Result<Vec<u8>, ReturnCode> {
        match action {
            Action::Echo => Ok(input[..input.len().min(room)].to_vec()),
            Action::Read => {
                nothing(input)?;
                Ok(self.scratch.to_vec())
            }
            Action::Fill => {
                nothing(input)?;
                Ok((0..room).map(|n| n as u8).collect())
            }
            Action::Write => {
                self.scratch = scratch(input)?;
                Ok(Vec::new())
            }
            Action::WriteAt(reset) => {
                self.pending = Some((reset, scratch(input)?));
                Ok(Vec::new())
            }
            Action::Trace => {
                self.record(input);
                self.record(b"\n");
                Ok(Vec::new())
            }
            Action::Background if is_busy => Err(ReturnCode::BUSY),
            Action::Background => {
                self.scratch = scratch(input)?;
                Err(ReturnCode::BACKGROUND)
            }
        }
    }

    /// Resets the device: a pending value becomes current.
    pub fn reset(&mut self, reset: Reset) {
        if let Some((_, value)) = self.pending.take_if(|(least, _)| reset >= *least) {
            self.scratch = value;
        }
    }

    /// Moves the trace out.
    pub fn take_trace(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trace)
    }

    fn record(&mut self, line: &[u8]) {
        self.trace.extend_from_slice(line);
        self.trace
            .drain(..self.trace.len().saturating_sub(MAX_TRACE));
    }
}

/// Returns what a command does.
fn action(opcode: u16) -> Action {
    if let Some(&(.., action)) = LIST.iter().find(|command| command.0 == opcode) {
        return action;
    }
    match opcode & effect::BACKGROUND {
        0 => Action::Echo,
        _ => Action::Background,
    }
}

fn scratch(input: &[u8]) -> Result<[u8; SCRATCH], ReturnCode> {
    input.try_into().map_err(|_| ReturnCode::PAYLOAD_LENGTH)
}

fn nothing(input: &[u8]) -> Result<(), ReturnCode> {
    match input.is_empty() {
        true => Ok(()),
        false => Err(ReturnCode::PAYLOAD_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn run(vendor: &mut Vendor, opcode: u16, input: &[u8]) -> Result<Vec<u8>, ReturnCode> {
        vendor.execute(opcode, input, 512, false)
    }

    fn read(vendor: &mut Vendor) -> u8 {
        run(vendor, 0xc001, &[]).unwrap()[0]
    }

    #[test]
    fn sorted_and_complete() {
        let listed: Vec<_> = commands(false).collect();
        assert!(listed.is_sorted_by(|a, b| a.opcode < b.opcode));
        assert_eq!(
            listed.iter().fold(0, |all, command| all | command.effects),
            u16::MAX
        );
        let names: BTreeSet<_> = listed.iter().map(|command| command.name).collect();
        assert_eq!(names.len(), listed.len());

        let all: Vec<_> = commands(true).collect();
        assert!(all.is_sorted_by(|a, b| a.opcode < b.opcode));
        assert_eq!(all.len(), listed.len() + 4096);
        let effects: BTreeSet<_> = all.iter().map(|command| command.effects).collect();
        assert!((0..4096).all(|word| effects.contains(&word)));
    }

    #[test]
    fn echo_and_fill() {
        let mut vendor = Vendor::default();
        assert_eq!(run(&mut vendor, 0xc000, &[1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(run(&mut vendor, 0xc000, &[]), Ok(vec![]));
        assert_eq!(run(&mut vendor, 0xffff, &[7; 512]), Ok(vec![7; 512]));
        let filled = run(&mut vendor, 0xc003, &[]).unwrap();
        assert_eq!((filled.len(), filled[511], filled[258]), (512, 255, 2));
        assert_eq!(
            run(&mut vendor, 0xc003, &[1]),
            Err(ReturnCode::PAYLOAD_LENGTH)
        );
        // Of every effect.
        assert_eq!(run(&mut vendor, 0xd03f, &[4]), Ok(vec![4]));
        assert_eq!(
            run(&mut vendor, 0xd040, &[0; 16]),
            Err(ReturnCode::BACKGROUND)
        );
    }

    #[test]
    fn writes() {
        let mut vendor = Vendor::default();
        for (n, opcode) in [0xc020, 0xc021, 0xc022, 0xc024, 0xc025, 0xc050, 0xc052]
            .into_iter()
            .enumerate()
        {
            let n = n as u8 + 1;
            assert_eq!(run(&mut vendor, opcode, &[n; 16]), Ok(vec![]));
            assert_eq!(read(&mut vendor), n);
            assert_eq!(
                run(&mut vendor, opcode, &[9; 15]),
                Err(ReturnCode::PAYLOAD_LENGTH)
            );
            assert_eq!(
                run(&mut vendor, opcode, &[9; 17]),
                Err(ReturnCode::PAYLOAD_LENGTH)
            );
            assert_eq!(read(&mut vendor), n);
        }
    }

    #[test]
    fn writes_at_resets() {
        for (opcode, least) in [
            (0xc010, Reset::Cold),
            (0xc011, Reset::Conventional),
            (0xc012, Reset::Cxl),
        ] {
            for reset in [Reset::Cxl, Reset::Conventional, Reset::Cold] {
                let mut vendor = Vendor::default();
                assert_eq!(run(&mut vendor, opcode, &[5; 16]), Ok(vec![]));
                assert_eq!(read(&mut vendor), 0);
                vendor.reset(reset);
                assert_eq!(
                    read(&mut vendor) == 5,
                    reset >= least,
                    "{opcode:#x} {reset:?}"
                );
            }
        }
    }

    #[test]
    fn in_the_background() {
        let mut vendor = Vendor::default();
        for opcode in [0xc030, 0xc031, 0xc032, 0xc051] {
            assert_eq!(
                run(&mut vendor, opcode, &[3; 16]),
                Err(ReturnCode::BACKGROUND)
            );
            assert_eq!(
                vendor.execute(opcode, &[4; 16], 512, true),
                Err(ReturnCode::BUSY)
            );
            assert_eq!(read(&mut vendor), 3);
        }
    }

    #[test]
    fn trace_is_bounded() {
        let mut vendor = Vendor::default();
        assert_eq!(run(&mut vendor, 0xc023, b"hello"), Ok(vec![]));
        run(&mut vendor, 0xc003, &[1]).unwrap_err();
        assert_eq!(
            vendor.take_trace(),
            b"hello\nc023 5 bytes: 0 bytes\nc003 1 bytes: Invalid Payload Length\n"
        );
        assert!(vendor.take_trace().is_empty());
        for _ in 0..1000 {
            run(&mut vendor, 0xc023, &[b'x'; 100]).unwrap();
        }
        assert_eq!(vendor.take_trace().len(), MAX_TRACE);
    }
}
