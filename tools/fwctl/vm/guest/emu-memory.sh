# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The emulated CXL memory device has a fwctl device, and obeys `emu`.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
device=$(the_device) || fail "$device"
fwctl cxl features "$device" || fail "no features of $device"
emu counters || fail "no counters"
emu fault op=0x501,status=5 || fail "no fault"
error=$(fwctl cxl get "$device" patrol-scrub 2>&1) && fail "the fault did not hit: $error"
echo "$error"
fwctl cxl get "$device" patrol-scrub || fail "the fault hit more than once"
