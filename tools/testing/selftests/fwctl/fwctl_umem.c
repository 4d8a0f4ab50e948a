// SPDX-License-Identifier: GPL-2.0-only
/*
 * FWCTL_RSC_UMEM_REG, FWCTL_RSC_UMEM_ALLOC and FWCTL_RSC_DESTROY, on a loopback device: memory of a
 * program, or of the kernel, that is registered for the firmware.
 *
 * The tests of quarantine leave it empty: unbinding a device without hardware releases its memory.
 * Nothing else may use the device.
 */
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

#include "loopback_fixture.h"

#define MAX_LEN (64ul << 20)
/* Limits of a file */
#define MAX_COUNT 64
#define MAX_TOTAL (2 * MAX_LEN)

#define NO_UMEM "the driver has no registered memory"

#define BOTH (FWCTL_UMEM_FLAG_MKEY | FWCTL_UMEM_FLAG_MCDD)

/* The structures as mstflint passes them. */
struct umem_reg {
	uint32_t size;
	__aligned_u64 flags;
	__aligned_u64 addr;
	__aligned_u64 len;
	uint32_t umem_id;
	uint32_t mkey_id;
	uint32_t rsc_id;
};

struct rsc_destroy {
	uint32_t size;
	__aligned_u64 flags;
	uint32_t type;
	uint32_t rsc_id;
};

/* Returns 0 or an errno. */
static int _umem_reg(int fd, void *addr, size_t len, uint64_t flags, struct fwctl_rsc_umem_reg *reg)
{
	struct fwctl_rsc_umem_reg before;
	int err;

	*reg = (struct fwctl_rsc_umem_reg) {
		.size = sizeof(*reg),
		.flags = flags,
		.addr = to_u64(addr),
		.len = len,
	};
	before = *reg;
	err = ioctl_errno(fd, FWCTL_RSC_UMEM_REG, reg);
	if (err)
		return memcmp(reg, &before, sizeof(before)) ? ECHANGED : err;

	before.out_umem_id = reg->out_umem_id;
	before.out_mkey_id = reg->out_mkey_id;
	before.out_rsc_id = reg->out_rsc_id;
	return memcmp(reg, &before, sizeof(before)) ? ECHANGED : 0;
}

#define umem_reg(fd, addr, len) ({						\
	struct fwctl_rsc_umem_reg __reg;					\
	ASSERT_EQ(0, _umem_reg(fd, addr, len, 0, &__reg));			\
	__reg;									\
})

#define umem_reg_fails(expected, fd, addr, len) do {				\
	struct fwctl_rsc_umem_reg __reg;					\
	EXPECT_EQ(expected, _umem_reg(fd, addr, len, 0, &__reg));		\
} while (0)

/* Returns 0 or an errno. */
static int _umem_alloc(int fd, size_t len, uint64_t flags, struct fwctl_rsc_umem_alloc *alloc)
{
	struct fwctl_rsc_umem_alloc before;
	int err;

	*alloc = (struct fwctl_rsc_umem_alloc) {
		.size = sizeof(*alloc),
		.flags = flags,
		.len = len,
	};
	before = *alloc;
	err = ioctl_errno(fd, FWCTL_RSC_UMEM_ALLOC, alloc);
	if (err)
		return memcmp(alloc, &before, sizeof(before)) ? ECHANGED : err;

	before.out_offset = alloc->out_offset;
	before.out_umem_id = alloc->out_umem_id;
	before.out_mkey_id = alloc->out_mkey_id;
	before.out_rsc_id = alloc->out_rsc_id;
	return memcmp(alloc, &before, sizeof(before)) ? ECHANGED : 0;
}

#define umem_alloc(fd, len) ({							\
	struct fwctl_rsc_umem_alloc __alloc;					\
	ASSERT_EQ(0, _umem_alloc(fd, len, 0, &__alloc));			\
	__alloc;								\
})

#define umem_alloc_fails(expected, fd, len) do {				\
	struct fwctl_rsc_umem_alloc __alloc;					\
	EXPECT_EQ(expected, _umem_alloc(fd, len, 0, &__alloc));			\
} while (0)

/* Maps memory of the kernel.  Returns NULL and sets errno if that fails. */
static uint8_t *_map(int fd, uint64_t offset, size_t len, int prot, int flags)
{
	void *mem = mmap(NULL, len, prot, flags, fd, offset);

	return mem == MAP_FAILED ? NULL : mem;
}

#define map(fd, offset, len) ({							\
	uint8_t *__mem = _map(fd, offset, len, PROT_READ | PROT_WRITE, MAP_SHARED); \
	ASSERT_NE(NULL, (void *)__mem) {					\
		TH_LOG("mmap: %m");						\
	}									\
	__mem;									\
})

#define map_fails(expected, fd, offset, len, prot, flags) do {			\
	EXPECT_EQ(NULL, (void *)_map(fd, offset, len, prot, flags));		\
	EXPECT_EQ(expected, errno);						\
} while (0)

/* Returns 0 or an errno. */
static int _destroy(int fd, uint32_t rsc_id)
{
	struct fwctl_rsc_destroy cmd = { .size = sizeof(cmd), .rsc_id = rsc_id };
	struct fwctl_rsc_destroy before = cmd;
	int err = ioctl_errno(fd, FWCTL_RSC_DESTROY, &cmd);

	return memcmp(&cmd, &before, sizeof(cmd)) ? ECHANGED : err;
}

#define destroy(fd, rsc_id) ASSERT_EQ(0, _destroy(fd, rsc_id))
#define destroy_fails(expected, fd, rsc_id) EXPECT_EQ(expected, _destroy(fd, rsc_id))

/* Maps `len` bytes, which are faulted in and end at an inaccessible page. */
static void *memory(size_t len)
{
	uint8_t *end = mapping_end(len / page_size());

	memset(end - len, 0x11, len);
	return end - len;
}

static struct fwctl_loopback_memory memory_cmd(uint32_t op, uint32_t arg, uint32_t umem_id,
					       uint64_t offset, uint32_t len)
{
	return (struct fwctl_loopback_memory) {
		.cmd = loopback_cmd(op, arg),
		.umem_id = umem_id,
		.len = len,
		.offset = offset,
	};
}

/* Lets the firmware fill memory.  Returns 0 or an errno. */
static int _fw_fill(int fd, uint32_t umem_id, uint64_t offset, uint32_t len, uint8_t value)
{
	struct fwctl_loopback_memory cmd =
		memory_cmd(FWCTL_LOOPBACK_MEMORY_FILL, value, umem_id, offset, len);
	uint32_t out_len = 0;

	return _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), NULL, &out_len);
}

/* Lets the firmware read memory, after `ms` milliseconds.  Returns 0 or an errno. */
static int _fw_read(int fd, uint32_t umem_id, uint64_t offset, void *to, uint32_t len, uint32_t ms)
{
	struct fwctl_loopback_memory cmd =
		memory_cmd(FWCTL_LOOPBACK_MEMORY_READ, ms, umem_id, offset, len);
	uint32_t out_len = len;
	int err = _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), to, &out_len);

	return err ? err : out_len == len ? 0 : -1;
}

static void set_mode(struct __test_metadata *_metadata, int fd, uint32_t mode)
{
	uint32_t out_len = 0;

	ASSERT_EQ(0, _loopback_op(fd, FWCTL_LOOPBACK_MEMORY_MODE, mode, NULL, &out_len));
}

/* Kilobytes of locked memory of this process. */
static unsigned long locked_kb(void)
{
	char text[8192], *line;

	if (read_text("/proc/self/status", text, sizeof(text)))
		return ULONG_MAX;
	line = strstr(text, "VmLck:");
	return line ? strtoul(line + strlen("VmLck:"), NULL, 10) : ULONG_MAX;
}

static bool can_count_pins(void)
{
	return !access("/proc/sys/vm/stat_refresh", F_OK);
}

/* Number of pages that are pinned in the machine, or 0 if the kernel does not tell. */
static long pinned_pages(void)
{
	char name[64];
	long value, pinned = 0;
	FILE *file;

	/* Adds up the counters of all processors. */
	read_text("/proc/sys/vm/stat_refresh", name, sizeof(name));
	file = fopen("/proc/vmstat", "r");
	if (!file)
		return 0;
	while (fscanf(file, "%63s %ld", name, &value) == 2) {
		if (!strcmp(name, "nr_foll_pin_acquired"))
			pinned += value;
		else if (!strcmp(name, "nr_foll_pin_released"))
			pinned -= value;
	}
	fclose(file);
	return pinned;
}

#define EXPECT_PINNED(expected) do {						\
	long __pinned = pinned_pages();						\
	if (can_count_pins())							\
		EXPECT_EQ(expected, __pinned);					\
} while (0)

static unsigned long long number_in(const char *path)
{
	char text[64];

	return read_text(path, text, sizeof(text)) ? ULLONG_MAX : strtoull(text, NULL, 10);
}

static unsigned long long of_device(const struct device *dev, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), CLASS_DIR "/%s/memory/%s", dev->name, name);
	return number_in(path);
}

static unsigned long long quarantined(void)
{
	return number_in("/sys/module/fwctl/parameters/quarantined_bytes");
}

/* Opens a loopback that has registered memory. Returns why there is none, or NULL. */
static const char *open_umem(struct __test_metadata *_metadata, struct device *dev, int *fd)
{
	if (!find_loopback(dev))
		return NO_LOOPBACK;
	*fd = open(dev->node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, *fd);
	return _destroy(*fd, 1) == ENOTTY ? NO_UMEM : NULL;
}

FIXTURE(umem)
{
	struct device dev;
	int fd;
	long pinned;
	unsigned long locked;
};

FIXTURE_SETUP(umem)
{
	const char *missing = open_umem(_metadata, &self->dev, &self->fd);

	if (missing)
		SKIP(return, "%s", missing);
	EXPECT_EQ(0, quarantined());
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
	self->pinned = pinned_pages();
	self->locked = locked_kb();
}

/* Everything is given back, however a test ends. */
FIXTURE_TEARDOWN(umem)
{
	close(self->fd);
	EXPECT_EQ(self->locked, locked_kb());
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(0, quarantined());
}

TEST(layouts_are_those_of_mstflint)
{
	EXPECT_EQ(0x9a02, FWCTL_RSC_DESTROY);
	EXPECT_EQ(0x9a03, FWCTL_RSC_UMEM_REG);
	EXPECT_EQ(0x9a04, FWCTL_RSC_UMEM_ALLOC);
	EXPECT_EQ(48, sizeof(struct fwctl_rsc_umem_alloc));
	EXPECT_EQ(48, sizeof(struct fwctl_rsc_umem_reg));
	EXPECT_EQ(48, sizeof(struct umem_reg));
	EXPECT_EQ(24, sizeof(struct fwctl_rsc_destroy));
	EXPECT_EQ(24, sizeof(struct rsc_destroy));
#define SAME(a, a_member, b, b_member) \
	EXPECT_EQ(offsetof(struct a, a_member), offsetof(struct b, b_member))
	SAME(fwctl_rsc_umem_reg, flags, umem_reg, flags);
	SAME(fwctl_rsc_umem_reg, addr, umem_reg, addr);
	SAME(fwctl_rsc_umem_reg, len, umem_reg, len);
	SAME(fwctl_rsc_umem_reg, out_umem_id, umem_reg, umem_id);
	SAME(fwctl_rsc_umem_reg, out_mkey_id, umem_reg, mkey_id);
	SAME(fwctl_rsc_umem_reg, out_rsc_id, umem_reg, rsc_id);
	SAME(fwctl_rsc_destroy, flags, rsc_destroy, flags);
	SAME(fwctl_rsc_destroy, type, rsc_destroy, type);
	SAME(fwctl_rsc_destroy, rsc_id, rsc_destroy, rsc_id);
}

/* A driver without it does not know the numbers, whatever the structure. */
TEST_F(loopback, drivers_need_not_offer_it)
{
	int err = _destroy(self->fd, 1);

	if (err != ENOTTY)
		SKIP(return, "the driver has registered memory");
	umem_reg_fails(ENOTTY, self->fd, memory(page_size()), page_size());
	umem_alloc_fails(ENOTTY, self->fd, page_size());
	EXPECT_EQ(ENOTTY, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, NULL));
	EXPECT_EQ(ENOTTY, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, NULL));
	EXPECT_EQ(ENOTTY, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, NULL));
	map_fails(ENODEV, self->fd, 0, page_size(), PROT_READ, MAP_SHARED);
	map_fails(ENODEV, self->fd, MAX_LEN, page_size(), PROT_READ, MAP_SHARED);
}

TEST_F(umem, mstflint_calls_it)
{
	size_t len = 3 * page_size();
	struct umem_reg reg = { .size = 48, .flags = 3, .len = len };
	struct rsc_destroy cmd = { .size = 24 };
	uint8_t *mem = memory(len);

	reg.addr = to_u64(mem);
	ASSERT_EQ(0, ioctl_errno(self->fd, 0x9a03, &reg));
	EXPECT_NE(0, reg.umem_id);
	EXPECT_NE(0, reg.mkey_id);
	EXPECT_NE(0, reg.rsc_id);
	EXPECT_EQ(0, _fw_fill(self->fd, reg.umem_id, 2 * page_size(), 36, 0x5a));
	EXPECT_TRUE(all_bytes_are(mem + 2 * page_size(), 0x5a, 36));
	cmd.rsc_id = reg.rsc_id;
	EXPECT_EQ(0, ioctl_errno(self->fd, 0x9a02, &cmd));
	EXPECT_EQ(ENOENT, ioctl_errno(self->fd, 0x9a02, &cmd));
}

TEST_F(umem, sizes_are_checked)
{
	struct {
		struct fwctl_rsc_umem_reg reg;
		uint64_t tail[2];
	} reg = { .reg.len = page_size(), .reg.addr = to_u64(memory(page_size())) };
	struct {
		struct fwctl_rsc_destroy destroy;
		uint64_t tail[2];
	} cmd = { .destroy.rsc_id = 1 };

	for (uint32_t size = 0; size < 48; size++) {
		reg.reg.size = size;
		EXPECT_EQ(EINVAL, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
	}
	for (uint32_t size = 0; size < 24; size++) {
		cmd.destroy.size = size;
		EXPECT_EQ(EINVAL, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, &cmd));
	}
	reg.reg.size = sizeof(reg);
	ASSERT_EQ(0, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
	EXPECT_EQ(1, reg.reg.out_rsc_id);
	reg.tail[1] = 1;
	EXPECT_EQ(E2BIG, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
	reg.reg.size = UINT32_MAX;
	EXPECT_EQ(E2BIG, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
	cmd.destroy.size = sizeof(cmd);
	cmd.tail[1] = 1;
	EXPECT_EQ(E2BIG, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, &cmd));
	cmd.tail[1] = 0;
	EXPECT_EQ(0, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, &cmd));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, NULL));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, NULL));
}

TEST_F(umem, unknown_bits_are_refused)
{
	struct fwctl_rsc_umem_reg good = {
		.size = sizeof(good),
		.addr = to_u64(memory(page_size())),
		.len = page_size(),
	};
	struct fwctl_rsc_umem_reg reg;
	struct fwctl_rsc_destroy cmd;

	for (int bit = 0; bit < 64; bit++) {
		reg = good;
		reg.flags = 1ull << bit;
		if (reg.flags & BOTH)
			continue;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
		reg.flags |= BOTH;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
		cmd = (struct fwctl_rsc_destroy) { .size = sizeof(cmd), .flags = 1ull << bit };
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, &cmd));
	}
	for (int bit = 0; bit < 32; bit++) {
		reg = good;
		reg.rsvd = 1u << bit;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
		reg = good;
		reg.rsvd1 = 1u << bit;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg));
		cmd = (struct fwctl_rsc_destroy) { .size = sizeof(cmd), .rsvd = 1u << bit };
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, &cmd));
		cmd = (struct fwctl_rsc_destroy) { .size = sizeof(cmd), .type = 1u << bit };
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_DESTROY, &cmd));
	}
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
}

TEST_F(umem, flags_decide_about_the_key)
{
	struct fwctl_rsc_umem_reg reg;
	void *mem = memory(page_size());

	for (uint64_t flags = 0; flags <= BOTH; flags++) {
		ASSERT_EQ(0, _umem_reg(self->fd, mem, page_size(), flags, &reg));
		EXPECT_EQ(!!(flags & FWCTL_UMEM_FLAG_MKEY), reg.out_mkey_id != 0);
		EXPECT_NE(0, reg.out_umem_id);
		destroy(self->fd, reg.out_rsc_id);
	}
}

TEST_F(umem, ranges_are_checked)
{
	size_t page = page_size();
	uint8_t *mem = memory(4 * page);
	struct fwctl_rsc_umem_reg reg = { .size = sizeof(reg) };
	struct {
		uint64_t addr, len;
		int err;
	} cases[] = {
		{ to_u64(mem), 0, EINVAL },
		{ to_u64(mem), 1, EINVAL },
		{ to_u64(mem), page - 1, EINVAL },
		{ to_u64(mem), page + 1, EINVAL },
		{ to_u64(mem + 1), page, EINVAL },
		{ to_u64(mem + page - 1), page, EINVAL },
		{ to_u64(mem), MAX_LEN + page, EINVAL },
		{ to_u64(mem), 1ull << 32, EINVAL },
		{ to_u64(mem), (1ull << 32) + page, EINVAL },
		{ to_u64(mem), -(uint64_t)page, EINVAL },
		{ to_u64(mem), UINT64_MAX, EINVAL },
		{ -(uint64_t)page, page, EINVAL },
		{ -(uint64_t)page, 2 * page, EINVAL },
		{ -2 * (uint64_t)page, page, sizeof(long) == 4 ? EINVAL : EFAULT },
		{ 1ull << 63, page, sizeof(long) == 4 ? EINVAL : EFAULT },
		{ 0, page, EFAULT },
		{ to_u64(mem), 5 * page, EFAULT },
		{ to_u64(mem + 4 * page), page, EFAULT },
		{ to_u64(mem), MAX_LEN, EFAULT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		reg.addr = cases[i].addr;
		reg.len = cases[i].len;
		/* For a 32-bit program the kernel is still one of 64 bits. */
		if (sizeof(long) == 4 && cases[i].addr > UINT32_MAX && cases[i].err == EINVAL &&
		    cases[i].addr + cases[i].len > cases[i].addr)
			cases[i].err = EFAULT;
		EXPECT_EQ(cases[i].err, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, &reg)) {
			TH_LOG("address %#llx, length %#llx", (unsigned long long)reg.addr,
			       (unsigned long long)reg.len);
		}
		EXPECT_EQ(self->locked, locked_kb());
		EXPECT_PINNED(self->pinned);
	}
	EXPECT_EQ(0, of_device(&self->dev, "bytes"));
}

TEST_F(umem, memory_is_shared_with_the_firmware)
{
	size_t page = page_size(), len = 5 * page;
	uint8_t *mem = memory(len), *read = malloc(len);
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, mem, len);

	fill_pattern(mem, len, 5);
	EXPECT_EQ(0, _fw_read(self->fd, reg.out_umem_id, 0, read, len, 0));
	EXPECT_EQ(0, memcmp(mem, read, len));
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, page - 3, page + 6, 0xa5));
	EXPECT_TRUE(all_bytes_are(mem + page - 3, 0xa5, page + 6));
	EXPECT_EQ(0, memcmp(mem, read, page - 3));
	EXPECT_EQ(0, memcmp(mem + 2 * page + 3, read + 2 * page + 3, len - 2 * page - 3));

	EXPECT_EQ(EINVAL, _fw_fill(self->fd, reg.out_umem_id, 1, len, 0));
	EXPECT_EQ(EINVAL, _fw_fill(self->fd, reg.out_umem_id, len, 1, 0));
	EXPECT_EQ(EINVAL, _fw_fill(self->fd, reg.out_umem_id, UINT64_MAX, 1, 0));
	EXPECT_EQ(EINVAL, _fw_fill(self->fd, reg.out_umem_id, UINT64_MAX - 3, 8, 0));
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, len, 0, 0));
	EXPECT_EQ(ENOENT, _fw_fill(self->fd, reg.out_umem_id + 1, 0, 1, 0));
	destroy(self->fd, reg.out_rsc_id);
	EXPECT_EQ(ENOENT, _fw_fill(self->fd, reg.out_umem_id, 0, 1, 0));
}

TEST_F(umem, memory_is_charged_and_pinned)
{
	size_t page = page_size(), len = 7 * page;
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, memory(len), len);

	EXPECT_EQ(self->locked + len / 1024, locked_kb());
	EXPECT_PINNED(self->pinned + 7);
	EXPECT_EQ(1, of_device(&self->dev, "registrations"));
	EXPECT_EQ(len, of_device(&self->dev, "bytes"));
	destroy(self->fd, reg.out_rsc_id);
	EXPECT_EQ(self->locked, locked_kb());
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
	EXPECT_EQ(0, of_device(&self->dev, "bytes"));
}

TEST_F(umem, numbers_are_the_lowest_that_are_free)
{
	void *mem = memory(page_size());

	EXPECT_EQ(1, umem_reg(self->fd, mem, page_size()).out_rsc_id);
	EXPECT_EQ(2, umem_reg(self->fd, mem, page_size()).out_rsc_id);
	EXPECT_EQ(3, umem_reg(self->fd, mem, page_size()).out_rsc_id);
	destroy(self->fd, 2);
	EXPECT_EQ(2, umem_reg(self->fd, mem, page_size()).out_rsc_id);
	EXPECT_EQ(4, umem_reg(self->fd, mem, page_size()).out_rsc_id);
	destroy_fails(ENOENT, self->fd, 0);
	destroy_fails(ENOENT, self->fd, 5);
	destroy_fails(ENOENT, self->fd, UINT32_MAX);
}

TEST_F(umem, files_cannot_name_memory_of_others)
{
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, memory(page_size()), page_size()), own;
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	destroy_fails(ENOENT, fd, reg.out_rsc_id);
	EXPECT_EQ(ENOENT, _fw_fill(fd, reg.out_umem_id, 0, 1, 0));
	own = umem_reg(fd, memory(page_size()), page_size());
	EXPECT_EQ(reg.out_rsc_id, own.out_rsc_id);
	EXPECT_NE(reg.out_umem_id, own.out_umem_id);
	EXPECT_EQ(ENOENT, _fw_fill(fd, reg.out_umem_id, 0, 1, 0));
	EXPECT_EQ(ENOENT, _fw_fill(self->fd, own.out_umem_id, 0, 1, 0));
	destroy(fd, own.out_rsc_id);
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, 0, 1, 0));
	close(fd);
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, 0, 1, 0));
}

/* Unprivileged programs are limited, root is not. */
static int within_the_limit(void *arg)
{
	int fd = *(int *)arg;
	size_t page = page_size();
	struct rlimit limit = { 4 * page, 4 * page };
	uint8_t *mem = memory(8 * page);
	struct fwctl_rsc_umem_reg reg, last;

	if (_umem_reg(fd, mem, 8 * page, 0, &reg) || _destroy(fd, reg.out_rsc_id))
		return 1;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || _umem_reg(fd, mem, 8 * page, 0, &reg) ||
	    _destroy(fd, reg.out_rsc_id))
		return 2;
	if (setresuid(1000, 1000, 1000))
		return 3;
	if (_umem_reg(fd, mem, 5 * page, 0, &reg) != ENOMEM || locked_kb())
		return 4;
	if (_umem_reg(fd, mem, 3 * page, 0, &reg) || locked_kb() != 3 * page / 1024)
		return 5;
	if (_umem_reg(fd, mem, 2 * page, 0, &reg) != ENOMEM)
		return 6;
	if (_umem_reg(fd, mem, page, 0, &last) || _umem_reg(fd, mem, page, 0, &reg) != ENOMEM)
		return 7;
	/* mlock(2) counts the same. */
	if (!mlock(mem, page))
		return 8;
	if (_destroy(fd, last.out_rsc_id) || mlock(mem, page))
		return 9;
	/* What the child has left is released with the file. */
	return 0;
}

TEST_F(umem, locked_memory_is_limited)
{
	if (geteuid())
		SKIP(return, "needs root");
	EXPECT_EQ(0, in_child(within_the_limit, &self->fd));
	EXPECT_EQ(1, of_device(&self->dev, "registrations"));
}

TEST_F_TIMEOUT(umem, files_are_limited, LONG_TIMEOUT)
{
	size_t page = page_size();
	uint8_t *mem = memory(page);
	void *large;
	uint32_t rsc_id = 0;

	for (int i = 0; i < MAX_COUNT; i++)
		rsc_id = umem_reg(self->fd, mem, page).out_rsc_id;
	umem_reg_fails(ENOSPC, self->fd, mem, page);
	destroy(self->fd, rsc_id);
	umem_reg(self->fd, mem, page);
	umem_reg_fails(ENOSPC, self->fd, mem, page);
	for (int i = 1; i <= MAX_COUNT; i++)
		destroy(self->fd, i);

	/* The same memory may be registered more than once, and is charged as often. */
	large = mmap(NULL, MAX_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, large);
	for (size_t i = 0; i < MAX_TOTAL / MAX_LEN; i++)
		umem_reg(self->fd, large, MAX_LEN);
	umem_reg_fails(ENOSPC, self->fd, mem, page);
	destroy(self->fd, 1);
	umem_reg(self->fd, mem, page);
	umem_reg_fails(ENOSPC, self->fd, large, MAX_LEN);
	EXPECT_EQ(MAX_LEN + page, of_device(&self->dev, "bytes"));
}

TEST_F(umem, memory_must_be_writable)
{
	size_t page = page_size();
	void *read_only = page_with(PROT_READ, 1), *none = page_with(PROT_NONE, 1);
	uint8_t *mem = memory(3 * page);
	void *zero;

	umem_reg_fails(EFAULT, self->fd, read_only, page);
	umem_reg_fails(EFAULT, self->fd, none, page);
	ASSERT_EQ(0, mprotect(mem + page, page, PROT_READ));
	umem_reg_fails(EFAULT, self->fd, mem, 3 * page);
	umem_reg(self->fd, mem, page);

	/* Pages that were never written get separate memory. */
	zero = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, zero);
	EXPECT_EQ(0, _fw_fill(self->fd, umem_reg(self->fd, zero, page).out_umem_id, 0, page, 7));
	EXPECT_TRUE(all_bytes_are(zero, 7, page));
}

/* A private mapping of a file is the program's own memory, a shared one of tmpfs, too. */
TEST_F(umem, files_can_be_behind_the_memory)
{
	size_t page = page_size();
	int fd = syscall(SYS_memfd_create, "umem", 0);
	struct fwctl_rsc_umem_reg reg;
	uint8_t *private, *shared;

	if (fd < 0)
		SKIP(return, "no memfd");
	ASSERT_EQ(0, ftruncate(fd, page));
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)shared);
	ASSERT_NE(MAP_FAILED, (void *)private);
	reg = umem_reg(self->fd, private, page);
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, 0, page, 1));
	EXPECT_EQ(0, *shared);
	EXPECT_EQ(1, *private);
	reg = umem_reg(self->fd, shared, page);
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, 0, page, 2));
	EXPECT_EQ(2, *shared);
	EXPECT_EQ(1, *private);

	/* The pages stay with the firmware when the file gives them up. */
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, 0, page, 3));
	close(fd);
}

TEST_F(umem, the_program_may_unmap_the_memory)
{
	size_t page = page_size(), len = 2 * page;
	uint8_t *mem = memory(len), byte = 0, *again;
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, mem, len);

	ASSERT_EQ(0, munmap(mem, len));
	EXPECT_EQ(0, _fw_fill(self->fd, reg.out_umem_id, 0, len, 0x42));
	again = mmap(mem, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
	ASSERT_EQ((void *)mem, (void *)again);
	EXPECT_TRUE(all_bytes_are(again, 0, len));
	EXPECT_EQ(0, _fw_read(self->fd, reg.out_umem_id, page, &byte, 1, 0));
	EXPECT_EQ(0x42, byte);
	EXPECT_PINNED(self->pinned + 2);
}

struct shared_memory {
	int fd;
	uint8_t *mem;
	struct fwctl_rsc_umem_reg reg;
};

static int in_a_child(void *arg)
{
	struct shared_memory *shared = arg;
	size_t page = page_size();

	/* A copy: what the firmware writes goes to the parent. */
	if (_fw_fill(shared->fd, shared->reg.out_umem_id, 0, page, 0x77))
		return 1;
	if (!all_bytes_are(shared->mem, 0x11, page))
		return 2;
	shared->mem[0] = 0x33;
	if (locked_kb())
		return 3;
	/* The file is the same. */
	return _destroy(shared->fd, shared->reg.out_rsc_id) ? 4 : 0;
}

TEST_F(umem, a_fork_gets_copies)
{
	size_t page = page_size();
	struct shared_memory shared = { .fd = self->fd, .mem = memory(page) };

	shared.reg = umem_reg(self->fd, shared.mem, page);
	EXPECT_EQ(0, in_child(in_a_child, &shared));
	EXPECT_TRUE(all_bytes_are(shared.mem, 0x77, page));
	/* The child has destroyed it, the parent is no longer charged. */
	destroy_fails(ENOENT, self->fd, shared.reg.out_rsc_id);
	EXPECT_EQ(self->locked, locked_kb());
}

static int registers_and_exits(void *arg)
{
	struct fwctl_rsc_umem_reg reg;

	return _umem_reg(*(int *)arg, memory(page_size()), page_size(), 0, &reg) ? 1 : 0;
}

/* Memory outlives the process that registered it, if the file does. */
TEST_F(umem, memory_belongs_to_the_file)
{
	EXPECT_EQ(0, in_child(registers_and_exits, &self->fd));
	EXPECT_EQ(1, of_device(&self->dev, "registrations"));
	EXPECT_PINNED(self->pinned + 1);
	destroy(self->fd, 1);
	EXPECT_PINNED(self->pinned);
}

TEST_F(umem, close_releases_the_memory)
{
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC), copy;
	size_t page = page_size();

	ASSERT_LE(0, fd);
	for (int i = 1; i <= 3; i++)
		umem_reg(fd, memory(i * page), i * page);
	EXPECT_PINNED(self->pinned + 6);
	copy = dup(fd);
	close(fd);
	EXPECT_PINNED(self->pinned + 6);
	close(copy);
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(self->locked, locked_kb());
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
}

static int registers_and_is_killed(void *arg)
{
	const char *node = arg;
	int fd = open(node, O_RDWR);
	struct fwctl_rsc_umem_reg reg;

	if (fd >= 0 && !_umem_reg(fd, memory(4 * page_size()), 4 * page_size(), 0, &reg))
		raise(SIGKILL);
	return 1;
}

TEST_F(umem, killed_programs_leave_nothing)
{
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(-1, in_child(registers_and_is_killed, self->dev.node));
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
}

struct reader {
	int fd;
	uint32_t umem_id;
	pthread_t thread;
	volatile pid_t tid;
	int err;
};

static void *reader_main(void *arg)
{
	struct reader *reader = arg;
	uint8_t byte;

	__atomic_store_n(&reader->tid, gettid_(), __ATOMIC_SEQ_CST);
	reader->err = _fw_read(reader->fd, reader->umem_id, 0, &byte, 1, SLEEP_MS);
	return NULL;
}

TEST_F(umem, memory_in_use_is_not_destroyed)
{
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, memory(page_size()), page_size());
	struct reader reader = { .fd = self->fd, .umem_id = reg.out_umem_id };

	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, reader_main, &reader));
	while (!__atomic_load_n(&reader.tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	ASSERT_TRUE(wait_asleep(reader.tid));
	destroy_fails(EBUSY, self->fd, reg.out_rsc_id);
	/* Other memory is not affected. */
	destroy(self->fd, umem_reg(self->fd, memory(page_size()), page_size()).out_rsc_id);
	pthread_join(reader.thread, NULL);
	EXPECT_EQ(0, reader.err);
	destroy(self->fd, reg.out_rsc_id);
}

/* A structure that cannot be written back leaves nothing registered. */
TEST_F(umem, results_that_cannot_be_told_are_undone)
{
	struct fwctl_rsc_umem_reg *reg = page_with(PROT_READ | PROT_WRITE, 0);

	reg->size = sizeof(*reg);
	reg->addr = to_u64(memory(page_size()));
	reg->len = page_size();
	ASSERT_EQ(0, mprotect(reg, page_size(), PROT_READ));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RSC_UMEM_REG, reg));
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
	EXPECT_PINNED(self->pinned);
}

TEST_F(umem, nobody_registers_memory_without_a_scope)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), CLASS_DIR "/%s/max_scope", self->dev.name);
	if (write_text(path, "none"))
		SKIP(return, "cannot change max_scope");
	umem_reg_fails(EPERM, self->fd, memory(page_size()), page_size());
	destroy_fails(ENOENT, self->fd, 1);
	EXPECT_EQ(0, write_text(path, "debug-write-full"));
	umem_reg(self->fd, memory(page_size()), page_size());
}

TEST_F_TIMEOUT(umem, unbind_releases_the_memory, LONG_TIMEOUT)
{
	size_t page = page_size();
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, memory(3 * page), 3 * page);

	umem_reg(self->fd, memory(page), page);
	if (unbind(&self->dev))
		SKIP(return, "cannot unbind");
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(self->locked, locked_kb());
	umem_reg_fails(ENODEV, self->fd, memory(page), page);
	destroy_fails(ENODEV, self->fd, reg.out_rsc_id);
	EXPECT_EQ(ENODEV, _fw_fill(self->fd, reg.out_umem_id, 0, 1, 0));
	EXPECT_EQ(0, bind_again(&self->dev));
	destroy_fails(ENODEV, self->fd, reg.out_rsc_id);
}

TEST_F_TIMEOUT(umem, unbind_waits_for_rpcs_with_memory, LONG_TIMEOUT)
{
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, memory(page_size()), page_size());
	struct reader reader = { .fd = self->fd, .umem_id = reg.out_umem_id };

	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, reader_main, &reader));
	while (!__atomic_load_n(&reader.tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	ASSERT_TRUE(wait_asleep(reader.tid));
	EXPECT_EQ(0, unbind(&self->dev));
	EXPECT_PINNED(self->pinned);
	pthread_join(reader.thread, NULL);
	EXPECT_EQ(0, reader.err);
	EXPECT_EQ(0, bind_again(&self->dev));
}

/* Registers and destroys until the device is removed. */
static void *churn(void *arg)
{
	int fd = *(int *)arg, err;
	struct fwctl_rsc_umem_reg reg;
	void *mem = memory(2 * page_size());

	do {
		err = _umem_reg(fd, mem, 2 * page_size(), 0, &reg);
		if (!err)
			_fw_fill(fd, reg.out_umem_id, 0, 2 * page_size(), 1);
		if (!err)
			err = _destroy(fd, reg.out_rsc_id);
	} while (!err || err == ENOENT || err == EBUSY);
	return (void *)(long)err;
}

/* Unbinds the device again and again while threads do `work`, which returns what ended it. */
static void unbind_under(struct __test_metadata *_metadata, const struct device *device,
			 long pinned, void *(*work)(void *arg))
{
	pthread_t threads[4];
	void *err;

	for (int round = 0; round < 10; round++) {
		struct device dev = *device;
		int fd;

		ASSERT_TRUE(find_again(&dev));
		fd = open(dev.node, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd);
		for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, work, &fd));
		usleep(20000);
		EXPECT_EQ(0, unbind(&dev));
		for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
			pthread_join(threads[i], &err);
			EXPECT_EQ(ENODEV, (long)err);
		}
		EXPECT_PINNED(pinned);
		EXPECT_EQ(0, bind_again(&dev));
		close(fd);
	}
}

TEST_F_TIMEOUT(umem, unbind_races_with_registrations, LONG_TIMEOUT)
{
	unbind_under(_metadata, &self->dev, self->pinned, churn);
}

TEST_F(umem, memory_that_the_firmware_refuses_is_given_back)
{
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_REFUSED);
	umem_reg_fails(EIO, self->fd, memory(page_size()), page_size());
	EXPECT_EQ(0, quarantined());
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
	EXPECT_PINNED(self->pinned);
}

TEST_F(umem, structures_of_allocations_are_checked)
{
	struct {
		struct fwctl_rsc_umem_alloc alloc;
		uint64_t tail[2];
	} cmd = { .alloc.len = page_size() };
	uint64_t lengths[] = {
		0, 1, page_size() - 1, page_size() + 1, MAX_LEN + page_size(), 1ull << 32,
		(1ull << 32) + page_size(), UINT64_MAX, -(uint64_t)page_size(),
	};
	struct fwctl_rsc_umem_alloc good = { .size = sizeof(good), .len = page_size() }, bad;

	for (uint32_t size = 0; size < 48; size++) {
		cmd.alloc.size = size;
		EXPECT_EQ(EINVAL, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &cmd));
	}
	cmd.alloc.size = sizeof(cmd);
	cmd.tail[1] = 1;
	EXPECT_EQ(E2BIG, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &cmd));
	for (int bit = 0; bit < 64; bit++) {
		bad = good;
		bad.flags = 1ull << bit;
		if (bad.flags & BOTH)
			continue;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &bad));
	}
	for (int bit = 0; bit < 32; bit++) {
		bad = good;
		bad.rsvd = 1u << bit;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &bad));
		bad = good;
		bad.rsvd1 = 1u << bit;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &bad));
	}
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		bad = good;
		bad.len = lengths[i];
		EXPECT_EQ(EINVAL, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &bad));
	}
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, NULL));
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));

	cmd.tail[1] = 0;
	ASSERT_EQ(0, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, &cmd));
	EXPECT_EQ(1, cmd.alloc.out_rsc_id);
	EXPECT_EQ(0, cmd.alloc.out_mkey_id);
}

TEST_F(umem, allocated_memory_is_shared_with_the_firmware)
{
	size_t page = page_size(), len = 5 * page;
	struct fwctl_rsc_umem_alloc alloc = umem_alloc(self->fd, len);
	uint8_t *mem = map(self->fd, alloc.out_offset, len), *read = malloc(len), *part;

	EXPECT_TRUE(all_bytes_are(mem, 0, len));
	fill_pattern(mem, len, 5);
	EXPECT_EQ(0, _fw_read(self->fd, alloc.out_umem_id, 0, read, len, 0));
	EXPECT_EQ(0, memcmp(mem, read, len));
	EXPECT_EQ(0, _fw_fill(self->fd, alloc.out_umem_id, page - 3, page + 6, 0xa5));
	EXPECT_TRUE(all_bytes_are(mem + page - 3, 0xa5, page + 6));
	EXPECT_EQ(0, memcmp(mem, read, page - 3));
	EXPECT_EQ(0, memcmp(mem + 2 * page + 3, read + 2 * page + 3, len - 2 * page - 3));
	EXPECT_EQ(EINVAL, _fw_fill(self->fd, alloc.out_umem_id, 1, len, 0));

	/* Some of the pages, once more */
	part = map(self->fd, alloc.out_offset + 3 * page, 2 * page);
	EXPECT_EQ(0, memcmp(mem + 3 * page, part, 2 * page));
	part[0] = 0x99;
	EXPECT_EQ(0x99, mem[3 * page]);
	EXPECT_EQ(1, of_device(&self->dev, "registrations"));
	EXPECT_EQ(len, of_device(&self->dev, "bytes"));
	destroy(self->fd, alloc.out_rsc_id);
	EXPECT_EQ(0, of_device(&self->dev, "bytes"));
}

TEST_F(umem, only_allocated_memory_is_mapped)
{
	size_t page = page_size(), len = 2 * page;
	struct fwctl_rsc_umem_alloc alloc = umem_alloc(self->fd, len);
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, memory(len), len);
	uint64_t offset = alloc.out_offset, of_reg = reg.out_rsc_id * (uint64_t)MAX_LEN;
	int both = PROT_READ | PROT_WRITE, fd;
	uint8_t *mem;

	EXPECT_EQ(alloc.out_rsc_id * (uint64_t)MAX_LEN, offset);
	map_fails(EINVAL, self->fd, of_reg, page, both, MAP_SHARED);
	map_fails(ENOENT, self->fd, 0, page, both, MAP_SHARED);
	map_fails(ENOENT, self->fd, of_reg + MAX_LEN, page, both, MAP_SHARED);
	map_fails(EINVAL, self->fd, offset, len + page, both, MAP_SHARED);
	map_fails(EINVAL, self->fd, offset + page, len, both, MAP_SHARED);
	map_fails(EINVAL, self->fd, offset + len, page, both, MAP_SHARED);
	map_fails(EINVAL, self->fd, offset + MAX_LEN - page, 2 * page, both, MAP_SHARED);
	map_fails(EINVAL, self->fd, offset, page, both, MAP_PRIVATE);
	map_fails(EINVAL, self->fd, offset, page, PROT_READ, MAP_PRIVATE);
	map_fails(EINVAL, self->fd, offset, page, both | PROT_EXEC, MAP_SHARED);
#ifdef __LP64__
	map_fails(ENOENT, self->fd, (uint64_t)INT64_MAX & -(uint64_t)page, page, both, MAP_SHARED);
#endif
	mem = map(self->fd, offset, len);
	ASSERT_EQ(0, munmap(mem, len));

	/* Another file has no such memory. */
	fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	map_fails(ENOENT, fd, offset, page, both, MAP_SHARED);
	close(fd);

	destroy(self->fd, alloc.out_rsc_id);
	map_fails(ENOENT, self->fd, offset, page, both, MAP_SHARED);
}

TEST_F(umem, read_only_files_map_memory_to_read)
{
	size_t page = page_size();
	int fd = open(self->dev.node, O_RDONLY | O_CLOEXEC);
	struct fwctl_rsc_umem_alloc alloc;
	uint8_t *mem;

	ASSERT_LE(0, fd);
	alloc = umem_alloc(fd, page);
	map_fails(EACCES, fd, alloc.out_offset, page, PROT_READ | PROT_WRITE, MAP_SHARED);
	mem = _map(fd, alloc.out_offset, page, PROT_READ, MAP_SHARED);
	ASSERT_NE(NULL, (void *)mem);
	EXPECT_EQ(0, _fw_fill(fd, alloc.out_umem_id, 0, page, 0x77));
	EXPECT_TRUE(all_bytes_are(mem, 0x77, page));
	EXPECT_NE(0, mprotect(mem, page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(NULL, (void *)_map(fd, alloc.out_offset, page, PROT_READ, MAP_PRIVATE));
	munmap(mem, page);
	close(fd);
}

static sigjmp_buf fault_return;

static void on_fault(int sig)
{
	siglongjmp(fault_return, sig);
}

/* Returns the signal that a read of a byte raises, or 0. */
static int signal_of_read(const volatile uint8_t *mem)
{
	struct sigaction action = { .sa_handler = on_fault };
	int sig;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sig = sigsetjmp(fault_return, 1);
	if (!sig)
		(void)*mem;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	return sig;
}

TEST_F(umem, mappings_do_not_change)
{
	size_t page = page_size();
	struct fwctl_rsc_umem_alloc alloc = umem_alloc(self->fd, 4 * page);
	uint8_t *mem = map(self->fd, alloc.out_offset, 2 * page), *moved;

	EXPECT_EQ(MAP_FAILED, mremap(mem, 2 * page, 4 * page, MREMAP_MAYMOVE));
	EXPECT_NE(0, mprotect(mem, page, PROT_READ | PROT_EXEC));
	moved = mremap(mem, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, memory(2 * page));
	ASSERT_NE(MAP_FAILED, (void *)moved);
	EXPECT_EQ(0, _fw_fill(self->fd, alloc.out_umem_id, page, page, 6));
	EXPECT_TRUE(all_bytes_are(moved + page, 6, page));
	ASSERT_EQ(0, munmap(moved, page));
	EXPECT_EQ(SIGSEGV, signal_of_read(moved));
	EXPECT_EQ(0, signal_of_read(moved + page));
}

struct mapping {
	int fd;
	uint8_t *mem;
	struct fwctl_rsc_umem_alloc alloc;
};

static int has_no_mapping(void *arg)
{
	struct mapping *mapping = arg;

	if (signal_of_read(mapping->mem) != SIGSEGV)
		return 1;
	/* The file is the same. */
	mapping->mem = _map(mapping->fd, mapping->alloc.out_offset, page_size(),
			    PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!mapping->mem || mapping->mem[0] != 0x44)
		return 2;
	mapping->mem[0] = 0x55;
	return 0;
}

TEST_F(umem, a_fork_does_not_inherit_mappings)
{
	struct mapping mapping = { .fd = self->fd, .alloc = umem_alloc(self->fd, page_size()) };

	mapping.mem = map(self->fd, mapping.alloc.out_offset, page_size());
	mapping.mem[0] = 0x44;
	EXPECT_EQ(0, in_child(has_no_mapping, &mapping));
	EXPECT_EQ(0x55, mapping.mem[0]);
}

/* A mapping keeps its pages, even if other memory has the number afterwards. */
TEST_F(umem, mappings_outlive_their_resource)
{
	size_t page = page_size();
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	struct fwctl_rsc_umem_alloc alloc, next;
	uint8_t *mem, *other;

	ASSERT_LE(0, fd);
	alloc = umem_alloc(fd, page);
	mem = map(fd, alloc.out_offset, page);
	EXPECT_EQ(0, _fw_fill(fd, alloc.out_umem_id, 0, page, 0x21));
	destroy(fd, alloc.out_rsc_id);
	EXPECT_TRUE(all_bytes_are(mem, 0x21, page));

	next = umem_alloc(fd, page);
	EXPECT_EQ(alloc.out_rsc_id, next.out_rsc_id);
	EXPECT_EQ(alloc.out_offset, next.out_offset);
	EXPECT_EQ(0, _fw_fill(fd, next.out_umem_id, 0, page, 0x22));
	other = map(fd, next.out_offset, page);
	EXPECT_TRUE(all_bytes_are(mem, 0x21, page));
	EXPECT_TRUE(all_bytes_are(other, 0x22, page));

	/* A mapping keeps its file open. */
	close(fd);
	EXPECT_EQ(1, of_device(&self->dev, "registrations"));
	ASSERT_EQ(0, munmap(mem, page));
	ASSERT_EQ(0, munmap(other, page));
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
}

/* Nothing is pinned, so locked memory is not needed. */
static int allocates_without_locked_memory(void *arg)
{
	struct rlimit limit = {};
	struct fwctl_rsc_umem_alloc alloc;
	struct fwctl_rsc_umem_reg reg;
	int fd = *(int *)arg;
	uint8_t *mem;

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(1000, 1000, 1000))
		return 1;
	if (_umem_reg(fd, memory(page_size()), page_size(), 0, &reg) != ENOMEM)
		return 2;
	if (_umem_alloc(fd, 16 * page_size(), 0, &alloc))
		return 3;
	mem = _map(fd, alloc.out_offset, 16 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!mem || _fw_fill(fd, alloc.out_umem_id, 0, 16 * page_size(), 9) ||
	    !all_bytes_are(mem, 9, 16 * page_size()))
		return 4;
	return locked_kb() ? 5 : 0;
}

TEST_F(umem, allocated_memory_is_not_locked)
{
	if (geteuid())
		SKIP(return, "needs root");
	EXPECT_EQ(0, in_child(allocates_without_locked_memory, &self->fd));
}

static int allocates_on_request(int fd, int go)
{
	struct fwctl_rsc_umem_alloc alloc;
	char byte;

	/* The memory of the first RPC stays charged. */
	if (read(go, &byte, 1) != 1 || _loopback_echo(fd, FWCTL_RPC_CONFIGURATION))
		return 1;
	if (read(go, &byte, 1) != 1 || _umem_alloc(fd, 8ul << 20, 0, &alloc))
		return 2;
	if (read(go, &byte, 1) != 1 || _destroy(fd, alloc.out_rsc_id))
		return 3;
	return read(go, &byte, 1) != 1;
}

TEST_F_TIMEOUT(umem, allocated_memory_is_charged, LONG_TIMEOUT)
{
	char cgroup[PATH_MAX];
	long before, during, after;
	int go[2], status = -1;
	pid_t child;

	if (!make_cgroup(cgroup, sizeof(cgroup)))
		SKIP(return, "no memory controller of cgroup2");
	ASSERT_EQ(0, pipe(go));
	child = fork();
	if (child == 0)
		_exit(allocates_on_request(self->fd, go[0]));
	ASSERT_LT(0, child);
	ASSERT_TRUE(wait_for_state(child, 'S'));
	ASSERT_EQ(0, move_to_cgroup(cgroup, child));

#define STEP(value) do {							\
	ASSERT_EQ(1, write(go[1], "x", 1));					\
	usleep(1000);								\
	ASSERT_TRUE(wait_for_state(child, 'S'));				\
	value = memory_current(cgroup);						\
} while (0)
	STEP(before);
	ASSERT_LE(0, before);
	STEP(during);
	STEP(after);
	ASSERT_EQ(1, write(go[1], "x", 1));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);

	/* The counter is batched per CPU. */
	TH_LOG("%ld bytes before, %ld during, %ld after", before, during, after);
	EXPECT_LE(6l << 20, during - before);
	EXPECT_LE(6l << 20, during - after);
	rmdir(cgroup);
}

TEST_F(umem, allocated_memory_counts_for_the_limits)
{
	size_t page = page_size();
	uint8_t *mem = memory(page);

	umem_alloc(self->fd, MAX_LEN);
	umem_alloc(self->fd, MAX_LEN - page);
	umem_reg_fails(ENOSPC, self->fd, memory(2 * page), 2 * page);
	umem_alloc_fails(ENOSPC, self->fd, 2 * page);
	umem_reg(self->fd, mem, page);
	umem_alloc_fails(ENOSPC, self->fd, page);
	destroy(self->fd, 1);
	for (int i = 0; i < MAX_COUNT - 2; i++)
		umem_alloc(self->fd, page);
	umem_alloc_fails(ENOSPC, self->fd, page);
	umem_reg_fails(ENOSPC, self->fd, mem, page);
}

TEST_F(umem, results_of_allocations_that_cannot_be_told_are_undone)
{
	struct fwctl_rsc_umem_alloc *alloc = page_with(PROT_READ | PROT_WRITE, 0);

	alloc->size = sizeof(*alloc);
	alloc->len = page_size();
	ASSERT_EQ(0, mprotect(alloc, page_size(), PROT_READ));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RSC_UMEM_ALLOC, alloc));
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
}

TEST_F(umem, nobody_allocates_memory_without_a_scope)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), CLASS_DIR "/%s/max_scope", self->dev.name);
	if (write_text(path, "none"))
		SKIP(return, "cannot change max_scope");
	umem_alloc_fails(EPERM, self->fd, page_size());
	EXPECT_EQ(0, write_text(path, "debug-write-full"));
	umem_alloc(self->fd, page_size());
}

TEST_F_TIMEOUT(umem, mappings_outlive_the_device, LONG_TIMEOUT)
{
	size_t page = page_size();
	struct fwctl_rsc_umem_alloc alloc = umem_alloc(self->fd, 2 * page);
	uint8_t *mem = map(self->fd, alloc.out_offset, 2 * page);

	EXPECT_EQ(0, _fw_fill(self->fd, alloc.out_umem_id, 0, 2 * page, 0x31));
	if (unbind(&self->dev))
		SKIP(return, "cannot unbind");
	EXPECT_TRUE(all_bytes_are(mem, 0x31, 2 * page));
	mem[0] = 0;
	map_fails(ENODEV, self->fd, alloc.out_offset, page, PROT_READ, MAP_SHARED);
	umem_alloc_fails(ENODEV, self->fd, page);
	EXPECT_EQ(0, bind_again(&self->dev));
	EXPECT_TRUE(all_bytes_are(mem + page, 0x31, page));
}

/* Allocates, maps and destroys until the device is removed. */
static void *churn_mappings(void *arg)
{
	int fd = *(int *)arg, err;
	size_t len = 3 * page_size();
	struct fwctl_rsc_umem_alloc alloc;
	uint8_t *mem;

	do {
		err = _umem_alloc(fd, len, 0, &alloc);
		if (err)
			break;
		mem = _map(fd, alloc.out_offset, len, PROT_READ | PROT_WRITE, MAP_SHARED);
		err = mem ? 0 : errno;
		if (mem) {
			err = _fw_fill(fd, alloc.out_umem_id, 0, len, 1);
			if (!err && !all_bytes_are(mem, 1, len))
				return (void *)(long)ECHANGED;
		}
		if (!err)
			err = _destroy(fd, alloc.out_rsc_id);
		if (mem)
			munmap(mem, len);
	} while (!err);
	return (void *)(long)err;
}

TEST_F_TIMEOUT(umem, unbind_races_with_mappings, LONG_TIMEOUT)
{
	unbind_under(_metadata, &self->dev, self->pinned, churn_mappings);
}

FIXTURE(quarantine)
{
	struct device dev;
	int fd;
	long pinned;
	unsigned long locked;
	size_t len;
	uint8_t *mem;
};

FIXTURE_SETUP(quarantine)
{
	const char *missing = open_umem(_metadata, &self->dev, &self->fd);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, quarantined());
	self->pinned = pinned_pages();
	self->locked = locked_kb();
	self->len = 3 * page_size();
	self->mem = memory(self->len);
}

/* The driver was unbound, and with it all that could access the memory. */
FIXTURE_TEARDOWN(quarantine)
{
	EXPECT_EQ(0, unbind(&self->dev));
	EXPECT_EQ(0, quarantined());
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(self->locked, locked_kb());
	EXPECT_EQ(0, bind_again(&self->dev));
	close(self->fd);
}

#define EXPECT_QUARANTINED(pages) do {						\
	EXPECT_EQ((pages) * page_size(), quarantined());			\
	EXPECT_EQ((pages) * page_size(), of_device(&self->dev, "quarantined_bytes")); \
	EXPECT_PINNED(self->pinned + (pages));			\
	EXPECT_EQ(self->locked + (pages) * page_size() / 1024, locked_kb());	\
} while (0)

TEST_F_TIMEOUT(quarantine, memory_that_is_not_forgotten_stays, LONG_TIMEOUT)
{
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, self->mem, self->len);
	struct fwctl_rsc_umem_reg other = umem_reg(self->fd, memory(page_size()), page_size());

	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_KEPT);
	destroy_fails(EIO, self->fd, reg.out_rsc_id);
	EXPECT_EQ(self->len, quarantined());
	EXPECT_EQ(1, of_device(&self->dev, "registrations"));
	/* The number is free. */
	destroy_fails(ENOENT, self->fd, reg.out_rsc_id);
	EXPECT_EQ(ENOENT, _fw_fill(self->fd, reg.out_umem_id, 0, 1, 0));
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_WORKS);
	destroy(self->fd, other.out_rsc_id);
	EXPECT_QUARANTINED(3);
	EXPECT_EQ(reg.out_rsc_id, umem_reg(self->fd, self->mem, self->len).out_rsc_id);
	destroy(self->fd, reg.out_rsc_id);
	EXPECT_QUARANTINED(3);
}

TEST_F_TIMEOUT(quarantine, new_memory_that_the_firmware_may_have_stays, LONG_TIMEOUT)
{
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_UNANSWERED);
	umem_reg_fails(EIO, self->fd, self->mem, self->len);
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
	EXPECT_QUARANTINED(3);
	umem_reg_fails(EIO, self->fd, self->mem, self->len);
	EXPECT_QUARANTINED(6);
}

TEST_F_TIMEOUT(quarantine, closed_files_leave_memory, LONG_TIMEOUT)
{
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	umem_reg(fd, self->mem, self->len);
	umem_reg(fd, self->mem, page_size());
	set_mode(_metadata, fd, FWCTL_LOOPBACK_MEMORY_KEPT);
	close(fd);
	EXPECT_QUARANTINED(4);
	EXPECT_EQ(0, of_device(&self->dev, "registrations"));
	/* Not given to anybody else, even if the program has no use for it. */
	ASSERT_EQ(0, munmap(self->mem, self->len));
	EXPECT_QUARANTINED(4);
}

static int leaves_memory(void *arg)
{
	uint32_t out_len = 0;
	int fd = open(arg, O_RDWR);
	struct fwctl_rsc_umem_reg reg;

	if (fd < 0 || _umem_reg(fd, memory(page_size()), page_size(), 0, &reg) ||
	    _loopback_op(fd, FWCTL_LOOPBACK_MEMORY_MODE, FWCTL_LOOPBACK_MEMORY_KEPT, NULL,
			 &out_len))
		return 1;
	return 0;
}

TEST_F_TIMEOUT(quarantine, programs_that_are_gone_leave_memory, LONG_TIMEOUT)
{
	EXPECT_EQ(0, in_child(leaves_memory, self->dev.node));
	EXPECT_EQ(page_size(), quarantined());
	EXPECT_PINNED(self->pinned + 1);
}

TEST_F_TIMEOUT(quarantine, unbind_releases_memory_without_hardware, LONG_TIMEOUT)
{
	int log = kmsg_open();

	umem_reg(self->fd, self->mem, self->len);
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_KEPT);
	EXPECT_EQ(0, unbind(&self->dev));
	EXPECT_EQ(0, quarantined());
	EXPECT_PINNED(self->pinned);
	EXPECT_EQ(1, kmsg_count(log, "firmware did not forget memory: 3 pages", NULL, 0));
	EXPECT_EQ(0, bind_again(&self->dev));
	close(log);
}

/* Not locked, and not given to anybody else either. */
TEST_F_TIMEOUT(quarantine, allocated_memory_stays, LONG_TIMEOUT)
{
	struct fwctl_rsc_umem_alloc alloc = umem_alloc(self->fd, self->len);
	uint8_t *mem = map(self->fd, alloc.out_offset, self->len);

	EXPECT_EQ(0, _fw_fill(self->fd, alloc.out_umem_id, 0, self->len, 0x66));
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_KEPT);
	destroy_fails(EIO, self->fd, alloc.out_rsc_id);
	EXPECT_EQ(self->len, quarantined());
	EXPECT_EQ(self->locked, locked_kb());
	EXPECT_TRUE(all_bytes_are(mem, 0x66, self->len));
	ASSERT_EQ(0, munmap(mem, self->len));
	EXPECT_EQ(self->len, quarantined());
	map_fails(ENOENT, self->fd, alloc.out_offset, self->len, PROT_READ, MAP_SHARED);

	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_UNANSWERED);
	umem_alloc_fails(EIO, self->fd, self->len);
	EXPECT_EQ(2 * self->len, quarantined());
}

TEST_F_TIMEOUT(quarantine, counts_for_the_limits, LONG_TIMEOUT)
{
	/* Of a device */
	unsigned long long left = 8 * MAX_LEN;
	struct fwctl_rsc_umem_reg reg;
	void *large;

	large = mmap(NULL, MAX_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, large);
	/* The same pages again and again: they count each time. */
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_UNANSWERED);
	for (; left; left -= MAX_LEN)
		umem_reg_fails(EIO, self->fd, large, MAX_LEN);
	umem_reg_fails(ENOSPC, self->fd, self->mem, page_size());
	set_mode(_metadata, self->fd, FWCTL_LOOPBACK_MEMORY_WORKS);
	EXPECT_EQ(ENOSPC, _umem_reg(self->fd, self->mem, page_size(), 0, &reg));
	EXPECT_EQ(8 * MAX_LEN, of_device(&self->dev, "quarantined_bytes"));
}

TEST_HARNESS_MAIN
