# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mlx5-selftest.sh rust|c PROGRAM: a selftest on the emulated ConnectX, with our driver or with mainline's
. /usr/lib/fwctl-vm/lib.sh

load_mlx5
wait_for "a fwctl device" some_device
if grep -q '_R.*\[mlx5_fwctl\]' /proc/kallsyms; then driver=rust; else driver=c; fi
[ $driver = "$1" ] || fail "mlx5_fwctl is in $driver"
FWCTL_TEST_DRIVER=$1 FWCTL_TEST_MLX5=emulated exec "/selftests/$2"
