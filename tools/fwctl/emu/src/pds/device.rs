// SPDX-License-Identifier: MIT OR Apache-2.0

//! The function: its BARs, resets, and the control socket.  `flight.rs` has the life of a command.

use super::codes::entity;
use super::counters::Counters;
use super::firmware::{self, Firmware};
use super::registers::{Registers, BAR0, MAX_INTERRUPTS, MSIX_PENDING, MSIX_TABLE};
use super::{identity, Options, FAULTS};
use crate::control;
use crate::counters::merged;
use crate::device::{Bus, Device, Report, Reset};
use crate::fault::{BadFault, Fault, Faults, Noise};
use crate::pci::{Bar64, ConfigSpace, Identity};
use flight::{AdminFlight, DeviceFlight};
use serde_json::{json, Value};
use std::collections::VecDeque;
use std::time::Instant;

/// Size of BAR 2, the doorbells.
const BAR2: u64 = (firmware::PAGES * firmware::LARGEST_PAGE).next_power_of_two();
/// Number of the second BAR; each has 64 bits.
const DOORBELLS: usize = 2;
/// The command register of the function, and its bit for bus mastering.
const COMMAND: u64 = 0x04;
const BUS_MASTER: u8 = 1 << 2;

/// An AMD Pensando card.
pub struct Pensando {
    options: Options,
    config: ConfigSpace,
    registers: Registers,
    firmware: Firmware,
    /// The device command that is not answered yet.
    device_flight: Option<DeviceFlight>,
    /// The commands of the admin queue that are not answered yet.
    admin_flights: VecDeque<AdminFlight>,
    faults: Faults,
    /// The last command that a fault hit.
    last_hit: Option<String>,
    counters: Counters,
    noise: Noise,
}

/// How the firmware starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// As the version that the card comes with.
    Same,
    /// As the next version, with other endpoints.
    Next,
}

impl Pensando {
    /// A device as after power on.
    pub fn new(mut options: Options) -> Self {
        options.interrupts = options.interrupts.clamp(1, MAX_INTERRUPTS);
        let mut config = ConfigSpace::new(Identity {
            vendor: identity::VENDOR,
            device: identity::DEVICE,
            subsystem_vendor: identity::VENDOR,
            subsystem: 1,
            class: identity::CLASS,
            revision: 1,
        });
        for (index, size) in [(0, BAR0), (DOORBELLS, BAR2)] {
            config.bar(Bar64 {
                index,
                size,
                is_prefetchable: false,
            });
        }
        config.express();
        config.msix(options.interrupts, MSIX_TABLE, MSIX_PENDING);
        Pensando {
            config,
            registers: Registers::new(&options),
            firmware: Firmware::new(&options),
            device_flight: None,
            admin_flights: VecDeque::new(),
            faults: Faults::default(),
            last_hit: None,
            counters: Counters::default(),
            noise: Noise(0x7064_735f_636f_7265),
            options,
        }
    }

    /// Adds a fault.
    pub fn add_fault(&mut self, fault: Fault) -> Result<(), BadFault> {
        self.faults.add(fault)
    }

    /// Ends all commands in flight, without an answer.
    fn cancel(&mut self) {
        let device = usize::from(self.device_flight.take().is_some());
        self.counters.cancelled += (device + self.admin_flights.len()) as u64;
        self.admin_flights.clear();
    }

    /// The firmware stops; queues, clients and host memory are lost.
    fn stop(&mut self) {
        self.cancel();
        self.firmware.reset();
        self.registers.is_running = false;
    }

    /// The firmware starts, whether or not it has stopped, with the next generation.
    fn start(&mut self, start: Start) {
        self.cancel();
        self.registers.version = self.firmware.start(start == Start::Next);
        self.registers.generation = (self.registers.generation + 1) & 0xf;
        self.registers.is_running = true;
        self.counters.restarts += 1;
    }

    /// Whether the function may access guest memory and send interrupts.
    fn is_bus_master(&self) -> bool {
        let mut command = [0];
        self.config.read(COMMAND, &mut command);
        command[0] & BUS_MASTER != 0
    }

    /// Writes an event to the notify queue.
    fn notify(&mut self, bus: &mut Bus, code: u16) -> Result<(), String> {
        let is_bus_master = self.is_bus_master();
        let queues = self.firmware.queues.as_mut();
        let queues = queues.filter(|_| is_bus_master).ok_or("no notify queue")?;
        let written = queues.notify(&mut bus.memory, code);
        written.map_err(|error| error.to_string())?;
        self.counters.events += 1;
        let vector = queues.interrupt;
        self.registers.interrupts[vector].assert(&mut bus.vectors, vector);
        Ok(())
    }

    /// Changes the lists that the driver was given, behind its back.  `value` becomes the number of
    /// entries, or the attribute of each operation.
    fn rewrite(&mut self, bus: &mut Bus, value: u32, is_count: bool) -> u32 {
        let mut count = 0;
        for list in &self.firmware.endpoints.written {
            let write = |bus: &mut Bus, at: u64, bytes: &[u8]| {
                bus.memory
                    .write(list.address.wrapping_add(at), bytes)
                    .is_ok()
            };
            if is_count {
                count += u32::from(write(bus, 4, &value.to_le_bytes()));
            } else if list.entity == entity::ENDPOINT {
                for n in 0..u64::from(list.entries) {
                    count += u32::from(write(bus, 8 + 8 * n + 4, &[value as u8]));
                }
            }
        }
        count
    }

    fn counters(&self, bus: &Bus) -> Value {
        let more = json!({
            "in_flight": usize::from(self.device_flight.is_some()) + self.admin_flights.len(),
            "clients": self.firmware.clients.len(),
            "host_memory": self.firmware.host_memory.len(),
            "is_running": self.registers.is_running,
            "generation": self.registers.generation,
            "interrupts": bus.vectors.raised,
            "lost_interrupts": bus.vectors.lost,
            "faults_hit": self.faults.hits,
            "last_hit": self.last_hit,
        });
        merged(self.counters.json(), more)
    }

    fn endpoints(&self) -> Value {
        let endpoints = self.firmware.endpoints.list.iter().map(|endpoint| {
            let operations = endpoint
                .operations
                .iter()
                .map(|operation| json!({"id": operation.id(), "attribute": operation.attribute}));
            json!({
                "id": endpoint.id,
                "name": endpoint.name,
                "operations": operations.collect::<Value>(),
            })
        });
        endpoints.collect()
    }
}

/// Commands of the control socket that this device understands beyond [`control::VERBS`].
const VERBS: &[&str] = &[
    "endpoints",
    "clients",
    "stop (the firmware stops)",
    "start [next] (it starts with a new generation; `next` is another version)",
    "event link|reset|transceiver|client",
    "recount N (changes the number of entries in all lists in guest memory)",
    "reattribute N (changes all attributes in lists of operations in guest memory)",
    "overreach endpoints|operations BYTE (the next such list claims an entry behind its buffer, if memory there is BYTE)",
    "overreached (1 if the last such list did)",
    "release (answers the commands that `never` and `late` hold back)",
];

impl Device for Pensando {
    fn vectors(&self) -> u32 {
        self.options.interrupts.into()
    }

    fn bars(&self) -> [u64; 6] {
        [BAR0, 0, BAR2, 0, 0, 0]
    }

    fn config(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn read(&mut self, _bus: &mut Bus, bar: usize, offset: u64, data: &mut [u8]) {
        match bar {
            0 => self.registers.read(offset, data),
            _ => data.fill(0),
        }
    }

    fn write(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &[u8]) {
        match bar {
            0 => {
                if self.registers.write(offset, data, &mut bus.vectors) {
                    self.device_command(bus);
                }
            }
            DOORBELLS => self.doorbell(bus, offset, data),
            _ => {}
        }
    }

    fn reset(&mut self, _bus: &mut Bus, _reset: Reset) {
        self.cancel();
        self.firmware.reset();
        self.registers.reset();
        self.counters.resets += 1;
        // What resets the function also starts firmware that has stopped.
        if !self.registers.is_running {
            self.start(Start::Same);
        }
    }

    fn due(&self) -> Option<Instant> {
        let device = self.device_flight.as_ref().and_then(|flight| flight.due);
        let admin = self.admin_flights.front().and_then(|flight| flight.due);
        device.into_iter().chain(admin).min()
    }

    fn run_due(&mut self, bus: &mut Bus, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if let Some(flight) = self.device_flight.take_if(|flight| is_due(flight.due)) {
            self.finish_device(flight);
        }
        self.finish_admin(bus, now);
    }

    fn control(&mut self, bus: &mut Bus, verb: &str, argument: &str) -> Result<Value, String> {
        if let Some(result) = control::faults(&mut self.faults, &FAULTS, verb, argument) {
            return result;
        }
        match verb {
            "help" => return Ok(control::VERBS.iter().chain(VERBS).copied().collect()),
            "counters" => return Ok(self.counters(bus)),
            "endpoints" => return Ok(self.endpoints()),
            "clients" => return Ok(json!(self.firmware.clients)),
            "stop" => self.stop(),
            "start" => self.start(match argument {
                "" => Start::Same,
                "next" => Start::Next,
                _ => return Err("nothing or next".into()),
            }),
            // enum pds_core_notifyq_opcode
            "event" => {
                let code = match argument {
                    "link" => 1,
                    "reset" => 2,
                    "transceiver" => 5,
                    "client" => 6,
                    _ => return Err("link, reset, transceiver or client".into()),
                };
                self.notify(bus, code)?;
            }
            "recount" | "reattribute" => {
                let value = crate::fault::number(argument)?;
                return Ok(json!(self.rewrite(bus, value, verb == "recount")));
            }
            "overreach" => {
                self.firmware.endpoints.overreached = false;
                let (kind, mark) = argument
                    .split_once(' ')
                    .ok_or("expected a kind and a byte")?;
                let entity = match kind {
                    "endpoints" => entity::ROOT,
                    "operations" => entity::ENDPOINT,
                    _ => return Err("endpoints or operations".into()),
                };
                let mark = crate::fault::number(mark)?;
                self.firmware.endpoints.overreach = Some((entity, mark));
            }
            "overreached" => return Ok(json!(u8::from(self.firmware.endpoints.overreached))),
            "release" => return Ok(json!(self.release(bus))),
            _ => return Err(format!("unknown: {verb}; `help` lists the commands")),
        }
        Ok(Value::Null)
    }

    fn report(&self) -> Report {
        let clients = self.firmware.clients.iter();
        let mut leaks: Vec<String> = clients
            .map(|(id, name)| format!("client {id}, {name}"))
            .collect();
        if self.firmware.queues.is_some() {
            leaks.push("admin and notify queue".into());
        }
        let host_memory = self.firmware.host_memory.keys();
        leaks.extend(host_memory.map(|tag| format!("host memory {tag:#x}")));
        let line = format!(
            "pds: {} commands ({} refused), {} resets, {} restarts of the firmware, {} events, \
             {} bad doorbells, {} bad accesses to memory, {} faults hit",
            self.counters.total(),
            self.counters.refused.values().sum::<u64>(),
            self.counters.resets,
            self.counters.restarts,
            self.counters.events,
            self.counters.bad_doorbells,
            self.counters.bad_dma,
            self.faults.hits,
        );
        Report {
            leaks,
            lines: vec![line],
        }
    }
}

mod flight;
#[cfg(test)]
mod tests;
