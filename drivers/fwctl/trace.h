/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace events of the fwctl core: which process sent which firmware an RPC.
 *
 * Lengths are in bytes; the pid is that of the process in the initial pid namespace.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM fwctl

#if !defined(_FWCTL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _FWCTL_TRACE_H

#include <linux/device.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>
#include <uapi/fwctl/fwctl.h>

#define fwctl_show_scope(scope)						\
	__print_symbolic(scope,						\
		{ FWCTL_RPC_CONFIGURATION,	"configuration" },	\
		{ FWCTL_RPC_DEBUG_READ_ONLY,	"debug-read-only" },	\
		{ FWCTL_RPC_DEBUG_WRITE,	"debug-write" },	\
		{ FWCTL_RPC_DEBUG_WRITE_FULL,	"debug-write-full" })

/* FWCTL_RPC as user space gave it, before any check */
TRACE_EVENT(fwctl_rpc_start,
	TP_PROTO(const struct device *dev, u32 scope, u32 in_len, u32 out_len),
	TP_ARGS(dev, scope, in_len, out_len),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(pid_t, pid)
		__field(u32, scope)
		__field(u32, in_len)
		__field(u32, out_len)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->pid = task_tgid_nr(current);
		__entry->scope = scope;
		__entry->in_len = in_len;
		__entry->out_len = out_len;
	),
	TP_printk("dev=%s pid=%d scope=%s in_len=%u out_len=%u",
		  __get_str(dev), __entry->pid, fwctl_show_scope(__entry->scope),
		  __entry->in_len, __entry->out_len)
);

/*
 * The end of an RPC: ret is 0 or the negative errno, out_len the true length
 * of the reply, or 0 if there is none; opcode is the number of the command in
 * the request, or -1 if the driver does not tell it
 */
TRACE_EVENT(fwctl_rpc_done,
	TP_PROTO(const struct device *dev, u32 scope, int ret, u32 out_len, u64 duration_ns,
		 s64 opcode),
	TP_ARGS(dev, scope, ret, out_len, duration_ns, opcode),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(pid_t, pid)
		__field(u32, scope)
		__field(int, ret)
		__field(u32, out_len)
		__field(u64, duration_ns)
		__field(s64, opcode)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->pid = task_tgid_nr(current);
		__entry->scope = scope;
		__entry->ret = ret;
		__entry->out_len = out_len;
		__entry->duration_ns = duration_ns;
		__entry->opcode = opcode;
	),
	TP_printk("dev=%s pid=%d scope=%s ret=%d out_len=%u duration_ns=%llu opcode=0x%llx",
		  __get_str(dev), __entry->pid, fwctl_show_scope(__entry->scope),
		  __entry->ret, __entry->out_len, __entry->duration_ns, __entry->opcode)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
