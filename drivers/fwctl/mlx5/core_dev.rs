// SPDX-License-Identifier: GPL-2.0-only

//! Wrapper of `mlx5_core`: a device and its command interface.
//!
//! All unsafe code of the driver is here. It calls functions that `mlx5_core` exports, see
//! [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h), and those of `shim.c`,
//! which also has static assertions that compare the C declarations with those below.

use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    auxiliary,
    device::{
        self,
        Bound, //
    },
    dma::Coherent,
    error::{
        code::EREMOTEIO,
        to_result, //
    },
    prelude::*,
    sync::barrier,
    task::Pid, //
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

/// `struct mlx5_async_ctx`, used only behind pointers.
#[repr(C)]
struct Mlx5AsyncCtx {
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

    /// Allocates the state of commands that are answered later. Returns null on failure.
    ///
    /// # Safety
    ///
    /// `dev` must be a device that `mlx5_core` has started, and must stay one until the state is
    /// freed.
    fn mlx5_fwctl_shim_async_ctx(dev: *mut Mlx5CoreDev) -> *mut Mlx5AsyncCtx;

    /// Waits until all commands are answered or have timed out, then frees their state.
    ///
    /// # Safety
    ///
    /// `ctx` must be from `mlx5_fwctl_shim_async_ctx()`, and must not be used during or after this.
    fn mlx5_fwctl_shim_async_ctx_free(ctx: *mut Mlx5AsyncCtx);

    /// Begins the command in `input`. Allocates memory, and does not wait for the firmware.
    ///
    /// If it returns 0, `done` is called once with `data` and the result as of [`mlx5_cmd_do`],
    /// from an interrupt or a thread, possibly before this returns. Returns `-EBUSY` if `mlx5_core`
    /// lets no more commands of this kind be in flight, or another negative errno.
    ///
    /// # Safety
    ///
    /// - `ctx` must be from `mlx5_fwctl_shim_async_ctx()`, and not freed.
    /// - `input` must be valid for reading `in_size` bytes, at least an [`InHeader`].
    /// - `output` must be valid for writing `out_size` bytes, at least an [`OutHeader`], and these
    ///   must be initialised, until `done` is called.
    /// - `done` must be sound to call with `data`.
    fn mlx5_fwctl_shim_exec_cb(
        ctx: *mut Mlx5AsyncCtx,
        input: *mut c_void,
        in_size: c_int,
        output: *mut c_void,
        out_size: c_int,
        done: unsafe extern "C" fn(ret: c_int, data: *mut c_void),
        data: *mut c_void,
    ) -> c_int;

    /// Logs a debug message about a command of the task `pid`, if dynamic debug enables it.
    ///
    /// # Safety
    ///
    /// `dev` must be a valid `struct device`.
    fn mlx5_fwctl_shim_debug(
        dev: *const c_void,
        pid: c_int,
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
        fwctl::check_auxiliary_name(host.as_ref(), c"mlx5_core.fwctl")?;

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
        let ret = self
            .send(command.as_mut_bytes(), out.as_mut_bytes())
            .map_err(Failure::NotExecuted)?;
        let input = command.as_mut_bytes().as_mut_ptr().cast();
        let output = out.as_mut_bytes().as_mut_ptr().cast();

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `ret` is the result of `send()` for `input` and `output`. `input` is unchanged, since
        //   it is separate from `output`.
        // - `output` is valid for writing, and has at least a header as asserted above.
        let checked = unsafe { mlx5_cmd_check(self.mdev.as_ptr(), ret, input, output) };

        match (to_result(checked), to_result(ret)) {
            (Ok(()), _) => Ok(out),
            (Err(error), Err(ETIMEDOUT)) => Err(Failure::NoAnswer(error)),
            (Err(error), Err(EBUSY | ECANCELED)) => Err(Failure::NoSlot(error)),
            (Err(error), Ok(()) | Err(EREMOTEIO | ENXIO)) => Err(Failure::Refused(error)),
            (Err(error), Err(_)) => Err(Failure::NotExecuted(error)),
        }
    }
}

/// Commands about memory of the host, for which it matters what the firmware has done.
impl CoreDev<'_> {
    /// Executes a command of the driver itself.
    ///
    /// Succeeds only if the firmware has executed it: what `mlx5_core` makes of commands to a
    /// device that does not answer any more does not count. [`Failure::Refused`] means that the
    /// firmware has answered, and [`Failure::NoAnswer`] that it may have executed the command or
    /// may do so later. May sleep.
    pub(crate) fn confirm(&self, input: &mut [u8], output: &mut [u8]) -> Result<(), Failure> {
        let ret = self.send(input, output).map_err(Failure::NotExecuted)?;

        to_result(ret).map_err(|error| match error {
            EREMOTEIO => Failure::Refused(error),
            // There was no slot for it.
            EBUSY | ECANCELED => Failure::NoSlot(error),
            // There was no memory for its mailboxes.
            ENOMEM => Failure::NotExecuted(error),
            // Timed out, or the device failed before or after the command was sent.
            error => Failure::NoAnswer(error),
        })
    }

    /// Returns the result of [`mlx5_cmd_do`], or fails with [`EMSGSIZE`].
    fn send(&self, input: &mut [u8], output: &mut [u8]) -> Result<c_int> {
        let in_size = size_with::<InHeader>(input.len())?;
        let out_size = size_with::<OutHeader>(output.len())?;

        // SAFETY:
        // - `mdev` is started and stays so, by the type invariant.
        // - `input` is valid for reading `in_size` bytes, at least a header as checked above.
        // - `output` is valid for writing `out_size` bytes, at least a header as checked above,
        //   and initialised.
        Ok(unsafe {
            mlx5_cmd_do(
                self.mdev.as_ptr(),
                input.as_mut_ptr().cast(),
                in_size,
                output.as_mut_ptr().cast(),
                out_size,
            )
        })
    }

    /// Returns the PCI function, which accesses memory of the host.
    pub(crate) fn dma_device(&self) -> &device::Device<Bound> {
        self.host.parent()
    }
}

/// A page for data and one for a mailbox, which the device and the driver access.
pub(crate) struct DevicePages(Coherent<[[u8; DevicePages::LEN]; 2]>);

// SAFETY: The memory is only copied from and to.
unsafe impl Sync for DevicePages {}

impl DevicePages {
    /// Length of a page of the firmware.
    pub(crate) const LEN: usize = 4096;

    /// Allocates the pages. Fails with [`ENOMEM`].
    pub(crate) fn new(device: &device::Device<Bound>) -> Result<Self> {
        Coherent::zeroed(device, GFP_KERNEL).map(Self)
    }

    /// Returns the address of the data for the device.
    pub(crate) fn data_address(&self) -> u64 {
        self.0.dma_address()
    }

    /// Returns the address of the mailbox for the device.
    pub(crate) fn mailbox_address(&self) -> u64 {
        self.data_address() + Self::LEN as u64
    }

    fn page(&self, index: usize) -> *mut u8 {
        // The pages are adjacent.
        self.0
            .as_mut_ptr()
            .cast::<u8>()
            .wrapping_add(index * Self::LEN)
    }

    fn read(&self, index: usize, to: &mut [u8]) {
        let len = to.len().min(Self::LEN);

        // SAFETY: The page has `len` bytes, and so has `to`, which is separate. If the device
        // writes at the same time, any of its bytes are copied.
        unsafe { ptr::copy_nonoverlapping(self.page(index), to.as_mut_ptr(), len) };
    }

    fn write(&self, index: usize, from: &[u8]) {
        let len = from.len().min(Self::LEN);

        // SAFETY: The page has `len` bytes, and so has `from`, which is separate. There is no
        // reference to the page.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.page(index), len) };
    }

    /// Copies the first bytes of the data, at most a page.
    pub(crate) fn read_data(&self, to: &mut [u8]) {
        self.read(0, to);
    }

    /// Replaces the first bytes of the data, at most a page.
    pub(crate) fn write_data(&self, from: &[u8]) {
        self.write(0, from);
    }

    /// Copies the first bytes of the mailbox, at most a page.
    pub(crate) fn read_mailbox(&self, to: &mut [u8]) {
        self.read(1, to);
    }

    /// Replaces the first bytes of the mailbox, at most a page.
    pub(crate) fn write_mailbox(&self, from: &[u8]) {
        self.write(1, from);
    }

    /// Returns a byte of the mailbox, as the device wrote it last. What the device wrote before is
    /// visible afterwards.
    pub(crate) fn mailbox_byte(&self, offset: usize) -> u8 {
        // SAFETY: The offset is within the page, which is valid for reads.
        let byte = unsafe { self.page(1).add(offset % Self::LEN).read_volatile() };

        barrier::dma_mb(barrier::Read);
        byte
    }
}

/// A command that is answered later, with the memory for its output.
pub(crate) trait AsyncCommand: Send + 'static {
    /// Returns the command.
    fn request(&mut self) -> &mut [u8];

    /// Returns the memory for the output, which may be that of the command.
    fn output(&mut self) -> &mut [u8];

    /// Takes the result. Fails if the firmware did not answer; a refusal is an output.
    ///
    /// May be called in interrupt context.
    fn done(this: KBox<Self>, result: Result);
}

/// The commands of a device that are answered later.
///
/// Waits on drop until all of them are answered or have timed out.
///
/// # Invariants
///
/// `ctx` is from `mlx5_fwctl_shim_async_ctx()`, and not freed.
pub(crate) struct AsyncCommands<'bound> {
    ctx: NonNull<Mlx5AsyncCtx>,
    _core_dev: PhantomData<CoreDev<'bound>>,
}

// SAFETY: The functions that take `ctx` may be called from any thread.
unsafe impl Send for AsyncCommands<'_> {}
// SAFETY: Commands may be begun concurrently. The state is only freed on drop.
unsafe impl Sync for AsyncCommands<'_> {}

impl<'bound> AsyncCommands<'bound> {
    /// Fails with [`ENOMEM`].
    pub(crate) fn new(core_dev: &CoreDev<'bound>) -> Result<Self> {
        // SAFETY: By the type invariant of `CoreDev`, the device is started, and stays so for
        // `'bound`, which is longer than `Self` lives.
        let ctx = unsafe { mlx5_fwctl_shim_async_ctx(core_dev.mdev.as_ptr()) };

        // INVARIANT: It was allocated just now.
        Ok(Self {
            ctx: NonNull::new(ctx).ok_or(ENOMEM)?,
            _core_dev: PhantomData,
        })
    }

    /// Begins a command, which [`AsyncCommand::done`] ends.
    ///
    /// Returns the command on failure: with [`EMSGSIZE`] if request or output are too short, with
    /// [`EBUSY`] if `mlx5_core` lets no more commands of its kind be in flight, and with its other
    /// errors. May sleep, but does not wait for the firmware.
    pub(crate) fn begin<T: AsyncCommand>(
        &self,
        mut command: KBox<T>,
    ) -> Result<(), (Error, KBox<T>)> {
        let input = command.request();
        let in_size = size_with::<InHeader>(input.len());
        let input = input.as_mut_ptr().cast();
        let output = command.output();
        let out_size = size_with::<OutHeader>(output.len());
        let output = output.as_mut_ptr().cast();
        let (in_size, out_size) = match (in_size, out_size) {
            (Ok(in_size), Ok(out_size)) => (in_size, out_size),
            (Err(error), _) | (_, Err(error)) => return Err((error, command)),
        };

        let data = KBox::into_raw(command);
        // SAFETY:
        // - By the type invariant, `ctx` is valid.
        // - `input` is valid for reading `in_size` bytes, which is at least a header: it is a slice
        //   of the command, which is not used below.
        // - `output` is valid for writing `out_size` bytes, which is at least a header, and
        //   initialised. It is a slice of the command too, which nothing uses until `done()` takes
        //   it.
        // - `done::<T>()` takes the pointer of a box of `T` once, from any thread: `T` is `Send`.
        let begun = to_result(unsafe {
            mlx5_fwctl_shim_exec_cb(
                self.ctx.as_ptr(),
                input,
                in_size,
                output,
                out_size,
                done::<T>,
                data.cast(),
            )
        });

        // SAFETY: The command was not begun, so `done()` is not called, and the box is still ours.
        begun.map_err(|error| (error, unsafe { KBox::from_raw(data) }))
    }
}

impl Drop for AsyncCommands<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the state is valid. It is not used again, and `&mut self`
        // shows that no command is being begun.
        unsafe { mlx5_fwctl_shim_async_ctx_free(self.ctx.as_ptr()) };
    }
}

/// Ends a command.
///
/// # Safety
///
/// `data` must be the pointer of a `KBox<T>`, and must not be used again.
unsafe extern "C" fn done<T: AsyncCommand>(ret: c_int, data: *mut c_void) {
    // SAFETY: The caller promises both.
    let command = unsafe { KBox::<T>::from_raw(data.cast()) };

    T::done(command, answered(ret));
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

/// Logs the result of a command of the task `pid` as a debug message: status and syndrome, or the
/// errno.
///
/// Uses C, since `dev_dbg!` does not support dynamic debug.
pub(crate) fn debug(
    device: &device::Device,
    pid: Pid,
    uid: u16,
    opcode: u16,
    result: Result<(u8, u32)>,
) {
    // CAST: `Device` is a transparent wrapper of `struct device`.
    let device = ptr::from_ref(device).cast();
    let (ret, (status, syndrome)) = match result {
        Ok(answer) => (0, answer),
        Err(error) => (error.to_errno(), (0, 0)),
    };

    // SAFETY: `device` is valid, since it was made from a reference.
    unsafe { mlx5_fwctl_shim_debug(device, pid, uid, opcode, ret, status, syndrome) };
}
