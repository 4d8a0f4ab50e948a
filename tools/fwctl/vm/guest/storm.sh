# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# storm.sh MODULE...: everything at once on the devices of these drivers. How long, and from which seed on, the kernel's command
# line says, as in "storm_seconds=60 storm_seed=7".
. /usr/lib/fwctl-vm/lib.sh

# told NAME DEFAULT
told() {
	told_value=$(sed -n "s/.*$1=\([0-9][0-9]*\).*/\1/p" /proc/cmdline)
	echo "${told_value:-$2}"
}

# Unless somebody asked for more: what fits into all the other tests.
seconds=$(told storm_seconds 25)
seed=$(told storm_seed 1)
pci=''
for module; do
	case $module in
	cxl_fwctl)
		load_cxl
		wait_for "a fwctl device" some_device
		pci="-p $(pci_of "$(memdev_of "$(devices | head -n 1)")")"
		;;
	*) load "$module" ;;
	esac
done
# shellcheck disable=SC2086 # two words, or none
/selftests/fwctl_storm -s "$seconds" -r "$seed" $pci "$@" || fail "the storm of $seconds s from seed $seed went wrong: see above"
unload "$@" fwctl
has_devices 0 || fail "devices are left: $(devices)"
