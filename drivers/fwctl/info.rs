// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_INFO`: what a device is.

use kernel::prelude::*;

use crate::{
    uctx::Session,
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

/// What a driver tells user space about itself: the device data of `FWCTL_INFO`.
///
/// What the driver writes goes straight to user space, as far as there is room. The rest of the
/// user's buffer is filled with zeros by the core.
pub struct Info {
    to: UserPtr,
    room: usize,
    len: usize,
    /// Nothing is left to be filled with zeros.
    is_filled: bool,
}

impl Info {
    /// Appends `bytes` to the device data.
    ///
    /// What does not fit the user's buffer counts for the length that user space is told, so that a
    /// driver always writes all it has. Fails with [`EFAULT`] if the buffer cannot be written (a
    /// part may have been), which the driver should pass on, and with [`EOVERFLOW`] if the data
    /// would have 4 GiB or more. May sleep.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        let end = self
            .len
            .checked_add(bytes.len())
            .filter(|&end| u32::try_from(end).is_ok())
            .ok_or(EOVERFLOW)?;

        let fitting = &bytes[..bytes.len().min(self.room.saturating_sub(self.len))];
        if !fitting.is_empty() {
            user::write_bytes(self.to.wrapping_byte_add(self.len), fitting)?;
        }
        self.len = end;
        Ok(())
    }

    /// Writes `bytes`, which are all of the device data, and fills the rest of the user's buffer.
    ///
    /// Fails as [`Info::write`].
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result {
        u32::try_from(bytes.len()).map_err(|_| EOVERFLOW)?;

        if self.room > 0 {
            user::write_padded(self.to, bytes, self.room)?;
        }
        self.len = bytes.len();
        self.is_filled = true;
        Ok(())
    }

    /// Returns the size of the user's buffer, in bytes.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Fills what is left of the user's buffer with zeros.
    fn finish(&self) -> Result {
        match self.room.checked_sub(self.len) {
            None | Some(0) => Ok(()),
            Some(_) if self.is_filled => Ok(()),
            Some(left) => user::clear(self.to.wrapping_byte_add(self.len), left),
        }
    }
}

/// Executes `FWCTL_INFO` and writes the structure back to `arg`.
pub(crate) fn execute(session: &Session<'_>, arg: UserPtr, command: &mut Command) -> Result {
    if command.flags != 0 {
        return Err(EOPNOTSUPP);
    }

    let room = command.device_data_len as usize;
    command.out_device_type = session.device().driver.device_type;
    let known = if room == 0 {
        session.known_info_len()
    } else {
        None
    };
    command.device_data_len = match known {
        Some(len) => len,
        None => ask(
            session,
            UserPtr::from_addr(command.out_device_data as usize),
            room,
        )?,
    };
    if room == 0 {
        session.remember_info_len(command.device_data_len);
    }
    user::write(arg, command)
}

/// Has the driver write its device data to the `room` bytes at `to`; returns how many there are.
#[inline]
fn ask(session: &Session<'_>, to: UserPtr, room: usize) -> Result<u32> {
    let mut info = Info {
        to,
        room,
        len: 0,
        is_filled: false,
    };

    session.info(&mut info)?;
    info.finish()?;
    // CAST: `Info::write()` keeps the length below 4 GiB.
    Ok(info.len as u32)
}
