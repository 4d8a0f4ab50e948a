/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a program says to the fwctl loopback samples.
 *
 * The samples have no firmware: each RPC tells the driver what a firmware would have done.  Both of them, the Rust one
 * (fwctl_loopback) and its C twin (fwctl_loopback_c), speak this protocol, so one test serves both.
 *
 * A request that is shorter than struct fwctl_loopback_cmd, or does not start with FWCTL_LOOPBACK_MAGIC, is echoed in
 * place, whatever it contains.  Integers are in host byte order.
 */
#ifndef _SAMPLES_FWCTL_LOOPBACK_H
#define _SAMPLES_FWCTL_LOOPBACK_H

#include <linux/types.h>

/* fwctl_info::out_device_type.  The samples have no number of their own in the uapi. */
#define FWCTL_DEVICE_TYPE_LOOPBACK 0u /* FWCTL_DEVICE_TYPE_ERROR */

#define FWCTL_LOOPBACK_MAGIC 0x70306c66u

/**
 * enum fwctl_loopback_op - What the loopback does with a request
 * @FWCTL_LOOPBACK_ECHO: Reply with the whole request, in the request's buffer.
 * @FWCTL_LOOPBACK_COPY: Reply with a copy of the whole request, in a new buffer.
 * @FWCTL_LOOPBACK_SLEEP: Sleep for @arg milliseconds (at most FWCTL_LOOPBACK_MAX_SLEEP_MS), then echo.
 * @FWCTL_LOOPBACK_ERRNO: Fail with errno @arg (1 to 4095).
 * @FWCTL_LOOPBACK_IN_PLACE: Claim a reply of @arg bytes in the request's buffer.  A claim beyond the request's own length is
 *	what a faulty driver would make: the core has to refuse it.
 * @FWCTL_LOOPBACK_FILL: Reply with a new buffer of @arg bytes (at most FWCTL_LOOPBACK_MAX_FILL), byte i being i modulo 251.
 * @FWCTL_LOOPBACK_STATE: Reply in place with struct fwctl_loopback_state.
 * @FWCTL_LOOPBACK_ZEROS: Reply with a new buffer of @arg bytes (at most FWCTL_LOOPBACK_MAX_FILL), all zero.
 *
 * An @arg beyond the bounds given here fails with EINVAL.
 */
enum fwctl_loopback_op {
	FWCTL_LOOPBACK_ECHO = 0,
	FWCTL_LOOPBACK_COPY = 1,
	FWCTL_LOOPBACK_SLEEP = 2,
	FWCTL_LOOPBACK_ERRNO = 3,
	FWCTL_LOOPBACK_IN_PLACE = 4,
	FWCTL_LOOPBACK_FILL = 5,
	FWCTL_LOOPBACK_STATE = 6,
	FWCTL_LOOPBACK_ZEROS = 7,
};

#define FWCTL_LOOPBACK_MAX_SLEEP_MS 60000
#define FWCTL_LOOPBACK_MAX_FILL (4u << 20)

/**
 * struct fwctl_loopback_cmd - Head of a request
 * @magic: FWCTL_LOOPBACK_MAGIC
 * @op: enum fwctl_loopback_op; another value fails with EOPNOTSUPP
 * @arg: Depends on @op
 * @reserved: Must be 0, else EINVAL
 */
struct fwctl_loopback_cmd {
	__u32 magic;
	__u32 op;
	__u32 arg;
	__u32 reserved;
};

/**
 * struct fwctl_loopback_state - Reply to FWCTL_LOOPBACK_STATE; 16 bytes, so that it fits the request
 * @open_uctx: Contexts open on this device now, the asking one included
 * @scope: enum fwctl_rpc_scope that the core handed to the driver
 * @out_len: Room for the reply as the driver saw it, in bytes
 * @uid: Number of the asking context, from 1 in the order of opening
 */
struct fwctl_loopback_state {
	__u32 open_uctx;
	__u32 scope;
	__u32 out_len;
	__u32 uid;
};

/**
 * struct fwctl_info_loopback - FWCTL_INFO device data
 * @uid: Number of the asking context, from 1 in the order of opening
 * @magic: FWCTL_LOOPBACK_MAGIC
 */
struct fwctl_info_loopback {
	__u32 uid;
	__u32 magic;
};

#endif
