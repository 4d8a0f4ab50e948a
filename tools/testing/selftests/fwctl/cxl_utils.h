/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests to a CXL memory device, and its replies.  Section numbers are those of CXL 3.2.
 */
#ifndef __SELFTEST_FWCTL_CXL_UTILS_H
#define __SELFTEST_FWCTL_CXL_UTILS_H

#include <endian.h>

#include "fwctl_utils.h"

/* A kernel macro that the uapi header uses. */
#define __packed __attribute__((packed))
#define BIT(bit) (1u << (bit))
#include <fwctl/cxl.h>

/* Opcodes and return codes, 8.2.10.6 and 8.2.9.4.5.1 */
#define OP_GET_SUPPORTED 0x0500
#define OP_GET 0x0501
#define OP_SET 0x0502
#define RC_SUCCESS 0
#define RC_INPUT 2
#define RC_UNSUPPORTED 3
#define RC_SELECTION 0x1a

#define HEAD_LEN sizeof(struct fwctl_rpc_cxl_hdr)
#define REPLY_HEAD_LEN sizeof(struct fwctl_rpc_cxl_out_hdr)
#define LIST_HEAD_LEN sizeof(struct cxl_mbox_get_sup_feats_out_hdr)
#define ENTRY_LEN sizeof(struct cxl_feat_entry)
#define GET_LEN sizeof(struct cxl_mbox_get_feat_in)
#define SET_LEN sizeof(struct cxl_mbox_set_feat_hdr)

#define MAX_FEATURES 64
/* Limit of offsets in a Feature. */
#define FEATURE_SPACE 0x10000

static const uint8_t unknown_uuid[16] = {
	0xf0, 0x0d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
};

/* The settable Feature of cxl_test. */
static const uint8_t vendor_uuid[16] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff,
};

/* The Features of fwctl-emu, whose numbers are the last byte. */
static const uint8_t emulated_uuid[16] = { 0x66, 0x77, 0x63, 0x74, 0x6c, 0, 0x40, 0, 0x80 };

static inline bool is_emulated(const uint8_t *uuid)
{
	return !memcmp(uuid, emulated_uuid, 15);
}

/*
 * Features that are exclusive to the kernel: patrol scrub, ECS, soft and hard PPR, and
 * cacheline, row, bank and rank sparing.
 */
static const uint8_t exclusive_uuids[][16] = {
	{ 0x96, 0xda, 0xd7, 0xd6, 0xfd, 0xe8, 0x48, 0x2b,
	  0xa7, 0x33, 0x75, 0x77, 0x4e, 0x06, 0xdb, 0x8a },
	{ 0xe5, 0xb1, 0x3f, 0x22, 0x23, 0x28, 0x4a, 0x14,
	  0xb8, 0xba, 0xb9, 0x69, 0x1e, 0x89, 0x33, 0x86 },
	{ 0x89, 0x2b, 0xa4, 0x75, 0xfa, 0xd8, 0x47, 0x4e,
	  0x9d, 0x3e, 0x69, 0x2c, 0x91, 0x75, 0x68, 0xbb },
	{ 0x80, 0xea, 0x45, 0x21, 0x78, 0x6f, 0x41, 0x27,
	  0xaf, 0xb1, 0xec, 0x74, 0x59, 0xfb, 0x0e, 0x24 },
	{ 0x96, 0xc3, 0x33, 0x86, 0x91, 0xdd, 0x44, 0xc7,
	  0x9e, 0xcb, 0xfd, 0xaf, 0x65, 0x03, 0xba, 0xc4 },
	{ 0x45, 0x0e, 0xbf, 0x67, 0xb1, 0x35, 0x4f, 0x97,
	  0xa4, 0x98, 0xc2, 0xd5, 0x7f, 0x27, 0x9b, 0xed },
	{ 0x78, 0xb7, 0x96, 0x36, 0x90, 0xac, 0x4b, 0x64,
	  0xa4, 0xef, 0xfa, 0xac, 0x5d, 0x18, 0xa8, 0x63 },
	{ 0x34, 0xdb, 0xaf, 0xf5, 0x05, 0x52, 0x42, 0x81,
	  0x8f, 0x76, 0xda, 0x0b, 0x5e, 0x7a, 0x76, 0xa7 },
};

static inline bool is_exclusive(const uint8_t *uuid)
{
	for (size_t i = 0; i < ARRAY_SIZE(exclusive_uuids); i++) {
		if (!memcmp(uuid, exclusive_uuids[i], 16))
			return true;
	}
	return false;
}

/*
 * Buffers for one RPC: the request for send_request(), and its reply, followed by canaries.
 */
#define REQUEST_SIZE (2 * FEATURE_SPACE)
#define REPLY_SIZE (2 * FEATURE_SPACE)

static union {
	struct fwctl_rpc_cxl rpc;
	uint8_t bytes[REQUEST_SIZE];
} request;
static uint32_t request_len;

static union {
	struct fwctl_rpc_cxl_out out;
	uint8_t bytes[REPLY_SIZE];
} reply;
static uint32_t reply_len;

/* Buffer size for any reply. */
#define ANY_REPLY_LEN 0x11000

static inline void make_request(uint32_t opcode, const void *payload, uint32_t len)
{
	memset(&request, 0, sizeof(request));
	request.rpc.hdr.opcode = opcode;
	request.rpc.hdr.op_size = len;
	memcpy(request.bytes + HEAD_LEN, payload, len);
	request_len = HEAD_LEN + len;
}

static inline void make_get_supported(uint32_t count, uint16_t start)
{
	struct cxl_mbox_get_sup_feats_in in = { .count = htole32(count),
						.start_idx = htole16(start) };

	make_request(OP_GET_SUPPORTED, &in, sizeof(in));
}

static inline void make_get(const uint8_t *uuid, uint16_t offset, uint16_t count, uint8_t selection)
{
	struct cxl_mbox_get_feat_in in = { .offset = htole16(offset),
					   .count = htole16(count),
					   .selection = selection };

	memcpy(in.uuid, uuid, 16);
	make_request(OP_GET, &in, sizeof(in));
}

static inline void make_set(const uint8_t *uuid, uint32_t flags, uint16_t offset, const void *data,
			    uint32_t len)
{
	struct cxl_mbox_set_feat_hdr head = { .flags = htole32(flags),
					      .offset = htole16(offset),
					      .version = 1 };

	memcpy(head.uuid, uuid, 16);
	make_request(OP_SET, &head, sizeof(head));
	memcpy(request.bytes + request_len, data, len);
	request.rpc.hdr.op_size += len;
	request_len += len;
}

/* Returns 0 or an errno, or ECHANGED if the reply is inconsistent. */
static inline int _send_request(int fd, uint32_t scope, uint32_t capacity)
{
	uint32_t written;
	int err;

	memset(&reply, 0xee, sizeof(reply));
	reply_len = capacity;
	err = _fwctl_rpc(fd, scope, &request, request_len, &reply, &reply_len);
	if (err)
		return all_bytes_are(&reply, 0xee, sizeof(reply)) ? err : ECHANGED;

	written = reply_len < capacity ? reply_len : capacity;
	if (!all_bytes_are(reply.bytes + written, 0xee, sizeof(reply) - written))
		return ECHANGED;
	/* The length of the reply is that of its content. */
	if (capacity >= REPLY_HEAD_LEN && reply_len != REPLY_HEAD_LEN + reply.out.hdr.size)
		return ECHANGED;
	return 0;
}

/* Sends the request in scope CONFIGURATION, which is enough for all but Set Feature. */
#define send_request(fd) ASSERT_EQ(0, _send_request(fd, FWCTL_RPC_CONFIGURATION, ANY_REPLY_LEN))

#define send_request_fails(expected, fd) \
	EXPECT_EQ(expected, _send_request(fd, FWCTL_RPC_CONFIGURATION, ANY_REPLY_LEN))

/* The same in every scope. */
#define send_request_fails_in_any_scope(expected, fd) do {				\
	for (uint32_t __scope = 0; __scope < 4; __scope++) {				\
		EXPECT_EQ(expected, _send_request(fd, __scope, ANY_REPLY_LEN)) {		\
			TH_LOG("scope %u", __scope);					\
		}									\
	}										\
} while (0)

static inline uint16_t entries_in_reply(void)
{
	return le16toh(reply.out.get_sup_feats_out.hdr.num_entries);
}

static inline uint16_t features_in_reply(void)
{
	return le16toh(reply.out.get_sup_feats_out.hdr.supported_feats);
}

static inline bool is_memdev_child(const struct device *dev)
{
	return !strcmp(dev->bus, "cxl");
}

#endif
