// SPDX-License-Identifier: MIT OR Apache-2.0

//! The card: BAR 0, resets, and the control socket. The life of a command is in `flight.rs`.

use super::counters::Counters;
use super::exec::{Function, BAR0, VECTORS};
use super::iseg::{self, Effect, Health, Iseg};
use super::{identity, Options, FAULTS};
use crate::control;
use crate::counters::merged;
use crate::device::{Bus, Device, Report, Reset};
use crate::fault::{number, BadFault, Fault, Faults, Noise};
use crate::pci::{Bar64, ConfigSpace, Identity};
use flight::InFlight;
use serde_json::{json, Value};
use std::time::Instant;

/// Offsets of the MSI-X table and pending bits. QEMU emulates them: accesses are not forwarded.
const MSIX_TABLE: u32 = 0x3000;
const MSIX_PENDING: u32 = 0x4000;
/// Event queue doorbells in a UAR (`MLX5_EQ_DOORBELL_OFFSET`, eq.c): one arms the queue, the other
/// only updates its consumer index.
const DOORBELL_ARM: u64 = 0x40;
const DOORBELL_UPDATE: u64 = 0x48;
/// Number of command slots.
const SLOTS: usize = 1 << iseg::LOG_SLOTS;
/// Maximum number of pages in one request of the control socket.
const MAX_PAGE_REQUEST: u16 = 4096;

/// A ConnectX.
pub struct ConnectX {
    options: Options,
    config: ConfigSpace,
    iseg: Iseg,
    function: Function,
    slots: [Option<InFlight>; SLOTS],
    faults: Faults,
    /// Title of the last command that a fault hit.
    last_hit: Option<String>,
    counters: Counters,
    noise: Noise,
}

impl ConnectX {
    /// Returns a card after power on.
    pub fn new(options: Options) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: identity::VENDOR,
            device: options.device_id,
            subsystem_vendor: identity::VENDOR,
            subsystem: identity::SUBSYSTEM,
            class: 0x02_0000,
            revision: 0,
        });
        config.bar(Bar64 {
            index: 0,
            size: BAR0,
            is_prefetchable: true,
        });
        config.express();
        config.msix(VECTORS, MSIX_TABLE, MSIX_PENDING);
        let name = String::from_utf8_lossy(identity::DESCRIPTION);
        let model = String::from_utf8_lossy(identity::MODEL);
        config.vital_product_data(
            &name,
            &[
                (*b"PN", model.into_owned()),
                (*b"SN", identity::serial(options.serial)),
            ],
        );
        ConnectX {
            options,
            config,
            iseg: Iseg::new(&options),
            function: Function::new(options),
            slots: std::array::from_fn(|_| None),
            faults: Faults::default(),
            last_hit: None,
            counters: Counters::default(),
            noise: Noise(0x6d6c_7835_6677_6374),
        }
    }

    /// Adds a fault.
    pub fn add_fault(&mut self, fault: Fault) -> Result<(), BadFault> {
        self.faults.add(fault)
    }

    fn forget(&mut self) {
        self.counters.resets += 1;
        self.counters.dropped += self.function.reset();
        self.cancel();
    }

    fn in_flight(&self) -> Vec<u8> {
        self.slots
            .iter()
            .flatten()
            .map(|in_flight| in_flight.command.slot)
            .collect()
    }

    fn counters(&self, bus: &Bus) -> Value {
        let function = &self.function;
        let [umems, pds, mkeys] = function.memory.counts();
        let more = json!({
            "stage": function.stage.name(),
            "alive": {
                "eqs": function.eqs.alive(),
                "uars": function.uars(),
                "uids": function.contexts.alive().len(),
                "pages": function.pages.alive(),
                "umems": umems,
                "pds": pds,
                "mkeys": mkeys,
            },
            "owned": function.memory.json(),
            "dma": function.transfers.json(),
            "components_burnt": function.management.components.burnt,
            "uids": function.contexts.alive(),
            "uctx": {
                "created": function.contexts.created,
                "destroyed": function.contexts.destroyed,
                "peak": function.contexts.peak,
            },
            "pages": {
                "given": function.pages.given,
                "returned": function.pages.returned,
                "refused": function.pages.refused,
            },
            "events": {
                "posted": function.eqs.events,
                "overruns": function.eqs.overruns,
                "stray_doorbells": function.eqs.stray_doorbells,
                "dma_errors": function.eqs.dma_errors,
                "interrupts": bus.vectors.raised,
                "lost_interrupts": bus.vectors.lost,
            },
            "in_flight": self.in_flight(),
            "faults_hit": self.faults.hits,
            "last_hit": self.last_hit,
            "mfrl_resets": function.management.resets_asked,
            "health": { "syndrome": self.iseg.health.syndrome, "fatal": self.iseg.health.is_fatal },
        });
        merged(self.counters.json(), more)
    }
}

/// Verbs of the control socket that only this device supports, besides [`control::VERBS`].
const VERBS: &[&str] = &[
    "health SYNDROME (reports fatal health; 0 clears it)",
    "syndrome SYNDROME (reports a health syndrome that is not fatal; 0 clears it)",
    "heartbeat on|off",
    "release (completes commands that are never answered, without their answers, and does late writes)",
    "forget (destroys all user contexts and their objects, as a firmware reset does; not counted as leaks)",
    "forgive-leaks (prints the recorded leaks and clears them)",
    "request-pages N (requests pages from the driver; a negative N returns some)",
];

impl Device for ConnectX {
    fn vectors(&self) -> u32 {
        VECTORS.into()
    }

    fn bars(&self) -> [u64; 6] {
        [BAR0, 0, 0, 0, 0, 0]
    }

    fn config(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn read(&mut self, _bus: &mut Bus, bar: usize, offset: u64, data: &mut [u8]) {
        if bar == 0 && offset < iseg::LEN {
            self.iseg.read(offset, data);
        } else {
            data.fill(0);
        }
    }

    fn write(&mut self, bus: &mut Bus, bar: usize, offset: u64, data: &[u8]) {
        if bar != 0 {
            return;
        }
        if offset < iseg::LEN {
            match self.iseg.write(offset, data) {
                Effect::None => {}
                Effect::Queue => self.cancel(),
                Effect::Doorbell(slots) => self.doorbell(bus, slots),
                Effect::Reset => {
                    self.forget();
                    self.function.management.nvconfig.restart();
                    self.iseg.reset_by_driver();
                }
            }
            return;
        }
        let Some((uar, doorbell)) = self.function.uar_at(offset) else {
            return;
        };
        let Ok(word) = data.try_into().map(u32::from_be_bytes) else {
            return;
        };
        if matches!(doorbell, DOORBELL_ARM | DOORBELL_UPDATE) {
            self.function
                .eqs
                .doorbell(bus, uar, word, doorbell == DOORBELL_ARM);
        }
    }

    fn reset(&mut self, _bus: &mut Bus, _reset: Reset) {
        self.forget();
        self.iseg.reset();
    }

    fn due(&self) -> Option<Instant> {
        self.slots
            .iter()
            .flatten()
            .filter_map(|in_flight| in_flight.due)
            .chain(self.function.transfers.due())
            .min()
    }

    fn run_due(&mut self, bus: &mut Bus, now: Instant) {
        let is_master = self.config.is_bus_master();
        self.function.run_transfers(&mut bus.memory, now, is_master);
        for slot in 0..SLOTS {
            let is_due = |in_flight: &mut InFlight| in_flight.due.is_some_and(|due| due <= now);
            if let Some(in_flight) = self.slots[slot].take_if(is_due) {
                self.finish(bus, in_flight);
            }
        }
    }

    fn control(&mut self, bus: &mut Bus, verb: &str, argument: &str) -> Result<Value, String> {
        if let Some(result) = control::faults(&mut self.faults, &FAULTS, verb, argument) {
            return result;
        }
        match verb {
            "help" => {
                return Ok(json!(control::VERBS
                    .iter()
                    .chain(VERBS)
                    .collect::<Vec<_>>()))
            }
            "counters" => return Ok(self.counters(bus)),
            "health" => {
                let syndrome = number(argument)?;
                self.iseg.health = Health {
                    syndrome,
                    is_fatal: syndrome != 0,
                };
                if syndrome != 0 {
                    self.stop();
                }
            }
            "syndrome" => {
                self.iseg.health = Health {
                    syndrome: number(argument)?,
                    is_fatal: false,
                }
            }
            "heartbeat" => match argument {
                "on" => self.iseg.frozen = None,
                "off" => self.iseg.frozen = Some(self.iseg.heartbeat()),
                _ => return Err("expected on or off".into()),
            },
            "release" => {
                let stuck = |in_flight: &mut InFlight| in_flight.due.is_none();
                let released: Vec<InFlight> = self
                    .slots
                    .iter_mut()
                    .filter_map(|slot| slot.take_if(stuck))
                    .collect();
                let count = released.len();
                released
                    .into_iter()
                    .for_each(|in_flight| self.finish(bus, in_flight));
                self.function.transfers.hasten();
                return Ok(json!(count));
            }
            "forget" => {
                let count = self.function.contexts.alive().len();
                self.function.contexts.clear();
                self.function.memory.clear_users();
                self.counters.dropped += count as u64;
                return Ok(json!(count));
            }
            "forgive-leaks" => return Ok(json!(self.counters.forgive_leaks())),
            "request-pages" => {
                let (sign, count) = argument
                    .strip_prefix('-')
                    .map_or((1, argument), |count| (-1, count));
                let count = number::<u16>(count)?;
                if count == 0 || count > MAX_PAGE_REQUEST {
                    return Err(format!("expected 1 to {MAX_PAGE_REQUEST} pages"));
                }
                if !self
                    .function
                    .eqs
                    .post_page_request(bus, sign * i32::from(count))
                {
                    return Err("no event queue is subscribed to page requests".into());
                }
            }
            _ => return Err(format!("unknown verb: {verb}; `help` lists the verbs")),
        }
        Ok(Value::Null)
    }

    fn report(&self) -> Report {
        let (counters, contexts) = (&self.counters, &self.function.contexts);
        let mut leaks = counters.leaks();
        leaks.extend(
            self.function
                .alive()
                .iter()
                .map(|what| format!("{what} alive at the end")),
        );
        let line = format!(
            "connectx: {} commands ({} of users, {} refused), {} uids created, {} destroyed, {} pages given, {} returned, \
             {} resets that dropped {}, {} faults hit, {}",
            counters.total(),
            counters.user_commands,
            counters.refused.values().sum::<u64>(),
            contexts.created,
            contexts.destroyed,
            self.function.pages.given,
            self.function.pages.returned,
            counters.resets,
            counters.dropped,
            self.faults.hits,
            self.function.stage.name(),
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
