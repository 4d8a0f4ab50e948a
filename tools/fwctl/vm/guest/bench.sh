# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# bench.sh ours|mainline rust|c|mlx5|cxl ARGUMENT...: runs fwctl_bench on one of the two cores, with a loopback or with
# the core's driver for the ConnectX or the CXL memory device
. /usr/lib/fwctl-vm/lib.sh

unload_all() {
	unload fwctl_loopback fwctl_loopback_c mlx5_fwctl cxl_fwctl cxl_pci cxl_mem cxl_port cxl_core fwctl
}

use_core "$1"
case $1-$2 in
*-rust) modules=fwctl_loopback ;;
*-c) modules=fwctl_loopback_c ;;
*-mlx5) modules="mlx5_core mlx5_fwctl" ;;
ours-cxl) modules="cxl_port cxl_mem cxl_pci cxl_fwctl" ;;
# Its driver is in cxl_core.
mainline-cxl) modules="cxl_port cxl_mem cxl_pci" ;;
*) fail "no such driver: $2" ;;
esac
export FWCTL_TEST_DRIVER=$2
shift 2
for module in $modules; do load "$module"; done
wait_for "a device of $modules" some_device
/selftests/fwctl_bench "$@" || fail "fwctl_bench $* failed"
unload_all
