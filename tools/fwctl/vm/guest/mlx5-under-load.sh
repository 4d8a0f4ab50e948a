# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox disable=SC2317 # functions are called by name
# mlx5-under-load.sh HOW...: removes the ConnectX in each of these ways and adds it again, repeatedly, while threads issue RPCs.
# Each RPC must return an answer or one of the listed errnos, and no resources may be left. Some of the RPCs dump to registered
# memory, which must not stay in quarantine once the function has left mlx5_core.
. /usr/lib/fwctl-vm/load.sh

driver=/sys/bus/auxiliary/drivers/mlx5_fwctl.mlx5_fwctl
core=/sys/bus/pci/drivers/mlx5_core

# is_quiet: returns whether no RPC is answered for half a second
is_quiet() {
	local before
	before=$(answers)
	usleep 500000
	[ "$(answers)" = "$before" ]
}

# said TEXT: prints the number of kernel messages with TEXT
said() { dmesg | grep -c "$1"; }

# has_fallen: returns whether mlx5_core has reported another fatal error
has_fallen() { [ "$(said 'Fatal error')" -gt "$falls" ]; }

# has_recovered: returns whether mlx5_core has recovered from another fatal error
has_recovered() { [ "$(said 'health recovery succeeded')" -gt "$recoveries" ]; }

# has_given_up: returns whether mlx5_core has unloaded instead
has_given_up() { [ "$(said 'Driver is in error state. Unloading')" -gt "$ends" ] && has_devices 0; }

# has_timed_out: returns whether another command has timed out
has_timed_out() { [ "$(said 'timeout. Will cause a leak')" -gt "$timeouts" ]; }

is_settled() { has_recovered || has_given_up; }

# quarantined: prints the bytes of memory that the firmware may still write to
quarantined() { cat /sys/module/fwctl/parameters/quarantined_bytes; }

# find_function: waits for the fwctl device and sets the path and address of its function
find_function() {
	device=$(the_device) || fail "$device"
	function=$(readlink -f "/sys/class/fwctl/$device/device")
	address=$(basename "$function")
}

no_devices() { has_devices 0 || fail "there are still: $(devices)"; }

rescan() {
	echo 1 >/sys/bus/pci/rescan
	wait_for "the function" [ -e "$function/driver" ]
}

# Unbinds our driver only.
unbind() {
	auxiliary=$(basename "$(echo "$function"/mlx5_core.fwctl.*)")
	echo "$auxiliary" >$driver/unbind || fail "cannot unbind $auxiliary"
	no_devices
	nothing_alive uids
	echo "$auxiliary" >$driver/bind || fail "cannot bind $auxiliary"
}

# Its module, with files open.
unload_module() {
	unload mlx5_fwctl
	no_devices
	nothing_alive uids
	load mlx5_fwctl
}

# The driver below.
core_unbind() {
	echo "$address" >$core/unbind || fail "cannot unbind $address"
	no_devices
	nothing_alive uids eqs uars pages
	echo "$address" >$core/bind || fail "cannot bind $address"
}

# The function, by sysfs.
remove() {
	echo 1 >"$function/remove"
	no_devices
	nothing_alive uids eqs uars pages
	rescan
}

# The card, in the middle of an RPC.  Then comes what hotplug would do, after mlx5_core has noticed, or before.
vanish() {
	falls=$(said 'Fatal error')
	emu fault user,nth=20,vanish || fail "no fault"
	wait_for "the device's end" is_quiet
	[ "$1" != 1 ] || wait_for "mlx5_core to notice" has_fallen
	echo 1 >"$function/remove"
	no_devices
	emu return
	rescan
}

# The same after a command has timed out, which keeps its slot.
stall() {
	timeouts=$(said 'timeout. Will cause a leak')
	emu fault user,never || fail "no fault"
	# The timeout of the card, and what mlx5_core adds.
	sleep 7
	wait_for "a timeout" has_timed_out
	vanish "$1"
}

# Fatal health, in the middle of an RPC.  mlx5_core resets the firmware and starts again, but not if it did so a minute ago.  Until
# it has done the one or the other the device that is there may be the old one.
health() {
	recoveries=$(said 'health recovery succeeded')
	ends=$(said 'Driver is in error state. Unloading')
	emu fault user,nth=20,health=0x10 || fail "no fault"
	wait_for "fatal health" is_quiet
	wait_for "mlx5_core to recover or give up" is_settled
	if has_recovered; then
		echo "mlx5_core has recovered"
		return
	fi
	echo "mlx5_core has given up"
	echo "$address" >$core/unbind || fail "cannot unbind $address"
	emu health 0
	echo "$address" >$core/bind || fail "cannot bind $address"
}

# The driver, by devlink, which ends the fwctl device in between.
reload() {
	/selftests/devlink_reload "pci/$address" || fail "devlink does not reload $address"
	uids=$(emu -p /alive/uids counters)
	[ "$uids" -le 4 ] || fail "the device has $uids user contexts, and at most 4 files are open"
}

load_mlx5
find_function
for how; do
	gone=ENODEV,ENXIO,ENOENT
	rounds=4
	case $how in
	unbind) act=unbind ;;
	unload) act=unload_module ;;
	core-unbind) act=core_unbind ;;
	remove) act=remove ;;
	reload) act=reload ;;
	vanish | stall | health)
		act=$how
		rounds=2
		# mlx5_core has noticed, a command that it sent before it did, and one that it did not send as too many had timed out.
		# EIO: the firmware has not confirmed that it has forgotten memory.
		gone=$gone,ENOLINK,ETIMEDOUT,EAGAIN,EIO
		;;
	*) fail "no such way: $how" ;;
	esac

	# There, every allocation takes its time.
	[ "$FWCTL_VM_MACHINE" != connectx-leaks ] || rounds=1
	start_load "$gone"
	see_answers
	for round in $(seq $rounds); do
		echo "$how, round $round"
		$act "$round"
		find_function
		see_answers
	done
	stop_load
	# The firmware was reset by mlx5_core, of which fwctl does not know.
	[ "$how" != health ] || [ "$(quarantined)" = 0 ] || core_unbind
	nothing_alive uids umems mkeys pds
	[ "$(quarantined)" = 0 ] || fail "$(quarantined) bytes are in quarantine"
done

if [ "$FWCTL_VM_MACHINE" = connectx-leaks ]; then
	unload mlx5_fwctl mlx5_core fwctl
	no_leaks
fi
