// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Features of a CXL memory device: Get Supported Features, Get Feature and Set Feature.
 *
 * FWCTL_TEST_DEV names the device (default: the first one below a memdev).  FWCTL_TEST_CXL is its
 * kind (default: detected by its Features):
 *
 *	qemu		cxl-type3 of QEMU, with only Features that are exclusive to the kernel
 *	cxl_test	mock device of tools/testing/cxl, with one settable Feature
 *	emulated	device of fwctl-emu, see cxl_features.c
 */
#include "cxl_utils.h"

/* Kind of the device, see FWCTL_TEST_CXL. */
enum kind {
	QEMU,
	MOCK,
	EMULATED,
};

static enum kind kind_of(const struct cxl_feat_entry *first)
{
	const char *kind = getenv("FWCTL_TEST_CXL");

	if (kind && *kind)
		return !strcmp(kind, "cxl_test") ? MOCK :
		       !strcmp(kind, "emulated") ? EMULATED : QEMU;
	if (!memcmp(first->uuid, vendor_uuid, 16))
		return MOCK;
	return is_emulated(first->uuid) ? EMULATED : QEMU;
}

FIXTURE(cxl)
{
	struct device dev;
	int fd;
	/* Entries of Get Supported Features */
	unsigned int count;
	struct cxl_feat_entry entries[MAX_FEATURES];
	enum kind kind;
	/* UUID for Set Feature requests that are to fail for another reason */
	const uint8_t *settable;
};

FIXTURE_SETUP(cxl)
{
	if (!find_device(&self->dev, is_memdev_child))
		SKIP(return, "no fwctl device of a CXL memory device");
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);

	make_get_supported(MAX_FEATURES * ENTRY_LEN, 0);
	send_request(self->fd);
	self->count = entries_in_reply();
	ASSERT_LT(0, self->count);
	ASSERT_GT(MAX_FEATURES, self->count);
	memcpy(self->entries, reply.out.get_sup_feats_out.ents, self->count * ENTRY_LEN);

	self->kind = kind_of(self->entries);
	self->settable = self->kind == QEMU ? unknown_uuid : self->entries[0].uuid;
}

FIXTURE_TEARDOWN(cxl)
{
	close(self->fd);
}

/*
 * The device
 */

TEST_F(cxl, info)
{
	uint8_t data[32];
	uint32_t len = 0, type = 0, expected;

	fwctl_info(self->fd, NULL, &len, &type);
	EXPECT_EQ(FWCTL_DEVICE_TYPE_CXL, type);

	/* A driver that passes only Feature commands has no device data. */
	expected = len ? sizeof(struct fwctl_info_cxl) : 0;
	memset(data, 0xee, sizeof(data));
	len = 20;
	fwctl_info(self->fd, data, &len, &type);
	EXPECT_EQ(expected, len);
	EXPECT_TRUE(all_bytes_are(data + expected, 0, 20 - expected));
	EXPECT_TRUE(all_bytes_are(data + 20, 0xee, sizeof(data) - 20));
}

/* libcxl looks for it there. */
TEST_F(cxl, parent_is_the_memdev)
{
	char path[PATH_MAX], subsystem[64];

	EXPECT_EQ(0, strncmp(self->dev.parent, "mem", 3));
	snprintf(path, sizeof(path), "/sys/bus/cxl/devices/%s/fwctl/%s/subsystem", self->dev.parent,
		 self->dev.name);
	ASSERT_EQ(0, link_name(path, subsystem, sizeof(subsystem)));
	EXPECT_STREQ("fwctl", subsystem);
}

/*
 * Validation of requests
 */

TEST_F(cxl, header_must_be_complete)
{
	for (uint32_t len = 0; len < HEAD_LEN; len++) {
		make_get_supported(ENTRY_LEN, 0);
		request_len = len;
		send_request_fails(EINVAL, self->fd);
	}
}

TEST_F(cxl, payload_must_be_complete)
{
	uint32_t sizes[] = {
		9, 21, 32, 33, 0x1000, INT_MAX, 1u << 31, UINT_MAX - 16, UINT_MAX - 15,
		UINT_MAX - 8, UINT_MAX,
	};
	uint32_t opcodes[] = { OP_GET_SUPPORTED, OP_GET, OP_SET };

	for (uint32_t len = HEAD_LEN; len < HEAD_LEN + 8; len++) {
		make_get_supported(ENTRY_LEN, 0);
		request_len = len;
		send_request_fails(EINVAL, self->fd);
	}
	for (size_t op = 0; op < ARRAY_SIZE(opcodes); op++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			make_request(opcodes[op], "12345678", 8);
			request.rpc.hdr.op_size = sizes[i];
			send_request_fails(EINVAL, self->fd);
		}
	}
}

TEST_F(cxl, payload_must_be_of_its_size)
{
	uint8_t payload[64] = {};

	for (uint32_t len = 0; len < sizeof(payload); len++) {
		if (len != 8) {
			make_request(OP_GET_SUPPORTED, payload, len);
			send_request_fails(EINVAL, self->fd);
		}
		if (len != GET_LEN) {
			make_get(self->entries[0].uuid, 0, 1, 0);
			request.rpc.hdr.op_size = len;
			request_len = HEAD_LEN + 64;
			send_request_fails(EINVAL, self->fd);
		}
		/* Set Feature needs at least one byte of data. */
		if (len <= SET_LEN) {
			make_set(self->settable, 0, 0, "data", 4);
			request.rpc.hdr.op_size = len;
			request_len = HEAD_LEN + 64;
			send_request_fails_in_any_scope(EINVAL, self->fd);
		}
	}

	/* Bytes after the request are ignored. */
	make_get_supported(ENTRY_LEN, 0);
	memset(request.bytes + request_len, 0xaa, 100);
	request_len += 100;
	send_request(self->fd);
	EXPECT_EQ(1, entries_in_reply());
}

/* Opcodes that are neither a vendor's nor any command's that a driver passes. */
TEST_F(cxl, unknown_opcodes)
{
	uint32_t opcodes[] = {
		0, 6, 7, 0xff, 0x1ff, 0x2ff, 0x4ff, 0x503, 0x504, 0x5ff, 0x601, 0x3fff, 0x4001,
		0x5000, 0x5100, 0x5300, 0x8000, 0xbfff,
	};

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		make_get_supported(ENTRY_LEN, 0);
		request.rpc.hdr.opcode = opcodes[i];
		send_request_fails_in_any_scope(EINVAL, self->fd);
	}
}

/* The upper half of the opcode is not ignored. */
TEST_F(cxl, opcodes_have_32_bits)
{
	for (int bit = 16; bit < 32; bit++) {
		make_get_supported(ENTRY_LEN, 0);
		request.rpc.hdr.opcode |= 1u << bit;
		send_request_fails_in_any_scope(EINVAL, self->fd);

		make_get(self->entries[0].uuid, 0, 1, 0);
		request.rpc.hdr.opcode |= 1u << bit;
		send_request_fails(EINVAL, self->fd);

		make_set(self->settable, 0, 0, "data", 4);
		request.rpc.hdr.opcode |= 1u << bit;
		send_request_fails_in_any_scope(EINVAL, self->fd);
	}
}

/* Nonzero flags and reserved fields are refused. */
TEST_F(cxl, flags_and_reserved_fields_are_zero)
{
	for (int bit = 0; bit < 32; bit++) {
		make_get_supported(ENTRY_LEN, 0);
		request.rpc.hdr.flags = 1u << bit;
		send_request_fails(EINVAL, self->fd);

		make_get_supported(ENTRY_LEN, 0);
		request.rpc.hdr.reserved1 = 1u << bit;
		send_request_fails(EINVAL, self->fd);

		make_get(self->entries[0].uuid, 0, 1, 0);
		request.rpc.hdr.flags = 1u << bit;
		send_request_fails(EINVAL, self->fd);
	}
	for (int byte = 0; byte < 2; byte++) {
		make_get_supported(ENTRY_LEN, 0);
		request.rpc.get_sup_feats_in.reserved[byte] = 1;
		send_request_fails(EINVAL, self->fd);
	}
	for (int byte = 0; byte < 9; byte++) {
		make_set(self->settable, 0, 0, "data", 4);
		request.rpc.set_feat_in.hdr.rsvd[byte] = 0x80;
		send_request_fails_in_any_scope(EINVAL, self->fd);
	}
}

/*
 * Get Supported Features, 8.2.10.6.1
 */

TEST_F(cxl, list_is_complete)
{
	EXPECT_EQ(self->count, features_in_reply());
	EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
	EXPECT_EQ(LIST_HEAD_LEN + self->count * ENTRY_LEN, reply.out.hdr.size);
	EXPECT_EQ(REPLY_HEAD_LEN + LIST_HEAD_LEN + self->count * ENTRY_LEN, reply_len);
	EXPECT_TRUE(all_bytes_are(reply.out.get_sup_feats_out.hdr.reserved, 0, 4));

	for (unsigned int i = 0; i < self->count; i++) {
		EXPECT_LT(0, le16toh(self->entries[i].get_feat_size));
		for (unsigned int j = 0; j < i; j++) {
			EXPECT_NE(0, memcmp(self->entries[i].uuid, self->entries[j].uuid, 16));
		}
	}
}

TEST_F(cxl, list_from_any_index)
{
	for (unsigned int start = 0; start < self->count; start++) {
		make_get_supported(MAX_FEATURES * ENTRY_LEN, start);
		send_request(self->fd);
		EXPECT_EQ(self->count - start, entries_in_reply());
		EXPECT_EQ(self->count, features_in_reply());
		EXPECT_EQ(0, memcmp(reply.out.get_sup_feats_out.ents, &self->entries[start],
				    (self->count - start) * ENTRY_LEN));
	}

	make_get_supported(ENTRY_LEN, self->count);
	send_request_fails(EINVAL, self->fd);
	make_get_supported(ENTRY_LEN, UINT16_MAX);
	send_request_fails(EINVAL, self->fd);
	make_get_supported(0, self->count);
	send_request_fails(EINVAL, self->fd);
}

/* `count` is in bytes; as many whole entries as fit are returned. */
TEST_F(cxl, list_of_any_length)
{
	uint32_t counts[] = {
		0, 1, 8, 47, 48, 49, 56, 95, 96, 97, 0x1000, 0xffff, 0x10000, INT_MAX, 1u << 31,
		UINT_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		for (unsigned int start = 0; start < self->count; start++) {
			unsigned int fitting = counts[i] / ENTRY_LEN, left = self->count - start;
			unsigned int expected = fitting < left ? fitting : left;

			make_get_supported(counts[i], start);
			send_request(self->fd);
			EXPECT_EQ(expected, entries_in_reply()) {
				TH_LOG("count %u, start %u", counts[i], start);
			}
			EXPECT_EQ(self->count, features_in_reply());
			EXPECT_EQ(LIST_HEAD_LEN + expected * ENTRY_LEN, reply.out.hdr.size);
			EXPECT_EQ(0, memcmp(reply.out.get_sup_feats_out.ents, &self->entries[start],
					    expected * ENTRY_LEN));
		}
	}
}

/* The list is cut to the buffer, and its full length is returned. */
TEST_F(cxl, list_in_any_buffer)
{
	uint32_t whole = REPLY_HEAD_LEN + LIST_HEAD_LEN + self->count * ENTRY_LEN;
	uint32_t capacities[] = {
		0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, whole - 1, whole, whole + 1
	};
	uint8_t all[sizeof(self->entries) + 16];

	make_get_supported(MAX_FEATURES * ENTRY_LEN, 0);
	send_request(self->fd);
	ASSERT_EQ(whole, reply_len);
	memcpy(all, &reply, whole);

	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
		ASSERT_EQ(0, _send_request(self->fd, FWCTL_RPC_CONFIGURATION, capacities[i]));
		EXPECT_EQ(whole, reply_len);
		EXPECT_EQ(0, memcmp(&reply, all, capacities[i] < whole ? capacities[i] : whole));
	}
}

TEST_F(cxl, list_in_any_scope)
{
	for (uint32_t scope = 0; scope < 4; scope++) {
		make_get_supported(MAX_FEATURES * ENTRY_LEN, 0);
		ASSERT_EQ(0, _send_request(self->fd, scope, ANY_REPLY_LEN));
		EXPECT_EQ(self->count, entries_in_reply());
		EXPECT_EQ(0, memcmp(reply.out.get_sup_feats_out.ents, self->entries,
				    self->count * ENTRY_LEN));
	}
}

/* Features that are exclusive to the kernel are listed as not changeable. */
TEST_F(cxl, exclusive_features_are_listed_as_unchangeable)
{
	unsigned int exclusive = 0;

	for (unsigned int i = 0; i < self->count; i++) {
		if (!is_exclusive(self->entries[i].uuid))
			continue;
		exclusive++;
		EXPECT_EQ(0, le32toh(self->entries[i].flags) & CXL_FEATURE_F_CHANGEABLE);
		EXPECT_EQ(0, self->entries[i].set_feat_size);
	}
	EXPECT_EQ(self->kind == QEMU ? self->count : self->kind == EMULATED, exclusive);
}

/*
 * Get Feature, 8.2.10.6.2
 */

/* Reads a whole Feature into reply.out.payload. */
#define get_whole(fd, entry) do {							\
	make_get((entry)->uuid, 0, le16toh((entry)->get_feat_size), 0);			\
	send_request(fd);								\
	ASSERT_EQ(RC_SUCCESS, reply.out.hdr.retval);					\
	ASSERT_EQ(le16toh((entry)->get_feat_size), reply.out.hdr.size);			\
} while (0)

TEST_F(cxl, get_whole_features)
{
	uint8_t whole[FEATURE_SPACE];

	for (unsigned int i = 0; i < self->count; i++) {
		uint32_t len = le16toh(self->entries[i].get_feat_size);

		get_whole(self->fd, &self->entries[i]);
		memcpy(whole, reply.out.payload, len);
		EXPECT_EQ(REPLY_HEAD_LEN + len, reply_len);

		/* The exact buffer size is enough, in any scope. */
		for (uint32_t scope = 0; scope < 4; scope++) {
			ASSERT_EQ(0, _send_request(self->fd, scope, REPLY_HEAD_LEN + len));
			EXPECT_EQ(len, reply.out.hdr.size);
			EXPECT_EQ(0, memcmp(whole, reply.out.payload, len));
		}
	}
}

TEST_F(cxl, get_any_part)
{
	uint8_t whole[FEATURE_SPACE];

	for (unsigned int i = 0; i < self->count; i++) {
		uint32_t len = le16toh(self->entries[i].get_feat_size);
		/* Not every offset of a long Feature. */
		uint32_t step = len < 256 ? 1 : len / 11;

		get_whole(self->fd, &self->entries[i]);
		memcpy(whole, reply.out.payload, len);
		for (uint32_t offset = 0; offset < len; offset += step) {
			for (uint32_t count = 1; count <= len - offset; count += step) {
				make_get(self->entries[i].uuid, offset, count, 0);
				send_request(self->fd);
				EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
				EXPECT_EQ(count, reply.out.hdr.size);
				EXPECT_EQ(0, memcmp(whole + offset, reply.out.payload, count)) {
					TH_LOG("feature %u, offset %u, count %u", i, offset, count);
				}
			}
		}
	}
}

/* The RPC succeeds and the reply has the return code of the device. */
TEST_F(cxl, get_beyond_the_feature)
{
	for (unsigned int i = 0; i < self->count; i++) {
		uint32_t offsets[] = {
			le16toh(self->entries[i].get_feat_size) + 1, 0x1000, FEATURE_SPACE - 1,
		};

		for (size_t j = 0; j < ARRAY_SIZE(offsets); j++) {
			if (offsets[j] < offsets[0])
				continue;
			make_get(self->entries[i].uuid, offsets[j], 1, 0);
			send_request(self->fd);
			EXPECT_EQ(RC_INPUT, reply.out.hdr.retval);
			EXPECT_EQ(0, reply.out.hdr.size);
			EXPECT_EQ(REPLY_HEAD_LEN, reply_len);
		}
	}
}

/* A count beyond the end.  The mock returns nothing, other devices return the rest. */
TEST_F(cxl, get_more_than_the_feature)
{
	uint16_t more[] = { 1, 100, 2048, 4096, 60000 };
	uint8_t whole[FEATURE_SPACE];

	for (unsigned int i = 0; i < self->count; i++) {
		uint32_t len = le16toh(self->entries[i].get_feat_size);

		get_whole(self->fd, &self->entries[i]);
		memcpy(whole, reply.out.payload, len);
		for (size_t j = 0; j < ARRAY_SIZE(more); j++) {
			make_get(self->entries[i].uuid, 0, len + more[j], 0);
			send_request(self->fd);
			if (self->kind == MOCK) {
				EXPECT_EQ(RC_INPUT, reply.out.hdr.retval);
				EXPECT_EQ(0, reply.out.hdr.size);
			} else {
				EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
				EXPECT_EQ(len, reply.out.hdr.size);
				EXPECT_EQ(0, memcmp(whole, reply.out.payload, len));
			}
		}
	}
}

TEST_F(cxl, get_nothing)
{
	for (unsigned int i = 0; i < self->count; i++) {
		make_get(self->entries[i].uuid, 0, 0, 0);
		send_request_fails(EINVAL, self->fd);
	}
	make_get(unknown_uuid, 0, 0, 0);
	send_request_fails(EINVAL, self->fd);
}

/* The offset does not wrap around at 64 KiB. */
TEST_F(cxl, get_past_64_KiB)
{
	struct {
		uint16_t offset, count;
	} parts[] = {
		{ 1, 0xffff }, { 2, 0xffff }, { 0xffff, 2 }, { 0xffff, 0xffff }, { 0x8000, 0x8001 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		make_get(self->entries[0].uuid, parts[i].offset, parts[i].count, 0);
		if (parts[i].offset + parts[i].count > FEATURE_SPACE) {
			send_request_fails(EINVAL, self->fd);
		} else {
			send_request(self->fd);
			if (self->kind == EMULATED && parts[i].offset < 4) {
				EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
				EXPECT_EQ(4 - parts[i].offset, reply.out.hdr.size);
			} else {
				EXPECT_NE(RC_SUCCESS, reply.out.hdr.retval);
			}
		}
	}
}

/* Returns the expected return code for a selection, which a Feature may not support. */
static uint16_t answer_to_selection(enum kind kind, const struct cxl_feat_entry *entry,
				    uint8_t selection)
{
	uint32_t flag = selection == CXL_GET_FEAT_SEL_DEFAULT_VALUE ? CXL_FEATURE_F_DEFAULT_SEL :
			selection == CXL_GET_FEAT_SEL_SAVED_VALUE ? CXL_FEATURE_F_SAVED_SEL : 0;

	if (selection == CXL_GET_FEAT_SEL_CURRENT_VALUE || kind == MOCK)
		return RC_SUCCESS;
	if (kind == QEMU)
		return RC_UNSUPPORTED;
	return le32toh(entry->flags) & flag ? RC_SUCCESS : RC_SELECTION;
}

/* QEMU only has current values.  The mock ignores the selection. */
TEST_F(cxl, get_selections)
{
	uint8_t selections[] = {
		CXL_GET_FEAT_SEL_CURRENT_VALUE, CXL_GET_FEAT_SEL_DEFAULT_VALUE,
		CXL_GET_FEAT_SEL_SAVED_VALUE,
		CXL_GET_FEAT_SEL_MAX, 0x80, 0xff,
	};

	for (unsigned int i = 0; i < self->count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(selections); j++) {
			make_get(self->entries[i].uuid, 0, 1, selections[j]);
			send_request(self->fd);
			EXPECT_EQ(answer_to_selection(self->kind, &self->entries[i], selections[j]),
				  reply.out.hdr.retval) {
				TH_LOG("feature %u, selection %u", i, selections[j]);
			}
			EXPECT_EQ(!reply.out.hdr.retval, reply.out.hdr.size);
		}
	}
}

/* The device refuses an unknown Feature, not the driver. */
TEST_F(cxl, get_unknown_feature)
{
	uint16_t counts[] = { 1, 4, 2048, 2049, 60000 };

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		make_get(unknown_uuid, 0, counts[i], 0);
		send_request(self->fd);
		EXPECT_EQ(RC_UNSUPPORTED, reply.out.hdr.retval);
		EXPECT_EQ(0, reply.out.hdr.size);
		EXPECT_EQ(REPLY_HEAD_LEN, reply_len);
	}
}

/* The requested bytes must fit the buffer. */
TEST_F(cxl, get_needs_a_large_enough_buffer)
{
	for (unsigned int i = 0; i < self->count; i++) {
		uint32_t len = le16toh(self->entries[i].get_feat_size);
		uint32_t step = len < 256 ? 1 : len / 11;

		make_get(self->entries[i].uuid, 0, len, 0);
		for (uint32_t capacity = 0; capacity < REPLY_HEAD_LEN + len; capacity += step) {
			EXPECT_EQ(EINVAL,
				  _send_request(self->fd, FWCTL_RPC_CONFIGURATION, capacity)) {
				TH_LOG("feature %u, buffer of %u bytes", i, capacity);
			}
		}
		EXPECT_EQ(EINVAL, _send_request(self->fd, FWCTL_RPC_CONFIGURATION,
						REPLY_HEAD_LEN + len - 1));
		ASSERT_EQ(0,
			  _send_request(self->fd, FWCTL_RPC_CONFIGURATION, REPLY_HEAD_LEN + len));
	}
}

struct reader {
	pthread_t thread;
	int fd;
	const struct cxl_feat_entry *entry;
	uint8_t expected[FEATURE_SPACE];
	unsigned int wrong;
};

static void *reader_main(void *arg)
{
	struct reader *reader = arg;
	uint32_t len = le16toh(reader->entry->get_feat_size);
	uint8_t out[REPLY_HEAD_LEN + len];
	struct fwctl_rpc_cxl rpc = {
		.hdr = { .opcode = OP_GET, .op_size = GET_LEN },
		.get_feat_in.count = reader->entry->get_feat_size,
	};

	memcpy(rpc.get_feat_in.uuid, reader->entry->uuid, 16);
	for (int i = 0; i < 100; i++) {
		uint32_t out_len = sizeof(out);

		memset(out, 0xee, sizeof(out));
		if (_fwctl_rpc(reader->fd, FWCTL_RPC_CONFIGURATION, &rpc, HEAD_LEN + GET_LEN, out,
			       &out_len) ||
		    out_len != sizeof(out) || memcmp(out + REPLY_HEAD_LEN, reader->expected, len))
			reader->wrong++;
	}
	return NULL;
}

/* Concurrent callers share a mailbox, and each gets its own reply. */
TEST_F_TIMEOUT(cxl, get_at_the_same_time, 120)
{
	struct reader *readers = calloc(6, sizeof(*readers));

	for (int i = 0; i < 6; i++) {
		readers[i].entry = &self->entries[i % self->count];
		readers[i].fd = i & 1 ? self->fd : open(self->dev.node, O_RDWR);
		ASSERT_LE(0, readers[i].fd);
		get_whole(self->fd, readers[i].entry);
		memcpy(readers[i].expected, reply.out.payload, reply.out.hdr.size);
	}
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]));
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(readers[i].thread, NULL);
		EXPECT_EQ(0, readers[i].wrong);
	}
	free(readers);
}

/*
 * Set Feature, 8.2.10.6.3
 */

/* Refused even in the highest scope. */
TEST_F(cxl, set_exclusive_features)
{
	if (self->kind == MOCK)
		SKIP(return, "the mock device has no such Feature");

	for (unsigned int i = 0; i < self->count; i++) {
		uint8_t before[FEATURE_SPACE], data[64] = {};
		uint32_t len = le16toh(self->entries[i].get_feat_size);

		if (!is_exclusive(self->entries[i].uuid)) {
			ASSERT_EQ(EMULATED, self->kind);
			continue;
		}
		get_whole(self->fd, &self->entries[i]);
		memcpy(before, reply.out.payload, len);

		make_set(self->entries[i].uuid, 0, 0, data, 4);
		send_request_fails_in_any_scope(EPERM, self->fd);
		make_set(self->entries[i].uuid, CXL_SET_FEAT_FLAG_DATA_SAVED_ACROSS_RESET, 0, data,
			 sizeof(data));
		send_request_fails_in_any_scope(EPERM, self->fd);
		make_set(self->entries[i].uuid, 0, 1, data, 1);
		send_request_fails_in_any_scope(EPERM, self->fd);

		get_whole(self->fd, &self->entries[i]);
		EXPECT_EQ(0, memcmp(before, reply.out.payload, len));
	}
}

TEST_F(cxl, set_unknown_feature)
{
	make_set(unknown_uuid, 0, 0, "data", 4);
	send_request_fails_in_any_scope(EINVAL, self->fd);
}

/*
 * Only the action "full transfer" is allowed: the driver splits large values itself.
 */
TEST_F(cxl, set_transfer_actions)
{
	for (uint32_t action = CXL_SET_FEAT_FLAG_INITIATE_DATA_TRANSFER; action < 8; action++) {
		make_set(self->settable, action, 0, "data", 4);
		send_request_fails_in_any_scope(EINVAL, self->fd);
		make_set(self->settable, action | CXL_SET_FEAT_FLAG_DATA_SAVED_ACROSS_RESET, 0,
			 "data", 4);
		send_request_fails_in_any_scope(EINVAL, self->fd);
	}
}

/* Undefined flags are refused and not sent to the device. */
TEST_F(cxl, set_undefined_flags)
{
	for (int bit = 4; bit < 32; bit++) {
		make_set(self->settable, 1u << bit, 0, "data", 4);
		send_request_fails_in_any_scope(EINVAL, self->fd);
	}
}

/* The offset does not wrap around at 64 KiB. */
TEST_F(cxl, set_past_64_KiB)
{
	struct { uint32_t offset, len; } parts[] = {
		{ 0xffff, 2 }, { 0xfffd, 4 }, { 1, FEATURE_SPACE }, { 0, FEATURE_SPACE + 1 },
		{ 0x8000, 0x8001 },
	};
	static const uint8_t data[FEATURE_SPACE + 1];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		make_set(self->settable, 0, parts[i].offset, data, parts[i].len);
		send_request_fails_in_any_scope(EINVAL, self->fd);
	}
}

FIXTURE(cxl_test)
{
	int fd;
	uint32_t before;
};

static int _get_vendor(int fd, uint32_t *value)
{
	int err;

	make_get(vendor_uuid, 0, sizeof(*value), 0);
	err = _send_request(fd, FWCTL_RPC_CONFIGURATION, ANY_REPLY_LEN);
	if (err)
		return err;
	if (reply.out.hdr.retval || reply.out.hdr.size != sizeof(*value))
		return -1;
	memcpy(value, reply.out.payload, sizeof(*value));
	*value = le32toh(*value);
	return 0;
}

#define get_vendor(fd) ({								\
	uint32_t __value = 0;								\
	ASSERT_EQ(0, _get_vendor(fd, &__value));					\
	__value;									\
})

/* Sets the Feature of the mock: four bytes that take effect at a cold reset. */
static int _set_vendor(int fd, uint32_t scope, uint32_t flags, uint16_t offset, uint32_t value)
{
	value = htole32(value);
	make_set(vendor_uuid, flags, offset, &value, sizeof(value));
	return _send_request(fd, scope, ANY_REPLY_LEN);
}

FIXTURE_SETUP(cxl_test)
{
	struct device dev;
	uint32_t value;

	if (!find_device(&dev, is_memdev_child))
		SKIP(return, "no fwctl device of a CXL memory device");
	self->fd = open(dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
	make_get_supported(ENTRY_LEN, 0);
	send_request(self->fd);
	if (memcmp(reply.out.get_sup_feats_out.ents[0].uuid, vendor_uuid, 16))
		SKIP(return, "no mock device of cxl_test");
	ASSERT_EQ(0, _get_vendor(self->fd, &value));
	self->before = value;
}

FIXTURE_TEARDOWN(cxl_test)
{
	EXPECT_EQ(0, _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE, 0, 0, self->before));
	EXPECT_EQ(self->before, get_vendor(self->fd));
	close(self->fd);
}

TEST_F(cxl_test, listed_as_changeable)
{
	struct cxl_feat_entry *entry = &reply.out.get_sup_feats_out.ents[0];

	make_get_supported(ENTRY_LEN, 0);
	send_request(self->fd);
	EXPECT_EQ(1, features_in_reply());
	EXPECT_EQ(4, le16toh(entry->get_feat_size));
	EXPECT_EQ(4, le16toh(entry->set_feat_size));
	EXPECT_EQ(CXL_FEATURE_F_CHANGEABLE | CXL_FEATURE_F_DEFAULT_SEL | CXL_FEATURE_F_SAVED_SEL,
		  le32toh(entry->flags));
	EXPECT_EQ(CXL_CMD_CONFIG_CHANGE_COLD_RESET | CXL_CMD_EFFECTS_VALID,
		  le16toh(entry->effects));
}

TEST_F(cxl_test, set_and_get)
{
	uint32_t values[] = { 0, 1, 0x12345678, 0xdeadbeef, UINT_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		ASSERT_EQ(0, _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE, 0, 0, values[i]));
		EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
		EXPECT_EQ(0, reply.out.hdr.size);
		EXPECT_EQ(REPLY_HEAD_LEN, reply_len);
		EXPECT_EQ(values[i], get_vendor(self->fd));
	}
	/* The saved value can be set as well. */
	ASSERT_EQ(0, _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE,
				 CXL_SET_FEAT_FLAG_DATA_SAVED_ACROSS_RESET, 0, 42));
	EXPECT_EQ(42, get_vendor(self->fd));
}

/* A change that takes effect at a reset needs at least DEBUG_WRITE. */
TEST_F(cxl_test, set_needs_a_scope)
{
	EXPECT_EQ(EINVAL, _set_vendor(self->fd, FWCTL_RPC_CONFIGURATION, 0, 0, ~self->before));
	EXPECT_EQ(self->before, get_vendor(self->fd));
	EXPECT_EQ(EINVAL, _set_vendor(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, 0, 0, ~self->before));
	EXPECT_EQ(self->before, get_vendor(self->fd));
	EXPECT_EQ(0, _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE, 0, 0, ~self->before));
	EXPECT_EQ(~self->before, get_vendor(self->fd));
	EXPECT_EQ(0, _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL, 0, 0, self->before));
	EXPECT_EQ(self->before, get_vendor(self->fd));
}

/* The mock refuses an offset.  The RPC succeeds with its return code. */
TEST_F(cxl_test, set_refused_by_the_device)
{
	ASSERT_EQ(0, _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE, 0, 1, ~self->before));
	EXPECT_EQ(RC_INPUT, reply.out.hdr.retval);
	EXPECT_EQ(0, reply.out.hdr.size);
	EXPECT_EQ(REPLY_HEAD_LEN, reply_len);
	EXPECT_EQ(self->before, get_vendor(self->fd));
}

/* Refused requests change nothing. */
TEST_F(cxl_test, set_refused_by_the_driver)
{
	uint32_t value = ~self->before;

	for (uint32_t action = 1; action < 8; action++) {
		EXPECT_EQ(EINVAL,
			  _set_vendor(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL, action, 0, value));
	}
	make_set(vendor_uuid, 0, 0, &value, sizeof(value));
	for (uint32_t capacity = 0; capacity < REPLY_HEAD_LEN; capacity++) {
		EXPECT_EQ(EINVAL, _send_request(self->fd, FWCTL_RPC_DEBUG_WRITE, capacity));
	}
	request.rpc.hdr.flags = 1;
	send_request_fails_in_any_scope(EINVAL, self->fd);
	EXPECT_EQ(self->before, get_vendor(self->fd));

	/* A buffer for the reply header is enough. */
	make_set(vendor_uuid, 0, 0, &value, sizeof(value));
	EXPECT_EQ(0, _send_request(self->fd, FWCTL_RPC_DEBUG_WRITE, REPLY_HEAD_LEN));
	EXPECT_EQ(value, get_vendor(self->fd));
}

TEST_HARNESS_MAIN
