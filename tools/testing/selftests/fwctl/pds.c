// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations of a Pensando card, which has to be that of fwctl-emu.
 *
 * FWCTL_TEST_DEV names the device (default: the first one of pds_core), which nothing else may use.
 * FWCTL_TEST_PDS=emulated says that it is emulated: the endpoints of real cards are not public.
 * FWCTL_TEST_DRIVER=c selects the expectations for the driver in C where they differ.
 */
#include <linux/userfaultfd.h>

#include "pds_utils.h"

/* Attributes of operations, include/linux/pds/pds_adminq.h, and one that is not defined there */
enum {
	ATTR_READ = 0x00,
	ATTR_DEBUG_READ = 0x02,
	ATTR_WRITE = 0x04,
	ATTR_DEBUG_WRITE = 0x08,
	ATTR_SYNC = 0x10,
	ATTR_UNKNOWN = 0x40,
};

static const struct {
	uint32_t endpoint, operation, version, attribute;
} operations[] = {
	{ EP_SYSTEM, OP_VERSION, 0, ATTR_READ }, { EP_SYSTEM, OP_ECHO, 2, ATTR_READ },
	{ EP_SYSTEM, OP_COUNT, 0, ATTR_READ }, { EP_SYSTEM, OP_SUM, 0, ATTR_READ },
	{ EP_SYSTEM, OP_FAIL, 0, ATTR_READ }, { EP_SYSTEM, 0x0006, 1, ATTR_SYNC },
	{ EP_PORT, OP_GET_VALUE, 1, ATTR_READ }, { EP_PORT, OP_SET_VALUE, 1, ATTR_WRITE },
	{ EP_PORT, 0x0103, 0, ATTR_DEBUG_READ }, { EP_PORT, 0x0104, 0, ATTR_DEBUG_WRITE },
	{ EP_PORT, 0x0105, 0, ATTR_UNKNOWN },
	{ EP_MEMORY, 0x0201, 255, ATTR_DEBUG_READ }, { EP_MEMORY, 0x0202, 255, ATTR_DEBUG_WRITE },
};

/* Returns the minimum scope for an attribute, as the driver in C does. */
static uint32_t least_scope(uint32_t attribute)
{
	switch (attribute) {
	case ATTR_READ:
	case ATTR_WRITE:
	case ATTR_SYNC:
		return SCOPE_CONFIG;
	case ATTR_DEBUG_READ:
		return FWCTL_RPC_DEBUG_READ_ONLY;
	case ATTR_DEBUG_WRITE:
		return FWCTL_RPC_DEBUG_WRITE;
	default:
		return FWCTL_RPC_DEBUG_WRITE_FULL;
	}
}

FIXTURE(pds)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(pds)
{
	const char *kind = getenv("FWCTL_TEST_PDS");

	if (!kind || strcmp(kind, "emulated"))
		SKIP(return, "calls operations of the emulated card: set FWCTL_TEST_PDS=emulated");
	if (!find_device(&self->dev, is_pds))
		SKIP(return, "no device of pds_core: load pds_fwctl");

	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd) {
		TH_LOG("cannot open %s: %m", self->dev.node);
	}
}

FIXTURE_TEARDOWN(pds)
{
	close(self->fd);
}

TEST_F(pds, below_the_function)
{
	EXPECT_STREQ("pci", self->dev.bus);
	EXPECT_STREQ("pds_core", self->dev.driver);
}

/* INFO */

/* The driver in C returns no device data. */
TEST_F(pds, info)
{
	uint32_t caps = 1 << PDS_FWCTL_QUERY_CAP | 1 << PDS_FWCTL_SEND_CAP |
			1 << PDS_FWCTL_LIST_CAP;
	struct fwctl_info_pds info;
	uint32_t len = sizeof(info), type = 0;

	memset(&info, 0xee, sizeof(info));
	fwctl_info(self->fd, &info, &len, &type);
	EXPECT_EQ(FWCTL_DEVICE_TYPE_PDS, type);
	EXPECT_EQ(is_c_driver() ? 0 : sizeof(info), len);
	EXPECT_EQ(is_c_driver() ? 0 : caps, info.uctx_caps);
}

/* RPC: the message */

TEST_F(pds, messages_that_are_too_short)
{
	struct fwctl_rpc_pds message = { .in = { .op = OP_VERSION, .ep = EP_SYSTEM } }, reply;

	for (uint32_t len = 0; len < sizeof(message); len++)
		fwctl_rpc_fails(EINVAL, self->fd, SCOPE_CONFIG, &message, len, &reply,
				sizeof(reply));
}

/* The reply is the message, of any length, with the result. */
TEST_F(pds, messages_that_are_longer)
{
	uint8_t message[300], reply[300];
	struct fwctl_rpc_pds head = { .in = { .op = OP_VERSION, .ep = EP_SYSTEM } };
	uint32_t lens[] = { sizeof(head), sizeof(head) + 1, 100, sizeof(message) };

	memset(message, 0xdd, sizeof(message));
	memcpy(message, &head, sizeof(head));
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t len = sizeof(reply);

		memset(reply, 0xee, sizeof(reply));
		fwctl_rpc(self->fd, SCOPE_CONFIG, message, lens[i], reply, &len);
		EXPECT_EQ(lens[i], len);
		EXPECT_EQ(0, memcmp(message, reply, len));
		EXPECT_TRUE(all_bytes_are(reply + len, 0xee, sizeof(reply) - len));
	}
}

TEST_F(pds, version_of_the_firmware)
{
	EXPECT_EQ(0, _pds_is_version(self->fd, FIRMWARE));
}

/* RPC: requests and responses */

TEST_F(pds, echo_of_any_length)
{
	uint32_t lens[] = { 0, 1, 3, 64, 4095, 4096, 4097, 65536, MAX_PAYLOAD - 1, MAX_PAYLOAD };
	uint8_t *request = malloc(MAX_PAYLOAD), *response = malloc(MAX_PAYLOAD);

	ASSERT_TRUE(request && response);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(lens); j++) {
			uint32_t both = lens[i] < lens[j] ? lens[i] : lens[j];

			fill_pattern(request, lens[i], i + j);
			memset(response, 0xee, MAX_PAYLOAD);
			ASSERT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM,
					       OP_ECHO, request, lens[i], response, lens[j]));
			EXPECT_EQ(0, memcmp(request, response, both));
			/* No other memory of the kernel, and nothing beyond the buffer. */
			EXPECT_TRUE(all_bytes_are(response + both, 0, lens[j] - both));
			EXPECT_TRUE(all_bytes_are(response + lens[j], 0xee,
						  MAX_PAYLOAD - lens[j]));
		}
	}
	free(request);
	free(response);
}

TEST_F(pds, the_whole_request_arrives)
{
	uint8_t *request = malloc(MAX_PAYLOAD);
	uint32_t sum = 0, response = 0;

	ASSERT_NE(NULL, request);
	fill_pattern(request, MAX_PAYLOAD, 1);
	for (uint32_t i = 0; i < MAX_PAYLOAD; i++)
		sum += request[i];
	ASSERT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM, request,
			       MAX_PAYLOAD, &response, sizeof(response)));
	EXPECT_EQ(sum, response);
	free(request);
}

TEST_F(pds, values_are_read_back)
{
	uint8_t value[VALUE_LEN], response[VALUE_LEN];

	for (int i = 0; i < 3; i++) {
		fill_pattern(value, sizeof(value), i);
		ASSERT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_SET_VALUE, value,
				       sizeof(value), NULL, 0));
		ASSERT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0,
				       response, sizeof(response)));
		EXPECT_EQ(0, memcmp(value, response, sizeof(value)));
	}
}

/* The RPC succeeds if the operation fails. */
TEST_F(pds, failure_of_an_operation_is_a_reply)
{
	uint32_t errors[] = { 1, 0x101, 0x80000000, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		uint8_t response[16];
		struct rpc rpc = rpc_to(EP_SYSTEM, OP_FAIL, &errors[i], sizeof(errors[i]), response,
					sizeof(response));

		memset(response, 0xee, sizeof(response));
		ASSERT_EQ(0, _pds_rpc(self->fd, SCOPE_CONFIG, &rpc));
		EXPECT_EQ(errors[i], rpc.retval);
		EXPECT_TRUE(all_bytes_are(response, 0, sizeof(response)));
	}
}

TEST_F(pds, lengths_that_the_firmware_does_not_take)
{
	uint32_t lens[] = { MAX_PAYLOAD + 1, MAX_RPC_LEN, MAX_RPC_LEN + 1, INT32_MAX, UINT32_MAX };
	uint8_t *memory = calloc(1, MAX_RPC_LEN);

	ASSERT_NE(NULL, memory);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		EXPECT_EQ(EINVAL, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM,
					    memory, lens[i], memory, 4));
		EXPECT_EQ(EINVAL, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM,
					    memory, 4, memory, lens[i]));
	}
	free(memory);
}

/* The driver in C gives the firmware address 0 for what is empty. */
TEST_F(pds, the_firmware_gets_valid_addresses)
{
	long before = emu_count("/null_buffers"), after;
	uint8_t byte = 1;

	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_SET_VALUE, NULL, 0, NULL,
			       0));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_SET_VALUE, &byte, 1, NULL,
			       0));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_PORT, OP_GET_VALUE, NULL, 0, &byte,
			       1));
	after = emu_count("/null_buffers");
	EXPECT_EQ(is_c_driver(), before != after);
}

/* RPC: memory of the caller */

TEST_F(pds, memory_that_cannot_be_accessed)
{
	uint8_t *end = mapping_end(1), *readable = page_with(PROT_READ, 0x11);
	uint8_t response[64];
	uint32_t sum;

	/* Requests */
	memset(response, 0xee, sizeof(response));
	EXPECT_EQ(EFAULT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO, NULL, 1,
				    response, sizeof(response)));
	EXPECT_EQ(EFAULT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO, end - 7,
				    8, response, sizeof(response)));
	EXPECT_EQ(EFAULT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO,
				    KERNEL_PTR, 8, response, sizeof(response)));
	EXPECT_TRUE(all_bytes_are(response, 0xee, sizeof(response)));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_SUM, readable,
			       page_size(), &sum, sizeof(sum)));
	EXPECT_EQ(0x11 * page_size(), sum);

	/* Responses */
	EXPECT_EQ(EFAULT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_VERSION, NULL,
				    0, NULL, 8));
	EXPECT_EQ(EFAULT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_VERSION, NULL,
				    0, readable, 8));
	EXPECT_EQ(EFAULT, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_VERSION, NULL,
				    0, KERNEL_PTR, 8));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_VERSION, NULL, 0,
			       end - 8, 8));
}

/* The driver reads the request before it writes the response. */
TEST_F(pds, buffers_that_overlap)
{
	uint8_t memory[64], before[64];

	fill_pattern(memory, sizeof(memory), 1);
	memcpy(before, memory, sizeof(memory));
	EXPECT_EQ(0, _pds_call(self->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO, memory, 32,
			       memory + 16, 32));
	EXPECT_EQ(0, memcmp(before, memory, 16));
	EXPECT_EQ(0, memcmp(before, memory + 16, 32));
	EXPECT_EQ(0, memcmp(before + 48, memory + 48, 16));
}

/* RPC: scopes */

TEST_F(pds, all_operations_in_all_scopes)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		uint32_t least = least_scope(operations[i].attribute);
		/* One version beyond that of the firmware, and an upper byte, which is ignored. */
		uint32_t versions[] = {
			0, operations[i].version, 0x100 | operations[i].version,
			operations[i].version + 1,
		};

		for (size_t j = 0; j < ARRAY_SIZE(versions); j++) {
			uint32_t operation = operations[i].operation | versions[j] << 16;
			/* Version 256 is version 0. */
			bool exists = (versions[j] & 0xff) <= operations[i].version;

			for (uint32_t scope = 0; scope < SCOPES; scope++) {
				int expected = !exists ? EINVAL : scope < least ? EPERM : 0;
				uint8_t request[8] = { 0 }, response[8];

				memset(response, 0xee, sizeof(response));
				ASSERT_EQ(expected,
					  _pds_call(self->fd, scope, operations[i].endpoint,
						    operation, request, sizeof(request), response,
						    sizeof(response))) {
					TH_LOG("endpoint %#x, operation %#x, scope %u",
					       operations[i].endpoint, operation, scope);
				}
				if (expected) {
					EXPECT_TRUE(all_bytes_are(response, 0xee,
								  sizeof(response)));
				}
			}
		}
	}
}

TEST_F(pds, operations_that_are_not_listed)
{
	static const struct {
		uint32_t endpoint, operation;
	} unlisted[] = {
		{ EP_SYSTEM, 0 }, { EP_SYSTEM, 0x0007 }, { EP_SYSTEM, OP_GET_VALUE },
		{ EP_SYSTEM, 0xffff }, { EP_PORT, OP_VERSION }, { EP_EMPTY, OP_VERSION },
		{ 0, OP_VERSION }, { EP_SYSTEM + 1, OP_VERSION }, { 0xfffffffe, OP_VERSION },
	};
	long before = emu_count("/commands/fwctl RPC");

	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++) {
		for (uint32_t scope = 0; scope < SCOPES; scope++) {
			EXPECT_EQ(EINVAL, _pds_call(self->fd, scope, unlisted[i].endpoint,
						    unlisted[i].operation, NULL, 0, NULL, 0));
		}
	}
	EXPECT_EQ(before, emu_count("/commands/fwctl RPC"));
}

/* Lists */

static const uint32_t endpoints[] = { EP_SYSTEM, EP_PORT, EP_MEMORY, EP_EMPTY };

static int _pds_list(int fd, uint32_t scope, uint32_t list, uint32_t ep, void *reply,
		     uint32_t *len)
{
	struct fwctl_pds_list_request request = { .list = list, .ep = ep };

	return _fwctl_rpc(fd, scope, &request, sizeof(request), reply, len);
}

/* The driver in C has no lists. */
TEST_F(pds, lists_of_endpoints)
{
	union {
		struct fwctl_pds_list list;
		uint8_t bytes[4096];
	} reply;

	for (uint32_t scope = 0; scope < SCOPES; scope++) {
		uint32_t len = sizeof(reply);
		int err;

		memset(&reply, 0xee, sizeof(reply));
		err = _pds_list(self->fd, scope, PDS_FWCTL_LIST_ENDPOINTS, 0, &reply, &len);
		if (is_c_driver()) {
			ASSERT_EQ(EINVAL, err);
			continue;
		}
		ASSERT_EQ(0, err);
		ASSERT_EQ(8 + 8 * ARRAY_SIZE(endpoints), len);
		ASSERT_EQ(ARRAY_SIZE(endpoints), reply.list.num_entries);
		EXPECT_EQ(0, reply.list.rsvd);
		for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
			EXPECT_EQ(endpoints[i], reply.list.entries[i].id);
			EXPECT_TRUE(all_bytes_are(&reply.list.entries[i].attribute, 0, 4));
		}
	}
}

/* The scopes on the list are those of all_operations_in_all_scopes. */
TEST_F(pds, lists_of_operations)
{
	union {
		struct fwctl_pds_list list;
		uint8_t bytes[4096];
	} reply;

	for (size_t e = 0; e < ARRAY_SIZE(endpoints); e++) {
		uint32_t len = sizeof(reply), count = 0;
		int err;

		err = _pds_list(self->fd, SCOPE_CONFIG, PDS_FWCTL_LIST_OPERATIONS, endpoints[e],
				&reply, &len);
		if (is_c_driver()) {
			ASSERT_EQ(EINVAL, err);
			continue;
		}
		ASSERT_EQ(0, err);
		for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
			struct fwctl_pds_list_entry *entry = &reply.list.entries[count];

			if (operations[i].endpoint != endpoints[e])
				continue;
			ASSERT_LT(count++, reply.list.num_entries);
			EXPECT_EQ(operations[i].operation | operations[i].version << 16, entry->id);
			EXPECT_EQ(operations[i].attribute, entry->attribute);
			EXPECT_EQ(least_scope(operations[i].attribute), entry->scope);
			EXPECT_TRUE(all_bytes_are(entry->rsvd, 0, sizeof(entry->rsvd)));
		}
		EXPECT_EQ(count, reply.list.num_entries);
		EXPECT_EQ(8 + 8 * count, len);
	}
}

TEST_F(pds, lists_that_do_not_exist)
{
	static const struct fwctl_pds_list_request requests[] = {
		{ .list = 0 }, { .list = 3 }, { .list = UINT32_MAX },
		{ .list = PDS_FWCTL_LIST_ENDPOINTS, .ep = 1 },
		{ .list = PDS_FWCTL_LIST_ENDPOINTS, .rsvd = { 1 } },
		{ .list = PDS_FWCTL_LIST_OPERATIONS, .ep = EP_PORT, .rsvd = { 0, 1 } },
		{ .list = PDS_FWCTL_LIST_OPERATIONS, .ep = 0 },
		{ .list = PDS_FWCTL_LIST_OPERATIONS, .ep = EP_PORT + 1 },
	};
	uint8_t reply[64];

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		fwctl_rpc_fails(EINVAL, self->fd, SCOPE_CONFIG, &requests[i], sizeof(requests[i]),
				reply, sizeof(reply));
}

TEST_F(pds, lists_do_not_reach_an_operation)
{
	long before = emu_count("/commands/fwctl RPC");
	uint32_t len = 4;
	uint32_t count = 0;
	int err;

	/* A reply that is cut, with the length of all of it */
	err = _pds_list(self->fd, SCOPE_CONFIG, PDS_FWCTL_LIST_OPERATIONS, EP_PORT, &count, &len);
	EXPECT_EQ(is_c_driver() ? EINVAL : 0, err);
	if (!err) {
		EXPECT_EQ(5, count);
		EXPECT_EQ(8 + 8 * 5, len);
	}
	EXPECT_EQ(before, emu_count("/commands/fwctl RPC"));
}

/* Memory that is slow to fault in */

/* A thread that sends one RPC */
struct single_call {
	int fd;
	pthread_t thread;
	const void *request;
	void *response;
	int err;
	bool is_done;
};

static void *single_call_main(void *arg)
{
	struct single_call *call = arg;

	call->err = _pds_call(call->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO, call->request, 64,
			      call->response, 64);
	__atomic_store_n(&call->is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

struct unbinder {
	char auxiliary[NAME_MAX + 1];
	pthread_t thread;
	int err;
	bool is_done;
};

static void *unbinder_main(void *arg)
{
	struct unbinder *unbinder = arg;

	unbinder->err = write_text(DRIVER_DIR "/unbind", unbinder->auxiliary);
	__atomic_store_n(&unbinder->is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Waits until `done`, for at most `seconds`. */
static bool is_done_in(bool *done, int seconds)
{
	for (int i = 0; i < seconds * 100; i++) {
		if (__atomic_load_n(done, __ATOMIC_SEQ_CST))
			return true;
		usleep(10000);
	}
	return false;
}

/* The driver in C touches the memory during the call, and so blocks unbind. */
static void unbind_during_fault(struct __test_metadata *_metadata, const struct device *dev,
				int fd, bool is_request)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = {};
	uint8_t *missing, present[64] = { 0 };
	struct unbinder unbinder = {};
	struct single_call call = { .fd = fd };
	struct pollfd pollfd;
	struct device bound;
	int uffd;

	/* poll() only waits if reads do not. */
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0 && (errno == ENOSYS || errno == EPERM))
		SKIP(return, "no userfaultfd for faults of the kernel");
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	missing = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	ASSERT_NE(MAP_FAILED, missing);
	range.range.start = to_u64(missing);
	range.range.len = page_size();
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &range));

	call.request = is_request ? missing : present;
	call.response = is_request ? present : missing;
	ASSERT_TRUE(find_auxiliary(dev, unbinder.auxiliary, sizeof(unbinder.auxiliary)));
	ASSERT_EQ(0, pthread_create(&call.thread, NULL, single_call_main, &call));
	/* Until there is a fault to resolve. */
	pollfd = (struct pollfd) { .fd = uffd, .events = POLLIN };
	ASSERT_EQ(1, poll(&pollfd, 1, 60000));
	ASSERT_EQ(POLLIN, pollfd.revents);

	ASSERT_EQ(0, pthread_create(&unbinder.thread, NULL, unbinder_main, &unbinder));
	EXPECT_EQ(!is_c_driver(), is_done_in(&unbinder.is_done, is_c_driver() ? 1 : 20));
	EXPECT_FALSE(__atomic_load_n(&call.is_done, __ATOMIC_SEQ_CST));

	zero.range = range.range;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(call.thread, NULL);
	pthread_join(unbinder.thread, NULL);
	/* Either the driver was not called yet, or it has replied. */
	EXPECT_EQ(is_request && !is_c_driver() ? ENODEV : 0, call.err);
	EXPECT_EQ(0, unbinder.err);

	ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", unbinder.auxiliary));
	ASSERT_TRUE(find_device(&bound, is_pds));
	close(uffd);
}

TEST_F(pds, unbind_while_the_request_faults)
{
	unbind_during_fault(_metadata, &self->dev, self->fd, true);
}

TEST_F(pds, unbind_while_the_response_faults)
{
	unbind_during_fault(_metadata, &self->dev, self->fd, false);
}

/* Concurrency */

/* Sends RPCs until stopped, or until one fails. */
static void *caller_main(void *arg)
{
	uint8_t request[200], response[sizeof(request)];
	struct load_caller *caller = arg;

	do {
		fill_pattern(request, sizeof(request), caller->calls++);
		caller->err = _pds_call(caller->fd, SCOPE_CONFIG, EP_SYSTEM, OP_ECHO,
					request, sizeof(request), response, sizeof(response));
		if (!caller->err && memcmp(request, response, sizeof(request)))
			caller->err = ECHANGED;
	} while (!caller->err && !*caller->stop);
	return NULL;
}

TEST_F(pds, many_callers)
{
	struct load_caller callers[CALLERS];
	volatile bool stop = false;

	ASSERT_EQ(0, start_callers(callers, self->dev.node, &stop, caller_main));
	sleep(2);
	stop = true;
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		EXPECT_EQ(0, callers[i].err);
		EXPECT_LT(0, callers[i].calls);
	}
	close_callers(callers);
}

/* Unbind.  Last, since the device has another number afterwards. */

/* Every call returns: with a reply while the driver is bound, and with ENODEV afterwards. */
TEST_F_TIMEOUT(pds, unbind_under_load, 120)
{
	struct load_caller callers[CALLERS];
	struct device dev = self->dev;
	volatile bool stop = false;
	char auxiliary[NAME_MAX + 1];

	ASSERT_TRUE(find_auxiliary(&dev, auxiliary, sizeof(auxiliary)));

	for (int round = 0; round < 10; round++) {
		ASSERT_EQ(0, start_callers(callers, dev.node, &stop, caller_main));
		usleep(50000 + 10000 * round);
		ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", auxiliary));

		for (int i = 0; i < CALLERS; i++) {
			pthread_join(callers[i].thread, NULL);
			EXPECT_EQ(ENODEV, callers[i].err);
		}
		EXPECT_NE(0, access(dev.node, F_OK));

		ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", auxiliary));
		ASSERT_TRUE(find_device(&dev, is_pds));
		/* Files of the old device return ENODEV. */
		EXPECT_EQ(ENODEV, _pds_is_version(callers[0].fd, FIRMWARE));
		close_callers(callers);
	}
	EXPECT_EQ(ENODEV, _pds_is_version(self->fd, FIRMWARE));
}

TEST_HARNESS_MAIN
