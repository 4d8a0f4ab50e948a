// SPDX-License-Identifier: MIT OR Apache-2.0

//! A hostile guest: turns bytes into register accesses, queue entries, mailbox chains, DMA mappings
//! and faults. Used by the fuzz target, and by `tests/hostile.rs` with noise.

use super::bits::{Entry, BLOCK_ALIGN};
use super::device::ConnectX;
use super::fields::{eq, input, mkey, umem};
use super::{opcodes, registers, Options};
use crate::device::{Bus, Device, Reset};
use crate::dma;
use crate::fuzz::Bytes;
use serde_json::Value;
use std::time::Instant;
use zerocopy::{FromZeros, IntoBytes};

/// Size of guest memory.
const MEMORY: u64 = 1 << 20;
/// Address of the guest's command queue, unless the guest moves it.
const QUEUE: u64 = 0x1000;
/// Maximum number of steps.
const MAX_STEPS: usize = 256;

/// Runs the guest described by `bytes` against a new card, and returns the card's counters.
pub fn run(bytes: &[u8]) -> Value {
    let mut bytes = Bytes(bytes);
    let options = Options {
        boot_pages: 1,
        init_pages: 1,
        cmd_timeout: Some(1),
        ..Options::default()
    };
    let mut card = ConnectX::new(options);
    let mut bus = Bus {
        memory: dma::test::memory(0, MEMORY),
        ..Bus::default()
    };
    // Memory space and bus master.
    card.config().write(4, &[6, 0]);
    if bytes.u8() & 1 == 0 {
        bring_up(&mut card, &mut bus);
    }
    for _ in 0..MAX_STEPS {
        if bytes.0.is_empty() {
            break;
        }
        step(&mut card, &mut bus, &mut bytes);
    }
    // These must work whatever the guest did.
    let counters = card
        .control(&mut bus, "counters", "")
        .expect("reading the counters");
    card.control(&mut bus, "release", "")
        .expect("releasing the slots");
    card.report();
    card.reset(&mut bus, Reset::Machine);
    counters
}

/// Brings the card up like a driver, so most later commands are not refused.
fn bring_up(card: &mut ConnectX, bus: &mut Bus) {
    let queue = (QUEUE as u32).to_be_bytes();
    card.write(bus, 0, 0x14, &queue);
    command(
        card,
        bus,
        0,
        &message(opcodes::ENABLE_HCA, 0, 0, &[0; 8]),
        12,
    );
    let mut pages = vec![0, 0, 0, 0, 0, 0, 0, 2];
    pages.extend([0, 0, 0, 0, 0, 0xf, 0, 0, 0, 0, 0, 0, 0, 0xf, 0x10, 0]);
    command(
        card,
        bus,
        0,
        &message(opcodes::MANAGE_PAGES, 0, 1, &pages),
        16,
    );
    command(
        card,
        bus,
        0,
        &message(opcodes::INIT_HCA, 0, 0, &[0; 24]),
        16,
    );
    command(
        card,
        bus,
        0,
        &message(opcodes::ALLOC_UAR, 0, 0, &[0; 8]),
        16,
    );
    let mut umem = vec![0; umem::IN_LEN - input::HEADER];
    umem[umem::IN_LEN - input::HEADER - 9] = 2;
    umem.extend([0, 0, 0, 0, 0, 4, 0, 3, 0, 0, 0, 0, 0, 6, 0, 3]);
    let lock = register_access(registers::MCC, 1);
    let read = register_access(registers::MCC, 7);
    for (opcode, tail) in [
        (opcodes::CREATE_UMEM, &umem[..]),
        (opcodes::ALLOC_PD, &[0; 8]),
        (opcodes::CREATE_MKEY, &key(1, 1, 0x2000)),
        (opcodes::ACCESS_REG, &lock),
        (opcodes::ACCESS_REG, &read),
    ] {
        command(card, bus, 0, &message(opcode, 0, 0, tail), 16);
    }
}

/// The end of an input that writes an instruction for the handle 1 to MCC.
fn register_access(register: u16, instruction: u8) -> Vec<u8> {
    let mut tail = vec![0; 8 + 0x20];
    tail[2..4].copy_from_slice(&register.to_be_bytes());
    (tail[8 + 3], tail[8 + 0x0b]) = (instruction, 1);
    tail
}

/// The end of an input that creates a key with the low byte 0.
fn key(umem: u8, domain: u8, len: u64) -> Vec<u8> {
    let mut input = vec![0; mkey::IN_LEN];
    mkey::UMEM_VALID.set(&mut input, 1);
    mkey::UMEM_ID.set(&mut input, umem.into());
    let context = &mut input[mkey::CONTEXT..];
    mkey::ACCESS_MODE_1_0.set(context, 1);
    mkey::LW.set(context, 1);
    mkey::PD.set(context, domain.into());
    mkey::LEN.set(context, len);
    input.split_off(input::HEADER)
}

fn step(card: &mut ConnectX, bus: &mut Bus, bytes: &mut Bytes<'_>) {
    match bytes.u8() % 16 {
        // Well-formed commands with arbitrary content.
        0..=5 => {
            let at = usize::from(bytes.u8());
            let opcode = match opcodes::OPCODES.get(at % (opcodes::OPCODES.len() + 1)) {
                Some(opcode) => opcode.number,
                None => bytes.u16(),
            };
            // Most commands are those of a driver.
            let uid = u16::from(bytes.u8()).saturating_sub(252);
            let op_mod = u16::from(bytes.u8() % 4);
            let mut tail = bytes.take(at).to_vec();
            if matches!(opcode, opcodes::ACCESS_REG | opcodes::ACCESS_REGISTER_USER) {
                let register = registers::REGISTERS[at % registers::REGISTERS.len()].id;
                tail.splice(..0, [0, 0, (register >> 8) as u8, register as u8]);
            }
            let len = usize::from(bytes.u16() % 0x1200);
            tail.resize(len, bytes.u8());
            if bytes.u8() % 4 != 0 {
                make_plausible(opcode, &mut tail, bytes);
            }
            let room = usize::from(bytes.u16() % 0x1200);
            command(
                card,
                bus,
                bytes.u8() % 32,
                &message(opcode, uid, op_mod, &tail),
                room,
            );
        }
        // Arbitrary queue entries.
        6..=7 => {
            let mut entry = Entry::new_zeroed();
            let taken = bytes.take(size_of::<Entry>());
            entry.as_mut_bytes()[..taken.len()].copy_from_slice(taken);
            entry.sign();
            let slot = bytes.u8() % 32;
            let _ = bus
                .memory
                .write(QUEUE + 64 * u64::from(slot), entry.as_bytes());
            card.write(bus, 0, 0x18, &(1u32 << slot).to_be_bytes());
        }
        8 => {
            let address = u64::from(bytes.u32()) % MEMORY;
            let data = bytes.take(64).to_vec();
            let _ = bus.memory.write(address, &data);
        }
        // Registers and doorbells.
        9..=11 => {
            let region = bytes.u8();
            let offset = match region % 4 {
                // Rarely change the queue address, or few commands would be fetched.
                0 if region < 0x10 => u64::from(bytes.u8()),
                0 => u64::from(bytes.u8() | 0x20),
                1 => u64::from(bytes.u16()),
                2 => 0x10040 + 8 * u64::from(bytes.u8() & 1),
                _ => u64::from(bytes.u32()) << (region >> 4),
            };
            let len = usize::from(region >> 2 & 15);
            let mut data = bytes.take(len).to_vec();
            card.write(bus, usize::from(region == 0xff), offset, &data);
            card.read(bus, 0, offset, &mut data);
        }
        12 => {
            let (offset, data) = (u64::from(bytes.u16()), bytes.take(4).to_vec());
            card.config().write(offset, &data);
            card.config().read(offset, &mut [0; 8]);
        }
        13 => {
            let effects = [
                "never",
                "late=1",
                "garble",
                "truncate=3",
                "status=3",
                "delivery=1",
                "silent",
                "lost",
                "dma_late=1",
                "dma_lost",
                "health",
            ];
            let spec = format!(
                "nth={},{}",
                1 + bytes.u8() % 4,
                effects[usize::from(bytes.u8()) % effects.len()]
            );
            let fault = spec.parse().expect("a valid fault");
            let _ = card.add_fault(fault);
        }
        14 => match bytes.u8() % 6 {
            5 => bring_up(card, bus),
            0 => card.reset(bus, Reset::Function),
            1 => bus.memory = dma::test::memory(u64::from(bytes.u8()) << 12, MEMORY),
            2 => drop(card.control(bus, "request-pages", "3")),
            3 => drop(card.control(bus, "release", "")),
            _ => drop(card.control(bus, "health", "0")),
        },
        _ => {
            if let Some(due) = card.due() {
                card.run_due(bus, due.max(Instant::now()));
            }
        }
    }
}

/// Fixes up a random input so the card does not refuse it immediately.
fn make_plausible(opcode: u16, tail: &mut Vec<u8>, bytes: &mut Bytes<'_>) {
    match opcode {
        opcodes::CREATE_UCTX => {
            tail.resize(0x38, 0);
            tail[8..12].copy_from_slice(&[0, 0, 0, bytes.u8() & 7]);
        }
        opcodes::CREATE_EQ => {
            let page = (u64::from(bytes.u8()) << 12).to_be_bytes();
            tail.clear();
            tail.resize(eq::PAS - input::HEADER, 0);
            // Up to 64 events, the UAR of `bring_up`, commands and page requests.
            (tail[0x14], tail[0x17], tail[0x1f]) = (bytes.u8() % 7, 16, bytes.u8() % 8);
            tail[eq::MASK - input::HEADER + 6] = 0x0c;
            tail.extend(page);
        }
        opcodes::SET_DIAGNOSTIC_PARAMS => {
            // Enabled in any mode, with the first counters.
            let count = bytes.u8() % 3;
            tail.clear();
            tail.extend([0, count, 0, bytes.u8() % 9, 4 | bytes.u8() << 3, 0, 0, 10]);
            tail.resize(24, 0);
            (0..count).for_each(|n| tail.extend([0, 0, 4, 1 + n]));
        }
        opcodes::ACCESS_REG | opcodes::ACCESS_REGISTER_USER => {
            // Inline data of a dump: at the register's first byte, after number and argument.
            tail.resize(tail.len().max(8 + 0x100), 0);
            if tail[2..4] == registers::RESOURCE_DUMP.to_be_bytes() {
                let kind = bytes.u8() % 6;
                let inline = 0x40 * (bytes.u8() % 2);
                tail[8..12].copy_from_slice(&[inline, bytes.u8() % 2, 0x10, kind]);
                tail[8 + 0x10..8 + 0x20].fill(0);
                name_memory(&mut tail[8 + 0x20..], bytes);
            }
            if tail[2..4] == registers::CORE_DUMP.to_be_bytes() {
                tail[11] = 2;
                name_memory(&mut tail[8 + 0x10..], bytes);
            }
            // An instruction, or pages that may be of a umem.
            if tail[2..4] == registers::MCC.to_be_bytes() {
                (tail[11], tail[8 + 0x0b]) = (bytes.u8() % 12, 1 + bytes.u8() % 2);
                tail[12..16].fill(0);
                tail[8 + 0x10..8 + 0x14].copy_from_slice(&[0, 0, bytes.u8(), 0]);
            }
            if tail[2..4] == registers::MCDD.to_be_bytes() {
                tail[8..12].copy_from_slice(&[0, 0, 0, 1 + bytes.u8() % 2]);
                tail[12..20].copy_from_slice(&[0, 0, bytes.u8(), 0, 0, 0, 0x10, 0]);
                let pages = [bytes.u8(), bytes.u8()];
                for (at, page) in [8 + 0x10, 8 + 0x18].into_iter().zip(pages) {
                    let address = u64::from(page) << 12;
                    tail[at..at + 8].copy_from_slice(&address.to_be_bytes());
                }
            }
        }
        opcodes::CREATE_UMEM => {
            let count = bytes.u8() % 8;
            tail.clear();
            tail.resize(umem::IN_LEN - input::HEADER, 0);
            tail[umem::IN_LEN - input::HEADER - 9] = count;
            for _ in 0..count {
                let address = u64::from(bytes.u8()) << 12 | 3;
                tail.extend(address.to_be_bytes());
            }
        }
        opcodes::CREATE_MKEY => {
            let len = u64::from(bytes.u8()) << 7;
            *tail = key(1 + bytes.u8() % 4, 1 + bytes.u8() % 2, len);
        }
        opcodes::QUERY_MKEY
        | opcodes::DESTROY_MKEY
        | opcodes::DESTROY_UMEM
        | opcodes::DEALLOC_PD => {
            tail.clear();
            tail.extend([0, 0, 0, 1 + bytes.u8() % 4, 0, 0, 0, 0]);
        }
        opcodes::DESTROY_EQ | opcodes::DESTROY_UCTX => {
            tail.clear();
            tail.extend([0, 0, 0, 1 + bytes.u8() % 4, 0, 0, 0, 0]);
        }
        _ => {}
    }
}

/// Writes memory key, size and address of a register that dumps into memory.
fn name_memory(fields: &mut [u8], bytes: &mut Bytes<'_>) {
    fields[..4].copy_from_slice(&[0, 0, 1 + bytes.u8() % 4, 0]);
    fields[4..8].copy_from_slice(&[0, 0, bytes.u8() % 16, bytes.u8() & !3]);
    fields[8..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, bytes.u8() % 16, 0]);
}

fn message(opcode: u16, uid: u16, op_mod: u16, tail: &[u8]) -> Vec<u8> {
    let mut input = opcode.to_be_bytes().to_vec();
    input.extend(uid.to_be_bytes());
    input.extend([0, 0]);
    input.extend(op_mod.to_be_bytes());
    input.extend_from_slice(tail);
    input
}

/// Sends a command with chains at the mailboxes.
fn command(card: &mut ConnectX, bus: &mut Bus, slot: u8, input: &[u8], room: usize) {
    use super::queue::test::{write_command_at, Mailboxes};
    let mailboxes = Mailboxes {
        input: 0x2_0000,
        output: 0x2_0000 + 0x20 * BLOCK_ALIGN,
    };
    let at = QUEUE + 64 * u64::from(slot);
    // The guest may have unmapped its memory.
    if write_command_at(&mut bus.memory, at, mailboxes, input, room).is_ok() {
        card.write(bus, 0, 0x18, &(1u32 << slot).to_be_bytes());
    }
}
