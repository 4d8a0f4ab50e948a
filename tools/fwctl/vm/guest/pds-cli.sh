# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# fwctl pds on the emulated Pensando card: lists, calls in every scope, and a firmware that is slow or becomes another one.
. /usr/lib/fwctl-vm/lib.sh

# expect STATUS TEXT ARGUMENT...: fwctl pds ends with the status and prints the text
expect() {
	local expected=$1 text=$2 status=0
	shift 2
	fwctl pds "$@" </tmp/request >/tmp/out 2>&1 || status=$?
	[ $status = "$expected" ] || fail "fwctl pds $*: exit status $status: $(cat /tmp/out)"
	grep -qF -- "$text" /tmp/out || fail "fwctl pds $*: '$text' is missing in: $(cat /tmp/out)"
}

# taint: the taint of fwctl, 524288 or 0
taint() { echo $(($(cat /proc/sys/kernel/tainted) & 524288)); }

load_pds
device=$(the_device) || fail "$device"
: >/tmp/request
fwctl info "$device" | grep -q '0x7 (query, send, list)' || fail "no capabilities: $(fwctl info "$device")"

fwctl pds endpoints "$device" | tee /tmp/endpoints
[ "$(wc -l </tmp/endpoints)" = 5 ] || fail "not four endpoints"
expect 0 '0x10        6           6 configuration' endpoints "$device"
expect 0 '0x30        2           1 debug-read-only, 1 debug-write' endpoints "$device"
fwctl pds operations "$device" | tee /tmp/operations
[ "$(wc -l </tmp/operations)" = 14 ] || fail "not thirteen operations"
expect 0 '0x20      0x104      0x104    0        debug-write     debug-write' operations "$device" 0x20
expect 0 '0x40 (unknown)  debug-write-full' operations "$device" 0x20 --timeout 60
expect 1 'does not know the endpoint' operations "$device" 0x21
sent=$(emu -p '/commands/fwctl RPC' counters)

# Nothing is sent without a scope that is high enough, and nothing taints the kernel.
expect 2 'run it again with --scope debug-read-only' call "$device" 0x20 0x103
expect 2 'run it again with --scope debug-write-full' call "$device" 0x20 0x105
expect 2 'scope debug-read-only is too low, it needs debug-write' call "$device" 0x20 0x104 --scope debug-read-only
expect 1 'no such operation, or not in this version' call "$device" 0x20 0x20101
expect 0 'least scope:        debug-write' call "$device" 0x20 0x104 --dry-run
[ "$(emu -p '/commands/fwctl RPC' counters)" = "$sent" ] || fail "something was sent"
[ "$(taint)" = 0 ] || fail "the kernel is tainted"

# Calls
fwctl pds call "$device" 0x10 1 --out-len 11 -o raw >/tmp/version 2>/tmp/said || fail "no version: $(cat /tmp/said)"
[ "$(cat /tmp/version)" = fwctl-emu-1 ] || fail "the version is $(cat /tmp/version)"
grep -q '(read) needs scope configuration' /tmp/said || fail "the scope is not named: $(cat /tmp/said)"
head -c 100000 /dev/urandom >/tmp/request
for limit in '' '--timeout 60'; do
	# shellcheck disable=SC2086 # a word or two, or none
	fwctl pds call "$device" 0x10 0x20002 -i /tmp/request --out-len 100000 --out /tmp/response $limit 2>/tmp/said ||
		fail "no echo: $(cat /tmp/said)"
	cmp /tmp/request /tmp/response || fail "the response is not the request"
done
printf 'configured' >/tmp/request
expect 0 'result:     0x0' call "$device" 0x20 0x102 -i - --out-len 0
expect 0 'configured......' call "$device" 0x20 0x103 --scope debug-read-only --out-len 16
printf '\005\000\000\000' >/tmp/request
expect 3 'the operation failed with 0x5' call "$device" 0x10 5 -i -
expect 1 'a length is too large' call "$device" 0x10 1 --out-len 200000
[ "$(taint)" = 0 ] || fail "the kernel is tainted"
expect 0 'warning: a request in scope debug-write taints' call "$device" 0x20 0x104 -i - --scope debug-write --out-len 0
[ "$(taint)" != 0 ] || fail "the kernel is not tainted"

# The operations are items of a snapshot.
fwctl snapshot "$device" | grep -q '"operation/entry/endpoint=0x20,operation=0x104"' || fail "no operations in the snapshot"
