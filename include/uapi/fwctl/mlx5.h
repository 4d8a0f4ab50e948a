/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Copyright (c) 2024-2025, NVIDIA CORPORATION & AFFILIATES
 *
 * Device type FWCTL_DEVICE_TYPE_MLX5: NVIDIA ConnectX and BlueField.
 *
 * Requests and replies of FWCTL_RPC are commands of the firmware and their
 * outputs, with the layouts of mlx5_ifc.h. The Programmer's Reference Manual
 * describes them:
 *
 *  https://network.nvidia.com/files/doc-2020/ethernet-adapters-programming-manual.pdf
 *
 * The firmware runs the commands of an open file in a user context, which
 * limits what they can do. The kernel creates it and writes its number, the
 * uid, into the header of each command.
 */
#ifndef _UAPI_FWCTL_MLX5_H
#define _UAPI_FWCTL_MLX5_H

#include <linux/types.h>

/**
 * struct fwctl_info_mlx5 - ioctl(FWCTL_INFO) out_device_data
 * @uid: Number of this file's user context. The kernel overwrites the uid of
 *	each command with it.
 * @uctx_caps: Capabilities that the user context has in the firmware
 */
struct fwctl_info_mlx5 {
	__u32 uid;
	__u32 uctx_caps;
};

#endif
