# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# pds-bounce-c.sh: the C driver copies a response to the caller before it unmaps the bounce buffer, so before the response is
# there. Requests arrive.
. /usr/lib/fwctl-vm/lib.sh

# run TEST: runs a test of the selftest
run() { FWCTL_TEST_DRIVER=c FWCTL_TEST_PDS=emulated /selftests/pds -r "pds.$1" >"/tmp/$1" 2>&1; }

load_pds
wait_for "a fwctl device" some_device
run failure_of_an_operation_is_a_reply || fail "no requests: $(cat /tmp/failure_of_an_operation_is_a_reply)"
if run version_of_the_firmware; then fail "responses are not lost: this is not what the entry in differences.rst says"; fi
grep 'Expected 0 (0)' /tmp/version_of_the_firmware || fail "the test failed for another reason: $(cat /tmp/version_of_the_firmware)"
