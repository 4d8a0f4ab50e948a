// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sequence of commands that mlx5_core sends, and deviations from it.

use super::super::fields::Field;
use super::super::fields::{hca_cap, input, mkey, pd, uctx, umem};
use super::super::memory;
use super::super::opcodes as op;
use super::super::transfer::Fate;
use super::*;
use crate::dma;

/// A function and its counters.
struct Card {
    function: Function,
    counters: Counters,
    host: Memory,
}

impl Card {
    fn new() -> Self {
        let options = Options {
            boot_pages: 1,
            init_pages: 2,
            ..Options::default()
        };
        Card {
            function: Function::new(options),
            counters: Counters::default(),
            host: dma::test::memory(0, 16 << 20),
        }
    }

    /// Returns a card that is ready for user contexts.
    fn initialised() -> Self {
        let mut card = Card::new();
        card.ok(op::ENABLE_HCA, 0, &[]);
        card.give(&[1, 2, 3]);
        card.ok(op::INIT_HCA, 0, &[0; 16]);
        card
    }

    fn give(&mut self, pages: &[u64]) {
        let mut tail = (pages.len() as u64).to_be_bytes().to_vec();
        tail.extend(pages.iter().flat_map(|page| (page << 12).to_be_bytes()));
        self.ok(op::MANAGE_PAGES, 1, &tail);
    }

    fn send(
        &mut self,
        opcode: u16,
        uid: u16,
        op_mod: u16,
        tail: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; input::HEADER];
        for (field, value) in [
            (input::OPCODE, opcode),
            (input::UID, uid),
            (input::OP_MOD, op_mod),
        ] {
            field.set(&mut bytes, value.into());
        }
        bytes.extend_from_slice(tail);
        bytes.resize(bytes.len().max(input::LEN), 0);
        let mut host = Host {
            memory: &mut self.host,
            fate: Fate::default(),
        };
        self.function.execute(&bytes, &mut host, &mut self.counters)
    }

    #[track_caller]
    fn ok(&mut self, opcode: u16, op_mod: u16, tail: &[u8]) -> Vec<u8> {
        self.send(opcode, 0, op_mod, tail).unwrap()
    }

    /// Registers pages for a context; returns a key of them whose addresses begin at 0x7000_0000.
    fn register(&mut self, uid: u16, pages: &[u64]) -> u32 {
        let mut made = |opcode, tail: &[u8], field: Field| {
            field.get(&self.send(opcode, uid, 0, tail).unwrap()) as u32
        };
        let umem = made(op::CREATE_UMEM, &memory::test::umem(pages), umem::ID);
        let pd = made(op::ALLOC_PD, &[], pd::PD);
        let len = 4096 * pages.len() as u64;
        let key = memory::test::key(pd, umem, 0x7000_0000, len);
        made(op::CREATE_MKEY, &key, mkey::INDEX) << 8 | 0x42
    }

    fn access(
        &mut self,
        uid: u16,
        id: u16,
        access: Access,
        body: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let mut tail = vec![0; 2];
        tail.extend(id.to_be_bytes());
        tail.extend([0; 4]);
        tail.extend(body);
        let op_mod = u16::from(access == Access::Read);
        let answer = self.send(op::ACCESS_REG, uid, op_mod, &tail)?;
        Ok(answer[register::DATA..].to_vec())
    }

    fn host(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.host.read(address, &mut bytes).unwrap();
        bytes
    }

    /// Does what is due until nothing is.
    fn run(&mut self) {
        while let Some(due) = self.function.transfers.due() {
            self.function.run_transfers(&mut self.host, due, true);
        }
    }

    /// Locks the firmware, and begins to update or to read a component.
    fn begin_component(&mut self, uid: u16, instruction: u8, size: u32) -> u8 {
        let mut mcc = [0; 0x20];
        mcc[3] = 1;
        let locked = self
            .access(uid, registers::MCC, Access::Write, &mcc)
            .unwrap();
        (mcc[3], mcc[0x0b]) = (instruction, locked[0x0b]);
        mcc[0x10..0x14].copy_from_slice(&size.to_be_bytes());
        self.access(uid, registers::MCC, Access::Write, &mcc)
            .unwrap();
        locked[0x0b]
    }

    #[track_caller]
    fn open(&mut self) -> u16 {
        uctx::UID.get(&self.ok(op::CREATE_UCTX, 0, &[0; 0x38])) as u16
    }
}

#[test]
fn up_and_down() {
    let mut card = Card::new();
    card.ok(op::ENABLE_HCA, 0, &[]);
    assert_eq!(card.ok(op::QUERY_ISSI, 0, &[])[0x6c..], [0, 0, 0, 2]);
    card.ok(op::SET_ISSI, 0, &[0, 0, 0, 1]);
    assert_eq!(card.ok(op::QUERY_PAGES, 1, &[])[0x0c..], [0, 0, 0, 1]);
    card.give(&[1]);
    let caps = card.ok(op::QUERY_HCA_CAP, 1, &[]);
    card.ok(op::SET_HCA_CAP, 0, &caps[8..]);
    assert!(
        card.send(op::INIT_HCA, 0, 0, &[0; 16]).is_err(),
        "no init pages yet"
    );
    card.give(&[2, 3]);
    card.ok(op::INIT_HCA, 0, &[0; 16]);
    let uar = card.ok(op::ALLOC_UAR, 0, &[]);
    assert_eq!(uar[0x08..0x0c], [0, 0, 0, 16]);

    let mut eq = vec![0; 0x108];
    (eq[0x14], eq[0x17]) = (6, 16);
    eq.extend([0, 0, 0, 0, 0, 0, 0x50, 0]);
    let number = card.ok(op::CREATE_EQ, 0, &eq)[0x0b];
    assert_eq!(card.ok(op::QUERY_EQ, 0, &[0, 0, 0, number]).len(), 0x118);
    let in_use = card.send(op::DEALLOC_UAR, 0, 0, &[0, 0, 0, 16]);
    assert_eq!(in_use, Err(Refusal(Status::BAD_RES, Syndrome::IN_USE)));
    card.ok(op::DESTROY_EQ, 0, &[0, 0, 0, number]);
    card.ok(op::DEALLOC_UAR, 0, &[0, 0, 0, 16]);
    card.ok(op::TEARDOWN_HCA, 0, &[]);
    let back = card.ok(op::MANAGE_PAGES, 2, &[0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(back[8..12], [0, 0, 0, 3]);
    card.ok(op::DISABLE_HCA, 0, &[]);
    assert_eq!(
        (card.counters.leaks(), card.function.alive()),
        (vec![], vec![])
    );
}

/// mlx5_core sets `log_uar_page_sz` to `PAGE_SHIFT - 12`, and maps UAR n at page n of the BAR.
#[test]
fn uars_are_placed_by_the_page_size_of_the_driver() {
    for (log, last) in [(0, 1023), (2, 1023), (4, 511)] {
        let mut card = Card::new();
        card.ok(op::ENABLE_HCA, 0, &[]);
        card.give(&[1, 2, 3]);
        let mut caps = card.ok(op::QUERY_HCA_CAP, 1, &[]);
        hca_cap::LOG_UAR_PAGE_SZ
            .within(hca_cap::CAPABILITY)
            .set(&mut caps, log);
        card.ok(op::SET_HCA_CAP, 0, &caps[8..]);
        card.ok(op::INIT_HCA, 0, &[0; 16]);
        let page = 4096 << log;
        for number in 16..=last {
            let answer = card.ok(op::ALLOC_UAR, 0, &[]);
            assert_eq!(uar::NUMBER.get(&answer), number);
            let offset = number * page;
            assert!(offset + page <= BAR0, "{number}");
            let found = card.function.uar_at(offset + 0x48);
            assert_eq!(found, Some((number as u32, 0x48)));
            let found = card.function.uar_at(offset + page - 4);
            assert_eq!(found, Some((number as u32, page - 4)));
        }
        assert_eq!(
            card.send(op::ALLOC_UAR, 0, 0, &[]),
            Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY))
        );
        for offset in [0, 15 * page, BAR0, u64::MAX] {
            assert_eq!(card.function.uar_at(offset), None, "{offset:#x}");
        }
        card.ok(op::DISABLE_HCA, 0, &[]);
        assert_eq!(card.function.uar_at(16 << 12), Some((16, 0)), "reset");
    }
}

#[test]
fn uids_are_checked_before_anything_else() {
    let mut card = Card::initialised();
    let unknown = Err(Refusal(Status::BAD_RES, Syndrome::UNKNOWN_UID));
    assert_eq!(card.send(op::QUERY_ADAPTER, 1, 0, &[]), unknown);
    assert_eq!(card.send(0xd00, 1, 0, &[]), unknown);
    let uid = card.open();
    assert_eq!(
        card.send(op::QUERY_ADAPTER, uid, 0, &[]).unwrap().len(),
        0x110
    );
    assert!(card.send(op::QUERY_ADAPTER, 0xffff, 0, &[]).is_ok());
    assert_eq!(
        card.send(op::CREATE_EQ, uid, 0, &[]),
        Err(Refusal(Status::BAD_OP, Syndrome::NOT_FOR_USERS))
    );
    assert_eq!(
        card.send(0xd00, uid, 0, &[]),
        Err(Refusal(Status::BAD_OP, Syndrome::UNKNOWN_OPCODE))
    );
    let [high, low] = uid.to_be_bytes();
    card.ok(op::DESTROY_UCTX, 0, &[0, 0, high, low]);
    assert_eq!(card.send(op::QUERY_ADAPTER, uid, 0, &[]), unknown);
}

#[test]
fn registers_under_both_opcodes() {
    let mut card = Card::initialised();
    let uid = card.open();
    let mut tail = vec![0, 0, 0x90, 0x20, 0, 0, 0, 0];
    tail.resize(8 + 0xa0, 0);
    for opcode in [op::ACCESS_REG, op::ACCESS_REGISTER_USER] {
        let answer = card.send(opcode, uid, 1, &tail).unwrap();
        assert_eq!(answer[0x1a..0x1c], [0x02, 0x18]);
        assert!(
            card.send(opcode, uid, 0, &tail).is_err(),
            "MGIR is read only"
        );
        assert!(card.send(opcode, uid, 2, &tail).is_err());
    }
    assert_eq!(card.counters.registers[&0x9020], 4);
}

/// RESOURCE_DUMP shows objects of the function, and only to the context that asked.
#[test]
fn dumps_are_of_the_objects() {
    let mut card = Card::initialised();
    let (uid, other) = (card.open(), card.open());
    let mut tail = vec![0, 0, 0xc0, 0, 0, 0, 0, 0];
    // User contexts from the first on, all of them.
    tail.extend([
        0x40, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0,
    ]);
    tail.resize(8 + 0x100, 0);
    let answer = card.send(op::ACCESS_REG, uid, 1, &tail).unwrap();
    let inline = &answer[0x40..];
    assert_eq!(inline[0x24..0x28], [0, 5, 0x10, 0]);
    assert_eq!((inline[0x2f], inline[0x43]), (uid as u8, other as u8));
    assert!(
        card.send(op::ACCESS_REG, uid, 0, &tail).is_err(),
        "read only"
    );
    assert!(card.send(op::ACCESS_REG, uid, 1, &tail[..0x107]).is_err());
    // The menu has two parts.
    tail[10..12].fill(0xff);
    tail[24] = 0;
    let answer = card.send(op::ACCESS_REG, uid, 1, &tail).unwrap();
    assert_eq!(answer[0x10] >> 7, 1, "more");
    tail[8..].copy_from_slice(&answer[0x10..]);
    assert!(card.send(op::ACCESS_REG, other, 1, &tail).is_err());
    let answer = card.send(op::ACCESS_REG, uid, 1, &tail).unwrap();
    assert_eq!((answer[0x10], answer[0x11]), (0x40, 2), "no more, part 2");
}

#[test]
fn memory_outlives_no_context() {
    let mut card = Card::initialised();
    let uid = card.open();
    let mut made = |opcode, tail: &[u8], field: Field| {
        field.get(&card.send(opcode, uid, 0, tail).unwrap()) as u32
    };
    let umem = made(op::CREATE_UMEM, &memory::test::umem(&[0x1000]), umem::ID);
    let pd = made(op::ALLOC_PD, &[], pd::PD);
    let key = memory::test::key(pd, umem, 0, 0x1000);
    let index = made(op::CREATE_MKEY, &key, mkey::INDEX);
    let destroy_context = [0, 0, 0, uid as u8];
    let in_use = Err(Refusal(Status::BAD_RES_STATE, Syndrome::IN_USE));
    for (opcode, id) in [
        (op::DESTROY_MKEY, index),
        (op::DESTROY_UMEM, umem),
        (op::DEALLOC_PD, pd),
    ] {
        let refused = card.send(op::DESTROY_UCTX, 0, 0, &destroy_context);
        assert_eq!(refused, in_use, "{}", op::name(opcode));
        card.send(opcode, uid, 0, &id.to_be_bytes()).unwrap();
    }
    card.ok(op::DESTROY_UCTX, 0, &destroy_context);
    for (opcode, len) in [(op::CREATE_UMEM, 40), (op::CREATE_MKEY, 0x108)] {
        assert_eq!(
            card.send(opcode, 0, 0, &vec![0; len - 1]),
            Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT))
        );
    }
}

#[test]
fn counters_can_be_sampled_by_a_user() {
    let mut card = Card::initialised();
    let uid = card.open();
    // One counter, one sample, enabled, on demand.
    let mut params = vec![0, 1, 0, 0, 0x0c, 0, 0, 10];
    params.extend([0; 16]);
    params.extend([0, 0, 4, 6]);
    card.send(op::SET_DIAGNOSTIC_PARAMS, uid, 0, &params)
        .unwrap();
    let answer = card.send(op::QUERY_DIAGNOSTIC_PARAMS, uid, 0, &[]).unwrap();
    assert_eq!(answer[8..], params);
    let answer = card
        .send(op::QUERY_DIAGNOSTIC_COUNTERS, uid, 0, &[0, 1, 0, 0])
        .unwrap();
    assert_eq!(answer[16..20], [4, 6, 0, 0]);
    card.ok(op::DISABLE_HCA, 0, &[]);
    card.ok(op::ENABLE_HCA, 0, &[]);
    card.give(&[1, 2, 3]);
    card.ok(op::INIT_HCA, 0, &[0; 16]);
    let answer = card.ok(op::QUERY_DIAGNOSTIC_PARAMS, 0, &[]);
    assert_eq!(answer, [0; 32], "reset");
}

#[test]
fn unreleased_resources_are_leaks() {
    let mut card = Card::initialised();
    card.open();
    card.ok(op::ALLOC_UAR, 0, &[]);
    card.ok(op::TEARDOWN_HCA, 0, &[]);
    card.ok(op::DISABLE_HCA, 0, &[]);
    let leaks = card.counters.leaks();
    assert_eq!(
        leaks,
        [
            "1 UARs alive at TEARDOWN_HCA",
            "uid 1 alive at TEARDOWN_HCA",
            "3 pages alive at DISABLE_HCA"
        ]
    );
}

#[test]
fn a_second_enable_resets_the_function() {
    let mut card = Card::initialised();
    card.open();
    card.ok(op::ENABLE_HCA, 0, &[]);
    assert_eq!(
        (card.function.alive(), card.counters.leaks()),
        (vec![], vec![])
    );
    assert_eq!(card.counters.dropped, 2);
}

#[test]
fn every_query_answers() {
    let mut card = Card::initialised();
    let uid = card.open();
    for opcode in op::OPCODES
        .iter()
        .filter(|opcode| opcode.name.starts_with("QUERY_"))
    {
        let tail = match opcode.number {
            op::QUERY_CONG_STATUS => [0, 0, 0, 0x01, 0, 0, 0, 0],
            _ => [0; 8],
        };
        let answer = card.send(
            opcode.number,
            uid,
            u16::from(opcode.number == op::QUERY_PAGES),
            &tail,
        );
        match opcode.number {
            op::QUERY_EQ | op::QUERY_MKEY => {
                assert_eq!(answer, Err(Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE)))
            }
            _ => assert!(answer.unwrap().len() >= 16, "{}", opcode.name),
        }
    }
    let general = card.send(op::QUERY_HCA_CAP, uid, 1, &[]).unwrap();
    assert!(hca_cap::UCTX_CAP
        .within(hca_cap::CAPABILITY)
        .is_set(&general));
}

/// CORE_DUMP into four pages that are not contiguous.
#[test]
fn core_dumps_go_to_memory() {
    let mut card = Card::initialised();
    let (uid, other) = (card.open(), card.open());
    let pages = [0x50_0000, 0x30_0000, 0x40_0000, 0x20_0000];
    let key = card.register(uid, &pages);
    let mut body = vec![0; 0x40];
    body[3] = 2;
    body[0x10..0x14].copy_from_slice(&key.to_be_bytes());
    body[0x14..0x18].copy_from_slice(&0x4000u32.to_be_bytes());
    body[0x1c] = 0x70;
    let refused = card.access(other, registers::CORE_DUMP, Access::Read, &body);
    assert_eq!(
        refused,
        Err(Refusal(Status::BAD_RES, Syndrome::OTHER_OWNER))
    );
    let mut all = Vec::new();
    while all.len() < 0x1_0000 {
        let answer = card
            .access(uid, registers::CORE_DUMP, Access::Read, &body)
            .unwrap();
        assert_eq!(
            (answer[0] >> 7, &answer[0x14..0x18]),
            (1, &[0, 0, 0x40, 0][..])
        );
        pages
            .iter()
            .for_each(|page| all.extend(card.host(*page, 4096)));
        body[0x20..0x28].copy_from_slice(&answer[0x20..0x28]);
    }
    assert!(all == cr_space::bytes(0, 0, all.len()));
    assert_eq!(card.host(0x30_1000, 8), [0; 8], "nothing behind a page");
    body[0x1f] = 4;
    assert_eq!(
        card.access(uid, registers::CORE_DUMP, Access::Read, &body),
        Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_ADDRESS))
    );
}

#[test]
fn resource_dumps_go_to_memory() {
    let mut card = Card::initialised();
    let uid = card.open();
    let key = card.register(uid, &[0x20_0000, 0x40_0000]);
    let mut body = vec![0; 0x100];
    body[2..4].fill(0xff);
    body[0x20..0x24].copy_from_slice(&key.to_be_bytes());
    body[0x24..0x28].copy_from_slice(&[0, 0, 0x10, 0]);
    body[0x28..0x30].copy_from_slice(&[0, 0, 0, 0, 0x70, 0, 0x08, 0]);
    let answer = card
        .access(uid, registers::RESOURCE_DUMP, Access::Read, &body)
        .unwrap();
    let len = u32::from_be_bytes(answer[0x24..0x28].try_into().unwrap());
    assert_eq!((answer[0], answer[0x30..].iter().max()), (0, Some(&0)));
    let menu = card.host(0x20_0800, len as usize);
    assert_eq!(
        (&menu[..4], &menu[len as usize - 4..]),
        (&[0, 4, 0xff, 0xfe][..], &[0, 1, 0xff, 0xfb][..])
    );
    // One byte beyond the memory.
    body[0x24..0x28].copy_from_slice(&[0, 0, 0x18, 4]);
    assert_eq!(
        card.access(uid, registers::RESOURCE_DUMP, Access::Read, &body),
        Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_ADDRESS))
    );
    // A umem whose page is not there.
    let key = card.register(uid, &[0x7fff_f000]);
    body[0x20..0x24].copy_from_slice(&key.to_be_bytes());
    body[0x24..0x28].copy_from_slice(&[0, 0, 1, 0]);
    assert_eq!(
        card.access(uid, registers::RESOURCE_DUMP, Access::Read, &body),
        Err(Refusal(Status::INTERNAL, Syndrome::DMA_ERROR))
    );
}

fn mcdd(handle: u8, offset: u32, page: u64, mailbox: u64) -> [u8; 0x20] {
    let mut body = [0; 0x20];
    body[3] = handle;
    body[4..8].copy_from_slice(&offset.to_be_bytes());
    body[0x0a] = 0x10;
    body[0x10..0x18].copy_from_slice(&page.to_be_bytes());
    body[0x18..].copy_from_slice(&mailbox.to_be_bytes());
    body
}

#[test]
fn a_component_is_burnt_and_read_by_pages() {
    let mut card = Card::initialised();
    let uid = card.open();
    let (data, mailbox) = (0x20_0000, 0x30_0000);
    card.register(uid, &[data, mailbox]);
    let handle = card.begin_component(uid, 3, 8192);
    for page in 0..2u8 {
        card.host.write(data, &[page + 1; 4096]).unwrap();
        card.host.write(mailbox, &[0; 0x24]).unwrap();
        let body = mcdd(handle, u32::from(page) * 4096, data, mailbox);
        card.access(uid, registers::MCDD, Access::Write, &body)
            .unwrap();
        assert_eq!(
            card.host(mailbox, 0x24),
            [0; 0x24],
            "the command only begins it"
        );
        let due = card.function.transfers.due().unwrap();
        card.function.run_transfers(&mut card.host, due, true);
        assert_eq!(card.host(mailbox + 0x20, 4), [1, 0, 0, 0]);
        card.run();
        let descriptor = card.host(mailbox, 0x24);
        assert_eq!(
            (&descriptor[..0x20], &descriptor[0x20..]),
            (&body[..], &[2, 0, 0, 0][..])
        );
    }
    let mut mcc = [0; 0x20];
    (mcc[3], mcc[0x0b]) = (4, handle);
    card.access(uid, registers::MCC, Access::Write, &mcc)
        .unwrap();
    mcc[3] = 7;
    card.access(uid, registers::MCC, Access::Write, &mcc)
        .unwrap();
    let body = mcdd(handle, 4096, data, mailbox);
    card.access(uid, registers::MCDD, Access::Read, &body)
        .unwrap();
    card.run();
    assert_eq!(card.host(data, 4096), [2; 4096]);
    // Beyond the end of the component.
    let body = mcdd(handle, 8192, data, mailbox);
    card.access(uid, registers::MCDD, Access::Read, &body)
        .unwrap();
    card.run();
    assert_eq!(card.host(mailbox + 0x20, 2), [3, 1]);
    assert_eq!(card.function.transfers.json()["outside_umems"], 0);
}

/// The firmware does not know whose memory it is: what a driver must not let a program name.
#[test]
fn components_go_to_any_address() {
    let mut card = Card::initialised();
    let uid = card.open();
    let handle = card.begin_component(uid, 7, 0);
    let body = mcdd(handle, 0, 0x66_6000, 0x77_7000);
    card.access(uid, registers::MCDD, Access::Read, &body)
        .unwrap();
    card.run();
    assert_ne!(card.host(0x66_6000, 4096), [0; 4096]);
    // The data page once, the mailbox page twice.
    assert_eq!(card.function.transfers.json()["outside_umems"], 3);
    // Nor whether there is memory.
    for (page, mailbox) in [(0x66_6000, u64::MAX - 8), (u64::MAX - 8, 0x77_7000)] {
        let body = mcdd(handle, 0, page, mailbox);
        card.access(uid, registers::MCDD, Access::Read, &body)
            .unwrap();
        card.run();
    }
    assert_eq!(card.host(0x77_7020, 2), [3, 1]);
    assert!(card.function.transfers.json()["errors"].as_u64() >= Some(2));
    // A device that is not a bus master does nothing.
    card.host.write(0x77_7000, &[0; 0x24]).unwrap();
    card.access(uid, registers::MCDD, Access::Read, &body)
        .unwrap();
    let due = card.function.transfers.due().unwrap();
    card.function.run_transfers(&mut card.host, due, false);
    assert_eq!(
        (card.host(0x77_7000, 0x24), card.function.transfers.due()),
        (vec![0; 0x24], None)
    );
    // Nor one that was reset.
    card.access(uid, registers::MCDD, Access::Read, &body)
        .unwrap();
    card.function.reset();
    assert_eq!(card.function.transfers.due(), None);
    assert_eq!(card.function.transfers.json()["dropped"], 2);
}
