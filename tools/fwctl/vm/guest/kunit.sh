# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# kunit.sh MODULE...: loads the modules, whose suites then report to the kernel log; list a module before its dependencies
. /usr/lib/fwctl-vm/lib.sh

# The suites of the kernel crate have run at boot.
for suite in rust_kvbytes rust_rcu_head rust_shared_pages rust_try_lock rust_user_pages rust_wait_queue; do
	dmesg | grep -q "] ok [0-9]* $suite\$" || fail "the suite $suite did not pass at boot"
done
for module; do
	load "$module"
done
unload "$@"
