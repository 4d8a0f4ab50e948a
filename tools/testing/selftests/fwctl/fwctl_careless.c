// SPDX-License-Identifier: GPL-2.0-only
/*
 * A C driver that leaves to the core what it can, and the reports of KASAN and lockdep on its
 * bugs.
 *
 * Loads and unloads the driver, fwctl_careless_c of CONFIG_FWCTL_TEST_CARELESS, which must not be
 * loaded before.  Needs the file of the module, see module_utils.h.
 */
#include "loopback_utils.h"
#include "module_utils.h"
#include "tests/careless.h"

#define MODULE "fwctl_careless_c"

static bool is_careless(const struct device *dev)
{
	return !strcmp(dev->parent, MODULE);
}

FIXTURE(careless)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(careless)
{
	load_module("fwctl", "");
	if (!find_module(MODULE))
		SKIP(return, "no module " MODULE ": enable CONFIG_FWCTL_TEST_CARELESS");
	ASSERT_EQ(0, load_module_file_with(getenv("FWCTL_TEST_DEADLOCK") ? "deadlock=1" : ""));
	ASSERT_TRUE(find_device(&self->dev, is_careless));
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

/* Puts the last reference with a spinlock held, which must not be reported. */
FIXTURE_TEARDOWN(careless)
{
	close(self->fd);
	EXPECT_EQ(0, unload_module(MODULE));
	EXPECT_EQ(-1, access(self->dev.node, F_OK));
}

#define careless_state(fd) ({							\
	struct fwctl_careless_state __state = {};				\
	uint32_t __op = FWCTL_CARELESS_STATE, __len = sizeof(__state);		\
	ASSERT_EQ(0, _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &__op, sizeof(__op),	\
				&__state, &__len));				\
	EXPECT_EQ(sizeof(__state), __len);					\
	__state;								\
})

TEST_F(careless, info_without_a_length)
{
	static const uint32_t lens[] = { 1, 4, 7, 8, 9, 16, 64, 4096 };
	uint8_t bytes[4096];

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t len = lens[i], type;

		memset(bytes, 0xee, sizeof(bytes));
		fwctl_info(self->fd, bytes, &len, &type);
		EXPECT_EQ(0, len);
		EXPECT_TRUE(all_bytes_are(bytes, 0, lens[i]));
		EXPECT_TRUE(all_bytes_are(bytes + lens[i], 0xee, sizeof(bytes) - lens[i]));
	}
	EXPECT_EQ(ARRAY_SIZE(lens), careless_state(self->fd).info_calls);
}

TEST_F(careless, info_is_called_with_length_0)
{
	uint8_t bytes[64];
	uint32_t len = sizeof(bytes), type;

	fwctl_info(self->fd, bytes, &len, &type);
	EXPECT_EQ(1, careless_state(self->fd).info_calls);
	EXPECT_EQ(0, careless_state(self->fd).info_length);
}

TEST_F(careless, cacheline_aligned_members_are_aligned)
{
	int fds[20];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open(self->dev.node, O_RDWR);
		ASSERT_LE(0, fds[i]);
	}
	EXPECT_EQ(0, careless_state(self->fd).misaligned);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

TEST_F(careless, last_reference_is_put_with_a_spinlock_held)
{
	/* The fixture does this without open files.  Here a file puts the last reference. */
	ASSERT_EQ(0, unload_module(MODULE));
	loopback_echo_fails(ENODEV, self->fd);
	close(self->fd);
	ASSERT_EQ(0, load_module_file_with(""));
	ASSERT_TRUE(find_device(&self->dev, is_careless));
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

/* KASAN has to report the read of the byte after the request. */
TEST_F(careless, overread)
{
	static const uint32_t lens[] = { 4, 40, 43, 200, 256, 1000, 4096, 4097 };
	uint32_t request[2048] = { FWCTL_CARELESS_OVERREAD, 99 };
	const char *only = getenv("FWCTL_TEST_OVERREAD");

	if (!only)
		SKIP(return, "triggers KASAN: set FWCTL_TEST_OVERREAD");
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t len = 0;

		if (*only && strtoul(only, NULL, 10) != lens[i])
			continue;
		/* Leave the bytes of a longer RPC in the buffer. */
		fwctl_rpc_fails(EOPNOTSUPP, self->fd, FWCTL_RPC_CONFIGURATION, request + 1,
				sizeof(request) - 4, NULL, 0);
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, request, lens[i], NULL, &len);
	}
}

/* lockdep has to report the lock order, even if no deadlock occurs. */
TEST_F(careless, deadlock)
{
	if (!getenv("FWCTL_TEST_DEADLOCK"))
		SKIP(return, "triggers lockdep: set FWCTL_TEST_DEADLOCK");
	EXPECT_EQ(0, careless_state(self->fd).info_calls);
}

TEST_HARNESS_MAIN
