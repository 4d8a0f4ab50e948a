// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures the cost of the system calls of a loopback, mlx5 or CXL driver.  Not a test.
 *
 *	fwctl_bench cost		cost of each operation, in ticks of the time stamp
 *					counter, or in nanoseconds if the CPU has none
 *	fwctl_bench batches		cost of an RPC by ioctl, and by io_uring in batches, for
 *					a loopback driver
 *	fwctl_bench reads COUNT		register reads per second of an mlx5 driver, by ioctl and
 *					with several in flight by io_uring, from one thread
 *	fwctl_bench threads SECONDS	RPCs per second of one and two threads, on one and
 *					two files, for a loopback driver
 *
 * Each line of output is an operation, a tab and a number.  "cost" reports medians, and the
 * minimum for RPCs of more than 4 KiB.  Under QEMU's -icount shift=0 a tick is a guest
 * instruction, and results are reproducible.  FWCTL_TEST_DEV and FWCTL_TEST_DRIVER choose the
 * device as for the tests; FWCTL_TEST_DRIVER can also be "mlx5" or "cxl", for which only calls
 * without firmware commands are measured.
 */
#include <time.h>

/* The shared headers include the test harness, which is not used here. */
#pragma GCC diagnostic ignored "-Wunused-function"

#include "loopback_utils.h"
#include "mlx5_utils.h"

/* A kernel macro that the uapi header uses. */
#define __packed __attribute__((packed))
#define BIT(bit) (1u << (bit))
#include <fwctl/cxl.h>

/* Maximum number of samples.  Odd, for the median. */
#define MAX_SAMPLES 1001

/* Calls before the first sample, which fill caches. */
#define WARM_UP 8

static uint64_t ticks[MAX_SAMPLES];

static uint64_t now(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#else
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
#endif
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void print_median(const char *name, size_t samples)
{
	qsort(ticks, samples, sizeof(ticks[0]), compare);
	printf("%s\t%llu\n", name, (unsigned long long)ticks[samples / 2]);
}

static void must(bool is_good, const char *what)
{
	if (!is_good) {
		fprintf(stderr, "%s: %m\n", what);
		exit(1);
	}
}

static void cost_of_refusal(int fd)
{
	for (size_t i = 0; i < WARM_UP + MAX_SAMPLES; i++) {
		uint64_t start = now();
		int ret = ioctl(fd, _IO(FWCTL_TYPE, 0x80), NULL);

		ticks[i < WARM_UP ? 0 : i - WARM_UP] = now() - start;
		must(ret == -1 && errno == ENOTTY, "refused ioctl");
	}
	print_median("refused", MAX_SAMPLES);
}

static void cost_of_info(int fd, uint32_t len)
{
	char name[32];
	uint8_t data[64];

	for (size_t i = 0; i < WARM_UP + MAX_SAMPLES; i++) {
		struct fwctl_info cmd = {
			.size = sizeof(cmd),
			.device_data_len = len,
			.out_device_data = to_u64(data),
		};
		uint64_t start = now();
		int ret = ioctl(fd, FWCTL_INFO, &cmd);

		ticks[i < WARM_UP ? 0 : i - WARM_UP] = now() - start;
		must(!ret, "FWCTL_INFO");
	}
	snprintf(name, sizeof(name), "info %u", len);
	print_median(name, MAX_SAMPLES);
}

/* Makes an RPC of `len` bytes in each direction. */
static struct fwctl_rpc make_rpc(uint32_t op, uint32_t len)
{
	size_t pages = (len + page_size() - 1) / page_size();
	struct fwctl_loopback_cmd head = loopback_cmd(op, len);
	uint8_t *in = (uint8_t *)mapping_end(pages) - pages * page_size();
	uint8_t *out = (uint8_t *)mapping_end(pages) - pages * page_size();

	/* Fault in the pages. */
	memset(in, 0x11, len);
	memset(out, 0x22, len);
	memcpy(in, &head, sizeof(head));
	return (struct fwctl_rpc) {
		.size = sizeof(struct fwctl_rpc),
		.scope = FWCTL_RPC_CONFIGURATION,
		.in_len = len,
		.out_len = len,
		.in = to_u64(in),
		.out = to_u64(out),
	};
}

static uint64_t cost_of_one_rpc(int fd, struct fwctl_rpc *cmd)
{
	uint64_t start = now();
	int ret = ioctl(fd, FWCTL_RPC, cmd);
	uint64_t end = now();

	must(!ret && cmd->out_len == cmd->in_len, "FWCTL_RPC");
	return end - start;
}

static void cost_of_rpc(int fd, const char *what, uint32_t op, uint32_t len)
{
	struct fwctl_rpc cmd = make_rpc(op, len);
	char name[32];

	for (size_t i = 0; i < WARM_UP; i++)
		cost_of_one_rpc(fd, &cmd);
	for (size_t i = 0; i < MAX_SAMPLES; i++)
		ticks[i] = cost_of_one_rpc(fd, &cmd);
	snprintf(name, sizeof(name), "%s %u", what, len);
	print_median(name, MAX_SAMPLES);
}

/* Number of blocks taken before the first sample, and number of samples. */
#define BLOCKS 32

/*
 * Measures RPCs that need the page allocator.  The cost of that depends on the free lists, which
 * differ after each boot: larger blocks are split and merged.  So take one more block of the size
 * away before each sample, with a pipe: first the blocks that are free, then those that result
 * from splits.  The minimum is reproducible.
 */
static void cost_of_long_rpc(int fd, const char *what, uint32_t op, uint32_t len)
{
	struct fwctl_rpc cmd = make_rpc(op, len);
	uint64_t least = UINT64_MAX;
	int pipes[2 * BLOCKS][2];

	for (size_t i = 0; i < 2 * BLOCKS; i++) {
		uint64_t ticks;

		/* 40 bytes for each page in the pipe, more than len / 2 in total. */
		must(!pipe(pipes[i]) && fcntl(pipes[i][0], F_SETPIPE_SZ, len / 64 * 4096) >= 0,
		     "large pipe");
		ticks = cost_of_one_rpc(fd, &cmd);
		if (i >= BLOCKS && ticks < least)
			least = ticks;
	}
	for (size_t i = 0; i < 2 * BLOCKS; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	printf("%s %u\t%llu\n", what, len, (unsigned long long)least);
}

static void cost_of_rpcs(int fd, const char *what, uint32_t op)
{
	static const uint32_t lens[] = { 16, 64, 256, 4096 };
	static const uint32_t long_lens[] = { 65536, MAX_RPC_LEN };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		cost_of_rpc(fd, what, op, lens[i]);
	for (size_t i = 0; i < ARRAY_SIZE(long_lens); i++)
		cost_of_long_rpc(fd, what, op, long_lens[i]);
}

static void cost_of_open_close(const char *node)
{
	for (size_t i = 0; i < WARM_UP + MAX_SAMPLES; i++) {
		uint64_t start = now();
		int fd = open(node, O_RDWR);
		int ret = close(fd);

		ticks[i < WARM_UP ? 0 : i - WARM_UP] = now() - start;
		must(fd >= 0 && !ret, node);
	}
	print_median("open+close", MAX_SAMPLES);
}

static void cost_of_cxl_rpc(int fd, const char *name, uint16_t opcode, uint32_t entries)
{
	struct fwctl_rpc_cxl in = {
		.hdr.opcode = opcode,
		.hdr.op_size = sizeof(in.get_sup_feats_in),
		.get_sup_feats_in.count = htole32(entries * sizeof(struct cxl_feat_entry)),
	};
	uint8_t out[4096];

	for (size_t i = 0; i < WARM_UP + MAX_SAMPLES; i++) {
		struct fwctl_rpc cmd = {
			.size = sizeof(cmd),
			.scope = FWCTL_RPC_CONFIGURATION,
			.in_len = sizeof(in.hdr) + sizeof(in.get_sup_feats_in),
			.out_len = sizeof(out),
			.in = to_u64(&in),
			.out = to_u64(out),
		};
		uint64_t start = now();
		int ret = ioctl(fd, FWCTL_RPC, &cmd);

		ticks[i < WARM_UP ? 0 : i - WARM_UP] = now() - start;
		must(entries ? !ret : ret == -1, name);
	}
	print_median(name, MAX_SAMPLES);
}

/* The kernel has cached the list of Features. */
static void cost_of_cxl(int fd)
{
	cost_of_cxl_rpc(fd, "unknown opcode", 0x4400, 0);
	cost_of_cxl_rpc(fd, "list of 1", 0x500, 1);
	cost_of_cxl_rpc(fd, "list of 4", 0x500, 4);
}

static bool is_cxl(const struct device *dev)
{
	return !strcmp(dev->bus, "cxl");
}

/* Measures an RPC that the driver refuses because no scope allows it. */
static void cost_of_policy(int fd, uint32_t len)
{
	struct fwctl_rpc cmd = make_rpc(0, len);
	struct command head = command(OP_CREATE_EQ, 0);
	char name[32];

	memcpy((void *)(uintptr_t)cmd.in, &head, HEADER_LEN);
	for (size_t i = 0; i < WARM_UP + MAX_SAMPLES; i++) {
		uint64_t start = now();
		int ret = ioctl(fd, FWCTL_RPC, &cmd);

		ticks[i < WARM_UP ? 0 : i - WARM_UP] = now() - start;
		must(ret == -1 && errno == EBADMSG, "FWCTL_RPC that is in no scope");
	}
	snprintf(name, sizeof(name), "in no scope %u", len);
	print_median(name, MAX_SAMPLES);
}

/* The most RPCs that a batch has. */
#define MAX_BATCH 128

/*
 * Measures RPCs that are submitted together to an io_uring, from filling the ring to taking the
 * completions.  Prints the cost of one.
 */
static void cost_of_batch(int fd, struct uring *ring, unsigned int batch, uint32_t len)
{
	static struct fwctl_rpc rpcs[MAX_BATCH];
	struct io_uring_cqe cqe;
	char name[32];

	for (unsigned int i = 0; i < batch; i++)
		rpcs[i] = make_rpc(FWCTL_LOOPBACK_ECHO, len);
	for (size_t i = 0; i < WARM_UP + MAX_SAMPLES; i++) {
		uint64_t start = now();

		for (unsigned int j = 0; j < batch; j++)
			uring_fwctl(ring, fd, FWCTL_RPC, &rpcs[j], j);
		must(uring_enter(ring, batch) == (int)batch, "io_uring_enter");
		for (unsigned int j = 0; j < batch; j++) {
			must(!uring_wait(ring, &cqe) && !cqe.res, "FWCTL_RPC by io_uring");
			must(rpcs[cqe.user_data].out_len == len, "reply by io_uring");
		}
		ticks[i < WARM_UP ? 0 : i - WARM_UP] = (now() - start) / batch;
	}
	snprintf(name, sizeof(name), "ring of %u, echo %u", batch, len);
	print_median(name, MAX_SAMPLES);
	for (unsigned int i = 0; i < batch; i++) {
		size_t size = (len + page_size() - 1) / page_size() * page_size();

		munmap((void *)(uintptr_t)rpcs[i].in, size);
		munmap((void *)(uintptr_t)rpcs[i].out, size);
	}
}

static void batches(const struct device *dev)
{
	static const unsigned int batches[] = { 1, 8, 32, MAX_BATCH };
	static const uint32_t lens[] = { 64, 4096 };
	int fd = open(dev->node, O_RDWR);
	struct uring ring;

	must(fd >= 0, dev->node);
	must(!uring_init(&ring, MAX_BATCH, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
	     "io_uring_setup");
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		cost_of_rpc(fd, "ioctl, echo", FWCTL_LOOPBACK_ECHO, lens[i]);
		for (size_t j = 0; j < ARRAY_SIZE(batches); j++)
			cost_of_batch(fd, &ring, batches[j], lens[i]);
	}
	uring_exit(&ring);
	close(fd);
}

static void cost(const struct device *dev)
{
	int fd = open(dev->node, O_RDWR);

	must(fd >= 0, dev->node);
	cost_of_refusal(fd);
	cost_of_info(fd, 0);
	cost_of_info(fd, 16);
	cost_of_info(fd, 64);
	if (is_mlx5(dev)) {
		cost_of_policy(fd, 16);
		cost_of_policy(fd, 64);
		cost_of_policy(fd, 4096);
		close(fd);
		return;
	}
	if (is_cxl(dev)) {
		cost_of_cxl(fd);
		close(fd);
		return;
	}
	cost_of_rpcs(fd, "echo", FWCTL_LOOPBACK_ECHO);
	cost_of_rpcs(fd, "new", FWCTL_LOOPBACK_ZEROS);
	cost_of_open_close(dev->node);
	close(fd);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	return end.tv_sec - start->tv_sec + (end.tv_nsec - start->tv_nsec) / 1e9;
}

/* A read of the register MGIR */
struct read_request {
	struct fwctl_rpc rpc;
	struct command in;
	uint8_t out[sizeof(struct command)];
};

static void make_read(struct read_request *read)
{
	*read = (struct read_request) {
		.rpc = {
			.size = sizeof(read->rpc),
			.scope = FWCTL_RPC_DEBUG_READ_ONLY,
			.in_len = sizeof(read->in),
			.out_len = sizeof(read->out),
			.in = to_u64(&read->in),
			.out = to_u64(read->out),
		},
		.in = read_register(REG_MGIR),
	};
}

static void speed_of_reads(int fd, unsigned int depth, unsigned long count)
{
	static struct read_request reads[MAX_BATCH];
	unsigned long begun = 0, ended = 0;
	struct io_uring_cqe cqe;
	struct timespec start;
	struct uring ring;

	must(!uring_init(&ring, MAX_BATCH, 0), "io_uring_setup");
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (; begun < depth; begun++) {
		make_read(&reads[begun]);
		uring_fwctl(&ring, fd, FWCTL_RPC, &reads[begun].rpc, begun);
	}
	while (ended < count) {
		must(!uring_wait(&ring, &cqe) && !cqe.res, "register read by io_uring");
		ended++;
		if (begun < count) {
			make_read(&reads[cqe.user_data]);
			uring_fwctl(&ring, fd, FWCTL_RPC, &reads[cqe.user_data].rpc, cqe.user_data);
			begun++;
		}
	}
	printf("%u in flight\t%.0f\n", depth, count / seconds_since(&start));
	uring_exit(&ring);
}

static void reads(const struct device *dev, unsigned long count)
{
	int fd = open(dev->node, O_RDWR);
	struct read_request read;
	struct timespec start;

	must(fd >= 0, dev->node);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned long i = 0; i < count; i++) {
		make_read(&read);
		must(!ioctl(fd, FWCTL_RPC, &read.rpc), "register read");
	}
	printf("ioctl\t%.0f\n", count / seconds_since(&start));
	speed_of_reads(fd, 1, count);
	speed_of_reads(fd, 16, count);
	speed_of_reads(fd, 32, count);
	close(fd);
}

/* A thread pinned to a CPU which sends RPCs of 64 bytes until it is stopped. */
struct sender {
	pthread_t thread;
	int fd;
	int cpu;
	unsigned long count;
};

static bool is_over;

static void *sender_main(void *arg)
{
	struct sender *sender = arg;
	struct fwctl_rpc cmd = make_rpc(FWCTL_LOOPBACK_ECHO, 64);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sender->cpu, &cpus);
	must(!sched_setaffinity(0, sizeof(cpus), &cpus), "sched_setaffinity");
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		must(!ioctl(sender->fd, FWCTL_RPC, &cmd), "FWCTL_RPC");
		sender->count++;
	}
	return NULL;
}

static void speed_of_threads(const char *name, int threads, const int fds[2], double seconds)
{
	struct sender senders[2] = {};
	struct timespec start;
	unsigned long count = 0;

	__atomic_store_n(&is_over, false, __ATOMIC_RELAXED);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < threads; i++) {
		senders[i].fd = fds[i];
		senders[i].cpu = i;
		must(!pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]),
		     "pthread_create");
	}
	usleep(seconds * 1e6);
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < threads; i++) {
		pthread_join(senders[i].thread, NULL);
		count += senders[i].count;
	}
	printf("%s\t%.0f\n", name, count / seconds_since(&start));
}

static void threads(const struct device *dev, double seconds)
{
	int one = open(dev->node, O_RDWR), other = open(dev->node, O_RDWR);

	must(one >= 0 && other >= 0, dev->node);
	speed_of_threads("one thread", 1, (int[]){ one, -1 }, seconds);
	speed_of_threads("two threads, one file", 2, (int[]){ one, one }, seconds);
	speed_of_threads("two threads, two files", 2, (int[]){ one, other }, seconds);
	close(one);
	close(other);
}

static bool is_wanted(const struct device *dev)
{
	const char *driver = getenv("FWCTL_TEST_DRIVER");

	if (driver && !strcmp(driver, "mlx5"))
		return is_mlx5(dev);
	if (driver && !strcmp(driver, "cxl"))
		return is_cxl(dev);
	return is_loopback(dev);
}

int main(int argc, char **argv)
{
	struct device dev;
	double seconds;

	if (!find_device(&dev, is_wanted)) {
		fprintf(stderr, "%s\n", NO_LOOPBACK);
		return KSFT_SKIP;
	}
	if (argc == 2 && !strcmp(argv[1], "cost")) {
		cost(&dev);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "batches") && is_loopback(&dev)) {
		batches(&dev);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "reads") && is_mlx5(&dev)) {
		reads(&dev, strtoul(argv[2], NULL, 10) ?: 1000);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "threads")) {
		seconds = atof(argv[2]);
		threads(&dev, seconds > 0 ? seconds : 1);
		return 0;
	}
	fprintf(stderr, "usage: fwctl_bench cost | batches | reads COUNT | threads SECONDS\n");
	return 1;
}
