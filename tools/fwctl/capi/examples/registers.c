/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Temperatures of a ConnectX: register MTMP of the first sensors, with all requests in flight.
 *
 *	cc registers.c $(pkg-config --cflags --libs fwctl) -o registers
 *	./registers 0000:07:00.0
 *	./registers -r RECORDING	answers from a file, as the test does
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fwctl.h>

#define SENSORS 4
#define HEADER 16
#define MTMP 0x900a
#define MTMP_LEN 32

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, fwctl_error());
	if (fwctl_error_remedy())
		fprintf(stderr, "  remedy: %s\n", fwctl_error_remedy());
	return 1;
}

static int open_recording(const char *path, struct fwctl_device **dev)
{
	static char text[65536];
	size_t len;
	FILE *file = fopen(path, "r");

	if (!file)
		return -errno;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	return fwctl_open_recording(text, dev);
}

/* ACCESS_REG, read: include/linux/mlx5/mlx5_ifc.h. */
static void request(unsigned char *mtmp, unsigned int sensor)
{
	memset(mtmp, 0, HEADER + MTMP_LEN);
	mtmp[0] = 0x08;
	mtmp[1] = 0x05;
	mtmp[7] = 1;
	mtmp[10] = MTMP >> 8;
	mtmp[11] = MTMP & 0xff;
	mtmp[HEADER + 3] = sensor;
}

static int print(struct fwctl_completion *done, const uint64_t *tickets)
{
	struct fwctl_status status;
	unsigned int sensor = 0;

	while (tickets[sensor] != done->ticket)
		sensor++;
	if (done->error) {
		printf("sensor %u: %s\n", sensor, strerror(-done->error));
		return 1;
	}
	if (fwctl_firmware_status(FWCTL_TYPE_MLX5, done->reply, done->reply_len, &status)) {
		printf("sensor %u: firmware refused with %#x (%s), syndrome %#x\n", sensor, status.code,
		       status.name, status.syndrome);
		return 3;
	}
	if (done->reply_len < HEADER + 8)
		return 1;
	printf("sensor %u: %.1f degrees\n", sensor,
	       (short)(done->reply[HEADER + 6] << 8 | done->reply[HEADER + 7]) / 8.0);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned char mtmp[HEADER + MTMP_LEN];
	uint64_t tickets[SENSORS];
	struct fwctl_completion *done;
	struct fwctl_device *dev;
	struct fwctl_queue *queue;
	unsigned int i;
	uint32_t type;
	int ret = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DEVICE | -r RECORDING\n", argv[0]);
		return 2;
	}
	if (argc > 2 ? open_recording(argv[2], &dev) : fwctl_open(argv[1], &dev))
		return failed(argv[argc > 2 ? 2 : 1]);
	if (fwctl_type(dev, &type))
		return failed(fwctl_name(dev));
	printf("%s is of type %u\n", fwctl_name(dev), type);

	if (fwctl_queue_new(dev, 0, FWCTL_BACKEND_ANY, &queue))
		return failed(fwctl_name(dev));
	for (i = 0; i < SENSORS; i++) {
		request(mtmp, i);
		if (fwctl_queue_begin(queue, FWCTL_SCOPE_DEBUG_READ_ONLY, mtmp, sizeof(mtmp), sizeof(mtmp),
				      5000, &tickets[i]))
			return failed(fwctl_name(dev));
	}
	while (!fwctl_queue_wait(queue, 0, FWCTL_FOREVER, &done) && done) {
		int one = print(done, tickets);

		if (one > ret)
			ret = one;
		fwctl_completion_free(done);
	}
	fwctl_queue_free(queue);
	fwctl_close(dev);
	return ret;
}
