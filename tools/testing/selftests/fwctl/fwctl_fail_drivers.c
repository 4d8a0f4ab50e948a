// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection in the life of a fwctl device: loading and unloading of the core and a driver,
 * probe, remove, and system calls.  Each allocation and user copy fails in turn, as in
 * fwctl_fail_nth.c.  After each failure the device must work.
 *
 * FWCTL_TEST_MODULE is the driver: fwctl_loopback (the default), fwctl_loopback_c, cxl_fwctl,
 * mlx5_fwctl or pds_fwctl.  It must have a device that nothing else uses.  Loading takes hundreds
 * of steps; FWCTL_TEST_EVERY and FWCTL_TEST_FIRST select some of them, see fault_utils.h.  Needs
 * CONFIG_FAULT_INJECTION, and the files of the modules, see module_utils.h.
 */
#include "cxl_utils.h"
#include "pds_utils.h"
#include "fault_utils.h"
#include "loopback_utils.h"
#include "module_utils.h"

#define FIRST_NODE NODE_DIR "/fwctl0"

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

/* Opens the node with the lowest number. */
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

/* Sends an RPC that succeeds on the device.  Returns 0, an errno, or -1 for a wrong reply. */
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
	case FWCTL_DEVICE_TYPE_PDS:
		err = _pds_is_version(fd, FIRMWARE);
		return err == ECHANGED ? -1 : err;
	default:
		return -1;
	}
}

static int device_type(int fd, uint32_t *type)
{
	uint8_t data[64];
	uint32_t len = sizeof(data);

	return _fwctl_info(fd, data, &len, type);
}

/* The same for a device of any type. */
static int ask_any(int fd)
{
	uint32_t type = 0;
	int err = device_type(fd, &type);

	return err ? err : ask(fd, type);
}

static int open_ask_close(void)
{
	int fd, err = open_first(&fd);

	if (err)
		return err;
	err = ask_any(fd);
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
	struct device dev;

	self->module = driver_module();
	if (!strcmp(self->module, "fwctl_loopback"))
		find_loopback(&dev);
	if (!find_bond(&self->bond, self->module, NULL, NULL, &seen))
		SKIP(return, "no device is bound to a driver of FWCTL_TEST_MODULE");
	if (!find_module(self->module) || !is_loaded(self->module) || !find_module("fwctl"))
		SKIP(return, "no files of the modules: set FWCTL_TEST_MODULES");
	if (!start_faults())
		SKIP(return, NO_FAULTS);
	self->devices = count_nodes();
	ASSERT_EQ(0, open_ask_close());
}

/* The driver can be reloaded after any failure, and all its devices work. */
FIXTURE_TEARDOWN(drivers)
{
	char device[64];

	end_faults();
	unload_module(self->module);
	EXPECT_EQ(0, count_nodes());
	EXPECT_EQ(0, load_module("fwctl", ""));
	EXPECT_EQ(0, load_module(self->module, ""));
	EXPECT_EQ(self->devices, count_nodes());
	/* No device number is leaked. */
	for (int i = 0; i < self->devices; i++) {
		snprintf(device, sizeof(device), CLASS_DIR "/fwctl%d", i);
		EXPECT_EQ(0, access(device, F_OK)) {
			TH_LOG("no %s", device);
		}
	}
	EXPECT_EQ(0, open_ask_close());
}

/*
 * System calls
 */

TEST_F_TIMEOUT(drivers, open, 300)
{
	int fd;

	sweep("open", open_first(&fd), ({
		if (!err) {
			EXPECT_EQ(0, ask_any(fd));
			close(fd);
		}
		EXPECT_EQ(0, open_ask_close());
	}), ENOMEM, EFAULT, ENFILE);
}

TEST_F_TIMEOUT(drivers, info, 300)
{
	uint32_t len, type;
	uint8_t data[64];
	int fd;

	ASSERT_EQ(0, open_first(&fd));
	sweep("INFO", (len = sizeof(data), _fwctl_info(fd, data, &len, &type)), ({
		EXPECT_EQ(0, ask_any(fd));
	}), ENOMEM, EFAULT);
	close(fd);
}

TEST_F_TIMEOUT(drivers, rpc, 300)
{
	uint32_t type;
	int fd;

	ASSERT_EQ(0, open_first(&fd));
	ASSERT_EQ(0, device_type(fd, &type));
	/* A new file for each attempt: a cached buffer would save a step. */
	sweep("RPC", ask(fd, type), ({
		EXPECT_EQ(0, ask(fd, type));
		close(fd);
		ASSERT_EQ(0, open_first(&fd));
	}), ENOMEM, EFAULT);
	close(fd);
}

/* close(2) succeeds even if a step fails. */
TEST_F_TIMEOUT(drivers, close, 300)
{
	int fd;

	ASSERT_EQ(0, open_first(&fd));
	sweep("close", close(fd), ({
		ASSERT_EQ(0, open_first(&fd));
		EXPECT_EQ(0, ask_any(fd));
	}));
	close(fd);
}

/*
 * Registration and unregistration
 */

TEST_F_TIMEOUT(drivers, probe, 300)
{
	int bind = bond_open(&self->bond, "bind");

	ASSERT_LE(0, bind);
	ASSERT_EQ(0, bond_do(&self->bond, "unbind"));
	sweep("probe", bond_write(&self->bond, bind), ({
		EXPECT_EQ(!err, is_bond(&self->bond));
		/* The device works, or it does not exist. */
		EXPECT_EQ(self->devices - !is_bond(&self->bond), count_nodes());
		if (is_bond(&self->bond)) {
			/* The driver core ignores errors from devtmpfs. */
			if (!access(FIRST_NODE, F_OK)) {
				EXPECT_EQ(0, open_ask_close());
			}
			ASSERT_EQ(0, bond_do(&self->bond, "unbind"));
		}
	}), ENOMEM, EFAULT);
	close(bind);
	ASSERT_EQ(0, bond_do(&self->bond, "bind"));
}

TEST_F_TIMEOUT(drivers, remove, 300)
{
	int unbind = bond_open(&self->bond, "unbind");
	int fd = -1;

	ASSERT_LE(0, unbind);
	sweep("remove", bond_write(&self->bond, unbind), ({
		if (fd >= 0) {
			EXPECT_EQ(is_bond(&self->bond) ? 0 : ENODEV, ask_any(fd));
			close(fd);
		}
		if (!is_bond(&self->bond)) {
			ASSERT_EQ(0, bond_do(&self->bond, "bind"));
		}
		EXPECT_EQ(self->devices, count_nodes());
		/* Hold a file open in the next attempt if this is the only device. */
		fd = -1;
		if (self->devices == 1) {
			ASSERT_EQ(0, open_first(&fd));
		}
	}), ENOMEM, EFAULT);
	if (fd >= 0)
		close(fd);
	close(unbind);
	EXPECT_EQ(0, open_ask_close());
}

/*
 * A driver may load without registering its devices.  Loading fails with EKEYREJECTED if the
 * signature cannot be checked, with EINVAL if module_add_driver() cannot allocate a directory, and
 * with ENODEV for the loopback drivers: faux_device_create() does not return an error code.
 */
TEST_F_TIMEOUT(drivers, load, 600)
{
	int file;

	ASSERT_EQ(0, unload_module(self->module));
	ASSERT_TRUE(find_module(self->module));
	file = open(module_file, O_RDONLY);
	ASSERT_LE(0, file);
	sweep_steps("load", chosen_steps(), load_module_from(file, ""), ({
		EXPECT_EQ(!err, is_loaded(self->module));
		/* The driver core ignores errors from devtmpfs. */
		if (count_nodes() && !access(FIRST_NODE, F_OK)) {
			EXPECT_EQ(0, open_ask_close());
		}
		if (is_loaded(self->module)) {
			ASSERT_EQ(0, unload_module(self->module));
		}
		EXPECT_EQ(0, count_nodes());
	}), ENOMEM, EFAULT, EKEYREJECTED, EINVAL, strstr(self->module, "loopback") ? ENODEV : 0);
	close(file);
}

TEST_F_TIMEOUT(drivers, unload, 300)
{
	sweep("unload", unload_module(self->module), ({
		if (err) {
			EXPECT_EQ(0, open_ask_close());
		} else {
			EXPECT_EQ(0, count_nodes());
		}
		ASSERT_EQ(0, load_module(self->module, ""));
		EXPECT_EQ(self->devices, count_nodes());
	}), EFAULT, ENOMEM);
}

TEST_F_TIMEOUT(drivers, load_the_core, 600)
{
	int file;

	if (!is_loaded("fwctl"))
		SKIP(return, "the core is built in");
	ASSERT_EQ(0, unload_module(self->module));
	ASSERT_EQ(0, unload_module("fwctl"));
	ASSERT_TRUE(find_module("fwctl"));
	file = open(module_file, O_RDONLY);
	ASSERT_LE(0, file);
	sweep_steps("load the core", chosen_steps(), load_module_from(file, ""), ({
		EXPECT_EQ(!err, is_loaded("fwctl"));
		EXPECT_EQ(!err, !access(CLASS_DIR, F_OK));
		if (!err) {
			ASSERT_EQ(0, unload_module("fwctl"));
		}
	}), ENOMEM, EFAULT, EKEYREJECTED, EINVAL);
	close(file);
	EXPECT_EQ(-1, access(CLASS_DIR, F_OK));
}

TEST_HARNESS_MAIN
