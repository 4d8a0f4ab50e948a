// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands of a ConnectX.
 *
 * FWCTL_TEST_DEV names the device (default: the first one of mlx5_core), which nothing else may
 * use.  FWCTL_TEST_MLX5=emulated allows tests that send commands which could change a real device.
 * FWCTL_TEST_DRIVER=c selects the expectations for the driver in C where they differ.
 */
#include <grp.h>

#include "mlx5_utils.h"

/* Opcodes that the driver in C allows in any scope, from scope 1 on, and from scope 2 on. */

static const uint16_t configuration[] = {
	0x100, 0x101, 0x109, 0x10e, 0x731, 0x740, 0x760, 0x762, 0x823, 0xb22, 0xb2e,
};

static const uint16_t debug_read[] = {
	0x107, 0x10a, 0x10c, 0x111, 0x117, 0x201, 0x203, 0x303, 0x402, 0x50b, 0x512, 0x602,
	0x702, 0x707, 0x713, 0x716, 0x719, 0x722, 0x725, 0x727, 0x728, 0x730, 0x732, 0x750,
	0x752, 0x754, 0x764, 0x765, 0x76f, 0x770, 0x773, 0x781, 0x784, 0x80b, 0x80d, 0x813,
	0x819, 0x821, 0x822, 0x824, 0x826, 0x82a, 0x831, 0x842, 0x903, 0x907, 0x90b, 0x90f,
	0x911, 0x915, 0x919, 0x932, 0x935, 0x937, 0x93b, 0x93f, 0x942, 0x962, 0x964, 0x971,
	0x981, 0xa02, 0xa05, 0xa09, 0xb02, 0xb03, 0xb05, 0xb07, 0xb08, 0xb0a, 0xb0d, 0xb0f,
	0xb13, 0xb14, 0xb28, 0xb2a, 0xb2f, 0x8000, 0x8001, 0x8006,
};

static const uint16_t debug_write[] = { 0x820 };

static const uint16_t registers[] = { 0x805, 0xb0c };

static bool is_in(uint16_t opcode, const uint16_t *opcodes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (opcodes[i] == opcode)
			return true;
	}
	return false;
}

/* Returns the minimum scope for an opcode, or SCOPES if no scope allows it. */
static uint32_t least_scope(uint16_t opcode, uint16_t op_mod)
{
	if (is_in(opcode, configuration, ARRAY_SIZE(configuration)))
		return FWCTL_RPC_CONFIGURATION;
	if (is_in(opcode, debug_read, ARRAY_SIZE(debug_read)))
		return FWCTL_RPC_DEBUG_READ_ONLY;
	if (is_in(opcode, debug_write, ARRAY_SIZE(debug_write)))
		return FWCTL_RPC_DEBUG_WRITE;
	if (is_in(opcode, registers, ARRAY_SIZE(registers)))
		return op_mod == WRITE_REG ? FWCTL_RPC_CONFIGURATION : FWCTL_RPC_DEBUG_READ_ONLY;
	return SCOPES;
}

FIXTURE(mlx5)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(mlx5)
{
	if (!find_device(&self->dev, is_mlx5))
		SKIP(return, "no device of mlx5_core: load mlx5_fwctl");

	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd) {
		TH_LOG("cannot open %s: %m", self->dev.node);
	}
}

FIXTURE_TEARDOWN(mlx5)
{
	close(self->fd);
}

TEST_F(mlx5, below_the_function)
{
	EXPECT_STREQ("pci", self->dev.bus);
	EXPECT_STREQ("mlx5_core", self->dev.driver);
}

/* INFO */

TEST_F(mlx5, info)
{
	struct fwctl_info_mlx5 info;

	ASSERT_EQ(0, _info(self->fd, &info));
	EXPECT_NE(0, info.uid);
	EXPECT_GE(UINT16_MAX, info.uid);
	/* The value depends on the device. */
	EXPECT_EQ(0, info.uctx_caps & ~TOOLS_RESOURCES);
}

TEST_F(mlx5, info_of_any_length)
{
	struct fwctl_info_mlx5 info;
	uint8_t whole[16], part[16];
	uint32_t len, type;

	ASSERT_EQ(0, _info(self->fd, &info));
	memset(whole, 0, sizeof(whole));
	memcpy(whole, &info, sizeof(info));

	/* For an empty buffer, the C core does not call the driver. */
	for (uint32_t capacity = 1; capacity <= sizeof(part); capacity++) {
		memset(part, 0xee, sizeof(part));
		len = capacity;
		fwctl_info(self->fd, part, &len, &type);
		EXPECT_EQ(sizeof(info), len);
		EXPECT_EQ(0, memcmp(part, whole, capacity));
		EXPECT_TRUE(all_bytes_are(part + capacity, 0xee, sizeof(part) - capacity));
	}
}

TEST_F(mlx5, each_file_is_a_user_context)
{
	struct fwctl_info_mlx5 info[8];
	int fds[ARRAY_SIZE(info)];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open(self->dev.node, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, _info(fds[i], &info[i]));
		for (size_t j = 0; j < i; j++)
			EXPECT_NE(info[j].uid, info[i].uid);
		read_mgir(fds[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct fwctl_info_mlx5 again;

		ASSERT_EQ(0, _info(fds[i], &again));
		EXPECT_EQ(0, memcmp(&info[i], &again, sizeof(again)));
		close(fds[i]);
	}
	read_mgir(self->fd);
}

/* The device would run out of contexts, which have 16-bit numbers, if they were not destroyed. */
TEST_F_TIMEOUT(mlx5, contexts_end_with_their_files, 120)
{
	for (int i = 0; i < 2000; i++) {
		int fd = open(self->dev.node, O_RDWR | O_CLOEXEC);

		ASSERT_LE(0, fd) {
			TH_LOG("open %d: %m", i);
		}
		close(fd);
	}
}

/* RPC: lengths */

TEST_F(mlx5, lengths_below_the_headers)
{
	/* The length is checked before the opcode.  The second opcode is refused in any scope. */
	uint16_t opcodes[] = { OP_QUERY_ADAPTER, OP_CREATE_EQ };

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		struct command cmd = command(opcodes[i], 0);
		struct answer answer;

		for (uint32_t len = 0; len < HEADER_LEN; len++) {
			fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, &cmd, len,
					&answer, sizeof(answer));
			fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, &cmd,
					sizeof(cmd), &answer, len);
			fwctl_rpc_fails(EMSGSIZE, self->fd, FWCTL_RPC_CONFIGURATION, &cmd, len,
					&answer, len);
		}
	}
}

TEST_F(mlx5, headers_are_enough)
{
	struct command cmd = command(OP_QUERY_ISSI, 0);
	struct answer answer;
	uint32_t len = HEADER_LEN;

	memset(&answer, 0xee, sizeof(answer));
	fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, HEADER_LEN, &answer, &len);
	EXPECT_EQ(HEADER_LEN, len);
	EXPECT_TRUE(all_bytes_are(answer.data, 0xee, sizeof(answer.data)));
}

/* The reply is the same whether it is in place or in separate memory. */
TEST_F(mlx5, replies_of_any_length)
{
	struct answer whole = read_mgir(self->fd);
	uint32_t in_lens[] = { HEADER_LEN + 4, HEADER_LEN + 64, 500, 529, sizeof(struct command) };
	uint32_t out_lens[] = {
		HEADER_LEN, HEADER_LEN + 1, HEADER_LEN + 64, 499, 500, 501, 529, sizeof(whole)
	};
	struct command cmd = read_register(REG_MGIR);

	for (size_t i = 0; i < ARRAY_SIZE(in_lens); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(out_lens); j++) {
			uint8_t reply[sizeof(whole)];
			uint32_t len = out_lens[j];

			memset(reply, 0xee, sizeof(reply));
			fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, in_lens[i], reply,
				  &len);
			EXPECT_EQ(out_lens[j], len);
			EXPECT_TRUE(all_bytes_are(reply + len, 0xee, sizeof(reply) - len));
			/* The device may refuse a short request. */
			if (!reply[0]) {
				EXPECT_TRUE(is_same_mgir(reply, &whole, len)) {
					TH_LOG("%u bytes in, %u out", in_lens[i], out_lens[j]);
				}
			}
		}
	}
}

TEST_F_TIMEOUT(mlx5, longest, 120)
{
	struct answer whole = read_mgir(self->fd);
	struct command cmd = read_register(REG_MGIR);
	uint8_t *in = calloc(1, MAX_RPC_LEN), *out = malloc(MAX_RPC_LEN);
	uint32_t lens[][2] = {
		{ sizeof(cmd), MAX_RPC_LEN }, { MAX_RPC_LEN, sizeof(whole) },
		{ MAX_RPC_LEN, MAX_RPC_LEN },
	};

	ASSERT_TRUE(in && out);
	memcpy(in, &cmd, sizeof(cmd));
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t len = lens[i][1];

		memset(out, 0xee, MAX_RPC_LEN);
		fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, in, lens[i][0], out, &len);
		EXPECT_EQ(lens[i][1], len);
		if (!out[0])
			EXPECT_TRUE(is_same_mgir(out, &whole, sizeof(whole)));
		/* No other kernel memory. */
		if (is_emulated())
			EXPECT_TRUE(all_bytes_are(out + sizeof(whole), 0, len - sizeof(whole)));
	}
	free(in);
	free(out);
}

/* RPC: the user context */

/* The driver overwrites the uid in the request, even if it is invalid. */
TEST_F(mlx5, uid_is_that_of_the_file)
{
	uint16_t uids[] = { 0, 1, 2, 0x7fff, 0xfffe, 0xffff };
	struct answer whole = read_mgir(self->fd);

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		struct command cmd = read_register(REG_MGIR);
		struct answer answer;
		uint32_t len = sizeof(answer);

		cmd.uid = htobe16(uids[i]);
		fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, sizeof(cmd), &answer, &len);
		EXPECT_TRUE(is_same_mgir(&answer, &whole, sizeof(whole))) {
			TH_LOG("uid %#x: status %#x, syndrome %#x", uids[i], answer.status,
			       be32toh(answer.syndrome));
		}
	}
}

/* RPC: replies */

/* The RPC succeeds if the firmware refuses the command. */
TEST_F(mlx5, firmware_refusal_is_a_reply)
{
	uint32_t in_lens[] = { sizeof(struct command), HEADER_LEN + 4 };
	struct command cmd = read_register(REG_NONE);

	for (size_t i = 0; i < ARRAY_SIZE(in_lens); i++) {
		struct answer answer = {};
		uint32_t len = sizeof(answer);

		fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, in_lens[i], &answer, &len);
		EXPECT_EQ(sizeof(answer), len);
		if (!answer.status)
			SKIP(return,
			     "this device refuses neither unknown registers nor short requests");
	}
	read_mgir(self->fd);
}

/* RPC: scopes */

TEST_F(mlx5, reading_a_register_takes_debug)
{
	struct command cmd = read_register(REG_MGIR);
	struct answer answer;
	uint32_t len;

	memset(&answer, 0xee, sizeof(answer));
	fwctl_rpc_fails(EBADMSG, self->fd, FWCTL_RPC_CONFIGURATION, &cmd, sizeof(cmd), &answer,
			sizeof(answer));
	EXPECT_TRUE(all_bytes_are(&answer, 0xee, sizeof(answer)));

	for (uint32_t scope = FWCTL_RPC_DEBUG_READ_ONLY; scope < SCOPES; scope++) {
		len = sizeof(answer);
		fwctl_rpc(self->fd, scope, &cmd, sizeof(cmd), &answer, &len);
		EXPECT_EQ(0, answer.status);
	}
}

/* Sets the temperature threshold of the first sensor, bytes 14 and 15 of the register. */
TEST_F(mlx5, writing_a_register_takes_configuration)
{
	struct command read = read_register(REG_MTMP), write = command(OP_ACCESS_REG, WRITE_REG);
	struct answer before, answer;

	if (!is_emulated())
		SKIP(return, "changes the device: set FWCTL_TEST_MLX5=emulated");

	for (uint32_t scope = FWCTL_RPC_CONFIGURATION; scope < SCOPES; scope++) {
		uint32_t read_scope = scope ? scope : FWCTL_RPC_DEBUG_READ_ONLY;
		uint32_t len = sizeof(before);

		fwctl_rpc(self->fd, read_scope, &read, sizeof(read), &before, &len);
		if (before.status)
			SKIP(return, "this device has no temperature sensor (MTMP)");

		write.register_id = read.register_id;
		memcpy(write.data, before.data, sizeof(write.data));
		write.data[15] ^= 1;
		fwctl_rpc(self->fd, scope, &write, sizeof(write), &answer, &len);
		if (answer.status)
			SKIP(return,
			     "this device does not let a user context set the threshold (MTMP)");

		fwctl_rpc(self->fd, read_scope, &read, sizeof(read), &answer, &len);
		EXPECT_EQ(0, answer.status);
		EXPECT_EQ(write.data[15], answer.data[15]);
		EXPECT_EQ(write.data[14], answer.data[14]);
	}
}

/* Registers with host memory addresses, and whether the driver refuses an access. */
static const struct {
	uint16_t id, op_mod;
	/* The first dword of data */
	uint32_t word;
	bool is_refused;
} memory_registers[] = {
	/* MCDD, which mstflint reads */
	{ 0x905c, WRITE_REG, 0, true }, { 0x905c, READ_REG, 0, true },
	{ 0x905c, 2, 0xffffffff, true },
	/* MTRC_CONF, MTDC */
	{ 0x9041, WRITE_REG, 0, true }, { 0x9041, READ_REG, 0, false },
	{ 0x911d, WRITE_REG, 0, true }, { 0x911d, READ_REG, 0, false },
	/* CORE_DUMP: to the tracer and to memory */
	{ 0x402e, WRITE_REG, 0, false }, { 0x402e, WRITE_REG, 2, true },
	{ 0x402e, READ_REG, 0xff, true },
	/* RESOURCE_DUMP and MORD: inline and to memory */
	{ 0xc000, READ_REG, 0x40000000, false }, { 0xc000, READ_REG, 0, true },
	{ 0xc000, WRITE_REG, 0xbfffffff, true },
	{ 0x9153, READ_REG, 0x40000000, false }, { 0x9153, READ_REG, 0, true },
	{ 0x9153, WRITE_REG, 0, true },
};

static struct command access_memory_register(uint16_t opcode, size_t i)
{
	struct command cmd = command(opcode, memory_registers[i].op_mod);
	uint32_t word = htobe32(memory_registers[i].word);

	cmd.register_id = htobe16(memory_registers[i].id);
	memcpy(cmd.data, &word, sizeof(word));
	return cmd;
}

TEST_F(mlx5, no_register_names_host_memory)
{
	long seen[ARRAY_SIZE(memory_registers)];

	if (is_c_driver())
		SKIP(return, "the driver in C leaves it to the firmware");

	for (size_t i = 0; i < ARRAY_SIZE(memory_registers); i++)
		seen[i] = is_emulated() ? emu_count("/registers/%#x", memory_registers[i].id) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(memory_registers); i++) {
		/* Send only the header to a real device, in case the driver does not refuse it. */
		uint32_t in_len = is_emulated() ? sizeof(struct command) : HEADER_LEN;

		if (!memory_registers[i].is_refused)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(registers); j++) {
			struct command cmd = access_memory_register(registers[j], i);

			for (uint32_t scope = 0; scope < SCOPES; scope++) {
				struct answer answer;

				fwctl_rpc_fails(EBADMSG, self->fd, scope, &cmd, in_len, &answer,
						sizeof(answer));
				fwctl_rpc_fails(EBADMSG, self->fd, scope, &cmd, HEADER_LEN, &answer,
						HEADER_LEN);
			}
		}
	}

	/* None of them reached the emulated device. */
	for (size_t i = 0; is_emulated() && i < ARRAY_SIZE(memory_registers); i++)
		EXPECT_EQ(seen[i], emu_count("/registers/%#x", memory_registers[i].id));
}

TEST_F(mlx5, registers_that_could_name_host_memory)
{
	if (!is_emulated())
		SKIP(return, "may change the device: set FWCTL_TEST_MLX5=emulated");

	for (size_t i = 0; i < ARRAY_SIZE(memory_registers); i++) {
		struct command cmd = access_memory_register(OP_ACCESS_REG, i);
		struct answer answer;
		uint32_t len = sizeof(answer);

		/* The device may refuse it. */
		if (!memory_registers[i].is_refused)
			fwctl_rpc(self->fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, sizeof(cmd), &answer,
				  &len);
	}
}

/* Writes MCDD without privileges, through an inherited file.  Returns an errno. */
static int write_mcdd_without_privileges(void *arg)
{
	struct command cmd = access_memory_register(OP_ACCESS_REG, 0);
	struct answer answer;
	uint32_t len = HEADER_LEN;

	for (int capability = 0; !prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); capability++)
		;
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 255;
	return _fwctl_rpc(*(int *)arg, FWCTL_RPC_CONFIGURATION, &cmd, HEADER_LEN, &answer, &len);
}

TEST_F(mlx5, no_address_without_privileges)
{
	if (is_c_driver())
		SKIP(return, "the driver in C leaves it to the firmware");
	EXPECT_EQ(EBADMSG, in_child(write_mcdd_without_privileges, &self->fd));
}

/* User contexts belong to the driver, and other objects would leak when the file is closed. */
TEST_F(mlx5, no_objects_in_any_scope)
{
	uint16_t opcodes[] = { 0, OP_CREATE_EQ, OP_CREATE_UCTX, OP_DESTROY_UCTX, 0xd00, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		for (uint32_t scope = 0; scope < SCOPES; scope++) {
			struct command cmd = command(opcodes[i], 0);
			struct answer answer;

			fwctl_rpc_fails(EBADMSG, self->fd, scope, &cmd, sizeof(cmd), &answer,
					sizeof(answer));
		}
	}
	read_mgir(self->fd);
}

/*
 * Opcodes that must be refused do not reach the device.  Others are only sent to an emulated one.
 */
TEST_F_TIMEOUT(mlx5, all_opcodes_in_all_scopes, 280)
{
	uint16_t op_mods[] = { 0, 1, 0x8000 };

	for (uint32_t opcode = 0; opcode <= UINT16_MAX; opcode++) {
		for (size_t i = 0; i < ARRAY_SIZE(op_mods); i++) {
			uint32_t least = least_scope(opcode, op_mods[i]);
			struct command cmd = command(opcode, op_mods[i]);

			for (uint32_t scope = 0; scope < SCOPES; scope++) {
				struct answer answer;
				uint32_t len = HEADER_LEN;
				int err;

				if (scope >= least && !is_emulated())
					continue;
				err = _fwctl_rpc(self->fd, scope, &cmd, HEADER_LEN, &answer, &len);
				ASSERT_EQ(scope >= least ? 0 : EBADMSG, err) {
					TH_LOG("opcode %#x, op_mod %#x, scope %u", opcode,
					       op_mods[i], scope);
				}
			}
		}
	}
}

/* Concurrency */

/* Sends RPCs until stopped, or until one fails. */
static void *caller_main(void *arg)
{
	struct load_caller *caller = arg;

	do {
		struct answer answer;

		caller->err = _read_mgir(caller->fd, &answer);
		caller->calls++;
	} while (!caller->err && !*caller->stop);
	return NULL;
}

TEST_F(mlx5, many_callers)
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
TEST_F_TIMEOUT(mlx5, unbind_under_load, 120)
{
	struct load_caller callers[CALLERS];
	struct device dev = self->dev;
	volatile bool stop = false;
	char auxiliary[NAME_MAX + 1];

	ASSERT_TRUE(find_auxiliary(&dev, auxiliary, sizeof(auxiliary)));

	for (int round = 0; round < 10; round++) {
		struct fwctl_info_mlx5 info;

		ASSERT_EQ(0, start_callers(callers, dev.node, &stop, caller_main));
		usleep(50000 + 10000 * round);
		ASSERT_EQ(0, write_text(DRIVER_DIR "/unbind", auxiliary));

		for (int i = 0; i < CALLERS; i++) {
			pthread_join(callers[i].thread, NULL);
			EXPECT_EQ(ENODEV, callers[i].err);
			EXPECT_EQ(ENODEV, _info(callers[i].fd, &info));
		}
		EXPECT_NE(0, access(dev.node, F_OK));

		ASSERT_EQ(0, write_text(DRIVER_DIR "/bind", auxiliary));
		ASSERT_TRUE(find_device(&dev, is_mlx5));
		/* Files of the old device return ENODEV. */
		EXPECT_EQ(ENODEV, _info(callers[0].fd, &info));
		close_callers(callers);
	}
	EXPECT_EQ(ENODEV, _read_mgir(self->fd, &(struct answer) {}));
}

TEST_HARNESS_MAIN
