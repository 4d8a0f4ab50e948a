// SPDX-License-Identifier: GPL-2.0-only

//! Where the devices of the sample come from. A driver of real hardware needs none of this: its
//! devices come from the driver of the hardware, by way of the auxiliary bus.

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

/// The name of the module, with which the names of auxiliary devices start.
pub(crate) const MODULE_NAME: &CStr = <crate::LocalModule as ModuleMetadata>::NAME;

/// What follows, before the number: `fwctl_loopback.loop.0`.
pub(crate) const DEVICE_NAME: &CStr = c"loop";

/// How many devices there can be.
const MAX_DEVICES: u32 = 64;

type Device<'a> = auxiliary::Registration<'a, ForLt!(())>;

/// Auxiliary devices below a faux device.
pub(crate) struct Bus {
    // Dropped in this order: what lies below the faux device borrows from it.
    _devices: KVec<Device<'static>>,
    _faux: faux::Registration,
}

// SAFETY: Devices can be unregistered from any thread.
unsafe impl Send for Bus {}
// SAFETY: There is nothing to be done with a `&Bus`.
unsafe impl Sync for Bus {}

impl Bus {
    /// Makes `count` devices; fails with [`EINVAL`] if that is too many.
    pub(crate) fn new(count: u32) -> Result<Self> {
        if count > MAX_DEVICES {
            return Err(EINVAL);
        }

        let faux = faux::Registration::new(MODULE_NAME, None)?;
        let parent: &device::Device<Bound> = faux.as_ref().as_ref();
        // SAFETY: The device lives, and stays bound, until `faux` is dropped, for which only a
        // `Bus` is made; and a `Bus` drops what borrows from it first.
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
