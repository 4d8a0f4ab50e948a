// SPDX-License-Identifier: GPL-2.0-only

//! The core of the fwctl subsystem.
//!
//! fwctl lets user space send RPCs to the firmware inside devices, under rules that keep the kernel
//! safe: `/dev/fwctl/fwctlN` has the ioctls `FWCTL_INFO` and `FWCTL_RPC`, and for some devices
//! those that register memory. See `Documentation/userspace-api/fwctl/` for the user's view.
//!
//! There are two APIs for drivers:
//!
//! - Rust drivers implement [`Operations`] and call [`register`]; copy the one in `samples/fwctl/`.
//! - C drivers use `include/linux/fwctl.h`; see `c_api.rs`.
//!
//! # Files
//!
//! From the system call down to the driver:
//!
//! - `file.rs`: the file operations of a node;
//! - `ioctl.rs`: the ioctls, and the size protocol that they share;
//! - `info.rs`, `rpc.rs`: one ioctl each;
//! - `scope.rs`: which capability a scope needs, and whether it taints the kernel;
//! - `trace.rs`: the trace events of an RPC;
//! - `uring.rs`: the same for commands of io_uring;
//! - `exchange.rs`: what a driver sees of an ioctl;
//! - `async_rpc.rs`: RPCs that a driver answers later;
//! - `umem.rs`: memory of the caller that is registered for the firmware;
//! - `quarantine.rs`: such memory that the firmware did not forget;
//! - `caller_memory.rs`: buffers of the caller that a request refers to by address;
//! - `memory.rs`: buffers for requests;
//! - `uctx.rs`: per-open-file state;
//! - `registration.rs`: when the core may call into a driver, with the locks and their order;
//! - `binding.rs`: what ends the registration of a Rust driver;
//! - `device.rs`, `class.rs`: the device and its class;
//! - `attributes.rs`: the files of a device in sysfs;
//! - `counters.rs`: the counters in these files;
//! - `ops.rs`: how the core calls a driver, whichever API it uses;
//! - `driver.rs`, `c_api.rs`: the Rust API and the C API;
//! - `c_memory.rs`: registered memory in the C API;
//! - `shim.rs`: C helpers, implemented in `shim.c`.
//!
//! The crate root is not called `main.rs` because `main.c`, the core in C that is built when
//! `CONFIG_FWCTL_RUST` is off, makes `main.o`.

#![crate_name = "fwctl"]

use kernel::prelude::*;

mod async_rpc;
mod attributes;
mod binding;
mod c_api;
mod c_memory;
mod caller_memory;
mod class;
mod counters;
mod device;
mod driver;
mod exchange;
mod file;
mod info;
mod ioctl;
mod memory;
mod ops;
mod quarantine;
mod registration;
mod rpc;
mod scope;
mod shim;
mod trace;
mod uctx;
mod umem;
mod uring;

pub use crate::{
    async_rpc::{
        PendingRpc,
        Submission,
        Submitted, //
    },
    caller_memory::{
        BufferNames,
        CallerMemory, //
    },
    device::Device,
    driver::{
        check_auxiliary_name,
        register,
        Context,
        DeviceType,
        Operations,
        Registration,
        UnregisteredDevice, //
    },
    exchange::{
        Info,
        Reply,
        Response,
        Rpc,
        MAX_RPC_LEN, //
    },
    quarantine::leak,
    scope::RpcScope,
    umem::{
        Addresses,
        MemoryFlags,
        MemoryIds,
        MemoryRef,
        NewMemory, //
    }, //
};

/// The initialised subsystem: the class, the device numbers, and the notifiers of registrations.
struct Subsystem {
    // Dropped in this order. No device is left when the module is unloaded: the module of each
    // driver uses ours.
    _late_answers: async_rpc::LateAnswers,
    _class: class::Registration,
    _numbers: device::Numbers,
    _notifiers: binding::Notifiers,
    _quarantine: quarantine::Quarantine,
}

impl Subsystem {
    /// Initialises the subsystem. Fails with [`EBUSY`] when called again.
    fn new() -> Result<Self> {
        let quarantine = quarantine::Quarantine::new()?;
        let notifiers = binding::Notifiers::new()?;
        let numbers = device::Numbers::new(&file::OPERATIONS, &notifiers, &quarantine)?;

        Ok(Self {
            _late_answers: async_rpc::LateAnswers,
            _class: device::CLASS.register()?,
            _numbers: numbers,
            _notifiers: notifiers,
            _quarantine: quarantine,
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
    match Subsystem::new() {
        Ok(subsystem) => {
            // A built-in subsystem is never torn down.
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
            Some(Subsystem::new()?)
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
