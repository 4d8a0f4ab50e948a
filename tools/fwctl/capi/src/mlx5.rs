// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers and dumps of a ConnectX.

use crate::memory::register;
use crate::{
    bytes, copy, failed, free, fwctl_device, fwctl_memory, fwctl_status, misused, refused, store,
    FWCTL_MAX_LEN,
};
use fwctl::mlx5::{DumpRequest, Mlx5Device};
use fwctl::{Error, Memory, Scope};
use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::ptr;

/// Reads a register of a ConnectX, in scope FWCTL_SCOPE_DEBUG_READ_ONLY, by ACCESS_REG of mlx5_ifc.h of
/// the kernel. data has the fields set that select what is read, such as the number of a port, and
/// receives the register; len is the length of the register. argument is 0 for most registers.
/// fwctl_rpc() says what a limit does.
///
/// If the firmware refuses, returns -EREMOTEIO and stores the refusal in status, which may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_mlx5_read_register(
    device: *const fwctl_device,
    id: u16,
    argument: u32,
    data: *mut u8,
    len: usize,
    limit_ms: i64,
    status: *mut fwctl_status,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    if len > FWCTL_MAX_LEN {
        return misused("the register is too long");
    }
    // SAFETY: As in the header. The borrow ends before the register is copied.
    let Some(select) = (unsafe { bytes(data, len) }) else {
        return misused("the data is NULL");
    };
    let mlx5 = Mlx5Device::new(device.limited(limit_ms));
    match mlx5.and_then(|mlx5| mlx5.read_register_with(id, argument, select)) {
        Ok(register) => {
            // SAFETY: `data` is valid for `len` bytes, as in the header.
            unsafe { copy(&register, data, len) };
            0
        }
        // SAFETY: As in the header.
        Err(error) => unsafe { refused(&error, status) },
    }
}

/// Writes a register of a ConnectX. Linux 7.3 accepts any scope. Otherwise as
/// fwctl_mlx5_read_register().
#[no_mangle]
pub unsafe extern "C" fn fwctl_mlx5_write_register(
    device: *const fwctl_device,
    scope: u32,
    id: u16,
    argument: u32,
    data: *const u8,
    len: usize,
    limit_ms: i64,
    status: *mut fwctl_status,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let Some(scope) = Scope::from_number(scope) else {
        return misused("the scope is unknown");
    };
    if len > FWCTL_MAX_LEN {
        return misused("the register is too long");
    }
    // SAFETY: As in the header.
    let Some(data) = (unsafe { bytes(data, len) }) else {
        return misused("the data is NULL");
    };
    let mlx5 = Mlx5Device::new(device.limited(limit_ms));
    match mlx5.and_then(|mlx5| mlx5.write_register_with(scope, id, argument, data)) {
        Ok(()) => 0,
        // SAFETY: As in the header.
        Err(error) => unsafe { refused(&error, status) },
    }
}

/// Segment type of the list of what can be dumped.
pub const FWCTL_MLX5_MENU: u16 = 65535;

/// What to dump of a ConnectX. Fields that are not used are 0.
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct fwctl_mlx5_dump_request {
    /// Type of the segment: one of the menu, or FWCTL_MLX5_MENU.
    pub segment_type: u16,
    /// Virtual device whose objects are meant.
    pub vhca_id: u16,
    /// First number of the object.
    pub index1: u32,
    /// Second number of the object.
    pub index2: u32,
    /// How many objects, from the first number on.
    pub num_of_obj1: u16,
    /// How many objects, from the second number on.
    pub num_of_obj2: u16,
}

/// The bytes of a dump.
#[allow(non_camel_case_types)]
pub struct fwctl_dump(Vec<u8>);

/// Registers memory for dumps of a ConnectX: len bytes, or half of them and so on if that is above a
/// limit, but not less than 64 KiB. Where the kernel, or the driver, cannot register memory, returns 0,
/// and memory receives NULL: fwctl_mlx5_dump() takes that, and dumps without. Otherwise as
/// fwctl_memory_new().
#[no_mangle]
pub unsafe extern "C" fn fwctl_mlx5_dump_memory(
    device: *const fwctl_device,
    len: usize,
    limit_ms: i64,
    memory: *mut *mut fwctl_memory,
) -> c_int {
    let run = |device| {
        let registered = Mlx5Device::new(device).and_then(|mlx5| mlx5.dump_memory(len));
        registered.map_err(|error| failed(&error))
    };
    // SAFETY: As in the header.
    unsafe { register(device, limit_ms, memory, run) }
}

/// How much memory a core dump of a ConnectX needs to come at once, in bytes; 0 if the device does not
/// make core dumps. The number is the device's; fwctl_mlx5_dump_memory() registers less if it must.
/// fwctl_rpc() says what a limit does.
#[no_mangle]
pub unsafe extern "C" fn fwctl_mlx5_core_dump_len(
    device: *const fwctl_device,
    limit_ms: i64,
    len: *mut usize,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let found = Mlx5Device::new(device.limited(limit_ms)).and_then(|mlx5| mlx5.core_dump_len());
    let found = found.map(|len| len.unwrap_or(0));
    // SAFETY: As in the header.
    unsafe { store(len, found.map_err(|error| failed(&error))) }
}

/// Dumps objects of a ConnectX, in scope FWCTL_SCOPE_DEBUG_READ_ONLY: sends requests until the firmware
/// has no more. The bytes are segments, as in mlx5_ifc.h of the kernel.
///
/// With memory that has a key the firmware writes to it, and a request brings as much as fits. The
/// memory is overwritten; it must be of the same device, and no other dump may use it meanwhile. If
/// memory is NULL, a request brings some 200 bytes; the result is the same.
///
/// Fails with -EBADMSG if there are more than max bytes. After so many milliseconds, if the limit is not
/// negative, the whole dump ends with -ETIMEDOUT; the firmware may still carry out the last request, and
/// write to the memory. If the firmware refuses, returns -EREMOTEIO and stores
/// the refusal in status, which may be NULL.
///
/// After each request progress, which may be NULL, is called in this thread with the context and the
/// number of bytes that have come. If it returns another value than 0, the dump ends with -ECANCELED.
/// It must return: no longjmp(), and no exception of C++. It may call functions of this library, but
/// must not free the memory.
///
/// dump receives the bytes, also those that came before an error, or NULL if none came. Free it with
/// fwctl_dump_free() in both cases.
#[no_mangle]
pub unsafe extern "C" fn fwctl_mlx5_dump(
    device: *const fwctl_device,
    request: *const fwctl_mlx5_dump_request,
    memory: *const fwctl_memory,
    max: usize,
    limit_ms: i64,
    progress: Option<unsafe extern "C" fn(context: *mut c_void, count: usize) -> c_int>,
    context: *mut c_void,
    dump: *mut *mut fwctl_dump,
    status: *mut fwctl_status,
) -> c_int {
    // SAFETY: As in the header.
    let Some(request) = (unsafe { request.as_ref() }).copied() else {
        // SAFETY: As in the header.
        unsafe { nothing(dump) };
        return misused("the request is NULL");
    };
    let what = DumpRequest {
        segment_type: request.segment_type,
        vhca_id: request.vhca_id,
        index1: request.index1,
        index2: request.index2,
        num_of_obj1: request.num_of_obj1,
        num_of_obj2: request.num_of_obj2,
    };
    // SAFETY: As in the header.
    let told = unsafe { teller(progress, context) };
    let run = |mlx5: &Mlx5Device, memory: Option<&Memory>, all: &mut Vec<u8>| {
        mlx5.dump_to(&what, max, memory, all, told)
    };
    // SAFETY: As in the header.
    unsafe { run_dump(device, memory, limit_ms, dump, status, run) }
}

/// Dumps the device's own registers of a ConnectX. The content is the vendor's. As fwctl_mlx5_dump(),
/// but memory must not be NULL; with less than fwctl_mlx5_core_dump_len() it takes several requests.
#[no_mangle]
pub unsafe extern "C" fn fwctl_mlx5_core_dump(
    device: *const fwctl_device,
    memory: *const fwctl_memory,
    max: usize,
    limit_ms: i64,
    progress: Option<unsafe extern "C" fn(context: *mut c_void, count: usize) -> c_int>,
    context: *mut c_void,
    dump: *mut *mut fwctl_dump,
    status: *mut fwctl_status,
) -> c_int {
    if memory.is_null() {
        // SAFETY: As in the header.
        unsafe { nothing(dump) };
        return misused("the memory is NULL, without which there is no core dump");
    }
    // SAFETY: As in the header.
    let told = unsafe { teller(progress, context) };
    let run = |mlx5: &Mlx5Device, memory: Option<&Memory>, all: &mut Vec<u8>| match memory {
        Some(memory) => mlx5.core_dump(memory, max, all, told),
        None => Ok(()),
    };
    // SAFETY: As in the header.
    unsafe { run_dump(device, memory, limit_ms, dump, status, run) }
}

/// Tells the caller's function how many bytes have come; without one, the dump goes on.
///
/// # Safety
///
/// While the result is used, the function can be called with the context.
unsafe fn teller(
    progress: Option<unsafe extern "C" fn(context: *mut c_void, count: usize) -> c_int>,
    context: *mut c_void,
) -> impl FnMut(usize) -> ControlFlow<()> {
    move |count| {
        // SAFETY: The caller vouches for the function and its context.
        match progress.map_or(0, |progress| unsafe { progress(context, count) }) {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

/// Stores that there are no bytes.
///
/// # Safety
///
/// `dump` is NULL or valid for a write.
unsafe fn nothing(dump: *mut *mut fwctl_dump) {
    if !dump.is_null() {
        // SAFETY: It is not NULL, so the caller vouches for it.
        unsafe { dump.write(ptr::null_mut()) };
    }
}

/// Makes a dump, and stores what came of it.
///
/// # Safety
///
/// The pointers are as for `fwctl_mlx5_dump()`.
unsafe fn run_dump(
    device: *const fwctl_device,
    memory: *const fwctl_memory,
    limit_ms: i64,
    dump: *mut *mut fwctl_dump,
    status: *mut fwctl_status,
    run: impl FnOnce(&Mlx5Device, Option<&Memory>, &mut Vec<u8>) -> Result<(), Error>,
) -> c_int {
    // SAFETY: The caller vouches for it.
    unsafe { nothing(dump) };
    // SAFETY: The caller vouches for it.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    // SAFETY: The caller vouches for it.
    let memory = unsafe { memory.as_ref() }.map(|memory| &memory.0);
    if memory.is_some_and(|memory| memory.ids().key == 0) {
        return misused("the memory has no key");
    }
    if memory.is_some_and(Memory::is_released) {
        return misused("the memory has been destroyed");
    }
    // Before anything is sent.
    if dump.is_null() {
        return misused("a result pointer is NULL");
    }
    let mut all = Vec::new();
    let result =
        Mlx5Device::new(device.limited(limit_ms)).and_then(|mlx5| run(&mlx5, memory, &mut all));
    if !all.is_empty() {
        // SAFETY: It is not NULL, so the caller vouches for it.
        unsafe { dump.write(Box::into_raw(Box::new(fwctl_dump(all)))) };
    }
    match result {
        Ok(()) => 0,
        // SAFETY: The caller vouches for it.
        Err(error) => unsafe { refused(&error, status) },
    }
}

/// The bytes of a dump, or NULL if there are none. Valid until it is freed.
#[no_mangle]
pub unsafe extern "C" fn fwctl_dump_data(dump: *const fwctl_dump) -> *const u8 {
    // SAFETY: As in the header.
    unsafe { dump.as_ref() }.map_or(ptr::null(), |dump| dump.0.as_ptr())
}

/// Number of bytes of a dump, which may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_dump_len(dump: *const fwctl_dump) -> usize {
    // SAFETY: As in the header.
    unsafe { dump.as_ref() }.map_or(0, |dump| dump.0.len())
}

/// Frees a dump. It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_dump_free(dump: *mut fwctl_dump) {
    // SAFETY: It is of a function that dumps, and the caller gives it up.
    unsafe { free(dump) };
}
