/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Segments of a dump of a ConnectX, by way of memory where the kernel registers it. If the firmware
 * fails midway, those that came before.
 *
 *	cc dump.c $(pkg-config --cflags --libs fwctl) -o dump
 *	./dump 0000:07:00.0 TYPE INDEX	TYPE is a number of the menu, which has the number 0xffff
 *	./dump -r RECORDING TYPE INDEX	answers from a file, as the test does
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <fwctl.h>

/* Registered while the program runs. */
#define MEMORY (1 << 20)
#define MAX (64 << 20)

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

static int progress(void *context, size_t count)
{
	fprintf(stderr, "%s: %zu bytes\n", (const char *)context, count);
	return 0;
}

/* A segment starts with its length in words and its type, both big-endian. */
static void print(const unsigned char *bytes, size_t len)
{
	size_t segment;

	while (len >= 4) {
		segment = 4 * (bytes[0] << 8 | bytes[1]);
		if (segment < 4 || segment > len)
			break;
		printf("segment 0x%04x: %zu bytes\n", bytes[2] << 8 | bytes[3], segment);
		bytes += segment;
		len -= segment;
	}
	if (len)
		printf("%zu bytes are no segment\n", len);
}

int main(int argc, char **argv)
{
	struct fwctl_mlx5_dump_request request = { 0 };
	int first = argc > 2 && argv[1][0] == '-' ? 2 : 1;
	struct fwctl_status status = { 0 };
	struct fwctl_memory *memory;
	struct fwctl_device *dev;
	struct fwctl_dump *dump;
	int ret;

	if (argc != first + 3) {
		fprintf(stderr, "usage: %s DEVICE | -r RECORDING TYPE INDEX\n", argv[0]);
		return 2;
	}
	if (first == 2 ? open_recording(argv[2], &dev) : fwctl_open(argv[1], &dev))
		return failed(argv[first]);
	request.segment_type = strtoul(argv[first + 1], NULL, 0);
	request.index1 = strtoul(argv[first + 2], NULL, 0);

	if (fwctl_mlx5_dump_memory(dev, MEMORY, 5000, &memory))
		failed(fwctl_name(dev));
	if (!memory)
		fprintf(stderr, "%s: dumping without memory, which is slow\n", fwctl_name(dev));
	ret = fwctl_mlx5_dump(dev, &request, memory, MAX, 60000, progress, (void *)fwctl_name(dev), &dump,
			      &status);
	if (ret == -EREMOTEIO)
		printf("firmware refused with %#x (%s)\n", status.code, status.name);
	else if (ret)
		failed(fwctl_name(dev));
	print(fwctl_dump_data(dump), fwctl_dump_len(dump));
	fwctl_dump_free(dump);

	if (memory && fwctl_memory_destroy(memory, 5000))
		ret = failed(fwctl_name(dev));
	fwctl_memory_free(memory);
	fwctl_close(dev);
	return ret ? 1 : 0;
}
