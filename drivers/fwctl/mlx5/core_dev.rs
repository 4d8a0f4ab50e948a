// SPDX-License-Identifier: GPL-2.0-only

//! The device as `mlx5_core` drives it.
//!
//! All unsafe code of the driver is here. What it calls is either exported by `mlx5_core`, see
//! [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h), or in `shim.c`, which also
//! has the compiler compare the C declarations with those below.

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

/// `struct mlx5_core_dev`, of which only pointers are of use here.
#[repr(C)]
struct Mlx5CoreDev {
    _opaque: [u8; 0],
}

extern "C" {
    /// Executes the command at `input`, and waits for the answer, which it writes to `output`. May
    /// sleep.
    ///
    /// Returns 0 if the firmware executed it, `-EREMOTEIO` if the firmware refused, and another
    /// negative errno if there is no answer. Only in the first two cases it writes to `output`, and
    /// then all of it.
    ///
    /// It is done with `input` before it writes, except that it takes an opcode and a modifier for
    /// its statistics from there afterwards: so both may be the same memory.
    ///
    /// # Safety
    ///
    /// - `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    /// - `input` must be valid for reading `in_size` bytes, at least an [`InHeader`].
    /// - `output` must be valid for writing `out_size` bytes, at least an [`OutHeader`], which must
    ///   be initialised: it is read even if there is no answer.
    fn mlx5_cmd_do(
        dev: *mut Mlx5CoreDev,
        input: *mut c_void,
        in_size: c_int,
        output: *mut c_void,
        out_size: c_int,
    ) -> c_int;

    /// Makes an errno of what [`mlx5_cmd_do`] returned and of the status of the answer, and says in
    /// the kernel log that a firmware refused.
    ///
    /// A device that is gone counts as one that has destroyed what was to be destroyed.
    ///
    /// # Safety
    ///
    /// - `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    /// - `ret` must be what [`mlx5_cmd_do`] returned for this `input` and `output`, of which
    ///   `input` must still be what it was.
    /// - `output` must be valid for writing an [`OutHeader`].
    fn mlx5_cmd_check(
        dev: *mut Mlx5CoreDev,
        ret: c_int,
        input: *mut c_void,
        output: *mut c_void,
    ) -> c_int;

    /// Returns the device that `adev` was made for.
    ///
    /// # Safety
    ///
    /// `adev` must be an auxiliary device that `mlx5_core` has made.
    fn mlx5_fwctl_shim_core_dev(adev: *mut c_void) -> *mut Mlx5CoreDev;

    /// Returns the capability `uctx_cap`: what user contexts can be given, by bits.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    fn mlx5_fwctl_shim_uctx_cap(dev: *mut Mlx5CoreDev) -> u32;

    /// Returns how many commands the device executes at a time, of all but those for pages.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    fn mlx5_fwctl_shim_slots(dev: *mut Mlx5CoreDev) -> u32;

    /// Returns how many of its slots are taken by commands that timed out and that the firmware has
    /// not completed since. Takes a spinlock, and does not sleep.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one while this runs.
    fn mlx5_fwctl_shim_stalled(dev: *mut Mlx5CoreDev) -> u32;

    /// Writes a debug message about `dev`, if those of this module are switched on.
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

/// A device that `mlx5_core` drives, for as long as it announces it to this driver.
///
/// # Invariants
///
/// `mdev` belongs to an auxiliary device of `mlx5_core` that stays bound to this driver for
/// `'bound`. Until it is unbound, `mlx5_core` does not stop the device, nor free it.
pub(crate) struct CoreDev<'bound> {
    mdev: NonNull<Mlx5CoreDev>,
    host: &'bound auxiliary::Device<Bound>,
}

/// How a command of the driver itself failed.
pub(crate) enum Failure {
    /// It did not reach the firmware, or the firmware could not read it: it was not executed.
    NotExecuted(Error),
    /// The same, after a wait for a slot that was as long as the wait for an answer.
    NoSlot(Error),
    /// There was no answer in time. It may have been executed, or may be later.
    NoAnswer(Error),
    /// The firmware refused, or the device is removed or in a fatal state.
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

// SAFETY: The functions of `mlx5_core` that are used here can be called from any thread. The host
// can be shared with any.
unsafe impl Send for CoreDev<'_> {}
// SAFETY: They can be called at the same time, too: `mlx5_core` has the locks that it takes. So can
// those of the host.
unsafe impl Sync for CoreDev<'_> {}

impl<'bound> CoreDev<'bound> {
    /// Finds the device behind an auxiliary device.
    ///
    /// Fails with [`ENODEV`] if it is not one that `mlx5_core` made for this driver.
    pub(crate) fn new(host: &'bound auxiliary::Device<Bound>) -> Result<Self> {
        let device: &device::Device<Bound> = host.as_ref();

        // The first word is the name of the module that made it, by the rules of the bus.
        if !device.name().to_bytes().starts_with(b"mlx5_core.fwctl.") {
            return Err(ENODEV);
        }

        // CAST: `auxiliary::Device` is a transparent wrapper of `struct auxiliary_device`.
        let adev = ptr::from_ref(host).cast_mut().cast::<c_void>();
        // SAFETY: `host` is a valid auxiliary device, and was made by `mlx5_core`.
        let mdev = unsafe { mlx5_fwctl_shim_core_dev(adev) };

        // INVARIANT: `mdev` belongs to `host`, which is bound for `'bound`: to this driver, since
        // nobody else has this device.
        Ok(Self {
            mdev: NonNull::new(mdev).ok_or(ENODEV)?,
            host,
        })
    }

    /// Returns the auxiliary device, for messages.
    pub(crate) fn host(&self) -> &'bound device::Device<Bound> {
        self.host.as_ref()
    }

    /// Returns what user contexts can be given, by bits.
    pub(crate) fn uctx_cap(&self) -> u32 {
        // SAFETY: `mdev` is started and stays so, by the type invariant.
        unsafe { mlx5_fwctl_shim_uctx_cap(self.mdev.as_ptr()) }
    }

    /// Returns how many commands the device executes at a time.
    pub(crate) fn slots(&self) -> u32 {
        // SAFETY: `mdev` is started and stays so, by the type invariant.
        unsafe { mlx5_fwctl_shim_slots(self.mdev.as_ptr()) }
    }

    /// Returns how many slots are lost to commands that timed out, until the firmware completes
    /// these. Does not sleep.
    pub(crate) fn stalled(&self) -> u32 {
        // SAFETY: `mdev` is started and stays so, by the type invariant.
        unsafe { mlx5_fwctl_shim_stalled(self.mdev.as_ptr()) }
    }

    /// Executes a command of the driver itself.
    ///
    /// Fails if the firmware gives no answer, and if it refuses. May sleep.
    pub(crate) fn run<C: Command>(&self, mut command: C) -> Result<C::Out, Failure> {
        const { assert!(size_of::<C>() >= size_of::<InHeader>()) };
        const { assert!(size_of::<C::Out>() >= size_of::<OutHeader>()) };

        let mut out = C::Out::new_zeroed();
        let input = command.as_mut_bytes();
        let output = out.as_mut_bytes();
        // CAST: Commands have some hundred bytes at most.
        let in_size = const { size_of::<C>() as c_int };
        let out_size = const { size_of::<C::Out>() as c_int };

        let input = input.as_mut_ptr().cast();
        let output = output.as_mut_ptr().cast();

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `input` is valid for its length, which is that of a header or more, see above.
        // - So is `output`, and it is initialised.
        let ret = unsafe { mlx5_cmd_do(self.mdev.as_ptr(), input, in_size, output, out_size) };

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `ret` is from the call above, which does not write to `input`.
        // - `output` is valid for a header, see above.
        let checked = unsafe { mlx5_cmd_check(self.mdev.as_ptr(), ret, input, output) };

        match (to_result(checked), to_result(ret)) {
            (Ok(()), _) => Ok(out),
            (Err(error), Err(ETIMEDOUT)) => Err(Failure::NoAnswer(error)),
            (Err(error), Err(EBUSY | ECANCELED)) => Err(Failure::NoSlot(error)),
            (Err(error), Ok(()) | Err(EREMOTEIO | ENXIO)) => Err(Failure::Refused(error)),
            (Err(error), Err(_)) => Err(Failure::NotExecuted(error)),
        }
    }

    /// Executes the command `request`, and writes the answer of the firmware to `reply`.
    ///
    /// Both begin with a header, see [`InHeader`] and [`OutHeader`]; fails with [`EMSGSIZE`] if
    /// there is no room for it. Fails too if the firmware gives no answer; that it refused is for
    /// the reply to say. May sleep.
    pub(crate) fn execute(&self, request: &mut [u8], reply: &mut [u8]) -> Result {
        let in_size = size_with::<InHeader>(request.len())?;
        let out_size = size_with::<OutHeader>(reply.len())?;

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `request` is valid for `in_size` bytes, which is enough for a header.
        // - So is `reply` for `out_size`, and it is initialised.
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

    /// Executes the command in `buffer`, and writes `reply_len` bytes of the answer to its front.
    ///
    /// Fails like [`CoreDev::execute`], then `buffer` is as it was, and with [`EMSGSIZE`] if it has
    /// less than `reply_len` bytes. May sleep.
    pub(crate) fn execute_in_place(&self, buffer: &mut [u8], reply_len: usize) -> Result {
        let in_size = size_with::<InHeader>(buffer.len())?;
        let out_size = size_with::<OutHeader>(reply_len)?;
        if reply_len > buffer.len() {
            return Err(EMSGSIZE);
        }

        let buffer = buffer.as_mut_ptr().cast();
        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `buffer` is valid for `in_size` bytes, which is enough for a header.
        // - It is valid for `out_size` bytes, which are no more, and enough for a header, too.
        // - All of it is initialised.
        // - The function allows both to be the same memory.
        answered(unsafe { mlx5_cmd_do(self.mdev.as_ptr(), buffer, in_size, buffer, out_size) })
    }
}

/// Reads what [`mlx5_cmd_do`] returned: fails if there is no answer of the firmware.
fn answered(ret: c_int) -> Result {
    match to_result(ret) {
        Err(EREMOTEIO) => Ok(()),
        result => result,
    }
}

/// Returns `len` as C wants it.
///
/// Fails with [`EMSGSIZE`] if it is less than a `Header`, or more than C can express.
fn size_with<Header>(len: usize) -> Result<c_int> {
    if len < size_of::<Header>() {
        return Err(EMSGSIZE);
    }
    c_int::try_from(len).map_err(|_| EMSGSIZE)
}

/// Writes a debug message about a command: what came of it, with status and syndrome of the answer
/// if there is one.
///
/// In C, as whoever wants these messages switches them on with dynamic debug, which `dev_dbg!` of
/// Rust knows nothing of.
pub(crate) fn debug(device: &device::Device, uid: u16, opcode: u16, result: Result<(u8, u32)>) {
    // CAST: `Device` is a transparent wrapper of `struct device`.
    let device = ptr::from_ref(device).cast();
    let (ret, (status, syndrome)) = match result {
        Ok(answer) => (0, answer),
        Err(error) => (error.to_errno(), (0, 0)),
    };

    // SAFETY: It is a reference, so it is valid.
    unsafe { mlx5_fwctl_shim_debug(device, uid, opcode, ret, status, syndrome) };
}
