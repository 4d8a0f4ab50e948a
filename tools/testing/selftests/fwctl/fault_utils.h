/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection for the calling thread: the n-th step, an allocation or a copy from or to user
 * space, fails.
 */
#ifndef __SELFTEST_FWCTL_FAULT_UTILS_H
#define __SELFTEST_FWCTL_FAULT_UTILS_H

#include "fwctl_utils.h"

#define NO_FAULTS "no fault injection in this kernel"

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/* Allocations that may wait fail as well, and none of the failures is worth a stack trace. */
static const struct {
	const char *name, *value;
} settings[] = {
	{ "verbose", "0" },
	{ "ignore-gfp-wait", "N" },
	{ "ignore-gfp-highmem", "N" },
	{ "min-order", "0" },
};

static char saved[ARRAY_SIZE(kinds)][ARRAY_SIZE(settings)][32];
static char debugfs[] = "/sys/kernel/debug";

static inline void setting_path(char *path, size_t size, size_t kind, size_t setting)
{
	snprintf(path, size, "%s/%s/%s", debugfs, kinds[kind], settings[setting].name);
}

/* Returns false if there is nothing to be configured. */
static inline bool configure_faults(void)
{
	char path[PATH_MAX];
	bool is_there = false;

	snprintf(path, sizeof(path), "%s/%s", debugfs, kinds[0]);
	if (access(path, F_OK))
		mount("debugfs", debugfs, "debugfs", 0, NULL);
	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
			setting_path(path, sizeof(path), kind, i);
			if (read_text(path, saved[kind][i], sizeof(saved[kind][i])))
				continue;
			is_there |= !write_text(path, settings[i].value);
		}
	}
	return is_there;
}

static inline void restore_faults(void)
{
	char path[PATH_MAX];

	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
			setting_path(path, sizeof(path), kind, i);
			if (saved[kind][i][0])
				write_text(path, saved[kind][i]);
		}
	}
}

/* Kept open, as opening it takes allocations itself. */
static int fail_nth = -1;

/* From here on the `nth` one fails, from 1; with 0 none does.  For the calling thread. */
static inline void arm(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	/* It copies from user space, so that it can be what fails; the second time it cannot. */
	if (pwrite(fail_nth, text, strlen(text), 0) < 0 &&
	    pwrite(fail_nth, text, strlen(text), 0) < 0)
		abort();
}

/* Ends it; returns whether it came to a failure. */
static inline bool disarm(void)
{
	/* If this is what fails, nothing else has. */
	char text[16] = "1";

	pread(fail_nth, text, sizeof(text) - 1, 0);
	arm(0);
	return atoi(text) == 0;
}

/* Returns false if the kernel has no fault injection. */
static inline bool start_faults(void)
{
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	return fail_nth >= 0 && configure_faults();
}

static inline void end_faults(void)
{
	close(fail_nth);
	restore_faults();
}

/* A call that takes more than this many steps is not one of ours. */
#define MAX_NTH 1000

/*
 * Runs `call`, an expression that is 0 or an errno, with its first step failing, its second one,
 * and so on, until none does. `after` runs each time, without failures, and can look at `err`.
 */
#define sweep(call, after) do {									\
	unsigned int __nth, __failed = 0;							\
												\
	for (__nth = 1; __nth < MAX_NTH; __nth++) {						\
		bool has_failed;								\
		int err;									\
												\
		arm(__nth);									\
		err = (call);									\
		has_failed = disarm();								\
		__failed += !!err;								\
		ASSERT_TRUE(err == 0 || err == ENOMEM || err == EFAULT || err == ENFILE) {	\
			TH_LOG("step %u: errno %d", __nth, err);				\
		}										\
		after;										\
		if (!has_failed) {								\
			ASSERT_EQ(0, err);							\
			break;									\
		}										\
	}											\
	TH_LOG("%u steps, %u errors", __nth - 1, __failed);					\
	ASSERT_GT(MAX_NTH, __nth);								\
	ASSERT_LT(0, __failed);									\
} while (0)

#endif
