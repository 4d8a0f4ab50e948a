// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that programs register for the firmware of a ConnectX: their own, and the kernel's.
 *
 * Needs the ConnectX of fwctl-emu, which nothing else may use, started with a short --cmd-timeout,
 * and a command `emu` that connects to its control socket.
 */
#include "mlx5_memory.h"

#define OP_CREATE_MKEY 0x200
#define OP_DESTROY_MKEY 0x202
#define OP_ALLOC_PD 0x800
#define OP_DEALLOC_PD 0x801
#define OP_CREATE_UMEM 0xa08
#define OP_DESTROY_UMEM 0xa0a

#define REG_RESOURCE_DUMP 0xc000

#define REG_MCC 0x9062
#define REG_MCDD 0x905c

/* Instructions of MCC */
#define MCC_LOCK 1
#define MCC_RELEASE 2
#define MCC_UPDATE 3
#define MCC_VERIFY 4
#define MCC_READ 7

#define COMPONENT_LEN 4096
#define MAILBOX_PAGE 2

#define DUMP_LEN (64u << 10)

/* Time for a command that times out: that of the emulator, and 5 seconds of mlx5_core. */
#define PATIENCE 300

#define fault(...) ASSERT_EQ(-1, emu("fault " __VA_ARGS__))

/* Registers memory as the variant of the test says.  Returns 0 or an errno. */
typedef int register_fn(int fd, void *addr, size_t len, uint64_t flags,
			struct fwctl_rsc_umem_reg *reg);

#define umem_reg(fd, addr, len, flags) ({					\
	struct fwctl_rsc_umem_reg __reg;					\
	ASSERT_EQ(0, variant->reg(fd, addr, len, flags, &__reg));		\
	__reg;									\
})

#define destroy(fd, rsc_id) ASSERT_EQ(0, _destroy(fd, rsc_id))

/* Returns how many objects of a kind the user context has. */
static long count_owned(uint32_t uid, const char *what)
{
	return emu_count("/owned/%u/%s", uid, what);
}

/* Accesses a register of 32 bytes.  Returns 0, an errno, or minus the status of the firmware. */
static int _register(int fd, uint32_t scope, uint16_t op_mod, uint16_t id, uint8_t *data)
{
	struct command cmd = command(OP_ACCESS_REG, op_mod);
	uint32_t len = HEADER_LEN + 0x20;
	struct answer answer;
	int err;

	cmd.register_id = htobe16(id);
	memcpy(cmd.data, data, 0x20);
	err = _fwctl_rpc(fd, scope, &cmd, len, &answer, &len);
	if (err || answer.status)
		return err ? err : -answer.status;
	memcpy(data, answer.data, 0x20);
	return 0;
}

/* Returns 0, an errno, or minus the status of the firmware. */
static int _mcc(int fd, uint8_t instruction, uint8_t component, uint32_t size, uint32_t *handle)
{
	uint8_t data[0x20] = { [3] = instruction, [7] = component };
	int err;

	put32(data + 8, *handle);
	put32(data + 16, size);
	err = _register(fd, FWCTL_RPC_CONFIGURATION, WRITE_REG, REG_MCC, data);
	if (!err)
		*handle = data[9] << 16 | data[10] << 8 | data[11];
	return err;
}

#define mcc(fd, instruction, component, size, handle) \
	ASSERT_EQ(0, _mcc(fd, instruction, component, size, handle))

#define begin_reading(fd, handle) do {						\
	mcc(fd, MCC_LOCK, 0, 0, handle);					\
	mcc(fd, MCC_READ, 1, 0, handle);					\
} while (0)

/* What MCDD has where a device sees addresses. */
struct mcdd_names {
	uint32_t page_high;
	uint32_t page;
	uint32_t umem_high;
	uint32_t umem;
};

/* Moves a page of a component.  Returns 0, an errno, or minus the status of the firmware. */
static int _mcdd(int fd, uint16_t op_mod, uint32_t handle, uint32_t size, struct mcdd_names names)
{
	uint32_t scope = op_mod == READ_REG ? FWCTL_RPC_DEBUG_READ_ONLY : FWCTL_RPC_CONFIGURATION;
	uint8_t data[0x20] = {}, asked[0x20];
	int err;

	put32(data, handle);
	put32(data + 8, size);
	put32(data + 0x10, names.page_high);
	put32(data + 0x14, names.page);
	put32(data + 0x18, names.umem_high);
	put32(data + 0x1c, names.umem);
	memcpy(asked, data, sizeof(data));
	err = _register(fd, scope, op_mod, REG_MCDD, data);
	/* The reply tells no address. */
	return err ? err : memcmp(data + 0x10, asked + 0x10, 0x10) ? ECHANGED : 0;
}

static void *memory(size_t pages)
{
	uint8_t *end = mapping_end(pages);

	memset(end - pages * page_size(), 0x11, pages * page_size());
	return end - pages * page_size();
}

/* Opens an emulated ConnectX. Returns why there is none, or NULL. */
static const char *open_emulated(struct __test_metadata *_metadata, struct device *dev, int *fd)
{
	if (!find_device(dev, is_mlx5))
		return "no device of mlx5_core: load mlx5_fwctl";
	if (emu("clear 2>&1") != -1)
		return "no emulator: the command emu fails";
	*fd = open(dev->node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, *fd);
	return NULL;
}

FIXTURE(mlx5_umem)
{
	struct device dev;
	int fd;
	uint32_t uid;
	uint8_t *mem;
	size_t len;
};

FIXTURE_VARIANT(mlx5_umem)
{
	register_fn *reg;
};

FIXTURE_VARIANT_ADD(mlx5_umem, pinned)
{
	.reg = _umem_reg,
};

FIXTURE_VARIANT_ADD(mlx5_umem, allocated)
{
	.reg = _umem_alloc,
};

FIXTURE_SETUP(mlx5_umem)
{
	struct fwctl_rsc_umem_reg reg;
	const char *missing;
	struct fwctl_info_mlx5 info;
	int err;

	missing = open_emulated(_metadata, &self->dev, &self->fd);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, _info(self->fd, &info));
	self->uid = info.uid;
	self->len = 2 * DUMP_LEN > 4 * page_size() ? 2 * DUMP_LEN : 4 * page_size();
	self->mem = (uint8_t *)mapping_end(self->len / page_size()) - self->len;
	memset(self->mem, 0x11, self->len);

	err = variant->reg(self->fd, self->mem, self->len, 0, &reg);
	if (err == ENOTTY)
		SKIP(return, "the driver has no registered memory");
	if (err == EREMOTEIO)
		SKIP(return, "the device has no umems");
	if (err == EOPNOTSUPP)
		SKIP(return, "the memory needs bounce buffers");
	ASSERT_EQ(0, err);
	destroy(self->fd, reg.out_rsc_id);
	ASSERT_EQ(0, quarantined());
}

FIXTURE_TEARDOWN(mlx5_umem)
{
	EXPECT_EQ(-1, emu("clear"));
	/* A mapping would keep the file open. */
	munmap(self->mem, self->len);
	close(self->fd);
	EXPECT_EQ(0, count_owned(self->uid, "umems"));
	EXPECT_EQ(0, count_owned(self->uid, "pds"));
	EXPECT_EQ(0, count_owned(self->uid, "mkeys"));
	EXPECT_EQ(0, quarantined());
}

#define EXPECT_OWNED(umems, keys) do {						\
	EXPECT_EQ(umems, count_owned(self->uid, "umems"));				\
	EXPECT_EQ(keys, count_owned(self->uid, "mkeys"));				\
	EXPECT_EQ(keys, count_owned(self->uid, "pds"));				\
} while (0)

/*
 * The device would write to copies, which the program does not see.  Memory of the kernel needs
 * none: the tests of that variant run with swiotlb=force, too.
 */
TEST(bounce_buffers_are_refused)
{
	struct fwctl_rsc_umem_reg reg;
	char command_line[4096];
	struct device dev;
	int fd;

	if (read_text("/proc/cmdline", command_line, sizeof(command_line)) ||
	    !strstr(command_line, "swiotlb=force"))
		SKIP(return, "not booted with swiotlb=force");
	if (!find_device(&dev, is_mlx5))
		SKIP(return, "no device of mlx5_core: load mlx5_fwctl");
	fd = open(dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(EOPNOTSUPP, _umem_reg(fd, memory(4), 4 * page_size(), 0, &reg));
	EXPECT_EQ(EOPNOTSUPP, _umem_reg(fd, memory(1), page_size(), 0, &reg));
	EXPECT_EQ(0, quarantined());
	read_mgir(fd);
	close(fd);
}

TEST_F(mlx5_umem, objects_belong_to_the_user_context)
{
	struct fwctl_rsc_umem_reg plain, with_key;

	plain = umem_reg(self->fd, self->mem, page_size(), 0);
	EXPECT_EQ(0, plain.out_mkey_id);
	EXPECT_OWNED(1, 0);
	with_key = umem_reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY);
	EXPECT_NE(0, with_key.out_mkey_id);
	EXPECT_NE(plain.out_umem_id, with_key.out_umem_id);
	EXPECT_OWNED(2, 1);
	destroy(self->fd, plain.out_rsc_id);
	EXPECT_OWNED(1, 1);
	destroy(self->fd, with_key.out_rsc_id);
	EXPECT_OWNED(0, 0);
	EXPECT_EQ(ENOENT, _destroy(self->fd, with_key.out_rsc_id));
}

TEST_F(mlx5_umem, dumps_go_to_memory)
{
	uint32_t mkey = umem_reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY).out_mkey_id;
	/* Of MCDD, which goes to pages of the driver */
	long outside = emu_count("/dma/outside_umems");

	EXPECT_EQ(0, _dump(self->fd, READ_REG, mkey, page_size(), DUMP_LEN));
	EXPECT_TRUE(all_bytes_are(self->mem, 0x11, page_size()));
	EXPECT_FALSE(all_bytes_are(self->mem + page_size(), 0x11, page_size()));
	EXPECT_FALSE(all_bytes_are(self->mem + DUMP_LEN, 0x11, page_size()));
	EXPECT_TRUE(all_bytes_are(self->mem + page_size() + DUMP_LEN, 0x11,
				  self->len - DUMP_LEN - page_size()));
	/* The key ends with the memory. */
	EXPECT_GT(0, _dump(self->fd, READ_REG, mkey, self->len - 4, 8));
	EXPECT_GT(0, _dump(self->fd, READ_REG, mkey, self->len, 4));
	EXPECT_GT(0, _dump(self->fd, READ_REG, mkey, to_u64(self->mem), 4));
	EXPECT_EQ(outside, emu_count("/dma/outside_umems"));
}

TEST_F(mlx5_umem, keys_belong_to_a_file)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY);
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(EBADMSG, _dump(fd, READ_REG, reg.out_mkey_id, 0, 4));
	umem_reg(fd, self->mem, page_size(), FWCTL_UMEM_FLAG_MKEY);
	EXPECT_EQ(EBADMSG, _dump(fd, READ_REG, reg.out_mkey_id, 0, 4));
	EXPECT_EQ(EBADMSG, _dump(self->fd, READ_REG, 0, 0, 4));
	EXPECT_EQ(EBADMSG, _dump(self->fd, READ_REG, reg.out_mkey_id ^ 1, 0, 4));
	EXPECT_EQ(EBADMSG, _dump(self->fd, READ_REG, reg.out_mkey_id + 256, 0, 4));
	/* Only reads dump. */
	EXPECT_EQ(EBADMSG, _dump(self->fd, WRITE_REG, reg.out_mkey_id, 0, 4));
	EXPECT_TRUE(all_bytes_are(self->mem, 0x11, self->len));
	destroy(self->fd, reg.out_rsc_id);
	EXPECT_EQ(EBADMSG, _dump(self->fd, READ_REG, reg.out_mkey_id, 0, 4));
	close(fd);
}

/* As mstflint does it. */
TEST_F(mlx5_umem, components_are_burned_and_read_back)
{
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, self->mem, 3 * page_size(),
						 FWCTL_UMEM_FLAG_MKEY | FWCTL_UMEM_FLAG_MCDD);
	uint8_t *mailbox = self->mem + MAILBOX_PAGE * page_size(), image[COMPONENT_LEN];
	struct mcdd_names names = { .umem = reg.out_umem_id };
	uint32_t handle = 0;

	fill_pattern(image, sizeof(image), 9);
	memcpy(self->mem, image, sizeof(image));
	mcc(self->fd, MCC_LOCK, 0, 0, &handle);
	mcc(self->fd, MCC_UPDATE, 1, sizeof(image), &handle);
	memset(mailbox, 0, page_size());
	ASSERT_EQ(0, _mcdd(self->fd, WRITE_REG, handle, sizeof(image), names));
	/* The register, without addresses, and the status: done, no error. */
	EXPECT_EQ(2, mailbox[0x20]);
	EXPECT_EQ(0, mailbox[0x21]);
	EXPECT_TRUE(all_bytes_are(mailbox + 0x10, 0, 8));
	EXPECT_EQ(0, memcmp(self->mem, image, sizeof(image)));
	mcc(self->fd, MCC_VERIFY, 1, 0, &handle);
	mcc(self->fd, MCC_RELEASE, 1, 0, &handle);

	handle = 0;
	begin_reading(self->fd, &handle);
	names.page = 1;
	memset(mailbox, 0, page_size());
	ASSERT_EQ(0, _mcdd(self->fd, READ_REG, handle, sizeof(image) / 2, names));
	EXPECT_EQ(2, mailbox[0x20]);
	EXPECT_EQ(0, memcmp(self->mem + page_size(), image, sizeof(image) / 2));
	EXPECT_TRUE(all_bytes_are(self->mem + page_size() + sizeof(image) / 2, 0x11,
				  page_size() - sizeof(image) / 2));
	/* The firmware reports an error in the mailbox: the state is not that of a burn. */
	EXPECT_GT(0, _mcdd(self->fd, WRITE_REG, handle, 4, names));
	mcc(self->fd, MCC_RELEASE, 1, 0, &handle);
}

TEST_F(mlx5_umem, components_go_through_own_memory)
{
	struct fwctl_rsc_umem_reg plain =
		umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MKEY);
	struct fwctl_rsc_umem_reg small =
		umem_reg(self->fd, self->mem, 2 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	struct mcdd_names cases[] = {
		{ .umem = plain.out_umem_id },
		{ .umem = small.out_umem_id },
		{ .umem = 0 },
		{ .umem = reg.out_umem_id + 1 },
		{ .umem = reg.out_umem_id, .umem_high = 1 },
		{ .umem = reg.out_umem_id, .page_high = 1 },
		{ .umem = reg.out_umem_id, .page = MAILBOX_PAGE },
		{ .umem = reg.out_umem_id, .page = 3 },
		{ .umem = reg.out_umem_id, .page = UINT32_MAX },
		/* An address. */
		{ .umem = reg.out_umem_id, .page = 0x100000 },
	};
	uint8_t *mailbox = self->mem + MAILBOX_PAGE * page_size();
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	struct mcdd_names good = { .umem = reg.out_umem_id };
	uint32_t handle = 0;

	ASSERT_LE(0, fd);
	begin_reading(self->fd, &handle);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(EBADMSG, _mcdd(self->fd, READ_REG, handle, 8, cases[i])) {
			TH_LOG("case %zu", i);
		}
	}
	EXPECT_EQ(EBADMSG, _mcdd(fd, READ_REG, handle, 8, good));
	EXPECT_EQ(EBADMSG, _mcdd(self->fd, READ_REG, handle, 0, good));
	EXPECT_EQ(EBADMSG, _mcdd(self->fd, READ_REG, handle, 4097, good));
	EXPECT_EQ(EBADMSG, _mcdd(self->fd, 2, handle, 8, good));
	EXPECT_TRUE(all_bytes_are(self->mem, 0x11, 3 * page_size()));
	EXPECT_EQ(0, _mcdd(self->fd, READ_REG, handle, 8, good));
	EXPECT_EQ(2, mailbox[0x20]);
	mcc(self->fd, MCC_RELEASE, 1, 0, &handle);
	close(fd);
}

/*
 * A component that moves late does not go to memory that was destroyed: the RPC ends when the
 * firmware is done.
 */
TEST_F(mlx5_umem, late_components_are_waited_for)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	uint8_t *mailbox = self->mem + MAILBOX_PAGE * page_size();
	struct mcdd_names names = { .umem = reg.out_umem_id };
	uint32_t handle = 0;

	begin_reading(self->fd, &handle);
	fault("op=0x805,reg=%#x,dma_late=1500", REG_MCDD);
	EXPECT_EQ(0, _mcdd(self->fd, READ_REG, handle, 8, names));
	EXPECT_EQ(2, mailbox[0x20]);
	destroy(self->fd, reg.out_rsc_id);
	mcc(self->fd, MCC_RELEASE, 1, 0, &handle);
}

/* Starts a task that reads 8 bytes of a component.  It exits with the result of _mcdd(). */
static pid_t start_mcdd(int fd, uint32_t handle, struct mcdd_names names)
{
	pid_t child = fork();

	if (!child)
		_exit(_mcdd(fd, READ_REG, handle, 8, names));
	return child;
}

static void wait_for_pending_dma(void)
{
	while (!emu_count("/dma/pending"))
		usleep(10000);
}

/* The firmware still moves the data of a caller that was killed.  Its pages are not used again. */
TEST_F_TIMEOUT(mlx5_umem, killed_callers_do_not_wait_for_components, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	struct mcdd_names names = { .umem = reg.out_umem_id };
	uint32_t handle = 0;
	int status, err;
	pid_t child;

	begin_reading(self->fd, &handle);
	fault("op=0x805,reg=%#x,dma_late=3600000", REG_MCDD);
	child = start_mcdd(self->fd, handle, names);
	ASSERT_LE(0, child);
	wait_for_pending_dma();
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(1, emu_count("/dma/pending"));
	EXPECT_EQ(EBUSY, _mcdd(self->fd, READ_REG, handle, 8, names));
	/* Its own memory is not affected. */
	destroy(self->fd, reg.out_rsc_id);
	reg = umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	names.umem = reg.out_umem_id;
	memset(self->mem, 0x11, 3 * page_size());

	EXPECT_LE(0, emu("release"));
	while ((err = _mcdd(self->fd, READ_REG, handle, 8, names)) == EBUSY)
		usleep(10000);
	EXPECT_EQ(0, err);
	EXPECT_EQ(2, self->mem[MAILBOX_PAGE * page_size() + 0x20]);
	mcc(self->fd, MCC_RELEASE, 1, 0, &handle);
}

TEST_F(mlx5_umem, close_destroys_the_objects)
{
	struct fwctl_info_mlx5 info;
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, _info(fd, &info));
	for (int i = 1; i <= 3; i++)
		umem_reg(fd, self->mem, i * page_size(), FWCTL_UMEM_FLAG_MKEY);
	EXPECT_EQ(3, count_owned(info.uid, "umems"));
	munmap(self->mem, self->len);
	close(fd);
	EXPECT_EQ(0, count_owned(info.uid, "umems"));
	EXPECT_EQ(0, count_owned(info.uid, "mkeys"));
	EXPECT_EQ(0, count_owned(info.uid, "pds"));
}

TEST_F_TIMEOUT(mlx5_umem, as_much_as_a_registration_may_have, PATIENCE)
{
	size_t len = 64ul << 20;
	struct fwctl_rsc_umem_reg reg;
	uint8_t *large;

	large = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)large);
	reg = umem_reg(self->fd, large, len, FWCTL_UMEM_FLAG_MKEY);
	EXPECT_EQ(0, _dump(self->fd, READ_REG, reg.out_mkey_id, len - DUMP_LEN, DUMP_LEN));
	EXPECT_TRUE(all_bytes_are(large, 0, len - DUMP_LEN));
	EXPECT_FALSE(all_bytes_are(large + len - DUMP_LEN, 0, DUMP_LEN));
	destroy(self->fd, reg.out_rsc_id);
}

TEST_F(mlx5_umem, refusals_are_undone)
{
	static const int opcodes[] = { OP_CREATE_UMEM, OP_ALLOC_PD, OP_CREATE_MKEY };
	struct fwctl_rsc_umem_reg reg;

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		fault("op=%#x,status=8", opcodes[i]);
		EXPECT_EQ(EREMOTEIO, variant->reg(self->fd, self->mem, self->len,
						  FWCTL_UMEM_FLAG_MKEY, &reg));
		EXPECT_OWNED(0, 0);
		EXPECT_EQ(0, quarantined());
	}
	umem_reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY);
}

/* The PCI function leaves mlx5_core, and comes back. */
static bool leave_and_come_back(struct device *dev)
{
	const char *driver = "/sys/bus/pci/drivers/mlx5_core";
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/unbind", driver);
	if (write_text(path, dev->parent) || quarantined())
		return false;
	snprintf(path, sizeof(path), "%s/bind", driver);
	if (write_text(path, dev->parent))
		return false;
	for (int i = 0; i < 100; i++) {
		if (find_device(dev, is_mlx5))
			return true;
		usleep(50000);
	}
	return false;
}

/* The auxiliary device leaves mlx5_fwctl, and comes back. */
static bool rebind(struct device *dev)
{
	char name[128];

	return find_auxiliary(dev, name, sizeof(name)) && !write_text(DRIVER_DIR "/unbind", name) &&
	       !write_text(DRIVER_DIR "/bind", name) && find_device(dev, is_mlx5);
}

FIXTURE(mlx5_quarantine)
{
	struct device dev;
	int fd;
	uint8_t *mem;
	size_t len;
};

FIXTURE_VARIANT(mlx5_quarantine)
{
	register_fn *reg;
};

FIXTURE_VARIANT_ADD(mlx5_quarantine, pinned)
{
	.reg = _umem_reg,
};

FIXTURE_VARIANT_ADD(mlx5_quarantine, allocated)
{
	.reg = _umem_alloc,
};

FIXTURE_SETUP(mlx5_quarantine)
{
	struct fwctl_rsc_umem_reg reg;
	const char *missing;
	int err;

	missing = open_emulated(_metadata, &self->dev, &self->fd);
	if (missing)
		SKIP(return, "%s", missing);
	self->len = 4 * page_size();
	self->mem = (uint8_t *)mapping_end(4) - self->len;
	memset(self->mem, 0x11, self->len);
	err = variant->reg(self->fd, self->mem, self->len, 0, &reg);
	if (err)
		SKIP(return, "no registered memory");
	destroy(self->fd, reg.out_rsc_id);
	ASSERT_EQ(0, quarantined());
}

/* A function that was reset has forgotten everything. */
FIXTURE_TEARDOWN(mlx5_quarantine)
{
	EXPECT_EQ(-1, emu("clear"));
	EXPECT_LE(0, emu("release"));
	EXPECT_TRUE(leave_and_come_back(&self->dev));
	/* Objects that the driver did not destroy again. */
	EXPECT_NE(-2, emu("forgive-leaks"));
	close(self->fd);
	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	EXPECT_LE(0, self->fd);
	EXPECT_EQ(0, quarantined());
	close(self->fd);
}

/* Unbinding does not wait for the firmware either: the pages are lost. */
TEST_F_TIMEOUT(mlx5_quarantine, components_do_not_delay_unbinding, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	struct mcdd_names names = { .umem = reg.out_umem_id };
	int kmsg = kmsg_open(), status;
	uint32_t handle = 0;
	pid_t child;

	begin_reading(self->fd, &handle);
	fault("op=0x805,reg=%#x,dma_late=3600000", REG_MCDD);
	child = start_mcdd(self->fd, handle, names);
	ASSERT_LE(0, child);
	wait_for_pending_dma();
	EXPECT_TRUE(rebind(&self->dev));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(ENODEV, WEXITSTATUS(status));
	EXPECT_EQ(1, emu_count("/dma/pending"));
	EXPECT_EQ(1, kmsg_count(kmsg, "did not end an access", NULL, 0));
	EXPECT_EQ(0, quarantined());
	close(kmsg);
}

/* A caller of a silent firmware is killed.  The firmware may begin the access later. */
TEST_F_TIMEOUT(mlx5_quarantine, killed_callers_do_not_wait_for_answers, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, 3 * page_size(), FWCTL_UMEM_FLAG_MCDD);
	struct mcdd_names names = { .umem = reg.out_umem_id };
	uint32_t handle = 0;
	pid_t child;
	int status;

	begin_reading(self->fd, &handle);
	fault("op=0x805,reg=%#x,never,dma_lost", REG_MCDD);
	child = start_mcdd(self->fd, handle, names);
	ASSERT_LE(0, child);
	while (!count_in_flight())
		usleep(10000);
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(EBUSY, _mcdd(self->fd, READ_REG, handle, 8, names));
	destroy(self->fd, reg.out_rsc_id);
}

TEST_F_TIMEOUT(mlx5_quarantine, umems_that_are_not_destroyed_stay, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg = umem_reg(self->fd, self->mem, self->len, 0);

	fault("op=%#x,status=6", OP_DESTROY_UMEM);
	EXPECT_EQ(EIO, _destroy(self->fd, reg.out_rsc_id));
	EXPECT_EQ(self->len, quarantined());
	EXPECT_EQ(ENOENT, _destroy(self->fd, reg.out_rsc_id));
}

TEST_F_TIMEOUT(mlx5_quarantine, keys_that_are_not_destroyed_keep_their_umem, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY);
	long commands = emu_count("/commands/DESTROY_UMEM");

	fault("op=%#x,status=6", OP_DESTROY_MKEY);
	EXPECT_EQ(EIO, _destroy(self->fd, reg.out_rsc_id));
	EXPECT_EQ(commands, emu_count("/commands/DESTROY_UMEM"));
	EXPECT_EQ(self->len, quarantined());
}

TEST_F_TIMEOUT(mlx5_quarantine, domains_do_not_refer_to_memory, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg =
		umem_reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY);

	fault("op=%#x,status=6", OP_DEALLOC_PD);
	EXPECT_EQ(0, _destroy(self->fd, reg.out_rsc_id));
	EXPECT_EQ(0, quarantined());
}

TEST_F_TIMEOUT(mlx5_quarantine, umems_that_may_exist_stay, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg;

	fault("op=%#x,never", OP_CREATE_UMEM);
	EXPECT_EQ(ETIMEDOUT, variant->reg(self->fd, self->mem, self->len, 0, &reg));
	EXPECT_EQ(self->len, quarantined());
}

TEST_F_TIMEOUT(mlx5_quarantine, keys_that_may_exist_keep_their_umem, PATIENCE)
{
	struct fwctl_rsc_umem_reg reg;

	fault("op=%#x,never", OP_CREATE_MKEY);
	EXPECT_EQ(ETIMEDOUT, variant->reg(self->fd, self->mem, self->len, FWCTL_UMEM_FLAG_MKEY,
					  &reg));
	EXPECT_EQ(self->len, quarantined());
}

TEST_F_TIMEOUT(mlx5_quarantine, silent_firmware_keeps_memory_of_closed_files, PATIENCE)
{
	int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	/* The firmware is not asked for each of them. */
	for (int i = 0; i < 10; i++)
		umem_reg(fd, self->mem, self->len, 0);
	fault("op=%#x,never,times=forever", OP_DESTROY_UMEM);
	munmap(self->mem, self->len);
	close(fd);
	EXPECT_EQ(10 * self->len, quarantined());
	EXPECT_EQ(-1, emu("clear"));
	EXPECT_LE(0, emu("release"));
	/* Unbinding the fwctl driver is not the end of the device. */
	ASSERT_TRUE(rebind(&self->dev));
	EXPECT_EQ(10 * self->len, quarantined());
}

TEST_HARNESS_MAIN
