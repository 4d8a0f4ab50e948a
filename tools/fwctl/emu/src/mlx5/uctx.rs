// SPDX-License-Identifier: MIT OR Apache-2.0

//! User contexts: the owners of uids.

use super::fields::{output, uctx as layout};
use super::refusal::{Refusal, Status, Syndrome};
use std::collections::BTreeMap;

/// The uid of shared resources (`MLX5_SHARED_RESOURCE_UID`).
pub const SHARED: u16 = 0xffff;
/// The uids available to user contexts.
const MAX_UIDS: usize = 0xfffe;
/// The uid of the driver.
pub const DRIVER: u16 = 0;

/// The user contexts of a function.
#[derive(Clone, Debug)]
pub struct Contexts {
    /// Capabilities that a context can have.
    offered: u32,
    limit: usize,
    alive: BTreeMap<u16, u32>,
    last: u16,
    /// Number of contexts created.
    pub created: u64,
    /// Number of contexts destroyed.
    pub destroyed: u64,
    /// Maximum number of contexts that existed at one time.
    pub peak: usize,
}

impl Contexts {
    /// Returns an empty set.
    pub fn new(offered: u32, limit: u16) -> Self {
        Contexts {
            offered,
            limit: usize::from(limit).min(MAX_UIDS),
            alive: BTreeMap::new(),
            last: 0,
            created: 0,
            destroyed: 0,
            peak: 0,
        }
    }

    /// CREATE_UCTX: returns the answer.
    ///
    /// A uid is not reused soon, so using a stale one fails.
    pub fn create(&mut self, caps: u32) -> Result<Vec<u8>, Refusal> {
        if self.offered == 0 || caps & !self.offered != 0 {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::NO_UCTX_CAP));
        }
        if self.alive.len() >= self.limit {
            return Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY));
        }
        let mut uid = self.last;
        loop {
            uid = uid.wrapping_add(1);
            if uid != DRIVER && uid != SHARED && !self.alive.contains_key(&uid) {
                break;
            }
        }
        self.last = uid;
        self.alive.insert(uid, caps);
        self.created += 1;
        self.peak = self.peak.max(self.alive.len());
        let mut answer = vec![0; output::LEN];
        layout::UID.set(&mut answer, uid.into());
        Ok(answer)
    }

    /// DESTROY_UCTX.
    pub fn destroy(&mut self, uid: u16) -> Result<(), Refusal> {
        self.alive
            .remove(&uid)
            .ok_or(Refusal(Status::BAD_RES, Syndrome::UNKNOWN_UID))?;
        self.destroyed += 1;
        Ok(())
    }

    /// Checks that `uid` exists. Returns whether it is the uid of a user context.
    pub fn check(&self, uid: u16) -> Result<bool, Refusal> {
        match uid {
            DRIVER | SHARED => Ok(false),
            uid if self.alive.contains_key(&uid) => Ok(true),
            _ => Err(Refusal(Status::BAD_RES, Syndrome::UNKNOWN_UID)),
        }
    }

    /// Returns the existing contexts.
    pub fn alive(&self) -> Vec<u16> {
        self.alive.keys().copied().collect()
    }

    /// Returns the capabilities of a context, or 0 if it does not exist.
    pub fn caps(&self, uid: u16) -> u32 {
        self.alive.get(&uid).copied().unwrap_or(0)
    }

    /// Destroys all contexts.
    pub fn clear(&mut self) {
        self.alive.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_of_a_uid() {
        let mut contexts = Contexts::new(7, 2);
        let first = contexts.create(4).unwrap();
        assert_eq!(first[0x0a..0x0c], [0, 1]);
        contexts.create(0).unwrap();
        assert_eq!(
            contexts.create(0),
            Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY))
        );
        assert_eq!(
            (contexts.check(1), contexts.check(0), contexts.check(0xffff)),
            (Ok(true), Ok(false), Ok(false))
        );
        assert!(contexts.check(3).is_err());
        contexts.destroy(1).unwrap();
        assert!(contexts.destroy(1).is_err() && contexts.check(1).is_err());
        assert_eq!(contexts.create(0).unwrap()[0x0b], 3, "1 is not reused soon");
        assert_eq!(
            (contexts.created, contexts.destroyed, contexts.peak),
            (3, 1, 2)
        );
        assert_eq!(contexts.alive(), [2, 3]);
    }

    #[test]
    fn numbers_wrap_around_what_is_taken() {
        let mut contexts = Contexts::new(1, 3);
        contexts.last = 0xfffd;
        for expected in [0xfffe_u16, 1, 2] {
            assert_eq!(
                contexts.create(0).unwrap()[0x0a..0x0c],
                expected.to_be_bytes()
            );
        }
    }

    #[test]
    fn only_what_is_offered() {
        assert!(Contexts::new(3, 9).create(4).is_err());
        assert!(Contexts::new(0, 9).create(0).is_err());
    }
}
