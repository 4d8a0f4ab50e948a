# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The fwctl device of a switch goes with cxl_fwctl, with cxl_switch and with the PCI function, also while a file is open, and comes
# back. The memory device behind the switch stays.
. /usr/lib/fwctl-vm/lib.sh

# has_no_switch: returns whether only the fwctl device of the memory device is there
has_no_switch() { has_devices 1 && [ -z "$(device_on pci)" ]; }

device=$(the_switch) || fail "$device"
function=$(basename "$(readlink -f "/sys/class/fwctl/$device/device")")
[ "$(cat "/sys/bus/pci/devices/$function/class")" = 0x0c0b00 ] || fail "$function is not the mailbox of a switch"
driver=/sys/bus/pci/drivers/cxl_switch
[ -e "$driver/$function" ] || fail "$function is not bound to cxl_switch"
auxiliary=$(find /sys/bus/auxiliary/devices/ -name 'cxl_core.switch.*' -exec basename {} \;)
fwctl_driver=$(find /sys/bus/auxiliary/drivers/ -maxdepth 1 -name 'cxl_fwctl.*')

for round in 1 2 3; do
	for way in auxiliary driver remove; do
		echo "round $round: $way"
		device=$(the_switch) || fail "$device"
		exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
		case $way in
		auxiliary) echo "$auxiliary" >"$fwctl_driver/unbind" || fail "cannot unbind $auxiliary" ;;
		driver) echo "$function" >$driver/unbind || fail "cannot unbind $function" ;;
		remove) echo 1 >"/sys/bus/pci/devices/$function/remove" || fail "cannot remove $function" ;;
		esac
		has_no_switch || fail "the switch was unbound, but there are: $(devices)"
		case $way in
		auxiliary) echo "$auxiliary" >"$fwctl_driver/bind" || fail "cannot bind $auxiliary" ;;
		driver) echo "$function" >$driver/bind || fail "cannot bind $function" ;;
		remove) echo 1 >/sys/bus/pci/rescan ;;
		esac
		wait_for "the fwctl device of the switch" has_devices 2
		exec 3>&-
	done
done

# The module can go and come as well.
unload cxl_switch
has_no_switch || fail "cxl_switch was unloaded, but there are: $(devices)"
the_switch
