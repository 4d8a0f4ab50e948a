# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# removal.sh ROUNDS DEVICES: measures unloading the loopback in C with DEVICES devices, on our core and mainline's in turns;
# prints lines of core, devices and milliseconds
. /usr/lib/fwctl-vm/lib.sh

# uptime_ms: with the kernel's resolution of 10 ms
uptime_ms() { sed 's/ .*//; s/\.//; s/$/0/' /proc/uptime; }

round=0
while [ $round != "$1" ]; do
	for core in ours mainline; do
		use_core $core
		load fwctl_loopback_c devices="$2"
		wait_for "$2 devices" [ "$(count_devices)" = "$2" ]
		started=$(uptime_ms)
		rmmod fwctl_loopback_c || fail "rmmod fwctl_loopback_c failed"
		printf '%s\t%s\t%s\n' $core "$2" $(($(uptime_ms) - started))
		unload fwctl
	done
	round=$((round + 1))
done
