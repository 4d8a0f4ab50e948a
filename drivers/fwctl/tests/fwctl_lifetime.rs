// SPDX-License-Identifier: GPL-2.0-only

//! A test driver that handles the lifetime of its registration in every way that safe code allows.
//!
//! The driver is in `driver.rs`, which has no unsafe code. The devices come from `bus.rs` of the
//! loopback. Module parameters choose how the driver handles its first device. It handles the
//! others correctly, and they report on the first. `lifetime.h` describes the RPCs.

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
    // SAFETY: `Lifetime::init()` initialises it, once, before it creates any device. Only callbacks
    // for devices use it.
    unsafe(uninit) static SHARED: Mutex<Option<fwctl::Registration>> = None;
}

struct Lifetime {
    // Dropped first: the driver must be registered until its devices are removed.
    _bus: Option<bus::Bus>,
    _driver: Option<Pin<KBox<Registration<auxiliary::Adapter<driver::Driver>>>>>,
}

impl kernel::Module for Lifetime {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: `init()` is called once, so this is the only call.
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
            description: "Number of devices, up to 64 (default 3)",
        },
        keep: u32 {
            default: 0,
            description: "What probe does with the guard: enum fwctl_lifetime_keep (default 0)",
        },
        probe_ms: u32 {
            default: 0,
            description: "Delay in probe after registering, in milliseconds (default 0)",
        },
        fail_probe: bool {
            default: false,
            description: "Fail probe with EIO after registering (default no)",
        },
        unbind_ms: u32 {
            default: 0,
            description: "Delay in unbind(), in milliseconds (default 0)",
        },
        register_in_unbind: bool {
            default: false,
            description: "Register another device in unbind() (default no)",
        },
        forget_all: bool {
            default: false,
            description: "Forget driver and devices, which may crash the kernel (default no)",
        },
    },
}
