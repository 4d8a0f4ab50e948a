// SPDX-License-Identifier: GPL-2.0-only
/* A platform device whose driver has an auxiliary device, holes_parent.child.0, by devres. */

#include <linux/auxiliary_bus.h>
#include <linux/module.h>
#include <linux/platform_device.h>

static int holes_probe(struct platform_device *pdev)
{
	struct auxiliary_device *child;

	child = devm_auxiliary_device_create(&pdev->dev, "child", NULL);
	return child ? 0 : -ENOMEM;
}

static struct platform_driver holes_driver = {
	.probe = holes_probe,
	.driver.name = KBUILD_MODNAME,
};

static struct platform_device *holes_device;

static int __init holes_init(void)
{
	int error = platform_driver_register(&holes_driver);

	if (error)
		return error;

	holes_device = platform_device_register_simple(KBUILD_MODNAME, 0, NULL, 0);
	if (IS_ERR(holes_device)) {
		platform_driver_unregister(&holes_driver);
		return PTR_ERR(holes_device);
	}
	return 0;
}
module_init(holes_init);

static void __exit holes_exit(void)
{
	platform_device_unregister(holes_device);
	platform_driver_unregister(&holes_driver);
}
module_exit(holes_exit);

MODULE_DESCRIPTION("Parent of the devices that show holes of the kernel crate");
MODULE_LICENSE("GPL");
