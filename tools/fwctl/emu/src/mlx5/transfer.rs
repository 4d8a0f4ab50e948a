// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the device writes to host memory besides answers and events: dumps, and components of the
//! firmware.
//!
//! A command translates an address when it is executed. What it writes then goes to these pages,
//! whenever it is written: a fault can delay it until the driver has destroyed the umem.

use super::component::Access;
use super::memory::{HostMemory, Target};
use crate::dma::{DmaError, Memory};
use serde_json::{json, Value};
use std::time::{Duration, Instant};

/// Maximum number of transfers that wait. A new one replaces the oldest.
const MAX_PENDING: usize = 64;
/// Largest access to host memory: mappings end at a multiple of it.
const CHUNK: usize = 4096;

/// What a fault does to the transfers of a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// They are delayed.
    pub late: Option<Duration>,
    /// They do not happen, although the command says that they did.
    pub is_lost: bool,
}

/// Host memory, for the execution of a command.
pub struct Host<'a> {
    /// The memory.
    pub memory: &'a mut Memory,
    /// What happens to the transfers of the command.
    pub fate: Fate,
}

/// What remains to be done.
#[derive(Clone, Debug)]
pub enum Work {
    /// Write to a umem.
    Write {
        /// Where.
        target: Target,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Continue an access to a component.
    Component(Access),
}

#[derive(Clone, Debug)]
struct Pending {
    due: Instant,
    work: Work,
}

/// The transfers of a function, and their counters, which a reset does not clear.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    pending: Vec<Pending>,
    /// Number of writes to host memory, and their bytes.
    writes: u64,
    bytes: u64,
    /// Number of writes that were delayed by a fault.
    late: u64,
    /// Number of writes to memory that is part of no umem any more, or never was.
    outside: u64,
    /// Number of writes that a fault suppressed.
    lost: u64,
    /// Number of transfers that a reset cancelled, or that the device could not do as it was not a
    /// bus master.
    dropped: u64,
    /// Number of accesses to addresses at which there is no memory.
    errors: u64,
}

impl Transfers {
    /// Writes to a umem, or has it done later.
    pub fn write(
        &mut self,
        host: &mut Host<'_>,
        target: Target,
        bytes: Vec<u8>,
    ) -> Result<(), DmaError> {
        if host.fate.is_lost {
            self.lost += 1;
            return Ok(());
        }
        if let Some(late) = host.fate.late {
            self.late += 1;
            self.push(late, Work::Write { target, bytes });
            return Ok(());
        }
        self.write_now(host.memory, &target, &bytes)
    }

    /// Does something later.
    pub fn push(&mut self, delay: Duration, work: Work) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
            self.dropped += 1;
        }
        self.pending.push(Pending {
            due: Instant::now() + delay,
            work,
        });
    }

    /// Makes everything due now.
    pub fn hasten(&mut self) {
        let now = Instant::now();
        for pending in &mut self.pending {
            pending.due = pending.due.min(now);
        }
    }

    /// When to call [`Transfers::take_due`] next.
    pub fn due(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// Returns what is due.
    pub fn take_due(&mut self, now: Instant) -> Vec<Work> {
        let (due, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.due <= now);
        self.pending = pending;
        let due: Vec<Pending> = due;
        due.into_iter().map(|pending| pending.work).collect()
    }

    /// Writes what was delayed.
    pub fn write_late(
        &mut self,
        memory: &mut Memory,
        objects: &HostMemory,
        target: &Target,
        bytes: &[u8],
    ) {
        self.outside += u64::from(!objects.has_umem(target.umem));
        // There is nobody to tell; the error is counted.
        let _ = self.write_now(memory, target, bytes);
    }

    fn write_now(
        &mut self,
        memory: &mut Memory,
        target: &Target,
        bytes: &[u8],
    ) -> Result<(), DmaError> {
        let mut rest = bytes;
        for span in &target.spans {
            let len = usize::try_from(span.len).unwrap_or(usize::MAX);
            let (part, left) = rest.split_at(rest.len().min(len));
            self.write_to(memory, span.address, part)?;
            rest = left;
        }
        Ok(())
    }

    /// Writes to an address, whatever is there.
    pub fn write_to(
        &mut self,
        memory: &mut Memory,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), DmaError> {
        self.writes += 1;
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_chunk = CHUNK - (at % CHUNK as u64) as usize;
            let (part, left) = rest.split_at(rest.len().min(in_chunk));
            memory.write(at, part).inspect_err(|_| self.errors += 1)?;
            self.bytes += part.len() as u64;
            at = at.wrapping_add(part.len() as u64);
            rest = left;
        }
        Ok(())
    }

    /// Reads from an address, whatever is there.
    pub fn read_from(
        &mut self,
        memory: &Memory,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<(), DmaError> {
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_chunk = CHUNK - (at % CHUNK as u64) as usize;
            let len = rest.len().min(in_chunk);
            let (part, left) = rest.split_at_mut(len);
            memory.read(at, part).inspect_err(|_| self.errors += 1)?;
            at = at.wrapping_add(len as u64);
            rest = left;
        }
        Ok(())
    }

    /// Counts a write that a fault suppressed.
    pub fn lose(&mut self) {
        self.lost += 1;
    }

    /// Counts a write that a fault delayed.
    pub fn delay(&mut self) {
        self.late += 1;
    }

    /// Counts a write outside of all umems.
    pub fn stray(&mut self) {
        self.outside += 1;
    }

    /// Counts a transfer that is not done.
    pub fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// Cancels what waits.
    pub fn clear(&mut self) {
        self.dropped += self.pending.len() as u64;
        self.pending.clear();
    }

    /// Returns the counters for the control socket.
    pub fn json(&self) -> Value {
        json!({
            "pending": self.pending.len(),
            "writes": self.writes,
            "bytes": self.bytes,
            "late": self.late,
            "outside_umems": self.outside,
            "lost": self.lost,
            "dropped": self.dropped,
            "errors": self.errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Span;
    use super::*;
    use crate::dma;

    fn target() -> Target {
        let span = |address, len| Span { address, len };
        Target {
            umem: 1,
            spans: vec![span(0x1ffe, 4), span(0x5000, 0x2000)],
        }
    }

    fn host(memory: &mut Memory, fate: Fate) -> Host<'_> {
        Host { memory, fate }
    }

    #[test]
    fn spans_are_filled_in_order() {
        let mut memory = dma::test::memory(0, 0x8000);
        let mut transfers = Transfers::default();
        let bytes: Vec<u8> = (1..=250).cycle().take(0x1800).collect();
        let mut fine = host(&mut memory, Fate::default());
        transfers.write(&mut fine, target(), bytes.clone()).unwrap();
        let mut found = vec![0; 0x1804];
        memory.read(0x1ffe, &mut found[..4]).unwrap();
        memory.read(0x5000, &mut found[4..]).unwrap();
        assert_eq!(
            (&found[..0x1800], &found[0x1800..]),
            (&bytes[..], &[0; 4][..])
        );
        assert_eq!(transfers.json()["bytes"], 0x1800);
    }

    #[test]
    fn late_and_lost() {
        let mut memory = dma::test::memory(0, 0x8000);
        let mut transfers = Transfers::default();
        let late = Fate {
            late: Some(Duration::from_secs(1)),
            is_lost: false,
        };
        let lost = Fate {
            is_lost: true,
            ..late
        };
        transfers
            .write(&mut host(&mut memory, lost), target(), vec![1; 8])
            .unwrap();
        assert_eq!(transfers.due(), None);
        transfers
            .write(&mut host(&mut memory, late), target(), vec![1; 8])
            .unwrap();
        assert!(transfers.take_due(Instant::now()).is_empty());
        transfers.hasten();
        let work = transfers.take_due(Instant::now());
        let [Work::Write { target, bytes }] = &work[..] else {
            panic!("{work:?}");
        };
        transfers.write_late(&mut memory, &HostMemory::default(), target, bytes);
        let mut found = [0; 4];
        memory.read(0x1ffe, &mut found).unwrap();
        assert_eq!(found, [1; 4]);
        let json = transfers.json();
        assert_eq!(
            (&json["late"], &json["lost"], &json["outside_umems"]),
            (&json!(1), &json!(1), &json!(1))
        );
        for _ in 0..=MAX_PENDING {
            transfers
                .write(&mut host(&mut memory, late), target.clone(), vec![])
                .unwrap();
        }
        assert_eq!(transfers.json()["dropped"], 1);
        transfers.clear();
        assert_eq!(transfers.json()["dropped"], 1 + MAX_PENDING);
    }

    #[test]
    fn addresses_without_memory() {
        let mut memory = dma::test::memory(0, 0x3000);
        let mut transfers = Transfers::default();
        let mut fine = host(&mut memory, Fate::default());
        let written = transfers.write(&mut fine, target(), vec![1; 8]);
        assert_eq!(written, Err(DmaError(0x5000)));
        assert!(transfers
            .read_from(&memory, u64::MAX - 1, &mut [0; 4])
            .is_err());
        assert_eq!(transfers.json()["errors"], 2);
    }
}
