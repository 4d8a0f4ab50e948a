# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# vendor-bypass.sh open|closed: access to a device's firmware that bypasses the kernel's drivers works for root (open), and is
# denied by a locked-down kernel (closed), where tools have to use fwctl.
. /usr/lib/fwctl-vm/vendor.sh

need_tool map
need_tool mstmcra
card=$(the_card) || fail "$card"
directory=/sys/bus/pci/devices/$(function_of "$card")
lockdown=$(cat /sys/kernel/security/lockdown) || fail "this kernel has no lockdown"
echo "lockdown: $lockdown"
case $1,$lockdown in
open,*'[none]'* | closed,*'[integrity]'* | closed,*'[confidentiality]'*) ;;
*) fail "lockdown is not as $1 requires" ;;
esac
expected=$1

# refusals: prints the number of accesses that lockdown has denied
refusals() { dmesg | grep -c 'Lockdown: .* is restricted'; }

# attempt WHAT COMMAND...: fails unless it works (open) or lockdown denies it (closed)
attempt() {
	local what=$1 before error status
	shift
	before=$(refusals)
	error=$("$@" 2>&1 >/dev/null)
	status=$?
	echo "$what: status $status, refused $(($(refusals) - before)) times. $error"
	case $expected in
	open) [ $status = 0 ] && [ "$(refusals)" = "$before" ] ;;
	closed) [ $status != 0 ] && [ "$(refusals)" -gt "$before" ] ;;
	esac || fail "$what is not $expected"
}

# Writes the interrupt line, which nothing reads, with the value that it has.
configure() {
	dd if="$directory/config" of=/tmp/line bs=1 skip=60 count=1 2>/dev/null
	dd if=/tmp/line of="$directory/config" bs=1 seek=60 count=1 conv=notrunc
}
attempt "the configuration space" configure

# The memory begins with the version of the firmware, 28.45.
read_memory() { [ "$(map "$directory/resource0")" = 0x002d001c ]; }
attempt "the memory of the device" read_memory

# Unsigned modules would bypass lockdown, too: our module without its signature.
module=/tmp/fwctl_loopback.ko
head -c -28 "$(find "/lib/modules/$(uname -r)" -name fwctl_loopback.ko)" >$module
attempt "an unsigned module" insmod $module
unload fwctl_loopback
load fwctl_loopback
unload fwctl_loopback

# Access through fwctl works in both cases.
runs mstmcra "$card" 0xf0014
says 0x00000218
