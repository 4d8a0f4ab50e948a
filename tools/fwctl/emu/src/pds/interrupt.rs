// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupt control registers (pds_intr.h, struct pds_core_intr).
//!
//! Coalescing timers are not emulated: the value is kept and has no effect.

use crate::irq::Vectors;

/// Bytes of the registers of one interrupt.
pub const LEN: u64 = 32;

/// Offsets in them.
mod offset {
    pub const COALESCING: u64 = 0x00;
    pub const MASK: u64 = 0x04;
    pub const CREDITS: u64 = 0x08;
    pub const MASK_ON_ASSERT: u64 = 0x0c;
}

/// Bits of a write to the credits (enum pds_core_intr_credits_bits).
const CREDITS_UNMASK: u32 = 1 << 16;

/// One interrupt.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt {
    coalescing: u32,
    is_masked: bool,
    masks_on_assert: bool,
    /// Events that the driver has not returned.
    credits: i16,
    is_pending: bool,
}

impl Default for Interrupt {
    fn default() -> Self {
        Interrupt {
            coalescing: 0,
            is_masked: true,
            masks_on_assert: false,
            credits: 0,
            is_pending: false,
        }
    }
}

impl Interrupt {
    /// Counts an event and sends the interrupt, now or once it is unmasked.
    pub fn assert(&mut self, vectors: &mut Vectors, vector: usize) {
        self.credit();
        self.is_pending = true;
        self.send(vectors, vector);
    }

    /// Counts an event whose interrupt is not sent.
    pub fn credit(&mut self) {
        self.credits = self.credits.wrapping_add(1);
    }

    fn send(&mut self, vectors: &mut Vectors, vector: usize) {
        if self.is_pending && !self.is_masked {
            self.is_pending = false;
            self.is_masked = self.masks_on_assert;
            vectors.raise(vector);
        }
    }

    /// Reads a register; undefined ones are zero.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            offset::COALESCING => self.coalescing,
            offset::MASK => self.is_masked.into(),
            offset::CREDITS => u32::from(self.credits as u16),
            offset::MASK_ON_ASSERT => self.masks_on_assert.into(),
            _ => 0,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u64, value: u32, vectors: &mut Vectors, vector: usize) {
        match offset {
            offset::COALESCING => self.coalescing = value,
            offset::MASK => self.is_masked = value & 1 != 0,
            offset::CREDITS => {
                self.credits = self.credits.wrapping_sub(value as i16);
                if self.credits == 0 {
                    self.is_pending = false;
                }
                if value & CREDITS_UNMASK != 0 {
                    self.is_masked = false;
                }
            }
            offset::MASK_ON_ASSERT => self.masks_on_assert = value & 1 != 0,
            _ => {}
        }
        self.send(vectors, vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interrupts that were sent: without an event descriptor all of them are lost.
    fn sent(vectors: &Vectors) -> u64 {
        vectors.raised + vectors.lost
    }

    #[test]
    fn masked_until_its_credits_return() {
        let (mut interrupt, mut vectors) = (Interrupt::default(), Vectors::default());
        interrupt.write(0x0c, 1, &mut vectors, 0);
        interrupt.assert(&mut vectors, 0);
        assert_eq!((sent(&vectors), interrupt.read(0x04)), (0, 1));
        interrupt.write(0x04, 0, &mut vectors, 0);
        assert_eq!((sent(&vectors), interrupt.read(0x04)), (1, 1));
        // Two more events while the driver works: one that it sees, one that it does not.
        interrupt.assert(&mut vectors, 0);
        interrupt.assert(&mut vectors, 0);
        assert_eq!((sent(&vectors), interrupt.read(0x08)), (1, 3));
        interrupt.write(0x08, 2 | 3 << 16, &mut vectors, 0);
        assert_eq!(sent(&vectors), 2, "the third event must not be lost");
        interrupt.write(0x08, 1 | 3 << 16, &mut vectors, 0);
        assert_eq!((sent(&vectors), interrupt.read(0x08)), (2, 0));
        assert_eq!(interrupt.read(0x04), 0);
    }

    #[test]
    fn returned_credits_clear_what_is_pending() {
        let (mut interrupt, mut vectors) = (Interrupt::default(), Vectors::default());
        interrupt.assert(&mut vectors, 0);
        interrupt.write(0x08, 1, &mut vectors, 0);
        interrupt.write(0x04, 0, &mut vectors, 0);
        assert_eq!(sent(&vectors), 0);
        interrupt.assert(&mut vectors, 0);
        interrupt.assert(&mut vectors, 0);
        assert_eq!(sent(&vectors), 2, "without mask_on_assert each is sent");
    }

    #[test]
    fn credits_wrap() {
        let (mut interrupt, mut vectors) = (Interrupt::default(), Vectors::default());
        for value in [0xffff, 0x8000, 0xffff_ffff, 0x7fff] {
            interrupt.write(0x08, value, &mut vectors, 0);
            interrupt.credit();
        }
    }
}
