// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's part of FWCTL_INFO and the message of Pensando devices: `include/uapi/fwctl/pds.h`.

use crate::message::message;

message! {
    Native, 4,
    /// `struct fwctl_info_pds`, in the machine's byte order.
    pub struct InfoPds {
        /// What the firmware can be asked: bit numbers [`QUERY_CAP`] and [`SEND_CAP`].
        pub uctx_caps: u32,
    }
}

/// Bit number in [`InfoPds::uctx_caps`]: firmware can be queried.
pub const QUERY_CAP: u32 = 0;
/// Bit number in [`InfoPds::uctx_caps`]: firmware can be sent commands.
pub const SEND_CAP: u32 = 1;

message! {
    Native, 48,
    /// `struct fwctl_rpc_pds`, in the machine's byte order. Request and reply are this one struct,
    /// changed in place.
    pub struct RpcPds {
        /// In: operation wanted.
        pub op: u32,
        /// In: firmware endpoint to ask.
        pub ep: u32,
        /// Must be 0.
        pub in_rsvd: u32,
        /// In: bytes at `in_payload`.
        pub in_len: u32,
        /// In: address of the request's payload.
        pub in_payload: u64,
        /// Out: the firmware's result.
        pub retval: u32,
        /// 0.
        pub out_rsvd: [u32; 2],
        /// In: bytes at `out_payload`.
        pub out_len: u32,
        /// In: address of the buffer for the reply's payload.
        pub out_payload: u64,
    }
}
