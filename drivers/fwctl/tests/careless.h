/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The RPCs of fwctl_careless_c, a driver for tests.
 *
 * A request starts with a __u32, enum fwctl_careless_op.  Integers are in host byte order.
 */
#ifndef _SAMPLES_FWCTL_CARELESS_H
#define _SAMPLES_FWCTL_CARELESS_H

#include <linux/types.h>

/**
 * enum fwctl_careless_op - What the driver does with a request
 * @FWCTL_CARELESS_STATE: Reply with struct fwctl_careless_state.
 * @FWCTL_CARELESS_OVERREAD: Read the byte behind the request.  Reply with nothing.
 */
enum fwctl_careless_op {
	FWCTL_CARELESS_STATE = 0,
	FWCTL_CARELESS_OVERREAD = 1,
};

/**
 * struct fwctl_careless_state - Reply to FWCTL_CARELESS_STATE
 * @info_calls: Calls of info()
 * @info_length: Largest *length that info() was called with
 * @misaligned: Structures of the driver with a member that is not aligned as it asks for
 */
struct fwctl_careless_state {
	__u32 info_calls;
	__u32 info_length;
	__u32 misaligned;
};

#endif
