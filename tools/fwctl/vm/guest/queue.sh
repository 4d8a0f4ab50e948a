# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# queue.sh MODULE: many RPCs in flight from one thread, with the library's queue, on a loopback device
. /usr/lib/fwctl-vm/lib.sh

load "$1"
device=$(first_device) || fail "$device"
fwctl-queue "/dev/fwctl/$device"
status=$?

# The last requests of the test may still be in flight; they do not keep the process.
unload "$1" fwctl
has_devices 0 || fail "devices are left: $(devices)"
exit $status
