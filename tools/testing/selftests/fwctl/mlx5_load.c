// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps a ConnectX busy, and reports the results of all calls.
 *
 * usage: mlx5_load [-f FILES] [-t THREADS] [-e ERRNO,...] [-c COUNT]
 *
 * Keeps FILES files open, each used by THREADS threads, until SIGTERM.  A file is reopened from
 * time to time, and when its device is removed.  -e names the errnos that calls may fail with.
 * Fails if a call fails with another one, gets a wrong reply, or does not return.  The number of
 * successful RPCs is written to the file COUNT.
 */
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* A tool for tests, not a test. */
#define FWCTL_NO_TEST
#include "mlx5_memory.h"

/* Upper bound for a call after the end, in seconds: longer than the timeouts of mlx5_core. */
#define PATIENCE 200

/* Number of calls before a file is closed. */
#define CALLS_PER_FILE 300

#define MAX_ERRNO 134
/* Index of wrong replies. */
#define WRONG 0

enum call { CALL_OPEN, CALL_INFO, CALL_RPC, CALL_LONG_RPC, CALL_DUMP, CALL_CLOSE, CALLS };

static const char *const call_names[] = { "open", "info", "rpc", "long rpc", "dump", "close" };

/* By call and errno.  Index 0 is success in `answers` and a wrong reply in `failures`. */
static _Atomic unsigned long answers[CALLS], failures[CALLS][MAX_ERRNO];
static bool is_expected[MAX_ERRNO];
static atomic_bool is_over;

struct thread {
	pthread_t id;
	/* The current call, or CALLS */
	_Atomic enum call call;
	int fd;
	atomic_bool *is_gone;
	/* Where dumps go, mapped for the first one */
	/* Of the program, and of the kernel */
	uint8_t *memory[2];
	bool is_allocated;
};

struct file {
	struct thread *threads;
	atomic_bool is_gone;
};

static int thread_count = 2;

/* Counts a result.  A negative `err` is a wrong reply. */
static void done(struct thread *thread, enum call call, int err)
{
	if (!err)
		answers[call]++;
	else
		failures[call][err < 0 || err >= MAX_ERRNO ? WRONG : err]++;
	thread->call = CALLS;
}

static int long_rpc(int fd)
{
	static __thread uint8_t reply[100000];

	struct command cmd = read_register(REG_MGIR);
	uint32_t len = sizeof(reply);
	int err = _fwctl_rpc(fd, FWCTL_RPC_DEBUG_READ_ONLY, &cmd, sizeof(cmd), reply, &len);

	return err ? err : len == sizeof(reply) && !reply[0] ? 0 : -1;
}

/* Registers memory, lets the firmware write a dump to it, and destroys it. */
static int dump_to_memory(struct thread *thread)
{
	size_t len = 4 * page_size();
	struct fwctl_rsc_umem_reg reg;
	uint8_t **memory;
	int fd = thread->fd;
	int err, dumped;

	/* The program's and the kernel's, in turn */
	thread->is_allocated = !thread->is_allocated;
	memory = &thread->memory[thread->is_allocated];
	if (!*memory)
		*memory = (uint8_t *)mapping_end(4) - len;
	memset(*memory, 0x11, len);
	err = (thread->is_allocated ? _umem_alloc : _umem_reg)(fd, *memory, len,
							       FWCTL_UMEM_FLAG_MKEY, &reg);
	/* A driver without registered memory */
	if (err == ENOTTY)
		return 0;
	if (err)
		return err;
	dumped = _dump(fd, READ_REG, reg.out_mkey_id, 0, len);
	if (!dumped && all_bytes_are(*memory, 0x11, len))
		dumped = -1;
	err = _destroy(fd, reg.out_rsc_id);
	return dumped ? dumped : err;
}

static int call_once(struct thread *thread, enum call call)
{
	struct fwctl_info_mlx5 info;
	struct answer answer;
	int err;

	thread->call = call;
	switch (call) {
	case CALL_INFO:
		err = _info(thread->fd, &info);
		break;
	case CALL_LONG_RPC:
		err = long_rpc(thread->fd);
		break;
	case CALL_DUMP:
		err = dump_to_memory(thread);
		break;
	default:
		err = _read_mgir(thread->fd, &answer);
		break;
	}
	done(thread, call, err);
	return err;
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;

	for (int i = 0; i < CALLS_PER_FILE && !is_over && !*thread->is_gone; i++) {
		enum call call = i % 16 == 7  ? CALL_LONG_RPC :
				 i % 16 == 11 ? CALL_DUMP :
				 i % 4 == 1   ? CALL_INFO : CALL_RPC;
		int err = call_once(thread, call);

		if (err == ENODEV)
			*thread->is_gone = true;
		else if (err)
			usleep(1000);
	}
	return NULL;
}

/* Finds the node of a device of mlx5_core. */
static bool find_node(char *node, size_t size)
{
	bool is_found = false;
	struct dirent *entry;
	DIR *dir = opendir(CLASS_DIR);

	if (!dir)
		return false;
	while (!is_found && (entry = readdir(dir))) {
		struct device dev;

		device_named(&dev, entry->d_name);
		is_found = is_mlx5(&dev);
		if (is_found)
			snprintf(node, size, "%s", dev.node);
	}
	closedir(dir);
	return is_found;
}

/* Opens the file repeatedly.  Runs in the first of its threads. */
static void *file_main(void *arg)
{
	struct file *file = arg;
	struct thread *first = &file->threads[0];

	while (!is_over) {
		char node[64];
		int fd;

		if (!find_node(node, sizeof(node))) {
			usleep(10000);
			continue;
		}
		first->call = CALL_OPEN;
		fd = open(node, O_RDWR | O_CLOEXEC);
		done(first, CALL_OPEN, fd < 0 ? errno : 0);
		if (fd < 0) {
			usleep(10000);
			continue;
		}

		file->is_gone = false;
		for (int i = 0; i < thread_count; i++) {
			file->threads[i].fd = fd;
			file->threads[i].is_gone = &file->is_gone;
			file->threads[i].call = CALLS;
			if (i && pthread_create(&file->threads[i].id, NULL, thread_main,
						&file->threads[i]))
				abort();
		}
		thread_main(first);
		for (int i = 1; i < thread_count; i++)
			pthread_join(file->threads[i].id, NULL);
		first->call = CALL_CLOSE;
		done(first, CALL_CLOSE, close(fd) ? errno : 0);
	}
	return NULL;
}

/* Marks the errnos in `list`, which are names separated by commas. */
static bool expect(char *list)
{
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		int err = 1;

		while (err < MAX_ERRNO &&
		       (!strerrorname_np(err) || strcmp(strerrorname_np(err), name)))
			err++;
		if (err == MAX_ERRNO)
			return false;
		is_expected[err] = true;
	}
	return true;
}

static void write_count(const char *path)
{
	char text[32];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	/* A fixed length, so readers never see a partial number. */
	int len = snprintf(text, sizeof(text), "%010lu\n",
			   answers[CALL_RPC] + answers[CALL_LONG_RPC]);

	if (fd < 0 || write(fd, text, len) != len)
		perror(path);
	close(fd);
}

static bool report(void)
{
	bool is_good = true;

	for (int call = 0; call < CALLS; call++) {
		printf("# %s: %lu answers", call_names[call], answers[call]);
		for (int err = 0; err < MAX_ERRNO; err++) {
			if (!failures[call][err])
				continue;
			printf(", %lu %s", failures[call][err],
			       err == WRONG ? "wrong" : strerrorname_np(err));
			if (!is_expected[err]) {
				printf(" (not expected)");
				is_good = false;
			}
		}
		printf("\n");
	}
	return is_good;
}

/* Waits for all threads, and reports those that are stuck. */
static bool join(struct file *files, pthread_t *ids, int count)
{
	struct timespec deadline;
	bool is_good = true;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += PATIENCE;
	for (int i = 0; i < count; i++) {
		if (!pthread_timedjoin_np(ids[i], NULL, &deadline))
			continue;
		is_good = false;
		for (int j = 0; j < thread_count; j++) {
			enum call call = files[i].threads[j].call;

			if (call != CALLS)
				printf("# file %d, thread %d: %s does not return\n", i, j,
				       call_names[call]);
		}
	}
	return is_good;
}

int main(int argc, char **argv)
{
	struct timespec moment = { .tv_nsec = 20000000 };
	const char *count_path = NULL;
	int file_count = 4, option;
	struct file *files;
	pthread_t *ids;
	sigset_t end;
	bool is_good;

	while ((option = getopt(argc, argv, "f:t:e:c:")) != -1) {
		if (option == 'f')
			file_count = atoi(optarg);
		else if (option == 't')
			thread_count = atoi(optarg);
		else if (option == 'c')
			count_path = optarg;
		else if (option != 'e' || !expect(optarg))
			return 2;
	}
	if (file_count < 1 || thread_count < 1 || optind != argc)
		return 2;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);

	files = calloc(file_count, sizeof(*files));
	ids = calloc(file_count, sizeof(*ids));
	if (!files || !ids)
		return 1;
	for (int i = 0; i < file_count; i++) {
		files[i].threads = calloc(thread_count, sizeof(*files[i].threads));
		if (!files[i].threads || pthread_create(&ids[i], NULL, file_main, &files[i]))
			return 1;
	}

	do {
		if (count_path)
			write_count(count_path);
	} while (sigtimedwait(&end, NULL, &moment) < 0);

	is_over = true;
	is_good = join(files, ids, file_count);
	return report() && is_good ? 0 : 1;
}
