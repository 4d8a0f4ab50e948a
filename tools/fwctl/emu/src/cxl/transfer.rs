// SPDX-License-Identifier: MIT OR Apache-2.0

//! Set Feature in parts (8.2.10.6.3, table 8-113): one transfer at a time, whose parts come in
//! ascending order without gaps and within a timeout. The last part may be repeated immediately.

use super::codes::ReturnCode;
use serde_json::{json, Value};
use std::time::{Duration, Instant};

/// Action of a Set Feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A full transfer.
    Full = 0,
    /// Initiates a transfer.
    Initiate = 1,
    /// Continues it.
    Continue = 2,
    /// Finishes it.
    Finish = 3,
    /// Aborts it.
    Abort = 4,
}

impl Action {
    /// Bits of the action in the flags of Set Feature.
    pub const MASK: u32 = 0b111;

    /// Returns the action in `flags`, or `None` for a reserved value.
    pub fn of(flags: u32) -> Option<Self> {
        let all = [
            Self::Full,
            Self::Initiate,
            Self::Continue,
            Self::Finish,
            Self::Abort,
        ];
        all.into_iter()
            .find(|action| *action as u32 == flags & Self::MASK)
    }
}

/// One Set Feature whose data are within the Feature.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Index of the Feature.
    pub feature: usize,
    /// The action.
    pub action: Action,
    /// Offset of the data.
    pub offset: usize,
    /// The data; empty only for an abort.
    pub data: &'a [u8],
}

/// A complete transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Offset of the data.
    pub offset: usize,
    /// All data.
    pub data: Vec<u8>,
}

/// A transfer in progress.
#[derive(Debug)]
struct Open {
    feature: usize,
    change: Change,
    /// The last part: action, offset and length.
    last: (Action, usize, usize),
    /// Time of the last part.
    when: Instant,
}

/// The transfer in progress, if any, and counters.
#[derive(Debug)]
pub struct Transfers {
    open: Option<Open>,
    timeout: Duration,
    /// Transfers initiated.
    pub begun: u64,
    /// Transfers finished.
    pub finished: u64,
    /// Transfers aborted by the guest.
    pub aborted: u64,
    /// Transfers aborted after a timeout.
    pub timed_out: u64,
    /// Transfers ended by a reset.
    pub dropped: u64,
    /// Repeated parts.
    pub repeated: u64,
}

impl Transfers {
    /// Returns a state without transfer. `timeout` is the maximum time between parts.
    pub fn new(timeout: Duration) -> Self {
        Transfers {
            open: None,
            timeout,
            begun: 0,
            finished: 0,
            aborted: 0,
            timed_out: 0,
            dropped: 0,
            repeated: 0,
        }
    }

    /// Takes a part. The last part returns the change to apply; call [`Transfers::done`] if that
    /// succeeds. Until then the transfer stays in progress.
    pub fn take(&mut self, part: Part<'_>, now: Instant) -> Result<Option<Change>, ReturnCode> {
        self.expire(now);
        if self.is_repeated(&part) {
            self.forget_last();
            self.repeated += 1;
        } else {
            self.check(&part)?;
        }
        match (part.action, &mut self.open) {
            (Action::Abort, _) => {
                self.open = None;
                self.aborted += 1;
                return Ok(None);
            }
            (Action::Full, _) => {
                return Ok(Some(Change {
                    offset: part.offset,
                    data: part.data.to_vec(),
                }))
            }
            (Action::Initiate, None) => {
                self.begun += 1;
                self.open = Some(Open {
                    feature: part.feature,
                    change: Change {
                        offset: part.offset,
                        data: part.data.to_vec(),
                    },
                    last: (part.action, part.offset, part.data.len()),
                    when: now,
                });
                return Ok(None);
            }
            (_, Some(open)) => {
                open.change.data.extend(part.data);
                open.last = (part.action, part.offset, part.data.len());
                open.when = now;
            }
            // Refused by `check`.
            (_, None) => return Err(ReturnCode::INTERNAL),
        }
        let change = self.open.as_ref().map(|open| open.change.clone());
        Ok(change.filter(|_| part.action == Action::Finish))
    }

    /// Ends a transfer after its change was applied.
    pub fn done(&mut self, action: Action) {
        if action == Action::Finish {
            self.open = None;
            self.finished += 1;
        }
    }

    /// Returns the Feature and the length of the transfer in progress.
    pub fn open(&self) -> Option<(usize, usize)> {
        self.open
            .as_ref()
            .map(|open| (open.feature, open.change.data.len()))
    }

    /// Ends the transfer by a reset.
    pub fn reset(&mut self) {
        self.dropped += u64::from(self.open.take().is_some());
    }

    /// Returns the counters for the control socket.
    pub fn json(&self) -> Value {
        json!({
            "open": self.open().map(|(feature, len)| json!({"feature": feature, "bytes": len})),
            "begun": self.begun,
            "finished": self.finished,
            "aborted": self.aborted,
            "timed_out": self.timed_out,
            "dropped": self.dropped,
            "repeated": self.repeated,
        })
    }

    fn expire(&mut self, now: Instant) {
        let is_late = |open: &mut Open| now.saturating_duration_since(open.when) > self.timeout;
        self.timed_out += u64::from(self.open.take_if(is_late).is_some());
    }

    /// Returns whether `part` repeats the last one.
    fn is_repeated(&self, part: &Part<'_>) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.feature == part.feature
                && part.action != Action::Abort
                && open.last == (part.action, part.offset, part.data.len())
        })
    }

    /// Drops the data of the last part, and the transfer if that was its first one.
    fn forget_last(&mut self) {
        if let Some(open) = &mut self.open {
            let (action, _, len) = open.last;
            let kept = open.change.data.len().saturating_sub(len);
            open.change.data.truncate(kept);
            if action == Action::Initiate {
                self.open = None;
                self.begun = self.begun.saturating_sub(1);
            }
        }
    }

    /// Checks that `part` can be the next one.
    fn check(&self, part: &Part<'_>) -> Result<(), ReturnCode> {
        let Some(open) = &self.open else {
            return match part.action {
                Action::Full | Action::Initiate => Ok(()),
                _ => Err(ReturnCode::FEATURE_TRANSFER_OUT_OF_ORDER),
            };
        };
        if open.feature != part.feature || matches!(part.action, Action::Full | Action::Initiate) {
            return Err(ReturnCode::FEATURE_TRANSFER_IN_PROGRESS);
        }
        let is_next = part.offset == open.change.offset + open.change.data.len()
            // No part can follow the last one, even if the value was refused.
            && open.last.0 != Action::Finish;
        match is_next || part.action == Action::Abort {
            true => Ok(()),
            false => Err(ReturnCode::FEATURE_TRANSFER_OUT_OF_ORDER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const IN_PROGRESS: Result<Option<Change>, ReturnCode> =
        Err(ReturnCode::FEATURE_TRANSFER_IN_PROGRESS);
    const OUT_OF_ORDER: Result<Option<Change>, ReturnCode> =
        Err(ReturnCode::FEATURE_TRANSFER_OUT_OF_ORDER);

    struct Device(Transfers, Instant);

    impl Device {
        fn new() -> Self {
            Device(Transfers::new(TIMEOUT), Instant::now())
        }

        fn part(
            &mut self,
            action: Action,
            offset: usize,
            data: &[u8],
        ) -> Result<Option<Change>, ReturnCode> {
            self.part_of(7, action, offset, data)
        }

        fn part_of(
            &mut self,
            feature: usize,
            action: Action,
            offset: usize,
            data: &[u8],
        ) -> Result<Option<Change>, ReturnCode> {
            let part = Part {
                feature,
                action,
                offset,
                data,
            };
            let result = self.0.take(part, self.1);
            if matches!(result, Ok(Some(_))) {
                self.0.done(action);
            }
            result
        }
    }

    fn change(offset: usize, data: &[u8]) -> Result<Option<Change>, ReturnCode> {
        Ok(Some(Change {
            offset,
            data: data.to_vec(),
        }))
    }

    #[test]
    fn in_order() {
        let mut device = Device::new();
        assert_eq!(device.part(Action::Initiate, 5, &[1, 2]), Ok(None));
        assert_eq!(device.0.open(), Some((7, 2)));
        assert_eq!(device.part(Action::Continue, 7, &[3]), Ok(None));
        assert_eq!(
            device.part(Action::Finish, 8, &[4, 5]),
            change(5, &[1, 2, 3, 4, 5])
        );
        assert_eq!(device.0.open(), None);
        assert_eq!((device.0.begun, device.0.finished), (1, 1));
        assert_eq!(device.part(Action::Full, 3, &[1]), change(3, &[1]));
    }

    #[test]
    fn out_of_order() {
        let mut device = Device::new();
        for action in [Action::Continue, Action::Finish, Action::Abort] {
            assert_eq!(device.part(action, 0, &[1]), OUT_OF_ORDER);
        }
        device.part(Action::Initiate, 0, &[1, 2]).unwrap();
        for offset in [0, 1, 3, 100] {
            assert_eq!(
                device.part(Action::Continue, offset, &[3]),
                OUT_OF_ORDER,
                "{offset}"
            );
            assert_eq!(
                device.part(Action::Finish, offset, &[3]),
                OUT_OF_ORDER,
                "{offset}"
            );
        }
        assert_eq!(device.part(Action::Finish, 2, &[3]), change(0, &[1, 2, 3]));
    }

    #[test]
    fn one_at_a_time() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[1, 2]).unwrap();
        device.part(Action::Continue, 2, &[3, 4]).unwrap();
        assert_eq!(device.part(Action::Initiate, 0, &[9, 9]), IN_PROGRESS);
        assert_eq!(device.part(Action::Full, 0, &[9, 9]), IN_PROGRESS);
        for action in [
            Action::Full,
            Action::Initiate,
            Action::Continue,
            Action::Finish,
            Action::Abort,
        ] {
            assert_eq!(device.part_of(8, action, 4, &[9]), IN_PROGRESS);
        }
        assert_eq!(
            device.part(Action::Finish, 4, &[5]),
            change(0, &[1, 2, 3, 4, 5])
        );
    }

    #[test]
    fn abort_and_restart() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[1, 2]).unwrap();
        assert_eq!(device.part(Action::Abort, 0, &[]), Ok(None));
        assert_eq!((device.0.open(), device.0.aborted), (None, 1));
        assert_eq!(device.part(Action::Continue, 2, &[3]), OUT_OF_ORDER);
        device.part(Action::Initiate, 4, &[1]).unwrap();
        device.0.reset();
        assert_eq!(device.0.dropped, 1);
        assert_eq!(device.part(Action::Finish, 5, &[3]), OUT_OF_ORDER);
    }

    #[test]
    fn a_part_can_be_repeated() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[9, 9]).unwrap();
        assert_eq!(device.part(Action::Initiate, 0, &[1, 2]), Ok(None));
        assert_eq!(device.part(Action::Continue, 2, &[9]), Ok(None));
        assert_eq!(device.part(Action::Continue, 2, &[3]), Ok(None));
        // A different length is not a repetition.
        assert_eq!(device.part(Action::Continue, 2, &[3, 4]), OUT_OF_ORDER);
        assert_eq!(
            device.part(Action::Finish, 3, &[4]),
            change(0, &[1, 2, 3, 4])
        );
        assert_eq!((device.0.begun, device.0.repeated), (1, 2));
    }

    #[test]
    fn a_refused_value_keeps_the_transfer() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[1]).unwrap();
        let finish = Part {
            feature: 7,
            action: Action::Finish,
            offset: 1,
            data: &[2],
        };
        // The value is refused, so the transfer is not done.
        assert!(device.0.take(finish, device.1).unwrap().is_some());
        assert_eq!(device.0.open(), Some((7, 2)));
        assert_eq!(device.part(Action::Continue, 2, &[3]), OUT_OF_ORDER);
        assert_eq!(device.part(Action::Abort, 0, &[]), Ok(None));
    }

    #[test]
    fn late_parts_are_refused() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[1]).unwrap();
        device.1 += TIMEOUT;
        device.part(Action::Continue, 1, &[1]).unwrap();
        device.1 += TIMEOUT + Duration::from_millis(1);
        assert_eq!(device.part(Action::Continue, 2, &[1]), OUT_OF_ORDER);
        assert_eq!((device.0.timed_out, device.0.open()), (1, None));
    }
}
