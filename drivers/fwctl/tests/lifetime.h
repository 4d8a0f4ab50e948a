/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Requests and replies of the test driver fwctl_lifetime.
 *
 * A request is struct fwctl_lifetime_cmd.  Integers are in host byte order.
 */
#ifndef _FWCTL_TESTS_LIFETIME_H
#define _FWCTL_TESTS_LIFETIME_H

#include <linux/types.h>

/**
 * enum fwctl_lifetime_keep - Parameter "keep": what the probe of the first device does with the
 *	registration guard
 * @FWCTL_LIFETIME_OWNED: Keep it in the data of the bus driver.
 * @FWCTL_LIFETIME_FORGOTTEN: Forget it.
 * @FWCTL_LIFETIME_IN_DATA: Keep it in the Operations::Data of the registration itself.
 * @FWCTL_LIFETIME_SHARED: Keep it in a static.  The unbind() of the second device drops it.
 */
enum fwctl_lifetime_keep {
	FWCTL_LIFETIME_OWNED = 0,
	FWCTL_LIFETIME_FORGOTTEN = 1,
	FWCTL_LIFETIME_IN_DATA = 2,
	FWCTL_LIFETIME_SHARED = 3,
};

/**
 * enum fwctl_lifetime_op - How to handle a request
 * @FWCTL_LIFETIME_STATE: Reply with struct fwctl_lifetime_state.
 * @FWCTL_LIFETIME_WAIT: Wait up to @arg milliseconds, or without limit if @arg is 0, for
 *	FWCTL_LIFETIME_NOTIFY on the same device.  Reply with a __u32: 1 if it came, 0 on timeout.
 * @FWCTL_LIFETIME_NOTIFY: End all current and future FWCTL_LIFETIME_WAIT on this device.
 * @FWCTL_LIFETIME_LOOP: Call Context::check() every millisecond until it fails.
 * @FWCTL_LIFETIME_DEVRES: Add @arg devres entries to the host.
 * @FWCTL_LIFETIME_SLEEP: Sleep for @arg milliseconds, without interruption.
 */
enum fwctl_lifetime_op {
	FWCTL_LIFETIME_STATE = 0,
	FWCTL_LIFETIME_WAIT = 1,
	FWCTL_LIFETIME_NOTIFY = 2,
	FWCTL_LIFETIME_LOOP = 3,
	FWCTL_LIFETIME_DEVRES = 4,
	FWCTL_LIFETIME_SLEEP = 5,
};

/**
 * struct fwctl_lifetime_cmd - A request
 * @op: enum fwctl_lifetime_op
 * @arg: Depends on @op
 */
struct fwctl_lifetime_cmd {
	__u32 op;
	__u32 arg;
};

/* fwctl_lifetime_state::register_error, if the registration succeeded. */
#define FWCTL_LIFETIME_REGISTERED 10000

/**
 * struct fwctl_lifetime_state - Reply to FWCTL_LIFETIME_STATE: counters since module load
 * @made: Operations::Data created for the first device
 * @dropped: Operations::Data of the first device dropped
 * @entries_added: devres entries added by RPCs
 * @entries_released: devres entries released
 * @opened: Contexts opened on the first device
 * @closed: Contexts closed on the first device
 * @unbinds: Calls of unbind() for the first device
 * @late_calls: Calls into a driver after unbind() had started
 * @register_error: Errno of the registration in unbind(), 0 if none was attempted
 * @wait_error: Errno of the last FWCTL_LIFETIME_WAIT or FWCTL_LIFETIME_LOOP, 0 if it succeeded
 * @probe_errors: Probes of the first device that failed after registering
 */
struct fwctl_lifetime_state {
	__u32 made;
	__u32 dropped;
	__u32 entries_added;
	__u32 entries_released;
	__u32 opened;
	__u32 closed;
	__u32 unbinds;
	__u32 late_calls;
	__u32 register_error;
	__u32 wait_error;
	__u32 probe_errors;
};

#endif
