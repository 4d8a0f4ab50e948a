# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the checks in scripts/tests share. scripts/test has set FWCTL_BUILD_ROOT and FWCTL_WORK_DIR.

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$REPO/scripts/lib/staging.sh"
use_cache

in_root() { "$REPO/scripts/root/enter" "$@"; }

fail() {
	echo "$*" >&2
	exit 1
}

skip() {
	echo "$*"
	exit 4
}

# scratch: sets SCRATCH to a folder that goes when the check ends.
scratch() {
	SCRATCH=$(mktemp -d "$CACHE/check.XXXXXX")
	trap 'cleanup; rm -rf --one-file-system "$SCRATCH"' EXIT
}
cleanup() { :; }

# one_sentence OUTPUT PATTERN: the last line is our message, and only one is.
one_sentence() {
	local file=$1 pattern=$2
	grep -qE "^fwctl: .*$pattern" "$file" || fail "no sentence like '$pattern' in: $(cat "$file")"
	(($(grep -c '^fwctl: ' "$file") == 1)) || fail "more than one sentence: $(cat "$file")"
}

# refuses PATTERN CMD...: CMD ends with a status of its own and one sentence like PATTERN.
refuses() {
	local pattern=$1 status=0
	shift
	"$@" >"$SCRATCH/output" 2>&1 </dev/null || status=$?
	((status != 0)) || fail "it did not fail: $*"
	((status < 126)) || fail "status $status: $* $(cat "$SCRATCH/output")"
	one_sentence "$SCRATCH/output" "$pattern"
}

# pristine_copy DIR PATH...: a small tree of the right version with what our files and patches touch. The pristine source
# lies in the cache; hard links would be changed by what the test does.
pristine_copy() {
	local to=$1 source path
	source=$(find "$CACHE" -maxdepth 1 -name 'source-*' -type d ! -name '*.partial' | sort | tail -n 1)
	[[ -n $source ]] || fail "there is no pristine source in the cache"
	mkdir -p "$to/drivers/fwctl"
	mapfile -t paths < <(mapfile -t patches < <(our_patches); { echo Makefile; echo Kconfig; removed_files; our_files; patched_files "${patches[@]}"; } | sort -u)
	for path in "${paths[@]}"; do
		[[ -e $source/$path ]] || continue
		mkdir -p "$to/$(dirname "$path")"
		cp "$source/$path" "$to/$path"
	done
}

# listing DIR: names and contents, to see that nothing changed.
listing() { (cd "$1" && find . -path ./.git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
