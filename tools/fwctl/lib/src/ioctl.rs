// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls.

use crate::pages::Pages;
use crate::pds::Call;
use crate::MemoryIds;
use fwctl_uapi::pds::RpcPds;
use fwctl_uapi::{
    FwctlInfo, FwctlRpc, FwctlRscDestroy, FwctlRscUmemAlloc, FwctlRscUmemReg, FWCTL_INFO,
    FWCTL_RPC, FWCTL_RSC_DESTROY, FWCTL_RSC_UMEM_ALLOC, FWCTL_RSC_UMEM_REG,
};
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// FWCTL_INFO: fills `data` with the driver's data; returns the device type and the length of the
/// driver's data.
pub(crate) fn info(node: &File, data: &mut [u8]) -> io::Result<(u32, u32)> {
    let mut arg = FwctlInfo {
        size: size_of::<FwctlInfo>() as u32,
        device_data_len: length(data.len())?,
        out_device_data: data.as_mut_ptr() as u64,
        ..FwctlInfo::default()
    };
    // SAFETY: FWCTL_INFO takes a FwctlInfo of the size in its first field, and writes it and at
    // most `device_data_len` bytes at `out_device_data`. Both are exclusively borrowed for the
    // call. A node of another class answers ENOTTY: the number's type byte is fwctl's.
    check(unsafe { libc::ioctl(node.as_raw_fd(), FWCTL_INFO as _, &mut arg) })?;
    Ok((arg.out_device_type, arg.device_data_len))
}

/// FWCTL_RPC: sends a request. `reply` receives as much of the reply as fits; returns the length of
/// the whole reply.
pub(crate) fn rpc(node: &File, scope: u32, request: &[u8], reply: &mut [u8]) -> io::Result<u32> {
    let mut arg = FwctlRpc {
        size: size_of::<FwctlRpc>() as u32,
        scope,
        in_len: length(request.len())?,
        out_len: length(reply.len())?,
        in_: request.as_ptr() as u64,
        out: reply.as_mut_ptr() as u64,
    };
    // SAFETY: FWCTL_RPC takes a FwctlRpc of the size in its first field, reads `in_len` bytes at
    // `in_` and writes at most `out_len` bytes at `out`. The request is borrowed, the reply and the
    // argument exclusively, for the call. `Device::rpc` refuses requests of device types whose
    // messages hold further addresses; those of `call_pds()` are valid. A message can also name
    // memory that is registered, which is a `Pages`: it may be written at any time.
    check(unsafe { libc::ioctl(node.as_raw_fd(), FWCTL_RPC as _, &mut arg) })?;
    Ok(arg.out_len)
}

/// FWCTL_RPC of a Pensando card: executes an operation with a request and a buffer for the response,
/// all of which is written. Returns the result of the operation.
pub(crate) fn call_pds(
    node: &File,
    scope: u32,
    call: &Call,
    response: &mut [u8],
) -> io::Result<u32> {
    let message = RpcPds {
        in_payload: call.request.as_ptr() as u64,
        out_len: length(response.len())?,
        out_payload: response.as_mut_ptr() as u64,
        ..call.message()?
    };
    let mut reply = [0; RpcPds::LEN];
    // The message refers to more than its bytes: its driver reads `in_len` bytes at `in_payload`, and
    // writes at most `out_len` bytes at `out_payload`, before the call returns. The request is
    // borrowed, and the response exclusively, for the call. A driver of another type does not use
    // the addresses.
    let len = rpc(node, scope, &message.to_bytes(), &mut reply)?;
    match RpcPds::split_from(&reply) {
        Some((reply, _)) if len as usize == RpcPds::LEN => Ok(reply.retval),
        _ => Err(io::Error::from_raw_os_error(libc::EBADMSG)),
    }
}

/// FWCTL_RSC_UMEM_REG: lets the firmware access memory.
///
/// Nothing has to stay alive for it: the kernel pins the pages, and they are unpinned only when the
/// firmware cannot access them any more. If `pages` is unmapped before, the firmware writes to
/// pages that nobody else has.
pub(crate) fn register_memory(node: &File, pages: &Pages, flags: u64) -> io::Result<MemoryIds> {
    let mut arg = FwctlRscUmemReg {
        size: size_of::<FwctlRscUmemReg>() as u32,
        flags,
        addr: pages.address(),
        len: pages.len() as u64,
        ..FwctlRscUmemReg::default()
    };
    // SAFETY: FWCTL_RSC_UMEM_REG takes a FwctlRscUmemReg of the size in its first field and writes
    // it, and it is exclusively borrowed for the call. The memory that it names may be written by
    // the device from now on, while it is registered: it is all of a `Pages`, which only allows
    // for accesses at the same time, and whose pages the kernel keeps from others if it is dropped.
    // A node of another class answers ENOTTY: the number's type byte is fwctl's.
    check(unsafe { libc::ioctl(node.as_raw_fd(), FWCTL_RSC_UMEM_REG as _, &mut arg) })?;
    Ok(MemoryIds {
        umem: arg.out_umem_id,
        key: arg.out_mkey_id,
        resource: arg.out_rsc_id,
    })
}

/// FWCTL_RSC_UMEM_ALLOC: allocates memory of the kernel that the firmware can access, at least `len`
/// bytes, and maps it.
pub(crate) fn allocate_memory(
    node: &File,
    len: usize,
    flags: u64,
) -> io::Result<(Pages, MemoryIds)> {
    let len = Pages::rounded(len)?;
    let mut arg = FwctlRscUmemAlloc {
        size: size_of::<FwctlRscUmemAlloc>() as u32,
        flags,
        len: len as u64,
        ..FwctlRscUmemAlloc::default()
    };
    // SAFETY: FWCTL_RSC_UMEM_ALLOC takes a FwctlRscUmemAlloc of the size in its first field and writes
    // it, and it is exclusively borrowed for the call, which accesses no other memory of the caller. A
    // node of another class answers ENOTTY: the number's type byte is fwctl's.
    check(unsafe { libc::ioctl(node.as_raw_fd(), FWCTL_RSC_UMEM_ALLOC as _, &mut arg) })?;
    let ids = MemoryIds {
        umem: arg.out_umem_id,
        key: arg.out_mkey_id,
        resource: arg.out_rsc_id,
    };
    match Pages::map(node.as_fd(), arg.out_offset, len) {
        Ok(pages) => Ok((pages, ids)),
        Err(error) => {
            // If it fails, the kernel releases the memory when the file is closed.
            let _ = destroy_resource(node, ids.resource);
            Err(error)
        }
    }
}

/// FWCTL_RSC_DESTROY: releases a resource.
pub(crate) fn destroy_resource(node: &File, rsc_id: u32) -> io::Result<()> {
    let mut arg = FwctlRscDestroy {
        size: size_of::<FwctlRscDestroy>() as u32,
        rsc_id,
        ..FwctlRscDestroy::default()
    };
    // SAFETY: FWCTL_RSC_DESTROY takes a FwctlRscDestroy of the size in its first field, which is
    // exclusively borrowed for the call, and accesses no other memory of the caller.
    check(unsafe { libc::ioctl(node.as_raw_fd(), FWCTL_RSC_DESTROY as _, &mut arg) })
}

pub(crate) fn length(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
