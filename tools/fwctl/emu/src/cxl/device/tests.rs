// SPDX-License-Identifier: MIT OR Apache-2.0

use super::super::catalogue::CATALOGUE;
use super::*;
use crate::device::Presence;
use std::time::Duration;

/// A device in a machine.
struct Machine {
    device: Type3,
    bus: Bus,
}

/// The registers after a command: return code, length, output.
#[derive(Debug, PartialEq, Eq)]
struct Answer(u16, u32, Vec<u8>);

impl Machine {
    fn new(faults: &[&str]) -> Self {
        let mut device = Type3::new(Options::default());
        for fault in faults {
            device.add_fault(FAULTS.parse(fault).unwrap()).unwrap();
        }
        Machine {
            device,
            bus: Bus::default(),
        }
    }

    fn dword(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.device.read(&mut self.bus, 2, offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn ring(&mut self, opcode: u16, input: &[u8]) {
        let command = u64::from(opcode) | (input.len() as u64) << 16;
        self.device.write(&mut self.bus, 2, 0x120, input);
        self.device
            .write(&mut self.bus, 2, 0x108, &command.to_le_bytes());
        self.device
            .write(&mut self.bus, 2, 0x104, &5u32.to_le_bytes());
    }

    fn is_busy(&mut self) -> bool {
        self.dword(0x104) & 1 != 0
    }

    fn answer(&mut self) -> Answer {
        assert!(!self.is_busy());
        let len = self.dword(0x10a) & 0x1f_ffff;
        let mut output = vec![0; len.min(512) as usize];
        self.device.read(&mut self.bus, 2, 0x120, &mut output);
        Answer(self.dword(0x114) as u16, len, output)
    }

    fn command(&mut self, opcode: u16, input: &[u8]) -> Answer {
        self.ring(opcode, input);
        self.answer()
    }

    fn control(&mut self, line: &str) -> Value {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        self.device.control(&mut self.bus, verb, argument).unwrap()
    }

    /// Runs the next delayed work.
    fn wait(&mut self) {
        let due = self.device.due().expect("something is due");
        self.device.run_due(&mut self.bus, due);
    }
}

fn get(feature: usize) -> Vec<u8> {
    [&CATALOGUE[feature].uuid(feature)[..], &[0, 0, 4, 0, 0]].concat()
}

fn set(feature: usize, action: u8, offset: u8, data: &[u8]) -> Vec<u8> {
    let head = [action, 0, 0, 0, offset, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&CATALOGUE[feature].uuid(feature)[..], &head, data].concat()
}

#[test]
fn commands() {
    let mut machine = Machine::new(&[]);
    assert_eq!(
        machine.command(0x0501, &get(0)),
        Answer(0, 4, vec![0, 1, 2, 3])
    );
    assert_eq!(
        machine.command(0x0502, &set(0, 0, 0, &[5; 4])),
        Answer(0, 0, vec![])
    );
    assert_eq!(machine.command(0x0501, &get(0)), Answer(0, 4, vec![5; 4]));
    assert_eq!(machine.command(0x0503, &[]), Answer(3, 0, vec![]));
    assert_eq!(machine.command(0x0300, &[1]), Answer(0x16, 0, vec![]));
    let counters = machine.control("counters");
    assert_eq!(
        counters["commands"],
        json!({"Get Feature": 2, "Set Feature": 1, "0x0503": 1, "Get Timestamp": 1})
    );
    assert_eq!(
        counters["refused"],
        json!({"Unsupported": 1, "Invalid Payload Length": 1})
    );
    // Longer than the payload.
    machine
        .device
        .write(&mut machine.bus, 2, 0x108, &[1, 5, 1, 2, 0, 0, 0, 0]);
    machine
        .device
        .write(&mut machine.bus, 2, 0x104, &[1, 0, 0, 0]);
    assert_eq!(machine.answer().0, 0x16);
}

#[test]
fn refused_and_noisy() {
    let mut machine = Machine::new(&[
        "feature=0,status=4",
        "feature=1,garble=2",
        "feature=2,truncate=1",
        "feature=3,claim=0x1fffff",
        "action=1,status=0xbeef",
    ]);
    assert_eq!(machine.command(0x0501, &get(0)), Answer(4, 0, vec![]));
    assert_eq!(machine.command(0x0501, &get(0)).0, 0);
    let Answer(0, 4, noise) = machine.command(0x0501, &get(1)) else {
        panic!("garbling keeps the length");
    };
    assert!(noise[..2] == [1, 0] && noise[2..] != [3, 2]);
    assert_eq!(machine.command(0x0501, &get(2)), Answer(0, 1, vec![2]));
    assert_eq!(machine.command(0x0501, &get(3)).1, 0x1f_ffff);
    assert_eq!(
        machine.command(0x0502, &set(20, 1, 0, &[1])),
        Answer(0xbeef, 0, vec![])
    );
    assert_eq!(machine.device.report().leaks, [""; 0], "not executed");
}

#[test]
fn late_and_never() {
    let mut machine = Machine::new(&["nth=1,late=50", "nth=2,never"]);
    machine.ring(0x0502, &set(0, 0, 0, &[5; 4]));
    assert!(machine.is_busy());
    assert_eq!(
        machine.control("feature 0")["current"],
        "05050505",
        "executed before the answer"
    );
    machine.wait();
    assert_eq!(machine.answer().0, 0);

    machine.ring(0x0501, &get(0));
    assert!(machine.is_busy() && machine.device.due().is_none());
    // The guest cannot set the doorbell again.
    machine.ring(0x0501, &get(1));
    assert!(machine.is_busy());
    assert_eq!(machine.control("release"), 1);
    assert_eq!(machine.answer(), Answer(0, 4, vec![5; 4]));
    assert_eq!(machine.control("release"), 0);
}

#[test]
fn in_the_background() {
    let background = CATALOGUE
        .iter()
        .position(|definition| definition.name == "background")
        .unwrap();
    let mut machine = Machine::new(&[
        "feature=0,background,status=4",
        "feature=1,background,never,silent",
        "op=0x0500,background,status=4,lost",
    ]);
    // The value is set nevertheless.
    assert_eq!(
        machine.command(0x0502, &set(background, 0, 0, &[5; 4])).0,
        1
    );
    assert_eq!(
        (machine.dword(0x110), machine.dword(0x118)),
        (1, 0x0032_0502)
    );
    assert_eq!(machine.command(0x0502, &set(2, 0, 0, &[5; 4])).0, 6, "busy");
    assert_eq!(machine.command(0x0501, &get(2)).0, 0, "others go on");
    machine.wait();
    assert_eq!(
        (
            machine.dword(0x110),
            machine.dword(0x118),
            machine.dword(0x11c)
        ),
        (0, 0x0064_0502, 0)
    );
    assert_eq!(machine.bus.vectors.lost, 1, "an interrupt");

    assert_eq!(machine.command(0x0501, &get(0)).0, 1);
    machine.wait();
    assert_eq!(
        (machine.dword(0x118), machine.dword(0x11c)),
        (0x0064_0501, 4)
    );
    assert_eq!(machine.command(0x0501, &get(1)).0, 1);
    assert!(machine.device.due().is_none());
    assert_eq!(machine.control("release"), 1);
    assert_eq!(machine.control("counters")["backgrounds"], 3);
    assert_eq!(machine.bus.vectors.lost, 2, "the last one was silent");

    // The register describes another operation.
    assert_eq!(machine.command(0x0500, &[0; 8]).0, 1);
    assert_eq!(machine.dword(0x118), 0x0032_0500);
    machine.wait();
    assert_eq!(
        (machine.dword(0x118), machine.dword(0x11c)),
        (0x0064_0000, 4)
    );
}

#[test]
fn fatal_health_lasts_until_reset() {
    let mut machine = Machine::new(&["op=0x0501,health=2"]);
    machine.ring(0x0501, &get(0));
    assert!(machine.is_busy());
    assert_eq!(machine.dword(0x90), 0x16);
    machine.device.reset(&mut machine.bus, Reset::Function);
    assert_eq!(machine.dword(0x90), 0x14);
    assert_eq!(machine.command(0x0501, &get(0)).0, 0);
    assert_eq!(machine.control("counters")["cancelled"], 1);
}

#[test]
fn unfinished_transfers_time_out() {
    let mut machine = Machine::new(&[]);
    assert_eq!(machine.command(0x0502, &set(20, 1, 0, &[1; 100])).0, 0);
    assert_eq!(machine.command(0x0502, &set(0, 0, 0, &[1; 4])).0, 0x1b);
    assert_eq!(
        machine.device.report().leaks,
        ["transfer of large, 100 bytes"]
    );
    assert_eq!(
        machine.control("counters")["transfers"]["open"],
        json!({"feature": 20, "bytes": 100})
    );
    machine.device.reset(&mut machine.bus, Reset::Function);
    assert_eq!(machine.device.report().leaks, [""; 0]);

    machine.device = Type3::new(Options {
        part_timeout: Duration::ZERO,
        ..Options::default()
    });
    machine.command(0x0502, &set(20, 1, 0, &[1; 100]));
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(machine.command(0x0502, &set(20, 2, 100, &[1; 100])).0, 0x1c);
    assert_eq!(machine.device.report().leaks, ["1 transfers timed out"]);
}

#[test]
fn resets_and_events() {
    let mut machine = Machine::new(&[]);
    machine.command(0x0502, &set(4, 0, 0, &[5; 4]));
    for (reset, current) in [
        ("cxl", "04050607"),
        ("conventional", "04050607"),
        ("cold", "05050505"),
    ] {
        machine.control(&format!("reset {reset}"));
        assert_eq!(machine.control("feature cold-reset")["current"], current);
    }
    assert!(machine
        .device
        .control(&mut machine.bus, "reset", "warm")
        .is_err());
    machine.command(0x0103, &[0, 1, 0, 0]);
    machine.control("event warning");
    machine.control("event fatal");
    assert_eq!((machine.dword(0x80), machine.bus.vectors.lost), (0b1010, 1));
    assert_eq!(machine.command(0x0101, &[1, 1, 0, 0, 0, 0]).0, 0);
    assert_eq!(machine.dword(0x80), 0b1000);
}

#[test]
fn vanish_removes_the_device() {
    let mut machine = Machine::new(&["nth=2,vanish"]);
    machine.command(0x0300, &[]);
    machine.ring(0x0300, &[]);
    assert_eq!(machine.bus.presence, Presence::Gone);
    assert!(machine.is_busy());
}

#[test]
fn vendor_commands() {
    let mut machine = Machine::new(&[]);
    assert_eq!(
        machine.command(0xc000, &[1, 2, 3]),
        Answer(0, 3, vec![1, 2, 3])
    );
    assert_eq!(
        machine.command(0xc000, &[9; 512]),
        Answer(0, 512, vec![9; 512])
    );
    assert_eq!(machine.command(0xc003, &[]).1, 512);
    // Now, at a reset, and although it has no effects.
    assert_eq!(machine.command(0xc020, &[1; 16]).0, 0);
    assert_eq!(machine.command(0xc001, &[]), Answer(0, 16, vec![1; 16]));
    assert_eq!(machine.command(0xc011, &[2; 16]).0, 0);
    assert_eq!(machine.command(0xc001, &[]).2, [1; 16]);
    machine.device.reset(&mut machine.bus, Reset::Machine);
    assert_eq!(machine.command(0xc001, &[]).2, [2; 16]);
    assert_eq!(machine.command(0xc050, &[3; 16]).0, 0);
    assert_eq!(machine.command(0xc001, &[]).2, [3; 16]);
    // In the background, also without that effect.
    for opcode in [0xc030, 0xc051] {
        let number = u32::from(opcode);
        assert_eq!(machine.command(opcode, &[4; 16]).0, 1);
        assert_eq!(machine.command(0xc032, &[5; 16]).0, 6, "busy");
        let [low, high] = opcode.to_le_bytes();
        assert_eq!(
            machine.command(0x0002, &[]),
            Answer(0, 8, vec![50 << 1 | 1, 0, low, high, 0, 0, 0, 0])
        );
        machine.wait();
        assert_eq!(machine.dword(0x118), 0x0064_0000 | number);
        assert_eq!(machine.command(0x0002, &[]).2[..4], [200, 0, low, high]);
    }
    assert_eq!(machine.command(0xd000, &[]).0, 3, "not by default");

    machine.device = Type3::new(Options {
        has_all_effects: true,
        ..Options::default()
    });
    assert_eq!(machine.command(0xd23f, &[6]), Answer(0, 1, vec![6]));
    assert_eq!(machine.command(0xdfff, &[6; 16]).0, 1);
    machine.device = Type3::new(Options {
        has_vendor: false,
        ..Options::default()
    });
    assert_eq!(machine.command(0xc000, &[]).0, 3);
    assert_eq!(machine.command(0x0404, &[0; 16]).0, 3);
}
