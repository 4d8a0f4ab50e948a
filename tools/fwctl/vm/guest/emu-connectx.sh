# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The emulated card has a fwctl device, and each end sees of the other what it should.
. /usr/lib/fwctl-vm/lib.sh

# emu_says TEXT COMMAND...: emu prints just that
emu_says() {
	emu_says_text=$1
	shift
	emu_says_found=$(emu "$@" 2>&1) || fail "emu $*: $emu_says_found"
	[ "$emu_says_found" = "$emu_says_text" ] || fail "emu $*: not $emu_says_text but $emu_says_found"
}

load_mlx5
device=$(the_device) || fail "$device"
case $(readlink -f "/sys/class/fwctl/$device/device/driver") in
*/mlx5_core) ;;
*) fail "$device belongs to $(readlink -f "/sys/class/fwctl/$device/device")" ;;
esac

emu_says 0 -p /alive/uids counters
exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
emu_says 1 -p /alive/uids counters
exec 3>&-
emu_says 0 -p /alive/uids counters

# Several at a time take turns.
for n in 1 2 3 4 5 6 7 8; do
	emu -p /alive/uids counters >/tmp/emu.$n &
done
wait
cat /tmp/emu.? >/tmp/emu
[ "$(tr -d '\n' </tmp/emu)" = 00000000 ] || fail "of eight at a time: $(cat /tmp/emu)"

# Commands that the device refuses or does not know.
emu nonsense 2>/dev/null && fail "the device knows 'nonsense'"
[ $? = 1 ] || fail "emu nonsense: not status 1"
emu connectx counters >/dev/null || fail "no device called connectx"
emu -p /no/such counters 2>/dev/null && fail "the counters have /no/such"
emu 2>/dev/null
[ $? = 2 ] || fail "emu: not status 2"

# A fault hits the RPC that it was made for, and no other.
emu fault user,status=5/0x1234 || fail "no fault"
error=$(fwctl mlx5 reg "$device" 0x9020 --size 160 2>&1) && fail "the fault did not hit: $error"
case $error in
*0x00001234*) ;;
*) fail "not the syndrome of the fault: $error" ;;
esac
echo "$error"
fwctl mlx5 reg "$device" 0x9020 --size 160 || fail "the fault hit more than once"
