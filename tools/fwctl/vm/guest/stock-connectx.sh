# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# stock-connectx.sh [secure]: on a kernel that is not ours, the device that its mlx5_core makes loads our driver, and user space
# gets to the firmware; also where the kernel is locked down and takes only modules of keys that it knows.
. /usr/lib/fwctl-vm/lib.sh

case $(uname -v) in
*Debian*) uname -a ;;
*) fail "this is no kernel of Debian's: $(uname -a)" ;;
esac
if [ "$1" = secure ]; then
	dmesg | grep -F 'Kernel is locked down from EFI Secure Boot' || fail "Secure Boot has not locked the kernel down"
	dmesg | grep -F "Loaded X.509 cert 'DKMS module signing key" || fail "the kernel does not know DKMS's key"
fi
load mlx5_core
wait_for "the auxiliary device of mlx5_core" ls /sys/bus/auxiliary/devices/mlx5_core.fwctl.0 >/dev/null
# What udev does with it.
alias=$(sed -n 's/^MODALIAS=//p' /sys/bus/auxiliary/devices/mlx5_core.fwctl.0/uevent)
modprobe "$alias" || fail "modprobe $alias failed"
for module in fwctl mlx5_fwctl; do
	is_loaded $module || fail "$module is not loaded"
	[ -e "/lib/modules/$(uname -r)/updates/dkms/$module.ko" ] || fail "$module.ko is not of DKMS"
done
# Bit 13: a module that is not signed, or by nobody knows whom.
if [ "$1" = secure ]; then
	[ $(($(cat /proc/sys/kernel/tainted) >> 13 & 1)) = 0 ] || fail "the modules count as unsigned"
fi
grep '_R.*\[fwctl\]' /proc/kallsyms >/dev/null || fail "the core is not the one in Rust"

device=$(the_device) || fail "$device"
fwctl list || fail "fwctl list"
fwctl info "$device" || fail "fwctl info"
# MGIR, the card's general information.
fwctl mlx5 reg "$device" 0x9020 --size 160 || fail "the card does not answer"
exec 3<>"/dev/fwctl/$device" || fail "cannot open $device"
! rmmod mlx5_core 2>/dev/null || fail "mlx5_core went while mlx5_fwctl uses it"
rmmod mlx5_fwctl || fail "the driver does not go while a file is open"
exec 3>&-
has_devices 0 || fail "devices are left: $(devices)"
modprobe mlx5_fwctl || fail "the driver does not come back"
the_device
