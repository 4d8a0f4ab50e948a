# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# An RPC emits two trace events with its caller and parameters, and none if they are disabled.
. /usr/lib/fwctl-vm/lib.sh

tracing=/sys/kernel/tracing
load fwctl_loopback
device=$(first_device) || fail "$device"
[ -d $tracing/events/fwctl ] || fail "there are no trace events of fwctl"

printf 'hello, firmware' >/tmp/request
# shellcheck disable=SC2317 # called by name
rpc() {
	fwctl rpc "$device" --scope configuration -i /tmp/request --out /tmp/reply || fail "fwctl rpc failed"
	cmp /tmp/request /tmp/reply || fail "the loopback's echo differs"
}

# event NAME TEXT...: fails unless the trace has exactly one NAME of our device, with each TEXT
event() {
	line=$(grep "$1: .*dev=$device " $tracing/trace) || fail "no event $1 of $device"
	[ "$(echo "$line" | wc -l)" = 1 ] || fail "more than one $1"
	shift
	for text; do
		case $line in
		*"$text"*) ;;
		*) fail "no '$text' in: $line" ;;
		esac
	done
}

echo >$tracing/trace
rpc
! grep fwctl_ $tracing/trace || fail "events are traced although they are disabled"

echo 1 >$tracing/events/fwctl/enable
rpc
echo 0 >$tracing/events/fwctl/enable
cat $tracing/trace
event fwctl_rpc_start pid= scope=configuration in_len=15 out_len=
event fwctl_rpc_done pid= scope=configuration ret=0 out_len=15 opcode=0xffffffffffffffff

# A command of the loopback, number 1, has a number; the reply is a copy.
printf 'fl0p\001\0\0\0\0\0\0\0\0\0\0\0' >/tmp/request
echo >$tracing/trace
echo 1 >$tracing/events/fwctl/enable
rpc
echo 0 >$tracing/events/fwctl/enable
event fwctl_rpc_done scope=configuration ret=0 out_len=16 opcode=0x1
unload fwctl_loopback fwctl
