// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stress: processes use fwctl devices in every way in parallel, while devices are unbound,
 * drivers unloaded and the processes killed.
 *
 *	fwctl_stress [-a] [-s SECONDS] [-r SEED] [-p PCI_FUNCTION [-e EMULATOR]] MODULE...
 *
 * MODULEs are the drivers.  The seed determines the actions of each process, but not their
 * interleaving.  After each round of ten seconds all processes have ended, the counters must match
 * exactly, the loopback drivers must have no open contexts, and all modules including the core
 * must unload and load again.
 *
 *	opened	files that were opened
 *	asked	RPCs that were sent, each of which is
 *	replied	completed with the right reply
 *	refused	completed with the requested errno
 *	void	not delivered, because the device was unregistered
 *	cut	aborted by the lower driver, because the device vanished
 *	cancelled by the caller, who uses io_uring
 *	dropped	unknown, because the caller closed the ring
 *	lost	unknown, because the caller was killed
 *
 * The core's trace events must match these numbers.  -a loads the loopback driver in Rust as one
 * that answers asynchronously.  -p names a PCI function to remove and rescan.
 * -e names a command that makes an emulated device "vanish" before that, and "return".
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "cxl_utils.h"
#include "pds_utils.h"
#include "loopback_utils.h"
#include "module_utils.h"
#include "uring.h"

#define WORKERS 5
#define THREADS 2
#define FILES 6
/* RPCs in flight on a ring. */
#define BATCH 24
#define ROUND_SECONDS 10
/* Upper bound for the end of a round, in which nothing is started, in seconds. */
#define PATIENCE 120

#define DEVICE_TYPE_MLX5 1
#define DEVICE_TYPE_CXL 2

/* Shared by all processes. */
static struct stress {
	bool is_over;
	/* A process has reported a failure. */
	bool has_failed;
	uint64_t opened, asked, replied, refused, not_delivered, cut, cancelled, dropped;
	uint64_t polled, forked, rings;
	uint64_t unbound, unloaded, removed, vanished;
} *stress;

static char **modules;
static int module_count;
static const char *pci_function, *emulator;
static bool is_asynchronous;

#define count_all(counter, n) __atomic_add_fetch(&stress->counter, n, __ATOMIC_SEQ_CST)
#define count(counter) count_all(counter, 1)
#define counted(counter) __atomic_load_n(&stress->counter, __ATOMIC_SEQ_CST)
#define is_over() __atomic_load_n(&stress->is_over, __ATOMIC_SEQ_CST)

#define wrong(format, ...) do {							\
	printf("# wrong: " format "\n", ##__VA_ARGS__);				\
	__atomic_store_n(&stress->has_failed, true, __ATOMIC_SEQ_CST);		\
} while (0)

/* Pseudo-random numbers (splitmix64). */
struct dice {
	uint64_t state;
};

static uint64_t roll(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t below(struct dice *dice, uint32_t limit)
{
	return roll(dice) % limit;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/*
 * Callers
 */

struct worker {
	uint64_t seed;
	int fds[FILES];
};

struct caller {
	struct worker *worker;
	struct dice dice;
	pthread_t thread;
};

/* Returns whether a lower driver fails with this errno when its device stops responding. */
static bool has_vanished(int err)
{
	switch (err) {
	/* Too many ConnectX commands have timed out. */
	case EAGAIN:
	case EBUSY:
	case EIO:
	case ENOLINK:
	case ENXIO:
	case ETIMEDOUT:
		return counted(vanished);
	default:
		return false;
	}
}

static void take_a_file(struct caller *caller)
{
	int slot = below(&caller->dice, FILES), fd, old, mode;
	char node[64];

	/* Only low numbers exist.  Others must fail like removed devices. */
	snprintf(node, sizeof(node), NODE_DIR "/fwctl%u",
		 below(&caller->dice, 1 + below(&caller->dice, 5)));
	mode = below(&caller->dice, 2) ? O_RDWR : O_RDONLY;
	fd = open(node, mode | (below(&caller->dice, 2) ? O_CLOEXEC : 0));
	if (fd < 0) {
		if (errno != ENOENT && errno != ENODEV && errno != ENXIO && !has_vanished(errno))
			wrong("open %s: %m", node);
		/* Give way to the processes that rebind the device. */
		usleep(1000);
		return;
	}
	count(opened);
	old = __atomic_exchange_n(&caller->worker->fds[slot], fd, __ATOMIC_SEQ_CST);
	if (old >= 0)
		close(old);
}

static int some_file(struct caller *caller)
{
	return __atomic_load_n(&caller->worker->fds[below(&caller->dice, FILES)],
			       __ATOMIC_SEQ_CST);
}

/*
 * Duplicates a file descriptor for one call: the other thread may close the original and reuse its
 * number.
 */
static int keep(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* Counts an RPC that asked for the errno `expected`. */
static bool is_answered(int err, int expected)
{
	if (err == ENODEV) {
		count(not_delivered);
		return false;
	}
	if (err && err == expected) {
		count(refused);
		return false;
	}
	if (has_vanished(err)) {
		count(cut);
		return false;
	}
	if (err || expected) {
		wrong("RPC: errno %d instead of %d", err, expected);
		count(refused);
		return false;
	}
	count(replied);
	return true;
}

#define MAX_ECHO 9000

static void ask_loopback(struct caller *caller, int fd)
{
	uint8_t in[MAX_ECHO], out[MAX_ECHO] = {};
	uint32_t scope = below(&caller->dice, 2) ? FWCTL_RPC_CONFIGURATION : FWCTL_RPC_DEBUG_WRITE;
	uint32_t len = sizeof(struct fwctl_loopback_cmd) + below(&caller->dice, 512);
	struct fwctl_loopback_cmd cmd = loopback_cmd(FWCTL_LOOPBACK_ECHO, 0);
	uint32_t out_len, expected_len;
	int expected = 0;

	if (!below(&caller->dice, 8))
		len = sizeof(cmd) + below(&caller->dice, MAX_ECHO - sizeof(cmd));
	fill_pattern(in, len, roll(&caller->dice));
	expected_len = len;
	out_len = len;
	switch (below(&caller->dice, 10)) {
	case 0:
		cmd.op = FWCTL_LOOPBACK_SLEEP;
		cmd.arg = below(&caller->dice, 30);
		break;
	case 1:
		cmd.op = FWCTL_LOOPBACK_ERRNO;
		cmd.arg = EL2HLT;
		expected = EL2HLT;
		break;
	case 2:
		cmd.op = FWCTL_LOOPBACK_STATE;
		expected_len = sizeof(struct fwctl_loopback_state);
		break;
	case 3:
		cmd.op = FWCTL_LOOPBACK_FILL;
		cmd.arg = below(&caller->dice, MAX_ECHO);
		expected_len = cmd.arg;
		break;
	case 4 ... 6:
		cmd.op = FWCTL_LOOPBACK_COPY;
		break;
	}
	memcpy(in, &cmd, sizeof(cmd));

	count(asked);
	if (!is_answered(_fwctl_rpc(fd, scope, in, len, out, &out_len), expected))
		return;
	if (out_len != expected_len)
		wrong("operation %u: a reply of %u bytes instead of %u", cmd.op, out_len,
		      expected_len);
	if (cmd.op == FWCTL_LOOPBACK_FILL) {
		for (uint32_t i = 0; i < cmd.arg && i < len; i++) {
			if (out[i] != i % 251) {
				wrong("byte %u of %u is %u", i, cmd.arg, out[i]);
				break;
			}
		}
	} else if (cmd.op != FWCTL_LOOPBACK_STATE && memcmp(in, out, len)) {
		wrong("operation %u: the reply differs", cmd.op);
	}
}

/* An RPC on a ring, the user_data of which is its index. */
struct ring_rpc {
	struct fwctl_rpc rpc;
	struct fwctl_loopback_cmd in;
	uint8_t out[64];
	int expected;
	/* Its answer takes longer than any round. */
	bool is_silent;
	bool may_be_cancelled;
	bool has_ended;
};

/* The user_data of all else. */
#define NO_RPC BATCH

struct batch {
	struct ring_rpc rpcs[BATCH];
	struct __kernel_timespec timeout;
	uint32_t len, left;
};

/* Fills an SQE with an RPC, and possibly one with a timeout for it. */
static void fill_ring_rpc(struct caller *caller, struct uring *ring, struct batch *batch,
			  uint32_t index, int fd)
{
	struct ring_rpc *rpc = &batch->rpcs[index];
	uint32_t op = FWCTL_LOOPBACK_ECHO, arg = 0;
	struct io_uring_sqe *sqe;

	switch (below(&caller->dice, 8)) {
	case 0:
		op = FWCTL_LOOPBACK_ERRNO;
		arg = EL2HLT;
		rpc->expected = EL2HLT;
		break;
	case 1:
		op = FWCTL_LOOPBACK_COPY;
		break;
	case 2 ... 4:
		op = FWCTL_LOOPBACK_SLEEP;
		arg = below(&caller->dice, 30);
		break;
	case 5:
		op = FWCTL_LOOPBACK_SLEEP;
		rpc->is_silent = is_asynchronous;
		arg = is_asynchronous ? FWCTL_LOOPBACK_MAX_SLEEP_MS : 1;
		break;
	}
	rpc->in = loopback_cmd(op, arg);
	memset(rpc->out, 0xee, sizeof(rpc->out));
	rpc->rpc = (struct fwctl_rpc) {
		.size = sizeof(rpc->rpc),
		.scope = FWCTL_RPC_CONFIGURATION,
		.in_len = sizeof(rpc->in),
		.out_len = sizeof(rpc->out),
		.in = (uintptr_t)&rpc->in,
		.out = (uintptr_t)rpc->out,
	};

	sqe = uring_fwctl(ring, fd, FWCTL_RPC, &rpc->rpc, index);
	if (below(&caller->dice, 2))
		sqe->flags = IOSQE_ASYNC;
	if (!below(&caller->dice, 6)) {
		sqe->flags |= IOSQE_IO_LINK;
		sqe = uring_sqe(ring, IORING_OP_LINK_TIMEOUT, -1, NO_RPC);
		sqe->addr = (uintptr_t)&batch->timeout;
		sqe->len = 1;
		rpc->may_be_cancelled = true;
	}
}

static void take_cqe(struct batch *batch, const struct io_uring_cqe *cqe)
{
	struct ring_rpc *rpc = &batch->rpcs[cqe->user_data];
	bool is_untouched;

	if (cqe->user_data == NO_RPC)
		return;
	if (cqe->user_data > NO_RPC || rpc->has_ended) {
		wrong("a second CQE, or of nothing: %ju", (uintmax_t)cqe->user_data);
		return;
	}
	rpc->has_ended = true;
	batch->left--;

	is_untouched = rpc->rpc.out_len == sizeof(rpc->out) &&
		       all_bytes_are(rpc->out, 0xee, sizeof(rpc->out));
	if (cqe->res == -ECANCELED && rpc->may_be_cancelled)
		count(cancelled);
	else if (is_answered(-cqe->res, rpc->expected)) {
		if (rpc->rpc.out_len != sizeof(rpc->in) ||
		    memcmp(rpc->out, &rpc->in, sizeof(rpc->in)))
			wrong("operation %u on a ring: the reply differs", rpc->in.op);
		return;
	}
	if (!is_untouched)
		wrong("operation %u on a ring: errno %d, and a reply", rpc->in.op, -cqe->res);
}

/*
 * Has many RPCs in flight, cancels some of them, and takes all results, or closes the ring.  Those
 * that are never answered end by a cancellation, or with the device.
 */
static void use_a_ring(struct caller *caller, int fd)
{
	unsigned int flags = below(&caller->dice, 3) ? 0 :
			     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	bool is_closed_early = !below(&caller->dice, 6);
	struct io_uring_cqe cqe;
	struct batch *batch;
	struct uring ring;
	int err;

	if (uring_init(&ring, 4 * BATCH, flags))
		return;
	/* Also called in a child of a process with threads, where malloc() may not be. */
	batch = mmap(NULL, sizeof(*batch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	if (batch == MAP_FAILED) {
		uring_exit(&ring);
		return;
	}
	count(rings);
	batch->timeout.tv_nsec = below(&caller->dice, 20000000);
	batch->len = 1 + below(&caller->dice, BATCH);
	batch->left = batch->len;
	count_all(asked, batch->len);
	for (uint32_t i = 0; i < batch->len; i++)
		fill_ring_rpc(caller, &ring, batch, i, fd);
	uring_enter(&ring, 0);

	while (batch->left) {
		uint32_t index = below(&caller->dice, batch->len);
		struct ring_rpc *rpc;

		while (batch->rpcs[index].has_ended)
			index = (index + 1) % batch->len;
		rpc = &batch->rpcs[index];
		if (is_closed_early && !below(&caller->dice, 4))
			break;
		if (rpc->is_silent || !below(&caller->dice, 4)) {
			rpc->may_be_cancelled = true;
			uring_cancel(&ring, index, NO_RPC);
		}
		err = uring_wait(&ring, &cqe);
		if (err) {
			wrong("io_uring_enter: errno %d", err);
			break;
		}
		take_cqe(batch, &cqe);
	}
	count_all(dropped, batch->left);
	uring_exit(&ring);
	/* Workers may still write to it, until the process ends. */
	if (!batch->left)
		munmap(batch, sizeof(*batch));
}

static void ask_cxl(struct caller *caller, int fd)
{
	union {
		struct fwctl_rpc_cxl rpc;
		uint8_t bytes[64];
	} in = {};
	union {
		struct fwctl_rpc_cxl_out rpc;
		uint8_t bytes[512];
	} out = {};
	uint32_t out_len = sizeof(out);

	in.rpc.hdr.opcode = htole32(OP_GET_SUPPORTED);
	in.rpc.hdr.op_size = htole32(sizeof(in.rpc.get_sup_feats_in));
	in.rpc.get_sup_feats_in.count =
		htole32(sizeof(struct cxl_mbox_get_sup_feats_out_hdr) + below(&caller->dice, 96));
	count(asked);
	if (is_answered(_fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &in,
				   HEAD_LEN + sizeof(in.rpc.get_sup_feats_in), &out, &out_len),
			0) &&
	    out_len < REPLY_HEAD_LEN)
		wrong("Get Supported Features: a reply of %u bytes", out_len);

	/* The list of commands, and a command: Identify Memory Device. */
	memset(&in, 0, sizeof(in));
	in.rpc.hdr.opcode = below(&caller->dice, 2) ? FWCTL_CXL_QUERY_COMMANDS : 0x4000;
	out_len = sizeof(out);
	count(asked);
	if (is_answered(_fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &in, HEAD_LEN, &out, &out_len),
			0) &&
	    (out_len < REPLY_HEAD_LEN || out.rpc.hdr.retval))
		wrong("opcode %#x: a reply of %u bytes", in.rpc.hdr.opcode, out_len);
}

/* Sends QUERY_ADAPTER.  A reply starts with a status byte, 3 reserved bytes and a syndrome. */
static void ask_mlx5(struct caller *caller, int fd)
{
	uint8_t in[16] = { 0x01, 0x01 }, out[256];
	uint32_t out_len = sizeof(out);

	count(asked);
	if (is_answered(_fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, in, sizeof(in), out, &out_len),
			0) &&
	    (out_len < 16 || out[0]))
		wrong("QUERY_ADAPTER: status %u in %u bytes", out[0], out_len);
}

/* Asks for the version of the firmware, or sends some bytes back and forth. */
static void ask_pds(struct caller *caller, int fd)
{
	uint8_t request[256], response[sizeof(request)];
	uint32_t len = below(&caller->dice, sizeof(request) + 1);

	count(asked);
	fill_pattern(request, len, below(&caller->dice, 1000));
	memset(response, 0xee, sizeof(response));
	if (is_answered(_pds_call(fd, FWCTL_RPC_CONFIGURATION, EP_SYSTEM, OP_ECHO, request, len,
				  response, len), 0) &&
	    memcmp(request, response, len))
		wrong("echo of %u bytes: other bytes", len);
}

/* Calls FWCTL_INFO and sends an RPC of the device type. */
static void use(struct caller *caller, int fd)
{
	uint32_t len = 8, type = 0;
	uint64_t data;
	int err = _fwctl_info(fd, &data, &len, &type);

	if (err) {
		if (err != ENODEV)
			wrong("FWCTL_INFO: errno %d", err);
		return;
	}
	switch (type) {
	case FWCTL_DEVICE_TYPE_LOOPBACK:
		for (uint32_t n = below(&caller->dice, 4); n--;)
			ask_loopback(caller, fd);
		if (!below(&caller->dice, 3))
			use_a_ring(caller, fd);
		break;
	case DEVICE_TYPE_CXL:
		ask_cxl(caller, fd);
		break;
	case DEVICE_TYPE_MLX5:
		ask_mlx5(caller, fd);
		break;
	case FWCTL_DEVICE_TYPE_PDS:
		ask_pds(caller, fd);
		break;
	default:
		wrong("device type %#x", type);
	}
}

/* Forks a child that uses the files and exits with them open. */
static void use_in_a_child(struct caller *caller, int fd)
{
	pid_t child = fork();

	if (child == 0) {
		/* Only functions that are safe after fork(2) in a threaded process. */
		use(caller, fd);
		_exit(0);
	}
	if (child > 0) {
		count(forked);
		waitpid(child, NULL, 0);
	}
}

static void look(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (poll(&poll_fd, 1, 0) < 0)
		wrong("poll: %m");
	count(polled);
}

static void *caller_main(void *arg)
{
	struct caller *caller = arg;

	while (!is_over()) {
		int fd = -1;

		switch (below(&caller->dice, 16)) {
		case 0 ... 3:
			take_a_file(caller);
			break;
		case 4:
			fd = __atomic_exchange_n(&caller->worker->fds[below(&caller->dice, FILES)],
						 -1, __ATOMIC_SEQ_CST);
			break;
		case 5:
			fd = keep(some_file(caller));
			if (fd >= 0)
				look(fd);
			break;
		case 6:
			fd = keep(some_file(caller));
			if (fd >= 0)
				use_in_a_child(caller, fd);
			break;
		default:
			fd = keep(some_file(caller));
			if (fd >= 0)
				use(caller, fd);
			else
				take_a_file(caller);
		}
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void worker_main(uint64_t seed)
{
	struct worker worker = { .seed = seed };
	struct caller callers[THREADS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < FILES; i++)
		worker.fds[i] = -1;
	for (int i = 0; i < THREADS; i++) {
		callers[i].worker = &worker;
		callers[i].dice.state = seed + i;
		if (pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]))
			abort();
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(callers[i].thread, NULL);
	/* exit closes the files. */
	_exit(0);
}

/*
 * Disturbances
 */

/* Picks each candidate with the same probability. */
static bool is_picked(unsigned int seen, void *dice)
{
	return below(dice, seen + 1) == 0;
}

/* Picks a device that is bound to one of the drivers. */
static bool pick(struct dice *dice, struct bond *bond)
{
	unsigned int seen = 0;
	bool is_found = false;

	for (int i = 0; i < module_count; i++)
		is_found |= find_bond(bond, modules[i], is_picked, dice, &seen);
	return is_found;
}

static void settle(double deadline)
{
	struct dice dice = { 1 };
	struct bond bond;

	/* The devices may still be probing. */
	while (now() < deadline && !pick(&dice, &bond))
		usleep(10000);
}

/* Errors are expected: the driver may be unloaded, or the other process faster. */
static void rebind(struct dice *dice)
{
	struct bond bond;

	if (!pick(dice, &bond))
		return;
	if (!bond_do(&bond, "unbind"))
		count(unbound);
	usleep(below(dice, 5000));
	bond_do(&bond, "bind");
}

static const char *parameters_of(const char *module)
{
	return is_asynchronous && !strcmp(module, "fwctl_loopback") ? "asynchronous=1" : "";
}

static void reload(struct dice *dice)
{
	const char *module = modules[below(dice, module_count)];

	/* EBUSY: the other process binds or unbinds. */
	if (unload_module(module))
		return;
	count(unloaded);
	usleep(below(dice, 20000));
	if (load_module(module, parameters_of(module)))
		wrong("%s does not load again", module);
}

static void tell_emulator(const char *what)
{
	char command[128];

	snprintf(command, sizeof(command), "%s %s >/dev/null", emulator, what);
	if (system(command))
		wrong("'%s' fails", command);
}

/* Removes the PCI function, orderly or by surprise, and rescans. */
static void rescan(struct dice *dice)
{
	bool is_surprise = emulator && below(dice, 2);
	char path[PATH_MAX];

	if (is_surprise) {
		count(vanished);
		tell_emulator("vanish");
		/* Give the lower driver a chance to notice. */
		usleep(below(dice, 3000000));
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", pci_function);
	if (!write_text(path, "1"))
		count(removed);
	usleep(below(dice, 20000));
	if (is_surprise)
		tell_emulator("return");
	write_text("/sys/bus/pci/rescan", "1");
}

struct trouble {
	const char *name;
	void (*make)(struct dice *dice);
	/* Maximum pause between two of them, in microseconds. */
	uint32_t pause;
};

static const struct trouble troubles[] = {
	{ "rebind", rebind, 200000 },
	{ "reload", reload, 1000000 },
	{ "rescan", rescan, 2000000 },
};

static pid_t start(void (*story)(uint64_t seed), uint64_t seed)
{
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		story(seed);
		_exit(0);
	}
	if (child < 0) {
		perror("fork");
		exit(1);
	}
	return child;
}

/* The low bits of the seed choose the disturbance. */
static void trouble_main(uint64_t seed)
{
	const struct trouble *trouble = &troubles[seed % ARRAY_SIZE(troubles)];
	struct dice dice = { .state = seed };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!is_over()) {
		/* Wait for a device and its first users. */
		settle(now() + 2);
		usleep(below(&dice, trouble->pause));
		trouble->make(&dice);
	}
	fflush(NULL);
}

/* Waits for a child, and logs its stack if it does not end in time. */
static void wait_for_end(pid_t child, double deadline)
{
	char command[128];
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (now() > deadline) {
			wrong("process %d does not end", child);
			fflush(NULL);
			snprintf(command, sizeof(command),
				 "cat /proc/%d/task/*/stack; echo w >/proc/sysrq-trigger", child);
			if (system(command) == -1)
				perror("system");
			exit(1);
		}
		usleep(2000);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		wrong("process %d ended with status %#x", child, status);
}

/*
 * Trace events
 */

#define TRACING "/sys/kernel/tracing"

/* A counter: a trace instance with one event.  Only the number of events matters. */
struct events {
	const char *name, *event, *filter;
};

static const struct events counters[] = {
	{ "stress_started", "fwctl_rpc_start", NULL },
	{ "stress_done", "fwctl_rpc_done", NULL },
	{ "stress_replied", "fwctl_rpc_done", "ret == 0" },
};

static void events_path(char *path, const struct events *events, const char *file)
{
	snprintf(path, PATH_MAX, TRACING "/instances/%s/%s", events->name, file);
}

static void remove_counters(void)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		events_path(path, &counters[i], "");
		rmdir(path);
	}
}

/* Returns false if the core has no trace events. */
static bool make_counters(void)
{
	char path[PATH_MAX], file[128];

	remove_counters();
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		snprintf(path, sizeof(path), TRACING "/events/fwctl/%s", counters[i].event);
		if (access(path, F_OK))
			return false;
		events_path(path, &counters[i], "");
		if (mkdir(path, 0700)) {
			wrong("%s: %m", path);
			return false;
		}
		snprintf(file, sizeof(file), "events/fwctl/%s/filter", counters[i].event);
		events_path(path, &counters[i], file);
		if (counters[i].filter && write_text(path, counters[i].filter))
			wrong("the filter '%s' is refused", counters[i].filter);
		snprintf(file, sizeof(file), "events/fwctl/%s/enable", counters[i].event);
		events_path(path, &counters[i], file);
		if (write_text(path, "1"))
			wrong("%s cannot be traced", counters[i].event);
	}
	return true;
}

/* Returns the number of events, including overwritten ones. */
static uint64_t read_counter(const struct events *events)
{
	long processors = sysconf(_SC_NPROCESSORS_CONF);
	char path[PATH_MAX], file[64], text[1024];
	uint64_t sum = 0;

	for (long cpu = 0; cpu < processors; cpu++) {
		static const char *const parts[] = { "entries: ", "overrun: ", "dropped events: " };

		snprintf(file, sizeof(file), "per_cpu/cpu%ld/stats", cpu);
		events_path(path, events, file);
		if (read_text(path, text, sizeof(text)))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			/* "commit overrun" also contains "overrun". */
			char *part = !strncmp(text, parts[i], strlen(parts[i])) ? text : NULL;
			char line[64];

			snprintf(line, sizeof(line), "\n%s", parts[i]);
			if (!part) {
				part = strstr(text, line);
				part += !!part;
			}
			if (part)
				sum += strtoull(part + strlen(parts[i]), NULL, 10);
		}
	}
	return sum;
}

/*
 * Rounds
 */

static void unload_everything(void)
{
	double deadline = now() + PATIENCE;
	int err;

	for (int i = 0; i < module_count; i++) {
		/* The driver core may still hold a reference. */
		while ((err = unload_module(modules[i])) == EAGAIN && now() < deadline)
			usleep(10000);
		if (err && err != ENOENT)
			wrong("%s does not unload: errno %d", modules[i], err);
	}
	if (!is_loaded("fwctl"))
		return;
	/* Rings of killed processes are closed after the processes have ended. */
	while ((err = unload_module("fwctl")) == EAGAIN && now() < deadline)
		usleep(10000);
	if (err)
		wrong("fwctl does not unload: errno %d", err);
	if (!access(CLASS_DIR, F_OK))
		wrong("fwctl is unloaded, but its class exists");
}

static void load_everything(void)
{
	load_module("fwctl", "");
	for (int i = 0; i < module_count; i++) {
		if (load_module(modules[i], parameters_of(modules[i])))
			wrong("%s does not load", modules[i]);
	}
	settle(now() + 10);
}

/* All contexts are closed: a loopback driver only has that of the caller. */
static void check_contexts(void)
{
	double deadline = now() + PATIENCE;

	for (int i = 0; i < 64; i++) {
		struct fwctl_loopback_state state;
		uint32_t len = 8, type = 0;
		uint64_t data;
		char node[64];
		int fd;

		snprintf(node, sizeof(node), NODE_DIR "/fwctl%d", i);
		fd = open(node, O_RDWR);
		if (fd < 0)
			continue;
		if (!_fwctl_info(fd, &data, &len, &type) && type == FWCTL_DEVICE_TYPE_LOOPBACK) {
			bool is_answered;

			/* Rings of killed processes are closed after the processes have ended. */
			while ((is_answered = !_loopback_state(fd, &state)) &&
			       state.open_uctx != 1 && now() < deadline)
				usleep(10000);
			if (!is_answered || state.open_uctx != 1)
				wrong("%s: %u contexts are open", node, state.open_uctx - 1);
		}
		close(fd);
	}
}

/* The same for ConnectX firmware. */
static void check_firmware(void)
{
	char command[128], answer[32] = "";
	bool is_mlx5 = false;
	FILE *pipe;

	for (int i = 0; i < module_count; i++)
		is_mlx5 |= !strcmp(modules[i], "mlx5_fwctl");
	if (!emulator || !is_mlx5)
		return;
	snprintf(command, sizeof(command), "%s -p /alive/uids counters", emulator);
	pipe = popen(command, "r");
	if (!pipe || !fgets(answer, sizeof(answer), pipe) || strcmp(answer, "0\n"))
		wrong("contexts left in the firmware: %s", answer);
	if (pipe)
		pclose(pipe);
}

static void check_counters(bool is_traced, uint64_t kills)
{
	uint64_t answered = counted(replied) + counted(refused) + counted(not_delivered) +
			    counted(cut) + counted(cancelled) + counted(dropped);
	uint64_t lost = counted(asked) - answered;

	printf("opened %ju; ", counted(opened));
	printf("asked %ju = replied %ju + refused %ju + void %ju + cut %ju + ", counted(asked),
	       counted(replied), counted(refused), counted(not_delivered), counted(cut));
	printf("cancelled %ju + dropped %ju + lost %ju; ", counted(cancelled), counted(dropped),
	       lost);
	printf("polled %ju, rings %ju, forked %ju, killed %ju; ", counted(polled), counted(rings),
	       counted(forked), kills);
	printf("unbound %ju, unloaded %ju, removed %ju, vanished %ju\n", counted(unbound),
	       counted(unloaded), counted(removed), counted(vanished));

	/* Each thread and its child may have had RPCs on a ring. */
	if (lost > kills * THREADS * 2 * BATCH)
		wrong("%ju RPCs are lost in %ju killed processes", lost, kills);
	if (!counted(replied))
		wrong("no RPC got a reply");
	if (is_traced) {
		uint64_t unknown = lost + counted(dropped), started, done, good;
		double deadline = now() + PATIENCE;

		/* Rings of killed processes are closed after the processes have ended. */
		do {
			done = read_counter(&counters[1]);
			started = read_counter(&counters[0]);
			good = read_counter(&counters[2]);
		} while (started != done && now() < deadline && !usleep(10000));

		printf("traced: %ju started, %ju done, %ju of them successful\n", started, done,
		       good);
		if (started != done)
			wrong("%ju RPCs started and %ju ended", started, done);
		if (good < counted(replied) || good > counted(replied) + unknown)
			wrong("%ju RPCs succeeded, and %ju got their reply", good,
			      counted(replied));
		if (started < counted(replied) + counted(refused) ||
		    started > counted(asked))
			wrong("%ju RPCs started, of %ju", started, counted(asked));
	}
}

static void run_round(uint64_t seed, double seconds)
{
	struct dice dice = { seed };
	pid_t workers[WORKERS], makers[ARRAY_SIZE(troubles)];
	double end = now() + seconds, deadline;
	uint64_t kills = 0;
	bool is_traced;

	memset(stress, 0, sizeof(*stress));
	load_everything();
	is_traced = make_counters();
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start(worker_main, roll(&dice));
	for (size_t i = 0; i < ARRAY_SIZE(troubles); i++) {
		uint64_t own = roll(&dice);

		own -= own % ARRAY_SIZE(troubles);
		if (troubles[i].make != rescan || pci_function)
			makers[i] = start(trouble_main, own + i);
		else
			makers[i] = 0;
	}
	while (now() < end && !stress->has_failed) {
		int victim = below(&dice, WORKERS);

		usleep(below(&dice, 400000));
		kill(workers[victim], SIGKILL);
		waitpid(workers[victim], NULL, 0);
		kills++;
		workers[victim] = start(worker_main, roll(&dice));
	}
	__atomic_store_n(&stress->is_over, true, __ATOMIC_SEQ_CST);

	deadline = now() + PATIENCE;
	for (int i = 0; i < WORKERS; i++)
		wait_for_end(workers[i], deadline);
	for (size_t i = 0; i < ARRAY_SIZE(troubles); i++) {
		if (makers[i])
			wait_for_end(makers[i], deadline);
	}
	/* Reap the orphans of killed processes, which end by themselves. */
	while (waitpid(-1, NULL, WNOHANG) >= 0 && now() < deadline)
		usleep(2000);
	check_counters(is_traced, kills);
	remove_counters();
	check_contexts();
	check_firmware();
	unload_everything();
	fflush(NULL);
}

static const char usage[] =
	"usage: fwctl_stress [-a] [-s SECONDS] [-r SEED] [-p FUNCTION [-e EMULATOR]] MODULE...\n";

int main(int argc, char **argv)
{
	double seconds = 120, end;
	uint64_t seed = 1;
	int option;

	while ((option = getopt(argc, argv, "as:r:p:e:")) != -1) {
		switch (option) {
		case 'a':
			is_asynchronous = true;
			break;
		case 's':
			seconds = atof(optarg);
			break;
		case 'r':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			pci_function = optarg;
			break;
		case 'e':
			emulator = optarg;
			break;
		default:
			return 2;
		}
	}
	modules = argv + optind;
	module_count = argc - optind;
	if (!module_count) {
		fputs(usage, stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	mount("tracefs", TRACING, "tracefs", 0, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	stress = mmap(NULL, sizeof(*stress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stress == MAP_FAILED) {
		perror("mmap");
		return 1;
	}

	end = now() + seconds;
	for (int round = 1;; round++) {
		double left = end - now();

		if (left <= 0)
			break;
		printf("round %d, seed %#jx: ", round, seed);
		run_round(seed, left < ROUND_SECONDS ? left : ROUND_SECONDS);
		if (stress->has_failed) {
			printf("failed; reproduce with: -r %#jx\n", seed);
			return 1;
		}
		seed++;
	}
	load_everything();
	return stress->has_failed;
}
