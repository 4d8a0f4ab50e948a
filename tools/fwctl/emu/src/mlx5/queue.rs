// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fetches commands from guest memory, and writes answers to it.
//!
//! A message starts in the queue entry and continues in a chain of mailbox blocks. A chain is
//! walked for the length of the message only: the driver reuses longer chains.

use super::bits::{Block, Entry, BLOCK_ALIGN, BLOCK_DATA, ENTRY_KIND, INLINE, OWNER_HARDWARE};
use crate::dma::{DmaError, Memory};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Maximum length of a chain, for an RPC of 2 MiB.
pub const MAX_BLOCKS: usize = 4096;
/// Maximum length of a message.
pub const MAX_MESSAGE: usize = INLINE + MAX_BLOCKS * BLOCK_DATA;

/// Status of delivery, `MLX5_CMD_DELIVERY_STAT_*` in cmd.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery(
    /// Has seven bits.
    pub u8,
);

#[allow(missing_docs)]
impl Delivery {
    pub const OK: Delivery = Delivery(0x0);
    pub const SIGNATURE: Delivery = Delivery(0x1);
    pub const TOKEN: Delivery = Delivery(0x2);
    pub const BLOCK_NUMBER: Delivery = Delivery(0x3);
    pub const OUT_POINTER: Delivery = Delivery(0x4);
    pub const IN_POINTER: Delivery = Delivery(0x5);
    pub const IN_LENGTH: Delivery = Delivery(0x7);
    pub const OUT_LENGTH: Delivery = Delivery(0x8);
    pub const DESCRIPTOR: Delivery = Delivery(0x10);
}

/// A command owned by the hardware.
#[derive(Clone, Debug)]
pub struct Command {
    /// The slot.
    pub slot: u8,
    /// Guest address of its entry.
    pub address: u64,
    /// The entry as fetched.
    pub entry: Entry,
}

impl Command {
    /// Fetches the command at `address`. Returns `None` if software owns the entry.
    pub fn fetch(memory: &Memory, slot: u8, address: u64) -> Result<Option<Self>, DmaError> {
        let mut entry = Entry::new_zeroed();
        memory.read(address, entry.as_mut_bytes())?;
        let is_ours = entry.status_own & OWNER_HARDWARE != 0;
        Ok(is_ours.then_some(Command {
            slot,
            address,
            entry,
        }))
    }

    /// Reads the input.
    pub fn input(&self, memory: &Memory) -> Result<Vec<u8>, Delivery> {
        let entry = &self.entry;
        if entry.kind != ENTRY_KIND {
            return Err(Delivery::DESCRIPTOR);
        }
        if !entry.is_signed() {
            return Err(Delivery::SIGNATURE);
        }
        let len = entry.in_len.get() as usize;
        if len > MAX_MESSAGE {
            return Err(Delivery::IN_LENGTH);
        }
        if entry.out_len.get() as usize > MAX_MESSAGE {
            return Err(Delivery::OUT_LENGTH);
        }
        // Grow the buffer with the data read, not by the length that the guest claims.
        let mut input = entry.input[..len.min(INLINE)].to_vec();
        let mut chain = Chain::new(entry.in_mailbox.get(), entry.token, Delivery::IN_POINTER);
        while input.len() < len {
            let (_, block) = chain.next(memory)?;
            let part = BLOCK_DATA.min(len - input.len());
            input.extend_from_slice(&block.data[..part]);
        }
        Ok(input)
    }

    /// Writes an answer, truncated to the capacity for it, and returns the entry to software.
    pub fn answer(&self, memory: &mut Memory, answer: &[u8]) -> Result<(), DmaError> {
        let room = self.entry.out_len.get() as usize;
        let answer = &answer[..answer.len().min(room)];
        let (first, rest) = answer.split_at(answer.len().min(INLINE));
        let mut entry = self.entry.clone();
        entry.output = [0; INLINE];
        entry.output[..first.len()].copy_from_slice(first);
        match self.write_chain(memory, rest) {
            Ok(()) => self.complete(memory, entry, Delivery::OK),
            Err(delivery) => self.fail(memory, delivery),
        }
    }

    /// Returns the entry to software with a delivery status and no answer.
    pub fn fail(&self, memory: &mut Memory, delivery: Delivery) -> Result<(), DmaError> {
        self.complete(memory, self.entry.clone(), delivery)
    }

    fn complete(
        &self,
        memory: &mut Memory,
        mut entry: Entry,
        delivery: Delivery,
    ) -> Result<(), DmaError> {
        entry.status_own = delivery.0 << 1;
        entry.sign();
        let bytes = entry.as_bytes();
        // The driver polls the last byte, so write all others before it.
        memory.write(self.address, &bytes[..bytes.len() - 1])?;
        memory.publish(self.address + bytes.len() as u64 - 1, entry.status_own)
    }

    fn write_chain(&self, memory: &mut Memory, rest: &[u8]) -> Result<(), Delivery> {
        let mut chain = Chain::new(
            self.entry.out_mailbox.get(),
            self.entry.token,
            Delivery::OUT_POINTER,
        );
        for part in rest.chunks(BLOCK_DATA) {
            let (address, mut block) = chain.next(memory)?;
            block.data[..part.len()].copy_from_slice(part);
            block.sign();
            memory
                .write(address, block.as_bytes())
                .map_err(|_| Delivery::OUT_POINTER)?;
        }
        Ok(())
    }
}

/// A walk along mailbox blocks.
struct Chain {
    next: u64,
    number: u32,
    token: u8,
    /// Delivery status for an invalid address.
    bad_pointer: Delivery,
}

impl Chain {
    fn new(first: u64, token: u8, bad_pointer: Delivery) -> Self {
        Chain {
            next: first,
            number: 0,
            token,
            bad_pointer,
        }
    }

    /// Returns the next block and its address. Block numbers increase, so a cyclic chain ends.
    fn next(&mut self, memory: &Memory) -> Result<(u64, Block), Delivery> {
        let address = self.next;
        if address == 0 || address % BLOCK_ALIGN != 0 {
            return Err(self.bad_pointer);
        }
        let mut bytes = [0; size_of::<Block>()];
        memory
            .read(address, &mut bytes)
            .map_err(|_| self.bad_pointer)?;
        let block = Block::read_from_bytes(&bytes).map_err(|_| self.bad_pointer)?;
        if block.number.get() != self.number {
            return Err(Delivery::BLOCK_NUMBER);
        }
        if block.token != self.token {
            return Err(Delivery::TOKEN);
        }
        self.next = block.next.get();
        self.number += 1;
        Ok((address, block))
    }
}

/// Commands as written by a driver, for tests.
pub mod test {
    use super::*;

    /// Addresses of the chains.
    #[derive(Clone, Copy, Debug)]
    pub struct Mailboxes {
        /// The chain for the input.
        pub input: u64,
        /// The chain for the answer.
        pub output: u64,
    }

    /// The chains that [`write_command`] uses.
    pub const MAILBOXES: Mailboxes = Mailboxes {
        input: 0x10_0000,
        output: 0x20_0000,
    };

    /// Writes a signed command entry at `address`, and both chains.
    pub fn write_command(memory: &mut Memory, address: u64, input: &[u8], room: usize) {
        write_command_at(memory, address, MAILBOXES, input, room).expect("all of it is mapped");
    }

    /// As [`write_command`], with chains at any address, which may not be mapped.
    pub fn write_command_at(
        memory: &mut Memory,
        address: u64,
        mailboxes: Mailboxes,
        input: &[u8],
        room: usize,
    ) -> Result<(), DmaError> {
        let mut entry = Entry::new_zeroed();
        entry.kind = ENTRY_KIND;
        entry.in_len.set(input.len() as u32);
        entry.out_len.set(room as u32);
        entry.token = 0x5a;
        let (first, rest) = input.split_at(input.len().min(INLINE));
        entry.input[..first.len()].copy_from_slice(first);
        write_chain(
            memory,
            mailboxes.output,
            entry.token,
            &vec![0; room.saturating_sub(INLINE)],
        )?;
        write_chain(memory, mailboxes.input, entry.token, rest)?;
        entry
            .in_mailbox
            .set(if rest.is_empty() { 0 } else { mailboxes.input });
        entry
            .out_mailbox
            .set(if room > INLINE { mailboxes.output } else { 0 });
        entry.status_own = OWNER_HARDWARE;
        entry.sign();
        memory.write(address, entry.as_bytes())
    }

    fn write_chain(
        memory: &mut Memory,
        mailbox: u64,
        token: u8,
        data: &[u8],
    ) -> Result<(), DmaError> {
        for (number, part) in data.chunks(BLOCK_DATA).enumerate() {
            let at = mailbox + number as u64 * BLOCK_ALIGN;
            let mut block = Block::new_zeroed();
            block.number.set(number as u32);
            block.token = token;
            block.next.set(at + BLOCK_ALIGN);
            block.data[..part.len()].copy_from_slice(part);
            memory.write(at, block.as_bytes())?;
        }
        Ok(())
    }

    /// Reads the answer at `address`. Returns the status byte and, after success, `len` bytes.
    pub fn read_answer(memory: &Memory, address: u64, len: usize) -> (u8, Vec<u8>) {
        let mut entry = Entry::new_zeroed();
        memory
            .read(address, entry.as_mut_bytes())
            .expect("the queue is mapped");
        let mut answer = entry.output[..len.min(INLINE)].to_vec();
        let mut at = MAILBOXES.output;
        while answer.len() < len {
            let mut data = [0; BLOCK_DATA];
            memory
                .read(at, &mut data)
                .expect("the mailboxes are mapped");
            answer.extend_from_slice(&data[..BLOCK_DATA.min(len - answer.len())]);
            at += BLOCK_ALIGN;
        }
        (entry.status_own, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma;

    const QUEUE: u64 = 0x1000;

    fn memory() -> Memory {
        dma::test::memory(0, 0x100_0000)
    }

    fn fetch(memory: &Memory) -> Command {
        Command::fetch(memory, 0, QUEUE).unwrap().unwrap()
    }

    #[test]
    fn messages_round_trip() {
        for (in_len, out_len) in [
            (8, 8),
            (12, 12),
            (16, 16),
            (17, 17),
            (528, 528),
            (529, 529),
            (0x1010, 0x1010),
        ] {
            let mut memory = memory();
            let input: Vec<u8> = (0..in_len).map(|n| n as u8).collect();
            test::write_command(&mut memory, QUEUE, &input, out_len);
            let command = fetch(&memory);
            assert_eq!(command.input(&memory).unwrap(), input);
            let answer: Vec<u8> = (0..out_len).map(|n| !n as u8).collect();
            command.answer(&mut memory, &answer).unwrap();
            assert_eq!(test::read_answer(&memory, QUEUE, out_len), (0, answer));
            assert!(
                Command::fetch(&memory, 0, QUEUE).unwrap().is_none(),
                "software owns it now"
            );
        }
    }

    #[test]
    fn answers_are_truncated() {
        let mut memory = memory();
        test::write_command(&mut memory, QUEUE, &[0; 16], 20);
        fetch(&memory).answer(&mut memory, &[9; 600]).unwrap();
        let (status, answer) = test::read_answer(&memory, QUEUE, 24);
        assert_eq!(
            (status, &answer[..20], &answer[20..]),
            (0, &[9; 20][..], &[0; 4][..])
        );
        test::write_command(&mut memory, QUEUE, &[0; 16], 0);
        fetch(&memory).answer(&mut memory, &[9; 600]).unwrap();
        assert_eq!(test::read_answer(&memory, QUEUE, 16).1, [0; 16]);
    }

    /// Corrupts one entry, then one block, and checks the delivery status.
    #[test]
    fn invalid_entries_and_blocks_are_refused() {
        let entry = |change: fn(&mut Entry)| {
            let mut memory = memory();
            test::write_command(&mut memory, QUEUE, &[0; 2000], 2000);
            let mut command = fetch(&memory);
            change(&mut command.entry);
            command.entry.sign();
            command.input(&memory).unwrap_err()
        };
        assert_eq!(entry(|entry| entry.kind = 1), Delivery::DESCRIPTOR);
        assert_eq!(
            entry(|entry| entry.in_len.set(u32::MAX)),
            Delivery::IN_LENGTH
        );
        assert_eq!(
            entry(|entry| entry.out_len.set(u32::MAX)),
            Delivery::OUT_LENGTH
        );
        assert_eq!(entry(|entry| entry.in_mailbox.set(0)), Delivery::IN_POINTER);
        assert_eq!(
            entry(|entry| entry.in_mailbox.set(0x10_0001)),
            Delivery::IN_POINTER
        );
        assert_eq!(
            entry(|entry| entry.in_mailbox.set(u64::MAX << 10)),
            Delivery::IN_POINTER
        );
        assert_eq!(entry(|entry| entry.token = 1), Delivery::TOKEN);

        let block = |at: u64, value: u8| {
            let mut memory = memory();
            test::write_command(&mut memory, QUEUE, &[0; 2000], 2000);
            memory.write(test::MAILBOXES.input + at, &[value]).unwrap();
            fetch(&memory).input(&memory).unwrap_err()
        };
        assert_eq!(block(571, 1), Delivery::BLOCK_NUMBER);
        assert_eq!(block(573, 1), Delivery::TOKEN);
        assert_eq!(block(567, 1), Delivery::IN_POINTER);
        // A block that is its own successor.
        assert_eq!(block(566, 0), Delivery::BLOCK_NUMBER);
    }

    #[test]
    fn unsigned_entry() {
        let mut memory = memory();
        test::write_command(&mut memory, QUEUE, &[0; 16], 16);
        memory.write(QUEUE + 61, &[0]).unwrap();
        assert_eq!(fetch(&memory).input(&memory), Err(Delivery::SIGNATURE));
    }

    #[test]
    fn unmapped_answer_is_a_delivery_error() {
        let mut memory = memory();
        test::write_command(&mut memory, QUEUE, &[0; 16], 600);
        let mut command = fetch(&memory);
        command.entry.out_mailbox.set(0xffff_0000);
        command.answer(&mut memory, &[1; 600]).unwrap();
        assert_eq!(
            test::read_answer(&memory, QUEUE, 16),
            (Delivery::OUT_POINTER.0 << 1, vec![0; 16])
        );
    }

    #[test]
    fn longest_message() {
        let mut memory = memory();
        let input = vec![7; 2 << 20];
        // The mailboxes would overlap, so write only the input.
        test::write_command(&mut memory, QUEUE, &input, 16);
        assert_eq!(fetch(&memory).input(&memory).unwrap().len(), 2 << 20);
    }
}
