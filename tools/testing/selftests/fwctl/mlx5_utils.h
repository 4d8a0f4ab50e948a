/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands to a ConnectX, and its replies.
 */
#ifndef __SELFTEST_FWCTL_MLX5_UTILS_H
#define __SELFTEST_FWCTL_MLX5_UTILS_H

#include <endian.h>
#include <fwctl/mlx5.h>

#include "emu_utils.h"

/* Opcodes, include/linux/mlx5/mlx5_ifc.h */
#define OP_QUERY_ADAPTER 0x101
#define OP_QUERY_ISSI 0x10a
#define OP_CREATE_EQ 0x301
#define OP_ACCESS_REG 0x805
#define OP_CREATE_UCTX 0xa04
#define OP_DESTROY_UCTX 0xa06

/* Modifiers of ACCESS_REG */
#define WRITE_REG 0
#define READ_REG 1

/* Registers */
#define REG_MGIR 0x9020
#define REG_MTMP 0x900a
#define REG_NONE 0xfffe

/* Maximum length of a register in the vendor's tools. */
#define REG_LEN 1024

#define HEADER_LEN 16

/* The constant part of a reply with MGIR, which is followed by the uptime. */
#define MGIR_STABLE_LEN (HEADER_LEN + 0x1c)

#define TOOLS_RESOURCES 4

#define SCOPES 4

/* mbox_in, followed by the fields of ACCESS_REG */
struct command {
	uint16_t opcode;
	uint16_t uid;
	uint16_t reserved;
	uint16_t op_mod;
	uint16_t reserved2;
	uint16_t register_id;
	uint32_t argument;
	uint8_t data[REG_LEN];
};

/* mbox_out of ACCESS_REG */
struct answer {
	uint8_t status;
	uint8_t reserved[3];
	uint32_t syndrome;
	uint8_t reserved2[8];
	uint8_t data[REG_LEN];
};

static inline struct command command(uint16_t opcode, uint16_t op_mod)
{
	return (struct command) {
		.opcode = htobe16(opcode),
		.op_mod = htobe16(op_mod),
	};
}

static inline struct command read_register(uint16_t id)
{
	struct command cmd = command(OP_ACCESS_REG, READ_REG);

	cmd.register_id = htobe16(id);
	return cmd;
}

static inline bool is_mlx5(const struct device *dev)
{
	return !strcmp(dev->driver, "mlx5_core");
}

static inline bool is_emulated(void)
{
	const char *kind = getenv("FWCTL_TEST_MLX5");

	return kind && !strcmp(kind, "emulated");
}

/* Returns the number of commands in flight in the emulated device. */
static inline int count_in_flight(void)
{
	char answer[256] = "";
	int count = 0;

	if (!emu_answers("-p /in_flight counters", answer, sizeof(answer)))
		return -1;
	for (const char *at = answer; *at; at++)
		count += *at == ',' || (*at == '[' && at[1] != ']');
	return count;
}

static inline bool is_same_mgir(const void *answer, const void *other, size_t len)
{
	return !memcmp(answer, other, len < MGIR_STABLE_LEN ? len : MGIR_STABLE_LEN);
}

/* Reads MGIR and checks the reply.  Returns 0, an errno, or -1 for a wrong reply. */
static inline int _read_mgir(int fd, struct answer *answer)
{
	struct command cmd = read_register(REG_MGIR);
	uint32_t out_len = sizeof(*answer);
	int err;

	err = _fwctl_rpc(fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, sizeof(cmd), answer, &out_len);
	if (err)
		return err;
	return out_len == sizeof(*answer) && !answer->status ? 0 : -1;
}

#define read_mgir(fd) ({						\
	struct answer __answer;						\
	ASSERT_EQ(0, _read_mgir(fd, &__answer));			\
	__answer;							\
})

static inline int _info(int fd, struct fwctl_info_mlx5 *info)
{
	uint32_t len = sizeof(*info), type = 0;
	int err = _fwctl_info(fd, info, &len, &type);

	if (err)
		return err;
	return len == sizeof(*info) && type == FWCTL_DEVICE_TYPE_MLX5 ? 0 : -1;
}

#define DRIVER_DIR "/sys/bus/auxiliary/drivers/mlx5_fwctl.mlx5_fwctl"

/* Finds the auxiliary device below the parent of `dev`. */
static inline bool find_auxiliary(const struct device *dev, char *name, size_t size)
{
	return find_auxiliary_named(dev, "mlx5_core.fwctl.", name, size);
}

#endif
