// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that a device accesses while this process does.
//!
//! The device, which is no part of the program, may change any byte at any time. So nothing here
//! hands out a reference to plain bytes: the memory is an array of atomic bytes, from which data is
//! copied out and into which it is copied. With atomic accesses, threads of this process have no
//! data race either. A copy that overlaps with a write of the device has old and new bytes; only the
//! caller, who knows when the device is done, can tell.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{fence, AtomicU8, Ordering};

/// Pages that this process has mapped, which start as zeros: its own, or the kernel's.
///
/// # Invariants
///
/// In the process `owner`, `start` is the start of a mapping of `len` bytes that this value owns:
/// readable and writable, and mapped until the value is dropped. It is private and anonymous, or the
/// process has no other mapping of its pages. In a child of it, which has a copy of this value, nothing
/// is known of these addresses.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
    owner: u32,
}

// SAFETY: By the type invariant nothing else refers to the mapping, which any thread can use and
// unmap.
unsafe impl Send for Pages {}
// SAFETY: A shared reference gives access to the mapping as atomic bytes only, see `bytes()`.
unsafe impl Sync for Pages {}

impl Pages {
    /// Allocates at least `len` bytes, rounded up to whole pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `len` is 0 or too large, and the errors of mmap(2).
    pub fn new(len: usize) -> io::Result<Pages> {
        let len = Self::rounded(len)?;
        // SAFETY: Without an address hint and `MAP_FIXED`, no existing mapping is replaced.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let pages = Self::mapped(start, len)?;
        // A child must not share pages that the device writes to. Should it fail, the kernel copies
        // them when it forks, as it does for all pinned pages.
        // SAFETY: The range is the mapping of `pages`, whose content it does not change.
        unsafe { libc::madvise(pages.start.as_ptr().cast(), len, libc::MADV_DONTFORK) };
        Ok(pages)
    }

    /// Maps `len` bytes of memory that FWCTL_RSC_UMEM_ALLOC has just allocated, whose offset in the file
    /// of `node` is `offset`. A child of this process does not get the mapping.
    pub(crate) fn map(node: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Pages> {
        let offset = offset.try_into().map_err(|_| invalid())?;
        // SAFETY: Without an address hint and `MAP_FIXED`, no existing mapping is replaced.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                node.as_raw_fd(),
                offset,
            )
        };
        Self::mapped(start, len)
    }

    /// What `mmap()` returned for `len` bytes.
    fn mapped(start: *mut libc::c_void, len: usize) -> io::Result<Pages> {
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(invalid)?;
        // INVARIANT: `mmap()` has just made this mapping, and nothing else knows of it. It is anonymous,
        // or of memory that was allocated just now, which nothing else has mapped.
        Ok(Pages {
            start,
            len,
            owner: std::process::id(),
        })
    }

    /// Rounds a length up to whole pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is 0 or too large.
    pub(crate) fn rounded(len: usize) -> io::Result<usize> {
        len.checked_next_multiple_of(Self::page_size())
            .filter(|len| *len > 0 && isize::try_from(*len).is_ok())
            .ok_or_else(invalid)
    }

    /// Size of a page.
    pub fn page_size() -> usize {
        // SAFETY: It accesses no memory of the caller.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap_or(4096)
    }

    /// Number of bytes: whole pages.
    // There are no pages without bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Address of the first byte, for the kernel and for the firmware.
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Returns whether this process has allocated the pages. A child of it, by fork(2), does not have
    /// them: there, no byte can be read or written.
    pub fn are_here(&self) -> bool {
        self.owner == std::process::id()
    }

    fn bytes(&self) -> &[AtomicU8] {
        if !self.are_here() {
            return &[];
        }
        // SAFETY:
        // - by the type invariant the mapping has `len` bytes, readable and writable, and exists
        //   while the value does, which the result borrows, because this is its process;
        // - any byte is a valid `AtomicU8`, which has alignment 1, and `rounded()` has checked that
        //   `len` is not above `isize::MAX`;
        // - `AtomicU8` permits its memory to change while it is borrowed, so the device may write to
        //   it. This process accesses it in no other way, since `start` is private and `address()`
        //   only a number; a program in C that uses it does so by atomic accesses of single bytes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }

    /// Copies bytes out, all of which are loaded after this call began. Returns whether the memory
    /// has as many from `offset` on; if not, nothing is copied.
    #[must_use]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        let Some(from) = self.range(offset, to.len()) else {
            return false;
        };
        fence(Ordering::Acquire);
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.load(Ordering::Relaxed);
        }
        true
    }

    /// Copies bytes in. They are visible to the device before anything that the caller does next.
    /// Returns whether they fit; if not, nothing is copied.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> bool {
        let Some(to) = self.range(offset, from.len()) else {
            return false;
        };
        for (to, from) in to.iter().zip(from) {
            to.store(*from, Ordering::Relaxed);
        }
        fence(Ordering::Release);
        true
    }

    fn range(&self, offset: usize, len: usize) -> Option<&[AtomicU8]> {
        self.bytes().get(offset..offset.checked_add(len)?)
    }
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !self.are_here() {
            return;
        }
        // Pages that are registered with a device have been pinned, or belong to the kernel: even if
        // the device still writes to them, they are not given to anybody else.
        // SAFETY: By the type invariant the range is a mapping of this value, to which nothing
        // refers any more, since it is being dropped, in its process.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_of_zeros() {
        let pages = Pages::new(1).unwrap();
        assert_eq!(pages.len(), Pages::page_size());
        assert_eq!(pages.address() % pages.len() as u64, 0);
        let mut bytes = vec![1; pages.len()];
        assert!(pages.read(0, &mut bytes) && bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn only_inside() {
        let pages = Pages::new(4096).unwrap();
        let end = pages.len();
        assert!(pages.write(end - 2, &[1, 2]) && !pages.write(end - 1, &[9, 9]));
        let mut two = [7; 2];
        assert!(!pages.read(end - 1, &mut two) && !pages.read(usize::MAX, &mut two));
        assert_eq!(two, [7; 2]);
        assert!(pages.read(end - 2, &mut two) && two == [1, 2]);
        assert!(pages.read(end, &mut []));
        for len in [0, usize::MAX, usize::MAX / 2 + 1] {
            assert!(Pages::new(len).is_err(), "{len}");
        }
    }

    #[test]
    fn a_child_does_not_have_them() {
        let pages = Pages::new(1).unwrap();
        // SAFETY: The child only calls functions that are safe after fork(), and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_refused = !pages.are_here() && !pages.read(0, &mut [0]) && !pages.write(0, &[1]);
            drop(pages);
            // SAFETY: It ends the process without running anything else.
            unsafe { libc::_exit(if is_refused { 17 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is exclusively borrowed for the call.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 17);
        assert!(pages.are_here() && pages.write(0, &[1]));
    }

    #[test]
    fn threads_may_use_it_at_the_same_time() {
        let pages = Pages::new(4096).unwrap();
        std::thread::scope(|scope| {
            for byte in 1..=4u8 {
                let pages = &pages;
                scope.spawn(move || {
                    for _ in 0..100 {
                        assert!(pages.write(0, &[byte; 64]));
                        let mut bytes = [0; 64];
                        assert!(pages.read(0, &mut bytes));
                        assert!(bytes.iter().all(|byte| (1..=4).contains(byte)));
                    }
                });
            }
        });
    }
}
