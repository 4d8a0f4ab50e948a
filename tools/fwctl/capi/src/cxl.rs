// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mailbox commands of CXL memory devices.

use crate::{
    bytes, copy, failed, fwctl_device, fwctl_status, misused, refusal, store, text, FWCTL_MAX_LEN,
    FWCTL_SCOPE_NEVER,
};
use fwctl::cxl::{Command, CommandPolicy, CxlDevice};
use fwctl::Scope;
use std::ffi::{c_char, c_int, CString};
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
    /// Its name in the specification, or NULL.
    pub name: *const c_char,
    /// Why the kernel never sends it, in a word such as "background"; or NULL.
    pub refused: *const c_char,
}

/// The commands of a CXL memory device.
#[allow(non_camel_case_types)]
pub struct fwctl_cxl_commands(Vec<Listed>);

struct Listed {
    /// Its texts are those below.
    command: fwctl_cxl_command,
    _texts: [Option<CString>; 2],
}

impl Listed {
    fn new(command: &Command) -> Listed {
        let (scope, by_feature, refused) = match command.policy {
            CommandPolicy::Scope(scope) => (scope.number(), false, None),
            CommandPolicy::ByFeature(scope) => (scope.number(), true, None),
            CommandPolicy::Never(refusal) => (FWCTL_SCOPE_NEVER, false, Some(refusal.name())),
        };
        let texts = [command.name(), refused].map(|found| found.map(text));
        let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |t| t.as_ptr());
        Listed {
            command: fwctl_cxl_command {
                opcode: command.opcode,
                effects: command.effects,
                scope,
                by_feature,
                name: pointer(&texts[0]),
                refused: pointer(&texts[1]),
            },
            _texts: texts,
        }
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
        Ok(Some(commands)) => commands.iter().map(Listed::new).collect(),
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
    if !list.is_null() {
        // SAFETY: It is of `fwctl_cxl_list`, and the caller gives it up.
        drop(unsafe { Box::from_raw(list) });
    }
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
    let list = unsafe { list.as_ref() };
    let listed = list.and_then(|list| list.0.get(index));
    listed.map_or(ptr::null(), |listed| &listed.command)
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
        Err(error) => {
            if let (Some(found), false) = (error.firmware_status(), status.is_null()) {
                // SAFETY: As in the header, and it is not NULL.
                unsafe { status.write(refusal(&found)) };
            }
            failed(&error)
        }
    }
}

/// The longest output: a reply has 8 bytes before it.
const MOST_OUTPUT: usize = FWCTL_MAX_LEN - 8;
