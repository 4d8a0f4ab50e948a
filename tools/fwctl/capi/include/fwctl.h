/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The library fwctl for C: find Linux fwctl devices, and talk to the firmware behind them.
 *
 * Functions that can fail return 0, or a negative errno; fwctl_error() says more. Handles must not
 * be NULL unless a function says so. A device and memory may be used by several threads at once; a
 * queue is used by the thread that created it.
 */

#ifndef FWCTL_H
#define FWCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Type of a device: none, as of a sample or a test.
 */
#define FWCTL_TYPE_NONE 0

/**
 * Type of a device: NVIDIA ConnectX and BlueField.
 */
#define FWCTL_TYPE_MLX5 1

/**
 * Type of a device: CXL memory device.
 */
#define FWCTL_TYPE_CXL 2

/**
 * Type of a device: Broadcom NetXtreme.
 */
#define FWCTL_TYPE_BNXT 3

/**
 * Type of a device: AMD Pensando.
 */
#define FWCTL_TYPE_PDS 4

/**
 * Scope of an RPC: read and write configuration.
 */
#define FWCTL_SCOPE_CONFIGURATION 0

/**
 * Scope of an RPC: read debug information.
 */
#define FWCTL_SCOPE_DEBUG_READ_ONLY 1

/**
 * Scope of an RPC: write debug state. Taints the kernel.
 */
#define FWCTL_SCOPE_DEBUG_WRITE 2

/**
 * Scope of an RPC: write anything. Taints the kernel and needs CAP_SYS_RAWIO.
 */
#define FWCTL_SCOPE_DEBUG_WRITE_FULL 3

/**
 * No scope: the kernel never sends this command.
 */
#define FWCTL_SCOPE_NEVER 4294967295

/**
 * Maximum length of a request and of a reply buffer.
 */
#define FWCTL_MAX_LEN 2097152

/**
 * A time limit in milliseconds that never ends.
 */
#define FWCTL_FOREVER -1

/**
 * Value of a Feature: the one in force.
 */
#define FWCTL_CXL_CURRENT 0

/**
 * Value of a Feature: the one that the device was made with.
 */
#define FWCTL_CXL_DEFAULT 1

/**
 * Value of a Feature: the one that the device keeps across resets.
 */
#define FWCTL_CXL_SAVED 2

/**
 * Use of registered memory: requests name it by a memory key. Dumps need it.
 */
#define FWCTL_MEMORY_KEY 1

/**
 * Use of registered memory: requests name its pages, by number.
 */
#define FWCTL_MEMORY_PAGES 2

/**
 * Segment type of the list of what can be dumped.
 */
#define FWCTL_MLX5_MENU 65535

/**
 * Backend of a queue: io_uring if it is allowed, else threads.
 */
#define FWCTL_BACKEND_ANY 0

/**
 * Backend of a queue: one io_uring, without a thread.
 */
#define FWCTL_BACKEND_IO_URING 1

/**
 * Backend of a queue: a few threads that wait in ioctl(2).
 */
#define FWCTL_BACKEND_THREADS 2

/**
 * The commands of a CXL memory device.
 */
struct fwctl_cxl_commands;

/**
 * The Features of a CXL memory device.
 */
struct fwctl_cxl_features;

/**
 * An open device.
 */
struct fwctl_device;

/**
 * A list of devices.
 */
struct fwctl_devices;

/**
 * The bytes of a dump.
 */
struct fwctl_dump;

/**
 * The catalogue of a type of devices.
 */
struct fwctl_items;

/**
 * Memory that the firmware of a device can access.
 *
 * The library allocates it, and it belongs to this process: in a child of fork(), nothing can be read
 * or written, and destroying and freeing leave the registration alone. Several threads may use it at
 * once, but none while or after another one frees it.
 */
struct fwctl_memory;

/**
 * RPCs in flight on one device.
 */
struct fwctl_queue;

/**
 * A command of a CXL memory device.
 */
struct fwctl_cxl_command {
  /**
   * Mailbox opcode.
   */
  uint16_t opcode;
  /**
   * What the device claims that it does: bits of the Command Effects Log of CXL 3.2.
   */
  uint16_t effects;
  /**
   * The least scope in which the kernel sends it, or FWCTL_SCOPE_NEVER.
   */
  uint32_t scope;
  /**
   * The scope depends on the Feature, and is at least this one.
   */
  bool by_feature;
  /**
   * The scope depends on a command in the payload, and is at least this one.
   */
  bool by_payload;
  /**
   * Its name in the specification, or NULL.
   */
  const char *name;
  /**
   * Why the kernel never sends it, in a word such as "background"; or NULL.
   */
  const char *refused;
};

/**
 * The refusal in a reply.
 */
struct fwctl_status {
  /**
   * The number in the reply.
   */
  uint32_t code;
  /**
   * ConnectX: what the firmware's makers can look up; else 0.
   */
  uint32_t syndrome;
  /**
   * Name of the code, "unknown" if it has none.
   */
  char name[64];
};

/**
 * A Feature of a CXL memory device: CXL 3.2, table 8-109. Sizes are in bytes.
 */
struct fwctl_cxl_feature {
  /**
   * Its UUID, as in its text form.
   */
  uint8_t uuid[16];
  /**
   * Attribute bits.
   */
  uint32_t flags;
  /**
   * The scope that a change needs, or FWCTL_SCOPE_NEVER.
   */
  uint32_t set_scope;
  /**
   * Most bytes of its value.
   */
  uint16_t get_size;
  /**
   * Most bytes that can be set; 0 if the kernel keeps the Feature for itself.
   */
  uint16_t set_size;
  /**
   * What a change does: bits of the Command Effects Log of CXL 3.2.
   */
  uint16_t effects;
  /**
   * Layout version of its value.
   */
  uint8_t get_version;
  /**
   * Layout version of what can be set.
   */
  uint8_t set_version;
  /**
   * A short name such as "patrol-scrub", if it is one of the specification's Features, or NULL.
   */
  const char *name;
};

/**
 * What to dump of a ConnectX. Fields that are not used are 0.
 */
struct fwctl_mlx5_dump_request {
  /**
   * Type of the segment: one of the menu, or FWCTL_MLX5_MENU.
   */
  uint16_t segment_type;
  /**
   * Virtual device whose objects are meant.
   */
  uint16_t vhca_id;
  /**
   * First number of the object.
   */
  uint32_t index1;
  /**
   * Second number of the object.
   */
  uint32_t index2;
  /**
   * How many objects, from the first number on.
   */
  uint16_t num_of_obj1;
  /**
   * How many objects, from the second number on.
   */
  uint16_t num_of_obj2;
};

/**
 * The end of an RPC. Free it with fwctl_completion_free().
 */
struct fwctl_completion {
  /**
   * Which RPC.
   */
  uint64_t ticket;
  /**
   * 0, or why there is no reply: a negative errno. -ECANCELED and -ETIMEDOUT if it was given up.
   */
  int error;
  /**
   * The reply, up to the size of the buffer.
   */
  const uint8_t *reply;
  /**
   * Its length.
   */
  size_t reply_len;
  /**
   * Length of the whole reply.
   */
  size_t true_len;
};

/**
 * Something that can be read of a device.
 */
struct fwctl_item {
  /**
   * What kind of thing it is: "register", "capability", "query", "feature", "command" or
   * "operation".
   */
  const char *kind;
  /**
   * Its name, which is unique with its kind and select.
   */
  const char *name;
  /**
   * What it is, in a few words.
   */
  const char *about;
  /**
   * When it changes: "identity", "configuration", "state" or "counter". The last two change by
   * themselves.
   */
  const char *volatility;
  /**
   * Fields of the request whose values select an instance, separated by commas, such as
   * "local_port,grp"; or NULL.
   */
  const char *select;
  /**
   * Scope of the request that reads it.
   */
  uint32_t scope;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The error of the last function that failed on this thread, on one line. Valid until the next one
 * fails.
 */
const char *fwctl_error(void);

/**
 * What that error means for the call that failed, or NULL if there is no more to say.
 */
const char *fwctl_error_meaning(void);

/**
 * What may help against that error, or NULL.
 */
const char *fwctl_error_remedy(void);

/**
 * Version of the library, such as "0.1.0".
 */
const char *fwctl_version(void);

/**
 * Lists the commands of a CXL memory device, as the kernel knows them: the device is not asked.
 * Fails with -EOPNOTSUPP if the kernel passes Feature commands only. Free the list with
 * fwctl_cxl_list_free().
 */
int fwctl_cxl_list(const struct fwctl_device *device, struct fwctl_cxl_commands **list);

/**
 * Frees a list of commands. It may be NULL.
 */
void fwctl_cxl_list_free(struct fwctl_cxl_commands *list);

/**
 * Number of commands in a list.
 */
size_t fwctl_cxl_list_len(const struct fwctl_cxl_commands *list);

/**
 * A command in a list; NULL if there are not so many. Valid until the list is freed, like its
 * texts.
 */
const struct fwctl_cxl_command *fwctl_cxl_list_get(const struct fwctl_cxl_commands *list,
                                                   size_t index);

/**
 * Sends a command, other than a Feature command, with this input payload. Copies as much of its
 * output payload as fits; true_len receives the length of the whole output.
 *
 * The scope must be at least that of the command in the list. fwctl_rpc() says what a limit does.
 *
 * If the device refuses the command, returns -EREMOTEIO and stores the refusal in status, which may
 * be NULL.
 */
int fwctl_cxl_send(const struct fwctl_device *device,
                   uint32_t scope,
                   uint16_t opcode,
                   const uint8_t *input,
                   size_t input_len,
                   uint8_t *output,
                   size_t output_len,
                   int64_t limit_ms,
                   size_t *true_len,
                   struct fwctl_status *status);

/**
 * Lists the Features of a CXL memory device. fwctl_rpc() says what a limit does. Free the list with
 * fwctl_cxl_feature_list_free().
 */
int fwctl_cxl_feature_list(const struct fwctl_device *device,
                           int64_t limit_ms,
                           struct fwctl_cxl_features **list);

/**
 * Frees a list of Features. It may be NULL.
 */
void fwctl_cxl_feature_list_free(struct fwctl_cxl_features *list);

/**
 * Number of Features in a list.
 */
size_t fwctl_cxl_feature_list_len(const struct fwctl_cxl_features *list);

/**
 * A Feature in a list; NULL if there are not so many. Valid until the list is freed, like its name.
 */
const struct fwctl_cxl_feature *fwctl_cxl_feature_list_get(const struct fwctl_cxl_features *list,
                                                           size_t index);

/**
 * Reads len bytes of the value of a Feature, from offset on. uuid are the 16 bytes of the list;
 * selection is FWCTL_CXL_CURRENT, FWCTL_CXL_DEFAULT or FWCTL_CXL_SAVED. fwctl_rpc() says what a limit
 * does.
 *
 * Fails with -EBADMSG if other than len bytes came. If the device refuses, returns -EREMOTEIO and
 * stores the refusal in status, which may be NULL.
 */
int fwctl_cxl_get_feature(const struct fwctl_device *device,
                          const uint8_t *uuid,
                          uint32_t selection,
                          uint16_t offset,
                          uint8_t *data,
                          uint16_t len,
                          int64_t limit_ms,
                          struct fwctl_status *status);

/**
 * Replaces len bytes of the value of a Feature, from offset on. The scope is at least set_scope of
 * the list, and version its set_version. With is_saved, the device is asked to keep the value across
 * resets. fwctl_rpc() says what a limit does.
 *
 * If the device refuses, returns -EREMOTEIO and stores the refusal in status, which may be NULL.
 */
int fwctl_cxl_set_feature(const struct fwctl_device *device,
                          uint32_t scope,
                          const uint8_t *uuid,
                          uint8_t version,
                          uint16_t offset,
                          bool is_saved,
                          const uint8_t *data,
                          uint16_t len,
                          int64_t limit_ms,
                          struct fwctl_status *status);

/**
 * Opens a device: "fwctl0", the path of a node, a PCI address, a memdev, a netdev, an RDMA device
 * or a devlink handle. Close it with fwctl_close().
 */
int fwctl_open(const char *name, struct fwctl_device **device);

/**
 * As fwctl_open(), for the node that a file descriptor is open on. The descriptor is duplicated
 * and remains the caller's.
 */
int fwctl_open_fd(int fd, struct fwctl_device **device);

/**
 * A device that answers from a recording, for tests of programs without a device. The text is that
 * of the Rust module fwctl::replay.
 */
int fwctl_open_recording(const char *recording, struct fwctl_device **device);

/**
 * Closes a device. It may be NULL. RPCs of queues on it go on.
 */
void fwctl_close(struct fwctl_device *device);

/**
 * Name of a device, such as "fwctl0". Valid until it is closed.
 */
const char *fwctl_name(const struct fwctl_device *device);

/**
 * The file descriptor of a device, or -EBADF if it has none. It remains the library's.
 */
int fwctl_fd(const struct fwctl_device *device);

/**
 * FWCTL_INFO: the type of a device, FWCTL_TYPE_MLX5 or another; other numbers are those of newer
 * kernels.
 */
int fwctl_type(const struct fwctl_device *device, uint32_t *device_type);

/**
 * FWCTL_INFO: the driver's data. Copies as much as fits; data_len receives the whole length.
 */
int fwctl_info(const struct fwctl_device *device, uint8_t *data, size_t len, size_t *data_len);

/**
 * FWCTL_RPC: sends a request, and copies as much of the reply as fits to the reply buffer, which
 * may be the request's. true_len receives the length of the whole reply. Both are at most
 * FWCTL_MAX_LEN.
 *
 * With a limit that is not negative the call ends with -ETIMEDOUT after so many milliseconds; the
 * firmware may still carry out the request.
 *
 * The firmware's own refusal is a reply like any other: see fwctl_firmware_status().
 */
int fwctl_rpc(const struct fwctl_device *device,
              uint32_t scope,
              const uint8_t *request,
              size_t request_len,
              uint8_t *reply,
              size_t reply_len,
              int64_t limit_ms,
              size_t *true_len);

/**
 * The refusal of the firmware in a reply of a device of this type: returns 1 and stores it, or 0 if
 * the firmware agreed or the replies of the type are unknown.
 */
int fwctl_firmware_status(uint32_t device_type,
                          const uint8_t *reply,
                          size_t reply_len,
                          struct fwctl_status *status);

/**
 * Lists the devices, from sysfs alone: none is opened. A machine without one has an empty list.
 * Free it with fwctl_list_free().
 */
int fwctl_list(struct fwctl_devices **list);

/**
 * Frees a list. It may be NULL.
 */
void fwctl_list_free(struct fwctl_devices *list);

/**
 * Number of devices in a list.
 */
size_t fwctl_list_len(const struct fwctl_devices *list);

/**
 * Name of a device in a list, such as "fwctl0"; NULL if there are not so many. Valid until the list
 * is freed, like the texts of the functions below.
 */
const char *fwctl_list_name(const struct fwctl_devices *list, size_t index);

/**
 * Path of its node.
 */
const char *fwctl_list_node(const struct fwctl_devices *list, size_t index);

/**
 * Name of the device that it controls, such as a PCI address or "mem0".
 */
const char *fwctl_list_parent(const struct fwctl_devices *list, size_t index);

/**
 * Name of its type as far as sysfs tells, such as "mlx5", or "".
 */
const char *fwctl_list_type(const struct fwctl_devices *list, size_t index);

/**
 * Registers new memory of len bytes, rounded up to whole pages, whose bytes are 0. use_for is one or
 * both of FWCTL_MEMORY_KEY and FWCTL_MEMORY_PAGES. Only requests of this open file can name it.
 *
 * The memory is the kernel's; or the process's, if the kernel does not allocate any, and counts against
 * RLIMIT_MEMLOCK then. Fails with -ENOTTY or -EOPNOTSUPP if the kernel cannot register memory for this
 * device and use, and with -ENOMEM, -ENOSPC or -EINVAL if that is above a limit. With a limit that is not negative the call ends with -ETIMEDOUT after so many
 * milliseconds; what is registered afterwards is destroyed.
 *
 * memory receives NULL if it fails. Free it with fwctl_memory_free(). The device may be closed
 * before; its file stays open until then.
 */
int fwctl_memory_new(const struct fwctl_device *device,
                     size_t len,
                     uint64_t use_for,
                     int64_t limit_ms,
                     struct fwctl_memory **memory);

/**
 * Ends the access of the firmware to memory. The handle and the bytes stay, and can be read, until
 * fwctl_memory_free(). Does nothing if it was destroyed before.
 *
 * -EBUSY: an RPC of another thread is using the memory, which stays registered. After any other error
 * it is not registered any more. -EIO: the firmware did not confirm that, and may still write; the
 * kernel keeps the pages from everybody else. With a limit that is not negative the call ends with
 * -ETIMEDOUT after so many milliseconds, and the destruction goes on.
 */
int fwctl_memory_destroy(const struct fwctl_memory *memory,
                         int64_t limit_ms);

/**
 * Frees memory, which may be NULL. If it is still registered, destroys it as fwctl_memory_destroy()
 * does without a limit, and ignores errors: memory that an RPC uses stays registered and pinned until
 * the file is closed. A destruction that has already taken too long goes on and is not waited for.
 *
 * The kernel keeps pages that the firmware may still write to from everybody else.
 */
void fwctl_memory_free(struct fwctl_memory *memory);

/**
 * Length of memory in bytes: whole pages.
 */
size_t fwctl_memory_len(const struct fwctl_memory *memory);

/**
 * Address of memory in this process, for requests that name it.
 *
 * The device can change the bytes at any time, so use fwctl_memory_read() and fwctl_memory_write().
 * A program that accesses the memory by its address uses atomic accesses of single bytes, and none
 * after fwctl_memory_free() or in a child of fork().
 */
uint64_t fwctl_memory_address(const struct fwctl_memory *memory);

/**
 * The number by which requests name memory.
 */
uint32_t fwctl_memory_umem(const struct fwctl_memory *memory);

/**
 * The memory key by which requests name memory, or 0 if it has none.
 */
uint32_t fwctl_memory_key(const struct fwctl_memory *memory);

/**
 * The number of the kernel's resource, for programs that log it. It is this library that destroys it.
 */
uint32_t fwctl_memory_resource(const struct fwctl_memory *memory);

/**
 * Copies len bytes out of memory, from offset on. Fails with -EINVAL, and copies nothing, if there
 * are not so many. If the device writes at the same time, some of them are old and some new.
 */
int fwctl_memory_read(const struct fwctl_memory *memory, size_t offset, uint8_t *to, size_t len);

/**
 * Copies len bytes into memory, from offset on, before the next request is sent. Fails with -EINVAL,
 * and copies nothing, if they do not fit.
 */
int fwctl_memory_write(const struct fwctl_memory *memory,
                       size_t offset,
                       const uint8_t *from,
                       size_t len);

/**
 * Reads a register of a ConnectX, in scope FWCTL_SCOPE_DEBUG_READ_ONLY, by ACCESS_REG of mlx5_ifc.h of
 * the kernel. data has the fields set that select what is read, such as the number of a port, and
 * receives the register; len is the length of the register. argument is 0 for most registers.
 * fwctl_rpc() says what a limit does.
 *
 * If the firmware refuses, returns -EREMOTEIO and stores the refusal in status, which may be NULL.
 */
int fwctl_mlx5_read_register(const struct fwctl_device *device,
                             uint16_t id,
                             uint32_t argument,
                             uint8_t *data,
                             size_t len,
                             int64_t limit_ms,
                             struct fwctl_status *status);

/**
 * Writes a register of a ConnectX. Linux 7.3 accepts any scope. Otherwise as
 * fwctl_mlx5_read_register().
 */
int fwctl_mlx5_write_register(const struct fwctl_device *device,
                              uint32_t scope,
                              uint16_t id,
                              uint32_t argument,
                              const uint8_t *data,
                              size_t len,
                              int64_t limit_ms,
                              struct fwctl_status *status);

/**
 * Registers memory for dumps of a ConnectX: len bytes, or half of them and so on if that is above a
 * limit, but not less than 64 KiB. Where the kernel, or the driver, cannot register memory, returns 0,
 * and memory receives NULL: fwctl_mlx5_dump() takes that, and dumps without. Otherwise as
 * fwctl_memory_new().
 */
int fwctl_mlx5_dump_memory(const struct fwctl_device *device,
                           size_t len,
                           int64_t limit_ms,
                           struct fwctl_memory **memory);

/**
 * How much memory a core dump of a ConnectX needs to come at once, in bytes; 0 if the device does not
 * make core dumps. The number is the device's; fwctl_mlx5_dump_memory() registers less if it must.
 * fwctl_rpc() says what a limit does.
 */
int fwctl_mlx5_core_dump_len(const struct fwctl_device *device,
                             int64_t limit_ms,
                             size_t *len);

/**
 * Dumps objects of a ConnectX, in scope FWCTL_SCOPE_DEBUG_READ_ONLY: sends requests until the firmware
 * has no more. The bytes are segments, as in mlx5_ifc.h of the kernel.
 *
 * With memory that has a key the firmware writes to it, and a request brings as much as fits. The
 * memory is overwritten; it must be of the same device, and no other dump may use it meanwhile. If
 * memory is NULL, a request brings some 200 bytes; the result is the same.
 *
 * Fails with -EBADMSG if there are more than max bytes. After so many milliseconds, if the limit is not
 * negative, the whole dump ends with -ETIMEDOUT; the firmware may still carry out the last request, and
 * write to the memory. If the firmware refuses, returns -EREMOTEIO and stores
 * the refusal in status, which may be NULL.
 *
 * After each request progress, which may be NULL, is called in this thread with the context and the
 * number of bytes that have come. If it returns another value than 0, the dump ends with -ECANCELED.
 * It must return: no longjmp(), and no exception of C++. It may call functions of this library, but
 * must not free the memory.
 *
 * dump receives the bytes, also those that came before an error, or NULL if none came. Free it with
 * fwctl_dump_free() in both cases.
 */
int fwctl_mlx5_dump(const struct fwctl_device *device,
                    const struct fwctl_mlx5_dump_request *request,
                    const struct fwctl_memory *memory,
                    size_t max,
                    int64_t limit_ms,
                    int (*progress)(void *context, size_t count),
                    void *context,
                    struct fwctl_dump **dump,
                    struct fwctl_status *status);

/**
 * Dumps the device's own registers of a ConnectX. The content is the vendor's. As fwctl_mlx5_dump(),
 * but memory must not be NULL; with less than fwctl_mlx5_core_dump_len() it takes several requests.
 */
int fwctl_mlx5_core_dump(const struct fwctl_device *device,
                         const struct fwctl_memory *memory,
                         size_t max,
                         int64_t limit_ms,
                         int (*progress)(void *context, size_t count),
                         void *context,
                         struct fwctl_dump **dump,
                         struct fwctl_status *status);

/**
 * The bytes of a dump, or NULL if there are none. Valid until it is freed.
 */
const uint8_t *fwctl_dump_data(const struct fwctl_dump *dump);

/**
 * Number of bytes of a dump, which may be NULL.
 */
size_t fwctl_dump_len(const struct fwctl_dump *dump);

/**
 * Frees a dump. It may be NULL.
 */
void fwctl_dump_free(struct fwctl_dump *dump);

/**
 * Creates a queue with at most this many RPCs in flight, or 16 if depth is 0. With
 * FWCTL_BACKEND_IO_URING it fails if io_uring cannot be used. Free it with fwctl_queue_free().
 */
int fwctl_queue_new(const struct fwctl_device *device,
                    size_t depth,
                    uint32_t backend,
                    struct fwctl_queue **queue);

/**
 * Frees a queue, which may be NULL. RPCs that have not completed are cancelled; it is not waited
 * for them.
 */
void fwctl_queue_free(struct fwctl_queue *queue);

/**
 * The backend of a queue: FWCTL_BACKEND_IO_URING or FWCTL_BACKEND_THREADS.
 */
uint32_t fwctl_queue_backend(const struct fwctl_queue *queue);

/**
 * Number of RPCs whose completion has not been returned.
 */
size_t fwctl_queue_len(const struct fwctl_queue *queue);

/**
 * Begins an RPC, with the arguments of fwctl_rpc(). The request is copied, and the queue has the
 * buffer for the reply. ticket receives a number for the RPC that is never 0.
 */
int fwctl_queue_begin(struct fwctl_queue *queue,
                      uint32_t scope,
                      const uint8_t *request,
                      size_t request_len,
                      size_t reply_len,
                      int64_t limit_ms,
                      uint64_t *ticket);

/**
 * Waits for the RPC with this ticket, or for any if it is 0, at most so many milliseconds, or for
 * ever if they are negative.
 *
 * completion receives NULL if there is none: the time is over, or it has been returned.
 */
int fwctl_queue_wait(struct fwctl_queue *queue,
                     uint64_t ticket,
                     int64_t limit_ms,
                     struct fwctl_completion **completion);

/**
 * Gives an RPC up, which completes at once with -ECANCELED; the firmware may still carry it out.
 * Returns 1, or 0 if it has completed already or there is no such RPC.
 */
int fwctl_queue_cancel(struct fwctl_queue *queue, uint64_t ticket);

/**
 * Frees a completion. It may be NULL.
 */
void fwctl_completion_free(struct fwctl_completion *completion);

/**
 * Everything that is known to be readable of devices of a type, FWCTL_TYPE_MLX5 or another, without
 * a device. fwctl_snapshot() reads it. Types whose messages the library does not know have an empty
 * catalogue. Free it with fwctl_catalogue_free().
 */
int fwctl_catalogue(uint32_t device_type, struct fwctl_items **catalogue);

/**
 * Frees a catalogue. It may be NULL.
 */
void fwctl_catalogue_free(struct fwctl_items *catalogue);

/**
 * Number of items in a catalogue.
 */
size_t fwctl_catalogue_len(const struct fwctl_items *catalogue);

/**
 * An item of a catalogue; NULL if there are not so many. Valid until the catalogue is freed, like
 * its texts.
 */
const struct fwctl_item *fwctl_catalogue_get(const struct fwctl_items *catalogue, size_t index);

/**
 * Reads all of the catalogue from a device, with many requests in flight, and stores one JSON
 * document: raw and decoded, with "kind": "snapshot". It is that of the command "fwctl snapshot",
 * and "fwctl diff" compares two of them. Nothing is changed, and no scope is used that taints the
 * kernel. fwctl_rpc() says what a limit does. Free the document with fwctl_snapshot_free().
 *
 * An item that the device refuses has its error in the document. If the device was removed or does
 * not answer, returns the errno, and the document has what was read before. It is NULL only if a
 * pointer is NULL.
 */
int fwctl_snapshot(const struct fwctl_device *device, int64_t limit_ms, char **json);

/**
 * Frees a document of fwctl_snapshot(). It may be NULL.
 */
void fwctl_snapshot_free(char *json);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FWCTL_H */
