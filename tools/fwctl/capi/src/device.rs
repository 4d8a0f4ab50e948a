// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding and opening devices, INFO and RPC.

use crate::{bytes, deadline, failed, free, misused, store, string, text};
use fwctl::replay::Replay;
use fwctl::sysfs::Root;
use fwctl::{Device, DeviceType, FirmwareStatus, Rpc, Scope};
use std::ffi::{c_char, c_int, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::slice;

/// An open device.
#[allow(non_camel_case_types)]
pub struct fwctl_device {
    pub(crate) device: Device,
    name: CString,
}

impl fwctl_device {
    /// The device, with a limit if it is not negative.
    pub(crate) fn limited(&self, limit_ms: i64) -> Device {
        let device = self.device.clone();
        match deadline(limit_ms) {
            Some(deadline) => device.with_deadline(deadline),
            None => device,
        }
    }
}

/// A list of devices.
#[allow(non_camel_case_types)]
pub struct fwctl_devices(Vec<Listed>);

struct Listed {
    name: CString,
    node: CString,
    parent: CString,
    device_type: CString,
}

/// The refusal in a reply.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct fwctl_status {
    /// The number in the reply.
    pub code: u32,
    /// ConnectX: what the firmware's makers can look up; else 0.
    pub syndrome: u32,
    /// Name of the code, "unknown" if it has none.
    pub name: [c_char; 64],
}

/// Opens a device: "fwctl0", the path of a node, a PCI address, a memdev, a netdev, an RDMA device
/// or a devlink handle. Close it with fwctl_close().
#[no_mangle]
pub unsafe extern "C" fn fwctl_open(name: *const c_char, device: *mut *mut fwctl_device) -> c_int {
    // SAFETY: As in the header.
    let Some(name) = (unsafe { string(name) }) else {
        return misused("the name is NULL or not UTF-8");
    };
    let opened = Root::default().resolve(name).and_then(|entry| entry.open());
    // SAFETY: As in the header.
    unsafe { store(device, opened.map(handle).map_err(|error| failed(&error))) }
}

/// As fwctl_open(), for the node that a file descriptor is open on. The descriptor is duplicated
/// and remains the caller's.
#[no_mangle]
pub unsafe extern "C" fn fwctl_open_fd(fd: c_int, device: *mut *mut fwctl_device) -> c_int {
    if fd < 0 {
        return misused("the descriptor is negative");
    }
    // SAFETY: The caller has it open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let opened = match fd.try_clone_to_owned() {
        Ok(fd) => Device::from_fd(fd)
            .map(handle)
            .map_err(|error| failed(&error)),
        Err(error) => {
            misused(&format!("the descriptor cannot be duplicated: {error}"));
            Err(-error.raw_os_error().unwrap_or(libc::EBADF))
        }
    };
    // SAFETY: As in the header.
    unsafe { store(device, opened) }
}

/// A device that answers from a recording, for tests of programs without a device. The text is that
/// of the Rust module fwctl::replay.
#[no_mangle]
pub unsafe extern "C" fn fwctl_open_recording(
    recording: *const c_char,
    device: *mut *mut fwctl_device,
) -> c_int {
    // SAFETY: As in the header.
    let Some(recording) = (unsafe { string(recording) }) else {
        return misused("the recording is NULL or not UTF-8");
    };
    let opened = Replay::parse(recording)
        .map(|replay| handle(Device::with_transport("fwctl0", replay)))
        .map_err(|error| misused(&error.to_string()));
    // SAFETY: As in the header.
    unsafe { store(device, opened) }
}

/// Closes a device. It may be NULL. RPCs of queues on it go on.
#[no_mangle]
pub unsafe extern "C" fn fwctl_close(device: *mut fwctl_device) {
    // SAFETY: It is of `handle`, and the caller gives it up.
    unsafe { free(device) };
}

/// Name of a device, such as "fwctl0". Valid until it is closed.
#[no_mangle]
pub unsafe extern "C" fn fwctl_name(device: *const fwctl_device) -> *const c_char {
    // SAFETY: As in the header.
    unsafe { device.as_ref() }.map_or(ptr::null(), |device| device.name.as_ptr())
}

/// The file descriptor of a device, or -EBADF if it has none. It remains the library's.
#[no_mangle]
pub unsafe extern "C" fn fwctl_fd(device: *const fwctl_device) -> c_int {
    // SAFETY: As in the header.
    unsafe { device.as_ref() }
        .and_then(|device| device.device.fd())
        .map_or(-libc::EBADF, |fd| fd.as_raw_fd())
}

/// FWCTL_INFO: the type of a device, FWCTL_TYPE_MLX5 or another; other numbers are those of newer
/// kernels.
#[no_mangle]
pub unsafe extern "C" fn fwctl_type(device: *const fwctl_device, device_type: *mut u32) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let found = device.device.device_type();
    let number = found.map(|found| found.number());
    // SAFETY: As in the header.
    unsafe { store(device_type, number.map_err(|error| failed(&error))) }
}

/// FWCTL_INFO: the driver's data. Copies as much as fits; data_len receives the whole length.
#[no_mangle]
pub unsafe extern "C" fn fwctl_info(
    device: *const fwctl_device,
    data: *mut u8,
    len: usize,
    data_len: *mut usize,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    if data.is_null() && len > 0 {
        return misused("the data is NULL");
    }
    let info = match device.device.info() {
        Ok(info) => info,
        Err(error) => return failed(&error),
    };
    // SAFETY: `data` is valid for `len` bytes, as in the header.
    unsafe { copy(&info.data, data, len) };
    // SAFETY: As in the header.
    unsafe { store(data_len, Ok(info.data_len)) }
}

/// FWCTL_RPC: sends a request, and copies as much of the reply as fits to the reply buffer, which
/// may be the request's. true_len receives the length of the whole reply. Both are at most
/// FWCTL_MAX_LEN.
///
/// With a limit that is not negative the call ends with -ETIMEDOUT after so many milliseconds; the
/// firmware may still carry out the request.
///
/// The firmware's own refusal is a reply like any other: see fwctl_firmware_status().
#[no_mangle]
pub unsafe extern "C" fn fwctl_rpc(
    device: *const fwctl_device,
    scope: u32,
    request: *const u8,
    request_len: usize,
    reply: *mut u8,
    reply_len: usize,
    limit_ms: i64,
    true_len: *mut usize,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    // SAFETY: As in the header. The borrow ends before the reply is copied.
    let rpc = match unsafe { rpc(scope, request, request_len, reply_len) } {
        Ok(_) if reply.is_null() && reply_len > 0 => return misused("the reply buffer is NULL"),
        Ok(rpc) => rpc,
        Err(error) => return error,
    };
    let answer = match device.limited(limit_ms).rpc(rpc.0, rpc.1, reply_len) {
        Ok(answer) => answer,
        Err(error) => return failed(&error),
    };
    // SAFETY: `reply` is valid for `reply_len` bytes, as in the header, and was checked for NULL.
    unsafe { copy(&answer.bytes, reply, reply_len) };
    // SAFETY: As in the header.
    unsafe { store(true_len, Ok(answer.true_len)) }
}

/// The refusal of the firmware in a reply of a device of this type: returns 1 and stores it, or 0 if
/// the firmware agreed or the replies of the type are unknown.
#[no_mangle]
pub unsafe extern "C" fn fwctl_firmware_status(
    device_type: u32,
    reply: *const u8,
    reply_len: usize,
    status: *mut fwctl_status,
) -> c_int {
    // SAFETY: As in the header.
    let Some(reply) = (unsafe { bytes(reply, reply_len) }) else {
        return misused("the reply is NULL");
    };
    let Some(found) = FirmwareStatus::of_reply(DeviceType::from_number(device_type), reply) else {
        return 0;
    };
    // SAFETY: As in the header.
    match unsafe { store(status, Ok(refusal(&found))) } {
        0 => 1,
        error => error,
    }
}

/// A refusal for C.
pub(crate) fn refusal(found: &FirmwareStatus) -> fwctl_status {
    let mut name = [0; 64];
    // The last byte stays 0.
    for (to, from) in name.iter_mut().zip(found.name.bytes().take(63)) {
        *to = from as c_char;
    }
    fwctl_status {
        code: found.code,
        syndrome: found.syndrome.unwrap_or(0),
        name,
    }
}

/// Lists the devices, from sysfs alone: none is opened. A machine without one has an empty list.
/// Free it with fwctl_list_free().
#[no_mangle]
pub unsafe extern "C" fn fwctl_list(list: *mut *mut fwctl_devices) -> c_int {
    let entries = match Root::default().devices() {
        Ok(entries) => entries,
        Err(fwctl::Error::Absent(_)) => Vec::new(),
        Err(error) => return failed(&error),
    };
    let listed = |entry: &fwctl::sysfs::Entry| Listed {
        name: text(&entry.name),
        node: text(&entry.node.to_string_lossy()),
        parent: text(&entry.parent.name),
        device_type: text(
            &entry
                .likely_type()
                .map(|found| found.to_string())
                .unwrap_or_default(),
        ),
    };
    let all = fwctl_devices(entries.iter().map(listed).collect());
    // SAFETY: As in the header.
    unsafe { store(list, Ok(Box::into_raw(Box::new(all)))) }
}

/// Frees a list. It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_list_free(list: *mut fwctl_devices) {
    // SAFETY: It is of `fwctl_list`, and the caller gives it up.
    unsafe { free(list) };
}

/// Number of devices in a list.
#[no_mangle]
pub unsafe extern "C" fn fwctl_list_len(list: *const fwctl_devices) -> usize {
    // SAFETY: As in the header.
    unsafe { list.as_ref() }.map_or(0, |list| list.0.len())
}

/// Name of a device in a list, such as "fwctl0"; NULL if there are not so many. Valid until the list
/// is freed, like the texts of the functions below.
#[no_mangle]
pub unsafe extern "C" fn fwctl_list_name(
    list: *const fwctl_devices,
    index: usize,
) -> *const c_char {
    // SAFETY: As in the header.
    unsafe { listed(list, index) }.map_or(ptr::null(), |listed| listed.name.as_ptr())
}

/// Path of its node.
#[no_mangle]
pub unsafe extern "C" fn fwctl_list_node(
    list: *const fwctl_devices,
    index: usize,
) -> *const c_char {
    // SAFETY: As in the header.
    unsafe { listed(list, index) }.map_or(ptr::null(), |listed| listed.node.as_ptr())
}

/// Name of the device that it controls, such as a PCI address or "mem0".
#[no_mangle]
pub unsafe extern "C" fn fwctl_list_parent(
    list: *const fwctl_devices,
    index: usize,
) -> *const c_char {
    // SAFETY: As in the header.
    unsafe { listed(list, index) }.map_or(ptr::null(), |listed| listed.parent.as_ptr())
}

/// Name of its type as far as sysfs tells, such as "mlx5", or "".
#[no_mangle]
pub unsafe extern "C" fn fwctl_list_type(
    list: *const fwctl_devices,
    index: usize,
) -> *const c_char {
    // SAFETY: As in the header.
    unsafe { listed(list, index) }.map_or(ptr::null(), |listed| listed.device_type.as_ptr())
}

unsafe fn listed<'a>(list: *const fwctl_devices, index: usize) -> Option<&'a Listed> {
    // SAFETY: The list is NULL or valid until it is freed, which ends `'a`.
    unsafe { list.as_ref() }?.0.get(index)
}

fn handle(device: Device) -> *mut fwctl_device {
    let name = text(device.name());
    Box::into_raw(Box::new(fwctl_device { device, name }))
}

/// Checks the arguments of an RPC.
///
/// # Safety
///
/// `request` is NULL or valid for `request_len` bytes for `'a`.
pub(crate) unsafe fn rpc<'a>(
    scope: u32,
    request: *const u8,
    request_len: usize,
    reply_len: usize,
) -> Result<(Scope, &'a [u8]), c_int> {
    let scope = Scope::from_number(scope).ok_or_else(|| misused("the scope is unknown"))?;
    if reply_len > isize::MAX as usize || request_len > isize::MAX as usize {
        return Err(misused("a length is negative"));
    }
    // SAFETY: The caller vouches for it.
    let request = unsafe { bytes(request, request_len) };
    Ok((
        scope,
        request.ok_or_else(|| misused("the request is NULL"))?,
    ))
}

/// Copies as much as fits.
///
/// # Safety
///
/// `to` is valid for writes of `len` bytes, or `len` is 0.
pub(crate) unsafe fn copy(from: &[u8], to: *mut u8, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: The caller vouches for it, and no reference to this memory exists.
    let to = unsafe { slice::from_raw_parts_mut(to, len) };
    let len = from.len().min(len);
    to[..len].copy_from_slice(&from[..len]);
}

/// The RPC of a queue.
pub(crate) fn queued(scope: Scope, request: &[u8], reply_len: usize, limit_ms: i64) -> Rpc {
    let rpc = Rpc::new(scope, request, reply_len);
    match deadline(limit_ms) {
        Some(deadline) => rpc.deadline(deadline),
        None => rpc,
    }
}
