// SPDX-License-Identifier: GPL-2.0-only
/*
 * C helpers for structures and macros of mlx5_core that Rust has no bindings for.  The Rust side is
 * core_dev.rs.
 *
 * The static assertions compare the declarations, layouts and numbers in the Rust code with the
 * kernel's headers.
 */
#include <linux/auxiliary_bus.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/compiler_types.h>
#include <linux/container_of.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/mlx5/device.h>
#include <linux/mlx5/driver.h>
#include <linux/mlx5/mlx5_ifc.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <uapi/fwctl/mlx5.h>

#include "shim.h"

struct mlx5_core_dev *mlx5_fwctl_shim_core_dev(struct auxiliary_device *adev)
{
	return container_of(adev, struct mlx5_adev, adev)->mdev;
}

u32 mlx5_fwctl_shim_uctx_cap(struct mlx5_core_dev *dev)
{
	return MLX5_CAP_GEN(dev, uctx_cap);
}

u32 mlx5_fwctl_shim_slots(struct mlx5_core_dev *dev)
{
	return dev->cmd.vars.max_reg_cmds;
}

/* Counts the slots that mlx5_cmd_all_stalled() checks. */
u32 mlx5_fwctl_shim_stalled(struct mlx5_core_dev *dev)
{
	struct mlx5_cmd *cmd = &dev->cmd;
	unsigned long flags;
	u32 stalled = 0;
	int i;

	spin_lock_irqsave(&cmd->alloc_lock, flags);
	for_each_clear_bit(i, &cmd->vars.bitmask, cmd->vars.max_reg_cmds) {
		if (test_bit(MLX5_CMD_ENT_STATE_TIMEDOUT, &cmd->ent_arr[i]->state))
			stalled++;
	}
	spin_unlock_irqrestore(&cmd->alloc_lock, flags);

	return stalled;
}

struct mlx5_async_ctx *mlx5_fwctl_shim_async_ctx(struct mlx5_core_dev *dev)
{
	struct mlx5_async_ctx *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

	if (ctx)
		mlx5_cmd_init_async_ctx(dev, ctx);
	return ctx;
}

void mlx5_fwctl_shim_async_ctx_free(struct mlx5_async_ctx *ctx)
{
	mlx5_cmd_cleanup_async_ctx(ctx);
	kfree(ctx);
}

struct async_command {
	struct mlx5_async_work work;
	void (*done)(int ret, void *data);
	void *data;
};

static void async_command_done(int ret, struct mlx5_async_work *work)
{
	struct async_command *command = container_of(work, struct async_command, work);

	command->done(ret, command->data);
	kfree(command);
}

int mlx5_fwctl_shim_exec_cb(struct mlx5_async_ctx *ctx, void *in, int in_size, void *out,
			    int out_size, void (*done)(int ret, void *data), void *data)
{
	struct async_command *command = kzalloc(sizeof(*command), GFP_KERNEL);
	int ret;

	if (!command)
		return -ENOMEM;
	command->done = done;
	command->data = data;
	ret = mlx5_cmd_exec_cb(ctx, in, in_size, out, out_size, async_command_done,
			       &command->work);
	if (ret)
		kfree(command);
	return ret;
}

void mlx5_fwctl_shim_debug(const struct device *dev, int pid, u16 uid, u16 opcode, int ret,
			   u8 status, u32 syndrome)
{
	dev_dbg(dev, "PID %d: uid %u: opcode %#x: %pe, status %#x, syndrome %#x\n",
		pid, uid, opcode, ERR_PTR(ret), status, syndrome);
}

/* core_dev.rs */
static_assert(__same_type(mlx5_cmd_do, int (struct mlx5_core_dev *, void *, int, void *, int)));
static_assert(__same_type(mlx5_cmd_check, int (struct mlx5_core_dev *, int, void *, void *)));

/* cmd.rs */
#define ASSERT_FIELD(layout, field, offset, bits) \
	static_assert(MLX5_BYTE_OFF(layout, field) == (offset) && \
		      __mlx5_bit_sz(layout, field) == (bits))

static_assert(MLX5_ST_SZ_BYTES(create_uctx_in) == 64);
ASSERT_FIELD(create_uctx_in, opcode, 0, 16);
ASSERT_FIELD(create_uctx_in, op_mod, 6, 16);
ASSERT_FIELD(create_uctx_in, uctx.cap, 16, 32);
static_assert(MLX5_ST_SZ_BYTES(create_uctx_out) == 16);
ASSERT_FIELD(create_uctx_out, status, 0, 8);
ASSERT_FIELD(create_uctx_out, syndrome, 4, 32);
ASSERT_FIELD(create_uctx_out, uid, 10, 16);

static_assert(MLX5_ST_SZ_BYTES(destroy_uctx_in) == 16);
ASSERT_FIELD(destroy_uctx_in, opcode, 0, 16);
ASSERT_FIELD(destroy_uctx_in, op_mod, 6, 16);
ASSERT_FIELD(destroy_uctx_in, uid, 10, 16);
static_assert(MLX5_ST_SZ_BYTES(destroy_uctx_out) == 16);
ASSERT_FIELD(destroy_uctx_out, status, 0, 8);
ASSERT_FIELD(destroy_uctx_out, syndrome, 4, 32);

static_assert(MLX5_ST_SZ_BYTES(create_umem_in) == 48);
ASSERT_FIELD(create_umem_in, opcode, 0, 16);
ASSERT_FIELD(create_umem_in, uid, 2, 16);
ASSERT_FIELD(create_umem_in, op_mod, 6, 16);
ASSERT_FIELD(create_umem_in, umem.page_offset, 36, 32);
ASSERT_FIELD(create_umem_in, umem.num_of_mtt, 40, 64);
static_assert(MLX5_ST_SZ_BYTES(mtt) == 8);
ASSERT_FIELD(create_umem_out, umem_id, 9, 24);
ASSERT_FIELD(destroy_umem_in, umem_id, 9, 24);
ASSERT_FIELD(alloc_pd_out, pd, 9, 24);
ASSERT_FIELD(dealloc_pd_in, pd, 9, 24);

static_assert(MLX5_ST_SZ_BYTES(create_mkey_in) == 272);
ASSERT_FIELD(create_mkey_in, memory_key_mkey_entry.qpn, 20, 24);
ASSERT_FIELD(create_mkey_in, memory_key_mkey_entry.mkey_7_0, 23, 8);
ASSERT_FIELD(create_mkey_in, memory_key_mkey_entry.pd, 29, 24);
ASSERT_FIELD(create_mkey_in, memory_key_mkey_entry.start_addr, 32, 64);
ASSERT_FIELD(create_mkey_in, memory_key_mkey_entry.len, 40, 64);
ASSERT_FIELD(create_mkey_in, memory_key_mkey_entry.translations_octword_size, 68, 32);
ASSERT_FIELD(create_mkey_in, translations_octword_actual_size, 96, 32);
ASSERT_FIELD(create_mkey_out, mkey_index, 9, 24);
ASSERT_FIELD(destroy_mkey_in, mkey_index, 9, 24);

static_assert(MLX5_ST_SZ_BYTES(access_register_in) == 16);
ASSERT_FIELD(access_register_in, op_mod, 6, 16);
ASSERT_FIELD(access_register_in, register_id, 10, 16);

static_assert(sizeof(struct fwctl_info_mlx5) == 8);
static_assert(offsetof(struct fwctl_info_mlx5, uid) == 0);
static_assert(offsetof(struct fwctl_info_mlx5, uctx_caps) == 4);

/* policy.rs: registers in HOST_MEMORY that the headers have a layout for */
#define ASSERT_BITS(layout, field, offset, bits) \
	static_assert(__mlx5_bit_off(layout, field) == (offset) && \
		      __mlx5_bit_sz(layout, field) == (bits))

ASSERT_BITS(core_dump_reg, core_dump_type, 24, 8);
ASSERT_BITS(mtrc_conf, trace_mkey, 64, 32);
ASSERT_BITS(resource_dump, inline_dump, 1, 1);
ASSERT_BITS(resource_dump, mkey, 256, 32);

/* cmd.rs: bits of words */
ASSERT_BITS(create_umem_in, umem.log_page_size, 0x11b, 5);
ASSERT_BITS(mtt, wr_en, 62, 1);
ASSERT_BITS(mtt, rd_en, 63, 1);
ASSERT_BITS(create_mkey_in, mkey_umem_valid, 97, 1);
ASSERT_BITS(mkc, lw, 20, 1);
ASSERT_BITS(mkc, lr, 21, 1);
ASSERT_BITS(mkc, access_mode_1_0, 22, 2);
ASSERT_BITS(mkc, log_page_size, 474, 6);

/* Opcodes and registers that the headers lack. */
enum {
	MLX5_CMD_OP_QUERY_DRIVER_VERSION = 0x10c,
	MLX5_CMD_OP_QUERY_OTHER_HCA_CAP = 0x10e,
	MLX5_CMD_OP_QUERY_RDB = 0x512,
	MLX5_CMD_OP_QUERY_PSV = 0x602,
	MLX5_CMD_OP_QUERY_DC_CNAK_TRACE = 0x716,
	MLX5_CMD_OP_QUERY_NVMF_BACKEND_CONTROLLER = 0x722,
	MLX5_CMD_OP_QUERY_NVMF_NAMESPACE_CONTEXT = 0x728,
	MLX5_CMD_OP_QUERY_ADJACENT_FUNCTIONS_ID = 0x730,
	MLX5_CMD_OP_DELEGATE_VHCA_MANAGEMENT = 0x731,
	MLX5_CMD_OP_QUERY_DELEGATED_VHCA = 0x732,
	MLX5_CMD_OP_QUERY_BURST_SIZE = 0x813,
	MLX5_CMD_OP_QUERY_DIAGNOSTIC_PARAMS = 0x819,
	MLX5_CMD_OP_SET_DIAGNOSTIC_PARAMS = 0x820,
	MLX5_CMD_OP_QUERY_DIAGNOSTIC_COUNTERS = 0x821,
	MLX5_CMD_OP_QUERY_DELAY_DROP_PARAMS = 0x911,
	MLX5_CMD_OP_QUERY_AFU = 0x971,
	MLX5_CMD_OP_QUERY_CAPI_PEC = 0x981,
	MLX5_CMD_OP_QUERY_UCTX = 0xa05,
	MLX5_CMD_OP_QUERY_UMEM = 0xa09,
	MLX5_CMD_OP_QUERY_NVMF_CC_RESPONSE = 0xb02,
	MLX5_CMD_OP_QUERY_EMULATED_FUNCTIONS_INFO = 0xb03,
	MLX5_CMD_OP_QUERY_REGEXP_PARAMS = 0xb05,
	MLX5_CMD_OP_QUERY_REGEXP_REGISTER = 0xb07,
	MLX5_CMD_OP_USER_QUERY_XRQ_DC_PARAMS_ENTRY = 0xb08,
	MLX5_CMD_OP_USER_QUERY_XRQ_ERROR_PARAMS = 0xb0a,
	MLX5_CMD_OP_ACCESS_REGISTER_USER = 0xb0c,
	MLX5_CMD_OP_QUERY_EMULATION_DEVICE_EQ_MSIX_MAPPING = 0xb0f,
	MLX5_CMD_OP_QUERY_MATCH_SAMPLE_INFO = 0xb13,
	MLX5_CMD_OP_QUERY_CRYPTO_STATE = 0xb14,
	MLX5_CMD_OP_QUERY_VUID = 0xb22,
	MLX5_CMD_OP_QUERY_DPA_PARTITION = 0xb28,
	MLX5_CMD_OP_QUERY_DPA_PARTITIONS = 0xb2a,
	MLX5_CMD_OP_POSTPONE_CONNECTED_QP_TIMEOUT = 0xb2e,
	MLX5_CMD_OP_QUERY_EMULATED_RESOURCES_INFO = 0xb2f,
	MLX5_CMD_OP_QUERY_RSV_RESOURCES = 0x8000,
	MLX5_CMD_OP_QUERY_MTT = 0x8001,
	MLX5_CMD_OP_QUERY_SCHED_QUEUE = 0x8006,

	MLX5_REG_MCDD = 0x905c,
	MLX5_REG_MTDC = 0x911d,
	MLX5_REG_MORD = 0x9153,
};

/* The numbers in cmd.rs and policy.rs, written by constants.awk. */
#include "constants_generated.h"
