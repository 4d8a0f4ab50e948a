# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# cxl-selftest.sh qemu|emulated|cxl_test[+uring] [PROGRAM]: a CXL selftest on QEMU's device, that of fwctl-emu or the kernel's
# mock ones, by io_uring if asked to
. /usr/lib/fwctl-vm/lib.sh

device=${1%+uring}
case $1 in
*+uring) export FWCTL_TEST_URING=1 ;;
esac

# What the one device has not, the other has: no test is left out in both runs.
case $device in
qemu | emulated)
	load_cxl
	leave_out='-F cxl_test'
	;;
cxl_test)
	load_cxl_test
	leave_out='-T set_exclusive_features'
	;;
*) fail "no such device: $1" ;;
esac
wait_for "a fwctl device of a CXL memory device" some_device
ls -l /dev/fwctl
export FWCTL_TEST_CXL=$device
[ $# = 1 ] || exec "/selftests/$2"
# shellcheck disable=SC2086 # two words
exec /selftests/cxl $leave_out
