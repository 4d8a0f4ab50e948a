/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* Copyright (c) 2024-2025, NVIDIA CORPORATION & AFFILIATES.
 */
#ifndef _UAPI_FWCTL_H
#define _UAPI_FWCTL_H

#include <linux/types.h>
#include <linux/ioctl.h>

#define FWCTL_TYPE 0x9A

/**
 * DOC: General ioctl format
 *
 * The argument of each ioctl is a pointer to a structure whose first field is
 * the size of that structure in the headers that the program was built with. A
 * kernel that knows a shorter structure accepts a longer one if the rest of it
 * is 0, and treats fields that an older program does not have as 0.
 *
 * An errno has the same meaning in all ioctls:
 *
 *  - ENOTTY: The kernel or the driver does not have this ioctl.
 *  - E2BIG: The structure has a field that the kernel does not know, and it is
 *    not 0.
 *  - EOPNOTSUPP: A field that the kernel knows has a value that it does not
 *    know or does not support.
 *  - EINVAL: The structure is shorter than its first version, or a field has a
 *    value that is never valid.
 *  - ENOMEM: There is not enough memory.
 *  - ENODEV: The device was removed. The file can only be closed.
 *
 * An ioctl may return further ones.
 */
enum {
	FWCTL_CMD_BASE = 0,
	FWCTL_CMD_INFO = 0,
	FWCTL_CMD_RPC = 1,
	FWCTL_CMD_RSC_DESTROY = 2,
	FWCTL_CMD_RSC_UMEM_REG = 3,
	FWCTL_CMD_RSC_UMEM_ALLOC = 4
};

/**
 * enum fwctl_device_type - Kind of a device, which defines the layout of its
 *                          device data, requests and replies
 * @FWCTL_DEVICE_TYPE_ERROR: Samples and test devices
 * @FWCTL_DEVICE_TYPE_MLX5: NVIDIA ConnectX and BlueField, fwctl/mlx5.h
 * @FWCTL_DEVICE_TYPE_CXL: CXL memory devices, fwctl/cxl.h
 * @FWCTL_DEVICE_TYPE_BNXT: Broadcom NetXtreme, fwctl/bnxt.h
 * @FWCTL_DEVICE_TYPE_PDS: AMD Pensando, fwctl/pds.h
 */
enum fwctl_device_type {
	FWCTL_DEVICE_TYPE_ERROR = 0,
	FWCTL_DEVICE_TYPE_MLX5 = 1,
	FWCTL_DEVICE_TYPE_CXL = 2,
	FWCTL_DEVICE_TYPE_BNXT = 3,
	FWCTL_DEVICE_TYPE_PDS = 4
};

/**
 * struct fwctl_info - ioctl(FWCTL_INFO)
 * @size: sizeof(struct fwctl_info)
 * @flags: Must be 0
 * @out_device_type: Returns enum fwctl_device_type
 * @device_data_len: Length of the buffer, may be 0. Returns the length of the
 *	driver's device data, which may be larger or smaller.
 * @out_device_data: Address of the buffer, which is filled with the device data
 *	and then zeros
 *
 * Get the type of the device and what its driver tells about it. The firmware
 * is not involved unless the driver asks it.
 */
struct fwctl_info {
	__u32 size;
	__u32 flags;
	__u32 out_device_type;
	__u32 device_data_len;
	__aligned_u64 out_device_data;
};
#define FWCTL_INFO _IO(FWCTL_TYPE, FWCTL_CMD_INFO)

/**
 * enum fwctl_rpc_scope - What the caller of FWCTL_RPC claims to do
 *
 * A request that does more than its scope allows is refused.
 * Documentation/userspace-api/fwctl/fwctl.rst has the rules.
 */
enum fwctl_rpc_scope {
	/**
	 * @FWCTL_RPC_CONFIGURATION: Read and write the configuration
	 *
	 * What is written takes effect at the next reset, or affects no kernel
	 * driver. The device stays in a state that its vendor supports.
	 */
	FWCTL_RPC_CONFIGURATION = 0,
	/**
	 * @FWCTL_RPC_DEBUG_READ_ONLY: Read debug information
	 *
	 * Reading has no side effect and reveals nothing that kernel lockdown
	 * protects, such as keys.
	 */
	FWCTL_RPC_DEBUG_READ_ONLY = 1,
	/**
	 * @FWCTL_RPC_DEBUG_WRITE: Write debug information
	 *
	 * The device may end up in a state that its vendor does not support.
	 * Kernel lockdown allows it. Taints the kernel.
	 */
	FWCTL_RPC_DEBUG_WRITE = 2,
	/**
	 * @FWCTL_RPC_DEBUG_WRITE_FULL: Read and write anything
	 *
	 * Needs CAP_SYS_RAWIO, so it may do what kernel lockdown forbids. It is
	 * the scope of debugging that fits in no other one. Taints the kernel.
	 */
	FWCTL_RPC_DEBUG_WRITE_FULL = 3
};

/**
 * struct fwctl_rpc - ioctl(FWCTL_RPC)
 * @size: sizeof(struct fwctl_rpc)
 * @scope: enum fwctl_rpc_scope that the request needs
 * @in_len: Length of the request
 * @out_len: Length of the reply buffer. Returns the length of the reply, which
 *	may be larger or smaller.
 * @in: Address of the request
 * @out: Address of the reply buffer
 *
 * Send a request to the firmware and wait for the reply. The device type, which
 * FWCTL_INFO returns, defines the layout of both.
 *
 * An errno means that the request was not delivered. The status of a request
 * that the firmware has received is in the reply, also if it failed.
 */
struct fwctl_rpc {
	__u32 size;
	__u32 scope;
	__u32 in_len;
	__u32 out_len;
	__aligned_u64 in;
	__aligned_u64 out;
};
#define FWCTL_RPC _IO(FWCTL_TYPE, FWCTL_CMD_RPC)

/**
 * struct fwctl_rsc_destroy - ioctl(FWCTL_RSC_DESTROY)
 * @size: sizeof(struct fwctl_rsc_destroy)
 * @rsvd: Must be 0
 * @flags: Must be 0
 * @type: Must be 0
 * @rsc_id: Resource of this file to destroy
 *
 * Make the device firmware forget a resource, and release what belongs to it.
 * The number @rsc_id is free afterwards, even if this fails with EIO: then the
 * firmware did not confirm, and the memory of the resource stays allocated and
 * charged until the device function is reset.
 *
 * ENOENT: the file has no such resource. EBUSY: an RPC of this file is using
 * it.
 */
struct fwctl_rsc_destroy {
	__u32 size;
	__u32 rsvd;
	__aligned_u64 flags;
	__u32 type;
	__u32 rsc_id;
};
#define FWCTL_RSC_DESTROY _IO(FWCTL_TYPE, FWCTL_CMD_RSC_DESTROY)

/**
 * enum fwctl_umem_flags - Flags of struct fwctl_rsc_umem_reg and struct
 *                         fwctl_rsc_umem_alloc
 */
enum fwctl_umem_flags {
	/**
	 * @FWCTL_UMEM_FLAG_MKEY: Create a memory key, which RPCs name
	 */
	FWCTL_UMEM_FLAG_MKEY = 1 << 0,
	/**
	 * @FWCTL_UMEM_FLAG_MCDD: RPCs may name single pages for the firmware to
	 * read or write (mlx5: the MCDD register)
	 */
	FWCTL_UMEM_FLAG_MCDD = 1 << 1
};

/**
 * struct fwctl_rsc_umem_reg - ioctl(FWCTL_RSC_UMEM_REG)
 * @size: sizeof(struct fwctl_rsc_umem_reg)
 * @rsvd: Must be 0
 * @flags: Combination of enum fwctl_umem_flags
 * @addr: Start of the memory, a multiple of the page size
 * @len: Length of the memory, a multiple of the page size, up to 64 MiB
 * @out_umem_id: Returns the number of the memory in RPCs
 * @out_mkey_id: Returns the memory key, if FWCTL_UMEM_FLAG_MKEY is set; else 0
 * @out_rsc_id: Returns the resource, for FWCTL_RSC_DESTROY
 * @rsvd1: Must be 0
 *
 * Register memory of the caller for the device firmware. The memory must be
 * writable. It is pinned and charged to RLIMIT_MEMLOCK until the resource is
 * destroyed or the file closed. Only RPCs of this file can name it, and they
 * never contain its address.
 *
 * ENOTTY: the device does not support it. EINVAL: @addr or @len is not aligned,
 * @len is 0 or too large, or the range overflows. ENOMEM: the limit of locked
 * memory is exceeded. ENOSPC: the file or the device has too much registered
 * memory. EFAULT: not all of the memory is mapped writable, or it is not of a
 * kind that can be pinned for long. EOPNOTSUPP: also if the memory is of a kind
 * that cannot be pinned for long, or if the device cannot access it without
 * bounce buffers.
 */
struct fwctl_rsc_umem_reg {
	__u32 size;
	__u32 rsvd;
	__aligned_u64 flags;
	__aligned_u64 addr;
	__aligned_u64 len;
	__u32 out_umem_id;
	__u32 out_mkey_id;
	__u32 out_rsc_id;
	__u32 rsvd1;
};
#define FWCTL_RSC_UMEM_REG _IO(FWCTL_TYPE, FWCTL_CMD_RSC_UMEM_REG)

/**
 * struct fwctl_rsc_umem_alloc - ioctl(FWCTL_RSC_UMEM_ALLOC)
 * @size: sizeof(struct fwctl_rsc_umem_alloc)
 * @rsvd: Must be 0
 * @flags: Combination of enum fwctl_umem_flags
 * @len: Length of the memory, a multiple of the page size, up to 64 MiB
 * @out_offset: Returns the offset of the memory in the file, for mmap(2)
 * @out_umem_id: Returns the number of the memory in RPCs
 * @out_mkey_id: Returns the memory key, if FWCTL_UMEM_FLAG_MKEY is set; else 0
 * @out_rsc_id: Returns the resource, for FWCTL_RSC_DESTROY
 * @rsvd1: Must be 0
 *
 * Allocate memory of the kernel, whose bytes are 0, and register it for the
 * device firmware. It is charged to the memory cgroup of the caller, and not to
 * RLIMIT_MEMLOCK. Only RPCs of this file can name it.
 *
 * mmap(2) of this file maps all of it or some of its pages: at @out_offset or
 * further, with MAP_SHARED and without PROT_EXEC. A mapping is not inherited by
 * fork(2). It keeps the file open, and stays valid when the resource is
 * destroyed or the device removed; then the firmware does not write to it any
 * more.
 *
 * ENOTTY: the device does not support it. EINVAL: @len is not aligned, 0 or too
 * large. ENOMEM: there is no memory. ENOSPC: the file or the device has too much
 * registered memory. EOPNOTSUPP: a flag is not known, or the device cannot
 * access memory at the same time as the program: it is not coherent, or the
 * memory of the machine is encrypted.
 */
struct fwctl_rsc_umem_alloc {
	__u32 size;
	__u32 rsvd;
	__aligned_u64 flags;
	__aligned_u64 len;
	__aligned_u64 out_offset;
	__u32 out_umem_id;
	__u32 out_mkey_id;
	__u32 out_rsc_id;
	__u32 rsvd1;
};
#define FWCTL_RSC_UMEM_ALLOC _IO(FWCTL_TYPE, FWCTL_CMD_RSC_UMEM_ALLOC)

#endif
