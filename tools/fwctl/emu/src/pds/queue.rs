// SPDX-License-Identifier: MIT OR Apache-2.0

//! The admin queue, with its completions, and the notify queue: rings in guest memory.

use super::codes::Status;
use super::wire::{Completion, Event, InitIn, COLOR, COMMAND, COMPLETION, QUEUE_ENABLE};
use crate::dma::{DmaError, Memory};
use std::sync::atomic::{fence, Ordering};
use zerocopy::IntoBytes;

/// Logarithms of the numbers of entries that a ring may have.  Linux asks for 4 and 6; the headers
/// name no limit.
const SIZES: std::ops::RangeInclusive<u8> = 1..=12;
/// Alignment of a ring (core.h, base_pa).
const ALIGNMENT: u64 = 4096;

/// The rings, from an INIT to the next RESET.
#[derive(Clone, Debug)]
pub struct Queues {
    /// The interrupt of both.
    pub interrupt: usize,
    commands: u64,
    completions: u64,
    events: u64,
    mask: u16,
    event_mask: u16,
    /// The next command to read.
    next: u16,
    /// Where the driver put its newest command, plus one.
    head: u16,
    /// The next completion to write, and its color.
    completion: u16,
    color: bool,
    event: u16,
    event_id: u64,
}

impl Queues {
    /// The rings that an INIT describes.
    pub fn new(init: &InitIn, interrupts: usize) -> Result<Self, Status> {
        let interrupt = usize::from(init.interrupt.get());
        let addresses = [
            init.admin_queue.get(),
            init.admin_completions.get(),
            init.notify_completions.get(),
        ];
        let is_valid = init.flags.get() & QUEUE_ENABLE != 0
            && SIZES.contains(&init.admin_size)
            && SIZES.contains(&init.notify_size)
            && addresses.iter().all(|address| address % ALIGNMENT == 0)
            && interrupt < interrupts;
        if !is_valid {
            return Err(Status::EINVAL);
        }
        let [commands, completions, events] = addresses;
        Ok(Queues {
            interrupt,
            commands,
            completions,
            events,
            mask: (1 << init.admin_size) - 1,
            event_mask: (1 << init.notify_size) - 1,
            next: 0,
            head: 0,
            completion: 0,
            color: true,
            event: 0,
            event_id: 0,
        })
    }

    /// Number of entries of the admin queue.
    pub fn entries(&self) -> usize {
        usize::from(self.mask) + 1
    }

    /// Takes a doorbell; returns whether `head` is an entry.
    pub fn ring(&mut self, head: u16) -> bool {
        let is_entry = head <= self.mask;
        if is_entry {
            self.head = head;
        }
        is_entry
    }

    /// Reads the next command, if the driver has rung for it.
    pub fn fetch(&mut self, memory: &Memory) -> Option<Result<[u8; COMMAND], DmaError>> {
        if self.next == self.head {
            return None;
        }
        let mut command = [0; COMMAND];
        let address = entry(self.commands, self.next, COMMAND);
        self.next = (self.next + 1) & self.mask;
        Some(memory.read(address, &mut command).map(|()| command))
    }

    /// Writes the next completion.  Completions are in the order of the commands.
    pub fn complete(&mut self, memory: &mut Memory, mut done: Completion) -> Result<(), DmaError> {
        done.index.set(self.completion);
        let address = entry(self.completions, self.completion, COMPLETION);
        let color = if self.color { COLOR } else { 0 };
        self.completion = (self.completion + 1) & self.mask;
        self.color ^= self.completion == 0;
        memory.write(address, &done.as_bytes()[..COMPLETION - 1])?;
        // The color makes it valid, so it comes last.
        memory.publish(address.wrapping_add(COMPLETION as u64 - 1), color)
    }

    /// Writes an event to the notify queue.
    pub fn notify(&mut self, memory: &mut Memory, code: u16) -> Result<(), DmaError> {
        self.event_id += 1;
        let event = Event {
            id: self.event_id.into(),
            code: code.into(),
            reserved: [0; 54],
        };
        let address = entry(self.events, self.event, size_of::<Event>());
        self.event = (self.event + 1) & self.event_mask;
        let (id, rest) = event.as_bytes().split_at(8);
        memory.write(address.wrapping_add(8), rest)?;
        // The identifier makes it valid, so it comes last.
        fence(Ordering::Release);
        memory.write(address, id)
    }
}

/// Address of entry `n`; one beyond the end of the address space fails as any other bad address.
fn entry(base: u64, n: u16, len: usize) -> u64 {
    base.wrapping_add(u64::from(n) * len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma::test::memory;
    use zerocopy::FromBytes;

    const BASE: u64 = 0x10_0000;

    fn init() -> InitIn {
        InitIn {
            admin_queue: BASE.into(),
            admin_completions: (BASE + 0x1000).into(),
            notify_completions: (BASE + 0x2000).into(),
            flags: 3.into(),
            interrupt: 0.into(),
            admin_size: 1,
            notify_size: 1,
        }
    }

    #[test]
    fn invalid_rings() {
        assert!(Queues::new(&init(), 1).is_ok());
        let broken: [fn(&mut InitIn); 7] = [
            |init| init.flags.set(1),
            |init| init.interrupt.set(1),
            |init| init.admin_size = 0,
            |init| init.admin_size = 13,
            |init| init.notify_size = 255,
            |init| init.admin_queue.set(BASE + 64),
            |init| init.notify_completions.set(1),
        ];
        for (n, change) in broken.iter().enumerate() {
            let mut init = init();
            change(&mut init);
            assert_eq!(Queues::new(&init, 1).err(), Some(Status::EINVAL), "{n}");
        }
    }

    #[test]
    fn colors_alternate() {
        let mut memory = memory(BASE, 0x3000);
        let mut queues = Queues::new(&init(), 1).unwrap();
        let done = Completion::read_from_bytes(&[0; 16]).unwrap();
        let mut colors = Vec::new();
        for n in 0..5u64 {
            queues.complete(&mut memory, done).unwrap();
            let mut entry = [0; 16];
            memory.read(BASE + 0x1000 + n % 2 * 16, &mut entry).unwrap();
            assert_eq!(u64::from(entry[2]), n % 2, "index");
            colors.push(entry[15]);
        }
        assert_eq!(colors, [0x80, 0x80, 0, 0, 0x80]);
    }

    #[test]
    fn commands_until_the_head() {
        let mut memory = memory(BASE, 0x3000);
        memory.write(BASE + 64, &[6]).unwrap();
        let mut queues = Queues::new(&init(), 1).unwrap();
        assert!(queues.fetch(&memory).is_none());
        assert!(!queues.ring(2), "beyond the end");
        assert!(queues.ring(1));
        assert_eq!(queues.fetch(&memory).unwrap().unwrap()[0], 0);
        assert!(queues.fetch(&memory).is_none());
        assert!(queues.ring(0));
        assert_eq!(queues.fetch(&memory).unwrap().unwrap()[0], 6);
        assert!(queues.fetch(&memory).is_none());
    }

    #[test]
    fn events_grow() {
        let mut memory = memory(BASE, 0x3000);
        let mut queues = Queues::new(&init(), 1).unwrap();
        for n in 1..=3u8 {
            queues.notify(&mut memory, 5).unwrap();
            let mut entry = [0; 10];
            let at = BASE + 0x2000 + u64::from((n - 1) % 2) * 64;
            memory.read(at, &mut entry).unwrap();
            assert_eq!(entry, [n, 0, 0, 0, 0, 0, 0, 0, 5, 0]);
        }
    }
}
