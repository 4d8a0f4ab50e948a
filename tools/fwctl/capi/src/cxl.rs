// SPDX-License-Identifier: MIT OR Apache-2.0

//! Features and mailbox commands of CXL memory devices.

use crate::list::{List, Texts};
use crate::{
    bytes, copy, failed, free, fwctl_device, fwctl_status, misused, refused, store, FWCTL_MAX_LEN,
    FWCTL_SCOPE_NEVER,
};
use fwctl::cxl::{Command, CxlDevice, Feature, GetFeature, Selection, SetFeature, SetPolicy};
use fwctl::{Scope, Uuid};
use std::ffi::{c_char, c_int};
use std::ptr;

/// A command of a CXL memory device.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct fwctl_cxl_command {
    /// Mailbox opcode.
    pub opcode: u16,
    /// What the device claims that it does: bits of the Command Effects Log of CXL 3.2.
    pub effects: u16,
    /// The least scope in which the kernel sends it, or FWCTL_SCOPE_NEVER.
    pub scope: u32,
    /// The scope depends on the Feature, and is at least this one.
    pub by_feature: bool,
    /// The scope depends on a command in the payload, and is at least this one.
    pub by_payload: bool,
    /// Its name in the specification, or NULL.
    pub name: *const c_char,
    /// Why the kernel never sends it, in a word such as "background"; or NULL.
    pub refused: *const c_char,
}

/// The commands of a CXL memory device.
#[allow(non_camel_case_types)]
pub struct fwctl_cxl_commands(List<fwctl_cxl_command>);

fn listed(command: &Command, texts: &mut Texts) -> fwctl_cxl_command {
    let least = command.policy.least_scope();
    fwctl_cxl_command {
        opcode: command.opcode,
        effects: command.effects,
        scope: least.map_or(FWCTL_SCOPE_NEVER, |scope| scope.number()),
        by_feature: command.policy.is_by_feature(),
        by_payload: command.policy.is_by_payload(),
        name: texts.keep(command.name()),
        refused: texts.keep(least.err().map(|refusal| refusal.name())),
    }
}

/// Lists the commands of a CXL memory device, as the kernel knows them: the device is not asked.
/// Fails with -EOPNOTSUPP if the kernel passes Feature commands only. Free the list with
/// fwctl_cxl_list_free().
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_list(
    device: *const fwctl_device,
    list: *mut *mut fwctl_cxl_commands,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    if list.is_null() {
        return misused("a result pointer is NULL");
    }
    let found = CxlDevice::new(device.device.clone()).and_then(|cxl| cxl.commands());
    let listed = match found {
        Ok(Some(commands)) => List::new(&commands, listed),
        Ok(None) => {
            misused("this kernel passes only the Feature commands of a CXL memory device");
            return -libc::EOPNOTSUPP;
        }
        Err(error) => return failed(&error),
    };
    let all = Box::new(fwctl_cxl_commands(listed));
    // SAFETY: As in the header.
    unsafe { store(list, Ok(Box::into_raw(all))) }
}

/// Frees a list of commands. It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_list_free(list: *mut fwctl_cxl_commands) {
    // SAFETY: It is of `fwctl_cxl_list`, and the caller gives it up.
    unsafe { free(list) };
}

/// Number of commands in a list.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_list_len(list: *const fwctl_cxl_commands) -> usize {
    // SAFETY: As in the header.
    unsafe { list.as_ref() }.map_or(0, |list| list.0.len())
}

/// A command in a list; NULL if there are not so many. Valid until the list is freed, like its
/// texts.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_list_get(
    list: *const fwctl_cxl_commands,
    index: usize,
) -> *const fwctl_cxl_command {
    // SAFETY: As in the header.
    unsafe { list.as_ref() }.map_or(ptr::null(), |list| list.0.get(index))
}

/// Sends a command, other than a Feature command, with this input payload. Copies as much of its
/// output payload as fits; true_len receives the length of the whole output.
///
/// The scope must be at least that of the command in the list. fwctl_rpc() says what a limit does.
///
/// If the device refuses the command, returns -EREMOTEIO and stores the refusal in status, which may
/// be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_send(
    device: *const fwctl_device,
    scope: u32,
    opcode: u16,
    input: *const u8,
    input_len: usize,
    output: *mut u8,
    output_len: usize,
    limit_ms: i64,
    true_len: *mut usize,
    status: *mut fwctl_status,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let Some(scope) = Scope::from_number(scope) else {
        return misused("the scope is unknown");
    };
    if input_len > isize::MAX as usize || output_len > isize::MAX as usize {
        return misused("a length is negative");
    }
    // SAFETY: As in the header. The borrow ends before the output is copied.
    let Some(input) = (unsafe { bytes(input, input_len) }) else {
        return misused("the input is NULL");
    };
    if output.is_null() && output_len > 0 {
        return misused("the output buffer is NULL");
    }
    // Before anything is sent.
    if true_len.is_null() {
        return misused("a result pointer is NULL");
    }
    let sent = CxlDevice::new(device.limited(limit_ms)).and_then(|cxl| {
        // A command that has run may not run again for the rest of its output.
        let most = cxl.payload_size()?.unwrap_or(output_len);
        cxl.send(scope, opcode, input, most.min(MOST_OUTPUT))
    });
    match sent {
        Ok(answer) => {
            // SAFETY: `output` is valid for `output_len` bytes, as in the header, and was checked
            // for NULL.
            unsafe { copy(&answer, output, output_len) };
            // SAFETY: As in the header.
            unsafe { store(true_len, Ok(answer.len())) }
        }
        // SAFETY: As in the header.
        Err(error) => unsafe { refused(&error, status) },
    }
}

/// The longest output: a reply has 8 bytes before it.
const MOST_OUTPUT: usize = FWCTL_MAX_LEN - 8;

/// Value of a Feature: the one in force.
pub const FWCTL_CXL_CURRENT: u32 = 0;
/// Value of a Feature: the one that the device was made with.
pub const FWCTL_CXL_DEFAULT: u32 = 1;
/// Value of a Feature: the one that the device keeps across resets.
pub const FWCTL_CXL_SAVED: u32 = 2;

/// A Feature of a CXL memory device: CXL 3.2, table 8-109. Sizes are in bytes.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct fwctl_cxl_feature {
    /// Its UUID, as in its text form.
    pub uuid: [u8; 16],
    /// Attribute bits.
    pub flags: u32,
    /// The scope that a change needs, or FWCTL_SCOPE_NEVER.
    pub set_scope: u32,
    /// Most bytes of its value.
    pub get_size: u16,
    /// Most bytes that can be set; 0 if the kernel keeps the Feature for itself.
    pub set_size: u16,
    /// What a change does: bits of the Command Effects Log of CXL 3.2.
    pub effects: u16,
    /// Layout version of its value.
    pub get_version: u8,
    /// Layout version of what can be set.
    pub set_version: u8,
    /// A short name such as "patrol-scrub", if it is one of the specification's Features, or NULL.
    pub name: *const c_char,
}

/// The Features of a CXL memory device.
#[allow(non_camel_case_types)]
pub struct fwctl_cxl_features(List<fwctl_cxl_feature>);

fn listed_feature(feature: &Feature, texts: &mut Texts) -> fwctl_cxl_feature {
    fwctl_cxl_feature {
        uuid: feature.uuid.0,
        flags: feature.flags,
        set_scope: match feature.set_policy() {
            SetPolicy::Scope(scope) => scope.number(),
            SetPolicy::Never(_) => FWCTL_SCOPE_NEVER,
        },
        get_size: feature.get_size,
        set_size: feature.set_size,
        effects: feature.effects,
        get_version: feature.get_version,
        set_version: feature.set_version,
        name: texts.keep(feature.name()),
    }
}

/// Lists the Features of a CXL memory device. fwctl_rpc() says what a limit does. Free the list with
/// fwctl_cxl_feature_list_free().
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_feature_list(
    device: *const fwctl_device,
    limit_ms: i64,
    list: *mut *mut fwctl_cxl_features,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let found = CxlDevice::new(device.limited(limit_ms)).and_then(|cxl| cxl.features());
    let listed = found.map(|features| {
        let all = List::new(&features, listed_feature);
        Box::into_raw(Box::new(fwctl_cxl_features(all)))
    });
    // SAFETY: As in the header.
    unsafe { store(list, listed.map_err(|error| failed(&error))) }
}

/// Frees a list of Features. It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_feature_list_free(list: *mut fwctl_cxl_features) {
    // SAFETY: It is of `fwctl_cxl_feature_list`, and the caller gives it up.
    unsafe { free(list) };
}

/// Number of Features in a list.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_feature_list_len(list: *const fwctl_cxl_features) -> usize {
    // SAFETY: As in the header.
    unsafe { list.as_ref() }.map_or(0, |list| list.0.len())
}

/// A Feature in a list; NULL if there are not so many. Valid until the list is freed, like its name.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_feature_list_get(
    list: *const fwctl_cxl_features,
    index: usize,
) -> *const fwctl_cxl_feature {
    // SAFETY: As in the header.
    unsafe { list.as_ref() }.map_or(ptr::null(), |list| list.0.get(index))
}

/// Reads len bytes of the value of a Feature, from offset on. uuid are the 16 bytes of the list;
/// selection is FWCTL_CXL_CURRENT, FWCTL_CXL_DEFAULT or FWCTL_CXL_SAVED. fwctl_rpc() says what a limit
/// does.
///
/// Fails with -EBADMSG if other than len bytes came. If the device refuses, returns -EREMOTEIO and
/// stores the refusal in status, which may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_get_feature(
    device: *const fwctl_device,
    uuid: *const u8,
    selection: u32,
    offset: u16,
    data: *mut u8,
    len: u16,
    limit_ms: i64,
    status: *mut fwctl_status,
) -> c_int {
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    // SAFETY: As in the header.
    let Some(uuid) = (unsafe { uuid_of(uuid) }) else {
        return misused("the UUID is NULL");
    };
    let selection = match selection {
        FWCTL_CXL_CURRENT => Selection::Current,
        FWCTL_CXL_DEFAULT => Selection::Default,
        FWCTL_CXL_SAVED => Selection::Saved,
        _ => return misused("the selection is unknown"),
    };
    if data.is_null() {
        return misused("the data is NULL");
    }
    let get = GetFeature {
        uuid,
        selection,
        offset,
        size: len,
    };
    match CxlDevice::new(device.limited(limit_ms)).and_then(|cxl| cxl.get(&get)) {
        Ok(value) => {
            // SAFETY: `data` is valid for `len` bytes, as in the header, and was checked for NULL.
            unsafe { copy(&value, data, len.into()) };
            0
        }
        // SAFETY: As in the header.
        Err(error) => unsafe { refused(&error, status) },
    }
}

/// Replaces len bytes of the value of a Feature, from offset on. The scope is at least set_scope of
/// the list, and version its set_version. With is_saved, the device is asked to keep the value across
/// resets. fwctl_rpc() says what a limit does.
///
/// If the device refuses, returns -EREMOTEIO and stores the refusal in status, which may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_cxl_set_feature(
    device: *const fwctl_device,
    scope: u32,
    uuid: *const u8,
    version: u8,
    offset: u16,
    is_saved: bool,
    data: *const u8,
    len: u16,
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
    // SAFETY: As in the header.
    let Some(uuid) = (unsafe { uuid_of(uuid) }) else {
        return misused("the UUID is NULL");
    };
    // SAFETY: As in the header.
    let Some(data) = (unsafe { bytes(data, len.into()) }) else {
        return misused("the data is NULL");
    };
    let set = SetFeature {
        uuid,
        version,
        offset,
        is_saved,
        data,
    };
    match CxlDevice::new(device.limited(limit_ms)).and_then(|cxl| cxl.set(scope, &set)) {
        Ok(()) => 0,
        // SAFETY: As in the header.
        Err(error) => unsafe { refused(&error, status) },
    }
}

/// The UUID of the caller; none if it is NULL.
///
/// # Safety
///
/// `uuid` is NULL or valid for 16 bytes.
unsafe fn uuid_of(uuid: *const u8) -> Option<Uuid> {
    // SAFETY: The caller vouches for it.
    let uuid = unsafe { bytes(uuid, 16) }?;
    uuid.try_into().ok().map(Uuid)
}
