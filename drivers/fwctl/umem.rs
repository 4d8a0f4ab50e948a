// SPDX-License-Identifier: GPL-2.0-only

//! `FWCTL_RSC_UMEM_REG`, `FWCTL_RSC_UMEM_ALLOC` and `FWCTL_RSC_DESTROY`: memory that is registered
//! for the firmware.
//!
//! A program registers a range of its memory, which the core pins and maps for the device; or the
//! core allocates memory for the device, which the program maps with mmap(2). The driver tells the
//! firmware. From then on RPCs of the same file can name the memory, by the number that the driver
//! gave it. They never contain an address: where the firmware needs one, the driver looks it up
//! ([`Context::memory`](crate::Context::memory)).
//!
//! # Lifetime
//!
//! Memory is released when its resource is destroyed, when the file is closed, or when the device
//! is unregistered, whichever is first, in this order:
//!
//! 1. No RPC uses it, and none will: `FWCTL_RSC_DESTROY` fails with [`EBUSY`] while one does, and
//!    in the other cases there is none.
//! 2. The driver makes the firmware forget it
//!    ([`Operations::remove_memory`](crate::Operations::remove_memory)).
//! 3. The mapping is ended, the pages are unpinned, and what was charged is given back. Pages of
//!    the kernel become free when programs have unmapped them, too.
//!
//! If the firmware does not confirm the second step, the third does not follow: see
//! `quarantine.rs`. The same applies if the driver has looked at the addresses of new memory and
//! then fails, unless it says that the firmware does not have them.

use core::ptr::NonNull;

use kernel::{
    device,
    dma::DmaAddress,
    mm::{
        shared_pages::SharedPages,
        user_pages::{
            PageAddresses,
            UserPages, //
        },
        virt::VmaNew, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sizes::SZ_64M,
    uaccess::copy, //
};

use crate::{
    device::Device,
    quarantine::{
        self,
        Entry,
        Pages, //
    },
    registration::LiveDevice,
    scope::{
        self,
        RpcScope, //
    },
    uctx::Uctx, //
};

/// The most bytes of one registration.
const MAX_LEN: usize = SZ_64M;

/// Limits of what is registered at the same time.
struct Limit {
    count: usize,
    pages: usize,
}

/// The limits of a file.
const OF_FILE: Limit = Limit {
    count: 64,
    pages: (2 * MAX_LEN) >> PAGE_SHIFT,
};

/// The limits of a device, with what it has in quarantine.
const OF_DEVICE: Limit = Limit {
    count: 1024,
    pages: (8 * MAX_LEN) >> PAGE_SHIFT,
};

/// What registered memory is for: `enum fwctl_umem_flags` of `include/uapi/fwctl/fwctl.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFlags(u64);

impl MemoryFlags {
    /// No flags.
    pub const NONE: Self = Self(0);
    /// The firmware gets a memory key: `FWCTL_UMEM_FLAG_MKEY`.
    pub const MKEY: Self = Self(1 << 0);
    /// RPCs name single pages: `FWCTL_UMEM_FLAG_MCDD`.
    pub const MCDD: Self = Self(1 << 1);

    /// Returns the flags whose bits are set in `bits`.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits, as the uapi has them.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the flags of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether these are all set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// What the firmware calls registered memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryIds {
    /// The number of the memory in RPCs. No two registrations of a file may have the same.
    pub umem: u32,
    /// The memory key, or 0.
    pub mkey: u32,
    /// What else the driver needs to make the firmware forget the memory.
    pub private: u64,
}

/// `struct fwctl_rsc_umem_reg` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct RegisterArgs {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Must be 0.
    rsvd: u32,
    flags: u64,
    addr: u64,
    len: u64,
    out_umem_id: u32,
    out_mkey_id: u32,
    out_rsc_id: u32,
    /// Must be 0.
    rsvd1: u32,
}

/// `struct fwctl_rsc_umem_alloc` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct AllocateArgs {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Must be 0.
    rsvd: u32,
    flags: u64,
    len: u64,
    out_offset: u64,
    out_umem_id: u32,
    out_mkey_id: u32,
    out_rsc_id: u32,
    /// Must be 0.
    rsvd1: u32,
}

/// `struct fwctl_rsc_destroy` of `include/uapi/fwctl/fwctl.h`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
pub(crate) struct DestroyArgs {
    /// Size of this structure as user space knows it, in bytes.
    size: u32,
    /// Must be 0.
    rsvd: u32,
    /// Must be 0.
    flags: u64,
    /// Must be 0.
    kind: u32,
    rsc_id: u32,
}

/// Executes `FWCTL_RSC_UMEM_REG` and writes the structure back to `arg`.
pub(crate) fn register(uctx: &Uctx, arg: UserPtr, args: &mut RegisterArgs) -> Result {
    let flags = check_flags(uctx, args.flags, args.rsvd | args.rsvd1)?;
    let (address, count) = check_range(args.addr, args.len)?;
    // A caller that may not send RPCs needs no memory for them.
    scope::authorize(RpcScope::Configuration, uctx.device())?;

    let slot = Slot::reserve(uctx, count)?;
    // User space decides how long page faults take, so this precedes the call into the driver.
    let pages = NewPages::OfCaller(UserPages::pin(address, count)?);
    let added = uctx.enter()?.add_memory(slot, pages, flags)?;

    args.out_umem_id = added.ids.umem;
    args.out_mkey_id = added.ids.mkey;
    args.out_rsc_id = added.rsc_id;
    write_back(uctx, arg, args, added.rsc_id)
}

/// Executes `FWCTL_RSC_UMEM_ALLOC` and writes the structure back to `arg`.
pub(crate) fn allocate(uctx: &Uctx, arg: UserPtr, args: &mut AllocateArgs) -> Result {
    let flags = check_flags(uctx, args.flags, args.rsvd | args.rsvd1)?;
    let (_, count) = check_range(0, args.len)?;
    scope::authorize(RpcScope::Configuration, uctx.device())?;

    let slot = Slot::reserve(uctx, count)?;
    let pages = NewPages::OfKernel(count);
    let added = uctx.enter()?.add_memory(slot, pages, flags)?;

    args.out_offset = file_offset(added.rsc_id);
    args.out_umem_id = added.ids.umem;
    args.out_mkey_id = added.ids.mkey;
    args.out_rsc_id = added.rsc_id;
    write_back(uctx, arg, args, added.rsc_id)
}

/// Returns the flags that user space gave, and checks them and its reserved fields.
fn check_flags(uctx: &Uctx, flags: u64, reserved: u32) -> Result<MemoryFlags> {
    let supported = uctx.device().memory_flags().ok_or(ENOTTY)?;
    let flags = MemoryFlags(flags);

    if supported.contains(flags) && reserved == 0 {
        Ok(flags)
    } else {
        Err(EOPNOTSUPP)
    }
}

/// Writes the structure of a new resource back to `arg`, or destroys the resource: the program does
/// not know its number.
fn write_back<T>(uctx: &Uctx, arg: UserPtr, args: &T, rsc_id: u32) -> Result
where
    T: IntoBytes + zerocopy::Immutable,
{
    copy::write(arg, args).inspect_err(|_| {
        // Without a device there is nothing to undo.
        let _ = uctx.enter().map(|call| call.remove_memory(rsc_id));
    })
}

/// Returns where the memory of a resource begins, as an offset in its file.
fn file_offset(rsc_id: u32) -> u64 {
    u64::from(rsc_id) * MAX_LEN as u64
}

/// Maps memory of the kernel for mmap(2), from page `offset` of the file on.
///
/// Fails with [`ENODEV`] if the device is being unregistered, or its driver does not offer memory;
/// with [`ENOENT`] if the file has no resource at that offset; with [`EINVAL`] if its memory is
/// that of the program, or too short; and as [`SharedPages::map`].
pub(crate) fn map(uctx: &Uctx, vma: &VmaNew, offset: usize) -> Result {
    const PAGES: usize = MAX_LEN >> PAGE_SHIFT;

    uctx.device().check_live()?;
    uctx.device().memory_flags().ok_or(ENODEV)?;
    let rsc_id = u32::try_from(offset / PAGES).map_err(|_| ENOENT)?;
    // The lock keeps the memory from being destroyed. It follows the `mmap_lock`, which the caller
    // holds.
    let registry = uctx.device().memory.lock();
    let item = registry
        .position(uctx.owner(), rsc_id)
        .and_then(|index| registry.items.get(index));

    match item.and_then(|item| item.memory.as_ref()) {
        Some(memory) => match &memory.entry.pages {
            Pages::Shared(pages) => pages.map(vma, offset % PAGES),
            Pages::Mapped(_) | Pages::User(_) => Err(EINVAL),
        },
        None => {
            // The device may have been removed meanwhile, and the memory with it.
            uctx.device().check_live()?;
            Err(ENOENT)
        }
    }
}

/// Executes `FWCTL_RSC_DESTROY`.
pub(crate) fn destroy(uctx: &Uctx, _arg: UserPtr, args: &mut DestroyArgs) -> Result {
    if args.flags != 0 || args.kind != 0 || args.rsvd != 0 {
        return Err(EOPNOTSUPP);
    }

    // The call into the driver ends before the pages are unpinned.
    let pages = uctx.enter()?.remove_memory(args.rsc_id)?;
    drop(pages);
    Ok(())
}

/// Returns the address and the number of pages of a range that user space gave.
///
/// Fails with [`EINVAL`] if it is empty, too long, not aligned to pages, or wraps around. Whether
/// the program has such memory is not checked.
fn check_range(address: u64, len: u64) -> Result<(usize, usize)> {
    let address = usize::try_from(address).map_err(|_| EINVAL)?;
    let len = usize::try_from(len).map_err(|_| EINVAL)?;

    if len == 0
        || len > MAX_LEN
        || len % PAGE_SIZE != 0
        || address % PAGE_SIZE != 0
        || address.checked_add(len).is_none()
    {
        return Err(EINVAL);
    }
    Ok((address, len >> PAGE_SHIFT))
}

/// Identifies an open file among those of its device: the address of the driver's context.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(usize);

impl Owner {
    /// Returns the owner whose context is at `driver`.
    #[inline]
    pub(crate) fn at<T>(driver: *const T) -> Self {
        Self(driver.addr())
    }
}

/// One registration, or the place for one.
struct Item {
    owner: Owner,
    /// The resource, unique in its file.
    rsc_id: u32,
    pages: usize,
    /// The memory; [`None`] while it is being registered.
    memory: Option<Memory>,
    /// How many RPCs use it.
    uses: usize,
}

/// Memory that the firmware has been told of.
struct Memory {
    ids: MemoryIds,
    entry: KBox<Entry>,
}

/// What is registered with a device.
pub(crate) struct Registry {
    items: KVVec<Item>,
    /// How much of the device is in quarantine.
    quarantined: Totals,
}

/// Numbers for sysfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) count: usize,
    pub(crate) pages: usize,
}

impl Totals {
    fn add(&mut self, pages: usize) {
        self.count += 1;
        self.pages += pages;
    }

    /// Returns whether another registration fits.
    fn admits(&self, pages: usize, limit: &Limit) -> bool {
        self.count < limit.count && pages <= limit.pages.saturating_sub(self.pages)
    }

    /// Returns the number of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.pages << PAGE_SHIFT
    }
}

impl Registry {
    /// Returns an empty registry.
    pub(crate) const fn new() -> Self {
        Self {
            items: KVVec::new(),
            quarantined: Totals { count: 0, pages: 0 },
        }
    }

    /// Returns what is registered.
    pub(crate) fn registered(&self) -> Totals {
        self.totals(|_| true)
    }

    /// Returns what is in quarantine, or was when the device was unbound.
    pub(crate) fn quarantined(&self) -> Totals {
        self.quarantined
    }

    fn totals(&self, is_counted: impl Fn(&Item) -> bool) -> Totals {
        let mut totals = Totals::default();

        for item in self.items.iter().filter(|item| is_counted(item)) {
            totals.add(item.pages);
        }
        totals
    }

    /// Adds a place for `pages` pages. Returns the number of the resource: the lowest one that is
    /// free in the file, from 1 on.
    ///
    /// Fails with [`ENOSPC`] if that exceeds a limit, and with [`ENOMEM`].
    fn reserve(&mut self, owner: Owner, pages: usize) -> Result<u32> {
        let mut of_device = self.registered();
        of_device.count += self.quarantined.count;
        of_device.pages += self.quarantined.pages;
        let of_file = self.totals(|item| item.owner == owner);

        if !of_file.admits(pages, &OF_FILE) || !of_device.admits(pages, &OF_DEVICE) {
            return Err(ENOSPC);
        }
        let rsc_id = (1..)
            .find(|&rsc_id| self.position(owner, rsc_id).is_none())
            .ok_or(ENOSPC)?;
        self.items.push(
            Item {
                owner,
                rsc_id,
                pages,
                memory: None,
                uses: 0,
            },
            GFP_KERNEL,
        )?;
        Ok(rsc_id)
    }

    fn position(&self, owner: Owner, rsc_id: u32) -> Option<usize> {
        self.items
            .iter()
            .position(|item| item.owner == owner && item.rsc_id == rsc_id)
    }

    fn remove(&mut self, index: usize) -> Option<Item> {
        self.items.remove(index).ok()
    }

    /// Takes the memory of a resource, whose number is free then.
    ///
    /// Fails with [`ENOENT`] if the file has no such resource, and with [`EBUSY`] if an RPC uses
    /// it.
    fn take(&mut self, owner: Owner, rsc_id: u32) -> Result<Memory> {
        let index = self.position(owner, rsc_id).ok_or(ENOENT)?;
        let item = self.items.get(index).ok_or(ENOENT)?;

        if item.memory.is_none() {
            return Err(ENOENT);
        }
        if item.uses > 0 {
            return Err(EBUSY);
        }
        self.remove(index)
            .and_then(|item| item.memory)
            .ok_or(ENOENT)
    }

    /// Takes any memory of a file.
    fn take_any(&mut self, owner: Owner) -> Option<Memory> {
        let index = self
            .items
            .iter()
            .position(|item| item.owner == owner && item.memory.is_some())?;

        self.remove(index)?.memory
    }
}

/// A place in the registry, which is removed on drop unless it was filled.
pub(crate) struct Slot<'a> {
    device: &'a Device,
    owner: Owner,
    rsc_id: u32,
}

impl<'a> Slot<'a> {
    /// Adds a place for `pages` pages. Fails as [`Registry::reserve`].
    fn reserve(uctx: &'a Uctx, pages: usize) -> Result<Self> {
        let (device, owner) = (uctx.device(), uctx.owner());
        let rsc_id = device.memory.lock().reserve(owner, pages)?;

        Ok(Self {
            device,
            owner,
            rsc_id,
        })
    }

    /// Puts `memory` into the place. Returns the number of the resource.
    fn fill(self, memory: Memory) -> u32 {
        let rsc_id = self.rsc_id;
        let mut memory = Some(memory);

        {
            let mut registry = self.device.memory.lock();
            let index = registry.position(self.owner, rsc_id);
            if let Some(item) = index.and_then(|index| registry.items.get_mut(index)) {
                item.memory = memory.take();
            }
        }
        // A slot is only removed when it is dropped.
        debug_assert!(memory.is_none());
        core::mem::forget(self);
        rsc_id
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut registry = self.device.memory.lock();

        if let Some(index) = registry.position(self.owner, self.rsc_id) {
            registry.remove(index);
        }
    }
}

/// The pages of new memory.
pub(crate) enum NewPages {
    /// Pages of the caller.
    OfCaller(UserPages),
    /// So many pages, which the kernel allocates.
    OfKernel(usize),
}

/// What a program is told of its new memory.
pub(crate) struct Added {
    ids: MemoryIds,
    rsc_id: u32,
}

/// New memory, for the driver to tell the firmware of.
pub struct NewMemory<'a> {
    pages: &'a Pages,
    flags: MemoryFlags,
    is_exposed: bool,
}

impl NewMemory<'_> {
    /// Returns what the memory is for. The core has checked that the driver supports it.
    pub fn flags(&self) -> MemoryFlags {
        self.flags
    }

    /// Returns the number of pages, each of [`PAGE_SIZE`] bytes. There is at least one.
    pub fn page_count(&self) -> usize {
        self.pages.count()
    }

    /// Returns the addresses of the pages, for the device: as many as there are pages, aligned to
    /// pages; or none for a driver without hardware.
    ///
    /// From then on the firmware may have them, unless [`NewMemory::retract`] is called.
    pub fn addresses(&mut self) -> Addresses<'_> {
        self.is_exposed = true;

        Addresses {
            left: self.page_count(),
            pages: match self.pages {
                Pages::Mapped(mapped) => AddressesOf::Mapped(mapped.addresses()),
                Pages::User(_) => AddressesOf::Shared([].iter()),
                Pages::Shared(shared) => AddressesOf::Shared(shared.addresses().iter()),
            },
        }
    }

    /// States that the firmware does not have the addresses: they were not sent, or the firmware
    /// refused them, or it has confirmed that it forgot them.
    ///
    /// If the driver fails after it got the addresses and does not state this, the memory is put
    /// into quarantine.
    pub fn retract(&mut self) {
        self.is_exposed = false;
    }
}

/// The addresses of [`NewMemory::addresses`].
pub struct Addresses<'a> {
    pages: AddressesOf<'a>,
    /// How many there are at most.
    left: usize,
}

enum AddressesOf<'a> {
    Mapped(PageAddresses<'a>),
    Shared(core::slice::Iter<'a, DmaAddress>),
}

impl Iterator for Addresses<'_> {
    type Item = DmaAddress;

    fn next(&mut self) -> Option<DmaAddress> {
        self.left = self.left.checked_sub(1)?;
        match &mut self.pages {
            AddressesOf::Mapped(addresses) => addresses.next(),
            AddressesOf::Shared(addresses) => addresses.next().copied(),
        }
    }
}

/// The functions of a driver that has registered memory. See
/// [`DriverOps`](crate::ops::DriverOps) for the requirements.
pub(crate) struct MemoryOps {
    /// Returns the device that accesses the memory and [`true`], or the host of a driver without
    /// hardware. It is bound while `live` is live.
    pub(crate) device:
        for<'a> unsafe fn(live: LiveDevice<'a>) -> (&'a device::Device<device::Bound>, bool),
    /// Tells the firmware of new memory.
    pub(crate) add: unsafe fn(
        uctx: NonNull<u8>,
        live: LiveDevice<'_>,
        memory: &mut NewMemory<'_>,
    ) -> Result<MemoryIds>,
    /// Makes the firmware forget memory.
    pub(crate) remove: unsafe fn(uctx: NonNull<u8>, live: LiveDevice<'_>, ids: MemoryIds) -> Result,
}

/// Tells the firmware of memory.
///
/// # Safety
///
/// `uctx` must be an open context of `live`.
pub(crate) unsafe fn add(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    slot: Slot<'_>,
    pages: NewPages,
    flags: MemoryFlags,
) -> Result<Added> {
    let ops = live.memory_ops().ok_or(ENOTTY)?;
    // SAFETY: This is one of the functions that the device was made with.
    let (device, is_hardware) = unsafe { (ops.device)(live) };

    let pages = match pages {
        // SAFETY: The device is bound while `live` is live. The mapping is ended before, unless
        // the memory is put into quarantine, which ends it by a devres action of the device.
        NewPages::OfCaller(pages) if is_hardware => Pages::Mapped(unsafe { pages.map(device) }?),
        NewPages::OfCaller(pages) => Pages::User(pages),
        NewPages::OfKernel(count) if is_hardware => {
            // SAFETY: As the mapping, the pages are dropped before the device is unbound, or by
            // a devres action of the device.
            Pages::Shared(unsafe { SharedPages::new_for(device, count) }?)
        }
        NewPages::OfKernel(count) => Pages::Shared(SharedPages::new(count)?),
    };
    let host: &device::Device = device;
    let entry = Entry::new(pages, host.into())?;

    let mut memory = NewMemory {
        pages: &entry.pages,
        flags,
        is_exposed: false,
    };
    // SAFETY:
    // - This is one of the functions that the device was made with.
    // - The caller promises that the context is open.
    let added = unsafe { (ops.add)(uctx, live, &mut memory) };
    match added {
        Ok(ids) => Ok(Added {
            ids,
            rsc_id: slot.fill(Memory { ids, entry }),
        }),
        Err(error) => {
            if memory.is_exposed {
                quarantine(live, entry);
            }
            Err(error)
        }
    }
}

/// Makes the firmware forget memory. Returns the pages of a program, which nothing accesses any
/// more.
///
/// Fails with [`EIO`] if the firmware did not confirm, and puts the memory into quarantine.
///
/// # Safety
///
/// `uctx` must be an open context of `live`.
unsafe fn forget(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    memory: Memory,
) -> Result<Option<UserPages>> {
    let Memory { ids, entry } = memory;
    let forgotten = match live.memory_ops() {
        // SAFETY:
        // - This is one of the functions that the device was made with.
        // - The caller promises that the context is open.
        Some(ops) => unsafe { (ops.remove)(uctx, live, ids) },
        None => Err(EIO),
    };

    match forgotten {
        Ok(()) => Ok(KBox::into_inner(entry).pages.unmap()),
        Err(_) => {
            quarantine(live, entry);
            Err(EIO)
        }
    }
}

/// Destroys a resource of a file. Returns its pages if they are a program's.
///
/// Fails as [`Registry::take`] and [`forget`].
///
/// # Safety
///
/// `uctx` must be an open context of `live`, that of `owner`.
pub(crate) unsafe fn remove(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    owner: Owner,
    rsc_id: u32,
) -> Result<Option<UserPages>> {
    let memory = live.device().memory.lock().take(owner, rsc_id)?;

    // SAFETY: The caller promises that the context is open.
    unsafe { forget(uctx, live, memory) }
}

/// Destroys all resources of a file that is being closed.
///
/// # Safety
///
/// `uctx` must be an open context of `live`, that of `owner`, and no call in it may be in flight.
pub(crate) unsafe fn remove_all(uctx: NonNull<u8>, live: LiveDevice<'_>, owner: Owner) {
    loop {
        let Some(memory) = live.device().memory.lock().take_any(owner) else {
            break;
        };

        // SAFETY: The caller promises that the context is open.
        drop(unsafe { forget(uctx, live, memory) });
    }
}

/// Keeps memory that the firmware may still access.
fn quarantine(live: LiveDevice<'_>, entry: KBox<Entry>) {
    let pages = entry.pages.count();

    dev_err!(
        live.device().as_ref(),
        "firmware did not forget memory: {pages} pages stay in quarantine\n"
    );
    live.device().memory.lock().quarantined.add(pages);
    // SAFETY: The device of the entry is bound while `live` is live.
    unsafe { quarantine::add(entry) };
}

/// Registered memory, which is not released before this is dropped.
///
/// # Invariants
///
/// The item of `owner` with `rsc_id` is in the registry of `device`, has memory at `entry`, and
/// counts this as a use. `owner` is open.
pub struct MemoryRef<'a> {
    device: &'a Device,
    owner: Owner,
    rsc_id: u32,
    ids: MemoryIds,
    entry: NonNull<Entry>,
}

// SAFETY: The entry is `Sync`.
unsafe impl Send for MemoryRef<'_> {}
// SAFETY: The entry is `Sync`.
unsafe impl Sync for MemoryRef<'_> {}

impl<'a> MemoryRef<'a> {
    /// Looks up the memory of `owner` for which `is_wanted` returns `true`. Fails with [`ENOENT`]
    /// if there is none.
    ///
    /// # Safety
    ///
    /// If `owner` is one of the device, it must be open for `'a`, and its context must not be
    /// closed before.
    pub(crate) unsafe fn find(
        device: &'a Device,
        owner: Owner,
        is_wanted: impl Fn(&MemoryIds) -> bool,
    ) -> Result<Self> {
        let mut registry = device.memory.lock();

        let (item, ids, entry) = registry
            .items
            .iter_mut()
            .filter(|item| item.owner == owner)
            .find_map(|item| {
                let memory = item.memory.as_ref()?;
                let entry = NonNull::from(&*memory.entry);
                let ids = memory.ids;

                is_wanted(&ids).then_some((item, ids, entry))
            })
            .ok_or(ENOENT)?;
        item.uses = item.uses.checked_add(1).ok_or(EBUSY)?;
        // INVARIANT: The item was found just now, and counts the use. The caller promises that
        // `owner`, which is one of the device, is open.
        Ok(Self {
            device,
            owner,
            rsc_id: item.rsc_id,
            ids,
            entry,
        })
    }

    fn pages(&self) -> &Pages {
        // SAFETY: By the type invariant, the item has its memory, and counts this use. So it is
        // only taken when the owner is closed, which is after `'a`. The entry is not moved.
        unsafe { &self.entry.as_ref().pages }
    }

    /// Returns what the firmware calls the memory.
    pub fn ids(&self) -> MemoryIds {
        self.ids
    }

    /// Returns the length in bytes, a multiple of [`PAGE_SIZE`].
    pub fn len(&self) -> usize {
        self.pages().len()
    }

    /// Returns whether the memory is empty, which is never the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the address of a page, for the device.
    ///
    /// The device must not use it after this is dropped, except until
    /// [`Operations::remove_memory`](crate::Operations::remove_memory) has returned. Fails with
    /// [`EINVAL`] if there is no such page, or if no device accesses the memory.
    pub fn page_address(&self, page: usize) -> Result<DmaAddress> {
        self.pages().address(page).ok_or(EINVAL)
    }

    /// Copies bytes of the memory to `to`. Fails with [`EINVAL`] if it does not have them.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        self.pages().read(offset, to)
    }

    /// Copies `from` to the memory. Fails with [`EINVAL`] if it does not fit.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result {
        self.pages().write(offset, from)
    }
}

impl Drop for MemoryRef<'_> {
    fn drop(&mut self) {
        let mut registry = self.device.memory.lock();

        // INVARIANT: The use ends here.
        if let Some(index) = registry.position(self.owner, self.rsc_id) {
            if let Some(item) = registry.items.get_mut(index) {
                item.uses = item.uses.saturating_sub(1);
            }
        }
    }
}

#[kunit_tests(rust_fwctl_umem)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;
    const A: Owner = Owner(0x1000);
    const B: Owner = Owner(0x2000);

    #[test]
    fn numbers_are_those_of_the_uapi() {
        assert_eq!(size_of::<RegisterArgs>(), 48);
        assert_eq!(size_of::<AllocateArgs>(), 48);
        assert_eq!(size_of::<DestroyArgs>(), 24);
        assert_eq!(core::mem::offset_of!(RegisterArgs, flags), 8);
        assert_eq!(core::mem::offset_of!(RegisterArgs, addr), 16);
        assert_eq!(core::mem::offset_of!(RegisterArgs, len), 24);
        assert_eq!(core::mem::offset_of!(RegisterArgs, out_umem_id), 32);
        assert_eq!(core::mem::offset_of!(RegisterArgs, out_mkey_id), 36);
        assert_eq!(core::mem::offset_of!(RegisterArgs, out_rsc_id), 40);
        assert_eq!(core::mem::offset_of!(AllocateArgs, flags), 8);
        assert_eq!(core::mem::offset_of!(AllocateArgs, len), 16);
        assert_eq!(core::mem::offset_of!(AllocateArgs, out_offset), 24);
        assert_eq!(core::mem::offset_of!(AllocateArgs, out_umem_id), 32);
        assert_eq!(core::mem::offset_of!(AllocateArgs, out_mkey_id), 36);
        assert_eq!(core::mem::offset_of!(AllocateArgs, out_rsc_id), 40);
        assert_eq!(core::mem::offset_of!(DestroyArgs, flags), 8);
        assert_eq!(core::mem::offset_of!(DestroyArgs, kind), 16);
        assert_eq!(core::mem::offset_of!(DestroyArgs, rsc_id), 20);
    }

    #[test]
    fn ranges_are_whole_pages() {
        let max = MAX_LEN as u64;

        assert_eq!(check_range(PAGE, PAGE), Ok((PAGE_SIZE, 1)));
        assert_eq!(check_range(0, max), Ok((0, MAX_LEN / PAGE_SIZE)));
        for (address, len) in [
            (PAGE, 0),
            (PAGE, 1),
            (PAGE, PAGE - 1),
            (PAGE, PAGE + 1),
            (PAGE, max + PAGE),
            (PAGE, u64::MAX),
            (PAGE, u64::MAX - PAGE + 1),
            (1, PAGE),
            (PAGE - 1, PAGE),
            (u64::MAX - PAGE + 1, PAGE),
            (u64::MAX - PAGE + 1, 2 * PAGE),
        ] {
            assert_eq!(check_range(address, len), Err(EINVAL));
        }
    }

    #[test]
    fn flags_are_sets() {
        let both = MemoryFlags::MKEY.union(MemoryFlags::MCDD);

        assert!(both.contains(MemoryFlags::MCDD) && both.contains(MemoryFlags::NONE));
        assert!(!MemoryFlags::MKEY.contains(both));
        assert!(!both.contains(MemoryFlags(1 << 2)) && !both.contains(MemoryFlags(1 << 63)));
    }

    #[test]
    fn numbers_of_resources_belong_to_a_file() -> Result {
        let mut registry = Registry::new();

        assert_eq!(registry.reserve(A, 1)?, 1);
        assert_eq!(registry.reserve(A, 1)?, 2);
        assert_eq!(registry.reserve(B, 1)?, 1);
        assert_eq!(registry.reserve(A, 1)?, 3);
        let index = registry.position(A, 2).ok_or(ENOENT)?;
        registry.remove(index);
        assert!(registry.position(A, 2).is_none());
        assert!(registry.position(B, 2).is_none());
        assert_eq!(registry.reserve(A, 1)?, 2);
        Ok(())
    }

    #[test]
    fn memory_that_is_being_registered_has_no_number_yet() -> Result {
        let mut registry = Registry::new();
        let rsc_id = registry.reserve(A, 1)?;

        assert_eq!(registry.take(A, rsc_id).err(), Some(ENOENT));
        assert_eq!(registry.take(B, rsc_id).err(), Some(ENOENT));
        assert!(registry.take_any(A).is_none());
        assert_eq!(registry.registered(), Totals { count: 1, pages: 1 });
        Ok(())
    }

    #[test]
    fn files_are_limited() -> Result {
        let mut registry = Registry::new();

        for _ in 0..OF_FILE.count {
            registry.reserve(A, 1)?;
        }
        assert_eq!(registry.reserve(A, 1), Err(ENOSPC));
        assert_eq!(registry.reserve(B, OF_FILE.pages + 1), Err(ENOSPC));
        registry.reserve(B, OF_FILE.pages - 1)?;
        assert_eq!(registry.reserve(B, 2), Err(ENOSPC));
        registry.reserve(B, 1)?;
        assert_eq!(registry.reserve(B, 1), Err(ENOSPC));
        Ok(())
    }

    #[test]
    fn devices_are_limited_with_their_quarantine() -> Result {
        let mut registry = Registry::new();
        let pages = OF_FILE.pages;

        registry.quarantined.add(pages);
        let files = OF_DEVICE.pages / pages - 1;
        for file in 0..files {
            registry.reserve(Owner(file), pages)?;
        }
        assert_eq!(registry.reserve(Owner(files), 1), Err(ENOSPC));

        let mut registry = Registry::new();
        for number in 0..OF_DEVICE.count {
            registry.reserve(Owner(number), 1)?;
        }
        assert_eq!(registry.reserve(Owner(usize::MAX), 1), Err(ENOSPC));
        Ok(())
    }
}
