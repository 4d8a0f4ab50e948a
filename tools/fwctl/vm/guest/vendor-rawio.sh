# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mstflint 4.33 always uses the scope that requires CAP_SYS_RAWIO: without it root is denied and nothing reaches the firmware.
. /usr/lib/fwctl-vm/vendor.sh

need_tool setpriv
need_tool mstflint
card=$(the_card) || fail "$card"

# refused COMMAND...: fails if it succeeds without the capability
refused() {
	local before
	echo "# without CAP_SYS_RAWIO: $*"
	before=$(firmware_heard)
	! /usr/bin/setpriv --bounding-set -sys_rawio "$@" 2>&1 || fail "$* works without CAP_SYS_RAWIO"
	[ "$(firmware_heard)" = "$before" ] || fail "the firmware heard of $*"
}

refused mstflint -d "$card" query
refused mstreg -d "$card" --reg_name MRTC --get
refused mstreg -d "$card" --yes --reg_name MTMP --indexes sensor_index=0,slot_index=0,asic_index=0,ig=0,i=0 \
	--set temperature_threshold_hi=0x300
refused mstconfig -d "$card" query
refused mstmget_temp -d "$card"

# mstfwctrl ignores errors, but prints no data.
before=$(firmware_heard)
runs /usr/bin/setpriv --bounding-set -sys_rawio mstfwctrl "$card"
says 'device ID: 0x0'
[ "$(firmware_heard)" = "$before" ] || fail "the firmware heard of mstfwctrl"

# The scope decides: a lower one is allowed.
runs /usr/bin/setpriv --bounding-set -sys_rawio fwctl info "$card"
runs /usr/bin/setpriv --bounding-set -sys_rawio fwctl mlx5 reg "$card" mtcap
[ "$(firmware_heard)" != "$before" ] || fail "the firmware did not hear of our own tool"

# With the capability, everything is allowed.
runs mstflint -d "$card" query
