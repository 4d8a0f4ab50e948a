// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two users of a CXL memory device's Features at once: fwctl, and the kernel's own EDAC
 * controls in /sys/bus/edac/devices/cxl_memN.
 *
 * Needs a memory device with patrol scrub and ECS that the driver cxl_mem binds to, such as the
 * cxl-type3 of QEMU, and a kernel with CONFIG_CXL_EDAC_SCRUB and CONFIG_CXL_EDAC_ECS.
 * FWCTL_TEST_DEV names the fwctl device (default: the first one below a memdev).
 */
#include "cxl_utils.h"

#define EDAC_DIR "/sys/bus/edac/devices"
#define PATIENCE 300

/* Patrol scrub is first, ECS second: see cxl_utils.h. */
enum { SCRUB, ECS };

/* Patrol scrub: capabilities, hours of a cycle and the least of them, and whether it is on. */
#define SCRUB_LEN 4
/* ECS: capabilities of the log, and four bytes for each media FRU. */
#define ECS_HEAD 1
#define ECS_FRU 4

/* What the tests change. */
static const char *const controls[] = {
	"scrub0/current_cycle_duration", "scrub0/enable_background", "ecs_fru0/threshold",
};

FIXTURE(edac)
{
	struct device dev;
	long before[ARRAY_SIZE(controls)];
	int fd;
	/* Directory of the memdev's controls */
	char dir[PATH_MAX];
};

/* Reads a number from a file below `dir`; -1 if there is none. */
static long read_number(const char *dir, const char *file)
{
	char path[PATH_MAX + 64], text[64];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (read_text(path, text, sizeof(text)))
		return -1;
	return strtol(text, NULL, 0);
}

/* Returns 0 or an errno. */
static int write_number(const char *dir, const char *file, long number)
{
	char path[PATH_MAX + 64], text[32];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	snprintf(text, sizeof(text), "%ld", number);
	return write_text(path, text);
}

FIXTURE_SETUP(edac)
{
	if (!find_device(&self->dev, is_memdev_child))
		SKIP(return, "no fwctl device of a CXL memory device");
	snprintf(self->dir, sizeof(self->dir), EDAC_DIR "/cxl_%s", self->dev.parent);
	if (read_number(self->dir, "scrub0/current_cycle_duration") < 0 ||
	    read_number(self->dir, "ecs_fru0/threshold") < 0)
		SKIP(return, "no scrub and ECS controls of the memory device");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		self->before[i] = read_number(self->dir, controls[i]);
		ASSERT_LE(0, self->before[i]);
	}
}

/* The device is as it was for those that come after this. */
FIXTURE_TEARDOWN(edac)
{
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++)
		EXPECT_EQ(0, write_number(self->dir, controls[i], self->before[i]));
	close(self->fd);
}

/*
 * Get and Set Feature; they leave the static request of cxl_utils.h alone, as several threads make
 * them.  They return 0, an errno, or this and a return code of the device.
 */
#define DEVICE_SAYS 0x10000

static int get(int fd, const uint8_t *uuid, void *data, uint32_t *len)
{
	struct fwctl_rpc_cxl rpc = { .hdr = { .opcode = OP_GET, .op_size = GET_LEN } };
	uint8_t out[REPLY_HEAD_LEN + 256] = {};
	struct fwctl_rpc_cxl_out *head = (void *)out;
	uint32_t out_len = sizeof(out);
	int err;

	memcpy(rpc.get_feat_in.uuid, uuid, 16);
	rpc.get_feat_in.count = htole16(*len);
	err = _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &rpc, HEAD_LEN + GET_LEN, out, &out_len);
	if (err)
		return err;
	if (head->hdr.retval)
		return DEVICE_SAYS + head->hdr.retval;
	if (out_len != REPLY_HEAD_LEN + head->hdr.size || head->hdr.size > *len)
		return ECHANGED;
	*len = head->hdr.size;
	memcpy(data, out + REPLY_HEAD_LEN, *len);
	return 0;
}

static int set(int fd, const uint8_t *uuid, const void *data, uint32_t len)
{
	uint8_t in[HEAD_LEN + SET_LEN + 256] = {};
	struct fwctl_rpc_cxl *rpc = (void *)in;
	struct fwctl_rpc_cxl_out out = {};
	uint32_t out_len = REPLY_HEAD_LEN;
	int err;

	rpc->hdr.opcode = OP_SET;
	rpc->hdr.op_size = SET_LEN + len;
	memcpy(rpc->set_feat_in.hdr.uuid, uuid, 16);
	rpc->set_feat_in.hdr.version = 1;
	memcpy(in + HEAD_LEN + SET_LEN, data, len);
	err = _fwctl_rpc(fd, FWCTL_RPC_DEBUG_WRITE_FULL, in, HEAD_LEN + SET_LEN + len, &out,
			 &out_len);
	if (err)
		return err;
	return out.hdr.retval ? DEVICE_SAYS + out.hdr.retval : 0;
}

/* Both read the same, and what EDAC writes fwctl reads. */
TEST_F_TIMEOUT(edac, one_after_the_other, PATIENCE)
{
	for (int hours = 1; hours < 256; hours += 50) {
		uint8_t scrub[SCRUB_LEN];
		uint32_t len = SCRUB_LEN;

		ASSERT_EQ(0, write_number(self->dir, "scrub0/current_cycle_duration", 3600 * hours));
		ASSERT_EQ(0, write_number(self->dir, "scrub0/enable_background", hours & 1));
		ASSERT_EQ(0, get(self->fd, exclusive_uuids[SCRUB], scrub, &len));
		EXPECT_EQ(SCRUB_LEN, len);
		EXPECT_EQ(hours, scrub[1]);
		EXPECT_EQ(hours & 1, scrub[3] & 1);
		EXPECT_EQ(3600 * hours,
			  read_number(self->dir, "scrub0/current_cycle_duration"));
		EXPECT_EQ(3600 * scrub[2], read_number(self->dir, "scrub0/min_cycle_duration"));
	}
}

/* One thread; it works until it is told to stop or something is not as it has to be. */
struct worker {
	pthread_t thread;
	/* Does one thing and looks at what comes of it; returns 0, or why it is wrong. */
	int (*work)(struct worker *worker, unsigned int round);
	const char *name, *dir;
	int fd;
	unsigned int rounds;
	int err;
};

static bool has_to_stop;

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	while (!worker->err && !__atomic_load_n(&has_to_stop, __ATOMIC_ACQUIRE)) {
		worker->err = worker->work(worker, worker->rounds);
		__atomic_add_fetch(&worker->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static unsigned int rounds_of(const struct worker *worker)
{
	return __atomic_load_n(&worker->rounds, __ATOMIC_RELAXED);
}

/* It alone writes the patrol scrub, so that it reads what it has written. */
static int write_scrub(struct worker *worker, unsigned int round)
{
	long seconds = 3600 * (1 + round % 24);
	int err;

	err = write_number(worker->dir, "scrub0/current_cycle_duration", seconds);
	if (!err && read_number(worker->dir, "scrub0/current_cycle_duration") != seconds)
		err = ECHANGED;
	if (!err)
		err = write_number(worker->dir, "scrub0/enable_background", round & 1);
	if (!err && read_number(worker->dir, "scrub0/enable_background") != (round & 1))
		err = ECHANGED;
	return err;
}

/* The same for ECS. */
static int write_ecs(struct worker *worker, unsigned int round)
{
	static const long thresholds[] = { 256, 1024, 4096 };
	long threshold = thresholds[round % ARRAY_SIZE(thresholds)];
	int err;

	err = write_number(worker->dir, "ecs_fru0/threshold", threshold);
	if (!err && read_number(worker->dir, "ecs_fru0/threshold") != threshold)
		err = ECHANGED;
	return err;
}

/* By fwctl: any value that was written, and nothing else. */
static int read_scrub(struct worker *worker, unsigned int round)
{
	uint8_t scrub[SCRUB_LEN];
	uint32_t len = SCRUB_LEN;
	int err = get(worker->fd, exclusive_uuids[SCRUB], scrub, &len);

	if (err)
		return err;
	return len == SCRUB_LEN && scrub[1] >= 1 && scrub[1] <= 24 && scrub[3] <= 1 ? 0 : ECHANGED;
}

static int read_ecs(struct worker *worker, unsigned int round)
{
	uint8_t ecs[256];
	uint32_t len = sizeof(ecs);
	int err = get(worker->fd, exclusive_uuids[ECS], ecs, &len);
	uint8_t threshold;

	if (err)
		return err;
	if (len < ECS_HEAD + ECS_FRU || (len - ECS_HEAD) % ECS_FRU)
		return ECHANGED;
	threshold = ecs[ECS_HEAD + 1] & 7;
	return threshold >= 3 && threshold <= 5 ? 0 : ECHANGED;
}

/* By fwctl: it never works, and always fails alike. */
static int fail_to_write(struct worker *worker, unsigned int round)
{
	static const uint8_t zeros[64];
	int err;

	err = set(worker->fd, exclusive_uuids[round % 2], zeros, 2 + round % 60);
	if (err != EPERM)
		return err ?: ECHANGED;
	err = set(worker->fd, unknown_uuid, zeros, 2);
	return err == EINVAL ? 0 : err ?: ECHANGED;
}

#define WORK(function) { .work = function, .name = #function }
#define ROUNDS 200

TEST_F_TIMEOUT(edac, both_at_once, PATIENCE)
{
	struct worker workers[] = {
		WORK(write_scrub), WORK(write_ecs), WORK(read_scrub), WORK(read_scrub),
		WORK(read_ecs), WORK(fail_to_write),
	};
	uint8_t scrub[SCRUB_LEN];
	uint32_t len = SCRUB_LEN;
	bool is_over = false;

	/* A value that the readers expect. */
	ASSERT_EQ(0, write_number(self->dir, "scrub0/current_cycle_duration", 3600));
	ASSERT_EQ(0, write_number(self->dir, "ecs_fru0/threshold", 256));

	has_to_stop = false;
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i].dir = self->dir;
		workers[i].fd = self->fd;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	while (!is_over) {
		is_over = true;
		for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
			int err = __atomic_load_n(&workers[i].err, __ATOMIC_RELAXED);

			if (rounds_of(&workers[i]) < ROUNDS && !err)
				is_over = false;
		}
		usleep(10000);
	}
	__atomic_store_n(&has_to_stop, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].err) {
			TH_LOG("%s, round %u", workers[i].name, workers[i].rounds);
		}
	}

	ASSERT_EQ(0, get(self->fd, exclusive_uuids[SCRUB], scrub, &len));
	EXPECT_EQ(3600 * scrub[1], read_number(self->dir, "scrub0/current_cycle_duration"));
	EXPECT_EQ(scrub[3] & 1, read_number(self->dir, "scrub0/enable_background"));
}

TEST_HARNESS_MAIN
