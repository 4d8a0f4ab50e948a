# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# faults.sh MODULE FIRST [ARGUMENT...]: each step of what makes, uses and ends the device of a driver fails once, after which
# nothing has leaked; the arguments are for fwctl_fail_drivers. Of the steps of loading, which are hundreds and mostly the
# module loader's, only every 7th from FIRST on does, unless FAULTS=all (make faults). An odd number, as with kmemleak on
# every other allocation is its own.
. /usr/lib/fwctl-vm/lib.sh

module=$1
case ${FAULTS:-} in
all) ;;
*)
	export FWCTL_TEST_EVERY=7 FWCTL_TEST_FIRST="$2"
	echo "# of loading, every 7th step from step $2 on fails; make faults lets each of them fail"
	;;
esac
shift 2
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
