# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Two emulated cards have a fwctl device each, and `emu` speaks to the one that it names.
. /usr/lib/fwctl-vm/lib.sh

emu counters 2>/dev/null
[ $? = 2 ] || fail "emu takes one of two devices by itself"

load_mlx5
wait_for "two fwctl devices" has_devices 2
for device in $(devices); do
	exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
	open=$(($(emu -p /alive/uids connectx counters) + $(emu -p /alive/uids second counters)))
	[ $open = 1 ] || fail "$device is open, and the cards have $open user contexts"
	exec 3>&-
done

# A fault of one is none of the other.
emu second fault user,status=5 || fail "no fault"
[ "$(emu connectx faults)" = '[]' ] || fail "the fault is the first card's: $(emu connectx faults)"
[ "$(emu second faults)" != '[]' ] || fail "the fault is not the second card's"
emu second clear || fail "the fault stays"
