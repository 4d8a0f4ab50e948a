// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pages of 4 KiB that the driver gives to the device.

use super::cmds::{PageNeed, PageOp};
use super::fields::{output, pages as layout};
use super::opcodes::Stage;
use super::refusal::{Refusal, Status, Syndrome};
use std::collections::BTreeSet;

/// Maximum number of pages: 1 GiB of guest memory.
pub const MAX_PAGES: usize = 1 << 18;
/// Size and alignment of a page.
const PAGE: u64 = 4096;

/// The pages of a function.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    held: BTreeSet<u64>,
    boot: usize,
    init: usize,
    /// Number of pages given.
    pub given: u64,
    /// Number of pages returned.
    pub returned: u64,
    /// Number of times that the driver reported a failed allocation.
    pub refused: u64,
}

impl Pages {
    /// Returns an empty supply that needs `boot` and `init` pages.
    pub fn new(boot: u16, init: u16) -> Self {
        Pages {
            boot: boot.into(),
            init: init.into(),
            ..Pages::default()
        }
    }

    /// Number of pages.
    pub fn alive(&self) -> usize {
        self.held.len()
    }

    /// Drops all pages.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// QUERY_PAGES: returns the answer. A negative count offers to return pages.
    pub fn query(&self, need: PageNeed) -> Vec<u8> {
        let wanted = match need {
            PageNeed::Boot => self.boot as i32,
            PageNeed::Init => self.init as i32,
            PageNeed::Regular => -(self.spare(Stage::Initialised) as i32),
        };
        let mut answer = vec![0; output::LEN];
        layout::NUM_PAGES.set(&mut answer, wanted as u32 as u64);
        answer
    }

    /// Number of pages that the device can return in `stage`.
    fn spare(&self, stage: Stage) -> usize {
        match stage {
            Stage::Initialised => self.held.len().saturating_sub(self.boot + self.init),
            _ => self.held.len(),
        }
    }

    /// MANAGE_PAGES: returns the answer.
    pub fn manage(
        &mut self,
        op: PageOp,
        count: u32,
        addresses: &[u8],
        stage: Stage,
    ) -> Result<Vec<u8>, Refusal> {
        match op {
            PageOp::CannotGive => {
                self.refused += 1;
                Ok(vec![0; output::LEN])
            }
            PageOp::Give => self.take_from_driver(count, addresses),
            PageOp::Take => Ok(self.give_back(count, stage)),
        }
    }

    /// Takes all pages or none.
    fn take_from_driver(&mut self, count: u32, addresses: &[u8]) -> Result<Vec<u8>, Refusal> {
        if count as usize > MAX_PAGES - self.held.len() {
            return Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY));
        }
        let given = addresses.chunks_exact(8).take(count as usize);
        let given = given.map(|word| {
            word.iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte))
        });
        let mut fresh = BTreeSet::new();
        for address in given {
            if address % PAGE != 0 {
                return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_ADDRESS));
            }
            if self.held.contains(&address) || !fresh.insert(address) {
                return Err(Refusal(Status::BAD_PARAM, Syndrome::IN_USE));
            }
        }
        self.given += fresh.len() as u64;
        self.held.append(&mut fresh);
        Ok(vec![0; output::LEN])
    }

    fn give_back(&mut self, count: u32, stage: Stage) -> Vec<u8> {
        let count = self.spare(stage).min(count as usize);
        let mut answer = vec![0; layout::PAS];
        layout::OUT_ENTRIES.set(&mut answer, count as u64);
        for _ in 0..count {
            // `spare` is at most the number of pages.
            let Some(address) = self.held.pop_last() else {
                break;
            };
            answer.extend(address.to_be_bytes());
        }
        self.returned += count as u64;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(pages: &mut Pages, addresses: &[u64]) -> Result<Vec<u8>, Refusal> {
        let bytes: Vec<u8> = addresses
            .iter()
            .flat_map(|address| address.to_be_bytes())
            .collect();
        pages.manage(PageOp::Give, addresses.len() as u32, &bytes, Stage::Enabled)
    }

    #[test]
    fn given_and_returned() {
        let mut pages = Pages::new(1, 1);
        assert_eq!(pages.query(PageNeed::Boot)[0x0c..], [0, 0, 0, 1]);
        give(&mut pages, &[0x1000]).unwrap();
        give(&mut pages, &[0x2000, 0x3000, 0x4000]).unwrap();
        assert_eq!(
            pages.query(PageNeed::Regular)[0x0c..],
            (-2i32).to_be_bytes()
        );
        let answer = pages
            .manage(PageOp::Take, 9, &[], Stage::Initialised)
            .unwrap();
        assert_eq!(answer[8..12], [0, 0, 0, 2], "the others are in use");
        assert_eq!(
            answer[16..],
            [0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x30, 0]
        );
        let answer = pages
            .manage(PageOp::Take, u32::MAX, &[], Stage::Enabled)
            .unwrap();
        assert_eq!((answer.len(), pages.alive()), (16 + 16, 0));
        assert_eq!((pages.given, pages.returned), (4, 4));
    }

    #[test]
    fn invalid_pages_are_refused() {
        let mut pages = Pages::new(0, 0);
        assert!(give(&mut pages, &[0x1000, 0x1000]).is_err());
        assert!(give(&mut pages, &[0x1001]).is_err());
        give(&mut pages, &[0x1000]).unwrap();
        assert!(give(&mut pages, &[0x2000, 0x1000]).is_err());
        assert_eq!(pages.alive(), 1, "all or none");
        let many = pages.manage(PageOp::Give, u32::MAX, &[], Stage::Enabled);
        assert_eq!(many, Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY)));
    }
}
