# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# pds-selftest.sh rust|c PROGRAM [ARGUMENT...]: a selftest on the emulated Pensando card, with our driver or with mainline's
. /usr/lib/fwctl-vm/lib.sh

load_pds
wait_for "a fwctl device" some_device
if grep -q '_R.*\[pds_fwctl\]' /proc/kallsyms; then driver=rust; else driver=c; fi
[ $driver = "$1" ] || fail "pds_fwctl is in $driver"
export FWCTL_TEST_DRIVER=$1 FWCTL_TEST_PDS=emulated
program=$2
shift 2
exec "/selftests/$program" "$@"
