// SPDX-License-Identifier: MIT OR Apache-2.0

//! Event logs (8.2.10.2), one per severity.

use super::codes::ReturnCode;
use super::memory::EVENT_LOG;
use super::payloads::{ClearEventRecordsHead, EventRecord, EventRecordsHead, Uuid};
use std::collections::VecDeque;
use zerocopy::{FromBytes, IntoBytes};

/// The logs, by number.
pub const LOGS: [&str; 4] = ["informational", "warning", "failure", "fatal"];
/// Vendor-specific type of event, unknown to drivers.
const KIND: Uuid = 0x6677_6374_6c00_4000_8000_0000_0000_0e00u128.to_be_bytes();

/// Flags of Get Event Records.
mod flag {
    pub const OVERFLOW: u8 = 1 << 0;
    pub const MORE: u8 = 1 << 1;
}

/// Interrupt settings (8.2.10.2.4): mode in bits 1:0, vector in bits 7:4.
const MODE: u8 = 0b11;
const MODE_MSI: u8 = 1;

#[derive(Debug, Default)]
struct Log {
    records: VecDeque<EventRecord>,
    next_handle: u16,
    overflow: Option<(u16, u64, u64)>,
}

/// All logs and their interrupt settings.
#[derive(Debug, Default)]
pub struct Events {
    logs: [Log; LOGS.len()],
    policy: [u8; LOGS.len()],
}

impl Events {
    /// Adds an event to a log. Returns whether to raise an interrupt.
    pub fn add(&mut self, log: usize, time: u64) -> bool {
        let (Some(to), Some(policy)) = (self.logs.get_mut(log), self.policy.get(log)) else {
            return false;
        };
        if to.records.len() >= EVENT_LOG.into() {
            let (count, first, _) = to.overflow.unwrap_or((0, time, time));
            to.overflow = Some((count.saturating_add(1), first, time));
            return false;
        }
        to.next_handle = to.next_handle.wrapping_add(1).max(1);
        to.records.push_back(EventRecord {
            kind: KIND,
            length: size_of::<EventRecord>() as u8,
            flags: [log as u8, 0, 0],
            handle: to.next_handle.into(),
            related: 0.into(),
            timestamp: time.into(),
            reserved: [0; 16],
            data: [0xe7; 80],
        });
        policy & MODE == MODE_MSI
    }

    /// Returns a mask of the logs that have events, for the event status register.
    pub fn status(&self) -> u8 {
        let bits = self.logs.iter().enumerate();
        bits.map(|(n, log)| u8::from(!log.records.is_empty()) << n)
            .sum()
    }

    /// Disables the interrupts; the events remain.
    pub fn reset(&mut self) {
        self.policy = Default::default();
    }

    /// Get Event Records: returns the answer, at most `room` bytes.
    pub fn get(&self, log: u8, room: usize) -> Result<Vec<u8>, ReturnCode> {
        let log = self.logs.get(usize::from(log)).ok_or(ReturnCode::INPUT)?;
        let fitting = room.saturating_sub(size_of::<EventRecordsHead>()) / size_of::<EventRecord>();
        let count = log.records.len().min(fitting);
        let more = if count < log.records.len() {
            flag::MORE
        } else {
            0
        };
        let overflow = if log.overflow.is_some() {
            flag::OVERFLOW
        } else {
            0
        };
        let (overflow_count, first, last) = log.overflow.unwrap_or_default();
        let head = EventRecordsHead {
            flags: more | overflow,
            reserved: 0,
            overflow_count: overflow_count.into(),
            first_overflow: first.into(),
            last_overflow: last.into(),
            count: (count as u16).into(),
            reserved_22: [0; 10],
        };
        let mut answer = head.as_bytes().to_vec();
        for record in log.records.iter().take(count) {
            answer.extend(record.as_bytes());
        }
        Ok(answer)
    }

    /// Clear Event Records: accepts handles only in the order of the events.
    pub fn clear(&mut self, input: &[u8]) -> Result<(), ReturnCode> {
        let (head, handles) = ClearEventRecordsHead::read_from_prefix(input)
            .map_err(|_| ReturnCode::PAYLOAD_LENGTH)?;
        let log = self
            .logs
            .get_mut(usize::from(head.log))
            .ok_or(ReturnCode::INPUT)?;
        if head.flags & 1 != 0 {
            log.records.clear();
            log.overflow = None;
            return Ok(());
        }
        let handles = handles
            .get(..2 * usize::from(head.count))
            .ok_or(ReturnCode::PAYLOAD_LENGTH)?;
        let handles = handles
            .chunks_exact(2)
            .map(|h| u16::from_le_bytes([h[0], h[1]]));
        let count = handles.len();
        let is_known = log
            .records
            .iter()
            .map(|record| record.handle.get())
            .take(count)
            .eq(handles);
        if !is_known {
            return Err(ReturnCode::HANDLE);
        }
        log.records.drain(..count);
        log.overflow = None;
        Ok(())
    }

    /// Get Event Interrupt Policy: returns the answer.
    pub fn policy(&self) -> &[u8] {
        &self.policy
    }

    /// Set Event Interrupt Policy. The device chooses the vector, which is 0.
    pub fn set_policy(&mut self, input: &[u8]) -> Result<(), ReturnCode> {
        let policy: [u8; LOGS.len()] = input.try_into().map_err(|_| ReturnCode::PAYLOAD_LENGTH)?;
        if policy.iter().any(|setting| setting & MODE == MODE) {
            return Err(ReturnCode::INPUT);
        }
        self.policy = policy.map(|setting| setting & MODE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_logged_and_cleared() {
        let mut events = Events::default();
        assert!(!events.add(1, 5), "the interrupt is disabled");
        events.set_policy(&[0, 1, 0, 0]).unwrap();
        assert!(events.add(1, 6));
        assert_eq!(events.status(), 0b10);
        let answer = events.get(1, 300).unwrap();
        assert_eq!(answer.len(), 32 + 2 * 128);
        assert_eq!((answer[0], answer[20]), (0, 2));
        assert_eq!(
            answer[32 + 16..32 + 32],
            [128, 1, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
        );
        // Capacity for one of them: more remain.
        assert_eq!(events.get(1, 256).unwrap()[0], 0b10);

        assert_eq!(
            events.clear(&[1, 0, 1, 0, 0, 0, 2, 0]),
            Err(ReturnCode::HANDLE)
        );
        assert_eq!(
            events.clear(&[1, 0, 2, 0, 0, 0, 1, 0]),
            Err(ReturnCode::PAYLOAD_LENGTH)
        );
        assert_eq!(events.clear(&[1, 0, 1, 0, 0, 0, 1, 0]), Ok(()));
        assert_eq!(events.clear(&[1, 0, 1, 0, 0, 0, 2, 0]), Ok(()));
        assert_eq!(events.status(), 0);
        assert_eq!(events.get(4, 300), Err(ReturnCode::INPUT));
        assert_eq!(events.set_policy(&[3, 0, 0, 0]), Err(ReturnCode::INPUT));
    }

    #[test]
    fn overflow_is_counted() {
        let mut events = Events::default();
        for time in 0..20 {
            events.add(3, time);
        }
        let answer = events.get(3, 1 << 20).unwrap();
        assert_eq!(
            (answer[0], answer[2], answer[4], answer[12]),
            (1, 4, 16, 19)
        );
        assert_eq!(answer.len(), 32 + 16 * 128);
        events.clear(&[3, 1, 0, 0, 0, 0]).unwrap();
        assert_eq!(events.get(3, 300).unwrap(), [0; 32]);
        assert!(!events.add(4, 0));
    }
}
