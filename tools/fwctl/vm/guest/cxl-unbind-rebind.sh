# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The fwctl device goes with its driver and comes back with it, also while a file is open.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
device=$(the_device) || fail "$device"
driver=$(find /sys/bus/auxiliary/drivers/ -maxdepth 1 -name 'cxl_fwctl.*')
[ -e "$driver/bind" ] || fail "no driver cxl_fwctl on the auxiliary bus: $(ls /sys/bus/auxiliary/drivers)"
link=$(find "$driver/" -maxdepth 1 -name 'cxl_core.*')
[ -L "$link" ] || fail "the driver is bound to nothing, or to more than one: $(ls "$driver")"
auxiliary=$(basename "$link")

for round in 1 2 3; do
	echo "round $round"
	device=$(the_device) || fail "$device"
	memdev=$(memdev_of "$device")
	exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
	echo "$auxiliary" >"$driver/unbind" || fail "cannot unbind $auxiliary"
	has_devices 0 || fail "unbound, but there are: $(devices)"
	[ ! -e "/dev/fwctl/$device" ] || fail "unbound, but there is /dev/fwctl/$device"
	[ -e "/sys/bus/cxl/devices/$memdev" ] || fail "$memdev went with the driver"
	echo "$auxiliary" >"$driver/bind" || fail "cannot bind $auxiliary"
	again=$(the_device) || fail "bound: $again"
	[ "$(memdev_of "$again")" = "$memdev" ] || fail "bound, but not to $memdev"
	exec 3>&-
done

# The module can go and come as well.
unload cxl_fwctl
has_devices 0 || fail "cxl_fwctl was unloaded, but there are: $(devices)"
load cxl_fwctl
the_device
