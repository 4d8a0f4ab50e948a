// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection: each allocation and each copy from or to user space fails once, one after the
 * other, in what a program does with a fwctl device.  What counts is that nothing is half done
 * afterwards, and that the kernel log stays silent.
 *
 * Needs a loopback sample, see fwctl.c for how it is chosen, and CONFIG_FAULT_INJECTION.
 */
#include "loopback_utils.h"

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/* Allocations that may wait fail as well, and none of the failures is worth a stack trace. */
static const struct {
	const char *name, *value;
} settings[] = {
	{ "verbose", "0" },
	{ "ignore-gfp-wait", "N" },
	{ "ignore-gfp-highmem", "N" },
	{ "min-order", "0" },
};

static char saved[ARRAY_SIZE(kinds)][ARRAY_SIZE(settings)][32];
static char debugfs[] = "/sys/kernel/debug";

static void setting_path(char *path, size_t size, size_t kind, size_t setting)
{
	snprintf(path, size, "%s/%s/%s", debugfs, kinds[kind], settings[setting].name);
}

/* Returns false if there is nothing to be configured. */
static bool configure_faults(void)
{
	char path[PATH_MAX];
	bool is_there = false;

	snprintf(path, sizeof(path), "%s/%s", debugfs, kinds[0]);
	if (access(path, F_OK))
		mount("debugfs", debugfs, "debugfs", 0, NULL);
	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
			setting_path(path, sizeof(path), kind, i);
			if (read_text(path, saved[kind][i], sizeof(saved[kind][i])))
				continue;
			is_there |= !write_text(path, settings[i].value);
		}
	}
	return is_there;
}

static void restore_faults(void)
{
	char path[PATH_MAX];

	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
			setting_path(path, sizeof(path), kind, i);
			if (saved[kind][i][0])
				write_text(path, saved[kind][i]);
		}
	}
}

/* Kept open, as opening it takes allocations itself. */
static int fail_nth = -1;

/* From here on the `nth` one fails, from 1; with 0 none does.  For the calling thread. */
static void arm(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	/* It copies from user space, so that it can be what fails; the second time it cannot. */
	if (pwrite(fail_nth, text, strlen(text), 0) < 0 &&
	    pwrite(fail_nth, text, strlen(text), 0) < 0)
		abort();
}

/* Ends it; returns whether it came to a failure. */
static bool disarm(void)
{
	/* If this is what fails, nothing else has. */
	char text[16] = "1";

	pread(fail_nth, text, sizeof(text) - 1, 0);
	arm(0);
	return atoi(text) == 0;
}

FIXTURE(fail_nth)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(fail_nth)
{
	if (!find_device(&self->dev, is_loopback))
		SKIP(return, NO_LOOPBACK);
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fail_nth < 0 || !configure_faults())
		SKIP(return, "no fault injection");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->fd);
	EXPECT_EQ(0, start_anew(&self->dev));
	restore_faults();
}

/* A call that takes more than this many steps is not one of ours. */
#define MAX_NTH 1000

/*
 * Runs `call`, an expression that is 0 or an errno, with its first step failing, its second one,
 * and so on, until none does. `after` runs each time, without failures, and can look at `err`.
 */
#define sweep(call, after) do {									\
	unsigned int __nth, __failed = 0;							\
												\
	for (__nth = 1; __nth < MAX_NTH; __nth++) {						\
		bool has_failed;								\
		int err;									\
												\
		arm(__nth);									\
		err = (call);									\
		has_failed = disarm();								\
		__failed += !!err;								\
		ASSERT_TRUE(err == 0 || err == ENOMEM || err == EFAULT || err == ENFILE) {	\
			TH_LOG("step %u: errno %d", __nth, err);				\
		}										\
		after;										\
		if (!has_failed) {								\
			ASSERT_EQ(0, err);							\
			break;									\
		}										\
	}											\
	TH_LOG("%u steps, %u errors", __nth - 1, __failed);					\
	ASSERT_GT(MAX_NTH, __nth);								\
	ASSERT_LT(0, __failed);									\
} while (0)

static int open_node(const char *node, int *fd)
{
	*fd = open(node, O_RDWR);
	return *fd < 0 ? errno : 0;
}

TEST_F_TIMEOUT(fail_nth, open, LONG_TIMEOUT)
{
	int fd;

	sweep(open_node(self->dev.node, &fd), ({
		EXPECT_EQ(err ? 1 : 2, loopback_state(self->fd).open_uctx);
		if (!err) {
			loopback_echo(fd);
			close(fd);
		}
	}));
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

TEST_F_TIMEOUT(fail_nth, info, LONG_TIMEOUT)
{
	uint8_t data[64];
	uint32_t len = sizeof(data), type = 0;

	sweep(_fwctl_info(self->fd, data, &len, &type), ({
		if (!err) {
			EXPECT_EQ(sizeof(struct fwctl_info_loopback), len);
			EXPECT_EQ(FWCTL_DEVICE_TYPE_LOOPBACK, type);
		}
		len = sizeof(data);
		type = 0;
	}));
}

/* One length for each way in which an implementation might get its memory, each on a new file. */
static void check_rpc(struct __test_metadata *_metadata, const struct device *dev, uint32_t op)
{
	static const uint32_t lens[] = { 16, 256, 257, 4096, 65536 };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint8_t *in = malloc(lens[i]), *out = malloc(lens[i]);
		struct fwctl_loopback_cmd cmd = loopback_cmd(op, 0);
		uint32_t out_len = lens[i];
		int fd;

		ASSERT_EQ(0, open_node(dev->node, &fd));
		fill_pattern(in, lens[i], i);
		memcpy(in, &cmd, sizeof(cmd));
		memset(out, 0xee, lens[i]);
		sweep(_fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, in, lens[i], out, &out_len), ({
			EXPECT_EQ(lens[i], out_len);
			if (!err) {
				EXPECT_EQ(0, memcmp(in, out, lens[i]));
			} else if (err == ENOMEM) {
				EXPECT_TRUE(all_bytes_are(out, 0xee, lens[i]));
			}
			memset(out, 0xee, lens[i]);
		}));
		loopback_echo(fd);
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

TEST_F_TIMEOUT(fail_nth, open_use_close, LONG_TIMEOUT)
{
	sweep(open_use_close(self->dev.node), ({
		EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
	}));
}

/* The driver model's errors are its own: all that counts is that the next one works. */
TEST_F_TIMEOUT(fail_nth, unbind, LONG_TIMEOUT)
{
	bool has_failed = true;
	unsigned int nth;

	for (nth = 1; has_failed && nth < MAX_NTH; nth++) {
		ASSERT_EQ(0, bind_again(&self->dev));
		arm(nth);
		unbind(&self->dev);
		has_failed = disarm();
		if (is_bound(&self->dev)) {
			ASSERT_EQ(0, unbind(&self->dev));
		}
	}
	TH_LOG("%u steps", nth - 1);
	EXPECT_GT(MAX_NTH, nth);
	loopback_echo_fails(ENODEV, self->fd);
}

TEST_F_TIMEOUT(fail_nth, bind, LONG_TIMEOUT)
{
	bool has_failed = true;
	struct device again = self->dev;
	unsigned int nth, failed = 0;

	for (nth = 1; has_failed && nth < MAX_NTH; nth++) {
		if (is_bound(&self->dev)) {
			ASSERT_EQ(0, unbind(&self->dev));
		}
		arm(nth);
		failed += !!bind_again(&self->dev);
		has_failed = disarm();
		/* There is a device, or there is none. */
		EXPECT_EQ(is_bound(&self->dev), find_again(&again));
	}
	TH_LOG("%u steps, %u errors", nth - 1, failed);
	EXPECT_GT(MAX_NTH, nth);
	EXPECT_LT(0, failed);
	ASSERT_EQ(0, bind_again(&self->dev));
	ASSERT_TRUE(find_again(&again));
	EXPECT_EQ(0, open_use_close(again.node));
}

TEST_HARNESS_MAIN
