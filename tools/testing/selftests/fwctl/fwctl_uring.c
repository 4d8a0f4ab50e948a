// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of io_uring on a loopback device.
 *
 * That a command behaves as the ioctl does is tested by the other programs, with FWCTL_TEST_URING
 * in their environment.  Here is what an ioctl cannot do: many RPCs in flight from one thread,
 * their cancellation, and what happens to them when the task or the device goes away.
 *
 * FWCTL_TEST_ASYNC says that the driver is asynchronous.  Without it, RPCs are carried by workers
 * of io_uring, and a driver that sleeps cannot be interrupted.  Nothing else may use the device.
 * Also built as a 32-bit program.
 */
#include <linux/capability.h>
#include <time.h>

#include "loopback_fixture.h"

/* Longer than any test may take: a firmware that does not answer. */
#define SILENT_MS FWCTL_LOOPBACK_MAX_SLEEP_MS

static bool is_async(void)
{
	return getenv("FWCTL_TEST_ASYNC");
}

#define NO_ASYNC "the driver is not asynchronous"

/* An RPC with its buffers */
struct request {
	struct fwctl_rpc rpc;
	struct fwctl_loopback_cmd in;
	uint8_t out[64];
};

static void request_init(struct request *request, uint32_t op, uint32_t arg)
{
	memset(request, 0, sizeof(*request));
	memset(request->out, 0xee, sizeof(request->out));
	request->in = loopback_cmd(op, arg);
	request->rpc = (struct fwctl_rpc) {
		.size = sizeof(request->rpc),
		.scope = FWCTL_RPC_CONFIGURATION,
		.in_len = sizeof(request->in),
		.out_len = sizeof(request->out),
		.in = to_u64(&request->in),
		.out = to_u64(request->out),
	};
}

/* Returns whether a request was answered with an echo. */
static bool is_echo(const struct request *request)
{
	return request->rpc.out_len == sizeof(request->in) &&
	       !memcmp(request->out, &request->in, sizeof(request->in));
}

/* Returns whether neither buffer nor structure of a request were written. */
static bool is_untouched(const struct request *request)
{
	return request->rpc.out_len == sizeof(request->out) &&
	       all_bytes_are(request->out, 0xee, sizeof(request->out));
}

static struct io_uring_sqe *rpc_sqe(struct uring *ring, int fd, struct request *request,
				    uint64_t user_data)
{
	return uring_fwctl(ring, fd, FWCTL_RPC, &request->rpc, user_data);
}

#define uring_result(ring, user_data_) ({				\
	struct io_uring_cqe __cqe;					\
	ASSERT_EQ(0, uring_wait(ring, &__cqe));				\
	EXPECT_EQ(user_data_, __cqe.user_data);				\
	__cqe.res;							\
})

FIXTURE(ring)
{
	struct device dev;
	int fd;
	struct uring ring;
};

FIXTURE_SETUP(ring)
{
	int err;

	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);
	err = uring_init(&self->ring, 256, 0);
	if (err == ENOSYS || err == EPERM)
		SKIP(return, "no io_uring: see CONFIG_IO_URING and kernel.io_uring_disabled");
	ASSERT_EQ(0, err);
	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	if (!uring_is_supported(&self->ring, self->fd))
		SKIP(return, NO_COMMANDS);
}

FIXTURE_TEARDOWN(ring)
{
	uring_exit(&self->ring);
	close(self->fd);
}

TEST_F(ring, sqe_is_checked)
{
	struct request request;
	struct io_uring_sqe *sqe;

	request_init(&request, FWCTL_LOOPBACK_ECHO, 0);
	uring_fwctl(&self->ring, self->fd, _IO(FWCTL_TYPE, 2), &request.rpc, 1);
	EXPECT_EQ(-ENOTTY, uring_result(&self->ring, 1));
	uring_fwctl(&self->ring, self->fd, 0, &request.rpc, 1);
	EXPECT_EQ(-ENOTTY, uring_result(&self->ring, 1));

	for (int i = 0; i < 16; i++) {
		sqe = rpc_sqe(&self->ring, self->fd, &request, 2);
		sqe->cmd[i] = 1;
		EXPECT_EQ(-EINVAL, uring_result(&self->ring, 2));
	}
	sqe = rpc_sqe(&self->ring, self->fd, &request, 3);
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	EXPECT_EQ(-EINVAL, uring_result(&self->ring, 3));
	EXPECT_TRUE(is_untouched(&request));

	sqe = rpc_sqe(&self->ring, self->fd, &request, 4);
	sqe->len = sizeof(request.rpc) - 1;
	EXPECT_EQ(-EINVAL, uring_result(&self->ring, 4));
	sqe = rpc_sqe(&self->ring, self->fd, &request, 4);
	sqe->len = sizeof(request.rpc) + 1;
	EXPECT_EQ(-EINVAL, uring_result(&self->ring, 4));
	sqe = rpc_sqe(&self->ring, self->fd, &request, 5);
	sqe->addr = to_u64(KERNEL_PTR);
	EXPECT_EQ(-EFAULT, uring_result(&self->ring, 5));
	EXPECT_TRUE(is_untouched(&request));

	sqe = rpc_sqe(&self->ring, self->fd, &request, 6);
	sqe->len = sizeof(request.rpc);
	EXPECT_EQ(0, uring_result(&self->ring, 6));
	EXPECT_TRUE(is_echo(&request));
}

/* What a driver returns is not what io_uring means by it. */
TEST_F(ring, errors_of_the_driver)
{
	/* ERESTARTSYS and EIOCBQUEUED are known to the kernel only. */
	static const struct {
		int err;
		int expected;
	} cases[] = {
		{ EPERM, EPERM }, { EAGAIN, EAGAIN }, { ECANCELED, ECANCELED }, { 511, 511 },
		{ 512, EINTR }, { 529, EINTR }, { 4095, EINTR },
	};
	struct request request;

	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		request_init(&request, FWCTL_LOOPBACK_ERRNO, cases[i / 2].err);
		rpc_sqe(&self->ring, self->fd, &request, i)->flags = i % 2 ? IOSQE_ASYNC : 0;
		EXPECT_EQ(-cases[i / 2].expected, uring_result(&self->ring, i));
		EXPECT_TRUE(is_untouched(&request));
	}
}

TEST_F(ring, many_in_flight)
{
	static struct request requests[100];
	bool seen[ARRAY_SIZE(requests)] = {};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], i % 3 ? FWCTL_LOOPBACK_SLEEP : FWCTL_LOOPBACK_ECHO,
			     10 + i % 7);
		rpc_sqe(&self->ring, self->fd, &requests[i], i);
	}
	ASSERT_EQ(ARRAY_SIZE(requests), uring_enter(&self->ring, 0));
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct io_uring_cqe cqe;

		ASSERT_EQ(0, uring_wait(&self->ring, &cqe));
		ASSERT_GT(ARRAY_SIZE(requests), cqe.user_data);
		EXPECT_EQ(0, cqe.res);
		EXPECT_FALSE(seen[cqe.user_data]);
		seen[cqe.user_data] = true;
		EXPECT_TRUE(is_echo(&requests[cqe.user_data]));
	}
	EXPECT_EQ(NULL, uring_peek(&self->ring));
}

/* A request that is never answered does not delay others of the same file. */
TEST_F(ring, silent_request_delays_no_other)
{
	struct request silent, other;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	request_init(&silent, FWCTL_LOOPBACK_SLEEP, SILENT_MS);
	rpc_sqe(&self->ring, self->fd, &silent, 1);
	ASSERT_EQ(1, uring_enter(&self->ring, 0));
	for (int i = 0; i < 10; i++) {
		request_init(&other, FWCTL_LOOPBACK_SLEEP, 1);
		rpc_sqe(&self->ring, self->fd, &other, 2);
		EXPECT_EQ(0, uring_result(&self->ring, 2));
		EXPECT_TRUE(is_echo(&other));
	}
	EXPECT_TRUE(is_untouched(&silent));
}

TEST_F(ring, cancel)
{
	struct request request;
	int results[3] = {};

	if (!is_async())
		SKIP(return, NO_ASYNC);
	/* Nothing to cancel */
	uring_cancel(&self->ring, 1, 2);
	EXPECT_EQ(-ENOENT, uring_result(&self->ring, 2));

	request_init(&request, FWCTL_LOOPBACK_SLEEP, SILENT_MS);
	rpc_sqe(&self->ring, self->fd, &request, 1);
	ASSERT_EQ(1, uring_enter(&self->ring, 0));
	uring_cancel(&self->ring, 1, 2);
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe cqe;

		ASSERT_EQ(0, uring_wait(&self->ring, &cqe));
		ASSERT_GE(2, cqe.user_data);
		results[cqe.user_data] = cqe.res;
	}
	EXPECT_EQ(-ECANCELED, results[1]);
	/* A worker that is interrupted is cancelled a little later. */
	if (results[2] != -EALREADY)
		EXPECT_EQ(0, results[2]);
	EXPECT_TRUE(is_untouched(&request));

	/* Answered before */
	request_init(&request, FWCTL_LOOPBACK_SLEEP, 1);
	rpc_sqe(&self->ring, self->fd, &request, 1);
	EXPECT_EQ(0, uring_result(&self->ring, 1));
	uring_cancel(&self->ring, 1, 2);
	EXPECT_EQ(-ENOENT, uring_result(&self->ring, 2));
	EXPECT_TRUE(is_echo(&request));
}

TEST_F(ring, cancel_all)
{
	static struct request requests[20];
	struct io_uring_sqe *sqe;
	int cancelled = 0;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], FWCTL_LOOPBACK_SLEEP, SILENT_MS);
		rpc_sqe(&self->ring, self->fd, &requests[i], 1);
	}
	ASSERT_EQ(ARRAY_SIZE(requests), uring_enter(&self->ring, 0));
	sqe = uring_cancel(&self->ring, 0, 2);
	sqe->cancel_flags = IORING_ASYNC_CANCEL_ANY;
	for (size_t i = 0; i < ARRAY_SIZE(requests) + 1; i++) {
		struct io_uring_cqe cqe;

		ASSERT_EQ(0, uring_wait(&self->ring, &cqe));
		if (cqe.user_data == 2) {
			EXPECT_EQ((int)ARRAY_SIZE(requests), cqe.res);
		} else {
			EXPECT_EQ(-ECANCELED, cqe.res);
			cancelled++;
		}
	}
	EXPECT_EQ((int)ARRAY_SIZE(requests), cancelled);
}

/* The answer to a request that was cancelled is dropped when it arrives. */
TEST_F(ring, late_answer_goes_nowhere)
{
	struct request request, other;
	struct io_uring_cqe cqe;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	request_init(&request, FWCTL_LOOPBACK_SLEEP, 300);
	rpc_sqe(&self->ring, self->fd, &request, 1);
	ASSERT_EQ(1, uring_enter(&self->ring, 0));
	uring_cancel(&self->ring, 1, 2);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, uring_wait(&self->ring, &cqe));

	/* Answered after the other one */
	request_init(&other, FWCTL_LOOPBACK_SLEEP, 600);
	rpc_sqe(&self->ring, self->fd, &other, 3);
	EXPECT_EQ(0, uring_result(&self->ring, 3));
	EXPECT_TRUE(is_untouched(&request));
	EXPECT_EQ(NULL, uring_peek(&self->ring));
}

TEST_F(ring, linked_timeout)
{
	struct __kernel_timespec timeout = { .tv_nsec = 20 * 1000 * 1000 };
	struct request request;
	struct io_uring_sqe *sqe;
	int results[3] = {};

	if (!is_async())
		SKIP(return, NO_ASYNC);
	request_init(&request, FWCTL_LOOPBACK_SLEEP, SILENT_MS);
	sqe = rpc_sqe(&self->ring, self->fd, &request, 1);
	sqe->flags = IOSQE_IO_LINK;
	sqe = uring_sqe(&self->ring, IORING_OP_LINK_TIMEOUT, -1, 2);
	sqe->addr = to_u64(&timeout);
	sqe->len = 1;
	ASSERT_EQ(2, uring_enter(&self->ring, 0));
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe cqe;

		ASSERT_EQ(0, uring_wait(&self->ring, &cqe));
		ASSERT_GE(2, cqe.user_data);
		results[cqe.user_data] = cqe.res;
	}
	EXPECT_EQ(-ECANCELED, results[1]);
	if (results[2] != -EALREADY)
		EXPECT_EQ(-ETIME, results[2]);
	EXPECT_TRUE(is_untouched(&request));
}

/* Also in a worker: IOSQE_ASYNC never issues a request in the submitter's context. */
TEST_F(ring, cancel_in_a_worker)
{
	struct request request;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	bool is_cancelled = false;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	request_init(&request, FWCTL_LOOPBACK_SLEEP, SILENT_MS);
	sqe = rpc_sqe(&self->ring, self->fd, &request, 1);
	sqe->flags = IOSQE_ASYNC;
	ASSERT_EQ(1, uring_enter(&self->ring, 0));
	while (!is_cancelled) {
		uring_cancel(&self->ring, 1, 2);
		ASSERT_EQ(1, uring_enter(&self->ring, 1));
		while (uring_peek(&self->ring)) {
			cqe = *uring_peek(&self->ring);
			uring_seen(&self->ring);
			if (cqe.user_data == 1) {
				EXPECT_EQ(-ECANCELED, cqe.res);
				is_cancelled = true;
			}
		}
		usleep(1000);
	}
	EXPECT_TRUE(is_untouched(&request));
}

TEST_F(ring, closed_ring_does_not_wait)
{
	static struct request requests[10];
	struct uring ring;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	ASSERT_EQ(0, uring_init(&ring, 16, 0));
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], FWCTL_LOOPBACK_SLEEP, SILENT_MS);
		rpc_sqe(&ring, self->fd, &requests[i], i);
	}
	ASSERT_EQ(ARRAY_SIZE(requests), uring_enter(&ring, 0));
	uring_exit(&ring);
}

/* Runs in a child, which the parent kills, or which exits. */
static int leave_silent_requests(int fd, bool waits)
{
	static struct request requests[10];
	struct uring ring;

	if (uring_init(&ring, 16, 0))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], FWCTL_LOOPBACK_SLEEP, SILENT_MS);
		rpc_sqe(&ring, fd, &requests[i], i)->flags = i % 2 ? IOSQE_ASYNC : 0;
	}
	if (uring_enter(&ring, 0) != ARRAY_SIZE(requests))
		return 2;
	if (waits)
		uring_enter(&ring, 1);
	return 0;
}

static int wait_in_ioctl(int fd)
{
	struct request request;

	request_init(&request, FWCTL_LOOPBACK_SLEEP, SILENT_MS);
	ioctl(fd, FWCTL_RPC, &request.rpc);
	return 0;
}

TEST_F(ring, exit_does_not_wait)
{
	int status;
	pid_t child;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(leave_silent_requests(self->fd, false));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_F(ring, killed_task_does_not_wait)
{
	int status;
	pid_t child;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	for (int i = 0; i < 2; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(i ? leave_silent_requests(self->fd, true) : wait_in_ioctl(self->fd));
		/* In the first case, killable sleep counts as uninterruptible. */
		ASSERT_TRUE(wait_for_state(child, i ? 'S' : 'D'));
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
}

/* Requests of the parent do not depend on a child that has its ring, too. */
TEST_F(ring, fork)
{
	struct request request;
	int status;
	pid_t child;

	request_init(&request, FWCTL_LOOPBACK_SLEEP, 100);
	rpc_sqe(&self->ring, self->fd, &request, 1);
	ASSERT_EQ(1, uring_enter(&self->ring, 0));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, uring_result(&self->ring, 1));
	EXPECT_TRUE(is_echo(&request));
}

TEST_F(ring, requests_per_file_are_limited)
{
	static struct request requests[200];
	int busy = 0, fd;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], FWCTL_LOOPBACK_SLEEP, SILENT_MS);
		rpc_sqe(&self->ring, self->fd, &requests[i], 1);
	}
	ASSERT_EQ(ARRAY_SIZE(requests), uring_enter(&self->ring, 0));
	if (uring_peek(&self->ring)) {
		/* Not carried by workers */
		for (; uring_peek(&self->ring); busy++)
			EXPECT_EQ(-EBUSY, uring_result(&self->ring, 1));
		EXPECT_EQ(200 - 128, busy);
	}

	/* Another file is not affected. */
	EXPECT_EQ(0, _loopback_echo(fd, FWCTL_RPC_CONFIGURATION));
	close(fd);
}

/* Requests that were cancelled count until the driver has answered them. */
TEST_F(ring, cancelled_requests_count)
{
	static struct request requests[128];
	struct timespec start, now;
	struct io_uring_sqe *sqe;
	struct request other;
	int res;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], FWCTL_LOOPBACK_SLEEP, 5000);
		rpc_sqe(&self->ring, self->fd, &requests[i], 1);
	}
	ASSERT_EQ(ARRAY_SIZE(requests), uring_enter(&self->ring, 0));
	sqe = uring_cancel(&self->ring, 0, 1);
	sqe->cancel_flags = IORING_ASYNC_CANCEL_ANY;
	for (size_t i = 0; i < ARRAY_SIZE(requests) + 1; i++)
		uring_result(&self->ring, 1);

	/* EBUSY until the first of them is answered.  The driver accepts this one. */
	request_init(&other, FWCTL_LOOPBACK_COPY, 0);
	rpc_sqe(&self->ring, self->fd, &other, 2);
	res = uring_result(&self->ring, 2);
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - start.tv_sec < 5)
		EXPECT_EQ(-EBUSY, res);
	do {
		usleep(10000);
		rpc_sqe(&self->ring, self->fd, &other, 2);
	} while (uring_result(&self->ring, 2) == -EBUSY);
	EXPECT_TRUE(is_echo(&other));
}

TEST_F(ring, fixed_file)
{
	struct request request;
	struct io_uring_sqe *sqe;

	ASSERT_EQ(0, syscall(__NR_io_uring_register, self->ring.fd, IORING_REGISTER_FILES,
			     &self->fd, 1));
	for (int i = 0; i < 2; i++) {
		request_init(&request, i ? FWCTL_LOOPBACK_SLEEP : FWCTL_LOOPBACK_ECHO, 5);
		sqe = rpc_sqe(&self->ring, 0, &request, 1);
		sqe->flags = IOSQE_FIXED_FILE;
		EXPECT_EQ(0, uring_result(&self->ring, 1));
		EXPECT_TRUE(is_echo(&request));
	}
}

TEST_F(ring, submission_thread)
{
	struct request request;
	struct uring ring;

	ASSERT_EQ(0, uring_init(&ring, 16, IORING_SETUP_SQPOLL));
	for (int i = 0; i < 20; i++) {
		request_init(&request, i % 2 ? FWCTL_LOOPBACK_SLEEP : FWCTL_LOOPBACK_ECHO, 1);
		rpc_sqe(&ring, self->fd, &request, 1);
		EXPECT_EQ(0, uring_result(&ring, 1));
		EXPECT_TRUE(is_echo(&request));
	}
	uring_exit(&ring);
}

TEST_F(ring, deferred_task_work)
{
	struct request request;
	struct uring ring;

	ASSERT_EQ(0, uring_init(&ring, 16,
				IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN));
	for (int i = 0; i < 20; i++) {
		request_init(&request, i % 2 ? FWCTL_LOOPBACK_SLEEP : FWCTL_LOOPBACK_ECHO, 1);
		rpc_sqe(&ring, self->fd, &request, 1);
		EXPECT_EQ(0, uring_result(&ring, 1));
		EXPECT_TRUE(is_echo(&request));
	}
	uring_exit(&ring);
}

/* Sets the effective capabilities of the thread: all, or all but CAP_SYS_RAWIO. */
static int set_rawio(bool is_allowed)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(__NR_capget, &header, data))
		return errno;
	data[0].effective = data[0].permitted;
	if (!is_allowed)
		data[0].effective &= ~(1u << CAP_SYS_RAWIO);
	return syscall(__NR_capset, &header, data) ? errno : 0;
}

/* The credentials with which a request is submitted count. */
TEST_F(ring, credentials)
{
	struct {
		bool is_allowed;
		bool is_registered;
		int result;
	} cases[] = {
		{ true, true, 0 }, { false, true, -EPERM }, { true, false, 0 },
		{ false, false, -EPERM },
	};
	int personality;

	if (geteuid())
		SKIP(return, "not root");
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 3; i++) {
		bool is_allowed = cases[i / 3].is_allowed;
		struct io_uring_sqe *sqe;
		struct request request;

		/* Answered at once, later, and by a worker */
		request_init(&request, i % 3 ? FWCTL_LOOPBACK_SLEEP : FWCTL_LOOPBACK_ECHO, 1);
		request.rpc.scope = FWCTL_RPC_DEBUG_WRITE_FULL;

		ASSERT_EQ(0, set_rawio(is_allowed));
		personality = syscall(__NR_io_uring_register, self->ring.fd,
				      IORING_REGISTER_PERSONALITY, NULL, 0);
		ASSERT_LT(0, personality);
		if (cases[i / 3].is_registered)
			ASSERT_EQ(0, set_rawio(!is_allowed));

		sqe = rpc_sqe(&self->ring, self->fd, &request, 1);
		if (i % 3 == 2)
			sqe->flags = IOSQE_ASYNC;
		if (cases[i / 3].is_registered)
			sqe->personality = personality;
		EXPECT_EQ(cases[i / 3].result, uring_result(&self->ring, 1)) {
			TH_LOG("case %zu", i);
		}
		ASSERT_EQ(0, set_rawio(true));
	}
}

static void *unbind_main(void *arg)
{
	return (void *)(intptr_t)unbind(arg);
}

/* Each request in flight ends once with ENODEV when the device is removed. */
TEST_F(ring, unbind)
{
	static struct request requests[50];
	bool seen[ARRAY_SIZE(requests)] = {};
	pthread_t thread;
	void *err;

	if (!is_async())
		SKIP(return, NO_ASYNC);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		request_init(&requests[i], FWCTL_LOOPBACK_SLEEP, SILENT_MS);
		rpc_sqe(&self->ring, self->fd, &requests[i], i)->flags = i % 10 ? 0 : IOSQE_ASYNC;
	}
	ASSERT_EQ(ARRAY_SIZE(requests), uring_enter(&self->ring, 0));

	ASSERT_EQ(0, pthread_create(&thread, NULL, unbind_main, &self->dev));
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct io_uring_cqe cqe;

		ASSERT_EQ(0, uring_wait(&self->ring, &cqe));
		ASSERT_GT(ARRAY_SIZE(requests), cqe.user_data);
		EXPECT_EQ(-ENODEV, cqe.res);
		EXPECT_FALSE(seen[cqe.user_data]);
		seen[cqe.user_data] = true;
		EXPECT_TRUE(is_untouched(&requests[cqe.user_data]));
	}
	pthread_join(thread, &err);
	EXPECT_EQ(0, (intptr_t)err);
	EXPECT_EQ(NULL, uring_peek(&self->ring));

	rpc_sqe(&self->ring, self->fd, &requests[0], 1);
	EXPECT_EQ(-ENODEV, uring_result(&self->ring, 1));
	EXPECT_EQ(0, bind_again(&self->dev));
}

TEST_HARNESS_MAIN
