// SPDX-License-Identifier: GPL-2.0-only

//! Who is under way, so that one can wait for them: SRCU of the fast flavour.
//!
//! A reader of it counts itself on its own processor and writes nothing that others read, without a
//! memory barrier, which [`kernel::sync::Srcu`] has. Waiting for readers takes longer for that.

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

use crate::shim;

/// Those who are under way.
#[pin_data(PinnedDrop)]
pub(crate) struct Readers {
    #[pin]
    srcu: Opaque<bindings::srcu_struct>,
}

// SAFETY: SRCU can be used, waited for, and cleaned up from any thread.
unsafe impl Send for Readers {}
// SAFETY: As above.
unsafe impl Sync for Readers {}

impl Readers {
    /// Returns an initialiser; it fails with [`ENOMEM`].
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // SAFETY: `try_ffi_init()` calls with a valid pointer to pinned memory.
            srcu <- Opaque::try_ffi_init(|slot| to_result(unsafe {
                shim::fwctl_shim_readers_init(slot)
            })),
        })
    }

    /// Begins to be under way, until [`Readers::leave`]. Sleeping is allowed meanwhile.
    #[inline]
    pub(crate) fn enter(&self) -> Entry {
        Entry {
            // SAFETY: `srcu` is initialised.
            counter: unsafe { shim::fwctl_shim_readers_enter(self.srcu.get()) },
            _not_send: NotThreadSafe,
        }
    }

    /// Ends to be under way.
    ///
    /// # Safety
    ///
    /// `entry` must be of these readers, and not have been left before.
    #[inline]
    pub(crate) unsafe fn leave(&self, entry: &Entry) {
        // SAFETY: By the safety requirements; an entry stays with its task.
        unsafe { shim::fwctl_shim_readers_leave(self.srcu.get(), entry.counter) };
    }

    /// Waits for all that are under way now, however long they take.
    ///
    /// What was written before this is called is seen by all who enter later.
    pub(crate) fn wait(&self) {
        // SAFETY: `srcu` is initialised. Expedited, as what goes is a device, and somebody waits.
        unsafe { bindings::synchronize_srcu_expedited(self.srcu.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for Readers {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `srcu` is initialised. If somebody is under way in spite of that, the function
        // warns and does nothing else.
        unsafe { bindings::cleanup_srcu_struct(self.srcu.get()) };
    }
}

/// That this task is under way. It does not know of what, which its owner does anyway.
#[must_use = "who has entered has to leave"]
pub(crate) struct Entry {
    counter: *mut c_void,
    _not_send: NotThreadSafe,
}
