/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Requests and replies of the fwctl loopback devices, for the drivers in Rust (fwctl_loopback) and
 * in C (fwctl_loopback_c).
 *
 * There is no firmware: each request tells the driver how to handle it.  A request that is shorter
 * than struct fwctl_loopback_cmd or does not start with FWCTL_LOOPBACK_MAGIC is echoed in place.
 * Integers are in host byte order.
 */
#ifndef _FWCTL_LOOPBACK_H
#define _FWCTL_LOOPBACK_H

#include <linux/types.h>

/* fwctl_info::out_device_type.  Test devices have no number in the uapi. */
#define FWCTL_DEVICE_TYPE_LOOPBACK 0u /* FWCTL_DEVICE_TYPE_ERROR */

#define FWCTL_LOOPBACK_MAGIC 0x70306c66u

/**
 * enum fwctl_loopback_op - How to handle a request
 * @FWCTL_LOOPBACK_ECHO: Reply with the request, in place.
 * @FWCTL_LOOPBACK_COPY: Reply with a copy of the request, in a new buffer.
 * @FWCTL_LOOPBACK_SLEEP: Sleep for @arg milliseconds (at most FWCTL_LOOPBACK_MAX_SLEEP_MS), then
 *	echo.
 * @FWCTL_LOOPBACK_ERRNO: Fail with errno @arg (1 to 4095).
 * @FWCTL_LOOPBACK_IN_PLACE: Claim a reply of @arg bytes, in place.  The core has to refuse a claim
 *	beyond the length of the request, which a faulty driver could make.
 * @FWCTL_LOOPBACK_FILL: Reply with a new buffer of @arg bytes (at most FWCTL_LOOPBACK_MAX_FILL), in
 *	which byte i is i modulo 251.
 * @FWCTL_LOOPBACK_STATE: Reply in place with struct fwctl_loopback_state.
 * @FWCTL_LOOPBACK_ZEROS: Reply with a new buffer of @arg zeros (at most FWCTL_LOOPBACK_MAX_FILL).
 * @FWCTL_LOOPBACK_MEMORY_FILL: Fill registered memory as struct fwctl_loopback_memory says, with
 *	bytes of value @arg (at most 255).  Reply with the request, in place.
 * @FWCTL_LOOPBACK_MEMORY_READ: Reply with bytes of registered memory, as struct
 *	fwctl_loopback_memory says, in a new buffer.  @arg is a time in milliseconds (at most
 *	FWCTL_LOOPBACK_MAX_SLEEP_MS) for which the memory is used before it is read.
 * @FWCTL_LOOPBACK_MEMORY_MODE: From now on, handle memory of this file as @arg says: enum
 *	fwctl_loopback_memory_mode.  Reply with the request, in place.
 *
 * The driver in Rust that answers asynchronously, and that in C on the core in C, have no
 * registered memory: EOPNOTSUPP.
 *
 * An @arg out of these bounds fails with EINVAL.
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
	FWCTL_LOOPBACK_MEMORY_FILL = 8,
	FWCTL_LOOPBACK_MEMORY_READ = 9,
	FWCTL_LOOPBACK_MEMORY_MODE = 10,
};

/**
 * enum fwctl_loopback_memory_mode - What goes wrong when memory is registered or destroyed
 * @FWCTL_LOOPBACK_MEMORY_WORKS: Nothing.
 * @FWCTL_LOOPBACK_MEMORY_REFUSED: The firmware refuses new memory: EIO.
 * @FWCTL_LOOPBACK_MEMORY_UNANSWERED: The firmware does not tell whether it has new memory: EIO.
 * @FWCTL_LOOPBACK_MEMORY_KEPT: The firmware does not confirm that it has forgotten memory.
 */
enum fwctl_loopback_memory_mode {
	FWCTL_LOOPBACK_MEMORY_WORKS = 0,
	FWCTL_LOOPBACK_MEMORY_REFUSED = 1,
	FWCTL_LOOPBACK_MEMORY_UNANSWERED = 2,
	FWCTL_LOOPBACK_MEMORY_KEPT = 3,
};

#define FWCTL_LOOPBACK_MAX_SLEEP_MS 60000
#define FWCTL_LOOPBACK_MAX_FILL (4u << 20)

/**
 * struct fwctl_loopback_cmd - Header of a request
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
 * struct fwctl_loopback_memory - Request that names registered memory
 * @cmd: Header
 * @umem_id: Number of the memory, fwctl_rsc_umem_reg::out_umem_id; ENOENT if the file has none such
 * @len: Number of bytes, at most FWCTL_LOOPBACK_MAX_FILL, else EINVAL
 * @offset: Offset of the first byte in the memory; EINVAL if the memory does not have them all
 */
struct fwctl_loopback_memory {
	struct fwctl_loopback_cmd cmd;
	__u32 umem_id;
	__u32 len;
	__aligned_u64 offset;
};

/**
 * struct fwctl_loopback_state - Reply to FWCTL_LOOPBACK_STATE, not longer than the request
 * @open_uctx: Number of open contexts of this device, including the caller's
 * @scope: enum fwctl_rpc_scope that the core passed to the driver
 * @out_len: Size of the reply buffer that the core passed to the driver, in bytes
 * @uid: Number of the caller's context, counted from 1 in the order of opening
 */
struct fwctl_loopback_state {
	__u32 open_uctx;
	__u32 scope;
	__u32 out_len;
	__u32 uid;
};

/**
 * struct fwctl_info_loopback - FWCTL_INFO device data
 * @uid: Number of the caller's context, counted from 1 in the order of opening
 * @magic: FWCTL_LOOPBACK_MAGIC
 */
struct fwctl_info_loopback {
	__u32 uid;
	__u32 magic;
};

#endif
