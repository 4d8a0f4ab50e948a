# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mstfwctrl says of a fwctl device whose it is and what it may do.
. /usr/lib/fwctl-vm/vendor.sh

need_tool mstfwctrl
card=$(the_card) || fail "$card"
runs mstfwctrl "$card"
says "ctldev: /dev/fwctl/$card" 'device ID: 0x218' 'device type: ConnectX7' 'UCTX CAP: 0x4'
parent=$(function_of "$card")
grep -q "^Parent dev: pci.*/$parent\$" /tmp/vendor.words || fail "it does not say that the parent is $parent"
grep -q '^UCTX UID: [1-9]' /tmp/vendor.words || fail "it has no uid"
