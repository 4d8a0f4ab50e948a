// SPDX-License-Identifier: GPL-2.0-only

//! A module that forgets the registration of its auxiliary device.
//!
//! The device outlives the binding of its parent. But `auxiliary::Device<Bound>::parent()` claims
//! that the parent of a bound device is bound, and `Devres::access()` relies on it: it returns a
//! reference to what devres has dropped. See README.md.

#![forbid(unsafe_code)]

use kernel::{
    auxiliary,
    device::{
        self,
        Bound,
        Core, //
    },
    devres::Devres,
    driver,
    faux,
    prelude::*,
    sync::Arc,
    types::CovariantForLt,
    InPlaceModule,
    ModuleMetadata, //
};

const NAME: &CStr = <LocalModule as ModuleMetadata>::NAME;

/// What the parent's driver shares with the driver of the child.
type Shared = Arc<Devres<KBox<u32>>>;

struct Driver;

kernel::auxiliary_device_table!(
    ID_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(NAME, c"child"), ())]
);

impl auxiliary::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = ();

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &ID_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<(), Error> + 'bound {
        let shared = adev.registration_data::<CovariantForLt!(Shared)>()?;
        let freed = shared.access(adev.parent())?;

        dev_info!(adev, "what was freed reads as {:#x}\n", **freed);
        Ok::<(), Error>(())
    }
}

/// Makes the child, and removes its parent.
fn make_orphan() -> Result {
    let faux = faux::Registration::new(NAME, None)?;
    let parent: &device::Device<Bound> = faux.as_ref().as_ref();

    let value = KBox::new(7, GFP_KERNEL)?;
    let shared: Shared = Arc::new(Devres::new(parent, Ok::<_, Error>(value))?, GFP_KERNEL)?;
    let child = auxiliary::Registration::<'_, CovariantForLt!(Shared)>::new(
        parent,
        c"child",
        0,
        NAME,
        Ok::<Shared, Error>(shared),
    )?;

    core::mem::forget(child);
    Ok(())
}

#[pin_data]
struct Module {
    #[pin]
    _driver: driver::Registration<auxiliary::Adapter<Driver>>,
}

impl InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _driver <- {
                make_orphan()?;
                driver::Registration::new(NAME, module)
            },
        })
    }
}

module! {
    type: Module,
    name: "forgotten_auxiliary",
    authors: ["fwctl in Rust developers"],
    description: "An auxiliary device whose registration is forgotten",
    license: "GPL",
}
