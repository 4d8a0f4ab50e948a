/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Copyright (c) 2024-2025 Intel Corporation
 *
 * Device type FWCTL_DEVICE_TYPE_CXL: CXL memory devices.
 *
 * Requests and replies of FWCTL_RPC are mailbox commands and their outputs,
 * each behind a header of the kernel. Payloads are little-endian.
 *
 * __extension__ makes -pedantic accept flexible arrays.
 */
#ifndef _UAPI_FWCTL_CXL_H_
#define _UAPI_FWCTL_CXL_H_

#include <linux/types.h>
#include <linux/stddef.h>
#include <cxl/features.h>

/**
 * enum fwctl_cxl_caps - What the driver of a CXL device can do
 * @FWCTL_CXL_CAP_QUERY_COMMANDS: It answers FWCTL_CXL_QUERY_COMMANDS
 * @FWCTL_CXL_CAP_COMMANDS: It passes the commands that
 *                          FWCTL_CXL_QUERY_COMMANDS lists with a scope
 */
enum fwctl_cxl_caps {
	FWCTL_CXL_CAP_QUERY_COMMANDS = 1 << 0,
	FWCTL_CXL_CAP_COMMANDS = 1 << 1
};

/**
 * struct fwctl_info_cxl - ioctl(FWCTL_INFO) out_device_data
 * @uctx_caps: Bits of enum fwctl_cxl_caps.
 * @payload_size: Maximum size of the input or output payload of a command.
 *
 * A driver that passes only the Feature commands returns no device data.
 */
struct fwctl_info_cxl {
	__u32 uctx_caps;
	__u32 payload_size;
};

/*
 * fwctl_rpc_cxl.opcode that the driver answers, beyond the opcodes of mailbox
 * commands: which commands of the device it passes. There is no input payload;
 * the output payload is struct fwctl_cxl_commands.
 */
#define FWCTL_CXL_QUERY_COMMANDS	0x10000

/* fwctl_cxl_command.scope of a command that is refused in every scope */
#define FWCTL_CXL_SCOPE_NEVER		0xff

/**
 * enum fwctl_cxl_reason - Why a command is refused in every scope
 * @FWCTL_CXL_REASON_NONE: It is not.
 * @FWCTL_CXL_REASON_KERNEL: The kernel reserves the command for itself.
 * @FWCTL_CXL_REASON_UNKNOWN: The driver does not know the command.
 * @FWCTL_CXL_REASON_SECURITY: The command changes the security state.
 * @FWCTL_CXL_REASON_BACKGROUND: The command continued in the background, which
 *                               its effects do not say.
 * @FWCTL_CXL_REASON_RESERVED: The command has effects that are reserved.
 */
enum fwctl_cxl_reason {
	FWCTL_CXL_REASON_NONE = 0,
	FWCTL_CXL_REASON_KERNEL = 1,
	FWCTL_CXL_REASON_UNKNOWN = 2,
	FWCTL_CXL_REASON_SECURITY = 3,
	FWCTL_CXL_REASON_BACKGROUND = 4,
	FWCTL_CXL_REASON_RESERVED = 5
};

/**
 * enum fwctl_cxl_command_flags - Properties of a command
 * @FWCTL_CXL_COMMAND_BY_FEATURE: The scope depends on the Feature; it is at
 *                                least fwctl_cxl_command.scope.
 * @FWCTL_CXL_COMMAND_BY_PAYLOAD: The payload contains a command to another
 *                                device, on which the scope depends; it is at
 *                                least fwctl_cxl_command.scope.
 */
enum fwctl_cxl_command_flags {
	FWCTL_CXL_COMMAND_BY_FEATURE = 1 << 0,
	FWCTL_CXL_COMMAND_BY_PAYLOAD = 1 << 1
};

/**
 * struct fwctl_cxl_command - A command of the device
 * @opcode: Mailbox opcode.
 * @effects: Effects according to the Command Effects Log.
 * @scope: Least enum fwctl_rpc_scope, or FWCTL_CXL_SCOPE_NEVER.
 * @reason: enum fwctl_cxl_reason.
 * @flags: Bits of enum fwctl_cxl_command_flags.
 */
struct fwctl_cxl_command {
	__u16 opcode;
	__u16 effects;
	__u8 scope;
	__u8 reason;
	__u16 flags;
};

/**
 * struct fwctl_cxl_commands - Output payload of FWCTL_CXL_QUERY_COMMANDS
 * @num_commands: Number of entries in @commands.
 * @reserved: 0.
 * @commands: All commands in the Command Effects Log, sorted by opcode.
 */
__extension__ struct fwctl_cxl_commands {
	__u32 num_commands;
	__u32 reserved;
	struct fwctl_cxl_command commands[] __counted_by(num_commands);
};

/**
 * struct fwctl_rpc_cxl - ioctl(FWCTL_RPC) input for CXL
 * @opcode: Opcode of the mailbox command
 * @flags: Must be 0
 * @op_size: Length of the input payload
 * @reserved1: Must be 0
 * @get_sup_feats_in: Input payload of Get Supported Features
 * @get_feat_in: Input payload of Get Feature
 * @set_feat_in: Input payload of Set Feature
 */
__extension__ struct fwctl_rpc_cxl {
	__struct_group(fwctl_rpc_cxl_hdr, hdr, /* no attrs */,
		__u32 opcode;
		__u32 flags;
		__u32 op_size;
		__u32 reserved1;
	);
	union {
		struct cxl_mbox_get_sup_feats_in get_sup_feats_in;
		struct cxl_mbox_get_feat_in get_feat_in;
		struct cxl_mbox_set_feat_in set_feat_in;
	};
};

/**
 * struct fwctl_rpc_cxl_out - ioctl(FWCTL_RPC) output for CXL
 * @size: Length of the output payload
 * @retval: Return code of the device
 * @get_sup_feats_out: Output payload of Get Supported Features
 * @payload: Output payload of any command
 */
__extension__ struct fwctl_rpc_cxl_out {
	__struct_group(fwctl_rpc_cxl_out_hdr, hdr, /* no attrs */,
		__u32 size;
		__u32 retval;
	);
	union {
		struct cxl_mbox_get_sup_feats_out get_sup_feats_out;
		__DECLARE_FLEX_ARRAY(__u8, payload);
	};
};

#endif
