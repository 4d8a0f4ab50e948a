/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of all fwctl selftests.
 *
 * Each command has three forms.  `_fwctl_info()` returns 0 or an errno.  `fwctl_info()` asserts
 * that it succeeds.  `fwctl_info_fails(EINVAL, ...)` expects that errno.
 */
#ifndef __SELFTEST_FWCTL_UTILS_H
#define __SELFTEST_FWCTL_UTILS_H

/* First: <linux/fs.h>, which it includes, defines macros of <sys/mount.h> again. */
#include "uring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fwctl/fwctl.h>

#ifdef FWCTL_NO_TEST
#include "kselftest.h"
#else
#include "kselftest_harness.h"

/* The harness ends a case after 30 s, which a busy host with an emulated device reaches. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120
#endif

#ifndef FWCTL_NO_TEST
/*
 * FWCTL_TEST_PATIENCE multiplies the timeout of each test, for debug kernels and slow machines.
 * Runs after the constructors that register the tests.
 */
static void __attribute__((constructor)) scale_timeouts(void)
{
	const char *patience = getenv("FWCTL_TEST_PATIENCE");
	int factor = patience ? atoi(patience) : 1;
	struct __fixture_metadata *f;
	struct __test_metadata *t;

	if (factor < 1 || factor > 1000)
		return;
	for (f = __fixture_list; f; f = f->next) {
		for (t = f->tests; t; t = t->next)
			t->timeout *= factor;
	}
}
#endif

#define CLASS_DIR "/sys/class/fwctl"
#define NODE_DIR "/dev/fwctl"

#define MAX_RPC_LEN (2u << 20)

/* Returned instead of an errno if a call modified a field that it must not modify. */
#define ECHANGED 9999

/* An address above the user space of 64-bit and of 32-bit tasks. */
#define KERNEL_PTR ((void *)-4096ul)

static inline size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline uint64_t to_u64(const volatile void *ptr)
{
	return (uintptr_t)ptr;
}

/*
 * Returns 0 or an errno.  If FWCTL_TEST_URING is set, the call is a command of io_uring, which has
 * to behave as the ioctl does.
 */
static inline int ioctl_errno(int fd, unsigned long number, void *arg)
{
	if (getenv("FWCTL_TEST_URING") && number == (uint32_t)number)
		return uring_ioctl_errno(fd, number, arg);
	return ioctl(fd, number, arg) == -1 ? errno : 0;
}

/* Returns 0 or an errno.  Sets *type and *len only on success. */
static inline int _fwctl_info(int fd, void *data, uint32_t *len, uint32_t *type)
{
	struct fwctl_info cmd = {
		.size = sizeof(cmd),
		.device_data_len = *len,
		.out_device_data = to_u64(data),
	};
	struct fwctl_info before = cmd;
	int err = ioctl_errno(fd, FWCTL_INFO, &cmd);

	if (err)
		return memcmp(&cmd, &before, sizeof(cmd)) ? ECHANGED : err;

	*len = cmd.device_data_len;
	*type = cmd.out_device_type;
	/* All other fields are unchanged. */
	before.device_data_len = cmd.device_data_len;
	before.out_device_type = cmd.out_device_type;
	return memcmp(&cmd, &before, sizeof(cmd)) ? ECHANGED : 0;
}

#define fwctl_info(fd, data, len, type) ASSERT_EQ(0, _fwctl_info(fd, data, len, type))

#define fwctl_info_fails(expected, fd, data, len) do {				\
	uint32_t __len = (len), __type = 0;					\
	EXPECT_EQ(expected, _fwctl_info(fd, data, &__len, &__type));		\
} while (0)

/*
 * Returns 0 or an errno.  *out_len is the size of the buffer, and on success becomes the length of
 * the reply.
 */
static inline int _fwctl_rpc(int fd, uint32_t scope, const void *in, uint32_t in_len, void *out,
			     uint32_t *out_len)
{
	struct fwctl_rpc cmd = {
		.size = sizeof(cmd),
		.scope = scope,
		.in_len = in_len,
		.out_len = *out_len,
		.in = to_u64(in),
		.out = to_u64(out),
	};
	struct fwctl_rpc before = cmd;
	int err = ioctl_errno(fd, FWCTL_RPC, &cmd);

	if (err)
		return memcmp(&cmd, &before, sizeof(cmd)) ? ECHANGED : err;

	*out_len = cmd.out_len;
	/* All other fields are unchanged. */
	before.out_len = cmd.out_len;
	return memcmp(&cmd, &before, sizeof(cmd)) ? ECHANGED : 0;
}

#define fwctl_rpc(fd, scope, in, in_len, out, out_len) \
	ASSERT_EQ(0, _fwctl_rpc(fd, scope, in, in_len, out, out_len))

#define fwctl_rpc_fails(expected, fd, scope, in, in_len, out, out_len) do {	\
	uint32_t __out_len = (out_len);						\
	EXPECT_EQ(expected, _fwctl_rpc(fd, scope, in, in_len, out, &__out_len));	\
} while (0)

/* Memory */

/*
 * Maps `pages` pages followed by an inaccessible one, and returns its start.  Never unmapped: each
 * test is a process.
 */
static inline void *mapping_end(size_t pages)
{
	size_t len = pages * page_size();
	uint8_t *area = mmap(NULL, len + page_size(), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED || mprotect(area + len, page_size(), PROT_NONE)) {
		perror("mmap");
		abort();
	}
	return area + len;
}

/* Maps a page filled with `fill` and changes its protection to `prot`. */
static inline void *page_with(int prot, uint8_t fill)
{
	void *page = (uint8_t *)mapping_end(1) - page_size();

	memset(page, fill, page_size());
	if (mprotect(page, page_size(), prot)) {
		perror("mprotect");
		abort();
	}
	return page;
}

static inline bool all_bytes_are(const void *mem, uint8_t value, size_t len)
{
	const uint8_t *bytes = mem;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

/* Fills memory with bytes that depend on their offset and on the seed. */
static inline void fill_pattern(void *mem, size_t len, uint32_t seed)
{
	uint8_t *bytes = mem;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (seed * 2654435761u >> 13) + i * 31 + (i >> 8);
}

/* Tasks */

static inline pid_t gettid_(void)
{
	return syscall(SYS_gettid);
}

/* Returns the state letter of a task, 'D' for uninterruptible sleep, or 0 if it has ended. */
static inline char task_state(pid_t tid)
{
	char path[64], stat[512], *after_comm;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	len = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	stat[len] = 0;
	after_comm = strrchr(stat, ')');
	return after_comm && after_comm[1] ? after_comm[2] : 0;
}

/* Waits until a task is in `state`.  Returns false if it ends first. */
static inline bool wait_for_state(pid_t tid, char state)
{
	char now;

	while ((now = task_state(tid)) != state) {
		if (!now || now == 'Z' || now == 'X')
			return false;
		usleep(1000);
	}
	return true;
}

/*
 * Waits until a task is in the uninterruptible sleep of an ioctl, or waits for its command of
 * io_uring.  Returns false if it ends first.
 */
static inline bool wait_asleep(pid_t tid)
{
	return wait_for_state(tid, getenv("FWCTL_TEST_URING") ? 'S' : 'D');
}

/* Runs `fn` in a child.  Returns its exit status, or -1 if it did not exit. */
static inline int in_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0)
		_exit(fn(arg));
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* Files of sysfs and procfs */

static inline int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, size - 1);
	close(fd);
	if (len < 0)
		return -1;
	while (len && text[len - 1] == '\n')
		len--;
	text[len] = 0;
	return 0;
}

/* Returns 0 or an errno. */
static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	int err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

/* Copies the last component of the target of a symbolic link. */
static inline int link_name(const char *path, char *name, size_t size)
{
	char target[PATH_MAX], *slash;
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len < 0)
		return -1;
	target[len] = 0;
	slash = strrchr(target, '/');
	slash = slash ? slash + 1 : target;
	if (strlen(slash) >= size)
		return -1;
	strcpy(name, slash);
	return 0;
}

#define TAINT_FWCTL_BIT 19

/* Makes a cgroup with the memory controller.  Returns false if that is not supported. */
static inline bool make_cgroup(char *cgroup, size_t size)
{
	char root[] = "/tmp/fwctl-cgroup-XXXXXX", path[PATH_MAX];

	mkdir("/tmp", 01777);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(root))
		return false;
	if (mount("cgroup2", root, "cgroup2", 0, NULL))
		return false;
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", root);
	if (write_text(path, "+memory"))
		return false;
	snprintf(cgroup, size, "%s/fwctl-test-%d", root, getpid());
	return !mkdir(cgroup, 0755);
}

static inline int move_to_cgroup(const char *cgroup, pid_t task)
{
	char path[PATH_MAX + 32], pid[16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	snprintf(pid, sizeof(pid), "%d", task);
	return write_text(path, pid);
}

/* Returns the bytes that are charged to a cgroup, or -1. */
static inline long memory_current(const char *cgroup)
{
	char path[PATH_MAX], text[64] = "-1";

	snprintf(path, sizeof(path), "%s/memory.current", cgroup);
	read_text(path, text, sizeof(text));
	return atol(text);
}

static inline bool is_tainted(void)
{
	char text[64] = "";

	read_text("/proc/sys/kernel/tainted", text, sizeof(text));
	return strtoull(text, NULL, 10) >> TAINT_FWCTL_BIT & 1;
}

/* Opens the kernel log at its end. */
static inline int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/*
 * Returns the number of new records that contain `text`, and copies the last of them to `record`
 * unless that is NULL.
 */
static inline int kmsg_count(int fd, const char *text, char *record, size_t size)
{
	char buf[8192];
	int count = 0;
	ssize_t len;

	for (;;) {
		len = read(fd, buf, sizeof(buf) - 1);
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return count;
		buf[len] = 0;
		if (strstr(buf, text)) {
			count++;
			if (record)
				snprintf(record, size, "%s", buf);
		}
	}
}

/* Devices */

struct device {
	/* fwctlN */
	char name[32];
	/* /dev/fwctl/fwctlN */
	char node[64];
	/* Names of the parent device, its bus, its driver and the driver's module, or "" */
	char parent[128];
	char bus[128];
	char driver[128];
	char module[128];
};

/* Looks up a device by name. */
static inline void device_named(struct device *dev, const char *name)
{
	char path[PATH_MAX];

	memset(dev, 0, sizeof(*dev));
	snprintf(dev->name, sizeof(dev->name), "%.31s", name);
	snprintf(dev->node, sizeof(dev->node), NODE_DIR "/%s", dev->name);
	snprintf(path, sizeof(path), CLASS_DIR "/%s/device", dev->name);
	link_name(path, dev->parent, sizeof(dev->parent));
	snprintf(path, sizeof(path), CLASS_DIR "/%s/device/subsystem", dev->name);
	link_name(path, dev->bus, sizeof(dev->bus));
	snprintf(path, sizeof(path), CLASS_DIR "/%s/device/driver", dev->name);
	link_name(path, dev->driver, sizeof(dev->driver));
	snprintf(path, sizeof(path), CLASS_DIR "/%s/device/driver/module", dev->name);
	link_name(path, dev->module, sizeof(dev->module));
}

/*
 * Finds the device to test: FWCTL_TEST_DEV, a name or a path, or else the lowest-numbered device
 * that `is_wanted` accepts.
 */
static inline bool find_device(struct device *dev, bool (*is_wanted)(const struct device *dev))
{
	const char *wanted = getenv("FWCTL_TEST_DEV");

	if (wanted && *wanted) {
		const char *slash = strrchr(wanted, '/');

		device_named(dev, slash ? slash + 1 : wanted);
		return true;
	}

	for (int i = 0; i < 4096; i++) {
		char name[32], path[64];

		snprintf(name, sizeof(name), "fwctl%d", i);
		snprintf(path, sizeof(path), CLASS_DIR "/%s", name);
		if (access(path, F_OK))
			continue;
		device_named(dev, name);
		if (is_wanted(dev))
			return true;
	}
	return false;
}

#endif
