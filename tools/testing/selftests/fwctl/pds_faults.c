// SPDX-License-Identifier: GPL-2.0-only
/*
 * A Pensando card that lies, is late, does not answer, or whose firmware restarts.
 *
 * Needs the card of fwctl-emu, and `emu`, which sends it commands.  FWCTL_TEST_DRIVER=c selects the
 * expectations for the driver in C; tests that would make it overwrite other memory are skipped.
 */
#include "pds_utils.h"

#define CORE_DIR "/sys/bus/pci/drivers/pds_core"

/* Opcodes for faults: those of the commands of a fwctl client */
#define FAULT_IDENT "op=0x146"
#define FAULT_RPC "op=0x147"
#define FAULT_ENDPOINTS "op=0x148,op_mod=0"
#define FAULT_OPERATIONS "op=0x148,op_mod=1"

/* Entries that fit a list of 4096 bytes */
#define MOST_ENDPOINTS 1022
#define MOST_OPERATIONS 511

FIXTURE(faults)
{
	struct device dev;
	char auxiliary[NAME_MAX + 1];
	int fd;
};

static bool has_no_device(void)
{
	struct device dev;

	return !find_device(&dev, is_pds);
}

/* Unbinds and binds the driver of the card, which resets the firmware.  Returns 0 or an errno. */
static int rebind_core(const char *address)
{
	int err = write_text(CORE_DIR "/unbind", address);

	return err ? err : write_text(CORE_DIR "/bind", address);
}

FIXTURE_SETUP(faults)
{
	const char *kind = getenv("FWCTL_TEST_PDS");

	if (!kind || strcmp(kind, "emulated"))
		SKIP(return, "needs the emulated card: set FWCTL_TEST_PDS=emulated");
	ASSERT_TRUE(find_device(&self->dev, is_pds));
	ASSERT_TRUE(find_auxiliary(&self->dev, self->auxiliary, sizeof(self->auxiliary)));
	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, _pds_is_version(self->fd, FIRMWARE));
}

FIXTURE_TEARDOWN(faults)
{
	struct device dev;

	close(self->fd);
	emu("clear");
	emu("release");
	/* Also the firmware that the card comes with. */
	emu("start");
	EXPECT_EQ(0, rebind_core(self->dev.parent));
	EXPECT_TRUE(find_device(&dev, is_pds));
}

static int call_version(int fd)
{
	return _pds_is_version(fd, FIRMWARE);
}

/* Binds the fwctl driver, which asks the firmware for its endpoints.  Returns 0 or an errno. */
static int _bind(const char *auxiliary, int *fd)
{
	struct device dev;
	int err = write_text(DRIVER_DIR "/bind", auxiliary);

	if (err)
		return err;
	if (!find_device(&dev, is_pds))
		return -1;

	close(*fd);
	*fd = open(dev.node, O_RDWR | O_CLOEXEC);
	return *fd < 0 ? errno : 0;
}

#define bind_driver(self) _bind((self)->auxiliary, &(self)->fd)

/* Unbinds and binds the fwctl driver.  Returns 0 or an errno. */
static int _rebind(const char *auxiliary, int *fd)
{
	int err = write_text(DRIVER_DIR "/unbind", auxiliary);

	return err ? err : _bind(auxiliary, fd);
}

#define rebind(self) _rebind((self)->auxiliary, &(self)->fd)

/* Lists that claim more entries than they have */

TEST_F(faults, operations_beyond_the_buffer)
{
	uint32_t claims[] = { MOST_OPERATIONS + 1, 0x10000, 0x20000001, INT32_MAX, UINT32_MAX };

	if (is_c_driver())
		SKIP(return, "the driver in C overwrites memory behind the list");

	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		uint8_t value[8];

		ASSERT_EQ(0, rebind(self));
		ASSERT_LE(-1, emu("fault " FAULT_OPERATIONS ",claim=%u", claims[i]));
		EXPECT_EQ(EPROTO, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE,
					    NULL, 0, value, sizeof(value)));
		/* The list is asked for again. */
		EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0,
				       value, sizeof(value)));
	}
}

/* The rest of the buffer is zero: operation 0, which may be read. */
TEST_F(faults, as_many_operations_as_fit)
{
	uint8_t value[8];

	ASSERT_EQ(0, rebind(self));
	ASSERT_LE(-1, emu("fault " FAULT_OPERATIONS ",claim=%u", MOST_OPERATIONS));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0, value,
			       sizeof(value)));
}

TEST_F(faults, endpoints_beyond_the_buffer)
{
	uint32_t claims[] = { MOST_ENDPOINTS + 1, 0x10000, 0x40000001, INT32_MAX, UINT32_MAX };

	if (is_c_driver())
		SKIP(return, "the driver in C reads memory behind the list");

	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		ASSERT_LE(-1, emu("fault " FAULT_ENDPOINTS ",claim=%u", claims[i]));
		EXPECT_NE(0, rebind(self));
		EXPECT_TRUE(has_no_device());
		ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", self->auxiliary));
		ASSERT_EQ(0, rebind(self));
	}
	EXPECT_EQ(0, call_version(self->fd));
}

#define MARKED_PAGES 256
#define PAGE_BYTES 4096

/* Most lists that are requested until one has a marked page behind it */
#define ATTEMPTS 50

/* The mark of the first attempt.  Each attempt has another one. */
#define FIRST_MARK 0x81

/*
 * Pages full of a byte, the mark.  The card claims entries behind a buffer only if they are such
 * bytes.  Most of the pages are followed or preceded by a free page, which the kernel allocates
 * next on this CPU.
 */
struct marked {
	uint8_t mark;
	int pipe[2];
	uint8_t page[PAGE_BYTES];
};

static bool make_pipe(int *ends)
{
	return !pipe2(ends, O_NONBLOCK | O_CLOEXEC) &&
	       fcntl(ends[1], F_SETPIPE_SZ, MARKED_PAGES * PAGE_BYTES) >= MARKED_PAGES * PAGE_BYTES;
}

/* The pages of two pipes alternate.  They are of the same kind as those of drivers. */
static bool mark_pages(struct marked *marked)
{
	static const uint8_t unmarked[PAGE_BYTES];
	int freed[2];

	if (!make_pipe(marked->pipe) || !make_pipe(freed))
		return false;
	memset(marked->page, marked->mark, PAGE_BYTES);
	for (int i = 0; i < MARKED_PAGES; i++) {
		if (write(marked->pipe[1], marked->page, PAGE_BYTES) != PAGE_BYTES ||
		    write(freed[1], unmarked, PAGE_BYTES) != PAGE_BYTES)
			return false;
	}
	/* Only pages of the pipe have the mark: overwritten_bytes() counts in these. */
	memset(marked->page, 0, PAGE_BYTES);
	close(freed[0]);
	close(freed[1]);
	return true;
}

/* Frees the pages, and returns how many of their bytes were overwritten by `value`, or -1. */
static int overwritten_bytes(struct marked *marked, uint8_t value)
{
	int count = 0;

	for (int i = 0; i < MARKED_PAGES; i++) {
		if (read(marked->pipe[0], marked->page, PAGE_BYTES) != PAGE_BYTES)
			return -1;
		for (int at = 0; at < PAGE_BYTES; at++) {
			if (marked->page[at] == value)
				count++;
			else if (marked->page[at] != marked->mark)
				return -1;
		}
	}
	close(marked->pipe[0]);
	close(marked->pipe[1]);
	return count;
}

static bool stay_on_this_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	return !sched_setaffinity(0, sizeof(cpus), &cpus);
}

/*
 * The number behind the buffer is an endpoint for the driver in C, which asks the firmware for its
 * operations.
 */
TEST_F_TIMEOUT(faults, numbers_behind_the_endpoints, 120)
{
	bool is_behind = false;

	ASSERT_TRUE(stay_on_this_cpu());
	for (int i = 0; i < ATTEMPTS && !is_behind; i++) {
		struct marked marked = { .mark = FIRST_MARK + i };
		uint32_t endpoint = marked.mark * 0x01010101u;
		int err;

		ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", self->auxiliary));
		ASSERT_LE(-1, emu("overreach endpoints %d", marked.mark));
		ASSERT_TRUE(mark_pages(&marked));
		err = bind_driver(self);
		is_behind = emu("overreached") == 1;
		EXPECT_EQ(0, overwritten_bytes(&marked, FWCTL_RPC_DEBUG_WRITE_FULL));
		if (is_behind && !is_c_driver()) {
			EXPECT_NE(0, err);
			EXPECT_TRUE(has_no_device());
			ASSERT_EQ(0, bind_driver(self));
			break;
		}
		ASSERT_EQ(0, err);
		/* It reports any failure as ENOMEM.  EINVAL: no such endpoint. */
		EXPECT_EQ(is_behind ? ENOMEM : EINVAL,
			  _pds_call(self->fd, SCOPE_CONFIG, endpoint, 0x7777, NULL, 0, NULL, 0));
	}
	EXPECT_TRUE(is_behind);
}

/* The driver in C replaces attributes by scopes, also behind the buffer. */
TEST_F_TIMEOUT(faults, bytes_behind_the_operations, 120)
{
	bool is_behind = false;

	ASSERT_TRUE(stay_on_this_cpu());
	for (int i = 0; i < ATTEMPTS && !is_behind; i++) {
		struct marked marked = { .mark = FIRST_MARK + i };
		uint8_t value[8];
		int err;

		/* The driver in Rust allocates its list when it is bound, the one in C now. */
		ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", self->auxiliary));
		ASSERT_LE(-1, emu("overreach operations %d", marked.mark));
		ASSERT_TRUE(mark_pages(&marked));
		ASSERT_EQ(0, bind_driver(self));
		err = _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0, value,
				sizeof(value));
		is_behind = emu("overreached") == 1;
		EXPECT_EQ(is_behind && !is_c_driver() ? EPROTO : 0, err);
		EXPECT_EQ(is_behind && is_c_driver(),
			  overwritten_bytes(&marked, FWCTL_RPC_DEBUG_WRITE_FULL));
	}
	EXPECT_TRUE(is_behind);
}

/* The firmware claims to take any length.  The driver in C believes it. */
TEST_F(faults, limits_that_are_too_large)
{
	uint8_t *memory = calloc(1, MAX_RPC_LEN + 1);
	uint32_t sum;

	ASSERT_NE(NULL, memory);
	ASSERT_LE(-1, emu("fault " FAULT_IDENT ",claim=0xffffffff"));
	ASSERT_EQ(0, rebind(self));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM, memory,
			       MAX_PAYLOAD, &sum, sizeof(sum)));
	/* Refused by the firmware */
	EXPECT_EQ(ERANGE, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM, memory,
				    MAX_RPC_LEN, &sum, sizeof(sum)));
	EXPECT_EQ(is_c_driver() ? ERANGE : EINVAL,
		  _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM, memory,
			    MAX_RPC_LEN + 1, &sum, sizeof(sum)));
	EXPECT_EQ(is_c_driver() ? ENOMEM : EINVAL,
		  _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM, memory, UINT32_MAX,
			    &sum, sizeof(sum)));
	if (!is_c_driver()) {
		EXPECT_EQ(EINVAL, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM,
					    memory, 4, memory, UINT32_MAX));
	}
	free(memory);
}

/* Lists that change after they were read */

/* The driver in C reads the scopes again for each RPC, from memory that the firmware can write. */
TEST_F(faults, attributes_that_change)
{
	uint8_t value[8];

	EXPECT_EQ(EPERM, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, 0x0103, NULL, 0,
				   value, sizeof(value)));
	ASSERT_LT(0, emu("reattribute 0"));
	EXPECT_EQ(is_c_driver() ? 0 : EPERM,
		  _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, 0x0103, NULL, 0, value,
			    sizeof(value)));
	EXPECT_EQ(is_c_driver() ? 0 : EPERM,
		  _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, 0x0105, value,
			    sizeof(value), NULL, 0));
}

/* The same with the counts. */
TEST_F(faults, counts_that_change)
{
	EXPECT_EQ(0, call_version(self->fd));
	ASSERT_LT(0, emu("recount 0"));
	EXPECT_EQ(is_c_driver() ? EINVAL : 0, call_version(self->fd));
	ASSERT_LT(0, emu("recount 4"));
	if (is_c_driver())
		SKIP(return, "the driver in C reads memory behind the list");
	ASSERT_LT(0, emu("recount 0xffffffff"));
	EXPECT_EQ(EINVAL, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, 0x0777, NULL, 0,
				    NULL, 0));
	EXPECT_EQ(EINVAL, _pds_call(self->fd, SCOPE_CONFIG, 0x99, 0x0777, NULL, 0, NULL,
				    0));
	EXPECT_EQ(0, rebind(self));
}

/* Commands that fail */

TEST_F(faults, statuses)
{
	static const struct {
		int status, err;
	} statuses[] = {
		{ 4, EPERM }, { 7, ENOENT }, { 9, EAGAIN }, { 10, ENOMEM }, { 11, EFAULT },
		{ 12, EBUSY }, { 14, EINVAL }, { 15, ENOSPC }, { 16, ERANGE }, { 31, ENODEV },
		{ 100, EIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		ASSERT_LE(-1, emu("fault " FAULT_RPC ",status=%d", statuses[i].status));
		EXPECT_EQ(statuses[i].err, call_version(self->fd));
		EXPECT_EQ(0, call_version(self->fd));
	}
	/* The client is not registered: the card is about to be removed. */
	ASSERT_LE(-1, emu("fault " FAULT_RPC ",status=33"));
	EXPECT_EQ(is_c_driver() ? ECHILD : ENODEV, call_version(self->fd));
}

/* The driver in C reports any failure as ENOMEM. */
TEST_F(faults, operations_are_refused)
{
	uint8_t value[8];

	ASSERT_EQ(0, rebind(self));
	ASSERT_LE(-1, emu("fault " FAULT_OPERATIONS ",status=12"));
	EXPECT_EQ(is_c_driver() ? ENOMEM : EBUSY,
		  _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0, value,
			    sizeof(value)));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0, value,
			       sizeof(value)));
}

TEST_F(faults, probe_commands_are_refused)
{
	static const char *const faults[] = {
		FAULT_IDENT ",status=12", FAULT_ENDPOINTS ",status=12",
	};

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		ASSERT_LE(-1, emu("fault %s", faults[i]));
		EXPECT_NE(0, rebind(self));
		EXPECT_TRUE(has_no_device());
		ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", self->auxiliary));
	}
}

/* The rest of the response buffer is zero. */
TEST_F(faults, responses_that_are_truncated)
{
	uint8_t request[64], response[64];

	fill_pattern(request, sizeof(request), 1);
	ASSERT_LE(-1, emu("fault " FAULT_RPC ",truncate=10"));
	ASSERT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO, request,
			       sizeof(request), response, sizeof(response)));
	EXPECT_EQ(0, memcmp(request, response, 10));
	EXPECT_TRUE(all_bytes_are(response + 10, 0, sizeof(response) - 10));
}

/* Lists of noise.  The driver in C may write behind the list. */
TEST_F_TIMEOUT(faults, noise, 120)
{
	if (is_c_driver())
		SKIP(return, "the driver in C overwrites memory behind the list");

	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, rebind(self));
		ASSERT_LE(-1, emu("fault " FAULT_OPERATIONS ",garble=%d", i));
		for (uint32_t scope = 0; scope < SCOPES; scope++) {
			int err = _pds_call(self->fd, scope, EP_PORT, OP_GET_VALUE, NULL, 0,
					    NULL, 0);

			EXPECT_TRUE(err == 0 || err == EPROTO || err == EINVAL || err == EPERM) {
				TH_LOG("errno %d", err);
			}
		}
		ASSERT_LE(-1, emu("fault " FAULT_IDENT ",garble"));
		ASSERT_LE(-1, emu("fault " FAULT_ENDPOINTS ",garble=%d", i % 8));
		if (rebind(self))
			ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", self->auxiliary));
	}
}

/* Commands that are not answered */

/* The memory of a command must not be used again before the firmware has answered. */
TEST_F_TIMEOUT(faults, lost_commands, 120)
{
	uint8_t request[64] = { 0x55 }, response[64];
	long rpcs;

	if (is_c_driver())
		SKIP(return, "the driver in C frees the memory, to which the firmware then writes");

	ASSERT_LE(-1, emu("fault " FAULT_RPC ",never,background"));
	EXPECT_EQ(ETIMEDOUT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO,
				       request, sizeof(request), response, sizeof(response)));
	/* The driver asks first whether the firmware answers. */
	rpcs = emu_count("/commands/fwctl RPC");
	EXPECT_EQ(ETIMEDOUT, call_version(self->fd));
	EXPECT_EQ(rpcs, emu_count("/commands/fwctl RPC"));
	/* Now the firmware writes the response. */
	EXPECT_LT(0, emu("release"));
	EXPECT_EQ(0, call_version(self->fd));
	EXPECT_EQ(0, call_version(self->fd));
}

/* The driver is unbound before the firmware answers. */
TEST_F_TIMEOUT(faults, unbind_after_a_lost_command, 120)
{
	int kmsg = kmsg_open();

	if (is_c_driver())
		SKIP(return, "the driver in C frees the memory, to which the firmware then writes");

	ASSERT_LE(-1, emu("fault " FAULT_RPC ",never,background"));
	EXPECT_EQ(ETIMEDOUT, call_version(self->fd));
	ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", self->auxiliary));
	EXPECT_EQ(1, kmsg_count(kmsg, "leaking the memory of its commands", NULL, 0));
	EXPECT_LT(0, emu("release"));
	ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", self->auxiliary));
	close(kmsg);
}

/* Firmware that restarts */

/* Repeats an RPC until it ends with `expected` or a minute is over.  Returns the last errno. */
static int call_until(int fd, const char *version, int expected)
{
	int err;

	for (int i = 0; i < 600; i++) {
		err = _pds_is_version(fd, version);
		if (err == expected)
			break;
		usleep(100000);
	}
	return err;
}

/* The driver in C uses an identifier that the firmware does not know any more. */
TEST_F_TIMEOUT(faults, firmware_that_restarts, 180)
{
	uint8_t value[VALUE_LEN];

	for (int i = 0; i < 2; i++) {
		ASSERT_LE(-1, emu("stop"));
		EXPECT_EQ(ENXIO, call_version(self->fd));
		EXPECT_EQ(ENXIO, call_version(self->fd));
		ASSERT_LE(-1, emu("start"));
		if (is_c_driver()) {
			EXPECT_EQ(ECHILD, call_until(self->fd, FIRMWARE, ECHILD));
			return;
		}
		EXPECT_EQ(0, call_until(self->fd, FIRMWARE, 0));
		EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0,
				       value, sizeof(value)));
		EXPECT_EQ(1, emu_count("/clients"));
	}
}

/* Another version has other endpoints, and other attributes of the same operations. */
TEST_F_TIMEOUT(faults, firmware_of_another_version, 180)
{
	uint8_t value[VALUE_LEN] = { 0 };

	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_SET_VALUE, value,
			       sizeof(value), NULL, 0));
	EXPECT_EQ(EINVAL, _pds_call(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, 0x40, 0x0201, NULL, 0,
				    value, sizeof(value)));
	ASSERT_LE(-1, emu("stop"));
	EXPECT_EQ(ENXIO, call_version(self->fd));
	ASSERT_LE(-1, emu("start next"));
	if (is_c_driver())
		SKIP(return, "the driver in C does not work after a restart");

	EXPECT_EQ(0, call_until(self->fd, NEXT_FIRMWARE, 0));
	EXPECT_EQ(EPERM, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_SET_VALUE, value,
				   sizeof(value), NULL, 0));
	EXPECT_EQ(0, _pds_call(self->fd, FWCTL_RPC_DEBUG_WRITE, EP_PORT, OP_SET_VALUE, value,
			       sizeof(value), NULL, 0));
	EXPECT_EQ(EINVAL, _pds_call(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, EP_MEMORY, 0x0201, NULL,
				    0, value, sizeof(value)));
	EXPECT_EQ(0, _pds_call(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, 0x40, 0x0201, NULL, 0, value,
			       sizeof(value)));
}

/* A program that calls while the firmware restarts, several times. */
struct caller {
	int fd;
	pthread_t thread;
	volatile bool *stop;
	unsigned long calls;
	int unexpected;
};

static void *caller_main(void *arg)
{
	struct caller *caller = arg;

	while (!*caller->stop) {
		uint8_t value[VALUE_LEN];
		int err = _pds_call(caller->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0,
				    value, sizeof(value));

		caller->calls += !err;
		/* An operation that the old firmware refuses with this errno is not called. */
		if (err && err != ENXIO && err != ETIMEDOUT && err != ENODEV && err != ENOSPC)
			caller->unexpected = err;
		if (err)
			usleep(10000);
	}
	return NULL;
}

TEST_F_TIMEOUT(faults, firmware_that_restarts_under_load, 240)
{
	struct caller callers[4];
	volatile bool stop = false;

	if (is_c_driver())
		SKIP(return, "the driver in C does not work after a restart");

	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		callers[i] = (struct caller) { .fd = self->fd, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]));
	}
	for (int i = 0; i < 3; i++) {
		usleep(500000);
		/* Also without the time in which the driver could notice that it has stopped. */
		if (i != 1)
			ASSERT_LE(-1, emu("stop"));
		if (i == 2)
			sleep(1);
		ASSERT_LE(-1, emu("start"));
		EXPECT_EQ(0, call_until(self->fd, FIRMWARE, 0));
	}
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		pthread_join(callers[i].thread, NULL);
		EXPECT_EQ(0, callers[i].unexpected);
		EXPECT_LT(0, callers[i].calls);
	}
	EXPECT_EQ(1, emu_count("/clients"));
}

/* A function-level reset, while the driver is bound */
TEST_F_TIMEOUT(faults, function_reset, 120)
{
	char path[PATH_MAX], method[32] = "";
	struct device dev;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset_method", self->dev.parent);
	ASSERT_EQ(0, write_text(path, "flr"));
	ASSERT_EQ(0, read_text(path, method, sizeof(method)));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", self->dev.parent);
	ASSERT_EQ(0, write_text(path, "1"));

	/* The auxiliary device is another one now. */
	EXPECT_EQ(ENODEV, call_version(self->fd));
	ASSERT_TRUE(find_device(&dev, is_pds));
	fd = open(dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, call_version(fd));
	close(fd);
}

/* The driver of the card is unbound while RPCs are in flight. */
TEST_F_TIMEOUT(faults, core_unbind_under_load, 120)
{
	struct caller callers[4];
	volatile bool stop = false;

	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		callers[i] = (struct caller) { .fd = self->fd, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]));
	}
	usleep(300000);
	EXPECT_EQ(0, write_text(CORE_DIR "/unbind", self->dev.parent));
	EXPECT_EQ(ENODEV, call_version(self->fd));
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		pthread_join(callers[i].thread, NULL);
		EXPECT_EQ(0, callers[i].unexpected);
		EXPECT_LT(0, callers[i].calls);
	}
	ASSERT_EQ(0, write_text(CORE_DIR "/bind", self->dev.parent));
}

TEST_HARNESS_MAIN
