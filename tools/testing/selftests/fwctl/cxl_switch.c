// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mailbox of a CXL switch: which commands it passes, queries of the switch, and commands to the
 * devices behind it.
 *
 * Needs QEMU's cxl-switch-mailbox-cci, a memory device behind port 0 and none behind port 1.
 * FWCTL_TEST_DEV names the device (default: the first one of the driver cxl_switch).
 */
#include "cxl_utils.h"

#define IDENTIFY 0x0001
#define GET_LOG 0x0401
#define IDENTIFY_SWITCH 0x5100
#define PORT_STATE 0x5101
#define PORT_CONTROL 0x5102
#define TUNNEL 0x5300

#define NEVER FWCTL_CXL_SCOPE_NEVER
#define PAYLOAD (reply.bytes + REPLY_HEAD_LEN)
/* Added to a return code of the device, to tell it from an errno. */
#define DEVICE_SAYS 0x10000

/* Identify, 8.2.10.1.1 */
struct identify {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t serial[8];
	uint8_t max_message, type;
};

#define IS_SWITCH 0
#define IS_MEMORY_DEVICE 3

/* A message in a tunnel, 7.6.3 and 7.6.7.3.1 */
struct tunnel {
	uint8_t port, target_type;
	uint8_t size[2];
	uint8_t category, tag, reserved;
	uint8_t opcode[2];
	uint8_t payload_size[3];
	uint8_t return_code[2], extended_status[2];
	uint8_t payload[64];
};

#define TUNNEL_LEN offsetof(struct tunnel, payload)
#define TUNNEL_HEAD_LEN offsetof(struct tunnel, category)
#define RESPONSE 1

FIXTURE(cxl_switch)
{
	struct device dev;
	int fd;
};

static bool is_switch(const struct device *dev)
{
	return !strcmp(dev->driver, "cxl_switch");
}

FIXTURE_SETUP(cxl_switch)
{
	if (!find_device(&self->dev, is_switch))
		SKIP(return, "no mailbox of a CXL switch");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(cxl_switch)
{
	close(self->fd);
}

/* Sends a command; returns 0, an errno, or DEVICE_SAYS plus a return code. */
static int command(int fd, uint32_t scope, uint16_t opcode, const void *in, uint32_t len)
{
	int err;

	make_request(opcode, in, len);
	err = _send_request(fd, scope, ANY_REPLY_LEN);
	if (err)
		return err;
	return reply.out.hdr.retval ? DEVICE_SAYS + (int)reply.out.hdr.retval : 0;
}

/* A command with `len` bytes of payload to the device behind a port. */
static struct tunnel make_tunnel(uint8_t port, uint16_t opcode, uint8_t len)
{
	struct tunnel tunnel = { .port = port, .tag = 0x5a };

	tunnel.size[0] = TUNNEL_LEN - TUNNEL_HEAD_LEN + len;
	tunnel.opcode[0] = opcode;
	tunnel.opcode[1] = opcode >> 8;
	tunnel.payload_size[0] = len;
	return tunnel;
}

static int tunnelled(int fd, uint32_t scope, uint8_t port, uint16_t opcode)
{
	struct tunnel tunnel = make_tunnel(port, opcode, 0);

	return command(fd, scope, TUNNEL, &tunnel, TUNNEL_LEN);
}

TEST_F(cxl_switch, device)
{
	struct fwctl_info_cxl info = {};
	uint32_t len = sizeof(info), type = 0;

	fwctl_info(self->fd, &info, &len, &type);
	EXPECT_EQ(FWCTL_DEVICE_TYPE_CXL, type);
	EXPECT_EQ(sizeof(info), len);
	EXPECT_EQ(FWCTL_CXL_CAP_QUERY_COMMANDS | FWCTL_CXL_CAP_COMMANDS, info.uctx_caps);
	EXPECT_LE(256, info.payload_size);
	EXPECT_STREQ("pci", self->dev.bus);
}

/* The policy, a second time.  Returns the least scope of a command without effects, or NEVER. */
static uint32_t expected(uint16_t opcode, uint8_t *reason)
{
	*reason = FWCTL_CXL_REASON_NONE;
	switch (opcode) {
	/* Identify, Background Operation Status, Get Timestamp, Get Supported Logs */
	case IDENTIFY:
	case 0x0002:
	case 0x0300:
	case 0x0400:
	/* Get Virtual CXL Switch Info */
	case IDENTIFY_SWITCH:
	case PORT_STATE:
	case 0x5200:
	case TUNNEL:
		return FWCTL_RPC_CONFIGURATION;
	case GET_LOG:
		return FWCTL_RPC_DEBUG_READ_ONLY;
	/* Request Abort Background Operation, Set Timestamp */
	case 0x0005:
	case 0x0301:
	/* Send PPB CXL.io Configuration Request, Bind and Unbind vPPB, Generate AER Event */
	case PORT_CONTROL:
	case 0x5103:
	case 0x5201:
	case 0x5202:
	case 0x5203:
		*reason = FWCTL_CXL_REASON_KERNEL;
		return NEVER;
	}
	*reason = FWCTL_CXL_REASON_UNKNOWN;
	return NEVER;
}

TEST_F(cxl_switch, list_tells_the_policy)
{
	struct fwctl_cxl_commands *answer = (void *)PAYLOAD;
	bool has_control = false, has_tunnel = false;

	make_request(FWCTL_CXL_QUERY_COMMANDS, NULL, 0);
	send_request(self->fd);
	ASSERT_EQ(sizeof(*answer) + answer->num_commands * sizeof(answer->commands[0]),
		  reply.out.hdr.size);
	for (uint32_t i = 0; i < answer->num_commands; i++) {
		struct fwctl_cxl_command *entry = &answer->commands[i];
		uint8_t reason;
		uint32_t scope = expected(entry->opcode, &reason);

		if (scope != NEVER && entry->effects)
			continue;
		EXPECT_EQ(scope, entry->scope) {
			TH_LOG("opcode %#x effects %#x", entry->opcode, entry->effects);
		}
		EXPECT_EQ(reason, entry->reason);
		EXPECT_EQ(entry->opcode == TUNNEL ? FWCTL_CXL_COMMAND_BY_PAYLOAD : 0, entry->flags);
		/* QEMU claims that they have no effects. */
		has_control |= entry->opcode == PORT_CONTROL;
		has_tunnel |= entry->opcode == TUNNEL;
	}
	EXPECT_TRUE(has_control);
	EXPECT_TRUE(has_tunnel);
}

TEST_F(cxl_switch, identify)
{
	struct identify *identify = (void *)PAYLOAD;

	ASSERT_EQ(0, command(self->fd, FWCTL_RPC_CONFIGURATION, IDENTIFY, NULL, 0));
	ASSERT_EQ(sizeof(*identify), reply.out.hdr.size);
	EXPECT_EQ(IS_SWITCH, identify->type);
}

TEST_F(cxl_switch, ports)
{
	uint8_t in[] = { 2, 0, 1 };
	uint8_t count, *active;

	/* Identify Switch Device, 7.6.7.1.1: the number of ports, and which of them are active. */
	ASSERT_EQ(0, command(self->fd, FWCTL_RPC_CONFIGURATION, IDENTIFY_SWITCH, NULL, 0));
	ASSERT_EQ(73, reply.out.hdr.size);
	count = PAYLOAD[2];
	active = PAYLOAD + 4;
	EXPECT_LE(2, count);
	EXPECT_EQ(3, active[0] & 3);

	/* Get Physical Port State, 7.6.7.1.2: 16 bytes for each port that the input names. */
	ASSERT_EQ(0, command(self->fd, FWCTL_RPC_CONFIGURATION, PORT_STATE, in, sizeof(in)));
	ASSERT_EQ(4 + 2 * 16, reply.out.hdr.size);
	EXPECT_EQ(2, PAYLOAD[0]);
	EXPECT_EQ(0, PAYLOAD[4]);
	EXPECT_EQ(1, PAYLOAD[4 + 16]);

	/* A port that the switch does not have. */
	in[2] = 200;
	EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
		  command(self->fd, FWCTL_RPC_CONFIGURATION, PORT_STATE, in, sizeof(in)));
}

/* Whatever the switch claims for them, and whether it has them or not. */
TEST_F(cxl_switch, refused)
{
	static const struct {
		uint16_t opcode;
		int err;
	} others[] = {
		{ 0x0004, EPERM }, { 0x0005, EPERM }, { 0x0006, EINVAL }, { 0x0301, EPERM },
		{ 0x0500, EINVAL }, { 0x4000, EINVAL }, { 0x4400, EPERM }, { PORT_CONTROL, EPERM },
		{ 0x5103, EPERM }, { 0x5104, EINVAL }, { 0x5201, EPERM }, { 0x5202, EPERM },
		{ 0x5203, EPERM }, { 0x5204, EINVAL }, { 0x5301, EPERM }, { 0x5302, EPERM },
		{ 0x5400, EINVAL }, { 0x5600, EINVAL }, { 0xbfff, EINVAL }, { 0xc000, EINVAL },
	};
	/* Assert PERST at port 0. */
	static const uint8_t in[2] = {};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		for (uint32_t scope = 0; scope < 4; scope++) {
			EXPECT_EQ(others[i].err,
				  command(self->fd, scope, others[i].opcode, in, sizeof(in))) {
				TH_LOG("opcode %#x scope %u", others[i].opcode, scope);
			}
		}
	}
}

TEST_F(cxl_switch, tunnel_to_a_memory_device)
{
	struct tunnel *out = (void *)PAYLOAD;
	struct identify *identify = (void *)out->payload;

	ASSERT_EQ(0, tunnelled(self->fd, FWCTL_RPC_CONFIGURATION, 0, IDENTIFY));
	ASSERT_EQ(TUNNEL_LEN + sizeof(*identify), reply.out.hdr.size);
	EXPECT_EQ(RESPONSE, out->category);
	EXPECT_EQ(0x5a, out->tag);
	EXPECT_EQ(IDENTIFY, out->opcode[0] | out->opcode[1] << 8);
	EXPECT_EQ(0, out->return_code[0] | out->return_code[1]);
	EXPECT_EQ(IS_MEMORY_DEVICE, identify->type);

	/* Nothing behind the port, and no such port. */
	EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
		  tunnelled(self->fd, FWCTL_RPC_CONFIGURATION, 1, IDENTIFY));
	EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
		  tunnelled(self->fd, FWCTL_RPC_CONFIGURATION, 200, IDENTIFY));
}

/* The scope is that of the command in the tunnel. */
TEST_F(cxl_switch, tunnelled_log)
{
	/* The Command Effects Log, from offset 0, 4 bytes. */
	static const uint8_t log[24] = {
		0x0d, 0xa9, 0xc0, 0xb5, 0xbf, 0x41, 0x4b, 0x78,
		0x8f, 0x79, 0x96, 0xb1, 0x62, 0x3b, 0x3f, 0x17,
		0, 0, 0, 0, 4, 0, 0, 0,
	};
	struct tunnel tunnel = make_tunnel(0, GET_LOG, sizeof(log)), *out = (void *)PAYLOAD;
	uint32_t len = TUNNEL_LEN + sizeof(log);

	memcpy(tunnel.payload, log, sizeof(log));
	EXPECT_EQ(EINVAL, command(self->fd, FWCTL_RPC_CONFIGURATION, TUNNEL, &tunnel, len));
	for (uint32_t scope = FWCTL_RPC_DEBUG_READ_ONLY; scope < 4; scope++) {
		ASSERT_EQ(0, command(self->fd, scope, TUNNEL, &tunnel, len));
		EXPECT_EQ(0, out->return_code[0] | out->return_code[1]);
		ASSERT_EQ(TUNNEL_LEN + 4, reply.out.hdr.size);
		/* Its first command is Identify. */
		EXPECT_EQ(IDENTIFY, out->payload[0] | out->payload[1] << 8);
	}
}

/* Only queries of the specification pass a tunnel, in any scope. */
TEST_F(cxl_switch, refused_in_a_tunnel)
{
	static const struct {
		uint16_t opcode;
		int err;
	} others[] = {
		{ 0x0000, EINVAL }, { 0x0004, EPERM }, { 0x0005, EPERM }, { 0x0101, EPERM },
		{ 0x0201, EPERM }, { 0x0301, EPERM }, { 0x0404, EPERM }, { 0x0500, EINVAL },
		{ 0x0502, EINVAL }, { 0x4103, EPERM }, { 0x4400, EPERM }, { 0x4501, EPERM },
		{ 0x4701, EPERM }, { 0x4802, EPERM }, { IDENTIFY_SWITCH, EPERM },
		{ PORT_CONTROL, EPERM }, { TUNNEL, EPERM }, { 0x5302, EPERM }, { 0x5602, EINVAL },
		{ 0xc000, EPERM }, { 0xffff, EPERM },
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		for (uint32_t scope = 0; scope < 4; scope++) {
			EXPECT_EQ(others[i].err,
				  tunnelled(self->fd, scope, 0, others[i].opcode)) {
				TH_LOG("opcode %#x scope %u", others[i].opcode, scope);
			}
		}
	}
}

/* A message that the switch could read in another way than the kernel is not sent. */
TEST_F(cxl_switch, malformed_tunnels)
{
	struct tunnel tunnel;

	for (uint32_t len = 0; len <= sizeof(tunnel); len++) {
		tunnel = make_tunnel(0, IDENTIFY, 0);
		EXPECT_EQ(len == TUNNEL_LEN ? 0 : EINVAL,
			  command(self->fd, FWCTL_RPC_CONFIGURATION, TUNNEL, &tunnel, len));
	}
	for (size_t bit = 0; bit < 8 * TUNNEL_LEN; bit++) {
		size_t byte = bit / 8;
		uint8_t *bytes = (void *)&tunnel;

		/* The port, its type, the tag and the opcode may have other values. */
		if (byte == offsetof(struct tunnel, port) || byte == offsetof(struct tunnel, tag) ||
		    byte == offsetof(struct tunnel, opcode) ||
		    byte == offsetof(struct tunnel, opcode) + 1 ||
		    bit == 8 * offsetof(struct tunnel, target_type))
			continue;
		tunnel = make_tunnel(0, IDENTIFY, 0);
		bytes[byte] ^= 1 << bit % 8;
		EXPECT_EQ(EINVAL, command(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL, TUNNEL, &tunnel,
					  TUNNEL_LEN)) {
			TH_LOG("bit %zu", bit);
		}
	}
}

TEST_HARNESS_MAIN
