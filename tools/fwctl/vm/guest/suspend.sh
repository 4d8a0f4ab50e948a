# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# suspend.sh [STATE]: the machine suspends to idle with a file of each kind of device open and calls in flight. Files of the loopback
# and of the memory device, whose drivers do not take part, go on; those of the ConnectX end with its fwctl device, which mlx5_core
# removes to suspend and makes again to resume. With STATE: only suspends.
. /usr/lib/fwctl-vm/vendor.sh

# succeeded: how often the machine has suspended
succeeded() { cat /sys/power/suspend_stats/success; }

alarm=/sys/class/rtc/rtc0/wakealarm
[ -e /sys/power/state ] || skip "this kernel cannot suspend"
[ -e $alarm ] || fail "there is no clock that can wake the machine"

if [ $# = 1 ]; then
	before=$(succeeded)
	echo 0 >$alarm
	# From this moment on: a busy host may take a while to get there, and an alarm in the past wakes nobody.
	echo +15 >$alarm || fail "the clock takes no alarm"
	echo "$1" >/sys/power/state || fail "the machine does not suspend: $(grep -H . /sys/power/suspend_stats/*)"
	[ "$(succeeded)" = $((before + 1)) ] || fail "the machine did not suspend: $(grep -H . /sys/power/suspend_stats/*)"
	exit 0
fi

# device_below PATTERN: name of the fwctl device whose path is like that, once it is there
device_below() {
	for device_below_one in $(devices); do
		# shellcheck disable=SC2254 # it is a pattern
		case $(readlink -f "/sys/class/fwctl/$device_below_one") in
		$1) echo "$device_below_one" ;;
		esac
	done
}
has_device_below() { [ -n "$(device_below "$1")" ]; }

emu_answers() { emu counters >/dev/null 2>&1; }

answers() { sed 's/^0*\(.\)/\1/' /tmp/answers 2>/dev/null || echo 0; }
has_answers() { [ "$(answers)" -gt "$1" ]; }
see_answers() { wait_for "100 more answers" has_answers $(($(answers) + 100)); }

grep -q s2idle /sys/power/mem_sleep || fail "no suspend to idle: $(cat /sys/power/mem_sleep)"
echo s2idle >/sys/power/mem_sleep
load_cxl
load fwctl_loopback devices=1
card=$(the_card) || fail "$card"
loopback=$(device_below '*loopback*')
memory=$(device_on cxl)
[ "$loopback" != "" ] || fail "the loopback has no fwctl device: $(devices)"
[ "$memory" != "" ] || fail "the memory device has no fwctl device: $(devices)"

/selftests/mlx5_load -e ENODEV,ENXIO,ENOENT -c /tmp/answers >/tmp/load &
load=$!
for state in mem freeze; do
	echo "$state: $loopback, $memory, $card"
	see_answers
	/selftests/fwctl_hold "/dev/fwctl/$loopback" ok /selftests/fwctl_hold "/dev/fwctl/$memory" ok \
		/selftests/fwctl_hold "/dev/fwctl/$card" ENODEV /bin/sh /usr/lib/fwctl-vm/suspend.sh $state ||
		fail "a file does not go on as it should, see above"
	wait_for "the card's new fwctl device" has_device_on pci
	card=$(device_on pci)
	for device in $loopback $memory $card; do
		fwctl info "$device" >/dev/null || fail "$device does not answer after the suspend"
	done
	see_answers
	# The runner's init has to get the ports of the emulated devices back first.
	wait_for "the emulated card's control socket" emu_answers
done
kill $load
wait $load || {
	cat /tmp/load
	fail "calls went wrong, see above"
}
cat /tmp/load
nothing_alive uids
