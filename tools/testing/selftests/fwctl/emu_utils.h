/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands to an emulated device, and what else the tests of such devices share.
 */
#ifndef __SELFTEST_FWCTL_EMU_UTILS_H
#define __SELFTEST_FWCTL_EMU_UTILS_H

#include <stdarg.h>

#include "fwctl_utils.h"

/* Returns whether the driver under test is the one in C. */
static inline bool is_c_driver(void)
{
	const char *driver = getenv("FWCTL_TEST_DRIVER");

	return driver && !strcmp(driver, "c");
}

/*
 * Runs a command of the emulator and reads the first line of its output.  Returns false on error.
 */
static inline bool emu_answers(const char *what, char *answer, int size)
{
	char command[256];
	FILE *pipe;

	snprintf(command, sizeof(command), "emu %s", what);
	pipe = popen(command, "r");
	if (!pipe)
		return false;
	if (!fgets(answer, size, pipe))
		answer[0] = 0;
	return !pclose(pipe);
}

/* Returns the first number of the output, -1 if there is none, or -2 on error. */
static inline long __attribute__((format(printf, 1, 2))) emu(const char *format, ...)
{
	char what[240], answer[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);

	if (!emu_answers(what, answer, sizeof(answer)))
		return -2;
	return answer[0] >= '0' && answer[0] <= '9' ? strtol(answer, NULL, 10) : -1;
}

/* Returns a counter of the emulator by its path. */
static inline long __attribute__((format(printf, 1, 2))) emu_count(const char *format, ...)
{
	char path[128];
	va_list args;
	long count;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);

	count = emu("-p %s counters 2>/dev/null", path);
	return count < 0 ? 0 : count;
}

/* Finds an auxiliary device whose name begins with `prefix` below the parent of `dev`. */
static inline bool find_auxiliary_named(const struct device *dev, const char *prefix, char *name,
					size_t size)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool is_found = false;
	DIR *dir;

	snprintf(path, sizeof(path), CLASS_DIR "/%s/device", dev->name);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(name, size, "%s", entry->d_name);
		is_found = true;
	}
	closedir(dir);
	return is_found;
}

/* Concurrency */

/* A thread that sends RPCs until it is stopped, or until one fails */
struct load_caller {
	int fd;
	pthread_t thread;
	volatile bool *stop;
	unsigned long calls;
	int err;
};

#define CALLERS 8

/* Starts callers, two for each file, which run `main`.  Returns 0 or an errno. */
static inline int start_callers(struct load_caller *callers, const char *node, volatile bool *stop,
				void *(*main)(void *caller))
{
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct load_caller) { .stop = stop };
		callers[i].fd = i % 2 ? callers[i - 1].fd : open(node, O_RDWR | O_CLOEXEC);
		if (callers[i].fd < 0)
			return errno;
	}
	for (int i = 0; i < CALLERS; i++) {
		if (pthread_create(&callers[i].thread, NULL, main, &callers[i]))
			abort();
	}
	return 0;
}

static inline void close_callers(struct load_caller *callers)
{
	for (int i = 0; i < CALLERS; i += 2)
		close(callers[i].fd);
}

#endif
