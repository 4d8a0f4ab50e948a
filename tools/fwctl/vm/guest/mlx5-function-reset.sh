# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mlx5-function-reset.sh [reset|rebind ADDRESS]: a function-level reset with a file open. mlx5_core (7.3) has no reset_prepare(): it does
# not notice that its firmware has started anew and waits for a driver, so each RPC runs into the time limit of the driver. Calls,
# close() and an unbind end all the same, and the next bind brings the card back. With an argument: only does that.
. /usr/lib/fwctl-vm/lib.sh

core=/sys/bus/pci/drivers/mlx5_core
flr() {
	echo flr >"/sys/bus/pci/devices/$1/reset_method" || fail "$1 has no function-level reset"
	echo 1 >"/sys/bus/pci/devices/$1/reset" || fail "cannot reset $1"
}
has_resets() { [ "$(emu -p /resets counters)" -gt "$1" ]; }
read_register() { fwctl mlx5 reg "$1" 0x9020 --size 160; }

case $1 in
reset)
	resets=$(emu -p /resets counters)
	flr "$2"
	has_resets "$resets" || fail "the card was not reset"
	error=$(read_register "$(the_device)" 2>&1) && fail "the firmware answers a driver that it does not know: $error"
	echo "$error"
	;;
rebind)
	echo "$2" >$core/unbind || fail "cannot unbind $2"
	has_devices 0 || fail "there are still: $(devices)"
	echo "$2" >$core/bind || fail "cannot bind $2"
	;;
'')
	load_mlx5
	device=$(the_device) || fail "$device"
	address=$(basename "$(readlink -f "/sys/class/fwctl/$device/device")")
	script=/usr/lib/fwctl-vm/mlx5-function-reset.sh

	# The core answers for a file that is open; its device is there until the unbind.
	/selftests/fwctl_hold "/dev/fwctl/$device" ENODEV /bin/sh -c "
		/selftests/fwctl_hold /dev/fwctl/$device ok /bin/sh $script reset $address && /bin/sh $script rebind $address" ||
		fail "see above"
	device=$(the_device) || fail "$device"
	read_register "$device" || fail "$device does not answer after a reset and a new bind"

	# As it should be done: nobody drives the function meanwhile.
	/selftests/fwctl_hold "/dev/fwctl/$device" ENODEV /bin/sh -c "
		echo $address >$core/unbind && echo 1 >/sys/bus/pci/devices/$address/reset && echo $address >$core/bind" ||
		fail "cannot reset the function while it has no driver"
	device=$(the_device) || fail "$device"
	read_register "$device" || fail "$device does not answer after a reset without a driver"
	nothing_alive uids
	;;
esac
