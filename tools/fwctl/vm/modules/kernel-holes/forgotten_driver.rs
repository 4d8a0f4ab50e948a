// SPDX-License-Identifier: GPL-2.0-only

//! A module that forgets the registration of its driver.
//!
//! The driver core keeps pointers to the id table and the callbacks, which are in the module. The
//! next device that is added to the bus is matched against a table that was freed. See README.md.

#![forbid(unsafe_code)]

use kernel::{
    auxiliary,
    device::Core,
    driver,
    prelude::*,
    ModuleMetadata, //
};

const NAME: &CStr = <LocalModule as ModuleMetadata>::NAME;

struct Driver;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"holes_nobody", c"child"), ())]
);

impl auxiliary::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = ();

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        _adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<(), Error> + 'bound {
        Ok::<(), Error>(())
    }
}

struct Module;

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let registration = KBox::pin_init(
            driver::Registration::<auxiliary::Adapter<Driver>>::new(NAME, module),
            GFP_KERNEL,
        )?;

        core::mem::forget(registration);
        Ok(Self)
    }
}

module! {
    type: Module,
    name: "forgotten_driver",
    authors: ["fwctl in Rust developers"],
    description: "A driver whose registration is forgotten",
    license: "GPL",
}
