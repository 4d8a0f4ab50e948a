// SPDX-License-Identifier: MIT OR Apache-2.0

//! The life of a command, from doorbell to answer, and the faults that affect it.

use super::super::codes::ReturnCode;
use super::super::firmware::Circumstances;
use super::super::opcodes;
use super::super::payloads::SetFeatureHead;
use super::super::registers::BACKGROUND_VECTOR;
use super::super::transfer::Action;
use super::Type3;
use crate::counters::count;
use crate::device::{Bus, Presence};
use crate::fault::{Effects, Subject};
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// Duration of a background operation, unless a fault delays it.
const BACKGROUND: Duration = Duration::from_millis(20);
/// Percentage that a background operation reports while it is running.
const PERCENT: u8 = 50;

/// Result of a command.
pub(super) struct Answer {
    code: ReturnCode,
    output: Vec<u8>,
    /// Length reported to the guest.
    len: u32,
}

/// A command that was executed but not completed.
pub(super) struct InFlight {
    answer: Answer,
    /// When to complete it; `None` if never.
    pub(super) due: Option<Instant>,
}

/// An operation in the background.
pub(super) struct Background {
    opcode: u16,
    code: ReturnCode,
    /// When to complete it; `None` if never.
    pub(super) due: Option<Instant>,
    is_silent: bool,
    /// Another operation follows, whose result replaces this one's.
    is_lost: bool,
}

/// Opcode of the operation that follows a lost result: no command has it.
const OTHER: u16 = 0;

impl Type3 {
    /// Handles the doorbell: executes the command and completes it, now or later.
    pub(super) fn doorbell(&mut self, bus: &mut Bus) {
        let command = self.registers.command();
        let input = self.registers.input().map(<[u8]>::to_vec);
        let now = Instant::now();
        count(&mut self.counters.commands, command.opcode);
        let subject = self.subject(command.opcode, input.as_deref().unwrap_or_default());
        let struck = self.faults.strike(&subject);
        if struck.is_some() {
            self.last_hit = Some(title(&subject));
        }
        let effects = struck.unwrap_or_default();
        if effects.vanish || effects.exit {
            bus.presence = if effects.exit {
                Presence::Exit
            } else {
                Presence::Gone
            };
            return;
        }
        if let Some(health) = effects.health {
            self.registers.health = health & 0b11;
        }
        if self.registers.health != 0 {
            // Firmware with fatal health answers nothing until it is reset.
            self.in_flight = Some(InFlight {
                answer: Answer::refused(ReturnCode::INTERNAL),
                due: None,
            });
            return;
        }

        let answer = self.execute(&effects, command.opcode, input.as_deref(), now);
        self.log(&subject, command.len, &answer, &effects);
        if answer.code != ReturnCode::SUCCESS {
            count(&mut self.counters.refused, answer.code);
        }
        let is_background = answer.code == ReturnCode::BACKGROUND;
        if is_background {
            let code = effects
                .status
                .map_or(ReturnCode::SUCCESS, |(code, _)| ReturnCode(code));
            self.background = Some(Background {
                opcode: command.opcode,
                code,
                due: (!effects.never).then(|| now + effects.late.unwrap_or(BACKGROUND)),
                is_silent: effects.silent,
                is_lost: effects.lost,
            });
            self.registers.set_background(command.opcode, PERCENT, None);
        }
        // For a background operation, the delay applies to its completion.
        let (never, late) = match is_background {
            true => (false, Duration::ZERO),
            false => (effects.never, effects.late.unwrap_or_default()),
        };
        let in_flight = InFlight {
            answer,
            due: (!never).then(|| now + late),
        };
        if in_flight.due == Some(now) {
            self.finish(in_flight);
        } else {
            self.in_flight = Some(in_flight);
        }
    }

    /// Returns the properties of the command that faults can match.
    fn subject(&self, opcode: u16, input: &[u8]) -> Subject {
        let is_about_one = matches!(opcode, opcodes::GET_FEATURE | opcodes::SET_FEATURE);
        let uuid = input.get(..16).filter(|_| is_about_one);
        let head = SetFeatureHead::read_from_prefix(input).ok();
        let head = head.filter(|_| opcode == opcodes::SET_FEATURE);
        Subject {
            opcode,
            feature: uuid
                .and_then(|uuid| self.firmware.features.index(uuid))
                .map(|n| n as u16),
            action: head.map(|(head, _)| (head.flags.get() & Action::MASK) as u16),
            ..Subject::default()
        }
    }

    fn execute(
        &mut self,
        effects: &Effects,
        opcode: u16,
        input: Option<&[u8]>,
        now: Instant,
    ) -> Answer {
        let Some(input) = input else {
            return Answer::refused(ReturnCode::PAYLOAD_LENGTH);
        };
        let at = Circumstances {
            room: self.registers.payload_size(),
            is_busy: self.background.is_some(),
            background: self.registers.background_status(),
            now,
        };
        if effects.background {
            let code = if at.is_busy {
                ReturnCode::BUSY
            } else {
                ReturnCode::BACKGROUND
            };
            return Answer::refused(code);
        }
        if let Some((code, _)) = effects.status {
            return Answer::refused(ReturnCode(code));
        }
        let output = match self.firmware.execute(opcode, input, at) {
            Ok(output) => output,
            Err(code) => return Answer::refused(code),
        };
        self.show_events();
        let mut output = output;
        if let Some(tail) = effects.garble.and_then(|from| output.get_mut(from..)) {
            self.noise.fill(tail);
        }
        output.truncate(effects.truncate.unwrap_or(usize::MAX));
        Answer {
            code: ReturnCode::SUCCESS,
            len: effects.claim.unwrap_or(output.len() as u32),
            output,
        }
    }

    /// Completes a command.
    pub(super) fn finish(&mut self, in_flight: InFlight) {
        let Answer { code, output, len } = in_flight.answer;
        self.registers.complete(code, &output, len);
    }

    /// Completes the background operation.
    pub(super) fn finish_background(&mut self, bus: &mut Bus, background: Background) {
        let opcode = match background.is_lost {
            true => OTHER,
            false => background.opcode,
        };
        self.registers
            .set_background(opcode, 100, Some(background.code));
        self.counters.backgrounds += 1;
        if self.registers.wants_interrupt() && !background.is_silent {
            bus.vectors.raise(BACKGROUND_VECTOR.into());
        }
    }

    fn log(&self, subject: &Subject, len: usize, answer: &Answer, effects: &Effects) {
        if !self.options.is_verbose {
            return;
        }
        let fault = if *effects == Effects::default() {
            ""
        } else {
            " (fault)"
        };
        let (code, got) = (answer.code, answer.output.len());
        let title = title(subject);
        crate::say!("{title} {len} bytes: {code}, {got} bytes{fault}");
    }
}

impl Answer {
    fn refused(code: ReturnCode) -> Self {
        Answer {
            code,
            output: Vec::new(),
            len: 0,
        }
    }
}

/// Title of a command: `Set Feature feature 21 action 2`.
fn title(subject: &Subject) -> String {
    let number = |what, n: Option<u16>| n.map(|n| format!(" {what} {n}"));
    [
        Some(opcodes::name(subject.opcode)),
        number("feature", subject.feature),
        number("action", subject.action),
    ]
    .into_iter()
    .flatten()
    .collect()
}
