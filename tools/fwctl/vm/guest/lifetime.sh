# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# lifetime.sh PROGRAM [ARGUMENT...]: a selftest that loads and unloads its driver
. /usr/lib/fwctl-vm/lib.sh

program=/selftests/$1
shift
# This case runs separately from the others.
case $* in
'-t driver_is_forgotten') export FWCTL_TEST_FORGET=1 ;;
*) unset FWCTL_TEST_FORGET ;;
esac
load fwctl
! has_kmemleak || forget_leaks
"$program" "$@"
status=$?

unload fwctl
has_devices 0 || fail "devices are left: $(devices)"
! has_kmemleak || {
	# The driver leaked on purpose.
	[ -z "$FWCTL_TEST_FORGET" ] || { find_leaks; forget_leaks; }
	no_leaks
}
exit $status
