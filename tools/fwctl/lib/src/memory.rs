// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is registered with a device.

use crate::pages::Pages;
use crate::{Device, Error, Operation, Result};
use fwctl_uapi::umem_flags;
use std::io;
use std::ops::BitOr;
use std::sync::{mpsc, Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::Instant;

/// What memory is registered for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse(u64);

impl MemoryUse {
    /// Requests name it by a memory key.
    pub const KEY: MemoryUse = MemoryUse(umem_flags::MKEY);
    /// Requests name its pages, by number.
    pub const PAGES: MemoryUse = MemoryUse(umem_flags::MCDD);

    /// The flags of the kernel.
    pub fn flags(self) -> u64 {
        self.0
    }
}

impl BitOr for MemoryUse {
    type Output = MemoryUse;

    fn bitor(self, other: MemoryUse) -> MemoryUse {
        MemoryUse(self.0 | other.0)
    }
}

/// The numbers of registered memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryIds {
    /// By which requests name it.
    pub umem: u32,
    /// Memory key by which requests name it, or 0.
    pub key: u32,
    /// By which it is released.
    pub resource: u32,
}

/// Memory that this process shares with the firmware of a device, until it is dropped.
///
/// The kernel has allocated it for the device; or, where the kernel does not do that, it is memory of
/// the process that the kernel has pinned.
///
/// It belongs to the open file of the device, and only requests of this file can name it. The file
/// stays open while this exists.
///
/// A child of fork(2) has the file, but not the memory: there, nothing can be read or written, and
/// neither [`Memory::release`] nor a drop does anything.
#[derive(Debug)]
pub struct Memory {
    device: Device,
    pages: Arc<Pages>,
    ids: MemoryIds,
    /// Whether the kernel has released it. Another registration may have its number then, so it must
    /// not be released again.
    is_released: Arc<Mutex<bool>>,
    /// ConnectX: the first address of the key, once the firmware was asked for it.
    pub(crate) key_start: OnceLock<u64>,
}

impl Device {
    /// Registers new memory of `len` bytes, rounded up to whole pages, whose bytes are 0.
    ///
    /// It is memory of the kernel, which counts for the memory cgroup. On kernels without
    /// FWCTL_RSC_UMEM_ALLOC, it is memory of this process, which counts against `RLIMIT_MEMLOCK`, too.
    /// With a [deadline](Device::with_deadline), it is not waited for longer than that; if it is
    /// registered afterwards, it is released again.
    ///
    /// # Errors
    ///
    /// [`Error::Call`]: `ENOTTY` if the kernel, or the driver of the device, cannot register
    /// memory, as in Linux 7.3; `EOPNOTSUPP` if not for this use, or not for this device; `EINVAL` if
    /// it is too much at once; `ENOMEM` and `ENOSPC` if it exceeds a limit. [`Error::TimedOut`].
    pub fn register_memory(&self, len: usize, use_: MemoryUse) -> Result<Memory> {
        let failed = |(operation, source)| Error::Call {
            device: self.name().into(),
            operation,
            source,
        };
        let device = self.clone();
        let register = move || {
            let (pages, ids) = device.shared_pages(len, use_)?;
            Ok(Memory {
                device,
                pages,
                ids,
                is_released: Arc::default(),
                key_start: OnceLock::new(),
            })
        };
        let Some(deadline) = self.deadline() else {
            return register().map_err(failed);
        };
        // What comes too late is dropped by the thread, as nobody takes it.
        match within(deadline, register) {
            Some(registered) => registered.map_err(failed),
            None => Err(Error::TimedOut {
                device: self.name().into(),
                operation: Operation::RegisterMemory { len },
                was_sent: true,
            }),
        }
    }
}

impl Device {
    /// Allocates memory of the kernel, or registers memory of this process.
    fn shared_pages(
        &self,
        len: usize,
        use_: MemoryUse,
    ) -> std::result::Result<(Arc<Pages>, MemoryIds), (Operation, io::Error)> {
        match self.transport().allocate_memory(len, use_) {
            // A file that was opened read-only cannot be mapped writable.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EACCES)) => {}
            allocated => {
                return allocated.map_err(|error| (Operation::AllocateMemory { len }, error));
            }
        }
        let register = || {
            let pages = Arc::new(Pages::new(len)?);
            let ids = self.transport().register_memory(&pages, use_)?;
            Ok((pages, ids))
        };
        register().map_err(|error| (Operation::RegisterMemory { len }, error))
    }
}

impl Memory {
    /// The device that it is registered with.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of bytes: whole pages.
    // There is no memory without bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Its numbers.
    pub fn ids(&self) -> MemoryIds {
        self.ids
    }

    /// Its address in this process, at which the firmware may know it, too.
    pub fn address(&self) -> u64 {
        self.pages.address()
    }

    /// Copies bytes out. Returns whether there are as many from `offset` on; if not, nothing is
    /// copied. If the device writes at the same time, some of them are old and some new.
    #[must_use]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        self.pages.read(offset, to)
    }

    /// Copies bytes in, before the next request is sent. Returns whether they fit; if not, nothing
    /// is copied.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> bool {
        self.pages.write(offset, from)
    }

    /// Ends the firmware's access to the memory, and waits for that until the deadline at most. The
    /// bytes stay, and can be read. Does nothing if it has been released.
    ///
    /// Dropping the memory releases it as well, but has no way to tell of an error.
    ///
    /// # Errors
    ///
    /// [`Error::Call`]: with `EBUSY` a request is using the memory, which stays registered. With any
    /// other errno it is released. `EIO`: the firmware did not confirm it, and may still write; the
    /// kernel keeps the pages from everybody else. `ENODEV`: the device was removed.
    /// [`Error::TimedOut`]: the release goes on.
    pub fn release(&self, deadline: Option<Instant>) -> Result<()> {
        let operation = Operation::ReleaseMemory {
            resource: self.ids.resource,
        };
        let device = || self.device.name().to_owned();
        let released = match deadline {
            None => Some(self.releaser()()),
            Some(deadline) => within(deadline, self.releaser()),
        };
        match released {
            Some(result) => result.map_err(|source| Error::Call {
                device: device(),
                operation,
                source,
            }),
            None => Err(Error::TimedOut {
                device: device(),
                operation,
                was_sent: true,
            }),
        }
    }

    /// Returns the memory without the deadline of its device, so a drop waits for its release.
    #[must_use]
    pub fn without_deadline(mut self) -> Memory {
        self.device = self.device.without_deadline();
        self
    }

    /// Returns whether it has been released. Does not wait for a release that goes on.
    pub fn is_released(&self) -> bool {
        match self.is_released.try_lock() {
            Ok(is_released) => *is_released,
            Err(TryLockError::Poisoned(error)) => *error.into_inner(),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// What releases the memory, in any thread. It keeps the pages until then.
    fn releaser(&self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let transport = self.device.transport().clone();
        let (pages, resource) = (self.pages.clone(), self.ids.resource);
        let is_released = self.is_released.clone();
        move || {
            if !pages.are_here() {
                return Ok(());
            }
            let mut is_released = is_released.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_released {
                return Ok(());
            }
            let result = transport.release_memory(resource);
            let is_busy = |error: &io::Error| error.raw_os_error() == Some(libc::EBUSY);
            *is_released = !result.as_ref().is_err_and(is_busy);
            drop(pages);
            result
        }
    }
}

impl Drop for Memory {
    /// Releases the memory: when this returns, the firmware does not write to it any more, or the
    /// kernel keeps its pages from everybody else. With a deadline, it is not waited for that, nor
    /// for a release that has taken too long.
    fn drop(&mut self) {
        if !self.pages.are_here() {
            return;
        }
        // Nothing else has this value, so it is a release that took too long, which keeps the pages.
        let is_in_flight = matches!(self.is_released.try_lock(), Err(TryLockError::WouldBlock));
        if !is_in_flight {
            // If it fails, the kernel releases the memory when the file is closed.
            let _ = self.release(self.device.deadline());
        }
    }
}

/// Does something in a thread, and returns what it returned, unless it takes longer.
fn within<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let started = thread::Builder::new().spawn(move || {
        // If nobody waits any more, the result is dropped here.
        let _ = sender.send(work());
    });
    started.ok()?;
    let time = deadline.saturating_duration_since(Instant::now());
    receiver.recv_timeout(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceType, InfoReply, Scope, Transport};
    use std::time::Duration;

    /// A device that remembers what is registered.
    #[derive(Default)]
    struct Card {
        pages: Mutex<Vec<Arc<Pages>>>,
        released: Mutex<Vec<u32>>,
        delay: Duration,
    }

    impl Transport for Arc<Card> {
        fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
            Ok(InfoReply {
                device_type: DeviceType::Mlx5.number(),
                data_len: 0,
            })
        }

        fn rpc(&self, _: Scope, _: &[u8], _: &mut [u8]) -> io::Result<u32> {
            Err(io::Error::from_raw_os_error(libc::EIO))
        }

        fn register_memory(&self, pages: &Arc<Pages>, use_: MemoryUse) -> io::Result<MemoryIds> {
            assert_eq!(use_.flags(), 3);
            thread::sleep(self.delay);
            self.pages.lock().unwrap().push(pages.clone());
            Ok(MemoryIds {
                umem: 5,
                key: 0x142,
                resource: 9,
            })
        }

        fn release_memory(&self, resource: u32) -> io::Result<()> {
            thread::sleep(self.delay);
            self.released.lock().unwrap().push(resource);
            Ok(())
        }
    }

    const BOTH: MemoryUse = MemoryUse(3);

    #[test]
    fn life_of_memory() {
        let card = Arc::new(Card::default());
        let device = Device::with_transport("fwctl0", card.clone());
        let memory = device.register_memory(5000, BOTH).unwrap();
        drop(device);
        assert_eq!(memory.len() % Pages::page_size(), 0);
        assert_eq!((memory.ids().umem, memory.ids().key), (5, 0x142));
        assert!(card.pages.lock().unwrap()[0].write(4999, &[7]));
        let mut byte = [0];
        assert!(memory.read(4999, &mut byte) && byte == [7]);
        assert!(memory.write(0, &[1]) && !memory.write(memory.len(), &[1]));
        drop(memory);
        assert_eq!(*card.released.lock().unwrap(), [9]);
        // Pages that a device still has stay.
        assert!(card.pages.lock().unwrap()[0].read(4999, &mut byte));
    }

    #[test]
    fn what_is_registered_too_late_is_released() {
        let card = Arc::new(Card {
            delay: Duration::from_millis(200),
            ..Card::default()
        });
        let device = Device::with_transport("fwctl0", card.clone());
        let limited = device.with_deadline(Instant::now() + Duration::from_millis(20));
        let error = limited.register_memory(1, BOTH).unwrap_err();
        assert_eq!(
            error.to_string(),
            "fwctl0: FWCTL_RSC_UMEM_REG (1 bytes): no answer by the deadline"
        );
        let patience = Instant::now() + Duration::from_secs(20);
        while card.released.lock().unwrap().is_empty() {
            assert!(Instant::now() < patience);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A recorded device, with memory and these releases.
    fn recorded(releases: &str) -> Device {
        let recording = format!("info mlx5\nmemory 5 0x142\n{releases}");
        let replay = crate::replay::Replay::parse(&recording).unwrap();
        Device::with_transport("fwctl0", replay)
    }

    #[test]
    fn a_release_tells_what_went_wrong() {
        let device = recorded("release errno 16\nrelease errno 5");
        let memory = device.register_memory(1, BOTH).unwrap();
        let busy = memory.release(None).unwrap_err();
        assert_eq!(
            busy.to_string(),
            "fwctl0: FWCTL_RSC_DESTROY (resource 1): Device or resource busy (EBUSY)"
        );
        assert!(busy.advice().unwrap().meaning.contains("request"));
        assert!(!memory.is_released());
        let kept = memory.release(None).unwrap_err();
        assert_eq!(kept.errno(), Some(libc::EIO));
        assert!(kept.advice().unwrap().meaning.contains("confirm"));
        assert!(memory.is_released() && memory.write(0, &[1]));
        // Another one has its number now, and stays registered.
        let other = device.register_memory(1, BOTH).unwrap();
        assert_eq!(other.ids().resource, memory.ids().resource);
        memory.release(None).unwrap();
        drop(memory);
        other.release(None).unwrap();
        assert!(other.is_released());
    }

    #[test]
    fn a_release_that_takes_too_long_goes_on() {
        let device = recorded("release after 200");
        let memory = device.register_memory(1, BOTH).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        let error = memory.release(Some(deadline)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "fwctl0: FWCTL_RSC_DESTROY (resource 1): no answer by the deadline"
        );
        assert!(!memory.is_released());
        // It is waited for, and not sent again.
        memory.release(None).unwrap();
        assert!(memory.is_released());

        let device = recorded("release after 60000");
        let memory = device.register_memory(1, BOTH).unwrap();
        let start = Instant::now();
        assert!(memory.release(Some(start)).is_err());
        while memory.is_released.try_lock().is_ok() {
            thread::yield_now();
        }
        drop(memory);
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_drop_waits_unless_there_is_a_deadline() {
        for (is_limited, expected) in [(true, 0), (false, 1)] {
            let card = Arc::new(Card {
                delay: Duration::from_millis(100),
                ..Card::default()
            });
            let device = Device::with_transport("fwctl0", card.clone());
            let device = device.with_deadline(Instant::now() + Duration::from_secs(1));
            let mut memory = device.register_memory(1, BOTH).unwrap();
            if !is_limited {
                memory = memory.without_deadline();
            }
            thread::sleep(Duration::from_secs(1));
            drop(memory);
            assert_eq!(card.released.lock().unwrap().len(), expected);
        }
    }

    #[test]
    fn devices_without() {
        struct Without;
        impl Transport for Without {
            fn info(&self, _: &mut [u8]) -> io::Result<InfoReply> {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            fn rpc(&self, _: Scope, _: &[u8], _: &mut [u8]) -> io::Result<u32> {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
        }
        let device = Device::with_transport("fwctl0", Without);
        let error = device.register_memory(1, MemoryUse::KEY).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOTTY));
        assert!(error.advice().unwrap().meaning.contains("memory"));
    }
}
