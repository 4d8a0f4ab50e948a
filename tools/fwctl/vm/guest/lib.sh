# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by the scripts that run in the guest (busybox sh). Exit status of a test: 0 passed, 4 skipped, else failed; the
# last line of its output is the reason.

fail() { echo "$*"; exit 1; }
skip() { echo "$*"; exit 4; }

# is_builtin MODULE: part of the kernel image
is_builtin() { grep -q "/$1.ko\$" "/lib/modules/$(uname -r)/modules.builtin"; }

# is_loaded MODULE: loaded, and not built in
is_loaded() { grep -q "^$1 " /proc/modules; }

# load MODULE [PARAMETER...]: loads it and its dependencies, unless it is built in
load() { is_builtin "$1" || modprobe "$@" || fail "modprobe $* failed"; }

# unload MODULE...: unloads the modules that are loaded, in this order, and not their dependencies
unload() {
	local module
	for module; do
		! is_loaded "$module" || rmmod "$module" || fail "rmmod $module failed"
	done
}

# use_core ours|mainline: makes modprobe find our core or the C core, on a machine that has both
use_core() {
	unload fwctl
	! grep -q ' /lib/modules ' /proc/mounts || umount /lib/modules
	case $1 in
	ours) ;;
	mainline) mount -o bind /lib/modules-mainline-core /lib/modules ;;
	*) fail "no such core: $1" ;;
	esac
}

# wait_for WHAT COMMAND...: waits until the command succeeds, for ten seconds times FWCTL_TEST_PATIENCE
wait_for() {
	local what=$1 left=$((200 * ${FWCTL_TEST_PATIENCE:-1}))
	shift
	until "$@"; do
		left=$((left - 1))
		[ $left != 0 ] || fail "$what: not after $((10 * ${FWCTL_TEST_PATIENCE:-1})) seconds"
		usleep 50000
	done
}

# devices: names of the fwctl devices
devices() { ls /sys/class/fwctl 2>/dev/null; }

count_devices() { devices | wc -l; }

some_device() { [ "$(count_devices)" != 0 ]; }

# has_devices N: returns whether there are exactly N fwctl devices, each with its node
has_devices() {
	local device
	[ "$(count_devices)" = "$1" ] || return 1
	for device in $(devices); do
		[ -c "/dev/fwctl/$device" ] || return 1
	done
}

# first_device: waits for a fwctl device and prints the one with the lowest number
first_device() {
	wait_for "a fwctl device" some_device
	devices | sort -V | head -n 1
}

# the_device: waits for the only fwctl device and prints its name
the_device() {
	wait_for "one fwctl device, and only one" has_devices 1
	devices
}

# device_on BUS: prints the fwctl device whose parent is on that bus (pci: the card; cxl: the memory device)
device_on() {
	local device
	for device in $(devices); do
		[ "$(basename "$(readlink "/sys/class/fwctl/$device/device/subsystem")")" != "$1" ] || echo "$device"
	done
}
has_device_on() { [ -n "$(device_on "$1")" ]; }

# the_card: loads the card's drivers and prints its fwctl device
the_card() {
	load_mlx5
	wait_for "a fwctl device of the card" has_device_on pci
	device_on pci
}

# has_module MODULE: returns whether this kernel has it
has_module() { is_builtin "$1" || grep -q "/$1\.ko:" "/lib/modules/$(uname -r)/modules.dep"; }

# load_cxl: loads the CXL stack, of which a kernel without ACPI or persistent memory has less, and our driver, by name
# because there is no udev
load_cxl() {
	local module
	for module in cxl_acpi cxl_port cxl_mem cxl_pmem cxl_pci cxl_fwctl; do
		case $module in
		cxl_acpi | cxl_pmem) has_module $module || continue ;;
		esac
		load $module
	done
}

# load_cxl_switch: as load_cxl, with the driver of a switch's mailbox
load_cxl_switch() {
	load_cxl
	load cxl_switch
}

# the_switch: waits for the fwctl devices of a switch and a memory device, and prints that of the switch
the_switch() {
	load_cxl_switch
	wait_for "a fwctl device of the switch, and one of the memory device" has_devices 2
	device_on pci
}

# load_cxl_test: as load_cxl, with the kernel's mock devices
load_cxl_test() {
	local module
	for module in cxl_acpi cxl_port cxl_mem cxl_pmem cxl_mock_mem cxl_test cxl_fwctl; do
		load $module
	done
}

# load_mlx5: loads mlx5_core and our driver
load_mlx5() {
	load mlx5_core
	load mlx5_fwctl
}

# load_pds: loads pds_core and our driver
load_pds() {
	load pds_core
	load pds_fwctl
}

# load_driver MODULE: loads a fwctl driver and the driver of its parent devices
load_driver() {
	case $1 in
	cxl_fwctl) load_cxl ;;
	mlx5_fwctl) load_mlx5 ;;
	pds_fwctl) load_pds ;;
	*) load "$1" ;;
	esac
}

# count_functions ATTRIBUTE PATTERN: prints the number of PCI functions whose attribute matches
count_functions() {
	local n=0 function
	for function in /sys/bus/pci/devices/*; do
		# shellcheck disable=SC2254 # it is a pattern
		case $(cat "$function/$1") in
		$2) n=$((n + 1)) ;;
		esac
	done
	echo $n
}

# memdev_of FWCTL: prints the name of the CXL memory device of a fwctl device
memdev_of() { basename "$(readlink "/sys/class/fwctl/$1/device")"; }

# pci_of MEMDEV: prints the address of its PCI function
pci_of() { basename "$(readlink -f "/sys/bus/cxl/devices/$1/../")"; }

kmemleak=/sys/kernel/debug/kmemleak

# has_kmemleak: returns whether kmemleak is enabled; a scan fails if it is not
has_kmemleak() { echo scan 2>/dev/null >$kmemleak; }

# forget_leaks: ignores earlier leaks
forget_leaks() { echo clear >$kmemleak || fail "this machine has no kmemleak"; }

# find_leaks: scans twice, as a pointer in a register hides a leak; kmemleak ignores allocations younger than five seconds
find_leaks() {
	local scan
	sleep 6
	for scan in first second; do
		echo scan >$kmemleak || fail "kmemleak was disabled during the $scan scan"
	done
}

# no_leaks: fails if memory allocated since forget_leaks was leaked
no_leaks() {
	find_leaks
	[ -z "$(head -n 1 $kmemleak)" ] || {
		cat $kmemleak
		fail "memory was leaked, see above"
	}
}

# only_leaks SIZE FUNCTION: fails on any leak but of SIZE bytes allocated by FUNCTION
only_leaks() {
	find_leaks
	awk -v size="(size $1)" -v function_at=" $2+" '
		BEGIN { RS = "unreferenced object " }
		NR > 1 && !(index($0, size) && index($0, function_at)) { others++ }
		END { exit others > 0 }' $kmemleak || {
		cat $kmemleak
		fail "memory other than $1 bytes of $2() was leaked, see above"
	}
	forget_leaks
}

# nothing_alive WHAT...: fails if the emulated device still has any of these objects
nothing_alive() {
	local what count
	for what; do
		count=$(emu -p "/alive/$what" counters)
		[ "$count" = 0 ] || fail "the device still has $count $what"
	done
}
