# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# selftest.sh rust|async|c|abstraction[+uring] PROGRAM [ARGUMENT...]: a selftest on a loopback device, by io_uring if asked to
. /usr/lib/fwctl-vm/lib.sh

driver=${1%+uring}
parameter=
case $driver in
rust) module=fwctl_loopback ;;
async)
	module=fwctl_loopback
	parameter=asynchronous=1
	driver=rust
	export FWCTL_TEST_ASYNC=1
	;;
c) module=fwctl_loopback_c ;;
abstraction) module=fwctl_loopback_kernel ;;
*) fail "no such loopback: $1" ;;
esac
case $1 in
*+uring) export FWCTL_TEST_URING=1 ;;
esac

export FWCTL_TEST_DRIVER=$driver FWCTL_TEST_SLOW=1
program=/selftests/$2
shift 2
# A kernel for one processor neither has the file nor waits for others.
expedited=/sys/kernel/rcu_expedited
if [ ! -e $expedited ]; then
	[ "$(grep -c ^processor /proc/cpuinfo)" = 1 ] || fail "no $expedited"
	expedited=/dev/null
fi
case $* in
# Thousands of devices are removed, and each removal waits for RCU, which the test is not about.
'-t all_numbers_are_taken') echo 1 >$expedited ;;
esac
[ "$FWCTL_VM_MACHINE" != plain-leaks ] || forget_leaks
# shellcheck disable=SC2086 # none or one
load "$module" $parameter
wait_for "a device of $module" some_device
# The program finds the device, as the number changes when it reloads the driver.
"$program" "$@"
status=$?

echo 0 >$expedited
# The modules can be unloaded whatever the result is.
unload "$module" fwctl
has_devices 0 || fail "devices are left: $(devices)"
[ "$FWCTL_VM_MACHINE" != plain-leaks ] || no_leaks
exit $status
