# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# At the end of a machine whose kernel checks more: nothing has leaked, and no checker has switched itself off, after which
# it would have found nothing.
. /usr/lib/fwctl-vm/lib.sh

grep -q 'debug_locks: *1$' /proc/lockdep_stats || fail "lockdep has switched itself off"
case $(cat /proc/cmdline) in
*lockdown=*)
	echo "not looked for: leaks, and whether KCSAN is on, as lockdown denies the files that say so"
	exit 0
	;;
*kmemleak=on*) no_leaks ;;
esac
[ ! -e /sys/kernel/debug/kcsan ] || grep -q 'enabled: 1' /sys/kernel/debug/kcsan || fail "KCSAN is off"
