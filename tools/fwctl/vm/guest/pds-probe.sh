# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The emulated Pensando card has a fwctl device, with our driver and with each driver bound again.
. /usr/lib/fwctl-vm/lib.sh

# is_listed DEVICE: fwctl shows the device below pds_core
is_listed() {
	fwctl list | tee /tmp/list
	grep -q "^$1 .*pds .*pds_core" /tmp/list || fail "fwctl list does not show $1"
	fwctl info "$1" || fail "no information about $1"
}

# rebind DRIVER NAME: unbinds and binds a device; there is none meanwhile
rebind() {
	echo "$2" >"$1/unbind" || fail "cannot unbind $2"
	has_devices 0 || fail "there is a device after $2 was unbound: $(devices)"
	echo "$2" >"$1/bind" || fail "cannot bind $2"
}

load_pds
device=$(the_device) || fail "$device"
is_listed "$device"
address=$(basename "$(readlink -f "/sys/class/fwctl/$device/device")")
auxiliary=$(basename "/sys/bus/pci/devices/$address"/pds_core.fwctl.*)

rebind /sys/bus/auxiliary/drivers/pds_fwctl.pds_fwctl "$auxiliary"
device=$(the_device) || fail "$device"
is_listed "$device"

rebind /sys/bus/pci/drivers/pds_core "$address"
device=$(the_device) || fail "$device"
is_listed "$device"
[ "$(emu -p /clients counters)" = 1 ] || fail "not one client: $(emu clients)"
