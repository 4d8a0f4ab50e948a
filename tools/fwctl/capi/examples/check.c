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

static const char memory[] =
	"unordered\n"
	"info cxl 0300000000010000\n"
	/* Set Feature by its effects, a vendor's command, one that changes configuration, one refused, a tunnel. */
	"rpc configuration 00000100 00000000 00000000 00000000 -> 30000000 00000000 05000000 00000000"
	" 0205 0e02 02 00 0100  00c0 0000 01 00 0000  20c0 0200 03 00 0000  30c0 4000 ff 04 0000"
	" 0053 0000 00 00 0200\n"
	"rpc debug-read-only 00c00000 00000000 02000000 00000000 6869 -> 03000000 00000000 616263\n"
	"rpc debug-read-only 00c00000 00000000 00000000 00000000 -> 00000000 16000000\n"
	"rpc debug-read-only 00c00000 00000000 00000000 00000000 -> 00000000 16000000\n"
	"rpc debug-read-only 20c00000 00000000 00000000 00000000 -> errno 1\n"
	"rpc debug-read-only 01c00000 00000000 00000000 00000000 -> after 60000 00000000 00000000\n"
	"rpc debug-read-only 02c00000 00000000 00000000 00000000 -> ff000000 00000000 61\n";

static void snapshot(void)
{
	const struct fwctl_item *item;
	struct fwctl_items *items;
	struct fwctl_device *dev;
	char *json;
	size_t i;

	CHECK(fwctl_catalogue(FWCTL_TYPE_MLX5, NULL) == -EINVAL);
	CHECK(fwctl_catalogue(FWCTL_TYPE_BNXT, &items) == 0 && fwctl_catalogue_len(items) == 0);
	CHECK(!fwctl_catalogue_get(items, 0));
	fwctl_catalogue_free(items);
	CHECK(fwctl_catalogue(FWCTL_TYPE_MLX5, &items) == 0 && fwctl_catalogue_len(items) > 50);
	for (i = 0; (item = fwctl_catalogue_get(items, i)); i++)
		if (strcmp(item->name, "mtmp") == 0)
			break;
	CHECK(item && strcmp(item->kind, "register") == 0 && strcmp(item->volatility, "configuration") == 0);
	CHECK(strcmp(item->about, "temperature of a sensor") == 0);
	CHECK(item->scope == FWCTL_SCOPE_DEBUG_READ_ONLY && strcmp(item->select, "sensor_index") == 0);
	fwctl_catalogue_free(items);

	CHECK(fwctl_open_recording("info mlx5 00000000\notherwise 03000000 00000007", &dev) == 0);
	CHECK(fwctl_snapshot(dev, 5000, NULL) == -EINVAL);
	CHECK(fwctl_snapshot(dev, 5000, &json) == 0);
	CHECK(strstr(json, "\"kind\": \"snapshot\"") && strstr(json, "\"register/mtmp/sensor_index=0\": {"));
	CHECK(strstr(json, "\"syndrome\": 7") && !strstr(json, "ENODEV"));
	fwctl_snapshot_free(json);
	fwctl_close(dev);

	/* It is removed: the document has that. */
	CHECK(fwctl_open_recording("info mlx5 00000000\notherwise errno 19", &dev) == 0);
	CHECK(fwctl_snapshot(dev, FWCTL_FOREVER, &json) == -ENODEV && strstr(json, "ENODEV"));
	fwctl_snapshot_free(json);
	CHECK(fwctl_snapshot(NULL, FWCTL_FOREVER, &json) == -EINVAL && !json);
	fwctl_close(dev);
}

static void commands(void)
{
	const struct fwctl_cxl_command *command;
	struct fwctl_cxl_commands *list;
	struct fwctl_device *dev;
	struct fwctl_status status = { 0 };
	unsigned char buffer[16] = { 0 };
	size_t len = 77;

	CHECK(fwctl_open_recording(memory, &dev) == 0);
	CHECK(fwctl_cxl_list(dev, NULL) == -EINVAL);
	CHECK(fwctl_cxl_list(dev, &list) == 0 && fwctl_cxl_list_len(list) == 5);
	command = fwctl_cxl_list_get(list, 0);
	CHECK(command->opcode == 0x502 && command->effects == 0x20e);
	CHECK(command->scope == FWCTL_SCOPE_DEBUG_WRITE && command->by_feature && !command->by_payload);
	CHECK(strcmp(command->name, "Set Feature") == 0 && !command->refused);
	command = fwctl_cxl_list_get(list, 1);
	CHECK(command->opcode == 0xc000 && command->scope == FWCTL_SCOPE_DEBUG_READ_ONLY);
	CHECK(!command->by_feature && !command->by_payload && !command->name && !command->refused);
	command = fwctl_cxl_list_get(list, 3);
	CHECK(command->scope == FWCTL_SCOPE_NEVER && strcmp(command->refused, "background") == 0);
	command = fwctl_cxl_list_get(list, 4);
	CHECK(command->scope == FWCTL_SCOPE_CONFIGURATION && command->by_payload);
	CHECK(!fwctl_cxl_list_get(list, 5));
	fwctl_cxl_list_free(list);

	CHECK(fwctl_cxl_send(dev, 1, 0xc000, (const uint8_t *)"hi", 2, buffer, 2, FWCTL_FOREVER, &len,
			     NULL) == 0);
	CHECK(len == 3 && memcmp(buffer, "ab", 3) == 0);
	CHECK(fwctl_cxl_send(dev, 1, 0xc000, NULL, 0, buffer, 16, FWCTL_FOREVER, &len, &status) ==
	      -EREMOTEIO);
	CHECK(status.code == 0x16 && status.name[0] && strstr(fwctl_error(), "0x16"));
	CHECK(fwctl_cxl_send(dev, 1, 0xc000, NULL, 0, buffer, 16, FWCTL_FOREVER, &len, NULL) ==
	      -EREMOTEIO);
	/* The kernel refuses the scope. */
	CHECK(fwctl_cxl_send(dev, 1, 0xc020, NULL, 0, buffer, 16, FWCTL_FOREVER, &len, NULL) == -EPERM);
	CHECK(fwctl_cxl_send(dev, 1, 0xc001, NULL, 0, buffer, 16, 20, &len, NULL) == -ETIMEDOUT);
	CHECK(fwctl_cxl_send(dev, 1, 0xc002, NULL, 0, buffer, 16, FWCTL_FOREVER, &len, NULL) == -EBADMSG);
	/* Nothing is sent. */
	CHECK(fwctl_cxl_send(dev, 9, 0xc000, NULL, 0, buffer, 16, FWCTL_FOREVER, &len, NULL) == -EINVAL);
	CHECK(fwctl_cxl_send(dev, 1, 0xc000, NULL, 1, buffer, 16, FWCTL_FOREVER, &len, NULL) == -EINVAL);
	CHECK(fwctl_cxl_send(dev, 1, 0xc000, NULL, 0, NULL, 16, FWCTL_FOREVER, &len, NULL) == -EINVAL);
	CHECK(fwctl_cxl_send(dev, 1, 0xc000, NULL, 0, buffer, 16, FWCTL_FOREVER, NULL, NULL) == -EINVAL);
	fwctl_close(dev);

	/* A kernel with Feature commands only, and a device of another type. */
	CHECK(fwctl_open_recording("info cxl", &dev) == 0);
	CHECK(fwctl_cxl_list(dev, &list) == -EOPNOTSUPP && strstr(fwctl_error(), "Feature commands"));
	fwctl_close(dev);
	dev = device();
	CHECK(fwctl_cxl_list(dev, &list) == -EINVAL);
	CHECK(fwctl_cxl_send(dev, 1, 0xc000, NULL, 0, NULL, 0, FWCTL_FOREVER, &len, NULL) == -EINVAL);
	fwctl_close(dev);
}

static const char registration[] =
	"unordered\n"
	"info mlx5 0500000004000000\n"
	"memory 7 0x142\n"
	"memory errno 12\n"
	"memory after 200 7 0x142\n"
	"release errno 16\n"
	"release errno 5\n"
	"release after 200\n"
	"release after 60000\n"
	"rpc configuration 01 -> dma 0a0b then 0c\n";

static void registrations(void)
{
	struct fwctl_device *dev;
	struct fwctl_memory *memory, *other;
	unsigned char bytes[8192], old[2] = { 9, 9 };
	size_t len, i;

	CHECK(fwctl_open_recording(registration, &dev) == 0);
	memory = (struct fwctl_memory *)bytes;
	CHECK(fwctl_memory_new(dev, 5000, 0, FWCTL_FOREVER, &memory) == -EINVAL && !memory);
	CHECK(fwctl_memory_new(dev, 5000, 4, FWCTL_FOREVER, &memory) == -EINVAL);
	CHECK(fwctl_memory_new(dev, 0, FWCTL_MEMORY_KEY, FWCTL_FOREVER, &memory) == -EINVAL);
	CHECK(fwctl_memory_new(dev, SIZE_MAX, FWCTL_MEMORY_KEY, FWCTL_FOREVER, &memory) == -EINVAL);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_KEY, FWCTL_FOREVER, NULL) == -EINVAL);
	CHECK(fwctl_memory_new(dev, 5000, FWCTL_MEMORY_KEY | FWCTL_MEMORY_PAGES, 5000, &memory) == 0);
	len = fwctl_memory_len(memory);
	CHECK(len >= 5000 && len % sysconf(_SC_PAGESIZE) == 0);
	CHECK(fwctl_memory_address(memory) % sysconf(_SC_PAGESIZE) == 0 && fwctl_memory_address(memory));
	CHECK(fwctl_memory_umem(memory) == 7 && fwctl_memory_key(memory) == 0x142);
	CHECK(fwctl_memory_resource(memory) == 1);

	/* The firmware writes, and so does the program. */
	CHECK(rpc(dev, 1, bytes, 1, FWCTL_FOREVER, &len) == 0);
	CHECK(fwctl_memory_read(memory, 0, bytes, 3) == 0 && memcmp(bytes, "\x0a\x0b", 3) == 0);
	for (i = 0; i < 5000; i++)
		bytes[i] = i;
	CHECK(fwctl_memory_write(memory, 1, bytes, 5000) == 0);
	memset(bytes, 0, sizeof(bytes));
	CHECK(fwctl_memory_read(memory, 1, bytes, 5000) == 0);
	for (i = 0; i < 5000; i++)
		CHECK(bytes[i] == (unsigned char)i);
	len = fwctl_memory_len(memory);
	CHECK(fwctl_memory_read(memory, len, NULL, 0) == 0 && fwctl_memory_write(memory, len, NULL, 0) == 0);
	CHECK(fwctl_memory_read(memory, len - 1, old, 2) == -EINVAL && old[0] == 9);
	CHECK(fwctl_memory_read(memory, SIZE_MAX, old, 2) == -EINVAL);
	CHECK(fwctl_memory_read(memory, 1, old, SIZE_MAX) == -EINVAL);
	CHECK(fwctl_memory_read(memory, 0, NULL, 1) == -EINVAL);
	CHECK(fwctl_memory_write(memory, len - 1, old, 2) == -EINVAL);
	CHECK(fwctl_memory_write(memory, SIZE_MAX, old, 2) == -EINVAL);
	CHECK(fwctl_memory_write(memory, 0, old, SIZE_MAX) == -EINVAL);
	CHECK(fwctl_memory_write(memory, 0, NULL, 1) == -EINVAL);

	/* Above a limit. */
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_KEY, FWCTL_FOREVER, &other) == -ENOMEM && !other);
	CHECK(fwctl_error_remedy());
	CHECK(fwctl_memory_destroy(memory, FWCTL_FOREVER) == -EBUSY && fwctl_error_meaning());
	CHECK(fwctl_memory_destroy(memory, FWCTL_FOREVER) == -EIO && strstr(fwctl_error(), "FWCTL_RSC_DESTROY"));
	/* Once, and the bytes stay. */
	CHECK(fwctl_memory_destroy(memory, FWCTL_FOREVER) == 0);
	CHECK(fwctl_memory_read(memory, 1, bytes, 2) == 0 && bytes[1] == 1);

	/* The number is free again. The device may be closed before. */
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_KEY, 10000, &other) == 0);
	CHECK(fwctl_memory_resource(other) == 1);
	CHECK(fwctl_memory_destroy(other, 20) == -ETIMEDOUT);
	CHECK(fwctl_memory_destroy(other, FWCTL_FOREVER) == 0);
	fwctl_memory_free(memory);
	fwctl_memory_free(other);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_PAGES, FWCTL_FOREVER, &memory) == 0);
	fwctl_close(dev);
	CHECK(fwctl_memory_write(memory, 0, bytes, 1) == 0);
	CHECK(fwctl_memory_destroy(memory, 20) == -ETIMEDOUT);
	/* It is not waited for again. */
	fwctl_memory_free(memory);

	/* No memory at all, and a release in time. */
	dev = device();
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_KEY, FWCTL_FOREVER, &memory) == -ENOTTY && !memory);
	fwctl_close(dev);
	CHECK(fwctl_open_recording("info mlx5\nmemory after 60000 1 0", &dev) == 0);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_KEY, 20, &memory) == -ETIMEDOUT && !memory);
	fwctl_close(dev);
	CHECK(fwctl_open_recording("info mlx5\nmemory 1 0", &dev) == 0);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_PAGES, FWCTL_FOREVER, &memory) == 0);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_PAGES, FWCTL_FOREVER, &other) == 0);
	CHECK(fwctl_memory_resource(other) == 2);
	fwctl_memory_free(memory);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_PAGES, FWCTL_FOREVER, &memory) == 0);
	CHECK(fwctl_memory_resource(memory) == 1);
	fwctl_memory_free(memory);
	fwctl_memory_free(other);
	fwctl_close(dev);
}

/* Zeros, and what requests and replies have in common: include/linux/mlx5/mlx5_ifc.h. */
#define Z16 "00000000000000000000000000000000 "
#define Z64 Z16 Z16 Z16 Z16
#define Z208 Z64 Z64 Z64 Z16
#define READ_REGISTER "rpc debug-read-only 08050000 00000001 "
#define QUERY_KEY									\
	"rpc debug-read-only 02010000 00000000 00000001 00000000 -> len 304 " Z16 Z16	\
	"0000000000001000 0000000000100000\n"
/* RESOURCE_DUMP: word 0 and 2, then key, size and address. */
#define DUMP(word0, place) word0 "00000000 00000048 00000000 " Z16 place
#define DUMP_RPC(word0, place) READ_REGISTER "0000c000 00000000 " DUMP(word0, place) Z208 "-> "
#define DUMP_REPLY(word0, place) Z16 DUMP(word0, place)
#define MEMORY(size) "00000142 " size " 0000000000001000 "

static const char inline_dump[] =
	"info mlx5\n"
	DUMP_RPC("40001234 ", Z16)
	DUMP_REPLY("40011234 ", "00000000 00000008 0000000000000000 ") "0001beef0001fffb" Z64 Z64 Z64 "0000000000000000\n";

/* The second step is refused. */
static const char refused_dump[] =
	"info mlx5\n"
	"memory 7 0x142\n"
	QUERY_KEY
	DUMP_RPC("00001234 ", MEMORY("00010000"))
	"dma 0001beef then " DUMP_REPLY("80011234 ", MEMORY("00000004")) Z208 "\n"
	DUMP_RPC("80011234 ", MEMORY("00010000")) "09000000 00000077\n"
	DUMP_RPC("00001234 ", MEMORY("00010000")) "after 60000 errno 5\n";

/* CORE_DUMP of 8 bytes, in two steps, the second of which has the cookie 1. */
#define CORE_RPC(cookie)								\
	READ_REGISTER "0000402e 00000000 00000002 000000000000000000000000 "		\
	MEMORY("00002000") cookie "0000000000000000 " Z16 "-> "
#define CORE_REPLY(word0, cookie)							\
	Z16 word0 "000000000000000000000000 " MEMORY("00000004") cookie "0000000000000000 " Z16

static const char core_dump[] =
	"info mlx5\n"
	"memory 7 0x142\n"
	"rpc configuration 01000000 0000001b 00000000 00000000 -> len 4112 " Z16 "00800000\n"
	QUERY_KEY
	CORE_RPC("0000000000000000 ") "dma 00010203 then " CORE_REPLY("80000002 ", "0000000000000001 ") "\n"
	CORE_RPC("0000000000000001 ") "dma 04050607 then " CORE_REPLY("00000002 ", "0000000000000000 ") "\n"
	CORE_RPC("0000000000000000 ") "dma 00010203 then " CORE_REPLY("80000002 ", "0000000000000001 ") "\n";

static int count_to_4(void *context, size_t count)
{
	*(size_t *)context += count;
	return count >= 4 ? 1 : 0;
}

static void dumps(void)
{
	const struct fwctl_mlx5_dump_request request = { .segment_type = 0x1234, .index1 = 0x48 };
	struct fwctl_memory *memory, *other;
	struct fwctl_status status = { 0 };
	struct fwctl_device *dev;
	struct fwctl_dump *dump;
	size_t len, sum = 0;

	/* Without memory. */
	CHECK(fwctl_open_recording(inline_dump, &dev) == 0);
	CHECK(fwctl_mlx5_dump_memory(dev, 1 << 20, FWCTL_FOREVER, NULL) == -EINVAL);
	CHECK(fwctl_mlx5_dump_memory(dev, 1 << 20, FWCTL_FOREVER, &memory) == 0 && !memory);
	dump = (struct fwctl_dump *)&len;
	CHECK(fwctl_mlx5_dump(NULL, &request, NULL, 4096, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == -EINVAL);
	CHECK(!dump);
	dump = (struct fwctl_dump *)&len;
	CHECK(fwctl_mlx5_dump(dev, NULL, NULL, 4096, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == -EINVAL);
	CHECK(!dump);
	CHECK(fwctl_mlx5_dump(dev, &request, NULL, 4096, FWCTL_FOREVER, NULL, NULL, NULL, NULL) == -EINVAL);
	CHECK(fwctl_mlx5_dump(dev, &request, NULL, 4096, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == 0);
	CHECK(fwctl_dump_len(dump) == 8 && memcmp(fwctl_dump_data(dump), "\x00\x01\xbe\xef\x00\x01\xff\xfb", 8) == 0);
	fwctl_dump_free(dump);
	/* The recording is at its end: nothing came. */
	CHECK(fwctl_mlx5_dump(dev, &request, NULL, 4096, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == -EIO && !dump);
	dump = (struct fwctl_dump *)&len;
	CHECK(fwctl_mlx5_core_dump(dev, NULL, 4096, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == -EINVAL && !dump);
	fwctl_close(dev);
	CHECK(fwctl_open_recording(inline_dump, &dev) == 0);
	CHECK(fwctl_mlx5_dump(dev, &request, NULL, 7, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == -EBADMSG);
	CHECK(fwctl_dump_len(dump) == 8);
	fwctl_dump_free(dump);
	fwctl_close(dev);

	/* What came before an error is kept. */
	CHECK(fwctl_open_recording(refused_dump, &dev) == 0);
	CHECK(fwctl_mlx5_dump_memory(dev, 1 << 16, 5000, &memory) == 0 && memory);
	CHECK(fwctl_memory_key(memory) == 0x142);
	CHECK(fwctl_mlx5_dump(dev, &request, memory, SIZE_MAX, 5000, NULL, NULL, &dump, &status) == -EREMOTEIO);
	CHECK(status.code == 9 && status.syndrome == 0x77 && strstr(fwctl_error(), "refused"));
	CHECK(fwctl_dump_len(dump) == 4 && memcmp(fwctl_dump_data(dump), "\x00\x01\xbe\xef", 4) == 0);
	fwctl_dump_free(dump);
	CHECK(fwctl_mlx5_dump(dev, &request, memory, SIZE_MAX, 20, NULL, NULL, &dump, NULL) == -ETIMEDOUT && !dump);
	/* Memory that no dump can use. */
	CHECK(fwctl_memory_destroy(memory, FWCTL_FOREVER) == 0);
	CHECK(fwctl_mlx5_dump(dev, &request, memory, 4096, 5000, NULL, NULL, &dump, NULL) == -EINVAL);
	fwctl_memory_free(memory);
	fwctl_close(dev);
	CHECK(fwctl_open_recording("info mlx5\nmemory 7 0", &dev) == 0);
	CHECK(fwctl_memory_new(dev, 1, FWCTL_MEMORY_PAGES, FWCTL_FOREVER, &memory) == 0);
	CHECK(fwctl_mlx5_dump(dev, &request, memory, 4096, 5000, NULL, NULL, &dump, NULL) == -EINVAL && !dump);
	CHECK(strstr(fwctl_error(), "no key"));
	fwctl_memory_free(memory);
	fwctl_close(dev);

	/* A core dump, and one that the program ends. */
	CHECK(fwctl_open_recording(core_dump, &dev) == 0);
	CHECK(fwctl_mlx5_core_dump_len(dev, FWCTL_FOREVER, &len) == 0 && len == 8192);
	CHECK(fwctl_memory_new(dev, len, FWCTL_MEMORY_KEY, FWCTL_FOREVER, &memory) == 0);
	CHECK(fwctl_mlx5_core_dump(dev, memory, 1 << 20, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == 0);
	CHECK(fwctl_dump_len(dump) == 8 && memcmp(fwctl_dump_data(dump), "\0\1\2\3\4\5\6\7", 8) == 0);
	fwctl_dump_free(dump);
	CHECK(fwctl_mlx5_core_dump(dev, memory, 1 << 20, FWCTL_FOREVER, count_to_4, &sum, &dump, NULL) ==
	      -ECANCELED);
	CHECK(sum == 4 && fwctl_dump_len(dump) == 4);
	fwctl_dump_free(dump);
	fwctl_memory_free(memory);
	fwctl_close(dev);

	/* A limit on memory, and a device of another type. */
	CHECK(fwctl_open_recording("info mlx5\nmemory errno 12\nmemory 7 0x142\nmemory errno 28", &dev) == 0);
	CHECK(fwctl_mlx5_dump_memory(dev, 1 << 20, FWCTL_FOREVER, &memory) == 0);
	CHECK(fwctl_memory_len(memory) == 1 << 19);
	CHECK(fwctl_mlx5_dump_memory(dev, 1 << 20, FWCTL_FOREVER, &other) == -ENOSPC && !other);
	fwctl_memory_free(memory);
	fwctl_close(dev);
	CHECK(fwctl_open_recording("info cxl", &dev) == 0);
	CHECK(fwctl_mlx5_dump_memory(dev, 1 << 20, FWCTL_FOREVER, &memory) == -EINVAL && !memory);
	CHECK(fwctl_mlx5_core_dump_len(dev, FWCTL_FOREVER, &len) == -EINVAL);
	CHECK(fwctl_mlx5_dump(dev, &request, NULL, 4096, FWCTL_FOREVER, NULL, NULL, &dump, NULL) == -EINVAL);
	fwctl_close(dev);
}

/* Registers of a ConnectX: read, written, and refused. */
static void registers(void)
{
	static const char text[] =
		"unordered\n"
		"info mlx5\n"
		"rpc debug-read-only 08050000 00000001 00009059 00000007 00000002 00000000 -> "
		"00000000 00000000 00000000 00000000 80000001 01020304\n"
		"rpc configuration 08050000 00000000 00009059 00000000 80000007 00000000 -> "
		"00000000 00000000 00000000 00000000 00000000 00000000\n"
		"rpc debug-read-only 08050000 00000001 00009999 00000000 00000000 -> 03000000 00001234\n";
	unsigned char data[8] = { 0, 0, 0, 2 };
	struct fwctl_status status = { 0 };
	struct fwctl_device *dev;

	CHECK(fwctl_open_recording(text, &dev) == 0);
	CHECK(fwctl_mlx5_read_register(dev, 0x9059, 7, data, sizeof(data), 5000, &status) == 0);
	CHECK(memcmp(data, "\x80\0\0\1\1\2\3\4", 8) == 0 && status.code == 0);
	memcpy(data, "\x80\0\0\7\0\0\0\0", 8);
	CHECK(fwctl_mlx5_write_register(dev, FWCTL_SCOPE_CONFIGURATION, 0x9059, 0, data, sizeof(data),
					FWCTL_FOREVER, NULL) == 0);
	memset(data, 0, sizeof(data));
	CHECK(fwctl_mlx5_read_register(dev, 0x9999, 0, data, 4, FWCTL_FOREVER, &status) == -EREMOTEIO);
	CHECK(status.code == 3 && status.syndrome == 0x1234);
	CHECK(fwctl_mlx5_read_register(dev, 1, 0, NULL, 4, FWCTL_FOREVER, NULL) == -EINVAL);
	CHECK(fwctl_mlx5_read_register(dev, 1, 0, data, FWCTL_MAX_LEN + 1, -1, NULL) == -EINVAL);
	CHECK(fwctl_mlx5_write_register(dev, 9, 1, 0, data, 4, FWCTL_FOREVER, NULL) == -EINVAL);
	fwctl_close(dev);
}

/* Features of a memory device: listed, read, changed, and refused. */
static void features(void)
{
	static const char text[] =
		"unordered\n"
		"info cxl\n"
		"rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> "
		"08000000 00000000 0000 0200 00000000\n"
		"rpc configuration 00050000 00000000 08000000 00000000 68000000 0000 0000 -> "
		"68000000 00000000 0200 0200 00000000 "
		"96dad7d6fde8482ba73375774e06db8a 0000 0400 0000 00000000 01 01 0202 "
		"000000000000000000000000000000000000 "
		"ffffffffffffffffffffffffffffffff 0100 0400 0300 01000000 05 06 0202 "
		"000000000000000000000000000000000000\n"
		"rpc configuration 01050000 00000000 15000000 00000000 "
		"ffffffffffffffffffffffffffffffff 0100 0200 02 -> 02000000 00000000 abcd\n"
		"rpc configuration 01050000 00000000 15000000 00000000 "
		"96dad7d6fde8482ba73375774e06db8a 0000 0400 00 -> 00000000 1a000000\n"
		"rpc debug-write-full 02050000 00000000 22000000 00000000 "
		"ffffffffffffffffffffffffffffffff 08000000 0100 06 000000000000000000 abcd -> "
		"00000000 00000000\n";
	const struct fwctl_cxl_feature *feature;
	struct fwctl_cxl_features *list;
	struct fwctl_status status = { 0 };
	unsigned char data[4];
	struct fwctl_device *dev;

	CHECK(fwctl_open_recording(text, &dev) == 0);
	CHECK(fwctl_cxl_feature_list(dev, 5000, &list) == 0 && fwctl_cxl_feature_list_len(list) == 2);
	CHECK(!fwctl_cxl_feature_list_get(list, 2));
	feature = fwctl_cxl_feature_list_get(list, 0);
	CHECK(strcmp(feature->name, "patrol-scrub") == 0 && feature->set_scope == FWCTL_SCOPE_NEVER);
	CHECK(fwctl_cxl_get_feature(dev, feature->uuid, FWCTL_CXL_CURRENT, 0, data, feature->get_size,
				    FWCTL_FOREVER, &status) == -EREMOTEIO);
	CHECK(status.code == 0x1a && strstr(status.name, "selection"));
	feature = fwctl_cxl_feature_list_get(list, 1);
	CHECK(!feature->name && feature->get_size == 4 && feature->set_size == 3);
	CHECK(feature->get_version == 5 && feature->set_version == 6 && feature->flags == 1);
	CHECK(feature->set_scope == FWCTL_SCOPE_DEBUG_WRITE_FULL && feature->effects == 0x202);
	CHECK(fwctl_cxl_get_feature(dev, feature->uuid, FWCTL_CXL_SAVED, 1, data, 2, FWCTL_FOREVER,
				    NULL) == 0);
	CHECK(data[0] == 0xab && data[1] == 0xcd);
	CHECK(fwctl_cxl_set_feature(dev, feature->set_scope, feature->uuid, feature->set_version, 1, true,
				    data, 2, FWCTL_FOREVER, &status) == 0);
	CHECK(fwctl_cxl_get_feature(dev, feature->uuid, 3, 0, data, 1, FWCTL_FOREVER, NULL) == -EINVAL);
	CHECK(fwctl_cxl_get_feature(dev, NULL, 0, 0, data, 1, FWCTL_FOREVER, NULL) == -EINVAL);
	CHECK(fwctl_cxl_set_feature(dev, 3, feature->uuid, 6, 0, false, NULL, 1, -1, NULL) == -EINVAL);
	fwctl_cxl_feature_list_free(list);
	fwctl_close(dev);
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
	commands();
	snapshot();
	features();
	registers();
	registrations();
	dumps();
	errors();
	return 0;
}
