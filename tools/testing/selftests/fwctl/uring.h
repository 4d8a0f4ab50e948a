/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small io_uring with raw system calls, for the fwctl selftests.
 */
#ifndef __SELFTEST_FWCTL_URING_H
#define __SELFTEST_FWCTL_URING_H

#include <errno.h>
#include <fwctl/fwctl.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_COMMANDS "no commands of io_uring: the core is the one in C"

struct uring {
	int fd;
	unsigned int entries;
	void *sq_map, *cq_map;
	size_t sq_len, cq_len;
	unsigned int *sq_head, *sq_tail, *sq_array, *sq_flags, sq_mask;
	unsigned int *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	/* SQEs that were filled and not submitted */
	unsigned int filled;
};

/* Creates a ring.  Returns 0 or an errno. */
static inline int uring_init(struct uring *ring, unsigned int entries, unsigned int flags)
{
	struct io_uring_params params = { .flags = flags };
	uint8_t *sq, *cq;

	memset(ring, 0, sizeof(*ring));
	ring->fd = syscall(__NR_io_uring_setup, entries, &params);
	if (ring->fd < 0)
		return errno;

	ring->entries = params.sq_entries;
	ring->sq_len = params.sq_off.array + params.sq_entries * sizeof(unsigned int);
	ring->cq_len = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	ring->sq_map = mmap(NULL, ring->sq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			    ring->fd, IORING_OFF_SQ_RING);
	ring->cq_map = mmap(NULL, ring->cq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			    ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe),
			  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			  IORING_OFF_SQES);
	if (ring->sq_map == MAP_FAILED || ring->cq_map == MAP_FAILED || ring->sqes == MAP_FAILED) {
		perror("mmap of an io_uring");
		abort();
	}

	sq = ring->sq_map;
	cq = ring->cq_map;
	ring->sq_head = (void *)(sq + params.sq_off.head);
	ring->sq_tail = (void *)(sq + params.sq_off.tail);
	ring->sq_mask = *(unsigned int *)(sq + params.sq_off.ring_mask);
	ring->sq_flags = (void *)(sq + params.sq_off.flags);
	ring->sq_array = (void *)(sq + params.sq_off.array);
	ring->cq_head = (void *)(cq + params.cq_off.head);
	ring->cq_tail = (void *)(cq + params.cq_off.tail);
	ring->cq_mask = *(unsigned int *)(cq + params.cq_off.ring_mask);
	ring->cqes = (void *)(cq + params.cq_off.cqes);
	return 0;
}

/* Closes a ring, which cancels what it has in flight. */
static inline void uring_exit(struct uring *ring)
{
	munmap(ring->sqes, ring->entries * sizeof(struct io_uring_sqe));
	munmap(ring->cq_map, ring->cq_len);
	munmap(ring->sq_map, ring->sq_len);
	close(ring->fd);
}

/* Returns a zeroed SQE, to be submitted with the next uring_enter(). */
static inline struct io_uring_sqe *uring_sqe(struct uring *ring, uint8_t opcode, int fd,
					     uint64_t user_data)
{
	unsigned int tail = *ring->sq_tail + ring->filled;
	struct io_uring_sqe *sqe;

	while (tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE) >= ring->entries) {
		/* Only a thread of the kernel takes entries without a call. */
		usleep(100);
	}
	sqe = &ring->sqes[tail & ring->sq_mask];
	ring->sq_array[tail & ring->sq_mask] = tail & ring->sq_mask;
	ring->filled++;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = user_data;
	return sqe;
}

/* Adds a command of fwctl, `op` of which is the number of the ioctl. */
static inline struct io_uring_sqe *uring_fwctl(struct uring *ring, int fd, uint32_t op, void *arg,
					       uint64_t user_data)
{
	struct io_uring_sqe *sqe = uring_sqe(ring, IORING_OP_URING_CMD, fd, user_data);

	sqe->cmd_op = op;
	sqe->addr = (uintptr_t)arg;
	return sqe;
}

/* Adds a request that cancels those with `target` as user_data. */
static inline struct io_uring_sqe *uring_cancel(struct uring *ring, uint64_t target,
						uint64_t user_data)
{
	struct io_uring_sqe *sqe = uring_sqe(ring, IORING_OP_ASYNC_CANCEL, -1, user_data);

	sqe->addr = target;
	return sqe;
}

/*
 * Submits what was filled, and waits for `wait` completions.  Returns the number of entries that
 * were submitted, or a negative errno.
 */
static inline int uring_enter(struct uring *ring, unsigned int wait)
{
	unsigned int filled = ring->filled, flags = wait ? IORING_ENTER_GETEVENTS : 0;
	int ret;

	__atomic_store_n(ring->sq_tail, *ring->sq_tail + filled, __ATOMIC_RELEASE);
	ring->filled = 0;
	if (__atomic_load_n(ring->sq_flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
		flags |= IORING_ENTER_SQ_WAKEUP;

	do {
		ret = syscall(__NR_io_uring_enter, ring->fd, filled, wait, flags, NULL, 0);
		if (ret > 0)
			filled -= ret;
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

/* Returns the next completion without waiting, or NULL. */
static inline struct io_uring_cqe *uring_peek(struct uring *ring)
{
	unsigned int head = *ring->cq_head;

	if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
		return NULL;
	return &ring->cqes[head & ring->cq_mask];
}

static inline void uring_seen(struct uring *ring)
{
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
}

/* Waits for the next completion, and copies it to `cqe`.  Returns 0 or an errno. */
static inline int uring_wait(struct uring *ring, struct io_uring_cqe *cqe)
{
	struct io_uring_cqe *next;

	while (!(next = uring_peek(ring))) {
		int ret = uring_enter(ring, 1);

		if (ret < 0)
			return -ret;
	}
	*cqe = *next;
	uring_seen(ring);
	return 0;
}

/* Returns false on the core in C, which has no commands of io_uring. */
static inline bool uring_is_supported(struct uring *ring, int fd)
{
	struct fwctl_info info = { .size = sizeof(info) };
	struct io_uring_cqe cqe;

	uring_fwctl(ring, fd, FWCTL_INFO, &info, 1);
	return uring_wait(ring, &cqe) || cqe.res != -EOPNOTSUPP;
}

/*
 * Carries out one command on a ring of the thread.  Returns 0 or an errno, as the ioctl would.  A
 * child process makes another ring.
 */
static inline int uring_ioctl_errno(int fd, unsigned long number, void *arg)
{
	static __thread struct uring ring;
	static __thread pid_t owner;
	struct io_uring_cqe cqe;
	int err;

	if (owner != getpid()) {
		err = uring_init(&ring, 4, 0);
		if (err) {
			errno = err;
			perror("io_uring_setup");
			abort();
		}
		owner = getpid();
	}

	uring_fwctl(&ring, fd, number, arg, 1);
	err = uring_wait(&ring, &cqe);
	if (err) {
		errno = err;
		perror("io_uring_enter");
		abort();
	}
	return -cqe.res;
}

#endif
