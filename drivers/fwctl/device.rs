// SPDX-License-Identifier: GPL-2.0-only

//! The device of the subsystem: its memory, its name and its number.
//!
//! C header: [`include/linux/fwctl.h`](srctree/include/linux/fwctl.h)

use core::{
    alloc::Layout,
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
    class::Class,
    container_of,
    device,
    error::to_result,
    new_mutex,
    new_poll_condvar,
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
        poll::PollCondVar,
        Mutex, //
    },
    types::Opaque, //
};

use crate::{
    door::Driver,
    file,
    readers::Readers,
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

/// The device number of `fwctl0`; 0, which no device has, as long as the subsystem is not there.
static FIRST_NUMBER: Atomic<u32> = Atomic::new(0);

/// The device numbers of the subsystem, from which devices can be made as long as this is there.
pub(crate) struct Numbers {
    _region: chrdev::Region,
}

impl Numbers {
    /// Lets devices be made, with numbers out of `region`.
    pub(crate) fn new(region: chrdev::Region) -> Result<Self> {
        FIRST_NUMBER.store(region.number(0).ok_or(EINVAL)?, Relaxed);
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

/// One device, `fwctlN`: the C structure that drivers know, and in front of it what is the core's
/// own.
///
/// A C driver has its own structure around `struct fwctl_device`, so that its bytes follow. The
/// device is reference-counted by its `struct device`, and freed by [`release`].
///
/// # Invariants
///
/// - `raw.dev` is initialised, of class [`CLASS`], and `raw.cdev` has the operations of a node.
/// - `raw` lies at the end of an allocation of [`Kmalloc`] that starts with the device, followed
///   only by the driver's bytes.
#[repr(C)]
#[pin_data]
pub(crate) struct Device {
    /// Held for read whenever the driver is called. See `registration.rs`.
    #[pin]
    pub(crate) calls: Readers,
    /// Whether the driver may be called.
    pub(crate) state: Atomic<State>,
    /// The contexts of all open files that the driver knows.
    #[pin]
    pub(crate) contexts: Mutex<Contexts>,
    /// Notified when the driver is gone.
    #[pin]
    pub(crate) gone: PollCondVar,
    /// The driver, whose door is valid as long as it may be called.
    pub(crate) driver: Driver,
    /// How much memory an open file has, and where in it the driver's context is.
    pub(crate) uctx_size: usize,
    pub(crate) uctx_offset: usize,
    number: Number,
    /// What a C driver has a pointer to. Must be last.
    #[pin]
    raw: Raw,
}

/// `struct fwctl_device`, aligned to a cache line as it would be at the start of the allocation, so
/// that a C driver can have members that ask for it (`____cacheline_aligned`).
#[repr(C, align(64))]
struct Raw(Opaque<bindings::fwctl_device>);

const _: () = {
    // What `kmalloc()` returns is at least as aligned as the largest power of two that divides its
    // size, which the alignment does.
    kernel::static_assert!(align_of::<Device>() == align_of::<Raw>());
};

// SAFETY: A device can be released from any thread.
unsafe impl Send for Device {}
// SAFETY:
// - What `driver` points to is for its driver to share.
// - `raw` is used by the C side with its own locking; we only change it where the C side allows.
// - All else is `Sync`.
unsafe impl Sync for Device {}

impl Raw {
    /// Initialises the device in it, from when on it has a reference and the class frees it.
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

impl Device {
    /// Makes a device of `driver` below `parent`, with `size` bytes from the start of
    /// `struct fwctl_device` on: more than the structure has are the driver's own, and zero.
    ///
    /// The device is not registered. Fails with [`ENODEV`] if the subsystem is not there,
    /// with [`EINVAL`] if `size` is too small or a context too large for memory, with [`ENOSPC`] if there are [`MAX_DEVICES`] of
    /// them, and with [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// - `parent` must be valid, and stay so until the device was registered or freed.
    /// - The door of `driver` must be valid until the device was unregistered, or freed if it never
    ///   was registered; and from the registration on it must lead to the driver.
    pub(crate) unsafe fn new(
        parent: *mut bindings::device,
        driver: Driver,
        size: usize,
    ) -> Result<ARef<Self>> {
        let first_number = FIRST_NUMBER.load(Relaxed);
        if first_number == 0 {
            return Err(ENODEV);
        }

        let driver_bytes = size
            .checked_sub(size_of::<bindings::fwctl_device>())
            .ok_or(EINVAL)?;
        let (layout, _) = Layout::new::<Self>()
            .extend(Layout::array::<u8>(driver_bytes).map_err(|_| EINVAL)?)
            .map_err(|_| EINVAL)?;
        let (uctx_layout, uctx_offset) = Layout::new::<Uctx>()
            .extend(driver.uctx)
            .map_err(|_| EINVAL)?;
        // The number first: its drop gives it back if anything below fails.
        let number = Number::new()?;
        let minor = number.0;

        let ptr =
            Kmalloc::alloc(layout, GFP_KERNEL | __GFP_ZERO, NumaNode::NO_NODE)?.cast::<Self>();

        let init = try_pin_init!(Self {
            calls <- Readers::new(),
            state: Atomic::new(State::New),
            contexts <- new_mutex!(Contexts::new(), "fwctl_device::contexts"),
            gone <- new_poll_condvar!("fwctl_device::gone"),
            driver,
            uctx_size: uctx_layout.pad_to_align().size(),
            uctx_offset,
            number,
            raw <- Raw::init(parent, first_number + minor),
        });

        // SAFETY: `ptr` is valid for a write of `Self`.
        if let Err(error) = unsafe { pin_init::raw_try_init(ptr.as_ptr(), init) } {
            // SAFETY: `ptr` was returned by `Kmalloc::alloc()` with this layout. Nothing lives in
            // it: an initialiser that fails drops what it made, and `raw`, which never fails, is
            // the last field.
            unsafe { Kmalloc::free(ptr.cast(), layout) };
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

    /// Returns the C structure.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::fwctl_device {
        self.raw.0.get()
    }

    /// Returns the device that `raw` is a part of.
    ///
    /// # Safety
    ///
    /// `raw` must be in a device that [`Device::new`] made, which must live for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::fwctl_device) -> &'a Self {
        // SAFETY: By the safety requirements. `Raw` has only the one field, at its start.
        unsafe { &*container_of!(raw.cast::<Raw>(), Self, raw) }
    }

    /// Returns the device whose `struct device` is `dev`, with which `struct fwctl_device` starts.
    ///
    /// # Safety
    ///
    /// As for [`Device::from_raw`].
    unsafe fn from_dev<'a>(dev: *mut bindings::device) -> &'a Self {
        // SAFETY: By the safety requirements.
        unsafe { Self::from_raw(container_of!(dev, bindings::fwctl_device, dev)) }
    }

    /// Returns the device whose node `cdev` is.
    ///
    /// # Safety
    ///
    /// As for [`Device::from_raw`].
    pub(crate) unsafe fn from_cdev<'a>(cdev: *mut bindings::cdev) -> &'a Self {
        // SAFETY: By the safety requirements.
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
/// `dev` must be part of a [`Device`] that has no reference left.
unsafe extern "C" fn release(dev: *mut bindings::device) {
    // SAFETY: By the safety requirements, nobody else uses the device any more.
    let device = core::ptr::from_ref(unsafe { Device::from_dev(dev) }).cast_mut();

    // SAFETY: As above. What is dropped has no part in `raw`, which is `Opaque`.
    unsafe { core::ptr::drop_in_place(device) };

    // SAFETY: By the type invariant, the device is at the start of an allocation of `Kmalloc`. That
    // does not look at the layout.
    unsafe {
        Kmalloc::free(
            NonNull::new_unchecked(device.cast()),
            Layout::new::<Device>(),
        )
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
