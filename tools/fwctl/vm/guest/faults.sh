# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# faults.sh MODULE FIRST [ARGUMENT...]: fails each step of adding, using and removing a driver's device once, then checks for
# leaks; the arguments are those of fwctl_fail_drivers. Loading has hundreds of steps, mostly of the module loader: of these
# only every 7th from FIRST on fails, unless FAULTS=all (make faults). The interval is odd because every other allocation is
# kmemleak's.
. /usr/lib/fwctl-vm/lib.sh

module=$1
case ${FAULTS:-} in
all) ;;
*)
	export FWCTL_TEST_EVERY=7 FWCTL_TEST_FIRST="$2"
	echo "# fails every 7th step of loading from step $2 on; make faults fails each step"
	;;
esac
shift 2
load_driver "$module"
wait_for "a device of $module" some_device
# Removing devices and modules waits for RCU, which the test is not about.
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
