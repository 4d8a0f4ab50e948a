// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's part of FWCTL_INFO for NetXtreme devices: `include/uapi/fwctl/bnxt.h`.

use crate::message::message;

message! {
    Native, 4,
    /// `struct fwctl_info_bnxt`, in the machine's byte order.
    pub struct InfoBnxt {
        /// Kinds of command that the driver takes: bit numbers [`INLINE_COMMANDS`] to [`DMA_COMMANDS`].
        pub uctx_caps: u32,
    }
}

/// Bit number in [`InfoBnxt::uctx_caps`]: commands whose data is in the message.
pub const INLINE_COMMANDS: u32 = 0;
/// Bit number in [`InfoBnxt::uctx_caps`]: queries.
pub const QUERY_COMMANDS: u32 = 1;
/// Bit number in [`InfoBnxt::uctx_caps`]: commands that send.
pub const SEND_COMMANDS: u32 = 2;
/// Bit number in [`InfoBnxt::uctx_caps`]: commands with a DMA buffer.
pub const DMA_COMMANDS: u32 = 3;

/// Most bytes in one DMA buffer.
pub const MAX_DMABUF: u32 = 0x10000;

/// Request types (first 16 bits of a message) whose messages hold addresses of the sender's memory,
/// for the driver of Linux 7.3: `drivers/fwctl/bnxt/main.c`, numbers from
/// `include/linux/bnxt/hsi.h`.
pub const DMA_REQUEST_TYPES: [u16; 22] = [
    0x0023, 0x003c, 0x0067, 0x0073, 0x0074, 0x00b4, 0x00ba, 0x00bf, 0x00d5, 0x00d9, 0x00e6, 0x00e7,
    0x0203, 0x0204, 0x0218, 0xff0e, 0xff10, 0xff11, 0xff17, 0xff19, 0xff2d, 0xff30,
];
