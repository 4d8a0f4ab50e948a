// SPDX-License-Identifier: MIT OR Apache-2.0

use super::super::codes::{admin, device, fwctl};
use super::*;
use crate::device::Presence;
use crate::dma::test::memory;
use std::time::Duration;

const BASE: u64 = 0x10_0000;
const QUEUE: u64 = BASE;
const COMPLETIONS: u64 = BASE + 0x1000;
const EVENTS: u64 = BASE + 0x2000;
const REQUEST: u64 = BASE + 0x4000;
const RESPONSE: u64 = BASE + 0x8000;

/// A device in a machine, and the driver's part of the admin queue.
struct Machine {
    device: Pensando,
    bus: Bus,
    head: u16,
    tail: u16,
    color: u8,
}

/// A command of a client 1.
fn wrapped(command: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..4].copy_from_slice(&[admin::CLIENT_CMD, 0, 1, 0]);
    bytes[4..4 + command.len()].copy_from_slice(command);
    bytes
}

fn plain(command: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..command.len()].copy_from_slice(command);
    bytes
}

/// An RPC with both payloads in memory.
fn rpc(endpoint: u32, operation: u32, request: u32, response: u32) -> [u8; 64] {
    let mut command = [0; 60];
    command[0] = fwctl::RPC;
    command[2] = 3;
    command[4..8].copy_from_slice(&endpoint.to_le_bytes());
    command[8..12].copy_from_slice(&operation.to_le_bytes());
    command[28..36].copy_from_slice(&REQUEST.to_le_bytes());
    command[36..40].copy_from_slice(&request.to_le_bytes());
    command[44..52].copy_from_slice(&RESPONSE.to_le_bytes());
    command[52..56].copy_from_slice(&response.to_le_bytes());
    wrapped(&command)
}

impl Machine {
    /// A machine as after power on.
    fn new(faults: &[&str]) -> Self {
        let mut device = Pensando::new(Options::default());
        for fault in faults {
            device.add_fault(FAULTS.parse(fault).unwrap()).unwrap();
        }
        device.config.write(COMMAND, &[0x06]);
        let bus = Bus {
            memory: memory(BASE, 0x4_0000),
            ..Bus::default()
        };
        Machine {
            device,
            bus,
            head: 0,
            tail: 0,
            color: 0x80,
        }
    }

    /// One whose driver has got as far as a registered client.
    fn ready(faults: &[&str]) -> Self {
        let mut machine = Machine::new(faults);
        machine.init();
        assert_eq!(
            machine.admin(&plain(&[admin::CLIENT_REG]))[..8],
            [0, 0, 0, 0, 1, 0, 0, 0]
        );
        machine
    }

    fn dword(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.device.read(&mut self.bus, 0, offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn write(&mut self, bar: usize, offset: u64, data: &[u8]) {
        self.device.write(&mut self.bus, bar, offset, data);
    }

    /// Starts a device command.
    fn start(&mut self, command: &[u8], data: &[u8]) {
        self.write(0, 0x888, data);
        self.write(0, 0x808, &plain(command));
        self.write(0, 0x804, &[0; 4]);
        self.write(0, 0x800, &[1, 0, 0, 0]);
    }

    fn is_done(&mut self) -> bool {
        self.dword(0x804) & 1 != 0
    }

    /// Executes a device command; its status.
    fn command(&mut self, command: &[u8], data: &[u8]) -> u8 {
        self.start(command, data);
        assert!(self.is_done());
        self.dword(0x848) as u8
    }

    fn init(&mut self) {
        assert_eq!(self.command(&[device::RESET], &[]), 0);
        let mut data = [0; 32];
        for (n, address) in [QUEUE, COMPLETIONS, EVENTS].iter().enumerate() {
            data[8 * n..][..8].copy_from_slice(&address.to_le_bytes());
        }
        data[24] = 3;
        data[30..].copy_from_slice(&[4, 6]);
        assert_eq!(self.command(&[device::INIT], &data), 0);
        assert_eq!(self.dword(0x888), 1);
        (self.head, self.tail, self.color) = (0, 0, 0x80);
        // Mask on assertion, unmask.
        self.write(0, 0x200c, &[1, 0, 0, 0]);
        self.write(0, 0x2004, &[0, 0, 0, 0]);
    }

    /// Posts a command to the admin queue.
    fn post(&mut self, command: &[u8; 64]) {
        let at = QUEUE + 64 * u64::from(self.head);
        self.bus.memory.write(at, command).unwrap();
        self.head = (self.head + 1) & 15;
        let value = 5 << 24 | u64::from(self.head);
        self.write(2, 0x2008, &value.to_le_bytes());
    }

    /// The next completion, if there is one.
    fn completion(&mut self) -> Option<[u8; 16]> {
        let mut entry = [0; 16];
        let at = COMPLETIONS + 16 * u64::from(self.tail);
        self.bus.memory.read(at, &mut entry).unwrap();
        if entry[15] != self.color {
            return None;
        }
        self.tail = (self.tail + 1) & 15;
        if self.tail == 0 {
            self.color ^= 0x80;
        }
        Some(entry)
    }

    /// Executes a command of the admin queue.
    fn admin(&mut self, command: &[u8; 64]) -> [u8; 16] {
        self.post(command);
        self.completion().expect("it is answered at once")
    }

    fn guest(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.bus.memory.read(address, &mut bytes).unwrap();
        bytes
    }

    /// Interrupts that were sent: without event descriptors they are all lost.
    fn interrupts(&self) -> u64 {
        self.bus.vectors.raised + self.bus.vectors.lost
    }

    /// Does what is due within the next hour.
    fn later(&mut self) {
        let later = Instant::now() + Duration::from_secs(3600);
        self.device.run_due(&mut self.bus, later);
    }

    fn control(&mut self, verb: &str, argument: &str) -> Value {
        let answer = self.device.control(&mut self.bus, verb, argument);
        answer.unwrap()
    }

    fn counter(&mut self, name: &str) -> Value {
        self.control("counters", "")[name].clone()
    }
}

#[test]
fn rpc_and_its_interrupt() {
    let mut machine = Machine::ready(&[]);
    assert_eq!(machine.interrupts(), 1);
    machine.bus.memory.write(REQUEST, b"ping").unwrap();
    let done = machine.admin(&rpc(0x10, 0x2, 4, 16));
    assert_eq!(done[..12], [0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(machine.guest(RESPONSE, 5), b"ping\0");
    assert_eq!(machine.interrupts(), 1, "masked since the first one");
    // Both credits come back.
    machine.write(0, 0x2008, &[2, 0, 3, 0]);
    assert_eq!(machine.interrupts(), 1);
    machine.admin(&rpc(0x10, 0x2, 4, 16));
    assert_eq!(machine.interrupts(), 2);
}

#[test]
fn the_queue_wraps() {
    let mut machine = Machine::ready(&[]);
    for n in 0..40u32 {
        let done = machine.admin(&rpc(0x10, 0x4, n, 4));
        assert_eq!(done[0], 0);
    }
    assert_eq!(machine.counter("bad_doorbells"), 0);
}

#[test]
fn largest_payload() {
    let mut machine = Machine::ready(&[]);
    machine.bus.memory = memory(BASE, 1 << 20);
    let max = 128 << 10;
    assert_eq!(
        machine.admin(&rpc(0x10, 0x3, max, max))[8..12],
        max.to_le_bytes()
    );
    let last = u64::from(max) - 4;
    assert_eq!(
        machine.guest(RESPONSE + last, 4),
        (max / 4 - 1).to_le_bytes()
    );
    assert_eq!(machine.admin(&rpc(0x10, 0x3, max + 1, max))[0], 16);
    assert_eq!(machine.admin(&rpc(0x10, 0x3, max, max + 1))[0], 16);
}

#[test]
fn completions_stay_in_order() {
    let mut machine = Machine::ready(&["op=0x147,op_mod=2,late=50", "op=0x147,op_mod=4,never"]);
    machine.post(&rpc(0x10, 0x2, 4, 16));
    machine.post(&rpc(0x10, 0x3, 0, 4));
    assert_eq!(machine.completion(), None, "the first one is late");
    assert_eq!(machine.counter("in_flight"), 2);
    machine.later();
    assert_eq!(machine.completion().unwrap()[8], 4);
    assert_eq!(machine.completion().unwrap()[8], 4);
    machine.post(&rpc(0x10, 0x4, 0, 4));
    machine.post(&rpc(0x10, 0x3, 0, 4));
    machine.later();
    assert_eq!(machine.completion(), None);
    assert_eq!(machine.control("release", ""), json!(2));
    assert!(machine.completion().is_some() && machine.completion().is_some());
}

#[test]
fn data_with_the_completion() {
    let mut machine = Machine::ready(&["op=0x147,nth=2,late=50,background"]);
    machine.bus.memory.write(REQUEST, b"ping").unwrap();
    machine.post(&rpc(0x10, 0x4, 4, 4));
    assert_ne!(machine.guest(RESPONSE, 4), [0; 4]);
    machine.bus.memory.write(RESPONSE, &[0; 4]).unwrap();
    machine.post(&rpc(0x10, 0x2, 4, 4));
    assert_eq!(machine.guest(RESPONSE, 4), [0; 4]);
    machine.later();
    assert_eq!(machine.guest(RESPONSE, 4), b"ping");
}

#[test]
fn lies() {
    let mut machine = Machine::ready(&[
        "op=0x148,op_mod=0,claim=0xffffffff",
        "op=0x147,op_mod=2,claim=0x12345",
        "op=0x147,op_mod=3,garble=4",
        "op=0x147,op_mod=1,truncate=3",
        "op=0x147,op_mod=4,status=9",
        "op=0x147,op_mod=5,silent",
        "op=0x147,op_mod=6,lost",
    ]);
    let mut query = [0; 20];
    query[..2].copy_from_slice(&[fwctl::QUERY, 0]);
    query[4..8].copy_from_slice(&4096u32.to_le_bytes());
    query[8..16].copy_from_slice(&RESPONSE.to_le_bytes());
    assert_eq!(machine.admin(&wrapped(&query))[0], 0);
    assert_eq!(
        machine.guest(RESPONSE + 4, 8),
        [0xff, 0xff, 0xff, 0xff, 0x10, 0, 0, 0]
    );
    assert_eq!(
        machine.admin(&rpc(0x10, 2, 1, 4))[8..12],
        [0x45, 0x23, 1, 0]
    );
    machine.admin(&rpc(0x10, 3, 0, 12));
    assert_ne!(
        machine.guest(RESPONSE, 12),
        [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]
    );
    assert_eq!(machine.guest(RESPONSE, 4), [0; 4]);
    machine.bus.memory.write(RESPONSE, &[0; 8]).unwrap();
    machine.admin(&rpc(0x10, 1, 0, 8));
    assert_eq!(machine.guest(RESPONSE, 8), b"fwc\0\0\0\0\0");
    assert_eq!(machine.admin(&rpc(0x10, 4, 0, 4))[0], 9);
    machine.write(0, 0x2008, &[6, 0, 3, 0]);
    let before = machine.interrupts();
    machine.admin(&rpc(0x10, 5, 4, 4));
    assert_eq!(machine.interrupts(), before, "silent");
    machine.post(&rpc(0x10, 6, 4, 4));
    assert_eq!(machine.completion(), None, "lost");
    assert!(machine.admin(&rpc(0x10, 1, 0, 8))[0] == 0, "in its place");
}

#[test]
fn lists_change_behind_the_driver() {
    let mut machine = Machine::ready(&[]);
    let mut query = [0; 20];
    query[..2].copy_from_slice(&[fwctl::QUERY, 1]);
    query[4..8].copy_from_slice(&4096u32.to_le_bytes());
    query[8..16].copy_from_slice(&RESPONSE.to_le_bytes());
    query[16] = 0x20;
    machine.admin(&wrapped(&query));
    assert_eq!(machine.control("recount", "0x1000"), json!(1));
    assert_eq!(machine.guest(RESPONSE + 4, 4), [0, 0x10, 0, 0]);
    assert_eq!(machine.control("reattribute", "0"), json!(5));
    assert_eq!(machine.guest(RESPONSE + 16, 8), [2, 1, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn recovery() {
    let mut machine = Machine::ready(&[]);
    machine.control("stop", "");
    assert_eq!(machine.dword(4) >> 24, 0x10);
    machine.start(&[device::RESET], &[]);
    assert!(!machine.is_done(), "nothing is executed");
    machine.control("start", "next");
    assert_eq!(machine.dword(4) >> 24, 0x21);
    machine.init();
    assert_eq!(
        machine.admin(&rpc(0x10, 0x2, 4, 16))[0],
        33,
        "client 1 is of the past"
    );
    assert_eq!(machine.admin(&plain(&[admin::CLIENT_REG]))[4], 2);
    assert_eq!(machine.control("endpoints", "")[0]["id"], 0x20);
    assert_eq!(machine.counter("restarts"), 1);
}

#[test]
fn firmware_that_dies_of_a_command() {
    for (health, status) in [(1, 0x10), (2, 0x21), (3, 0x21)] {
        let mut machine = Machine::ready(&[&format!("op=0x147,health={health}")]);
        machine.post(&rpc(0x10, 0x2, 4, 16));
        assert_eq!(machine.completion(), None);
        assert_eq!(machine.dword(4) >> 24, status);
    }
}

#[test]
fn late_device_commands() {
    let mut machine = Machine::new(&["op=2,late=50", "op=1,never", "op=0,vanish"]);
    machine.start(&[device::RESET], &[]);
    assert!(!machine.is_done());
    machine.later();
    assert!(machine.is_done());
    machine.start(&[device::IDENTIFY, 2], &[]);
    machine.later();
    assert!(!machine.is_done());
    // The driver gives up and goes on.
    assert_eq!(machine.command(&[device::IDENTIFY, 2], &[]), 0);
    assert_eq!(machine.dword(0x888 + 8), 4, "interrupts");
    assert_eq!(machine.command(&[device::IDENTIFY, 3], &[]), 1);
    assert_eq!(machine.command(&[60], &[]), 2);
    machine.start(&[device::NOP], &[]);
    assert_eq!(machine.bus.presence, Presence::Gone);
}

#[test]
fn events() {
    let mut machine = Machine::new(&[]);
    let event = |machine: &mut Machine, argument| {
        machine.device.control(&mut machine.bus, "event", argument)
    };
    assert!(event(&mut machine, "link").is_err(), "no queue");
    machine.init();
    assert!(event(&mut machine, "link").is_ok());
    assert_eq!(machine.guest(EVENTS, 10), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(machine.interrupts(), 1);
    assert!(event(&mut machine, "client").is_ok());
    assert_eq!(
        machine.guest(EVENTS + 64, 10),
        [2, 0, 0, 0, 0, 0, 0, 0, 6, 0]
    );
    assert!(event(&mut machine, "nothing").is_err());
}

#[test]
fn without_bus_mastering() {
    let mut machine = Machine::ready(&[]);
    machine.device.config.write(COMMAND, &[0x02]);
    machine.post(&rpc(0x10, 0x2, 4, 16));
    assert_eq!(machine.completion(), None);
    assert_eq!(machine.counter("bad_dma"), 1);
}

#[test]
fn doorbells_that_ring_nothing() {
    let mut machine = Machine::ready(&[]);
    let ring = |machine: &mut Machine, offset, value: u64| {
        machine.write(2, offset, &value.to_le_bytes());
    };
    ring(&mut machine, 0x2008, 5 << 24 | 16);
    ring(&mut machine, 0x2008, 6 << 24 | 1);
    ring(&mut machine, 0x2010, 5 << 24 | 1);
    machine.write(2, 0x2008, &[1]);
    assert_eq!(machine.counter("bad_doorbells"), 4);
    // 64 bits in two halves.
    machine.write(2, 0x2008, &[2, 0, 0, 5]);
    machine.write(2, 0x200c, &[0; 4]);
    assert_eq!(machine.counter("bad_doorbells"), 4);
    assert!(machine.completion().is_some());
}

#[test]
fn leaks() {
    let mut machine = Machine::ready(&[]);
    assert_eq!(machine.device.report().leaks.len(), 2);
    machine.admin(&plain(&[admin::CLIENT_UNREG, 0, 1]));
    assert_eq!(machine.device.report().leaks, ["admin and notify queue"]);
    machine.command(&[device::RESET], &[]);
    assert!(machine.device.report().leaks.is_empty());
    machine.init();
    machine.device.reset(&mut machine.bus, Reset::Function);
    assert!(machine.device.report().leaks.is_empty());
}

#[test]
fn any_access_is_fine() {
    let mut noise = Noise(1);
    let mut machine = Machine::ready(&[]);
    for _ in 0..20_000 {
        let mut bytes = [0; 64];
        noise.fill(&mut bytes);
        let number = noise.number();
        match number & 7 {
            0 => machine.write(0, number >> 48, &bytes[..1 << (number >> 8 & 3)]),
            1 => machine.write(2, number >> 48, &bytes[..8]),
            2 => machine.start(&bytes, &bytes),
            3 => machine.start(&[(number >> 8) as u8 % 13, bytes[1], bytes[2]], &bytes),
            4 => {
                bytes[0] = admin::CLIENT_CMD;
                bytes[4] = fwctl::IDENT + (number >> 8) as u8 % 3;
                machine.post(&bytes);
            }
            5 => machine.post(&bytes),
            6 => machine.later(),
            _ => machine.init(),
        }
        machine.bus.presence = Presence::Here;
    }
    machine.device.reset(&mut machine.bus, Reset::Machine);
    machine.init();
}
