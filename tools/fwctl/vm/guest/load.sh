# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by the tests that keep the ConnectX busy.
. /usr/lib/fwctl-vm/lib.sh

count=/tmp/answers

# start_load ERRNO,...: calls may fail with these
start_load() {
	rm -f $count
	/selftests/mlx5_load -e "$1" -c $count >/tmp/load &
	load=$!
}

stop_load() {
	kill "$load"
	wait "$load"
	status=$?
	cat /tmp/load
	[ $status = 0 ] || fail "calls went wrong, see above"
}

# answers: prints the number of answered RPCs
answers() { sed 's/^0*\(.\)/\1/' $count 2>/dev/null || echo 0; }

has_answers() { [ "$(answers)" -gt "$1" ]; }

# see_answers: waits until the current device has answered more RPCs
see_answers() { wait_for "100 more answers" has_answers $(($(answers) + 100)); }
