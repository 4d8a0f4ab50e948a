// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ConnectX whose firmware fails.
 *
 * Needs the ConnectX of fwctl-emu, which nothing else may use, started with a short --cmd-timeout,
 * and a command `emu` that connects to its control socket.  mlx5_core adds 5 seconds to the
 * timeout.  FWCTL_TEST_DRIVER=c selects the expectations for the driver in C where they differ.
 */
#include <signal.h>

#include "mlx5_utils.h"

/* Statuses, include/linux/mlx5/device.h */
#define STATUS_BAD_RES 5
#define SYNDROME 0x1234567

/* Delivery statuses of the command interface, and the errnos of mlx5_core */
static const struct {
	int status;
	int err;
} deliveries[] = {
	{ 0x01, EBADR }, { 0x02, EBADR }, { 0x03, EFAULT }, { 0x04, EFAULT }, { 0x05, EFAULT },
	{ 0x06, EIO },
	{ 0x07, ENOMSG }, { 0x08, ENOMSG }, { 0x09, ENOMSG }, { 0x10, ENOMSG }, { 0x7f, EINVAL },
};

/* Command statuses, and the errnos of mlx5_core for commands of the driver */
static const struct {
	int status;
	int err;
} refusals[] = {
	{ 0x01, EIO }, { 0x02, EINVAL }, { 0x03, EINVAL }, { 0x04, EIO }, { 0x05, EINVAL },
	{ 0x06, EBUSY }, { 0x07, EAGAIN }, { 0x08, ENOMEM }, { 0x09, EINVAL }, { 0x0a, EINVAL },
	{ 0x0f, EAGAIN }, { 0x50, EIO }, { 0x51, EIO }, { 0xff, EIO },
};

/* Injects a fault. */
#define fault(...) ASSERT_EQ(-1, emu("fault " __VA_ARGS__))

/* Returns the number of user contexts in the device. */
static long count_uids(void)
{
	return emu("-p /alive/uids counters");
}

/* Returns the number of commands of a kind that the device has got. */
static long count_commands(const char *name)
{
	return emu_count("/commands/%s", name);
}

FIXTURE(mlx5_faults)
{
	struct device dev;
	long uids;
};

FIXTURE_SETUP(mlx5_faults)
{
	if (!find_device(&self->dev, is_mlx5))
		SKIP(return, "no device of mlx5_core: load mlx5_fwctl");
	if (emu("clear 2>&1") != -1)
		SKIP(return, "no emulator: the command emu fails");
	self->uids = count_uids();
	ASSERT_LE(0, self->uids);
}

/* The device works after each test. */
FIXTURE_TEARDOWN(mlx5_faults)
{
	int fd;

	/*
	 * Complete the commands in flight, and drop the contexts that the driver could not
	 * destroy.
	 */
	EXPECT_EQ(-1, emu("clear"));
	EXPECT_LE(0, emu("release"));
	EXPECT_LE(0, emu("forget"));
	/* mlx5_core frees a slot on the completion event. */
	for (int i = 0; i < 100; i++) {
		fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || errno != EAGAIN)
			break;
		usleep(10000);
	}
	ASSERT_LE(0, fd) {
		TH_LOG("cannot open %s after the test: %m", self->dev.node);
	}
	read_mgir(fd);
	close(fd);
}

/* Opens the device.  Returns 0 or an errno. */
static int try_open(const char *node, int *fd)
{
	*fd = open(node, O_RDWR | O_CLOEXEC);
	return *fd < 0 ? errno : 0;
}

#define opened(node) ({							\
	int __fd;							\
	ASSERT_EQ(0, try_open(node, &__fd));				\
	__fd;								\
})

/* CREATE_UCTX */

TEST_F(mlx5_faults, open_refused)
{
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		fault("op=0xa04,status=%#x/%#x", refusals[i].status, SYNDROME);
		EXPECT_EQ(refusals[i].err, try_open(self->dev.node, &fd)) {
			TH_LOG("status %#x", refusals[i].status);
		}
		fd = opened(self->dev.node);
		read_mgir(fd);
		close(fd);
	}
	EXPECT_EQ(self->uids, count_uids());
}

TEST_F(mlx5_faults, open_not_delivered)
{
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(deliveries); i++) {
		fault("op=0xa04,delivery=%#x", deliveries[i].status);
		EXPECT_EQ(deliveries[i].err, try_open(self->dev.node, &fd)) {
			TH_LOG("delivery status %#x", deliveries[i].status);
		}
		close(opened(self->dev.node));
	}
	EXPECT_EQ(self->uids, count_uids());
}

/* The second of three opens fails. */
TEST_F(mlx5_faults, open_nth_refused)
{
	int fds[3];

	fault("op=0xa04,nth=2,status=1");
	fds[0] = opened(self->dev.node);
	EXPECT_EQ(EIO, try_open(self->dev.node, &fds[1]));
	fds[2] = opened(self->dev.node);
	EXPECT_EQ(self->uids + 2, count_uids());
	read_mgir(fds[0]);
	read_mgir(fds[2]);
	close(fds[0]);
	close(fds[2]);
	EXPECT_EQ(self->uids, count_uids());
}

TEST_F(mlx5_faults, open_late)
{
	int fd;

	fault("op=0xa04,late=300");
	fd = opened(self->dev.node);
	read_mgir(fd);
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

/*
 * CREATE_UCTX times out, so the driver does not learn the number of the context.  Only that
 * context is leaked; others are destroyed when their files are closed, even without a completion
 * in between.
 */
TEST_F_TIMEOUT(mlx5_faults, silent_open_costs_one_context, 100)
{
	int fds[] = { opened(self->dev.node), opened(self->dev.node) }, fd;

	fault("op=0xa04,never");
	EXPECT_EQ(ETIMEDOUT, try_open(self->dev.node, &fd));
	EXPECT_EQ(0, close(fds[0]));
	EXPECT_EQ(0, close(fds[1]));
	EXPECT_EQ(self->uids + 1, count_uids());
}

/* The same if the completion comes after the timeout. */
TEST_F_TIMEOUT(mlx5_faults, late_open_costs_one_context, 100)
{
	int fds[] = { opened(self->dev.node), opened(self->dev.node) }, fd;

	fault("op=0xa04,late=9000");
	EXPECT_EQ(ETIMEDOUT, try_open(self->dev.node, &fd));
	for (int i = 0; i < 300 && count_in_flight(); i++)
		usleep(100000);
	ASSERT_EQ(0, count_in_flight());
	EXPECT_EQ(0, close(fds[0]));
	EXPECT_EQ(0, close(fds[1]));
	EXPECT_EQ(self->uids + 1, count_uids());
}

TEST_F_TIMEOUT(mlx5_faults, open_never_answered, 100)
{
	int fd;

	fault("op=0xa04,never");
	EXPECT_EQ(ETIMEDOUT, try_open(self->dev.node, &fd));
	fd = opened(self->dev.node);
	read_mgir(fd);
	close(fd);
	EXPECT_EQ(self->uids + 1, count_uids());
}

/* The reply is truncated after the status, so the uid reads as 0, which is the kernel's. */
TEST_F(mlx5_faults, open_truncated)
{
	int fd, err;

	fault("op=0xa04,truncate=8");
	err = try_open(self->dev.node, &fd);
	if (is_c_driver()) {
		struct fwctl_info_mlx5 info;

		ASSERT_EQ(0, err);
		EXPECT_EQ(0, _info(fd, &info));
		EXPECT_EQ(0, info.uid);
		close(fd);
	} else {
		EXPECT_EQ(EIO, err);
	}
}

/* The uid in the reply is garbage, possibly 0. */
TEST_F(mlx5_faults, open_garbled)
{
	struct answer answer;
	int fd, err;

	fault("op=0xa04,garble=8");
	err = try_open(self->dev.node, &fd);
	if (!err) {
		EXPECT_EQ(-1, _read_mgir(fd, &answer));
		EXPECT_EQ(STATUS_BAD_RES, answer.status);
		close(fd);
	} else {
		EXPECT_EQ(EIO, err);
	}
}

/* RPC: replies in place and in separate memory */

/* Buffer sizes for replies: shorter than a request, and longer. */
static const uint32_t capacities[] = { sizeof(struct command) - 8, sizeof(struct command) + 200 };

#define for_each_capacity(capacity) \
	for (uint32_t __i = 0, capacity;					\
	     __i < ARRAY_SIZE(capacities) && (capacity = capacities[__i], true); __i++)

static uint8_t reply[sizeof(struct command) + 200];

/* Reads MGIR into `reply`. */
static int rpc(int fd, uint32_t out_len)
{
	struct command cmd = read_register(REG_MGIR);
	uint32_t len = out_len;
	int err;

	/* These bytes of the request must not be in the reply. */
	memset(cmd.data, 0xdd, sizeof(cmd.data));
	memset(reply, 0xee, sizeof(reply));
	err = _fwctl_rpc(fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, sizeof(cmd), reply, &len);
	return err ? err : len == out_len ? 0 : -1;
}

#define rpc_is_answered(fd, out_len) do {				\
	ASSERT_EQ(0, rpc(fd, out_len));					\
	EXPECT_EQ(0, reply[0]);						\
	EXPECT_TRUE(all_bytes_are(reply + (out_len), 0xee, sizeof(reply) - (out_len))); \
} while (0)

#define rpc_fails(expected, fd, out_len) do {				\
	EXPECT_EQ(expected, rpc(fd, out_len));				\
	EXPECT_TRUE(all_bytes_are(reply, 0xee, sizeof(reply)));		\
} while (0)

TEST_F(mlx5_faults, rpc_refused)
{
	const struct answer *answer = (void *)reply;
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
			fault("user,status=%#x/%#x", refusals[i].status, SYNDROME);
			ASSERT_EQ(0, rpc(fd, capacity));
			EXPECT_EQ(refusals[i].status, answer->status);
			EXPECT_EQ(SYNDROME, be32toh(answer->syndrome));
			/* The reply has no bytes of the request. */
			EXPECT_TRUE(all_bytes_are(reply + 8, 0, capacity - 8));
			rpc_is_answered(fd, capacity);
		}
	}
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

TEST_F(mlx5_faults, rpc_not_delivered)
{
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		for (size_t i = 0; i < ARRAY_SIZE(deliveries); i++) {
			fault("user,delivery=%#x", deliveries[i].status);
			rpc_fails(deliveries[i].err, fd, capacity);
			rpc_is_answered(fd, capacity);
		}
	}
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

TEST_F(mlx5_faults, rpc_late)
{
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		fault("user,nth=2,late=300");
		for (int i = 0; i < 3; i++)
			rpc_is_answered(fd, capacity);
	}
	close(fd);
}

/* The completion comes after the timeout. */
TEST_F_TIMEOUT(mlx5_faults, rpc_too_late, 100)
{
	int fd = opened(self->dev.node);

	fault("user,late=12000");
	rpc_fails(ETIMEDOUT, fd, capacities[0]);
	for (int i = 0; i < 100; i++) {
		rpc_is_answered(fd, capacities[0]);
		usleep(100000);
	}
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

TEST_F_TIMEOUT(mlx5_faults, rpc_never_answered, 100)
{
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		fault("user,nth=2,never");
		rpc_is_answered(fd, capacity);
		rpc_fails(ETIMEDOUT, fd, capacity);
		rpc_is_answered(fd, capacity);
	}
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

/* The interrupt or the event is lost.  mlx5_core polls when the timeout expires. */
TEST_F_TIMEOUT(mlx5_faults, rpc_without_interrupt, 100)
{
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		fault("user,silent");
		rpc_is_answered(fd, capacity);
		rpc_is_answered(fd, capacity);
	}
	close(fd);
}

/* Garbage is delivered unchanged. */
TEST_F(mlx5_faults, rpc_garbled)
{
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		for (int from = 0; from <= 32; from += 16) {
			fault("user,garble=%d", from);
			ASSERT_EQ(0, rpc(fd, capacity));
			EXPECT_TRUE(all_bytes_are(reply + capacity, 0xee,
						  sizeof(reply) - capacity));
			EXPECT_FALSE(all_bytes_are(reply + from, 0, capacity - from));
			rpc_is_answered(fd, capacity);
		}
	}
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

/* Bytes that the device did not write are 0, not those of the request or of other memory. */
TEST_F(mlx5_faults, rpc_truncated)
{
	uint32_t lens[] = { 0, 1, 16, 17, 40, 512 };
	int fd = opened(self->dev.node);

	for_each_capacity(capacity) {
		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			fault("user,truncate=%u", lens[i]);
			ASSERT_EQ(0, rpc(fd, capacity));
			EXPECT_TRUE(all_bytes_are(reply + lens[i], 0, capacity - lens[i])) {
				TH_LOG("truncated to %u", lens[i]);
			}
			EXPECT_TRUE(all_bytes_are(reply + capacity, 0xee,
						  sizeof(reply) - capacity));
		}
	}
	close(fd);
}

/* DESTROY_UCTX: errors are not reported and do not affect the next file */

TEST_F(mlx5_faults, close_refused)
{
	int fd = opened(self->dev.node);

	fault("op=0xa06,status=1");
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(self->uids + 1, count_uids());

	fd = opened(self->dev.node);
	read_mgir(fd);
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(self->uids + 1, count_uids());
}

TEST_F(mlx5_faults, close_not_delivered)
{
	for (size_t i = 0; i < ARRAY_SIZE(deliveries); i++) {
		int fd = opened(self->dev.node);

		fault("op=0xa06,delivery=%#x", deliveries[i].status);
		EXPECT_EQ(0, close(fd));
		/* The driver destroys it after the next completion, here that of open(). */
		EXPECT_EQ(self->uids + (is_c_driver() ? (long)i : 0) + 1, count_uids());
	}
	EXPECT_EQ(0, close(opened(self->dev.node)));
	EXPECT_EQ(self->uids + (is_c_driver() ? (long)ARRAY_SIZE(deliveries) : 0), count_uids());
}

/* The reply is ignored. */
TEST_F(mlx5_faults, close_garbled_or_truncated)
{
	const char *faults[] = { "late=300", "garble", "truncate=0", "truncate=8" };

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		int fd = opened(self->dev.node);

		fault("op=0xa06,%s", faults[i]);
		EXPECT_EQ(0, close(fd));
		EXPECT_EQ(self->uids, count_uids());
	}
}

/* After a timeout, contexts are kept until the firmware completes a command, then destroyed. */
TEST_F_TIMEOUT(mlx5_faults, close_never_answered, 200)
{
	long destroyed = count_commands("DESTROY_UCTX");
	int fds[4];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = opened(self->dev.node);

	fault("op=0xa06,never,times=forever");
	EXPECT_EQ(0, close(fds[0]));
	/* The driver does not send the command now, but may do so later on a slow host. */
	EXPECT_EQ(0, close(fds[1]));
	if (is_c_driver())
		EXPECT_EQ(destroyed + 2, count_commands("DESTROY_UCTX"));
	EXPECT_EQ(-1, emu("clear"));

	/* The completion of any command triggers it. */
	read_mgir(fds[2]);
	EXPECT_EQ(destroyed + 2, count_commands("DESTROY_UCTX"));
	EXPECT_EQ(0, close(fds[2]));
	EXPECT_EQ(0, close(fds[3]));
	EXPECT_EQ(destroyed + 4, count_commands("DESTROY_UCTX"));
	EXPECT_EQ(self->uids, count_uids());
}

/* The exit of a program with many files takes one timeout, and no context is leaked. */
TEST_F_TIMEOUT(mlx5_faults, exit_with_many_files, 200)
{
	long destroyed = count_commands("DESTROY_UCTX"), asked;
	int fds[20];

	if (is_c_driver())
		SKIP(return, "the driver in C waits for each file");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = opened(self->dev.node);

	fault("op=0xa06,never,times=forever");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		EXPECT_EQ(0, close(fds[i]));
	asked = count_commands("DESTROY_UCTX") - destroyed;
	EXPECT_LE(1, asked);
	/* More than one if the host is so slow that closes are a second apart. */
	EXPECT_GT((long)ARRAY_SIZE(fds) / 2, asked);
	EXPECT_EQ(self->uids + (long)ARRAY_SIZE(fds) - asked, count_uids());
	EXPECT_EQ(-1, emu("clear"));

	EXPECT_EQ(0, close(opened(self->dev.node)));
	EXPECT_EQ(self->uids, count_uids());
	EXPECT_EQ(destroyed + (long)ARRAY_SIZE(fds) + 1, count_commands("DESTROY_UCTX"));
}

/* The completion comes late.  Closing the next file then destroys the kept context as well. */
TEST_F_TIMEOUT(mlx5_faults, close_answered_too_late, 200)
{
	int fds[4];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = opened(self->dev.node);

	fault("op=0xa06,late=9000");
	for (size_t i = 0; i < 3; i++)
		EXPECT_EQ(0, close(fds[i]));
	for (int i = 0; i < 300 && count_in_flight(); i++)
		usleep(100000);
	ASSERT_EQ(0, count_in_flight());
	sleep(2);
	EXPECT_EQ(0, close(fds[3]));
	EXPECT_EQ(self->uids, count_uids());
}

/*
 * RPCs that time out
 */

/* Slots of the command interface, without the one for pages. */
#define SLOTS 31

/* More than there are slots. */
#define SILENT_CALLERS 40

struct silent {
	pthread_t thread;
	int fd;
	/* -1 while in flight */
	volatile int err;
};

static void *silent_main(void *arg)
{
	struct silent *silent = arg;
	struct answer answer;

	silent->err = _read_mgir(silent->fd, &answer);
	return NULL;
}

/* Starts RPCs that are never completed. */
static void start_silent(struct silent *silent, int fd)
{
	for (int i = 0; i < SILENT_CALLERS; i++) {
		silent[i] = (struct silent) { .fd = fd, .err = -1 };
		if (pthread_create(&silent[i].thread, NULL, silent_main, &silent[i]))
			abort();
	}
}

/* Waits until the device has got its share of them. */
static void wait_for_silent(void)
{
	int before = -1, now = 0;

	while (!now || now != before) {
		before = now;
		usleep(300000);
		now = count_in_flight();
	}
}

static int count_errors(const struct silent *silent, int err)
{
	int count = 0;

	for (int i = 0; i < SILENT_CALLERS; i++)
		count += silent[i].err == err;
	return count;
}

/* Makes mlx5_core send QUERY_ISSI, through its debugfs.  Returns 0 or an errno. */
static int command_of_mlx5_core(const struct device *dev)
{
	static const char dir[] = "/sys/kernel/debug/mlx5/%s/cmd/%s";
	static const char query[HEADER_LEN] = { OP_QUERY_ISSI >> 8, OP_QUERY_ISSI & 0xff };
	char link[PATH_MAX], function[NAME_MAX + 1], path[PATH_MAX];
	int fd, err = 0;

	snprintf(link, sizeof(link), CLASS_DIR "/%s/device", dev->name);
	if (link_name(link, function, sizeof(function)))
		return ENOENT;
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	snprintf(path, sizeof(path), dir, function, "in");
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, query, sizeof(query)) != sizeof(query))
		err = errno;
	close(fd);
	if (err)
		return err;
	snprintf(path, sizeof(path), dir, function, "out_len");
	err = write_text(path, "112");
	if (err)
		return err;
	snprintf(path, sizeof(path), dir, function, "run");
	return write_text(path, "go");
}

TEST_F_TIMEOUT(mlx5_faults, silent_rpcs_leave_half_of_the_slots, 200)
{
	struct silent silent[SILENT_CALLERS];
	int fd = opened(self->dev.node);
	struct answer answer;

	if (is_c_driver())
		SKIP(return, "the driver in C takes all slots");

	fault("user,never,times=forever");
	start_silent(silent, fd);
	wait_for_silent();
	EXPECT_EQ(SLOTS / 2, count_in_flight());

	/* Other commands complete before any of them times out. */
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, close(opened(self->dev.node)));
	EXPECT_EQ(0, command_of_mlx5_core(&self->dev));

	for (int i = 0; i < SILENT_CALLERS; i++)
		pthread_join(silent[i].thread, NULL);
	/* The RPCs that were sent time out, the others find no slot. */
	EXPECT_EQ(SLOTS / 2, count_errors(silent, ETIMEDOUT));
	EXPECT_EQ(SILENT_CALLERS - SLOTS / 2, count_errors(silent, EAGAIN));
	EXPECT_EQ(SLOTS / 2, count_in_flight());

	/* They keep their slots until they complete. */
	EXPECT_EQ(-1, emu("clear"));
	EXPECT_EQ(EAGAIN, _read_mgir(fd, &answer));
	EXPECT_EQ(0, close(opened(self->dev.node)));
	EXPECT_EQ(0, command_of_mlx5_core(&self->dev));
	EXPECT_LE(0, emu("release"));
	while (count_in_flight())
		usleep(10000);
	/* The last completion event may be pending. */
	for (int i = 0; i < 100 && _read_mgir(fd, &answer) == EAGAIN; i++)
		usleep(10000);
	read_mgir(fd);
	close(fd);
	EXPECT_EQ(self->uids, count_uids());
}

/* open(2) with silent firmware leaves slots to others, too. */
TEST_F_TIMEOUT(mlx5_faults, silent_opens_leave_slots, 300)
{
	pid_t openers[SILENT_CALLERS];
	int status;

	if (is_c_driver())
		SKIP(return, "the driver in C takes all slots");

	fault("op=0xa04,never,times=forever");
	for (int i = 0; i < SILENT_CALLERS; i++) {
		openers[i] = fork();
		ASSERT_LE(0, openers[i]);
		if (!openers[i])
			_exit(open(self->dev.node, O_RDWR | O_CLOEXEC) < 0 ? errno : 0);
	}
	for (int i = 0; i < SILENT_CALLERS; i++) {
		ASSERT_EQ(openers[i], waitpid(openers[i], &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		EXPECT_TRUE(WEXITSTATUS(status) == ETIMEDOUT || WEXITSTATUS(status) == EAGAIN);
	}
	EXPECT_GT(SLOTS, count_in_flight());
	EXPECT_EQ(0, command_of_mlx5_core(&self->dev));
}


TEST_F_TIMEOUT(mlx5_faults, waiting_for_a_slot_is_killable, 200)
{
	struct silent silent[SILENT_CALLERS];
	int fd = opened(self->dev.node), status;
	bool was_first = false, was_waiting;
	pid_t child;

	if (is_c_driver())
		SKIP(return, "the driver in C does not wait");

	/* Try again if the earlier RPCs timed out first, on a slow host. */
	for (int round = 0; round < 5 && !was_first; round++) {
		fault("user,never,times=forever");
		start_silent(silent, fd);
		/* No pause: the child is to be killed before any of them times out. */
		while (count_in_flight() < SLOTS / 2 &&
		       count_errors(silent, -1) == SILENT_CALLERS)
			usleep(1000);
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(_read_mgir(fd, &(struct answer) {}));
		was_waiting = wait_asleep(child);
		EXPECT_EQ(0, kill(child, SIGKILL));
		EXPECT_EQ(child, waitpid(child, &status, 0));
		was_first = was_waiting && WIFSIGNALED(status) &&
			    count_errors(silent, -1) == SILENT_CALLERS;

		EXPECT_EQ(-1, emu("clear"));
		EXPECT_LE(0, emu("release"));
		for (int i = 0; i < SILENT_CALLERS; i++)
			pthread_join(silent[i].thread, NULL);
		was_first = was_first && count_errors(silent, 0) == SILENT_CALLERS;
	}
	EXPECT_TRUE(was_first);
	close(fd);
}

/*
 * A task that is killed does not wait for the firmware.  Its command stays in flight, and its user
 * context exists until the command has ended.
 */
TEST_F_TIMEOUT(mlx5_faults, silent_rpc_is_killable, 200)
{
	int fd = opened(self->dev.node), before = count_uids(), own, status;
	pid_t child;

	if (is_c_driver())
		SKIP(return, "the driver in C is not killable");

	own = opened(self->dev.node);
	fault("user,never");
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(_read_mgir(own, &(struct answer) {}));
	close(own);
	while (!count_in_flight())
		usleep(10000);
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(1, count_in_flight());
	EXPECT_EQ(before + 1, count_uids());

	/* Others are not affected. */
	read_mgir(fd);
	EXPECT_EQ(before + 1, count_uids());

	EXPECT_LE(0, emu("release"));
	while (count_in_flight())
		usleep(10000);
	for (int i = 0; i < 100 && count_uids() != before; i++) {
		read_mgir(fd);
		usleep(10000);
	}
	EXPECT_EQ(before, count_uids());
	close(fd);
}

/* Unbind.  Last, since the device has another number afterwards. */
TEST_F_TIMEOUT(mlx5_faults, unbind_never_answered, 200)
{
	long destroyed = count_commands("DESTROY_UCTX");
	char auxiliary[NAME_MAX + 1];
	int fds[4];

	ASSERT_TRUE(find_auxiliary(&self->dev, auxiliary, sizeof(auxiliary)));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = opened(self->dev.node);

	fault("op=0xa06,never,times=forever");
	ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", auxiliary));
	EXPECT_EQ(destroyed + (is_c_driver() ? (long)ARRAY_SIZE(fds) : 1),
		  count_commands("DESTROY_UCTX"));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(ENODEV, _read_mgir(fds[i], &(struct answer) {}));
		EXPECT_EQ(0, close(fds[i]));
	}

	ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", auxiliary));
	ASSERT_TRUE(find_device(&self->dev, is_mlx5));
}

/* RPCs end at once with ENODEV, whether they wait for a slot or for the firmware. */
TEST_F_TIMEOUT(mlx5_faults, unbind_ends_silent_rpcs, 200)
{
	struct silent silent[SILENT_CALLERS];
	int fd = opened(self->dev.node);
	char auxiliary[NAME_MAX + 1];

	if (is_c_driver())
		SKIP(return, "the driver in C does not wait");

	ASSERT_TRUE(find_auxiliary(&self->dev, auxiliary, sizeof(auxiliary)));
	fault("user,never,times=forever");
	start_silent(silent, fd);
	ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", auxiliary));
	for (int i = 0; i < SILENT_CALLERS; i++)
		pthread_join(silent[i].thread, NULL);
	EXPECT_EQ(SILENT_CALLERS, count_errors(silent, ENODEV));
	close(fd);

	ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", auxiliary));
	ASSERT_TRUE(find_device(&self->dev, is_mlx5));
}

TEST_HARNESS_MAIN
