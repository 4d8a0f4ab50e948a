/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Copyright(c) Advanced Micro Devices, Inc
 *
 * Device type FWCTL_DEVICE_TYPE_PDS: AMD Pensando.
 *
 * __extension__ makes -pedantic accept flexible arrays.
 */

#ifndef _UAPI_FWCTL_PDS_H_
#define _UAPI_FWCTL_PDS_H_

#include <linux/types.h>

/**
 * struct fwctl_info_pds - ioctl(FWCTL_INFO) out_device_data
 * @uctx_caps: Bits, whose numbers are enum pds_fwctl_capabilities
 */
struct fwctl_info_pds {
	__u32 uctx_caps;
};

/**
 * enum pds_fwctl_capabilities - Bit numbers in fwctl_info_pds.uctx_caps
 * @PDS_FWCTL_QUERY_CAP: The firmware can be queried.
 * @PDS_FWCTL_SEND_CAP: The firmware takes commands.
 * @PDS_FWCTL_LIST_CAP: The driver answers struct fwctl_pds_list_request.
 */
enum pds_fwctl_capabilities {
	PDS_FWCTL_QUERY_CAP = 0,
	PDS_FWCTL_SEND_CAP,
	PDS_FWCTL_LIST_CAP
};

/**
 * struct fwctl_rpc_pds - ioctl(FWCTL_RPC) input, and output
 * @in.op:       Operation of the endpoint
 * @in.ep:       Endpoint of the firmware
 * @in.rsvd:     Reserved
 * @in.len:      Length of the operation's input
 * @in.payload:  Address of the operation's input
 * @in:          What to do
 * @out.retval:  Status of the operation
 * @out.rsvd:    Reserved
 * @out.len:     Length of the buffer for the operation's output
 * @out.payload: Address of that buffer
 * @out:         Result
 */
struct fwctl_rpc_pds {
	struct {
		__u32 op;
		__u32 ep;
		__u32 rsvd;
		__u32 len;
		__aligned_u64 payload;
	} in;
	struct {
		__u32 retval;
		__u32 rsvd[2];
		__u32 len;
		__aligned_u64 payload;
	} out;
};

/**
 * enum pds_fwctl_list - Which list the driver returns
 * @PDS_FWCTL_LIST_ENDPOINTS:  endpoints of the firmware
 * @PDS_FWCTL_LIST_OPERATIONS: operations of one endpoint
 */
enum pds_fwctl_list {
	PDS_FWCTL_LIST_ENDPOINTS = 1,
	PDS_FWCTL_LIST_OPERATIONS = 2
};

/**
 * struct fwctl_pds_list_request - ioctl(FWCTL_RPC) input that asks for a list
 * @list: enum pds_fwctl_list
 * @ep:   firmware endpoint; 0 for PDS_FWCTL_LIST_ENDPOINTS
 * @rsvd: must be 0
 *
 * The driver answers it, in any scope, with struct fwctl_pds_list. It is told
 * from struct fwctl_rpc_pds by its length: a driver without PDS_FWCTL_LIST_CAP
 * returns EINVAL, since it is too short.
 */
struct fwctl_pds_list_request {
	__u32 list;
	__u32 ep;
	__u32 rsvd[2];
};

/**
 * struct fwctl_pds_list_entry - An endpoint or an operation
 * @id:        number of the endpoint; or of the operation, with its command in
 *             bits 0 to 15 and its newest version in bits 16 to 23
 * @attribute: attribute that the firmware gives the operation; 0 for endpoints
 * @scope:     least enum fwctl_rpc_scope of the operation; 0 for endpoints
 * @rsvd:      0
 */
struct fwctl_pds_list_entry {
	__u32 id;
	__u8 attribute;
	__u8 scope;
	__u8 rsvd[2];
};

/**
 * struct fwctl_pds_list - ioctl(FWCTL_RPC) output with a list
 * @num_entries: number of entries in @entries
 * @rsvd:        0
 * @entries:     in the order of the firmware
 */
__extension__ struct fwctl_pds_list {
	__u32 num_entries;
	__u32 rsvd;
	struct fwctl_pds_list_entry entries[] __counted_by(num_entries);
};
#endif /* _UAPI_FWCTL_PDS_H_ */
