# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# connectx|cxl: the examples of the C API, on a device: they say what the command says.
. /usr/lib/fwctl-vm/lib.sh

# example EXPECTED NAME ARGUMENT...: runs it; it must exit with that status. Keeps its output in /tmp/NAME.txt.
example() {
	local expected=$1 name=$2 status
	shift 2
	echo "# $name $*"
	"/examples/$name" "$@" >"/tmp/$name.txt" 2>"/tmp/$name.error"
	status=$?
	cat "/tmp/$name.txt" "/tmp/$name.error"
	[ $status = "$expected" ] || fail "$name $*: exit status $status, not $expected"
}

# same NUMBER NUMBER WHAT
same() { [ "$1" = "$2" ] || fail "$3: $1, not $2"; }

# same_snapshot DEVICE: the library reads what the command reads, but for what changes by itself.
same_snapshot() {
	example 0 snapshot -l "$1"
	/examples/snapshot "$1" >/tmp/library.json || fail "the library reads no snapshot"
	fwctl snapshot "$1" --out /tmp/command.json || fail "the command reads no snapshot"
	fwctl diff /tmp/library.json /tmp/command.json || fail "the snapshots differ"
}

case $1 in
connectx)
	load_mlx5
	device=$(the_device) || fail "$device"
	# The card has two of the four sensors, and refuses the others.
	example 3 registers "$device"
	grep -q '^sensor 0: [0-9.]* degrees$' /tmp/registers.txt || fail "no temperature"

	# The menu and its records, by way of memory of the kernel, and without locked memory.
	example 0 dump "$device" 0xffff 0
	grep -q '^segment 0x' /tmp/dump.txt || fail "no segment"
	! grep -q 'dumping without memory' /tmp/dump.error || fail "no memory"
	cp /tmp/dump.txt /tmp/menu.txt
	(ulimit -l 0 && example 0 dump "$device" 0xffff 0) || exit 1
	cmp /tmp/menu.txt /tmp/dump.txt || fail "the menus differ"
	! grep -q 'dumping without memory' /tmp/dump.error || fail "no memory without locked memory"
	same_snapshot "$device"
	nothing_alive umems pds mkeys uids
	;;
cxl)
	load_cxl
	device=$(the_device) || fail "$device"
	example 0 commands "$device"
	same "$(grep -c '0x' /tmp/commands.txt)" "$(fwctl cxl commands "$device" | grep -c '0x')" "commands"
	same_snapshot "$device"
	;;
*) fail "no such example: $1" ;;
esac
