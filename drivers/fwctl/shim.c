// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the Rust core cannot say for itself: macros, static inlines, exported C symbols, and the initcall level of a
 * built-in core.  The Rust side is shim.rs.
 */
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/fwctl.h>
#include <linux/idr.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "shim.h"

DEFINE_IDA(fwctl_shim_ida);

void *fwctl_shim_kvmalloc(size_t size)
{
	return kvmalloc(size, GFP_KERNEL_ACCOUNT);
}

unsigned long fwctl_shim_clear_user(void __user *to, unsigned long len)
{
	return clear_user(to, len);
}

struct cdev *fwctl_shim_inode_cdev(struct inode *inode)
{
	return inode->i_cdev;
}

void fwctl_shim_comm(char *comm)
{
	strscpy(comm, current->comm, TASK_COMM_LEN);
}

/* The C door, in export.rs */
EXPORT_SYMBOL_NS_GPL(_fwctl_alloc_device, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_register, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_unregister, "FWCTL");

#ifndef MODULE
/* Rust's module! knows device_initcall() only, which is after the probe of some drivers. */
subsys_initcall(fwctl_early_init);
#endif
