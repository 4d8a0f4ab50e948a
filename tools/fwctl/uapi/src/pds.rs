// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's part of FWCTL_INFO and the message of Pensando devices: `include/uapi/fwctl/pds.h`.

use crate::message::message;

message! {
    Native, 4,
    /// `struct fwctl_info_pds`, in the machine's byte order.
    pub struct InfoPds {
        /// Bit numbers [`QUERY_CAP`], [`SEND_CAP`] and [`LIST_CAP`].
        pub uctx_caps: u32,
    }
}

/// Bit number in [`InfoPds::uctx_caps`]: firmware can be queried.
pub const QUERY_CAP: u32 = 0;
/// Bit number in [`InfoPds::uctx_caps`]: firmware can be sent commands.
pub const SEND_CAP: u32 = 1;
/// Bit number in [`InfoPds::uctx_caps`]: the driver answers [`ListRequest`].
pub const LIST_CAP: u32 = 2;

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

/// [`ListRequest::list`]: endpoints of the firmware.
pub const LIST_ENDPOINTS: u32 = 1;
/// [`ListRequest::list`]: operations of one endpoint.
pub const LIST_OPERATIONS: u32 = 2;

message! {
    Native, 16,
    /// `struct fwctl_pds_list_request`: asks the driver for a [`List`]. It is told from [`RpcPds`] by
    /// its length. Drivers without [`LIST_CAP`] return `EINVAL`.
    pub struct ListRequest {
        /// [`LIST_ENDPOINTS`] or [`LIST_OPERATIONS`].
        pub list: u32,
        /// The endpoint; 0 for [`LIST_ENDPOINTS`].
        pub ep: u32,
        /// Must be 0.
        pub rsvd: [u32; 2],
    }
}

message! {
    Native, 8,
    /// `struct fwctl_pds_list`, without its entries.
    pub struct List {
        /// Number of entries that follow.
        pub num_entries: u32,
        /// 0.
        pub rsvd: u32,
    }
}

message! {
    Native, 8,
    /// `struct fwctl_pds_list_entry`: an endpoint or an operation.
    pub struct ListEntry {
        /// Number of the endpoint; or of the operation, with its command in bits 0 to 15 and its
        /// newest version in bits 16 to 23.
        pub id: u32,
        /// Attribute of the operation; 0 for endpoints.
        pub attribute: u8,
        /// Least scope of the operation; 0 for endpoints.
        pub scope: u8,
        /// 0.
        pub rsvd: [u8; 2],
    }
}
