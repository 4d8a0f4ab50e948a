// SPDX-License-Identifier: GPL-2.0-only

//! A driver that handles the lifetime of its registration in every way that safe code allows.
//!
//! The driver is in `driver.rs`, which has no unsafe code. The devices come from `bus.rs` of the
//! loopback. Parameters say what the driver does with its first device; it treats the others as it
//! should, so they can tell what became of the first. `lifetime.h` has the RPCs.

use kernel::{
    auxiliary,
    driver::Registration,
    prelude::*,
    sync::global_lock, //
};

#[path = "../loopback/bus.rs"]
mod bus;
mod driver;

global_lock! {
    // SAFETY: `Lifetime::init()` initialises it before there is a device.
    unsafe(uninit) static SHARED: Mutex<Option<fwctl::Registration>> = None;
}

struct Lifetime {
    // Dropped first, so that the driver sees its devices go.
    _bus: Option<bus::Bus>,
    _driver: Option<Pin<KBox<Registration<auxiliary::Adapter<driver::Driver>>>>>,
}

impl kernel::Module for Lifetime {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: This is called once, and there is no device yet.
        unsafe { SHARED.init() };

        let driver = KBox::pin_init(Registration::new(bus::MODULE_NAME, module), GFP_KERNEL)?;
        let bus = bus::Bus::new(module_parameters::devices.value())?;

        if module_parameters::forget_all.value() {
            core::mem::forget((bus, driver));
            return Ok(Self {
                _bus: None,
                _driver: None,
            });
        }
        Ok(Self {
            _bus: Some(bus),
            _driver: Some(driver),
        })
    }
}

module! {
    type: Lifetime,
    name: "fwctl_lifetime",
    authors: ["fwctl in Rust developers"],
    description: "fwctl test driver: lifetime of a registration",
    license: "GPL",
    imports_ns: ["FWCTL"],
    params: {
        devices: u32 {
            default: 3,
            description: "Number of devices to make, up to 64 (default 3)",
        },
        keep: u32 {
            default: 0,
            description: "What probe does with the guard: enum fwctl_lifetime_keep (default 0)",
        },
        probe_ms: u32 {
            default: 0,
            description: "Time in milliseconds that probe takes after registering (default 0)",
        },
        fail_probe: bool {
            default: false,
            description: "Whether probe then fails with EIO (default no)",
        },
        unbind_ms: u32 {
            default: 0,
            description: "Time in milliseconds that unbind() takes (default 0)",
        },
        register_in_unbind: bool {
            default: false,
            description: "Whether unbind() registers another device (default no)",
        },
        forget_all: bool {
            default: false,
            description: "Whether the module forgets its driver and devices: the kernel may crash when the auxiliary bus is used afterwards (default no)",
        },
    },
}
