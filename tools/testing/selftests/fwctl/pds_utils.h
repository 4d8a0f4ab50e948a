/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RPCs to a Pensando card, and the endpoints of the one that fwctl-emu emulates.
 */
#ifndef __SELFTEST_FWCTL_PDS_UTILS_H
#define __SELFTEST_FWCTL_PDS_UTILS_H

#include <fwctl/pds.h>

#include "emu_utils.h"

/* Most calls use this scope. */
#define SCOPE_CONFIG FWCTL_RPC_CONFIGURATION

#define SCOPES 4

/* Maximum length of requests and responses of the emulated card. */
#define MAX_PAYLOAD (128u << 10)

/* Endpoints, and operations without their version */
#define EP_SYSTEM 0x10
#define EP_PORT 0x20
#define EP_MEMORY 0x30
#define EP_EMPTY 0xffffffff

#define OP_VERSION 0x0001
#define OP_ECHO 0x0002
#define OP_COUNT 0x0003
#define OP_SUM 0x0004
#define OP_FAIL 0x0005
#define OP_GET_VALUE 0x0101
#define OP_SET_VALUE 0x0102

#define VALUE_LEN 64

#define FIRMWARE "fwctl-emu-1"
#define NEXT_FIRMWARE "fwctl-emu-2"

/* An operation, and the arguments and the result of an RPC */
struct rpc {
	uint32_t endpoint, operation;
	const void *request;
	uint32_t request_len;
	void *response;
	uint32_t response_len;
	uint32_t retval;
};

/* Returns 0 or an errno, or ECHANGED if a field other than the result was changed. */
static inline int _pds_rpc(int fd, uint32_t scope, struct rpc *rpc)
{
	struct fwctl_rpc_pds message = {
		.in = {
			.op = rpc->operation,
			.ep = rpc->endpoint,
			.rsvd = 0x11111111,
			.len = rpc->request_len,
			.payload = to_u64(rpc->request),
		},
		.out = {
			.retval = 0x22222222,
			.rsvd = { 0x33333333, 0x44444444 },
			.len = rpc->response_len,
			.payload = to_u64(rpc->response),
		},
	};
	struct fwctl_rpc_pds reply;
	uint32_t len = sizeof(reply);
	int err;

	err = _fwctl_rpc(fd, scope, &message, sizeof(message), &reply, &len);
	if (err)
		return err;
	if (len != sizeof(reply))
		return ECHANGED;

	rpc->retval = reply.out.retval;
	message.out.retval = reply.out.retval;
	return memcmp(&message, &reply, sizeof(message)) ? ECHANGED : 0;
}

static inline struct rpc rpc_to(uint32_t endpoint, uint32_t operation, const void *request,
				uint32_t request_len, void *response, uint32_t response_len)
{
	return (struct rpc) {
		.endpoint = endpoint,
		.operation = operation,
		.request = request,
		.request_len = request_len,
		.response = response,
		.response_len = response_len,
	};
}

/* Returns 0 or an errno, or ECHANGED if the operation failed. */
static inline int _pds_call(int fd, uint32_t scope, uint32_t endpoint, uint32_t operation,
			    const void *request, uint32_t request_len, void *response,
			    uint32_t response_len)
{
	struct rpc rpc = rpc_to(endpoint, operation, request, request_len, response, response_len);
	int err = _pds_rpc(fd, scope, &rpc);

	return err ? err : rpc.retval ? ECHANGED : 0;
}

/* Asks for the version of the firmware and checks it.  Returns 0, an errno, or ECHANGED. */
static inline int _pds_is_version(int fd, const char *version)
{
	char response[32];
	int err;

	memset(response, 0xee, sizeof(response));
	err = _pds_call(fd, FWCTL_RPC_CONFIGURATION, EP_SYSTEM, OP_VERSION, NULL, 0, response,
			sizeof(response));
	if (err)
		return err;
	/* The rest of the response is zero. */
	return strncmp(response, version, sizeof(response)) ? ECHANGED : 0;
}

static inline bool is_pds(const struct device *dev)
{
	return !strcmp(dev->driver, "pds_core");
}

#define DRIVER_DIR "/sys/bus/auxiliary/drivers/pds_fwctl.pds_fwctl"

/* Finds the auxiliary device below the parent of `dev`. */
static inline bool find_auxiliary(const struct device *dev, char *name, size_t size)
{
	return find_auxiliary_named(dev, "pds_core.fwctl.", name, size);
}

#endif
