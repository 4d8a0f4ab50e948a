# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Two memory devices, a fwctl device each.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
wait_for "two fwctl devices" has_devices 2
fwctl list || fail "fwctl list failed"
parents=''
first=''
for device in $(devices); do
	memdev=$(memdev_of "$device")
	[ -e "/sys/bus/cxl/devices/$memdev/fwctl/$device" ] || fail "no fwctl/$device below $memdev"
	case $parents in
	*" $memdev "*) fail "$memdev has two fwctl devices" ;;
	esac
	parents="$parents $memdev "
	fwctl cxl features "$device" || fail "no features of $device"
	first=${first:-$device}
	last=$device
done

# One goes, the other stays.
memdev=$(memdev_of "$first")
echo 1 >"/sys/bus/pci/devices/$(pci_of "$memdev")/remove"
has_devices 1 || fail "one device was removed, but there are: $(devices)"
[ "$(devices)" = "$last" ] || fail "$first should have been removed"
fwctl info "$last" || fail "no answer from $last"
