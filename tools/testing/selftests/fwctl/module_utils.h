/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads and unloads modules.  Their files are searched for below /lib/modules, or in the directory
 * FWCTL_TEST_MODULES.
 */
#ifndef __SELFTEST_FWCTL_MODULE_UTILS_H
#define __SELFTEST_FWCTL_MODULE_UTILS_H

#include <ftw.h>

#include "fwctl_utils.h"

static char module_file[2 * PATH_MAX], module_name[128];

static int is_module_file(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;
	size_t len = strlen(module_name);

	for (size_t i = 0; i < len; i++) {
		/* "-" and "_" are equivalent in module names. */
		if (name[i] != module_name[i] && !(name[i] == '-' && module_name[i] == '_'))
			return 0;
	}
	if (type != FTW_F || strncmp(name + len, ".ko", 3))
		return 0;
	snprintf(module_file, sizeof(module_file), "%s", path);
	return 1;
}

/* Finds the file of a module and stores its path in module_file. */
static inline bool find_module(const char *name)
{
	const char *dir = getenv("FWCTL_TEST_MODULES");
	char path[PATH_MAX], release[128];

	snprintf(module_name, sizeof(module_name), "%s", name);
	if (dir && *dir)
		return nftw(dir, is_module_file, 8, FTW_PHYS) == 1;
	if (read_text("/proc/sys/kernel/osrelease", release, sizeof(release)))
		return false;
	snprintf(path, sizeof(path), "/lib/modules/%s", release);
	return nftw(path, is_module_file, 8, FTW_PHYS) == 1;
}

/* Loads a module from `fd`, which is module_file.  Returns 0 or an errno. */
static inline int load_module_from(int fd, const char *parameters)
{
	int is_packed = strcmp(strrchr(module_file, '.'), ".ko") ? 4 : 0;

	return syscall(SYS_finit_module, fd, parameters, is_packed) ? errno : 0;
}

/* Loads the module that find_module() found.  Returns 0 or an errno. */
static inline int load_module_file_with(const char *parameters)
{
	int err, fd = open(module_file, O_RDONLY);

	if (fd < 0)
		return errno;
	err = load_module_from(fd, parameters);
	close(fd);
	return err;
}

/* Returns 0, also if the module is already loaded, or an errno. */
static inline int load_module(const char *name, const char *parameters)
{
	int err;

	if (!find_module(name))
		return ENOENT;
	err = load_module_file_with(parameters);
	return err == EEXIST ? 0 : err;
}

/* Returns 0 or an errno, EAGAIN if the module is in use. */
static inline int unload_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? errno : 0;
}

static inline bool is_loaded(const char *name)
{
	char path[PATH_MAX];

	/* Built-in modules have no such file. */
	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	return !access(path, F_OK);
}

/*
 * Drivers and devices on the auxiliary bus
 */

#define AUXILIARY_DRIVERS "/sys/bus/auxiliary/drivers"

/* A device bound to a driver, by their names on the bus. */
struct bond {
	char driver[256], device[256];
};

/*
 * Finds a device that is bound to a driver of `module` and that `is_wanted` accepts.
 * `is_wanted` is called with the number of candidates seen so far.
 */
static inline bool find_bond(struct bond *bond, const char *module,
			     bool (*is_wanted)(unsigned int seen, void *arg), void *arg,
			     unsigned int *seen)
{
	DIR *drivers = opendir(AUXILIARY_DRIVERS), *devices;
	bool is_found = false;
	struct dirent *driver, *device;

	while (drivers && (driver = readdir(drivers))) {
		char path[PATH_MAX], of[128];

		if (driver->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), AUXILIARY_DRIVERS "/%s/module", driver->d_name);
		if (link_name(path, of, sizeof(of)) || strcmp(of, module))
			continue;
		snprintf(path, sizeof(path), AUXILIARY_DRIVERS "/%s", driver->d_name);
		devices = opendir(path);
		while (devices && (device = readdir(devices))) {
			if (device->d_type != DT_LNK || !strcmp(device->d_name, "module"))
				continue;
			if (is_wanted && !is_wanted((*seen)++, arg))
				continue;
			snprintf(bond->driver, sizeof(bond->driver), "%s", driver->d_name);
			snprintf(bond->device, sizeof(bond->device), "%s", device->d_name);
			is_found = true;
		}
		if (devices)
			closedir(devices);
	}
	if (drivers)
		closedir(drivers);
	return is_found;
}

static inline bool is_bond(const struct bond *bond)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), AUXILIARY_DRIVERS "/%s/%s", bond->driver, bond->device);
	return !access(path, F_OK);
}

/* Opens "bind" or "unbind" of the driver.  Returns a file descriptor or -1. */
static inline int bond_open(const struct bond *bond, const char *what)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), AUXILIARY_DRIVERS "/%s/%s", bond->driver, what);
	return open(path, O_WRONLY);
}

/* Writes the device to a file from bond_open().  Returns 0 or an errno. */
static inline int bond_write(const struct bond *bond, int fd)
{
	return pwrite(fd, bond->device, strlen(bond->device), 0) < 0 ? errno : 0;
}

/* Binds or unbinds.  Returns 0 or an errno. */
static inline int bond_do(const struct bond *bond, const char *what)
{
	int err, fd = bond_open(bond, what);

	if (fd < 0)
		return errno;
	err = bond_write(bond, fd);
	close(fd);
	return err;
}

#endif
