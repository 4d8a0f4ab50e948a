// SPDX-License-Identifier: GPL-2.0-only

//! An auxiliary driver that adds a devres entry to a device while devres releases that device.
//!
//! The parent made the auxiliary device by devres, as C drivers do by
//! `devm_auxiliary_device_create()`. So `unbind()` runs within `devres_release_all()` of the
//! parent, which has taken all entries off the list already. The new one is released when the
//! parent is freed, or unbound once more: nothing keeps this module until then. See README.md.

#![forbid(unsafe_code)]

use kernel::{
    auxiliary,
    device::Core,
    devres,
    prelude::*, //
};

/// Dropped by code of this module, some time later.
struct Entry;

impl Drop for Entry {
    fn drop(&mut self) {
        pr_info!("code of late_devres runs\n");
    }
}

struct Driver;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"holes_parent", c"child"), ())]
);

impl auxiliary::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Self;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        _adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self, Error> + 'bound {
        Ok(Self)
    }

    fn unbind<'bound>(adev: &'bound auxiliary::Device<Core<'_>>, _data: Pin<&Self>) {
        let added = devres::register(adev.parent(), Ok::<Entry, Error>(Entry), GFP_KERNEL);

        if let Err(error) = added {
            dev_err!(adev, "refused: {:?}\n", error);
        }
    }
}

kernel::module_auxiliary_driver! {
    type: Driver,
    name: "late_devres",
    authors: ["fwctl in Rust developers"],
    description: "A devres entry added while devres releases the device",
    license: "GPL",
}
