// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls, and the size protocol that all of them share.
//!
//! Each ioctl takes a structure whose first member is its size, as user space knows it. So old
//! programs work on new kernels, and new programs on old kernels unless they set members that the
//! kernel does not know:
//!
//! | size                             | result                                         |
//! |----------------------------------|------------------------------------------------|
//! | below the minimum of the ioctl   | [`EINVAL`]                                     |
//! | the size that the kernel knows   | works                                          |
//! | larger, the rest is zero         | works                                          |
//! | larger, the rest is not zero     | [`E2BIG`]                                      |
//! | above a page                     | [`E2BIG`], without reading the rest            |

use core::mem::MaybeUninit;

use kernel::{
    bindings,
    ioctl::_IO,
    page::PAGE_SIZE,
    prelude::*,
    uaccess::copy, //
};

use crate::{
    info,
    rpc,
    uctx::Uctx,
    umem, //
};

/// `FWCTL_INFO` of `include/uapi/fwctl/fwctl.h`.
pub(crate) const FWCTL_INFO: u32 = _IO(bindings::FWCTL_TYPE, bindings::FWCTL_CMD_INFO);
/// `FWCTL_RPC` of `include/uapi/fwctl/fwctl.h`.
pub(crate) const FWCTL_RPC: u32 = _IO(bindings::FWCTL_TYPE, bindings::FWCTL_CMD_RPC);

/// `FWCTL_RSC_DESTROY` of `include/uapi/fwctl/fwctl.h`, which other kernels may not have.
const FWCTL_RSC_DESTROY: u32 = _IO(bindings::FWCTL_TYPE, 2);
/// `FWCTL_RSC_UMEM_REG` of `include/uapi/fwctl/fwctl.h`.
const FWCTL_RSC_UMEM_REG: u32 = _IO(bindings::FWCTL_TYPE, 3);
/// `FWCTL_RSC_UMEM_ALLOC` of `include/uapi/fwctl/fwctl.h`.
const FWCTL_RSC_UMEM_ALLOC: u32 = _IO(bindings::FWCTL_TYPE, 4);

/// Executes the ioctl `number` with the structure at `arg`.
///
/// Fails with [`ENOTTY`] if there is no such ioctl, with the errors of [`read`], with [`ENODEV`] if
/// the device is being unregistered, and with the errors of the ioctl. An ioctl that fails leaves
/// the structure unchanged, unless writing it back fails with [`EFAULT`]: then an RPC has been
/// executed, and a part of the structure may have been written.
#[inline]
pub(crate) fn dispatch(uctx: &Uctx, number: u32, arg: UserPtr) -> Result {
    match number {
        FWCTL_INFO => run(uctx, arg, info::execute),
        FWCTL_RPC => run(uctx, arg, rpc::execute),
        FWCTL_RSC_DESTROY => run_for_memory(uctx, arg, umem::destroy),
        FWCTL_RSC_UMEM_REG => run_for_memory(uctx, arg, umem::register),
        FWCTL_RSC_UMEM_ALLOC => run_for_memory(uctx, arg, umem::allocate),
        _ => Err(ENOTTY),
    }
}

/// Runs an ioctl for registered memory. There is none if the driver does not offer that.
#[inline(never)]
fn run_for_memory<T>(
    uctx: &Uctx,
    arg: UserPtr,
    execute: impl FnOnce(&Uctx, UserPtr, &mut T) -> Result,
) -> Result
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    if uctx.device().memory_flags().is_none() {
        return Err(ENOTTY);
    }

    run(uctx, arg, execute)
}

/// Reads the structure and executes an ioctl, which writes the structure back.
#[inline]
pub(crate) fn run<T, R>(
    uctx: &Uctx,
    arg: UserPtr,
    execute: impl FnOnce(&Uctx, UserPtr, &mut T) -> Result<R>,
) -> Result<R>
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    let mut args = MaybeUninit::uninit();
    let args = read(arg, &mut args)?;

    // Report a removed device before anything else that could be wrong.
    uctx.device().check_live()?;
    execute(uctx, arg, args)
}

/// Reads the structure at `arg` into `args`.
///
/// The first version of each structure had all the fields that it has now, so a shorter one is
/// refused. Fails with [`EINVAL`], [`E2BIG`] and [`EFAULT`].
#[inline]
fn read<T>(arg: UserPtr, args: &mut MaybeUninit<T>) -> Result<&mut T>
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    // Read all of it in one access. Check the size in our copy: user space may change its own
    // between two reads.
    match copy::read(arg, args) {
        Ok(args) => {
            let (size, _) = u32::read_from_prefix(args.as_bytes()).map_err(|_| EINVAL)?;
            if size as usize != size_of::<T>() {
                check_size(arg, size as usize, size_of::<T>())?;
            }
            Ok(args)
        }
        // A structure that is too short may end where the readable memory ends.
        Err(error) => {
            let mut size = MaybeUninit::<u32>::uninit();

            check_size(arg, *copy::read(arg, &mut size)? as usize, size_of::<T>())?;
            Err(error)
        }
    }
}

/// Checks `size`, which user space gave for the structure at `arg`. The kernel knows `known` bytes
/// of it.
#[cold]
fn check_size(arg: UserPtr, size: usize, known: usize) -> Result {
    if size < known {
        return Err(EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(E2BIG);
    }
    if size > known && !copy::is_zeroed(arg.wrapping_byte_add(known), size - known)? {
        return Err(E2BIG);
    }
    Ok(())
}

#[kunit_tests(rust_fwctl_ioctl)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_uapi() {
        // `_IO(0x9A, 0)` and so on.
        assert_eq!(FWCTL_INFO, 0x9a00);
        assert_eq!(FWCTL_RPC, 0x9a01);
        assert_eq!(FWCTL_RSC_DESTROY, 0x9a02);
        assert_eq!(FWCTL_RSC_UMEM_REG, 0x9a03);
        assert_eq!(FWCTL_RSC_UMEM_ALLOC, 0x9a04);
    }

    #[test]
    fn sizes_are_those_of_the_first_version() {
        assert_eq!(size_of::<info::InfoArgs>(), 24);
        assert_eq!(size_of::<rpc::RpcArgs>(), 32);
    }

    #[test]
    fn sizes_without_a_tail_are_decided_without_user_space() {
        let nowhere = UserPtr::from_addr(0);

        assert_eq!(check_size(nowhere, 0, 24), Err(EINVAL));
        assert_eq!(check_size(nowhere, 23, 24), Err(EINVAL));
        assert_eq!(check_size(nowhere, 24, 24), Ok(()));
        assert_eq!(check_size(nowhere, PAGE_SIZE + 1, 24), Err(E2BIG));
        assert_eq!(check_size(nowhere, u32::MAX as usize, 24), Err(E2BIG));
    }
}
