/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Requests and replies of the test driver fwctl_careless_c.
 *
 * A request starts with a __u32, enum fwctl_careless_op.  Integers are in host byte order.
 */
#ifndef _FWCTL_TESTS_CARELESS_H
#define _FWCTL_TESTS_CARELESS_H

#include <linux/types.h>

/**
 * enum fwctl_careless_op - How to handle a request
 * @FWCTL_CARELESS_STATE: Reply with struct fwctl_careless_state.
 * @FWCTL_CARELESS_OVERREAD: Read the byte after the request.  The reply is empty.
 */
enum fwctl_careless_op {
	FWCTL_CARELESS_STATE = 0,
	FWCTL_CARELESS_OVERREAD = 1,
};

/**
 * struct fwctl_careless_state - Reply to FWCTL_CARELESS_STATE
 * @info_calls: Number of calls of info()
 * @info_length: Maximum *length that info() was called with
 * @misaligned: Number of structures with a misaligned cacheline-aligned member
 */
struct fwctl_careless_state {
	__u32 info_calls;
	__u32 info_length;
	__u32 misaligned;
};

#endif
