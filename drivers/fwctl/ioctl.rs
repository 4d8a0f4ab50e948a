// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls, and the size protocol that all of them share.
//!
//! Each ioctl takes a structure that starts with its own size, as user space knows it. So old
//! programs work on new kernels and new programs on old ones, as long as these do not use what the
//! kernel does not know:
//!
//! | size                             | result                                         |
//! |----------------------------------|------------------------------------------------|
//! | below the minimum of the ioctl   | [`EINVAL`]                                     |
//! | as the kernel knows it           | works                                          |
//! | beyond, all zeros                | works                                          |
//! | beyond, anything else            | [`E2BIG`]                                      |
//! | above a page                     | [`E2BIG`] at once: no structure can be so long |

use core::mem::MaybeUninit;

use kernel::{
    bindings,
    ioctl::_IO,
    page::PAGE_SIZE,
    prelude::*, //
};

use crate::{
    info,
    rpc,
    uctx::Uctx,
    user, //
};

/// `FWCTL_INFO` of `include/uapi/fwctl/fwctl.h`.
const FWCTL_INFO: u32 = _IO(bindings::FWCTL_TYPE, bindings::FWCTL_CMD_INFO);
/// `FWCTL_RPC` of `include/uapi/fwctl/fwctl.h`.
const FWCTL_RPC: u32 = _IO(bindings::FWCTL_TYPE, bindings::FWCTL_CMD_RPC);

/// Executes the ioctl `number` with the structure at `arg`.
///
/// Fails with [`ENOTTY`] if there is no such ioctl, with the errors of [`read`], with [`ENODEV`] if
/// the device is being unregistered, and with the errors of the ioctl. Then the structure is as it
/// was, but for an [`EFAULT`] from writing it back, which may leave its first part written; by then
/// an RPC has been executed.
#[inline]
pub(crate) fn dispatch(uctx: &Uctx, number: u32, arg: UserPtr) -> Result {
    match number {
        FWCTL_INFO => run(uctx, arg, info::execute),
        FWCTL_RPC => run(uctx, arg, rpc::execute),
        _ => Err(ENOTTY),
    }
}

/// Reads the structure and executes an ioctl, which writes the structure back.
#[inline]
fn run<T>(
    uctx: &Uctx,
    arg: UserPtr,
    execute: impl FnOnce(&Uctx, UserPtr, &mut T) -> Result,
) -> Result
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    let mut command = MaybeUninit::uninit();
    let command = read(arg, &mut command)?;

    // Before the work that a removed device would make futile, and before the policy.
    uctx.device().check_live()?;
    execute(uctx, arg, command)
}

/// Reads the structure at `arg`, to `command`.
///
/// The first version of each structure had all the fields that it has now, so a shorter one is
/// refused. Fails with [`EINVAL`], [`E2BIG`] and [`EFAULT`].
#[inline]
fn read<T>(arg: UserPtr, command: &mut MaybeUninit<T>) -> Result<&mut T>
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    // One access for all that is usually there. User space may change the size between two reads,
    // so the one that was checked is the one that counts.
    match user::read(arg, command) {
        Ok(command) => {
            let (size, _) = u32::read_from_prefix(command.as_bytes()).map_err(|_| EINVAL)?;
            if size as usize != size_of::<T>() {
                check_size(arg, size as usize, size_of::<T>())?;
            }
            Ok(command)
        }
        // A structure that is too short may lie at the very end of what can be read.
        Err(error) => {
            let mut size = MaybeUninit::<u32>::uninit();

            check_size(arg, *user::read(arg, &mut size)? as usize, size_of::<T>())?;
            Err(error)
        }
    }
}

/// Checks the size that user space gave for the structure at `arg`, of which the kernel knows
/// `known` bytes.
#[cold]
fn check_size(arg: UserPtr, size: usize, known: usize) -> Result {
    if size < known {
        return Err(EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(E2BIG);
    }
    if size > known && !user::is_zeroed(arg.wrapping_byte_add(known), size - known)? {
        return Err(E2BIG);
    }
    Ok(())
}

#[kunit_tests(rust_fwctl_ioctl)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_uapi() {
        // `_IO(0x9A, 0)` and `_IO(0x9A, 1)`.
        assert_eq!(FWCTL_INFO, 0x9a00);
        assert_eq!(FWCTL_RPC, 0x9a01);
    }

    #[test]
    fn sizes_are_those_of_the_first_version() {
        assert_eq!(size_of::<info::Command>(), 24);
        assert_eq!(size_of::<rpc::Command>(), 32);
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
