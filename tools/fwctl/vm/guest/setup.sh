# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Before `fwctl-vm shell` and `fwctl-vm exec`: load the drivers of what this machine has.
. /usr/lib/fwctl-vm/lib.sh

load fwctl
if [ "$FWCTL_VM_MACHINE" = cxl-test ]; then
	load_cxl_test
elif grep -q '^0x0502' /sys/bus/pci/devices/*/class; then
	load_cxl
else
	exit 0
fi
wait_for "a fwctl device" some_device
