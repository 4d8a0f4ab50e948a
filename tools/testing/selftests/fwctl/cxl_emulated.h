/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Features of the CXL memory device of fwctl-emu.
 */
#ifndef __SELFTEST_FWCTL_CXL_EMULATED_H
#define __SELFTEST_FWCTL_CXL_EMULATED_H

#include "cxl_utils.h"

/* Return codes, 8.2.9.4.5.1 */
#define RC_BACKGROUND 1
#define RC_INTERNAL 4
#define RC_BUSY 6
#define RC_VERSION 0x19
#define RC_TRANSFER_IN_PROGRESS 0x1b

enum feature {
	IMMEDIATE_CONFIGURATION,
	IMMEDIATE_DATA,
	IMMEDIATE_POLICY,
	IMMEDIATE_LOG,
	COLD_RESET,
	CONVENTIONAL_RESET,
	CXL_RESET,
	ANY_RESET,
	IMMEDIATE_AND_RESET,
	NONE,
	SECURITY_STATE,
	RESETS_VALID,
	SECURITY_AND_RESET,
	ABORTABLE_AND_RESET,
	SECONDARY_AND_RESET,
	BACKGROUND,
	RESERVED_12,
	RESERVED_13,
	RESERVED_14,
	RESERVED_15,
	LARGE,
	LARGE_AT_RESET,
	READ_ONLY,
	CURRENT_ONLY,
	LIMITED,
	PATROL_SCRUB,
	RESETS_NOT_VALID,
	FEATURES,
};

#define SMALL_LEN 4
#define LARGE_LEN 5000
#define LARGE_AT_RESET_LEN 1000
#define LIMITED_LEN 1200
/* Maximum of the first byte of LIMITED. */
#define LIMIT 100

static inline uint32_t feature_len(enum feature feature)
{
	switch (feature) {
	case LARGE:
		return LARGE_LEN;
	case LARGE_AT_RESET:
		return LARGE_AT_RESET_LEN;
	case LIMITED:
		return LIMITED_LEN;
	default:
		return SMALL_LEN;
	}
}

static inline void feature_uuid(enum feature feature, uint8_t *uuid)
{
	if (feature == PATROL_SCRUB) {
		memcpy(uuid, exclusive_uuids[0], 16);
		return;
	}
	memcpy(uuid, emulated_uuid, 16);
	uuid[15] = feature;
}

/*
 * Requests for use by several threads, without the static request of cxl_utils.h.  They return
 * 0, an errno, or DEVICE_SAYS plus a return code of the device.
 */
#define DEVICE_SAYS 0x10000

#define MAX_VALUE LARGE_LEN

static inline int set_feature(int fd, uint32_t scope, enum feature feature, uint32_t offset,
			      const void *data, uint32_t len)
{
	struct fwctl_rpc_cxl_out out = {};
	uint8_t in[HEAD_LEN + SET_LEN + MAX_VALUE] = {};
	struct fwctl_rpc_cxl *rpc = (void *)in;
	uint32_t out_len = REPLY_HEAD_LEN;
	int err;

	rpc->hdr.opcode = OP_SET;
	rpc->hdr.op_size = SET_LEN + len;
	feature_uuid(feature, rpc->set_feat_in.hdr.uuid);
	rpc->set_feat_in.hdr.offset = htole16(offset);
	rpc->set_feat_in.hdr.version = 1;
	memcpy(in + HEAD_LEN + SET_LEN, data, len);
	err = _fwctl_rpc(fd, scope, in, HEAD_LEN + SET_LEN + len, &out, &out_len);
	if (err)
		return err;
	if (out_len != REPLY_HEAD_LEN || out.hdr.size)
		return ECHANGED;
	return out.hdr.retval ? DEVICE_SAYS + out.hdr.retval : 0;
}

/* Reads `len` bytes.  Returns ECHANGED if there are fewer. */
static inline int get_feature(int fd, enum feature feature, uint8_t selection, uint32_t offset,
			      void *data, uint32_t len)
{
	struct fwctl_rpc_cxl rpc = { .hdr = { .opcode = OP_GET, .op_size = GET_LEN } };
	uint8_t out[REPLY_HEAD_LEN + MAX_VALUE] = {};
	struct fwctl_rpc_cxl_out *head = (void *)out;
	uint32_t out_len = REPLY_HEAD_LEN + len;
	int err;

	feature_uuid(feature, rpc.get_feat_in.uuid);
	rpc.get_feat_in.offset = htole16(offset);
	rpc.get_feat_in.count = htole16(len);
	rpc.get_feat_in.selection = selection;
	err = _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &rpc, HEAD_LEN + GET_LEN, out, &out_len);
	if (err)
		return err;
	if (head->hdr.retval)
		return out_len == REPLY_HEAD_LEN ? DEVICE_SAYS + head->hdr.retval : ECHANGED;
	if (out_len != REPLY_HEAD_LEN + len || head->hdr.size != len)
		return ECHANGED;
	memcpy(data, out + REPLY_HEAD_LEN, len);
	return 0;
}

/* Reads the current value of a whole Feature. */
#define get_whole(fd, feature, data) \
	ASSERT_EQ(0, get_feature(fd, feature, CXL_GET_FEAT_SEL_CURRENT_VALUE, 0, data, \
				 feature_len(feature)))

/* Returns whether the current value is `data`. */
#define has_value(fd, feature, data) ({							\
	uint8_t __now[MAX_VALUE];							\
	get_whole(fd, feature, __now);							\
	!memcmp(__now, data, feature_len(feature));					\
})

static inline bool find_emulated(struct device *dev)
{
	uint8_t value[SMALL_LEN];
	bool is_it;
	int fd;

	if (!find_device(dev, is_memdev_child))
		return false;
	fd = open(dev->node, O_RDWR);
	if (fd < 0)
		return false;
	is_it = !get_feature(fd, CURRENT_ONLY, CXL_GET_FEAT_SEL_CURRENT_VALUE, 0, value, SMALL_LEN);
	close(fd);
	return is_it;
}

/* Timeout in seconds, for an emulated device under TCG on a busy host. */
#define PATIENCE 300

#define NO_EMULATED "no CXL memory device of fwctl-emu"

#endif
