// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test driver that leaves to the core what it can, and has bugs on request.
 *
 * info() does not set the length of its result, structures have cacheline-aligned members, and the
 * last reference to the device is put with a spinlock held.  The bugs, which KASAN and lockdep
 * have to report, are an RPC that reads beyond its request, and with the parameter "deadlock" a
 * mutex that is taken by RPCs and held across fwctl_unregister().
 */
#include <linux/cache.h>
#include <linux/device/faux.h>
#include <linux/err.h>
#include <linux/fwctl.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "careless.h"

static bool deadlock;
module_param(deadlock, bool, 0444);
MODULE_PARM_DESC(deadlock, "Hold a mutex that RPCs take while unregistering (default no)");

static struct faux_device *faux;
static DEFINE_MUTEX(mutex);
static DEFINE_SPINLOCK(spinlock);

struct careless {
	struct fwctl_device fwctl;
	u8 byte;
	u8 line[8] ____cacheline_aligned;
};

struct careless_uctx {
	struct fwctl_uctx uctx;
	u8 byte;
	u8 line[8] ____cacheline_aligned;
};

static struct fwctl_careless_state state;

static void check_alignment(const void *line)
{
	if (!IS_ALIGNED((unsigned long)line, SMP_CACHE_BYTES))
		state.misaligned++;
}

static int careless_open_uctx(struct fwctl_uctx *uctx)
{
	check_alignment(container_of(uctx, struct careless_uctx, uctx)->line);
	return 0;
}

static void careless_close_uctx(struct fwctl_uctx *uctx)
{
}

/* The core must not copy these bytes: *length stays 0. */
static void *careless_info(struct fwctl_uctx *uctx, size_t *length)
{
	u8 *bytes = kmalloc(8, GFP_KERNEL);

	if (!bytes)
		return ERR_PTR(-ENOMEM);

	memset(bytes, 0xa5, 8);
	state.info_calls++;
	state.info_length = max_t(u32, state.info_length, *length);
	return bytes;
}

/* Reads one byte out of bounds. */
static noinline u8 overread(const u8 *bytes, size_t len)
{
	return READ_ONCE(bytes[len]);
}

static void *careless_fw_rpc(struct fwctl_uctx *uctx, enum fwctl_rpc_scope scope, void *rpc_in,
			     size_t in_len, size_t *out_len)
{
	void *reply;

	if (in_len < sizeof(u32))
		return ERR_PTR(-EINVAL);

	if (deadlock) {
		mutex_lock(&mutex);
		mutex_unlock(&mutex);
	}

	switch (*(u32 *)rpc_in) {
	case FWCTL_CARELESS_STATE:
		reply = kmemdup(&state, sizeof(state), GFP_KERNEL);
		if (!reply)
			return ERR_PTR(-ENOMEM);
		*out_len = sizeof(state);
		return reply;
	case FWCTL_CARELESS_OVERREAD:
		overread(rpc_in, in_len);
		*out_len = 0;
		return rpc_in;
	default:
		return ERR_PTR(-EOPNOTSUPP);
	}
}

static const struct fwctl_ops careless_ops = {
	.device_type = FWCTL_DEVICE_TYPE_ERROR,
	.uctx_size = sizeof(struct careless_uctx),
	.open_uctx = careless_open_uctx,
	.close_uctx = careless_close_uctx,
	.info = careless_info,
	.fw_rpc = careless_fw_rpc,
};

static int careless_probe(struct faux_device *fdev)
{
	struct careless *careless;
	int ret;

	careless = fwctl_alloc_device(&fdev->dev, &careless_ops, struct careless, fwctl);
	if (!careless)
		return -ENOMEM;

	check_alignment(careless->line);
	ret = fwctl_register(&careless->fwctl);
	if (ret) {
		fwctl_put(&careless->fwctl);
		return ret;
	}
	faux_device_set_drvdata(fdev, careless);
	return 0;
}

static void careless_remove(struct faux_device *fdev)
{
	struct careless *careless = faux_device_get_drvdata(fdev);

	if (deadlock)
		mutex_lock(&mutex);
	fwctl_unregister(&careless->fwctl);
	if (deadlock)
		mutex_unlock(&mutex);

	spin_lock(&spinlock);
	fwctl_put(&careless->fwctl);
	spin_unlock(&spinlock);
}

static const struct faux_device_ops careless_faux_ops = {
	.probe = careless_probe,
	.remove = careless_remove,
};

static int __init careless_init(void)
{
	faux = faux_device_create(KBUILD_MODNAME, NULL, &careless_faux_ops);
	return faux ? 0 : -ENODEV;
}
module_init(careless_init);

static void __exit careless_exit(void)
{
	faux_device_destroy(faux);
}
module_exit(careless_exit);

MODULE_DESCRIPTION("fwctl test driver with the bugs of a careless driver");
MODULE_AUTHOR("fwctl in Rust developers");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("FWCTL");
