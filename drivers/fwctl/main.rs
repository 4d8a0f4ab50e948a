// SPDX-License-Identifier: GPL-2.0-only

//! The core of the fwctl subsystem.
//!
//! fwctl gives user space RPCs to the firmware inside of devices, under rules that keep the kernel
//! safe: `/dev/fwctl/fwctlN` with two ioctls, `FWCTL_INFO` and `FWCTL_RPC`. The user's view is in
//! `Documentation/userspace-api/fwctl/`.
//!
//! There are two APIs for drivers:
//!
//! - Rust drivers implement [`Operations`] and call [`register`]; `samples/fwctl/` has one to copy.
//! - C drivers use `include/linux/fwctl.h`, see `export.rs`.
//!
//! # Where things are
//!
//! From the system call down to the driver:
//!
//! - `file.rs`: the file operations of a node;
//! - `ioctl.rs`: the ioctls and the size protocol that all of them share;
//! - `info.rs`, `rpc.rs`: one ioctl each, and what a driver sees of it;
//! - `scope.rs`: who may do what: capability and taint;
//! - `trace.rs`: the trace events around an RPC;
//! - `uctx.rs`: per-open-file state;
//! - `registration.rs`: when the core may call into a driver, with the locks and their order;
//! - `binding.rs`: what ends the registration of a Rust driver;
//! - `device.rs`, `class.rs`: the device itself, its memory, name and number, and its class;
//! - `door.rs`: how the core calls a driver, whichever API it uses;
//! - `operations.rs`, `export.rs`: the Rust API and the C API.
//!
//! At the bottom, `request.rs` and `buffer.rs` (memory for requests and replies), `user.rs` (user
//! space memory) and `shim.rs` (C helpers, implemented in `shim.c`).

#![crate_name = "fwctl"]

use kernel::{
    chrdev,
    prelude::*, //
};

mod binding;
mod buffer;
mod class;
mod device;
mod door;
mod export;
mod file;
mod info;
mod ioctl;
mod operations;
mod registration;
mod request;
mod rpc;
mod scope;
mod shim;
mod trace;
mod uctx;
mod user;

pub use crate::{
    device::Device,
    info::Info,
    operations::{
        register,
        Context,
        DeviceType,
        Operations,
        Registration,
        UnregisteredDevice, //
    },
    rpc::{
        Reply,
        Response,
        Rpc,
        MAX_RPC_LEN, //
    },
    scope::RpcScope, //
};

/// The subsystem, while it is there: the class, the device numbers, and what ends registrations.
struct Subsystem {
    // Dropped in this order. No device is left when the module goes: each driver's module uses ours,
    // and each device holds its number.
    _class: class::Registration,
    _numbers: device::Numbers,
    _notifiers: Pin<KBox<binding::Notifiers>>,
}

impl Subsystem {
    /// # Safety
    ///
    /// Must be called at most once.
    unsafe fn new() -> Result<Self> {
        // SAFETY: The caller promises that this is the only call.
        let notifiers = KBox::try_pin_init(unsafe { binding::Notifiers::new() }, GFP_KERNEL)?;
        let numbers = device::Numbers::new(chrdev::Region::new(device::MAX_DEVICES, c"fwctl")?)?;

        Ok(Self {
            _class: device::CLASS.register()?,
            _numbers: numbers,
            _notifiers: notifiers,
        })
    }
}

/// Starts the subsystem of a built-in core, before any driver can probe.
///
/// Called once from `shim.c`, by `subsys_initcall()`: `module!` would be one of the device
/// initcalls, after those of some drivers.
#[cfg(not(MODULE))]
#[no_mangle]
extern "C" fn fwctl_early_init() -> kernel::ffi::c_int {
    // SAFETY: This function is called once, and `Module::init()` leaves it to us.
    match unsafe { Subsystem::new() } {
        Ok(subsystem) => {
            // What is built in is never taken down.
            core::mem::forget(subsystem);
            0
        }
        Err(error) => error.to_errno(),
    }
}

struct Module {
    _subsystem: Option<Subsystem>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let subsystem = if cfg!(MODULE) {
            // SAFETY: A module is initialised once, and is no built-in core.
            Some(unsafe { Subsystem::new() }?)
        } else {
            None
        };

        Ok(Self {
            _subsystem: subsystem,
        })
    }
}

module! {
    type: Module,
    name: "fwctl",
    authors: ["fwctl in Rust developers"],
    description: "fwctl device firmware access framework",
    license: "GPL",
}
