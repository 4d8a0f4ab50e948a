// SPDX-License-Identifier: GPL-2.0-only
/*
 * C helpers for what bindgen cannot express, the exported symbols of the C
 * API, and the initcall of a built-in core.  shim.rs declares them to Rust.
 */
#include <linux/cc_platform.h>
#include <linux/device.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/fwctl.h>
#include <linux/fwctl_memory.h>
#include <linux/idr.h>
#include <linux/init.h>
#include <linux/kmemleak.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "shim.h"

/* The number that rust/kernel/mm/shared_pages.rs has for it */
static_assert(CC_ATTR_MEM_ENCRYPT == 0);

DEFINE_IDA(fwctl_shim_ida);

void *fwctl_shim_uctx(size_t size, size_t offset)
{
	void *uctx = kmalloc(size, GFP_KERNEL_ACCOUNT);

	if (uctx)
		memset(uctx + offset, 0, size - offset);
	return uctx;
}

bool fwctl_shim_is_killed(void)
{
	return fatal_signal_pending(current) ||
	       (fwctl_shim_is_worker() && signal_pending(current));
}

/* Not a thread that submits for others, which has the flag, too. */
bool fwctl_shim_is_worker(void)
{
	return (current->flags & PF_IO_WORKER) && current->worker_private;
}

bool fwctl_shim_is_cancelled(void)
{
	return fwctl_shim_is_worker() &&
	       (test_thread_flag(TIF_NOTIFY_SIGNAL) || fatal_signal_pending(current));
}

struct cdev *fwctl_shim_inode_cdev(struct inode *inode)
{
	return inode->i_cdev;
}

int fwctl_shim_comm(char *comm)
{
	struct task_struct *task = current->flags & PF_IO_WORKER ? current->group_leader : current;

	strscpy(comm, task->comm, TASK_COMM_LEN);
	return task_pid_nr(task);
}

int fwctl_shim_add_action(struct device *dev, void (*action)(void *data), void *data)
{
	return devm_add_action(dev, action, data);
}

void fwctl_shim_remove_action(struct device *dev, void (*action)(void *data), void *data)
{
	/* Actions run with the lock held: none is running now. */
	device_lock(dev);
	devm_remove_action_nowarn(dev, action, data);
	device_unlock(dev);
}

bool fwctl_shim_quiesce(struct device *dev)
{
#ifdef CONFIG_PCI
	if (dev_is_pci(dev)) {
		struct pci_dev *pdev = to_pci_dev(dev);

		if (pci_dev_is_disconnected(pdev))
			return true;
		pci_clear_master(pdev);
		return !pci_reset_function_locked(pdev);
	}
#endif
	return false;
}

static int quarantined_bytes_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%llu\n", fwctl_quarantined_bytes());
}

static int quarantined_bytes_set(const char *value, const struct kernel_param *kp)
{
	return -EPERM;
}

static const struct kernel_param_ops quarantined_bytes_ops = {
	.set = quarantined_bytes_set,
	.get = quarantined_bytes_get,
};
module_param_cb(quarantined_bytes, &quarantined_bytes_ops, NULL, 0444);
MODULE_PARM_DESC(quarantined_bytes, "Read only: memory that firmware did not confirm to have forgotten");

/* The C API, in c_api.rs */
EXPORT_SYMBOL_NS_GPL(_fwctl_alloc_device, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_register, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_unregister, "FWCTL");

/* Registered memory in the C API, in c_memory.rs, which has these layouts. */
static_assert(sizeof(struct fwctl_memory_ids) == 16);
static_assert(offsetof(struct fwctl_memory_ids, umem_id) == 8);
static_assert(offsetof(struct fwctl_memory_ids, mkey_id) == 12);
static_assert(offsetof(struct fwctl_memory_ops, without_dma) == 8);
static_assert(offsetof(struct fwctl_memory_ops, add) == (sizeof(void *) == 8 ? 16 : 12));
static_assert(offsetof(struct fwctl_memory_ops, remove) ==
	      offsetof(struct fwctl_memory_ops, add) + sizeof(void *));
EXPORT_SYMBOL_NS_GPL(fwctl_offer_memory, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_page_count, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_addresses, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_retract, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_get, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_get_by_key, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_put, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_len, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_address, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_read, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_memory_write, "FWCTL");

#ifndef MODULE
/* module! only supports device_initcall(), which runs after some drivers have probed. */
subsys_initcall(fwctl_early_init);
#endif

void fwctl_shim_not_leak(const void *memory)
{
	kmemleak_not_leak(memory);
}
