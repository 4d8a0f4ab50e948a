// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_INFO`: what a device is.

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*, //
};

use crate::{
    buffer::Buffer,
    uctx::Uctx,
    user, //
};

/// `struct fwctl_info` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct Command {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Must be 0.
    flags: u32,
    /// Number of the device type; written by the kernel.
    out_device_type: u32,
    /// In: size of the buffer for the device data. Out: length of the device data.
    device_data_len: u32,
    /// Address of the buffer for the device data.
    out_device_data: u64,
}

const _: () = {
    use kernel::bindings::fwctl_info as uapi;

    kernel::static_assert!(size_of::<Command>() == size_of::<uapi>());
    kernel::static_assert!(
        core::mem::offset_of!(Command, out_device_data)
            == core::mem::offset_of!(uapi, out_device_data)
    );
};

/// The device data of `FWCTL_INFO`: what a driver tells user space about the device.
///
/// The core copies them to the caller's buffer when the driver has returned, and fills the rest of
/// the buffer with zeros.
pub struct Info {
    /// The size of the caller's buffer, in bytes.
    size: usize,
    /// The length of the device data, in bytes. Those that do not fit the buffer are not kept.
    len: usize,
    data: Data,
}

/// Where the device data are.
enum Data {
    /// Here. It takes what the drivers have.
    Short([u8; Info::SHORT]),
    /// Moved, as there were too many.
    Long(KVVec<u8>),
    /// In memory of a C driver.
    Foreign(Buffer),
}

impl Info {
    const SHORT: usize = 64;

    fn new(size: usize) -> Self {
        Self {
            size,
            len: 0,
            data: Data::Short([0; Self::SHORT]),
        }
    }

    /// Appends `bytes` to the device data.
    ///
    /// Bytes that do not fit the caller's buffer only count for the length that the caller is told,
    /// so a driver always writes all it has. Fails with [`EOVERFLOW`] if the data would have 4 GiB
    /// or more, and with [`ENOMEM`]. May sleep.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        let end = self
            .len
            .checked_add(bytes.len())
            .filter(|&end| u32::try_from(end).is_ok())
            .ok_or(EOVERFLOW)?;

        let fitting = &bytes[..bytes.len().min(self.size.saturating_sub(self.len))];
        if !fitting.is_empty() {
            self.keep(fitting)?;
        }
        self.len = end;
        Ok(())
    }

    /// Keeps `bytes`, which fit the caller's buffer, behind those that are kept already.
    #[inline]
    fn keep(&mut self, bytes: &[u8]) -> Result {
        if let Data::Short(short) = &mut self.data {
            if let Some(to) = short.get_mut(self.len..self.len + bytes.len()) {
                to.copy_from_slice(bytes);
                return Ok(());
            }
        }
        self.keep_long(bytes)
    }

    #[cold]
    fn keep_long(&mut self, bytes: &[u8]) -> Result {
        let mut long = match core::mem::replace(&mut self.data, Data::Long(KVVec::new())) {
            Data::Long(long) => long,
            Data::Short(short) => copy_of(&short[..self.len])?,
            Data::Foreign(buffer) => copy_of(&buffer)?,
        };

        let kept = long.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT);
        self.data = Data::Long(long);
        Ok(kept?)
    }

    /// Makes `buffer` the device data.
    ///
    /// Fails with [`EOVERFLOW`] if it has 4 GiB or more.
    pub(crate) fn replace(&mut self, buffer: Buffer) -> Result {
        u32::try_from(buffer.len()).map_err(|_| EOVERFLOW)?;

        self.len = buffer.len();
        self.data = Data::Foreign(buffer);
        Ok(())
    }

    /// Returns the bytes that are kept: those of the device data that fit the caller's buffer.
    fn kept(&self) -> &[u8] {
        let kept = self.len.min(self.size);

        match &self.data {
            Data::Short(short) => short.get(..kept),
            Data::Long(long) => long.get(..kept),
            Data::Foreign(buffer) => buffer.get(..kept),
        }
        .unwrap_or(&[])
    }
}

fn copy_of(bytes: &[u8]) -> Result<KVVec<u8>> {
    let mut copy = KVVec::new();

    copy.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
    Ok(copy)
}

/// Executes `FWCTL_INFO` and writes the structure back to `arg`.
pub(crate) fn execute(uctx: &Uctx, arg: UserPtr, command: &mut Command) -> Result {
    if command.flags != 0 {
        return Err(EOPNOTSUPP);
    }

    let size = command.device_data_len as usize;
    let mut info = Info::new(size);
    uctx.enter()?.info(&mut info)?;

    if size > 0 {
        let to = UserPtr::from_addr(command.out_device_data as usize);
        user::write_padded(to, info.kept(), size)?;
    }
    command.out_device_type = uctx.device().driver.device_type;
    // CAST: `Info` keeps the length below 4 GiB.
    command.device_data_len = info.len as u32;
    user::write(arg, command)
}

#[kunit_tests(rust_fwctl_info)]
mod tests {
    use super::*;

    /// The bytes of the device data for a buffer of `size` bytes, and their length.
    fn written(size: usize, parts: &[&[u8]]) -> Result<(KVVec<u8>, usize)> {
        let mut info = Info::new(size);

        for part in parts {
            info.write(part)?;
        }
        Ok((copy_of(info.kept())?, info.len))
    }

    #[test]
    fn short_data_are_kept() -> Result {
        let (bytes, len) = written(16, &[b"abcd", b"efgh"])?;

        assert_eq!(&*bytes, b"abcdefgh");
        assert_eq!(len, 8);
        Ok(())
    }

    #[test]
    fn the_length_counts_what_does_not_fit() -> Result {
        let (bytes, len) = written(6, &[b"abcd", b"efgh", b"ijkl"])?;

        assert_eq!(&*bytes, b"abcdef");
        assert_eq!(len, 12);
        let (bytes, len) = written(0, &[b"abcd"])?;
        assert!(bytes.is_empty());
        assert_eq!(len, 4);
        Ok(())
    }

    #[test]
    fn long_data_move_to_memory() -> Result {
        for first in [1, Info::SHORT - 1, Info::SHORT, Info::SHORT + 1] {
            let mut info = Info::new(4096);

            for value in 0..first {
                info.write(&[value as u8])?;
            }
            info.write(&[0xff; 200])?;
            assert_eq!(info.kept().len(), first + 200);
            for (value, byte) in info.kept()[..first].iter().enumerate() {
                assert_eq!(*byte, value as u8);
            }
            assert!(info.kept()[first..].iter().all(|&byte| byte == 0xff));
        }
        Ok(())
    }

    #[test]
    fn memory_of_a_driver_is_cut_to_the_size() -> Result {
        let mut info = Info::new(2);

        info.replace(Buffer::copy_of(b"abcd")?)?;
        assert_eq!(info.kept(), b"ab");
        assert_eq!(info.len, 4);
        Ok(())
    }
}
