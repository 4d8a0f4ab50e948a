/* SPDX-License-Identifier: GPL-2.0-only */
/* The C helpers of the Rust core, documented in shim.rs. */
#ifndef _FWCTL_SHIM_H
#define _FWCTL_SHIM_H

#include <linux/types.h>

struct cdev;
struct device;
struct ida;
struct inode;

extern struct ida fwctl_shim_ida;

void *fwctl_shim_uctx(size_t size, size_t offset);
bool fwctl_shim_is_killed(void);
bool fwctl_shim_is_worker(void);
bool fwctl_shim_is_cancelled(void);
struct cdev *fwctl_shim_inode_cdev(struct inode *inode);
int fwctl_shim_comm(char *comm);
int fwctl_shim_add_action(struct device *dev, void (*action)(void *data), void *data);
void fwctl_shim_remove_action(struct device *dev, void (*action)(void *data), void *data);
bool fwctl_shim_quiesce(struct device *dev);
void fwctl_shim_not_leak(const void *memory);

/* In quarantine.rs */
u64 fwctl_quarantined_bytes(void);

/* In core.rs, only in a built-in core */
int fwctl_early_init(void);

#endif
