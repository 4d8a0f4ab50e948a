// SPDX-License-Identifier: GPL-2.0-only

//! Buffers of the caller that a request refers to by address.
//!
//! The messages of some devices contain addresses of the caller's memory. A driver never accesses
//! it: it [names](crate::Operations::name_buffers) the buffers, and the core copies their content
//! in before it calls the driver, and out afterwards. So user memory is touched outside of the
//! call, as `registration.rs` requires, and by the task whose memory it is.

use kernel::{
    alloc::{
        flags::GFP_KERNEL_ACCOUNT,
        kvbytes::KVBytes, //
    },
    prelude::*,
    uaccess::copy, //
};

use crate::exchange::MAX_RPC_LEN;

/// The most buffers that a request can name.
const MAX_BUFFERS: usize = 4;

/// What the driver does with a buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It reads what the caller wrote.
    Input,
    /// It writes what the caller will read.
    Output,
}

/// The address and the length of a buffer.
#[derive(Clone, Copy)]
struct Name {
    address: u64,
    len: usize,
    usage: Use,
}

/// The buffers that a request names, numbered from 0 in the order in which they are added.
pub struct BufferNames {
    names: [Name; MAX_BUFFERS],
    count: usize,
}

impl BufferNames {
    /// Returns an empty list.
    pub(crate) const fn new() -> Self {
        const NONE: Name = Name {
            address: 0,
            len: 0,
            usage: Use::Input,
        };

        Self {
            names: [NONE; MAX_BUFFERS],
            count: 0,
        }
    }

    /// Adds a buffer that the driver reads.
    ///
    /// `address` is as the caller wrote it; it need not be checked. If `len` is 0, the address is
    /// ignored. Fails with [`EMSGSIZE`] if `len` exceeds [`MAX_RPC_LEN`], and with [`E2BIG`] if
    /// there are four buffers already.
    pub fn input(&mut self, address: u64, len: usize) -> Result {
        self.add(address, len, Use::Input)
    }

    /// Adds a buffer that the driver writes. Fails as [`BufferNames::input`].
    ///
    /// If the RPC succeeds, all of the buffer is written to the caller's memory: what the driver
    /// did not write is zero. If it fails, nothing is.
    pub fn output(&mut self, address: u64, len: usize) -> Result {
        self.add(address, len, Use::Output)
    }

    fn add(&mut self, address: u64, len: usize, usage: Use) -> Result {
        if len > MAX_RPC_LEN {
            return Err(EMSGSIZE);
        }

        *self.names.get_mut(self.count).ok_or(E2BIG)? = Name {
            address,
            len,
            usage,
        };
        self.count += 1;
        Ok(())
    }
}

/// The content of a buffer, in memory of the kernel.
struct Buffer {
    bytes: KVBytes,
    /// Where to copy it to when the RPC has succeeded.
    output: Option<UserPtr>,
}

/// The content of the buffers that a request named, for the driver to read and write.
///
/// The memory is charged to the caller's memory cgroup. It may be from `vmalloc()`, so it must not
/// be mapped for DMA.
pub struct CallerMemory(
    /// [`None`] if there are no buffers, which costs less to drop than a vector.
    Option<KVec<Buffer>>,
);

impl CallerMemory {
    /// Returns the content of no buffers, which needs no memory.
    #[inline]
    pub(crate) const fn empty() -> Self {
        Self(None)
    }

    /// Copies the buffers that the driver reads from user space, and allocates zeros for the
    /// others.
    ///
    /// Fails with [`EFAULT`] if not all of a buffer can be read, and with [`ENOMEM`]. May sleep:
    /// the caller decides how long its page faults take.
    pub(crate) fn read(names: &BufferNames) -> Result<Self> {
        let names = names.names.get(..names.count).unwrap_or_default();
        let mut buffers = KVec::with_capacity(names.len(), GFP_KERNEL_ACCOUNT)?;

        for name in names {
            let address = match name.len {
                0 => 0,
                _ => usize::try_from(name.address).map_err(|_| EFAULT)?,
            };
            let at = UserPtr::from_addr(address);
            let buffer = match name.usage {
                Use::Input => Buffer {
                    bytes: KVBytes::from_user(at, name.len)?,
                    output: None,
                },
                Use::Output => Buffer {
                    bytes: KVBytes::zeroed(name.len)?,
                    output: Some(at),
                },
            };
            buffers.push(buffer, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(Some(buffers)))
    }

    fn buffers(&self) -> &[Buffer] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Copies the buffers that the driver has written to user space.
    ///
    /// Fails with [`EFAULT`], and may have written a part of them then. May sleep: the caller
    /// decides how long its page faults take.
    pub(crate) fn write(&self) -> Result {
        for buffer in self.buffers() {
            if let Some(to) = buffer.output.filter(|_| !buffer.bytes.is_empty()) {
                copy::write_bytes(to, &buffer.bytes)?;
            }
        }
        Ok(())
    }

    /// Returns the content of buffer `index`, of the length that the driver named.
    ///
    /// Fails with [`EINVAL`] if the request named fewer buffers.
    pub fn bytes(&self, index: usize) -> Result<&[u8]> {
        Ok(&self.buffers().get(index).ok_or(EINVAL)?.bytes)
    }

    /// Returns the content of buffer `index`, to change it.
    ///
    /// Fails with [`EINVAL`] if the request named fewer buffers. Changes of a buffer that was named
    /// as an input do not reach the caller.
    pub fn bytes_mut(&mut self, index: usize) -> Result<&mut [u8]> {
        let buffers = self.0.as_deref_mut().unwrap_or_default();

        Ok(&mut buffers.get_mut(index).ok_or(EINVAL)?.bytes)
    }
}

#[kunit_tests(rust_fwctl_buffers)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_bounded() -> Result {
        let mut names = BufferNames::new();

        assert_eq!(names.input(0, MAX_RPC_LEN + 1), Err(EMSGSIZE));
        assert_eq!(names.output(0, usize::MAX), Err(EMSGSIZE));
        assert_eq!(names.count, 0);
        for _ in 0..MAX_BUFFERS {
            names.output(0, MAX_RPC_LEN)?;
        }
        assert_eq!(names.output(0, 0), Err(E2BIG));
        assert_eq!(names.count, MAX_BUFFERS);
        Ok(())
    }

    #[test]
    fn empty_buffers_need_no_address() -> Result {
        let mut names = BufferNames::new();

        names.input(u64::MAX, 0)?;
        names.output(u64::MAX, 0)?;
        let memory = CallerMemory::read(&names)?;
        assert!(memory.bytes(0)?.is_empty());
        assert!(memory.bytes(1)?.is_empty());
        assert_eq!(memory.bytes(2).err(), Some(EINVAL));
        memory.write()
    }

    #[test]
    fn outputs_are_zero_at_first() -> Result {
        let mut names = BufferNames::new();

        names.output(u64::MAX, 4096)?;
        let mut memory = CallerMemory::read(&names)?;
        assert_eq!(memory.bytes_mut(0)?.len(), 4096);
        assert!(memory.bytes(0)?.iter().all(|&byte| byte == 0));
        memory.bytes_mut(0)?[4095] = 1;
        assert_eq!(memory.bytes(0)?[4095], 1);
        Ok(())
    }

    #[test]
    fn addresses_outside_of_user_space_are_refused() -> Result {
        let mut input = BufferNames::new();
        let mut output = BufferNames::new();

        input.input(u64::MAX - 7, 8)?;
        assert_eq!(CallerMemory::read(&input).err(), Some(EFAULT));
        output.output(u64::MAX - 7, 8)?;
        assert_eq!(CallerMemory::read(&output)?.write(), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn no_buffers() {
        assert!(CallerMemory::empty().bytes(0).is_err());
        assert!(CallerMemory::empty().write().is_ok());
    }
}
