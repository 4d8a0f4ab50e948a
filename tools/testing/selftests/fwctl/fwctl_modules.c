// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unloading a driver and the core while files are open, and the maximum number of devices.
 *
 * Needs a loopback device that nothing else uses; fwctl.c describes how to choose it.  Also needs
 * the files of the modules, see module_utils.h.
 */
#include <sys/resource.h>

#include "loopback_utils.h"
#include "module_utils.h"

/* Returns whether a module other than `except` uses the core. */
static bool is_core_used_by_others(const char *except)
{
	struct dirent *entry;
	bool is_used = false;
	DIR *dir = opendir("/sys/module/fwctl/holders");

	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, except))
			is_used = true;
	}
	closedir(dir);
	return is_used;
}

FIXTURE(modules)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(modules)
{
	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);
	if (!find_module(self->dev.module) || !is_loaded(self->dev.module))
		SKIP(return, "no file of the loopback module: set FWCTL_TEST_MODULES");

	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(modules)
{
	/* Reload without open files, so the devices get their old numbers. */
	close(self->fd);
	unload_module(self->dev.module);
	load_module("fwctl", "");
	EXPECT_EQ(0, load_module(self->dev.module, ""));
}

TEST_F(modules, driver_unload_with_open_files)
{
	struct device again = self->dev;
	int fd;

	loopback_echo(self->fd);
	ASSERT_EQ(0, unload_module(self->dev.module));
	EXPECT_FALSE(is_loaded(self->dev.module));
	check_orphan(_metadata, self->fd);

	ASSERT_EQ(0, load_module(self->dev.module, ""));
	check_orphan(_metadata, self->fd);
	ASSERT_TRUE(find_again(&again));
	fd = open(again.node, O_RDWR);
	ASSERT_LE(0, fd);
	loopback_echo(fd);
	close(fd);

	/* The same with files of both devices. */
	fd = open(again.node, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, unload_module(self->dev.module));
	check_orphan(_metadata, fd);
	check_orphan(_metadata, self->fd);
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(0, close(fd));
}

TEST_F_TIMEOUT(modules, driver_waits_for_a_running_rpc, LONG_TIMEOUT)
{
	struct sleeper sleeper;

	sleeper_start(&sleeper, self->fd, SLEEP_MS);
	ASSERT_EQ(0, unload_module(self->dev.module));
	EXPECT_NE('D', task_state(sleeper.tid));
	EXPECT_EQ(0, sleeper_join(&sleeper));
	check_orphan(_metadata, self->fd);
}

TEST_F(modules, core_stays_while_a_file_is_open)
{
	if (!is_loaded("fwctl"))
		SKIP(return, "the core is built in");
	if (is_core_used_by_others(self->dev.module))
		SKIP(return, "other drivers use the core");

	/* In use by the driver, then only by the file. */
	EXPECT_EQ(EAGAIN, unload_module("fwctl"));
	ASSERT_EQ(0, unload_module(self->dev.module));
	EXPECT_EQ(EAGAIN, unload_module("fwctl"));
	check_orphan(_metadata, self->fd);

	close(self->fd);
	EXPECT_EQ(0, unload_module("fwctl"));
	EXPECT_FALSE(is_loaded("fwctl"));
	EXPECT_EQ(-1, access(CLASS_DIR, F_OK));
}

/* A reloaded core warns again, also for the other of the two scopes. */
TEST_F(modules, debug_write_full_warns_on_its_own)
{
	struct device again = self->dev;
	char task[64];
	int fd, kmsg;

	if (!is_loaded("fwctl"))
		SKIP(return, "the core is built in");
	if (is_core_used_by_others(self->dev.module))
		SKIP(return, "other drivers use the core");
	close(self->fd);
	ASSERT_EQ(0, unload_module(self->dev.module));
	ASSERT_EQ(0, unload_module("fwctl"));
	ASSERT_EQ(0, load_module("fwctl", ""));
	ASSERT_EQ(0, load_module(self->dev.module, ""));
	ASSERT_TRUE(find_again(&again));
	fd = open(again.node, O_RDWR);
	ASSERT_LE(0, fd);
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	prctl(PR_SET_NAME, "fwctl-full");
	snprintf(task, sizeof(task), "fwctl-full(%d)", getpid());

	loopback_echo(fd);
	ASSERT_EQ(0, _loopback_echo(fd, FWCTL_RPC_DEBUG_READ_ONLY));
	EXPECT_EQ(EOPNOTSUPP, _loopback_echo(fd, 4));
	EXPECT_EQ(0, kmsg_count(kmsg, task, NULL, 0));
	ASSERT_EQ(0, _loopback_echo(fd, FWCTL_RPC_DEBUG_WRITE_FULL));
	EXPECT_TRUE(is_tainted());
	EXPECT_EQ(1, kmsg_count(kmsg, task, NULL, 0));
	ASSERT_EQ(0, _loopback_echo(fd, FWCTL_RPC_DEBUG_WRITE));
	EXPECT_EQ(0, kmsg_count(kmsg, task, NULL, 0));
	close(kmsg);
	close(fd);
}

/* The maximum of the module parameter "devices". */
#define MANY 64

static void load_many(struct __test_metadata *_metadata, const char *module)
{
	char parameters[32];

	snprintf(parameters, sizeof(parameters), "devices=%d", MANY);
	ASSERT_EQ(0, load_module(module, parameters));
}

TEST_F_TIMEOUT(modules, many_devices, LONG_TIMEOUT)
{
	int fds[MANY];

	close(self->fd);
	ASSERT_EQ(0, unload_module(self->dev.module));
	load_many(_metadata, self->dev.module);
	for (int i = 0; i < MANY; i++) {
		char parent[192];
		struct device dev = self->dev;

		snprintf(parent, sizeof(parent), "%.*s.%d",
			 (int)(strrchr(self->dev.parent, '.') - self->dev.parent), self->dev.parent,
			 i);
		snprintf(dev.parent, sizeof(dev.parent), "%.127s", parent);
		ASSERT_TRUE(find_again(&dev)) {
			TH_LOG("no fwctl device below %s", parent);
		}
		fds[i] = open(dev.node, O_RDWR);
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(1, loopback_state(fds[i]).uid);
	}
	ASSERT_EQ(0, unload_module(self->dev.module));
	for (int i = 0; i < MANY; i++) {
		loopback_echo_fails(ENODEV, fds[i]);
		close(fds[i]);
	}
}

/* Returns the number of devices of a module. */
static int count_devices(const char *module)
{
	DIR *dir = opendir(CLASS_DIR);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		struct device dev;

		if (strncmp(entry->d_name, "fwctl", 5))
			continue;
		device_named(&dev, entry->d_name);
		count += !strcmp(dev.module, module);
	}
	closedir(dir);
	return count;
}

#define MAX_DEVICES 4096

/* Open files keep the numbers of removed devices, until no number is left. */
TEST_F_TIMEOUT(modules, all_numbers_are_taken, 600)
{
	struct rlimit limit = { MAX_DEVICES + 100, MAX_DEVICES + 100 };
	char path[64];
	int kept = 0;

	if (!getenv("FWCTL_TEST_SLOW"))
		SKIP(return, "slow: set FWCTL_TEST_SLOW=1");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	close(self->fd);
	for (int round = 0; round <= MAX_DEVICES / MANY; round++) {
		DIR *dir;
		struct dirent *entry;

		ASSERT_EQ(0, unload_module(self->dev.module));
		load_many(_metadata, self->dev.module);
		dir = opendir(CLASS_DIR);
		ASSERT_TRUE(dir != NULL);
		while ((entry = readdir(dir))) {
			struct device dev;

			if (strncmp(entry->d_name, "fwctl", 5))
				continue;
			device_named(&dev, entry->d_name);
			if (strcmp(dev.module, self->dev.module))
				continue;
			ASSERT_LE(0, open(dev.node, O_RDONLY)) {
				TH_LOG("%s: %m", dev.node);
			}
			kept++;
		}
		closedir(dir);
	}

	/* All numbers are taken: probe fails. */
	EXPECT_LE(MAX_DEVICES - 8, kept);
	EXPECT_GE(MAX_DEVICES, kept);
	snprintf(path, sizeof(path), CLASS_DIR "/fwctl%d", MAX_DEVICES);
	EXPECT_EQ(-1, access(path, F_OK));
	ASSERT_EQ(0, unload_module(self->dev.module));
	load_many(_metadata, self->dev.module);
	EXPECT_EQ(0, count_devices(self->dev.module));
	ASSERT_EQ(0, unload_module(self->dev.module));

	/* Closing the files frees the numbers. */
	EXPECT_EQ(0, syscall(SYS_close_range, 3, ~0u, 0));
	load_many(_metadata, self->dev.module);
	EXPECT_EQ(MANY, count_devices(self->dev.module));
	ASSERT_EQ(0, unload_module(self->dev.module));
}

TEST_HARNESS_MAIN
