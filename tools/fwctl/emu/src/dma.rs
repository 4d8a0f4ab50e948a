// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guest memory: mapped from the client, accessed by guest physical address.
//!
//! All unsafe code for it is in this file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{fence, Ordering};

/// Maximum number of mappings; QEMU makes about 20.
const MAX_REGIONS: usize = 4096;

/// An access outside of all mappings, or a write to a read-only one.
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

/// A mapping in this process.
///
/// # Invariants
///
/// `start` is the start of a mapping of `len` bytes that is valid for the lifetime of the value,
/// readable, and writable if `is_writable`.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    is_writable: bool,
}

// SAFETY: Only this value refers to the mapping, and a mapping can be used and unmapped by any
// thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: &File, offset: u64, len: u64, is_writable: bool) -> std::io::Result<Self> {
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let end = offset.checked_add(len).ok_or_else(invalid)?;
        // An access beyond the end of the file would raise SIGBUS.
        if len == 0 || end > file.metadata()?.len() {
            return Err(invalid());
        }
        let size = usize::try_from(len).map_err(|_| invalid())?;
        let offset = libc::off_t::try_from(offset).map_err(|_| invalid())?;
        let write = if is_writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: A null address hint without `MAP_FIXED` replaces no existing mapping.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | write,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(invalid)?;
        // INVARIANT: `mmap()` has just made the mapping, of this length and protection.
        Ok(Mapping {
            start,
            len: size,
            is_writable,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the range is one mapping, which only this value refers to,
        // and the value is being dropped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The memory of the guest.
#[derive(Default)]
pub struct Memory {
    /// Sorted by guest physical address. They do not overlap.
    regions: BTreeMap<u64, Mapping>,
}

impl Memory {
    /// Adds a mapping of `file`.
    pub fn map(
        &mut self,
        address: u64,
        file: &File,
        offset: u64,
        len: u64,
        is_writable: bool,
    ) -> std::io::Result<()> {
        let taken = |(&start, region): (&u64, &Mapping)| start + region.len as u64 > address;
        let end = address
            .checked_add(len)
            .ok_or(std::io::ErrorKind::InvalidInput)?;
        if self.regions.len() >= MAX_REGIONS
            || self.regions.range(..end).next_back().is_some_and(taken)
        {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        self.regions
            .insert(address, Mapping::new(file, offset, len, is_writable)?);
        Ok(())
    }

    /// Removes the mapping at `address`.
    pub fn unmap(&mut self, address: u64, len: u64) {
        if self
            .regions
            .get(&address)
            .is_some_and(|region| region.len as u64 == len)
        {
            self.regions.remove(&address);
        }
    }

    /// Removes all mappings.
    pub fn unmap_all(&mut self) {
        self.regions.clear();
    }

    /// Returns the mapping that has all `len` bytes at `address`, and the offset in it.
    fn find(&self, address: u64, len: usize) -> Result<(&Mapping, usize), DmaError> {
        let error = DmaError(address);
        let (start, region) = self.regions.range(..=address).next_back().ok_or(error)?;
        let at = usize::try_from(address - start).map_err(|_| error)?;
        let end = at.checked_add(len).ok_or(error)?;
        if end > region.len {
            return Err(error);
        }
        Ok((region, at))
    }

    /// Copies from guest memory. If the guest writes at the same time, the bytes read are
    /// arbitrary.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), DmaError> {
        let (region, at) = self.find(address, to.len())?;
        // SAFETY:
        // - `find` returns a region and an offset with `at + to.len() <= len`, and by the type
        //   invariant the region is readable;
        // - `to` is private memory of this process and does not overlap with a shared mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(region.start.as_ptr().add(at), to.as_mut_ptr(), to.len())
        };
        Ok(())
    }

    /// Copies to guest memory.
    pub fn write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaError> {
        let (region, at) = self.find(address, from.len())?;
        if !region.is_writable {
            return Err(DmaError(address));
        }
        // SAFETY:
        // - `find` returns a region and an offset with `at + from.len() <= len`, and `is_writable`
        //   was checked, so by the type invariant the region is writable;
        // - `from` is private memory of this process and does not overlap with a shared mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), region.start.as_ptr().add(at), from.len())
        };
        Ok(())
    }

    /// Writes one byte, ordered after all earlier writes.
    pub fn publish(&mut self, address: u64, byte: u8) -> Result<(), DmaError> {
        let (region, at) = self.find(address, 1)?;
        if !region.is_writable {
            return Err(DmaError(address));
        }
        fence(Ordering::Release);
        // SAFETY: `find` returns a region and an offset of a byte in it, and `is_writable` was
        // checked, so by the type invariant the byte is valid for writes. A byte is always aligned.
        unsafe { region.start.as_ptr().add(at).write_volatile(byte) };
        Ok(())
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
        memory.unmap(0x10000, 0x1000);
        assert!(memory.read(0x10000, &mut two).is_ok());
        memory.unmap(0x10000, 0x2000);
        assert!(memory.read(0x10000, &mut two).is_err());
    }

    #[test]
    fn maps_that_are_refused() {
        let mut memory = Memory::default();
        let file = test::file(0x2000);
        assert!(memory.map(0, &file, 0, 0, true).is_err());
        assert!(memory.map(0, &file, 0x1000, 0x1001, true).is_err());
        assert!(memory.map(u64::MAX, &file, 0, 0x1000, true).is_err());
        assert!(memory.map(0, &file, u64::MAX, 0x1000, true).is_err());
        assert!(
            memory.map(0, &file, 1, 0x1000, true).is_err(),
            "offsets must be page aligned"
        );
        memory.map(0x1000, &file, 0x1000, 0x1000, false).unwrap();
        assert!(memory.map(0x1fff, &file, 0, 0x1000, true).is_err());
        assert!(memory.map(0, &file, 0, 0x2000, true).is_err());
        assert_eq!(memory.write(0x1000, &[0]), Err(DmaError(0x1000)));
        assert_eq!(memory.publish(0x1000, 0), Err(DmaError(0x1000)));
        memory.map(0, &file, 0, 0x1000, true).unwrap();
        assert!(
            memory.read(0xfff, &mut [0; 2]).is_err(),
            "no access crosses mappings"
        );
    }
}
