# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# What becomes of a Feature's values when the device is reset, as the tool shows them.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
device=$(the_device) || fail "$device"

# uuid NUMBER: of a Feature of the emulated device
uuid() { printf '66776374-6c00-4000-8000-%012x' "$1"; }

# value NUMBER SELECTION: in hexadecimal
value() { fwctl cxl get "$device" "$(uuid "$1")" --selection "$2" -o raw | hexdump -ve '1/1 "%02x"' || fail "cannot get $1 $2"; }

# has NUMBER CURRENT DEFAULT SAVED
has() {
	for has_selection in current default saved; do
		shift
		has_value=$(value "$number" $has_selection)
		[ "$has_value" = "$1" ] || fail "Feature $number, $has_selection value: not $1 but $has_value"
	done
}

# set NUMBER SCOPE: to 01020304
set_value() {
	printf '\001\002\003\004' >/tmp/value
	fwctl cxl set "$device" "$(uuid "$1")" --scope "$2" -i /tmp/value || fail "cannot set $1"
}

# Immediate: current at once; the driver has it saved, so that no reset takes it away.
number=0
set_value 0 debug-write-full
has 0 01020304 00010203 01020304
emu reset cold
has 0 01020304 00010203 01020304

# At a reset of its kind, or a more thorough one, and not before.
for pair in 4:cold:04050607 5:conventional:05040706 6:cxl:06070405; do
	number=${pair%%:*}
	default=${pair##*:}
	least=${pair#*:}
	least=${least%:*}
	set_value "$number" debug-write
	has "$number" "$default" "$default" 01020304
	for reset in cxl conventional cold; do
		emu reset $reset
		[ "$reset" != "$least" ] || break
		has "$number" "$default" "$default" 01020304
	done
	has "$number" 01020304 "$default" 01020304
done

# The memdev does not know; its driver goes and comes, and the values stay.
function=$(pci_of "$(memdev_of "$device")")
echo "$function" >/sys/bus/pci/drivers/cxl_pci/unbind
has_devices 0 || fail "unbound, but there are: $(devices)"
echo "$function" >/sys/bus/pci/drivers/cxl_pci/bind
device=$(the_device) || fail "$device"
has 6 01020304 06070405 01020304
emu -p /transfers counters
