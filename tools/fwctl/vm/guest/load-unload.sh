# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Loads and unloads the core and the loopbacks many times, and with an open file.
. /usr/lib/fwctl-vm/lib.sh

for round in $(seq 50); do
	load fwctl
	[ -d /sys/class/fwctl ] || fail "round $round: no class fwctl"
	unload fwctl
	[ ! -d /sys/class/fwctl ] || fail "round $round: the class fwctl is left"
done

for module in fwctl_loopback fwctl_loopback_c; do
	for round in $(seq 10); do
		load $module
		wait_for "$module: a device" some_device
		unload $module
		has_devices 0 || fail "$module, round $round: devices are left: $(devices)"
	done

	# A driver can be unloaded while a file is open, the core cannot.
	load $module
	device=$(first_device) || fail "$module: $device"
	exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
	! rmmod fwctl 2>/dev/null || fail "fwctl was unloaded while $module uses it"
	unload $module
	has_devices 0 || fail "$module is unloaded, its devices are left: $(devices)"
	error=$(rmmod fwctl 2>&1) && fail "fwctl was unloaded while a file is open"
	case $error in
	*"temporarily unavailable"*) ;;
	*) fail "rmmod fwctl with a file open is not EAGAIN: $error" ;;
	esac
	exec 3>&-
	unload fwctl
done
