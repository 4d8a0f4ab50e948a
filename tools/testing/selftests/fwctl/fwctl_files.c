// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files of a loopback device: their contexts, concurrent calls, and the device in /dev,
 * sysfs, cgroups and the trace.
 *
 * FWCTL_TEST_DEV names the device (default: the first loopback device), FWCTL_TEST_DRIVER its
 * driver, "rust" or "c" (default: either).  Nothing else may use the device.  Also built as a
 * 32-bit program.
 */
#include <grp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "loopback_fixture.h"

/*
 * Files
 */

TEST_F(loopback, any_way_of_opening)
{
	int ways[] = {
		O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK, O_RDWR | O_CLOEXEC,
		O_RDWR | O_SYNC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		uint32_t len = 0, type = 0;
		int fd = open(self->dev.node, ways[i]);

		ASSERT_LE(0, fd);
		fwctl_info(fd, NULL, &len, &type);
		EXPECT_EQ(loopback_type(&self->dev), type);
		/* The mode of the file does not limit the scope. */
		for (uint32_t scope = 0; scope < 4; scope++) {
			EXPECT_EQ(0, _loopback_echo(fd, scope));
		}
		close(fd);
	}
}

TEST_F(loopback, path_is_no_file)
{
	struct fwctl_info cmd = { .size = sizeof(cmd) };
	int fd = open(self->dev.node, O_PATH);

	ASSERT_LE(0, fd);
	EXPECT_EQ(EBADF, ioctl_errno(fd, FWCTL_INFO, &cmd));
	/* No context is opened. */
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
	close(fd);
}

TEST_F(loopback, each_open_file_has_its_context)
{
	uint32_t uids[8], last = loopback_state(self->fd).uid;
	int fds[8];

	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
	for (int i = 0; i < 8; i++) {
		fds[i] = open(self->dev.node, O_RDWR);
		ASSERT_LE(0, fds[i]);
		uids[i] = loopback_state(fds[i]).uid;
		EXPECT_EQ(last + 1, uids[i]);
		last = uids[i];
		EXPECT_EQ(i + 2, loopback_state(self->fd).open_uctx);
	}

	/* Closing some of them does not affect the others. */
	for (int i = 0; i < 8; i += 2)
		close(fds[i]);
	EXPECT_EQ(5, loopback_state(self->fd).open_uctx);
	for (int i = 1; i < 8; i += 2) {
		EXPECT_EQ(uids[i], loopback_state(fds[i]).uid);
		close(fds[i]);
	}
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

TEST_F(loopback, dup_shares_the_context)
{
	uint32_t uid = loopback_state(self->fd).uid;
	int fd = open(self->dev.node, O_RDWR);
	int copy;

	ASSERT_LE(0, fd);
	uid = loopback_state(fd).uid;
	copy = dup(fd);
	ASSERT_LE(0, copy);
	EXPECT_EQ(uid, loopback_state(copy).uid);
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);

	close(fd);
	EXPECT_EQ(uid, loopback_state(copy).uid);
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);
	close(copy);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

static int has_uid(void *arg)
{
	struct fwctl_loopback_state state;
	int *args = arg;

	return _loopback_state(args[0], &state) || state.uid != (uint32_t)args[1] ||
	       state.open_uctx != (uint32_t)args[2];
}

TEST_F(loopback, child_shares_the_context)
{
	int args[] = { self->fd, loopback_state(self->fd).uid, 1 };

	EXPECT_EQ(0, in_child(has_uid, args));
	/* The exit of the child does not close it. */
	EXPECT_EQ(0, has_uid(args));
}

/* Makes this program use an inherited file after exec. */
#define EXEC_VARIABLE "FWCTL_TEST_EXEC"

static void __attribute__((constructor(101))) executed(void)
{
	const char *variable = getenv(EXEC_VARIABLE);
	int args[3];

	if (!variable)
		return;
	if (sscanf(variable, "%d %d %d", &args[0], &args[1], &args[2]) != 3)
		_exit(100);
	_exit(has_uid(args));
}

static int exec_self(void *arg)
{
	char variable[64];
	int *args = arg;
	char *argv[] = { "fwctl", NULL };
	char *envp[] = { variable, NULL };

	snprintf(variable, sizeof(variable), EXEC_VARIABLE "=%d %d %d", args[0], args[1], args[2]);
	execve("/proc/self/exe", argv, envp);
	return 99;
}

TEST_F(loopback, another_program_keeps_the_context)
{
	int fd = open(self->dev.node, O_RDWR);
	int args[] = { fd, 0, 2 };

	ASSERT_LE(0, fd);
	args[1] = loopback_state(fd).uid;
	EXPECT_EQ(0, in_child(exec_self, args));
	EXPECT_EQ(0, has_uid(args));

	/* exec closes the file of the fixture. */
	args[0] = self->fd;
	EXPECT_NE(0, in_child(exec_self, args));
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);
	close(fd);
}

TEST_F(loopback, file_sent_to_another_task)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd = open(self->dev.node, O_RDWR), received, sockets[2];
	uint32_t uid;

	ASSERT_LE(0, fd);
	uid = loopback_state(fd).uid;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		SKIP(return, "no unix sockets");
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	ASSERT_EQ(1, sendmsg(sockets[0], &msg, 0));

	/* Only the message in flight refers to the file now. */
	close(fd);
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);

	iov.iov_base = control;
	ASSERT_EQ(1, recvmsg(sockets[1], &(struct msghdr) {
		.msg_iov = &(struct iovec) { .iov_base = &(char){ 0 }, .iov_len = 1 },
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	}, 0));
	memcpy(&received, CMSG_DATA((struct cmsghdr *)control), sizeof(received));
	EXPECT_EQ(uid, loopback_state(received).uid);
	close(received);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

TEST_F(loopback, opened_again_through_proc)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = open(path, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_NE(loopback_state(self->fd).uid, loopback_state(fd).uid);
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);
	close(fd);
}

static int poll_now(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	return poll(&pollfd, 1, 0) < 0 ? -1 : pollfd.revents;
}

/* A registered device is always ready, like a file without a poll operation. */
TEST_F(loopback, poll_of_a_live_device)
{
	struct epoll_event event = { .events = 0 };
	int epoll;

	EXPECT_EQ(0, poll_now(self->fd, 0));
	EXPECT_EQ(POLLIN | POLLOUT, poll_now(self->fd, POLLIN | POLLOUT));
	EXPECT_EQ(POLLRDNORM | POLLWRNORM, poll_now(self->fd, POLLRDNORM | POLLWRNORM | POLLPRI));

	/* The C core has no poll operation, so epoll refuses its files. */
	epoll = epoll_create1(0);
	if (epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event)) {
		EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	}
	close(epoll);
}

/* Operations that fwctl does not have.  Only memory of FWCTL_RSC_UMEM_ALLOC is mapped. */
TEST_F(loopback, no_reading_no_writing_no_mapping)
{
	bool has_memory = ioctl_errno(self->fd, FWCTL_RSC_DESTROY, NULL) != ENOTTY;
	int unmapped = has_memory ? ENOENT : ENODEV;
	char buf[16] = {};

	EXPECT_EQ(-1, read(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(mmap(NULL, page_size(), PROT_READ, MAP_SHARED, self->fd, 0) == MAP_FAILED);
	EXPECT_EQ(unmapped, errno);
	EXPECT_TRUE(mmap(NULL, page_size(), PROT_READ, MAP_PRIVATE, self->fd, 0) == MAP_FAILED);
	EXPECT_EQ(unmapped, errno);
	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
}

/*
 * Concurrency
 */

/* An RPC that waits for slow firmware does not block other calls. */
TEST_F_TIMEOUT(loopback, rpc_does_not_block_others, LONG_TIMEOUT)
{
	struct sleeper sleeper;
	uint32_t len = 0, type;
	int fd;

	sleeper_start(&sleeper, self->fd, 3000);

	/* On the same file */
	loopback_echo(self->fd);
	ASSERT_EQ(0, _loopback_echo(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL));
	fwctl_info(self->fd, NULL, &len, &type);
	/* On another file, from open to close */
	fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, fd);
	loopback_echo(fd);
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);
	close(fd);
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);

	/* The first RPC is still in the driver. */
	EXPECT_FALSE(sleeper_is_done(&sleeper));
	EXPECT_EQ('D', task_state(sleeper.tid));
	EXPECT_EQ(0, sleeper_join(&sleeper));
}

/* The RPC that starts last ends first: RPCs of one file run concurrently. */
TEST_F_TIMEOUT(loopback, rpcs_overtake_each_other, LONG_TIMEOUT)
{
	struct sleeper slow[3], fast;

	for (int i = 0; i < 3; i++)
		sleeper_start(&slow[i], self->fd, 3000);
	/* It may end before it is seen sleeping. */
	_sleeper_start(&fast, self->fd, 1);
	EXPECT_EQ(0, sleeper_join(&fast));
	for (int i = 0; i < 3; i++) {
		EXPECT_FALSE(sleeper_is_done(&slow[i]));
	}
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, sleeper_join(&slow[i]));
	}
}

struct worker {
	pthread_t thread;
	const char *node;
	int fd;
	uint32_t seed;
	unsigned int wrong;
	int err;
};

#define WORKER_ROUNDS 200

/* RPCs of many lengths with unique contents, which detect replies to other requests. */
static void *echo_worker(void *arg)
{
	static const uint32_t lens[] = { 16, 40, 255, 256, 257, 300, 5000, 70000 };
	struct worker *worker = arg;
	uint8_t *in = malloc(70000), *out = malloc(70000);

	for (uint32_t round = 0; round < WORKER_ROUNDS; round++) {
		uint32_t len = lens[round % ARRAY_SIZE(lens)], out_len = len;
		struct fwctl_loopback_cmd cmd = loopback_cmd(
			round & 1 ? FWCTL_LOOPBACK_COPY : FWCTL_LOOPBACK_ECHO, worker->seed);
		int err;

		fill_pattern(in, len, worker->seed * 1000 + round);
		memcpy(in, &cmd, sizeof(cmd));
		memset(out, 0xee, len);
		err = _fwctl_rpc(worker->fd, round % 4, in, len, out, &out_len);
		if (err)
			worker->err = err;
		if (out_len != len || memcmp(in, out, len))
			worker->wrong++;
	}
	free(in);
	free(out);
	return NULL;
}

TEST_F_TIMEOUT(loopback, many_rpcs_on_one_file, LONG_TIMEOUT)
{
	struct worker workers[8] = {};

	for (int i = 0; i < 8; i++) {
		workers[i].fd = self->fd;
		workers[i].seed = i + 1;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, echo_worker, &workers[i]));
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].err);
		EXPECT_EQ(0, workers[i].wrong);
	}
}

TEST_F_TIMEOUT(loopback, many_rpcs_on_many_files, LONG_TIMEOUT)
{
	struct worker workers[8] = {};

	for (int i = 0; i < 8; i++) {
		workers[i].fd = open(self->dev.node, O_RDWR);
		ASSERT_LE(0, workers[i].fd);
		workers[i].seed = i + 1;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, echo_worker, &workers[i]));
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].err);
		EXPECT_EQ(0, workers[i].wrong);
		close(workers[i].fd);
	}
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

static void *open_close_worker(void *arg)
{
	struct worker *worker = arg;

	for (int round = 0; round < WORKER_ROUNDS; round++) {
		int fd = open(worker->node, O_RDWR);

		if (fd < 0) {
			worker->err = errno;
			continue;
		}
		if (_loopback_echo(fd, FWCTL_RPC_CONFIGURATION))
			worker->wrong++;
		close(fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(loopback, many_open_and_close, LONG_TIMEOUT)
{
	struct worker workers[8] = {};
	uint32_t uid = loopback_state(self->fd).uid;
	int fd;

	for (int i = 0; i < 8; i++) {
		workers[i].node = self->dev.node;
		ASSERT_EQ(0,
			  pthread_create(&workers[i].thread, NULL, open_close_worker, &workers[i]));
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].err);
		EXPECT_EQ(0, workers[i].wrong);
	}

	/* Every context was opened and closed. */
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
	fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(uid + 8 * WORKER_ROUNDS + 1, loopback_state(fd).uid);
	close(fd);
}

/* An RPC in flight keeps its file open after close(2). */
TEST_F_TIMEOUT(loopback, close_during_an_rpc, LONG_TIMEOUT)
{
	struct sleeper sleeper;
	int fd = open(self->dev.node, O_RDWR);

	ASSERT_LE(0, fd);
	sleeper_start(&sleeper, fd, 1500);
	close(fd);
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);
	EXPECT_FALSE(sleeper_is_done(&sleeper));
	EXPECT_EQ(0, sleeper_join(&sleeper));
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

static int signals;

static void count_signal(int signal)
{
	__atomic_add_fetch(&signals, 1, __ATOMIC_SEQ_CST);
}

/* Signals do not interrupt an RPC: the firmware has the request. */
TEST_F_TIMEOUT(loopback, signal_does_not_interrupt_an_rpc, LONG_TIMEOUT)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct sleeper sleeper;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	sleeper_start(&sleeper, self->fd, 1500);
	ASSERT_EQ(0, pthread_kill(sleeper.thread, SIGUSR1));
	EXPECT_FALSE(sleeper_is_done(&sleeper));
	EXPECT_EQ(0, sleeper_join(&sleeper));
	EXPECT_EQ(1, __atomic_load_n(&signals, __ATOMIC_SEQ_CST));
}

/* The context is closed if the program is killed during an RPC. */
TEST_F_TIMEOUT(loopback, killed_during_an_rpc, LONG_TIMEOUT)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		int fd = open(self->dev.node, O_RDWR);
		uint32_t out_len = 0;

		_loopback_op(fd, FWCTL_LOOPBACK_SLEEP, 1500, NULL, &out_len);
		_exit(0);
	}
	ASSERT_LT(0, child);
	EXPECT_TRUE(wait_asleep(child));
	EXPECT_EQ(2, loopback_state(self->fd).open_uctx);
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(1, loopback_state(self->fd).open_uctx);
}

/*
 * The device in the rest of the system
 */

static int open_as_nobody(void *arg)
{
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 255;
	return open(arg, O_RDWR) < 0 ? errno : 0;
}

TEST_F(loopback, node_is_for_root)
{
	struct stat stat;

	ASSERT_EQ(0, fstat(self->fd, &stat));
	EXPECT_TRUE(S_ISCHR(stat.st_mode));
	EXPECT_EQ(0600, stat.st_mode & 07777);
	EXPECT_EQ(0, stat.st_uid);
	EXPECT_EQ(0, stat.st_gid);
	EXPECT_EQ(EACCES, in_child(open_as_nobody, self->dev.node));
}

TEST_F(loopback, sysfs)
{
	char path[PATH_MAX], text[64], number[64];
	struct stat stat;

	ASSERT_EQ(0, fstat(self->fd, &stat));
	snprintf(number, sizeof(number), "%u:%u", major(stat.st_rdev), minor(stat.st_rdev));
	snprintf(path, sizeof(path), CLASS_DIR "/%s/dev", self->dev.name);
	ASSERT_EQ(0, read_text(path, text, sizeof(text)));
	EXPECT_STREQ(number, text);

	/* The number in the name is the minor number. */
	snprintf(text, sizeof(text), "fwctl%u", minor(stat.st_rdev));
	EXPECT_STREQ(text, self->dev.name);

	snprintf(path, sizeof(path), "/sys/dev/char/%s", number);
	ASSERT_EQ(0, link_name(path, text, sizeof(text)));
	EXPECT_STREQ(self->dev.name, text);

	snprintf(path, sizeof(path), CLASS_DIR "/%s/subsystem", self->dev.name);
	ASSERT_EQ(0, link_name(path, text, sizeof(text)));
	EXPECT_STREQ("fwctl", text);

	/* The device is below its parent. */
	EXPECT_STRNE("", self->dev.parent);
	snprintf(path, sizeof(path), CLASS_DIR "/%s/device/fwctl/%s/dev", self->dev.name,
		 self->dev.name);
	ASSERT_EQ(0, read_text(path, text, sizeof(text)));
	EXPECT_STREQ(number, text);

	snprintf(path, sizeof(path), CLASS_DIR "/%s/uevent", self->dev.name);
	{
		char uevent[512], expected[128];

		ASSERT_EQ(0, read_text(path, uevent, sizeof(uevent)));
		snprintf(expected, sizeof(expected), "DEVNAME=fwctl/%s", self->dev.name);
		EXPECT_TRUE(strstr(uevent, expected) != NULL);
	}
}

TEST_F(loopback, numbers_are_those_of_fwctl)
{
	char line[128], expected[64];
	bool is_found = false;
	struct stat stat;
	FILE *file;

	ASSERT_EQ(0, fstat(self->fd, &stat));
	snprintf(expected, sizeof(expected), "%3u fwctl\n", major(stat.st_rdev));
	file = fopen("/proc/devices", "r");
	ASSERT_TRUE(file != NULL);
	while (!is_found && fgets(line, sizeof(line), file) && strncmp(line, "Block", 5))
		is_found = !strcmp(line, expected);
	fclose(file);
	EXPECT_TRUE(is_found);
}

/*
 * Sends a long request that sleeps in the driver.  Each step waits for a byte, and sleeps until
 * then.  The memory of this process is allocated before the first step, outside the cgroup.
 */
static int send_long_request(int fd, int go)
{
	struct fwctl_loopback_cmd cmd = loopback_cmd(FWCTL_LOOPBACK_SLEEP, 2000);
	uint8_t *in = malloc(MAX_RPC_LEN);
	uint32_t out_len = 0;
	char byte;

	memset(in, 0, MAX_RPC_LEN);
	memcpy(in, &cmd, sizeof(cmd));
	if (read(go, &byte, 1) != 1 || _loopback_echo(fd, FWCTL_RPC_CONFIGURATION))
		return 1;
	if (read(go, &byte, 1) != 1 ||
	    _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, in, MAX_RPC_LEN, NULL, &out_len))
		return 2;
	return read(go, &byte, 1) != 1;
}

/* Buffers in the kernel are charged to the caller's memory cgroup. */
TEST_F_TIMEOUT(loopback, buffers_are_charged, LONG_TIMEOUT)
{
	char cgroup[PATH_MAX];
	long before, during, after;
	int go[2], status = -1;
	pid_t child;

	if (!make_cgroup(cgroup, sizeof(cgroup)))
		SKIP(return, "no memory controller of cgroup2");
	ASSERT_EQ(0, pipe(go));
	child = fork();
	if (child == 0)
		_exit(send_long_request(self->fd, go[0]));
	ASSERT_LT(0, child);
	ASSERT_TRUE(wait_for_state(child, 'S'));
	ASSERT_EQ(0, move_to_cgroup(cgroup, child));

	ASSERT_EQ(1, write(go[1], "x", 1));
	usleep(1000);
	ASSERT_TRUE(wait_for_state(child, 'S'));
	before = memory_current(cgroup);
	ASSERT_LE(0, before);

	ASSERT_EQ(1, write(go[1], "x", 1));
	ASSERT_TRUE(wait_asleep(child));
	during = memory_current(cgroup);
	ASSERT_TRUE(wait_for_state(child, 'S'));
	after = memory_current(cgroup);

	ASSERT_EQ(1, write(go[1], "x", 1));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);

	/* The counter is batched per CPU. */
	TH_LOG("%ld bytes before, %ld during, %ld after", before, during, after);
	EXPECT_LE(MAX_RPC_LEN * 3 / 4, during - before);
	EXPECT_LE(MAX_RPC_LEN / 2, during - after);
	rmdir(cgroup);
}

/* Trace events identify caller, device, and result of an RPC. */
TEST_F(loopback, trace_events)
{
	char root[] = "/tmp/fwctl-trace-XXXXXX", path[PATH_MAX], expected[128], text[8192] = "";
	uint8_t in[40] = {};
	uint32_t out_len = 24;
	char *start, *done;
	int trace, kept;
	ssize_t len;

	mkdir("/tmp", 01777);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(root) || mount("tracefs", root, "tracefs", 0, NULL))
		SKIP(return, "no tracefs");
	snprintf(path, sizeof(path), "%s/events/fwctl", root);
	if (access(path, F_OK))
		SKIP(return, "the core has no trace events");

	/* A separate instance does not affect other users of the trace. */
	snprintf(path, sizeof(path), "%s/instances/fwctl-test", root);
	ASSERT_EQ(0, mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/instances/fwctl-test/events/fwctl/enable", root);
	kept = write_text(path, "1");
	fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, in, sizeof(in), in, &out_len);
	fwctl_rpc_fails(EFAULT, self->fd, FWCTL_RPC_CONFIGURATION, NULL, 17, NULL, 0);
	fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, NULL, UINT_MAX, NULL, 0);

	snprintf(path, sizeof(path), "%s/instances/fwctl-test/trace", root);
	trace = open(path, O_RDONLY);
	EXPECT_LE(0, trace);
	for (size_t at = 0; (len = read(trace, text + at, sizeof(text) - 1 - at)) > 0;)
		at += len;
	close(trace);
	write_text(path, "");
	snprintf(path, sizeof(path), "%s/instances/fwctl-test", root);
	rmdir(path);
	ASSERT_EQ(0, kept);

	snprintf(expected, sizeof(expected), "fwctl_rpc_start: dev=%s pid=%d ", self->dev.name,
		 getpid());
	start = strstr(text, expected);
	ASSERT_TRUE(start != NULL) {
		TH_LOG("%s", text);
	}
	EXPECT_TRUE(strstr(start, "in_len=40 out_len=24\n") != NULL);
	snprintf(expected, sizeof(expected), "fwctl_rpc_done: dev=%s pid=%d ", self->dev.name,
		 getpid());
	done = strstr(start, expected);
	ASSERT_TRUE(done != NULL);
	EXPECT_TRUE(strstr(done, "ret=0 out_len=40 duration_ns=") != NULL);
	/* Not a command of the loopback. */
	EXPECT_TRUE(strstr(done, " opcode=0xffffffffffffffff\n") != NULL);

	/* Failed RPCs are traced as well. */
	snprintf(expected, sizeof(expected), "ret=-%d ", EFAULT);
	done = strstr(done, expected);
	ASSERT_TRUE(done != NULL);
	snprintf(expected, sizeof(expected), "ret=-%d ", EMSGSIZE);
	EXPECT_TRUE(strstr(done, expected) != NULL);
}

TEST_HARNESS_MAIN
