# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# conformance.sh ours|mainline DRIVER PROGRAM...: runs selftest programs on one of the two cores, with the loopback in C
# (DRIVER fwctl_loopback_c), or with our or mainline's pds driver, of which the same is expected (pds_fwctl); a line "# program
# PROGRAM" precedes the TAP of each
. /usr/lib/fwctl-vm/lib.sh

use_core "$1"
driver=$2
shift 2
case $driver in
pds_fwctl)
	export FWCTL_TEST_PDS=emulated
	load pds_core
	;;
*) export FWCTL_TEST_DRIVER=c ;;
esac
for program; do
	load "$driver"
	wait_for "a device" some_device
	echo "# program $program"
	"/selftests/$program"
	unload "$driver" fwctl
done
