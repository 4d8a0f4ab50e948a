// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device's description of its memory, and its clock.

use super::identity;
use super::payloads::{Health, Identify, PartitionInfo};
use std::time::Instant;

/// Size of the memory that the device reports, all volatile: one unit of capacity.
pub const CAPACITY: u64 = 256 << 20;
/// Number of records in each event log.
pub const EVENT_LOG: u16 = 16;

/// Identify Memory Device: returns the answer.
pub fn identify() -> Identify {
    Identify {
        firmware: *identity::FIRMWARE,
        total: 1.into(),
        volatile: 1.into(),
        persistent: 0.into(),
        alignment: 0.into(),
        event_logs: [EVENT_LOG.into(); 4],
        label_storage: 0.into(),
        poison_list: [0; 3],
        inject_poison: 0.into(),
        poison: 0,
        qos_telemetry: 0,
        dynamic_capacity_log: 0.into(),
    }
}

/// Get Partition Info: returns the answer.
pub fn partitions() -> PartitionInfo {
    PartitionInfo {
        volatile: 1.into(),
        persistent: 0.into(),
        next_volatile: 0.into(),
        next_persistent: 0.into(),
    }
}

/// Get Health Info: returns the answer of a healthy device.
pub fn health() -> Health {
    Health {
        status: 0,
        media: 0,
        additional: 0,
        life_used: 1,
        temperature: 38.into(),
        dirty_shutdowns: 0.into(),
        corrected_volatile: 0.into(),
        corrected_persistent: 0.into(),
    }
}

/// The clock: nanoseconds since 1970 once it has been set (8.2.10.4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Option<(u64, Instant)>);

impl Clock {
    /// Sets the clock.
    pub fn set(&mut self, time: u64, now: Instant) {
        self.0 = Some((time, now));
    }

    /// Returns the time, or 0 if the clock has not been set.
    pub fn get(&self, now: Instant) -> u64 {
        self.0.map_or(0, |(time, then)| {
            let passed = now.saturating_duration_since(then).as_nanos();
            time.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use zerocopy::IntoBytes;

    #[test]
    fn golden_bytes() {
        let bytes = identify();
        let bytes = bytes.as_bytes();
        assert_eq!(&bytes[..12], b"fwctl-emu 1\0");
        assert_eq!(
            bytes[16..32],
            [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[48..56], [16, 0, 16, 0, 16, 0, 16, 0]);
        assert_eq!(health().as_bytes()[3..6], [1, 38, 0]);
    }

    #[test]
    fn time_passes() {
        let mut clock = Clock::default();
        let now = Instant::now();
        assert_eq!(clock.get(now), 0);
        clock.set(u64::MAX - 5, now);
        assert_eq!(clock.get(now + Duration::from_nanos(3)), u64::MAX - 2);
        assert_eq!(clock.get(now + Duration::from_secs(3)), u64::MAX);
    }
}
