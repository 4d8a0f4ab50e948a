// SPDX-License-Identifier: GPL-2.0-only

//! Memory that the firmware may still write to, although nobody uses it any more.
//!
//! If the firmware does not confirm that it has forgotten registered memory, the pages must not be
//! used for anything else: they stay pinned, mapped and charged, on one list for all devices. An
//! entry is released when nothing can write to it any more. That is decided after the device that
//! accesses the memory was unbound from its driver, by a devres action: the driver has disabled the
//! device then, the device lock is held, and no other driver can have been bound.
//!
//! - A PCI function that was removed by surprise cannot write.
//! - Any other PCI function loses its permission to write (bus mastering), and is reset. A function
//!   that was reset has forgotten all addresses. Bus mastering alone would not do: the next driver
//!   enables it, and the firmware could continue.
//! - Memory that no device accesses, of a driver without hardware, is accessed by the driver only,
//!   which does not run any more.
//!
//! If the reset fails, or for devices on other buses, the entry stays until the next unbind, at
//! worst for good. The parameter `quarantined_bytes` of the module tells how much there is. If the
//! core is unloaded, what is left is leaked.

use kernel::{
    bindings,
    device,
    dma::DmaAddress,
    error::to_result,
    mm::{
        shared_pages::SharedPages,
        user_pages::{
            MappedUserPages,
            UserPages, //
        }, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        global_lock, //
    }, //
};

use crate::shim;

/// Pages, as the firmware accesses them.
pub(crate) enum Pages {
    /// Pages of a program, which a device accesses by the addresses of their mapping.
    Mapped(MappedUserPages),
    /// Pages of a program, which only the driver accesses, which has no hardware.
    User(UserPages),
    /// Pages of the kernel, which programs map. A device accesses them if they have addresses.
    Shared(SharedPages),
}

impl Pages {
    /// Returns the number of pages.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Mapped(mapped) => mapped.pages().count(),
            Self::User(pages) => pages.count(),
            Self::Shared(pages) => pages.count(),
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.count() * PAGE_SIZE
    }

    /// Returns the address of page `index`, for the device; [`None`] without one.
    pub(crate) fn address(&self, index: usize) -> Option<DmaAddress> {
        match self {
            Self::Mapped(mapped) => mapped.address(index),
            Self::User(_) => None,
            Self::Shared(pages) => pages.addresses().get(index).copied(),
        }
    }

    /// Copies the bytes from `offset` on to `to`. Fails with [`EINVAL`] if there are fewer.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        match self {
            Self::Mapped(mapped) => mapped.pages().read(offset, to),
            Self::User(pages) => pages.read(offset, to),
            Self::Shared(pages) => pages.read(offset, to),
        }
    }

    /// Copies `from` to the bytes from `offset` on. Fails with [`EINVAL`] if there are fewer.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) -> Result {
        match self {
            Self::Mapped(mapped) => mapped.pages().write(offset, from),
            Self::User(pages) => pages.write(offset, from),
            Self::Shared(pages) => pages.write(offset, from),
        }
    }

    /// Ends the accesses of the device. Returns the pages of the program, if they are: unpinning
    /// them takes the lock of its address space.
    pub(crate) fn unmap(self) -> Option<UserPages> {
        match self {
            Self::Mapped(mapped) => Some(mapped.unmap()),
            Self::User(pages) => Some(pages),
            Self::Shared(_) => None,
        }
    }
}

/// What an entry of the list needs, allocated before the firmware is told of the memory: putting
/// memory into quarantine never fails.
pub(crate) struct Entry {
    pub(crate) pages: Pages,
    /// The device that accesses the memory, or the host of a driver without hardware.
    device: ARef<device::Device>,
    next: Option<KBox<Entry>>,
}

impl Entry {
    /// Returns an entry for `pages`, which `device` accesses.
    ///
    /// Fails with [`ENOMEM`], and drops `pages` then.
    pub(crate) fn new(pages: Pages, device: ARef<device::Device>) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                pages,
                device,
                next: None,
            },
            GFP_KERNEL,
        )?)
    }

    fn is_of(&self, device: *const bindings::device) -> bool {
        core::ptr::from_ref(&*self.device).cast() == device
    }

    fn is_software(&self) -> bool {
        self.pages.address(0).is_none()
    }
}

/// A list of entries.
struct List(Option<KBox<Entry>>);

impl List {
    const fn new() -> Self {
        Self(None)
    }

    fn push(&mut self, mut entry: KBox<Entry>) {
        entry.next = self.0.take();
        self.0 = Some(entry);
    }

    fn pop(&mut self) -> Option<KBox<Entry>> {
        let mut entry = self.0.take()?;

        self.0 = entry.next.take();
        Some(entry)
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        core::iter::successors(self.0.as_deref(), |entry| entry.next.as_deref())
    }

    /// Removes the entries for which `is_wanted` returns `true`.
    fn take(&mut self, is_wanted: impl Fn(&Entry) -> bool) -> Self {
        let (mut wanted, mut rest) = (Self::new(), Self::new());

        while let Some(entry) = self.pop() {
            if is_wanted(&entry) {
                wanted.push(entry);
            } else {
                rest.push(entry);
            }
        }
        *self = rest;
        wanted
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // One after the other: entries that drop each other would need a deep stack.
        while let Some(entry) = self.pop() {
            drop(entry);
        }
    }
}

/// A device for which [`at_release`] was added.
struct Watched {
    device: ARef<device::Device>,
    /// Whether the action has not begun.
    is_armed: bool,
}

struct State {
    memory: List,
    /// All devices for which the action was ever added. The core must not be unloaded while it runs
    /// for one of them.
    watched: KVec<Watched>,
}

impl State {
    const fn new() -> Self {
        Self {
            memory: List::new(),
            watched: KVec::new(),
        }
    }
}

global_lock! {
    // SAFETY: `Quarantine::new()` initialises it before there is a device.
    unsafe(uninit) static STATE: Mutex<State> = State::new();
}

/// Whether `STATE` is initialised. sysfs has the parameters of a module before it is initialised.
static IS_READY: Atomic<bool> = Atomic::new(false);

/// The quarantine, which can be used while this exists.
pub(crate) struct Quarantine(());

impl Quarantine {
    /// Must precede the first device. Fails with [`EBUSY`] when called again.
    pub(crate) fn new() -> Result<Self> {
        static IS_INITIALISED: Atomic<bool> = Atomic::new(false);

        if IS_INITIALISED.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: The flag shows that this is the only call. Only devices use the quarantine, which
        // are created with this at hand.
        unsafe { STATE.init() };
        IS_READY.store(true, Release);
        Ok(Self(()))
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        loop {
            let Some(Watched { device, .. }) = STATE.lock().watched.pop() else {
                break;
            };
            let device = raw(&device);

            // The action runs with the device locked, as this does. So it has returned, or will not
            // run.
            //
            // SAFETY: `Watched` has a reference to the device.
            unsafe { shim::fwctl_shim_remove_action(device, at_release, device.cast()) };
        }

        // A static is not dropped, so what the state has allocated would be leaked.
        let State {
            mut memory,
            watched,
        } = core::mem::replace(&mut *STATE.lock(), State::new());
        drop(watched);
        // Nobody is left who could decide when to release this.
        if let Some(first) = memory.0.take() {
            leak(first);
        }
    }
}

/// Leaks memory that the firmware of a device may still access.
///
/// Drivers call this instead of freeing memory, if the firmware never confirms that it has
/// finished. kmemleak does not report the memory, nor what it refers to.
pub fn leak<T>(memory: KBox<T>) {
    // CAST: The address is all that matters.
    shim::not_leak(core::ptr::from_mut(KBox::leak(memory)).cast());
}

fn raw(device: &device::Device) -> *mut bindings::device {
    // A `Device` is a transparent wrapper of the C structure.
    core::ptr::from_ref(device).cast_mut().cast()
}

/// Keeps memory that the firmware may still access. May sleep.
///
/// # Safety
///
/// The device that `entry` names must be bound, and not be unbound before this returns.
pub(crate) unsafe fn add(entry: KBox<Entry>) {
    let device = entry.device.clone();

    STATE.lock().memory.push(entry);
    // SAFETY: The caller promises that the device is bound for the call.
    if unsafe { watch(&device) }.is_err() {
        dev_err!(&*device, "fwctl: memory for the firmware is lost\n");
    }
}

/// Makes [`at_release`] run when `device` was unbound.
///
/// # Safety
///
/// The device must be bound, and not be unbound before this returns.
unsafe fn watch(device: &ARef<device::Device>) -> Result {
    let mut state = STATE.lock();

    let known = state
        .watched
        .iter()
        .position(|one| raw(&one.device) == raw(device));
    let index = match known {
        Some(index) => index,
        None => {
            let one = Watched {
                device: device.clone(),
                is_armed: false,
            };
            state.watched.push(one, GFP_KERNEL)?;
            state.watched.len() - 1
        }
    };
    if state.watched[index].is_armed {
        return Ok(());
    }
    // SAFETY:
    // - The caller promises that the device is bound, so devres calls the action after its driver.
    // - The action takes a pointer to the device itself, which is valid while devres has actions
    //   of it. The core removes the action before it is unloaded.
    to_result(unsafe { shim::fwctl_shim_add_action(raw(device), at_release, raw(device).cast()) })?;
    state.watched[index].is_armed = true;
    Ok(())
}

/// Releases the memory that a device accessed, after its driver was unbound, if nothing can access
/// it any more.
///
/// # Safety
///
/// `data` must be a valid `struct device` that is locked and was unbound from its driver just now.
/// devres must be releasing its resources.
unsafe extern "C" fn at_release(data: *mut c_void) {
    let device = data.cast::<bindings::device>();
    let needs_reset = {
        let mut state = STATE.lock();

        for one in state.watched.iter_mut() {
            if raw(&one.device) == device {
                one.is_armed = false;
            }
        }
        let mut memory = state.memory.iter().filter(|entry| entry.is_of(device));
        memory.any(|entry| !entry.is_software())
    };

    // SAFETY: The caller promises that the device is valid, locked, and has no driver.
    let is_quiet = needs_reset && unsafe { shim::fwctl_shim_quiesce(device) };
    // SAFETY: The caller promises that the device is valid.
    let name: &device::Device = unsafe { device::Device::from_raw(device) };
    if needs_reset && !is_quiet {
        dev_err!(
            name,
            "fwctl: the function was not reset; memory for its firmware stays in quarantine\n"
        );
    }

    let released = STATE
        .lock()
        .memory
        .take(|entry| entry.is_of(device) && (is_quiet || entry.is_software()));
    // Outside of the lock. Mappings of a device may still be ended by its devres actions.
    drop(released);
}

/// Returns how many bytes are in quarantine. Called from `shim.c`, for the parameter of the module.
#[no_mangle]
extern "C" fn fwctl_quarantined_bytes() -> u64 {
    if !IS_READY.load(Acquire) {
        return 0;
    }

    let state = STATE.lock();
    // CAST: A length fits into 64 bits.
    state
        .memory
        .iter()
        .map(|entry| entry.pages.len() as u64)
        .sum()
}
