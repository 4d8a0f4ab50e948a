# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# faults.sh MODULE [ARGUMENT...]: each step of what makes, uses and ends the device of a driver fails once, after which nothing
# has leaked; the arguments are for fwctl_fail_drivers
. /usr/lib/fwctl-vm/lib.sh

module=$1
shift
load_driver "$module"
wait_for "a device of $module" some_device
# Devices and modules come and go, and each waits for RCU: the waits are not what the test is about.
echo 1 >/sys/kernel/rcu_expedited
forget_leaks
FWCTL_TEST_MODULE=$module /selftests/fwctl_fail_drivers "$@"
status=$?
echo 0 >/sys/kernel/rcu_expedited
[ "$status" = 0 ] || exit "$status"
[ "$module" != mlx5_fwctl ] || nothing_alive uids
unload "$module" fwctl
has_devices 0 || fail "devices are left: $(devices)"
if [ "$module" = mlx5_fwctl ]; then
	unload mlx5_core
	nothing_alive eqs uars pages
fi
no_leaks
