# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mlx5-selftest.sh rust|c[+uring] PROGRAM: a selftest on the emulated ConnectX, with our driver or with mainline's, by io_uring
# if asked to
. /usr/lib/fwctl-vm/lib.sh

wanted=${1%+uring}
case $1 in
*+uring) export FWCTL_TEST_URING=1 ;;
esac

load_mlx5
wait_for "a fwctl device" some_device
if grep -q '_R.*\[mlx5_fwctl\]' /proc/kallsyms; then driver=rust; else driver=c; fi
[ $driver = "$wanted" ] || fail "mlx5_fwctl is in $driver"
program=/selftests/$2
# A quarter of a million requests through a worker each take minutes.
case $1-$2 in
*+uring-mlx5) set -- -T all_opcodes_in_all_scopes ;;
*) set -- ;;
esac
FWCTL_TEST_DRIVER=$driver FWCTL_TEST_MLX5=emulated exec "$program" "$@"
