// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system interface of the fuzzer, and all its unsafe code: memory for calls, the calls,
//! capabilities, KCOV.

use crate::case::{Carrier, Place};
use anyhow::{bail, ensure, Context, Result};
use fwctl_uapi::{FWCTL_INFO, FWCTL_RPC, FWCTL_TYPE};
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types, IoUring};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Value of memory that has not been written.
pub const CANARY: u8 = 0xee;

/// Size of an area: the largest buffer that the kernel accepts, and some memory around it.
pub const AREA: usize = (2 << 20) + (64 << 10);

/// Bytes before and after a buffer that are checked.
const MARGIN: usize = 512;

/// Bytes checked in the unused part of a large buffer. Checking all would take most of the time.
const WINDOW: usize = 64 << 10;

/// Canaries to compare with.
const CANARIES: &[u8] = &[CANARY; 4096];

/// Size of the inaccessible guard after an area.
const GUARD: usize = 4096;

/// An address in the kernel's half of the address space.
const KERNEL: u64 = 0xffff_8880_0000_1000;

/// An address for a call, and the memory there.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// The address.
    pub address: u64,
    /// Offset in the area, if the address is in one.
    at: Option<usize>,
    /// Number of readable bytes there.
    pub readable: usize,
    /// Number of writable bytes there.
    pub writable: usize,
}

/// Memory that is followed by a guard.
///
/// # Invariants
///
/// `start` is the start of a private mapping of [`AREA`] bytes that is never unmapped, followed by
/// [`GUARD`] bytes that cannot be accessed. The mapping is readable, and writable unless
/// `is_read_only`. Only `self` refers to it, and only methods of `self` and the calls of
/// [`Memory::call`] write to it.
struct Area {
    start: NonNull<u8>,
    /// The part that may differ from [`CANARY`].
    dirty: Range<usize>,
    is_read_only: bool,
}

impl Area {
    fn new() -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: A null address hint without `MAP_FIXED` replaces no existing mapping.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                AREA + GUARD,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("mmap");
        }
        let start = NonNull::new(start.cast()).context("a mapping at address 0")?;
        // INVARIANT: `mmap()` has just returned the mapping, to which nothing else refers.
        // `protect()` below makes the first `AREA` bytes accessible; the guard is never made
        // accessible.
        let mut area = Area {
            start,
            dirty: 0..AREA,
            is_read_only: true,
        };
        area.protect(false)?;
        area.clean();
        Ok(area)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: By the type invariant `start` is valid for reads of `AREA` bytes. All writes to
        // them need a mutable borrow of `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), AREA) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(!self.is_read_only);
        // SAFETY: By the type invariant `start` is valid for reads and, as `is_read_only` is false,
        // for writes of `AREA` bytes. Only `self` refers to them, and it is mutably borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), AREA) }
    }

    fn protect(&mut self, is_read_only: bool) -> Result<()> {
        if self.is_read_only == is_read_only {
            return Ok(());
        }
        let prot = match is_read_only {
            true => libc::PROT_READ,
            false => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: By the type invariant the range is one mapping of ours. No reference to its bytes
        // exists, as `self` is mutably borrowed, and the new protection is recorded in
        // `is_read_only`, which `bytes_mut()` checks.
        if unsafe { libc::mprotect(self.start.as_ptr().cast(), AREA, prot) } < 0 {
            return Err(io::Error::last_os_error()).context("mprotect");
        }
        self.is_read_only = is_read_only;
        Ok(())
    }

    fn clean(&mut self) {
        let dirty = self.dirty.clone();
        self.bytes_mut()[dirty].fill(CANARY);
        self.dirty = 0..0;
    }

    /// Places `content` at `place`, in a buffer of `len` bytes.
    fn put(&mut self, place: Place, content: &[u8], len: usize) -> Result<Spot> {
        self.protect(false)?;
        self.clean();
        let at = match place {
            Place::Good | Place::ReadOnly => MARGIN,
            Place::Ends(left) => AREA - (left as usize).min(AREA),
            Place::Null => return Ok(Spot::nowhere(0)),
            Place::Kernel => return Ok(Spot::nowhere(KERNEL)),
        };
        let room = AREA - at;
        let fits = content.len().min(room);
        self.bytes_mut()[at..at + fits].copy_from_slice(&content[..fits]);
        let end = content.len().max(len.min(WINDOW)) + at + MARGIN;
        self.dirty = at.saturating_sub(MARGIN)..end.min(AREA);
        self.protect(place == Place::ReadOnly)?;
        Ok(Spot {
            address: self.start.as_ptr() as u64 + at as u64,
            at: Some(at),
            readable: room,
            writable: if place == Place::ReadOnly { 0 } else { room },
        })
    }

    fn has(&self, address: u64) -> bool {
        let start = self.start.as_ptr() as u64;
        (start..start + (AREA + GUARD) as u64).contains(&address)
    }
}

impl Spot {
    fn nowhere(address: u64) -> Self {
        Spot {
            address,
            at: None,
            readable: 0,
            writable: 0,
        }
    }
}

/// The buffers of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The structure.
    Argument,
    /// The request.
    Input,
    /// The buffer for the reply or the device data.
    Output,
}

/// All buffers of calls.
pub struct Memory {
    areas: [Area; 3],
}

impl Memory {
    /// Maps the buffers.
    pub fn new() -> Result<Self> {
        Ok(Memory {
            areas: [Area::new()?, Area::new()?, Area::new()?],
        })
    }

    /// Places `content` at `place`, in a buffer of `len` bytes. All other bytes are canaries.
    pub fn put(&mut self, role: Role, place: Place, content: &[u8], len: usize) -> Result<Spot> {
        self.areas[role as usize].put(place, content, len)
    }

    /// Records that the kernel may have written `len` bytes at a spot.
    pub fn wrote(&mut self, role: Role, spot: Spot, len: usize) {
        let Some(at) = spot.at else { return };
        let dirty = &mut self.areas[role as usize].dirty;
        dirty.end = dirty.end.max(at.saturating_add(len).min(AREA));
    }

    /// Returns the first `len` bytes at a spot, or as many as are mapped.
    pub fn at(&self, role: Role, spot: Spot, len: usize) -> &[u8] {
        let Some(at) = spot.at else { return &[] };
        let bytes = &self.areas[role as usize].bytes()[at..];
        &bytes[..len.min(bytes.len())]
    }

    /// Returns the offset of a byte that was written before or after the first `len` bytes at a
    /// spot.
    pub fn written_around(&self, role: Role, spot: Spot, len: usize) -> Option<isize> {
        let area = &self.areas[role as usize];
        let at = spot.at.unwrap_or(0);
        let (start, end) = (area.dirty.start, area.dirty.end);
        let behind = at.saturating_add(len).min(end);
        [start..at.clamp(start, end), behind.max(start)..end]
            .into_iter()
            .find_map(|range| Some(range.start + first_written(&area.bytes()[range])?))
            .map(|index| index as isize - at as isize)
    }

    /// Makes a call with a structure that was placed in memory. Fails with its errno.
    pub fn call(
        &mut self,
        node: &Node,
        carrier: &mut Option<Ring>,
        number: u32,
        argument: Spot,
    ) -> std::result::Result<(), i32> {
        assert!((number >> 8) & 0xff == FWCTL_TYPE, "{number:#x}");
        let is_known = |address: u64| {
            address == 0 || address >> 63 == 1 || self.areas.iter().any(|area| area.has(address))
        };
        assert!(is_known(argument.address));
        let addresses: &[usize] = match number {
            FWCTL_INFO => &[16],
            FWCTL_RPC => &[16, 24],
            _ => &[],
        };
        let words = self.at(Role::Argument, argument, 32);
        for at in addresses {
            if let Some(word) = words.get(*at..at + 8) {
                let address = u64::from_ne_bytes(word.try_into().expect("8 bytes"));
                assert!(is_known(address), "{address:#x} is not in an area");
            }
        }
        // SAFETY: `node` is a fwctl device, whose ioctls and commands access only the structure and
        // the memory at the addresses in it. As checked above, each of these addresses is unmapped
        // or in an area, so an access ends at the guard at the latest, and all areas are mutably
        // borrowed by `self`. If only part of a structure is mapped, the addresses in it are not
        // checked, but the kernel cannot read it either and fails.
        let result = unsafe {
            match carrier {
                Some(ring) => ring.call(node, number, argument.address),
                None => match libc::ioctl(node.0.as_raw_fd(), number as _, argument.address) {
                    0.. => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                },
            }
        };
        result.map_err(|error| error.raw_os_error().unwrap_or(0))
    }
}

/// An io_uring that carries one call at a time.
pub struct Ring {
    ring: IoUring,
    flags: Flags,
}

impl Ring {
    /// Creates the ring of a carrier, unless it has none.
    pub fn of(carrier: Carrier) -> Result<Option<Self>> {
        let flags = match carrier {
            Carrier::Ioctl => return Ok(None),
            Carrier::Ring => Flags::empty(),
            Carrier::Worker => Flags::ASYNC,
        };
        let ring = IoUring::new(1).context("io_uring_setup")?;
        Ok(Some(Ring { ring, flags }))
    }

    /// Makes a call, and waits for its end.
    ///
    /// # Safety
    ///
    /// The memory at the address, and at those in it, must be valid for what the call does.
    unsafe fn call(&mut self, node: &Node, number: u32, address: u64) -> io::Result<()> {
        const { assert!(size_of::<Entry>() == 64) };
        /// Offset of `addr` in `struct io_uring_sqe`.
        const ADDR: usize = 16;

        let fd = types::Fd(node.0.as_raw_fd());
        let mut entry = opcode::UringCmd16::new(fd, number)
            .build()
            .flags(self.flags);
        // SAFETY: The crate copies an `Entry` into the ring as it is, so it is a struct
        // io_uring_sqe, whose bytes 16 to 23 are `addr`. All values are valid.
        unsafe {
            (&raw mut entry)
                .cast::<u8>()
                .add(ADDR)
                .cast::<[u8; 8]>()
                .write(address.to_ne_bytes());
        }
        // SAFETY: The caller promises that the memory is valid. The call has ended when this
        // returns, unless it panics, which ends the process.
        unsafe { self.ring.submission().push(&entry) }.expect("the queue is empty");
        let ended = loop {
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("io_uring_enter: {error}"),
                Ok(_) => {}
            }
            if let Some(ended) = self.ring.completion().next() {
                break ended;
            }
        };
        match ended.result() {
            0.. => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }
}

/// Returns the index of the first byte that is not a canary.
fn first_written(bytes: &[u8]) -> Option<usize> {
    let chunks = bytes.chunks(CANARIES.len()).enumerate();
    let mut written = chunks.filter(|(_, chunk)| *chunk != &CANARIES[..chunk.len()]);
    let (n, chunk) = written.next()?;
    let within = chunk.iter().position(|&byte| byte != CANARY)?;
    Some(n * CANARIES.len() + within)
}

/// An open file of a fwctl device.
pub struct Node(File);

impl Node {
    /// Opens a device. Fails for other files.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> Result<Self> {
            let file = File::options().read(true).write(true).open(path)?;
            let number = file.metadata()?.rdev();
            // SAFETY: These functions only decode the number.
            let (major, minor) = unsafe { (libc::major(number), libc::minor(number)) };
            let link = format!("/sys/dev/char/{major}:{minor}/subsystem");
            let class = fs::read_link(link).context("not a device")?;
            ensure!(class.ends_with("class/fwctl"), "not a fwctl device");
            Ok(Node(file))
        };
        open().with_context(|| path.display().to_string())
    }
}

/// Raises all permitted capabilities of this thread, or drops all effective ones.
pub fn set_privileged(is_privileged: bool) -> Result<()> {
    // `_LINUX_CAPABILITY_VERSION_3`, and pid 0: this thread.
    let mut head = [0x2008_0522u32, 0];
    // Effective, permitted and inheritable; low and high words.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: `head` and `sets` are valid for writes and have the layout and length of version 3.
    if unsafe { libc::syscall(libc::SYS_capget, head.as_mut_ptr(), sets.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error()).context("capget");
    }
    for [effective, permitted, _] in &mut sets {
        *effective = if is_privileged { *permitted } else { 0 };
    }
    // SAFETY: `head` and `sets` have the layout and length of version 3. The call changes only the
    // capabilities of this thread.
    if unsafe { libc::syscall(libc::SYS_capset, head.as_mut_ptr(), sets.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error()).context("capset");
    }
    Ok(())
}

/// KCOV: records the code of the kernel that this thread executes.
///
/// # Invariants
///
/// `words` is the start of a mapping of [`Kcov::WORDS`] words that is never unmapped. The kernel
/// writes to it: a count, and as many addresses.
pub struct Kcov {
    file: File,
    words: NonNull<AtomicU64>,
}

impl Kcov {
    /// Longer traces are truncated.
    const WORDS: usize = 128 << 10;

    /// `_IOR('c', 1, unsigned long)`.
    const INIT_TRACE: u64 = 0x8008_6301;
    /// `_IO('c', 100)`.
    const ENABLE: u64 = 0x6364;
    /// `_IO('c', 101)`.
    const DISABLE: u64 = 0x6365;
    const TRACE_PC: u64 = 0;

    /// Opens KCOV. Returns [`None`] if the kernel does not have it.
    pub fn new() -> Result<Option<Self>> {
        let path = "/sys/kernel/debug/kcov";
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(path),
        };
        kcov_ioctl(&file, Self::INIT_TRACE, Self::WORDS as u64).context("KCOV_INIT_TRACE")?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let len = Self::WORDS * size_of::<u64>();
        // SAFETY: A null address hint without `MAP_FIXED` replaces no existing mapping.
        // `KCOV_INIT_TRACE` has set the size of the file to `len`.
        let words = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                prot,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if words == libc::MAP_FAILED {
            bail!("cannot map {path}: {}", io::Error::last_os_error());
        }
        let words = NonNull::new(words.cast()).context("a mapping at address 0")?;
        // INVARIANT: `mmap()` has just returned the mapping, of this length.
        Ok(Some(Kcov { file, words }))
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < Self::WORDS);
        // SAFETY: By the type invariant and the check above the word is mapped. The mapping is page
        // aligned, so the word is aligned, and this process accesses it only atomically.
        unsafe { self.words.add(index).as_ref() }
    }

    /// Starts to trace this thread.
    pub fn start(&mut self) -> Result<()> {
        self.word(0).store(0, Ordering::Relaxed);
        kcov_ioctl(&self.file, Self::ENABLE, Self::TRACE_PC).context("KCOV_ENABLE")
    }

    /// Stops the trace and returns its addresses, in order.
    pub fn stop(&mut self) -> Result<impl Iterator<Item = u64> + '_> {
        kcov_ioctl(&self.file, Self::DISABLE, 0).context("KCOV_DISABLE")?;
        let count = self.word(0).load(Ordering::Relaxed) as usize;
        Ok((1..=count.min(Self::WORDS - 1)).map(|index| self.word(index).load(Ordering::Relaxed)))
    }
}

fn kcov_ioctl(file: &File, number: u64, argument: u64) -> io::Result<()> {
    // SAFETY: The argument of the KCOV ioctls is a number, not an address.
    if unsafe { libc::ioctl(file.as_raw_fd(), number as _, argument) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_detected() {
        let mut memory = Memory::new().unwrap();
        for (place, len) in [
            (Place::Good, 10_000),
            (Place::Ends(20), 20),
            (Place::Ends(20), 8),
        ] {
            let spot = memory.put(Role::Output, place, &[], len).unwrap();
            assert_eq!(memory.written_around(Role::Output, spot, len), None);
            let at = spot.at.unwrap();
            for offset in [-1, 0, 7, len as isize - 1, len as isize] {
                let index = at.wrapping_add_signed(offset);
                if index == AREA {
                    continue;
                }
                memory.areas[Role::Output as usize].bytes_mut()[index] = 0;
                let is_inside = (0..len as isize).contains(&offset);
                let seen = memory.written_around(Role::Output, spot, len);
                assert_eq!(seen, (!is_inside).then_some(offset), "{place:?} {len}");
                memory.areas[Role::Output as usize].bytes_mut()[index] = CANARY;
            }
        }
    }

    #[test]
    fn places_have_the_right_access() {
        let mut memory = Memory::new().unwrap();
        let mut put = |place| memory.put(Role::Input, place, b"abcd", 0).unwrap();
        let (good, short) = (put(Place::Good), put(Place::Ends(3)));
        assert!(good.readable > (2 << 20) && good.writable == good.readable);
        assert_eq!((short.readable, short.writable), (3, 3));
        assert_eq!(put(Place::Null).readable + put(Place::Kernel).readable, 0);
        assert_eq!(put(Place::ReadOnly).writable, 0);
        let spot = put(Place::Ends(3));
        assert_eq!(memory.at(Role::Input, spot, 9), b"abc");
    }
}
