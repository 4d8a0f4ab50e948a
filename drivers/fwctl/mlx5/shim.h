/* SPDX-License-Identifier: GPL-2.0-only */
/* C helpers for core_dev.rs, which documents them. */
#ifndef _MLX5_FWCTL_SHIM_H
#define _MLX5_FWCTL_SHIM_H

#include <linux/types.h>

struct auxiliary_device;
struct device;
struct mlx5_async_ctx;
struct mlx5_core_dev;

struct mlx5_core_dev *mlx5_fwctl_shim_core_dev(struct auxiliary_device *adev);
u32 mlx5_fwctl_shim_uctx_cap(struct mlx5_core_dev *dev);
u32 mlx5_fwctl_shim_slots(struct mlx5_core_dev *dev);
u32 mlx5_fwctl_shim_stalled(struct mlx5_core_dev *dev);
struct mlx5_async_ctx *mlx5_fwctl_shim_async_ctx(struct mlx5_core_dev *dev);
void mlx5_fwctl_shim_async_ctx_free(struct mlx5_async_ctx *ctx);
int mlx5_fwctl_shim_exec_cb(struct mlx5_async_ctx *ctx, void *in, int in_size, void *out,
			    int out_size, void (*done)(int ret, void *data), void *data);
void mlx5_fwctl_shim_debug(const struct device *dev, int pid, u16 uid, u16 opcode, int ret,
			   u8 status, u32 syndrome);

#endif
