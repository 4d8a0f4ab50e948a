// SPDX-License-Identifier: GPL-2.0-only

//! How the core calls a driver, whichever of the two APIs it uses.

use core::{
    alloc::Layout,
    ptr::NonNull, //
};

use kernel::prelude::*;

use crate::{
    async_rpc::{
        Submission,
        Submitted, //
    },
    caller_memory::BufferNames,
    exchange::{
        Info,
        Response,
        Rpc, //
    },
    registration::LiveDevice,
    scope::RpcScope,
    umem::{
        MemoryFlags,
        MemoryOps, //
    }, //
};

/// The functions of a Rust driver.
///
/// All of them may sleep. `uctx` is the memory of one context, with the layout that the driver
/// asked for.
///
/// # Safety
///
/// - `live` must be a device that was created with these functions.
/// - For `open`, `uctx` must be valid for reads and writes of the layout, and zeroed.
/// - For the others, `uctx` must be a context of that device which is open.
/// - For `close`, no other call in that context may be in flight, nor begin afterwards.
pub(crate) struct DriverOps {
    /// Opens a context. If it fails, nothing has to be closed.
    pub(crate) open: unsafe fn(uctx: NonNull<u8>, live: LiveDevice<'_>) -> Result,
    /// Closes a context. `Device::uctx_list` may be locked.
    pub(crate) close: unsafe fn(uctx: NonNull<u8>, live: LiveDevice<'_>),
    /// Implements `FWCTL_INFO`.
    pub(crate) info: unsafe fn(uctx: NonNull<u8>, live: LiveDevice<'_>, info: &mut Info) -> Result,
    /// Names the buffers of a request, if RPCs are passed [`WithBuffers`](Passing::WithBuffers).
    pub(crate) name_buffers: Option<fn(request: &[u8], names: &mut BufferNames) -> Result>,
    /// Implements `FWCTL_RPC`, unless `submit` does. All arguments and the result fit into
    /// registers.
    pub(crate) fw_rpc: Option<FwRpc>,
    /// Begins `FWCTL_RPC`.
    pub(crate) submit: Option<Submit>,
    /// Does what is left when an RPC of `submit` was answered.
    pub(crate) answered: Option<unsafe fn(uctx: NonNull<u8>, live: LiveDevice<'_>)>,
    /// Returns whether `fw_rpc` does not sleep for this request.
    pub(crate) never_sleeps: Option<fn(request: &[u8]) -> bool>,
    /// Returns the number of the command in a request.
    pub(crate) opcode: Option<Opcode>,
    /// Registers memory, if [`Driver::memory`] is set.
    pub(crate) memory: Option<MemoryOps>,
}

/// See [`DriverOps::fw_rpc`].
type FwRpc = for<'a> unsafe fn(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    scope: RpcScope,
    rpc: Rpc<'a>,
) -> Result<Response<'a>>;

/// See [`DriverOps::opcode`].
type Opcode = fn(request: &[u8]) -> Option<u32>;

/// See [`DriverOps::submit`].
type Submit = for<'a> unsafe fn(
    uctx: NonNull<u8>,
    live: LiveDevice<'_>,
    scope: RpcScope,
    rpc: Submission<'a>,
) -> Result<Submitted<'a>>;

/// Calls the function `$function` of a driver. The glue for C drivers is inlined, so the core calls
/// them as directly as a core in C would.
///
/// # Safety
///
/// See [`DriverOps`].
macro_rules! call_driver {
    ($live:expr, $function:ident($uctx:expr $(, $argument:expr)*)) => {
        match $live.rust_ops() {
            Some(ops) => (ops.$function)($uctx, $live $(, $argument)*),
            None => $crate::c_api::$function($uctx, $live $(, $argument)*),
        }
    };
}
pub(crate) use call_driver;

/// How the core passes RPCs to a driver.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// By `fw_rpc`.
    Directly,
    /// By `fw_rpc`, with the buffers of the caller that `name_buffers` names.
    WithBuffers,
    /// By `submit`.
    Asynchronously,
}

/// What a device stores about its driver.
pub(crate) struct Driver {
    /// The number of the device type, `enum fwctl_device_type`.
    pub(crate) device_type: u32,
    /// The layout of a context.
    pub(crate) uctx: Layout,
    /// How RPCs are passed to the driver.
    pub(crate) passing: Passing,
    /// The functions of a Rust driver, valid while the device is live; [`None`] for a C driver.
    pub(crate) rust_ops: Option<NonNull<DriverOps>>,
    /// Whether the driver has `never_sleeps`.
    pub(crate) has_never_sleeps: bool,
    /// What registered memory can be for, or [`None`] if the driver does not offer it, or is in C.
    pub(crate) memory: Option<MemoryFlags>,
}
