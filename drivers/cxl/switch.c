// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver for the mailbox of a CXL switch.
 *
 * A switch may have a PCI function that contains a mailbox, its Component Command Interface, CXL
 * r3.2 sections 7.2.9 and 8.2.9.  The kernel has no use for its commands: the ports of the switch
 * have other drivers.  This driver prepares the mailbox, reads which commands it has, and leaves it
 * to cxl_fwctl, which passes those of user space that its policy allows.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <cxl/cxl.h>
#include <cxl/mailbox.h>
#include <cxl/pci.h>
#include "cxlmem.h"
#include "cxl.h"

/* PCI class of a switch mailbox; nothing else in the kernel uses it */
#define CXL_SWITCH_CLASS	0x0c0b00

struct cxl_switch {
	struct cxl_dev_state cxlds;
};

static int cxl_switch_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct cxl_register_map map;
	struct cxl_dev_state *cxlds;
	struct cxl_switch *cxlsw;
	int rc;

	rc = pcim_enable_device(pdev);
	if (rc)
		return rc;

	cxlsw = devm_cxl_dev_state_create(dev, CXL_DEVTYPE_SWITCH, pci_get_dsn(pdev), 0,
					  struct cxl_switch, cxlds, true);
	if (!cxlsw)
		return -ENOMEM;
	cxlds = &cxlsw->cxlds;
	/* Where cxl_core looks for the registers of a mailbox */
	pci_set_drvdata(pdev, cxlds);

	/* The layout is that of a memory device, without the memory */
	rc = cxl_pci_setup_regs(pdev, CXL_REGLOC_RBI_MEMDEV, &map);
	if (rc)
		return rc;

	rc = cxl_map_device_regs(&map, &cxlds->regs);
	if (rc)
		return rc;

	rc = cxl_mailbox_init(&cxlds->cxl_mbox, dev);
	if (rc)
		return rc;

	rc = cxl_pci_mbox_setup(cxlds);
	if (rc)
		return rc;

	rc = cxl_enumerate_effects(&cxlds->cxl_mbox);
	if (rc)
		return dev_err_probe(dev, rc, "cannot read the Command Effects Log\n");

	return devm_cxl_setup_switch_fwctl(pdev, &cxlds->cxl_mbox);
}

static const struct pci_device_id cxl_switch_pci_tbl[] = {
	{ PCI_DEVICE_CLASS(CXL_SWITCH_CLASS, ~0) },
	{ /* terminate list */ },
};
MODULE_DEVICE_TABLE(pci, cxl_switch_pci_tbl);

static struct pci_driver cxl_switch_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= cxl_switch_pci_tbl,
	.probe		= cxl_switch_probe,
	.driver	= {
		.probe_type	= PROBE_PREFER_ASYNCHRONOUS,
	},
};

module_pci_driver(cxl_switch_driver);
MODULE_DESCRIPTION("CXL: Mailbox of a switch");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("CXL");
