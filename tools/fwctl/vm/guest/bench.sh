# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# bench.sh ours|mainline rust|c|mlx5 ARGUMENT...: fwctl_bench on one of the two cores, with one of the samples, or with the
# core's own driver for the ConnectX
. /usr/lib/fwctl-vm/lib.sh

# A card has its driver since the start.
unload mlx5_fwctl
use_core "$1"
case $2 in
rust) module=fwctl_loopback ;;
c) module=fwctl_loopback_c ;;
mlx5) module=mlx5_fwctl && load mlx5_core ;;
*) fail "no such sample: $2" ;;
esac
export FWCTL_TEST_DRIVER=$2
shift 2
load "$module"
wait_for "a device of $module" some_device
/selftests/fwctl_bench "$@" || fail "fwctl_bench $* failed"
unload "$module" fwctl
