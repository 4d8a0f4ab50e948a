// SPDX-License-Identifier: GPL-2.0-only

//! Per-open-file state.

use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    prelude::*, //
};

use crate::{
    device::Device,
    door::call_driver,
    export,
    info::Info,
    registration::{
        Callable,
        Calls, //
    },
    request::{
        Request,
        Spare, //
    },
    rpc::{
        Answer,
        Exchange, //
    },
    scope::RpcScope,
    shim, //
};

/// One open file of a fwctl device.
///
/// The driver's own context, of a size that it chose, follows in the same allocation, which belongs
/// to the core: closing a file whose driver is gone needs no driver.
///
/// # Invariants
///
/// - `device` is valid: a context belongs to an open file, and so long the file's inode has a
///   reference to the cdev of the device, and the cdev one to the device.
/// - `driver` is a context of the driver of `device`, open as long as this is on the list
///   [`Device::contexts`].
/// - `links` belongs to that list.
pub(crate) struct Uctx {
    device: NonNull<Device>,
    driver: NonNull<u8>,
    spare: Spare,
    links: UnsafeCell<Links>,
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
    /// `device` must be that of a file which is being opened. The caller has to close the context
    /// when the file is released.
    pub(crate) unsafe fn open(device: &Device) -> Result<NonNull<Self>> {
        device.check_live()?;

        // SAFETY: The function has no requirement. It aligns as the size is, which is a multiple of
        // the alignment; and it zeroes the driver's part, while ours is written below.
        let memory = unsafe { shim::fwctl_shim_uctx(device.uctx_size, device.uctx_offset) };
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(ENOMEM)?;
        let uctx = memory.cast::<Self>();
        // SAFETY: The offset lies within the allocation.
        let driver = unsafe { memory.add(device.uctx_offset) };

        // INVARIANT: The device is valid by the safety requirements. It is on no list yet.
        let value = Self {
            device: NonNull::from(device),
            driver,
            spare: Spare::new(),
            links: UnsafeCell::new(Links::default()),
        };
        // SAFETY: The memory is large enough, aligned, and ours.
        unsafe { uctx.write(value) };

        // SAFETY: `driver` is the part of the allocation for the driver of `device`, zeroed, in
        // which nothing was opened.
        if let Err(error) = unsafe { Self::open_driver(device, uctx, driver) } {
            // SAFETY: The context was made above. It was not published, and the driver did not open
            // it.
            unsafe { Self::free(uctx) };
            return Err(error);
        }
        Ok(uctx)
    }

    /// Makes the driver open its side.
    ///
    /// # Safety
    ///
    /// `uctx` must be a new context of `device`, and `driver` the driver's part of it, zeroed.
    #[inline]
    unsafe fn open_driver(device: &Device, uctx: NonNull<Self>, driver: NonNull<u8>) -> Result {
        let calls = device.enter()?;

        // SAFETY:
        // - `call_driver!` calls the functions that the device was made with.
        // - The caller promises that `driver` is what they need, zeroed.
        unsafe { call_driver!(calls.callable(), open(driver)) }?;
        device.add_context(calls.callable(), uctx);
        Ok(())
    }

    /// Closes a context, whether or not its device is still registered. May sleep.
    ///
    /// # Safety
    ///
    /// `uctx` must be from [`Uctx::open`], and not be used any more.
    pub(crate) unsafe fn close(uctx: NonNull<Self>) {
        // SAFETY:
        // - The caller promises that it is from `open()`, so it is valid, and was added once.
        // - The caller promises that it is not used any more, so no call is in flight.
        unsafe { uctx.as_ref().device().close_context(uctx) };

        // SAFETY: It is from `open()`, closed, and not used any more.
        unsafe { Self::free(uctx) };
    }

    /// Frees the memory.
    ///
    /// # Safety
    ///
    /// `uctx` must be from [`Uctx::open`], not open, and not be used any more.
    unsafe fn free(uctx: NonNull<Self>) {
        // SAFETY: The caller promises that it is not used any more. The driver has dropped its part.
        unsafe { core::ptr::drop_in_place(uctx.as_ptr()) };
        // SAFETY: It is from `kmalloc()`.
        unsafe { bindings::kfree(uctx.as_ptr().cast()) };
    }

    /// Returns the device.
    #[inline]
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: By the type invariant, the device is valid while there is a context.
        unsafe { self.device.as_ref() }
    }

    /// Begins a call into the driver in this context; fails with [`ENODEV`] if the device is being
    /// unregistered.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Session<'_>> {
        // INVARIANT: The calls are of the device of `self`. They show that the unregistration has
        // not closed the context, and `close()` is not called while there is a reference.
        Ok(Session {
            uctx: self,
            calls: self.device().enter()?,
        })
    }

    /// Copies a request from user space, into the buffer that the file caches if it is large enough
    /// and not in use.
    ///
    /// Fails as [`Request::from_user`].
    #[inline]
    pub(crate) fn read_request(&self, from: UserPtr, len: usize) -> Result<Request<'_>> {
        Request::from_user(&self.spare, from, len)
    }

    /// Calls the driver to close its side.
    ///
    /// # Safety
    ///
    /// - `callable` must be of the same device.
    /// - The context must be open, and this the only time that it is closed.
    /// - No call in this context may be in flight or begin.
    pub(crate) unsafe fn close_driver(&self, callable: Callable<'_>) {
        // SAFETY:
        // - `call_driver!` calls the functions that the device was made with.
        // - The caller promises that the context is open, and that nothing else runs in it.
        unsafe { call_driver!(callable, close(self.driver)) };
    }
}

/// A call into the driver in one context, counted until this is dropped.
///
/// No user memory may be touched while there is one: see `registration.rs`.
///
/// # Invariants
///
/// `calls` is of the device of `uctx`, and `uctx` is open.
pub(crate) struct Session<'a> {
    uctx: &'a Uctx,
    calls: Calls<'a>,
}

impl Session<'_> {
    /// Calls the driver for `FWCTL_INFO`.
    pub(crate) fn info(&self, info: &mut Info) -> Result {
        // SAFETY:
        // - `call_driver!` calls the functions that the device was made with.
        // - By the type invariant, the context is open.
        unsafe { call_driver!(self.calls.callable(), info(self.uctx.driver, info)) }
    }

    /// Calls the driver for `FWCTL_RPC`; the caller has `out_len` bytes for the reply.
    #[inline]
    pub(crate) fn fw_rpc(
        &self,
        scope: RpcScope,
        request: &mut [u8],
        out_len: usize,
    ) -> Result<Answer> {
        let callable = self.calls.callable();
        let uctx = self.uctx.driver;

        match callable.door() {
            // SAFETY:
            // - These are the functions that the device was made with.
            // - By the type invariant, the context is open.
            Some(door) => Exchange::run(request, out_len, |rpc| unsafe {
                (door.fw_rpc)(uctx, callable, scope, rpc)
            }),
            // SAFETY:
            // - The device was made without such functions, so its driver is in C.
            // - By the type invariant, the context is open.
            None => unsafe { export::fw_rpc(uctx, callable, scope, request, out_len) },
        }
    }
}

/// The place of a context in its list.
#[derive(Default)]
struct Links {
    is_listed: bool,
    next: Option<NonNull<Uctx>>,
    prev: Option<NonNull<Uctx>>,
}

/// A list of contexts, linked through themselves, so that opening a file takes one allocation.
///
/// # Invariants
///
/// All contexts on the list are valid, and their `links` say that they are on it and who their
/// neighbours are. Nobody else uses these `links`.
pub(crate) struct Contexts {
    first: Option<NonNull<Uctx>>,
}

// SAFETY: Contexts can be used from any thread.
unsafe impl Send for Contexts {}

impl Contexts {
    /// Returns an empty list.
    pub(crate) fn new() -> Self {
        // INVARIANT: There is no context on it.
        Self { first: None }
    }

    /// Returns the links of a context.
    ///
    /// # Safety
    ///
    /// `uctx` must be valid, and either on this list or on none.
    unsafe fn links(&self, uctx: NonNull<Uctx>) -> *mut Links {
        // SAFETY: By the safety requirements.
        unsafe { uctx.as_ref() }.links.get()
    }

    /// Puts `uctx` on the list.
    ///
    /// # Safety
    ///
    /// `uctx` must be on no list, valid, and stay valid until it is taken off this one.
    pub(crate) unsafe fn push(&mut self, uctx: NonNull<Uctx>) {
        let next = self.first;

        // INVARIANT: The new one and its neighbour, which has no other before it, know each other.
        // SAFETY: By the safety requirements and the type invariant both are valid, and their links
        // are ours.
        unsafe {
            *self.links(uctx) = Links {
                is_listed: true,
                next,
                prev: None,
            };
            if let Some(next) = next {
                (*self.links(next)).prev = Some(uctx);
            }
        }
        self.first = Some(uctx);
    }

    /// Takes `uctx` off the list; returns whether it was there.
    ///
    /// # Safety
    ///
    /// `uctx` must be valid, and on no other list.
    pub(crate) unsafe fn remove(&mut self, uctx: NonNull<Uctx>) -> bool {
        // SAFETY: By the safety requirements.
        let links = core::mem::take(unsafe { &mut *self.links(uctx) });
        if !links.is_listed {
            return false;
        }

        // INVARIANT: The neighbours now know each other.
        match links.prev {
            // SAFETY: By the type invariant.
            Some(prev) => unsafe { (*self.links(prev)).next = links.next },
            None => self.first = links.next,
        }
        if let Some(next) = links.next {
            // SAFETY: By the type invariant.
            unsafe { (*self.links(next)).prev = links.prev };
        }
        true
    }

    /// Takes a context off the list.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Uctx>> {
        let uctx = self.first?;

        // SAFETY: By the type invariant it is valid, and on this list.
        unsafe { self.remove(uctx) };
        Some(uctx)
    }
}
