// SPDX-License-Identifier: GPL-2.0-only
/*
 * The scope that setting each Feature of a CXL memory device needs, the resulting values, and
 * values larger than the mailbox.
 *
 * Needs the memory device of fwctl-emu, which has a Feature for each effect.  FWCTL_TEST_DEV names
 * it (default: the first one below a memdev).
 */
#include "cxl_emulated.h"

FIXTURE(features)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(features)
{
	if (!find_emulated(&self->dev))
		SKIP(return, NO_EMULATED);
	self->fd = open(self->dev.node, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(features)
{
	close(self->fd);
}

/*
 * Effects and scopes
 */

/* Refused in any scope, as an invalid request. */
#define NEVER 4

/* The minimum scope for setting each Feature, and its effects, see CXL 3.2, 8.2.10.6.1. */
static const struct {
	uint32_t scope;
	uint16_t effects;
} policy[FEATURES] = {
	[IMMEDIATE_CONFIGURATION] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0002 },
	[IMMEDIATE_DATA] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0004 },
	[IMMEDIATE_POLICY] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0008 },
	[IMMEDIATE_LOG] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0010 },
	[COLD_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0001 },
	[CONVENTIONAL_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0600 },
	[CXL_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0a00 },
	[ANY_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0e01 },
	[IMMEDIATE_AND_RESET] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0003 },
	[NONE] = { NEVER, 0x0000 },
	[SECURITY_STATE] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0020 },
	[RESETS_VALID] = { NEVER, 0x0200 },
	[SECURITY_AND_RESET] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0021 },
	[ABORTABLE_AND_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0101 },
	[SECONDARY_AND_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0081 },
	[BACKGROUND] = { NEVER, 0x0042 },
	[RESERVED_12] = { NEVER, 0x1002 },
	[RESERVED_13] = { NEVER, 0x2002 },
	[RESERVED_14] = { NEVER, 0x4002 },
	[RESERVED_15] = { NEVER, 0x8002 },
	[LARGE] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0004 },
	[LARGE_AT_RESET] = { FWCTL_RPC_DEBUG_WRITE, 0x0001 },
	[READ_ONLY] = { NEVER, 0x0000 },
	[CURRENT_ONLY] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0002 },
	[LIMITED] = { FWCTL_RPC_DEBUG_WRITE_FULL, 0x0002 },
	/* EPERM, see below */
	[PATROL_SCRUB] = { NEVER, 0x0008 },
	/* Bits 10 and 11 without bit 9 */
	[RESETS_NOT_VALID] = { NEVER, 0x0c00 },
};

/* The device has the Features that the tests expect. */
TEST_F_TIMEOUT(features, listed, PATIENCE)
{
	make_get_supported(MAX_FEATURES * ENTRY_LEN, 0);
	send_request(self->fd);
	ASSERT_EQ(FEATURES, entries_in_reply());
	for (enum feature i = 0; i < FEATURES; i++) {
		struct cxl_feat_entry *entry = &reply.out.get_sup_feats_out.ents[i];
		bool is_changeable = i != READ_ONLY && i != PATROL_SCRUB;
		uint8_t uuid[16];

		feature_uuid(i, uuid);
		EXPECT_EQ(0, memcmp(uuid, entry->uuid, 16));
		EXPECT_EQ(policy[i].effects, le16toh(entry->effects));
		EXPECT_EQ(feature_len(i), le16toh(entry->get_feat_size));
		EXPECT_EQ(is_changeable ? feature_len(i) : 0, le16toh(entry->set_feat_size));
		EXPECT_EQ(is_changeable, le32toh(entry->flags) & CXL_FEATURE_F_CHANGEABLE);
	}
}

/* Reads all values of a Feature, to detect any change. */
static int get_values(int fd, enum feature feature, uint8_t values[3][MAX_VALUE])
{
	for (int selection = 0; selection < 3; selection++) {
		int err;

		if (feature == CURRENT_ONLY && selection)
			continue;
		err = get_feature(fd, feature, selection, 0, values[selection],
				  feature_len(feature));
		if (err)
			return err;
	}
	return 0;
}

TEST_F_TIMEOUT(features, every_effect_in_every_scope, PATIENCE)
{
	static uint8_t before[3][MAX_VALUE], after[3][MAX_VALUE];

	for (enum feature i = 0; i < FEATURES; i++) {
		bool is_at_once = policy[i].effects & 0x3e;

		for (uint32_t scope = 0; scope < 4; scope++) {
			uint8_t value[MAX_VALUE];
			bool is_allowed = scope >= policy[i].scope;
			int err;

			fill_pattern(value, sizeof(value), 16 * i + scope);
			value[0] %= LIMIT;
			ASSERT_EQ(0, get_values(self->fd, i, before));
			err = set_feature(self->fd, scope, i, 0, value, feature_len(i));
			EXPECT_EQ(is_allowed ? 0 : i == PATROL_SCRUB ? EPERM : EINVAL, err) {
				TH_LOG("feature %u, scope %u", i, scope);
			}
			ASSERT_EQ(0, get_values(self->fd, i, after));
			if (is_allowed) {
				memcpy(before[is_at_once ? CXL_GET_FEAT_SEL_CURRENT_VALUE :
							   CXL_GET_FEAT_SEL_SAVED_VALUE],
				       value, feature_len(i));
				/* The driver always sets the flag "save". */
				if (is_at_once && i != CURRENT_ONLY)
					memcpy(before[CXL_GET_FEAT_SEL_SAVED_VALUE], value,
					       feature_len(i));
			}
			EXPECT_EQ(0, memcmp(before, after, sizeof(before))) {
				TH_LOG("feature %u, scope %u: values", i, scope);
			}
		}
	}
}

TEST_F_TIMEOUT(features, selections, PATIENCE)
{
	uint8_t current[SMALL_LEN], now[SMALL_LEN], initial[SMALL_LEN] = { 4, 5, 6, 7 };

	/* A value that waits for a reset is the saved but not the current one. */
	get_whole(self->fd, COLD_RESET, current);
	EXPECT_EQ(0, set_feature(self->fd, FWCTL_RPC_DEBUG_WRITE, COLD_RESET, 0, "abcd", 4));
	EXPECT_TRUE(has_value(self->fd, COLD_RESET, current));
	EXPECT_EQ(0, get_feature(self->fd, COLD_RESET, CXL_GET_FEAT_SEL_SAVED_VALUE, 0, now, 4));
	EXPECT_EQ(0, memcmp("abcd", now, 4));
	EXPECT_EQ(0, get_feature(self->fd, COLD_RESET, CXL_GET_FEAT_SEL_DEFAULT_VALUE, 0, now, 4));
	EXPECT_EQ(0, memcmp(initial, now, 4));

	EXPECT_EQ(0,
		  get_feature(self->fd, CURRENT_ONLY, CXL_GET_FEAT_SEL_CURRENT_VALUE, 0, now, 4));
	for (int selection = 1; selection < 256; selection++) {
		EXPECT_EQ(DEVICE_SAYS + RC_SELECTION,
			  get_feature(self->fd, CURRENT_ONLY, selection, 0, now, 4));
	}
}

/* A value that is set is always saved, regardless of the flag. */
TEST_F_TIMEOUT(features, saved_regardless_of_the_flag, PATIENCE)
{
	uint32_t flags[] = { 0, CXL_SET_FEAT_FLAG_DATA_SAVED_ACROSS_RESET };
	enum feature sorts[] = { IMMEDIATE_CONFIGURATION, COLD_RESET, LARGE };
	uint8_t value[LARGE_LEN], saved[LARGE_LEN], uuid[16];

	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++) {
			uint32_t len = feature_len(sorts[i]);

			fill_pattern(value, len, 2 * i + j);
			feature_uuid(sorts[i], uuid);
			make_set(uuid, flags[j], 0, value, len);
			ASSERT_EQ(0, _send_request(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL,
						   ANY_REPLY_LEN));
			EXPECT_EQ(RC_SUCCESS, reply.out.hdr.retval);
			EXPECT_EQ(0, get_feature(self->fd, sorts[i], CXL_GET_FEAT_SEL_SAVED_VALUE,
						 0, saved, len));
			EXPECT_EQ(0, memcmp(value, saved, len)) {
				TH_LOG("feature %u, flags %u", sorts[i], flags[j]);
			}
		}
	}
}

TEST_F_TIMEOUT(features, read_only, PATIENCE)
{
	uint8_t before[SMALL_LEN];

	get_whole(self->fd, READ_ONLY, before);
	for (uint32_t scope = 0; scope < 4; scope++) {
		EXPECT_EQ(EINVAL, set_feature(self->fd, scope, READ_ONLY, 0, "abcd", 4));
	}
	EXPECT_TRUE(has_value(self->fd, READ_ONLY, before));
}

/* The kernel refuses to set exclusive Features even if the device lists them as changeable. */
TEST_F_TIMEOUT(features, exclusive, PATIENCE)
{
	uint8_t before[SMALL_LEN];

	get_whole(self->fd, PATROL_SCRUB, before);
	for (uint32_t scope = 0; scope < 4; scope++) {
		EXPECT_EQ(EPERM, set_feature(self->fd, scope, PATROL_SCRUB, 0, "abcd", 4));
	}
	EXPECT_TRUE(has_value(self->fd, PATROL_SCRUB, before));
}

/*
 * Return codes of the device
 */

TEST_F_TIMEOUT(features, refused_by_the_device, PATIENCE)
{
	uint8_t value[LIMITED_LEN + 1] = { LIMIT + 1 }, before[LIMITED_LEN];
	const uint32_t full = FWCTL_RPC_DEBUG_WRITE_FULL;

	get_whole(self->fd, LIMITED, before);
	EXPECT_EQ(DEVICE_SAYS + RC_INPUT, set_feature(self->fd, full, LIMITED, 0, value, 4));
	EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
		  set_feature(self->fd, full, LIMITED, LIMITED_LEN - 3, value, 4));
	EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
		  set_feature(self->fd, full, LIMITED, UINT16_MAX, value, 1));
	EXPECT_TRUE(has_value(self->fd, LIMITED, before));

	make_set(emulated_uuid, 0, 0, value, 4);
	request.rpc.set_feat_in.hdr.version = 2;
	ASSERT_EQ(0, _send_request(self->fd, full, ANY_REPLY_LEN));
	EXPECT_EQ(RC_VERSION, reply.out.hdr.retval);
}

/* A transfer that the device refuses is aborted, and the next one works. */
TEST_F_TIMEOUT(features, transfer_refused_by_the_device, PATIENCE)
{
	uint8_t value[LIMITED_LEN], before[LIMITED_LEN];
	const uint32_t full = FWCTL_RPC_DEBUG_WRITE_FULL;

	for (int round = 0; round < 3; round++) {
		get_whole(self->fd, LIMITED, before);
		fill_pattern(value, sizeof(value), round);
		value[0] = LIMIT + 1;
		EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
			  set_feature(self->fd, full, LIMITED, 0, value, LIMITED_LEN));
		EXPECT_TRUE(has_value(self->fd, LIMITED, before));
		/* The last part exceeds the Feature. */
		EXPECT_EQ(DEVICE_SAYS + RC_INPUT,
			  set_feature(self->fd, full, LIMITED, 200, value, LIMITED_LEN));
		EXPECT_TRUE(has_value(self->fd, LIMITED, before));

		value[0] = round;
		EXPECT_EQ(0, set_feature(self->fd, full, LIMITED, 0, value, LIMITED_LEN));
		EXPECT_TRUE(has_value(self->fd, LIMITED, value));
	}
}

/*
 * Values larger than the mailbox
 */

TEST_F_TIMEOUT(features, large_values, PATIENCE)
{
	/* Lengths around one, two and three commands of 512 bytes. */
	static const uint32_t lens[] = { 1, 480, 481, 960, 961, 1441, LARGE_LEN };
	uint8_t expected[LARGE_LEN], value[LARGE_LEN], part[LARGE_LEN];
	const uint32_t full = FWCTL_RPC_DEBUG_WRITE_FULL;

	get_whole(self->fd, LARGE, expected);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t offsets[] = { 0, 511, LARGE_LEN - lens[i] };

		for (size_t j = 0; j < ARRAY_SIZE(offsets); j++) {
			if (offsets[j] + lens[i] > LARGE_LEN)
				continue;
			fill_pattern(value, lens[i], 4 * i + j);
			EXPECT_EQ(0,
				  set_feature(self->fd, full, LARGE, offsets[j], value, lens[i]));
			memcpy(expected + offsets[j], value, lens[i]);
			EXPECT_TRUE(has_value(self->fd, LARGE, expected)) {
				TH_LOG("set %u bytes at %u", lens[i], offsets[j]);
			}
			EXPECT_EQ(0, get_feature(self->fd, LARGE, 0, offsets[j], part, lens[i]));
			EXPECT_EQ(0, memcmp(value, part, lens[i])) {
				TH_LOG("get %u bytes at %u", lens[i], offsets[j]);
			}
		}
	}
}

/* A transfer needs the scope of a single command, which is checked before anything is sent. */
TEST_F_TIMEOUT(features, large_value_at_a_reset, PATIENCE)
{
	uint8_t before[LARGE_AT_RESET_LEN], value[LARGE_AT_RESET_LEN], saved[LARGE_AT_RESET_LEN];

	get_whole(self->fd, LARGE_AT_RESET, before);
	fill_pattern(value, sizeof(value), 77);
	EXPECT_EQ(EINVAL, set_feature(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, LARGE_AT_RESET, 0, value,
				      sizeof(value)));
	EXPECT_EQ(0, set_feature(self->fd, FWCTL_RPC_DEBUG_WRITE, LARGE_AT_RESET, 0, value,
				 sizeof(value)));
	EXPECT_TRUE(has_value(self->fd, LARGE_AT_RESET, before));
	EXPECT_EQ(0, get_feature(self->fd, LARGE_AT_RESET, CXL_GET_FEAT_SEL_SAVED_VALUE, 0, saved,
				 sizeof(saved)));
	EXPECT_EQ(0, memcmp(value, saved, sizeof(value)));
}

#define ROUNDS 25

struct user {
	pthread_t thread;
	const char *node;
	enum feature feature;
	uint8_t seed;
	unsigned int wrong;
	int err;
};

/* Returns whether all bytes are the same, so the value is from one transfer. */
static bool is_of_one(const uint8_t *value, uint32_t len)
{
	return all_bytes_are(value, value[0], len);
}

static void *user_main(void *arg)
{
	struct user *user = arg;
	uint32_t len = feature_len(user->feature);
	uint8_t value[MAX_VALUE];
	int fd = open(user->node, O_RDWR);

	for (int i = 0; i < ROUNDS && !user->err; i++) {
		memset(value, (user->seed + i) % LIMIT, len);
		user->err = set_feature(fd, FWCTL_RPC_DEBUG_WRITE_FULL, user->feature, 0, value,
					len);
		if (!user->err)
			user->err = get_feature(fd, user->feature, 0, 0, value, len);
		if (!user->err && !is_of_one(value, len))
			user->wrong++;
	}
	close(fd);
	return NULL;
}

/*
 * Transfers are not interleaved: values that are read in parts are consistent.
 */
TEST_F_TIMEOUT(features, transfers_of_several_files, PATIENCE)
{
	struct user users[] = {
		{ .feature = LARGE, .seed = 1 },
		{ .feature = LARGE, .seed = 51 },
		{ .feature = LIMITED, .seed = 2 },
		{ .feature = IMMEDIATE_LOG, .seed = 3 },
	};
	uint8_t start[MAX_VALUE] = {};

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		users[i].node = self->dev.node;
		ASSERT_EQ(0, set_feature(self->fd, FWCTL_RPC_DEBUG_WRITE_FULL, users[i].feature, 0,
					 start, feature_len(users[i].feature)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		ASSERT_EQ(0, pthread_create(&users[i].thread, NULL, user_main, &users[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		pthread_join(users[i].thread, NULL);
		EXPECT_EQ(0, users[i].err) {
			TH_LOG("user %zu", i);
		}
		EXPECT_EQ(0, users[i].wrong) {
			TH_LOG("user %zu", i);
		}
	}
}

TEST_HARNESS_MAIN
