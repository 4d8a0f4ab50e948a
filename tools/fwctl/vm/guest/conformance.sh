# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# conformance.sh ours|mainline PROGRAM...: runs selftest programs on one of the two cores, with the loopback in C; a line
# "# program PROGRAM" precedes the TAP of each
. /usr/lib/fwctl-vm/lib.sh

use_core "$1"
shift
export FWCTL_TEST_DRIVER=c
for program; do
	load fwctl_loopback_c
	wait_for "a device" some_device
	echo "# program $program"
	"/selftests/$program"
	unload fwctl_loopback_c fwctl
done
