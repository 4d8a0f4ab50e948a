# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# kunit.sh MODULE...: loads the modules, whose suites then report to the kernel log; list a module before its dependencies
. /usr/lib/fwctl-vm/lib.sh

for module; do
	load "$module"
done
unload "$@"
