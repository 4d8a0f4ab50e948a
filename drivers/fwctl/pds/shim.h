/* SPDX-License-Identifier: GPL-2.0-only */
/* C helpers for client.rs, which documents them. */
#ifndef _PDS_FWCTL_SHIM_H
#define _PDS_FWCTL_SHIM_H

#include <linux/types.h>

struct auxiliary_device;
struct pds_auxiliary_dev;
struct pds_fwctl_shim_watch;

struct pds_auxiliary_dev *pds_fwctl_shim_padev(struct auxiliary_device *adev);
int pds_fwctl_shim_register(struct pds_auxiliary_dev *padev);
struct pds_fwctl_shim_watch *pds_fwctl_shim_watch(void);
u32 pds_fwctl_shim_resets(struct pds_fwctl_shim_watch *watch);
void pds_fwctl_shim_unwatch(struct pds_fwctl_shim_watch *watch);

#endif
