// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guest memory: mapped from the client, accessed by guest physical address.
//!
//! All unsafe code for it is in this file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::sync::atomic::{fence, Ordering};
use std::sync::Arc;

/// Maximum number of regions. QEMU makes about 20 without an IOMMU, and one per page behind one.
const MAX_REGIONS: usize = 1 << 18;
/// Maximum number of files that have regions.
const MAX_FILES: usize = 64;
/// Addresses, offsets and lengths of regions are multiples of this.
const PAGE: u64 = 4096;

/// An access outside of all regions, or a write to a read-only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaError(
    /// Start of the access.
    pub u64,
);

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory at guest address {:#x}", self.0)
    }
}

impl std::error::Error for DmaError {}

/// A file that is mapped in this process.
///
/// The regions of a file share one mapping: the kernel limits the number of mappings to less than
/// the number of pages that a guest can map for a device.
///
/// # Invariants
///
/// `start` is the start of a mapping of `len` bytes that is valid for the lifetime of the value,
/// readable, and writable if `is_writable`.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    is_writable: bool,
    /// Device and inode of the file. The mapping keeps the inode from being reused.
    file: (u64, u64),
}

// SAFETY: Only this value refers to the mapping, and a mapping can be used and unmapped by any
// thread.
unsafe impl Send for Mapping {}
// SAFETY: A mapping belongs to one `Memory`, which writes to it only while it is borrowed mutably.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(
        file: &File,
        identity: (u64, u64),
        len: u64,
        is_writable: bool,
    ) -> std::io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| invalid())?;
        let write = if is_writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: A null address hint without `MAP_FIXED` replaces no existing mapping.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | write,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(invalid)?;
        // INVARIANT: `mmap()` has just made the mapping, of this length and protection.
        Ok(Mapping {
            start,
            len,
            is_writable,
            file: identity,
        })
    }

    /// Returns whether the mapping has `len` bytes at `at`.
    fn has(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// Copies bytes of the file. Returns `None` if it does not have them all.
    fn read(&self, at: usize, to: &mut [u8]) -> Option<()> {
        if !self.has(at, to.len()) {
            return None;
        }
        // SAFETY:
        // - The mapping has `to.len()` bytes at `at`, and by the type invariant it is readable;
        // - `to` is private memory of this process and does not overlap with a shared mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr().add(at), to.as_mut_ptr(), to.len())
        };
        Some(())
    }

    /// Copies bytes to the file. Returns `None` if they do not fit, or if the mapping is read-only.
    fn write(&self, at: usize, from: &[u8]) -> Option<()> {
        if !self.has(at, from.len()) || !self.is_writable {
            return None;
        }
        // SAFETY:
        // - The mapping has `from.len()` bytes at `at`, and by the type invariant it is writable;
        // - `from` is private memory of this process and does not overlap with a shared mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), self.start.as_ptr().add(at), from.len())
        };
        Some(())
    }

    /// Writes one byte, ordered after all earlier writes. Fails like [`Mapping::write`].
    fn publish(&self, at: usize, byte: u8) -> Option<()> {
        if !self.has(at, 1) || !self.is_writable {
            return None;
        }
        fence(Ordering::Release);
        // SAFETY: The mapping has a byte at `at`, and by the type invariant it is writable. A byte
        // is always aligned.
        unsafe { self.start.as_ptr().add(at).write_volatile(byte) };
        Some(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the range is one mapping, which only this value refers to,
        // and the value is being dropped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

fn invalid() -> std::io::Error {
    std::io::ErrorKind::InvalidInput.into()
}

/// A range of guest addresses.
struct Region {
    file: Arc<Mapping>,
    /// Offset in the file.
    offset: u64,
    len: u64,
}

/// The part of an access that is in one region.
struct Part<'a> {
    file: &'a Mapping,
    at: usize,
    len: usize,
}

/// The memory of the guest: that which the IOMMU, if there is one, lets the device access.
#[derive(Default)]
pub struct Memory {
    /// By guest address. They do not overlap.
    regions: BTreeMap<u64, Region>,
    /// The files of the regions.
    files: Vec<Arc<Mapping>>,
}

impl Memory {
    /// Adds a region: `len` bytes of `file`.
    pub fn map(
        &mut self,
        address: u64,
        file: &File,
        offset: u64,
        len: u64,
        is_writable: bool,
    ) -> std::io::Result<()> {
        let end = address.checked_add(len).ok_or_else(invalid)?;
        let is_aligned = [address, offset, len].iter().all(|n| n % PAGE == 0);
        let taken = |(&start, region): (&u64, &Region)| start + region.len > address;
        if len == 0
            || !is_aligned
            || self.regions.len() >= MAX_REGIONS
            || self.regions.range(..end).next_back().is_some_and(taken)
        {
            return Err(invalid());
        }
        let end_in_file = offset.checked_add(len).ok_or_else(invalid)?;
        let file = self.file(file, end_in_file, is_writable)?;
        self.regions.insert(address, Region { file, offset, len });
        Ok(())
    }

    /// Returns the mapping of a file that has at least `len` bytes.
    fn file(&mut self, file: &File, len: u64, is_writable: bool) -> std::io::Result<Arc<Mapping>> {
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        // An access beyond the end of the file would raise SIGBUS.
        if len > metadata.len() {
            return Err(invalid());
        }
        let fits = |mapping: &&Arc<Mapping>| {
            mapping.file == identity
                && mapping.is_writable == is_writable
                && mapping.len as u64 >= len
        };
        if let Some(mapping) = self.files.iter().find(fits) {
            return Ok(mapping.clone());
        }
        if self.files.len() >= MAX_FILES {
            return Err(invalid());
        }
        let mapping = Mapping::new(file, identity, metadata.len(), is_writable)?;
        self.files.push(Arc::new(mapping));
        Ok(self.files[self.files.len() - 1].clone())
    }

    /// Removes all that is mapped in a range of whole pages, which may be parts of regions.
    pub fn unmap(&mut self, address: u64, len: u64) {
        let Some(rest) = len.checked_sub(1) else {
            return;
        };
        let start = address & !(PAGE - 1);
        let last = address.saturating_add(rest) | (PAGE - 1);
        let above = last.checked_add(1);
        self.cut(start);
        if let Some(above) = above {
            self.cut(above);
        }
        while let Some((&at, _)) = self.regions.range(start..=last).next() {
            self.regions.remove(&at);
        }
        // A hole in a region makes two of it. If that is one too many, the upper one is removed.
        if self.regions.len() > MAX_REGIONS {
            above.and_then(|above| self.regions.remove(&above));
        }
        self.files.retain(|file| Arc::strong_count(file) > 1);
    }

    /// Splits the region that has the bytes before and after an address.
    fn cut(&mut self, address: u64) {
        let Some((start, region)) = self.regions.range_mut(..address).next_back() else {
            return;
        };
        let below = address - start;
        if below >= region.len {
            return;
        }
        let upper = Region {
            file: region.file.clone(),
            offset: region.offset + below,
            len: region.len - below,
        };
        region.len = below;
        self.regions.insert(address, upper);
    }

    /// Removes all regions.
    pub fn unmap_all(&mut self) {
        self.regions.clear();
        self.files.clear();
    }

    /// Number of regions, and of their bytes.
    pub fn totals(&self) -> (usize, u64) {
        let bytes = self.regions.values().map(|region| region.len).sum();
        (self.regions.len(), bytes)
    }

    /// Returns the first part of an access of `len` bytes.
    fn part(&self, address: u64, len: usize) -> Option<Part<'_>> {
        let (start, region) = self.regions.range(..=address).next_back()?;
        let at = address - start;
        let rest = region.len.checked_sub(at).filter(|rest| *rest > 0)?;
        Some(Part {
            file: &region.file,
            at: usize::try_from(region.offset + at).ok()?,
            len: len.min(usize::try_from(rest).unwrap_or(usize::MAX)),
        })
    }

    /// Calls `access` with each part of an access and the number of bytes before it.
    fn parts(
        &self,
        address: u64,
        len: usize,
        mut access: impl FnMut(Part<'_>, usize) -> Option<()>,
    ) -> Option<()> {
        let mut done = 0;
        while done < len {
            let part = self.part(address.checked_add(done as u64)?, len - done)?;
            let part_len = part.len;
            access(part, done)?;
            done += part_len;
        }
        Some(())
    }

    /// Copies from guest memory. If the guest writes at the same time, the bytes read are
    /// arbitrary.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), DmaError> {
        self.parts(address, to.len(), |part, done| {
            part.file.read(part.at, &mut to[done..][..part.len])
        })
        .ok_or(DmaError(address))
    }

    /// Copies to guest memory. Writes nothing if not all of it is writable.
    pub fn write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaError> {
        self.parts(address, from.len(), |part, _| {
            part.file.is_writable.then_some(())
        })
        .and_then(|()| {
            self.parts(address, from.len(), |part, done| {
                part.file.write(part.at, &from[done..][..part.len])
            })
        })
        .ok_or(DmaError(address))
    }

    /// Writes one byte, ordered after all earlier writes.
    pub fn publish(&mut self, address: u64, byte: u8) -> Result<(), DmaError> {
        self.part(address, 1)
            .and_then(|part| part.file.publish(part.at, byte))
            .ok_or(DmaError(address))
    }
}

/// Guest memory for tests of a device.
pub mod test {
    use super::*;
    use std::os::fd::FromRawFd;

    /// Returns memory with `len` zero bytes at guest address `address`.
    pub fn memory(address: u64, len: u64) -> Memory {
        let mut memory = Memory::default();
        memory
            .map(address, &file(len), 0, len, true)
            .expect("mapping new memory");
        memory
    }

    /// Returns an anonymous file of `len` bytes.
    pub fn file(len: u64) -> File {
        // SAFETY: The name is a NUL-terminated string.
        let fd = unsafe { libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: `memfd_create()` has just returned the descriptor, so nothing else owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(len).expect("resizing a memfd");
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mapped() {
        let mut memory = test::memory(0x10000, 0x2000);
        memory.write(0x11ffe, &[1, 2]).unwrap();
        let mut two = [0; 2];
        memory.read(0x11ffe, &mut two).unwrap();
        assert_eq!(two, [1, 2]);
        for address in [0, 0xffff, 0x11fff, 0x12000, u64::MAX] {
            assert_eq!(memory.read(address, &mut two), Err(DmaError(address)));
            assert_eq!(memory.write(address, &two), Err(DmaError(address)));
        }
        memory.publish(0x11fff, 9).unwrap();
        assert_eq!(memory.publish(0x12000, 9), Err(DmaError(0x12000)));
        memory.unmap(0x11000, 0x1000);
        assert!(memory.read(0x10fff, &mut two).is_err());
        assert!(memory.read(0x10ffe, &mut two).is_ok());
        memory.unmap(0x10000, 0x2000);
        assert!(memory.read(0x10ffe, &mut two).is_err());
    }

    #[test]
    fn maps_that_are_refused() {
        let mut memory = Memory::default();
        let file = test::file(0x2000);
        assert!(memory.map(0, &file, 0, 0, true).is_err());
        assert!(memory.map(0, &file, 0x1000, 0x2000, true).is_err());
        assert!(memory
            .map(u64::MAX - 0xfff, &file, 0, 0x1000, true)
            .is_err());
        assert!(memory
            .map(0, &file, u64::MAX - 0xfff, 0x1000, true)
            .is_err());
        for (address, offset, len) in [(1, 0, 0x1000), (0, 1, 0x1000), (0, 0, 0x1001)] {
            assert!(memory.map(address, &file, offset, len, true).is_err());
        }
        memory.map(0x1000, &file, 0x1000, 0x1000, false).unwrap();
        assert!(memory.map(0x1000, &file, 0, 0x1000, true).is_err());
        assert!(memory.map(0, &file, 0, 0x2000, true).is_err());
        assert_eq!(memory.write(0x1000, &[0]), Err(DmaError(0x1000)));
        assert_eq!(memory.publish(0x1000, 0), Err(DmaError(0x1000)));
        memory.map(0, &file, 0, 0x1000, true).unwrap();
        assert!(memory.read(0xfff, &mut [0; 2]).is_ok());
        assert_eq!(memory.write(0xfff, &[1; 2]), Err(DmaError(0xfff)));
        let mut byte = [0];
        memory.read(0xfff, &mut byte).unwrap();
        assert_eq!(byte, [0], "nothing is written if not all can be");
    }

    #[test]
    fn accesses_cross_regions() {
        let mut memory = Memory::default();
        let (file, other) = (test::file(0x3000), test::file(0x1000));
        memory.map(0x10000, &file, 0x2000, 0x1000, true).unwrap();
        memory.map(0x11000, &other, 0, 0x1000, true).unwrap();
        memory.map(0x12000, &file, 0, 0x1000, true).unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(0x3000).collect();
        memory.write(0x10000, &bytes).unwrap();
        let mut found = vec![0; 0x1800];
        memory.read(0x10c00, &mut found).unwrap();
        assert_eq!(found, bytes[0xc00..0x2400]);
        assert!(memory.read(0x12fff, &mut [0; 2]).is_err());
        memory.unmap(0x11000, 0x1000);
        assert!(memory.write(0x10ffe, &[9; 4]).is_err());
        memory.read(0x10c00, &mut found[..0x400]).unwrap();
        assert_eq!(found[..0x400], bytes[0xc00..0x1000]);
    }

    /// QEMU unmaps what the guest invalidates, which may be more or less than it has mapped.
    #[test]
    fn unmaps_of_any_range() {
        let mut memory = Memory::default();
        let file = test::file(0x40000);
        let byte = |memory: &Memory, address| memory.read(address, &mut [0]).is_ok();
        memory.map(0x100000, &file, 0, 0x40000, true).unwrap();
        memory.write(0x13f000, &[7]).unwrap();
        // A hole.
        memory.unmap(0x110000, 0x1000);
        assert_eq!(memory.totals(), (2, 0x3f000));
        assert!(byte(&memory, 0x10ffff) && !byte(&memory, 0x110000));
        assert!(!byte(&memory, 0x110fff) && byte(&memory, 0x111000));
        memory.map(0x110000, &file, 0x3f000, 0x1000, true).unwrap();
        let mut seven = [0];
        memory.read(0x110000, &mut seven).unwrap();
        assert_eq!(seven, [7]);
        // Parts of several regions.
        memory.unmap(0x10f000, 0x3000);
        assert_eq!(memory.totals(), (2, 0x3d000));
        // Nothing, and parts of pages.
        memory.unmap(0x10e000, 0);
        memory.unmap(0x200000, 0x1000);
        assert_eq!(memory.totals(), (2, 0x3d000));
        memory.unmap(0x10eabc, 1);
        assert!(!byte(&memory, 0x10efff) && byte(&memory, 0x10dfff));
        // All.
        memory.unmap(0, u64::MAX);
        assert_eq!(memory.totals(), (0, 0));
        assert_eq!(memory.files.len(), 0);
        memory
            .map(u64::MAX - 0x1fff, &file, 0, 0x1000, true)
            .unwrap();
        memory.unmap(u64::MAX - 0x1fff, u64::MAX);
        assert_eq!(memory.totals(), (0, 0));
    }

    #[test]
    fn regions_of_a_file_share_a_mapping() {
        let mut memory = Memory::default();
        let file = test::file(0x2000);
        for page in 0..100_000 {
            let copy = file.try_clone().unwrap();
            memory
                .map(page * 0x1000, &copy, page % 2 * 0x1000, 0x1000, true)
                .unwrap();
        }
        assert_eq!(memory.files.len(), 1);
        memory.write(0x3000, &[5]).unwrap();
        let mut five = [0];
        memory.read(99_999 * 0x1000, &mut five).unwrap();
        assert_eq!(five, [5]);
        // A file that grew, a read-only region, and one file after another.
        file.set_len(0x3000).unwrap();
        memory.unmap(0, 0x2000);
        memory.map(0, &file, 0x2000, 0x1000, true).unwrap();
        memory.map(0x1000, &file, 0, 0x1000, false).unwrap();
        assert_eq!(memory.files.len(), 3);
        memory.unmap(0, 100_000 * 0x1000);
        assert_eq!(memory.files.len(), 0);
    }

    #[test]
    fn regions_and_files_are_bounded() {
        let mut memory = Memory::default();
        let file = test::file(0x3000);
        for n in 0..MAX_REGIONS as u64 {
            memory.map(n * 0x4000, &file, 0, 0x3000, true).unwrap();
        }
        assert!(memory.map(0x3000, &file, 0, 0x1000, true).is_err());
        // There is no room for the upper part of the first region.
        memory.unmap(0x1000, 0x1000);
        assert_eq!(memory.totals().0, MAX_REGIONS);
        assert!(memory.read(0xfff, &mut [0]).is_ok());
        assert!(memory.read(0x2000, &mut [0]).is_err());
        assert!(memory.read(0x4000, &mut [0; 0x3000]).is_ok());
        memory.unmap_all();
        assert_eq!(memory.totals(), (0, 0));

        let files: Vec<File> = (0..=MAX_FILES).map(|_| test::file(0x1000)).collect();
        let mut mapped = files
            .iter()
            .zip(0u64..)
            .map(|(file, n)| memory.map(n * 0x1000, file, 0, 0x1000, true).is_ok());
        assert!(mapped.by_ref().take(MAX_FILES).all(|is_mapped| is_mapped));
        assert_eq!(mapped.next(), Some(false));
    }

    /// Compares maps and unmaps of random ranges with a table of pages.
    #[test]
    fn pages_are_those_of_a_table() {
        const PAGES: usize = 64;
        let mut noise = crate::fault::Noise(1);
        let mut number = |below: usize| (noise.number() % below as u64) as usize;
        let mut memory = Memory::default();
        let file = test::file(PAGES as u64 * PAGE);
        for page in 0..PAGES as u64 {
            memory
                .map(page * PAGE, &file, page * PAGE, PAGE, true)
                .unwrap();
            memory.write(page * PAGE, &[page as u8 + 1]).unwrap();
        }
        memory.unmap_all();
        let mut table = [0; PAGES];
        let mut refused = 0;
        for _ in 0..20_000 {
            let first = number(PAGES);
            let count = 1 + number((PAGES - first).min(9));
            let address = first as u64 * PAGE;
            if number(2) == 0 {
                let offset = number(PAGES - count + 1);
                let len = count as u64 * PAGE;
                let mapped = memory.map(address, &file, offset as u64 * PAGE, len, true);
                let is_free = table[first..first + count].iter().all(|page| *page == 0);
                assert_eq!(mapped.is_ok(), is_free);
                refused += u32::from(!is_free);
                if is_free {
                    (0..count).for_each(|n| table[first + n] = (offset + n) as u8 + 1);
                }
            } else {
                memory.unmap(address, count as u64 * PAGE);
                table[first..first + count].fill(0);
            }
            let page = number(PAGES);
            let mut byte = [0];
            let read = memory.read(page as u64 * PAGE, &mut byte);
            assert_eq!((read.is_ok(), byte[0]), (table[page] != 0, table[page]));
            let mapped = table.iter().filter(|page| **page != 0).count();
            assert_eq!(memory.totals().1, mapped as u64 * PAGE);
        }
        assert!(refused > 1000);
    }
}
