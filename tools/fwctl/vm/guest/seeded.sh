# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# seeded.sh ours|mainline CASE PATTERN: fails unless the kernel reports a seeded bug of a C driver, on one of the two cores
. /usr/lib/fwctl-vm/lib.sh

use_core "$1"
case $2 in
deadlock) export FWCTL_TEST_DEADLOCK=1 ;;
*) fail "no such bug: $2" ;;
esac
load fwctl
dmesg -c >/dev/null
/selftests/fwctl_careless -t "$2" || fail "the selftest failed"
dmesg | grep -q "$3" || fail "no kernel message matches: $3"
unload fwctl
