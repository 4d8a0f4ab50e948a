// SPDX-License-Identifier: MIT OR Apache-2.0

//! The life of a command, from doorbell to answer, and the faults that affect it.

use super::super::bits::{event, Eqe};
use super::super::cmds::Header;
use super::super::exec;
use super::super::fields::output;
use super::super::iseg::Health;
use super::super::opcodes;
use super::super::queue::{Command, Delivery};
use super::super::transfer::{Fate, Host};
use super::{ConnectX, SLOTS};
use crate::counters::count;
use crate::device::{Bus, Presence};
use crate::fault::{Effects, Subject};
use std::time::{Duration, Instant};

/// Default command timeout of the driver (lib/tout.c).
const DRIVER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time after the timeout in which the driver looks for a lost event, before it frees the mailboxes
/// (cmd.c).
const DRIVER_GRACE: Duration = Duration::from_secs(5);
/// Minimum distance of a late answer to that moment.
const MARGIN: Duration = Duration::from_secs(1);
/// What to write when a command completes.
pub(super) enum Outcome {
    Answer(Vec<u8>),
    Fail(Delivery),
    /// Only the entry: the driver may have freed the mailboxes.
    Bare,
    /// Nothing: only the event is missing.
    Unannounced,
}

/// A command that was executed but not completed.
pub(super) struct InFlight {
    pub(super) command: Command,
    pub(super) outcome: Outcome,
    /// When to complete it; `None` if never.
    pub(super) due: Option<Instant>,
    /// The event queue to post to, and whether to raise no interrupt.
    pub(super) listener: Option<u8>,
    pub(super) is_silent: bool,
}

impl ConnectX {
    /// Handles a write to the doorbell register: fetches the commands in these slots.
    pub(super) fn doorbell(&mut self, bus: &mut Bus, slots: u32) {
        for slot in (0..SLOTS as u8).filter(|slot| slots >> slot & 1 != 0) {
            let Some(address) = self.iseg.slot(slot).filter(|_| !self.iseg.health.is_fatal) else {
                self.counters.ignored_doorbells += 1;
                continue;
            };
            let fetched = Command::fetch(&bus.memory, slot, address);
            match fetched {
                Ok(Some(command)) if self.slots[usize::from(slot)].is_none() => {
                    self.begin(bus, command)
                }
                Ok(_) => self.counters.idle_doorbells += 1,
                Err(_) => self.counters.delivery_errors += 1,
            }
        }
    }

    /// Executes a command and completes it, now or later.
    fn begin(&mut self, bus: &mut Bus, command: Command) {
        // Choose the event queue before the command is executed: a queue that CREATE_EQ creates
        // must not get the event, or the driver finds it while it still polls, and uses freed
        // memory.
        let listener = self.function.eqs.listener(event::COMMAND);
        let now = Instant::now();
        let (outcome, effects) = match command.input(&bus.memory) {
            Ok(input) => self.execute(bus, &input),
            Err(delivery) => (Outcome::Fail(delivery), Effects::default()),
        };
        if bus.presence != Presence::Here {
            return;
        }
        if matches!(outcome, Outcome::Fail(_)) {
            self.counters.delivery_errors += 1;
        }
        let mut delay = effects.late.unwrap_or_default();
        let forgotten = self.timeout() + DRIVER_GRACE;
        let is_forgotten = delay + MARGIN > forgotten;
        if is_forgotten {
            delay = delay.max(forgotten + MARGIN);
        }
        let never = effects.never || self.iseg.health.is_fatal;
        let mut in_flight = InFlight {
            command,
            // The driver has freed the mailboxes by then.
            outcome: if is_forgotten || never {
                Outcome::Bare
            } else {
                outcome
            },
            due: (!never).then(|| now + delay),
            listener,
            is_silent: effects.silent,
        };
        if effects.lost && listener.is_some() && in_flight.due == Some(now) {
            self.write_back(bus, &in_flight);
            (in_flight.outcome, in_flight.due) = (Outcome::Unannounced, None);
        }
        if in_flight.due == Some(now) {
            self.finish(bus, in_flight);
        } else {
            let slot = usize::from(in_flight.command.slot);
            self.slots[slot] = Some(in_flight);
        }
    }

    fn execute(&mut self, bus: &mut Bus, input: &[u8]) -> (Outcome, Effects) {
        let header = Header::of(input);
        let register = header.register(input);
        let is_user = !matches!(header.uid, 0 | 0xffff);
        count(&mut self.counters.commands, header.opcode);
        self.counters.user_commands += u64::from(is_user);
        let subject = Subject {
            opcode: header.opcode,
            op_mod: Some(header.op_mod),
            register,
            is_user,
            ..Subject::default()
        };
        let struck = self.faults.strike(&subject);
        if struck.is_some() {
            let stage = self.function.stage.name();
            self.last_hit = Some(format!("{}, {stage}", title(&subject)));
        }
        if self.options.is_verbose {
            let fault = if struck.is_some() { " (fault)" } else { "" };
            crate::say!(
                "{} uid {} {} bytes{fault}",
                title(&subject),
                header.uid,
                input.len()
            );
        }
        let effects = struck.unwrap_or_default();
        if effects.vanish || effects.exit {
            bus.presence = if effects.exit {
                Presence::Exit
            } else {
                Presence::Gone
            };
            return (Outcome::Bare, effects);
        }
        if let Some(syndrome) = effects.health {
            self.iseg.health = Health {
                syndrome,
                is_fatal: true,
            };
            self.stop();
            return (Outcome::Bare, effects);
        }
        if let Some(delivery) = effects.delivery {
            return (Outcome::Fail(Delivery(delivery)), effects);
        }
        let mut host = Host {
            memory: &mut bus.memory,
            fate: Fate {
                late: effects.dma_late,
                is_lost: effects.dma_lost,
            },
        };
        let mut answer = match effects.status {
            // `mlx5::FAULTS` limits the status to 8 bits.
            Some((status, syndrome)) => exec::refused(status as u8, syndrome),
            None => self
                .function
                .execute(input, &mut host, &mut self.counters)
                .unwrap_or_else(|refusal| {
                    if self.options.is_verbose {
                        crate::say!("refused: {refusal}");
                    }
                    exec::refused(refusal.0 .0, refusal.1 .0)
                }),
        };
        let status = output::STATUS.get(&answer) as u8;
        if status != 0 {
            count(&mut self.counters.refused, status);
        }
        if header.opcode == opcodes::DISABLE_HCA && status == 0 {
            // The driver frees the queue next.
            self.cancel();
        }
        if let Some(tail) = effects.garble.and_then(|from| answer.get_mut(from..)) {
            self.noise.fill(tail);
        }
        answer.truncate(effects.truncate.unwrap_or(usize::MAX));
        (Outcome::Answer(answer), effects)
    }

    fn write_back(&mut self, bus: &mut Bus, in_flight: &InFlight) {
        let InFlight {
            command, outcome, ..
        } = in_flight;
        let written = match outcome {
            Outcome::Answer(answer) => command.answer(&mut bus.memory, answer),
            Outcome::Fail(delivery) => command.fail(&mut bus.memory, *delivery),
            Outcome::Bare => command.fail(&mut bus.memory, Delivery::OK),
            Outcome::Unannounced => Ok(()),
        };
        if written.is_err() {
            self.counters.delivery_errors += 1;
        }
    }

    pub(super) fn finish(&mut self, bus: &mut Bus, in_flight: InFlight) {
        self.write_back(bus, &in_flight);
        if let Some(number) = in_flight.listener {
            let event = Eqe::command(1 << in_flight.command.slot);
            self.function
                .eqs
                .post(bus, number, event, !in_flight.is_silent);
        }
    }

    fn timeout(&self) -> Duration {
        self.options
            .cmd_timeout
            .map_or(DRIVER_TIMEOUT, |ms| Duration::from_millis(ms.into()))
    }

    /// Stops completing commands, after fatal health.
    pub(super) fn stop(&mut self) {
        for in_flight in self.slots.iter_mut().flatten() {
            in_flight.due = None;
            if !matches!(in_flight.outcome, Outcome::Unannounced) {
                in_flight.outcome = Outcome::Bare;
            }
        }
    }

    /// Drops the commands in flight.
    pub(super) fn cancel(&mut self) {
        self.counters.cancelled += self.slots.iter_mut().filter_map(Option::take).count() as u64;
    }
}

/// Title of a command: `ACCESS_REG 0x9020 op_mod 1`.
fn title(subject: &Subject) -> String {
    let register = subject.register.map(|id| format!(" {id:#06x}"));
    let op_mod = subject.op_mod.map(|op_mod| format!(" op_mod {op_mod}"));
    [Some(opcodes::name(subject.opcode)), register, op_mod]
        .into_iter()
        .flatten()
        .collect()
}
