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
    registration::Calls,
    rpc::{
        Response,
        Rpc, //
    },
    scope::RpcScope, //
};

/// The functions of a driver.
///
/// All of them may sleep. A `uctx` is the memory of one open context, of the layout that the driver
/// asked for.
///
/// # Safety
///
/// For all of them: `calls` must be of a device that was made with this door. For `close`, `info`
/// and `fw_rpc`: `uctx` must be a context of that device that was opened and not closed since. For
/// `open`: `uctx` must be valid for reads and writes of the layout and zeroed. For `close`: nothing
/// else may run in that context.
pub(crate) struct Door {
    /// Returns the number of the device type, `enum fwctl_device_type`.
    pub(crate) device_type: unsafe fn(calls: &Calls<'_>) -> u32,
    /// Returns how much memory a context needs.
    pub(crate) uctx_layout: unsafe fn(calls: &Calls<'_>) -> Result<Layout>,
    /// Opens a context; if that fails, `uctx` holds nothing that would have to be closed.
    pub(crate) open: unsafe fn(calls: &Calls<'_>, uctx: NonNull<u8>) -> Result,
    /// Closes a context, perhaps with `Device::contexts` held.
    pub(crate) close: unsafe fn(calls: &Calls<'_>, uctx: NonNull<u8>),
    /// Implements `FWCTL_INFO`.
    pub(crate) info: unsafe fn(calls: &Calls<'_>, uctx: NonNull<u8>, info: &mut Info) -> Result,
    /// Implements `FWCTL_RPC`.
    pub(crate) fw_rpc: for<'a> unsafe fn(
        calls: &Calls<'_>,
        uctx: NonNull<u8>,
        scope: RpcScope,
        rpc: Rpc<'a>,
    ) -> Result<Response<'a>>,
}

/// What the Rust door keeps in a device: where to find the driver's side.
#[derive(Clone, Copy)]
pub(crate) struct Binding {
    /// The bus device, bound for as long as the driver may be called.
    pub(crate) host: NonNull<bindings::device>,
    /// The `Operations::Data` of the registration.
    pub(crate) data: NonNull<c_void>,
}
