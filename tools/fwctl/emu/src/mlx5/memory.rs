// SPDX-License-Identifier: MIT OR Apache-2.0

//! Host memory that the device may use for a context: umems, protection domains and memory keys.
//!
//! A umem is a list of pages of the host, by DMA address. A memory key makes part of a umem
//! accessible at separate addresses. Each object belongs to the uid that created it, and no
//! other uid can use, query or destroy it, not even that of the driver. An object that another
//! one refers to cannot be destroyed.
//!
//! Identifiers increase and are not reused soon, so a stale one is refused.

use super::fields::{mkey as key_layout, output, pd as pd_layout, umem as umem_layout};
use super::refusal::{Refusal, Status, Syndrome};
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// log2 of the maximum number of umems, of protection domains and of memory keys.
pub const LOG_MAX_OBJECTS: u8 = 10;
const MAX_OBJECTS: usize = 1 << LOG_MAX_OBJECTS;
/// Maximum number of pages of all umems: 4 GiB if a page has 4 KiB.
const MAX_PAGES: usize = 1 << 20;
/// log2 of the smallest page, the unit of `log_page_size`.
const LOG_SMALLEST_PAGE: u32 = 12;
/// Largest `log_page_size`: pages of 2 GiB.
const MAX_LOG_PAGE_SIZE: u64 = 19;
/// Identifiers have 24 bits; 0 is not used.
const MAX_ID: u32 = 0xff_ffff;
/// `access_mode` of a key whose addresses are translated by pages; `MLX5_MKC_ACCESS_MODE_MTT`.
const MODE_MTT: u64 = 1;

/// A contiguous part of host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// DMA address.
    pub address: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Memory that the device may write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The umem.
    pub umem: u32,
    /// Its parts, in order.
    pub spans: Vec<Span>,
}

/// A page, as `struct mlx5_mtt` has it.
#[derive(Clone, Copy, Debug)]
struct Page {
    address: u64,
    is_writable: bool,
}

#[derive(Clone, Debug)]
struct Umem {
    uid: u16,
    log_page: u32,
    /// Where the umem starts in its first page.
    offset: u64,
    pages: Vec<Page>,
}

impl Umem {
    fn len(&self) -> u64 {
        ((self.pages.len() as u64) << self.log_page) - self.offset
    }

    /// Returns the parts of `len` bytes at `start`, or `None` if they are not all writable.
    fn writable(&self, start: u64, len: u64) -> Option<Vec<Span>> {
        let end = start.checked_add(len).filter(|end| *end <= self.len())?;
        let mut spans = Vec::new();
        let (mut at, end) = (start + self.offset, end + self.offset);
        while at < end {
            let page = self.pages.get((at >> self.log_page) as usize)?;
            let in_page = at & ((1 << self.log_page) - 1);
            let len = (end - at).min((1 << self.log_page) - in_page);
            if !page.is_writable {
                return None;
            }
            spans.push(Span {
                address: page.address + in_page,
                len,
            });
            at += len;
        }
        Some(spans)
    }
}

#[derive(Clone, Debug)]
struct Key {
    uid: u16,
    umem: u32,
    /// Offset in the umem.
    offset: u64,
    domain: u32,
    /// First address, and number of bytes.
    start: u64,
    len: u64,
    is_writable: bool,
    /// Low byte of the key, chosen by its creator.
    variant: u8,
    /// The context, for queries.
    context: Vec<u8>,
}

/// Identifiers that are taken.
#[derive(Clone, Debug)]
struct Objects<T> {
    alive: BTreeMap<u32, T>,
    last: u32,
}

// Not derived: `T` needs no default.
impl<T> Default for Objects<T> {
    fn default() -> Self {
        Objects {
            alive: BTreeMap::new(),
            last: 0,
        }
    }
}

impl<T> Objects<T> {
    fn add(&mut self, object: T) -> Result<u32, Refusal> {
        if self.alive.len() >= MAX_OBJECTS {
            return Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY));
        }
        loop {
            self.last = self.last % MAX_ID + 1;
            if !self.alive.contains_key(&self.last) {
                break;
            }
        }
        self.alive.insert(self.last, object);
        Ok(self.last)
    }

    /// Returns an object if it belongs to `uid`.
    fn owned(&self, id: u32, uid: u16, owner: impl Fn(&T) -> u16) -> Result<&T, Refusal> {
        let object = self.alive.get(&id);
        let object = object.ok_or(Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE))?;
        if owner(object) != uid {
            return Err(Refusal(Status::BAD_RES, Syndrome::OTHER_OWNER));
        }
        Ok(object)
    }
}

/// The objects of a function.
#[derive(Clone, Debug, Default)]
pub struct HostMemory {
    umems: Objects<Umem>,
    domains: Objects<u16>,
    keys: Objects<Key>,
    pages: usize,
}

impl HostMemory {
    /// CREATE_UMEM: returns the answer.
    pub fn create_umem(&mut self, uid: u16, input: &[u8]) -> Result<Vec<u8>, Refusal> {
        let bad = |syndrome| Refusal(Status::BAD_PARAM, syndrome);
        let context = &input[umem_layout::CONTEXT..];
        let log_page_size = umem_layout::LOG_PAGE_SIZE.get(context);
        let offset = umem_layout::PAGE_OFFSET.get(context);
        let count = umem_layout::NUM_OF_MTT.get(context);
        let list = &context[umem_layout::MTT..];
        // Address translation services are not offered.
        if umem_layout::ATS.is_set(context) || log_page_size > MAX_LOG_PAGE_SIZE {
            return Err(bad(Syndrome::BAD_VALUE));
        }
        let log_page = LOG_SMALLEST_PAGE + log_page_size as u32;
        if count == 0 || offset >= 1 << log_page {
            return Err(bad(Syndrome::BAD_SIZE));
        }
        if list.len() as u64 / 8 < count {
            return Err(Refusal(Status::BAD_IN_LEN, Syndrome::SHORT_INPUT));
        }
        if count as usize > MAX_PAGES - self.pages {
            return Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY));
        }
        let mut pages = Vec::with_capacity(count as usize);
        for entry in list.chunks_exact(8).take(count as usize) {
            let address = umem_layout::PTAG.get(entry) & !0xff;
            // Pages are aligned, and do not wrap around.
            if address & ((1 << log_page) - 1) != 0 || address.checked_add(1 << log_page).is_none()
            {
                return Err(bad(Syndrome::BAD_ADDRESS));
            }
            pages.push(Page {
                address,
                is_writable: umem_layout::WR_EN.is_set(entry),
            });
        }
        let id = self.umems.add(Umem {
            uid,
            log_page,
            offset,
            pages,
        })?;
        self.pages += count as usize;
        let mut answer = vec![0; output::LEN];
        umem_layout::ID.set(&mut answer, id.into());
        Ok(answer)
    }

    /// DESTROY_UMEM.
    pub fn destroy_umem(&mut self, uid: u16, id: u32) -> Result<(), Refusal> {
        let umem = self.umems.owned(id, uid, |umem| umem.uid)?;
        if self.keys.alive.values().any(|key| key.umem == id) {
            return Err(in_use());
        }
        self.pages -= umem.pages.len();
        self.umems.alive.remove(&id);
        Ok(())
    }

    /// ALLOC_PD: returns the answer.
    pub fn create_domain(&mut self, uid: u16) -> Result<Vec<u8>, Refusal> {
        let id = self.domains.add(uid)?;
        let mut answer = vec![0; output::LEN];
        pd_layout::PD.set(&mut answer, id.into());
        Ok(answer)
    }

    /// DEALLOC_PD.
    pub fn destroy_domain(&mut self, uid: u16, id: u32) -> Result<(), Refusal> {
        self.domains.owned(id, uid, |owner| *owner)?;
        if self.keys.alive.values().any(|key| key.domain == id) {
            return Err(in_use());
        }
        self.domains.alive.remove(&id);
        Ok(())
    }

    /// CREATE_MKEY: returns the answer. Only keys of a umem are supported.
    pub fn create_key(&mut self, uid: u16, input: &[u8]) -> Result<Vec<u8>, Refusal> {
        let bad = |syndrome| Refusal(Status::BAD_PARAM, syndrome);
        let context = &input[key_layout::CONTEXT..][..key_layout::CONTEXT_LEN];
        let get = |field: super::fields::Field| field.get(context);
        let mode = get(key_layout::ACCESS_MODE_4_2) << 2 | get(key_layout::ACCESS_MODE_1_0);
        if !key_layout::UMEM_VALID.is_set(input) || mode != MODE_MTT {
            return Err(bad(Syndrome::BAD_VALUE));
        }
        if key_layout::FREE.is_set(context) || key_layout::LENGTH64.is_set(context) {
            return Err(bad(Syndrome::BAD_VALUE));
        }
        let domain = get(key_layout::PD) as u32;
        self.domains.owned(domain, uid, |owner| *owner)?;
        let umem_id = key_layout::UMEM_ID.get(input) as u32;
        let umem = self.umems.owned(umem_id, uid, |umem| umem.uid)?;
        let offset = key_layout::UMEM_OFFSET.get(input);
        let (start, len) = (get(key_layout::START_ADDR), get(key_layout::LEN));
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= umem.len());
        if len == 0 || !is_inside || start.checked_add(len).is_none() {
            return Err(bad(Syndrome::BAD_SIZE));
        }
        let index = self.keys.add(Key {
            uid,
            umem: umem_id,
            offset,
            domain,
            start,
            len,
            is_writable: key_layout::LW.is_set(context),
            variant: get(key_layout::MKEY_7_0) as u8,
            context: context.to_vec(),
        })?;
        let mut answer = vec![0; output::LEN];
        key_layout::INDEX.set(&mut answer, index.into());
        Ok(answer)
    }

    /// QUERY_MKEY: returns the answer.
    pub fn query_key(&self, uid: u16, index: u32) -> Result<Vec<u8>, Refusal> {
        let key = self.keys.owned(index, uid, |key| key.uid)?;
        let mut answer = vec![0; key_layout::QUERY_LEN];
        answer[key_layout::CONTEXT..][..key_layout::CONTEXT_LEN].copy_from_slice(&key.context);
        Ok(answer)
    }

    /// DESTROY_MKEY.
    pub fn destroy_key(&mut self, uid: u16, index: u32) -> Result<(), Refusal> {
        self.keys.owned(index, uid, |key| key.uid)?;
        self.keys.alive.remove(&index);
        Ok(())
    }

    /// Translates `len` bytes at an address of a key, which the device is going to write.
    pub fn writable(&self, uid: u16, key: u32, address: u64, len: u64) -> Result<Target, Refusal> {
        let unknown = Refusal(Status::BAD_RES, Syndrome::NO_MEMORY_KEY);
        let [_, _, _, variant] = key.to_be_bytes();
        let key = match self.keys.owned(key >> 8, uid, |key| key.uid) {
            Ok(key) if key.variant == variant => key,
            Ok(_) | Err(Refusal(_, Syndrome::NOT_ALIVE)) => return Err(unknown),
            Err(refusal) => return Err(refusal),
        };
        let outside = Refusal(Status::BAD_PARAM, Syndrome::BAD_ADDRESS);
        let at = address.checked_sub(key.start).ok_or(outside)?;
        let end = at.checked_add(len).ok_or(outside)?;
        if end > key.len || !key.is_writable {
            return Err(outside);
        }
        // A key keeps its umem alive.
        let umem = self.umems.alive.get(&key.umem).ok_or(unknown)?;
        let spans = umem.writable(key.offset + at, len).ok_or(outside)?;
        Ok(Target {
            umem: key.umem,
            spans,
        })
    }

    /// Returns whether the umem exists.
    pub fn has_umem(&self, id: u32) -> bool {
        self.umems.alive.contains_key(&id)
    }

    /// Returns whether a page of a umem has all bytes from an address on.
    pub fn has_page_at(&self, address: u64, len: usize) -> bool {
        self.umems.alive.values().any(|umem| {
            let mut pages = umem.pages.iter();
            pages.any(|page| {
                let at = address.wrapping_sub(page.address);
                at.checked_add(len as u64)
                    .is_some_and(|end| end <= 1 << umem.log_page)
            })
        })
    }

    /// Returns whether a uid owns something.
    pub fn is_owner(&self, uid: u16) -> bool {
        self.owners().contains_key(&uid)
    }

    /// Returns descriptions of all objects.
    pub fn alive(&self) -> Vec<String> {
        let mut alive = Vec::new();
        for (uid, [umems, domains, keys]) in self.owners() {
            for (count, what) in [
                (umems, "umems"),
                (domains, "protection domains"),
                (keys, "memory keys"),
            ] {
                if count > 0 {
                    alive.push(format!("{count} {what} of uid {uid}"));
                }
            }
        }
        alive
    }

    /// Number of umems, of protection domains and of memory keys.
    pub fn counts(&self) -> [usize; 3] {
        [
            self.umems.alive.len(),
            self.domains.alive.len(),
            self.keys.alive.len(),
        ]
    }

    /// Returns the number of objects of each owner, for the control socket.
    pub fn json(&self) -> Value {
        let owned = |(uid, [umems, pds, mkeys]): (u16, [usize; 3])| {
            let counts = json!({ "umems": umems, "pds": pds, "mkeys": mkeys });
            (uid.to_string(), counts)
        };
        let owned: serde_json::Map<_, _> = self.owners().into_iter().map(owned).collect();
        owned.into()
    }

    fn owners(&self) -> BTreeMap<u16, [usize; 3]> {
        let mut owners: BTreeMap<u16, [usize; 3]> = BTreeMap::new();
        let mut count = |uid: u16, which: usize| owners.entry(uid).or_default()[which] += 1;
        self.umems
            .alive
            .values()
            .for_each(|umem| count(umem.uid, 0));
        self.domains.alive.values().for_each(|uid| count(*uid, 1));
        self.keys.alive.values().for_each(|key| count(key.uid, 2));
        owners
    }

    /// Destroys all objects.
    pub fn clear(&mut self) {
        self.umems.alive.clear();
        self.domains.alive.clear();
        self.keys.alive.clear();
        self.pages = 0;
    }

    /// Destroys the objects of user contexts.
    pub fn clear_users(&mut self) {
        self.keys.alive.retain(|_, key| !is_user(key.uid));
        self.umems.alive.retain(|_, umem| !is_user(umem.uid));
        self.domains.alive.retain(|_, uid| !is_user(*uid));
        self.pages = self.umems.alive.values().map(|umem| umem.pages.len()).sum();
    }
}

fn is_user(uid: u16) -> bool {
    !matches!(uid, super::uctx::DRIVER | super::uctx::SHARED)
}

fn in_use() -> Refusal {
    Refusal(Status::BAD_RES_STATE, Syndrome::IN_USE)
}

/// Commands as a driver writes them, for tests.
#[cfg(test)]
pub(crate) mod test {
    use super::*;

    /// Returns the input of CREATE_UMEM after the header: pages of 4 KiB, readable and writable.
    pub(crate) fn umem(pages: &[u64]) -> Vec<u8> {
        let mut tail = vec![0; 8];
        tail.extend([0; 16]);
        tail.extend([0; 8]);
        tail.extend((pages.len() as u64).to_be_bytes());
        tail.extend(pages.iter().flat_map(|page| (page | 3).to_be_bytes()));
        tail
    }

    /// Returns the input of CREATE_MKEY after the header: a key with the low byte 0x42.
    pub(crate) fn key(pd: u32, umem: u32, start: u64, len: u64) -> Vec<u8> {
        let mut input = vec![0; key_layout::IN_LEN];
        key_layout::UMEM_VALID.set(&mut input, 1);
        key_layout::UMEM_ID.set(&mut input, umem.into());
        let context = &mut input[key_layout::CONTEXT..];
        for (field, value) in [
            (key_layout::ACCESS_MODE_1_0, MODE_MTT),
            (key_layout::LW, 1),
            (key_layout::LR, 1),
            (key_layout::QPN, 0xff_ffff),
            (key_layout::MKEY_7_0, 0x42),
            (key_layout::PD, pd.into()),
            (key_layout::START_ADDR, start),
            (key_layout::LEN, len),
        ] {
            field.set(context, value);
        }
        input.split_off(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(tail: Vec<u8>) -> Vec<u8> {
        let mut input = vec![0; 8];
        input.extend(tail);
        input
    }

    fn umem(host: &mut HostMemory, uid: u16, pages: &[u64]) -> Result<u32, Refusal> {
        let answer = host.create_umem(uid, &input(test::umem(pages)))?;
        Ok(umem_layout::ID.get(&answer) as u32)
    }

    fn pd(host: &mut HostMemory, uid: u16) -> u32 {
        pd_layout::PD.get(&host.create_domain(uid).unwrap()) as u32
    }

    fn key(host: &mut HostMemory, uid: u16, tail: Vec<u8>) -> Result<u32, Refusal> {
        let answer = host.create_key(uid, &input(tail))?;
        Ok((key_layout::INDEX.get(&answer) as u32) << 8 | 0x42)
    }

    /// The bytes that mlx5_core writes, by hand.
    #[test]
    fn golden_umem() {
        let mut bytes = vec![0; 48];
        bytes[0x23] = 1; // log_page_size: 8 KiB
        bytes[0x24..0x28].copy_from_slice(&[0, 0, 0x10, 0]); // page_offset
        bytes[0x2f] = 2; // num_of_mtt
        bytes.extend([0, 0, 0, 1, 0, 0, 0x20, 3]);
        bytes.extend([0, 0, 0, 2, 0, 0, 0x60, 3]);
        let mut host = HostMemory::default();
        let answer = host.create_umem(7, &bytes).unwrap();
        assert_eq!(answer, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        let umem = &host.umems.alive[&1];
        assert_eq!((umem.len(), umem.uid), (0x3000, 7));
        assert_eq!(
            umem.writable(0xffc, 8),
            Some(vec![
                Span {
                    address: 0x1_0000_3ffc,
                    len: 4
                },
                Span {
                    address: 0x2_0000_6000,
                    len: 4
                }
            ])
        );
        assert_eq!(umem.writable(0x2ffc, 8), None);
        assert!(
            host.has_page_at(0x1_0000_3000, 0x1000) && !host.has_page_at(0x1_0000_3001, 0x1000)
        );
        assert!(!host.has_page_at(0x1_0000_1fff, 1) && !host.has_page_at(0, 4096));
    }

    #[test]
    fn golden_key() {
        let mut host = HostMemory::default();
        let umem = umem(&mut host, 7, &[0x5000, 0x9000]).unwrap();
        let pd = pd(&mut host, 7);
        let mut bytes = vec![0; 0x110];
        bytes[0x0c] = 0x40; // mkey_umem_valid
                            // Bit 20 is lw, 21 lr, 22 and 23 access_mode_1_0.
        bytes[0x12] = 0b0000_1101;
        bytes[0x14..0x18].copy_from_slice(&[0xff, 0xff, 0xff, 0x42]); // qpn, mkey_7_0
        bytes[0x1f] = pd as u8;
        bytes[0x20..0x28].copy_from_slice(&[0, 0, 0x7f, 0, 0, 0, 0x10, 0]); // start_addr
        bytes[0x2e..0x30].copy_from_slice(&[0x20, 0]); // len
        bytes[0x67] = umem as u8; // mkey_umem_id
        assert_eq!(host.create_key(7, &bytes).unwrap()[0x0b], 1);
        let target = host.writable(7, 0x142, 0x7f00_0000_1ff8, 16).unwrap();
        assert_eq!(
            target.spans,
            [
                Span {
                    address: 0x5ff8,
                    len: 8
                },
                Span {
                    address: 0x9000,
                    len: 8
                }
            ]
        );
        let answer = host.query_key(7, 1).unwrap();
        assert_eq!(
            (answer.len(), &answer[0x10..0x50]),
            (0x130, &bytes[0x10..0x50])
        );
    }

    #[test]
    fn objects_belong_to_a_uid() {
        let mut host = HostMemory::default();
        let refusal = Refusal(Status::BAD_RES, Syndrome::OTHER_OWNER);
        let other = Err(refusal);
        let mine = umem(&mut host, 1, &[0x1000]).unwrap();
        let (pd1, pd2) = (pd(&mut host, 1), pd(&mut host, 2));
        assert_eq!(host.destroy_umem(2, mine), other);
        assert_eq!(host.destroy_umem(0, mine), other, "nor the driver");
        assert_eq!(host.destroy_domain(2, pd1), other);
        let of_pd = |pd| test::key(pd, mine, 0, 0x1000);
        assert_eq!(key(&mut host, 2, of_pd(pd2)), Err(refusal));
        assert_eq!(key(&mut host, 1, of_pd(pd2)), Err(refusal));
        let made = key(&mut host, 1, of_pd(pd1)).unwrap();
        assert_eq!(host.writable(2, made, 0, 1), Err(refusal));
        assert_eq!(host.query_key(2, made >> 8), Err(refusal));
        assert_eq!(host.destroy_key(2, made >> 8), other);
        assert!(host.is_owner(1) && host.is_owner(2) && !host.is_owner(3));
        assert_eq!(
            host.json(),
            json!({"1": {"umems": 1, "pds": 1, "mkeys": 1}, "2": {"umems": 0, "pds": 1, "mkeys": 0}})
        );
        host.clear_users();
        assert_eq!((host.counts(), host.pages), ([0; 3], 0));
    }

    #[test]
    fn what_is_in_use_is_not_destroyed() {
        let mut host = HostMemory::default();
        let umem = umem(&mut host, 1, &[0x1000, 0x2000]).unwrap();
        let pd = pd(&mut host, 1);
        let key = key(&mut host, 1, test::key(pd, umem, 0, 0x2000)).unwrap();
        assert_eq!(host.destroy_umem(1, umem), Err(in_use()));
        assert_eq!(host.destroy_domain(1, pd), Err(in_use()));
        assert_eq!(
            host.alive(),
            [
                "1 umems of uid 1",
                "1 protection domains of uid 1",
                "1 memory keys of uid 1"
            ]
        );
        host.destroy_key(1, key >> 8).unwrap();
        host.destroy_umem(1, umem).unwrap();
        host.destroy_domain(1, pd).unwrap();
        assert_eq!((host.counts(), host.pages), ([0; 3], 0));
        let gone = Refusal(Status::BAD_RES, Syndrome::NOT_ALIVE);
        assert_eq!(host.destroy_umem(1, umem), Err(gone));
        assert_eq!(
            host.writable(1, key, 0, 1),
            Err(Refusal(Status::BAD_RES, Syndrome::NO_MEMORY_KEY))
        );
    }

    #[test]
    fn accesses_stay_in_the_key() {
        let mut host = HostMemory::default();
        let mut tail = test::umem(&[0x1000, 0x2000]);
        let last = tail.len() - 1;
        tail[last] = 1; // The second page can only be read.
        let umem = umem_layout::ID.get(&host.create_umem(1, &input(tail)).unwrap()) as u32;
        let pd = pd(&mut host, 1);
        let made = key(&mut host, 1, test::key(pd, umem, 0x10_0000, 0x2000)).unwrap();
        let bad = Err(Refusal(Status::BAD_PARAM, Syndrome::BAD_ADDRESS));
        assert!(host.writable(1, made, 0x10_0000, 0x1000).is_ok());
        for (address, len) in [
            (0x10_0000, 0x1001),
            (0x10_1fff, 2),
            (0xf_ffff, 1),
            (0x10_2000, 1),
            (u64::MAX, 2),
            (0x10_0000, u64::MAX),
        ] {
            assert_eq!(host.writable(1, made, address, len), bad, "{address:#x}");
        }
        let unknown = Err(Refusal(Status::BAD_RES, Syndrome::NO_MEMORY_KEY));
        assert_eq!(host.writable(1, made ^ 1, 0x10_0000, 1), unknown);
        // A key that permits no writing.
        let mut tail = test::key(pd, umem, 0, 0x1000);
        tail[0x12 - 8] &= !8;
        let read_only = key(&mut host, 1, tail).unwrap();
        assert_eq!(host.writable(1, read_only, 0, 1), bad);
    }

    #[test]
    fn invalid_umems_and_keys_are_refused() {
        let mut host = HostMemory::default();
        let mut change = |at: usize, byte: u8| {
            let mut tail = test::umem(&[0x1000]);
            tail[at - 8] = byte;
            let refused = host.create_umem(1, &input(tail));
            refused.err().map(|Refusal(_, syndrome)| syndrome)
        };
        assert_eq!(change(0x20, 0x80), Some(Syndrome::BAD_VALUE), "ats");
        assert_eq!(change(0x23, 20), Some(Syndrome::BAD_VALUE));
        assert_eq!(change(0x26, 0x10), Some(Syndrome::BAD_SIZE));
        assert_eq!(change(0x2f, 0), Some(Syndrome::BAD_SIZE));
        assert_eq!(change(0x2f, 2), Some(Syndrome::SHORT_INPUT));
        assert_eq!(change(0x28, 1), Some(Syndrome::SHORT_INPUT));
        assert_eq!(change(0x36, 0x11), Some(Syndrome::BAD_ADDRESS));
        assert_eq!(change(0x36, 0x10), None);
        let umem = umem(&mut host, 1, &[0x1000]).unwrap();
        let pd = pd(&mut host, 1);
        for tail in [
            test::key(pd, umem, 0, 0),
            test::key(pd, umem, 0, 0x1001),
            test::key(pd, umem, u64::MAX, 2),
            test::key(pd, umem + 1, 0, 1),
            test::key(pd + 1, umem, 0, 1),
            vec![0; key_layout::IN_LEN - 8],
        ] {
            assert!(key(&mut host, 1, tail).is_err());
        }
        let mut physical = test::key(pd, umem, 0, 1);
        physical[0x12 - 8] &= !1;
        assert!(key(&mut host, 1, physical).is_err());
        assert!(key(&mut host, 1, test::key(pd, umem, 0, 1)).is_ok());
    }

    #[test]
    fn limits() {
        let mut host = HostMemory::default();
        for _ in 0..MAX_OBJECTS {
            host.create_domain(1).unwrap();
        }
        assert_eq!(
            host.create_domain(1),
            Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY))
        );
        host.domains.last = MAX_ID;
        host.destroy_domain(1, 5).unwrap();
        assert_eq!(pd(&mut host, 1), 5, "the only one that is free");
        let many = vec![0x1000; 1 << 18];
        for _ in 0..4 {
            umem(&mut host, 1, &many).unwrap();
        }
        assert_eq!(
            umem(&mut host, 1, &[0x1000]),
            Err(Refusal(Status::LIMIT, Syndrome::TOO_MANY))
        );
    }
}
