// SPDX-License-Identifier: GPL-2.0-only

//! Registered memory in the C driver API: `include/linux/fwctl_memory.h`.
//!
//! A driver names its functions before it registers the device. What it gets are pointers to the
//! types of the Rust API: `struct fwctl_memory` is a [`NewMemory`], `struct fwctl_memory_ref` a
//! [`MemoryRef`].

use core::{
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    bindings,
    device,
    dma::DmaAddress,
    error::to_result,
    prelude::*, //
};

use crate::{
    device::Device,
    registration::LiveDevice,
    umem::{
        MemoryFlags,
        MemoryIds,
        MemoryOps,
        MemoryRef,
        NewMemory,
        Owner, //
    }, //
};

// For functions that are called by pointer, kCFI compares the types of the parameters by name. So
// these have the names of the header.

/// `struct fwctl_memory`, a [`NewMemory`].
#[allow(non_camel_case_types)]
#[repr(C)]
pub(crate) struct fwctl_memory {
    _opaque: [u8; 0],
}

/// `struct fwctl_memory_ids`.
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Default)]
pub(crate) struct fwctl_memory_ids {
    private: u64,
    umem: u32,
    mkey: u32,
}

/// `struct fwctl_memory_ops`.
#[repr(C)]
pub(crate) struct Ops {
    flags: u64,
    without_dma: bool,
    add: Option<
        unsafe extern "C" fn(
            uctx: *mut bindings::fwctl_uctx,
            memory: *mut fwctl_memory,
            flags: u64,
            ids: *mut fwctl_memory_ids,
        ) -> c_int,
    >,
    remove: Option<
        unsafe extern "C" fn(
            uctx: *mut bindings::fwctl_uctx,
            ids: *const fwctl_memory_ids,
        ) -> c_int,
    >,
}

/// What a driver has offered.
///
/// # Invariants
///
/// While the device may be called, `dev` is bound, and `ops` is valid and has all functions.
pub(crate) struct Offer {
    dev: NonNull<bindings::device>,
    ops: NonNull<Ops>,
    flags: MemoryFlags,
}

// SAFETY: The functions can be called from any thread, and the device can be used by any.
unsafe impl Send for Offer {}
// SAFETY: An offer is not changed.
unsafe impl Sync for Offer {}

impl Offer {
    /// Returns what memory can be registered for.
    pub(crate) fn flags(&self) -> MemoryFlags {
        self.flags
    }
}

/// The functions of a driver in C that has offered memory.
pub(crate) static OPS: MemoryOps = MemoryOps {
    device: dma_device,
    add,
    remove,
};

/// Returns what the driver of a device has offered.
fn offer(live: LiveDevice<'_>) -> Result<(&Offer, &Ops)> {
    let offer = live.device().offer.as_ref().ok_or(ENOTTY)?;

    // SAFETY: By the type invariant, the functions are valid while the device may be called.
    Ok((offer, unsafe { offer.ops.as_ref() }))
}

/// See [`MemoryOps::device`].
///
/// # Safety
///
/// The driver of `live` must have offered memory.
unsafe fn dma_device(live: LiveDevice<'_>) -> (&device::Device<device::Bound>, bool) {
    // SAFETY: The caller promises that there is an offer.
    let offer = unsafe { live.device().offer.as_ref().unwrap_unchecked() };

    // SAFETY: By the type invariant, the device is bound, and the functions are valid, while the
    // device may be called.
    unsafe {
        (
            device::Device::from_raw(offer.dev.as_ptr()),
            !offer.ops.as_ref().without_dma,
        )
    }
}

/// See [`MemoryOps::add`].
///
/// # Safety
///
/// `uctx` must be an open context of `live`.
unsafe fn add(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    memory: &mut NewMemory<'_>,
) -> Result<MemoryIds> {
    let (_, ops) = offer(live)?;
    let flags = memory.flags().bits();
    let mut ids = fwctl_memory_ids::default();
    let memory = ptr::from_mut(memory).cast::<fwctl_memory>();

    // SAFETY:
    // - The caller promises that the context is open. That of a driver in C is a `fwctl_uctx`.
    // - Both pointers are valid during the call.
    to_result(unsafe {
        ops.add.ok_or(EOPNOTSUPP)?(uctx.cast().as_ptr(), memory, flags, &raw mut ids)
    })?;
    Ok(MemoryIds {
        umem: ids.umem,
        mkey: ids.mkey,
        private: ids.private,
    })
}

/// See [`MemoryOps::remove`].
///
/// # Safety
///
/// `uctx` must be an open context of `live`.
unsafe fn remove(uctx: NonNull<u8>, live: LiveDevice<'_>, ids: MemoryIds) -> Result {
    let (_, ops) = offer(live)?;
    let ids = fwctl_memory_ids {
        private: ids.private,
        umem: ids.umem,
        mkey: ids.mkey,
    };

    // SAFETY:
    // - The caller promises that the context is open. That of a driver in C is a `fwctl_uctx`.
    // - The pointer is valid during the call.
    to_result(unsafe { ops.remove.ok_or(EIO)?(uctx.cast().as_ptr(), &raw const ids) })
}

/// Offers registered memory: `fwctl_offer_memory()`.
///
/// Call it before `fwctl_register()`. `dev` is the device that accesses the memory, or that of the
/// driver if none does. Returns `-EINVAL` if an operation or the device is missing, if memory was
/// offered before, or if the driver is in Rust.
///
/// # Safety
///
/// - `fwctl` must be from `fwctl_alloc_device()`, not registered, and not freed.
/// - `ops` must be null, or valid until the device is unregistered. Its functions must do what the
///   header says.
/// - `dev` must be null, or bound to a driver from the registration of the device until it is
///   unregistered. That driver must end all memory accesses before it releases the device.
#[no_mangle]
unsafe extern "C" fn fwctl_offer_memory(
    fwctl: *mut bindings::fwctl_device,
    dev: *mut bindings::device,
    ops: *const Ops,
) -> c_int {
    // SAFETY: The caller promises that the device is not freed.
    let device = unsafe { Device::from_raw(fwctl) };
    // SAFETY: The caller promises that the functions are null or valid.
    let known = unsafe { ops.as_ref() };

    let (Some(known), Some(dev)) = (known, NonNull::new(dev)) else {
        return EINVAL.to_errno();
    };
    if known.add.is_none() || known.remove.is_none() || device.driver.rust_ops.is_some() {
        return EINVAL.to_errno();
    }
    // INVARIANT: The caller promises that the device is bound, and the functions are valid, while
    // the device may be called. They were checked just now.
    let offer = Offer {
        dev,
        ops: NonNull::from(known),
        flags: MemoryFlags::from_bits(known.flags),
    };
    if device.offer.populate(offer) {
        0
    } else {
        EINVAL.to_errno()
    }
}

/// Returns the number of pages of new memory: `fwctl_memory_page_count()`.
///
/// As for the functions below, the C side must pass the memory of a call of `add` that has not
/// returned.
#[no_mangle]
extern "C" fn fwctl_memory_page_count(memory: &NewMemory<'_>) -> usize {
    memory.page_count()
}

/// Writes the addresses of the first pages of new memory, at most `count`, to `to`, and returns how
/// many: `fwctl_memory_addresses()`.
///
/// The firmware may have the addresses from then on.
///
/// # Safety
///
/// `to` must be valid for writes of `count` addresses.
#[no_mangle]
unsafe extern "C" fn fwctl_memory_addresses(
    memory: &mut NewMemory<'_>,
    to: *mut DmaAddress,
    count: usize,
) -> usize {
    let mut done = 0;

    for address in memory.addresses().take(count) {
        // SAFETY: The caller promises that `count` addresses can be written.
        unsafe { to.add(done).write(address) };
        done += 1;
    }
    done
}

/// States that the firmware does not have the addresses: `fwctl_memory_retract()`. See
/// [`NewMemory::retract`].
#[no_mangle]
extern "C" fn fwctl_memory_retract(memory: &mut NewMemory<'_>) {
    memory.retract();
}

/// Returns the memory of a context by its number in RPCs: `fwctl_memory_get()`.
///
/// It cannot be destroyed until `fwctl_memory_put()`, which the operation has to call before it
/// returns. Returns `ERR_PTR(-ENOENT)` if the context has no such memory, and `ERR_PTR(-ENOMEM)`.
/// May sleep.
///
/// # Safety
///
/// `uctx` must be that of an operation which has not returned.
#[no_mangle]
unsafe extern "C" fn fwctl_memory_get(
    uctx: *mut bindings::fwctl_uctx,
    umem_id: u32,
) -> *mut MemoryRef<'static> {
    // SAFETY: The caller promises the same.
    unsafe { get(uctx, |ids| ids.umem == umem_id) }
}

/// As [`fwctl_memory_get`], by the memory key: `fwctl_memory_get_by_key()`.
///
/// # Safety
///
/// `uctx` must be that of an operation which has not returned.
#[no_mangle]
unsafe extern "C" fn fwctl_memory_get_by_key(
    uctx: *mut bindings::fwctl_uctx,
    mkey_id: u32,
) -> *mut MemoryRef<'static> {
    // SAFETY: The caller promises the same.
    unsafe { get(uctx, |ids| mkey_id != 0 && ids.mkey == mkey_id) }
}

/// # Safety
///
/// `uctx` must be that of an operation which has not returned.
unsafe fn get(
    uctx: *mut bindings::fwctl_uctx,
    is_wanted: impl Fn(&MemoryIds) -> bool,
) -> *mut MemoryRef<'static> {
    // SAFETY: The caller promises that the context is open. `open()` has set the device, which is
    // valid while a context is open.
    let device = unsafe { Device::from_raw((*uctx).fwctl) };
    // SAFETY: The context is not closed before the operation has returned. The reference is
    // dropped before, which `fwctl_memory_put()` requires; so `'static` is not used.
    let found = unsafe { MemoryRef::find(device, Owner::at(uctx), is_wanted) };

    match found.and_then(|found| Ok(KBox::new(found, GFP_KERNEL)?)) {
        Ok(found) => KBox::into_raw(found),
        Err(error) => error.to_ptr(),
    }
}

/// Ends the use of memory: `fwctl_memory_put()`.
///
/// As for the functions below, the C side must pass memory from `fwctl_memory_get()` or
/// `fwctl_memory_get_by_key()`, in the same operation, that was not put before.
#[no_mangle]
extern "C" fn fwctl_memory_put(memory: KBox<MemoryRef<'static>>) {
    drop(memory);
}

/// Returns the length of memory in bytes: `fwctl_memory_len()`.
#[no_mangle]
extern "C" fn fwctl_memory_len(memory: &MemoryRef<'_>) -> usize {
    memory.len()
}

/// Stores the address of a page, for the device: `fwctl_memory_address()`. Returns `-EINVAL` if
/// there is no such page, or if no device accesses the memory. See [`MemoryRef::page_address`].
#[no_mangle]
extern "C" fn fwctl_memory_address(
    memory: &MemoryRef<'_>,
    page: usize,
    address: &mut MaybeUninit<DmaAddress>,
) -> c_int {
    status(memory.page_address(page).map(|found| {
        address.write(found);
    }))
}

/// Copies bytes of memory to `to`: `fwctl_memory_read()`. Returns `-EINVAL` if there are fewer.
///
/// # Safety
///
/// `to` must be valid for writes of `len` bytes.
#[no_mangle]
unsafe extern "C" fn fwctl_memory_read(
    memory: &MemoryRef<'_>,
    offset: u64,
    to: *mut u8,
    len: usize,
) -> c_int {
    if len == 0 {
        return 0;
    }
    // SAFETY: The caller promises that the bytes are valid for writes, so they are not null. They
    // are initialised first. Nothing else uses them.
    let to = unsafe {
        to.write_bytes(0, len);
        core::slice::from_raw_parts_mut(to, len)
    };

    status(usize::try_from(offset).map_or(Err(EINVAL), |offset| memory.read(offset, to)))
}

/// Copies `from` to memory: `fwctl_memory_write()`. Returns `-EINVAL` if it does not fit.
///
/// # Safety
///
/// `from` must be valid for reads of `len` bytes.
#[no_mangle]
unsafe extern "C" fn fwctl_memory_write(
    memory: &MemoryRef<'_>,
    offset: u64,
    from: *const u8,
    len: usize,
) -> c_int {
    if len == 0 {
        return 0;
    }
    // SAFETY: The caller promises that the bytes are valid for reads, so they are not null. Nothing
    // writes to them meanwhile.
    let from = unsafe { core::slice::from_raw_parts(from, len) };

    status(usize::try_from(offset).map_or(Err(EINVAL), |offset| memory.write(offset, from)))
}

/// Returns 0 or a negative errno.
fn status(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
