// SPDX-License-Identifier: GPL-2.0-only
/*
 * FWCTL_RPC on a loopback device: requests, replies, and invalid arguments.
 *
 * FWCTL_TEST_DEV names the device (default: the first loopback device), FWCTL_TEST_DRIVER its
 * driver, "rust" or "c" (default: either).  Nothing else may use the device.  Also built as a
 * 32-bit program.
 */
#include "loopback_fixture.h"

/*
 * Replies
 */

/* Lengths at which an implementation might use another allocator or code path. */
static const uint32_t rpc_lens[] = {
	0, 1, 2, 15, 16, 17, 63, 64, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 8192, 65535,
	65536, 65537,
	MAX_RPC_LEN - 4097, MAX_RPC_LEN - 1, MAX_RPC_LEN,
};

/*
 * Makes a request of a pattern.  It starts with a command of `op` unless it is too short for one,
 * which the driver echoes.
 */
static void make_request(uint8_t *in, uint32_t len, uint32_t op)
{
	struct fwctl_loopback_cmd cmd = loopback_cmd(op, 0);

	fill_pattern(in, len, len);
	if (len >= sizeof(cmd))
		memcpy(in, &cmd, sizeof(cmd));
	else if (len)
		in[0] = 0;
}

static void check_echo(struct __test_metadata *_metadata, int fd, uint32_t op)
{
	size_t area_len = MAX_RPC_LEN + page_size();
	uint8_t *in = (uint8_t *)mapping_end(area_len / page_size()) - area_len;
	uint8_t *out = (uint8_t *)mapping_end(area_len / page_size()) - area_len;

	for (size_t i = 0; i < ARRAY_SIZE(rpc_lens); i++) {
		uint32_t len = rpc_lens[i], out_len = len;

		make_request(in, len, op);
		memset(out, 0xee, area_len);
		fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, in, len, out, &out_len);
		EXPECT_EQ(len, out_len);
		EXPECT_EQ(0, memcmp(in, out, len)) {
			TH_LOG("%u bytes", len);
		}
		EXPECT_TRUE(all_bytes_are(out + len, 0xee, area_len - len)) {
			TH_LOG("more than %u bytes", len);
		}
	}
}

TEST_F_TIMEOUT(loopback, rpc_reply_in_place, LONG_TIMEOUT)
{
	check_echo(_metadata, self->fd, FWCTL_LOOPBACK_ECHO);
}

TEST_F_TIMEOUT(loopback, rpc_reply_in_a_new_buffer, LONG_TIMEOUT)
{
	check_echo(_metadata, self->fd, FWCTL_LOOPBACK_COPY);
}

TEST_F(loopback, rpc_buffers_of_any_alignment)
{
	uint32_t lens[] = { 1, 7, 8, 16, 63, 64, 65, 255, 257 };
	uint8_t in[300], out[300];

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t in_at = 0; in_at < 9; in_at++) {
			for (size_t out_at = 0; out_at < 9; out_at++) {
				uint32_t len = lens[i], out_len = len;

				make_request(in + in_at, len, FWCTL_LOOPBACK_ECHO);
				memset(out, 0xee, sizeof(out));
				fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in + in_at, len,
					  out + out_at, &out_len);
				EXPECT_EQ(len, out_len);
				EXPECT_EQ(0, memcmp(in + in_at, out + out_at, len)) {
					TH_LOG("%u bytes from %zu to %zu", len, in_at, out_at);
				}
				EXPECT_TRUE(all_bytes_are(out, 0xee, out_at));
				EXPECT_TRUE(all_bytes_are(out + out_at + len, 0xee,
							  sizeof(out) - out_at - len));
			}
		}
	}
}

/* A request that is too short for a command is echoed, even if it starts like one. */
TEST_F(loopback, rpc_shorter_than_a_command)
{
	struct fwctl_loopback_cmd cmd = loopback_cmd(FWCTL_LOOPBACK_ERRNO, EIO);

	for (uint32_t len = 0; len < sizeof(cmd); len++) {
		uint8_t out[sizeof(cmd)] = {};
		uint32_t out_len = sizeof(out);

		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, &cmd, len, out, &out_len);
		EXPECT_EQ(len, out_len);
		EXPECT_EQ(0, memcmp(&cmd, out, len));
	}
	fwctl_rpc_fails(EIO, self->fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), NULL, 0);
}

/* The buffers of request and reply may be the same, or overlap. */
TEST_F(loopback, rpc_reply_over_the_request)
{
	uint8_t area[128], expected[64];
	uint32_t out_len;

	for (int offset = -32; offset <= 32; offset += 16) {
		make_request(area + 32, 64, FWCTL_LOOPBACK_ECHO);
		memcpy(expected, area + 32, 64);
		out_len = 64;
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, area + 32, 64, area + 32 + offset,
			  &out_len);
		EXPECT_EQ(64, out_len);
		EXPECT_EQ(0, memcmp(area + 32 + offset, expected, 64));
	}
}

TEST_F(loopback, rpc_reply_shorter_than_the_buffer)
{
	uint8_t in[300], out[400];
	uint32_t lens[] = { 0, 1, 16, 255, 300 };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct fwctl_loopback_cmd cmd = loopback_cmd(FWCTL_LOOPBACK_IN_PLACE, lens[i]);
		uint32_t out_len = sizeof(out);

		fill_pattern(in, sizeof(in), 3);
		memcpy(in, &cmd, sizeof(cmd));
		memset(out, 0xee, sizeof(out));
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, sizeof(in), out, &out_len);
		EXPECT_EQ(lens[i], out_len);
		EXPECT_EQ(0, memcmp(in, out, lens[i]));
		EXPECT_TRUE(all_bytes_are(out + lens[i], 0xee, sizeof(out) - lens[i])) {
			TH_LOG("more than the reply of %u bytes", lens[i]);
		}

		/* The same for replies in separate memory. */
		out_len = sizeof(out);
		memset(out, 0xee, sizeof(out));
		loopback_op(self->fd, FWCTL_LOOPBACK_ZEROS, lens[i], out, &out_len);
		EXPECT_EQ(lens[i], out_len);
		EXPECT_TRUE(all_bytes_are(out, 0, lens[i]));
		EXPECT_TRUE(all_bytes_are(out + lens[i], 0xee, sizeof(out) - lens[i]));

		out_len = sizeof(out);
		memset(out, 0xee, sizeof(out));
		loopback_op(self->fd, FWCTL_LOOPBACK_FILL, lens[i], out, &out_len);
		EXPECT_EQ(lens[i], out_len);
		for (uint32_t at = 0; at < sizeof(out); at++) {
			ASSERT_EQ(at < lens[i] ? at % 251 : 0xee, out[at]);
		}
	}
}

TEST_F(loopback, rpc_reply_longer_than_the_buffer)
{
	uint8_t in[300], out[400];
	uint32_t lens[] = { 0, 1, 15, 16, 255, 299 };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t out_len = lens[i];

		make_request(in, sizeof(in), FWCTL_LOOPBACK_ECHO);
		memset(out, 0xee, sizeof(out));
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, sizeof(in), out, &out_len);
		EXPECT_EQ(sizeof(in), out_len);
		EXPECT_EQ(0, memcmp(in, out, lens[i]));
		EXPECT_TRUE(all_bytes_are(out + lens[i], 0xee, sizeof(out) - lens[i])) {
			TH_LOG("more than the buffer of %u bytes", lens[i]);
		}

		out_len = lens[i];
		memset(out, 0xee, sizeof(out));
		loopback_op(self->fd, FWCTL_LOOPBACK_FILL, 100000, out, &out_len);
		EXPECT_EQ(100000, out_len);
		for (uint32_t at = 0; at < sizeof(out); at++) {
			ASSERT_EQ(at < lens[i] ? at % 251 : 0xee, out[at]);
		}
	}
}

/* out_len is limited on input, the length of the reply is not. */
TEST_F_TIMEOUT(loopback, rpc_reply_longer_than_any_buffer, LONG_TIMEOUT)
{
	size_t pages = MAX_RPC_LEN / page_size() + 1;
	uint8_t *out = (uint8_t *)mapping_end(pages) - pages * page_size();
	uint32_t out_len = MAX_RPC_LEN;

	memset(out, 0xee, pages * page_size());
	loopback_op(self->fd, FWCTL_LOOPBACK_FILL, FWCTL_LOOPBACK_MAX_FILL, out, &out_len);
	EXPECT_EQ(FWCTL_LOOPBACK_MAX_FILL, out_len);
	for (uint32_t at = 0; at < MAX_RPC_LEN; at++) {
		ASSERT_EQ(at % 251, out[at]);
	}
	EXPECT_TRUE(all_bytes_are(out + MAX_RPC_LEN, 0xee, page_size()));
}

/* An empty reply is not copied. */
TEST_F(loopback, rpc_empty_reply)
{
	void *anywhere[] = { NULL, mapping_end(1), page_with(PROT_READ, 0xee),
			     page_with(PROT_NONE, 0), KERNEL_PTR };
	uint32_t ops[] = { FWCTL_LOOPBACK_FILL, FWCTL_LOOPBACK_IN_PLACE };

	for (size_t op = 0; op < ARRAY_SIZE(ops); op++) {
		for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++) {
			uint32_t out_len = 100;

			loopback_op(self->fd, ops[op], 0, anywhere[i], &out_len);
			EXPECT_EQ(0, out_len);
		}
	}
}

/*
 * A faulty driver claims a reply in place that is longer than the request.  The core must not copy
 * the kernel memory after the request.
 */
TEST_F(loopback, rpc_in_place_claim_beyond_the_request)
{
	uint32_t in_lens[] = { 16, 17, 64, 255, 256, 257, 4096 };
	uint8_t in[4096], out[8192];

	for (size_t i = 0; i < ARRAY_SIZE(in_lens); i++) {
		uint32_t claims[] = {
			in_lens[i] + 1, in_lens[i] + 64, sizeof(out), MAX_RPC_LEN, MAX_RPC_LEN + 1,
			UINT_MAX,
		};

		for (size_t j = 0; j < ARRAY_SIZE(claims); j++) {
			struct fwctl_loopback_cmd cmd =
				loopback_cmd(FWCTL_LOOPBACK_IN_PLACE, claims[j]);
			uint32_t out_len = sizeof(out);
			int err;

			fill_pattern(in, sizeof(in), 9);
			memcpy(in, &cmd, sizeof(cmd));
			memset(out, 0xee, sizeof(out));
			err = _fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, in_lens[i], out,
					 &out_len);
			/* Stop at the first claim that the core accepts. */
			ASSERT_NE(0, err) {
				TH_LOG("request of %u bytes, claim of %u", in_lens[i], claims[j]);
			}
			EXPECT_NE(ECHANGED, err);
			EXPECT_NE(EFAULT, err);
			ASSERT_TRUE(all_bytes_are(out, 0xee, sizeof(out)));

			/* Also if the buffer is shorter than the claim. */
			out_len = in_lens[i];
			err = _fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, in_lens[i], out,
					 &out_len);
			EXPECT_NE(0, err);
			EXPECT_TRUE(all_bytes_are(out, 0xee, sizeof(out)));
		}
	}
	/* The file still works. */
	loopback_echo(self->fd);
}

/* A reply contains no bytes of earlier requests or of other kernel memory. */
TEST_F(loopback, rpc_reply_does_not_leak)
{
	uint8_t secret[256], in[256], out[512];
	uint32_t out_len;

	for (uint32_t len = 0; len < sizeof(in); len += 5) {
		memset(secret, 0x5a, sizeof(secret));
		out_len = 0;
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, secret, sizeof(secret), NULL,
			  &out_len);

		make_request(in, len, FWCTL_LOOPBACK_ECHO);
		memset(out, 0xee, sizeof(out));
		out_len = sizeof(out);
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, len, out, &out_len);
		EXPECT_EQ(len, out_len);
		EXPECT_EQ(0, memcmp(in, out, len));
		EXPECT_TRUE(all_bytes_are(out + len, 0xee, sizeof(out) - len));
	}
}

/* Errors of the driver are returned from ioctl(2). */
TEST_F(loopback, rpc_errno_of_the_driver)
{
	int errnos[] = {
		EPERM, ENOENT, EINTR, EIO, EAGAIN, ENOMEM, EBUSY, ENODEV, EINVAL, ENOSPC, ENOSYS,
		EPROTO, ETIMEDOUT, 511,
	};
	uint8_t out[32];

	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++) {
		memset(out, 0xee, sizeof(out));
		loopback_op_fails(errnos[i], self->fd, FWCTL_LOOPBACK_ERRNO, errnos[i], out,
				  sizeof(out));
		EXPECT_TRUE(all_bytes_are(out, 0xee, sizeof(out)));
	}
	/* ENODEV of the driver does not affect later RPCs. */
	loopback_echo(self->fd);
}

TEST_F(loopback, rpc_refused_by_the_driver)
{
	struct fwctl_loopback_cmd cmd = loopback_cmd(FWCTL_LOOPBACK_ECHO, 0);

	loopback_op_fails(EOPNOTSUPP, self->fd, 11, 0, NULL, 0);
	loopback_op_fails(EOPNOTSUPP, self->fd, UINT_MAX, 0, NULL, 0);
	loopback_op_fails(EINVAL, self->fd, FWCTL_LOOPBACK_ERRNO, 0, NULL, 0);
	loopback_op_fails(EINVAL, self->fd, FWCTL_LOOPBACK_ERRNO, 4096, NULL, 0);
	loopback_op_fails(EINVAL, self->fd, FWCTL_LOOPBACK_SLEEP, FWCTL_LOOPBACK_MAX_SLEEP_MS + 1,
			  NULL, 0);
	loopback_op_fails(EINVAL, self->fd, FWCTL_LOOPBACK_FILL, FWCTL_LOOPBACK_MAX_FILL + 1, NULL,
			  0);
	loopback_op_fails(EINVAL, self->fd, FWCTL_LOOPBACK_ZEROS, FWCTL_LOOPBACK_MAX_FILL + 1, NULL,
			  0);
	cmd.reserved = 1;
	fwctl_rpc_fails(EINVAL, self->fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), NULL, 0);
}

/* The driver gets the scope and the out_len of the caller. */
TEST_F(loopback, rpc_scope_and_out_len_reach_the_driver)
{
	for (uint32_t scope = FWCTL_RPC_CONFIGURATION; scope <= FWCTL_RPC_DEBUG_WRITE_FULL;
	     scope++) {
		struct fwctl_loopback_cmd cmd = loopback_cmd(FWCTL_LOOPBACK_STATE, 0);
		struct fwctl_loopback_state state = {};
		uint32_t out_len = sizeof(state);

		fwctl_rpc(self->fd, scope, &cmd, sizeof(cmd), &state, &out_len);
		EXPECT_EQ(sizeof(state), out_len);
		EXPECT_EQ(scope, state.scope);
		EXPECT_EQ(sizeof(state), state.out_len);
	}

	for (size_t i = 0; i < ARRAY_SIZE(rpc_lens); i++) {
		size_t pages = MAX_RPC_LEN / page_size();
		struct fwctl_loopback_state *state = mapping_end(pages) - pages * page_size();
		uint32_t out_len = rpc_lens[i];

		loopback_op(self->fd, FWCTL_LOOPBACK_STATE, 0, state, &out_len);
		EXPECT_EQ(sizeof(*state), out_len);
		if (rpc_lens[i] >= sizeof(*state)) {
			EXPECT_EQ(rpc_lens[i], state->out_len);
		}
		munmap(state, pages * page_size());
	}
}

/*
 * Errors and their precedence
 */

TEST_F(loopback, rpc_unknown_scopes)
{
	uint32_t scopes[] = {
		4, 5, 0xff, 0x100, 0x10000, 1u << 31, 1u << 31 | 1, UINT_MAX - 1, UINT_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
		EXPECT_EQ(EOPNOTSUPP, _loopback_echo(self->fd, scopes[i])) {
			TH_LOG("scope %u", scopes[i]);
		}
	}
}

TEST_F(loopback, rpc_too_long)
{
	uint32_t lens[] = {
		MAX_RPC_LEN + 1, MAX_RPC_LEN + page_size(), INT_MAX, 1u << 31, UINT_MAX,
	};
	size_t pages = MAX_RPC_LEN / page_size() + 1;
	uint8_t *mem = (uint8_t *)mapping_end(pages) - pages * page_size();

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, mem, lens[i], mem, 16);
		fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, mem, 16, mem, lens[i]);
		fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, mem, lens[i], mem,
				lens[i]);
		fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, NULL, lens[i], NULL,
				0);
	}
}

TEST_F(loopback, rpc_bad_requests)
{
	uint8_t *end = mapping_end(2);
	uint8_t out[64];
	struct {
		void *in;
		uint32_t len;
	} requests[] = {
		{ NULL, 1 }, { NULL, MAX_RPC_LEN }, { (void *)1, 16 },
		{ end, 1 }, { end - 15, 16 }, { end - 255, 256 }, { end - 256, 257 },
		{ end - 4096, 4097 },
		{ end - 4096, MAX_RPC_LEN },
		{ page_with(PROT_NONE, 0), 16 }, { KERNEL_PTR, 16 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		uint32_t out_len = sizeof(out);

		memset(out, 0xee, sizeof(out));
		EXPECT_EQ(EFAULT, _fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, requests[i].in,
					     requests[i].len, out, &out_len)) {
			TH_LOG("%u bytes at %p", requests[i].len, requests[i].in);
		}
		EXPECT_TRUE(all_bytes_are(out, 0xee, sizeof(out)));
	}

	for (int shift = 32; shift < 64; shift++) {
		uint8_t in[16] = {};
		struct fwctl_rpc cmd = {
			.size = sizeof(cmd),
			.in_len = sizeof(in),
			.in = to_u64(in) ^ 1ull << shift,
		};

		EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RPC, &cmd)) {
			TH_LOG("bit %d", shift);
		}
	}
}

TEST_F(loopback, rpc_bad_reply_buffers)
{
	uint8_t *end = mapping_end(2);
	uint8_t *read_only = page_with(PROT_READ, 0xee);
	uint8_t in[4096];
	struct {
		void *out;
		uint32_t len;
	} buffers[] = {
		{ NULL, 1 }, { (void *)1, 16 },
		{ end, 1 }, { end - 15, 16 }, { end - 255, 256 }, { end - 4095, 4096 },
		{ read_only, 16 }, { page_with(PROT_NONE, 0), 16 }, { KERNEL_PTR, 16 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		uint32_t ops[] = { FWCTL_LOOPBACK_ECHO, FWCTL_LOOPBACK_COPY };

		for (size_t op = 0; op < ARRAY_SIZE(ops); op++) {
			uint32_t out_len = buffers[i].len;

			make_request(in, sizeof(in), ops[op]);
			EXPECT_EQ(EFAULT, _fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in,
						     sizeof(in), buffers[i].out, &out_len)) {
				TH_LOG("%u bytes at %p", buffers[i].len, buffers[i].out);
			}
		}
	}
	EXPECT_TRUE(all_bytes_are(read_only, 0xee, page_size()));

	/* The unmapped part of the buffer is not needed. */
	make_request(in, 16, FWCTL_LOOPBACK_ECHO);
	{
		uint32_t out_len = 100;

		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, 16, end - 16, &out_len);
		EXPECT_EQ(16, out_len);
		EXPECT_EQ(0, memcmp(end - 16, in, 16));
	}

	for (int shift = 32; shift < 64; shift++) {
		struct fwctl_rpc cmd = {
			.size = sizeof(cmd),
			.in_len = 16,
			.out_len = 16,
			.in = to_u64(in),
			.out = to_u64(in) ^ 1ull << shift,
		};

		EXPECT_EQ(EFAULT, ioctl_errno(self->fd, FWCTL_RPC, &cmd)) {
			TH_LOG("bit %d", shift);
		}
		EXPECT_EQ(16, cmd.out_len);
	}
}

/* The request is not written to. */
TEST_F(loopback, rpc_request_in_read_only_memory)
{
	uint8_t *in = page_with(PROT_READ, 0xaa);
	uint8_t out[100];
	uint32_t out_len = sizeof(out);

	fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, 100, out, &out_len);
	EXPECT_EQ(100, out_len);
	EXPECT_TRUE(all_bytes_are(out, 0xaa, 100));
}

/* The addresses of empty buffers are ignored. */
TEST_F(loopback, rpc_of_no_bytes)
{
	void *anywhere[] = { NULL, (void *)1, mapping_end(1), page_with(PROT_NONE, 0), KERNEL_PTR };
	uint8_t in[16] = {};

	for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++) {
		uint32_t out_len = 0;

		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, anywhere[i], 0, anywhere[i], &out_len);
		EXPECT_EQ(0, out_len);
		fwctl_rpc(self->fd, FWCTL_RPC_CONFIGURATION, in, sizeof(in), anywhere[i], &out_len);
		EXPECT_EQ(sizeof(in), out_len);
	}
}

/* Lengths, scope, request, driver, and reply are checked in this order. */
TEST_F(loopback, rpc_order_of_checks)
{
	struct fwctl_loopback_cmd refused = loopback_cmd(FWCTL_LOOPBACK_ERRNO, ENOSPC);

	fwctl_rpc_fails(EMSGSIZE, self->fd, 4, NULL, MAX_RPC_LEN + 1, NULL, 16);
	fwctl_rpc_fails(EMSGSIZE, self->fd, 4, NULL, 16, NULL, MAX_RPC_LEN + 1);
	fwctl_rpc_fails(EOPNOTSUPP, self->fd, 4, NULL, 16, NULL, 16);
	fwctl_rpc_fails(EFAULT, self->fd, FWCTL_RPC_CONFIGURATION, NULL, 16, NULL, 16);
	fwctl_rpc_fails(ENOSPC, self->fd, FWCTL_RPC_CONFIGURATION, &refused, sizeof(refused), NULL,
			16);
}

TEST_HARNESS_MAIN
