// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_INFO`: describes a device.

use kernel::{
    prelude::*,
    uaccess::copy, //
};

use crate::{
    exchange::Info,
    uctx::Uctx, //
};

/// `struct fwctl_info` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct InfoArgs {
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

    kernel::static_assert!(size_of::<InfoArgs>() == size_of::<uapi>());
    kernel::static_assert!(
        core::mem::offset_of!(InfoArgs, out_device_data)
            == core::mem::offset_of!(uapi, out_device_data)
    );
};

/// Executes `FWCTL_INFO` and writes the structure back to `arg`.
pub(crate) fn execute(uctx: &Uctx, arg: UserPtr, args: &mut InfoArgs) -> Result {
    if args.flags != 0 {
        return Err(EOPNOTSUPP);
    }

    let size = args.device_data_len as usize;
    let mut info = Info::new(size);
    // The call into the driver ends here: user memory is only touched before and after it.
    uctx.enter()?.info(&mut info)?;

    if size > 0 {
        let to = UserPtr::from_addr(args.out_device_data as usize);
        copy::write_padded(to, info.kept(), size)?;
    }
    args.out_device_type = uctx.device().driver.device_type;
    // CAST: The length is below 4 GiB.
    args.device_data_len = info.len() as u32;
    copy::write(arg, args)
}
