# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mlx5-iommu.sh TYPE PROGRAM [ARGUMENT...]: a selftest on the emulated ConnectX, which is in an IOMMU group of that type
. /usr/lib/fwctl-vm/lib.sh

load_mlx5
device=$(the_device) || fail "$device"
group=$(readlink -f "/sys/class/fwctl/$device/device/iommu_group")
[ -e "$group/type" ] || fail "the card is in no IOMMU group: $(dmesg | grep -i -e dmar -e iommu)"
type=$(cat "$group/type")
[ "$type" = "$1" ] || fail "the IOMMU group of the card is of type $type"
program=/selftests/$2
shift 2
FWCTL_TEST_DRIVER=rust FWCTL_TEST_MLX5=emulated exec "$program" "$@"
