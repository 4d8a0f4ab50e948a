// SPDX-License-Identifier: GPL-2.0-only

//! The trace events `fwctl:fwctl_rpc_start` and `fwctl:fwctl_rpc_done`, which are in `trace.h`.
//!
//! `kernel::tracepoint::declare_trace!` takes its symbols from `kernel::bindings`, to which a
//! header of a module does not belong, so they are declared here. As long as nobody traces, each
//! event costs a static branch.

use kernel::{
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

use crate::device::Device;

#[cfg(CONFIG_TRACEPOINTS)]
mod raw {
    use kernel::bindings;

    // As in `shim.rs`.
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
        );
    }
}

/// Expands to whether the event `$name` is being traced.
macro_rules! is_traced {
    ($name:ident) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        {
            kernel::macros::paste! {
                // SAFETY: It is the static key of a tracepoint.
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

/// An RPC that is under way.
#[must_use = "the end of an RPC is an event, too"]
pub(crate) struct RpcTrace {
    scope: u32,
    start: Option<Instant<Monotonic>>,
}

/// Tells that an RPC starts, with what user space asked for.
#[inline]
pub(crate) fn rpc_start(device: &Device, scope: u32, in_len: u32, out_len: u32) -> RpcTrace {
    if is_traced!(fwctl_rpc_start) {
        emit_start(device, scope, in_len, out_len);
    }

    RpcTrace {
        scope,
        start: is_traced!(fwctl_rpc_done).then(Instant::now),
    }
}

impl RpcTrace {
    /// Tells how the RPC ended: with a reply of some length, or with an error.
    ///
    /// Says nothing if the tracing began while the RPC was under way.
    #[inline]
    pub(crate) fn done(self, device: &Device, result: &Result<u32>) {
        if let Some(start) = self.start {
            emit_done(device, self.scope, result, start);
        }
    }
}

#[cold]
#[cfg_attr(not(CONFIG_TRACEPOINTS), expect(unused_variables))]
fn emit_start(device: &Device, scope: u32, in_len: u32, out_len: u32) {
    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: The event reads the name of the device, which is registered.
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
fn emit_done(device: &Device, scope: u32, result: &Result<u32>, start: Instant<Monotonic>) {
    let duration_ns = start.elapsed().as_nanos().try_into().unwrap_or(0);
    let (ret, out_len) = match result {
        Ok(out_len) => (0, *out_len),
        Err(error) => (error.to_errno(), 0),
    };

    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: The event reads the name of the device, which is registered.
    unsafe {
        raw::rust_do_trace_fwctl_rpc_done(
            &raw const (*device.as_raw()).dev,
            scope,
            ret,
            out_len,
            duration_ns,
        )
    };
}
