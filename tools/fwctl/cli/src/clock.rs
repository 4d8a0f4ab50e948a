// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wall-clock time in UTC, as RFC 3339 writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The present time, to the second: `2026-11-28T23:59:59Z`.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{}Z", seconds(since.unwrap_or_default()))
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
    format!("{}.{:06}Z", seconds(since), since.subsec_micros())
}

fn seconds(since: Duration) -> String {
    let seconds = since.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days count from 1 March of year 0, so that a leap day is the last day of a year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: date -u -d @SECONDS +%FT%T
    #[test]
    fn seconds_as_dates() {
        for (since, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_795_910_399, "2026-11-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(seconds(Duration::from_secs(since)), text);
        }
        let since = Duration::new(1, 5_000);
        assert_eq!(microseconds(since), "1970-01-01T00:00:01.000005Z");
    }
}
