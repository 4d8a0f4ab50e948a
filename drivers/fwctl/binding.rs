// SPDX-License-Identifier: GPL-2.0-only

//! What ends the registration of a Rust driver.
//!
//! A driver can drop its [`Registration`](crate::Registration) early, but safe code can also forget
//! it. So the core itself ends a registration at the first of these events:
//!
//! 1. The driver drops it.
//! 2. The host is about to be unbound, or its probe failed (a notifier of its bus). That is before
//!    the bus calls the driver's `unbind()`, before the data of the bus driver are dropped, and
//!    before devres releases anything. So the host is bound in the full sense whenever a function
//!    of the driver runs.
//! 3. devres releases the host. Only a kernel with `DEBUG_TEST_DRIVER_REMOVE` gets here without the
//!    second event.
//! 4. The driver's module is unloaded (a notifier of the module loader, which calls it when the
//!    module's `exit()` has run, and its code is still there). A driver gets here that has
//!    forgotten what should have unbound the host.
//!
//! The end takes the device away, drops the driver's data, and only then lets whatever caused it go
//! on. If two of the events coincide, the second waits for the first.
//!
//! # Locking
//!
//! `BUSES` is held while a notifier is added to a bus, and never inside a notifier. `BINDINGS`
//! protects a list, and is not held across calls that lead out of this file. A notifier runs with
//! the notifier chain of its bus locked for reading: another subsystem that adds a notifier to the
//! same bus waits meanwhile.

use core::{
    cell::UnsafeCell,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    pin::Pin,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    device,
    error::to_result,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        global_lock, //
    },
    types::Opaque, //
};

use crate::device::Device;

/// What binds a device to its host: set before the device is registered, and not changed after.
pub(crate) struct Binding {
    /// The bus device, which is bound while the driver may be called.
    pub(crate) host: NonNull<bindings::device>,
    /// The `Operations::Data`, dropped when the registration ends.
    data: UnsafeCell<ManuallyDrop<Erased>>,
    /// The task that registers the device or ends its registration, as an address; 0 in between.
    busy: Atomic<usize>,
    /// Whether the registration has ended.
    has_ended: Atomic<bool>,
}

impl Binding {
    /// Returns the `Operations::Data`, which are valid while the driver may be called.
    #[inline]
    pub(crate) fn data(&self) -> NonNull<c_void> {
        // SAFETY: The cell is only borrowed mutably to drop what it points to, and that does not
        // change the pointer.
        unsafe { (*self.data.get()).data }
    }
}

/// The data of a registration, of whatever type.
///
/// # Invariants
///
/// `drop` can be called with `data`, which are pinned.
pub(crate) struct Erased {
    data: NonNull<c_void>,
    drop: unsafe fn(NonNull<c_void>),
}

impl Erased {
    /// Takes over `data`.
    ///
    /// # Safety
    ///
    /// `drop` must be safe to call with `data`, once, from any thread. The data must be pinned.
    pub(crate) unsafe fn new(data: NonNull<c_void>, drop: unsafe fn(NonNull<c_void>)) -> Self {
        // INVARIANT: The caller promises it.
        Self { data, drop }
    }
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; a value is dropped once.
        unsafe { (self.drop)(self.data) };
    }
}

/// Stands for a registration, also when that has ended. No two registrations have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(i64);

impl Id {
    fn new() -> Self {
        static NEXT: Atomic<i64> = Atomic::new(0);

        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// A registration that has not ended.
struct Entry {
    id: Id,
    device: ARef<Device>,
    host: ARef<device::Device>,
    /// The module of the host's driver; null if that is built in.
    owner: *const bindings::module,
}

// SAFETY: `owner` is only compared, the other fields are `Send`.
unsafe impl Send for Entry {}

global_lock! {
    // SAFETY: `Notifiers::new()` initialises it before there is a device.
    unsafe(uninit) static BINDINGS: Mutex<KVec<Entry>> = KVec::new();
}

global_lock! {
    // SAFETY: `Notifiers::new()` initialises it before there is a device.
    unsafe(uninit) static BUSES: Mutex<KVec<Pin<KBox<BusNotifier>>>> = KVec::new();
}

/// Registers `device` for `host`, whose driver is being probed; returns what stands for it.
///
/// Fails with [`EBUSY`] if the host is already bound, so this is not its probe, and with [`EINVAL`]
/// if the parent of the device is neither the host nor above it. Fails with [`ENOMEM`], and as
/// [`Device::register`]. If this fails, `data` are dropped. May sleep.
///
/// # Safety
///
/// - The device must be new, of a Rust driver whose functions can be called with `host` and `data`,
///   and no other function may use it meanwhile.
/// - `data` must be valid while `host` is bound.
pub(crate) unsafe fn register(
    device: &ARef<Device>,
    host: &device::Device<device::Core<'_>>,
    data: Erased,
) -> Result<Id> {
    // A `Device` is a transparent wrapper of the C structure.
    let raw = NonNull::from(host).cast::<bindings::device>();

    // SAFETY: The device is valid and, as a `Core` context shows, locked by a callback of its bus.
    if unsafe { bindings::device_is_bound(raw.as_ptr()) } {
        return Err(EBUSY);
    }
    // SAFETY: The device is valid, and has a bus and a driver while that is probed.
    let (bus, driver) = unsafe { ((*raw.as_ptr()).bus, (*raw.as_ptr()).driver) };
    // SAFETY: A device that is being probed is registered.
    let is_placed = unsafe { is_at_or_above(device.parent(), raw.as_ptr()) };
    if driver.is_null() || !is_placed {
        return Err(EINVAL);
    }
    watch(bus)?;

    let binding = Binding {
        host: raw,
        data: UnsafeCell::new(ManuallyDrop::new(data)),
        busy: Atomic::new(me()),
        has_ended: Atomic::new(false),
    };
    // SAFETY: The caller promises that nothing else uses the new device, so it has no binding, and
    // nobody reads it.
    unsafe { *device.binding.get() = MaybeUninit::new(binding) };

    let id = Id::new();
    let entry = Entry {
        id,
        device: device.clone(),
        host: {
            let host: &device::Device = host;
            host.into()
        },
        // SAFETY: A driver that is being probed is valid.
        owner: unsafe { (*driver).owner },
    };
    let pushed = BINDINGS.lock().push(entry, GFP_KERNEL);
    if let Err(error) = pushed {
        // SAFETY: The device has a binding, and is not registered.
        unsafe { drop_data(device) };
        return Err(error.into());
    }

    // Before the device is visible, so nothing that its calls add to devres is older than this.
    //
    // SAFETY:
    // - The host is valid and bound: it is being probed.
    // - `at_release()` takes the reference that is made here.
    let added = to_result(unsafe {
        bindings::devm_add_action_or_reset(
            raw.as_ptr(),
            Some(at_release),
            ARef::into_raw(device.clone()).as_ptr().cast(),
        )
    });
    if let Err(error) = added.and_then(|()| device.register()) {
        // SAFETY: The device is not registered, or not any more.
        unsafe { finish(device) };
        return Err(error);
    }

    // SAFETY: The binding was set above.
    let binding = unsafe { (*device.binding.get()).assume_init_ref() };
    binding.busy.store(0, Release);
    device.removed.wake_all();
    Ok(id)
}

/// Returns whether `ancestor` is `dev` or one of the devices above it.
///
/// Those are in the driver model for longer than `dev`.
///
/// # Safety
///
/// `dev` must be registered.
unsafe fn is_at_or_above(ancestor: *mut bindings::device, mut dev: *mut bindings::device) -> bool {
    while !dev.is_null() && dev != ancestor {
        // SAFETY: The caller promises that the first one is registered. A registered device has a
        // reference to its parent, which stays registered for longer.
        dev = unsafe { (*dev).parent };
    }
    !dev.is_null()
}

/// Returns a number that stands for the current task.
fn me() -> usize {
    current!().as_ptr().addr()
}

/// Ends the registration of `device`, if it has not ended: see the module's documentation.
///
/// Returns when it has ended. Returns `false` at once if the current task is about to end it: what
/// is dropped on the way may own the registration. May sleep.
fn end(device: &Device) -> bool {
    // SAFETY: This is called for devices that `register()` has given a binding.
    let binding = unsafe { (*device.binding.get()).assume_init_ref() };

    while !binding.has_ended.load(Acquire) {
        match binding.busy.cmpxchg(0, me(), Full) {
            Ok(_) => {
                device.unregister();
                // SAFETY: The device is not registered any more.
                unsafe { finish(device) };
            }
            Err(task) if task == me() => return false,
            Err(_) => device
                .removed
                .wait(&mut || binding.has_ended.load(Acquire) || binding.busy.load(Acquire) == 0),
        }
    }
    true
}

/// Drops what `register()` has made, but for the device itself.
///
/// # Safety
///
/// `register()` must have given the device a binding. The device must not be registered, nor become
/// so. This must be called once.
unsafe fn finish(device: &Device) {
    // SAFETY: The caller promises that there is a binding.
    let binding = unsafe { (*device.binding.get()).assume_init_ref() };
    let raw = core::ptr::from_ref(device).cast_mut();

    // SAFETY: The caller promises that the device is not registered.
    unsafe { drop_data(device) };

    // SAFETY: The list still has a reference to the host.
    if unsafe {
        bindings::devm_remove_action_nowarn(binding.host.as_ptr(), Some(at_release), raw.cast())
    } == 0
    {
        // SAFETY: The action owned a reference, and will not run any more.
        drop(unsafe { ARef::from_raw(NonNull::from(device)) });
    }

    let entry = {
        let mut bindings = BINDINGS.lock();
        let index = bindings
            .iter()
            .position(|entry| core::ptr::eq(&*entry.device, device));
        index.and_then(|index| bindings.remove(index).ok())
    };

    binding.has_ended.store(true, Release);
    device.removed.wake_all();
    // Last, as it may own the last reference to the device.
    drop(entry);
}

/// Drops the driver's data.
///
/// # Safety
///
/// The device must have a binding, must not be registered, nor become so. This must be called once.
unsafe fn drop_data(device: &Device) {
    // SAFETY: The caller promises that there is a binding.
    let data = unsafe { (*device.binding.get()).assume_init_ref() }
        .data
        .get();

    // SAFETY: The caller promises that no function of the driver can run, so nothing uses the data,
    // and that they are dropped once.
    unsafe { ManuallyDrop::drop(&mut *data) };
}

/// The action of devres.
///
/// # Safety
///
/// `data` must be a reference to a device that [`register`] has given a binding, which is given
/// away.
unsafe extern "C" fn at_release(data: *mut c_void) {
    // SAFETY: The caller promises that it is a reference, and gives it away.
    let device = unsafe { ARef::<Device>::from_raw(NonNull::new_unchecked(data.cast())) };

    // If `register()` could not add the action, this does nothing: the current task is busy there.
    end(&device);
}

/// Ends the registration that `id` stands for, if it has not ended. May sleep.
pub(crate) fn end_one(id: Id) {
    end_all(|entry| entry.id == id);
}

/// Ends the registrations that `matches` selects.
fn end_all(matches: impl Fn(&Entry) -> bool) {
    loop {
        let device = {
            let bindings = BINDINGS.lock();
            let found = bindings.iter().find(|entry| matches(entry));
            found.map(|entry| entry.device.clone())
        };
        match device {
            Some(device) if end(&device) => {}
            _ => return,
        }
    }
}

/// A notifier of one bus.
///
/// # Invariants
///
/// `block` is in the notifier chain of `bus`, if that is still there.
#[pin_data(PinnedDrop)]
struct BusNotifier {
    bus: *const bindings::bus_type,
    #[pin]
    block: Opaque<bindings::notifier_block>,
}

// SAFETY: A notifier can be removed from any thread.
unsafe impl Send for BusNotifier {}

#[pinned_drop]
impl PinnedDrop for BusNotifier {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The function looks the bus up by its address, and fails if it or the block is not
        // there.
        unsafe { bindings::bus_unregister_notifier(self.bus, self.block.get()) };
    }
}

/// Adds a notifier to `bus`, unless it has one of ours.
///
/// It stays until the core is unloaded: to remove it needs the lock that is held while notifiers
/// run, and they may drop the last registration of a bus.
fn watch(watched: *const bindings::bus_type) -> Result {
    let mut buses = BUSES.lock();

    if buses.iter().any(|notifier| notifier.bus == watched) {
        return Ok(());
    }

    buses.reserve(1, GFP_KERNEL)?;
    let notifier = KBox::pin_init(
        try_pin_init!(BusNotifier {
            bus: watched,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY:
                // - `slot` is valid for writes, and pinned.
                // - The bus has a device that is being probed, so it is registered.
                // - `at_bus_event()` is what such a notifier has to be, and the block is removed
                //   when the `BusNotifier` is dropped.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(at_bus_event),
                        // First, since a notifier can keep an event from those after it.
                        priority: c_int::MAX,
                        ..pin_init::zeroed()
                    });
                    to_result(bindings::bus_register_notifier(watched, slot))
                }
            }),
        }),
        GFP_KERNEL,
    )?;
    buses.push(notifier, GFP_KERNEL)?;
    Ok(())
}

/// # Safety
///
/// `data` must be the device that `event` is about.
unsafe extern "C" fn at_bus_event(
    _block: *mut bindings::notifier_block,
    event: c_ulong,
    data: *mut c_void,
) -> c_int {
    // CAST: The events are small numbers.
    if matches!(
        event as bindings::bus_notifier_event,
        bindings::bus_notifier_event_BUS_NOTIFY_UNBIND_DRIVER
            | bindings::bus_notifier_event_BUS_NOTIFY_DRIVER_NOT_BOUND
    ) {
        end_all(|entry| core::ptr::from_ref(&*entry.host).cast::<c_void>() == data);
    }
    // CAST: The answers of a notifier are small numbers.
    bindings::NOTIFY_DONE as c_int
}

/// # Safety
///
/// `data` must be the module that `state` is about.
#[cfg(CONFIG_MODULES)]
unsafe extern "C" fn at_module_event(
    _block: *mut bindings::notifier_block,
    state: c_ulong,
    data: *mut c_void,
) -> c_int {
    // CAST: The states are small numbers.
    if state as bindings::module_state == bindings::module_state_MODULE_STATE_GOING {
        end_all(|entry| entry.owner.cast::<c_void>() == data);
    }
    // CAST: The answers of a notifier are small numbers.
    bindings::NOTIFY_DONE as c_int
}

/// The notifiers, while this is there.
#[pin_data(PinnedDrop)]
pub(crate) struct Notifiers {
    #[pin]
    module: Opaque<bindings::notifier_block>,
}

// SAFETY: Notifiers can be removed from any thread.
unsafe impl Send for Notifiers {}
// SAFETY: A shared reference gives no access.
unsafe impl Sync for Notifiers {}

impl Notifiers {
    /// Creates an initialiser, to be used before there is a device.
    ///
    /// # Safety
    ///
    /// Must be used at most once.
    pub(crate) unsafe fn new() -> impl PinInit<Self, Error> {
        // SAFETY: The caller promises that this is the only call, and that there is no device yet.
        unsafe {
            BINDINGS.init();
            BUSES.init();
        }

        try_pin_init!(Self {
            module <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                #[cfg(CONFIG_MODULES)]
                // SAFETY:
                // - `slot` is valid for writes, and pinned.
                // - `at_module_event()` is what such a notifier has to be, and the block is removed
                //   when the `Notifiers` are dropped.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(at_module_event),
                        ..pin_init::zeroed()
                    });
                    to_result(bindings::register_module_notifier(slot))
                }
                #[cfg(not(CONFIG_MODULES))]
                {
                    let _ = slot;
                    Ok::<(), Error>(())
                }
            }),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Notifiers {
    fn drop(self: Pin<&mut Self>) {
        #[cfg(CONFIG_MODULES)]
        // SAFETY: `new()` has added the block.
        unsafe {
            bindings::unregister_module_notifier(self.module.get())
        };

        // There is no entry left, but the memory for them.
        drop(core::mem::replace(&mut *BINDINGS.lock(), KVec::new()));
        // Outside of the lock, as a notifier must not be removed with it held.
        let buses = core::mem::replace(&mut *BUSES.lock(), KVec::new());
        drop(buses);
    }
}
