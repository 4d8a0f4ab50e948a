# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# fwctl pds with mainline's C driver: it has no lists, and calls need a scope.
. /usr/lib/fwctl-vm/lib.sh

load_pds
device=$(the_device) || fail "$device"
! fwctl pds endpoints "$device" >/tmp/out 2>&1 || fail "there are lists: $(cat /tmp/out)"
grep -q 'its driver does not list endpoints and operations' /tmp/out || fail "another reason: $(cat /tmp/out)"
! fwctl pds call "$device" 0x10 1 >/tmp/out 2>&1 || fail "called without a scope: $(cat /tmp/out)"
grep -q 'nothing was sent: the driver does not say which scope it needs' /tmp/out || fail "another reason: $(cat /tmp/out)"
fwctl pds call "$device" 0x10 1 --scope configuration --out-len 11 -o raw >/tmp/out || fail "no version"
[ "$(cat /tmp/out)" = fwctl-emu-1 ] || fail "the version is $(cat /tmp/out)"
! fwctl pds call "$device" 0x20 0x103 --scope configuration >/tmp/out 2>&1 || fail "called in too low a scope"
grep -q EPERM /tmp/out || fail "another reason: $(cat /tmp/out)"
