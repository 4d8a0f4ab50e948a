# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Messages. DKMS redirects the output of its scripts to a log, so messages are also printed to the terminal of DKMS.

# parent_of PID
parent_of() { sed -n 's/^PPid:\t//p' "/proc/$1/status"; }

# find_terminal: sets TERMINAL to the stderr of the nearest ancestor that does not print to DKMS's log.
find_terminal() {
	local pid=$$ log
	TERMINAL=
	log=$(readlink "/proc/$pid/fd/2")
	if [[ $log != */make.log ]]; then return 0; fi
	while pid=$(parent_of "$pid") && ((pid > 1)); do
		[[ $(readlink "/proc/$pid/fd/2") == "$log" ]] || break
	done
	if ((pid > 1)); then TERMINAL=/proc/$pid/fd/2; fi
}
find_terminal

say() {
	printf 'fwctl-dkms: %s\n' "$*" >&2
	# With a line break first, since DKMS has printed half a line.
	if [[ -n $TERMINAL ]]; then { printf '\nfwctl-dkms: %s\n' "$*" >>"$TERMINAL"; } 2>/dev/null || :; fi
}

# die SENTENCE: stops; the sentence says what is wrong and what to do.
die() {
	say "$@"
	exit 1
}

# step TITLE PROBE CMD...: runs CMD with a message every ten seconds. PROBE prints the progress, ":" nothing.
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
	if ((status == 0)); then return 0; fi
	grep -q '^fwctl-dkms: ' "$WORK/log" ||
		die "$title failed (exit status $status): $(grep -v '^make' "$WORK/log" | tail -n 1)"
	exit "$status"
}
