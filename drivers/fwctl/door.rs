// SPDX-License-Identifier: GPL-2.0-only

//! How the core calls a driver, whichever of the two APIs it uses.

use core::{
    alloc::Layout,
    ptr::NonNull, //
};

use kernel::prelude::*;

use crate::{
    info::Info,
    registration::Callable,
    rpc::{
        Response,
        Rpc, //
    },
    scope::RpcScope, //
};

/// The functions of a Rust driver.
///
/// All of them may sleep. A `uctx` is the memory of one open context, of the layout that the driver
/// asked for.
///
/// # Safety
///
/// For all of them: `callable` must be of a device that was made with this door. For `close`, `info`
/// and `fw_rpc`: `uctx` must be a context of that device that was opened and not closed since. For
/// `open`: `uctx` must be valid for reads and writes of the layout and zeroed. For `close`: nothing
/// else may run in that context.
pub(crate) struct Door {
    /// Opens a context; if that fails, `uctx` holds nothing that would have to be closed.
    pub(crate) open: unsafe fn(uctx: NonNull<u8>, callable: Callable<'_>) -> Result,
    /// Closes a context, perhaps with `Device::contexts` held.
    pub(crate) close: unsafe fn(uctx: NonNull<u8>, callable: Callable<'_>),
    /// Implements `FWCTL_INFO`.
    pub(crate) info:
        unsafe fn(uctx: NonNull<u8>, callable: Callable<'_>, info: &mut Info) -> Result,
    /// Implements `FWCTL_RPC`. All arguments, and what it returns, fit into registers.
    pub(crate) fw_rpc: for<'a> unsafe fn(
        uctx: NonNull<u8>,
        callable: Callable<'_>,
        scope: RpcScope,
        rpc: Rpc<'a>,
    ) -> Result<Response<'a>>,
}

/// Expands to a call of the function `$function` of a driver. The glue of a C driver is inlined, so
/// a C driver is called as directly as by a core in C.
///
/// # Safety
///
/// See [`Door`].
macro_rules! call_driver {
    ($callable:expr, $function:ident($uctx:expr $(, $argument:expr)*)) => {
        match $callable.door() {
            Some(door) => (door.$function)($uctx, $callable $(, $argument)*),
            None => $crate::export::$function($uctx, $callable $(, $argument)*),
        }
    };
}
pub(crate) use call_driver;

/// What a device keeps of its driver.
pub(crate) struct Driver {
    /// The number of the device type, `enum fwctl_device_type`.
    pub(crate) device_type: u32,
    /// What a context needs in memory.
    pub(crate) uctx: Layout,
    /// The functions of a Rust driver, valid while the driver may be called; [`None`] for C.
    pub(crate) door: Option<NonNull<Door>>,
}
