# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Shared by the tests in scripts/tests. scripts/test has set FWCTL_BUILD_ROOT, to
# the full root, and FWCTL_WORK_DIR.

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

# scratch: sets SCRATCH to a folder that is removed when the test ends.
scratch() {
	SCRATCH=$(mktemp -d "$CACHE/check.XXXXXX")
	trap 'cleanup; rm -rf --one-file-system "$SCRATCH"' EXIT
}
cleanup() { :; }

# one_sentence OUTPUT PATTERN: fails unless exactly one line is our message, and it matches.
one_sentence() {
	local file=$1 pattern=$2
	grep -qE "^fwctl: .*$pattern" "$file" || fail "no sentence like '$pattern' in: $(cat "$file")"
	(($(grep -c '^fwctl: ' "$file") == 1)) || fail "more than one sentence: $(cat "$file")"
}

# refuses PATTERN CMD...: fails unless CMD exits with an error and one sentence that matches PATTERN.
refuses() {
	local pattern=$1 status=0
	shift
	"$@" >"$SCRATCH/output" 2>&1 </dev/null || status=$?
	((status != 0)) || fail "it did not fail: $*"
	((status < 126)) || fail "status $status: $* $(cat "$SCRATCH/output")"
	one_sentence "$SCRATCH/output" "$pattern"
}

# pristine_copy DIR: copies those files of the pristine source that our files and patches touch. Not by hard links:
# tests change the copy.
pristine_copy() {
	local to=$1 source path paths patches
	source=$(find "$CACHE" -maxdepth 1 -name 'source-*' -type d ! -name '*.partial' | sort | tail -n 1)
	[[ -n $source ]] || fail "there is no pristine source in the cache"
	mkdir -p "$to/drivers/fwctl"
	mapfile -t patches < <(our_patches)
	mapfile -t paths < <({ printf '%s\n' Makefile Kconfig; our_files; patched_files "${patches[@]}"; } | sort -u)
	for path in "${paths[@]}"; do
		[[ -e $source/$path ]] || continue
		mkdir -p "$to/$(dirname "$path")"
		cp "$source/$path" "$to/$path"
	done
}

# listing DIR: prints names and hashes of all files, to compare later.
listing() { (cd "$1" && find . -path ./.git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
