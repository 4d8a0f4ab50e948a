// SPDX-License-Identifier: MIT OR Apache-2.0

//! Event queues: rings of 64-byte events in guest memory, and their interrupts.

use super::bits::{event, Eqe};
use super::fields::{eq as layout, output};
use super::refusal::{Refusal, Status, Syndrome};
use crate::device::Bus;
use std::collections::BTreeMap;
use zerocopy::IntoBytes;

/// Maximum number of event queues. Numbers have 8 bits, and 0 is not used.
pub const MAX_EQS: usize = 127;
/// log2 of the maximum queue size: 2^22 events (`log_max_eq_sz` of real devices).
pub const LOG_MAX_SIZE: u8 = 22;
/// log2 of the size of an event.
const LOG_EVENT: u8 = 6;
/// log2 of the minimum page size, and the maximum of `log_page_size`.
const LOG_PAGE: u8 = 12;
const MAX_PAGE_SHIFT: u8 = 18;
/// Indices have 24 bits.
const INDEX_MASK: u32 = 0xff_ffff;

/// One event queue.
#[derive(Clone, Debug)]
struct Eq {
    log_size: u8,
    log_page: u8,
    pages: Vec<u64>,
    uar: u32,
    vector: u16,
    mask: [u64; 4],
    producer: u32,
    consumer: u32,
    is_armed: bool,
    /// The context as written by the driver.
    context: [u8; 64],
}

impl Eq {
    fn wants(&self, kind: u8) -> bool {
        // The mask is an array of 64-bit words. Bit 0 is the least significant bit of the first
        // one.
        self.mask[usize::from(kind) / 64] >> (kind % 64) & 1 != 0
    }

    fn address(&self) -> u64 {
        let index = u64::from(self.producer) & ((1 << self.log_size) - 1);
        let offset = index << LOG_EVENT;
        let page = self.pages[(offset >> self.log_page) as usize];
        page.wrapping_add(offset & ((1 << self.log_page) - 1))
    }

    fn fill(&self) -> u32 {
        self.producer.wrapping_sub(self.consumer) & INDEX_MASK
    }
}

/// The event queues of a function.
#[derive(Clone, Debug, Default)]
pub struct EventQueues {
    queues: BTreeMap<u8, Eq>,
    /// Events written.
    pub events: u64,
    /// Events dropped because their queue was full.
    pub overruns: u64,
    /// Doorbells for an unknown queue, or written to the UAR of another queue.
    pub stray_doorbells: u64,
    /// Events that could not be written.
    pub dma_errors: u64,
}

impl EventQueues {
    /// CREATE_EQ: returns the number of the new queue.
    pub fn create(
        &mut self,
        input: &[u8],
        vectors: u32,
        is_uar: impl Fn(u32) -> bool,
    ) -> Result<u8, Refusal> {
        let bad = |syndrome| Err(Refusal(Status::BAD_PARAM, syndrome));
        let Some(context) = input
            .get(layout::CONTEXT..)
            .and_then(|rest| rest.first_chunk::<64>())
        else {
            return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
        };
        let log_size = layout::LOG_EQ_SIZE.get(context) as u8;
        let page_shift = layout::LOG_PAGE_SIZE.get(context) as u8;
        let vector = layout::INTR.get(context) as u16;
        let uar = layout::UAR_PAGE.get(context) as u32;
        if log_size > LOG_MAX_SIZE
            || page_shift > MAX_PAGE_SHIFT
            || layout::PAGE_OFFSET.is_set(context)
        {
            return bad(Syndrome::BAD_SIZE);
        }
        if u32::from(vector) >= vectors || !is_uar(uar) {
            return bad(Syndrome::BAD_INDEX);
        }
        let log_page = LOG_PAGE + page_shift;
        let count = (1usize << (log_size + LOG_EVENT)).div_ceil(1 << log_page);
        let Some(pas) = input.get(layout::PAS..layout::PAS + 8 * count) else {
            return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
        };
        let words = |bytes: &[u8]| -> Vec<u64> {
            bytes
                .chunks_exact(8)
                .map(|word| {
                    word.iter()
                        .fold(0, |value, byte| value << 8 | u64::from(*byte))
                })
                .collect()
        };
        let pages = words(pas);
        // A page that is not aligned to its size could extend beyond the address space.
        if pages.iter().any(|page| page & ((1 << LOG_PAGE) - 1) != 0) {
            return bad(Syndrome::BAD_ADDRESS);
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&words(&input[layout::MASK..layout::MASK + 32]));
        let free = (1..=MAX_EQS as u8).find(|number| !self.queues.contains_key(number));
        let number = free.ok_or(Refusal(Status::LIMIT, Syndrome::TOO_MANY))?;
        let queue = Eq {
            log_size,
            log_page,
            pages,
            uar,
            vector,
            mask,
            producer: 0,
            consumer: 0,
            is_armed: false,
            context: *context,
        };
        self.queues.insert(number, queue);
        Ok(number)
    }

    /// DESTROY_EQ.
    pub fn destroy(&mut self, number: u8) -> Result<(), Refusal> {
        let queue = self.queues.remove(&number);
        queue
            .map(drop)
            .ok_or(Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE))
    }

    /// QUERY_EQ: returns the answer.
    pub fn query(&self, number: u8) -> Result<Vec<u8>, Refusal> {
        let queue = self
            .queues
            .get(&number)
            .ok_or(Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE))?;
        let mut answer = vec![0; layout::PAS + 8 * queue.pages.len()];
        let context = &mut answer[layout::CONTEXT..][..64];
        context.copy_from_slice(&queue.context);
        // `st` is 0xa (fired) or 0x9 (armed).
        layout::STATE.set(context, if queue.is_armed { 0x9 } else { 0xa });
        layout::CONSUMER.set(context, queue.consumer.into());
        layout::PRODUCER.set(context, queue.producer.into());
        answer[layout::MASK..][..8].copy_from_slice(&queue.mask[0].to_be_bytes());
        for (to, page) in answer[layout::PAS..].chunks_exact_mut(8).zip(&queue.pages) {
            to.copy_from_slice(&page.to_be_bytes());
        }
        Ok(answer)
    }

    /// Returns the numbers of the queues.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + '_ {
        self.queues.keys().copied()
    }

    /// Returns the queue that is subscribed to events of type `kind`.
    pub fn listener(&self, kind: u8) -> Option<u8> {
        self.queues
            .iter()
            .find(|(_, queue)| queue.wants(kind))
            .map(|(number, _)| *number)
    }

    /// Returns whether a queue uses this UAR.
    pub fn use_uar(&self, uar: u32) -> bool {
        self.queues.values().any(|queue| queue.uar == uar)
    }

    /// Number of queues.
    pub fn alive(&self) -> usize {
        self.queues.len()
    }

    /// Removes all queues.
    pub fn clear(&mut self) {
        self.queues.clear();
    }

    /// Posts an event to a queue, if the queue still exists, and raises its interrupt if the queue
    /// is armed and `interrupts` is set.
    pub fn post(&mut self, bus: &mut Bus, number: u8, mut event: Eqe, interrupts: bool) {
        let Some(queue) = self.queues.get_mut(&number) else {
            return;
        };
        if queue.fill() >= 1 << queue.log_size {
            self.overruns += 1;
            return;
        }
        event.owner = (queue.producer >> queue.log_size & 1) as u8;
        let (address, bytes) = (queue.address(), event.as_bytes());
        let last = bytes.len() - 1;
        let written = bus.memory.write(address, &bytes[..last]);
        if written
            .and_then(|()| bus.memory.publish(address + last as u64, event.owner))
            .is_err()
        {
            self.dma_errors += 1;
            return;
        }
        queue.producer = (queue.producer + 1) & INDEX_MASK;
        self.events += 1;
        if std::mem::take(&mut queue.is_armed) && interrupts {
            bus.vectors.raise(queue.vector.into());
        }
    }

    /// Handles a doorbell write to UAR `uar`. `value` has queue number and consumer index.
    pub fn doorbell(&mut self, bus: &mut Bus, uar: u32, value: u32, arm: bool) {
        let number = (value >> 24) as u8;
        let Some(queue) = self
            .queues
            .get_mut(&number)
            .filter(|queue| queue.uar == uar)
        else {
            self.stray_doorbells += 1;
            return;
        };
        queue.consumer = value & INDEX_MASK;
        if arm {
            queue.is_armed = true;
            // Events were posted since the driver last polled.
            if queue.fill() != 0 {
                queue.is_armed = false;
                bus.vectors.raise(queue.vector.into());
            }
        }
    }

    /// Posts a page request. Returns whether a queue is subscribed to it.
    pub fn post_page_request(&mut self, bus: &mut Bus, pages: i32) -> bool {
        let listener = self.listener(event::PAGE_REQUEST);
        if let Some(number) = listener {
            self.post(bus, number, Eqe::page_request(0, pages), true);
        }
        listener.is_some()
    }
}

/// Returns the answer of CREATE_EQ.
pub fn created(number: u8) -> Vec<u8> {
    let mut answer = vec![0; output::LEN];
    layout::NUMBER.set(&mut answer, number.into());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma;

    fn input(log_size: u8, pages: &[u64], kinds: &[u8]) -> Vec<u8> {
        let mut input = vec![0; layout::PAS];
        input[0x1c] = log_size;
        input[0x1f] = 1; // UAR 1
        for kind in kinds {
            let word = &mut input[layout::MASK..][..8];
            let mask = u64::from_be_bytes(word.try_into().unwrap()) | 1 << kind;
            word.copy_from_slice(&mask.to_be_bytes());
        }
        input.extend(pages.iter().flat_map(|page| page.to_be_bytes()));
        input
    }

    fn create(queues: &mut EventQueues, input: &[u8]) -> Result<u8, Refusal> {
        queues.create(input, 4, |uar| uar == 1)
    }

    fn bus() -> Bus {
        Bus {
            memory: dma::test::memory(0, 0x10000),
            ..Bus::default()
        }
    }

    #[test]
    fn ring_owner_and_interrupts() {
        let mut bus = bus();
        let mut queues = EventQueues::default();
        let number = create(&mut queues, &input(1, &[0x3000], &[event::COMMAND])).unwrap();
        assert_eq!(queues.listener(event::COMMAND), Some(number));
        assert_eq!(queues.listener(event::PAGE_REQUEST), None);
        let raised = |bus: &Bus| bus.vectors.raised + bus.vectors.lost;
        let owner = |bus: &Bus, slot: u64| {
            let mut byte = [0xff];
            bus.memory.read(0x3000 + 64 * slot + 63, &mut byte).unwrap();
            byte[0]
        };
        let doorbell = u32::from(number) << 24;

        queues.post(&mut bus, number, Eqe::command(1 << 5), true);
        assert_eq!((owner(&bus, 0), raised(&bus)), (0, 0), "not armed");
        queues.doorbell(&mut bus, 1, doorbell, true);
        assert_eq!(raised(&bus), 1, "an event was pending");
        queues.doorbell(&mut bus, 1, doorbell | 1, true);
        assert_eq!(raised(&bus), 1);
        queues.post(&mut bus, number, Eqe::command(1 << 5), true);
        queues.post(&mut bus, number, Eqe::command(1 << 5), true);
        assert_eq!(raised(&bus), 2, "firing disarms");
        assert_eq!((owner(&bus, 0), owner(&bus, 1)), (1, 0), "the second round");
        queues.post(&mut bus, number, Eqe::command(1 << 5), true);
        assert_eq!((queues.events, queues.overruns), (3, 1));
        queues.doorbell(&mut bus, 2, doorbell, true);
        queues.doorbell(&mut bus, 1, 0x7f << 24, true);
        assert_eq!(queues.stray_doorbells, 2);
    }

    #[test]
    fn invalid_queues_are_refused() {
        let mut queues = EventQueues::default();
        let good = input(0, &[0x1000], &[]);
        let with = |at: usize, value: u8| {
            let mut input = good.clone();
            input[at] = value;
            input
        };
        for bad in [
            with(0x1c, 23),
            with(0x1c, 7),    // two pages
            with(0x1f, 2),    // not a UAR
            with(0x27, 4),    // no such vector
            with(0x28, 31),   // pages of 2^43
            with(0x1b, 0x40), // page offset
            with(0x117, 1),   // not a page
            good[..0x110].to_vec(),
            good[..0x20].to_vec(),
            vec![],
        ] {
            assert!(create(&mut queues, &bad).is_err(), "{bad:02x?}");
        }
        assert_eq!(queues.alive(), 0);
        for _ in 0..MAX_EQS {
            create(&mut queues, &good).unwrap();
        }
        assert_eq!(
            create(&mut queues, &good),
            Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY))
        );
        queues.destroy(3).unwrap();
        assert_eq!(create(&mut queues, &good), Ok(3));
        assert!(queues.destroy(0).is_err() && queues.destroy(200).is_err());
    }

    #[test]
    fn unmapped_pages_are_dma_errors() {
        let mut bus = bus();
        let mut queues = EventQueues::default();
        for page in [0x10000, u64::MAX << 12] {
            let number = create(&mut queues, &input(0, &[page], &[])).unwrap();
            queues.post(&mut bus, number, Eqe::command(1 << 0), true);
        }
        assert_eq!((queues.dma_errors, queues.events), (2, 0));
    }

    #[test]
    fn query_returns_the_context() {
        let mut bus = bus();
        let mut queues = EventQueues::default();
        let input = input(7, &[0x1000, 0x2000], &[event::COMMAND]);
        let number = create(&mut queues, &input).unwrap();
        queues.post(&mut bus, number, Eqe::command(1 << 0), true);
        let answer = queues.query(number).unwrap();
        assert_eq!(answer[0x1c..0x20], input[0x1c..0x20]);
        assert_eq!(answer[0x3f], 1, "producer");
        assert_eq!(answer[0x110..], input[0x110..]);
        assert!(queues.query(9).is_err());
        assert_eq!(created(7)[0x0b], 7);
    }
}
