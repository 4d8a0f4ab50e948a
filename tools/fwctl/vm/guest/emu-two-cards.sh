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

# What is said to a card whose process has ended. QEMU does not like to access one, so the guest has let go of it.
for function in /sys/bus/pci/drivers/mlx5_core/0*; do
	echo 1 >"$function/remove" || fail "cannot remove $function"
done
emu second exit || fail "the second card does not end"
emu second counters 2>/dev/null
[ $? = 3 ] || fail "the second card has ended, and emu does not notice"
emu connectx counters >/dev/null || fail "the first card ended as well"
