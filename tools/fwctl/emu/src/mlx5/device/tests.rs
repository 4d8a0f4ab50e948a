// SPDX-License-Identifier: MIT OR Apache-2.0

//! The card as seen by a driver: through its BAR and guest memory.

use super::super::bits::event;
use super::super::fields::{eq as eq_layout, hca_cap, input, uctx};
use super::super::opcodes as op;
use super::super::queue::test::{read_answer, write_command};
use super::*;
use crate::device::Presence;
use crate::dma;
use std::time::Duration;

const QUEUE: u64 = 0x1000;
const EQ_PAGE: u64 = 0x5000;

/// A card with 16 MiB of guest memory.
struct Machine {
    card: ConnectX,
    bus: Bus,
}

impl Machine {
    fn new() -> Self {
        let options = Options {
            boot_pages: 0,
            init_pages: 0,
            cmd_timeout: Some(1000),
            ..Options::default()
        };
        let bus = Bus {
            memory: dma::test::memory(0, 16 << 20),
            ..Bus::default()
        };
        let mut machine = Machine {
            card: ConnectX::new(options),
            bus,
        };
        machine.write(0x10, 0);
        machine.write(0x14, QUEUE as u32);
        machine
    }

    /// Returns a machine with an event queue for commands.
    fn with_events() -> Self {
        let mut machine = Machine::new();
        machine.ok(op::ENABLE_HCA, &[0; 4]);
        machine.create_command_eq();
        machine
    }

    /// Initialises an enabled card and creates an event queue for commands.
    fn create_command_eq(&mut self) {
        self.ok(op::INIT_HCA, &[0; 8]);
        let uar = self.ok(op::ALLOC_UAR, &[0; 8])[0x0b];
        let mut eq = vec![0; eq_layout::PAS - input::HEADER];
        (eq[0x14], eq[0x17]) = (5, uar);
        eq[eq_layout::MASK - input::HEADER + 6] = 1 << (event::COMMAND - 8);
        eq.extend(EQ_PAGE.to_be_bytes());
        self.ok(op::CREATE_EQ, &eq);
    }

    fn write(&mut self, offset: u64, word: u32) {
        self.card
            .write(&mut self.bus, 0, offset, &word.to_be_bytes());
    }

    /// Sends a command in slot 0 with this capacity for the answer. Returns the status byte of the
    /// entry and the answer.
    fn send(&mut self, opcode: u16, uid: u16, tail: &[u8], room: usize) -> (u8, Vec<u8>) {
        let mut bytes = opcode.to_be_bytes().to_vec();
        bytes.extend(uid.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend_from_slice(tail);
        write_command(&mut self.bus.memory, QUEUE, &bytes, room);
        self.write(0x18, 1);
        read_answer(&self.bus.memory, QUEUE, room)
    }

    #[track_caller]
    fn ok(&mut self, opcode: u16, tail: &[u8]) -> Vec<u8> {
        let (own, answer) = self.send(opcode, 0, tail, 16);
        assert_eq!(
            (own, &answer[..8]),
            (0, &[0; 8][..]),
            "{}",
            op::name(opcode)
        );
        answer
    }

    fn fault(&mut self, spec: &str) {
        self.card.add_fault(spec.parse().unwrap()).unwrap();
    }

    fn control(&mut self, verb: &str, argument: &str) -> Value {
        self.card.control(&mut self.bus, verb, argument).unwrap()
    }

    fn events(&mut self) -> u64 {
        self.control("counters", "")["events"]["posted"]
            .as_u64()
            .unwrap()
    }
}

#[test]
fn a_new_queue_gets_no_event_for_its_creation() {
    let mut machine = Machine::with_events();
    assert_eq!(machine.events(), 0);
    machine.ok(op::NOP, &[0; 8]);
    assert_eq!(machine.events(), 1);
    let mut kind = [0; 2];
    machine.bus.memory.read(EQ_PAGE, &mut kind).unwrap();
    assert_eq!(kind[1], event::COMMAND);
    machine.ok(op::DESTROY_EQ, &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(machine.events(), 1, "nor for its destruction");
}

#[test]
fn doorbells_are_found_with_each_page_size() {
    for log in [0, 2, 4] {
        let mut machine = Machine::new();
        machine.ok(op::ENABLE_HCA, &[0; 4]);
        let mut caps = vec![0; 8 + hca_cap::LEN];
        hca_cap::LOG_UAR_PAGE_SZ.within(8).set(&mut caps, log);
        machine.ok(op::SET_HCA_CAP, &caps);
        machine.create_command_eq();
        machine.ok(op::NOP, &[0; 8]);
        let interrupts = |machine: &mut Machine| {
            let counters = machine.control("counters", "");
            counters["events"]["interrupts"].as_u64().unwrap()
                + counters["events"]["lost_interrupts"].as_u64().unwrap()
        };
        let before = interrupts(&mut machine);
        // Arms queue 1 at consumer index 0, while an event is pending.
        machine.write((16 << (12 + log)) + DOORBELL_ARM, 1 << 24);
        assert_eq!(interrupts(&mut machine), before + 1, "{log}");
        assert_eq!(
            machine.control("counters", "")["events"]["stray_doorbells"],
            0
        );
    }
}

#[test]
fn status_delivery_and_bytes() {
    let mut machine = Machine::with_events();
    for spec in [
        "status=6/0x77",
        "delivery=7",
        "truncate=4",
        "garble=8",
        "silent",
        "lost",
    ] {
        machine.fault(&format!("op=0x101,{spec}"));
    }
    let mut ask = || machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110);
    assert_eq!(ask().1[..8], [6, 0, 0, 0, 0, 0, 0, 0x77]);
    assert_eq!(ask().0, 7 << 1);
    let truncated = ask().1;
    assert_eq!(truncated[4..], [0; 0x10c]);
    let garbled = ask().1;
    assert_eq!(garbled[..8], [0; 8]);
    assert!(garbled[8..].iter().filter(|byte| **byte != 0).count() > 200);
    let before = machine.events();
    let (own, answer) = machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110);
    assert_eq!(
        (own, &answer[0x100..0x103], machine.events()),
        (0, &b"EMU"[..], before + 1)
    );
    let (own, answer) = machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110);
    assert_eq!(
        (own, &answer[0x100..0x103], machine.events()),
        (0, &b"EMU"[..], before + 1)
    );
    assert_eq!(machine.control("release", ""), json!(1));
    assert_eq!(machine.events(), before + 2);
}

#[test]
fn late_and_never() {
    let mut machine = Machine::with_events();
    machine.fault("op=0x101,late=500");
    machine.fault("op=0x101,late=5500");
    machine.fault("op=0x101,never");
    let now = Instant::now();
    // Before the timeout: the whole answer.
    assert_eq!(
        machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110).0,
        1,
        "hardware owns it"
    );
    machine.write(0x18, 1);
    assert_eq!(
        machine.card.counters.idle_doorbells, 1,
        "one command at a time in a slot"
    );
    machine.card.run_due(&mut machine.bus, now);
    assert!(machine.card.due().is_some());
    machine
        .card
        .run_due(&mut machine.bus, now + Duration::from_secs(1));
    let (own, answer) = read_answer(&machine.bus.memory, QUEUE, 0x110);
    assert_eq!((own, &answer[0x100..0x103]), (0, &b"EMU"[..]));
    // After the driver's timeout of 1 + 5 s, or close to it: the mailboxes are not touched.
    machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110);
    assert!(machine.card.due().unwrap() > now + Duration::from_secs(6));
    machine
        .card
        .run_due(&mut machine.bus, now + Duration::from_secs(60));
    assert_eq!(
        read_answer(&machine.bus.memory, QUEUE, 0x110),
        (0, vec![0; 0x110])
    );
    // Never, until the control socket releases it.
    machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110);
    assert_eq!(machine.card.due(), None);
    let before = machine.events();
    assert_eq!(machine.control("counters", "")["in_flight"], json!([0]));
    assert_eq!(machine.control("release", ""), json!(1));
    assert_eq!(
        (
            read_answer(&machine.bus.memory, QUEUE, 0).0,
            machine.events()
        ),
        (0, before + 1)
    );
}

#[test]
fn fatal_health_ends_all_answers() {
    let mut machine = Machine::with_events();
    machine.fault("op=0x101,health=0x10");
    assert_eq!(machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110).0, 1);
    assert_eq!(machine.send(op::NOP, 0, &[0; 8], 16).0, 1);
    assert_eq!(machine.card.counters.ignored_doorbells, 1);
    let mut health = [0; 2];
    machine
        .card
        .read(&mut machine.bus, 0, 0x238, &mut health[..1]);
    machine
        .card
        .read(&mut machine.bus, 0, 0x23d, &mut health[1..]);
    assert_eq!((health[0] & 0x80, health[1]), (0x80, 0x10));
    // The driver resets the firmware.
    machine.write(0x14, QUEUE as u32 | 7 << 8);
    assert!(machine.card.slots.iter().all(Option::is_none));
    machine.write(0x14, QUEUE as u32);
    machine.ok(op::ENABLE_HCA, &[0; 4]);
    assert!(
        machine.card.report().leaks.is_empty(),
        "resources dropped by a reset are not leaks"
    );
    assert!(machine.card.counters.dropped > 0);
}

#[test]
fn a_new_driver_can_use_all_slots() {
    let mut machine = Machine::with_events();
    machine.fault("op=0x101,health=0x10");
    machine.send(op::QUERY_ADAPTER, 0, &[0; 8], 0x110);
    assert_eq!(machine.control("counters", "")["in_flight"], json!([0]));
    machine.control("health", "0");
    // The driver did not reset the firmware and uses the slot of a command that timed out.
    machine.write(0x10, (QUEUE >> 32) as u32);
    machine.write(0x14, QUEUE as u32);
    machine.ok(op::ENABLE_HCA, &[0; 4]);
    let counters = machine.control("counters", "");
    assert_eq!(counters["in_flight"], json!([]));
    assert_eq!(counters["cancelled"], json!(1));
}

#[test]
fn vanish_removes_the_device() {
    let mut machine = Machine::with_events();
    machine.fault("user,nth=2,vanish");
    let answer = machine.ok(op::CREATE_UCTX, &[0; 0x38]);
    let uid = uctx::UID.get(&answer) as u16;
    machine.send(op::NOP, uid, &[0; 8], 16);
    assert_eq!(machine.bus.presence, Presence::Here);
    assert_eq!(machine.send(op::NOP, uid, &[0; 8], 16).0, 1, "no answer");
    assert_eq!(machine.bus.presence, Presence::Gone);
}

#[test]
fn resets_and_doorbells_without_a_queue() {
    let mut machine = Machine::with_events();
    machine.card.reset(&mut machine.bus, Reset::Function);
    machine.write(0x18, u32::MAX);
    assert_eq!(machine.card.counters.ignored_doorbells, 32);
    // A queue address that is not mapped.
    machine.write(0x14, 0xffff_f000);
    machine.write(0x18, u32::MAX);
    assert_eq!(machine.card.counters.delivery_errors, 32);
    // DISABLE_HCA drops the commands in flight: the driver frees the queue.
    machine.write(0x14, QUEUE as u32);
    machine.fault("op=0x80d,never");
    machine.ok(op::ENABLE_HCA, &[0; 4]);
    machine.send(op::NOP, 0, &[0; 8], 16);
    assert_eq!(machine.control("counters", "")["in_flight"], json!([0]));
    write_command(
        &mut machine.bus.memory,
        QUEUE + 64,
        &[1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        12,
    );
    machine.write(0x18, 2);
    assert_eq!(machine.control("counters", "")["in_flight"], json!([]));
}

#[test]
fn leaks_at_the_end() {
    let mut machine = Machine::with_events();
    machine.ok(op::CREATE_UCTX, &[0; 0x38]);
    let leaks = machine.card.report().leaks;
    assert_eq!(
        leaks,
        [
            "1 event queues alive at the end",
            "1 UARs alive at the end",
            "uid 1 alive at the end"
        ]
    );
}

#[test]
fn forgotten_contexts_are_not_leaks() {
    let mut machine = Machine::with_events();
    let answer = machine.ok(op::CREATE_UCTX, &[0; 0x38]);
    let uid = uctx::UID.get(&answer) as u16;
    assert_eq!(machine.control("forget", ""), json!(1));
    assert_eq!(machine.control("counters", "")["alive"]["uids"], json!(0));
    machine.send(op::NOP, uid, &[0; 8], 16);
    assert_eq!(machine.control("counters", "")["refused"]["0x05"], json!(1));
    assert!(!machine
        .card
        .report()
        .leaks
        .iter()
        .any(|leak| leak.contains("uid")));
}

#[test]
fn forgiven_leaks_are_not_reported() {
    let mut machine = Machine::with_events();
    machine.ok(op::TEARDOWN_HCA, &[0; 8]);
    assert_eq!(
        machine.control("forgive-leaks", ""),
        json!([
            "1 event queues alive at TEARDOWN_HCA",
            "1 UARs alive at TEARDOWN_HCA"
        ])
    );
    assert_eq!(machine.control("forgive-leaks", ""), json!([]));
    machine.ok(op::DISABLE_HCA, &[0; 4]);
    assert_eq!(machine.card.report().leaks, [""; 0]);
}

#[test]
fn the_last_hit_is_reported() {
    let mut machine = Machine::with_events();
    assert_eq!(machine.control("counters", "")["last_hit"], Value::Null);
    machine.fault("op=0x80d,status=1");
    machine.send(op::NOP, 0, &[0; 8], 16);
    machine.ok(op::NOP, &[0; 8]);
    assert_eq!(
        machine.control("counters", "")["last_hit"],
        "NOP op_mod 0, initialised"
    );
    machine.fault("reg=0x9020,status=1");
    machine.send(op::ACCESS_REG, 0, &[0, 0, 0x90, 0x20, 0, 0, 0, 0], 16);
    assert_eq!(
        machine.control("counters", "")["last_hit"],
        "ACCESS_REG 0x9020 op_mod 0, initialised"
    );
}

#[test]
fn control_verbs() {
    let mut machine = Machine::with_events();
    for verb in [
        "nothing",
        "health x",
        "heartbeat",
        "request-pages 0",
        "request-pages 1",
        "request-pages 9999",
        "fault x",
    ] {
        let (verb, argument) = verb.split_once(' ').unwrap_or((verb, ""));
        assert!(
            machine
                .card
                .control(&mut machine.bus, verb, argument)
                .is_err(),
            "{verb} {argument}"
        );
    }
    machine.control("syndrome", "3");
    machine.ok(op::NOP, &[0; 8]);
    machine.control("syndrome", "0");
    machine.control("heartbeat", "off");
    machine.control("heartbeat", "on");
    assert!(machine.control("help", "").as_array().unwrap().len() > 8);
    assert_eq!(machine.control("counters", "")["alive"]["eqs"], 1);
}

/// Writes that come after their umem was destroyed: a driver must be prepared for them.
#[test]
fn dma_faults() {
    use super::super::fields::{mkey, pd, umem};
    use super::super::memory::test;
    let mut machine = Machine::with_events();
    machine.card.config.write(4, &[6, 0]);
    let uid = uctx::UID.get(&machine.ok(op::CREATE_UCTX, &[0; 0x38])) as u16;
    let page = 0x70_0000;
    let send = |machine: &mut Machine, opcode, tail: &[u8]| {
        let (own, answer) = machine.send(opcode, uid, tail, 0x50);
        assert_eq!((own, answer[0]), (0, 0), "{}", op::name(opcode));
        answer
    };
    let made = send(&mut machine, op::CREATE_UMEM, &test::umem(&[page]));
    let umem = umem::ID.get(&made) as u32;
    let made = send(&mut machine, op::ALLOC_PD, &[0; 8]);
    let pd = pd::PD.get(&made) as u32;
    let made = send(&mut machine, op::CREATE_MKEY, &test::key(pd, umem, 0, 4096));
    let index = mkey::INDEX.get(&made) as u32;
    let mut dump = vec![0, 0, 0x40, 0x2e, 0, 0, 0, 0];
    dump.extend([0; 0x40]);
    dump[8 + 3] = 2;
    dump[8 + 0x10..8 + 0x14].copy_from_slice(&(index << 8 | 0x42).to_be_bytes());
    dump[8 + 0x16] = 0x10;
    machine.fault("reg=0x402e,dma_lost");
    machine.fault("reg=0x402e,dma_late=1000");
    let host = |machine: &Machine| {
        let mut bytes = [0; 4096];
        machine.bus.memory.read(page, &mut bytes).unwrap();
        bytes.iter().any(|byte| *byte != 0)
    };
    for _ in 0..2 {
        let answer = send(&mut machine, op::ACCESS_REG, &dump);
        assert_eq!(answer[0x26], 0x10, "says that it has written");
        assert!(!host(&machine));
    }
    for (opcode, id) in [(op::DESTROY_MKEY, index), (op::DESTROY_UMEM, umem)] {
        let mut tail = id.to_be_bytes().to_vec();
        tail.extend([0; 4]);
        send(&mut machine, opcode, &tail);
    }
    let due = machine.card.due().unwrap();
    machine.card.run_due(&mut machine.bus, due);
    assert!(host(&machine), "after the umem was destroyed");
    let counters = machine.control("counters", "");
    let (dma, owned) = (&counters["dma"], &counters["owned"]);
    assert_eq!(
        (&dma["lost"], &dma["late"], &dma["outside_umems"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(owned["1"], json!({"umems": 0, "pds": 1, "mkeys": 0}));
    machine.control("forget", "");
    assert_eq!(machine.control("counters", "")["owned"], json!({}));
}
