// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ABI between a program and a Linux fwctl device, as plain data.
//!
//! Sources: `include/uapi/fwctl/*.h` and `include/uapi/cxl/features.h` of Linux 7.3. Each module
//! names its header. Nothing here does anything: the crate `fwctl` opens devices and moves these
//! bytes.
//!
//! Two kinds of struct live here. [`FwctlInfo`] and [`FwctlRpc`] are ioctl arguments in the
//! machine's own byte order, with the layout of C. The structs of the driver modules are values:
//! their `to_bytes()` and `split_from()` convert them to and from the bytes of a message, in the
//! byte order that the message has.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bnxt;
pub mod cxl;
mod message;
pub mod mlx5;
pub mod pds;

use core::mem::{offset_of, size_of};

/// Type byte of every fwctl ioctl number.
pub const FWCTL_TYPE: u32 = 0x9A;

/// `_IO(FWCTL_TYPE, 0)`: who is this device? Argument: [`FwctlInfo`].
///
/// Fwctl numbers carry no size and no direction; the first field of the argument is its size.
pub const FWCTL_INFO: u32 = FWCTL_TYPE << 8;

/// `_IO(FWCTL_TYPE, 1)`: one request to the firmware and its reply. Argument: [`FwctlRpc`].
pub const FWCTL_RPC: u32 = (FWCTL_TYPE << 8) | 1;

/// `_IO(FWCTL_TYPE, 2)`: releases a resource. Argument: [`FwctlRscDestroy`].
///
/// Not of Linux 7.3: the name and the layout are those of the public tool mstflint.
pub const FWCTL_RSC_DESTROY: u32 = (FWCTL_TYPE << 8) | 2;

/// `_IO(FWCTL_TYPE, 3)`: registers memory that the firmware may access. Argument:
/// [`FwctlRscUmemReg`].
///
/// Not of Linux 7.3: the name and the layout are those of the public tool mstflint.
pub const FWCTL_RSC_UMEM_REG: u32 = (FWCTL_TYPE << 8) | 3;

/// `_IO(FWCTL_TYPE, 4)`: allocates memory that the firmware may access, and that mmap(2) maps. Argument:
/// [`FwctlRscUmemAlloc`].
///
/// Not of Linux 7.3, nor of mstflint.
pub const FWCTL_RSC_UMEM_ALLOC: u32 = (FWCTL_TYPE << 8) | 4;

/// Most bytes that the kernel accepts for a request or for a reply buffer. Longer: `EMSGSIZE`.
pub const MAX_RPC_LEN: u32 = 2 * 1024 * 1024;

/// Values of [`FwctlInfo::out_device_type`]: whose message format the RPCs of a device have.
pub mod device_type {
    /// No device type: samples and tests, whose messages are no interface.
    pub const ERROR: u32 = 0;
    /// NVIDIA ConnectX and BlueField; messages are mlx5 firmware commands.
    pub const MLX5: u32 = 1;
    /// CXL memory devices; messages are CXL mailbox commands.
    pub const CXL: u32 = 2;
    /// Broadcom NetXtreme; messages are HWRM commands.
    pub const BNXT: u32 = 3;
    /// AMD Pensando DSC; messages name an endpoint and an operation.
    pub const PDS: u32 = 4;
}

/// Values of [`FwctlRpc::scope`], from the harmless to the harmful.
pub mod scope {
    /// Read and write the device's configuration; the device stays in a supported state.
    pub const CONFIGURATION: u32 = 0;
    /// Read debug information that discloses no secrets.
    pub const DEBUG_READ_ONLY: u32 = 1;
    /// Write debug state; may leave the supported state. Taints the kernel.
    pub const DEBUG_WRITE: u32 = 2;
    /// Write anything. Needs `CAP_SYS_RAWIO`, and taints the kernel.
    pub const DEBUG_WRITE_FULL: u32 = 3;
}

/// Bits of [`FwctlRscUmemReg::flags`] and [`FwctlRscUmemAlloc::flags`].
pub mod umem_flags {
    /// The firmware gets a memory key for the memory.
    pub const MKEY: u64 = 1 << 0;
    /// Requests that name pages by DMA address can name those of the memory, by number.
    pub const MCDD: u64 = 1 << 1;
}

/// Argument of [`FWCTL_RSC_UMEM_REG`] (48 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FwctlRscUmemReg {
    /// In: size of this struct in bytes.
    pub size: u32,
    /// In: must be 0.
    pub reserved: u32,
    /// In: bits of [`umem_flags`].
    pub flags: u64,
    /// In: address of the memory, which starts at a page.
    pub addr: u64,
    /// In: bytes of it, whole pages.
    pub len: u64,
    /// Out: number by which requests name the memory.
    pub out_umem_id: u32,
    /// Out: memory key by which requests name the memory, or 0.
    pub out_mkey_id: u32,
    /// Out: number of the resource, for [`FwctlRscDestroy`].
    pub out_rsc_id: u32,
    /// In: must be 0.
    pub reserved1: u32,
}

/// Argument of [`FWCTL_RSC_UMEM_ALLOC`] (48 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FwctlRscUmemAlloc {
    /// In: size of this struct in bytes.
    pub size: u32,
    /// In: must be 0.
    pub reserved: u32,
    /// In: bits of [`umem_flags`].
    pub flags: u64,
    /// In: bytes of memory, whole pages.
    pub len: u64,
    /// Out: offset of the memory in the file, for mmap(2) with `MAP_SHARED`.
    pub out_offset: u64,
    /// Out: number by which requests name the memory.
    pub out_umem_id: u32,
    /// Out: memory key by which requests name the memory, or 0.
    pub out_mkey_id: u32,
    /// Out: number of the resource, for [`FwctlRscDestroy`].
    pub out_rsc_id: u32,
    /// In: must be 0.
    pub reserved1: u32,
}

/// Argument of [`FWCTL_RSC_DESTROY`] (24 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FwctlRscDestroy {
    /// In: size of this struct in bytes.
    pub size: u32,
    /// In: must be 0.
    pub reserved: u32,
    /// In: must be 0.
    pub flags: u64,
    /// In: must be 0.
    pub kind: u32,
    /// In: number of the resource.
    pub rsc_id: u32,
}

/// Argument of [`FWCTL_INFO`] (24 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FwctlInfo {
    /// In: size of this struct in bytes.
    pub size: u32,
    /// In: must be 0.
    pub flags: u32,
    /// Out: one of [`device_type`].
    pub out_device_type: u32,
    /// In: bytes at `out_device_data`, may be 0. Out: bytes that the driver has to say, which can
    /// be more or fewer.
    pub device_data_len: u32,
    /// In: address of the buffer for the driver's part, which the kernel fills to its end, with
    /// zeros where the driver said less.
    pub out_device_data: u64,
}

/// Argument of [`FWCTL_RPC`] (32 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FwctlRpc {
    /// In: size of this struct in bytes.
    pub size: u32,
    /// In: one of [`scope`]; what the caller expects this request to be able to do.
    pub scope: u32,
    /// In: bytes at `in_`.
    pub in_len: u32,
    /// In: bytes at `out`. Out: bytes of the whole reply, which can be more than fitted.
    pub out_len: u32,
    /// In: address of the request, in the format of the device's type.
    pub in_: u64,
    /// In: address of the reply buffer.
    pub out: u64,
}

const _: () = {
    assert!(FWCTL_INFO == 0x9A00 && FWCTL_RPC == 0x9A01);
    assert!(size_of::<FwctlInfo>() == 24 && offset_of!(FwctlInfo, out_device_data) == 16);
    assert!(
        size_of::<FwctlRpc>() == 32
            && offset_of!(FwctlRpc, in_) == 16
            && offset_of!(FwctlRpc, out) == 24
    );
    assert!(FWCTL_RSC_DESTROY == 0x9A02 && FWCTL_RSC_UMEM_REG == 0x9A03);
    assert!(
        size_of::<FwctlRscUmemReg>() == 48
            && offset_of!(FwctlRscUmemReg, flags) == 8
            && offset_of!(FwctlRscUmemReg, len) == 24
            && offset_of!(FwctlRscUmemReg, out_rsc_id) == 40
    );
    assert!(
        FWCTL_RSC_UMEM_ALLOC == 0x9A04
            && size_of::<FwctlRscUmemAlloc>() == 48
            && offset_of!(FwctlRscUmemAlloc, flags) == 8
            && offset_of!(FwctlRscUmemAlloc, len) == 16
            && offset_of!(FwctlRscUmemAlloc, out_offset) == 24
            && offset_of!(FwctlRscUmemAlloc, out_rsc_id) == 40
    );
    assert!(
        size_of::<FwctlRscDestroy>() == 24
            && offset_of!(FwctlRscDestroy, flags) == 8
            && offset_of!(FwctlRscDestroy, rsc_id) == 20
    );
};
