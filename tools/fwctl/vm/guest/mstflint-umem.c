// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Makes the calls of mstflint's firmware update by DMA, which is disabled in
 * mstflint because Linux 7.3 has no such ioctls: registers three pages, burns
 * a component through them, and reads it back.
 *
 * usage: mstflint-umem NODE register|burn
 *
 * The order of the calls, their structures, scopes, lengths and intervals are
 * those of mstflint. Exit status: 0 done, 1 failed, 4 the kernel or the driver
 * cannot register memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Layouts and numbers, as mstflint declares them. */
struct rpc {
	uint32_t size;
	uint32_t scope;
	uint32_t in_len;
	uint32_t out_len;
	uint64_t in __attribute__((aligned(8)));
	uint64_t out __attribute__((aligned(8)));
};

struct umem_reg {
	uint32_t size;
	uint64_t flags __attribute__((aligned(8)));
	uint64_t addr __attribute__((aligned(8)));
	uint64_t len __attribute__((aligned(8)));
	uint32_t umem_id;
	uint32_t mkey_id;
	uint32_t rsc_id;
};

struct rsc_destroy {
	uint32_t size;
	uint64_t flags __attribute__((aligned(8)));
	uint32_t type;
	uint32_t rsc_id;
};

_Static_assert(sizeof(struct umem_reg) == 48, "UMEM_REG");
_Static_assert(sizeof(struct rsc_destroy) == 24, "RSC_DESTROY");

#define FWCTL_RPC _IO(0x9a, 1)
#define FWCTL_RSC_DESTROY _IO(0x9a, 2)
#define FWCTL_RSC_UMEM_REG _IO(0x9a, 3)

#define FLAG_MKEY 1
#define FLAG_MCDD 2

/* Reads are sent in scope debug-read-only, writes in debug-write-full. */
#define SCOPE_READ 1
#define SCOPE_WRITE 3

#define HEADER 16

#define MCC 0x9062
#define MCC_LEN 32
#define MCDD 0x905c
#define MCDD_LEN 32
/* The descriptor in the mailbox page: the register, and the status. */
#define DESCRIPTOR_LEN 36
#define STATUS 32

enum { UNKNOWN, BUSY, OK, ERROR };
enum { FIRST_PAGE, SECOND_PAGE, MAILBOX_PAGE, PAGES };
enum { LOCK = 1, RELEASE, UPDATE, VERIFY, ACTIVATE = 6, READ };
enum { STATE_LOCKED = 1, STATE_DOWNLOAD = 3, STATE_UPLOAD = 7 };

/* Moved at a time. The pages, which the kernel counts, can be larger. */
#define PART 4096
#define INTERVAL_US 6000
#define PATIENCE_US 20000000

#define COMPONENT 1
/* Not whole parts. */
#define LEN (4 * PART + 1236)

static int fd;
static struct umem_reg umem;
static size_t page_size;
static uint8_t *memory;

static void die(const char *what)
{
	fprintf(stderr, "mstflint-umem: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
	exit(1);
}

static void put_be32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = value >> (24 - 8 * i);
}

static uint32_t get_be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

/* Accesses a register, whose content is replaced by the answer. */
static void access_register(uint16_t id, int is_read, uint8_t *data, uint32_t len, const char *what)
{
	uint8_t *in = calloc(1, HEADER + len), *out = calloc(1, HEADER + len);
	struct rpc rpc = {
		.size = sizeof(rpc),
		.scope = is_read ? SCOPE_READ : SCOPE_WRITE,
		.in = (uintptr_t)in,
		.in_len = HEADER + len,
		.out = (uintptr_t)out,
		.out_len = HEADER + len,
	};

	if (!in || !out)
		die("memory");
	/* ACCESS_REG, op_mod, register_id */
	in[0] = 0x08;
	in[1] = 0x05;
	in[7] = is_read;
	in[10] = id >> 8;
	in[11] = id & 0xff;
	memcpy(in + HEADER, data, len);
	if (ioctl(fd, FWCTL_RPC, &rpc))
		die(what);
	if (out[0]) {
		fprintf(stderr, "mstflint-umem: %s: status %#x, syndrome %#x\n", what, out[0],
			get_be32(out + 4));
		exit(1);
	}
	memcpy(data, out + HEADER, len);
	free(in);
	free(out);
}

/* Writes an instruction to MCC, and reads MCC until it is in this state. Returns the handle. */
static uint32_t instruct(int instruction, uint32_t handle, uint32_t size, int state, const char *what)
{
	uint8_t mcc[MCC_LEN] = { 0 };

	mcc[3] = instruction;
	mcc[7] = COMPONENT;
	put_be32(mcc + 8, handle);
	put_be32(mcc + 16, size);
	access_register(MCC, 0, mcc, sizeof(mcc), what);
	handle = get_be32(mcc + 8) & 0xffffff;
	for (int tries = 0; tries < 100; tries++) {
		memset(mcc, 0, sizeof(mcc));
		put_be32(mcc + 8, handle);
		access_register(MCC, 1, mcc, sizeof(mcc), what);
		if (mcc[14]) {
			fprintf(stderr, "mstflint-umem: %s: error code %d\n", what, mcc[14]);
			exit(1);
		}
		if ((mcc[15] & 15) == state)
			return handle;
		usleep(INTERVAL_US);
	}
	errno = 0;
	die(what);
	return 0;
}

static int status(void)
{
	return *(volatile uint8_t *)(memory + MAILBOX_PAGE * page_size + STATUS);
}

/* Moves a part of the component by a page of the registered memory. */
static void move(int is_read, uint32_t handle, uint32_t offset, uint32_t len, int page)
{
	uint8_t mcdd[MCDD_LEN] = { 0 };
	int waited = 0;

	memset(memory + MAILBOX_PAGE * page_size, 0, DESCRIPTOR_LEN);
	put_be32(mcdd, handle);
	put_be32(mcdd + 4, offset);
	put_be32(mcdd + 8, len);
	/* No addresses: the number of the page, and of the memory. The mailbox is in page 2. */
	put_be32(mcdd + 20, page);
	put_be32(mcdd + 28, umem.umem_id);
	access_register(MCDD, is_read, mcdd, sizeof(mcdd), "MCDD");
	while (status() == UNKNOWN || status() == BUSY) {
		usleep(INTERVAL_US);
		waited += INTERVAL_US;
		if (waited >= PATIENCE_US) {
			errno = ETIMEDOUT;
			die("mailbox page");
		}
	}
	if (status() != OK) {
		fprintf(stderr, "mstflint-umem: offset %u: status %d, error %d\n", offset, status(),
			memory[MAILBOX_PAGE * page_size + STATUS + 1]);
		exit(1);
	}
}

static uint8_t byte_at(uint32_t offset)
{
	return offset * 7 + (offset >> 8);
}

static void burn(void)
{
	uint32_t handle, offset, len;
	int page = FIRST_PAGE;

	handle = instruct(LOCK, 0, 0, STATE_LOCKED, "lock");
	instruct(UPDATE, handle, LEN, STATE_DOWNLOAD, "update");
	for (offset = 0; offset < LEN; offset += len, page = !page) {
		len = LEN - offset < PART ? LEN - offset : PART;
		for (uint32_t i = 0; i < len; i++)
			memory[page * page_size + i] = byte_at(offset + i);
		move(0, handle, offset, len, page);
	}
	instruct(VERIFY, handle, 0, STATE_LOCKED, "verify");
	instruct(ACTIVATE, handle, 0, STATE_LOCKED, "activate");

	instruct(READ, handle, 0, STATE_UPLOAD, "read");
	for (offset = 0; offset < LEN; offset += len, page = !page) {
		len = LEN - offset < PART ? LEN - offset : PART;
		memset(memory + page * page_size, 0xee, PART);
		move(1, handle, offset, len, page);
		for (uint32_t i = 0; i < PART; i++) {
			uint8_t expected = i < len ? byte_at(offset + i) : 0xee;

			if (((volatile uint8_t *)memory)[page * page_size + i] != expected) {
				fprintf(stderr, "mstflint-umem: offset %u: wrong content\n", offset + i);
				exit(1);
			}
		}
	}
	instruct(RELEASE, handle, 0, 0, "release");
}

int main(int argc, char **argv)
{
	struct rsc_destroy destroy = { .size = sizeof(destroy) };
	struct umem_reg again = { 0 };

	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDWR | O_SYNC);
	if (fd < 0)
		die(argv[1]);
	page_size = sysconf(_SC_PAGESIZE);
	if (posix_memalign((void **)&memory, page_size, PAGES * page_size))
		die("memory");
	memset(memory, 0, PAGES * page_size);

	umem = (struct umem_reg) {
		.size = sizeof(umem),
		.addr = (uintptr_t)memory,
		.len = PAGES * page_size,
		.flags = FLAG_MKEY | FLAG_MCDD,
	};
	if (ioctl(fd, FWCTL_RSC_UMEM_REG, &umem)) {
		if (errno != ENOTTY && errno != EOPNOTSUPP)
			die("FWCTL_RSC_UMEM_REG");
		printf("the kernel cannot register memory for this device: %s\n", strerror(errno));
		return 4;
	}
	printf("umem %#x, key %#x, resource %#x\n", umem.umem_id, umem.mkey_id, umem.rsc_id);
	again = umem;
	if (again.size != sizeof(again) || again.addr != (uintptr_t)memory || !umem.mkey_id) {
		errno = 0;
		die("FWCTL_RSC_UMEM_REG");
	}
	if (!strcmp(argv[2], "burn"))
		burn();

	destroy.rsc_id = umem.rsc_id;
	if (ioctl(fd, FWCTL_RSC_DESTROY, &destroy))
		die("FWCTL_RSC_DESTROY");
	if (!ioctl(fd, FWCTL_RSC_DESTROY, &destroy) || errno != ENOENT)
		die("FWCTL_RSC_DESTROY, again");
	free(memory);
	return 0;
}
