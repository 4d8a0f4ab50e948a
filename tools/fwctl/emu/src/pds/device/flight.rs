// SPDX-License-Identifier: MIT OR Apache-2.0

//! The life of a command, from its doorbell to its answer, and the faults on its way.

use super::super::codes::{self, admin, device, fwctl, Status, ADMIN};
use super::super::firmware;
use super::super::rpc::Done;
use super::super::wire::{
    Buffer, Completion, RpcCommand, COMMAND, COMPLETION, INDIRECT_REQUEST, INDIRECT_RESPONSE,
};
use super::{Pensando, Start};
use crate::counters::count;
use crate::device::{Bus, Presence};
use crate::dma::Memory;
use crate::fault::{Effects, Subject};
use std::time::Instant;
use zerocopy::FromBytes;

/// Bytes before the wrapped command of a CLIENT_CMD.
const WRAPPER: usize = 4;

/// A device command that was executed but not answered.
pub(super) struct DeviceFlight {
    completion: [u8; COMPLETION],
    data: Vec<u8>,
    /// Never, if none.
    pub(super) due: Option<Instant>,
}

/// A command of the admin queue that was executed but not answered.
pub(super) struct AdminFlight {
    completion: Completion,
    /// Data that are written together with the completion.
    done: Option<Done>,
    effects: Effects,
    /// Never, if none.
    pub(super) due: Option<Instant>,
}

impl Pensando {
    /// Counts a command and says which fault hits it; nothing if nothing can answer any more.
    fn strike(&mut self, bus: &mut Bus, subject: &Subject) -> Option<Effects> {
        count(&mut self.counters.commands, subject.opcode);
        let struck = self.faults.strike(subject);
        if struck.is_some() {
            self.last_hit = Some(title(subject));
        }
        let effects = struck.unwrap_or_default();
        if effects.vanish || effects.exit {
            bus.presence = match effects.exit {
                true => Presence::Exit,
                false => Presence::Gone,
            };
            return None;
        }
        match effects.health {
            None => return Some(effects),
            Some(1) => self.stop(),
            Some(2) => self.start(Start::Same),
            Some(_) => self.start(Start::Next),
        }
        None
    }

    /// The doorbell of the device command rang: executes it, and answers it now or later.
    pub(super) fn device_command(&mut self, bus: &mut Bus) {
        if !self.registers.is_running {
            return;
        }
        let command = self.registers.command();
        let subject = Subject {
            opcode: command[0].into(),
            op_mod: (command[0] == device::HOST_MEM).then_some(command[1].into()),
            ..Subject::default()
        };
        let Some(effects) = self.strike(bus, &subject) else {
            return;
        };
        if command[0] == device::RESET {
            self.counters.resets += 1;
            self.cancel();
            self.registers.reset_interrupts();
        }
        let result = match effects.status {
            Some((status, _)) => Err(Status(status as u8)),
            None => {
                let data = self.registers.data().to_vec();
                let memory = &mut bus.memory;
                self.firmware
                    .execute(memory, &command, &data, effects.claim)
            }
        };
        self.log(&subject, result.as_ref().err(), &effects);
        let (completion, mut data) = result.unwrap_or_else(|status| {
            let mut completion = [0; COMPLETION];
            completion[0] = status.0;
            (completion, Vec::new())
        });
        self.spoil(&mut data, &effects);
        let now = Instant::now();
        let flight = DeviceFlight {
            completion,
            data,
            due: due(&effects, now),
        };
        if flight.due == Some(now) {
            self.finish_device(flight);
        } else {
            // A command that the driver no longer waits for is replaced.
            self.counters.cancelled += u64::from(self.device_flight.is_some());
            self.device_flight = Some(flight);
        }
    }

    /// Answers a device command.
    pub(super) fn finish_device(&mut self, flight: DeviceFlight) {
        self.registers.complete(&flight.completion, &flight.data);
    }

    /// A write to the doorbells.  The driver writes 64 bits at once; where that arrives in two
    /// halves, the lower one says enough.
    pub(super) fn doorbell(&mut self, bus: &mut Bus, offset: u64, data: &[u8]) {
        let is_doorbell = firmware::is_doorbell(offset);
        let value = match *data {
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            [a, b, c, d] if is_doorbell => u32::from_le_bytes([a, b, c, d]).into(),
            [_, _, _, _] if firmware::is_doorbell(offset.wrapping_sub(4)) => return,
            _ => return self.counters.bad_doorbells += 1,
        };
        let head = firmware::doorbell(value).filter(|_| is_doorbell);
        let queues = self.firmware.queues.as_mut();
        let rang = queues
            .zip(head)
            .is_some_and(|(queues, head)| queues.ring(head));
        if !rang {
            return self.counters.bad_doorbells += 1;
        }
        self.fetch(bus);
    }

    /// Takes commands from the admin queue, as many as it has entries, and executes them.
    fn fetch(&mut self, bus: &mut Bus) {
        let is_bus_master = self.is_bus_master();
        while let Some(queues) = &mut self.firmware.queues {
            if self.admin_flights.len() >= queues.entries() {
                break;
            }
            match queues.fetch(&bus.memory) {
                None => break,
                Some(Ok(command)) if is_bus_master => self.admin_command(bus, &command),
                Some(_) => self.counters.bad_dma += 1,
            }
        }
        self.finish_admin(bus, Instant::now());
    }

    fn admin_command(&mut self, bus: &mut Bus, command: &[u8; COMMAND]) {
        let subject = subject(command);
        self.counters.null_buffers += u64::from(names_null(command));
        let Some(effects) = self.strike(bus, &subject) else {
            return;
        };
        let result = match effects.status {
            Some((status, _)) => Err(Status(status as u8)),
            None => self
                .firmware
                .execute_admin(&bus.memory, command, effects.claim),
        };
        self.log(&subject, result.as_ref().err(), &effects);
        let (status, mut done) = match result {
            Ok(done) => (Status::SUCCESS, done),
            Err(status) => (status, Done::default()),
        };
        self.spoil(&mut done.data, &effects);
        let mut completion = Completion {
            status: status.0,
            reserved: 0,
            index: 0.into(),
            value: done.error.into(),
            size: done.size.into(),
            reserved2: [0; 3],
            color: 0,
        };
        let done = match effects.background {
            true => Some(done),
            false => {
                if !deliver(&mut bus.memory, &done) {
                    self.counters.bad_dma += 1;
                    completion.status = Status::EFAULT.0;
                }
                None
            }
        };
        self.admin_flights.push_back(AdminFlight {
            completion,
            done,
            due: due(&effects, Instant::now()),
            effects,
        });
    }

    /// Answers the commands of the admin queue, in order, up to the first that is not due.
    pub(super) fn finish_admin(&mut self, bus: &mut Bus, now: Instant) {
        let is_due = |flight: &AdminFlight| flight.due.is_some_and(|due| due <= now);
        let mut is_any = false;
        while self.admin_flights.front().is_some_and(is_due) {
            let Some(flight) = self.admin_flights.pop_front() else {
                break;
            };
            self.finish_one(bus, flight);
            is_any = true;
        }
        // Fetch the commands that a full queue left unread.
        if is_any {
            self.fetch(bus);
        }
    }

    fn finish_one(&mut self, bus: &mut Bus, flight: AdminFlight) {
        if !self.is_bus_master() {
            return self.counters.bad_dma += 1;
        }
        let mut completion = flight.completion;
        if let Some(done) = &flight.done {
            if !deliver(&mut bus.memory, done) {
                self.counters.bad_dma += 1;
                completion.status = Status::EFAULT.0;
            }
        }
        let Some(queues) = self.firmware.queues.as_mut() else {
            return;
        };
        if flight.effects.lost {
            return;
        }
        if queues.complete(&mut bus.memory, completion).is_err() {
            return self.counters.bad_dma += 1;
        }
        let vector = queues.interrupt;
        let interrupt = &mut self.registers.interrupts[vector];
        match flight.effects.silent {
            true => interrupt.credit(),
            false => interrupt.assert(&mut bus.vectors, vector),
        }
    }

    /// Answers all commands in flight, whenever they were due; returns their number.
    pub(super) fn release(&mut self, bus: &mut Bus) -> usize {
        let device = self.device_flight.take();
        let count = usize::from(device.is_some()) + self.admin_flights.len();
        if let Some(flight) = device {
            self.finish_device(flight);
        }
        let now = Instant::now();
        for flight in &mut self.admin_flights {
            flight.due = Some(now);
        }
        self.finish_admin(bus, now);
        count
    }

    /// Replaces or cuts the data of an answer.
    fn spoil(&mut self, data: &mut Vec<u8>, effects: &Effects) {
        if let Some(tail) = effects.garble.and_then(|from| data.get_mut(from..)) {
            self.noise.fill(tail);
        }
        data.truncate(effects.truncate.unwrap_or(usize::MAX));
    }

    fn log(&mut self, subject: &Subject, refused: Option<&Status>, effects: &Effects) {
        if let Some(status) = refused {
            count(&mut self.counters.refused, *status);
        }
        if !self.options.is_verbose {
            return;
        }
        let fault = match *effects == Effects::default() {
            true => "",
            false => " (fault)",
        };
        let status = refused.unwrap_or(&Status::SUCCESS);
        crate::say!("{}: {status}{fault}", title(subject));
    }
}

/// When an answer is due.
fn due(effects: &Effects, now: Instant) -> Option<Instant> {
    (!effects.never).then(|| now + effects.late.unwrap_or_default())
}

/// Writes the data of an answer to their places; returns whether all of them could be written.
fn deliver(memory: &mut Memory, done: &Done) -> bool {
    let mut rest = done.data.as_slice();
    for (address, len) in &done.places {
        let (piece, next) = rest.split_at(rest.len().min(*len as usize));
        if !piece.is_empty() && memory.write(*address, piece).is_err() {
            return false;
        }
        rest = next;
    }
    true
}

/// Whether a command is an RPC with a request or a response at address 0, even if it is empty.
fn names_null(command: &[u8; COMMAND]) -> bool {
    let wrapped = &command[WRAPPER..];
    if (command[0], wrapped[0]) != (admin::CLIENT_CMD, fwctl::RPC) {
        return false;
    }
    RpcCommand::read_from_bytes(wrapped).is_ok_and(|rpc| {
        let is_null =
            |flag, buffer: &Buffer| rpc.flags.get() & flag != 0 && buffer.address.get() == 0;
        is_null(INDIRECT_REQUEST, &rpc.request) || is_null(INDIRECT_RESPONSE, &rpc.response)
    })
}

/// A command of the admin queue, for faults.
fn subject(command: &[u8; COMMAND]) -> Subject {
    let plain = |opcode: u8| Subject {
        opcode: ADMIN | u16::from(opcode),
        ..Subject::default()
    };
    let wrapped = &command[WRAPPER..];
    match (command[0], wrapped[0]) {
        (admin::CLIENT_CMD, fwctl::RPC) => {
            let rpc = RpcCommand::read_from_bytes(wrapped).ok();
            Subject {
                register: rpc.map(|rpc| rpc.endpoint.get() as u16),
                op_mod: rpc.map(|rpc| rpc.operation.get() as u16),
                ..plain(fwctl::RPC)
            }
        }
        (admin::CLIENT_CMD, fwctl::QUERY) => Subject {
            register: Some(u16::from_le_bytes([wrapped[16], wrapped[17]])),
            op_mod: Some(wrapped[1].into()),
            ..plain(fwctl::QUERY)
        },
        (admin::CLIENT_CMD, opcode) => plain(opcode),
        (opcode, _) => plain(opcode),
    }
}

/// A command for people: `fwctl RPC endpoint 0x10 operation 0x2`.
fn title(subject: &Subject) -> String {
    let number = |what, n: Option<u16>| n.map(|n| format!(" {what} {n:#x}"));
    [
        Some(codes::name(subject.opcode)),
        number("endpoint", subject.register),
        number("operation", subject.op_mod),
    ]
    .into_iter()
    .flatten()
    .collect()
}
