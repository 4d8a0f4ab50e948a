// SPDX-License-Identifier: GPL-2.0-only

//! Wrapper of `pds_core`: a client of the firmware, and its commands.
//!
//! All unsafe code of the driver is here. It calls functions that `pds_core` exports, see
//! [`include/linux/pds/pds_auxbus.h`](srctree/include/linux/pds/pds_auxbus.h), and those of
//! `shim.c`.
//!
//! # Memory of commands
//!
//! A command that got no answer is *lost*: the firmware may still write to the memory that the
//! command named, and `pds_core` to the completion. So that memory is kept until a later command is
//! answered: the firmware answers in order. If it does not until the driver is unbound, the memory
//! is leaked.

use core::{
    cell::UnsafeCell,
    ptr::{
        self,
        NonNull, //
    },
};

use kernel::{
    alloc::{
        flags::GFP_KERNEL_ACCOUNT,
        Flags, //
    },
    auxiliary,
    device::{
        self,
        Bound, //
    },
    dma::{
        attrs::DMA_ATTR_NO_WARN,
        Coherent, //
    },
    error::to_result,
    io::Io,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex,
        TryLock,
        TryLockGuard, //
    },
};
use zerocopy::FromZeros;

use crate::wire::{
    Command,
    Completion,
    Ident,
    IdentCommand,
    Place,
    QueryCommand,
    RpcCommand,
    LIST_LEN, //
};

/// `struct pds_auxiliary_dev`, used only behind pointers.
#[repr(C)]
struct PdsAuxiliaryDev {
    _opaque: [u8; 0],
}

/// `struct pds_fwctl_shim_watch`, used only behind pointers.
#[repr(C)]
struct ShimWatch {
    _opaque: [u8; 0],
}

extern "C" {
    /// Sends a command to the firmware, waits for its completion for at most 5 s, and writes the
    /// completion to `resp`. Sleeps.
    ///
    /// Returns 0 or a negative errno: `-ENOSPC` if the queue is full; `-ENXIO` if the firmware does
    /// not run, `-ETIMEDOUT`; or one that stands for the status in the completion.
    ///
    /// # Safety
    ///
    /// - `padev` must be a device of `pds_core`, which stays one while this runs.
    /// - `req` must be valid for reading `req_len` bytes, at least 1.
    /// - `resp` must be valid for writing a [`Completion`]: while this runs; after `-ENXIO` and
    ///   `-ETIMEDOUT`, also until a later command is completed or `pds_core` has stopped its queue.
    fn pds_client_adminq_cmd(
        padev: *mut PdsAuxiliaryDev,
        req: *const c_void,
        req_len: usize,
        resp: *mut c_void,
        flags: u64,
    ) -> c_int;

    /// Returns the device that `adev` is part of.
    ///
    /// # Safety
    ///
    /// `adev` must be an auxiliary device that `pds_core` has created.
    fn pds_fwctl_shim_padev(adev: *mut c_void) -> *mut PdsAuxiliaryDev;

    /// Registers the client with the firmware again, which gives it another identifier. Sleeps.
    /// Returns 0 or a negative errno.
    ///
    /// # Safety
    ///
    /// `padev` must be a device of `pds_core`, which stays one while this runs.
    fn pds_fwctl_shim_register(padev: *mut PdsAuxiliaryDev) -> c_int;

    /// Begins to count resets of the firmware of all cards. Returns null on failure. May sleep.
    fn pds_fwctl_shim_watch() -> *mut ShimWatch;

    /// Returns the number of resets. It is incremented before the firmware is reset, and after.
    ///
    /// # Safety
    ///
    /// `watch` must be from [`pds_fwctl_shim_watch`], and not ended.
    fn pds_fwctl_shim_resets(watch: *mut ShimWatch) -> u32;

    /// Ends to count. May sleep.
    ///
    /// # Safety
    ///
    /// `watch` must be from [`pds_fwctl_shim_watch`], and not ended. It must not be used again.
    fn pds_fwctl_shim_unwatch(watch: *mut ShimWatch);
}

/// Counts resets of the firmware.
///
/// # Invariants
///
/// The pointer is from `pds_fwctl_shim_watch()`, and ended by dropping this.
struct Watch(NonNull<ShimWatch>);

impl Watch {
    fn new() -> Result<Self> {
        // SAFETY: The function has no requirements.
        let watch = unsafe { pds_fwctl_shim_watch() };

        // INVARIANT: The pointer was just returned by the function.
        Ok(Self(NonNull::new(watch).ok_or(ENOMEM)?))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, it has not ended. It is not used after it is dropped.
        unsafe { pds_fwctl_shim_unwatch(self.0.as_ptr()) };
    }
}

/// The memory that a command names, and its completion.
pub(crate) struct Buffers {
    completion: UnsafeCell<Completion>,
    request: Coherent<[u8]>,
    response: Coherent<[u8]>,
    /// The next one on a list of lost ones.
    next: Option<KBox<Buffers>>,
}

impl Buffers {
    /// Copies `request` to memory for DMA, and allocates zeros for a response.
    ///
    /// Fails with [`ENOMEM`].
    fn new(
        dev: &device::Device<Bound>,
        request: &[u8],
        response_len: usize,
        flags: Flags,
    ) -> Result<KBox<Self>> {
        // The firmware gets a valid address also if there is nothing to read or to write.
        let allocate = |len: usize| {
            Coherent::<u8>::zeroed_slice_with_attrs(dev, len.max(1), flags, DMA_ATTR_NO_WARN)
        };
        let buffers = Self {
            completion: UnsafeCell::new(Completion::new_zeroed()),
            request: allocate(request.len())?,
            response: allocate(response_len)?,
            next: None,
        };

        if !request.is_empty() {
            buffers.request.copy_from_slice(request);
        }
        Ok(KBox::new(buffers, GFP_KERNEL)?)
    }
}

/// How a command ended.
enum Outcome {
    /// The firmware executed it.
    Done(Completion),
    /// The firmware refused it.
    Refused(Error),
    /// It did not reach the firmware.
    NotSent(Error),
    /// The firmware did not answer. It may have executed the command, or may do so later.
    Lost(Error),
}

/// Memory for the commands of the driver itself, one at a time.
struct Own {
    buffers: KBox<Buffers>,
    is_lost: bool,
}

/// A client of the firmware, while its auxiliary device is bound to this driver.
///
/// # Invariants
///
/// `padev` is a device of `pds_core` and stays bound to this driver for `'bound`. While it is
/// bound, `pds_core` neither frees it nor is unbound itself.
#[pin_data(PinnedDrop)]
pub(crate) struct Client<'bound> {
    padev: NonNull<PdsAuxiliaryDev>,
    host: &'bound auxiliary::Device<Bound>,
    watch: Watch,
    own: TryLock<Option<Own>>,
    /// The memory of lost RPCs.
    #[pin]
    lost: Mutex<Option<KBox<Buffers>>>,
    /// Whether `lost` may have something.
    has_lost: Atomic<bool>,
}

// SAFETY: The functions of `pds_core` and `shim.c` that take `padev` may be called from any thread,
// as those that take the pointer of `watch`. The other fields are `Send`.
unsafe impl Send for Client<'_> {}
// SAFETY: The functions of `pds_core` and `shim.c` that take `padev` may be called concurrently, as
// those that take the pointer of `watch`. The other fields are `Sync`.
unsafe impl Sync for Client<'_> {}

impl<'bound> Client<'bound> {
    /// Returns the client of an auxiliary device.
    ///
    /// Fails with [`ENODEV`] if `pds_core` did not create the auxiliary device for this driver, and
    /// with [`ENOMEM`].
    pub(crate) fn new(
        host: &'bound auxiliary::Device<Bound>,
    ) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            fwctl::check_auxiliary_name(host.as_ref(), c"pds_core.fwctl")?;

            // CAST: `auxiliary::Device` is a transparent wrapper of `struct auxiliary_device`.
            let adev = ptr::from_ref(host).cast_mut().cast::<c_void>();
            // SAFETY: `adev` is valid, since `host` is a reference to it, and its name was checked
            // to be one of a device that `pds_core` has created.
            let padev = unsafe { pds_fwctl_shim_padev(adev) };
            let buffers = Buffers::new(host.parent(), &[], LIST_LEN, GFP_KERNEL)?;
            let own = Own {
                buffers,
                is_lost: false,
            };

            // INVARIANT: `padev` contains `host`, which is bound to this driver for `'bound`: the
            // core passes a driver only devices that are bound to it. `pds_core` deletes its
            // auxiliary devices before it is unbound.
            Ok(try_pin_init!(Self {
                padev: NonNull::new(padev).ok_or(ENODEV)?,
                host,
                watch: Watch::new()?,
                own: TryLock::new(Some(own)),
                lost <- new_mutex!(None, "pds_fwctl::lost"),
                has_lost: Atomic::new(false),
            }? Error))
        })
    }

    /// Returns a number that changes before the firmware of this card, or of another one, is reset,
    /// and changes again afterwards.
    pub(crate) fn resets(&self) -> u32 {
        // SAFETY: By its invariant, `watch` has not ended.
        unsafe { pds_fwctl_shim_resets(self.watch.0.as_ptr()) }
    }

    /// Returns whether RPCs were lost, of which the firmware may still use the memory.
    pub(crate) fn has_lost(&self) -> bool {
        self.has_lost.load(Relaxed)
    }

    /// Copies a request to memory for DMA, and allocates some for its response.
    ///
    /// It is charged to the caller's memory cgroup. Fails with [`ENOMEM`].
    pub(crate) fn buffers(&self, request: &[u8], response_len: usize) -> Result<KBox<Buffers>> {
        Buffers::new(
            self.host.parent(),
            request,
            response_len,
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Executes an operation of an endpoint, with a request and for a response in `buffers`. Copies
    /// the response to `response`, which is of the length for which `buffers` were made, and
    /// returns the result of the operation.
    ///
    /// Fails with the error of `pds_core` if the firmware refuses the command or does not answer.
    /// Sleeps, for up to 5 s.
    pub(crate) fn rpc(
        &self,
        endpoint: u32,
        operation: u32,
        request_len: usize,
        buffers: KBox<Buffers>,
        response: &mut [u8],
    ) -> Result<u32> {
        if request_len > buffers.request.len() || response.len() > buffers.response.len() {
            return Err(EINVAL);
        }

        let place = |memory: &Coherent<[u8]>, len| {
            Ok::<_, Error>(Place::new(
                memory.dma_address(),
                u32::try_from(len).map_err(|_| EINVAL)?,
            ))
        };
        let command = RpcCommand::new(
            endpoint,
            operation,
            place(&buffers.request, request_len)?,
            place(&buffers.response, response.len())?,
        );

        // SAFETY: If the command is lost, the buffers are kept, see `keep()`. Otherwise the
        // firmware has completed it or did not get it.
        match unsafe { self.post(&command, &buffers) } {
            Outcome::Done(completion) => {
                if !response.is_empty() {
                    buffers.response.copy_to_slice(response);
                }
                Ok(completion.err.get())
            }
            Outcome::Refused(error) | Outcome::NotSent(error) => Err(error),
            Outcome::Lost(error) => {
                self.keep(buffers);
                Err(error)
            }
        }
    }

    /// Takes the turn for commands of the driver itself. Returns [`None`] if another caller has it.
    /// Does not sleep.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        Some(Turn {
            client: self,
            own: self.own.try_lock()?,
        })
    }

    /// Keeps the memory of a lost command. Dropping the client may leak it, but does not free it
    /// while the firmware can use it.
    fn keep(&self, mut buffers: KBox<Buffers>) {
        let mut lost = self.lost.lock();

        buffers.next = lost.take();
        *lost = Some(buffers);
        self.has_lost.store(true, Relaxed);
    }

    /// Sends a command and waits for its completion.
    ///
    /// # Safety
    ///
    /// - All memory that the command names must be that of `buffers`.
    /// - If the command is lost, `buffers` must not be freed before a later one is answered.
    unsafe fn post<C: Command>(&self, command: &C, buffers: &Buffers) -> Outcome {
        let completion = buffers.completion.get();

        // SAFETY: The completion is valid for writing. The access is volatile because `pds_core`
        // may write it at the same time, for an earlier command that was lost.
        unsafe { completion.write_volatile(Completion::new_zeroed()) };
        // SAFETY:
        // - `padev` is a device of `pds_core` and stays so, by the type invariant.
        // - `command` is valid for reading its size, and no command is empty.
        // - The completion is valid for writing, and the caller promises that `buffers` are not
        //   freed before a later command is completed. `pds_core` does not outlive its queue.
        let ret = unsafe {
            pds_client_adminq_cmd(
                self.padev.as_ptr(),
                ptr::from_ref(command).cast(),
                size_of::<C>(),
                completion.cast(),
                0,
            )
        };
        // SAFETY: The completion is valid for reading, and any bytes are one. The access is
        // volatile for the same reason as above.
        let completion = unsafe { completion.read_volatile() };

        match to_result(ret) {
            Ok(()) if completion.status == 0 => Outcome::Done(completion),
            // A completion that came when the time was over.
            Ok(()) => Outcome::Refused(EIO),
            Err(error) if error == ENXIO || error == ETIMEDOUT => Outcome::Lost(error),
            Err(error) if completion.status == 0 => Outcome::NotSent(error),
            Err(error) => Outcome::Refused(error),
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Client<'_> {
    fn drop(self: Pin<&mut Self>) {
        let Some(mut turn) = self.turn() else {
            return;
        };
        if !turn.is_settled() && turn.ident().is_err() && !turn.is_settled() {
            dev_warn!(
                AsRef::<device::Device<Bound>>::as_ref(self.host),
                "the firmware does not answer: leaking the memory of its commands\n"
            );
            turn.leak();
        }
    }
}

/// The turn for commands of the driver itself, which use memory that is never freed between them.
pub(crate) struct Turn<'a> {
    client: &'a Client<'a>,
    own: TryLockGuard<'a, Option<Own>>,
}

impl Turn<'_> {
    /// Asks the firmware for its limits.
    ///
    /// Fails with the error of `pds_core` if the firmware refuses the command or does not answer,
    /// and with [`ENOMEM`]. Sleeps, for up to 5 s.
    pub(crate) fn ident(&mut self) -> Result<Ident> {
        let bytes = self.run(IdentCommand::new)?;
        let (ident, _) = Ident::read_from_prefix(&bytes).map_err(|_| EPROTO)?;

        Ok(ident)
    }

    /// Asks the firmware for its endpoints, as a list for [`entries`](crate::wire::entries).
    ///
    /// Fails as [`Turn::ident`].
    pub(crate) fn endpoints(&mut self) -> Result<KVVec<u8>> {
        self.run(QueryCommand::endpoints)
    }

    /// Asks the firmware for the operations of an endpoint. See [`Turn::endpoints`].
    pub(crate) fn operations(&mut self, endpoint: u32) -> Result<KVVec<u8>> {
        self.run(|list_pa| QueryCommand::operations(list_pa, endpoint))
    }

    /// Registers the client with firmware that does not know it. No other command may be in flight.
    ///
    /// Fails as [`Turn::ident`].
    pub(crate) fn register(&mut self) -> Result {
        // SAFETY: `padev` is a device of `pds_core` and stays so, by the type invariant of
        // `Client`.
        to_result(unsafe { pds_fwctl_shim_register(self.client.padev.as_ptr()) })
    }

    /// Executes a command that makes the firmware write to a DMA address. Returns a copy of the
    /// [`LIST_LEN`] bytes there.
    fn run<C: Command>(&mut self, command: impl FnOnce(u64) -> C) -> Result<KVVec<u8>> {
        let own = (*self.own).as_mut().ok_or(ENODEV)?;
        let mut bytes = KVVec::from_elem(0, LIST_LEN, GFP_KERNEL)?;
        own.buffers.response.copy_from_slice(&bytes);
        let command = command(own.buffers.response.dma_address());

        // The memory of commands before this one.
        let lost = self.client.lost.lock().take();
        // SAFETY:
        // - The command names the response of the buffers.
        // - They are freed when the client is dropped, or leaked if the command is lost and no
        //   later one is answered: `is_lost` is set below.
        let outcome = unsafe { self.client.post(&command, &own.buffers) };
        let result = match outcome {
            Outcome::Done(_) => {
                own.buffers.response.copy_to_slice(&mut bytes);
                own.is_lost = false;
                Ok(bytes)
            }
            Outcome::Refused(error) => {
                own.is_lost = false;
                Err(error)
            }
            Outcome::NotSent(error) => {
                self.put_back(lost);
                return Err(error);
            }
            Outcome::Lost(error) => {
                own.is_lost = true;
                self.put_back(lost);
                return Err(error);
            }
        };

        // The firmware answers in order, so it has finished all commands before this one.
        drop(lost);
        self.update();
        result
    }

    /// Puts memory that [`Turn::run`] took back on the list.
    fn put_back(&self, mut lost: Option<KBox<Buffers>>) {
        while let Some(mut buffers) = lost {
            lost = buffers.next.take();
            self.client.keep(buffers);
        }
    }

    /// Sets [`Client::has_lost`] according to the list.
    fn update(&self) {
        let lost = self.client.lost.lock();

        self.client.has_lost.store(lost.is_some(), Relaxed);
    }

    /// Returns whether the firmware has finished all commands.
    fn is_settled(&self) -> bool {
        let is_own_lost = (*self.own).as_ref().is_some_and(|own| own.is_lost);

        !is_own_lost && self.client.lost.lock().is_none()
    }

    /// Leaks all memory that the firmware may still use.
    fn leak(&mut self) {
        if let Some(own) = self.own.take() {
            fwctl::leak(own.buffers);
        }
        if let Some(first) = self.client.lost.lock().take() {
            fwctl::leak(first);
        }
    }
}
