# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# After the tests of a machine with a debug kernel: fails if memory was leaked, or a checker was disabled and so missed later
# bugs.
. /usr/lib/fwctl-vm/lib.sh

grep -q 'debug_locks: *1$' /proc/lockdep_stats || fail "lockdep was disabled"
case $(cat /proc/cmdline) in
*lockdown=*)
	echo "not checked: leaks, and whether KCSAN is enabled, as lockdown denies access to debugfs"
	exit 0
	;;
*kmemleak=on*) no_leaks ;;
esac
[ ! -e /sys/kernel/debug/kcsan ] || grep -q 'enabled: 1' /sys/kernel/debug/kcsan || fail "KCSAN is disabled"
