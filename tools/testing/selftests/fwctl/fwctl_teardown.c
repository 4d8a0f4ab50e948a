// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files of a fwctl device whose driver is unbound and bound again.
 *
 * Needs a loopback device that nothing else uses; fwctl.c describes how to choose it.
 */
#include <sys/epoll.h>

#include "loopback_utils.h"

FIXTURE(teardown)
{
	/* As found at the start of the test */
	struct device dev;
	int fd;
};

FIXTURE_SETUP(teardown)
{
	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);

	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_STREQ("auxiliary", self->dev.bus);
	ASSERT_STRNE("", self->dev.driver);
}

FIXTURE_TEARDOWN(teardown)
{
	close(self->fd);
	EXPECT_EQ(0, rebind_device(&self->dev));
}

TEST_F(teardown, open_file_of_an_unbound_device)
{
	char path[PATH_MAX];
	struct stat stat;
	int copy;

	loopback_echo(self->fd);
	ASSERT_EQ(0, unbind(&self->dev));
	check_orphan(_metadata, self->fd);

	/* The device is removed for everyone else. */
	EXPECT_EQ(-1, open(self->dev.node, O_RDWR));
	EXPECT_EQ(ENOENT, errno);
	snprintf(path, sizeof(path), CLASS_DIR "/%s", self->dev.name);
	EXPECT_EQ(-1, access(path, F_OK));

	/* Generic file operations still work. */
	EXPECT_EQ(0, fstat(self->fd, &stat));
	copy = dup(self->fd);
	EXPECT_LE(0, copy);
	EXPECT_EQ(0, close(copy));
	check_orphan(_metadata, self->fd);
	EXPECT_EQ(0, close(self->fd));
}

TEST_F(teardown, many_open_files_of_an_unbound_device)
{
	int fds[100];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open(self->dev.node, O_RDWR);
		ASSERT_LE(0, fds[i]);
	}
	/* Close some of them before the unbind. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i += 3)
		close(fds[i]);
	ASSERT_EQ(0, unbind(&self->dev));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (i % 3) {
			loopback_echo_fails(ENODEV, fds[i]);
			EXPECT_EQ(0, close(fds[i]));
		}
	}
}

/*
 * A node from mknod() and one in /proc still have the old device number, and cannot be opened.
 */
TEST_F(teardown, old_nodes_cannot_be_opened)
{
	char node[] = "/tmp/fwctl-node-XXXXXX", proc[64];
	struct stat stat;
	int fd;

	mkdir("/tmp", 01777);
	ASSERT_EQ(0, fstat(self->fd, &stat));
	fd = mkstemp(node);
	ASSERT_LE(0, fd);
	close(fd);
	unlink(node);
	ASSERT_EQ(0, mknod(node, S_IFCHR | 0600, stat.st_rdev));
	fd = open(node, O_RDWR);
	ASSERT_LE(0, fd);
	loopback_echo(fd);
	close(fd);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", self->fd);
	fd = open(proc, O_RDWR);
	ASSERT_LE(0, fd);
	close(fd);

	ASSERT_EQ(0, unbind(&self->dev));
	EXPECT_EQ(-1, open(node, O_RDWR));
	EXPECT_TRUE(errno == ENODEV || errno == ENXIO) {
		TH_LOG("node: %m");
	}
	EXPECT_EQ(-1, open(proc, O_RDWR));
	EXPECT_TRUE(errno == ENODEV || errno == ENXIO) {
		TH_LOG("proc: %m");
	}
	unlink(node);
}

/* On the C core such a file is always ready. */
TEST_F(teardown, poll_reports_a_removed_device)
{
	struct pollfd pollfd = { .fd = self->fd, .events = POLLIN | POLLOUT };

	ASSERT_EQ(1, poll(&pollfd, 1, 0));
	EXPECT_EQ(POLLIN | POLLOUT, pollfd.revents);

	ASSERT_EQ(0, unbind(&self->dev));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(1, poll(&pollfd, 1, 0));
		EXPECT_EQ(POLLHUP, pollfd.revents & POLLHUP);
		EXPECT_EQ(0, pollfd.revents & (POLLIN | POLLOUT));
		/* Reported even if not requested. */
		pollfd.events = 0;
	}
}

struct poller {
	int fd;
	pthread_t thread;
	volatile pid_t tid;
	int revents;
};

/* The timeout makes the test fail instead of hang. */
static void *poller_main(void *arg)
{
	struct poller *poller = arg;
	struct pollfd pollfd = { .fd = poller->fd };

	__atomic_store_n(&poller->tid, gettid_(), __ATOMIC_SEQ_CST);
	poller->revents = poll(&pollfd, 1, 10000) == 1 ? pollfd.revents : -1;
	return NULL;
}

/* On the C core it sleeps on. */
TEST_F(teardown, poller_is_woken)
{
	struct poller pollers[4];

	for (size_t i = 0; i < ARRAY_SIZE(pollers); i++) {
		pollers[i] =
			(struct poller){ .fd = i % 2 ? self->fd : open(self->dev.node, O_RDONLY) };
		ASSERT_LE(0, pollers[i].fd);
		ASSERT_EQ(0, pthread_create(&pollers[i].thread, NULL, poller_main, &pollers[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(pollers); i++) {
		while (!__atomic_load_n(&pollers[i].tid, __ATOMIC_SEQ_CST))
			usleep(1000);
		ASSERT_TRUE(wait_for_state(pollers[i].tid, 'S'));
	}
	ASSERT_EQ(0, unbind(&self->dev));
	for (size_t i = 0; i < ARRAY_SIZE(pollers); i++) {
		pthread_join(pollers[i].thread, NULL);
		EXPECT_NE(-1, pollers[i].revents);
		EXPECT_EQ(POLLHUP, pollers[i].revents & POLLHUP);
		if (pollers[i].fd != self->fd)
			close(pollers[i].fd);
	}
}

/* The C core does not support epoll. */
TEST_F(teardown, epoll_is_woken)
{
	struct epoll_event event = { .events = EPOLLET };
	int epoll = epoll_create1(0);

	if (epoll < 0)
		SKIP(return, "no epoll");
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	ASSERT_EQ(0, unbind(&self->dev));
	ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 10000));
	EXPECT_EQ(EPOLLHUP, event.events & EPOLLHUP);
	close(epoll);
}

struct unbinder {
	const struct device *dev;
	pthread_t thread;
	int err;
	bool is_done;
};

static void *unbinder_main(void *arg)
{
	struct unbinder *unbinder = arg;

	unbinder->err = unbind(unbinder->dev);
	__atomic_store_n(&unbinder->is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Unbind waits for RPCs in flight. */
TEST_F_TIMEOUT(teardown, unbind_waits_for_a_running_rpc, LONG_TIMEOUT)
{
	struct unbinder unbinder = { .dev = &self->dev };
	struct sleeper sleeper;
	int early = 0;

	sleeper_start(&sleeper, self->fd, SLEEP_MS);
	ASSERT_EQ(0, pthread_create(&unbinder.thread, NULL, unbinder_main, &unbinder));
	while (!sleeper_is_done(&sleeper)) {
		bool is_unbound = __atomic_load_n(&unbinder.is_done, __ATOMIC_SEQ_CST);

		/* Still in the driver after unbind has returned. */
		if (is_unbound && task_state(sleeper.tid) == 'D')
			early++;
		usleep(1000);
	}
	EXPECT_EQ(0, early);

	/* The RPC has completed with its reply. */
	EXPECT_EQ(0, sleeper_join(&sleeper));
	pthread_join(unbinder.thread, NULL);
	EXPECT_EQ(0, unbinder.err);
	check_orphan(_metadata, self->fd);
}

/* The same for an RPC whose file has been closed. */
TEST_F_TIMEOUT(teardown, unbind_waits_for_the_rpc_of_a_closed_file, LONG_TIMEOUT)
{
	int fd = open(self->dev.node, O_RDWR);
	struct sleeper sleeper;

	ASSERT_LE(0, fd);
	sleeper_start(&sleeper, fd, SLEEP_MS);
	close(fd);
	ASSERT_EQ(0, unbind(&self->dev));
	EXPECT_NE('D', task_state(sleeper.tid));
	EXPECT_EQ(0, sleeper_join(&sleeper));
}

/* RPCs that start after unbind fail, even while it waits for one in flight. */
TEST_F_TIMEOUT(teardown, no_rpc_begins_after_unbind, LONG_TIMEOUT)
{
	struct unbinder unbinder = { .dev = &self->dev };
	struct sleeper sleeper;
	char path[PATH_MAX];
	int err;

	sleeper_start(&sleeper, self->fd, SLEEP_MS);
	ASSERT_EQ(0, pthread_create(&unbinder.thread, NULL, unbinder_main, &unbinder));

	/*
	 * Unbind first removes the class device.  RPCs that start after that may still succeed,
	 * but not for long.
	 */
	snprintf(path, sizeof(path), CLASS_DIR "/%s", self->dev.name);
	while (!access(path, F_OK))
		usleep(1000);
	do {
		err = _loopback_echo(self->fd, FWCTL_RPC_CONFIGURATION);
	} while (!err);
	EXPECT_EQ(ENODEV, err);
	check_orphan(_metadata, self->fd);

	EXPECT_EQ(0, sleeper_join(&sleeper));
	pthread_join(unbinder.thread, NULL);
	EXPECT_EQ(0, unbinder.err);
}

TEST_F(teardown, rebind_starts_over)
{
	struct fwctl_loopback_state state;
	struct device again = self->dev;
	int fd;

	ASSERT_EQ(0, unbind(&self->dev));
	ASSERT_EQ(0, bind_again(&self->dev));
	ASSERT_TRUE(find_again(&again));

	/* The open file keeps the number of the old device. */
	EXPECT_STRNE(self->dev.name, again.name);
	fd = open(again.node, O_RDWR);
	ASSERT_LE(0, fd);
	state = loopback_state(fd);
	EXPECT_EQ(1, state.open_uctx);
	EXPECT_EQ(1, state.uid);
	/* The old file returns ENODEV and its context is not counted. */
	check_orphan(_metadata, self->fd);
	close(self->fd);
	EXPECT_EQ(1, loopback_state(fd).open_uctx);
	close(fd);
}

/* Without open files a number is free at once.  The lowest free number is used. */
TEST_F(teardown, numbers_are_used_again)
{
	struct device lowest = self->dev, again = self->dev, kept;
	int fds[3];

	/* Find the lowest free number first. */
	close(self->fd);
	ASSERT_EQ(0, unbind(&self->dev));
	ASSERT_EQ(0, bind_again(&self->dev));
	ASSERT_TRUE(find_again(&lowest));
	for (int round = 0; round < 5; round++) {
		ASSERT_EQ(0, unbind(&self->dev));
		ASSERT_EQ(0, bind_again(&self->dev));
		ASSERT_TRUE(find_again(&again));
		EXPECT_STREQ(lowest.name, again.name);
	}

	/*
	 * Three files keep the numbers of three removed devices; closing the second frees its
	 * number.
	 */
	for (int i = 0; i < 3; i++) {
		fds[i] = open(again.node, O_RDWR);
		ASSERT_LE(0, fds[i]);
		if (i == 1)
			kept = again;
		ASSERT_EQ(0, unbind(&self->dev));
		ASSERT_EQ(0, bind_again(&self->dev));
		ASSERT_TRUE(find_again(&again));
	}
	close(fds[1]);
	ASSERT_EQ(0, unbind(&self->dev));
	ASSERT_EQ(0, bind_again(&self->dev));
	ASSERT_TRUE(find_again(&again));
	EXPECT_STREQ(kept.name, again.name);

	close(fds[0]);
	close(fds[2]);
	ASSERT_EQ(0, unbind(&self->dev));
	ASSERT_EQ(0, bind_again(&self->dev));
	ASSERT_TRUE(find_again(&again));
	EXPECT_STREQ(lowest.name, again.name);
}

/* Other devices of the driver are not affected. */
TEST_F(teardown, other_devices_stay)
{
	struct dirent *entry;
	bool is_found = false;
	struct device other;
	DIR *dir;
	int fd;

	dir = opendir(CLASS_DIR);
	ASSERT_TRUE(dir != NULL);
	while (!is_found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "fwctl", 5))
			continue;
		device_named(&other, entry->d_name);
		is_found = !strcmp(other.module, self->dev.module) &&
			   strcmp(other.name, self->dev.name);
	}
	closedir(dir);
	if (!is_found)
		SKIP(return, "the driver has only one device");

	fd = open(other.node, O_RDWR);
	ASSERT_LE(0, fd);
	loopback_echo(fd);
	ASSERT_EQ(0, unbind(&self->dev));
	loopback_echo_fails(ENODEV, self->fd);
	loopback_echo(fd);
	EXPECT_EQ(1, loopback_state(fd).open_uctx);
	close(fd);
	fd = open(other.node, O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
}

/*
 * Stress
 */

#define HAMMERS 6
#define HAMMER_ROUNDS 25

struct hammer {
	pthread_t thread;
	const struct device *dev;
	/* Uses each file until its device is removed, instead of a few times */
	bool is_faithful;
	/* Set after unbind, cleared before bind */
	const bool *is_unbound;
	const bool *is_over;
	unsigned int opened;
	/*
	 * Number of calls, and of those that succeeded, failed with ENODEV, or succeeded after
	 * unbind
	 */
	unsigned int asked;
	unsigned int answered;
	unsigned int orphaned;
	unsigned int after_unbind;
	/* An unexpected errno */
	int err;
};

/* Uses a file once.  Returns whether its device has been removed. */
static bool hammer_once(struct hammer *hammer, int fd)
{
	bool is_unbound = __atomic_load_n(hammer->is_unbound, __ATOMIC_SEQ_CST);
	uint32_t len = 0, type;
	int err;

	if (hammer->asked++ & 1)
		err = _loopback_echo(fd, FWCTL_RPC_CONFIGURATION);
	else
		err = _fwctl_info(fd, NULL, &len, &type);
	if (!err) {
		__atomic_add_fetch(&hammer->answered, 1, __ATOMIC_SEQ_CST);
		/* The devices of all files opened before this call are unbound. */
		hammer->after_unbind += is_unbound;
	} else if (err == ENODEV) {
		hammer->orphaned++;
	} else {
		hammer->err = err;
	}
	return err;
}

/* Opens the current node of the device, uses the file, and closes it. */
static void *hammer_main(void *arg)
{
	struct hammer *hammer = arg;

	while (!__atomic_load_n(hammer->is_over, __ATOMIC_SEQ_CST)) {
		struct device now = *hammer->dev;
		int fd = -1, err = ENOENT;

		if (find_again(&now)) {
			fd = open(now.node, O_RDWR);
			err = errno;
		}
		if (fd < 0) {
			if (err != ENOENT && err != ENODEV && err != ENXIO)
				hammer->err = err;
			usleep(1000);
			continue;
		}
		hammer->opened++;
		for (int i = 0; hammer->is_faithful || i < 10; i++) {
			if (hammer_once(hammer, fd) ||
			    __atomic_load_n(hammer->is_over, __ATOMIC_SEQ_CST))
				break;
		}
		hammer_once(hammer, fd);
		if (close(fd))
			hammer->err = errno;
	}
	return NULL;
}

/* Waits until a hammer has got a reply from the current device. */
static void wait_for_answer(const struct hammer *hammer)
{
	unsigned int before = __atomic_load_n(&hammer->answered, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&hammer->answered, __ATOMIC_SEQ_CST) == before)
		usleep(1000);
}

TEST_F_TIMEOUT(teardown, unbind_and_bind_under_load, LONG_TIMEOUT)
{
	struct hammer hammers[HAMMERS] = {};
	bool is_unbound = false, is_over = false;
	unsigned int opened = 0, answered = 0, orphaned = 0;
	struct device again = self->dev;
	int fd, failed = 0;

	for (int i = 0; i < HAMMERS; i++) {
		hammers[i].dev = &self->dev;
		hammers[i].is_faithful = i & 1;
		hammers[i].is_unbound = &is_unbound;
		hammers[i].is_over = &is_over;
		ASSERT_EQ(0, pthread_create(&hammers[i].thread, NULL, hammer_main, &hammers[i]));
	}
	for (int round = 0; round < HAMMER_ROUNDS; round++) {
		for (int i = 0; i < HAMMERS; i++)
			wait_for_answer(&hammers[i]);
		failed += !!unbind(&self->dev);
		__atomic_store_n(&is_unbound, true, __ATOMIC_SEQ_CST);
		usleep(5000);
		__atomic_store_n(&is_unbound, false, __ATOMIC_SEQ_CST);
		failed += !!bind_again(&self->dev);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < HAMMERS; i++) {
		pthread_join(hammers[i].thread, NULL);
		EXPECT_EQ(0, hammers[i].err);
		EXPECT_EQ(0, hammers[i].after_unbind);
		EXPECT_EQ(hammers[i].asked, hammers[i].answered + hammers[i].orphaned);
		/* These had a file open at each unbind. */
		if (hammers[i].is_faithful) {
			EXPECT_LE(HAMMER_ROUNDS, hammers[i].orphaned);
		}
		opened += hammers[i].opened;
		answered += hammers[i].answered;
		orphaned += hammers[i].orphaned;
	}
	TH_LOG("%u files, %u answers, %u orphans", opened, answered, orphaned);
	EXPECT_EQ(0, failed);

	/* All contexts were closed. */
	loopback_echo_fails(ENODEV, self->fd);
	ASSERT_TRUE(find_again(&again));
	fd = open(again.node, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, loopback_state(fd).open_uctx);
	close(fd);
}

/*
 * Opens and closes files of a device that is unbound.  Either close or unbind closes each context,
 * exactly once.
 */
static void *open_close_main(void *arg)
{
	struct hammer *hammer = arg;

	while (!__atomic_load_n(hammer->is_over, __ATOMIC_SEQ_CST)) {
		struct device now = *hammer->dev;
		int fds[8];

		for (int i = 0; i < 8; i++)
			fds[i] = find_again(&now) ? open(now.node, O_RDWR) : -1;
		for (int i = 0; i < 8; i++) {
			if (fds[i] >= 0)
				close(fds[i]);
			else
				sched_yield();
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(teardown, close_and_unbind_at_the_same_time, LONG_TIMEOUT)
{
	struct hammer hammers[HAMMERS] = {};
	struct device again = self->dev;
	bool is_over = false;
	int failed = 0, fd;

	for (int i = 0; i < HAMMERS; i++) {
		hammers[i].dev = &self->dev;
		hammers[i].is_over = &is_over;
		ASSERT_EQ(0,
			  pthread_create(&hammers[i].thread, NULL, open_close_main, &hammers[i]));
	}
	for (int round = 0; round < HAMMER_ROUNDS; round++) {
		usleep(3000);
		failed += !!unbind(&self->dev);
		failed += !!bind_again(&self->dev);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < HAMMERS; i++)
		pthread_join(hammers[i].thread, NULL);
	EXPECT_EQ(0, failed);
	ASSERT_TRUE(find_again(&again));
	fd = open(again.node, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, loopback_state(fd).open_uctx);
	close(fd);
}

TEST_HARNESS_MAIN
