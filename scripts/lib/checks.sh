# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The tests that need no VM: one executable file each, scripts/tests/GROUP/NAME. Exit status: 0 passed, 4 skipped (the
# last line says why), else failed. Lines at the top of a test describe it:
#   # about: SENTENCE
#   # needs: PIECE...   or tree
#   # slow: yes           it takes more than half a minute: only make test-all and patterns select it, and it runs last
#   # inputs: PATH...   all files that it depends on: after it passed it is not run again until one of them changes

# checks PATTERN...: prints the names of the selected tests. fwctl-vm, which is in the gathered tools, matches them.
checks() {
	local path
	for path in "$REPO"/scripts/tests/*/*; do
		if [[ -x $path ]]; then echo "${path#"$REPO/scripts/tests/"}"; fi
	done | if (($#)); then in_root "$FWCTL_OUT/bin/fwctl-vm" select -- "$@"; else cat; fi
}

# check_says about|needs|slow|inputs NAME: prints that line of a test.
check_says() { sed -n "s/^# $1: //p" "$REPO/scripts/tests/$2"; }

is_slow() { [[ -n $(check_says slow "$1") ]]; }

# quick_ones: prints those names on standard input whose tests are not slow.
quick_ones() {
	local name
	while read -r name; do is_slow "$name" || echo "$name"; done
}

# slow_last NAME...: prints the names in the order in which the tests run.
slow_last() {
	local name slow=()
	for name in "$@"; do
		if is_slow "$name"; then slow+=("$name"); else echo "$name"; fi
	done
	if ((${#slow[@]})); then printf '%s\n' "${slow[@]}"; fi
}

# run_check NAME: runs a test in FULL_ROOT, prints and counts the result.
run_check() {
	local name=$1 log=$LOGS/${1//\//.}.log status=0 start=${EPOCHREALTIME/./} mark
	mark=$(mark_of "$name")
	if [[ -n $mark && -e $mark ]]; then
		count pass "$name" "$start" "as before: its inputs are unchanged"
		return
	fi
	FWCTL_BUILD_ROOT=$FULL_ROOT "$REPO/scripts/tests/$name" >"$log" 2>&1 </dev/null || status=$?
	case $status in
	0)
		count pass "$name" "$start"
		if [[ -n $mark ]]; then mkdir -p "${mark%/*}" && rm -f "${mark%-*}"-* && touch "$mark"; fi
		;;
	4) count skip "$name" "$start" "$(tail -n 1 "$log")" ;;
	*)
		# In one write, since the tests in the VM print at the same time.
		printf '%s\n' "$(count fail "$name" "$start" "exit status $status"
			tail -n 15 "$log" | sed 's/^/          /'
			echo "               $log")"
		COUNT[fail]=$((COUNT[fail] + 1))
		FAILED+=("$name")
		;;
	esac
}

# mark_of NAME: prints the path of the file that exists if NAME passed with these inputs; nothing if it has no inputs.
mark_of() {
	local inputs
	read -ra inputs < <(check_says inputs "$1" | xargs)
	if ((${#inputs[@]} == 0)); then return 0; fi
	printf '%s/passed/%s-%s\n' "$CACHE" "${1//\//.}" \
		"$({ echo "$FULL_ROOT"; files_of "${inputs[@]}" "scripts/tests/$1" | xargs -0 -r sha256sum; } | sha256sum | cut -c1-12)"
}

declare -A COUNT=([pass]=0 [fail]=0 [skip]=0)
FAILED=()

# count RESULT NAME START [REASON]
count() {
	local -A word=([pass]=ok [fail]=FAIL [skip]=skip)
	local took=$((${EPOCHREALTIME/./} - $3))
	COUNT[$1]=$((COUNT[$1] + 1))
	if [[ $1 == fail ]]; then FAILED+=("$2"); fi
	printf '  %-4s  %-22s %5d.%d s%s\n' "${word[$1]}" "$2" $((took / 1000000)) $((took / 100000 % 10)) "${4:+  $4}"
}
