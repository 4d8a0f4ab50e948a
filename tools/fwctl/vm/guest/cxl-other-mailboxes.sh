# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# A memory device without Set Feature, one with the smallest mailbox, and one with the largest.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
wait_for "three fwctl devices" has_devices 3

# device_with SERIAL: its fwctl device
device_with() {
	local device
	for device in $(devices); do
		[ "$(cat "/sys/class/fwctl/$device/device/serial")" != "$1" ] || echo "$device"
	done
}

constant=$(device_with 0x1)
fwctl cxl features "$constant" || fail "no features of $constant"
feature=66776374-6c00-4000-8000-000000000000
fwctl cxl get "$constant" $feature || fail "no value of $constant"
printf 1234 >/tmp/value
error=$(fwctl cxl set "$constant" $feature --scope debug-write-full -i /tmp/value 2>&1) && fail "there is no Set Feature, and it worked"
echo "$error"
commands=$(emu -p /commands constant counters) || fail "no counters of the device: $commands"
case $commands in
*"Set Feature"*) fail "the command was sent: $commands" ;;
*"Get Feature"*) ;;
*) fail "the tool read no value: $commands" ;;
esac

status=0
for serial in 0x2 0x3; do
	FWCTL_TEST_DEV=$(device_with $serial) /selftests/cxl_features || status=1
done
exit $status
