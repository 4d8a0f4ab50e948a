// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the Rust core cannot say for itself: macros, static inlines, exported C symbols, and the initcall level of a
 * built-in core.  The Rust side is shim.rs.
 */
#include <linux/export.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/fs.h>
#include <linux/fwctl.h>
#include <linux/idr.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>

#include "shim.h"

DEFINE_IDA(fwctl_shim_ida);

void *fwctl_shim_uctx(size_t size, size_t offset)
{
	void *uctx = kmalloc(size, GFP_KERNEL_ACCOUNT);

	if (uctx)
		memset(uctx + offset, 0, size - offset);
	return uctx;
}

void *fwctl_shim_kvmalloc(size_t size)
{
	return kvmalloc(size, GFP_KERNEL_ACCOUNT);
}

void *fwctl_shim_kvzalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL_ACCOUNT);
}

/* For what is inlined into drivers in Rust. */
EXPORT_SYMBOL_NS_GPL(fwctl_shim_kvmalloc, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_shim_kvzalloc, "FWCTL");

/*
 * Structures as the ioctls have them, word by word in one access: for so few bytes the general copy costs more than they
 * do.  Where a word at an odd address is a trap, it is the right thing all the same.
 */
static __always_inline bool read_words(u64 *to, const u64 __user *from, size_t count)
{
	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS))
		return !copy_from_user(to, from, count * sizeof(*to));

	might_fault();
	if (should_fail_usercopy())
		return false;
	scoped_user_read_access_size(from, count * sizeof(*from), fault) {
		for (size_t i = 0; i < count; i++)
			unsafe_get_user(to[i], &from[i], fault);
	}
	return true;
fault:
	return false;
}

static __always_inline bool write_words(u64 __user *to, const u64 *from, size_t count)
{
	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS))
		return !copy_to_user(to, from, count * sizeof(*to));

	might_fault();
	if (should_fail_usercopy())
		return false;
	scoped_user_write_access_size(to, count * sizeof(*to), fault) {
		for (size_t i = 0; i < count; i++)
			unsafe_put_user(from[i], &to[i], fault);
	}
	return true;
fault:
	return false;
}

bool fwctl_shim_read_24(void *to, const void __user *from)
{
	return read_words(to, from, 24 / sizeof(u64));
}

bool fwctl_shim_write_24(void __user *to, const void *from)
{
	return write_words(to, from, 24 / sizeof(u64));
}

bool fwctl_shim_read_32(void *to, const void __user *from)
{
	return read_words(to, from, 32 / sizeof(u64));
}

bool fwctl_shim_write_32(void __user *to, const void *from)
{
	return write_words(to, from, 32 / sizeof(u64));
}

static noinline bool write_padded_bytes(void __user *to, const void *from, size_t len, size_t room)
{
	return !copy_to_user(to, from, len) && !clear_user(to + len, room - len);
}

/* What is short and made of whole words, as the device data of drivers is, goes word by word, as above. */
bool fwctl_shim_write_padded(void __user *to, const void *from, size_t len, size_t room)
{
	u64 __user *word = to;

	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS) || room > 64 || (len | room) % sizeof(u64))
		return write_padded_bytes(to, from, len, room);

	might_fault();
	if (should_fail_usercopy())
		return false;
	scoped_user_write_access_size(word, room, fault) {
		for (size_t i = 0; i < len / sizeof(u64); i++)
			unsafe_put_user(get_unaligned((const u64 *)from + i), &word[i], fault);
		for (size_t i = len / sizeof(u64); i < room / sizeof(u64); i++)
			unsafe_put_user(0ull, &word[i], fault);
	}
	return true;
fault:
	return false;
}

bool fwctl_shim_is_killed(void)
{
	return fatal_signal_pending(current);
}

struct cdev *fwctl_shim_inode_cdev(struct inode *inode)
{
	return inode->i_cdev;
}

void fwctl_shim_comm(char *comm)
{
	strscpy(comm, current->comm, TASK_COMM_LEN);
}

/* The C API, in export.rs */
EXPORT_SYMBOL_NS_GPL(_fwctl_alloc_device, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_register, "FWCTL");
EXPORT_SYMBOL_NS_GPL(fwctl_unregister, "FWCTL");

#ifndef MODULE
/* Rust's module! knows device_initcall() only, which is after the probe of some drivers. */
subsys_initcall(fwctl_early_init);
#endif
