// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of a device in sysfs, on a loopback device: the type, the scopes that the administrator
 * allows, and the counters.
 *
 * Documentation/ABI/testing/sysfs-class-fwctl describes them.  Nothing else may use the device.
 */
#include <grp.h>
#include <linux/capability.h>

#include "loopback_fixture.h"

static const char *const scopes[] = {
	[FWCTL_RPC_CONFIGURATION] = "configuration",
	[FWCTL_RPC_DEBUG_READ_ONLY] = "debug-read-only",
	[FWCTL_RPC_DEBUG_WRITE] = "debug-write",
	[FWCTL_RPC_DEBUG_WRITE_FULL] = "debug-write-full",
};

/* The number of scopes that a value of max_scope allows is its index. */
static const char *const values[] = {
	"none", "configuration", "debug-read-only", "debug-write", "debug-write-full",
};

#define NO_FILES "no type in sysfs: the core is the one in C"

static void path_of(const struct device *dev, const char *name, char *path)
{
	snprintf(path, PATH_MAX, CLASS_DIR "/%s/%s", dev->name, name);
}

/* Returns 0 or an errno. */
static int set_max(const struct device *dev, const char *value)
{
	char path[PATH_MAX];

	path_of(dev, "max_scope", path);
	return write_text(path, value);
}

static bool max_is(const struct device *dev, const char *value)
{
	char path[PATH_MAX], text[64];

	path_of(dev, "max_scope", path);
	return !read_text(path, text, sizeof(text)) && !strcmp(text, value);
}

struct counters {
	unsigned long long requests, refusals, errors, time_ms;
};

static unsigned long long counter(const struct device *dev, uint32_t scope, const char *name)
{
	char path[PATH_MAX], file[64], text[64];

	snprintf(file, sizeof(file), "rpc-%s/%s", scopes[scope], name);
	path_of(dev, file, path);
	if (read_text(path, text, sizeof(text)))
		return ULLONG_MAX;
	return strtoull(text, NULL, 10);
}

static struct counters counters(const struct device *dev, uint32_t scope)
{
	return (struct counters) {
		.requests = counter(dev, scope, "requests"),
		.refusals = counter(dev, scope, "refusals"),
		.errors = counter(dev, scope, "errors"),
		.time_ms = counter(dev, scope, "time_ms"),
	};
}

#define EXPECT_COUNTED(dev, scope, before, requests_, refusals_, errors_) do {	\
	struct counters __now = counters(dev, scope);				\
	EXPECT_EQ((before).requests + (requests_), __now.requests);		\
	EXPECT_EQ((before).refusals + (refusals_), __now.refusals);		\
	EXPECT_EQ((before).errors + (errors_), __now.errors);			\
	EXPECT_LE((before).time_ms, __now.time_ms);				\
} while (0)

FIXTURE(files)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(files)
{
	char path[PATH_MAX];

	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);
	path_of(&self->dev, "type", path);
	if (access(path, F_OK))
		SKIP(return, NO_FILES);
	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(files)
{
	set_max(&self->dev, "debug-write-full");
	close(self->fd);
}

TEST_F(files, type_is_that_of_info)
{
	char path[PATH_MAX], text[64], expected[64];
	uint32_t len = 0, type = UINT_MAX;
	struct stat stat_;

	path_of(&self->dev, "type", path);
	ASSERT_EQ(0, stat(path, &stat_));
	EXPECT_EQ(0444, stat_.st_mode & 0777);
	ASSERT_EQ(0, read_text(path, text, sizeof(text)));
	fwctl_info(self->fd, NULL, &len, &type);
	snprintf(expected, sizeof(expected), "%u", type);
	EXPECT_STREQ(expected, text);
}

TEST_F(files, max_scope_limits_rpcs)
{
	EXPECT_TRUE(max_is(&self->dev, "debug-write-full"));
	for (size_t allowed = 0; allowed < ARRAY_SIZE(values); allowed++) {
		ASSERT_EQ(0, set_max(&self->dev, values[allowed]));
		EXPECT_TRUE(max_is(&self->dev, values[allowed]));
		for (size_t scope = 0; scope < ARRAY_SIZE(scopes); scope++) {
			EXPECT_EQ(scope < allowed ? 0 : EPERM,
				  _loopback_echo(self->fd, scope)) {
				TH_LOG("scope %s, max_scope %s", scopes[scope], values[allowed]);
			}
		}
		/* A number that is no scope is still that. */
		EXPECT_EQ(EOPNOTSUPP, _loopback_echo(self->fd, 4));
	}
	/* With a newline, as echo writes it. */
	ASSERT_EQ(0, set_max(&self->dev, "debug-read-only\n"));
	EXPECT_TRUE(max_is(&self->dev, "debug-read-only"));
}

TEST_F(files, info_needs_no_scope)
{
	uint32_t len = 0, type = UINT_MAX;
	int fd;

	ASSERT_EQ(0, set_max(&self->dev, "none"));
	fwctl_info(self->fd, NULL, &len, &type);
	fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	EXPECT_LE(0, fd);
	EXPECT_EQ(EPERM, _loopback_echo(fd, FWCTL_RPC_CONFIGURATION));
	close(fd);
}

TEST_F(files, max_scope_takes_names_only)
{
	static const char *const wrong[] = {
		"\n", " ", "0", "4", "all", "None", "none ", " none", "none\n\n", "configurations",
		"configuratio", "debug_write", "debug-write-full-", "none,configuration",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		EXPECT_EQ(EINVAL, set_max(&self->dev, wrong[i])) {
			TH_LOG("'%s'", wrong[i]);
		}
	}
	EXPECT_TRUE(max_is(&self->dev, "debug-write-full"));
}

static int raise_without_rawio(void *arg)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	const struct device *dev = arg;

	if (syscall(SYS_capget, &header, data))
		return 1;
	data[CAP_SYS_RAWIO / 32].effective &= ~(1u << CAP_SYS_RAWIO % 32);
	if (syscall(SYS_capset, &header, data))
		return 2;
	if (set_max(dev, "debug-write") || !max_is(dev, "debug-write"))
		return 3;
	/* The same again is not more. */
	if (set_max(dev, "debug-write"))
		return 4;
	if (set_max(dev, "debug-write-full") != EPERM || !max_is(dev, "debug-write"))
		return 5;
	if (set_max(dev, "none") || !max_is(dev, "none"))
		return 6;
	for (size_t i = 1; i < ARRAY_SIZE(values); i++) {
		if (set_max(dev, values[i]) != EPERM)
			return 10 + i;
	}
	return 0;
}

TEST_F(files, raising_max_scope_needs_a_capability)
{
	EXPECT_EQ(0, in_child(raise_without_rawio, &self->dev));
	EXPECT_TRUE(max_is(&self->dev, "none"));
	ASSERT_EQ(0, set_max(&self->dev, "debug-write-full"));
	EXPECT_EQ(0, _loopback_echo(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL));
}

static int as_nobody(void *arg)
{
	struct device *dev = arg;

	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 1;
	if (set_max(dev, "none") != EACCES || !max_is(dev, "debug-write-full"))
		return 2;
	return counter(dev, 0, "requests") == ULLONG_MAX ? 3 : 0;
}

TEST_F(files, only_root_writes)
{
	EXPECT_EQ(0, in_child(as_nobody, &self->dev));
}

TEST_F_TIMEOUT(files, rpcs_in_flight_go_on, LONG_TIMEOUT)
{
	struct sleeper sleeper;

	sleeper_start(&sleeper, self->fd, SLEEP_MS);
	/* With io_uring the thread may sleep before a worker has begun the RPC. */
	usleep(SLEEP_MS / 4 * 1000);
	ASSERT_EQ(0, set_max(&self->dev, "none"));
	EXPECT_EQ(EPERM, _loopback_echo(self->fd, FWCTL_RPC_CONFIGURATION));
	EXPECT_EQ(0, sleeper_join(&sleeper));
}

TEST_F(files, rpcs_are_counted_by_scope_and_result)
{
	struct counters before[ARRAY_SIZE(scopes)];
	uint8_t buffer[16];

	for (size_t scope = 0; scope < ARRAY_SIZE(scopes); scope++) {
		before[scope] = counters(&self->dev, scope);
		ASSERT_NE(ULLONG_MAX, before[scope].requests);
	}
	loopback_echo(self->fd);
	loopback_op_fails(EIO, self->fd, FWCTL_LOOPBACK_ERRNO, EIO, buffer, sizeof(buffer));
	/* Of the driver: the command is not allowed in this scope. */
	loopback_op_fails(EBADMSG, self->fd, FWCTL_LOOPBACK_ERRNO, EBADMSG, buffer, sizeof(buffer));
	loopback_op_fails(EPERM, self->fd, FWCTL_LOOPBACK_ERRNO, EPERM, buffer, sizeof(buffer));
	EXPECT_COUNTED(&self->dev, 0, before[0], 4, 2, 1);

	/* Before the driver sees the request. */
	fwctl_rpc_fails(EMSGSIZE, self->fd, 1, NULL, MAX_RPC_LEN + 1, NULL, 0);
	fwctl_rpc_fails(EFAULT, self->fd, 1, KERNEL_PTR, 16, NULL, 0);
	EXPECT_COUNTED(&self->dev, 1, before[1], 2, 0, 2);
	ASSERT_EQ(0, set_max(&self->dev, "debug-read-only"));
	EXPECT_EQ(EPERM, _loopback_echo(self->fd, 2));
	EXPECT_COUNTED(&self->dev, 2, before[2], 1, 1, 0);
	/* No scope. */
	EXPECT_EQ(EOPNOTSUPP, _loopback_echo(self->fd, 4));
	EXPECT_COUNTED(&self->dev, 3, before[3], 0, 0, 0);
	EXPECT_COUNTED(&self->dev, 0, before[0], 4, 2, 1);
}

TEST_F(files, closed_files_are_counted)
{
	struct counters before = counters(&self->dev, 1);

	for (int i = 0; i < 3; i++) {
		int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, _loopback_echo(fd, 1));
		ASSERT_EQ(0, _loopback_echo(fd, 1));
		EXPECT_COUNTED(&self->dev, 1, before, 2 * i + 2, 0, 0);
		close(fd);
		EXPECT_COUNTED(&self->dev, 1, before, 2 * i + 2, 0, 0);
	}
}

TEST_F_TIMEOUT(files, time_is_counted, LONG_TIMEOUT)
{
	struct counters before = counters(&self->dev, 0), after;
	struct fwctl_loopback_cmd reply;
	uint32_t out_len = sizeof(reply);

	loopback_op(self->fd, FWCTL_LOOPBACK_SLEEP, 400, &reply, &out_len);
	after = counters(&self->dev, 0);
	/* In ticks, which are late if the host of a virtual machine is busy. */
	EXPECT_LE(before.time_ms + 100, after.time_ms);
	EXPECT_GE(before.time_ms + 60000, after.time_ms);
}

#define ECHOES 200

static void *echo_main(void *arg)
{
	intptr_t failed = 0;

	for (int i = 0; i < ECHOES; i++)
		failed += !!_loopback_echo(*(int *)arg, 0);
	return (void *)failed;
}

TEST_F_TIMEOUT(files, no_rpc_of_a_thread_is_lost, LONG_TIMEOUT)
{
	struct counters before = counters(&self->dev, 0);
	pthread_t threads[4];
	int fds[4];

	/* Two on one file, and two with a file each. */
	for (int i = 0; i < 4; i++) {
		fds[i] = i < 2 ? self->fd : open(self->dev.node, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, echo_main, &fds[i]));
	}
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		EXPECT_EQ(NULL, failed);
	}
	EXPECT_COUNTED(&self->dev, 0, before, 4 * ECHOES, 0, 0);
	close(fds[2]);
	close(fds[3]);
	EXPECT_COUNTED(&self->dev, 0, before, 4 * ECHOES, 0, 0);
}

TEST_F(files, a_new_device_starts_anew)
{
	struct device dev;

	loopback_echo(self->fd);
	ASSERT_EQ(0, set_max(&self->dev, "none"));
	ASSERT_EQ(0, unbind(&self->dev));
	ASSERT_EQ(0, bind_again(&self->dev));
	ASSERT_TRUE(find_loopback(&dev));
	EXPECT_TRUE(max_is(&dev, "debug-write-full"));
	EXPECT_EQ(0, counter(&dev, 0, "requests"));
	self->dev = dev;
}

TEST_HARNESS_MAIN
