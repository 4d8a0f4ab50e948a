// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registration of a Rust driver ends in time, however the driver handles it.
 *
 * Loads and unloads the driver, fwctl_lifetime of CONFIG_FWCTL_TEST_LIFETIME, which must not be
 * loaded before.  Needs the file of the module, see module_utils.h.
 */
#include <signal.h>

#include "loopback_utils.h"
#include "module_utils.h"
#include "tests/lifetime.h"

#define MODULE "fwctl_lifetime"

static struct fwctl_lifetime_cmd lifetime_cmd(uint32_t op, uint32_t arg)
{
	return (struct fwctl_lifetime_cmd) { .op = op, .arg = arg };
}

/* Sends an RPC and ignores the reply.  Returns 0 or an errno. */
static int lifetime_op(int fd, uint32_t op, uint32_t arg)
{
	struct fwctl_lifetime_cmd cmd = lifetime_cmd(op, arg);
	uint32_t out_len = 0;

	return _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), NULL, &out_len);
}

/* Waits in the driver.  Returns 0 or an errno.  *came is 1 if a notification came. */
static int lifetime_wait(int fd, uint32_t ms, uint32_t *came)
{
	struct fwctl_lifetime_cmd cmd = lifetime_cmd(FWCTL_LIFETIME_WAIT, ms);
	uint32_t out_len = sizeof(*came);

	return _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), came, &out_len);
}

/* Finds the device of a host.  Returns false if it has none. */
static bool device_of(unsigned int host, struct device *dev)
{
	memset(dev, 0, sizeof(*dev));
	snprintf(dev->parent, sizeof(dev->parent), MODULE ".loop.%u", host);
	snprintf(dev->driver, sizeof(dev->driver), MODULE "." MODULE);
	return find_again(dev);
}

/* Reopens a file, even if its node was removed.  Returns a file descriptor or -1. */
static int open_again(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR);
}

/* Reads the state of the first device through the last one. */
static struct fwctl_lifetime_state state_of(struct __test_metadata *_metadata)
{
	struct fwctl_lifetime_cmd cmd = lifetime_cmd(FWCTL_LIFETIME_STATE, 0);
	struct fwctl_lifetime_state state;
	uint32_t out_len = sizeof(state);
	struct device observer;
	int fd;

	memset(&state, 0xee, sizeof(state));
	EXPECT_TRUE(device_of(2, &observer));
	fd = open(observer.node, O_RDWR);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), &state, &out_len));
	EXPECT_EQ(sizeof(state), out_len);
	close(fd);
	return state;
}

/* Checks that no call was late and that all data, made `times` times, were dropped. */
#define expect_clean(times) do {						\
	struct fwctl_lifetime_state __state = state_of(_metadata);		\
	EXPECT_EQ(0, __state.late_calls);					\
	EXPECT_EQ(times, __state.made);						\
	EXPECT_EQ(times, __state.dropped);					\
	EXPECT_EQ(__state.opened, __state.closed);				\
	EXPECT_EQ(__state.entries_added, __state.entries_released);		\
} while (0)

/* A thread that runs one function. */
struct job {
	int (*run)(struct job *job);
	/* Arguments and result of `run` */
	int fd;
	uint32_t arg;
	uint32_t reply;
	const struct device *dev;
	char parameters[256];

	pthread_t thread;
	volatile pid_t tid;
	int err;
	bool is_done;
};

static void *job_main(void *arg)
{
	struct job *job = arg;

	__atomic_store_n(&job->tid, gettid_(), __ATOMIC_SEQ_CST);
	job->err = job->run(job);
	__atomic_store_n(&job->is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void job_start(struct job *job)
{
	if (pthread_create(&job->thread, NULL, job_main, job))
		abort();
	while (!__atomic_load_n(&job->tid, __ATOMIC_SEQ_CST))
		usleep(1000);
}

static bool job_is_done(const struct job *job)
{
	return __atomic_load_n(&job->is_done, __ATOMIC_SEQ_CST);
}

static int job_join(struct job *job)
{
	pthread_join(job->thread, NULL);
	return job->err;
}

static int run_wait(struct job *job)
{
	return lifetime_wait(job->fd, job->arg, &job->reply);
}

static int run_loop(struct job *job)
{
	return lifetime_op(job->fd, FWCTL_LIFETIME_LOOP, 0);
}

static int run_sleep(struct job *job)
{
	return lifetime_op(job->fd, FWCTL_LIFETIME_SLEEP, job->arg);
}

static int run_unbind(struct job *job)
{
	return unbind(job->dev);
}

static int run_load(struct job *job)
{
	return load_module_file_with(job->parameters);
}

/* Adds devres entries until the device is removed.  `reply` counts the successful calls. */
static int run_devres(struct job *job)
{
	int err;

	while (!(err = lifetime_op(job->fd, FWCTL_LIFETIME_DEVRES, job->arg)))
		__atomic_add_fetch(&job->reply, 1, __ATOMIC_SEQ_CST);
	return err;
}

/* Sends short RPCs until one fails.  `reply` counts the successful ones. */
static int run_short_calls(struct job *job)
{
	int err;

	while (!(err = lifetime_op(job->fd, FWCTL_LIFETIME_SLEEP, job->arg)))
		__atomic_add_fetch(&job->reply, 1, __ATOMIC_SEQ_CST);
	return err;
}

/* Waits until `count` more calls of a job have succeeded. */
static void job_progress(const struct job *job, uint32_t count)
{
	uint32_t before = __atomic_load_n(&job->reply, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&job->reply, __ATOMIC_SEQ_CST) - before < count &&
	       !job_is_done(job))
		usleep(1000);
}

FIXTURE(lifetime)
{
	struct device first;
	int fd;
};

FIXTURE_VARIANT(lifetime)
{
	unsigned int keep;
};

FIXTURE_VARIANT_ADD(lifetime, owned) { .keep = FWCTL_LIFETIME_OWNED };
FIXTURE_VARIANT_ADD(lifetime, forgotten) { .keep = FWCTL_LIFETIME_FORGOTTEN };
FIXTURE_VARIANT_ADD(lifetime, in_data) { .keep = FWCTL_LIFETIME_IN_DATA };
FIXTURE_VARIANT_ADD(lifetime, shared) { .keep = FWCTL_LIFETIME_SHARED };

FIXTURE_SETUP(lifetime)
{
	self->fd = -1;
	load_module("fwctl", "");
	if (!find_module(MODULE))
		SKIP(return, "no module " MODULE ": enable CONFIG_FWCTL_TEST_LIFETIME");
	ASSERT_FALSE(is_loaded(MODULE));
}

FIXTURE_TEARDOWN(lifetime)
{
	struct device dev;

	/* The driver can always be unloaded, and its devices are removed. */
	if (is_loaded(MODULE)) {
		EXPECT_EQ(0, unload_module(MODULE));
	}
	for (unsigned int host = 0; host < 3; host++)
		EXPECT_FALSE(device_of(host, &dev));
	if (self->fd >= 0) {
		EXPECT_EQ(ENODEV, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));
		close(self->fd);
	}
}

/* Loads the module and opens the device of the first host. */
#define lifetime_start(more) do {						\
	char __parameters[256];							\
	snprintf(__parameters, sizeof(__parameters), "keep=%u " more, variant->keep);	\
	ASSERT_EQ(0, load_module_file_with(__parameters));			\
	ASSERT_TRUE(device_of(0, &self->first));				\
	self->fd = open(self->first.node, O_RDWR);				\
	ASSERT_LE(0, self->fd);							\
	ASSERT_EQ(0, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));		\
} while (0)

TEST_F(lifetime, unbind_ends_the_registration)
{
	struct device again;
	int fd;

	lifetime_start("");
	for (unsigned int round = 1; round <= 5; round++) {
		fd = open_again(self->fd);
		if (round == 1)
			ASSERT_LE(0, fd);
		ASSERT_EQ(0, unbind(&self->first));
		EXPECT_FALSE(device_of(0, &again));
		EXPECT_EQ(ENODEV, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));
		EXPECT_EQ(-1, open_again(self->fd));
		EXPECT_TRUE(errno == ENODEV || errno == ENXIO) {
			TH_LOG("%m");
		}
		expect_clean(round);
		EXPECT_EQ(round, state_of(_metadata).unbinds);
		close(fd);

		ASSERT_EQ(0, bind_again(&self->first));
		ASSERT_TRUE(device_of(0, &again));
		fd = open(again.node, O_RDWR);
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, lifetime_op(fd, FWCTL_LIFETIME_STATE, 0));
		close(self->fd);
		self->fd = fd;
	}
}

/* No callback runs during or after unbind(). */
TEST_F_TIMEOUT(lifetime, nothing_is_called_during_unbind, LONG_TIMEOUT)
{
	struct job unbinder = { .run = run_unbind, .dev = &self->first };
	struct job sleeper = { .run = run_sleep, .arg = 500 };
	uint32_t len = 0, type;
	bool was_done;
	int fd, closing;

	lifetime_start("unbind_ms=3000");
	sleeper.fd = self->fd;
	job_start(&sleeper);
	ASSERT_TRUE(wait_asleep(sleeper.tid));
	closing = open_again(self->fd);
	ASSERT_LE(0, closing);

	job_start(&unbinder);
	while (!state_of(_metadata).unbinds)
		usleep(1000);
	/* Unbind has waited for the RPC in flight and closed the contexts. */
	EXPECT_TRUE(job_is_done(&sleeper) || task_state(sleeper.tid) != 'D');
	expect_clean(1);
	for (int i = 0; i < 100; i++) {
		fd = open_again(self->fd);
		EXPECT_EQ(-1, fd);
		EXPECT_TRUE(errno == ENODEV || errno == ENXIO) {
			TH_LOG("%m");
		}
		EXPECT_EQ(ENODEV, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));
		EXPECT_EQ(ENODEV, _fwctl_info(self->fd, NULL, &len, &type));
	}
	close(closing);
	was_done = job_is_done(&unbinder);
	EXPECT_EQ(0, job_join(&sleeper));
	EXPECT_EQ(0, job_join(&unbinder));
	expect_clean(1);
	/* The RPC was in flight all the time. */
	EXPECT_FALSE(was_done);
}

TEST_F(lifetime, unbind_cannot_register)
{
	struct device again;

	lifetime_start("register_in_unbind=1");
	ASSERT_EQ(0, unbind(&self->first));
	EXPECT_FALSE(device_of(0, &again));
	EXPECT_EQ(EBUSY, state_of(_metadata).register_error);
	expect_clean(2);
	ASSERT_EQ(0, bind_again(&self->first));
	EXPECT_TRUE(device_of(0, &again));
}

/* All devres entries that RPCs add to the host are released. */
TEST_F_TIMEOUT(lifetime, devres_entries_of_rpcs_are_released, LONG_TIMEOUT)
{
	struct job jobs[3];
	struct device again;

	lifetime_start("");
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
			jobs[i] = (struct job){ .run = run_devres, .arg = 10 };
			jobs[i].fd = open_again(self->fd);
			ASSERT_LE(0, jobs[i].fd);
			job_start(&jobs[i]);
		}
		for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
			job_progress(&jobs[i], 3);
		ASSERT_EQ(0, unbind(&self->first));
		expect_clean(round + 1);
		for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
			EXPECT_EQ(ENODEV, job_join(&jobs[i]));
			EXPECT_LE(3, jobs[i].reply);
			close(jobs[i].fd);
		}
		expect_clean(round + 1);

		ASSERT_EQ(0, bind_again(&self->first));
		close(self->fd);
		ASSERT_TRUE(device_of(0, &again));
		self->fd = open(again.node, O_RDWR);
		ASSERT_LE(0, self->fd);
	}
	EXPECT_LE(10 * 3 * 3 * 10, state_of(_metadata).entries_added);
}

/* A probe that fails after registering the device unregisters it. */
TEST_F_TIMEOUT(lifetime, failed_probe_ends_the_registration, LONG_TIMEOUT)
{
	struct job loader = { .run = run_load };
	struct job sleeper = { .run = run_sleep, .arg = 4000 };
	struct device again;

	snprintf(loader.parameters, sizeof(loader.parameters),
		 "keep=%u fail_probe=1 probe_ms=3000", variant->keep);
	job_start(&loader);
	while (!device_of(0, &self->first) || (self->fd = open(self->first.node, O_RDWR)) < 0) {
		ASSERT_FALSE(job_is_done(&loader));
		usleep(1000);
	}
	ASSERT_EQ(0, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));
	/* In flight when probe fails. */
	sleeper.fd = self->fd;
	job_start(&sleeper);
	wait_asleep(sleeper.tid);

	EXPECT_EQ(0, job_join(&loader));
	EXPECT_NE('D', task_state(sleeper.tid));
	EXPECT_EQ(0, job_join(&sleeper));
	EXPECT_FALSE(device_of(0, &again));
	EXPECT_FALSE(is_bound(&self->first));
	EXPECT_EQ(ENODEV, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));
	EXPECT_EQ(1, state_of(_metadata).probe_errors);
	EXPECT_EQ(0, state_of(_metadata).unbinds);
	expect_clean(1);

	/* Fails again in the same way. */
	EXPECT_NE(0, bind_again(&self->first));
	EXPECT_EQ(2, state_of(_metadata).probe_errors);
	expect_clean(2);
}

/* The driver drops its guard while the host is bound and RPCs are in flight. */
TEST_F_TIMEOUT(lifetime, guard_is_dropped_early, LONG_TIMEOUT)
{
	struct device second, again;
	struct job jobs[4];

	if (variant->keep != FWCTL_LIFETIME_SHARED)
		SKIP(return, "only a shared guard can be dropped early");
	lifetime_start("");
	ASSERT_TRUE(device_of(1, &second));
	for (int round = 1; round <= 5; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
			jobs[i] = (struct job){ .run = i ? run_short_calls : run_wait };
			jobs[i].arg = i;
			jobs[i].fd = open_again(self->fd);
			ASSERT_LE(0, jobs[i].fd);
			job_start(&jobs[i]);
		}
		for (size_t i = 1; i < ARRAY_SIZE(jobs); i++)
			job_progress(&jobs[i], 3);
		ASSERT_TRUE(wait_asleep(jobs[0].tid));
		job_progress(&jobs[1], 1);
		EXPECT_FALSE(job_is_done(&jobs[1]));

		ASSERT_EQ(0, unbind(&second));
		EXPECT_FALSE(device_of(0, &again));
		EXPECT_TRUE(is_bound(&self->first));
		for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
			EXPECT_EQ(ENODEV, job_join(&jobs[i]));
			close(jobs[i].fd);
		}
		EXPECT_EQ(ENODEV, lifetime_op(self->fd, FWCTL_LIFETIME_STATE, 0));
		expect_clean(round);

		ASSERT_EQ(0, unbind(&self->first));
		expect_clean(round);
		EXPECT_EQ(round, state_of(_metadata).unbinds);
		ASSERT_EQ(0, bind_again(&self->first));
		ASSERT_EQ(0, bind_again(&second));
		close(self->fd);
		ASSERT_TRUE(device_of(0, &again));
		self->fd = open(again.node, O_RDWR);
		ASSERT_LE(0, self->fd);
	}
}

/* The module can be unloaded with RPCs in flight and files open. */
TEST_F_TIMEOUT(lifetime, module_unload_with_rpcs_in_flight, LONG_TIMEOUT)
{
	struct job waiter = { .run = run_wait }, sleeper = { .run = run_sleep, .arg = 500 };

	lifetime_start("");
	waiter.fd = sleeper.fd = self->fd;
	job_start(&waiter);
	job_start(&sleeper);
	ASSERT_TRUE(wait_asleep(waiter.tid));
	ASSERT_TRUE(wait_asleep(sleeper.tid));
	ASSERT_EQ(0, unload_module(MODULE));
	EXPECT_FALSE(is_loaded(MODULE));
	EXPECT_EQ(ENODEV, job_join(&waiter));
	EXPECT_EQ(0, job_join(&sleeper));
}

/*
 * Context::wait()
 */

FIXTURE(wait)
{
	struct device first;
	int fd;
};

FIXTURE_SETUP(wait)
{
	load_module("fwctl", "");
	if (!find_module(MODULE))
		SKIP(return, "no module " MODULE ": enable CONFIG_FWCTL_TEST_LIFETIME");
	ASSERT_EQ(0, load_module_file_with(""));
	ASSERT_TRUE(device_of(0, &self->first));
	self->fd = open(self->first.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(wait)
{
	close(self->fd);
	EXPECT_EQ(0, unload_module(MODULE));
}

TEST_F_TIMEOUT(wait, ends_when_notified, LONG_TIMEOUT)
{
	struct job jobs[3];

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		/* The last one has a timeout that does not expire. */
		jobs[i] = (struct job){ .run = run_wait, .fd = self->fd, .reply = 7 };
		jobs[i].arg = i == 2 ? 1000000 : 0;
		job_start(&jobs[i]);
		ASSERT_TRUE(wait_asleep(jobs[i].tid));
	}
	/* A notification of another device does not end it. */
	{
		struct device other;
		int fd;

		ASSERT_TRUE(device_of(1, &other));
		fd = open(other.node, O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, lifetime_op(fd, FWCTL_LIFETIME_NOTIFY, 0));
		close(fd);
	}
	usleep(100000);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		EXPECT_FALSE(job_is_done(&jobs[i]));

	ASSERT_EQ(0, lifetime_op(self->fd, FWCTL_LIFETIME_NOTIFY, 0));
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		EXPECT_EQ(0, job_join(&jobs[i]));
		EXPECT_EQ(1, jobs[i].reply);
	}
	/* Returns at once if the condition is already true. */
	for (uint32_t ms = 0; ms < 2; ms++) {
		uint32_t came = 7;

		EXPECT_EQ(0, lifetime_wait(self->fd, ms, &came));
		EXPECT_EQ(1, came);
	}
}

TEST_F(wait, ends_at_its_limit)
{
	struct timespec before, after;
	uint32_t came = 7;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &before);
	ASSERT_EQ(0, lifetime_wait(self->fd, 200, &came));
	clock_gettime(CLOCK_MONOTONIC, &after);
	EXPECT_EQ(0, came);
	ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	/* Timeouts may be a jiffy short. */
	EXPECT_LE(190, ms);
	EXPECT_EQ(0, state_of(_metadata).wait_error);
}

TEST_F_TIMEOUT(wait, ends_on_device_removal, LONG_TIMEOUT)
{
	struct job jobs[3];

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		jobs[i] = (struct job){ .run = i ? run_wait : run_loop, .fd = self->fd };
		jobs[i].arg = i == 1 ? 1000000 : 0;
		job_start(&jobs[i]);
		ASSERT_TRUE(wait_asleep(jobs[i].tid));
	}
	/* Unbind waits for all of them. */
	ASSERT_EQ(0, unbind(&self->first));
	EXPECT_EQ(ENODEV, state_of(_metadata).wait_error);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		EXPECT_EQ(ENODEV, job_join(&jobs[i]));
	expect_clean(1);
}

static void ignore(int signal)
{
}

/* Only a fatal signal ends the wait.  The driver sees EINTR. */
static void check_kill(struct __test_metadata *_metadata, int fd, uint32_t op, uint32_t arg)
{
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		signal(SIGUSR1, ignore);
		lifetime_op(fd, op, arg);
		_exit(0);
	}
	ASSERT_TRUE(wait_asleep(child));
	EXPECT_EQ(0, kill(child, SIGUSR1));
	usleep(50000);
	EXPECT_EQ(0, waitpid(child, &status, WNOHANG));
	EXPECT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(EINTR, state_of(_metadata).wait_error);
}

TEST_F_TIMEOUT(wait, ends_with_the_program, LONG_TIMEOUT)
{
	check_kill(_metadata, self->fd, FWCTL_LIFETIME_WAIT, 0);
	check_kill(_metadata, self->fd, FWCTL_LIFETIME_WAIT, 1000000);
}

TEST_F_TIMEOUT(wait, check_fails_with_the_program, LONG_TIMEOUT)
{
	check_kill(_metadata, self->fd, FWCTL_LIFETIME_LOOP, 0);
}

/*
 * A driver forgets its registration with the bus and its devices.  They keep pointers to the
 * unloaded module, so nothing can use the auxiliary bus afterwards.  Only runs on request.
 */
TEST(driver_is_forgotten)
{
	struct job waiter = { .run = run_wait };
	struct device first;
	char path[PATH_MAX];
	int fd;

	if (!getenv("FWCTL_TEST_FORGET"))
		SKIP(return, "makes the auxiliary bus unusable: set FWCTL_TEST_FORGET");
	load_module("fwctl", "");
	ASSERT_TRUE(find_module(MODULE));
	ASSERT_EQ(0, load_module_file_with("keep=1 forget_all=1"));
	ASSERT_TRUE(device_of(0, &first));
	fd = open(first.node, O_RDWR);
	ASSERT_LE(0, fd);
	waiter.fd = fd;
	job_start(&waiter);
	ASSERT_TRUE(wait_asleep(waiter.tid));

	ASSERT_EQ(0, unload_module(MODULE));
	EXPECT_EQ(ENODEV, job_join(&waiter));
	EXPECT_EQ(ENODEV, lifetime_op(fd, FWCTL_LIFETIME_STATE, 0));
	EXPECT_EQ(-1, access(first.node, F_OK));
	snprintf(path, sizeof(path), CLASS_DIR "/%s", first.name);
	EXPECT_EQ(-1, access(path, F_OK));
	EXPECT_EQ(-1, open_again(fd));
	EXPECT_TRUE(errno == ENODEV || errno == ENXIO) {
		TH_LOG("%m");
	}
	close(fd);
}

TEST_HARNESS_MAIN
