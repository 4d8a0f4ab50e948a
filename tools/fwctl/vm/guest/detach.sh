# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Removes the emulated devices, after the tests of a machine, so that their drivers release all resources.
. /usr/lib/fwctl-vm/lib.sh

for driver in mlx5_core pds_core cxl_pci; do
	for function in "/sys/bus/pci/drivers/$driver"/0*; do
		[ ! -e "$function/remove" ] || echo 1 >"$function/remove" || fail "cannot remove $function"
	done
done
