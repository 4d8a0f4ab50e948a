/* SPDX-License-Identifier: GPL-2.0-only */
/* The C functions of the Rust core; documented in shim.rs, which declares them to Rust. */
#ifndef _FWCTL_SHIM_H
#define _FWCTL_SHIM_H

#include <linux/types.h>

struct cdev;
struct ida;
struct inode;

extern struct ida fwctl_shim_ida;

void *fwctl_shim_kvmalloc(size_t size);
unsigned long fwctl_shim_clear_user(void __user *to, unsigned long len);
struct cdev *fwctl_shim_inode_cdev(struct inode *inode);
void fwctl_shim_comm(char *comm);

/* In main.rs, for a built-in core only */
int fwctl_early_init(void);

#endif
