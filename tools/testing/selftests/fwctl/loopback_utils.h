/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the fwctl selftests that use a loopback device, see drivers/fwctl/loopback.
 */
#ifndef __SELFTEST_FWCTL_LOOPBACK_UTILS_H
#define __SELFTEST_FWCTL_LOOPBACK_UTILS_H

#include "fwctl_utils.h"
#include "loopback/loopback.h"

/* Returns whether the driver is the one on the abstraction kernel::fwctl. */
static inline bool is_on_abstraction(const struct device *dev)
{
	return !strcmp(dev->module, "fwctl_loopback_kernel");
}

/*
 * Returns whether the driver of a device is the one that FWCTL_TEST_DRIVER names: "rust", "c" or
 * "abstraction", and by default either of the first two.
 */
static inline bool is_loopback(const struct device *dev)
{
	const char *driver = getenv("FWCTL_TEST_DRIVER");
	bool is_rust = !strcmp(dev->module, "fwctl_loopback");
	bool is_c = !strcmp(dev->module, "fwctl_loopback_c");

	if (driver && !strcmp(driver, "rust"))
		return is_rust;
	if (driver && !strcmp(driver, "c"))
		return is_c;
	if (driver && !strcmp(driver, "abstraction"))
		return is_on_abstraction(dev);
	return is_rust || is_c;
}

/* Returns the expected device type.  kernel::fwctl has no constant for type 0. */
static inline uint32_t loopback_type(const struct device *dev)
{
	return is_on_abstraction(dev) ? FWCTL_DEVICE_TYPE_MLX5 : FWCTL_DEVICE_TYPE_LOOPBACK;
}

/*
 * Finds a loopback device.  If there is none, loads the driver that FWCTL_TEST_DRIVER names, by
 * default the one in Rust, or the one in C if the kernel does not have that.
 */
static inline bool find_loopback(struct device *dev)
{
	const char *driver = getenv("FWCTL_TEST_DRIVER");

	if (find_device(dev, is_loopback))
		return true;
	if ((!driver || !strcmp(driver, "rust")) &&
	    !system("modprobe -q fwctl_loopback >/dev/null 2>&1"))
		return find_device(dev, is_loopback);
	if ((!driver || !strcmp(driver, "c")) &&
	    !system("modprobe -q fwctl_loopback_c >/dev/null 2>&1"))
		return find_device(dev, is_loopback);
	return false;
}

/* Length matrices and threads are slow under TCG. */
#define LONG_TIMEOUT 120

/* A sleep in the driver which is longer than anything a test does in parallel. */
#define SLEEP_MS 2000

#define NO_LOOPBACK "no loopback device: enable CONFIG_FWCTL_LOOPBACK or CONFIG_FWCTL_LOOPBACK_C"

static inline struct fwctl_loopback_cmd loopback_cmd(uint32_t op, uint32_t arg)
{
	return (struct fwctl_loopback_cmd) {
		.magic = FWCTL_LOOPBACK_MAGIC,
		.op = op,
		.arg = arg,
	};
}

/* Sends a bare command in scope CONFIGURATION.  Returns 0 or an errno. */
static inline int _loopback_op(int fd, uint32_t op, uint32_t arg, void *out, uint32_t *out_len)
{
	struct fwctl_loopback_cmd cmd = loopback_cmd(op, arg);

	return _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), out, out_len);
}

#define loopback_op(fd, op, arg, out, out_len) \
	ASSERT_EQ(0, _loopback_op(fd, op, arg, out, out_len))

#define loopback_op_fails(expected, fd, op, arg, out, out_len) do {		\
	uint32_t __out_len = (out_len);						\
	EXPECT_EQ(expected, _loopback_op(fd, op, arg, out, &__out_len));	\
} while (0)

/* Echoes 16 bytes.  Returns 0, an errno, or -1 for a wrong reply. */
static inline int _loopback_echo(int fd, uint32_t scope)
{
	uint8_t in[16], out[16] = {};
	uint32_t out_len = sizeof(out);
	int err;

	fill_pattern(in, sizeof(in), 77);
	err = _fwctl_rpc(fd, scope, in, sizeof(in), out, &out_len);
	if (err)
		return err;
	return out_len == sizeof(in) && !memcmp(in, out, sizeof(in)) ? 0 : -1;
}

#define loopback_echo(fd) ASSERT_EQ(0, _loopback_echo(fd, FWCTL_RPC_CONFIGURATION))

#define loopback_echo_fails(expected, fd) \
	EXPECT_EQ(expected, _loopback_echo(fd, FWCTL_RPC_CONFIGURATION))

/* Returns 0 or an errno. */
static inline int _loopback_state(int fd, struct fwctl_loopback_state *state)
{
	uint32_t out_len = sizeof(*state);

	memset(state, 0xee, sizeof(*state));
	return _loopback_op(fd, FWCTL_LOOPBACK_STATE, 0, state, &out_len);
}

#define loopback_state(fd) ({							\
	struct fwctl_loopback_state __state;					\
	ASSERT_EQ(0, _loopback_state(fd, &__state));				\
	__state;								\
})

/* A thread with one RPC that sleeps in the driver. */
struct sleeper {
	int fd;
	uint32_t ms;
	pthread_t thread;
	volatile pid_t tid;
	int err;
	bool is_done;
};

static inline void *sleeper_main(void *arg)
{
	struct sleeper *sleeper = arg;
	struct fwctl_loopback_cmd reply;
	uint32_t out_len = sizeof(reply);

	__atomic_store_n(&sleeper->tid, gettid_(), __ATOMIC_SEQ_CST);
	sleeper->err =
		_loopback_op(sleeper->fd, FWCTL_LOOPBACK_SLEEP, sleeper->ms, &reply, &out_len);
	if (!sleeper->err && (out_len != sizeof(reply) || reply.arg != sleeper->ms))
		sleeper->err = -1;
	__atomic_store_n(&sleeper->is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Starts a sleeper and waits until it sleeps in the driver.  Returns false if it does not. */
static inline bool _sleeper_start(struct sleeper *sleeper, int fd, uint32_t ms)
{
	memset(sleeper, 0, sizeof(*sleeper));
	sleeper->fd = fd;
	sleeper->ms = ms;
	if (pthread_create(&sleeper->thread, NULL, sleeper_main, sleeper))
		abort();
	while (!__atomic_load_n(&sleeper->tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	return wait_asleep(sleeper->tid);
}

#define sleeper_start(sleeper, fd, ms) ASSERT_TRUE(_sleeper_start(sleeper, fd, ms))

static inline bool sleeper_is_done(const struct sleeper *sleeper)
{
	return __atomic_load_n(&sleeper->is_done, __ATOMIC_SEQ_CST);
}

/* Waits for the RPC.  Returns 0, its errno, or -1 for a wrong reply. */
static inline int sleeper_join(struct sleeper *sleeper)
{
	pthread_join(sleeper->thread, NULL);
	return sleeper->err;
}

/*
 * Driver model
 */

#define DRIVERS_DIR "/sys/bus/auxiliary/drivers"

static inline bool is_bound(const struct device *dev)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DRIVERS_DIR "/%s/%s", dev->driver, dev->parent);
	return !access(path, F_OK);
}

/* Returns 0 or an errno, after the driver has released the device. */
static inline int unbind(const struct device *dev)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DRIVERS_DIR "/%s/unbind", dev->driver);
	return write_text(path, dev->parent);
}

/* Binds the device unless it is bound.  Returns 0 or an errno. */
static inline int bind_again(const struct device *dev)
{
	char path[PATH_MAX];

	if (is_bound(dev))
		return 0;
	snprintf(path, sizeof(path), DRIVERS_DIR "/%s/bind", dev->driver);
	return write_text(path, dev->parent);
}

/*
 * Rebinds the device, which gives it the lowest free number: the one from before the test.
 * Returns 0 or an errno.
 */
static inline int rebind_device(const struct device *dev)
{
	int err = is_bound(dev) ? unbind(dev) : 0;

	return err ? err : bind_again(dev);
}

/* Finds the current fwctl device of dev->parent, which may have another number. */
static inline bool find_again(struct device *dev)
{
	struct device found;
	struct dirent *entry;
	char path[PATH_MAX];
	bool is_found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/auxiliary/devices/%s/fwctl", dev->parent);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!is_found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "fwctl", 5))
			continue;
		device_named(&found, entry->d_name);
		/* The links of a device that is being registered come after its directory. */
		is_found = !strcmp(found.parent, dev->parent) && *found.driver;
	}
	closedir(dir);
	if (is_found)
		*dev = found;
	return is_found;
}

/* Checks everything that a file of an unregistered device still supports. */
static inline void check_orphan(struct __test_metadata *_metadata, int fd)
{
	struct {
		struct fwctl_info info;
		uint32_t tail[2];
	} info = { .info.size = sizeof(info.info) };
	struct fwctl_rpc rpc = { .size = sizeof(rpc) };
	char page[4096] = {};

	EXPECT_EQ(ENODEV, ioctl_errno(fd, FWCTL_INFO, &info));
	EXPECT_EQ(ENODEV, ioctl_errno(fd, FWCTL_RPC, &rpc));
	loopback_echo_fails(ENODEV, fd);

	/* ENODEV takes precedence over invalid fields ... */
	info.info.flags = 1;
	EXPECT_EQ(ENODEV, ioctl_errno(fd, FWCTL_INFO, &info));
	info.info.flags = 0;
	rpc.scope = 4;
	rpc.in_len = UINT_MAX;
	EXPECT_EQ(ENODEV, ioctl_errno(fd, FWCTL_RPC, &rpc));
	fwctl_rpc_fails(ENODEV, fd, FWCTL_RPC_CONFIGURATION, NULL, 1, NULL, 1);

	/* ... but not over an invalid number or structure. */
	EXPECT_EQ(ENOTTY, ioctl_errno(fd, _IO(FWCTL_TYPE, 5), &info));
	EXPECT_EQ(EFAULT, ioctl_errno(fd, FWCTL_INFO, NULL));
	info.info.size = 23;
	EXPECT_EQ(EINVAL, ioctl_errno(fd, FWCTL_INFO, &info));
	info.info.size = sizeof(info);
	EXPECT_EQ(ENODEV, ioctl_errno(fd, FWCTL_INFO, &info));
	info.tail[1] = 1;
	EXPECT_EQ(E2BIG, ioctl_errno(fd, FWCTL_INFO, &info));

	EXPECT_EQ(-1, read(fd, page, sizeof(page)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(fd, page, sizeof(page)));
	EXPECT_EQ(EINVAL, errno);
}

#endif
