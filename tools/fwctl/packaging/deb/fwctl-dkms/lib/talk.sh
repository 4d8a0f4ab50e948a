# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sentences for the person in front of the machine. DKMS keeps what its scripts print in a log, so they go to where DKMS
# itself prints as well.

# parent_of PID
parent_of() { sed -n 's/^PPid:\t//p' "/proc/$1/status"; }

# The first of those that called us that does not print into DKMS's log.
find_terminal() {
	local pid=$$ log
	TERMINAL=
	log=$(readlink "/proc/$pid/fd/2")
	[[ $log == */make.log ]] || return 0
	while pid=$(parent_of "$pid") && ((pid > 1)); do
		[[ $(readlink "/proc/$pid/fd/2") == "$log" ]] || break
	done
	((pid <= 1)) || TERMINAL=/proc/$pid/fd/2
}
find_terminal

say() {
	printf 'fwctl-dkms: %s\n' "$*" >&2
	# DKMS is in the middle of a line.
	[[ -z $TERMINAL ]] || { printf '\nfwctl-dkms: %s\n' "$*" >>"$TERMINAL"; } 2>/dev/null || :
}

# die SENTENCE: what is wrong and what to do about it.
die() {
	say "$@"
	exit 1
}

# step TITLE PROBE CMD...: with a line every ten seconds; PROBE prints how far it got, ":" prints nothing.
step() {
	local title=$1 probe=$2 status=0 command start=$SECONDS so_far
	shift 2
	"$@" >"$WORK/log" 2>&1 </dev/null &
	command=$!
	while sleep 1 && kill -0 "$command" 2>/dev/null; do
		(((SECONDS - start) % 10 == 0)) || continue
		so_far=$($probe)
		say "$title: ${so_far:+$so_far, }$((SECONDS - start)) s"
	done
	wait "$command" || status=$?
	cat "$WORK/log"
	((status == 0)) && return
	grep -q '^fwctl-dkms: ' "$WORK/log" ||
		die "$title failed (exit status $status): $(grep -v '^make' "$WORK/log" | tail -n 1)"
	exit "$status"
}
