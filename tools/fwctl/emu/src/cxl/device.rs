// SPDX-License-Identifier: MIT OR Apache-2.0

//! The function: BARs, resets, and the control socket. The life of a command is in `flight.rs`.

use super::config::{self, VECTORS};
use super::counters::Counters;
use super::events::LOGS;
use super::features::Reset as Kind;
use super::firmware::Firmware;
use super::registers::Registers;
use super::{component, Options, FAULTS};
use crate::control;
use crate::counters::merged;
use crate::device::{Bus, Device, Report, Reset};
use crate::fault::{BadFault, Fault, Faults, Noise};
use crate::pci::ConfigSpace;
use flight::{Background, InFlight};
use serde_json::{json, Value};
use std::time::Instant;

/// A CXL type 3 device.
pub struct Type3 {
    options: Options,
    config: ConfigSpace,
    registers: Registers,
    firmware: Firmware,
    /// The command in flight: the doorbell is set.
    in_flight: Option<InFlight>,
    background: Option<Background>,
    faults: Faults,
    /// Title of the last command that a fault hit.
    last_hit: Option<String>,
    counters: Counters,
    noise: Noise,
}

impl Type3 {
    /// Returns a device after power on.
    pub fn new(options: Options) -> Self {
        let registers = Registers::new(options.payload_size);
        Type3 {
            config: config::space(&options, registers.bar()),
            registers,
            firmware: Firmware::new(&options),
            in_flight: None,
            background: None,
            faults: Faults::default(),
            last_hit: None,
            counters: Counters::default(),
            noise: Noise(0x6378_6c66_7763_746c),
            options,
        }
    }

    /// Adds a fault.
    pub fn add_fault(&mut self, fault: Fault) -> Result<(), BadFault> {
        self.faults.add(fault)
    }

    /// Resets the function, or the device.
    fn forget(&mut self, kind: Option<Kind>) {
        self.counters.resets += 1;
        self.counters.cancelled += u64::from(self.in_flight.take().is_some());
        self.background = None;
        self.registers.reset();
        self.registers.health = 0;
        self.firmware.reset(kind);
    }

    fn counters(&self, bus: &Bus) -> Value {
        let more = json!({
            "transfers": self.firmware.features.transfers.json(),
            "in_flight": self.in_flight.is_some(),
            "in_background": self.background.is_some(),
            "interrupts": bus.vectors.raised,
            "lost_interrupts": bus.vectors.lost,
            "faults_hit": self.faults.hits,
            "last_hit": self.last_hit,
            "health": self.registers.health,
        });
        merged(self.counters.json(), more)
    }

    fn show_events(&mut self) {
        self.registers.event_status = self.firmware.events.status();
    }
}

/// Verbs of the control socket that only this device supports, besides [`control::VERBS`].
const VERBS: &[&str] = &[
    "features",
    "feature ID|NAME (prints all values)",
    "reset cxl|conventional|cold",
    "event informational|warning|failure|fatal",
    "release (completes the command and the background operation that `never` holds back)",
];

impl Device for Type3 {
    fn vectors(&self) -> u32 {
        VECTORS.into()
    }

    fn bars(&self) -> [u64; 6] {
        [config::BAR0, 0, self.registers.bar(), 0, 0, 0]
    }

    fn config(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn read(&mut self, _bus: &mut Bus, bar: usize, offset: u64, data: &mut [u8]) {
        match bar {
            0 if offset < component::LEN => component::read(offset, data),
            2 => self.registers.read(offset, data),
            _ => data.fill(0),
        }
    }

    fn write(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &[u8]) {
        if bar == 2 && self.registers.write(offset, data) {
            self.doorbell(bus);
        }
    }

    fn reset(&mut self, _bus: &mut Bus, reset: Reset) {
        self.forget(match reset {
            Reset::Function => None,
            Reset::Machine => Some(Kind::Conventional),
            Reset::PowerOn => Some(Kind::Cold),
        });
    }

    fn due(&self) -> Option<Instant> {
        let in_flight = self.in_flight.as_ref().and_then(|in_flight| in_flight.due);
        let background = self
            .background
            .as_ref()
            .and_then(|background| background.due);
        in_flight.into_iter().chain(background).min()
    }

    fn run_due(&mut self, bus: &mut Bus, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if let Some(in_flight) = self.in_flight.take_if(|in_flight| is_due(in_flight.due)) {
            self.finish(in_flight);
        }
        if let Some(background) = self.background.take_if(|background| is_due(background.due)) {
            self.finish_background(bus, background);
        }
    }

    fn control(&mut self, bus: &mut Bus, verb: &str, argument: &str) -> Result<Value, String> {
        if let Some(result) = control::faults(&mut self.faults, &FAULTS, verb, argument) {
            return result;
        }
        match verb {
            "help" => return Ok(control::VERBS.iter().chain(VERBS).copied().collect()),
            "counters" => return Ok(self.counters(bus)),
            "features" => return Ok(self.firmware.features.json()),
            "feature" => {
                let one = self.firmware.features.one(argument);
                return one.ok_or_else(|| format!("unknown Feature `{argument}`"));
            }
            "reset" => self.forget(Some(match argument {
                "cxl" => Kind::Cxl,
                "conventional" => Kind::Conventional,
                "cold" => Kind::Cold,
                _ => return Err("expected cxl, conventional or cold".into()),
            })),
            "event" => {
                let log = LOGS.iter().position(|log| *log == argument);
                let log = log.ok_or_else(|| format!("one of {}", LOGS.join(", ")))?;
                if self.firmware.add_event(log, Instant::now()) {
                    bus.vectors.raise(0);
                }
                self.show_events();
            }
            "release" => {
                let in_flight = self.in_flight.take();
                let background = self.background.take();
                let count = u8::from(in_flight.is_some()) + u8::from(background.is_some());
                if let Some(in_flight) = in_flight {
                    self.finish(in_flight);
                }
                if let Some(background) = background {
                    self.finish_background(bus, background);
                }
                return Ok(json!(count));
            }
            _ => return Err(format!("unknown verb: {verb}; `help` lists the verbs")),
        }
        Ok(Value::Null)
    }

    fn report(&self) -> Report {
        let features = &self.firmware.features;
        let transfers = &features.transfers;
        let mut leaks: Vec<String> = features.open_transfer().into_iter().collect();
        if transfers.timed_out > 0 {
            leaks.push(format!("{} transfers timed out", transfers.timed_out));
        }
        let line = format!(
            "cxl: {} commands ({} refused), transfers: {} begun, {} finished, {} aborted, {} ended by a reset; \
             {} in the background, {} resets, {} faults hit",
            self.counters.total(),
            self.counters.refused.values().sum::<u64>(),
            transfers.begun,
            transfers.finished,
            transfers.aborted,
            transfers.dropped,
            self.counters.backgrounds,
            self.counters.resets,
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
