# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# storm.sh [async] MODULE...: stress test: all operations at once on the devices of these drivers, for STORM_SECONDS, random numbers
# from STORM_SEED
. /usr/lib/fwctl-vm/lib.sh

# The default keeps the whole run short.
seconds=${STORM_SECONDS:-25}
seed=${STORM_SEED:-1}
pci=''
options=''
if [ "$1" = async ]; then
	shift
	# The program loads the driver, with its parameter.
	options=-a
fi
! emu help >/dev/null 2>&1 || pci='-e emu'
for module; do
	[ -n "$options" ] || load_driver "$module"
	case $module in
	cxl_fwctl)
		wait_for "a fwctl device" some_device
		pci="$pci -p $(pci_of "$(memdev_of "$(devices | head -n 1)")")"
		;;
	mlx5_fwctl | pds_fwctl)
		device=$(the_device) || fail "$device"
		pci="$pci -p $(basename "$(readlink -f "/sys/class/fwctl/$device/device")")"
		;;
	esac
done
# shellcheck disable=SC2086 # words, or none
/selftests/fwctl_stress -s "$seconds" -r "$seed" $options $pci "$@" || fail "the stress test of $seconds s from seed $seed failed: see above"
unload "$@" fwctl
has_devices 0 || fail "devices are left: $(devices)"
