// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guest memory: what the client mapped for us, read and written by guest physical address.
//!
//! Everything unsafe about it is in this file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{fence, Ordering};

/// Most mappings at one time; QEMU has about 20.
const MAX_REGIONS: usize = 4096;

/// An access that hit no memory, or memory that must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaError(
    /// Where it began.
    pub u64,
);

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory at guest address {:#x}", self.0)
    }
}

impl std::error::Error for DmaError {}

/// One mapping of this process.
///
/// # Invariants
///
/// `start` is the start of a mapping of `len` bytes that lives as long as the value, readable, and writable if `is_writable`.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    is_writable: bool,
}

// SAFETY: The mapping belongs to the value alone, and no thread has an affinity to it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: &File, offset: u64, len: u64, is_writable: bool) -> std::io::Result<Self> {
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let end = offset.checked_add(len).ok_or_else(invalid)?;
        // Beyond the end of the file an access would be a SIGBUS.
        if len == 0 || end > file.metadata()?.len() {
            return Err(invalid());
        }
        let size = usize::try_from(len).map_err(|_| invalid())?;
        let offset = libc::off_t::try_from(offset).map_err(|_| invalid())?;
        let write = if is_writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: A new mapping at an address of the system's choice touches no memory of ours.
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
        // INVARIANT: The mapping was just made with this length and protection.
        Ok(Mapping {
            start,
            len: size,
            is_writable,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the invariant this is a mapping of ours, and nobody else has its address.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The memory of the guest.
#[derive(Default)]
pub struct Memory {
    /// By guest physical address.  They do not overlap.
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

    /// Takes the mapping at `address` away.
    pub fn unmap(&mut self, address: u64, len: u64) {
        if self
            .regions
            .get(&address)
            .is_some_and(|region| region.len as u64 == len)
        {
            self.regions.remove(&address);
        }
    }

    /// Takes all mappings away.
    pub fn unmap_all(&mut self) {
        self.regions.clear();
    }

    /// The mapping of `len` bytes at `address`, which do not cross its end, and the position in it.
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

    /// Copies guest memory out.  The guest may write at the same time; what is then read is
    /// anything, but only bytes.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), DmaError> {
        let (region, at) = self.find(address, to.len())?;
        // SAFETY:
        // - `find` says that `at + to.len()` is within the region, which is readable by its invariant;
        // - `to` is memory of this process alone and does not overlap with a shared mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(region.start.as_ptr().add(at), to.as_mut_ptr(), to.len())
        };
        Ok(())
    }

    /// Copies into guest memory.
    pub fn write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaError> {
        let (region, at) = self.find(address, from.len())?;
        if !region.is_writable {
            return Err(DmaError(address));
        }
        // SAFETY: As in `read`, and the region is writable.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), region.start.as_ptr().add(at), from.len())
        };
        Ok(())
    }

    /// Writes one byte, after everything that was written before.
    pub fn publish(&mut self, address: u64, byte: u8) -> Result<(), DmaError> {
        let (region, at) = self.find(address, 1)?;
        if !region.is_writable {
            return Err(DmaError(address));
        }
        fence(Ordering::Release);
        // SAFETY: As in `write`.
        unsafe { region.start.as_ptr().add(at).write_volatile(byte) };
        Ok(())
    }
}

/// Memory for tests of a device.
pub mod test {
    use super::*;
    use std::os::fd::FromRawFd;

    /// `len` bytes of zeroes at guest address `address`.
    pub fn memory(address: u64, len: u64) -> Memory {
        let mut memory = Memory::default();
        memory
            .map(address, &file(len), 0, len, true)
            .expect("fresh memory can be mapped");
        memory
    }

    /// An anonymous file of `len` bytes.
    pub fn file(len: u64) -> File {
        // SAFETY: The name is a C string.
        let fd = unsafe { libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: The descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(len).expect("a memory file grows");
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
            "the system wants whole pages"
        );
        memory.map(0x1000, &file, 0x1000, 0x1000, false).unwrap();
        assert!(memory.map(0x1fff, &file, 0, 0x1000, true).is_err());
        assert!(memory.map(0, &file, 0, 0x2000, true).is_err());
        assert_eq!(memory.write(0x1000, &[0]), Err(DmaError(0x1000)));
        assert_eq!(memory.publish(0x1000, 0), Err(DmaError(0x1000)));
        memory.map(0, &file, 0, 0x1000, true).unwrap();
        assert!(
            memory.read(0xfff, &mut [0; 2]).is_err(),
            "an access stays in one mapping"
        );
    }
}
