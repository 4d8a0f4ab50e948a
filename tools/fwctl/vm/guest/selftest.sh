# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# selftest.sh rust|c|abstraction PROGRAM [ARGUMENT...]: a kselftest on a loopback sample
. /usr/lib/fwctl-vm/lib.sh

case $1 in
rust) module=fwctl_loopback ;;
c) module=fwctl_loopback_c ;;
abstraction) module=fwctl_loopback_kernel ;;
*) fail "no such sample: $1" ;;
esac

export FWCTL_TEST_DRIVER=$1 FWCTL_TEST_SLOW=1
program=/selftests/$2
shift 2
case $* in
# Thousands of devices come and go, and each waits for RCU: the waits are not what the test is about.
'-t all_numbers_are_taken') echo 1 >/sys/kernel/rcu_expedited || fail "no /sys/kernel/rcu_expedited" ;;
esac
load "$module"
wait_for "a device of $module" some_device
# The program finds the device itself: on the way there are new ones, with new numbers.
"$program" "$@"
status=$?

echo 0 >/sys/kernel/rcu_expedited
# Whatever it did, the modules can go.
unload "$module" fwctl
has_devices 0 || fail "devices are left: $(devices)"
exit $status
