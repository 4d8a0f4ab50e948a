// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection: each allocation and each copy from or to user space fails once, one after the
 * other, in what a program does with a fwctl device.  What counts is that nothing is half done
 * afterwards, and that the kernel log stays silent.
 *
 * Needs a loopback sample, see fwctl.c for how it is chosen, and CONFIG_FAULT_INJECTION.
 */
#include "fault_utils.h"
#include "loopback_utils.h"

FIXTURE(fail_nth)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(fail_nth)
{
	if (!find_device(&self->dev, is_loopback))
		SKIP(return, NO_LOOPBACK);
	if (!start_faults())
		SKIP(return, NO_FAULTS);
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->fd);
	EXPECT_EQ(0, start_anew(&self->dev));
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
