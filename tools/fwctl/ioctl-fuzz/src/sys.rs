// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the fuzzer asks of the system, and all of its unsafe code: memory for calls, the calls, capabilities, KCOV.

use crate::case::Place;
use anyhow::{bail, ensure, Context, Result};
use fwctl_uapi::{FWCTL_INFO, FWCTL_RPC, FWCTL_TYPE};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// What memory has that nobody has written.
pub const CANARY: u8 = 0xee;

/// Bytes of one area: the longest buffer that the kernel takes, and what lies around it.
pub const AREA: usize = (2 << 20) + (64 << 10);

/// So far around a buffer everything is looked at.
const MARGIN: usize = 512;

/// Of a longer buffer, only so much of what a call did not need is looked at: the rest would take most of the time.
const WINDOW: usize = 64 << 10;

/// Some of them, to compare with.
const CANARIES: &[u8] = &[CANARY; 4096];

/// Behind an area, what nobody may touch.
const GUARD: usize = 4096;

/// An address in the kernel's half.
const KERNEL: u64 = 0xffff_8880_0000_1000;

/// Where an address of a call points, and what is there.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// The address.
    pub address: u64,
    /// Its place in the area, if there is one.
    at: Option<usize>,
    /// So many bytes from there on can be read.
    pub readable: usize,
    /// So many can be written.
    pub writable: usize,
}

/// A stretch of memory that nothing is mapped behind.
///
/// # Invariants
///
/// `start` is that of a private mapping of [`AREA`] bytes that is never unmapped, with [`GUARD`] bytes behind it that cannot be
/// accessed. It is written by `self`, and by the kernel in [`Memory::ioctl`].
struct Area {
    start: NonNull<u8>,
    /// What may differ from [`CANARY`].
    dirty: Range<usize>,
    is_read_only: bool,
}

impl Area {
    fn new() -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: A new mapping disturbs nobody.
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
            return Err(io::Error::last_os_error()).context("no memory");
        }
        let start = NonNull::new(start.cast()).context("a mapping at address 0")?;
        // INVARIANT: It is as long as that, and what is behind `AREA` stays without access.
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
        // SAFETY: By the type invariant. Nobody writes as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), AREA) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(!self.is_read_only);
        // SAFETY: By the type invariant, and it can be written. Nobody else does as long as `self` is borrowed.
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
        // SAFETY: By the type invariant; `bytes_mut()` heeds it.
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

    /// Lays out `content` at `place`, where a call has room for `len` bytes.
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

/// Which memory of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The structure.
    Argument,
    /// The request.
    Input,
    /// The room for the reply, or for the device's data.
    Output,
}

/// All memory that calls are told of.
pub struct Memory {
    areas: [Area; 3],
}

impl Memory {
    /// Maps it.
    pub fn new() -> Result<Self> {
        Ok(Memory {
            areas: [Area::new()?, Area::new()?, Area::new()?],
        })
    }

    /// Lays out `content` at `place`, where a call has room for `len` bytes; all else are canaries.
    pub fn put(&mut self, role: Role, place: Place, content: &[u8], len: usize) -> Result<Spot> {
        self.areas[role as usize].put(place, content, len)
    }

    /// Takes note that the kernel has written up to `len` bytes at a spot.
    pub fn wrote(&mut self, role: Role, spot: Spot, len: usize) {
        let Some(at) = spot.at else { return };
        let dirty = &mut self.areas[role as usize].dirty;
        dirty.end = dirty.end.max(at.saturating_add(len).min(AREA));
    }

    /// The first `len` bytes at a spot, as far as they are there.
    pub fn at(&self, role: Role, spot: Spot, len: usize) -> &[u8] {
        let Some(at) = spot.at else { return &[] };
        let bytes = &self.areas[role as usize].bytes()[at..];
        &bytes[..len.min(bytes.len())]
    }

    /// Around the first `len` bytes at a spot, how far from it something was written.
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

    /// Makes an ioctl with a structure that was laid out; fails with its errno.
    pub fn ioctl(
        &mut self,
        node: &Node,
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
                let address = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
                assert!(is_known(address), "{address:#x} is not ours");
            }
        }
        // SAFETY: It is a node of fwctl, whose ioctls access the structure, and what the addresses in it point to. Each of them, as
        // was checked above, leads nowhere or into an area, where it ends at the guard at the latest; and `self` is borrowed
        // mutably. If the structure lies at the end of an area in part, the kernel cannot read it and fails.
        if unsafe { libc::ioctl(node.0.as_raw_fd(), number as _, argument.address) } < 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
        }
        Ok(())
    }
}

/// The index of the first byte that is no canary.
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
    /// Opens it; fails for other files.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> Result<Self> {
            let file = File::options().read(true).write(true).open(path)?;
            let number = file.metadata()?.rdev();
            // SAFETY: They only take the number apart.
            let (major, minor) = unsafe { (libc::major(number), libc::minor(number)) };
            let link = format!("/sys/dev/char/{major}:{minor}/subsystem");
            let class = fs::read_link(link).context("it is no device")?;
            ensure!(class.ends_with("class/fwctl"), "it is no device of fwctl");
            Ok(Node(file))
        };
        open().with_context(|| path.display().to_string())
    }
}

/// Gives this thread all the capabilities that it may have, or takes all of them.
pub fn set_privileged(is_privileged: bool) -> Result<()> {
    // `_LINUX_CAPABILITY_VERSION_3`, and this thread.
    let mut head = [0x2008_0522u32, 0];
    // Effective, permitted and inheritable; the low half, and the high one.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: Head and sets have the layout of this version.
    if unsafe { libc::syscall(libc::SYS_capget, head.as_mut_ptr(), sets.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error()).context("capget");
    }
    for [effective, permitted, _] in &mut sets {
        *effective = if is_privileged { *permitted } else { 0 };
    }
    // SAFETY: The same; and it only concerns what the kernel lets this thread do.
    if unsafe { libc::syscall(libc::SYS_capset, head.as_mut_ptr(), sets.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error()).context("capset");
    }
    Ok(())
}

/// Which code of the kernel this thread runs through: KCOV.
///
/// # Invariants
///
/// `words` is that of a mapping of [`Kcov::WORDS`] words that is never unmapped, and which the kernel writes: a count, and as many
/// addresses.
pub struct Kcov {
    file: File,
    words: NonNull<AtomicU64>,
}

impl Kcov {
    /// One case that runs through more is cut.
    const WORDS: usize = 128 << 10;

    /// `_IOR('c', 1, unsigned long)`.
    const INIT_TRACE: u64 = 0x8008_6301;
    /// `_IO('c', 100)`.
    const ENABLE: u64 = 0x6364;
    /// `_IO('c', 101)`.
    const DISABLE: u64 = 0x6365;
    const TRACE_PC: u64 = 0;

    /// Opens it; [`None`] if the kernel has none.
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
        // SAFETY: A new mapping disturbs nobody; the file was told to be as long.
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
        // INVARIANT: It was mapped with that length just now.
        Ok(Some(Kcov { file, words }))
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < Self::WORDS);
        // SAFETY: By the type invariant the word is there; it is aligned, and only ever accessed atomically.
        unsafe { self.words.add(index).as_ref() }
    }

    /// From here on the calls of this thread are traced.
    pub fn start(&mut self) -> Result<()> {
        self.word(0).store(0, Ordering::Relaxed);
        kcov_ioctl(&self.file, Self::ENABLE, Self::TRACE_PC).context("KCOV_ENABLE")
    }

    /// Ends that; returns where the kernel was, in order.
    pub fn stop(&mut self) -> Result<impl Iterator<Item = u64> + '_> {
        kcov_ioctl(&self.file, Self::DISABLE, 0).context("KCOV_DISABLE")?;
        let count = self.word(0).load(Ordering::Relaxed) as usize;
        Ok((1..=count.min(Self::WORDS - 1)).map(|index| self.word(index).load(Ordering::Relaxed)))
    }
}

fn kcov_ioctl(file: &File, number: u64, argument: u64) -> io::Result<()> {
    // SAFETY: KCOV's ioctls take a number, no address.
    if unsafe { libc::ioctl(file.as_raw_fd(), number as _, argument) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_seen() {
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
    fn places_are_what_they_say() {
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
