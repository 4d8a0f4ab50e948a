// SPDX-License-Identifier: MIT OR Apache-2.0

//! Set Feature in parts (8.2.10.6.3, table 8-113): one transfer at a time, its parts in ascending
//! order without gaps, each within a time after the one before.  A part may be sent again at once.

use super::codes::ReturnCode;
use serde_json::{json, Value};
use std::time::{Duration, Instant};

/// What a Set Feature is to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// All of it.
    Full = 0,
    /// Its first part.
    Initiate = 1,
    /// Another part.
    Continue = 2,
    /// Its last part.
    Finish = 3,
    /// Its end, without effect.
    Abort = 4,
}

impl Action {
    /// Where it is in the flags of Set Feature.
    pub const MASK: u32 = 0b111;

    /// The action in flags; the others are reserved.
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

/// One Set Feature.  It lies in the Feature.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Number of the Feature.
    pub feature: usize,
    /// What it is.
    pub action: Action,
    /// Where the data belong.
    pub offset: usize,
    /// Not empty, but for an abort.
    pub data: &'a [u8],
}

/// A transfer that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where the data belong.
    pub offset: usize,
    /// All of them.
    pub data: Vec<u8>,
}

/// A transfer that is not.
#[derive(Debug)]
struct Open {
    feature: usize,
    change: Change,
    /// The last part: what it was, where it began, how long it was.
    last: (Action, usize, usize),
    /// When it came.
    when: Instant,
}

/// The transfer that is open, if any, and what became of others.
#[derive(Debug)]
pub struct Transfers {
    open: Option<Open>,
    timeout: Duration,
    /// Begun.
    pub begun: u64,
    /// Brought to their ends.
    pub finished: u64,
    /// Aborted by the guest.
    pub aborted: u64,
    /// Given up by the device after a time.
    pub timed_out: u64,
    /// Ended by a reset.
    pub dropped: u64,
    /// Parts that came twice.
    pub repeated: u64,
}

impl Transfers {
    /// No transfer; parts must come within `timeout` of one another.
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

    /// Takes a part.  With the last one there is a change to be made, and [`Transfers::done`] to
    /// be called if that works: until then the transfer is open.
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
            // `check` has refused it.
            (_, None) => return Err(ReturnCode::INTERNAL),
        }
        let change = self.open.as_ref().map(|open| open.change.clone());
        Ok(change.filter(|_| part.action == Action::Finish))
    }

    /// The change that the part made is in effect.
    pub fn done(&mut self, action: Action) {
        if action == Action::Finish {
            self.open = None;
            self.finished += 1;
        }
    }

    /// Feature and length of what is open.
    pub fn open(&self) -> Option<(usize, usize)> {
        self.open
            .as_ref()
            .map(|open| (open.feature, open.change.data.len()))
    }

    /// A reset ends it.
    pub fn reset(&mut self) {
        self.dropped += u64::from(self.open.take().is_some());
    }

    /// For the control socket.
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

    /// Whether it is the last part once more.
    fn is_repeated(&self, part: &Part<'_>) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.feature == part.feature
                && part.action != Action::Abort
                && open.last == (part.action, part.offset, part.data.len())
        })
    }

    /// Takes the data of the last part back; with the first part that is the transfer itself.
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

    /// Whether a part can be the next one.
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
            // Nothing comes after the last part, even if the device did not like it.
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
    fn a_part_once_more() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[9, 9]).unwrap();
        assert_eq!(device.part(Action::Initiate, 0, &[1, 2]), Ok(None));
        assert_eq!(device.part(Action::Continue, 2, &[9]), Ok(None));
        assert_eq!(device.part(Action::Continue, 2, &[3]), Ok(None));
        // Another length is another part.
        assert_eq!(device.part(Action::Continue, 2, &[3, 4]), OUT_OF_ORDER);
        assert_eq!(
            device.part(Action::Finish, 3, &[4]),
            change(0, &[1, 2, 3, 4])
        );
        assert_eq!((device.0.begun, device.0.repeated), (1, 2));
    }

    #[test]
    fn the_last_part_is_not_liked() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[1]).unwrap();
        let finish = Part {
            feature: 7,
            action: Action::Finish,
            offset: 1,
            data: &[2],
        };
        // The value is refused: it is not done.
        assert!(device.0.take(finish, device.1).unwrap().is_some());
        assert_eq!(device.0.open(), Some((7, 2)));
        assert_eq!(device.part(Action::Continue, 2, &[3]), OUT_OF_ORDER);
        assert_eq!(device.part(Action::Abort, 0, &[]), Ok(None));
    }

    #[test]
    fn too_late() {
        let mut device = Device::new();
        device.part(Action::Initiate, 0, &[1]).unwrap();
        device.1 += TIMEOUT;
        device.part(Action::Continue, 1, &[1]).unwrap();
        device.1 += TIMEOUT + Duration::from_millis(1);
        assert_eq!(device.part(Action::Continue, 2, &[1]), OUT_OF_ORDER);
        assert_eq!((device.0.timed_out, device.0.open()), (1, None));
    }
}
