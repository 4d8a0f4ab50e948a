// SPDX-License-Identifier: GPL-2.0-only

//! Auxiliary devices without hardware.
//!
//! Real devices come from the driver of the hardware instead.

use kernel::{
    auxiliary,
    device::{
        self,
        Bound, //
    },
    faux,
    prelude::*,
    types::ForLt,
    ModuleMetadata, //
};

/// Name of the module, the first part of the names of its auxiliary devices.
pub(crate) const MODULE_NAME: &CStr = <crate::LocalModule as ModuleMetadata>::NAME;

/// Second part of the names: `fwctl_loopback.loop.0`.
pub(crate) const DEVICE_NAME: &CStr = c"loop";

/// Maximum number of devices.
const MAX_DEVICES: u32 = 64;

type Device<'a> = auxiliary::Registration<'a, ForLt!(())>;

/// Auxiliary devices below a faux device.
pub(crate) struct Bus {
    // Dropped first: the auxiliary devices borrow from the faux device.
    _devices: KVec<Device<'static>>,
    _faux: faux::Registration,
}

// SAFETY: A `Bus` can only be dropped, which unregisters the devices. That may sleep, but does not
// depend on the thread that registered them.
unsafe impl Send for Bus {}
// SAFETY: A `&Bus` has no methods, and its private fields are only ever dropped.
unsafe impl Sync for Bus {}

impl Bus {
    /// Creates `count` devices.
    ///
    /// Fails with [`EINVAL`] if `count` is greater than [`MAX_DEVICES`].
    pub(crate) fn new(count: u32) -> Result<Self> {
        if count > MAX_DEVICES {
            return Err(EINVAL);
        }

        let faux = faux::Registration::new(MODULE_NAME, None)?;
        let parent: &device::Device<Bound> = faux.as_ref().as_ref();
        // SAFETY: The device exists and stays bound until `faux` is dropped. What borrows from it
        // is dropped first: `devices` is declared after `faux` in this function, and before it in
        // `Bus`, which is never taken apart.
        let parent: &'static device::Device<Bound> = unsafe { &*core::ptr::from_ref(parent) };

        let mut devices = KVec::new();
        for id in 0..count {
            let device = Device::new(parent, DEVICE_NAME, id, MODULE_NAME, ())?;
            devices.push(device, GFP_KERNEL)?;
        }

        Ok(Self {
            _devices: devices,
            _faux: faux,
        })
    }
}
