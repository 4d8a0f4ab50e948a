// SPDX-License-Identifier: GPL-2.0-only

//! The device of the subsystem: its memory, its name and its number.
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
        atomic::{
            Atomic,
            Relaxed, //
        },
        static_lock_class,
        ActiveCount,
        Mutex,
        WaitQueue, //
    },
    types::Opaque, //
};

use crate::{
    binding::Binding,
    class::Class,
    door::Driver,
    file,
    registration::State,
    shim,
    uctx::{
        Contexts,
        Uctx, //
    }, //
};

/// How many devices there can be at once.
pub(crate) const MAX_DEVICES: u32 = 4096;

/// `/sys/class/fwctl`.
// SAFETY:
// - `release()` is for devices of this class.
// - `devnode()` is for registered devices.
pub(crate) static CLASS: Class = unsafe { Class::new(c"fwctl", release, devnode) };

/// `dev_t` of `fwctl0`, or 0 while the subsystem is not initialised.
static FIRST_NUMBER: Atomic<u32> = Atomic::new(0);

/// The device numbers of the subsystem. Devices can be made while this is there.
pub(crate) struct Numbers {
    _region: chrdev::Region,
}

impl Numbers {
    /// Allows devices to be made, with numbers out of `region`.
    pub(crate) fn new(region: chrdev::Region) -> Result<Self> {
        FIRST_NUMBER.store(region.number(0).ok_or(EINVAL)?.as_raw(), Relaxed);
        Ok(Self { _region: region })
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        FIRST_NUMBER.store(0, Relaxed);
    }
}

/// The number of one device, the lowest that was free, given back on drop.
///
/// # Invariants
///
/// The number is allocated in `fwctl_shim_ida`, and below [`MAX_DEVICES`].
struct Number(u32);

impl Number {
    fn new() -> Result<Self> {
        // SAFETY: The IDA was initialised at compile time and does its own locking.
        let number = unsafe {
            bindings::ida_alloc_range(
                shim::fwctl_shim_ida.get(),
                0,
                MAX_DEVICES - 1,
                bindings::GFP_KERNEL,
            )
        };
        to_result(number)?;

        // INVARIANT: The call succeeded, so that the number is ours and within the bounds given.
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

/// One device, `fwctlN`: what the core keeps, and behind it the C structure that drivers see.
///
/// A C driver has its own structure around `struct fwctl_device`, whose other members follow. The
/// device is reference-counted by its `struct device`, and freed by `release()`. The last reference
/// may be dropped in any context.
///
/// # Invariants
///
/// - `raw.dev` is initialised, of class `CLASS`, and `raw.cdev` has the operations of a node.
/// - The device starts `front` bytes behind the start of an allocation of [`Kmalloc`]. Behind `raw`
///   come only the driver's bytes.
/// - `binding` is initialised from the registration of a Rust driver on.
#[repr(C)]
#[pin_data]
pub struct Device {
    /// The calls into the driver that are in flight. See `registration.rs`.
    #[pin]
    pub(crate) calls: ActiveCount,
    pub(crate) state: Atomic<State>,
    /// The contexts of all open files that the driver knows.
    #[pin]
    pub(crate) contexts: Mutex<Contexts>,
    /// Woken when the device is removed. Its users hold a reference to the device.
    #[pin]
    pub(crate) removed: WaitQueue,
    /// The driver, whose functions are valid while it may be called.
    pub(crate) driver: Driver,
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
// - What `driver` points to is for its driver to share.
// - `binding` is written once, before it is shared.
// - `raw` is used by the C side with its own locking; we only change it where the C side allows.
// - All else is `Sync`.
unsafe impl Sync for Device {}

impl Raw {
    /// Initialises the device in it. From then on it has a reference, and the class frees it.
    fn init(parent: *mut bindings::device, devt: bindings::dev_t) -> impl PinInit<Self> {
        let init = move |slot: *mut Self| {
            let raw = slot.cast::<bindings::fwctl_device>();

            // SAFETY: `slot` is valid for writes. The only user made sure that it is zeroed, and a
            // zeroed `struct device` is what `device_initialize()` takes.
            unsafe {
                (*raw).dev.parent = parent;
                (*raw).dev.class = CLASS.as_raw();
                (*raw).dev.devt = devt;
                bindings::device_initialize(&raw mut (*raw).dev);
            }
            Ok(())
        };

        // SAFETY: What is in the `Opaque` of a `Raw` counts as initialised whatever it is.
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
    /// Makes a device of `driver` below `parent`, with `size` bytes from the start of
    /// `struct fwctl_device` on: more than the structure has are the driver's own, and zero.
    ///
    /// The device is not registered. Fails with [`ENODEV`] if the subsystem is not there, with
    /// [`EINVAL`] if `size` is too small or a context too large for memory, with [`ENOSPC`] if
    /// there are [`MAX_DEVICES`] of them, and with [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// - `parent` must be valid until the device was registered or freed.
    /// - The functions of `driver` must be valid until the device was unregistered, or freed if it
    ///   never was registered. From the registration on it must be sound to call them.
    pub(crate) unsafe fn new(
        parent: *mut bindings::device,
        driver: Driver,
        size: usize,
    ) -> Result<ARef<Self>> {
        let first_number = FIRST_NUMBER.load(Relaxed);
        if first_number == 0 {
            return Err(ENODEV);
        }

        if size < size_of::<bindings::fwctl_device>() {
            return Err(EINVAL);
        }
        // `raw` is aligned as it would be if the driver had called `kmalloc(size)`: there is a
        // multiple of the alignment in front of it.
        let align = kmalloc_align(size);
        let raw_offset = core::mem::offset_of!(Self, raw);
        let front = raw_offset.next_multiple_of(align) - raw_offset;
        let total = (front + raw_offset).checked_add(size).ok_or(EINVAL)?;
        let layout = Layout::from_size_align(total, align).map_err(|_| EINVAL)?;
        let (uctx_layout, uctx_offset) = Layout::new::<Uctx>()
            .extend(driver.uctx)
            .map_err(|_| EINVAL)?;
        // The number first: its drop gives it back if anything below fails.
        let number = Number::new()?;
        let minor = number.0;

        let memory = Kmalloc::alloc(layout, GFP_KERNEL | __GFP_ZERO, NumaNode::NO_NODE)?;
        let memory = memory.cast::<u8>();
        // SAFETY: `front` is within the allocation.
        let ptr = unsafe { memory.add(front) }.cast::<Self>();

        let init = try_pin_init!(Self {
            calls <- new_active_count!("fwctl_device::calls"),
            state: Atomic::new(State::New),
            contexts <- new_mutex!(Contexts::new(), "fwctl_device::contexts"),
            removed <- WaitQueue::new(c"fwctl_device::removed", static_lock_class!()),
            driver,
            binding: UnsafeCell::new(MaybeUninit::uninit()),
            uctx_size: uctx_layout.pad_to_align().size(),
            uctx_offset,
            number,
            // CAST: It is less than a page.
            front: front as u32,
            raw <- Raw::init(parent, first_number + minor),
        });

        // SAFETY: `ptr` is valid for a write of `Self`: the size of the allocation counts all up to
        // `raw` and the whole of that, and its alignment is that of `Self` at least.
        if let Err(error) = unsafe { pin_init::raw_try_init::<_, Error>(ptr.as_ptr(), init) } {
            // SAFETY: `memory` was returned by `Kmalloc::alloc()` with this layout. Nothing lives in
            // it: an initialiser that fails drops what it made, and `raw`, which never fails, is
            // the last field.
            unsafe { Kmalloc::free(memory, layout) };
            return Err(error);
        }

        // SAFETY: `device_initialize()` made the first reference, which is ours.
        let device = unsafe { ARef::from_raw(ptr) };
        let raw = device.as_raw();

        // INVARIANT: `raw.dev` was initialised above, `raw.cdev` is here, and the allocation is as
        // the second invariant says.
        // SAFETY: `raw` is ours alone.
        unsafe {
            bindings::cdev_init(&raw mut (*raw).cdev, file::operations());
            (*raw).cdev.owner = file::operations_owner();
            to_result(bindings::dev_set_name(
                &raw mut (*raw).dev,
                c"fwctl%u".as_char_ptr(),
                minor,
            ))?;
        }

        Ok(device)
    }

    /// Makes the calls into the driver that wait by `Context::wait` check their conditions again.
    ///
    /// Can be called in any context, such as an interrupt handler.
    #[inline(never)]
    pub fn notify(&self) {
        self.calls.waiters().wake_all();
    }

    /// Returns the C structure.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::fwctl_device {
        self.raw.0.get()
    }

    /// Returns the parent that the device was made with, which may be gone once it is unregistered.
    pub(crate) fn parent(&self) -> *mut bindings::device {
        // SAFETY: By the type invariant, `raw.dev` is initialised. Its parent does not change.
        unsafe { (*self.as_raw()).dev.parent }
    }

    /// Returns the device that `raw` is a part of, as a pointer.
    ///
    /// # Safety
    ///
    /// `raw` must be in a device that [`Device::new`] made, and that is not freed.
    #[inline]
    unsafe fn ptr_from_raw(raw: *mut bindings::fwctl_device) -> *mut Self {
        // SAFETY: The caller promises that `raw` is in a device. `Raw` is a transparent wrapper.
        unsafe { container_of!(raw.cast::<Raw>(), Self, raw) }
    }

    /// Returns the device that `raw` is a part of.
    ///
    /// # Safety
    ///
    /// `raw` must be in a device that [`Device::new`] made, and that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::fwctl_device) -> &'a Self {
        // SAFETY: The caller promises that `raw` is in a device that lives for `'a`.
        unsafe { &*Self::ptr_from_raw(raw) }
    }

    /// Returns the device whose node `cdev` is.
    ///
    /// # Safety
    ///
    /// `cdev` must be in a device that [`Device::new`] made, and that lives for `'a`.
    pub(crate) unsafe fn from_cdev<'a>(cdev: *mut bindings::cdev) -> &'a Self {
        // SAFETY: The caller promises that `cdev` is in a device that lives for `'a`.
        unsafe { Self::from_raw(container_of!(cdev, bindings::fwctl_device, cdev)) }
    }
}

impl AsRef<device::Device> for Device {
    fn as_ref(&self) -> &device::Device {
        // SAFETY: By the type invariant, `raw.dev` is a valid device. It lives as long as `self`.
        unsafe { device::Device::from_raw(&raw mut (*self.as_raw()).dev) }
    }
}

// SAFETY: The references are those of `raw.dev`, whose release frees the device.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: `self` shows that there is a reference already.
        unsafe { bindings::get_device(&raw mut (*self.as_raw()).dev) };
    }

    unsafe fn dec_ref(device: NonNull<Self>) {
        // SAFETY: The caller owns a reference, so that the device is alive.
        let raw = unsafe { device.as_ref() }.as_raw();
        // SAFETY: The caller gives its reference away.
        unsafe { bindings::put_device(&raw mut (*raw).dev) };
    }
}

/// Frees a device.
///
/// # Safety
///
/// `dev` must be the `struct device` of a [`Device`] that has no reference left.
unsafe extern "C" fn release(dev: *mut bindings::device) {
    // SAFETY: The caller promises that `dev` is in a device, which is not freed before the end of
    // this function. Only pointers are made here: nobody else may have a reference.
    let device = unsafe { Device::ptr_from_raw(container_of!(dev, bindings::fwctl_device, dev)) };
    // SAFETY: The device is valid until it is dropped below.
    let front = unsafe { (*device).front } as usize;

    // SAFETY: There is no reference left, so nobody else uses the device. `raw` is `Opaque`: its
    // drop does nothing.
    unsafe { core::ptr::drop_in_place(device) };

    // SAFETY:
    // - By the type invariant, the allocation of `Kmalloc` starts `front` bytes before the device.
    // - `Kmalloc` does not look at the layout.
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
    // - `dev` is valid and has a name.
    // - The format has one string.
    unsafe {
        bindings::kasprintf(
            bindings::GFP_KERNEL,
            c"fwctl/%s".as_char_ptr(),
            bindings::dev_name(dev),
        )
    }
}
