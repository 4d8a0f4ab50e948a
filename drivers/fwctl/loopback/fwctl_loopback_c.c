// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loopback devices for the fwctl selftests, on the C API of the core.  fwctl_loopback.rs is the
 * same in Rust.
 *
 * There is no hardware.  The module registers auxiliary devices below a faux device, and a driver
 * for them.  Each request tells the driver how to handle it, see loopback.h.  To unbind a device:
 *
 *	echo fwctl_loopback_c.loop.0 > /sys/bus/auxiliary/drivers/fwctl_loopback_c.loop/unbind
 */
#include <linux/atomic.h>
#include <linux/auxiliary_bus.h>
#include <linux/delay.h>
#include <linux/device/faux.h>
#include <linux/err.h>
#include <linux/fwctl.h>
#include <linux/fwctl_memory.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "loopback.h"

#define MAX_DEVICES 64

static unsigned int devices = 2;
module_param(devices, uint, 0444);
MODULE_PARM_DESC(devices, "Number of devices, up to 64 (default 2)");

/* The bus.  Real devices come from the driver of the hardware instead. */

static struct faux_device *bus;
static struct auxiliary_device *bus_devices[MAX_DEVICES];

static void bus_clear(void)
{
	for (unsigned int i = devices; i--;) {
		if (bus_devices[i])
			auxiliary_device_destroy(bus_devices[i]);
	}
	faux_device_destroy(bus);
}

static int bus_fill(void)
{
	bus = faux_device_create(KBUILD_MODNAME, NULL, NULL);
	if (!bus)
		return -ENODEV;

	for (unsigned int i = 0; i < devices; i++) {
		bus_devices[i] =
			auxiliary_device_create(&bus->dev, KBUILD_MODNAME, "loop", NULL, i);
		if (!bus_devices[i]) {
			bus_clear();
			return -ENODEV;
		}
	}
	return 0;
}

/* The driver. */

/* Per-device data, allocated by the core, whose part comes first. */
struct loopback {
	struct fwctl_device fwctl;
	atomic_t open_uctx;
	atomic_t last_uid;
	atomic_t last_umem;
};

/* Per-open-file data, allocated by the core, whose part comes first. */
struct loopback_uctx {
	struct fwctl_uctx uctx;
	u32 uid;
	/* enum fwctl_loopback_memory_mode */
	u32 memory_mode;
};

static struct loopback *to_loopback(struct fwctl_uctx *uctx)
{
	return container_of(uctx->fwctl, struct loopback, fwctl);
}

static struct loopback_uctx *to_loopback_uctx(struct fwctl_uctx *uctx)
{
	return container_of(uctx, struct loopback_uctx, uctx);
}

static int loopback_open_uctx(struct fwctl_uctx *uctx)
{
	struct loopback *loopback = to_loopback(uctx);

	to_loopback_uctx(uctx)->uid = atomic_inc_return(&loopback->last_uid);
	atomic_inc(&loopback->open_uctx);
	return 0;
}

/* Called once for each open context: when its file is closed or the device unregistered. */
static void loopback_close_uctx(struct fwctl_uctx *uctx)
{
	atomic_dec(&to_loopback(uctx)->open_uctx);
}

static void *loopback_info(struct fwctl_uctx *uctx, size_t *length)
{
	struct fwctl_info_loopback *info = kzalloc_obj(*info);

	if (!info)
		return ERR_PTR(-ENOMEM);

	info->uid = to_loopback_uctx(uctx)->uid;
	info->magic = FWCTL_LOOPBACK_MAGIC;
	*length = sizeof(*info);
	return info;
}

static void *loopback_copy(const void *rpc_in, size_t in_len, size_t *out_len)
{
	void *reply = kvmalloc(in_len, GFP_KERNEL_ACCOUNT);

	if (!reply)
		return ERR_PTR(-ENOMEM);

	memcpy(reply, rpc_in, in_len);
	*out_len = in_len;
	return reply;
}

static void *loopback_fill(size_t len, size_t *out_len)
{
	u8 *reply;

	if (len > FWCTL_LOOPBACK_MAX_FILL)
		return ERR_PTR(-EINVAL);

	reply = kvmalloc(len, GFP_KERNEL_ACCOUNT);
	if (!reply)
		return ERR_PTR(-ENOMEM);

	for (size_t i = 0; i < len; i++)
		reply[i] = i % 251;
	*out_len = len;
	return reply;
}

static void *loopback_zeros(size_t len, size_t *out_len)
{
	void *reply;

	if (len > FWCTL_LOOPBACK_MAX_FILL)
		return ERR_PTR(-EINVAL);

	reply = kvzalloc(len, GFP_KERNEL_ACCOUNT);
	if (!reply)
		return ERR_PTR(-ENOMEM);

	*out_len = len;
	return reply;
}

static void *loopback_state(struct fwctl_uctx *uctx, enum fwctl_rpc_scope scope, void *rpc_in,
			    size_t *out_len)
{
	struct fwctl_loopback_state *state = rpc_in;

	static_assert(sizeof(*state) <= sizeof(struct fwctl_loopback_cmd));

	state->open_uctx = atomic_read(&to_loopback(uctx)->open_uctx);
	state->scope = scope;
	state->out_len = *out_len;
	state->uid = to_loopback_uctx(uctx)->uid;
	*out_len = sizeof(*state);
	return rpc_in;
}

#ifdef CONFIG_FWCTL_RUST
/* Registered memory.  The driver itself accesses it, since there is no device that could. */

static int loopback_add_memory(struct fwctl_uctx *uctx, struct fwctl_memory *memory, u64 flags,
			       struct fwctl_memory_ids *ids)
{
	struct loopback_uctx *lb_uctx = to_loopback_uctx(uctx);
	dma_addr_t address;

	/* What a driver of hardware writes to its command. */
	if (fwctl_memory_addresses(memory, &address, 1) || !fwctl_memory_page_count(memory))
		return -EINVAL;

	switch (READ_ONCE(lb_uctx->memory_mode)) {
	case FWCTL_LOOPBACK_MEMORY_REFUSED:
		fwctl_memory_retract(memory);
		return -EIO;
	case FWCTL_LOOPBACK_MEMORY_UNANSWERED:
		return -EIO;
	}
	ids->umem_id = atomic_inc_return(&to_loopback(uctx)->last_umem);
	if (flags & FWCTL_UMEM_FLAG_MKEY)
		ids->mkey_id = ids->umem_id << 8;
	ids->priv = lb_uctx->uid;
	return 0;
}

static int loopback_remove_memory(struct fwctl_uctx *uctx, const struct fwctl_memory_ids *ids)
{
	struct loopback_uctx *lb_uctx = to_loopback_uctx(uctx);

	if (ids->priv != lb_uctx->uid ||
	    READ_ONCE(lb_uctx->memory_mode) == FWCTL_LOOPBACK_MEMORY_KEPT)
		return -EIO;
	return 0;
}

static const struct fwctl_memory_ops loopback_memory_ops = {
	.flags = FWCTL_UMEM_FLAG_MKEY | FWCTL_UMEM_FLAG_MCDD,
	.without_dma = true,
	.add = loopback_add_memory,
	.remove = loopback_remove_memory,
};

static int loopback_memory_fill(const struct fwctl_memory_ref *memory, u64 offset, u32 len,
				u8 value)
{
	u8 part[64];
	int ret = 0;

	memset(part, value, sizeof(part));
	for (u32 done = 0; !ret && done < len; done += sizeof(part))
		ret = fwctl_memory_write(memory, offset + done, part,
					 min(len - done, (u32)sizeof(part)));
	return ret;
}

static void *loopback_memory_read(const struct fwctl_memory_ref *memory, u64 offset, u32 len,
				  u32 ms, size_t *out_len)
{
	u8 *reply = kvmalloc(len, GFP_KERNEL_ACCOUNT);
	int ret;

	if (!reply)
		return ERR_PTR(-ENOMEM);
	if (ms)
		msleep(ms);
	ret = fwctl_memory_read(memory, offset, reply, len);
	if (ret) {
		kvfree(reply);
		return ERR_PTR(ret);
	}
	*out_len = len;
	return reply;
}

static void *loopback_memory(struct fwctl_uctx *uctx, void *rpc_in, size_t in_len, size_t *out_len)
{
	const struct fwctl_loopback_memory *cmd = rpc_in;
	struct fwctl_memory_ref *memory;
	void *reply = rpc_in;
	int ret = 0;
	u64 end;

	if (cmd->cmd.op == FWCTL_LOOPBACK_MEMORY_MODE) {
		if (cmd->cmd.arg > FWCTL_LOOPBACK_MEMORY_KEPT)
			return ERR_PTR(-EINVAL);
		WRITE_ONCE(to_loopback_uctx(uctx)->memory_mode, cmd->cmd.arg);
		*out_len = in_len;
		return rpc_in;
	}
	if (in_len < sizeof(*cmd) || cmd->len > FWCTL_LOOPBACK_MAX_FILL ||
	    check_add_overflow(cmd->offset, cmd->len, &end))
		return ERR_PTR(-EINVAL);

	memory = fwctl_memory_get(uctx, cmd->umem_id);
	if (IS_ERR(memory))
		return ERR_CAST(memory);
	if (cmd->cmd.op == FWCTL_LOOPBACK_MEMORY_FILL && cmd->cmd.arg <= U8_MAX) {
		ret = loopback_memory_fill(memory, cmd->offset, cmd->len, cmd->cmd.arg);
		*out_len = in_len;
	} else if (cmd->cmd.op == FWCTL_LOOPBACK_MEMORY_READ &&
		   cmd->cmd.arg <= FWCTL_LOOPBACK_MAX_SLEEP_MS) {
		reply = loopback_memory_read(memory, cmd->offset, cmd->len, cmd->cmd.arg, out_len);
	} else {
		ret = -EINVAL;
	}
	fwctl_memory_put(memory);
	return ret ? ERR_PTR(ret) : reply;
}
#else
static const struct fwctl_memory_ops loopback_memory_ops;

static void *loopback_memory(struct fwctl_uctx *uctx, void *rpc_in, size_t in_len, size_t *out_len)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

/*
 * On entry *out_len is the size of the user's buffer, on return the length of the reply.  The core
 * cuts a longer reply to the buffer and reports its full length.
 */
static void *loopback_fw_rpc(struct fwctl_uctx *uctx, enum fwctl_rpc_scope scope, void *rpc_in,
			     size_t in_len, size_t *out_len)
{
	const struct fwctl_loopback_cmd *cmd = rpc_in;

	if (in_len < sizeof(*cmd) || cmd->magic != FWCTL_LOOPBACK_MAGIC) {
		*out_len = in_len;
		return rpc_in;
	}
	if (cmd->reserved)
		return ERR_PTR(-EINVAL);

	switch (cmd->op) {
	case FWCTL_LOOPBACK_SLEEP:
		if (cmd->arg > FWCTL_LOOPBACK_MAX_SLEEP_MS)
			return ERR_PTR(-EINVAL);
		msleep(cmd->arg);
		fallthrough;
	case FWCTL_LOOPBACK_ECHO:
		*out_len = in_len;
		return rpc_in;
	case FWCTL_LOOPBACK_COPY:
		return loopback_copy(rpc_in, in_len, out_len);
	case FWCTL_LOOPBACK_ERRNO:
		if (!cmd->arg || cmd->arg > MAX_ERRNO)
			return ERR_PTR(-EINVAL);
		return ERR_PTR(-(long)cmd->arg);
	case FWCTL_LOOPBACK_IN_PLACE:
		/* Deliberately not limited to in_len: the core has to refuse that. */
		*out_len = cmd->arg;
		return rpc_in;
	case FWCTL_LOOPBACK_FILL:
		return loopback_fill(cmd->arg, out_len);
	case FWCTL_LOOPBACK_STATE:
		return loopback_state(uctx, scope, rpc_in, out_len);
	case FWCTL_LOOPBACK_ZEROS:
		return loopback_zeros(cmd->arg, out_len);
	case FWCTL_LOOPBACK_MEMORY_FILL:
	case FWCTL_LOOPBACK_MEMORY_READ:
	case FWCTL_LOOPBACK_MEMORY_MODE:
		return loopback_memory(uctx, rpc_in, in_len, out_len);
	default:
		return ERR_PTR(-EOPNOTSUPP);
	}
}

static const struct fwctl_ops loopback_ops = {
	.device_type = FWCTL_DEVICE_TYPE_LOOPBACK,
	.uctx_size = sizeof(struct loopback_uctx),
	.open_uctx = loopback_open_uctx,
	.close_uctx = loopback_close_uctx,
	.info = loopback_info,
	.fw_rpc = loopback_fw_rpc,
};

static int loopback_probe(struct auxiliary_device *adev, const struct auxiliary_device_id *id)
{
	struct loopback *loopback;
	int ret;

	loopback = fwctl_alloc_device(&adev->dev, &loopback_ops, struct loopback, fwctl);
	if (!loopback)
		return -ENOMEM;

	/* The core in C has no registered memory. */
	ret = fwctl_offer_memory(&loopback->fwctl, &adev->dev, &loopback_memory_ops);
	if (ret && ret != -EOPNOTSUPP) {
		fwctl_put(&loopback->fwctl);
		return ret;
	}

	/* The operations can be called from here on. */
	ret = fwctl_register(&loopback->fwctl);
	if (ret) {
		fwctl_put(&loopback->fwctl);
		return ret;
	}

	auxiliary_set_drvdata(adev, loopback);
	return 0;
}

/* Files can stay open after this, but do not call the driver any more. */
static void loopback_remove(struct auxiliary_device *adev)
{
	struct loopback *loopback = auxiliary_get_drvdata(adev);

	fwctl_unregister(&loopback->fwctl);
	fwctl_put(&loopback->fwctl);
}

static const struct auxiliary_device_id loopback_id_table[] = {
	{ .name = KBUILD_MODNAME ".loop" },
	{}
};
MODULE_DEVICE_TABLE(auxiliary, loopback_id_table);

static struct auxiliary_driver loopback_driver = {
	.name = "loop",
	.probe = loopback_probe,
	.remove = loopback_remove,
	.id_table = loopback_id_table,
};

static int __init loopback_init(void)
{
	int ret;

	if (devices > MAX_DEVICES)
		return -EINVAL;

	ret = auxiliary_driver_register(&loopback_driver);
	if (ret)
		return ret;

	ret = bus_fill();
	if (ret)
		auxiliary_driver_unregister(&loopback_driver);
	return ret;
}

static void __exit loopback_exit(void)
{
	bus_clear();
	auxiliary_driver_unregister(&loopback_driver);
}

module_init(loopback_init);
module_exit(loopback_exit);

MODULE_DESCRIPTION("fwctl loopback test device in C");
MODULE_AUTHOR("fwctl in Rust developers");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("FWCTL");
