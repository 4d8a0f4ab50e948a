# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by the scripts that run in the guest (busybox sh).  A test exits 0 when it passed, 4 when it skips itself, else it
# failed; its last line says why.

fail() { echo "$*"; exit 1; }
skip() { echo "$*"; exit 4; }

# is_builtin MODULE: part of the kernel image
is_builtin() { grep -q "/$1.ko\$" "/lib/modules/$(uname -r)/modules.builtin"; }

# is_loaded MODULE: loaded, and not built in
is_loaded() { grep -q "^$1 " /proc/modules; }

# load MODULE [PARAMETER...]: with what it depends on; fine if it is built in
load() { is_builtin "$1" || modprobe "$@" || fail "modprobe $* failed"; }

# unload MODULE...: the modules themselves, in this order; those that are not loaded are fine
unload() {
	for unload_module; do
		! is_loaded "$unload_module" || rmmod "$unload_module" || fail "rmmod $unload_module failed"
	done
}

# use_core ours|mainline: from now on modprobe finds our core, or the one in C, on a machine that has both
use_core() {
	unload fwctl
	! grep -q ' /lib/modules ' /proc/mounts || umount /lib/modules
	case $1 in
	ours) ;;
	mainline) mount -o bind /lib/modules-mainline-core /lib/modules ;;
	*) fail "no such core: $1" ;;
	esac
}

# wait_for WHAT COMMAND...: until the command succeeds, at most ten seconds; as many times that as the kernel is slower
wait_for() {
	wait_for_what=$1
	wait_for_left=$((200 * ${FWCTL_TEST_PATIENCE:-1}))
	shift
	until "$@"; do
		wait_for_left=$((wait_for_left - 1))
		[ $wait_for_left != 0 ] || fail "$wait_for_what: not after $((10 * ${FWCTL_TEST_PATIENCE:-1})) seconds"
		usleep 50000
	done
}

# devices: names of the fwctl devices
devices() { ls /sys/class/fwctl 2>/dev/null; }

count_devices() { devices | wc -l; }

some_device() { [ "$(count_devices)" != 0 ]; }

# has_devices N: exactly N fwctl devices, with their nodes
has_devices() {
	[ "$(count_devices)" = "$1" ] || return 1
	for has_devices_one in $(devices); do
		[ -c "/dev/fwctl/$has_devices_one" ] || return 1
	done
}

# first_device: name of the fwctl device with the lowest number, once there is one
first_device() {
	wait_for "a fwctl device" some_device
	devices | sort -V | head -n 1
}

# the_device: name of the only fwctl device
the_device() {
	wait_for "one fwctl device, and only one" has_devices 1
	devices
}

# load_cxl: the CXL stack down to our driver, by name as there is no udev
load_cxl() {
	for load_cxl_module in cxl_acpi cxl_port cxl_mem cxl_pmem cxl_pci cxl_fwctl; do
		load $load_cxl_module
	done
}

# load_cxl_test: the same with the kernel's mock devices
load_cxl_test() {
	for load_cxl_module in cxl_acpi cxl_port cxl_mem cxl_pmem cxl_mock_mem cxl_test cxl_fwctl; do
		load $load_cxl_module
	done
}

# load_mlx5: the driver of ConnectX cards, and ours on it
load_mlx5() {
	load mlx5_core
	load mlx5_fwctl
}

# load_driver MODULE: a driver of fwctl devices, and what these are on
load_driver() {
	case $1 in
	cxl_fwctl) load_cxl ;;
	mlx5_fwctl) load_mlx5 ;;
	*) load "$1" ;;
	esac
}

# count_functions ATTRIBUTE PATTERN: PCI functions whose attribute is like that
count_functions() {
	count_functions_n=0
	for count_functions_one in /sys/bus/pci/devices/*; do
		# shellcheck disable=SC2254 # it is a pattern
		case $(cat "$count_functions_one/$1") in
		$2) count_functions_n=$((count_functions_n + 1)) ;;
		esac
	done
	echo $count_functions_n
}

# memdev_of FWCTL: name of the CXL memory device that a fwctl device belongs to
memdev_of() { basename "$(readlink "/sys/class/fwctl/$1/device")"; }

# pci_of MEMDEV: address of its PCI function
pci_of() { basename "$(readlink -f "/sys/bus/cxl/devices/$1/../")"; }

kmemleak=/sys/kernel/debug/kmemleak

# has_kmemleak: this kernel has it, and on: it cannot scan if it is off
has_kmemleak() { echo scan 2>/dev/null >$kmemleak; }

# forget_leaks: what was lost before is nobody's fault here
forget_leaks() { echo clear >$kmemleak || fail "this machine has no kmemleak"; }

# find_leaks: what is younger than five seconds does not count, and what a processor still has in a register is not seen, so it
# looks twice.
find_leaks() {
	sleep 6
	for find_leaks_scan in scan scan; do echo $find_leaks_scan >$kmemleak || fail "this machine has no kmemleak any more"; done
}

# no_leaks: every allocation since forget_leaks is known to somebody
no_leaks() {
	find_leaks
	[ -z "$(head -n 1 $kmemleak)" ] || {
		cat $kmemleak
		fail "memory was leaked, see above"
	}
}

# only_leaks SIZE FUNCTION: there are no others than of SIZE bytes that FUNCTION has allocated
only_leaks() {
	find_leaks
	awk -v size="(size $1)" -v function_at=" $2+" '
		BEGIN { RS = "unreferenced object " }
		NR > 1 && !(index($0, size) && index($0, function_at)) { others++ }
		END { exit others > 0 }' $kmemleak || {
		cat $kmemleak
		fail "other memory was leaked than $1 bytes of $2(), see above"
	}
	forget_leaks
}

# nothing_alive WHAT...: the emulated device has none of these any more
nothing_alive() {
	for nothing_alive_what; do
		nothing_alive_count=$(emu -p "/alive/$nothing_alive_what" counters)
		[ "$nothing_alive_count" = 0 ] || fail "the device still has $nothing_alive_count $nothing_alive_what"
	done
}
