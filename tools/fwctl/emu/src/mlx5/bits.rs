// SPDX-License-Identifier: MIT OR Apache-2.0

//! Layouts in guest memory: command queue entries, mailbox blocks, events. All big endian.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Data in a mailbox block, in bytes (`MLX5_CMD_DATA_BLOCK_SIZE`).
pub const BLOCK_DATA: usize = 512;
/// Alignment of mailbox blocks.
pub const BLOCK_ALIGN: u64 = 1024;
/// Bytes of a message that are stored in the entry.
pub const INLINE: usize = 16;
/// [`Entry::kind`] of all commands (`MLX5_PCI_CMD_XPORT`).
pub const ENTRY_KIND: u8 = 7;
/// The bit of [`Entry::status_own`] that is set while the hardware owns the entry.
pub const OWNER_HARDWARE: u8 = 1;

/// One entry of the command queue: `struct mlx5_cmd_layout`, include/linux/mlx5/device.h.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Entry {
    /// [`ENTRY_KIND`].
    pub kind: u8,
    reserved_1: [u8; 3],
    /// Length of the input.
    pub in_len: U32,
    /// First mailbox block of the input, if the input is longer than [`INLINE`].
    pub in_mailbox: U64,
    /// First bytes of the input.
    pub input: [u8; INLINE],
    /// First bytes of the answer.
    pub output: [u8; INLINE],
    /// First mailbox block of the answer.
    pub out_mailbox: U64,
    /// Capacity for the answer.
    pub out_len: U32,
    /// Token that each mailbox block repeats.
    pub token: u8,
    /// Signature: the exclusive or of all bytes is 0xff.
    pub signature: u8,
    reserved_62: u8,
    /// Owner in bit 0, delivery status above.
    pub status_own: u8,
}

/// A block of a mailbox: `struct mlx5_cmd_prot_block`, include/linux/mlx5/device.h.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Block {
    /// Part of the message.
    pub data: [u8; BLOCK_DATA],
    reserved_512: [u8; 48],
    /// The next block.
    pub next: U64,
    /// Number of the block in its chain, from 0.
    pub number: U32,
    reserved_572: u8,
    /// Token of the entry.
    pub token: u8,
    /// Signature of the bytes after the data.
    pub control_signature: u8,
    /// Signature of the whole block.
    pub signature: u8,
}

/// An event: `struct mlx5_eqe`, include/linux/mlx5/device.h.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Eqe {
    reserved_0: u8,
    /// Type, one of [`event`].
    pub kind: u8,
    reserved_2: u8,
    /// Subtype.
    pub subkind: u8,
    reserved_4: [u8; 28],
    /// Data, depending on the type.
    pub data: [u8; 28],
    reserved_60: U16,
    /// Signature, unused.
    pub signature: u8,
    /// Owner bit, which toggles with each round of the queue.
    pub owner: u8,
}

/// Types of events (`MLX5_EVENT_TYPE_*`).
pub mod event {
    /// Commands have completed: a mask of slots.
    pub const COMMAND: u8 = 0x0a;
    /// The device requests pages.
    pub const PAGE_REQUEST: u8 = 0x0b;
}

const _: () = assert!(size_of::<Entry>() == 64);
const _: () = assert!(size_of::<Block>() == 576);
const _: () = assert!(size_of::<Eqe>() == 64);

impl Entry {
    /// Returns whether the signature is valid.
    pub fn is_signed(&self) -> bool {
        xor(self.as_bytes()) == 0xff
    }

    /// Signs the entry for the current `status_own`.
    pub fn sign(&mut self) {
        self.signature = 0;
        self.signature = !xor(self.as_bytes());
    }
}

impl Block {
    /// Length of the part after the data, which [`Block::control_signature`] covers.
    const CONTROL: usize = BLOCK_DATA;

    /// Signs the block.
    pub fn sign(&mut self) {
        self.control_signature = 0;
        self.signature = 0;
        self.control_signature = !xor(&self.as_bytes()[Self::CONTROL..]);
        self.signature = !xor(self.as_bytes());
    }
}

impl Eqe {
    /// Returns the event for completed commands in `slots`.
    pub fn command(slots: u32) -> Self {
        let mut eqe = Eqe::new_zeroed();
        eqe.kind = event::COMMAND;
        eqe.data[..4].copy_from_slice(&slots.to_be_bytes());
        eqe
    }

    /// Returns the event by which the device requests `pages` pages, or returns `-pages`.
    pub fn page_request(function: u16, pages: i32) -> Self {
        let mut eqe = Eqe::new_zeroed();
        eqe.kind = event::PAGE_REQUEST;
        eqe.data[2..4].copy_from_slice(&function.to_be_bytes());
        eqe.data[4..8].copy_from_slice(&pages.to_be_bytes());
        eqe
    }
}

fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets are written by hand from the header, not derived from the structs.
    #[test]
    fn golden_entry() {
        let mut bytes = [0; 64];
        bytes[0] = 7;
        bytes[4..8].copy_from_slice(&[0, 0, 1, 0x10]);
        bytes[8..16].copy_from_slice(&[0, 0, 0, 1, 2, 3, 4, 0]);
        bytes[16..20].copy_from_slice(&[0x01, 0x00, 0, 0]);
        bytes[32] = 0x05;
        bytes[48..56].copy_from_slice(&[0, 0, 0, 0, 0x80, 0, 4, 0]);
        bytes[56..60].copy_from_slice(&[0, 0, 0x10, 0x10]);
        bytes[60] = 0xc5;
        bytes[63] = 1;
        let mut entry = Entry::read_from_bytes(&bytes).unwrap();
        assert_eq!(
            (entry.kind, entry.in_len.get(), entry.out_len.get()),
            (7, 0x110, 0x1010)
        );
        assert_eq!(
            (entry.in_mailbox.get(), entry.out_mailbox.get()),
            (0x1_0203_0400, 0x8000_0400)
        );
        assert_eq!((entry.input[0], entry.output[0]), (1, 5));
        assert_eq!((entry.token, entry.status_own), (0xc5, 1));
        assert!(!entry.is_signed());
        entry.sign();
        assert!(entry.is_signed());
        assert_eq!(entry.as_bytes()[61], entry.signature);
        assert_eq!(xor(entry.as_bytes()), 0xff);
    }

    #[test]
    fn golden_block() {
        let mut block = Block::new_zeroed();
        block.next.set(0x1_0000_0400);
        block.number.set(3);
        block.token = 0x77;
        block.data[511] = 0xee;
        block.sign();
        let bytes = block.as_bytes();
        assert_eq!(bytes[511], 0xee);
        assert_eq!(bytes[560..568], [0, 0, 0, 1, 0, 0, 4, 0]);
        assert_eq!(bytes[568..572], [0, 0, 0, 3]);
        assert_eq!(bytes[573], 0x77);
        // The checks of cmd.c: the control part without the last byte, then the whole block.
        assert_eq!(xor(&bytes[512..575]), 0xff);
        assert_eq!(xor(bytes), 0xff);
    }

    #[test]
    fn golden_events() {
        let eqe = Eqe::command(1 << 31 | 1);
        assert_eq!(eqe.as_bytes()[1], 0x0a);
        assert_eq!(eqe.as_bytes()[32..36], [0x80, 0, 0, 1]);
        let eqe = Eqe::page_request(2, -9);
        assert_eq!(eqe.as_bytes()[1], 0x0b);
        assert_eq!(eqe.as_bytes()[34..36], [0, 2]);
        assert_eq!(eqe.as_bytes()[36..40], [0xff, 0xff, 0xff, 0xf7]);
    }
}
