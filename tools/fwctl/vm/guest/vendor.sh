# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by the tests that run the vendors' tools, as packaged by Debian.
. /usr/lib/fwctl-vm/lib.sh

PATH=$PATH:/usr/bin

# need_tool NAME
need_tool() { [ -x "/usr/bin/$1" ] || skip "there is no $1: Debian's package could not be had"; }

# function_of FWCTL: prints the address of the PCI function of a fwctl device
function_of() { basename "$(readlink "/sys/class/fwctl/$1/device")"; }

# runs COMMAND...: fails unless it succeeds; prints its output, and keeps it with single spaces for says
runs() {
	local status
	echo "# $*"
	"$@" >/tmp/vendor.out 2>&1
	status=$?
	cat /tmp/vendor.out
	tr -s ' \t' ' ' </tmp/vendor.out | sed 's/^ //; s/ $//' >/tmp/vendor.words
	[ $status = 0 ] || fail "$*: exit status $status"
}

# says LINE...: fails unless each is a whole line of the last command's output
says() {
	local line
	for line; do
		grep -qxF "$line" /tmp/vendor.words || fail "no line is '$line'"
	done
}

# firmware_heard: prints the number of register accesses that reached the card
firmware_heard() { emu -p /commands/ACCESS_REG counters || fail "no counters of the card"; }
