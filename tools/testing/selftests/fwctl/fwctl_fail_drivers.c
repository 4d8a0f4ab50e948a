// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection in what makes and ends a fwctl device: loading and unloading the core and a
 * driver, probe and remove, and what a program does with the device meanwhile.  As in
 * fwctl_fail_nth.c, the first step fails, then the second one, until none is left; afterwards
 * everything is as it was, and works.
 *
 * FWCTL_TEST_MODULE is the driver: fwctl_loopback (the default), fwctl_loopback_c, cxl_fwctl or
 * mlx5_fwctl; it has to have a device, and nobody else may use it.  Needs CONFIG_FAULT_INJECTION,
 * and the files of the modules, see module_utils.h.
 */
#include "cxl_utils.h"
#include "fault_utils.h"
#include "loopback_utils.h"
#include "module_utils.h"

#define DEVICE_TYPE_MLX5 1
#define DEVICE_TYPE_CXL 2

static const char *driver_module(void)
{
	const char *module = getenv("FWCTL_TEST_MODULE");

	return module && *module ? module : "fwctl_loopback";
}

static int count_nodes(void)
{
	DIR *dir = opendir(CLASS_DIR);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += !strncmp(entry->d_name, "fwctl", 5);
	if (dir)
		closedir(dir);
	return count;
}

/* The node with the lowest number, which is the one that was free longest. */
static int open_first(int *fd)
{
	for (int i = 0; i < 64; i++) {
		char node[64];

		snprintf(node, sizeof(node), NODE_DIR "/fwctl%d", i);
		*fd = open(node, O_RDWR);
		if (*fd >= 0)
			return 0;
		if (errno != ENOENT)
			return errno;
	}
	return ENOENT;
}

/* An RPC that the device answers with success; returns 0, an errno, or -1 for a wrong reply. */
static int ask(int fd, uint32_t type)
{
	uint8_t mlx5[16] = { 0x01, 0x01 }, reply[512] = { 0xee };
	uint32_t len = sizeof(reply);
	struct fwctl_rpc_cxl cxl = {
		.hdr.opcode = htole32(OP_GET_SUPPORTED),
		.hdr.op_size = htole32(sizeof(cxl.get_sup_feats_in)),
		.get_sup_feats_in.count = htole32(sizeof(struct cxl_mbox_get_sup_feats_out_hdr)),
	};
	int err;

	switch (type) {
	case FWCTL_DEVICE_TYPE_LOOPBACK:
		return _loopback_echo(fd, FWCTL_RPC_CONFIGURATION);
	case DEVICE_TYPE_CXL:
		err = _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, &cxl,
				 HEAD_LEN + sizeof(cxl.get_sup_feats_in), reply, &len);
		return err ? err : len < REPLY_HEAD_LEN ? -1 : 0;
	case DEVICE_TYPE_MLX5:
		err = _fwctl_rpc(fd, FWCTL_RPC_CONFIGURATION, mlx5, sizeof(mlx5), reply, &len);
		return err ? err : len < 16 || reply[0] ? -1 : 0;
	default:
		return -1;
	}
}

static int open_ask_close(void)
{
	uint32_t len = 64, type = 0;
	uint8_t data[64];
	int fd, err;

	err = open_first(&fd);
	if (err)
		return err;
	err = _fwctl_info(fd, data, &len, &type);
	if (!err)
		err = ask(fd, type);
	close(fd);
	return err;
}

FIXTURE(drivers)
{
	const char *module;
	struct bond bond;
	int devices;
	int numbers;
};

FIXTURE_SETUP(drivers)
{
	unsigned int seen = 0;

	self->module = driver_module();
	if (!find_bond(&self->bond, self->module, NULL, NULL, &seen))
		SKIP(return, "no device that is bound to a driver of FWCTL_TEST_MODULE");
	if (!find_module(self->module) || !is_loaded(self->module) || !find_module("fwctl"))
		SKIP(return, "no files of the modules: set FWCTL_TEST_MODULES");
	if (!start_faults())
		SKIP(return, NO_FAULTS);
	self->devices = count_nodes();
	ASSERT_EQ(0, open_ask_close());
}

/* Whatever failed, the driver can be loaded anew, has as many devices as before, and they work. */
FIXTURE_TEARDOWN(drivers)
{
	char highest[64];

	end_faults();
	unload_module(self->module);
	EXPECT_EQ(0, count_nodes());
	EXPECT_EQ(0, load_module("fwctl", ""));
	EXPECT_EQ(0, load_module(self->module, ""));
	EXPECT_EQ(self->devices, count_nodes());
	/* No number is lost: they are dense again. */
	snprintf(highest, sizeof(highest), CLASS_DIR "/fwctl%d", self->devices - 1);
	EXPECT_EQ(0, access(highest, F_OK));
	EXPECT_EQ(0, open_ask_close());
}

/* What a sweep of a call comes to that may fail with any errno: it is the driver model's. */
#define sweep_any(call, after) do {								\
	unsigned int __nth, __failed = 0;							\
	bool __has_failed = true;								\
												\
	for (__nth = 1; __has_failed && __nth < MAX_NTH; __nth++) {				\
		int err;									\
												\
		arm(__nth);									\
		err = (call);									\
		__has_failed = disarm();							\
		__failed += !!err;								\
		after;										\
		if (!__has_failed) {								\
			ASSERT_EQ(0, err);							\
		}										\
	}											\
	TH_LOG("%u steps, %u errors", __nth - 1, __failed);					\
	ASSERT_GT(MAX_NTH, __nth);								\
} while (0)

TEST_F_TIMEOUT(drivers, open_ask_close, 300)
{
	sweep(open_ask_close(), ({
		EXPECT_EQ(self->devices, count_nodes());
	}));
	EXPECT_EQ(0, open_ask_close());
}

TEST_F_TIMEOUT(drivers, probe, 300)
{
	sweep_any((is_bond(&self->bond) ? bond_do(&self->bond, "unbind") : 0,
		   bond_do(&self->bond, "bind")), ({
		/* There is a device, or there is none. */
		EXPECT_EQ(self->devices - !is_bond(&self->bond), count_nodes());
	}));
	EXPECT_EQ(0, open_ask_close());
}

TEST_F_TIMEOUT(drivers, remove, 300)
{
	int fd = -1;

	sweep_any(bond_do(&self->bond, "unbind"), ({
		if (fd >= 0) {
			EXPECT_EQ(is_bond(&self->bond) ? 0 : ENODEV,
				  ioctl_errno(fd, FWCTL_INFO,
					      &(struct fwctl_info){ .size = sizeof(struct fwctl_info) }));
			close(fd);
		}
		if (!is_bond(&self->bond)) {
			ASSERT_EQ(0, bond_do(&self->bond, "bind"));
		}
		EXPECT_EQ(self->devices, count_nodes());
		/* The next one goes with a file open, where there is only the one device. */
		fd = -1;
		if (self->devices == 1) {
			ASSERT_EQ(0, open_first(&fd));
		}
	}));
	if (fd >= 0)
		close(fd);
	EXPECT_EQ(0, open_ask_close());
}

/* A driver that cannot register its device, or not all of them, may still load. */
TEST_F_TIMEOUT(drivers, load, 600)
{
	ASSERT_EQ(0, unload_module(self->module));
	ASSERT_TRUE(find_module(self->module));
	sweep_any(load_module_file(), ({
		EXPECT_EQ(!err, is_loaded(self->module));
		if (count_nodes()) {
			EXPECT_EQ(0, open_ask_close());
		}
		if (is_loaded(self->module)) {
			ASSERT_EQ(0, unload_module(self->module));
		}
		EXPECT_EQ(0, count_nodes());
	}));
}

TEST_F_TIMEOUT(drivers, unload, 300)
{
	sweep_any(unload_module(self->module), ({
		if (err) {
			EXPECT_EQ(0, open_ask_close());
		} else {
			EXPECT_EQ(0, count_nodes());
		}
		ASSERT_EQ(0, load_module(self->module, ""));
		EXPECT_EQ(self->devices, count_nodes());
	}));
}

TEST_F_TIMEOUT(drivers, load_the_core, 600)
{
	if (!is_loaded("fwctl"))
		SKIP(return, "the core is built in");
	ASSERT_EQ(0, unload_module(self->module));
	ASSERT_EQ(0, unload_module("fwctl"));
	ASSERT_TRUE(find_module("fwctl"));
	sweep_any(load_module_file(), ({
		EXPECT_EQ(!err, is_loaded("fwctl"));
		EXPECT_EQ(!err, !access(CLASS_DIR, F_OK));
		if (!err) {
			ASSERT_EQ(0, unload_module("fwctl"));
		}
	}));
	EXPECT_EQ(-1, access(CLASS_DIR, F_OK));
}

TEST_HARNESS_MAIN
