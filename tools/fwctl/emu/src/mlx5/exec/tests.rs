// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sequence of commands that mlx5_core sends, and deviations from it.

use super::super::fields::Field;
use super::super::fields::{hca_cap, input, mkey, pd, uctx, umem};
use super::super::memory;
use super::super::opcodes as op;
use super::*;

/// A function and its counters.
struct Card {
    function: Function,
    counters: Counters,
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
        self.function.execute(&bytes, &mut self.counters)
    }

    #[track_caller]
    fn ok(&mut self, opcode: u16, op_mod: u16, tail: &[u8]) -> Vec<u8> {
        self.send(opcode, 0, op_mod, tail).unwrap()
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
