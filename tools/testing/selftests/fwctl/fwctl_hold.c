// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds a device open while a command runs.
 *
 * usage: fwctl_hold NODE ok|ERRNO COMMAND...
 *
 * Opens NODE, checks that FWCTL_INFO succeeds, and runs COMMAND.  After that FWCTL_INFO on the
 * open file must succeed or fail with ERRNO, given by name.  Exits with the status of COMMAND, or
 * with 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fwctl/fwctl.h>

/* Returns the name of the errno of FWCTL_INFO, or "ok". */
static const char *info(int fd)
{
	struct fwctl_info cmd = { .size = sizeof(cmd) };
	const char *name;

	if (!ioctl(fd, FWCTL_INFO, &cmd))
		return "ok";
	name = strerrorname_np(errno);
	return name ? name : "an unknown error";
}

int main(int argc, char **argv)
{
	const char *before, *after;
	int fd, status;
	pid_t pid;

	if (argc < 4)
		return 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	before = info(fd);
	if (strcmp(before, "ok")) {
		fprintf(stderr, "%s: FWCTL_INFO: %s\n", argv[1], before);
		return 1;
	}

	pid = fork();
	if (!pid) {
		execv(argv[3], argv + 3);
		perror(argv[3]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror(argv[3]);
		return 1;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;

	after = info(fd);
	fprintf(stderr, "# %s, held open: FWCTL_INFO: %s\n", argv[1], after);
	if (strcmp(after, argv[2])) {
		fprintf(stderr, "%s: not %s\n", argv[1], argv[2]);
		return 1;
	}
	return 0;
}
