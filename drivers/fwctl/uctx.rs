// SPDX-License-Identifier: GPL-2.0-only

//! Per-open-file state.

use core::ptr::NonNull;

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    mm::user_pages::UserPages,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

use crate::{
    async_rpc::{
        Count,
        Submission,
        Submitted, //
    },
    c_api,
    caller_memory::{
        BufferNames,
        CallerMemory, //
    },
    counters::{
        Counter,
        Counters,
        Sums, //
    },
    device::Device,
    exchange::{
        Answer,
        Exchange,
        Info, //
    },
    memory::{
        Cache,
        Request, //
    },
    ops::{
        call_driver,
        Passing, //
    },
    registration::{
        Call,
        LiveDevice, //
    },
    scope::RpcScope,
    shim,
    umem::{
        self,
        Added,
        MemoryFlags,
        NewPages,
        Owner,
        Slot, //
    }, //
};

/// One open file of a fwctl device.
///
/// The driver's own context, of a size that the driver chose, follows in the same allocation. The
/// core owns that allocation, so a file can be closed after its driver was removed.
///
/// # Invariants
///
/// - `device` is valid: the inode of an open file holds a reference to the cdev of the device, and
///   the cdev holds one to the device.
/// - `driver` is a context of the driver of `device`. It is open while this is on the list
///   [`Device::uctx_list`].
pub(crate) struct Uctx {
    device: NonNull<Device>,
    driver: NonNull<u8>,
    /// Memory for requests.
    pub(crate) cache: Cache,
    /// The RPCs of this file that have ended.
    pub(crate) counters: Counters,
    /// How many RPCs an asynchronous driver has.
    in_flight: Option<Count>,
    /// The index in [`UctxList`], or [`UctxList::NONE`]. Protected by the mutex of the list.
    index: Atomic<usize>,
}

impl Uctx {
    /// Opens a context.
    ///
    /// Fails with [`ENODEV`] if the device is being unregistered, with [`ENOMEM`], and with the
    /// errors of the driver. The memory is charged to the memory cgroup of the current task. May
    /// sleep.
    ///
    /// # Safety
    ///
    /// `device` must be that of a file which is being opened. The caller must close the context
    /// when the file is released.
    pub(crate) unsafe fn open(device: &Device) -> Result<NonNull<Self>> {
        device.check_live()?;

        let in_flight = if device.driver.passing == Passing::Asynchronously {
            Some(Arc::new(Atomic::new(0), GFP_KERNEL_ACCOUNT)?)
        } else {
            None
        };
        // SAFETY: The offset is within the size. The memory is aligned as its size is, which is a
        // multiple of the alignment of both parts. The driver's part is zeroed.
        let memory = unsafe { shim::fwctl_shim_uctx(device.uctx_size, device.uctx_offset) };
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(ENOMEM)?;
        let uctx = memory.cast::<Self>();
        // SAFETY: The offset is within the allocation.
        let driver = unsafe { memory.add(device.uctx_offset) };

        // INVARIANT: The caller promises that the file is being opened. The context is not on the
        // list yet.
        let value = Self {
            device: NonNull::from(device),
            driver,
            cache: Cache::new(),
            counters: Counters::new(),
            in_flight,
            index: Atomic::new(UctxList::NONE),
        };
        // SAFETY: The memory is valid for a write of `Self`, and aligned.
        unsafe { uctx.write(value) };

        // SAFETY: `driver` is the zeroed part of the allocation for the driver of `device`, in
        // which nothing was opened.
        if let Err(error) = unsafe { Self::open_driver(device, uctx, driver) } {
            // SAFETY: The context was initialised above. It has not been published, and is not
            // open.
            unsafe { Self::free(uctx) };
            return Err(error);
        }
        Ok(uctx)
    }

    /// Calls the driver to open its part.
    ///
    /// # Safety
    ///
    /// `uctx` must be a new context of `device`, and `driver` the driver's part of it, zeroed.
    #[inline]
    unsafe fn open_driver(device: &Device, uctx: NonNull<Self>, driver: NonNull<u8>) -> Result {
        let call = device.enter()?;

        // SAFETY:
        // - `call_driver!` calls the functions that the device was made with.
        // - The caller promises that `driver` is what they need, zeroed.
        unsafe { call_driver!(call.device(), open(driver)) }?;
        // SAFETY: The caller promises that the context is new. It is freed by `close()`, after
        // `close_context()`, or below, if it was not added.
        let added = unsafe { device.uctx_list.lock().push(uctx) };
        if added.is_err() {
            // SAFETY:
            // - The call is to the driver of the device of the context.
            // - The context was opened just now, nobody else knows it, and it is not used again.
            unsafe { uctx.as_ref().close_driver(call.device()) };
        }
        added
    }

    /// Closes a context, whether or not its device is still registered. May sleep.
    ///
    /// # Safety
    ///
    /// `uctx` must be from [`Uctx::open`], and must not be used again.
    pub(crate) unsafe fn close(uctx: NonNull<Self>) {
        // SAFETY: The caller promises that the context is from `open()`, so it is valid.
        let device = unsafe { uctx.as_ref() }.device();
        // SAFETY: The caller promises that the context is from `open()`, which added it to the
        // list, and that it is not used, so no call in it is in flight or begins.
        unsafe { device.close_context(uctx) };

        // SAFETY: The context is from `open()`, was closed just now, and is not used again.
        unsafe { Self::free(uctx) };
    }

    /// Frees the memory.
    ///
    /// # Safety
    ///
    /// `uctx` must be initialised by [`Uctx::open`], not open, and must not be used again.
    unsafe fn free(uctx: NonNull<Self>) {
        // SAFETY: The caller promises that the context is initialised and not used again. Its
        // driver has dropped its own part.
        unsafe { core::ptr::drop_in_place(uctx.as_ptr()) };
        // SAFETY: The memory is from `kmalloc()`, and nothing lives in it.
        unsafe { bindings::kfree(uctx.as_ptr().cast()) };
    }

    /// Returns the device.
    #[inline]
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: By the type invariant, the device is valid while there is a context.
        unsafe { self.device.as_ref() }
    }

    /// Returns what identifies the file in the registry of memory.
    pub(crate) fn owner(&self) -> Owner {
        Owner::at(self.driver.as_ptr())
    }

    /// Returns the number of RPCs that an asynchronous driver has.
    ///
    /// Fails with [`EOPNOTSUPP`] for another driver.
    pub(crate) fn in_flight(&self) -> Result<Count> {
        self.in_flight.clone().ok_or(EOPNOTSUPP)
    }

    /// Begins a call into the driver in this context.
    ///
    /// Fails with [`ENODEV`] if the device is being unregistered.
    #[inline]
    pub(crate) fn enter(&self) -> Result<UctxCall<'_>> {
        // INVARIANT: The call is to the driver of the device of `self`. While it is in flight the
        // unregistration does not close the context, and `close()` is not called while there is a
        // reference.
        Ok(UctxCall {
            uctx: self,
            call: self.device().enter()?,
        })
    }

    /// Copies a request of `len` bytes from user space.
    ///
    /// Fails as [`Request::from_user`].
    pub(crate) fn read_request(&self, from: UserPtr, len: usize) -> Result<Request<'_>> {
        Request::from_user(&self.cache, from, len)
    }

    /// Copies the buffers that `request` names from user space.
    ///
    /// Fails with [`ENODEV`] if the device is being unregistered, with the errors of the driver,
    /// and as [`CallerMemory::read`].
    pub(crate) fn read_buffers(&self, request: &[u8]) -> Result<CallerMemory> {
        // The call into the driver ends here: user memory is only touched afterwards.
        let names = self.enter()?.name_buffers(request)?;
        CallerMemory::read(&names)
    }

    /// Calls the driver to make the firmware forget the memory of the file, and to close its part.
    ///
    /// # Safety
    ///
    /// - `live` must be the device of this context.
    /// - The context must be open, and must be closed only once.
    /// - No call in this context may be in flight or begin.
    pub(crate) unsafe fn close_driver(&self, live: LiveDevice<'_>) {
        if live.device().memory_flags().is_some() {
            // SAFETY: The caller promises that the context is open, and that nothing else runs in
            // it.
            unsafe { umem::remove_all(self.driver, live, self.owner()) };
        }

        // SAFETY:
        // - `call_driver!` calls the functions that the device was made with.
        // - The caller promises that the context is open, and that nothing else runs in it.
        unsafe { call_driver!(live, close(self.driver)) };
    }
}

/// A call into the driver in one context, in flight until this is dropped.
///
/// Do not touch user memory during a call: see `registration.rs`.
///
/// # Invariants
///
/// `call` is to the driver of the device of `uctx`, and `uctx` is open.
pub(crate) struct UctxCall<'a> {
    uctx: &'a Uctx,
    call: Call<'a>,
}

impl UctxCall<'_> {
    /// Calls the driver for `FWCTL_INFO`.
    pub(crate) fn info(&self, info: &mut Info) -> Result {
        // SAFETY:
        // - `call_driver!` calls the functions that the device was made with.
        // - By the type invariant, the context is open.
        unsafe { call_driver!(self.call.device(), info(self.uctx.driver, info)) }
    }

    /// Calls the driver to name the buffers of a request.
    fn name_buffers(&self, request: &[u8]) -> Result<BufferNames> {
        let mut names = BufferNames::new();

        if let Some(ops) = self.call.device().rust_ops() {
            ops.name_buffers.ok_or(EOPNOTSUPP)?(request, &mut names)?;
        }
        Ok(names)
    }

    /// Asks the driver for the number of the command in `request`.
    #[cold]
    pub(crate) fn opcode(&self, request: &[u8]) -> Option<u32> {
        self.call.device().rust_ops()?.opcode?(request)
    }

    /// Calls the driver for `FWCTL_RPC`; the caller's reply buffer has `out_len` bytes.
    #[inline(always)]
    pub(crate) fn fw_rpc(
        &self,
        scope: RpcScope,
        request: &mut [u8],
        memory: &mut CallerMemory,
        out_len: usize,
    ) -> Result<Answer> {
        let live = self.call.device();
        let uctx = self.uctx.driver;

        match live.rust_ops() {
            Some(ops) => {
                let fw_rpc = ops.fw_rpc.ok_or(EOPNOTSUPP)?;

                // SAFETY:
                // - This is one of the functions that the device was made with.
                // - By the type invariant, the context is open.
                Exchange::run(request, memory, out_len, |rpc| unsafe {
                    fw_rpc(uctx, live, scope, rpc)
                })
            }
            // SAFETY:
            // - The device was made without such functions, so its driver is in C.
            // - By the type invariant, the context is open.
            None => unsafe { c_api::fw_rpc(uctx, live, scope, request, out_len) },
        }
    }

    /// Tells the firmware of memory. Fails as [`umem::add`].
    pub(crate) fn add_memory(
        &self,
        slot: Slot<'_>,
        pages: NewPages,
        flags: MemoryFlags,
    ) -> Result<Added> {
        // SAFETY: By the type invariant, the context is open.
        unsafe { umem::add(self.uctx.driver, self.call.device(), slot, pages, flags) }
    }

    /// Makes the firmware forget the memory of a resource. Fails as [`umem::remove`].
    pub(crate) fn remove_memory(&self, rsc_id: u32) -> Result<Option<UserPages>> {
        let uctx = self.uctx;

        // SAFETY: By the type invariant, the context is open.
        unsafe { umem::remove(uctx.driver, self.call.device(), uctx.owner(), rsc_id) }
    }

    /// Passes an RPC to an asynchronous driver.
    pub(crate) fn submit<'a>(&self, scope: RpcScope, rpc: Submission<'a>) -> Result<Submitted<'a>> {
        let live = self.call.device();
        let submit = live.rust_ops().and_then(|ops| ops.submit);

        // SAFETY:
        // - This is one of the functions that the device was made with.
        // - By the type invariant, the context is open.
        unsafe { submit.ok_or(EOPNOTSUPP)?(self.uctx.driver, live, scope, rpc) }
    }

    /// Lets an asynchronous driver do what is left when an RPC was answered.
    pub(crate) fn answered(&self) {
        let live = self.call.device();

        if let Some(answered) = live.rust_ops().and_then(|ops| ops.answered) {
            // SAFETY:
            // - This is one of the functions that the device was made with.
            // - By the type invariant, the context is open.
            unsafe { answered(self.uctx.driver, live) };
        }
    }

    /// Returns whether the driver answers `request` without sleeping.
    pub(crate) fn never_sleeps(&self, request: &[u8]) -> bool {
        let ops = self.call.device().rust_ops();

        ops.and_then(|ops| ops.never_sleeps)
            .is_some_and(|never_sleeps| never_sleeps(request))
    }
}

/// The open contexts of a device.
///
/// # Invariants
///
/// - All contexts on the list are valid.
/// - The `index` of a context on the list is its position.
pub(crate) struct UctxList {
    open: KVVec<NonNull<Uctx>>,
    /// The counters of contexts that were removed.
    closed: Sums,
}

// SAFETY: A context can be used from any thread.
unsafe impl Send for UctxList {}

impl UctxList {
    /// The index of a context that is not on the list.
    const NONE: usize = usize::MAX;

    /// Returns an empty list.
    pub(crate) fn new() -> Self {
        // INVARIANT: There is no context on the list.
        Self {
            open: KVVec::new(),
            closed: Sums::new(),
        }
    }

    /// Adds `uctx`.
    ///
    /// Fails with [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// `uctx` must be on no list, and must stay valid until it is removed from this one.
    unsafe fn push(&mut self, uctx: NonNull<Uctx>) -> Result {
        let index = self.open.len();

        self.open.push(uctx, GFP_KERNEL)?;
        // INVARIANT: The caller promises that the context stays valid. It is the last one.
        // SAFETY: The caller promises that the context is valid.
        unsafe { uctx.as_ref() }.index.store(index, Relaxed);
        Ok(())
    }

    /// Returns a counter of all contexts that are or were on the list.
    pub(crate) fn sum(&self, scope: RpcScope, counter: Counter) -> usize {
        let closed = self.closed.get(scope, counter);

        self.open.iter().fold(closed, |sum, uctx| {
            // SAFETY: The context is on the list, so it is valid by the type invariant.
            sum.wrapping_add(unsafe { uctx.as_ref() }.counters.get(scope, counter))
        })
    }

    /// Removes `uctx`. Returns whether it was on the list.
    pub(crate) fn remove(&mut self, uctx: &Uctx) -> bool {
        let index = uctx.index.load(Relaxed);
        if self.open.get(index) != Some(&NonNull::from(uctx)) {
            return false;
        }

        // The last one takes its place.
        let last = self.pop();
        if let Some(last) = last.filter(|&last| last != NonNull::from(uctx)) {
            // INVARIANT: The context was on the list, so it is valid, and its position is `index`.
            self.open[index] = last;
            // SAFETY: The context is on the list, so it is valid by the type invariant.
            unsafe { last.as_ref() }.index.store(index, Relaxed);
        }
        uctx.index.store(Self::NONE, Relaxed);
        self.closed.add(&uctx.counters);
        true
    }

    /// Removes the last context of the list.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Uctx>> {
        let uctx = self.open.pop()?;

        // SAFETY: The context was on the list, so it is valid by the type invariant.
        unsafe { uctx.as_ref() }.index.store(Self::NONE, Relaxed);
        Some(uctx)
    }
}
