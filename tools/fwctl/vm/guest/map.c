// SPDX-License-Identifier: MIT OR Apache-2.0
/* map FILE: maps the first page of a file, as drivers in user space do with a device's memory, and prints its first word. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	volatile uint32_t *page;
	int fd;

	fd = argc == 2 ? open(argv[1], O_RDWR | O_SYNC) : -1;
	if (fd < 0) {
		perror("map: open");
		return 1;
	}
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		perror("map: mmap");
		return 1;
	}
	printf("0x%08x\n", ntohl(*page));
	return 0;
}
