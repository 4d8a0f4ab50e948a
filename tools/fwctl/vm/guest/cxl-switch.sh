# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The selftest on the mailbox of QEMU's switch.
. /usr/lib/fwctl-vm/lib.sh

the_switch || exit
exec /selftests/cxl_switch
