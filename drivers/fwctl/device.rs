// SPDX-License-Identifier: GPL-2.0-only

//! A fwctl device: its memory, name and number.
//!
//! C header: [`include/linux/fwctl.h`](srctree/include/linux/fwctl.h)

use core::{
    alloc::Layout,
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::NonNull, //
};

use kernel::{
    alloc::{
        allocator::Kmalloc,
        Allocator,
        NumaNode, //
    },
    bindings,
    chrdev,
    container_of,
    device,
    error::to_result,
    new_active_count,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        static_lock_class,
        ActiveCount,
        Mutex,
        SetOnce,
        WaitQueue, //
    },
    sysfs::AttributeDevice,
    types::Opaque, //
};

use crate::{
    async_rpc::Flights,
    attributes::GROUPS,
    binding::{
        Binding,
        Notifiers, //
    },
    c_memory::Offer,
    class::Class,
    ops::Driver,
    quarantine::Quarantine,
    registration::State,
    scope::MaxScope,
    shim,
    uctx::{
        Uctx,
        UctxList, //
    },
    umem::{
        MemoryFlags,
        Registry, //
    }, //
};

/// How many devices there can be at once.
const MAX_DEVICES: u32 = 4096;

/// `/sys/class/fwctl`.
// SAFETY:
// - All devices of this class are part of a `Device`, as `release()` requires.
// - `devnode()` takes any registered device of this class.
pub(crate) static CLASS: Class = unsafe { Class::new(c"fwctl", release, devnode, &GROUPS) };

/// The file operations of a node.
pub(crate) struct NodeOperations(pub(crate) bindings::file_operations);

// SAFETY: The operations are never written.
unsafe impl Sync for NodeOperations {}

/// What all nodes have in common.
struct Nodes {
    /// `dev_t` of `fwctl0`.
    first: u32,
    operations: &'static NodeOperations,
}

/// Not populated while the subsystem is not initialised.
static NODES: SetOnce<Nodes> = SetOnce::new();

/// The device numbers of the subsystem. Devices can be created from then on.
pub(crate) struct Numbers {
    _region: chrdev::Region,
}

impl Numbers {
    /// Reserves the numbers of all devices, whose nodes get `operations`. The notifiers end their
    /// registrations.
    ///
    /// Fails with [`EBUSY`] when called again, and as [`chrdev::Region::new`].
    pub(crate) fn new(
        operations: &'static NodeOperations,
        _notifiers: &Notifiers,
        _quarantine: &Quarantine,
    ) -> Result<Self> {
        let region = chrdev::Region::new(MAX_DEVICES, c"fwctl")?;
        let first = region.number(0).ok_or(EINVAL)?.as_raw();

        if !NODES.populate(Nodes { first, operations }) {
            return Err(EBUSY);
        }
        Ok(Self { _region: region })
    }
}

/// The number of one device, the lowest that was free; freed on drop.
///
/// # Invariants
///
/// The number is allocated in `fwctl_shim_ida`, and less than [`MAX_DEVICES`].
struct Number(u32);

impl Number {
    fn new() -> Result<Self> {
        // SAFETY: The IDA is initialised at compile time, and has its own lock.
        let number = unsafe {
            bindings::ida_alloc_range(
                shim::fwctl_shim_ida.get(),
                0,
                MAX_DEVICES - 1,
                bindings::GFP_KERNEL,
            )
        };
        to_result(number)?;

        // INVARIANT: The call succeeded, so the number is ours and within the bounds.
        // CAST: The number is not negative.
        Ok(Self(number as u32))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the number is allocated.
        unsafe { bindings::ida_free(shim::fwctl_shim_ida.get(), self.0) };
    }
}

/// One device, `fwctlN`: the state of the core, followed by the C structure that drivers see.
///
/// A C driver embeds `struct fwctl_device` at the start of its own structure, whose other members
/// follow. The device is reference-counted by its `struct device`, and freed by `release()`. The
/// last reference may be dropped in any context.
///
/// # Invariants
///
/// - `raw.dev` is initialised, of class `CLASS`, and `raw.cdev` has the operations of a node.
/// - The device starts `front` bytes after the start of an allocation of [`Kmalloc`]. Only bytes of
///   the driver follow `raw`.
/// - `binding` is initialised once a Rust driver has registered the device.
#[repr(C)]
#[pin_data]
pub struct Device {
    /// The calls into the driver that are in flight. See `registration.rs`.
    #[pin]
    pub(crate) calls: ActiveCount,
    pub(crate) state: State,
    /// The contexts that the driver has opened and not closed.
    #[pin]
    pub(crate) uctx_list: Mutex<UctxList>,
    /// The RPCs of an asynchronous driver that are in flight.
    #[pin]
    pub(crate) flights: Flights,
    /// The memory that programs have registered.
    #[pin]
    pub(crate) memory: Mutex<Registry>,
    /// Woken when the device is removed. Its users hold a reference to the device.
    #[pin]
    pub(crate) removed: WaitQueue,
    /// The driver, whose functions are valid while it may be called.
    pub(crate) driver: Driver,
    /// The registered memory that a driver in C offers.
    pub(crate) offer: SetOnce<Offer>,
    /// The scopes that RPCs may use.
    pub(crate) max_scope: MaxScope,
    /// What binds the device of a Rust driver to its host.
    pub(crate) binding: UnsafeCell<MaybeUninit<Binding>>,
    /// The size of an open file's memory, and the offset of the driver's context in it, in bytes.
    pub(crate) uctx_size: usize,
    pub(crate) uctx_offset: usize,
    number: Number,
    /// The offset of this structure in its allocation, in bytes.
    front: u32,
    /// `struct fwctl_device`. Must be last.
    #[pin]
    raw: Raw,
}

/// `struct fwctl_device`.
#[repr(transparent)]
struct Raw(Opaque<bindings::fwctl_device>);

// SAFETY: A device can be released from any thread.
unsafe impl Send for Device {}
// SAFETY:
// - `driver` points to functions, which can be called from any thread.
// - `binding` is written once, before the device is shared.
// - The C side uses `raw` with its own locking. The core changes it before the device is shared.
// - All other fields are `Sync`.
unsafe impl Sync for Device {}

impl Raw {
    /// Returns an initialiser. It makes the first reference to the device; the last one frees it.
    fn init(parent: *mut bindings::device, devt: bindings::dev_t) -> impl PinInit<Self> {
        let init = move |slot: *mut Self| {
            let raw = slot.cast::<bindings::fwctl_device>();

            // SAFETY: `slot` is valid for writes. The only caller, `Device::new()`, has zeroed it,
            // and `device_initialize()` takes a zeroed `struct device`.
            unsafe {
                (*raw).dev.parent = parent;
                (*raw).dev.class = CLASS.as_raw();
                (*raw).dev.devt = devt;
                bindings::device_initialize(&raw mut (*raw).dev);
            }
            Ok(())
        };

        // SAFETY: The closure never fails. `Raw` is an `Opaque`, which is initialised whatever
        // bytes it has.
        unsafe { pin_init::pin_init_from_closure(init) }
    }
}

/// Returns the alignment that `kmalloc(size)` guarantees: the largest power of two that divides
/// `size`, within limits.
///
/// A driver relies on it for members that ask for more than a word (`____cacheline_aligned`).
pub(crate) fn kmalloc_align(size: usize) -> usize {
    (1 << size.trailing_zeros()).clamp(bindings::ARCH_KMALLOC_MINALIGN, PAGE_SIZE)
}

impl Device {
    /// Creates a device of `driver` below `parent`.
    ///
    /// `size` is the number of bytes from the start of `struct fwctl_device`. Those that the
    /// structure does not need are the driver's, and zero. The device is not registered yet.
    ///
    /// Fails with [`ENODEV`] if the subsystem is not initialised, with [`EINVAL`] if `size` or the
    /// size of a context is out of range, with [`ENOSPC`] if there are [`MAX_DEVICES`] devices, and
    /// with [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// - `parent` must be valid until the device is registered or freed.
    /// - The functions of `driver` must be valid, and sound to call, from the registration of the
    ///   device until it is unregistered.
    pub(crate) unsafe fn new(
        parent: *mut bindings::device,
        driver: Driver,
        size: usize,
    ) -> Result<ARef<Self>> {
        let nodes = NODES.as_ref().ok_or(ENODEV)?;

        if size < size_of::<bindings::fwctl_device>() {
            return Err(EINVAL);
        }
        // Align `raw` as if the driver had called `kmalloc(size)`: a multiple of that alignment
        // precedes it.
        let align = kmalloc_align(size);
        let raw_offset = core::mem::offset_of!(Self, raw);
        let front = raw_offset.next_multiple_of(align) - raw_offset;
        let total = (front + raw_offset).checked_add(size).ok_or(EINVAL)?;
        let layout = Layout::from_size_align(total, align).map_err(|_| EINVAL)?;
        let (uctx_layout, uctx_offset) = Layout::new::<Uctx>()
            .extend(driver.uctx)
            .map_err(|_| EINVAL)?;
        // Allocated first: it is freed on drop if anything below fails.
        let number = Number::new()?;
        let minor = number.0;

        let memory = Kmalloc::alloc(layout, GFP_KERNEL | __GFP_ZERO, NumaNode::NO_NODE)?;
        let memory = memory.cast::<u8>();
        // SAFETY: The allocation has more than `front` bytes.
        let ptr = unsafe { memory.add(front) }.cast::<Self>();

        let init = try_pin_init!(Self {
            calls <- new_active_count!("fwctl_device::calls"),
            state: State::new(),
            uctx_list <- new_mutex!(UctxList::new(), "fwctl_device::uctx_list"),
            flights <- Flights::new(),
            memory <- new_mutex!(Registry::new(), "fwctl_device::memory"),
            removed <- WaitQueue::new(c"fwctl_device::removed", static_lock_class!()),
            driver,
            offer: SetOnce::new(),
            max_scope: MaxScope::new(),
            binding: UnsafeCell::new(MaybeUninit::uninit()),
            uctx_size: uctx_layout.pad_to_align().size(),
            uctx_offset,
            number,
            // CAST: It is less than a page.
            front: front as u32,
            raw <- Raw::init(parent, nodes.first + minor),
        });

        // SAFETY: `ptr` is valid for a write of `Self`: the allocation has all bytes up to and
        // including `raw`, and at least the alignment of `Self`. The device does not move.
        if let Err(error) = unsafe { pin_init::raw_try_init::<_, Error>(ptr.as_ptr(), init) } {
            // SAFETY: `memory` was returned by `Kmalloc::alloc()` with this layout. Nothing lives
            // in it: an initialiser that fails drops the fields that it has initialised, and `raw`
            // is the last field and never fails.
            unsafe { Kmalloc::free(memory, layout) };
            return Err(error);
        }

        // SAFETY: `device_initialize()` made the first reference, which is ours.
        let device = unsafe { ARef::from_raw(ptr) };
        let raw = device.as_raw();

        // INVARIANT: `raw.dev` was initialised above, and `raw.cdev` is initialised here. `front`
        // is the offset in the allocation, as computed above.
        // SAFETY: The device is valid, and not shared yet.
        unsafe {
            bindings::cdev_init(&raw mut (*raw).cdev, &raw const nodes.operations.0);
            (*raw).cdev.owner = nodes.operations.0.owner;
            to_result(bindings::dev_set_name(
                &raw mut (*raw).dev,
                c"fwctl%u".as_char_ptr(),
                minor,
            ))?;
        }

        Ok(device)
    }

    /// Makes callbacks that sleep in `Context::wait` check their conditions again.
    ///
    /// Can be called in any context, such as an interrupt handler.
    #[inline(never)]
    pub fn notify(&self) {
        self.calls.waiters().wake_all();
    }

    /// Returns what memory can be registered for, or [`None`] if the driver does not offer that.
    pub(crate) fn memory_flags(&self) -> Option<MemoryFlags> {
        match self.driver.memory {
            Some(flags) => Some(flags),
            None => self.offer.as_ref().map(Offer::flags),
        }
    }

    /// Returns the C structure.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::fwctl_device {
        self.raw.0.get()
    }

    /// Returns the parent. It may have been freed once the device is unregistered.
    pub(crate) fn parent(&self) -> *mut bindings::device {
        // SAFETY: By the type invariant, `raw.dev` is initialised. The parent does not change.
        unsafe { (*self.as_raw()).dev.parent }
    }

    /// Returns a pointer to the device that contains `raw`.
    ///
    /// # Safety
    ///
    /// `raw` must be part of a device from [`Device::new`] that is not freed.
    #[inline]
    unsafe fn ptr_from_raw(raw: *mut bindings::fwctl_device) -> *mut Self {
        // SAFETY: The caller promises that `raw` is part of a device. `Raw` is a transparent
        // wrapper.
        unsafe { container_of!(raw.cast::<Raw>(), Self, raw) }
    }

    /// Returns the device that contains `raw`.
    ///
    /// # Safety
    ///
    /// `raw` must be part of a device from [`Device::new`] that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::fwctl_device) -> &'a Self {
        // SAFETY: The caller promises that `raw` is part of a device that lives for `'a`.
        unsafe { &*Self::ptr_from_raw(raw) }
    }

    /// Returns the device whose node `cdev` is.
    ///
    /// # Safety
    ///
    /// `cdev` must be part of a device from [`Device::new`] that lives for `'a`.
    pub(crate) unsafe fn from_cdev<'a>(cdev: *mut bindings::cdev) -> &'a Self {
        // SAFETY: The caller promises that `cdev` is part of a device that lives for `'a`.
        unsafe { Self::from_raw(container_of!(cdev, bindings::fwctl_device, cdev)) }
    }
}

impl AsRef<device::Device> for Device {
    fn as_ref(&self) -> &device::Device {
        // SAFETY: By the type invariant, `raw.dev` is initialised. It lives as long as `self`.
        unsafe { device::Device::from_raw(&raw mut (*self.as_raw()).dev) }
    }
}

// SAFETY: The function takes the `struct device` of any `Device`.
unsafe impl AttributeDevice for Device {
    unsafe fn from_device(device: &device::Device) -> &Self {
        let dev = core::ptr::from_ref(device)
            .cast_mut()
            .cast::<bindings::device>();

        // SAFETY: The caller promises that `dev` is part of a device, which is borrowed.
        unsafe { Self::from_raw(container_of!(dev, bindings::fwctl_device, dev)) }
    }
}

// SAFETY: The reference count is that of `raw.dev`, whose release function frees the device.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: `raw.dev` is initialised, and `self` shows that there is a reference.
        unsafe { bindings::get_device(&raw mut (*self.as_raw()).dev) };
    }

    unsafe fn dec_ref(device: NonNull<Self>) {
        // SAFETY: The caller owns a reference, so the device is valid.
        let raw = unsafe { device.as_ref() }.as_raw();
        // SAFETY: The caller hands its reference over.
        unsafe { bindings::put_device(&raw mut (*raw).dev) };
    }
}

/// Frees a device.
///
/// # Safety
///
/// `dev` must be the `struct device` of a [`Device`] that has no reference left.
unsafe extern "C" fn release(dev: *mut bindings::device) {
    // SAFETY: The caller promises that `dev` is part of a device, which is freed below. Only
    // pointers are made here, since there must be no other reference when it is dropped.
    let device = unsafe { Device::ptr_from_raw(container_of!(dev, bindings::fwctl_device, dev)) };
    // SAFETY: The device is valid until it is dropped below.
    let front = unsafe { (*device).front } as usize;

    // SAFETY: The caller promises that there is no reference left, so nothing else uses the device.
    unsafe { core::ptr::drop_in_place(device) };

    // SAFETY:
    // - By the type invariant, the allocation of `Kmalloc` starts `front` bytes before the device.
    // - The device was dropped, and `Kmalloc` ignores the layout.
    unsafe {
        let memory = device.cast::<u8>().sub(front);
        Kmalloc::free(NonNull::new_unchecked(memory), Layout::new::<Device>())
    };
}

/// Names the node of a device: `/dev/fwctl/fwctlN`.
///
/// # Safety
///
/// `dev` must be part of a registered [`Device`].
unsafe extern "C" fn devnode(
    dev: *const bindings::device,
    _mode: *mut bindings::umode_t,
) -> *mut c_char {
    // SAFETY:
    // - The caller promises that `dev` is registered, so it is valid and has a name.
    // - The format takes one string.
    unsafe {
        bindings::kasprintf(
            bindings::GFP_KERNEL,
            c"fwctl/%s".as_char_ptr(),
            bindings::dev_name(dev),
        )
    }
}
