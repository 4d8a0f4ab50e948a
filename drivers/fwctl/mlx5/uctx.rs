// SPDX-License-Identifier: GPL-2.0-only

//! User contexts: what an open file is for the firmware.
//!
//! The firmware knows a user context by its number, the uid, checks what it may do, and keeps its
//! objects apart from those of others. Every command of a file carries the number of its own.

use kernel::{
    device,
    prelude::*, //
};

use crate::{
    cmd::{
        Command,
        CreateUctxIn,
        Description,
        DestroyUctxIn,
        UCTX_CAP_TOOLS_RESOURCES,
        UID_OF_KERNEL, //
    },
    core_dev::{
        debug,
        CoreDev, //
    },
};

/// One open file.
pub(crate) struct Uctx {
    uid: u16,
    caps: u32,
}

impl Uctx {
    /// Has the firmware make a user context, which may do what tools need if the device offers
    /// that. Old firmware does not: there it is one like those of any program that uses the device.
    ///
    /// Fails if the firmware refuses or does not answer; then there is none. Fails with [`EIO`] if
    /// it gives the number of the kernel, in whose name no program may speak. May sleep.
    pub(crate) fn create(core_dev: &CoreDev<'_>, device: &device::Device) -> Result<Self> {
        let caps = core_dev.uctx_cap() & UCTX_CAP_TOOLS_RESOURCES;
        let created = core_dev
            .run(CreateUctxIn::new(caps))
            .map(|out| out.uid.get());
        debug(
            device,
            created.unwrap_or(UID_OF_KERNEL),
            CreateUctxIn::OPCODE,
            created.map(|_| (0, 0)),
        );

        let uid = created?;
        if uid == UID_OF_KERNEL {
            return Err(EIO);
        }
        Ok(Self { uid, caps })
    }

    /// Has the firmware destroy the user context. To be called once. May sleep.
    ///
    /// There is nobody to tell if that fails; the firmware then keeps the context until the device
    /// is reset. So where there is no memory to ask, it tries again. A firmware that is silent is
    /// not even asked: when the driver is unbound, all that are open are destroyed one by one, and
    /// each would wait in vain.
    pub(crate) fn destroy(&self, core_dev: &CoreDev<'_>, device: &device::Device) {
        if core_dev.is_silent() {
            return;
        }
        let destroyed = match core_dev.run(DestroyUctxIn::new(self.uid)) {
            Err(ENOMEM) => core_dev.run(DestroyUctxIn::new(self.uid)),
            destroyed => destroyed,
        };
        debug(
            device,
            self.uid,
            DestroyUctxIn::OPCODE,
            destroyed.map(|_| (0, 0)),
        );
    }

    /// Returns the number of the user context.
    pub(crate) fn uid(&self) -> u16 {
        self.uid
    }

    /// Returns what user space may know.
    pub(crate) fn describe(&self) -> Description {
        Description {
            uid: self.uid.into(),
            uctx_caps: self.caps,
        }
    }
}
