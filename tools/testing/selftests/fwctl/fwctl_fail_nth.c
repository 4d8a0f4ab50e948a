// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection in the system calls on a fwctl device.
 *
 * Fails each allocation and each copy from or to user space in turn.  After each failure the state
 * must be consistent, and the kernel log must not have a warning.  fwctl_fail_drivers.c does the
 * same for the life of a device.
 *
 * Needs a loopback device, see fwctl.c for how it is chosen, and CONFIG_FAULT_INJECTION.
 */
#include <sys/mman.h>

#include "fault_utils.h"
#include "loopback_utils.h"

FIXTURE(fail_nth)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(fail_nth)
{
	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);
	if (!start_faults())
		SKIP(return, NO_FAULTS);
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->fd);
	EXPECT_EQ(0, rebind_device(&self->dev));
	end_faults();
}

static int open_node(const char *node, int *fd)
{
	*fd = open(node, O_RDWR);
	return *fd < 0 ? errno : 0;
}

TEST_F_TIMEOUT(fail_nth, open, LONG_TIMEOUT)
{
	int fd;

	sweep("open", open_node(self->dev.node, &fd), ({
		EXPECT_EQ(err ? 1 : 2, loopback_state(self->fd).open_uctx);
		if (!err) {
			loopback_echo(fd);
			close(fd);
		}
	}), ENOMEM, EFAULT, ENFILE);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

TEST_F_TIMEOUT(fail_nth, info, LONG_TIMEOUT)
{
	uint8_t data[64];
	uint32_t len = sizeof(data), type = 0;

	sweep("INFO", _fwctl_info(self->fd, data, &len, &type), ({
		if (!err) {
			EXPECT_EQ(sizeof(struct fwctl_info_loopback), len);
			EXPECT_EQ(FWCTL_DEVICE_TYPE_LOOPBACK, type);
		}
		len = sizeof(data);
		type = 0;
	}), ENOMEM, EFAULT);
}

/* One length for each allocator that an implementation might use. */
static const uint32_t lens[] = { 16, 256, 257, 4096, 65536, MAX_RPC_LEN };

/* Each attempt uses a new file: a buffer cached by an earlier RPC would save a step. */
static void check_rpc(struct __test_metadata *_metadata, const struct device *dev, uint32_t op)
{
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint8_t *in = malloc(lens[i]), *out = malloc(lens[i]);
		struct fwctl_loopback_cmd cmd = loopback_cmd(op, 0);
		uint32_t out_len = lens[i];
		char what[64];
		int fd;

		snprintf(what, sizeof(what), "RPC %s, %u bytes",
			 op == FWCTL_LOOPBACK_ECHO ? "in place" : "in a new buffer", lens[i]);
		ASSERT_EQ(0, open_node(dev->node, &fd));
		fill_pattern(in, lens[i], i);
		memcpy(in, &cmd, sizeof(cmd));
		memset(out, 0xee, lens[i]);
		sweep(what, _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, in, lens[i], out, &out_len), ({
			EXPECT_EQ(lens[i], out_len);
			if (!err) {
				EXPECT_EQ(0, memcmp(in, out, lens[i]));
			} else if (err == ENOMEM) {
				EXPECT_TRUE(all_bytes_are(out, 0xee, lens[i]));
			}
			memset(out, 0xee, lens[i]);
			loopback_echo(fd);
			close(fd);
			ASSERT_EQ(0, open_node(dev->node, &fd));
		}), ENOMEM, EFAULT);
		close(fd);
		free(in);
		free(out);
	}
}

TEST_F_TIMEOUT(fail_nth, rpc_in_place, LONG_TIMEOUT)
{
	check_rpc(_metadata, &self->dev, FWCTL_LOOPBACK_ECHO);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

TEST_F_TIMEOUT(fail_nth, rpc_in_a_new_buffer, LONG_TIMEOUT)
{
	check_rpc(_metadata, &self->dev, FWCTL_LOOPBACK_COPY);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

/* All allocations fail, including those of fallback paths. */
TEST_F_TIMEOUT(fail_nth, no_memory, LONG_TIMEOUT)
{
	static const uint32_t ops[] = { FWCTL_LOOPBACK_ECHO, FWCTL_LOOPBACK_COPY };
	uint8_t *in = calloc(1, MAX_RPC_LEN), *out = malloc(MAX_RPC_LEN);
	int err, fd;

	if (!can_be_without_memory())
		SKIP(return, NO_FAULTS);
	for (size_t i = 0; i < ARRAY_SIZE(lens) * ARRAY_SIZE(ops); i++) {
		struct fwctl_loopback_cmd cmd = loopback_cmd(ops[i % ARRAY_SIZE(ops)], 0);
		uint32_t len = lens[i / ARRAY_SIZE(ops)];

		ASSERT_EQ(0, open_node(self->dev.node, &fd));
		memcpy(in, &cmd, sizeof(cmd));
		memset(out, 0xee, len);
		without_memory(err, _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, in, len, out, &len));
		EXPECT_EQ(ENOMEM, err) {
			TH_LOG("%u bytes", len);
		}
		EXPECT_TRUE(all_bytes_are(out, 0xee, len));
		loopback_echo(fd);
		close(fd);
	}
	without_memory(err, open_node(self->dev.node, &fd));
	EXPECT_EQ(ENOMEM, err);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
	free(in);
	free(out);
}

/* Carries out one RPC by io_uring.  Returns 0 or an errno. */
static int rpc_by_ring(struct uring *ring, int fd, struct fwctl_rpc *rpc)
{
	struct io_uring_cqe cqe;
	int err;

	uring_fwctl(ring, fd, FWCTL_RPC, rpc, 1);
	err = uring_wait(ring, &cqe);
	return err ? err : -cqe.res;
}

/*
 * Submission and completion of a command of io_uring, as far as they run in this thread.  The
 * memory is locked, since a page fault that fails would end the program.
 */
TEST_F_TIMEOUT(fail_nth, rpc_by_io_uring, LONG_TIMEOUT)
{
	static const uint32_t ops[] = {
		FWCTL_LOOPBACK_ECHO, FWCTL_LOOPBACK_COPY, FWCTL_LOOPBACK_SLEEP,
	};
	static uint8_t in[4096], out[4096];
	struct uring ring;
	int fd;

	if (uring_init(&ring, 4, 0))
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, open_node(self->dev.node, &fd));
	if (!uring_is_supported(&ring, fd))
		SKIP(return, NO_COMMANDS);
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct fwctl_loopback_cmd cmd = loopback_cmd(ops[i], 1);
		struct fwctl_rpc fresh = {
			.size = sizeof(fresh),
			.scope = FWCTL_RPC_CONFIGURATION,
			.in_len = sizeof(in),
			.out_len = sizeof(out),
			.in = to_u64(in),
			.out = to_u64(out),
		}, rpc = fresh;
		char what[64];

		snprintf(what, sizeof(what), "RPC by io_uring, operation %u", ops[i]);
		memcpy(in, &cmd, sizeof(cmd));
		memset(out, 0xee, sizeof(out));
		sweep(what, rpc_by_ring(&ring, fd, &rpc), ({
			if (!err) {
				EXPECT_EQ(0, memcmp(in, out, sizeof(in)));
			} else if (err != EFAULT) {
				EXPECT_TRUE(all_bytes_are(out, 0xee, sizeof(out)));
			}
			/* An entry that was not submitted stays in the ring. */
			uring_exit(&ring);
			loopback_echo(fd);
			close(fd);
			memset(out, 0xee, sizeof(out));
			rpc = fresh;
			ASSERT_EQ(0, open_node(self->dev.node, &fd));
			ASSERT_EQ(0, uring_init(&ring, 4, 0));
		}), ENOMEM, EFAULT, EAGAIN);
	}
	munlockall();
	uring_exit(&ring);
	close(fd);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

static int open_use_close(const char *node)
{
	uint32_t len = 8, type;
	uint64_t data;
	int err, fd;

	err = open_node(node, &fd);
	if (err)
		return err;
	err = _fwctl_info(fd, &data, &len, &type);
	if (!err)
		err = _loopback_echo(fd, FWCTL_RPC_CONFIGURATION);
	close(fd);
	return err;
}

/* Returns 0 or an errno. */
static int umem_reg(int fd, void *mem, size_t len, struct fwctl_rsc_umem_reg *reg)
{
	*reg = (struct fwctl_rsc_umem_reg) {
		.size = sizeof(*reg),
		.flags = FWCTL_UMEM_FLAG_MKEY,
		.addr = to_u64(mem),
		.len = len,
	};
	return ioctl_errno(fd, FWCTL_RSC_UMEM_REG, reg);
}

static int umem_destroy(int fd, uint32_t rsc_id)
{
	struct fwctl_rsc_destroy cmd = { .size = sizeof(cmd), .rsc_id = rsc_id };

	return ioctl_errno(fd, FWCTL_RSC_DESTROY, &cmd);
}

/* Registrations of the device, and their bytes. */
static bool has_memory(const struct device *dev)
{
	static const char *const names[] = { "registrations", "bytes", "quarantined_bytes" };
	char path[PATH_MAX], text[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), CLASS_DIR "/%s/memory/%s", dev->name, names[i]);
		if (read_text(path, text, sizeof(text)) || strcmp(text, "0"))
			return true;
	}
	return false;
}

TEST_F_TIMEOUT(fail_nth, registered_memory, LONG_TIMEOUT)
{
	size_t len = 512 * page_size();
	struct fwctl_rsc_umem_reg reg;
	uint8_t *mem;

	if (umem_destroy(self->fd, 1) == ENOTTY)
		SKIP(return, "the driver has no registered memory");
	mem = (uint8_t *)mapping_end(512) - len;
	memset(mem, 1, len);
	/* Few pages, whose list is from kmalloc(), and many. */
	for (size_t part = page_size(); part <= len; part += len - page_size()) {
		sweep("UMEM_REG", umem_reg(self->fd, mem, part, &reg), ({
			if (!err)
				EXPECT_EQ(0, umem_destroy(self->fd, reg.out_rsc_id));
			EXPECT_FALSE(has_memory(&self->dev));
		}), ENOMEM, EFAULT);
	}
	sweep("RSC_DESTROY", ({
		int __err = umem_reg(self->fd, mem, page_size(), &reg);

		__err ? __err : umem_destroy(self->fd, reg.out_rsc_id);
	}), ({
		/* A structure that was not read destroys nothing. */
		if (err == EFAULT && has_memory(&self->dev))
			EXPECT_EQ(0, umem_destroy(self->fd, 1));
		EXPECT_FALSE(has_memory(&self->dev));
	}), ENOMEM, EFAULT);
}

static int umem_alloc(int fd, size_t len, struct fwctl_rsc_umem_alloc *alloc)
{
	*alloc = (struct fwctl_rsc_umem_alloc) {
		.size = sizeof(*alloc),
		.flags = FWCTL_UMEM_FLAG_MKEY,
		.len = len,
	};
	return ioctl_errno(fd, FWCTL_RSC_UMEM_ALLOC, alloc);
}

/* Returns 0 or an errno. */
static int map(int fd, uint64_t offset, size_t len, void **mem)
{
	*mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	return *mem == MAP_FAILED ? errno : 0;
}

TEST_F_TIMEOUT(fail_nth, allocated_memory, LONG_TIMEOUT)
{
	size_t len = 16 * page_size();
	struct fwctl_rsc_umem_alloc alloc;
	void *mem;

	if (umem_destroy(self->fd, 1) == ENOTTY)
		SKIP(return, "the driver has no registered memory");
	sweep("UMEM_ALLOC", umem_alloc(self->fd, len, &alloc), ({
		if (!err)
			EXPECT_EQ(0, umem_destroy(self->fd, alloc.out_rsc_id));
		EXPECT_FALSE(has_memory(&self->dev));
	}), ENOMEM, EFAULT);
	ASSERT_EQ(0, umem_alloc(self->fd, len, &alloc));
	sweep("mmap", map(self->fd, alloc.out_offset, len, &mem), ({
		if (!err)
			munmap(mem, len);
	}), ENOMEM);
	EXPECT_EQ(0, umem_destroy(self->fd, alloc.out_rsc_id));
}

TEST_F_TIMEOUT(fail_nth, open_use_close, LONG_TIMEOUT)
{
	sweep("open, use, close", open_use_close(self->dev.node), ({
		EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
	}), ENOMEM, EFAULT, ENFILE);
}

/* close(2) succeeds even if a step fails. */
TEST_F_TIMEOUT(fail_nth, close, LONG_TIMEOUT)
{
	int fd = open(self->dev.node, O_RDWR);

	sweep("close", close(fd), ({
		EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
		ASSERT_EQ(0, open_node(self->dev.node, &fd));
		loopback_echo(fd);
	}));
	close(fd);
}

TEST_HARNESS_MAIN
