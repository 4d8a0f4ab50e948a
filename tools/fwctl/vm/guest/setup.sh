# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Loads the drivers of this machine's devices, before `fwctl-vm shell` and `fwctl-vm exec`.
. /usr/lib/fwctl-vm/lib.sh

# The scripts load the drivers that they measure.
case $FWCTL_VM_MACHINE in
bench*) exit 0 ;;
esac
load fwctl
if [ "$FWCTL_VM_MACHINE" = cxl-test ]; then
	load_cxl_test
	wait_for "a fwctl device" some_device
	exit 0
fi
memories=$(count_functions class '0x0502*')
cards=$(count_functions vendor 0x15b3)
[ "$memories" = 0 ] || load_cxl
[ "$cards" = 0 ] || load_mlx5
wait_for "$((memories + cards)) fwctl devices" has_devices $((memories + cards))
