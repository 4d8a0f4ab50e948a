// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C API of the crate `fwctl`: `fwctl.h`, which cbindgen makes from this crate.
//!
//! - `lib.rs`: errors, and what the rest shares
//! - `device.rs`: finding and opening devices, INFO and RPC
//! - `memory.rs`: memory that the firmware can access
//! - `mlx5.rs`: registers and dumps of a ConnectX
//! - `queue.rs`: many RPCs in flight
//! - `cxl.rs`: Features and mailbox commands of CXL memory devices
//! - `snapshot.rs`: the catalogue, and snapshots of devices
//! - `list.rs`: lists of structs
//!
//! Pointers are checked for NULL; that they are valid otherwise is the contract with the caller, as
//! everywhere in C.

// The contracts of the functions are those of C, in the documentation that goes to the header.
#![allow(clippy::missing_safety_doc)]

mod cxl;
mod device;
mod list;
mod memory;
mod mlx5;
mod queue;
mod snapshot;

pub use cxl::*;
pub use device::*;
pub use memory::*;
pub use mlx5::*;
pub use queue::*;
pub use snapshot::*;

use fwctl::Error;
use std::cell::RefCell;
use std::ffi::{c_char, c_int, CStr, CString};
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

/// Type of a device: none, as of a sample or a test.
pub const FWCTL_TYPE_NONE: u32 = 0;
/// Type of a device: NVIDIA ConnectX and BlueField.
pub const FWCTL_TYPE_MLX5: u32 = 1;
/// Type of a device: CXL memory device.
pub const FWCTL_TYPE_CXL: u32 = 2;
/// Type of a device: Broadcom NetXtreme.
pub const FWCTL_TYPE_BNXT: u32 = 3;
/// Type of a device: AMD Pensando.
pub const FWCTL_TYPE_PDS: u32 = 4;

/// Scope of an RPC: read and write configuration.
pub const FWCTL_SCOPE_CONFIGURATION: u32 = 0;
/// Scope of an RPC: read debug information.
pub const FWCTL_SCOPE_DEBUG_READ_ONLY: u32 = 1;
/// Scope of an RPC: write debug state. Taints the kernel.
pub const FWCTL_SCOPE_DEBUG_WRITE: u32 = 2;
/// Scope of an RPC: write anything. Taints the kernel and needs CAP_SYS_RAWIO.
pub const FWCTL_SCOPE_DEBUG_WRITE_FULL: u32 = 3;
/// No scope: the kernel never sends this command.
pub const FWCTL_SCOPE_NEVER: u32 = 0xffffffff;

/// Maximum length of a request and of a reply buffer.
pub const FWCTL_MAX_LEN: usize = 2097152;

/// A time limit in milliseconds that never ends.
pub const FWCTL_FOREVER: i64 = -1;

/// What went wrong last on a thread.
#[derive(Default)]
struct Failure {
    text: CString,
    meaning: Option<CString>,
    remedy: Option<CString>,
}

thread_local! {
    static LAST: RefCell<Failure> = RefCell::default();
}

/// The error of the last function that failed on this thread, on one line. Valid until the next one
/// fails.
#[no_mangle]
pub extern "C" fn fwctl_error() -> *const c_char {
    LAST.with_borrow(|last| last.text.as_ptr())
}

/// What that error means for the call that failed, or NULL if there is no more to say.
#[no_mangle]
pub extern "C" fn fwctl_error_meaning() -> *const c_char {
    LAST.with_borrow(|last| {
        last.meaning
            .as_ref()
            .map_or(ptr::null(), |text| text.as_ptr())
    })
}

/// What may help against that error, or NULL.
#[no_mangle]
pub extern "C" fn fwctl_error_remedy() -> *const c_char {
    LAST.with_borrow(|last| {
        last.remedy
            .as_ref()
            .map_or(ptr::null(), |text| text.as_ptr())
    })
}

/// Version of the library, such as "0.1.0".
#[no_mangle]
pub extern "C" fn fwctl_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no NUL"),
        };
    VERSION.as_ptr()
}

/// A text for C: a NUL in it ends it.
fn text(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}

/// Stores an error, and returns what the function returns.
fn failed(error: &Error) -> c_int {
    let advice = error.advice();
    let failure = Failure {
        text: text(&error.to_string()),
        meaning: advice.map(|advice| text(advice.meaning)),
        remedy: advice.map(|advice| text(advice.remedy)),
    };
    LAST.set(failure);
    -error.nearest_errno()
}

/// Like `failed()`. If the firmware refused, stores the refusal as well.
///
/// # Safety
///
/// `status` is NULL or valid for a write.
unsafe fn refused(error: &Error, status: *mut fwctl_status) -> c_int {
    if let (Some(found), false) = (error.firmware_status(), status.is_null()) {
        // SAFETY: It is not NULL, so the caller vouches for it.
        unsafe { status.write(refusal(&found)) };
    }
    failed(error)
}

/// Stores an error of the caller, and returns what the function returns.
fn misused(what: &str) -> c_int {
    LAST.set(Failure {
        text: text(what),
        ..Failure::default()
    });
    -libc::EINVAL
}

/// Returns 0 and stores the value, or the errno.
///
/// # Safety
///
/// `out` is NULL or valid for a write.
unsafe fn store<T>(out: *mut T, value: Result<T, c_int>) -> c_int {
    match value {
        _ if out.is_null() => misused("a result pointer is NULL"),
        Ok(value) => {
            // SAFETY: It is not NULL, so the caller vouches for it.
            unsafe { out.write(value) };
            0
        }
        Err(error) => error,
    }
}

/// Frees what a function has stored for the caller. It may be NULL.
///
/// # Safety
///
/// `owned` is NULL or of `Box::into_raw`, and not used any more.
unsafe fn free<T>(owned: *mut T) {
    if !owned.is_null() {
        // SAFETY: The caller vouches for it.
        drop(unsafe { Box::from_raw(owned) });
    }
}

/// The bytes of the caller; none if the pointer is NULL and there should be some.
///
/// # Safety
///
/// `data` is NULL or valid for `len` bytes for `'a`.
unsafe fn bytes<'a>(data: *const u8, len: usize) -> Option<&'a [u8]> {
    match (data.is_null(), len) {
        (_, 0) => Some(&[]),
        (true, _) => None,
        // SAFETY: The caller vouches for it.
        (false, _) => Some(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// The text of the caller; none if it is NULL or not UTF-8.
///
/// # Safety
///
/// `text` is NULL or a string that stays valid for `'a`.
unsafe fn string<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: The caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// The time that a limit ends at; none for a negative one, or one beyond the clock.
fn deadline(limit_ms: i64) -> Option<Instant> {
    let limit = Duration::from_millis(u64::try_from(limit_ms).ok()?);
    Instant::now().checked_add(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_those_of_the_library() {
        let scopes = [
            FWCTL_SCOPE_CONFIGURATION,
            FWCTL_SCOPE_DEBUG_READ_ONLY,
            FWCTL_SCOPE_DEBUG_WRITE,
            FWCTL_SCOPE_DEBUG_WRITE_FULL,
        ];
        assert_eq!(fwctl::Scope::ALL.map(fwctl::Scope::number), scopes);
        assert_eq!(fwctl::Scope::from_number(FWCTL_SCOPE_NEVER), None);
        let types = [
            (FWCTL_TYPE_NONE, "none"),
            (FWCTL_TYPE_MLX5, "mlx5"),
            (FWCTL_TYPE_CXL, "cxl"),
            (FWCTL_TYPE_BNXT, "bnxt"),
            (FWCTL_TYPE_PDS, "pds"),
        ];
        for (number, name) in types {
            assert_eq!(fwctl::DeviceType::from_number(number).to_string(), name);
        }
        assert_eq!(FWCTL_MAX_LEN, fwctl::MAX_RPC_LEN as usize);
        assert_eq!(FWCTL_MLX5_MENU, fwctl::mlx5::MENU);
        assert_eq!(FWCTL_MEMORY_KEY, fwctl::MemoryUse::KEY.flags());
        assert_eq!(FWCTL_MEMORY_PAGES, fwctl::MemoryUse::PAGES.flags());
    }

    #[test]
    fn null_pointers_are_refused() {
        // SAFETY: NULL is what the functions check for.
        unsafe {
            assert_eq!(fwctl_open(ptr::null(), ptr::null_mut()), -libc::EINVAL);
            assert_eq!(
                fwctl_open(c"fwctl0".as_ptr(), ptr::null_mut()),
                -libc::EINVAL
            );
            let mut device = ptr::null_mut();
            assert_eq!(
                fwctl_open_recording(ptr::null(), &mut device),
                -libc::EINVAL
            );
            assert_eq!(fwctl_name(ptr::null()), ptr::null());
            fwctl_close(ptr::null_mut());
            fwctl_queue_free(ptr::null_mut());
            fwctl_completion_free(ptr::null_mut());
            fwctl_list_free(ptr::null_mut());
            fwctl_cxl_list_free(ptr::null_mut());
            assert_eq!(fwctl_cxl_list_len(ptr::null()), 0);
            assert!(fwctl_cxl_list_get(ptr::null(), 0).is_null());
            assert_eq!(fwctl_cxl_list(ptr::null(), ptr::null_mut()), -libc::EINVAL);
            fwctl_cxl_feature_list_free(ptr::null_mut());
            assert_eq!(fwctl_cxl_feature_list_len(ptr::null()), 0);
            assert!(fwctl_cxl_feature_list_get(ptr::null(), 0).is_null());
            let none = ptr::null_mut();
            assert_eq!(fwctl_cxl_feature_list(ptr::null(), -1, none), -libc::EINVAL);
            fwctl_catalogue_free(ptr::null_mut());
            assert_eq!(fwctl_catalogue_len(ptr::null()), 0);
            assert!(fwctl_catalogue_get(ptr::null(), 0).is_null());
            assert_eq!(fwctl_catalogue(1, ptr::null_mut()), -libc::EINVAL);
            let mut json = ptr::dangling_mut();
            assert_eq!(fwctl_snapshot(ptr::null(), -1, &mut json), -libc::EINVAL);
            assert!(json.is_null());
            fwctl_snapshot_free(json);
            let (data, status) = (ptr::null_mut(), ptr::null_mut());
            assert_eq!(
                fwctl_cxl_get_feature(ptr::null(), ptr::null(), 0, 0, data, 1, -1, status),
                -libc::EINVAL
            );
            let set = |device| {
                fwctl_cxl_set_feature(device, 3, ptr::null(), 1, 0, false, data, 1, -1, status)
            };
            assert_eq!(set(ptr::null()), -libc::EINVAL);
            assert_eq!(
                fwctl_mlx5_read_register(ptr::null(), 1, 0, data, 4, -1, status),
                -libc::EINVAL
            );
            assert_eq!(
                fwctl_mlx5_write_register(ptr::null(), 0, 1, 0, data, 4, -1, status),
                -libc::EINVAL
            );
            let memory = ptr::null_mut();
            assert_eq!(
                fwctl_memory_new(ptr::null(), 1, 1, -1, memory),
                -libc::EINVAL
            );
            let memory = ptr::null();
            assert_eq!(fwctl_memory_destroy(memory, -1), -libc::EINVAL);
            assert_eq!(
                fwctl_memory_read(memory, 0, ptr::null_mut(), 0),
                -libc::EINVAL
            );
            assert_eq!(fwctl_memory_write(memory, 0, ptr::null(), 0), -libc::EINVAL);
            assert_eq!(
                (fwctl_memory_len(memory), fwctl_memory_address(memory)),
                (0, 0)
            );
            assert_eq!(
                (fwctl_memory_umem(memory), fwctl_memory_key(memory)),
                (0, 0)
            );
            assert_eq!(fwctl_memory_resource(memory), 0);
            let dump = ptr::null();
            assert!(fwctl_dump_data(dump).is_null() && fwctl_dump_len(dump) == 0);
            fwctl_dump_free(ptr::null_mut());
            fwctl_memory_free(ptr::null_mut());
            let text = CStr::from_ptr(fwctl_error()).to_str();
            assert!(text.unwrap().contains("NULL"), "{text:?}");
        }
    }
}
