/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every function of fwctl.h, on recordings; the test of the C API. Exits with 0, or names the line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fwctl.h>

#define CHECK(condition)								\
	do {										\
		if (!(condition)) {							\
			printf("line %d: not %s; last error: %s\n", __LINE__,		\
			       #condition, fwctl_error());				\
			exit(1);							\
		}									\
	} while (0)

static const char recording[] = "unordered\n"
				"info mlx5 0500000004000000\n"
				"rpc configuration 01 -> aabb\n"
				"rpc configuration 02 -> after 60000 cc\n"
				"rpc configuration 03 -> errno 19\n"
				"rpc configuration 04 -> len 4096 dd\n"
				"rpc configuration 05 -> after 60000 ee\n"
				"rpc configuration 06 -> 03000000 00001234\n"
				"rpc configuration 07 -> ff\n";

static struct fwctl_device *device(void)
{
	struct fwctl_device *dev;

	CHECK(fwctl_open_recording(recording, &dev) == 0);
	return dev;
}

static int rpc(struct fwctl_device *dev, unsigned char byte, void *reply, size_t len,
	       int64_t limit, size_t *true_len)
{
	return fwctl_rpc(dev, FWCTL_SCOPE_CONFIGURATION, &byte, 1, reply, len, limit, true_len);
}

static void calls(void)
{
	struct fwctl_device *dev = device();
	struct fwctl_status status;
	unsigned char buffer[16] = { 0 };
	size_t len;
	uint32_t type;

	CHECK(strcmp(fwctl_name(dev), "fwctl0") == 0);
	CHECK(fwctl_fd(dev) == -EBADF);
	CHECK(fwctl_type(dev, &type) == 0 && type == 1);
	CHECK(fwctl_info(dev, buffer, 4, &len) == 0 && len == 8 && buffer[0] == 5 && buffer[4] == 0);
	CHECK(rpc(dev, 1, buffer, sizeof(buffer), FWCTL_FOREVER, &len) == 0);
	CHECK(len == 2 && buffer[0] == 0xaa && buffer[1] == 0xbb);
	CHECK(rpc(dev, 2, buffer, sizeof(buffer), 20, &len) == -ETIMEDOUT);
	CHECK(strstr(fwctl_error(), "no answer by the deadline"));
	CHECK(fwctl_error_meaning() && fwctl_error_remedy());
	CHECK(rpc(dev, 3, buffer, sizeof(buffer), FWCTL_FOREVER, &len) == -ENODEV);
	CHECK(rpc(dev, 4, NULL, 0, FWCTL_FOREVER, &len) == 0 && len == 4096);
	CHECK(rpc(dev, 4, NULL, 1, FWCTL_FOREVER, &len) == -EINVAL);
	CHECK(rpc(dev, 4, buffer, FWCTL_MAX_LEN + 1, FWCTL_FOREVER, &len) == -EMSGSIZE);
	CHECK(fwctl_rpc(dev, 9, buffer, 1, NULL, 0, FWCTL_FOREVER, &len) == -EINVAL);
	CHECK(rpc(dev, 6, buffer, sizeof(buffer), FWCTL_FOREVER, &len) == 0);
	CHECK(fwctl_firmware_status(type, buffer, len, &status) == 1);
	CHECK(status.code == 3 && status.syndrome == 0x1234 && status.name[0]);
	CHECK(fwctl_firmware_status(type, buffer + 1, len - 1, &status) == 0);
	fwctl_close(dev);
}

static void queues(void)
{
	struct fwctl_device *dev = device();
	struct fwctl_completion *done;
	struct fwctl_queue *queue;
	uint64_t tickets[4];
	unsigned char bytes[] = { 2, 7, 3, 5 };
	int i;

	CHECK(fwctl_queue_new(dev, 8, FWCTL_BACKEND_IO_URING, &queue) == -EOPNOTSUPP);
	CHECK(fwctl_queue_new(dev, 8, 77, &queue) == -EINVAL);
	CHECK(fwctl_queue_new(dev, 8, FWCTL_BACKEND_ANY, &queue) == 0);
	CHECK(fwctl_queue_backend(queue) == FWCTL_BACKEND_THREADS);
	for (i = 0; i < 4; i++)
		CHECK(fwctl_queue_begin(queue, FWCTL_SCOPE_CONFIGURATION, &bytes[i], 1, 8,
					i == 3 ? 30 : FWCTL_FOREVER, &tickets[i]) == 0);
	/* The device is no longer needed. */
	fwctl_close(dev);
	CHECK(fwctl_queue_len(queue) == 4);
	CHECK(fwctl_queue_wait(queue, tickets[1], FWCTL_FOREVER, &done) == 0 && done);
	CHECK(done->ticket == tickets[1] && done->error == 0 && done->true_len == 1);
	CHECK(done->reply_len == 1 && done->reply[0] == 0xff);
	fwctl_completion_free(done);
	CHECK(fwctl_queue_wait(queue, tickets[1], FWCTL_FOREVER, &done) == 0 && !done);
	CHECK(fwctl_queue_wait(queue, tickets[2], FWCTL_FOREVER, &done) == 0 && done);
	CHECK(done->error == -ENODEV && !done->reply);
	fwctl_completion_free(done);
	CHECK(fwctl_queue_wait(queue, tickets[3], FWCTL_FOREVER, &done) == 0 && done);
	CHECK(done->error == -ETIMEDOUT);
	fwctl_completion_free(done);
	CHECK(fwctl_queue_wait(queue, 0, 20, &done) == 0 && !done);
	CHECK(fwctl_queue_wait(queue, tickets[0], 20, &done) == 0 && !done);
	CHECK(fwctl_queue_cancel(queue, tickets[0]) == 1 && fwctl_queue_cancel(queue, tickets[0]) == 0);
	CHECK(fwctl_queue_wait(queue, 0, 0, &done) == 0 && done && done->error == -ECANCELED);
	fwctl_completion_free(done);
	CHECK(fwctl_queue_wait(queue, 0, FWCTL_FOREVER, &done) == 0 && !done);
	fwctl_queue_free(queue);
}

static void errors(void)
{
	struct fwctl_devices *list;
	struct fwctl_device *dev;
	size_t i;

	CHECK(fwctl_open_recording("nonsense", &dev) == -EINVAL && strstr(fwctl_error(), "line 1"));
	CHECK(fwctl_open("no-such-device", &dev) == -ENODEV && *fwctl_error());
	CHECK(fwctl_open_fd(-1, &dev) == -EINVAL);
	CHECK(fwctl_open_fd(9999, &dev) == -EBADF);
	CHECK(fwctl_open_fd(STDIN_FILENO, &dev) == -ENODEV);
	CHECK(fwctl_list(&list) == 0);
	for (i = 0; i < fwctl_list_len(list); i++)
		CHECK(fwctl_list_name(list, i) && fwctl_list_node(list, i) &&
		      fwctl_list_parent(list, i) && fwctl_list_type(list, i));
	CHECK(!fwctl_list_name(list, i) && !fwctl_list_node(list, i));
	CHECK(!fwctl_list_parent(list, i) && !fwctl_list_type(list, i));
	fwctl_list_free(list);
	CHECK(strchr(fwctl_version(), '.'));
}

int main(void)
{
	calls();
	queues();
	errors();
	return 0;
}
