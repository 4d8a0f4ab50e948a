// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Prints, for each CXL memory device that libcxl knows, the number of the
 * fwctl device that it finds there. The cxl tool itself has no command that
 * does. Declared here is what of the library's interface this uses.
 */
#include <stdio.h>

struct cxl_ctx;
struct cxl_memdev;
struct cxl_fwctl;

int cxl_new(struct cxl_ctx **ctx);
struct cxl_ctx *cxl_unref(struct cxl_ctx *ctx);
struct cxl_memdev *cxl_memdev_get_first(struct cxl_ctx *ctx);
struct cxl_memdev *cxl_memdev_get_next(struct cxl_memdev *memdev);
const char *cxl_memdev_get_devname(struct cxl_memdev *memdev);
struct cxl_fwctl *cxl_memdev_get_fwctl(struct cxl_memdev *memdev);
int cxl_fwctl_get_major(struct cxl_fwctl *fwctl);
int cxl_fwctl_get_minor(struct cxl_fwctl *fwctl);

int main(void)
{
	struct cxl_memdev *memdev;
	struct cxl_fwctl *fwctl;
	struct cxl_ctx *ctx;

	if (cxl_new(&ctx)) {
		fprintf(stderr, "libcxl does not start\n");
		return 1;
	}
	for (memdev = cxl_memdev_get_first(ctx); memdev; memdev = cxl_memdev_get_next(memdev)) {
		printf("%s ", cxl_memdev_get_devname(memdev));
		fwctl = cxl_memdev_get_fwctl(memdev);
		if (fwctl)
			printf("%d:%d\n", cxl_fwctl_get_major(fwctl), cxl_fwctl_get_minor(fwctl));
		else
			printf("none\n");
	}
	cxl_unref(ctx);
	return 0;
}
