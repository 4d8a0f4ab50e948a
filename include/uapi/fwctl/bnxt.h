/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Copyright (c) 2026, Broadcom Inc
 *
 * Device type FWCTL_DEVICE_TYPE_BNXT: Broadcom NetXtreme.
 */

#ifndef _UAPI_FWCTL_BNXT_H_
#define _UAPI_FWCTL_BNXT_H_

#include <linux/types.h>

/**
 * enum fwctl_bnxt_commands - Bit numbers in fwctl_info_bnxt.uctx_caps
 * @FWCTL_BNXT_INLINE_COMMANDS: Commands whose data is in the message
 * @FWCTL_BNXT_QUERY_COMMANDS: Commands that query the firmware
 * @FWCTL_BNXT_SEND_COMMANDS: Commands that send something to the firmware
 * @FWCTL_BNXT_DMA_COMMANDS: Commands whose data is in buffers for DMA
 */
enum fwctl_bnxt_commands {
	FWCTL_BNXT_INLINE_COMMANDS = 0,
	FWCTL_BNXT_QUERY_COMMANDS,
	FWCTL_BNXT_SEND_COMMANDS,
	FWCTL_BNXT_DMA_COMMANDS
};

/**
 * struct fwctl_info_bnxt - ioctl(FWCTL_INFO) out_device_data
 * @uctx_caps: Kinds of commands that the driver passes on, by the bit numbers
 *	of enum fwctl_bnxt_commands
 */
struct fwctl_info_bnxt {
	__u32 uctx_caps;
};

/* Maximum length of a buffer of FWCTL_BNXT_DMA_COMMANDS */
#define FWCTL_BNXT_MAX_DMABUF	0x10000

#endif
