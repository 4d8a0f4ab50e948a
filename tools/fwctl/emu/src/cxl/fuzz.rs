// SPDX-License-Identifier: MIT OR Apache-2.0

//! A hostile guest: turns bytes into register accesses, commands, parts of Features, resets and
//! faults. Used by the fuzz target, and by `tests/hostile.rs` with noise.

use super::catalogue::{CATALOGUE, VERSION};
use super::device::Type3;
use super::opcodes::{self, COMMANDS};
use super::{vendor, Options, FAULTS};
use crate::device::{Bus, Device, Presence, Reset};
use crate::fuzz::Bytes;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Maximum number of steps.
const MAX_STEPS: usize = 512;
/// Offsets of the mailbox registers.
const CONTROL: u64 = 0x104;
const COMMAND: u64 = 0x108;
const PAYLOAD: u64 = 0x120;

/// Offset of the data in Set Feature.
const HEAD: usize = 32;

/// Runs the guest described by `bytes` against a new device, and returns the device's counters.
pub fn run(bytes: &[u8]) -> Value {
    let mut bytes = Bytes(bytes);
    let options = Options {
        payload_size: 256 << (bytes.u8() & 3),
        has_all_effects: true,
        part_timeout: Duration::from_millis(1),
        ..Options::default()
    };
    let mut device = Type3::new(options);
    let mut bus = Bus::default();
    let mut part = Vec::new();
    for _ in 0..MAX_STEPS {
        if bytes.0.is_empty() {
            break;
        }
        step(&mut device, &mut bus, &mut bytes, &mut part);
        bus.presence = Presence::Here;
    }
    // These must work whatever the guest did.
    for verb in ["release", "features"] {
        let answer = device.control(&mut bus, verb, "");
        answer.expect("a verb that cannot fail");
    }
    device.report();
    let counters = device.control(&mut bus, "counters", "");
    device.reset(&mut bus, Reset::Machine);
    counters.expect("reading the counters")
}

fn step(device: &mut Type3, bus: &mut Bus, bytes: &mut Bytes<'_>, part: &mut Vec<u8>) {
    match bytes.u8() & 15 {
        // Arbitrary commands.
        0..=2 => {
            let n = usize::from(bytes.u8());
            let mut commands = COMMANDS.iter().copied().chain(vendor::commands(false));
            let opcode = commands
                .nth(n)
                .map_or(bytes.u32() as u16, |command| command.opcode);
            let len = usize::from(bytes.u8() & 63);
            let input = bytes.take(len).to_vec();
            let claimed = if n & 0x80 == 0 {
                len as u32
            } else {
                bytes.u32()
            };
            command(device, bus, opcode, claimed, &input);
        }
        // Commands on a Feature.
        3..=5 => {
            let mut input = uuid(bytes).to_vec();
            input.extend(bytes.take(5));
            command(
                device,
                bus,
                opcodes::GET_FEATURE,
                input.len() as u32,
                &input,
            );
        }
        // Parts of a Feature, mostly in order, some repeated.
        6..=10 => {
            let (kind, len) = (bytes.u8(), bytes.u8());
            if kind & 0x40 == 0 {
                // Release what a fault holds back, or no other command would be executed.
                drop(device.control(bus, "release", ""));
            }
            if kind & 0x3f != 0 {
                *part = self::part(kind, len, part, bytes);
            }
            command(device, bus, opcodes::SET_FEATURE, part.len() as u32, part);
        }
        // Arbitrary accesses.
        11..=12 => {
            let region = bytes.u8();
            let offset = match region & 3 {
                0 => u64::from(bytes.u8()),
                1 => COMMAND - 8 + u64::from(bytes.u8()),
                _ => u64::from(bytes.u32()) << (region >> 2 & 31),
            };
            let mut data = bytes.take(usize::from(region >> 4)).to_vec();
            let bar = [2, 0, 2, 5][usize::from(region >> 6)];
            device.write(bus, bar, offset, &data);
            device.read(bus, bar, offset, &mut data);
            device.config().write(offset, &data);
            device.config().read(offset, &mut data);
        }
        13 => {
            const EFFECTS: [&str; 10] = [
                "never",
                "late=1",
                "garble",
                "truncate=3",
                "status=3",
                "claim=0xffffffff",
                "background",
                "background,never,silent",
                "background,lost",
                "health",
            ];
            let effect = EFFECTS[usize::from(bytes.u8()) % EFFECTS.len()];
            let spec = format!("nth={},{effect}", 1 + bytes.u8() % 4);
            // Fails if there are too many faults.
            let _ = device.add_fault(FAULTS.parse(&spec).expect("a valid fault"));
        }
        14 => match bytes.u8() % 6 {
            0 => device.reset(bus, Reset::Function),
            1 => device.reset(bus, Reset::PowerOn),
            2 => drop(device.control(bus, "event", "fatal")),
            3 => drop(device.control(bus, "reset", "cxl")),
            _ => drop(device.control(bus, "release", "")),
        },
        _ => {
            if let Some(due) = device.due() {
                device.run_due(bus, due.max(Instant::now()));
            }
        }
    }
}

/// Returns the input of a Set Feature that follows `last`.
fn part(kind: u8, len: u8, last: &[u8], bytes: &mut Bytes<'_>) -> Vec<u8> {
    let action = match kind & 7 {
        0 | 1 => 1,
        2 | 3 => 2,
        4 | 5 => 3,
        6 => 4,
        _ => bytes.u8(),
    };
    let end = match last.get(20..22) {
        Some(offset) if action & 7 > 1 => {
            u16::from_le_bytes([offset[0], offset[1]]).wrapping_add((last.len() - HEAD) as u16)
        }
        _ => 0,
    };
    let is_wild = kind & 0x38 == 0x38;
    let offset = if is_wild { bytes.u32() as u16 } else { end };
    let mut input = if is_wild {
        uuid(bytes)
    } else {
        CATALOGUE[20].uuid(20)
    }
    .to_vec();
    input.extend([action, 0, 0, 0]);
    input.extend(offset.to_le_bytes());
    input.push(VERSION ^ u8::from(kind == 0xff));
    input.resize(HEAD, 0);
    input.resize(HEAD + usize::from(len), len);
    input
}

/// Returns the UUID of a Feature, or one that may not exist.
fn uuid(bytes: &mut Bytes<'_>) -> [u8; 16] {
    let n = usize::from(bytes.u8());
    CATALOGUE
        .get(n % (CATALOGUE.len() + 1))
        .map_or([0xf0; 16], |definition| {
            definition.uuid(n % (CATALOGUE.len() + 1))
        })
}

fn command(device: &mut Type3, bus: &mut Bus, opcode: u16, len: u32, input: &[u8]) {
    let command = u64::from(opcode) | u64::from(len) << 16;
    device.write(bus, 2, PAYLOAD, input);
    device.write(bus, 2, COMMAND, &command.to_le_bytes());
    device.write(bus, 2, CONTROL, &[5, 0, 0, 0]);
}
