# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Progress of long steps: one updating line on a terminal, a line every 20 s elsewhere, the full log in a file.

# start_logs: makes the folder of this run's logs, locks it while the run lives, and deletes all but the last ten
# folders of runs that have ended.
# The lock is a flock of the folder itself by an open descriptor, which a killed run releases. Children inherit the
# descriptor on purpose: a VM that outlives a killed run still writes its logs.
start_logs() {
	if [[ -n ${LOGS:-} ]]; then return 0; fi
	local guard name held number=1
	name=$(date +%Y%m%d-%H%M%S)-$$
	mkdir -p "$CACHE/logs"
	# No other run deletes folders between mkdir and flock.
	exec {guard}>"$CACHE/logs/.lock"
	flock "$guard"
	# Another container that shares the cache may have the same process ID.
	while [[ -e $CACHE/logs/$name ]]; do name=${name%.*}.$((number++)); done
	LOGS=$CACHE/logs/$name
	mkdir "$LOGS"
	exec {held}<"$LOGS"
	flock "$held"
	ln -sfn "$name" "$CACHE/logs/latest"
	drop_old_logs
	exec {guard}>&-
	export LOGS
}

# drop_old_logs: goes by the time of the last new file, not by name: folders made by hand have any name.
drop_old_logs() {
	local path fd kept=0
	while read -r -d '' path; do
		# It may have been removed by hand in the meantime.
		exec {fd}<"$path" || continue
		if flock --exclusive --nonblock "$fd" && ((++kept > 10)); then
			rm -rf --one-file-system "$path"
		fi
		exec {fd}<&-
	done < <(find "$CACHE/logs" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\0' | sort -z -rn | cut -z -d' ' -f2-)
}

# run_step NAME TITLE PROBE CMD...: runs CMD with its output in $LOGS/NAME.log. PROBE is a command that prints the
# progress ("1200 of about 1890 objects") given the log's name, or ":" for none.
# CMD runs in the foreground, where ^C reaches it, and the progress line in the background.
run_step() {
	local name=$1 title=$2 probe=$3 status=0 start=$SECONDS
	shift 3
	local log=$LOGS/$name.log
	: >"$log"
	[[ -t 2 ]] || say "$title (log: $log)"
	trap stop_background EXIT
	# There is one progress line.
	if [[ -z ${IS_BESIDE:-} ]]; then
		show_progress "$title" "$probe" "$log" &
		TICKER=$!
	fi
	"$@" >>"$log" 2>&1 </dev/null || status=$?
	stop_ticker
	if [[ -z ${BESIDE:-} ]]; then trap - EXIT; fi
	if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
	if ((status == 0)); then
		say "$title: done in $(duration $((SECONDS - start)))"
	elif ((status == UNAVAILABLE)); then
		say "$title: not possible now, $(sed '/^ *$/d; s/^ *//' "$log" | tail -n 1) (log: $log)"
	else
		explain_failure "$title" "$log" "$start"
	fi
	return "$status"
}

stop_ticker() {
	if [[ -z ${TICKER:-} ]]; then return 0; fi
	kill "$TICKER" 2>/dev/null || :
	wait "$TICKER" 2>/dev/null || :
	TICKER=
}

# start_beside CMD...: runs CMD, which may have steps, beside the following steps. It is a process group, which
# stop_background() ends: a background job ignores ^C, and so does all that it starts.
start_beside() {
	set -m
	(
		set +m
		TICKER='' BESIDE='' IS_BESIDE=yes
		"$@"
	) &
	BESIDE=$!
	set +m
	trap stop_background EXIT
}

# end_beside: waits for it, and returns its status.
end_beside() {
	local status=0
	if [[ -z ${BESIDE:-} ]]; then return 0; fi
	wait "$BESIDE" || status=$?
	BESIDE=
	trap - EXIT
	return "$status"
}

stop_background() {
	stop_ticker
	if [[ -n ${BESIDE:-} ]]; then kill -- "-$BESIDE" 2>/dev/null || :; fi
}

explain_failure() {
	local free
	# With paths relative to the clone, which an editor started there can open.
	tail -n 25 "$2" | sed -E "s#/fwctl/work/tree/##g; s#/fwctl/repo/##g; s/^/    /" >&2
	free=$(df --output=avail --block-size=1M "$CACHE" | tail -n 1)
	((free > 50)) || say "fwctl: the disk of $CACHE is full: free some or set FWCTL_CACHE=/path/on/a/bigger/disk"
	say "fwctl: $1 failed after $(duration $((SECONDS - $3))); the full log is $2"
}

show_progress() {
	local title=$1 probe=$2 log=$3 start=$SECONDS pause=20 so_far parent=$$ width
	if [[ -t 2 ]]; then pause=1; fi
	trap 'kill $! 2>/dev/null; exit' TERM
	trap '' INT
	while kill -0 "$parent" 2>/dev/null; do
		# In the background: a foreground sleep would delay the signal that ends this loop.
		sleep "$pause" >/dev/null 2>&1 &
		wait $! || :
		so_far=$($probe "$log" 2>/dev/null || :)
		so_far="$title${so_far:+: $so_far} ($(duration $((SECONDS - start))))"
		if [[ -t 2 ]]; then
			width=${COLUMNS:-$(tput cols 2>/dev/null || echo 120)}
			printf '\r\033[K%s  [log: %s]' "$so_far" "$log" | cut -c1-$((width + 3)) | tr -d '\n' >&2
		else
			say "$so_far"
		fi
	done
}

duration() {
	if (($1 >= 60)); then printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); else printf '%ds' "$1"; fi
}
