// SPDX-License-Identifier: GPL-2.0-only

//! What ends the registration of a Rust driver.
//!
//! A driver can drop its [`Registration`](crate::Registration) early, but safe code can also forget
//! it. So the core itself ends a registration at the first of these events:
//!
//! 1. The driver drops it.
//! 2. The host is about to be unbound, or its probe failed (a notifier of its bus). That is before
//!    the bus calls the driver's `unbind()`, before the data of the bus driver are dropped, and
//!    before devres releases anything. So the host is bound in the full sense whenever a callback
//!    of the driver runs.
//! 3. devres releases the resources of the host. Only a kernel with `DEBUG_TEST_DRIVER_REMOVE` gets
//!    here without the second event.
//! 4. The driver's module is unloaded (a notifier of the module loader, which runs after the
//!    module's `exit()`, while its code is still there). This happens if the driver has forgotten
//!    what should have unbound the host.
//!
//! Ending a registration removes the device and drops the driver's data, and only then lets the
//! event proceed. If two events coincide, the second one waits for the first.
//!
//! # Locking
//!
//! `BUSES` is held while a notifier is added to a bus, and never inside a notifier. `BINDINGS`
//! protects a list, and is not held across calls that lead out of this file. A notifier runs with
//! the notifier chain of its bus locked for reading, so another subsystem that adds a notifier to
//! the same bus waits meanwhile.

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
    notifier::{
        BusCallback,
        BusEvent,
        BusNotifier,
        ModuleCallback,
        ModuleId,
        ModuleNotifier, //
    },
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
    }, //
};

use crate::device::Device;

/// What binds a device to its host. It is set before the device is registered, and does not change.
pub(crate) struct Binding {
    /// The bus device, which is bound while the device is live.
    pub(crate) host: NonNull<bindings::device>,
    /// The `Operations::Data`, dropped when the registration ends.
    data: UnsafeCell<ManuallyDrop<Erased>>,
    /// The address of the task that registers the device or ends its registration; 0 in between.
    busy: Atomic<usize>,
    /// Whether the registration has ended.
    has_ended: Atomic<bool>,
}

impl Binding {
    /// Returns the `Operations::Data`, which are valid while the device is live.
    #[inline]
    pub(crate) fn data(&self) -> NonNull<c_void> {
        // SAFETY: Nothing writes the pointer in the cell. The cell is only borrowed mutably to drop
        // what the pointer points to.
        unsafe { (*self.data.get()).data }
    }
}

/// The data of a registration, with their type erased.
///
/// # Invariants
///
/// `drop` can be called with `data`, once, from any thread. The data are pinned.
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
        // INVARIANT: The caller promises both.
        Self { data, drop }
    }
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, `drop` can be called with `data` once. A value is dropped
        // once.
        unsafe { (self.drop)(self.data) };
    }
}

/// Identifies a registration, also after it has ended. No two registrations have the same.
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
    /// The module of the host's driver.
    owner: ModuleId,
}

global_lock! {
    // SAFETY: `Notifiers::new()` initialises it before there is a device.
    unsafe(uninit) static BINDINGS: Mutex<KVec<Entry>> = KVec::new();
}

global_lock! {
    // SAFETY: `Notifiers::new()` initialises it before there is a device.
    unsafe(uninit) static BUSES: Mutex<KVec<Pin<KBox<BusNotifier<EndOfBinding>>>>> = KVec::new();
}

/// Registers `device` for `host`, whose driver is being probed.
///
/// Fails with [`EBUSY`] if the host is already bound, because then this is not its probe; with
/// [`EINVAL`] if the parent of the device is neither the host nor one of its ancestors; with
/// [`ENOMEM`]; and as [`Device::register`]. `data` are dropped on failure. May sleep.
///
/// # Safety
///
/// - The device must be new, and of a Rust driver whose functions can be called with `host` and
///   `data`. Nothing else may use the device during the call.
/// - `data` must be valid while `host` is bound.
pub(crate) unsafe fn register(
    device: &ARef<Device>,
    host: &device::Device<device::Core<'_>>,
    data: Erased,
) -> Result<Id> {
    // A `Device` is a transparent wrapper of the C structure.
    let raw = NonNull::from(host).cast::<bindings::device>();

    // SAFETY: The device is valid. The `Core` context shows that a callback of its bus holds the
    // device lock.
    if unsafe { bindings::device_is_bound(raw.as_ptr()) } {
        return Err(EBUSY);
    }
    let owner = ModuleId::of_driver(host).ok_or(EINVAL)?;
    // SAFETY: A device that is being probed is registered.
    if !unsafe { is_at_or_above(device.parent(), raw.as_ptr()) } {
        return Err(EINVAL);
    }
    watch_bus_of(host)?;

    let binding = Binding {
        host: raw,
        data: UnsafeCell::new(ManuallyDrop::new(data)),
        busy: Atomic::new(me()),
        has_ended: Atomic::new(false),
    };
    // SAFETY: The caller promises that the device is new, so it has no binding, and that nothing
    // else uses it.
    unsafe { *device.binding.get() = MaybeUninit::new(binding) };

    let id = Id::new();
    let entry = Entry {
        id,
        device: device.clone(),
        host: {
            let host: &device::Device = host;
            host.into()
        },
        owner,
    };
    let pushed = BINDINGS.lock().push(entry, GFP_KERNEL);
    if let Err(error) = pushed {
        // SAFETY: The device has a binding, was not registered, and is not registered below.
        unsafe { drop_data(device) };
        return Err(error.into());
    }

    // Add the action before the device is visible: devres releases in reverse order, so what
    // callbacks add is released after the registration has ended.
    //
    // SAFETY:
    // - The host is valid, and is being probed.
    // - `at_release()` takes over the reference that is made here.
    let added = to_result(unsafe {
        bindings::devm_add_action_or_reset(
            raw.as_ptr(),
            Some(at_release),
            ARef::into_raw(device.clone()).as_ptr().cast(),
        )
    });
    if let Err(error) = added.and_then(|()| device.register()) {
        // SAFETY: The device has a binding. Its registration has not begun or has failed, so it
        // cannot be registered again.
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
/// The devices above it stay registered for longer than `dev`.
///
/// # Safety
///
/// `dev` must be registered.
unsafe fn is_at_or_above(ancestor: *mut bindings::device, mut dev: *mut bindings::device) -> bool {
    while !dev.is_null() && dev != ancestor {
        // SAFETY: The caller promises that the first device is registered. A registered device has
        // a reference to its parent, which stays registered for longer.
        dev = unsafe { (*dev).parent };
    }
    !dev.is_null()
}

/// Returns a number that identifies the current task.
fn me() -> usize {
    current!().as_ptr().addr()
}

/// Ends the registration of `device` if it has not ended, and waits until it has. May sleep.
///
/// Returns `false` at once if the current task is already ending it: the data that it drops may own
/// the registration.
fn end(device: &Device) -> bool {
    // SAFETY: `device` is from `BINDINGS` or from the action of devres. `register()` sets the
    // binding before it adds a device to either.
    let binding = unsafe { (*device.binding.get()).assume_init_ref() };

    while !binding.has_ended.load(Acquire) {
        match binding.busy.cmpxchg(0, me(), Full) {
            Ok(_) => {
                device.unregister();
                // SAFETY: The device has a binding. It was unregistered just now, so it cannot be
                // registered again. `busy` lets one task get here, once.
                unsafe { finish(device) };
            }
            Err(task) if task == me() => return false,
            Err(_) => device
                .removed
                .wait(|| binding.has_ended.load(Acquire) || binding.busy.load(Acquire) == 0),
        }
    }
    true
}

/// Drops what `register()` has created, except for the device itself.
///
/// # Safety
///
/// The device must have a binding, and must not be registered now or later. This must be called at
/// most once.
unsafe fn finish(device: &Device) {
    // SAFETY: The caller promises that there is a binding.
    let binding = unsafe { (*device.binding.get()).assume_init_ref() };
    let raw = core::ptr::from_ref(device).cast_mut();

    // SAFETY: The caller promises that the device has a binding, is not registered now or later,
    // and that this runs once.
    unsafe { drop_data(device) };

    // SAFETY: The host is valid: `BINDINGS` still has a reference to it.
    if unsafe {
        bindings::devm_remove_action_nowarn(binding.host.as_ptr(), Some(at_release), raw.cast())
    } == 0
    {
        // SAFETY: The action owned a reference, and was removed before it ran.
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
    // Drop the entry last: it may own the last reference to the device.
    drop(entry);
}

/// Drops the driver's data.
///
/// # Safety
///
/// The device must have a binding, and must not be registered now or later. This must be called at
/// most once.
unsafe fn drop_data(device: &Device) {
    // SAFETY: The caller promises that there is a binding.
    let data = unsafe { (*device.binding.get()).assume_init_ref() }
        .data
        .get();

    // SAFETY: The caller promises that the device is not registered, so no callback of the driver
    // uses the data, and that they are dropped once.
    unsafe { ManuallyDrop::drop(&mut *data) };
}

/// Ends a registration when devres releases the resources of the host.
///
/// # Safety
///
/// `data` must be an owned reference to a device with a binding.
unsafe extern "C" fn at_release(data: *mut c_void) {
    // SAFETY: The caller promises that `data` is an owned reference, which it hands over.
    let device = unsafe { ARef::<Device>::from_raw(NonNull::new_unchecked(data.cast())) };

    // This does nothing if `register()` could not add the action: then the current task is busy
    // there.
    end(&device);
}

/// Ends the registration `id` if it has not ended. May sleep.
pub(crate) fn end_one(id: Id) {
    end_all(|entry| entry.id == id);
}

/// Ends all registrations for which `matches` returns `true`. May sleep.
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

/// The callbacks of the notifiers.
struct EndOfBinding;

impl BusCallback for EndOfBinding {
    fn call(_event: BusEvent, dev: &device::Device) {
        end_all(|entry| core::ptr::eq(&*entry.host, dev));
    }
}

impl ModuleCallback for EndOfBinding {
    fn going(module: ModuleId) {
        end_all(|entry| entry.owner == module);
    }
}

/// Adds a notifier to the bus of `dev`, unless it has one.
///
/// It stays until the core is unloaded. Removing it takes the lock that is held while notifiers
/// run, and a notifier may end the last registration of a bus.
fn watch_bus_of(dev: &device::Device<device::Core<'_>>) -> Result {
    let mut buses = BUSES.lock();

    if buses.iter().any(|notifier| notifier.is_of_bus_of(dev)) {
        return Ok(());
    }

    buses.reserve(1, GFP_KERNEL)?;
    let notifier = KBox::pin_init(BusNotifier::new(dev), GFP_KERNEL)?;
    buses.push(notifier, GFP_KERNEL)?;
    Ok(())
}

/// The notifiers, which are removed on drop.
pub(crate) struct Notifiers {
    _module: Pin<KBox<ModuleNotifier<EndOfBinding>>>,
}

impl Notifiers {
    /// Adds the notifier of the module loader. Those of buses follow as devices are registered.
    ///
    /// Must precede the first registration. Fails with [`EBUSY`] when called again, and with
    /// [`ENOMEM`]. May sleep.
    pub(crate) fn new() -> Result<Self> {
        static IS_INITIALISED: Atomic<bool> = Atomic::new(false);

        if IS_INITIALISED.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: The flag shows that this is the only call. Nothing has used the locks:
        // `register()` needs a device, and `device::Numbers`, without which there is none, are
        // created with the notifiers at hand.
        unsafe {
            BINDINGS.init();
            BUSES.init();
        }

        Ok(Self {
            _module: KBox::pin_init(ModuleNotifier::new(), GFP_KERNEL)?,
        })
    }
}

impl Drop for Notifiers {
    fn drop(&mut self) {
        // No registration is left, only the memory for their list.
        drop(core::mem::replace(&mut *BINDINGS.lock(), KVec::new()));
        // Drop the notifiers outside the lock, which is held while a notifier chain is locked.
        let buses = core::mem::replace(&mut *BUSES.lock(), KVec::new());
        drop(buses);
    }
}
