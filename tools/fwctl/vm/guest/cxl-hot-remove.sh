# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The memory device is removed while its fwctl device is open.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
for round in 1 2 3; do
	echo "round $round"
	device=$(the_device) || fail "$device"
	memdev=$(memdev_of "$device")
	function=/sys/bus/pci/devices/$(pci_of "$memdev")
	[ -e "$function/remove" ] || fail "$device: $function is no PCI function"
	exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
	echo 1 >"$function/remove"
	has_devices 0 || fail "$function was removed, but there are: $(devices)"
	exec 3>&-
	echo 1 >/sys/bus/pci/rescan
done
the_device
