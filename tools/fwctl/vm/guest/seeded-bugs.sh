# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# seeded-bugs.sh debug|kcsan: each checker of this kernel must report the seeded bugs of the modules in /lib/seeded
. /usr/lib/fwctl-vm/lib.sh

number=0

# is_reported PATTERN: returns whether a kernel message matches
is_reported() { dmesg | grep -q "$1"; }

# result CASE PATTERN
result() {
	number=$((number + 1))
	if is_reported "$2"; then
		echo "ok $number $1"
	else
		echo "# no kernel message matches: $2"
		echo "not ok $number $1"
	fi
}

# load_bug MODULE PARAMETER: triggers a bug
load_bug() {
	dmesg -c >/dev/null
	insmod "/lib/seeded/$1.ko" "$2"
	rmmod "$1" 2>/dev/null
}

# expect CASE PATTERN MODULE PARAMETER: triggers a bug and prints whether it is reported
expect() {
	load_bug "$3" "$4"
	result "$1" "$2"
}

kernel_setting() { echo "$2" >"/proc/sys/kernel/$1" || fail "no $1"; }

echo "TAP version 13"
case $1 in
kcsan)
	echo "1..2"
	expect kcsan_c_race 'BUG: KCSAN: data-race in .*\[seeded_race\]' seeded_race seconds=20
	expect kcsan_rust_race 'BUG: KCSAN: data-race in .*\[seeded_race_rust\]' seeded_race_rust seconds=20
	exit 0
	;;
debug) ;;
*) fail "no such kernel: $1" ;;
esac

echo "1..19"
# KASAN's first report disables lockdep, so these two come first.
expect atomic_sleep 'BUG: sleeping function called from invalid context at .*seeded_c\.c:' seeded_c bug=sleep_with_a_spinlock
expect lockdep 'possible circular locking dependency detected' seeded_c bug=locks_in_both_orders
expect ubsan_bounds 'UBSAN: array-index-out-of-bounds in .*seeded_c\.c:' seeded_c bug=past_an_array
expect ubsan_shift 'UBSAN: shift-out-of-bounds in .*seeded_c\.c:' seeded_c bug=too_far_a_shift
expect debug_objects 'ODEBUG: free active .* object type: timer_list' seeded_c bug=free_a_running_timer
expect kasan_c_heap 'BUG: KASAN: slab-out-of-bounds in .*\[seeded_c\]' seeded_c bug=past_the_heap
expect kasan_rust_heap 'BUG: KASAN: slab-out-of-bounds in .*\[seeded_rust\]' seeded_rust bug=1
expect kasan_rust_freed 'BUG: KASAN: slab-use-after-free in .*\[seeded_rust\]' seeded_rust bug=2
expect kasan_rust_vmalloc 'BUG: KASAN: vmalloc-out-of-bounds in .*\[seeded_rust\]' seeded_rust bug=3
expect kasan_rust_static 'BUG: KASAN: global-out-of-bounds in .*\[seeded_rust\]' seeded_rust bug=4

# A request has the length that the program passed, even if its buffer is larger from an earlier one.
for length in 4 43 4096; do
	dmesg -c >/dev/null
	FWCTL_TEST_OVERREAD=$length /selftests/fwctl_careless -t overread >/dev/null
	result "kasan_request_$length" 'BUG: KASAN: slab-out-of-bounds in .*\[fwctl_careless_c\]'
done

load_bug seeded_c bug=spoiled_heap
echo 1 >/sys/kernel/slab/kmalloc-64/validate
result slub_redzone '\[Right Redzone overwritten\]'

load_bug seeded_c bug=forget_the_heap
sleep 6
echo scan >/sys/kernel/debug/kmemleak
echo scan >/sys/kernel/debug/kmemleak
result kmemleak 'kmemleak: [0-9]* new suspected memory leaks'

kernel_setting hung_task_timeout_secs 2
load_bug seeded_c bug=wait_for_nobody
kernel_setting hung_task_timeout_secs 0
result hung_task 'INFO: task insmod:[0-9]* blocked .*for more than'

# One bug triggers both detectors.
kernel_setting watchdog_thresh 1
echo 3 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
load_bug seeded_c bug=spin
kernel_setting watchdog_thresh 10
result soft_lockup 'BUG: soft lockup - CPU#[0-9]* stuck'
result rcu_stall 'rcu: INFO: rcu_.* stall'

# A Rust panic is an oops and leaves the module half loaded, so it comes last.
kernel_setting panic_on_oops 0
expect rust_overflow 'panicked at .*seeded_rust\.rs:.*' seeded_rust bug=5
