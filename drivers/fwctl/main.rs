// SPDX-License-Identifier: GPL-2.0-only

//! The core of the fwctl subsystem.
//!
//! fwctl gives user space RPCs to the firmware inside of devices, under rules that keep the kernel
//! safe: `/dev/fwctl/fwctlN` with two ioctls, `FWCTL_INFO` and `FWCTL_RPC`. The user's view is in
//! `Documentation/userspace-api/fwctl/`.
//!
//! A driver comes in through one of two doors:
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
//! - `uctx.rs`: what the core keeps for an open file;
//! - `registration.rs`: from when until when a driver may be called, the only file that knows the
//!   locks and their order;
//! - `device.rs`: the device itself, its memory, name and number;
//! - `door.rs`: what the core asks of a driver, whichever door it came in through;
//! - `operations.rs`, `export.rs`: the Rust door and the C door.
//!
//! At the bottom, `request.rs` and `buffer.rs` (memory for requests and replies), `user.rs` (user space
//! memory), `readers.rs` (who is under way) and `shim.rs` (what only C can express, implemented in
//! `shim.c`).

#![crate_name = "fwctl"]

use kernel::{
    chrdev,
    class,
    prelude::*, //
};

mod buffer;
mod device;
mod door;
mod export;
mod file;
mod info;
mod ioctl;
mod operations;
mod readers;
mod registration;
mod request;
mod rpc;
mod scope;
mod shim;
mod trace;
mod uctx;
mod user;

pub use crate::{
    info::Info,
    operations::{
        register,
        Context,
        DeviceType,
        Operations, //
    },
    rpc::{
        Reply,
        Response,
        Rpc,
        MAX_RPC_LEN, //
    },
    scope::RpcScope, //
};

/// The subsystem as long as it is there: the class and the device numbers.
struct Subsystem {
    // Dropped in this order: no device is left when a module goes, since each driver's module uses
    // ours and each device holds its number.
    _class: class::Registration,
    _numbers: device::Numbers,
}

impl Subsystem {
    fn new() -> Result<Self> {
        let numbers = device::Numbers::new(chrdev::Region::new(device::MAX_DEVICES, c"fwctl")?)?;

        Ok(Self {
            _class: device::CLASS.register()?,
            _numbers: numbers,
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
