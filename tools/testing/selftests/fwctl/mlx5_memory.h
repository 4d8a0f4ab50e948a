/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that is registered for the firmware of a ConnectX, and dumps to it.
 */
#ifndef __SELFTEST_FWCTL_MLX5_MEMORY_H
#define __SELFTEST_FWCTL_MLX5_MEMORY_H

#include "mlx5_utils.h"

#define REG_CORE_DUMP 0x402e

/* core_dump_type: registers of the device, into memory */
#define CR_DUMP_TO_MEM 2

#define CORE_DUMP_LEN 0x40

/* Returns 0 or an errno. */
static inline int _umem_reg(int fd, void *addr, size_t len, uint64_t flags,
			    struct fwctl_rsc_umem_reg *reg)
{
	*reg = (struct fwctl_rsc_umem_reg) {
		.size = sizeof(*reg),
		.flags = flags,
		.addr = to_u64(addr),
		.len = len,
	};
	return ioctl_errno(fd, FWCTL_RSC_UMEM_REG, reg);
}

/*
 * Registers memory of the kernel, and maps it at `addr`, with the bytes that are there.  Fills
 * `reg` as if the memory at `addr` had been registered.  Returns 0 or an errno.
 */
static inline int _umem_alloc(int fd, void *addr, size_t len, uint64_t flags,
			      struct fwctl_rsc_umem_reg *reg)
{
	struct fwctl_rsc_umem_alloc alloc = { .size = sizeof(alloc), .flags = flags, .len = len };
	int err = ioctl_errno(fd, FWCTL_RSC_UMEM_ALLOC, &alloc);
	void *mem;

	if (err)
		return err;
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, alloc.out_offset);
	if (mem == MAP_FAILED)
		return errno;
	memcpy(mem, addr, len);
	if (mremap(mem, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, addr) != addr)
		return errno;
	*reg = (struct fwctl_rsc_umem_reg) {
		.size = sizeof(*reg),
		.flags = flags,
		.addr = to_u64(addr),
		.len = len,
		.out_umem_id = alloc.out_umem_id,
		.out_mkey_id = alloc.out_mkey_id,
		.out_rsc_id = alloc.out_rsc_id,
	};
	return 0;
}

/* Returns 0 or an errno. */
static inline int _destroy(int fd, uint32_t rsc_id)
{
	struct fwctl_rsc_destroy cmd = { .size = sizeof(cmd), .rsc_id = rsc_id };

	return ioctl_errno(fd, FWCTL_RSC_DESTROY, &cmd);
}

static inline unsigned long long quarantined(void)
{
	char text[64];

	if (read_text("/sys/module/fwctl/parameters/quarantined_bytes", text, sizeof(text)))
		return ULLONG_MAX;
	return strtoull(text, NULL, 10);
}

static inline void put32(uint8_t *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof(value));
}

static inline struct command core_dump(uint16_t op_mod, uint32_t mkey, uint64_t address,
				       uint32_t size)
{
	struct command cmd = command(OP_ACCESS_REG, op_mod);

	cmd.register_id = htobe16(REG_CORE_DUMP);
	put32(cmd.data, CR_DUMP_TO_MEM);
	put32(cmd.data + 0x10, mkey);
	put32(cmd.data + 0x14, size);
	put32(cmd.data + 0x18, address >> 32);
	put32(cmd.data + 0x1c, address);
	return cmd;
}

/* Returns 0, an errno, or minus the status of the firmware. */
static inline int _dump(int fd, uint16_t op_mod, uint32_t mkey, uint64_t address, uint32_t size)
{
	struct command cmd = core_dump(op_mod, mkey, address, size);
	uint32_t len = HEADER_LEN + CORE_DUMP_LEN;
	struct answer answer;
	int err;

	err = _fwctl_rpc(fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, len, &answer, &len);
	return err ? err : -answer.status;
}

#endif
