// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wall-clock time in UTC, as RFC 3339 writes it.

use fwctl::snapshot::rfc3339;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The present time, to the second: `2026-11-28T23:59:59Z`.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{}Z", rfc3339(since.unwrap_or_default()))
}

/// When the kernel's clock that counts from boot was 0, since 1970.
pub fn boot() -> Option<Duration> {
    use rustix::time::{clock_gettime, ClockId};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let since = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(since.tv_sec).ok()?;
    now.checked_sub(Duration::new(seconds, u32::try_from(since.tv_nsec).ok()?))
}

/// A time since 1970, to the microsecond.
pub fn microseconds(since: Duration) -> String {
    format!("{}.{:06}Z", rfc3339(since), since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_the_microsecond() {
        let since = Duration::new(1, 5_000);
        assert_eq!(microseconds(since), "1970-01-01T00:00:01.000005Z");
    }
}
