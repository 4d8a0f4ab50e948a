// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is registered with a device.

use crate::{bytes, deadline, failed, free, fwctl_device, misused, store};
use fwctl::{Device, Memory, MemoryUse};
use std::ffi::c_int;
use std::ptr;

/// Use of registered memory: requests name it by a memory key. Dumps need it.
pub const FWCTL_MEMORY_KEY: u64 = 1;
/// Use of registered memory: requests name its pages, by number.
pub const FWCTL_MEMORY_PAGES: u64 = 2;

/// Memory that the firmware of a device can access.
///
/// The library allocates it, and it belongs to this process: in a child of fork(), nothing can be read
/// or written, and destroying and freeing leave the registration alone. Several threads may use it at
/// once, but none while or after another one frees it.
#[allow(non_camel_case_types)]
pub struct fwctl_memory(pub(crate) Memory);

/// Registers new memory of len bytes, rounded up to whole pages, whose bytes are 0. use_for is one or
/// both of FWCTL_MEMORY_KEY and FWCTL_MEMORY_PAGES. Only requests of this open file can name it.
///
/// The memory is the kernel's; or the process's, if the kernel does not allocate any, and counts against
/// RLIMIT_MEMLOCK then. Fails with -ENOTTY or -EOPNOTSUPP if the kernel cannot register memory for this
/// device and use, and with -ENOMEM, -ENOSPC or -EINVAL if that is above a limit. With a limit that is not negative the call ends with -ETIMEDOUT after so many
/// milliseconds; what is registered afterwards is destroyed.
///
/// memory receives NULL if it fails. Free it with fwctl_memory_free(). The device may be closed
/// before; its file stays open until then.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_new(
    device: *const fwctl_device,
    len: usize,
    use_for: u64,
    limit_ms: i64,
    memory: *mut *mut fwctl_memory,
) -> c_int {
    let run = |device: Device| {
        let use_for = match use_for {
            FWCTL_MEMORY_KEY => MemoryUse::KEY,
            FWCTL_MEMORY_PAGES => MemoryUse::PAGES,
            both if both == FWCTL_MEMORY_KEY | FWCTL_MEMORY_PAGES => {
                MemoryUse::KEY | MemoryUse::PAGES
            }
            _ => return Err(misused("the use of the memory is unknown")),
        };
        let registered = device.register_memory(len, use_for);
        registered.map(Some).map_err(|error| failed(&error))
    };
    // SAFETY: As in the header.
    unsafe { register(device, limit_ms, memory, run) }
}

/// Registers memory, and stores its handle, or NULL if there is none.
///
/// # Safety
///
/// The pointers are as for `fwctl_memory_new()`.
pub(crate) unsafe fn register(
    device: *const fwctl_device,
    limit_ms: i64,
    memory: *mut *mut fwctl_memory,
    run: impl FnOnce(Device) -> Result<Option<Memory>, c_int>,
) -> c_int {
    if !memory.is_null() {
        // SAFETY: It is not NULL, so the caller vouches for it.
        unsafe { memory.write(ptr::null_mut()) };
    }
    // SAFETY: The caller vouches for it.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    // Before anything is registered.
    if memory.is_null() {
        return misused("a result pointer is NULL");
    }
    let registered = run(device.limited(limit_ms));
    // SAFETY: The caller vouches for it.
    unsafe { store(memory, registered.map(handle)) }
}

/// The limit was for the registration.
fn handle(memory: Option<Memory>) -> *mut fwctl_memory {
    memory.map_or(ptr::null_mut(), |memory| {
        Box::into_raw(Box::new(fwctl_memory(memory.without_deadline())))
    })
}

/// Ends the access of the firmware to memory. The handle and the bytes stay, and can be read, until
/// fwctl_memory_free(). Does nothing if it was destroyed before.
///
/// -EBUSY: an RPC of another thread is using the memory, which stays registered. After any other error
/// it is not registered any more. -EIO: the firmware did not confirm that, and may still write; the
/// kernel keeps the pages from everybody else. With a limit that is not negative the call ends with
/// -ETIMEDOUT after so many milliseconds, and the destruction goes on.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_destroy(memory: *const fwctl_memory, limit_ms: i64) -> c_int {
    // SAFETY: As in the header.
    let Some(memory) = (unsafe { memory.as_ref() }) else {
        return misused("the memory is NULL");
    };
    match memory.0.release(deadline(limit_ms)) {
        Ok(()) => 0,
        Err(error) => failed(&error),
    }
}

/// Frees memory, which may be NULL. If it is still registered, destroys it as fwctl_memory_destroy()
/// does without a limit, and ignores errors: memory that an RPC uses stays registered and pinned until
/// the file is closed. A destruction that has already taken too long goes on and is not waited for.
///
/// The kernel keeps pages that the firmware may still write to from everybody else.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_free(memory: *mut fwctl_memory) {
    // SAFETY: It is of `handle`, and the caller gives it up.
    unsafe { free(memory) };
}

/// Length of memory in bytes: whole pages.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_len(memory: *const fwctl_memory) -> usize {
    // SAFETY: As in the header.
    unsafe { memory.as_ref() }.map_or(0, |memory| memory.0.len())
}

/// Address of memory in this process, for requests that name it.
///
/// The device can change the bytes at any time, so use fwctl_memory_read() and fwctl_memory_write().
/// A program that accesses the memory by its address uses atomic accesses of single bytes, and none
/// after fwctl_memory_free() or in a child of fork().
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_address(memory: *const fwctl_memory) -> u64 {
    // SAFETY: As in the header.
    unsafe { memory.as_ref() }.map_or(0, |memory| memory.0.address())
}

/// The number by which requests name memory.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_umem(memory: *const fwctl_memory) -> u32 {
    // SAFETY: As in the header.
    unsafe { memory.as_ref() }.map_or(0, |memory| memory.0.ids().umem)
}

/// The memory key by which requests name memory, or 0 if it has none.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_key(memory: *const fwctl_memory) -> u32 {
    // SAFETY: As in the header.
    unsafe { memory.as_ref() }.map_or(0, |memory| memory.0.ids().key)
}

/// The number of the kernel's resource, for programs that log it. It is this library that destroys it.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_resource(memory: *const fwctl_memory) -> u32 {
    // SAFETY: As in the header.
    unsafe { memory.as_ref() }.map_or(0, |memory| memory.0.ids().resource)
}

/// Copies len bytes out of memory, from offset on. Fails with -EINVAL, and copies nothing, if there
/// are not so many. If the device writes at the same time, some of them are old and some new.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_read(
    memory: *const fwctl_memory,
    offset: usize,
    to: *mut u8,
    len: usize,
) -> c_int {
    // SAFETY: As in the header.
    let Some(memory) = (unsafe { memory.as_ref() }) else {
        return misused("the memory is NULL");
    };
    if to.is_null() && len > 0 {
        return misused("the buffer is NULL");
    }
    let end = offset.checked_add(len);
    if end.is_none_or(|end| end > memory.0.len()) {
        return misused(OUTSIDE);
    }
    // The buffer need not be initialised, so it is not borrowed.
    let mut part = [0; 4096];
    for at in (0..len).step_by(part.len()) {
        let part = &mut part[..(len - at).min(4096)];
        if !memory.0.read(offset + at, part) {
            return misused(OUTSIDE);
        }
        // SAFETY: `to` is valid for `len` bytes, as in the header, of which these are some; it was
        // checked for NULL.
        unsafe { ptr::copy_nonoverlapping(part.as_ptr(), to.add(at), part.len()) };
    }
    0
}

/// Copies len bytes into memory, from offset on, before the next request is sent. Fails with -EINVAL,
/// and copies nothing, if they do not fit.
#[no_mangle]
pub unsafe extern "C" fn fwctl_memory_write(
    memory: *const fwctl_memory,
    offset: usize,
    from: *const u8,
    len: usize,
) -> c_int {
    // SAFETY: As in the header.
    let Some(memory) = (unsafe { memory.as_ref() }) else {
        return misused("the memory is NULL");
    };
    if len > memory.0.len() {
        return misused(OUTSIDE);
    }
    // SAFETY: As in the header, and it is not longer than a mapping.
    let Some(from) = (unsafe { bytes(from, len) }) else {
        return misused("the buffer is NULL");
    };
    if !memory.0.write(offset, from) {
        return misused(OUTSIDE);
    }
    0
}

const OUTSIDE: &str = "the memory does not have these bytes";
