// SPDX-License-Identifier: GPL-2.0-only
/*
 * C helpers for structures and macros of pds_core that Rust has no bindings for.  The Rust side is
 * client.rs.
 *
 * The static assertions compare the declarations, layouts and numbers in the Rust code with the
 * kernel's headers.
 */
#include <linux/atomic.h>
#include <linux/auxiliary_bus.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/device.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/pds/pds_common.h>
#include <linux/pds/pds_core_if.h>
#include <linux/pds/pds_adminq.h>
#include <linux/pds/pds_auxbus.h>
#include <uapi/fwctl/pds.h>

#include "shim.h"

struct pds_fwctl_shim_watch {
	struct notifier_block nb;
	atomic_t resets;
};

struct pds_auxiliary_dev *pds_fwctl_shim_padev(struct auxiliary_device *adev)
{
	return container_of(adev, struct pds_auxiliary_dev, aux_dev);
}

int pds_fwctl_shim_register(struct pds_auxiliary_dev *padev)
{
	struct pdsc *pf = pci_get_drvdata(pci_physfn(padev->vf_pdev));
	int id;

	id = pds_client_register(pf, (char *)dev_name(&padev->aux_dev.dev));
	if (id < 0)
		return id;

	WRITE_ONCE(padev->client_id, id);
	return 0;
}

static int count_reset(struct notifier_block *nb, unsigned long event, void *data)
{
	struct pds_fwctl_shim_watch *watch = container_of(nb, struct pds_fwctl_shim_watch, nb);

	if (event == PDS_EVENT_RESET)
		atomic_inc(&watch->resets);
	return NOTIFY_DONE;
}

struct pds_fwctl_shim_watch *pds_fwctl_shim_watch(void)
{
	struct pds_fwctl_shim_watch *watch = kzalloc_obj(*watch);

	if (!watch)
		return NULL;

	watch->nb.notifier_call = count_reset;
	if (pdsc_register_notify(&watch->nb)) {
		kfree(watch);
		return NULL;
	}
	return watch;
}

u32 pds_fwctl_shim_resets(struct pds_fwctl_shim_watch *watch)
{
	return atomic_read(&watch->resets);
}

void pds_fwctl_shim_unwatch(struct pds_fwctl_shim_watch *watch)
{
	pdsc_unregister_notify(&watch->nb);
	kfree(watch);
}

/* client.rs */
static_assert(__same_type(pds_client_adminq_cmd,
			  int (struct pds_auxiliary_dev *, union pds_core_adminq_cmd *, size_t,
			       union pds_core_adminq_comp *, u64)));
static_assert(sizeof(union pds_core_adminq_comp) == 16);
static_assert(sizeof_field(struct pds_core_client_request_cmd, client_cmd) == 60);

/* wire.rs */
#define ASSERT_FIELD(type, field, offset, size) \
	static_assert(offsetof(type, field) == (offset) && sizeof_field(type, field) == (size))

static_assert(sizeof(struct fwctl_info_pds) == 4);
ASSERT_FIELD(struct fwctl_info_pds, uctx_caps, 0, 4);
static_assert(PDS_FWCTL_QUERY_CAP == 0);
static_assert(PDS_FWCTL_SEND_CAP == 1);
static_assert(PDS_FWCTL_LIST_CAP == 2);

static_assert(PDS_FWCTL_LIST_ENDPOINTS == 1);
static_assert(PDS_FWCTL_LIST_OPERATIONS == 2);
static_assert(sizeof(struct fwctl_pds_list_request) == 16);
ASSERT_FIELD(struct fwctl_pds_list_request, list, 0, 4);
ASSERT_FIELD(struct fwctl_pds_list_request, ep, 4, 4);
static_assert(offsetof(struct fwctl_pds_list, entries) == 8);
ASSERT_FIELD(struct fwctl_pds_list, num_entries, 0, 4);
static_assert(sizeof(struct fwctl_pds_list_entry) == 8);
ASSERT_FIELD(struct fwctl_pds_list_entry, id, 0, 4);
ASSERT_FIELD(struct fwctl_pds_list_entry, attribute, 4, 1);
ASSERT_FIELD(struct fwctl_pds_list_entry, scope, 5, 1);

static_assert(sizeof(struct fwctl_rpc_pds) == 48);
ASSERT_FIELD(struct fwctl_rpc_pds, in.op, 0, 4);
ASSERT_FIELD(struct fwctl_rpc_pds, in.ep, 4, 4);
ASSERT_FIELD(struct fwctl_rpc_pds, in.len, 12, 4);
ASSERT_FIELD(struct fwctl_rpc_pds, in.payload, 16, 8);
ASSERT_FIELD(struct fwctl_rpc_pds, out.retval, 24, 4);
ASSERT_FIELD(struct fwctl_rpc_pds, out.len, 36, 4);
ASSERT_FIELD(struct fwctl_rpc_pds, out.payload, 40, 8);

static_assert(PDS_FWCTL_CMD_IDENT == 70);
static_assert(PDS_FWCTL_CMD_RPC == 71);
static_assert(PDS_FWCTL_CMD_QUERY == 72);

static_assert(sizeof(struct pds_fwctl_ident_cmd) == 16);
ASSERT_FIELD(struct pds_fwctl_ident_cmd, version, 2, 1);
ASSERT_FIELD(struct pds_fwctl_ident_cmd, len, 4, 4);
ASSERT_FIELD(struct pds_fwctl_ident_cmd, ident_pa, 8, 8);
static_assert(sizeof(struct pds_fwctl_ident) == 22);
ASSERT_FIELD(struct pds_fwctl_ident, max_req_sz, 12, 4);
ASSERT_FIELD(struct pds_fwctl_ident, max_resp_sz, 16, 4);

static_assert(PDS_FWCTL_RPC_ROOT == 0);
static_assert(PDS_FWCTL_RPC_ENDPOINT == 1);
static_assert(sizeof(struct pds_fwctl_query_cmd) == 20);
ASSERT_FIELD(struct pds_fwctl_query_cmd, entity, 1, 1);
ASSERT_FIELD(struct pds_fwctl_query_cmd, query_data_buf_len, 4, 4);
ASSERT_FIELD(struct pds_fwctl_query_cmd, query_data_buf_pa, 8, 8);
ASSERT_FIELD(struct pds_fwctl_query_cmd, ep, 16, 4);
static_assert(offsetof(struct pds_fwctl_query_data, entries) == 8);
ASSERT_FIELD(struct pds_fwctl_query_data, num_entries, 4, 4);
static_assert(sizeof(struct pds_fwctl_query_data_endpoint) == 4);
static_assert(sizeof(struct pds_fwctl_query_data_operation) == 8);
ASSERT_FIELD(struct pds_fwctl_query_data_operation, scope, 4, 1);

static_assert(PDS_FWCTL_RPC_IND_REQ == 1);
static_assert(PDS_FWCTL_RPC_IND_RESP == 2);
static_assert(sizeof(struct pds_fwctl_rpc_cmd) == 60);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, flags, 2, 2);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, ep, 4, 4);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, op, 8, 4);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, req_pa, 28, 8);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, req_sz, 36, 4);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, resp_pa, 44, 8);
ASSERT_FIELD(struct pds_fwctl_rpc_cmd, resp_sz, 52, 4);
static_assert(sizeof(struct pds_fwctl_rpc_comp) == 16);
ASSERT_FIELD(struct pds_fwctl_rpc_comp, status, 0, 1);
ASSERT_FIELD(struct pds_fwctl_rpc_comp, err, 4, 4);

/* policy.rs */
static_assert(PDSFC_FW_CMD_ATTR_READ == 0x00);
static_assert(PDSFC_FW_CMD_ATTR_DEBUG_READ == 0x02);
static_assert(PDSFC_FW_CMD_ATTR_WRITE == 0x04);
static_assert(PDSFC_FW_CMD_ATTR_DEBUG_WRITE == 0x08);
static_assert(PDSFC_FW_CMD_ATTR_SYNC == 0x10);
static_assert(PDS_FWCTL_RPC_OPCODE_CMD_MASK == 0xffff);
static_assert(PDS_FWCTL_RPC_OPCODE_VER_MASK == 0xff0000);
