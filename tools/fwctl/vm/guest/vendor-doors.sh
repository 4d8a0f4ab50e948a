# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# vendor-doors.sh open|closed: the ways to a device's firmware that go past the kernel's drivers are open to root, and
# closed on a kernel that is locked down. fwctl is what tools have there.
. /usr/lib/fwctl-vm/vendor.sh

need_tool map
need_tool mstmcra
card=$(the_card) || fail "$card"
directory=/sys/bus/pci/devices/$(function_of "$card")
lockdown=$(cat /sys/kernel/security/lockdown) || fail "this kernel has no lockdown"
echo "lockdown: $lockdown"
case $1,$lockdown in
open,*'[none]'* | closed,*'[integrity]'* | closed,*'[confidentiality]'*) ;;
*) fail "the doors cannot be $1" ;;
esac
expected=$1

# refusals: how often lockdown has refused something
refusals() { dmesg | grep -c 'Lockdown: .* is restricted'; }

# door WHAT COMMAND...: it works, or the kernel refuses it for being locked down
door() {
	door_what=$1
	shift
	door_before=$(refusals)
	door_error=$("$@" 2>&1 >/dev/null)
	door_status=$?
	echo "$door_what: status $door_status, refused $(($(refusals) - door_before)) times. $door_error"
	case $expected in
	open) [ $door_status = 0 ] && [ "$(refusals)" = "$door_before" ] ;;
	closed) [ $door_status != 0 ] && [ "$(refusals)" -gt "$door_before" ] ;;
	esac || fail "$door_what is not $expected"
}

# The interrupt line, which nobody reads: it is written as it is.
configure() {
	dd if="$directory/config" of=/tmp/line bs=1 skip=60 count=1 2>/dev/null
	dd if=/tmp/line of="$directory/config" bs=1 seek=60 count=1 conv=notrunc
}
door "the configuration space" configure

# It begins with the version of the firmware, 28.45.
read_memory() { [ "$(map "$directory/resource0")" = 0x002d001c ]; }
door "the memory of the device" read_memory

# Unsigned code would be a door as well: ours without the signature.
module=/tmp/fwctl_loopback.ko
head -c -28 "$(find "/lib/modules/$(uname -r)" -name fwctl_loopback.ko)" >$module
door "an unsigned module" insmod $module
unload fwctl_loopback
load fwctl_loopback
unload fwctl_loopback

# Whereas here it is open:
runs mstmcra "$card" 0xf0014
says 0x00000218
