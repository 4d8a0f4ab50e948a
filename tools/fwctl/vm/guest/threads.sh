# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# threads.sh ROUNDS SECONDS: measures one and two threads, on our core and mainline's in turns, so that load of the host slows
# both; each line starts with the core's name
. /usr/lib/fwctl-vm/lib.sh

round=0
while [ $round != "$1" ]; do
	for core in ours mainline; do
		/bin/sh /usr/lib/fwctl-vm/bench.sh $core c threads "$2" >/tmp/threads || fail "$(cat /tmp/threads)"
		sed "s/^/$core	/" /tmp/threads
	done
	round=$((round + 1))
done
