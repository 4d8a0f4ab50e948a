// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of fwctl on a loopback device: the size protocol, FWCTL_INFO, and scopes.
 *
 * FWCTL_TEST_DEV names the device (default: the first loopback device), FWCTL_TEST_DRIVER its
 * driver, "rust" or "c" (default: either).  Nothing else may use the device.  Also built as a
 * 32-bit program.
 */
#include <grp.h>
#include <linux/capability.h>

#include "loopback_fixture.h"

/* Drops all capabilities from all sets. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = {};

	return syscall(SYS_capset, &header, none);
}

/*
 * Taint.  These tests come first: they need an untainted kernel.
 */

static int debug_write_full_without_capabilities(void *arg)
{
	if (drop_capabilities())
		return 255;
	return _loopback_echo(*(int *)arg, FWCTL_RPC_DEBUG_WRITE_FULL);
}

TEST_F(loopback, refused_scope_does_not_taint)
{
	if (is_tainted())
		SKIP(return, "the kernel is tainted already: needs a fresh boot");

	loopback_echo(self->fd);
	ASSERT_EQ(0, _loopback_echo(self->fd, FWCTL_RPC_DEBUG_READ_ONLY));
	EXPECT_FALSE(is_tainted());

	EXPECT_EQ(EOPNOTSUPP, _loopback_echo(self->fd, 4));
	EXPECT_EQ(EOPNOTSUPP, _loopback_echo(self->fd, UINT_MAX));
	EXPECT_FALSE(is_tainted());

	fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_DEBUG_WRITE, NULL, MAX_RPC_LEN + 1, NULL, 0);
	fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_DEBUG_WRITE_FULL, NULL, 0, NULL,
			MAX_RPC_LEN + 1);
	EXPECT_FALSE(is_tainted());

	EXPECT_EQ(EPERM, in_child(debug_write_full_without_capabilities, &self->fd));
	EXPECT_FALSE(is_tainted());
}

/* Uses both tainting scopes twice, which must not log anything. */
static int write_debug_state(void *arg)
{
	prctl(PR_SET_NAME, "fwctl-taint");
	for (int round = 0; round < 2; round++) {
		if (_loopback_echo(*(int *)arg, FWCTL_RPC_DEBUG_WRITE) ||
		    _loopback_echo(*(int *)arg, FWCTL_RPC_DEBUG_WRITE_FULL))
			return 1;
	}
	return 0;
}

TEST_F(loopback, debug_write_taints_and_warns_once)
{
	char record[8192] = "", task[64];
	int kmsg;

	if (is_tainted())
		SKIP(return, "the kernel is tainted already: needs a fresh boot");
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);

	prctl(PR_SET_NAME, "fwctl-taint");
	ASSERT_EQ(0, _loopback_echo(self->fd, FWCTL_RPC_DEBUG_WRITE));
	EXPECT_TRUE(is_tainted());
	EXPECT_EQ(0, write_debug_state(&self->fd));
	EXPECT_EQ(0, in_child(write_debug_state, &self->fd));

	/* One message, with the task and the device. */
	EXPECT_EQ(1, kmsg_count(kmsg, "fwctl-taint", record, sizeof(record)));
	snprintf(task, sizeof(task), "fwctl-taint(%d)", getpid());
	EXPECT_TRUE(strstr(record, task) != NULL);
	EXPECT_TRUE(strstr(record, self->dev.name) != NULL);
	close(kmsg);
}

TEST_F(loopback, tainted_kernel_is_not_warned_again)
{
	int kmsg = kmsg_open();

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, _loopback_echo(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL));
	EXPECT_TRUE(is_tainted());
	kmsg_count(kmsg, "", NULL, 0);

	EXPECT_EQ(0, in_child(write_debug_state, &self->fd));
	EXPECT_EQ(0, kmsg_count(kmsg, "fwctl-taint", NULL, 0));
	close(kmsg);
}

/*
 * The size protocol of each ioctl
 */

FIXTURE(size_protocol)
{
	struct device dev;
	int fd;
};

FIXTURE_VARIANT(size_protocol)
{
	unsigned int number;
	/* Size of the first version of the structure, which is the minimum. */
	size_t size;
};

FIXTURE_VARIANT_ADD(size_protocol, info)
{
	.number = FWCTL_INFO,
	.size = 24,
};

FIXTURE_VARIANT_ADD(size_protocol, rpc)
{
	.number = FWCTL_RPC,
	.size = 32,
};

FIXTURE_SETUP(size_protocol)
{
	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);

	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(size_protocol)
{
	close(self->fd);
}

/*
 * Calls the ioctl with a structure that is zero except for its size: INFO without a buffer or an
 * empty RPC, which succeed.  `cmd` has `capacity` bytes.
 */
static int ioctl_of_size(int fd, unsigned int number, void *cmd, size_t capacity, uint32_t size)
{
	memset(cmd, 0, capacity);
	memcpy(cmd, &size, sizeof(size));
	return ioctl_errno(fd, number, cmd);
}

TEST_F(size_protocol, sizes_are_those_of_the_uapi)
{
	EXPECT_EQ(24, sizeof(struct fwctl_info));
	EXPECT_EQ(32, sizeof(struct fwctl_rpc));
	EXPECT_EQ(0x9a00, FWCTL_INFO);
	EXPECT_EQ(0x9a01, FWCTL_RPC);
}

TEST_F(size_protocol, too_short)
{
	uint8_t cmd[64];

	for (uint32_t size = 0; size < variant->size; size++) {
		EXPECT_EQ(EINVAL,
			  ioctl_of_size(self->fd, variant->number, cmd, sizeof(cmd), size)) {
			TH_LOG("size %u", size);
		}
	}
}

TEST_F(size_protocol, exact)
{
	uint8_t cmd[64];

	EXPECT_EQ(0, ioctl_of_size(self->fd, variant->number, cmd, sizeof(cmd), variant->size));

	/* The kernel does not touch the bytes after the structure. */
	memset(cmd, 0xee, sizeof(cmd));
	EXPECT_EQ(0, ioctl_of_size(self->fd, variant->number, cmd, variant->size, variant->size));
	EXPECT_TRUE(all_bytes_are(cmd + variant->size, 0xee, sizeof(cmd) - variant->size));
}

TEST_F(size_protocol, longer_with_zeros)
{
	size_t page = page_size();
	uint8_t *cmd = mapping_end(2) - 2 * page;
	uint32_t sizes[] = {
		variant->size + 1, variant->size + 4, variant->size + 7, variant->size + 8, 100,
		page - 1, page,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t size;

		EXPECT_EQ(0, ioctl_of_size(self->fd, variant->number, cmd, page, sizes[i])) {
			TH_LOG("size %u", sizes[i]);
		}
		/* The kernel does not change the size. */
		memcpy(&size, cmd, sizeof(size));
		EXPECT_EQ(sizes[i], size);
		EXPECT_TRUE(all_bytes_are(cmd + variant->size, 0, page - variant->size));
	}
}

TEST_F(size_protocol, longer_with_nonzero)
{
	size_t page = page_size();
	uint8_t *cmd = mapping_end(2) - 2 * page;
	uint32_t sizes[] = {
		variant->size + 1, variant->size + 2, variant->size + 8, variant->size + 9, 100,
		page - 1, page,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t size = sizes[i];
		size_t places[] = { variant->size, (variant->size + size) / 2, size - 1 };

		for (size_t j = 0; j < ARRAY_SIZE(places); j++) {
			memset(cmd, 0, 2 * page);
			memcpy(cmd, &size, sizeof(size));
			cmd[places[j]] = 0x80;
			EXPECT_EQ(E2BIG, ioctl_errno(self->fd, variant->number, cmd)) {
				TH_LOG("size %u, byte %zu", size, places[j]);
			}
		}

		/* The byte after the structure is ignored. */
		memset(cmd, 0, 2 * page);
		memcpy(cmd, &size, sizeof(size));
		cmd[size] = 0x80;
		EXPECT_EQ(0, ioctl_errno(self->fd, variant->number, cmd)) {
			TH_LOG("size %u", size);
		}
	}
}

/* Refused without reading the tail, which could be up to 4 GiB. */
TEST_F(size_protocol, above_a_page)
{
	size_t page = page_size();
	uint32_t sizes[] = {
		page + 1, page + 8, 2 * page, 1 << 20, INT_MAX, 1u << 31, UINT_MAX - 7, UINT_MAX,
	};
	uint8_t *zeros = mapping_end(3) - 3 * page;
	uint8_t *one_page = mapping_end(1) - page;
	uint8_t *at_end = (uint8_t *)mapping_end(1) - sizeof(uint32_t);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(E2BIG,
			  ioctl_of_size(self->fd, variant->number, zeros, 3 * page, sizes[i])) {
			TH_LOG("size %u, zeros", sizes[i]);
		}
		/* The tail is not read: it is not mapped. */
		ASSERT_EQ(E2BIG,
			  ioctl_of_size(self->fd, variant->number, one_page, page, sizes[i])) {
			TH_LOG("size %u, unmapped behind a page", sizes[i]);
		}
		ASSERT_EQ(E2BIG, ioctl_of_size(self->fd, variant->number, at_end, sizeof(uint32_t),
					       sizes[i])) {
			TH_LOG("size %u, unmapped behind the size", sizes[i]);
		}
	}
}

TEST_F(size_protocol, at_the_end_of_a_mapping)
{
	uint8_t *end = mapping_end(1);

	/* EINVAL, even if the rest of the structure cannot be read. */
	for (uint32_t size = 0; size < variant->size; size++) {
		uint32_t mapped = size < sizeof(size) ? sizeof(size) : size;

		EXPECT_EQ(EINVAL,
			  ioctl_of_size(self->fd, variant->number, end - mapped, mapped, size)) {
			TH_LOG("size %u, all of it mapped", size);
		}
		EXPECT_EQ(EINVAL, ioctl_of_size(self->fd, variant->number, end - sizeof(size),
						sizeof(size), size)) {
			TH_LOG("size %u, only the size mapped", size);
		}
	}

	/* The structure ends at the end of the mapping, or after it. */
	EXPECT_EQ(0, ioctl_of_size(self->fd, variant->number, end - variant->size, variant->size,
				   variant->size));
	for (size_t mapped = sizeof(uint32_t); mapped < variant->size; mapped++) {
		EXPECT_EQ(EFAULT, ioctl_of_size(self->fd, variant->number, end - mapped, mapped,
						variant->size)) {
			TH_LOG("%zu bytes mapped", mapped);
		}
	}

	/* The same for its tail. */
	for (size_t tail = 1; tail < 20; tail++) {
		size_t size = variant->size + tail;

		EXPECT_EQ(0, ioctl_of_size(self->fd, variant->number, end - size, size, size)) {
			TH_LOG("tail of %zu bytes", tail);
		}
		EXPECT_EQ(EFAULT,
			  ioctl_of_size(self->fd, variant->number, end - size, size, size + 1)) {
			TH_LOG("tail of %zu bytes and one more", tail);
		}
	}
}

TEST_F(size_protocol, bad_pointers)
{
	uint8_t *end = mapping_end(1);
	uint8_t *none = page_with(PROT_NONE, 0);
	void *nowhere[] = { NULL, (void *)1, (void *)8, end, end - 3, none, KERNEL_PTR };

	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		EXPECT_EQ(EFAULT, ioctl_errno(self->fd, variant->number, nowhere[i])) {
			TH_LOG("pointer %p", nowhere[i]);
		}
	}
#if UINTPTR_MAX > UINT32_MAX
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, variant->number, (void *)0xffff888000000000));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, variant->number, (void *)0x8000000000000000));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, variant->number, (void *)0x00007ffffffff000));
#endif
}

TEST_F(size_protocol, any_alignment)
{
	uint8_t area[64];

	for (size_t offset = 0; offset < 8; offset++) {
		EXPECT_EQ(0, ioctl_of_size(self->fd, variant->number, area + offset, variant->size,
					   variant->size)) {
			TH_LOG("offset %zu", offset);
		}
	}
}

TEST_F(size_protocol, read_only_structure)
{
	uint8_t *page = page_with(PROT_READ | PROT_WRITE, 0);
	uint8_t before[32] = {};
	uint32_t size = variant->size;

	memcpy(before, &size, sizeof(size));
	memcpy(page, before, sizeof(before));
	ASSERT_EQ(0, mprotect(page, page_size(), PROT_READ));
	EXPECT_EQ(EFAULT, ioctl_errno(self->fd, variant->number, page));
	EXPECT_EQ(0, memcmp(page, before, sizeof(before)));
}

/* One part is in a writable page and the other in a read-only page. */
TEST_F(size_protocol, partially_writable_structure)
{
	size_t page = page_size();
	uint8_t *area = mapping_end(2) - 2 * page;
	uint32_t size = variant->size;

	for (int read_only = 0; read_only < 2; read_only++) {
		for (size_t front = 4; front < variant->size; front++) {
			uint8_t *cmd = area + page - front, before[32];

			ASSERT_EQ(0, mprotect(area, 2 * page, PROT_READ | PROT_WRITE));
			memset(area, 0, 2 * page);
			memcpy(cmd, &size, sizeof(size));
			memcpy(before, cmd, variant->size);
			ASSERT_EQ(0, mprotect(area + read_only * page, page, PROT_READ));
			EXPECT_EQ(EFAULT, ioctl_errno(self->fd, variant->number, cmd)) {
				TH_LOG("%zu bytes in front, page %d", front, read_only);
			}
			if (!read_only) {
				EXPECT_EQ(0, memcmp(cmd, before, front));
			} else {
				EXPECT_EQ(0, memcmp(cmd + front, before + front,
						    variant->size - front));
			}
		}
	}
}

static void *flip_size(void *arg)
{
	volatile uint32_t **size = arg;
	uint32_t good = *size[0];

	while (*size[1]) {
		*size[0] = good;
		*size[0] = UINT_MAX;
		*size[0] = 4;
		*size[0] = good + 8;
	}
	return NULL;
}

/* The kernel uses the size that it has checked, even if the size changes concurrently. */
TEST_F_TIMEOUT(size_protocol, size_changes_concurrently, LONG_TIMEOUT)
{
	uint32_t cmd[16] = { variant->size }, is_running = 1;
	volatile uint32_t *shared[] = { &cmd[0], &is_running };
	unsigned int count[3] = {};
	pthread_t thread;

	/* A nonzero tail, which makes the larger size fail. */
	cmd[variant->size / 4] = 1;
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip_size, shared));
	for (int i = 0; i < 20000; i++) {
		int err;

		/* Clear the results of the previous call. */
		memset(cmd + 1, 0, variant->size - sizeof(cmd[0]));
		err = ioctl_errno(self->fd, variant->number, cmd);
		count[err == EINVAL ? 1 : err == E2BIG ? 2 : 0]++;
		if (err && err != EINVAL && err != E2BIG) {
			ASSERT_EQ(0, err);
		}
	}
	*(volatile uint32_t *)&is_running = 0;
	pthread_join(thread, NULL);
	TH_LOG("%u succeeded, %u too short, %u too long", count[0], count[1], count[2]);
	EXPECT_EQ(1, cmd[variant->size / 4]);
}

TEST_F(loopback, unknown_ioctls)
{
	struct fwctl_info cmd = { .size = sizeof(cmd) };
	unsigned int numbers[] = {
		/* Another number */
		_IO(FWCTL_TYPE, 5),
		_IO(FWCTL_TYPE, 6),
		_IO(FWCTL_TYPE, 0x80),
		_IO(FWCTL_TYPE, 0xff),
		/* Another type */
		_IO(FWCTL_TYPE - 1, 0),
		_IO(FWCTL_TYPE + 1, 1),
		_IO(0, 0),
		_IO(0, 1),
		_IO(0xff, 0),
		/* A direction or a size, which the fwctl ioctls do not have */
		_IOR(FWCTL_TYPE, 0, struct fwctl_info),
		_IOW(FWCTL_TYPE, 0, struct fwctl_info),
		_IOWR(FWCTL_TYPE, 0, struct fwctl_info),
		_IOWR(FWCTL_TYPE, 1, struct fwctl_rpc),
		_IOC(_IOC_NONE, FWCTL_TYPE, 0, 1),
		_IOC(_IOC_NONE, FWCTL_TYPE, 1, 32),
		_IOC(_IOC_READ, FWCTL_TYPE, 0, 0),
		_IOC(_IOC_WRITE, FWCTL_TYPE, 1, 0),
	};

	ASSERT_EQ(0, ioctl_errno(self->fd, FWCTL_INFO, &cmd));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(ENOTTY, ioctl_errno(self->fd, numbers[i], &cmd)) {
			TH_LOG("ioctl %#x", numbers[i]);
		}
		/* ENOTTY takes precedence over the argument. */
		EXPECT_EQ(ENOTTY, ioctl_errno(self->fd, numbers[i], NULL)) {
			TH_LOG("ioctl %#x, NULL", numbers[i]);
		}
	}
}

/*
 * FWCTL_INFO
 */

TEST_F(loopback, info_of_the_right_length)
{
	struct fwctl_info_loopback data = {};
	uint32_t len = sizeof(data), type = 0;

	fwctl_info(self->fd, &data, &len, &type);
	EXPECT_EQ(loopback_type(&self->dev), type);
	EXPECT_EQ(sizeof(data), len);
	EXPECT_EQ(FWCTL_LOOPBACK_MAGIC, data.magic);
	EXPECT_EQ(loopback_state(self->fd).uid, data.uid);
}

TEST_F(loopback, info_fills_a_longer_buffer_with_zeros)
{
	size_t area_len = 5 * page_size();
	uint8_t *area = mapping_end(5) - area_len;
	size_t lens[] = {
		9, 15, 16, 17, 100, page_size() - 1, page_size(), page_size() + 1, 4 * page_size(),
	};

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t len = lens[i], type = 0;

		memset(area, 0xee, area_len);
		fwctl_info(self->fd, area, &len, &type);
		EXPECT_EQ(sizeof(struct fwctl_info_loopback), len);
		EXPECT_EQ(FWCTL_LOOPBACK_MAGIC, ((struct fwctl_info_loopback *)area)->magic);
		EXPECT_TRUE(all_bytes_are(area + 8, 0, lens[i] - 8)) {
			TH_LOG("not filled up to %zu", lens[i]);
		}
		EXPECT_TRUE(all_bytes_are(area + lens[i], 0xee, area_len - lens[i])) {
			TH_LOG("filled beyond %zu", lens[i]);
		}
	}
}

TEST_F(loopback, info_in_a_buffer_of_any_alignment)
{
	uint8_t area[64];

	for (size_t offset = 0; offset < 16; offset++) {
		for (uint32_t capacity = 1; capacity <= 32; capacity++) {
			struct fwctl_info_loopback data = {};
			uint32_t len = capacity, type = 0;

			memset(area, 0xee, sizeof(area));
			fwctl_info(self->fd, area + offset, &len, &type);
			EXPECT_EQ(sizeof(data), len);
			memcpy(&data, area + offset,
			       capacity < sizeof(data) ? capacity : sizeof(data));
			if (capacity >= sizeof(data)) {
				EXPECT_EQ(FWCTL_LOOPBACK_MAGIC, data.magic);
				EXPECT_TRUE(all_bytes_are(area + offset + sizeof(data), 0,
							  capacity - sizeof(data)));
			}
			EXPECT_TRUE(all_bytes_are(area, 0xee, offset));
			EXPECT_TRUE(all_bytes_are(area + offset + capacity, 0xee,
						  sizeof(area) - offset - capacity)) {
				TH_LOG("%u bytes at offset %zu", capacity, offset);
			}
		}
	}
}

TEST_F(loopback, info_is_cut_for_a_shorter_buffer)
{
	struct fwctl_info_loopback whole;
	uint32_t len = sizeof(whole), type;

	fwctl_info(self->fd, &whole, &len, &type);
	for (size_t capacity = 1; capacity < sizeof(whole); capacity++) {
		uint8_t data[sizeof(whole)];

		memset(data, 0xee, sizeof(data));
		len = capacity;
		type = 0;
		fwctl_info(self->fd, data, &len, &type);
		EXPECT_EQ(sizeof(whole), len);
		EXPECT_EQ(loopback_type(&self->dev), type);
		EXPECT_EQ(0, memcmp(data, &whole, capacity));
		EXPECT_TRUE(all_bytes_are(data + capacity, 0xee, sizeof(data) - capacity));
	}
}

/* The address of an empty buffer is ignored. */
TEST_F(loopback, info_without_a_buffer)
{
	void *anywhere[] = { NULL, (void *)1, mapping_end(1), page_with(PROT_NONE, 0), KERNEL_PTR };

	for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++) {
		uint32_t len = 0, type = 0;

		fwctl_info(self->fd, anywhere[i], &len, &type);
		EXPECT_EQ(loopback_type(&self->dev), type);
	}
}

/* The length of the device data is reported even if no buffer is given. */
TEST_F(loopback, info_without_a_buffer_reports_the_length)
{
	uint32_t len = 0, type = 0;

	fwctl_info(self->fd, NULL, &len, &type);
	EXPECT_EQ(sizeof(struct fwctl_info_loopback), len);
}

TEST_F(loopback, info_flags)
{
	for (int bit = 0; bit < 32; bit++) {
		struct fwctl_info cmd = { .size = sizeof(cmd), .flags = 1u << bit };
		struct fwctl_info before = cmd;

		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_INFO, &cmd));

		/* Checked before the buffer. */
		cmd.device_data_len = 8;
		EXPECT_EQ(EOPNOTSUPP, ioctl_errno(self->fd, FWCTL_INFO, &cmd));
		cmd.device_data_len = 0;
		EXPECT_EQ(0, memcmp(&cmd, &before, sizeof(cmd)));
	}
}

TEST_F(loopback, info_bad_buffers)
{
	uint8_t *end = mapping_end(1);
	uint8_t *read_only = page_with(PROT_READ, 0xee);

	/* Neither the data nor the padding after them can be written. */
	fwctl_info_fails(EFAULT, self->fd, NULL, 1);
	fwctl_info_fails(EFAULT, self->fd, end, 8);
	fwctl_info_fails(EFAULT, self->fd, end - 7, 8);
	fwctl_info_fails(EFAULT, self->fd, end - 8, 9);
	fwctl_info_fails(EFAULT, self->fd, end - 100, 101);
	fwctl_info_fails(EFAULT, self->fd, end - 100, UINT_MAX);
	fwctl_info_fails(EFAULT, self->fd, page_with(PROT_NONE, 0), 8);
	fwctl_info_fails(EFAULT, self->fd, KERNEL_PTR, 8);
	fwctl_info_fails(EFAULT, self->fd, read_only, 8);
	EXPECT_TRUE(all_bytes_are(read_only, 0xee, page_size()));

	/* Addresses with high bits, which no 32-bit program can have. */
	for (int shift = 32; shift < 64; shift++) {
		uint8_t data[8];
		struct fwctl_info cmd = {
			.size = sizeof(cmd),
			.device_data_len = sizeof(data),
			.out_device_data = to_u64(data) ^ 1ull << shift,
		};

		EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_INFO, &cmd)) {
			TH_LOG("bit %d", shift);
		}
	}
}

/*
 * Capabilities
 */

struct attempt {
	int fd;
	/* Expected for each scope */
	int errnos[4];
};

/* Returns 0, or 10 plus the first scope with an unexpected result. */
static int try_all_scopes(struct attempt *attempt)
{
	for (int scope = 0; scope < 4; scope++) {
		int err = _loopback_echo(attempt->fd, scope);

		if (err != attempt->errnos[scope]) {
			ksft_print_msg("scope %d: errno %d, expected %d\n", scope, err,
				       attempt->errnos[scope]);
			return 10 + scope;
		}
	}
	return 0;
}

static int without_capabilities(void *arg)
{
	if (drop_capabilities())
		return 1;
	return try_all_scopes(arg);
}

static int without_rawio(void *arg)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return 1;
	data[CAP_SYS_RAWIO / 32].effective &= ~(1u << CAP_SYS_RAWIO % 32);
	if (syscall(SYS_capset, &header, data))
		return 2;
	return try_all_scopes(arg);
}

static int with_rawio_only(void *arg)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	data[CAP_SYS_RAWIO / 32].effective = 1u << CAP_SYS_RAWIO % 32;
	data[CAP_SYS_RAWIO / 32].permitted = 1u << CAP_SYS_RAWIO % 32;
	if (syscall(SYS_capset, &header, data))
		return 1;
	return try_all_scopes(arg);
}

static int as_nobody(void *arg)
{
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 1;
	return try_all_scopes(arg);
}

static int as_root_of_a_user_namespace(void *arg)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (unshare(CLONE_NEWUSER))
		return errno == EINVAL || errno == ENOSPC || errno == EPERM ? KSFT_SKIP : 1;
	/* The child has all capabilities in the new namespace. */
	if (syscall(SYS_capget, &header, data) ||
	    !(data[CAP_SYS_RAWIO / 32].effective & 1u << CAP_SYS_RAWIO % 32))
		return 2;
	return try_all_scopes(arg);
}

TEST_F(loopback, scope_needs_a_capability)
{
	struct attempt refused = { self->fd, { 0, 0, 0, EPERM } };
	struct attempt allowed = { self->fd, { 0, 0, 0, 0 } };

	EXPECT_EQ(0, try_all_scopes(&allowed));
	EXPECT_EQ(0, in_child(without_capabilities, &refused));
	EXPECT_EQ(0, in_child(without_rawio, &refused));
	EXPECT_EQ(0, in_child(as_nobody, &refused));
	EXPECT_EQ(0, in_child(with_rawio_only, &allowed));
	/* The caller needs the capability, not the opener of the file. */
	EXPECT_EQ(0, try_all_scopes(&allowed));
}

TEST_F(loopback, scope_needs_a_capability_in_the_initial_namespace)
{
	struct attempt refused = { self->fd, { 0, 0, 0, EPERM } };
	int status = in_child(as_root_of_a_user_namespace, &refused);

	if (status == KSFT_SKIP)
		SKIP(return, "no user namespaces");
	EXPECT_EQ(0, status);
}

static int refused_comes_first(void *arg)
{
	int fd = *(int *)arg;
	uint32_t out_len = 16;

	if (drop_capabilities())
		return 1;
	/* Checked before the request is read, after the lengths. */
	if (_fwctl_rpc(fd, FWCTL_RPC_DEBUG_WRITE_FULL, NULL, 16, NULL, &out_len) != EPERM)
		return 2;
	if (_fwctl_rpc(fd, FWCTL_RPC_DEBUG_WRITE_FULL, NULL, MAX_RPC_LEN + 1, NULL, &out_len) !=
	    EMSGSIZE)
		return 3;
	/* INFO needs no capability. */
	out_len = 0;
	if (_fwctl_info(fd, NULL, &out_len, &(uint32_t){ 0 }))
		return 4;
	return 0;
}

TEST_F(loopback, scope_order_of_checks)
{
	EXPECT_EQ(0, in_child(refused_comes_first, &self->fd));
}

TEST_HARNESS_MAIN
