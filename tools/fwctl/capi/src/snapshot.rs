// SPDX-License-Identifier: MIT OR Apache-2.0

//! The catalogue, and snapshots of devices.

use crate::list::{List, Texts};
use crate::{failed, free, fwctl_device, misused, store, text};
use fwctl::catalogue::{items, Item};
use fwctl::snapshot::{Snapshot, Versioned};
use fwctl::DeviceType;
use std::ffi::{c_char, c_int, CString};
use std::ptr;

/// Something that can be read of a device.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct fwctl_item {
    /// What kind of thing it is: "register", "capability", "query", "feature", "command" or
    /// "operation".
    pub kind: *const c_char,
    /// Its name, which is unique with its kind and select.
    pub name: *const c_char,
    /// What it is, in a few words.
    pub about: *const c_char,
    /// When it changes: "identity", "configuration", "state" or "counter". The last two change by
    /// themselves.
    pub volatility: *const c_char,
    /// Fields of the request whose values select an instance, separated by commas, such as
    /// "local_port,grp"; or NULL.
    pub select: *const c_char,
    /// Scope of the request that reads it.
    pub scope: u32,
}

/// The catalogue of a type of devices.
#[allow(non_camel_case_types)]
pub struct fwctl_items(List<fwctl_item>);

fn item(item: &Item, texts: &mut Texts) -> fwctl_item {
    let select: Vec<&str> = item.select.iter().map(|(field, _)| *field).collect();
    let select = (!select.is_empty()).then(|| select.join(","));
    fwctl_item {
        kind: texts.keep(Some(item.kind.name())),
        name: texts.keep(Some(item.name)),
        about: texts.keep(Some(item.about)),
        volatility: texts.keep(Some(item.volatility.name())),
        select: texts.keep(select.as_deref()),
        scope: item.scope.number(),
    }
}

/// Everything that is known to be readable of devices of a type, FWCTL_TYPE_MLX5 or another, without
/// a device. fwctl_snapshot() reads it. Types whose messages the library does not know have an empty
/// catalogue. Free it with fwctl_catalogue_free().
#[no_mangle]
pub unsafe extern "C" fn fwctl_catalogue(
    device_type: u32,
    catalogue: *mut *mut fwctl_items,
) -> c_int {
    if catalogue.is_null() {
        return misused("a result pointer is NULL");
    }
    let all = List::new(items(DeviceType::from_number(device_type)), item);
    // SAFETY: As in the header.
    unsafe { store(catalogue, Ok(Box::into_raw(Box::new(fwctl_items(all))))) }
}

/// Frees a catalogue. It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_catalogue_free(catalogue: *mut fwctl_items) {
    // SAFETY: It is of `fwctl_catalogue`, and the caller gives it up.
    unsafe { free(catalogue) };
}

/// Number of items in a catalogue.
#[no_mangle]
pub unsafe extern "C" fn fwctl_catalogue_len(catalogue: *const fwctl_items) -> usize {
    // SAFETY: As in the header.
    unsafe { catalogue.as_ref() }.map_or(0, |catalogue| catalogue.0.len())
}

/// An item of a catalogue; NULL if there are not so many. Valid until the catalogue is freed, like
/// its texts.
#[no_mangle]
pub unsafe extern "C" fn fwctl_catalogue_get(
    catalogue: *const fwctl_items,
    index: usize,
) -> *const fwctl_item {
    // SAFETY: As in the header.
    unsafe { catalogue.as_ref() }.map_or(ptr::null(), |catalogue| catalogue.0.get(index))
}

/// Reads all of the catalogue from a device, with many requests in flight, and stores one JSON
/// document: raw and decoded, with "kind": "snapshot". It is that of the command "fwctl snapshot",
/// and "fwctl diff" compares two of them. Nothing is changed, and no scope is used that taints the
/// kernel. fwctl_rpc() says what a limit does. Free the document with fwctl_snapshot_free().
///
/// An item that the device refuses has its error in the document. If the device was removed or does
/// not answer, returns the errno, and the document has what was read before. It is NULL only if a
/// pointer is NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_snapshot(
    device: *const fwctl_device,
    limit_ms: i64,
    json: *mut *mut c_char,
) -> c_int {
    // Before anything is sent.
    if json.is_null() {
        return misused("a result pointer is NULL");
    }
    // SAFETY: It is not NULL; else as in the header.
    unsafe { json.write(ptr::null_mut()) };
    // SAFETY: As in the header.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return misused("the device is NULL");
    };
    let tool = concat!("libfwctl ", env!("CARGO_PKG_VERSION"));
    let (snapshot, end) = Snapshot::of_device(tool, &device.limited(limit_ms));
    let document = match serde_json::to_string_pretty(&Versioned::new(&snapshot)) {
        Ok(document) => document + "\n",
        Err(error) => return misused(&error.to_string()),
    };
    // SAFETY: It is not NULL, which was checked first; else as in the header.
    unsafe { json.write(text(&document).into_raw()) };
    end.err().map_or(0, |error| failed(&error))
}

/// Frees a document of fwctl_snapshot(). It may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fwctl_snapshot_free(json: *mut c_char) {
    if !json.is_null() {
        // SAFETY: It is of `fwctl_snapshot`, and the caller gives it up.
        drop(unsafe { CString::from_raw(json) });
    }
}
