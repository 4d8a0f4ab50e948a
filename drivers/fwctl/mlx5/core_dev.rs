// SPDX-License-Identifier: GPL-2.0-only

//! Wrapper of `mlx5_core`: a device and its command interface.
//!
//! All unsafe code of the driver is here. It calls functions that `mlx5_core` exports, see
//! [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h), and those of `shim.c`,
//! which also has static assertions that compare the C declarations with those below.

use core::ptr::{
    self,
    NonNull, //
};

use kernel::{
    auxiliary,
    device::{
        self,
        Bound, //
    },
    error::{
        code::EREMOTEIO,
        to_result, //
    },
    prelude::*, //
};
use zerocopy::FromZeros;

use crate::cmd::{
    Command,
    InHeader,
    OutHeader, //
};

/// `struct mlx5_core_dev`, used only behind pointers.
#[repr(C)]
struct Mlx5CoreDev {
    _opaque: [u8; 0],
}

extern "C" {
    /// Executes the command in `input` and writes its output to `output`. May sleep.
    ///
    /// Returns 0 if the firmware executed the command, `-EREMOTEIO` if the firmware refused it, and
    /// another negative errno if the firmware did not answer. In the first two cases, it writes all
    /// of `output`; in the last one, nothing.
    ///
    /// `input` and `output` may be the same memory: `input` is copied before `output` is written,
    /// and afterwards only opcode and modifier are read from it, for statistics.
    ///
    /// # Safety
    ///
    /// - `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    /// - `input` must be valid for reading `in_size` bytes, at least an [`InHeader`].
    /// - `output` must be valid for writing `out_size` bytes, at least an [`OutHeader`], and these
    ///   must be initialised: the header is read even if the firmware did not answer.
    fn mlx5_cmd_do(
        dev: *mut Mlx5CoreDev,
        input: *mut c_void,
        in_size: c_int,
        output: *mut c_void,
        out_size: c_int,
    ) -> c_int;

    /// Converts the result of [`mlx5_cmd_do`] and the status in the output to an errno. Logs a
    /// refusal by the firmware.
    ///
    /// On a device that was removed, commands that destroy an object succeed.
    ///
    /// # Safety
    ///
    /// - `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    /// - `ret` must be the result of [`mlx5_cmd_do`] for this `input` and `output`, and `input`
    ///   must be unchanged since.
    /// - `output` must be valid for writing an [`OutHeader`].
    fn mlx5_cmd_check(
        dev: *mut Mlx5CoreDev,
        ret: c_int,
        input: *mut c_void,
        output: *mut c_void,
    ) -> c_int;

    /// Returns the device that `adev` was created for.
    ///
    /// # Safety
    ///
    /// `adev` must be an auxiliary device that `mlx5_core` has created.
    fn mlx5_fwctl_shim_core_dev(adev: *mut c_void) -> *mut Mlx5CoreDev;

    /// Returns the capability `uctx_cap`: privileges that a user context can have, by bits.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    fn mlx5_fwctl_shim_uctx_cap(dev: *mut Mlx5CoreDev) -> u32;

    /// Returns the number of command slots, without the one that is reserved for pages.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    fn mlx5_fwctl_shim_slots(dev: *mut Mlx5CoreDev) -> u32;

    /// Returns the number of slots of commands that timed out and that the firmware has not
    /// completed since. Takes a spinlock and does not sleep.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    fn mlx5_fwctl_shim_stalled(dev: *mut Mlx5CoreDev) -> u32;

    /// Logs a debug message about a command, if dynamic debug enables it.
    ///
    /// # Safety
    ///
    /// `dev` must be a valid `struct device`.
    fn mlx5_fwctl_shim_debug(
        dev: *const c_void,
        uid: u16,
        opcode: u16,
        ret: c_int,
        status: u8,
        syndrome: u32,
    );
}

/// A device of `mlx5_core`, while its auxiliary device is bound to this driver.
///
/// # Invariants
///
/// `mdev` belongs to an auxiliary device of `mlx5_core` that stays bound to this driver for
/// `'bound`. While it is bound, `mlx5_core` neither stops the device nor frees it.
pub(crate) struct CoreDev<'bound> {
    mdev: NonNull<Mlx5CoreDev>,
    host: &'bound auxiliary::Device<Bound>,
}

/// Reason why a command of the driver itself failed.
pub(crate) enum Failure {
    /// The firmware did not execute the command: it did not receive it or could not read it.
    NotExecuted(Error),
    /// The same, after waiting for a slot until the same timeout.
    NoSlot(Error),
    /// The command timed out. The firmware may have executed it, or may do so later.
    NoAnswer(Error),
    /// The firmware refused the command, or the device is removed or in a fatal state.
    Refused(Error),
}

impl Failure {
    /// Returns the errno.
    pub(crate) fn error(&self) -> Error {
        match *self {
            Self::NotExecuted(error)
            | Self::NoSlot(error)
            | Self::NoAnswer(error)
            | Self::Refused(error) => error,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error()
    }
}

// SAFETY: The functions of `mlx5_core` and `shim.c` that take `mdev` may be called from any thread,
// and a reference to the host may be sent to any thread.
unsafe impl Send for CoreDev<'_> {}
// SAFETY: The functions of `mlx5_core` and `shim.c` that take `mdev` may be called concurrently,
// since they take the locks that they need. The host is `Sync`.
unsafe impl Sync for CoreDev<'_> {}

impl<'bound> CoreDev<'bound> {
    /// Returns the device of an auxiliary device.
    ///
    /// Fails with [`ENODEV`] if `mlx5_core` did not create the auxiliary device for this driver.
    pub(crate) fn new(host: &'bound auxiliary::Device<Bound>) -> Result<Self> {
        let device: &device::Device<Bound> = host.as_ref();

        // The auxiliary bus prefixes the name with that of the module that created the device.
        if !device.name().to_bytes().starts_with(b"mlx5_core.fwctl.") {
            return Err(ENODEV);
        }

        // CAST: `auxiliary::Device` is a transparent wrapper of `struct auxiliary_device`.
        let adev = ptr::from_ref(host).cast_mut().cast::<c_void>();
        // SAFETY: `adev` is valid, since `host` is a reference to it, and its name was checked to
        // be one of a device that `mlx5_core` has created.
        let mdev = unsafe { mlx5_fwctl_shim_core_dev(adev) };

        // INVARIANT: `mdev` belongs to `host`, which is bound to this driver for `'bound`: the core
        // passes a driver only devices that are bound to it.
        Ok(Self {
            mdev: NonNull::new(mdev).ok_or(ENODEV)?,
            host,
        })
    }

    /// Returns the auxiliary device, for log messages.
    pub(crate) fn host(&self) -> &'bound device::Device<Bound> {
        self.host.as_ref()
    }

    /// Returns the privileges that a user context can have, by bits.
    pub(crate) fn uctx_cap(&self) -> u32 {
        // SAFETY: `mdev` is started and stays so, by the type invariant.
        unsafe { mlx5_fwctl_shim_uctx_cap(self.mdev.as_ptr()) }
    }

    /// Returns the number of command slots for other commands than those for pages.
    pub(crate) fn slots(&self) -> u32 {
        // SAFETY: `mdev` is started and stays so, by the type invariant.
        unsafe { mlx5_fwctl_shim_slots(self.mdev.as_ptr()) }
    }

    /// Returns the number of slots that stalled commands occupy: commands that timed out and that
    /// the firmware has not completed. Does not sleep.
    pub(crate) fn stalled(&self) -> u32 {
        // SAFETY: `mdev` is started and stays so, by the type invariant.
        unsafe { mlx5_fwctl_shim_stalled(self.mdev.as_ptr()) }
    }

    /// Executes a command of the driver itself.
    ///
    /// Fails if the firmware does not answer, and if it refuses the command. May sleep.
    pub(crate) fn run<C: Command>(&self, mut command: C) -> Result<C::Out, Failure> {
        const { assert!(size_of::<C>() >= size_of::<InHeader>()) };
        const { assert!(size_of::<C::Out>() >= size_of::<OutHeader>()) };

        let mut out = C::Out::new_zeroed();
        let input = command.as_mut_bytes();
        let output = out.as_mut_bytes();
        // CAST: Commands have a few hundred bytes at most.
        let in_size = const { size_of::<C>() as c_int };
        let out_size = const { size_of::<C::Out>() as c_int };

        let input = input.as_mut_ptr().cast();
        let output = output.as_mut_ptr().cast();

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `input` is valid for reading `in_size` bytes, at least a header as asserted above.
        // - `output` is valid for writing `out_size` bytes, at least a header as asserted above,
        //   and initialised with zeros.
        let ret = unsafe { mlx5_cmd_do(self.mdev.as_ptr(), input, in_size, output, out_size) };

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `ret` is the result of the call above for `input` and `output`. `input` is unchanged,
        //   since it is separate from `output`.
        // - `output` is valid for writing `out_size` bytes, at least a header.
        let checked = unsafe { mlx5_cmd_check(self.mdev.as_ptr(), ret, input, output) };

        match (to_result(checked), to_result(ret)) {
            (Ok(()), _) => Ok(out),
            (Err(error), Err(ETIMEDOUT)) => Err(Failure::NoAnswer(error)),
            (Err(error), Err(EBUSY | ECANCELED)) => Err(Failure::NoSlot(error)),
            (Err(error), Ok(()) | Err(EREMOTEIO | ENXIO)) => Err(Failure::Refused(error)),
            (Err(error), Err(_)) => Err(Failure::NotExecuted(error)),
        }
    }

    /// Executes the command in `request` and writes its output to `reply`.
    ///
    /// Fails with [`EMSGSIZE`] if `request` is shorter than an [`InHeader`], or `reply` than an
    /// [`OutHeader`]. Fails if the firmware does not answer, but not if it refuses the command: the
    /// reply has the status. May sleep.
    pub(crate) fn execute(&self, request: &mut [u8], reply: &mut [u8]) -> Result {
        let in_size = size_with::<InHeader>(request.len())?;
        let out_size = size_with::<OutHeader>(reply.len())?;

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `request` is valid for reading `in_size` bytes, which is at least a header.
        // - `reply` is valid for writing `out_size` bytes, which is at least a header, and
        //   initialised, since it is a slice.
        answered(unsafe {
            mlx5_cmd_do(
                self.mdev.as_ptr(),
                request.as_mut_ptr().cast(),
                in_size,
                reply.as_mut_ptr().cast(),
                out_size,
            )
        })
    }

    /// Executes the command in `buffer` and writes `reply_len` bytes of its output to the front.
    ///
    /// Fails like [`CoreDev::execute`], and with [`EMSGSIZE`] if `buffer` is shorter than
    /// `reply_len`. `buffer` is unchanged on failure. May sleep.
    pub(crate) fn execute_in_place(&self, buffer: &mut [u8], reply_len: usize) -> Result {
        let in_size = size_with::<InHeader>(buffer.len())?;
        let out_size = size_with::<OutHeader>(reply_len)?;
        if reply_len > buffer.len() {
            return Err(EMSGSIZE);
        }

        let buffer = buffer.as_mut_ptr().cast();
        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `buffer` is valid for reading `in_size` bytes, which is at least a header.
        // - It is valid for writing `out_size` bytes, which is at least a header and at most its
        //   length, and initialised, since it is a slice.
        // - Input and output may be the same memory.
        answered(unsafe { mlx5_cmd_do(self.mdev.as_ptr(), buffer, in_size, buffer, out_size) })
    }
}

/// Interprets the result of [`mlx5_cmd_do`]: fails if the firmware did not answer.
fn answered(ret: c_int) -> Result {
    match to_result(ret) {
        Err(EREMOTEIO) => Ok(()),
        result => result,
    }
}

/// Converts a length for C.
///
/// Fails with [`EMSGSIZE`] if it is less than the size of `Header`, or exceeds a [`c_int`].
fn size_with<Header>(len: usize) -> Result<c_int> {
    if len < size_of::<Header>() {
        return Err(EMSGSIZE);
    }
    c_int::try_from(len).map_err(|_| EMSGSIZE)
}

/// Logs the result of a command as a debug message: status and syndrome, or the errno.
///
/// Uses C, since `dev_dbg!` does not support dynamic debug.
pub(crate) fn debug(device: &device::Device, uid: u16, opcode: u16, result: Result<(u8, u32)>) {
    // CAST: `Device` is a transparent wrapper of `struct device`.
    let device = ptr::from_ref(device).cast();
    let (ret, (status, syndrome)) = match result {
        Ok(answer) => (0, answer),
        Err(error) => (error.to_errno(), (0, 0)),
    };

    // SAFETY: `device` is valid, since it was made from a reference.
    unsafe { mlx5_fwctl_shim_debug(device, uid, opcode, ret, status, syndrome) };
}
