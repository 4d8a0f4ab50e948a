// SPDX-License-Identifier: GPL-2.0-only
/*
 * Concurrent use of the Features of a CXL memory device by fwctl and by the kernel's EDAC
 * controls in /sys/bus/edac/devices/cxl_memN.
 *
 * Needs a memory device with patrol scrub and ECS that the driver cxl_mem binds to, such as the
 * cxl-type3 of QEMU, and a kernel with CONFIG_CXL_EDAC_SCRUB and CONFIG_CXL_EDAC_ECS.
 * FWCTL_TEST_DEV names the fwctl device (default: the first one below a memdev).
 */
#include "cxl_utils.h"

#define EDAC_DIR "/sys/bus/edac/devices"
#define PATIENCE 300

/* Indexes of exclusive_uuids. */
enum { SCRUB, ECS };

/* Patrol scrub: capabilities, current and minimum cycle in hours, and enable flag. */
#define SCRUB_LEN 4
/* ECS: log capabilities, and four bytes per media FRU. */
#define ECS_HEAD 1
#define ECS_FRU 4

/* Files that the tests change. */
static const char *const controls[] = {
	"scrub0/current_cycle_duration", "scrub0/enable_background", "ecs_fru0/threshold",
};

FIXTURE(edac)
{
	struct device dev;
	long before[ARRAY_SIZE(controls)];
	int fd;
	/* EDAC directory of the memdev */
	char dir[PATH_MAX];
};

/* Reads a number from a file below `dir`.  Returns -1 on error. */
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
		SKIP(return, "the memory device has no scrub and ECS controls");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		self->before[i] = read_number(self->dir, controls[i]);
		ASSERT_LE(0, self->before[i]);
	}
}

/* Restores the controls. */
FIXTURE_TEARDOWN(edac)
{
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++)
		EXPECT_EQ(0, write_number(self->dir, controls[i], self->before[i]));
	close(self->fd);
}

/*
 * Get and Set Feature for use by several threads, without the static request of cxl_utils.h.  They
 * return 0, an errno, or DEVICE_SAYS plus a return code of the device.
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

/* fwctl reads the values that EDAC reads and writes. */
TEST_F_TIMEOUT(edac, one_after_the_other, PATIENCE)
{
	for (int hours = 1; hours < 256; hours += 50) {
		uint8_t scrub[SCRUB_LEN];
		uint32_t len = SCRUB_LEN;

		ASSERT_EQ(0,
			  write_number(self->dir, "scrub0/current_cycle_duration", 3600 * hours));
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

/* A thread that works until it is stopped or finds a wrong value. */
struct worker {
	pthread_t thread;
	/* Does one round.  Returns 0 or an error. */
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

/* Writes the patrol scrub cycle and reads it back; no other thread writes it. */
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

/* Reads through fwctl, which must return a value that was written. */
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

/* Writes through fwctl, which must always fail with the same error. */
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

	/* Start with a value that the readers expect. */
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
