// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's part of FWCTL_INFO for ConnectX devices: `include/uapi/fwctl/mlx5.h`; capability
//! bits: `include/linux/mlx5/mlx5_ifc.h`.

use crate::message::message;

message! {
    Native, 8,
    /// `struct fwctl_info_mlx5`, in the machine's byte order.
    pub struct InfoMlx5 {
        /// Firmware user context of this open file; the driver writes it into every command header.
        pub uid: u32,
        /// What the firmware lets that context do: [`uctx_caps`].
        pub uctx_caps: u32,
    }
}

/// Bits of [`InfoMlx5::uctx_caps`].
pub mod uctx_caps {
    /// Raw transmit queues.
    pub const RAW_TX: u32 = 1 << 0;
    /// Resources internal to the device.
    pub const INTERNAL_DEV_RES: u32 = 1 << 1;
    /// Resources for tools.
    pub const TOOLS_RESOURCES: u32 = 1 << 2;
    /// RDMA control.
    pub const RDMA_CTRL: u32 = 1 << 3;
    /// RDMA control of other functions.
    pub const RDMA_CTRL_OTHER_VHCA: u32 = 1 << 4;
}
