/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The catalogue of a device, or everything in it that the device says about itself, as a document for
 * "fwctl diff".
 *
 *	cc snapshot.c $(pkg-config --cflags --libs fwctl) -o snapshot
 *	./snapshot mem0 >before.json
 *	./snapshot -l mem0			lists what would be read
 */
#include <stdio.h>
#include <string.h>

#include <fwctl.h>

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, fwctl_error());
	if (fwctl_error_remedy())
		fprintf(stderr, "  remedy: %s\n", fwctl_error_remedy());
	return 1;
}

static int list(const struct fwctl_device *dev)
{
	const struct fwctl_item *item;
	struct fwctl_items *items;
	uint32_t type;
	size_t i;

	if (fwctl_type(dev, &type) || fwctl_catalogue(type, &items))
		return failed(fwctl_name(dev));
	for (i = 0; (item = fwctl_catalogue_get(items, i)); i++)
		printf("%s/%s%s%s: %s\n", item->kind, item->name, item->select ? "/" : "",
		       item->select ? item->select : "", item->about);
	fwctl_catalogue_free(items);
	return 0;
}

int main(int argc, char **argv)
{
	int is_list = argc == 3 && strcmp(argv[1], "-l") == 0;
	struct fwctl_device *dev;
	char *json;
	int ret;

	if (argc != 2 + is_list) {
		fprintf(stderr, "usage: %s [-l] DEVICE\n", argv[0]);
		return 2;
	}
	if (fwctl_open(argv[argc - 1], &dev))
		return failed(argv[argc - 1]);
	if (is_list) {
		ret = list(dev);
	} else {
		/* What was read before an error is in the document, too. */
		ret = fwctl_snapshot(dev, 60000, &json) ? failed(fwctl_name(dev)) : 0;
		if (json)
			fputs(json, stdout);
		fwctl_snapshot_free(json);
	}
	fwctl_close(dev);
	return ret;
}
