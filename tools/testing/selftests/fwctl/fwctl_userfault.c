// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults in user memory that userfaultfd does not resolve.  A call that waits for one must
 * not block unbind.
 *
 * Needs a loopback device that nothing else uses; fwctl.c describes how to choose it.
 */
#include <linux/userfaultfd.h>
#include <signal.h>

#include "loopback_utils.h"

/* Upper bound for an unbind that is not blocked, in milliseconds. */
#define UNBIND_MS 20000

enum place {
	IN_STRUCT,
	IN_REQUEST,
	IN_REPLY,
	IN_INFO,
};

FIXTURE(userfault)
{
	struct device dev;
	int fd;
	int uffd;
	/* A page that faults, and one that is present */
	uint8_t *missing;
	uint8_t *present;
};

FIXTURE_VARIANT(userfault)
{
	enum place place;
	/* Result of the call once its memory is present and the device removed */
	int err;
};

/* The driver has not been called yet. */
FIXTURE_VARIANT_ADD(userfault, structure) { .place = IN_STRUCT, .err = ENODEV };
FIXTURE_VARIANT_ADD(userfault, request) { .place = IN_REQUEST, .err = ENODEV };
/* The driver has replied, and the reply is delivered. */
FIXTURE_VARIANT_ADD(userfault, reply) { .place = IN_REPLY, .err = 0 };
FIXTURE_VARIANT_ADD(userfault, info) { .place = IN_INFO, .err = 0 };

FIXTURE_SETUP(userfault)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);
	/* poll() only waits if reads do not. */
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (self->uffd < 0 && (errno == ENOSYS || errno == EPERM))
		SKIP(return, "no userfaultfd for faults of the kernel");
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_API, &api));

	self->missing = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->missing);
	range.range.start = to_u64(self->missing);
	range.range.len = page_size();
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &range));
	self->present = page_with(PROT_READ | PROT_WRITE, 0);

	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
	loopback_echo(self->fd);
}

FIXTURE_TEARDOWN(userfault)
{
	close(self->uffd);
	close(self->fd);
	EXPECT_EQ(0, rebind_device(&self->dev));
}

struct caller {
	int fd;
	enum place place;
	uint8_t *missing;
	uint8_t *present;
	pthread_t thread;
	int err;
	bool is_done;
};

static void *caller_main(void *arg)
{
	struct caller *caller = arg;
	uint32_t len = 16, type;

	switch (caller->place) {
	case IN_STRUCT:
		caller->err = ioctl_errno(caller->fd, FWCTL_RPC, caller->missing);
		break;
	case IN_REQUEST:
		caller->err = _fwctl_rpc(caller->fd, FWCTL_RPC_CONFIGURATION, caller->missing, len,
					 caller->present, &len);
		break;
	case IN_REPLY:
		caller->err = _fwctl_rpc(caller->fd, FWCTL_RPC_CONFIGURATION, caller->present, len,
					 caller->missing, &len);
		break;
	case IN_INFO:
		caller->err = _fwctl_info(caller->fd, caller->missing, &len, &type);
		break;
	}
	__atomic_store_n(&caller->is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
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

TEST_F_TIMEOUT(userfault, does_not_hold_the_device, LONG_TIMEOUT)
{
	struct unbinder unbinder = { .dev = &self->dev };
	struct pollfd pollfd = { .fd = self->uffd, .events = POLLIN };
	/* Resolves the fault in the structure: a valid RPC. */
	struct fwctl_rpc rpc = {
		.size = sizeof(rpc),
		.in_len = 16,
		.in = to_u64(self->present),
		.out_len = 16,
		.out = to_u64(self->present),
	};
	struct uffdio_copy copy = {
		.dst = to_u64(self->missing),
		.src = to_u64(self->present),
		.len = page_size(),
	};
	struct caller caller = {
		.fd = self->fd,
		.place = variant->place,
		.missing = self->missing,
		.present = self->present,
	};
	const char *patience = getenv("FWCTL_TEST_PATIENCE");
	int left = UNBIND_MS * (patience && atoi(patience) > 0 ? atoi(patience) : 1);
	bool was_held, was_done;
	struct uffd_msg msg;

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, caller_main, &caller));
	/* The kernel waits for the page. */
	ASSERT_EQ(1, poll(&pollfd, 1, -1));
	ASSERT_EQ(sizeof(msg), read(self->uffd, &msg, sizeof(msg)));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);

	ASSERT_EQ(0, pthread_create(&unbinder.thread, NULL, unbinder_main, &unbinder));
	for (; left && !__atomic_load_n(&unbinder.is_done, __ATOMIC_SEQ_CST); left--)
		usleep(1000);
	was_held = !__atomic_load_n(&unbinder.is_done, __ATOMIC_SEQ_CST);
	was_done = __atomic_load_n(&caller.is_done, __ATOMIC_SEQ_CST);

	if (variant->place == IN_STRUCT)
		memcpy(self->present, &rpc, sizeof(rpc));
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_COPY, &copy));
	pthread_join(caller.thread, NULL);
	pthread_join(unbinder.thread, NULL);
	EXPECT_EQ(0, unbinder.err);
	EXPECT_FALSE(was_held);
	/* The call was blocked in the fault all the time. */
	EXPECT_FALSE(was_done);
	if (!was_held) {
		EXPECT_EQ(variant->err, caller.err);
	}
	loopback_echo_fails(ENODEV, self->fd);
}

/* The fault blocks neither other calls nor the exit of its program. */
TEST_F_TIMEOUT(userfault, does_not_hold_others, LONG_TIMEOUT)
{
	struct caller caller = {
		.fd = self->fd,
		.place = variant->place,
		.missing = self->missing,
		.present = self->present,
	};
	int fd, status;
	pid_t child;

	/* userfaultfd is not inherited. */
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct uffdio_register range = {
			.range = { .start = to_u64(self->missing), .len = page_size() },
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};
		struct uffdio_api api = { .api = UFFD_API };
		int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

		if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range))
			_exit(1);
		caller_main(&caller);
		_exit(2);
	}
	while (task_state(child) != 'D' && task_state(child) != 'S' && task_state(child) != 'Z')
		usleep(1000);

	fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, fd);
	loopback_echo(fd);
	loopback_echo(self->fd);
	close(fd);
	EXPECT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status)) {
		TH_LOG("status %d", WEXITSTATUS(status));
	}
}

TEST_HARNESS_MAIN
