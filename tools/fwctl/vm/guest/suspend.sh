# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# suspend.sh: suspends the machine to RAM with a file of each driver open and RPCs in flight. The file of the ConnectX ends, since
# mlx5_core removes its fwctl device to suspend and registers a new one to resume. The other files and devices continue to work.
# suspend.sh now: only suspends.
. /usr/lib/fwctl-vm/load.sh

# suspends: prints how often the machine has suspended
suspends() { cat /sys/power/suspend_stats/success; }

# suspend_to_ram: suspends until the clock's alarm. An alarm that comes too early, on a busy host, aborts the suspend because of
# wakeup_count; it would be lost otherwise.
suspend_to_ram() {
	local alarm=/sys/class/rtc/rtc0/wakealarm seconds events
	[ -e $alarm ] || fail "no clock wakes the machine"
	for seconds in 10 20 40 80; do
		read -r events </sys/power/wakeup_count
		echo 0 >$alarm
		echo +$seconds >$alarm || fail "the clock takes no alarm"
		if echo "$events" >/sys/power/wakeup_count && echo mem >/sys/power/state; then return; fi
	done
	fail "the machine does not suspend: $(grep -H . /sys/power/suspend_stats/*)"
}

if [ "${1:-}" = now ]; then
	before=$(suspends)
	suspend_to_ram
	[ "$(suspends)" = $((before + 1)) ] || fail "the machine did not suspend: $(grep -H . /sys/power/suspend_stats/*)"
	exit 0
fi

# device_below NAME: prints the fwctl device with NAME in its path
device_below() {
	local device
	for device in $(devices); do
		case $(readlink -f "/sys/class/fwctl/$device") in
		*"$1"*) echo "$device" ;;
		esac
	done
}

# works: fails unless each device answers
works() {
	local device
	for device in "$loopback" "$memory" "$card"; do
		fwctl info "$device" >/dev/null || fail "$device does not answer"
	done
	fwctl cxl features "$memory" >/dev/null || fail "$memory does not list its Features"
	see_answers
}

emu_answers() { emu counters >/dev/null 2>&1; }

grep -qF '[deep]' /sys/power/mem_sleep || skip "this kernel does not suspend to RAM"
# The log shows what hangs.
echo N >/sys/module/printk/parameters/console_suspend

load_cxl
load fwctl_loopback devices=1
card=$(the_card) || fail "$card"
loopback=$(device_below loopback)
memory=$(device_on cxl)
[ "$loopback" != "" ] || fail "the loopback has no fwctl device: $(devices)"
[ "$memory" != "" ] || fail "the memory device has no fwctl device: $(devices)"
# The kernel refuses to suspend to RAM while it may be using CXL memory.
memdev_of "$memory" >/sys/bus/cxl/drivers/cxl_mem/unbind || fail "cannot unbind cxl_mem"

start_load ENODEV,ENXIO,ENOENT
for round in 1 2; do
	echo "round $round: $loopback, $memory, $card"
	works
	/selftests/fwctl_hold "/dev/fwctl/$loopback" ok /selftests/fwctl_hold "/dev/fwctl/$memory" ok \
		/selftests/fwctl_hold "/dev/fwctl/$card" ENODEV /bin/sh /usr/lib/fwctl-vm/suspend.sh now ||
		fail "a suspend failed, or a file after it: see above"
	card=$(the_card) || fail "$card"
	works
	# The runner has to open the ports of the emulated devices again.
	wait_for "the control port of the card" emu_answers
done
stop_load
nothing_alive uids
