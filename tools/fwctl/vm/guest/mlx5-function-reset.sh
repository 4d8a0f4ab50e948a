# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mlx5-function-reset.sh: resets the function with an open file while no driver is bound. Not with mlx5_core bound, which has no
# reset_prepare() (7.3), does not notice that its firmware has restarted, and hangs in the next unbind.
. /usr/lib/fwctl-vm/lib.sh

core=/sys/bus/pci/drivers/mlx5_core
read_register() { fwctl mlx5 reg "$1" 0x9020 --size 160; }

load_mlx5
device=$(the_device) || fail "$device"
address=$(basename "$(readlink -f "/sys/class/fwctl/$device/device")")
function=/sys/bus/pci/devices/$address
echo flr >"$function/reset_method" || fail "$address has no function-level reset"
resets=$(emu -p /resets counters)

/selftests/fwctl_hold "/dev/fwctl/$device" ENODEV /bin/sh -c "
	echo $address >$core/unbind && echo 1 >$function/reset && echo $address >$core/bind" ||
	fail "cannot reset the function"
# Later tests on the machine need the reset of the bus, too.
echo default >"$function/reset_method" || fail "$address does not take its reset methods back"
[ "$(emu -p /resets counters)" -gt "$resets" ] || fail "the card was not reset"
device=$(the_device) || fail "$device"
read_register "$device" || fail "$device does not answer after the reset"
nothing_alive uids
