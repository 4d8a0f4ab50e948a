// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers that debuggers dump ("CR space"), and their dump into memory by the register
//! CORE_DUMP.
//!
//! Layout of the register: the public tool mlx5ctl; that of mlx5_ifc.h ends before the memory key.
//! A dump comes in parts: the reply has the cookie by which the next access goes on.

use super::fields::core_dump as layout;
use super::refusal::{Refusal, Status, Syndrome};
use std::collections::VecDeque;

/// Number of bytes: 4.5 MiB.
pub const LEN: usize = REGIONS * REGION;
/// The parts in which resource dumps show it.
pub const REGIONS: usize = 36;
/// Number of bytes of such a part.
pub const REGION: usize = 128 << 10;
/// log2 of the memory that a whole dump needs, in units of 4 KiB: 8 MiB.
pub const LOG_MEMORY: u8 = 11;
const _: () = assert!(LEN <= 4096 << LOG_MEMORY);
/// Maximum number of bytes in one part of a core dump.
const MAX_PART: usize = 1 << 20;
/// Maximum number of dumps in progress. A new one replaces the oldest.
const MAX_DUMPS: usize = 8;
/// `core_dump_type` of a dump into memory.
const TO_MEMORY: u64 = 2;

/// Returns `len` bytes at a multiple of 4. Each word depends on its address and on the card.
pub fn bytes(serial: u16, start: usize, len: usize) -> Vec<u8> {
    let word = |at: usize| {
        let seed = (at as u32) ^ u32::from(serial) << 24;
        (seed ^ seed >> 15).wrapping_mul(0x2c1b_3c6d).to_be_bytes()
    };
    (start..start + len).step_by(4).flat_map(word).collect()
}

/// One access to the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The memory key.
    pub mkey: u32,
    /// Address of the memory, and its size.
    pub address: u64,
    /// Number of bytes.
    pub size: u32,
    cookie: u64,
}

impl Ask {
    /// Returns what the register's content asks for. Only dumps into memory are supported.
    pub fn of(body: &[u8]) -> Result<Self, Refusal> {
        let size = layout::SIZE.get(body) as u32;
        if layout::TYPE.get(body) != TO_MEMORY {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_VALUE));
        }
        if size == 0 || size % 4 != 0 {
            return Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_SIZE));
        }
        Ok(Ask {
            mkey: layout::MKEY.get(body) as u32,
            address: layout::ADDRESS.get(body),
            size,
            cookie: layout::COOKIE.get(body),
        })
    }

    /// Number of bytes that are written at most.
    pub fn room(&self) -> u64 {
        (self.size as usize).min(MAX_PART) as u64
    }
}

#[derive(Clone, Copy, Debug)]
struct Dump {
    number: u32,
    uid: u16,
    given: usize,
}

impl Dump {
    fn cookie(&self) -> u64 {
        u64::from(self.number) << 32 | self.given as u64
    }
}

/// The core dumps in progress.
#[derive(Clone, Debug, Default)]
pub struct CoreDumps {
    open: VecDeque<Dump>,
    last: u32,
}

impl CoreDumps {
    /// Returns the next part of a dump. Describes it in `body`.
    pub fn part(
        &mut self,
        uid: u16,
        serial: u16,
        ask: &Ask,
        body: &mut [u8],
    ) -> Result<Vec<u8>, Refusal> {
        let mut dump = if ask.cookie == 0 {
            self.last = self.last.wrapping_add(1).max(1);
            Dump {
                number: self.last,
                uid,
                given: 0,
            }
        } else {
            let is_next = |dump: &Dump| dump.uid == uid && dump.cookie() == ask.cookie;
            let at = self.open.iter().position(is_next);
            at.and_then(|at| self.open.remove(at))
                .ok_or(Refusal(Status::BAD_PARAM, Syndrome::NOT_NEXT))?
        };
        let len = (LEN - dump.given).min(ask.room() as usize);
        let part = bytes(serial, dump.given, len);
        dump.given += len;
        let has_more = dump.given < LEN;
        layout::MORE_DUMP.set(body, has_more.into());
        layout::SIZE.set(body, len as u64);
        layout::COOKIE.set(body, if has_more { dump.cookie() } else { 0 });
        if has_more {
            if self.open.len() == MAX_DUMPS {
                self.open.pop_front();
            }
            self.open.push_back(dump);
        }
        Ok(part)
    }

    /// Ends all dumps.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(size: u32, cookie: &[u8]) -> Vec<u8> {
        // By hand: type at byte 3, mkey 0x10, size 0x14, address 0x18, cookie 0x20.
        let mut body = vec![0; 0x40];
        body[3] = 2;
        body[0x10..0x14].copy_from_slice(&[0, 0, 1, 0x42]);
        body[0x14..0x18].copy_from_slice(&size.to_be_bytes());
        body[0x18..0x20].copy_from_slice(&[0, 0, 0x7f, 0, 0, 0, 0, 0]);
        body[0x20..0x28].copy_from_slice(cookie);
        body
    }

    #[test]
    fn a_dump_comes_in_parts() {
        for size in [4096, 600_000, 8 << 20] {
            let mut dumps = CoreDumps::default();
            let (mut all, mut cookie) = (Vec::new(), vec![0; 8]);
            loop {
                let mut body = body(size, &cookie);
                let ask = Ask::of(&body).unwrap();
                assert_eq!((ask.mkey, ask.address), (0x142, 0x7f00_0000_0000));
                let part = dumps.part(1, 3, &ask, &mut body).unwrap();
                assert_eq!(body[0x14..0x18], (part.len() as u32).to_be_bytes());
                assert!(part.len() as u64 <= ask.room());
                all.extend(part);
                if body[0] & 0x80 == 0 {
                    break;
                }
                cookie = body[0x20..0x28].to_vec();
            }
            assert_eq!(all, bytes(3, 0, LEN));
            assert!(dumps.open.is_empty());
        }
        assert_ne!(bytes(3, 0, 8), bytes(4, 0, 8));
    }

    #[test]
    fn only_the_next_part_of_ones_own_dump() {
        let mut dumps = CoreDumps::default();
        let mut first = body(4096, &[0; 8]);
        let ask = Ask::of(&first).unwrap();
        dumps.part(1, 0, &ask, &mut first).unwrap();
        let next = Ask::of(&body(4096, &first[0x20..0x28])).unwrap();
        let bad = Err(Refusal(Status::BAD_PARAM, Syndrome::NOT_NEXT));
        assert_eq!(dumps.part(2, 0, &next, &mut first.clone()), bad);
        assert!(dumps.part(1, 0, &next, &mut first.clone()).is_ok());
        assert_eq!(dumps.part(1, 0, &next, &mut first.clone()), bad);
        for _ in 0..=MAX_DUMPS {
            dumps.part(1, 0, &ask, &mut first).unwrap();
        }
        assert_eq!(dumps.open.len(), MAX_DUMPS);
    }

    #[test]
    fn other_types_and_sizes_are_refused() {
        for (at, byte) in [(3, 0), (3, 1), (0x17, 1), (0x16, 0)] {
            let mut body = body(0x100, &[0; 8]);
            body[at] = byte;
            assert!(Ask::of(&body).is_err(), "{at:#x}");
        }
    }
}
