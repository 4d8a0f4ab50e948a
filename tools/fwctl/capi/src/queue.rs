// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many RPCs in flight.

use crate::device::{fwctl_device, queued, rpc};
use crate::{deadline, failed, free, misused, store};
use fwctl::{Backend, Completion, Queue, QueueOptions, Ticket};
use std::collections::HashMap;
use std::ffi::c_int;
use std::ptr;

/// Backend of a queue: io_uring if it is allowed, else threads.
pub const FWCTL_BACKEND_ANY: u32 = 0;
/// Backend of a queue: one io_uring, without a thread.
pub const FWCTL_BACKEND_IO_URING: u32 = 1;
/// Backend of a queue: a few threads that wait in ioctl(2).
pub const FWCTL_BACKEND_THREADS: u32 = 2;

/// RPCs in flight on one device.
#[allow(non_camel_case_types)]
pub struct fwctl_queue {
    queue: Queue,
    tickets: HashMap<u64, Ticket>,
}

/// The end of an RPC. Free it with fwctl_completion_free().
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct fwctl_completion {
    /// Which RPC.
    pub ticket: u64,
    /// 0, or why there is no reply: a negative errno. -ECANCELED and -ETIMEDOUT if it was given up.
    pub error: c_int,
    /// The reply, up to the size of the buffer.
    pub reply: *const u8,
    /// Its length.
    pub reply_len: usize,
    /// Length of the whole reply.
    pub true_len: usize,
}

/// Creates a queue with at most this many RPCs in flight, or 16 if depth is 0. With
/// FWCTL_BACKEND_IO_URING it fails if io_uring cannot be used. Free it with fwctl_queue_free().
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_new(
    device: *const fwctl_device,
    depth: usize,
    backend: u32,
    queue: *mut *mut fwctl_queue,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let mut options = QueueOptions::new();
    if depth > 0 {
        options = options.depth(depth);
    }
    options = match backend {
        FWCTL_BACKEND_ANY => options,
        FWCTL_BACKEND_IO_URING => options.backend(Backend::IoUring),
        FWCTL_BACKEND_THREADS => options.backend(Backend::Threads),
        _ => return misused("the backend is unknown"),
    };
    let handle = |queue| {
        let tickets = HashMap::new();
        Box::into_raw(Box::new(fwctl_queue { queue, tickets }))
    };
    let created = options.create(&device.device);
    // SAFETY: As in the header.
    unsafe { store(queue, created.map(handle).map_err(|error| failed(&error))) }
}

/// Frees a queue, which may be NULL. RPCs that have not completed are cancelled; it is not waited
/// for them.
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_free(queue: *mut fwctl_queue) {
    // SAFETY: It is of `fwctl_queue_new`, and the caller gives it up.
    unsafe { free(queue) };
}

/// The backend of a queue: FWCTL_BACKEND_IO_URING or FWCTL_BACKEND_THREADS.
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_backend(queue: *const fwctl_queue) -> u32 {
    // SAFETY: As in the header.
    match unsafe { queue.as_ref() }.map(|queue| queue.queue.backend()) {
        Some(Backend::IoUring) => FWCTL_BACKEND_IO_URING,
        Some(_) => FWCTL_BACKEND_THREADS,
        None => FWCTL_BACKEND_ANY,
    }
}

/// Number of RPCs whose completion has not been returned.
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_len(queue: *const fwctl_queue) -> usize {
    // SAFETY: As in the header.
    unsafe { queue.as_ref() }.map_or(0, |queue| queue.queue.len())
}

/// Begins an RPC, with the arguments of fwctl_rpc(). The request is copied, and the queue has the
/// buffer for the reply. ticket receives a number for the RPC that is never 0.
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_begin(
    queue: *mut fwctl_queue,
    scope: u32,
    request: *const u8,
    request_len: usize,
    reply_len: usize,
    limit_ms: i64,
    ticket: *mut u64,
) -> c_int {
    // SAFETY: As in the header.
    let Some(queue) = (unsafe { queue.as_mut() }) else {
        return misused("the queue is NULL");
    };
    if ticket.is_null() {
        return misused("a result pointer is NULL");
    }
    // SAFETY: As in the header.
    let (scope, request) = match unsafe { rpc(scope, request, request_len, reply_len) } {
        Ok(rpc) => rpc,
        Err(error) => return error,
    };
    let begun = queue
        .queue
        .begin(queued(scope, request, reply_len, limit_ms));
    let begun = begun.map(|ticket| {
        queue.tickets.insert(ticket.number(), ticket);
        ticket.number()
    });
    // SAFETY: As in the header.
    unsafe { store(ticket, begun.map_err(|error| failed(&error))) }
}

/// Waits for the RPC with this ticket, or for any if it is 0, at most so many milliseconds, or for
/// ever if they are negative.
///
/// completion receives NULL if there is none: the time is over, or it has been returned.
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_wait(
    queue: *mut fwctl_queue,
    ticket: u64,
    limit_ms: i64,
    completion: *mut *mut fwctl_completion,
) -> c_int {
    // SAFETY: As in the header.
    let Some(queue) = (unsafe { queue.as_mut() }) else {
        return misused("the queue is NULL");
    };
    if completion.is_null() {
        return misused("a result pointer is NULL");
    }
    let found = match (ticket, deadline(limit_ms)) {
        (0, Some(time)) => queue.queue.wait_any_until(time),
        (0, None) => queue.queue.wait_any(),
        (number, time) => match (queue.tickets.get(&number), time) {
            (Some(&ticket), Some(time)) => queue.queue.wait_until(ticket, time),
            (Some(&ticket), None) => queue.queue.wait(ticket),
            (None, _) => None,
        },
    };
    let found = found.map_or(ptr::null_mut(), |found| {
        queue.tickets.remove(&found.ticket.number());
        into_c(found)
    });
    // SAFETY: As in the header.
    unsafe { store(completion, Ok(found)) }
}

/// Gives an RPC up, which completes at once with -ECANCELED; the firmware may still carry it out.
/// Returns 1, or 0 if it has completed already or there is no such RPC.
#[no_mangle]
pub unsafe extern "C" fn fwctl_queue_cancel(queue: *mut fwctl_queue, ticket: u64) -> c_int {
    // SAFETY: As in the header.
    let Some(queue) = (unsafe { queue.as_mut() }) else {
        return misused("the queue is NULL");
    };
    let Some(ticket) = queue.tickets.get(&ticket) else {
        return 0;
    };
    c_int::from(queue.queue.cancel(*ticket))
}

/// Frees a completion. It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_completion_free(completion: *mut fwctl_completion) {
    if completion.is_null() {
        return;
    }
    // SAFETY: It is of `into_c`, and the caller gives it up.
    let completion = unsafe { Box::from_raw(completion) };
    if !completion.reply.is_null() {
        let reply =
            ptr::slice_from_raw_parts_mut(completion.reply.cast_mut(), completion.reply_len);
        // SAFETY: `into_c` made both from a boxed slice.
        drop(unsafe { Box::from_raw(reply) });
    }
}

fn into_c(completion: Completion) -> *mut fwctl_completion {
    let mut all = fwctl_completion {
        ticket: completion.ticket.number(),
        error: 0,
        reply: ptr::null(),
        reply_len: 0,
        true_len: 0,
    };
    match completion.reply {
        Ok(reply) => {
            all.true_len = reply.true_len;
            all.reply_len = reply.bytes.len();
            all.reply = Box::into_raw(reply.bytes.into_boxed_slice()).cast::<u8>();
        }
        Err(error) => all.error = failed(&error),
    }
    Box::into_raw(Box::new(all))
}
