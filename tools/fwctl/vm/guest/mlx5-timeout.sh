# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# --timeout ends a command whose firmware is silent, although its driver waits for a minute, and lets others go on.
. /usr/lib/fwctl-vm/lib.sh

# Less than the minute of the driver, and much more than the limits of the commands.
most=45

query() { fwctl mlx5 query "$device" adapter "$@"; }

# seconds: since boot
seconds() { cut -d. -f1 /proc/uptime; }

# silent COMMAND...: the command is not answered, and ends in time
silent() {
	emu fault user,op=0x101,never >/dev/null || fail "the card cannot be silent"
	silent_start=$(seconds)
	"$@" >/tmp/out 2>/tmp/err
	silent_status=$?
	[ $(($(seconds) - silent_start)) -lt $most ] || fail "$*: it took $(($(seconds) - silent_start)) s"
	grep -q "FWCTL_RPC.*no answer by the deadline" /tmp/out /tmp/err || fail "$*: it says $(cat /tmp/out /tmp/err)"
	return $silent_status
}

# A shell waits for the last writer of a pipe.
piped() { query --timeout 2 2>&1 | cat; }

none_left() { ! pidof fwctl >/dev/null; }

load_mlx5
device=$(the_device) || fail "$device"
query --timeout 40 >/tmp/answer || fail "a card that answers: status $?"

silent query --timeout 2
[ $silent_status = 1 ] || fail "exit status $silent_status"
query --timeout 40 | cmp - /tmp/answer || fail "another command does not go on"
silent piped

emu release >/dev/null || fail "the card does not release its commands"
wait_for "the end of the commands" none_left
query | cmp - /tmp/answer || fail "the card does not answer afterwards"
nothing_alive uids
unload mlx5_fwctl fwctl
