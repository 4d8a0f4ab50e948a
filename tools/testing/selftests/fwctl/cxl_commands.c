// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a CXL memory device beyond the Feature commands: the list of them, the scope that
 * each needs, and their payloads.
 *
 * Needs the memory device of fwctl-emu with its vendor commands, see its README.  FWCTL_TEST_DEV
 * names it (default: the first one below a memdev).
 */
#include "cxl_emulated.h"

#define VENDOR 0xc000
#define ECHO 0xc000
#define READ 0xc001
#define FILL 0xc003
#define WRITE 0xc020
#define WRITE_BACKGROUND 0xc030
#define LIE_WRITE 0xc050
#define LIE_BACKGROUND 0xc051
#define LAST 0xffff

#define SCRATCH_LEN 16
#define MAX_COMMANDS 0x10000
#define NEVER FWCTL_CXL_SCOPE_NEVER

FIXTURE(commands)
{
	struct device dev;
	int fd;
	uint32_t payload_size;
	uint32_t count;
	struct fwctl_cxl_command *list;
};

static int query(int fd, struct fwctl_cxl_command *list, uint32_t *count)
{
	struct fwctl_cxl_commands *answer = (void *)(reply.bytes + REPLY_HEAD_LEN);
	static uint8_t large[REPLY_HEAD_LEN + sizeof(*answer) + MAX_COMMANDS * sizeof(*list)];
	uint32_t len = sizeof(large);
	int err;

	make_request(FWCTL_CXL_QUERY_COMMANDS, NULL, 0);
	err = _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &request, request_len, large, &len);
	if (err)
		return err;
	answer = (void *)(large + REPLY_HEAD_LEN);
	if (len != REPLY_HEAD_LEN + sizeof(*answer) + answer->num_commands * sizeof(*list) ||
	    answer->reserved)
		return ECHANGED;
	memcpy(list, answer->commands, answer->num_commands * sizeof(*list));
	*count = answer->num_commands;
	return 0;
}

FIXTURE_SETUP(commands)
{
	struct fwctl_info_cxl info = {};
	uint32_t len = sizeof(info), type;

	if (!find_device(&self->dev, is_memdev_child))
		SKIP(return, "no CXL memory device");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
	fwctl_info(self->fd, &info, &len, &type);
	if (!len)
		SKIP(return, "the driver passes only Feature commands");
	ASSERT_EQ(sizeof(info), len);
	ASSERT_EQ(FWCTL_CXL_CAP_QUERY_COMMANDS | FWCTL_CXL_CAP_COMMANDS, info.uctx_caps);
	ASSERT_LE(256, info.payload_size);
	ASSERT_EQ(0, info.payload_size & (info.payload_size - 1));
	self->payload_size = info.payload_size;
	self->list = calloc(MAX_COMMANDS, sizeof(*self->list));
	ASSERT_NE(NULL, self->list);
	ASSERT_EQ(0, query(self->fd, self->list, &self->count));
	if (!self->count || self->list[self->count - 1].opcode != LAST)
		SKIP(return, "no vendor commands of fwctl-emu");
}

FIXTURE_TEARDOWN(commands)
{
	free(self->list);
	close(self->fd);
}

/* Sends a command; returns 0, an errno, or DEVICE_SAYS plus a return code. */
static int command(int fd, uint32_t scope, uint16_t opcode, const void *in, uint32_t len,
		   uint32_t capacity)
{
	int err;

	make_request(opcode, in, len);
	err = _send_request(fd, scope, REPLY_HEAD_LEN + capacity);
	if (err)
		return err;
	return reply.out.hdr.retval ? DEVICE_SAYS + (int)reply.out.hdr.retval : 0;
}

#define PAYLOAD (reply.bytes + REPLY_HEAD_LEN)

/*
 * The policy, a second time: by masks.  Returns the least scope, or NEVER, and sets the reason.
 */
static uint32_t expected_by_effects(uint32_t floor, uint16_t effects, uint8_t *reason)
{
	bool at_reset = effects & 1 || (effects & 0x200 && effects & 0xc00);
	uint32_t needed = effects & 0x5e ? FWCTL_RPC_DEBUG_WRITE_FULL :
			  at_reset ? FWCTL_RPC_DEBUG_WRITE : floor;

	*reason = effects & 0x20 ? FWCTL_CXL_REASON_SECURITY :
		  effects & 0xf000 ? FWCTL_CXL_REASON_RESERVED : FWCTL_CXL_REASON_NONE;
	if (*reason)
		return NEVER;
	return needed > floor ? needed : floor;
}

static uint32_t expected(uint16_t opcode, uint16_t effects, uint8_t *reason)
{
	*reason = FWCTL_CXL_REASON_NONE;
	if (opcode >= VENDOR)
		return expected_by_effects(FWCTL_RPC_DEBUG_READ_ONLY, effects, reason);
	switch (opcode) {
	/* Background Operation Status, Get Event Interrupt Policy, Get Timestamp */
	case 0x0002:
	case 0x0102:
	case 0x0300:
	/* Get Supported Logs, Get Log Capabilities */
	case 0x0400:
	case 0x0402:
	/* Identify Memory Device, Get Partition Info, Get Health Info */
	case 0x4000:
	case 0x4100:
	case 0x4200:
		return expected_by_effects(FWCTL_RPC_CONFIGURATION, effects, reason);
	/* Get Log */
	case 0x0401:
		return expected_by_effects(FWCTL_RPC_DEBUG_READ_ONLY, effects, reason);
	/* Populate Log */
	case 0x0404:
		return expected_by_effects(FWCTL_RPC_DEBUG_WRITE_FULL, effects, reason);
	case OP_GET_SUPPORTED:
	case OP_GET:
		return FWCTL_RPC_CONFIGURATION;
	case OP_SET:
		return FWCTL_RPC_DEBUG_WRITE;
	/* Get and Clear Event Records, Set Event Interrupt Policy, Set Timestamp */
	case 0x0100:
	case 0x0101:
	case 0x0103:
	case 0x0301:
		*reason = FWCTL_CXL_REASON_KERNEL;
		return NEVER;
	}
	*reason = FWCTL_CXL_REASON_UNKNOWN;
	return NEVER;
}

TEST_F_TIMEOUT(commands, list_tells_the_policy, PATIENCE)
{
	for (uint32_t i = 0; i < self->count; i++) {
		struct fwctl_cxl_command *entry = &self->list[i];
		uint8_t reason;
		uint32_t scope = expected(entry->opcode, entry->effects, &reason);

		if (entry->opcode == LIE_BACKGROUND)
			continue;
		EXPECT_EQ(scope, entry->scope) {
			TH_LOG("opcode %#x effects %#x", entry->opcode, entry->effects);
		}
		EXPECT_EQ(reason, entry->reason);
		EXPECT_EQ(entry->opcode == OP_SET ? FWCTL_CXL_COMMAND_BY_FEATURE : 0, entry->flags);
		if (i) {
			EXPECT_LT(self->list[i - 1].opcode, entry->opcode);
		}
	}
}

/* Each command in each scope does what the list says. */
TEST_F_TIMEOUT(commands, scopes, PATIENCE)
{
	static const uint8_t in[SCRATCH_LEN];

	for (uint32_t i = 0; i < self->count; i++) {
		struct fwctl_cxl_command *entry = &self->list[i];

		if (entry->opcode == LIE_BACKGROUND ||
		    (entry->opcode >= OP_GET_SUPPORTED && entry->opcode <= OP_SET))
			continue;
		for (uint32_t scope = 0; scope < 4; scope++) {
			int err = command(self->fd, scope, entry->opcode, in, sizeof(in), 4096);
			int expected = entry->scope == NEVER ? EPERM :
				       scope < entry->scope ? EINVAL : 0;

			/* What the device says to a command that was sent does not matter. */
			EXPECT_EQ(expected, err > DEVICE_SAYS ? 0 : err) {
				TH_LOG("opcode %#x scope %u", entry->opcode, scope);
			}
		}
	}
}

/* Opcodes that the device does not have, of all kinds. */
TEST_F_TIMEOUT(commands, other_opcodes, PATIENCE)
{
	static const struct {
		uint16_t opcode;
		int err;
	} others[] = {
		{ 0x0000, EINVAL }, { 0x0001, EINVAL }, { 0x0005, EPERM }, { 0x0006, EINVAL },
		{ 0x0201, EPERM }, { 0x0202, EPERM }, { 0x0403, EPERM }, { 0x0503, EINVAL },
		{ 0x0600, EPERM }, { 0x0601, EINVAL }, { 0x4101, EPERM }, { 0x4103, EPERM },
		{ 0x4204, EPERM }, { 0x4300, EPERM }, { 0x4305, EPERM }, { 0x43ff, EPERM },
		{ 0x4400, EPERM }, { 0x4402, EPERM }, { 0x4500, EPERM }, { 0x4505, EPERM },
		{ 0x4600, EPERM }, { 0x4701, EINVAL }, { 0x4800, EPERM }, { 0x5100, EINVAL },
		{ 0x5300, EINVAL }, { 0xbfff, EINVAL }, { 0xc0ff, EINVAL }, { 0xfffe, EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		for (uint32_t scope = 0; scope < 4; scope++) {
			EXPECT_EQ(others[i].err,
				  command(self->fd, scope, others[i].opcode, NULL, 0, 64)) {
				TH_LOG("opcode %#x scope %u", others[i].opcode, scope);
			}
		}
	}
}

TEST_F_TIMEOUT(commands, query_is_checked, PATIENCE)
{
	/* There is no input, and no other number. */
	make_request(FWCTL_CXL_QUERY_COMMANDS, "", 1);
	send_request_fails_in_any_scope(EINVAL, self->fd);
	make_request(FWCTL_CXL_QUERY_COMMANDS + 1, NULL, 0);
	send_request_fails_in_any_scope(EINVAL, self->fd);
	make_request(0x80000000 | FWCTL_CXL_QUERY_COMMANDS, NULL, 0);
	send_request_fails_in_any_scope(EINVAL, self->fd);

	/* A short buffer gets the start of the list, and its length. */
	for (uint32_t capacity = 0; capacity < 64; capacity++) {
		make_request(FWCTL_CXL_QUERY_COMMANDS, NULL, 0);
		ASSERT_EQ(0, _send_request(self->fd, FWCTL_RPC_CONFIGURATION, capacity));
		EXPECT_EQ(REPLY_HEAD_LEN + 8 + self->count * 8, reply_len);
	}
}

TEST_F_TIMEOUT(commands, echo_of_all_sizes, PATIENCE)
{
	static uint8_t in[REQUEST_SIZE - HEAD_LEN];
	uint32_t max = self->payload_size;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = i ^ i >> 8;
	for (uint32_t len = 0; len <= max && len <= 0x10000; len += len < 64 ? 1 : len / 3) {
		ASSERT_EQ(0, command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, ECHO, in, len, max));
		EXPECT_EQ(len, reply.out.hdr.size);
		EXPECT_EQ(0, memcmp(in, PAYLOAD, len));
	}
	if (max >= sizeof(in))
		SKIP(return, "the mailbox is larger than the buffers of this test");
	ASSERT_EQ(0, command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, LAST, in, max, max));
	EXPECT_EQ(max, reply.out.hdr.size);
	EXPECT_EQ(0, memcmp(in, PAYLOAD, max));
	for (uint32_t more = 1; more < 0x1000; more *= 2) {
		EXPECT_EQ(E2BIG, command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, ECHO, in, max + more,
					 max));
	}
}

TEST_F_TIMEOUT(commands, length_of_the_output, PATIENCE)
{
	uint32_t max = self->payload_size;

	if (max > 0x10000)
		SKIP(return, "the mailbox is larger than the buffers of this test");
	make_request(FILL, NULL, 0);
	for (uint32_t capacity = 0; capacity < REPLY_HEAD_LEN; capacity++) {
		EXPECT_EQ(EINVAL, _send_request(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, capacity));
	}
	/* The true length, also if only a part fits. */
	for (uint32_t capacity = 0; capacity < 2 * max; capacity += 1 + capacity / 2) {
		ASSERT_EQ(0, command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, FILL, NULL, 0, capacity));
		EXPECT_EQ(REPLY_HEAD_LEN + max, reply_len);
		EXPECT_EQ(max, reply.out.hdr.size);
		for (uint32_t i = 0; i < capacity && i < max; i++) {
			ASSERT_EQ((uint8_t)i, PAYLOAD[i]);
		}
	}
	/* An unsuccessful command has no output. */
	EXPECT_EQ(DEVICE_SAYS + 0x16,
		  command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, FILL, "x", 1, max));
	EXPECT_EQ(REPLY_HEAD_LEN, reply_len);
}

TEST_F_TIMEOUT(commands, changes_can_be_read_back, PATIENCE)
{
	static const struct {
		uint16_t opcode;
		uint32_t scope;
	} writes[] = {
		{ WRITE, FWCTL_RPC_DEBUG_WRITE_FULL },
		{ LIE_WRITE, FWCTL_RPC_DEBUG_READ_ONLY },
		{ WRITE_BACKGROUND, FWCTL_RPC_DEBUG_WRITE_FULL },
	};
	uint8_t value[SCRATCH_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		memset(value, 0x50 + i, sizeof(value));
		ASSERT_EQ(0, command(self->fd, writes[i].scope, writes[i].opcode, value,
				     sizeof(value), 0));
		ASSERT_EQ(0, command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, READ, NULL, 0, 64));
		ASSERT_EQ(SCRATCH_LEN, reply.out.hdr.size);
		EXPECT_EQ(0, memcmp(value, PAYLOAD, SCRATCH_LEN));
	}
}

/* A command that continues in the background although its effects do not say so. */
TEST_F_TIMEOUT(commands, liar_is_refused_from_then_on, PATIENCE)
{
	static const uint8_t in[SCRATCH_LEN];
	int err = command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, LIE_BACKGROUND, in, sizeof(in), 64);

	/* Unless an earlier run has found out. */
	if (err != EPERM) {
		EXPECT_EQ(DEVICE_SAYS + RC_BACKGROUND, err);
	}
	for (uint32_t scope = 0; scope < 4; scope++) {
		EXPECT_EQ(EPERM, command(self->fd, scope, LIE_BACKGROUND, in, sizeof(in), 64));
	}
	ASSERT_EQ(0, query(self->fd, self->list, &self->count));
	for (uint32_t i = 0; i < self->count; i++) {
		if (self->list[i].opcode == LIE_BACKGROUND) {
			EXPECT_EQ(NEVER, self->list[i].scope);
			EXPECT_EQ(FWCTL_CXL_REASON_BACKGROUND, self->list[i].reason);
			EXPECT_EQ(0, self->list[i].effects);
		}
	}
	/* The others do not suffer. */
	EXPECT_EQ(0, command(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, ECHO, in, sizeof(in), 64));
}

TEST_F(commands, reserved_fields)
{
	for (int field = 0; field < 2; field++) {
		for (int bit = 0; bit < 32; bit++) {
			make_request(ECHO, "abcd", 4);
			if (field)
				request.rpc.hdr.reserved1 = 1u << bit;
			else
				request.rpc.hdr.flags = 1u << bit;
			EXPECT_EQ(EINVAL, _send_request(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, 64));
		}
	}
	/* The input is as long as it says, and no longer than the request. */
	make_request(ECHO, "abcd", 4);
	request.rpc.hdr.op_size = 2;
	ASSERT_EQ(0, _send_request(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, 64));
	EXPECT_EQ(2, reply.out.hdr.size);
	for (uint32_t size = 5; size; size *= 2) {
		request.rpc.hdr.op_size = size;
		EXPECT_EQ(EINVAL, _send_request(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, 64));
	}
}

TEST_HARNESS_MAIN
