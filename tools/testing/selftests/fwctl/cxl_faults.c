// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CXL memory device that completes commands late, wrongly or never, and one that is removed with
 * RPCs in flight.
 *
 * Needs the memory device of fwctl-emu, and a command `emu` that connects to its control socket.
 * FWCTL_TEST_DEV names the device (default: the first one below a memdev).
 */
#include <signal.h>

#include "cxl_emulated.h"

static const uint32_t full = FWCTL_RPC_DEBUG_WRITE_FULL;

/* Runs a command of the emulator.  Returns 0 on success. */
static int emu(const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "emu %s >/dev/null 2>&1", command);
	return system(line);
}

/* Returns a counter of the emulator, or -1. */
static long emu_counter(const char *pointer)
{
	char line[256];
	long value = -1;
	FILE *answer;

	snprintf(line, sizeof(line), "emu -p '%s' counters 2>/dev/null", pointer);
	answer = popen(line, "r");
	if (answer) {
		if (fscanf(answer, "%ld", &value) != 1)
			value = -1;
		pclose(answer);
	}
	return value;
}

/* Adds a fault. */
#define fault(...) do {									\
	char __command[128];								\
	snprintf(__command, sizeof(__command), "fault " __VA_ARGS__);			\
	ASSERT_EQ(0, emu(__command));							\
} while (0)

/* Clears all faults and delivers held-back completions. */
static int emu_calm(void)
{
	return emu("clear") || emu("release");
}

FIXTURE(faults)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(faults)
{
	if (!find_emulated(&self->dev))
		SKIP(return, NO_EMULATED);
	if (emu_calm())
		SKIP(return, "no emulator: the command emu fails");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(faults)
{
	uint8_t value[LARGE_LEN] = {};

	EXPECT_EQ(0, emu_calm());
	/* The device works again, and no transfer is left open. */
	EXPECT_EQ(0, set_feature(self->fd, full, LARGE, 0, value, sizeof(value)));
	EXPECT_TRUE(has_value(self->fd, LARGE, value));
	EXPECT_EQ(emu_counter("/transfers/begun"),
		  emu_counter("/transfers/finished") + emu_counter("/transfers/aborted") +
		  emu_counter("/transfers/dropped"));
	close(self->fd);
}

/*
 * Refused commands
 */

TEST_F_TIMEOUT(faults, any_return_code, PATIENCE)
{
	uint16_t codes[] = { 2, 3, 4, 6, 0x1b, 0x1c, 0x1e, 0x1f, 0x100, 0xffff };
	uint8_t value[SMALL_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		fault("op=0x501,status=%u", codes[i]);
		EXPECT_EQ(DEVICE_SAYS + codes[i],
			  get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
		fault("op=0x502,status=%u", codes[i]);
		EXPECT_EQ(DEVICE_SAYS + codes[i],
			  set_feature(self->fd, full, IMMEDIATE_DATA, 0, value, sizeof(value)));
		ASSERT_EQ(0, emu_calm());
	}
}

/* If one part of a read fails, the whole read fails. */
TEST_F_TIMEOUT(faults, part_of_a_get_is_refused, PATIENCE)
{
	uint8_t value[LARGE_LEN];

	for (int nth = 1; nth <= 10; nth++) {
		fault("op=0x501,nth=%d,status=%d", nth, RC_INTERNAL);
		EXPECT_EQ(DEVICE_SAYS + RC_INTERNAL,
			  get_feature(self->fd, LARGE, 0, 0, value, LARGE_LEN));
		EXPECT_EQ(0, get_feature(self->fd, LARGE, 0, 0, value, LARGE_LEN));
		ASSERT_EQ(0, emu_calm());
	}
}

/* If one part of a write fails, the transfer is aborted and the next one works. */
TEST_F_TIMEOUT(faults, part_of_a_set_is_refused, PATIENCE)
{
	uint8_t before[LARGE_LEN], value[LARGE_LEN];

	for (int nth = 1; nth <= 11; nth++) {
		long aborted = emu_counter("/transfers/aborted");

		ASSERT_LE(0, aborted);
		get_whole(self->fd, LARGE, before);
		fill_pattern(value, sizeof(value), nth);
		fault("op=0x502,nth=%d,status=%d", nth, RC_INTERNAL);
		EXPECT_EQ(DEVICE_SAYS + RC_INTERNAL,
			  set_feature(self->fd, full, LARGE, 0, value, sizeof(value)));
		EXPECT_TRUE(has_value(self->fd, LARGE, before));
		/* A refused first part does not start a transfer. */
		EXPECT_EQ(aborted + (nth > 1), emu_counter("/transfers/aborted"));

		EXPECT_EQ(0, set_feature(self->fd, full, LARGE, 0, value, sizeof(value)));
		EXPECT_TRUE(has_value(self->fd, LARGE, value));
		ASSERT_EQ(0, emu_calm());
	}
}

/*
 * Commands that time out, which takes two seconds
 */

TEST_F_TIMEOUT(faults, late, PATIENCE)
{
	uint8_t value[SMALL_LEN];

	get_whole(self->fd, IMMEDIATE_DATA, value);
	fault("op=0x501,late=300,times=2");
	fault("op=0x502,late=300");
	EXPECT_EQ(0, get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
	value[0]++;
	EXPECT_EQ(0, set_feature(self->fd, full, IMMEDIATE_DATA, 0, value, sizeof(value)));
	EXPECT_TRUE(has_value(self->fd, IMMEDIATE_DATA, value));
}

TEST_F_TIMEOUT(faults, never, PATIENCE)
{
	uint8_t value[SMALL_LEN];

	fault("op=0x501,never");
	EXPECT_EQ(ETIMEDOUT, get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
	/* The mailbox is still busy. */
	EXPECT_EQ(EBUSY, get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
	EXPECT_EQ(EBUSY, set_feature(self->fd, full, IMMEDIATE_DATA, 0, value, sizeof(value)));
	make_get_supported(ENTRY_LEN, 0);
	send_request(self->fd);
	EXPECT_EQ(1, entries_in_reply());
	ASSERT_EQ(0, emu("release"));
	EXPECT_EQ(0, get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
}

/*
 * A part times out.  The transfer cannot be aborted while the mailbox is busy, so the driver
 * aborts it before the next one.
 */
TEST_F_TIMEOUT(faults, part_of_a_set_is_lost, PATIENCE)
{
	int lost[] = { 1, 2, 5, 11 };
	uint8_t value[LARGE_LEN], before[LARGE_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
		get_whole(self->fd, LARGE, before);
		fill_pattern(value, sizeof(value), i);
		fault("op=0x502,nth=%d,never", lost[i]);
		EXPECT_EQ(ETIMEDOUT, set_feature(self->fd, full, LARGE, 0, value, sizeof(value)));
		EXPECT_EQ(EBUSY, set_feature(self->fd, full, COLD_RESET, 0, value, SMALL_LEN));
		ASSERT_EQ(0, emu_calm());
		/* The device may have executed the last part. */
		if (lost[i] < 11) {
			EXPECT_TRUE(has_value(self->fd, LARGE, before));
		}
		EXPECT_EQ(0, set_feature(self->fd, full, COLD_RESET, 0, value, SMALL_LEN)) {
			TH_LOG("after part %d", lost[i]);
		}
		EXPECT_EQ(0, set_feature(self->fd, full, LARGE, 0, value, sizeof(value)));
		EXPECT_TRUE(has_value(self->fd, LARGE, value));
	}
}

/*
 * Wrong completions
 */

/* The driver only checks the length, and delivers the rest. */
TEST_F_TIMEOUT(faults, garbled_answers, PATIENCE)
{
	struct {
		const char *effect;
		uint32_t size;
	} cases[] = {
		{ "garble", 4 }, { "garble=2", 4 }, { "truncate=0", 0 }, { "truncate=3", 3 },
		{ "claim=0", 0 }, { "claim=2", 2 }, { "claim=5", 4 }, { "claim=0x200", 4 },
		{ "claim=0x201", 4 }, { "claim=0x1fffff", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t uuid[16];

		feature_uuid(IMMEDIATE_LOG, uuid);
		fault("op=0x501,%s", cases[i].effect);
		make_get(uuid, 0, SMALL_LEN, 0);
		send_request(self->fd);
		EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
		EXPECT_EQ(cases[i].size, reply.out.hdr.size) {
			TH_LOG("%s", cases[i].effect);
		}
		/* A payload where none is expected. */
		fault("op=0x502,%s", cases[i].effect);
		EXPECT_EQ(0, set_feature(self->fd, full, IMMEDIATE_LOG, 0, "abcd", SMALL_LEN));
		ASSERT_EQ(0, emu_calm());
	}
}

/* A short part ends a value that is read in parts. */
TEST_F_TIMEOUT(faults, short_part_of_a_get, PATIENCE)
{
	uint8_t uuid[16];

	feature_uuid(LARGE, uuid);
	for (int nth = 1; nth <= 9; nth++) {
		fault("op=0x501,nth=%d,truncate=7", nth);
		make_get(uuid, 0, LARGE_LEN, 0);
		send_request(self->fd);
		EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
		EXPECT_EQ((nth - 1) * 512 + 7, reply.out.hdr.size);
		ASSERT_EQ(0, emu_calm());
	}
}

/*
 * A Feature command must not continue in the background, but a device may start that.  The kernel
 * does not wait for it.
 */
TEST_F_TIMEOUT(faults, unrequested_background_command, PATIENCE)
{
	uint8_t value[SMALL_LEN] = {};

	fault("op=0x501,background,never");
	EXPECT_EQ(DEVICE_SAYS + RC_BACKGROUND,
		  get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
	EXPECT_EQ(DEVICE_SAYS + RC_BUSY,
		  set_feature(self->fd, full, IMMEDIATE_DATA, 0, value, sizeof(value)));
	EXPECT_EQ(0, get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
	ASSERT_EQ(0, emu("release"));
	EXPECT_EQ(0, set_feature(self->fd, full, IMMEDIATE_DATA, 0, value, sizeof(value)));
}

/*
 * Commands of the vendor
 */

#define ECHO 0xc000

/* Sends the echo of 4 bytes; returns 0, an errno, or DEVICE_SAYS plus a return code. */
static int echo(int fd)
{
	int err;

	make_request(ECHO, "abcd", 4);
	err = _send_request(fd, FWCTL_RPC_DEBUG_READ_ONLY, ANY_REPLY_LEN);
	if (err)
		return err;
	return reply.out.hdr.retval ? DEVICE_SAYS + (int)reply.out.hdr.retval : 0;
}

TEST_F_TIMEOUT(faults, command_is_refused, PATIENCE)
{
	uint16_t codes[] = { 2, 3, 4, 6, 0x1b, 0x100, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		fault("op=0xc000,status=%u", codes[i]);
		EXPECT_EQ(DEVICE_SAYS + codes[i], echo(self->fd));
		EXPECT_EQ(REPLY_HEAD_LEN, reply_len);
		EXPECT_EQ(0, echo(self->fd));
	}
}

TEST_F_TIMEOUT(faults, command_is_not_answered, PATIENCE)
{
	fault("op=0xc000,late=200");
	EXPECT_EQ(0, echo(self->fd));
	fault("op=0xc000,never");
	EXPECT_EQ(ETIMEDOUT, echo(self->fd));
	/* The mailbox is still busy. */
	EXPECT_EQ(EBUSY, echo(self->fd));
	/* The list needs no mailbox. */
	make_request(FWCTL_CXL_QUERY_COMMANDS, NULL, 0);
	send_request(self->fd);
	ASSERT_EQ(0, emu("release"));
	EXPECT_EQ(0, echo(self->fd));
	EXPECT_EQ(0, memcmp(reply.bytes + REPLY_HEAD_LEN, "abcd", 4));
}

/* The output is what the device claims, and at most a payload. */
TEST_F_TIMEOUT(faults, command_is_answered_wrongly, PATIENCE)
{
	struct {
		const char *effect;
		uint32_t size;
	} cases[] = {
		{ "garble", 4 }, { "truncate=0", 0 }, { "truncate=3", 3 }, { "claim=0", 0 },
		{ "claim=2", 2 }, { "claim=0x200", 0x200 }, { "claim=0x201", 0x200 },
		{ "claim=0x1fffff", 0x200 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fault("op=0xc000,%s", cases[i].effect);
		EXPECT_EQ(0, echo(self->fd));
		EXPECT_EQ(cases[i].size, reply.out.hdr.size) {
			TH_LOG("%s", cases[i].effect);
		}
		ASSERT_EQ(0, emu_calm());
	}
}

/*
 * Commands of the vendor that continue in the background
 */

#define WRITE_BACKGROUND 0xc030
#define SCRATCH_LEN 16

/* Sends one; for use by several threads.  Returns as echo() does. */
static int write_in_background(int fd)
{
	struct {
		struct fwctl_rpc_cxl_hdr hdr;
		uint8_t value[SCRATCH_LEN];
	} in = { .hdr = { .opcode = WRITE_BACKGROUND, .op_size = SCRATCH_LEN } };
	struct fwctl_rpc_cxl_out out = {};
	uint32_t out_len = REPLY_HEAD_LEN;
	int err = _fwctl_rpc(fd, full, &in, sizeof(in), &out, &out_len);

	if (err)
		return err;
	if (out_len != REPLY_HEAD_LEN || out.hdr.size)
		return ECHANGED;
	return out.hdr.retval ? DEVICE_SAYS + (int)out.hdr.retval : 0;
}

struct background {
	pthread_t thread;
	int fd, err;
};

static void *background_main(void *arg)
{
	struct background *background = arg;

	background->err = write_in_background(background->fd);
	return NULL;
}

#define backgrounds_begun() emu_counter("/commands/Vendor Background")

/* Waits until the device has begun another operation. */
static void wait_for_background(long before)
{
	while (backgrounds_begun() <= (before < 0 ? 0 : before))
		usleep(1000);
}

/* Starts a thread whose operation ends when the emulator is told to release it. */
#define start_background(self, call) do {						\
	long __before = backgrounds_begun();						\
	*(call) = (struct background) { .fd = (self)->fd };				\
	fault("op=0xc030,never");							\
	ASSERT_EQ(0, pthread_create(&(call)->thread, NULL, background_main, call));	\
	wait_for_background(__before);							\
} while (0)

/* The RPC ends with the operation.  Meanwhile the mailbox is free for other commands. */
TEST_F_TIMEOUT(faults, background_is_waited_for, PATIENCE)
{
	long ended = emu_counter("/backgrounds");
	uint8_t value[SMALL_LEN];
	struct background background;

	start_background(self, &background);
	EXPECT_EQ(0, echo(self->fd));
	EXPECT_EQ(0, get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)));
	EXPECT_EQ(EBUSY, write_in_background(self->fd));
	EXPECT_EQ(ended, emu_counter("/backgrounds"));
	ASSERT_EQ(0, emu("release"));
	pthread_join(background.thread, NULL);
	EXPECT_EQ(0, background.err);
	EXPECT_EQ(ended + 1, emu_counter("/backgrounds"));
	EXPECT_EQ(0, write_in_background(self->fd));
	EXPECT_EQ(ended + 2, emu_counter("/backgrounds"));
}

TEST_F_TIMEOUT(faults, result_of_a_background, PATIENCE)
{
	uint16_t codes[] = { 2, 4, 6, 0x1b, 0x100, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		fault("op=0xc030,background,late=200,status=%u", codes[i]);
		EXPECT_EQ(DEVICE_SAYS + codes[i], write_in_background(self->fd));
	}
	/* Before it has begun. */
	fault("op=0xc030,status=%u", RC_INTERNAL);
	EXPECT_EQ(DEVICE_SAYS + RC_INTERNAL, write_in_background(self->fd));
	/* The end is noticed without an interrupt. */
	fault("op=0xc030,silent,late=200");
	EXPECT_EQ(0, write_in_background(self->fd));
}

/*
 * The register describes another operation at the end, as it does if the kernel has begun one
 * since: the result is lost, and must not be taken for that of the other one.
 */
TEST_F_TIMEOUT(faults, lost_result_of_a_background, PATIENCE)
{
	long ended = emu_counter("/backgrounds");

	fault("op=0xc030,lost");
	EXPECT_EQ(EIO, write_in_background(self->fd));
	EXPECT_EQ(ended + 1, emu_counter("/backgrounds"));
	fault("op=0xc030,background,lost,late=200,status=%u", RC_INTERNAL);
	EXPECT_EQ(EIO, write_in_background(self->fd));
	/* The driver and the device go on. */
	EXPECT_EQ(0, echo(self->fd));
	EXPECT_EQ(0, write_in_background(self->fd));
}

/* The operation continues, and the device rejects another one until it ends. */
TEST_F_TIMEOUT(faults, killed_in_the_background, PATIENCE)
{
	long before = backgrounds_begun();
	int status;
	pid_t pid;

	fault("op=0xc030,never");
	fflush(NULL);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		write_in_background(self->fd);
		_exit(1);
	}
	wait_for_background(before);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, echo(self->fd));
	EXPECT_EQ(DEVICE_SAYS + RC_BUSY, write_in_background(self->fd));
	ASSERT_EQ(0, emu("release"));
	EXPECT_EQ(0, write_in_background(self->fd));
}

/*
 * Interrupted transfers
 */

/* Delays every command by 1.5 s, which is less than the timeout. */
#define SLOWLY "times=forever,late=1500"

/*
 * Maximum number of commands after a caller was told to stop: one in progress, one if the caller
 * has not noticed yet, and the abort.  A transfer of LARGE has eleven.
 */
#define COMMANDS_TO_STOP 3

/* Returns the number of Get or Set Feature commands that the device got. */
static long commands(bool is_setter)
{
	long count = emu_counter(is_setter ? "/commands/Set Feature" : "/commands/Get Feature");

	return count < 0 ? 0 : count;
}

static int set_large(int fd, uint8_t seed)
{
	uint8_t value[LARGE_LEN];

	memset(value, seed, sizeof(value));
	return set_feature(fd, full, LARGE, 0, value, sizeof(value));
}

static int get_large(int fd)
{
	uint8_t value[LARGE_LEN];

	return get_feature(fd, LARGE, 0, 0, value, sizeof(value));
}

/* Starts a program that gets or sets a value in parts, and exits with 1 when it is complete. */
static pid_t start_program(int fd, bool is_setter)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	if (is_setter)
		set_large(fd, 99);
	else
		get_large(fd);
	_exit(1);
}

/*
 * Waits until the device has got a second part since `before`.  Returns false if the transfer
 * ended first: on a slow host a part may time out.
 */
static bool wait_for_parts(bool is_setter, long before, bool (*has_ended)(void *arg), void *arg)
{
	while (commands(is_setter) < before + 2) {
		if (has_ended(arg))
			return false;
		usleep(10000);
	}
	return !has_ended(arg);
}

static bool has_exited(void *arg)
{
	siginfo_t info = {};
	pid_t *pid = arg;

	return waitid(P_PID, *pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == *pid;
}

#define TRIES 20

TEST_F_TIMEOUT(faults, killed_between_parts, PATIENCE)
{
	for (int is_setter = 0; is_setter < 2; is_setter++) {
		bool is_killed = false;

		EXPECT_EQ(0, set_large(self->fd, is_setter));
		for (int i = 0; i < TRIES && !is_killed; i++) {
			long before = commands(is_setter), at;
			int status;
			pid_t pid;

			fault(SLOWLY);
			pid = start_program(self->fd, is_setter);
			ASSERT_LT(0, pid);
			is_killed = wait_for_parts(is_setter, before, has_exited, &pid);
			at = commands(is_setter);
			kill(pid, SIGKILL);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			if (is_killed) {
				EXPECT_TRUE(WIFSIGNALED(status));
				EXPECT_GE(at + COMMANDS_TO_STOP, commands(is_setter));
			}
			ASSERT_EQ(0, emu_calm());
			/* The mailbox is free and no transfer is open. */
			EXPECT_EQ(0, set_large(self->fd, is_setter));
		}
		EXPECT_TRUE(is_killed);
	}
}

/* A transfer by a thread. */
struct transfer {
	pthread_t thread;
	int fd;
	bool is_setter, has_ended;
	int err;
};

static void *transfer_main(void *arg)
{
	struct transfer *transfer = arg;

	transfer->err = transfer->is_setter ? set_large(transfer->fd, 98) : get_large(transfer->fd);
	__atomic_store_n(&transfer->has_ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool has_ended(void *arg)
{
	struct transfer *transfer = arg;

	return __atomic_load_n(&transfer->has_ended, __ATOMIC_ACQUIRE);
}

static bool start_transfer(struct transfer *transfer, int fd, bool is_setter)
{
	*transfer = (struct transfer) { .fd = fd, .is_setter = is_setter };
	return !pthread_create(&transfer->thread, NULL, transfer_main, transfer);
}

/* Returns whether a part timed out, which happens on slow hosts: try again. */
static bool was_too_late(int err)
{
	return err == ETIMEDOUT || err == EBUSY;
}

/* Signals with a handler do not interrupt a transfer. */
static void handle(int signal)
{
}

TEST_F_TIMEOUT(faults, handled_signal_between_parts, PATIENCE)
{
	struct sigaction action = { .sa_handler = handle };
	struct transfer transfer;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	for (int is_setter = 0; is_setter < 2; is_setter++) {
		fault("times=forever,late=20");
		ASSERT_TRUE(start_transfer(&transfer, self->fd, is_setter));
		while (!has_ended(&transfer)) {
			pthread_kill(transfer.thread, SIGUSR1);
			usleep(5000);
		}
		pthread_join(transfer.thread, NULL);
		EXPECT_EQ(0, transfer.err);
		ASSERT_EQ(0, emu_calm());
	}
}

/* A caller that waits for the mailbox can be killed. */
TEST_F_TIMEOUT(faults, killed_before_the_first_part, PATIENCE)
{
	for (int is_setter = 0; is_setter < 2; is_setter++) {
		bool is_killed = false;

		for (int i = 0; i < TRIES && !is_killed; i++) {
			struct transfer transfer;
			bool has_waited, was_first;
			int status;
			long before;
			pid_t pid;

			before = commands(true);
			fault(SLOWLY);
			ASSERT_TRUE(start_transfer(&transfer, self->fd, true));
			while (commands(true) == before)
				usleep(10000);
			pid = start_program(self->fd, is_setter);
			ASSERT_LT(0, pid);
			has_waited = wait_asleep(pid);
			kill(pid, SIGKILL);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			was_first = !has_ended(&transfer);
			ASSERT_EQ(0, emu("clear"));
			pthread_join(transfer.thread, NULL);
			is_killed = !was_too_late(transfer.err);
			if (is_killed) {
				EXPECT_EQ(0, transfer.err);
				/* The other transfer had about nine parts left. */
				EXPECT_TRUE(has_waited && was_first);
			}
			ASSERT_EQ(0, emu_calm());
		}
		EXPECT_TRUE(is_killed);
	}
}

/*
 * Unbind and removal with calls in flight
 */

struct caller {
	pthread_t thread;
	int fd;
	enum feature feature;
	bool is_setter;
	/* The errno that ended it */
	int err;
	unsigned int calls;
};

/* Calls until the device is removed.  Every call returns, with an expected errno. */
static void *caller_main(void *arg)
{
	struct caller *caller = arg;
	uint32_t len = feature_len(caller->feature);
	uint8_t value[MAX_VALUE] = {};
	int err;

	do {
		if (caller->is_setter)
			err = set_feature(caller->fd, full, caller->feature, 0, value, len);
		else
			err = get_feature(caller->fd, caller->feature, 0, 0, value, len);
		__atomic_add_fetch(&caller->calls, 1, __ATOMIC_RELAXED);
	} while (!err || err == ETIMEDOUT || err == EBUSY);
	caller->err = err;
	return NULL;
}

#define CALLERS 6

/* Starts callers of all kinds with a file each, and waits until they are in flight. */
static bool start_callers(const struct device *dev, struct caller *callers)
{
	memset(callers, 0, CALLERS * sizeof(*callers));
	for (int i = 0; i < CALLERS; i++) {
		callers[i].fd = open(dev->node, O_RDWR);
		callers[i].feature = i & 1 ? LARGE : IMMEDIATE_DATA;
		callers[i].is_setter = i & 2;
		if (callers[i].fd < 0 ||
		    pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]))
			return false;
	}
	for (int i = 0; i < CALLERS; i++) {
		while (!__atomic_load_n(&callers[i].calls, __ATOMIC_RELAXED))
			usleep(1000);
	}
	return true;
}

#define end_callers(callers) do {							\
	for (int __i = 0; __i < CALLERS; __i++) {					\
		pthread_join((callers)[__i].thread, NULL);				\
		EXPECT_EQ(ENODEV, (callers)[__i].err) {					\
			TH_LOG("caller %d", __i);					\
		}									\
		close((callers)[__i].fd);						\
	}										\
} while (0)

/* Finds the driver of the auxiliary device of the memdev, and its name there. */
static bool find_auxiliary(char *driver, size_t size, char *name, size_t name_size)
{
	const char *drivers = "/sys/bus/auxiliary/drivers";
	struct dirent *entry;
	bool is_found = false;
	DIR *dir;

	snprintf(driver, size, "%s/cxl_fwctl.cxl_fwctl", drivers);
	dir = opendir(driver);
	if (!dir)
		return false;
	while (!is_found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "cxl_core.", 9))
			continue;
		snprintf(name, name_size, "%.63s", entry->d_name);
		is_found = true;
	}
	closedir(dir);
	return is_found;
}

/* Writes `text` to a file below `dir`. */
static int write_below(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return write_text(path, text);
}

/* Finds and opens the current device. */
static int reopen(struct device *dev)
{
	for (int i = 0; i < 1000; i++) {
		int fd = find_emulated(dev) ? open(dev->node, O_RDWR) : -1;

		if (fd >= 0)
			return fd;
		usleep(10000);
	}
	return -1;
}

TEST_F_TIMEOUT(faults, unbind_with_calls_in_flight, PATIENCE)
{
	char driver[PATH_MAX], name[64];
	struct caller callers[CALLERS];

	ASSERT_TRUE(find_auxiliary(driver, sizeof(driver), name, sizeof(name)));
	for (int round = 0; round < 3; round++) {
		/* Without delays, then with slow commands. */
		if (round)
			fault("times=forever,late=20");
		ASSERT_TRUE(start_callers(&self->dev, callers));
		ASSERT_EQ(0, write_below(driver, "unbind", name));
		end_callers(callers);
		EXPECT_EQ(ENODEV, set_feature(self->fd, full, IMMEDIATE_DATA, 0, "abcd", 4));
		close(self->fd);
		ASSERT_EQ(0, emu_calm());
		ASSERT_EQ(0, write_below(driver, "bind", name));
		self->fd = reopen(&self->dev);
		ASSERT_LE(0, self->fd);
	}
}

/* Rebinds the driver and opens the new device. */
#define bind_again(self, driver, name) do {						\
	close((self)->fd);								\
	ASSERT_EQ(0, write_below(driver, "unbind", name));				\
	ASSERT_EQ(0, write_below(driver, "bind", name));				\
	(self)->fd = reopen(&(self)->dev);						\
	ASSERT_LE(0, (self)->fd);							\
} while (0)

/* Also ends callers that wait for the mailbox.  A Set works at once afterwards. */
TEST_F_TIMEOUT(faults, unbind_between_parts, PATIENCE)
{
	char driver[PATH_MAX], name[64];

	ASSERT_TRUE(find_auxiliary(driver, sizeof(driver), name, sizeof(name)));
	for (int is_setter = 0; is_setter < 2; is_setter++) {
		bool is_unbound = false;

		for (int i = 0; i < TRIES && !is_unbound; i++) {
			long before = commands(is_setter), at;
			struct transfer transfer, waiters[3];

			fault(SLOWLY);
			ASSERT_TRUE(start_transfer(&transfer, self->fd, is_setter));
			is_unbound = wait_for_parts(is_setter, before, has_ended, &transfer);
			for (int j = 0; j < 3; j++)
				ASSERT_TRUE(start_transfer(&waiters[j], self->fd, j & 1));
			at = commands(is_setter);
			ASSERT_EQ(0, write_below(driver, "unbind", name));
			if (is_unbound) {
				EXPECT_GE(at + COMMANDS_TO_STOP, commands(is_setter));
			}
			pthread_join(transfer.thread, NULL);
			is_unbound = is_unbound && !was_too_late(transfer.err);
			EXPECT_TRUE(!is_unbound || transfer.err == ENODEV);
			for (int j = 0; j < 3; j++) {
				pthread_join(waiters[j].thread, NULL);
				EXPECT_TRUE(waiters[j].err == ENODEV ||
					    (!is_unbound && was_too_late(waiters[j].err)));
			}
			ASSERT_EQ(0, emu_calm());
			close(self->fd);
			ASSERT_EQ(0, write_below(driver, "bind", name));
			self->fd = reopen(&self->dev);
			ASSERT_LE(0, self->fd);
			EXPECT_EQ(0, set_large(self->fd, 3));
		}
		EXPECT_TRUE(is_unbound);
	}
}

/* Leaves a transfer open that the driver cannot abort. */
#define lose_a_part(self) do {								\
	fault("op=0x502,nth=3,never");							\
	ASSERT_EQ(ETIMEDOUT, set_large((self)->fd, 97));				\
	ASSERT_LT(0, emu_counter("/transfers/open/bytes"));				\
} while (0)

/* The next binding of the driver aborts a transfer that an earlier one left open. */
TEST_F_TIMEOUT(faults, open_transfer_and_unbind, PATIENCE)
{
	char driver[PATH_MAX], name[64];
	uint8_t value[SMALL_LEN] = {};

	ASSERT_TRUE(find_auxiliary(driver, sizeof(driver), name, sizeof(name)));
	for (int round = 0; round < 2; round++) {
		long aborted = emu_counter("/transfers/aborted");

		lose_a_part(self);
		/* The new device is probed with a command. */
		ASSERT_EQ(0, emu_calm());
		bind_again(self, driver, name);
		EXPECT_EQ(0, set_feature(self->fd, full, COLD_RESET, 0, value, sizeof(value)));
		EXPECT_EQ(aborted + 1, emu_counter("/transfers/aborted"));
		EXPECT_EQ(0, set_large(self->fd, 4));
	}
}

/* An operation in the background does not delay the removal of the device, and survives it. */
TEST_F_TIMEOUT(faults, unbind_in_the_background, PATIENCE)
{
	char driver[PATH_MAX], name[64];
	struct background background;

	ASSERT_TRUE(find_auxiliary(driver, sizeof(driver), name, sizeof(name)));
	start_background(self, &background);
	ASSERT_EQ(0, write_below(driver, "unbind", name));
	pthread_join(background.thread, NULL);
	EXPECT_EQ(ENODEV, background.err);
	close(self->fd);
	ASSERT_EQ(0, write_below(driver, "bind", name));
	self->fd = reopen(&self->dev);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(DEVICE_SAYS + RC_BUSY, write_in_background(self->fd));
	ASSERT_EQ(0, emu("release"));
	EXPECT_EQ(0, write_in_background(self->fd));
}

/* Finds the sysfs directory of the PCI function of a memdev. */
static bool find_function(const struct device *dev, char *function)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), CLASS_DIR "/%s/device/..", dev->name);
	return realpath(path, function);
}

/* Removes the PCI function, including the mailbox. */
TEST_F_TIMEOUT(faults, remove_with_calls_in_flight, PATIENCE)
{
	struct caller callers[CALLERS];
	char function[PATH_MAX];

	for (int round = 0; round < 3; round++) {
		ASSERT_TRUE(find_function(&self->dev, function));
		if (round)
			fault("times=forever,late=20");
		ASSERT_TRUE(start_callers(&self->dev, callers));
		ASSERT_EQ(0, write_below(function, "remove", "1"));
		end_callers(callers);
		close(self->fd);
		ASSERT_EQ(0, emu_calm());
		ASSERT_EQ(0, write_text("/sys/bus/pci/rescan", "1"));
		self->fd = reopen(&self->dev);
		ASSERT_LE(0, self->fd);
	}
}

/* An open transfer is aborted at the latest when the mailbox is removed. */
TEST_F_TIMEOUT(faults, open_transfer_and_unbind_of_the_function, PATIENCE)
{
	long aborted = emu_counter("/transfers/aborted");
	uint8_t value[SMALL_LEN] = {};
	char function[PATH_MAX];

	ASSERT_TRUE(find_function(&self->dev, function));
	lose_a_part(self);
	ASSERT_EQ(0, emu_calm());
	close(self->fd);
	ASSERT_EQ(0, write_below("/sys/bus/pci/drivers/cxl_pci", "unbind",
				 strrchr(function, '/') + 1));
	EXPECT_EQ(aborted + 1, emu_counter("/transfers/aborted"));
	ASSERT_EQ(0, write_below("/sys/bus/pci/drivers/cxl_pci", "bind",
				 strrchr(function, '/') + 1));
	self->fd = reopen(&self->dev);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(0, set_feature(self->fd, full, COLD_RESET, 0, value, sizeof(value)));
}

/* Surprise removal: the mailbox reads as all ones until the device is removed from sysfs. */
TEST_F_TIMEOUT(faults, vanish_with_calls_in_flight, PATIENCE)
{
	struct caller callers[CALLERS];
	char function[PATH_MAX];
	uint8_t value[SMALL_LEN];

	ASSERT_TRUE(find_function(&self->dev, function));
	fault("op=0x502,action=2,nth=20,vanish");
	ASSERT_TRUE(start_callers(&self->dev, callers));
	while (get_feature(self->fd, IMMEDIATE_DATA, 0, 0, value, sizeof(value)) != EBUSY)
		usleep(1000);
	ASSERT_EQ(0, write_below(function, "remove", "1"));
	end_callers(callers);
	close(self->fd);

	/* Power on, which no transfer survives. */
	ASSERT_EQ(0, emu("clear"));
	ASSERT_EQ(0, emu("return"));
	ASSERT_EQ(0, write_text("/sys/bus/pci/rescan", "1"));
	self->fd = reopen(&self->dev);
	ASSERT_LE(0, self->fd);
}

TEST_HARNESS_MAIN
