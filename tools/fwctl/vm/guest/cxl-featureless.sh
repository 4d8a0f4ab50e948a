# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# A memory device without Features has no fwctl device. It has its memdev, and both go and come back.
. /usr/lib/fwctl-vm/lib.sh

# memdev: the only one
memdev() { find /sys/bus/cxl/devices/ -name 'mem*' -exec basename {} \;; }
has_memdev() { [ "$(memdev | wc -l)" = 1 ]; }

# is_quiet: nobody asks the device for anything
is_quiet() {
	local before
	before=$(emu -p /total counters)
	usleep 500000
	[ "$(emu -p /total counters)" = "$before" ]
}

load_cxl
wait_for "a memdev" has_memdev
for round in 1 2; do
	echo "round $round: $(memdev)"
	wait_for "the end of the probe" is_quiet
	has_devices 0 || fail "there is a fwctl device: $(devices)"
	[ -z "$(find /sys/bus/auxiliary/devices/ -name '*fwctl*')" ] || fail "there is an auxiliary device: $(ls /sys/bus/auxiliary/devices)"
	[ -c "/dev/cxl/$(memdev)" ] || fail "the memdev has no node"
	[ "$(emu -p "/commands/Get Supported Features" counters 2>/dev/null || echo 0)" = 0 ] || fail "the device was asked for its Features"
	function=/sys/bus/pci/devices/$(pci_of "$(memdev)")
	echo 1 >"$function/remove" || fail "cannot remove $function"
	[ -z "$(memdev)" ] || fail "the memdev is still there: $(memdev)"
	echo 1 >/sys/bus/pci/rescan
	wait_for "the memdev" has_memdev
done

# The driver is there, has nothing to drive, and goes.
is_loaded cxl_fwctl || is_builtin cxl_fwctl || fail "cxl_fwctl is not loaded"
unload cxl_fwctl
has_memdev || fail "the memdev went with cxl_fwctl"
