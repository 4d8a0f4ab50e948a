// SPDX-License-Identifier: GPL-2.0-only

//! What the core asks of a driver, whichever door it came in through.

use core::{
    alloc::Layout,
    ptr::NonNull, //
};

use kernel::{
    bindings,
    prelude::*, //
};

use crate::{
    info::Info,
    registration::Callable,
    rpc::{
        Response,
        Rpc, //
    },
    scope::RpcScope, //
};

/// The functions of a driver that came in through the Rust door.
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

/// Expands to a call of the function `$function` of a driver; the C door is called directly and
/// inlined, as on a core in C.
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
    /// What the Rust door keeps, if it came in through that; the C door needs nothing.
    pub(crate) binding: Option<Binding>,
}

/// What the Rust door keeps in a device: where to find the driver.
pub(crate) struct Binding {
    /// The functions, valid for as long as the driver may be called.
    pub(crate) door: NonNull<Door>,
    /// The bus device, bound for as long as the driver may be called.
    pub(crate) host: NonNull<bindings::device>,
    /// The `Operations::Data` of the registration.
    pub(crate) data: NonNull<c_void>,
}
