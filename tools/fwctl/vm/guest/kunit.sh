# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# kunit.sh MODULE...: their suites run when they load, and report to the kernel log; a module before those it needs
. /usr/lib/fwctl-vm/lib.sh

for module; do
	load "$module"
done
unload "$@"
