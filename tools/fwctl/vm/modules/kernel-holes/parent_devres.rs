// SPDX-License-Identifier: GPL-2.0-only

//! An auxiliary driver that adds a devres entry to the device of another driver.
//!
//! `auxiliary::Device<Bound>::parent()` returns a `&Device<Bound>`, for which `devres::register()`
//! asks. But it is the parent's own driver that has to be unbound for the entry to be released, and
//! nothing keeps this module until then. See README.md.

#![forbid(unsafe_code)]

use kernel::{
    auxiliary,
    device::Core,
    devres,
    prelude::*, //
};

/// Dropped by code of this module, when the parent is unbound.
struct Entry;

impl Drop for Entry {
    fn drop(&mut self) {
        pr_info!("code of parent_devres runs\n");
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
    type Data<'bound> = ();

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<(), Error> + 'bound {
        devres::register(adev.parent(), Ok::<Entry, Error>(Entry), GFP_KERNEL)
    }
}

kernel::module_auxiliary_driver! {
    type: Driver,
    name: "parent_devres",
    authors: ["fwctl in Rust developers"],
    description: "A devres entry for the device of another driver",
    license: "GPL",
}
