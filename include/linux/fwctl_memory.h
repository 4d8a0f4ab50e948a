/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that programs register for the firmware, in the C API of fwctl.
 *
 * A driver that calls fwctl_offer_memory() offers FWCTL_RSC_UMEM_REG and FWCTL_RSC_UMEM_ALLOC.  The
 * core pins or allocates the memory, maps it, limits it, and keeps it until nothing accesses it any
 * more.  Documentation/userspace-api/fwctl/driver-c.rst has more.
 */
#ifndef __LINUX_FWCTL_MEMORY_H
#define __LINUX_FWCTL_MEMORY_H

#include <linux/errno.h>
#include <linux/fwctl.h>
#include <linux/types.h>

struct device;

/* New memory, in fwctl_memory_ops::add. */
struct fwctl_memory;

/* Memory that an operation uses. */
struct fwctl_memory_ref;

/**
 * struct fwctl_memory_ids - What the firmware calls registered memory
 * @priv: What else the driver needs to make the firmware forget the memory
 * @umem_id: The number of the memory in RPCs.  No two registrations of a context may have the same.
 * @mkey_id: The memory key, or 0
 */
struct fwctl_memory_ids {
	u64 priv;
	u32 umem_id;
	u32 mkey_id;
};

/**
 * struct fwctl_memory_ops - Operations of a driver that has registered memory
 * @flags: What memory can be registered for: enum fwctl_umem_flags
 * @without_dma: The driver itself accesses the memory, and no device does.  There are no addresses
 *	then.
 * @add: Tells the firmware of memory, for the uses in @flags, and fills *ids.  Returns 0 or a
 *	negative errno, which the ioctl returns.  If it fails after fwctl_memory_addresses(), the
 *	memory is kept until the device is reset, unless fwctl_memory_retract() was called.
 * @remove: Makes the firmware forget memory.  Returns 0 only if the firmware has confirmed that it
 *	does not access the memory and never will.  After an error the memory is kept until the
 *	device is reset.
 *
 * Both may sleep.  @remove is called once for each success of @add: when the program destroys the
 * memory, and before fwctl_ops::close_uctx for what is left then.  No other operation uses the
 * memory at the same time.
 */
struct fwctl_memory_ops {
	u64 flags;
	bool without_dma;
	int (*add)(struct fwctl_uctx *uctx, struct fwctl_memory *memory, u64 flags,
		   struct fwctl_memory_ids *ids);
	int (*remove)(struct fwctl_uctx *uctx, const struct fwctl_memory_ids *ids);
};

#ifdef CONFIG_FWCTL_RUST
int fwctl_offer_memory(struct fwctl_device *fwctl, struct device *dev,
		       const struct fwctl_memory_ops *ops);
size_t fwctl_memory_page_count(const struct fwctl_memory *memory);
size_t fwctl_memory_addresses(struct fwctl_memory *memory, dma_addr_t *to, size_t count);
void fwctl_memory_retract(struct fwctl_memory *memory);
struct fwctl_memory_ref *fwctl_memory_get(struct fwctl_uctx *uctx, u32 umem_id);
struct fwctl_memory_ref *fwctl_memory_get_by_key(struct fwctl_uctx *uctx, u32 mkey_id);
void fwctl_memory_put(struct fwctl_memory_ref *ref);
size_t fwctl_memory_len(const struct fwctl_memory_ref *ref);
int fwctl_memory_address(const struct fwctl_memory_ref *ref, size_t page, dma_addr_t *address);
int fwctl_memory_read(const struct fwctl_memory_ref *ref, u64 offset, void *to, size_t len);
int fwctl_memory_write(const struct fwctl_memory_ref *ref, u64 offset, const void *from,
		       size_t len);
#else
/* The core in C has no registered memory. */
static inline int fwctl_offer_memory(struct fwctl_device *fwctl, struct device *dev,
				     const struct fwctl_memory_ops *ops)
{
	return -EOPNOTSUPP;
}
#endif

#endif
