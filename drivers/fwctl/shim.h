/* SPDX-License-Identifier: GPL-2.0-only */
/* The C functions of the Rust core; documented in shim.rs, which declares them to Rust. */
#ifndef _FWCTL_SHIM_H
#define _FWCTL_SHIM_H

#include <linux/types.h>

struct cdev;
struct ida;
struct inode;

extern struct ida fwctl_shim_ida;

void *fwctl_shim_uctx(size_t size, size_t offset);
void *fwctl_shim_kvmalloc(size_t size);
void *fwctl_shim_kvzalloc(size_t size);
bool fwctl_shim_read_24(void *to, const void __user *from);
bool fwctl_shim_read_32(void *to, const void __user *from);
bool fwctl_shim_write_24(void __user *to, const void *from);
bool fwctl_shim_write_32(void __user *to, const void *from);
bool fwctl_shim_write_padded(void __user *to, const void *from, size_t len, size_t room);
bool fwctl_shim_is_killed(void);
struct cdev *fwctl_shim_inode_cdev(struct inode *inode);
void fwctl_shim_comm(char *comm);

/* In main.rs, for a built-in core only */
int fwctl_early_init(void);

#endif
