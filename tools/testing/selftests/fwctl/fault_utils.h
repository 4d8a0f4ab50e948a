/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection for the calling thread.  A step is an allocation or a copy from or to user
 * space.
 */
#ifndef __SELFTEST_FWCTL_FAULT_UTILS_H
#define __SELFTEST_FWCTL_FAULT_UTILS_H

#include "fwctl_utils.h"

#define NO_FAULTS "no fault injection in this kernel"

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/* Also fail allocations that may sleep, and do not log stack traces. */
static const struct {
	const char *name, *value;
} settings[] = {
	{ "verbose", "0" },
	{ "ignore-gfp-wait", "N" },
	{ "ignore-gfp-highmem", "N" },
	{ "min-order", "0" },
	/* can_be_without_memory() changes these. */
	{ "probability", "0" },
	{ "task-filter", "N" },
};

static char saved[ARRAY_SIZE(kinds)][ARRAY_SIZE(settings)][32];
static char debugfs[] = "/sys/kernel/debug";

static inline void setting_path(char *path, size_t size, size_t kind, size_t setting)
{
	snprintf(path, size, "%s/%s/%s", debugfs, kinds[kind], settings[setting].name);
}

/* Returns false if the kernel has no fault injection. */
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

/* Kept open, since opening it allocates. */
static int fail_nth = -1;

/* Makes the `nth` step from now on fail, counted from 1, or none if 0. */
static inline void arm(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	/* The write copies from user space, so it can fail itself, but only once. */
	if (pwrite(fail_nth, text, strlen(text), 0) < 0 &&
	    pwrite(fail_nth, text, strlen(text), 0) < 0)
		abort();
}

/* Disarms, and returns whether a step failed. */
static inline bool disarm(void)
{
	/* If the read itself fails, no step has. */
	char text[16] = "1";

	pread(fail_nth, text, sizeof(text) - 1, 0);
	arm(0);
	return atoi(text) == 0;
}

/* Returns false if the kernel has no working fault injection. */
static inline bool start_faults(void)
{
	struct stat stat_of_root;

	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fail_nth < 0 || !configure_faults())
		return false;
	arm(1);
	stat("/", &stat_of_root);
	return disarm();
}

static inline void end_faults(void)
{
	close(fail_nth);
	restore_faults();
}

/*
 * Failure of all allocations of the calling thread
 */

static int make_it_fail = -1;

/* Prepares without_memory().  Returns false if the kernel does not support it. */
static inline bool can_be_without_memory(void)
{
	static const char *const of_memory[] = { "failslab", "fail_page_alloc" };
	/* The filter comes first: without it the probability applies to all tasks. */
	static const char *const values[][2] = {
		{ "task-filter", "Y" }, { "times", "-1" }, { "interval", "1" },
		{ "probability", "100" },
	};
	char path[PATH_MAX];

	for (size_t kind = 0; kind < ARRAY_SIZE(of_memory); kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			snprintf(path, sizeof(path), "%s/%s/%s", debugfs, of_memory[kind],
				 values[i][0]);
			if (write_text(path, values[i][1]))
				return false;
		}
	}
	make_it_fail = open("/proc/thread-self/make-it-fail", O_WRONLY);
	return make_it_fail >= 0;
}

/* Sets err to the result of a call whose allocations all fail. */
#define without_memory(err, call) do {								\
	ASSERT_EQ(1, pwrite(make_it_fail, "1", 1, 0));						\
	err = (call);										\
	ASSERT_EQ(1, pwrite(make_it_fail, "0", 1, 0));						\
} while (0)

/*
 * Sweeps
 */

/* More steps than any call under test takes. */
#define MAX_NTH 2000

/* Result of a sweep. */
struct sweep {
	unsigned int failures;
	/* Number of failed calls, by errno. */
	unsigned int errors[256];
};

static const struct {
	int err;
	const char *name;
} errno_names[] = {
	{ EAGAIN, "EAGAIN" }, { EBUSY, "EBUSY" }, { EFAULT, "EFAULT" }, { EINVAL, "EINVAL" },
	{ EKEYREJECTED, "EKEYREJECTED" }, { ENFILE, "ENFILE" }, { ENODEV, "ENODEV" },
	{ ENOMEM, "ENOMEM" },
};

static inline const char *errno_name(int err)
{
	for (size_t i = 0; i < ARRAY_SIZE(errno_names); i++) {
		if (errno_names[i].err == err)
			return errno_names[i].name;
	}
	return strerror(err);
}

/* Prints one line in a fixed format, for scripts. */
static inline void report_sweep(const char *what, const struct sweep *sweep)
{
	char text[512] = "", *end = text;

	for (size_t err = 1; err < ARRAY_SIZE(sweep->errors); err++) {
		if (sweep->errors[err])
			end += snprintf(end, text + sizeof(text) - end, " %s %u", errno_name(err),
					sweep->errors[err]);
	}
	ksft_print_msg("swept %s: %u failures:%s\n", what, sweep->failures, text);
	fflush(stdout);
}

static inline bool is_one_of(int err, const int *expected, size_t count)
{
	while (count--) {
		if (expected[count] == err)
			return true;
	}
	return false;
}

/* The steps to fail: `first`, and every `every`-th after it, each `tries` times. */
struct steps {
	unsigned int first, every, tries;
};

/*
 * Each step twice: an attempt that has to refill a slab takes an extra step, so the next attempt
 * would skip one.
 */
static const struct steps all_steps = { 1, 1, 2 };

static inline unsigned int number_from_environment(const char *name)
{
	const char *text = getenv(name);
	int number = text ? atoi(text) : 0;

	return number > 0 ? number : 1;
}

/* Steps 3, 10, 17, ... for FWCTL_TEST_FIRST=3 FWCTL_TEST_EVERY=7.  All steps by default. */
static inline struct steps chosen_steps(void)
{
	return (struct steps){
		.first = number_from_environment("FWCTL_TEST_FIRST"),
		.every = number_from_environment("FWCTL_TEST_EVERY"),
		.tries = 1,
	};
}

/* Returns "load" or "load, step 3 and every 7th". */
static inline const char *swept_name(char *text, size_t size, const char *what, struct steps steps)
{
	if (steps.every == 1 && steps.first == 1)
		return what;
	snprintf(text, size, "%s, step %u and every %uth", what, steps.first, steps.every);
	return text;
}

/*
 * Evaluates `call`, which is 0 or an errno, with the first step failing, then the next, until no
 * step fails.  `what` names it in the report.  `after` runs after each attempt without failures
 * and can use `err`, which is 0 or one of the errnos that follow.
 */
#define sweep_steps(what, which, call, after, ...) do {						\
	const int __expected[] = { __VA_ARGS__ };						\
	const struct steps __steps = (which);							\
	struct sweep __sweep = {};								\
	bool __has_ended = false;								\
	unsigned int __nth;									\
	char __name[128];									\
												\
	for (__nth = __steps.first; !__has_ended && __nth < MAX_NTH; __nth += __steps.every) {	\
		for (unsigned int __try = 0; !__has_ended && __try < __steps.tries; __try++) {	\
			int err;								\
												\
			arm(__nth);								\
			err = (call);								\
			__has_ended = !disarm();						\
			EXPECT_TRUE(!err || is_one_of(err, __expected, ARRAY_SIZE(__expected))) { \
				TH_LOG("%s, step %u: %s", what, __nth, strerror(err));		\
			}									\
			after;									\
			if (__has_ended) {							\
				ASSERT_EQ(0, err);						\
			} else if (!__try) {							\
				__sweep.failures++;						\
				if (err > 0 && err < (int)ARRAY_SIZE(__sweep.errors))		\
					__sweep.errors[err]++;					\
			}									\
		}										\
	}											\
	report_sweep(swept_name(__name, sizeof(__name), what, __steps), &__sweep);		\
	ASSERT_TRUE(__has_ended);								\
} while (0)

/* Sweeps all steps. */
#define sweep(what, call, after, ...)								\
	sweep_steps(what, all_steps, call, after, ##__VA_ARGS__)

#endif
