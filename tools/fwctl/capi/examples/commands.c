/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands of a CXL memory device, with the least scope of each; and the output of one of them, if it
 * needs no scope that taints the kernel.
 *
 *	cc commands.c $(pkg-config --cflags --libs fwctl) -o commands
 *	./commands mem0 [OPCODE]
 *	./commands -r RECORDING [OPCODE]	answers from a file, as the test does
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <fwctl.h>

static const char *const scopes[] = { "configuration", "debug-read-only", "debug-write",
				      "debug-write-full" };

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, fwctl_error());
	if (fwctl_error_remedy())
		fprintf(stderr, "  remedy: %s\n", fwctl_error_remedy());
	return 1;
}

static int open_recording(const char *path, struct fwctl_device **dev)
{
	static char text[65536];
	size_t len;
	FILE *file = fopen(path, "r");

	if (!file)
		return -errno;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	return fwctl_open_recording(text, dev);
}

static void print(const struct fwctl_cxl_command *command)
{
	printf("%#06x  %04x  ", command->opcode, command->effects);
	if (command->scope < sizeof(scopes) / sizeof(scopes[0]))
		printf("%s%s", scopes[command->scope], command->by_feature || command->by_payload ? " or more" : "");
	else
		printf("never (%s)", command->refused ? command->refused : "-");
	printf("%s%s\n", command->name ? "  " : "", command->name ? command->name : "");
}

static int send(struct fwctl_device *dev, const struct fwctl_cxl_command *command)
{
	unsigned char output[256];
	struct fwctl_status status = { 0 };
	size_t len, i;
	int ret;

	if (command->scope > FWCTL_SCOPE_DEBUG_READ_ONLY) {
		printf("not sent\n");
		return 2;
	}
	ret = fwctl_cxl_send(dev, command->scope, command->opcode, NULL, 0, output, sizeof(output), 5000,
			     &len, &status);
	if (ret == -EREMOTEIO) {
		printf("the device refused: %#x (%s)\n", status.code, status.name);
		return 3;
	}
	if (ret)
		return failed(fwctl_name(dev));
	printf("%zu bytes:", len);
	for (i = 0; i < len && i < sizeof(output); i++)
		printf(" %02x", output[i]);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	int first = argc > 2 && argv[1][0] == '-' ? 2 : 1;
	const struct fwctl_cxl_command *command;
	struct fwctl_cxl_commands *list;
	struct fwctl_device *dev;
	unsigned long opcode;
	size_t i;
	int ret = 0;

	if (argc <= first) {
		fprintf(stderr, "usage: %s DEVICE | -r RECORDING [OPCODE]\n", argv[0]);
		return 2;
	}
	if (first == 2 ? open_recording(argv[2], &dev) : fwctl_open(argv[1], &dev))
		return failed(argv[first]);
	if (fwctl_cxl_list(dev, &list))
		return failed(fwctl_name(dev));
	for (i = 0; i < fwctl_cxl_list_len(list); i++)
		print(fwctl_cxl_list_get(list, i));
	if (argc > first + 1) {
		opcode = strtoul(argv[first + 1], NULL, 0);
		ret = 1;
		for (i = 0; (command = fwctl_cxl_list_get(list, i)); i++)
			if (command->opcode == opcode)
				ret = send(dev, command);
	}
	fwctl_cxl_list_free(list);
	fwctl_close(dev);
	return ret;
}
