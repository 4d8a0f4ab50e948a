# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by the tests that run the vendors' own tools, as Debian has them.
. /usr/lib/fwctl-vm/lib.sh

PATH=$PATH:/usr/bin

# need_tool NAME
need_tool() { [ -x "/usr/bin/$1" ] || skip "there is no $1: Debian's package could not be had"; }

# device_on BUS: name of the fwctl device whose parent is on that bus (pci: the card; cxl: the memory device)
device_on() {
	for device_on_one in $(devices); do
		[ "$(basename "$(readlink "/sys/class/fwctl/$device_on_one/device/subsystem")")" != "$1" ] || echo "$device_on_one"
	done
}
has_device_on() { [ -n "$(device_on "$1")" ]; }

# the_card: loads the card's drivers; name of its fwctl device
the_card() {
	load_mlx5
	wait_for "a fwctl device of the card" has_device_on pci
	device_on pci
}

# function_of FWCTL: address of the PCI function that a fwctl device belongs to
function_of() { basename "$(readlink "/sys/class/fwctl/$1/device")"; }

# runs COMMAND...: it succeeds; its output is shown, and kept with single spaces for says
runs() {
	echo "# $*"
	"$@" >/tmp/vendor.out 2>&1
	runs_status=$?
	cat /tmp/vendor.out
	tr -s ' \t' ' ' </tmp/vendor.out | sed 's/^ //; s/ $//' >/tmp/vendor.words
	[ $runs_status = 0 ] || fail "$*: exit status $runs_status"
}

# says LINE...: these are whole lines of what ran last
says() {
	for says_line; do
		grep -qxF "$says_line" /tmp/vendor.words || fail "it does not say '$says_line'"
	done
}

# firmware_heard: how many accesses to registers the card has been asked for
firmware_heard() { emu -p /commands/ACCESS_REG counters || fail "no counters of the card"; }
