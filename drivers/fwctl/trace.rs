// SPDX-License-Identifier: GPL-2.0-only

//! The trace events `fwctl:fwctl_rpc_start` and `fwctl:fwctl_rpc_done`, which are in `trace.h`.
//!
//! `kernel::tracepoint::declare_trace!` takes its symbols from `kernel::bindings`, which do not
//! include the headers of modules, so they are declared here. An event that is not enabled costs a
//! static branch.

use kernel::{
    prelude::*,
    time::{
        Instant,
        Jiffies,
        Monotonic, //
    }, //
};

use crate::{
    device::Device,
    shim,
    uctx::{
        Uctx,
        UctxCall, //
    }, //
};

#[cfg(CONFIG_TRACEPOINTS)]
mod raw {
    use kernel::bindings;

    // Some fields of these structures are empty in some configurations. Only pointers are passed.
    #[allow(improper_ctypes)]
    extern "C" {
        pub(super) static mut __tracepoint_fwctl_rpc_start: bindings::tracepoint;
        pub(super) static mut __tracepoint_fwctl_rpc_done: bindings::tracepoint;

        pub(super) fn rust_do_trace_fwctl_rpc_start(
            dev: *const bindings::device,
            scope: u32,
            in_len: u32,
            out_len: u32,
        );
        pub(super) fn rust_do_trace_fwctl_rpc_done(
            dev: *const bindings::device,
            scope: u32,
            ret: i32,
            out_len: u32,
            duration_ns: u64,
            opcode: i64,
        );
    }
}

/// Returns whether the event `$name` is enabled.
macro_rules! is_traced {
    ($name:ident) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        {
            kernel::macros::paste! {
                // SAFETY: `key` is the static key of a tracepoint, which is a static.
                unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        raw::[<__tracepoint_ $name>],
                        kernel::bindings::tracepoint,
                        key
                    )
                }
            }
        }
        #[cfg(not(CONFIG_TRACEPOINTS))]
        {
            false
        }
    }};
}

/// An RPC in flight, for the event that ends it and for the counters.
#[must_use = "call `done()` when the RPC has ended"]
#[derive(Clone, Copy)]
pub(crate) struct RpcTrace {
    scope: u32,
    start: Option<Instant<Monotonic>>,
    /// The start in ticks. They cost less to read, and suffice for the counters: the sum over many
    /// RPCs is right, since a tick falls into an RPC in proportion to its duration.
    ticks: Jiffies,
    /// The number of the command, if the driver tells.
    opcode: Option<u32>,
}

/// Emits the event that starts an RPC, with the arguments as user space gave them.
#[inline]
pub(crate) fn rpc_start(device: &Device, scope: u32, in_len: u32, out_len: u32) -> RpcTrace {
    if is_traced!(fwctl_rpc_start) {
        emit_start(device, scope, in_len, out_len);
    }

    rpc_restart(scope)
}

/// Continues an RPC whose start was traced, but that was not carried out.
#[inline]
pub(crate) fn rpc_restart(scope: u32) -> RpcTrace {
    RpcTrace {
        scope,
        start: is_traced!(fwctl_rpc_done).then(Instant::now),
        ticks: shim::ticks(),
        opcode: None,
    }
}

impl RpcTrace {
    /// Asks the driver for the number of the command in `request`, if the RPC is traced.
    #[inline]
    pub(crate) fn ask_opcode(&mut self, call: &UctxCall<'_>, request: &[u8]) {
        if self.start.is_some() {
            self.opcode = call.opcode(request);
        }
    }

    /// Counts the RPC, and emits the event that ends it, with the length of the reply or the error.
    ///
    /// There is no event if it was enabled while the RPC was in flight.
    #[inline]
    pub(crate) fn done(self, uctx: &Uctx, result: &Result<u32>) {
        let ticks = shim::ticks().wrapping_sub(self.ticks);

        uctx.counters.count(self.scope, result, ticks);
        if let Some(start) = self.start {
            emit_done(uctx.device(), &self, result, start);
        }
    }
}

#[cold]
#[cfg_attr(not(CONFIG_TRACEPOINTS), expect(unused_variables))]
fn emit_start(device: &Device, scope: u32, in_len: u32, out_len: u32) {
    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: The device is valid. The event only reads its name, which does not change.
    unsafe {
        raw::rust_do_trace_fwctl_rpc_start(
            &raw const (*device.as_raw()).dev,
            scope,
            in_len,
            out_len,
        )
    };
}

#[cold]
#[cfg_attr(not(CONFIG_TRACEPOINTS), expect(unused_variables))]
fn emit_done(device: &Device, rpc: &RpcTrace, result: &Result<u32>, start: Instant<Monotonic>) {
    let duration_ns = start.elapsed().as_nanos().try_into().unwrap_or(0);
    let (ret, out_len) = match result {
        Ok(out_len) => (0, *out_len),
        Err(error) => (error.to_errno(), 0),
    };

    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: The device is valid. The event only reads its name, which does not change.
    unsafe {
        raw::rust_do_trace_fwctl_rpc_done(
            &raw const (*device.as_raw()).dev,
            rpc.scope,
            ret,
            out_len,
            duration_ns,
            rpc.opcode.map_or(-1, i64::from),
        )
    };
}
