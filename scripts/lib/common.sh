# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# What every script here starts with: where things are, how to stop with one sentence, how to wait for a lock.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=scripts/versions
. "$REPO/scripts/versions"

say() { printf '%s\n' "$*" >&2; }

# die SENTENCE: the one way to fail. The sentence says what is wrong and what to do.
die() {
	say "fwctl: $*"
	exit 1
}

# Inside the build root everything lies at fixed paths, so that objects built there stay valid when the clone or the
# cache moves; scripts/root/enter mounts them.
IN_ROOT_REPO=/fwctl/repo
IN_ROOT_CACHE=/fwctl/cache
IN_ROOT_KDIR=/fwctl/kdir
FWCTL_WORK=/fwctl/work

# Exit status of what cannot be had here and now (crates.io, packages): what needs it is skipped, not failed.
UNAVAILABLE=4

inside_root() { [[ ${FWCTL_INSIDE:-} == yes ]]; }

cache_dir() {
	local home=${HOME:-}
	[[ -n $home ]] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
	printf '%s\n' "${FWCTL_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/fwctl-rust}"
}

# use_cache: makes CACHE (absolute) and says what to do when that cannot be.
use_cache() {
	CACHE=$(cache_dir)
	if ! mkdir -p "$CACHE/locks" "$CACHE/logs" 2>/dev/null || [[ ! -w $CACHE || ! -w $CACHE/logs ]]; then
		die "cannot write to the cache $CACHE: name a writable folder with FWCTL_CACHE=/path"
	fi
	CACHE=$(cd "$CACHE" && pwd -P)
}

# need_space MIB: stops before a long step that cannot end well.
need_space() {
	local free
	free=$(df --output=avail --block-size=1M "$CACHE" | tail -n 1)
	((free >= $1)) ||
		die "not enough disk space: $CACHE has $((free)) MiB free and this needs $1 MiB; free some or set FWCTL_CACHE=/path/on/a/bigger/disk"
}

need_root() {
	((EUID == 0)) ||
		die "$1 needs root, because it makes a Debian build root and enters it with chroot: run it as root (sudo -E make ...)"
}

# need_tool COMMAND PACKAGE: on a bare Debian, as root, fetches what is missing; otherwise says how to get it.
need_tool() {
	command -v "$1" >/dev/null && return
	if ((EUID == 0)) && command -v apt-get >/dev/null; then
		say "fwctl: installing $2, which has $1"
		apt_install "$2" && command -v "$1" >/dev/null && return
	fi
	die "the tool '$1' is missing: install it with 'apt-get install $2'"
}

# apt_install PACKAGE...: package lists may be absent or stale on a fresh machine, so they are fetched on need.
# Their messages go to a file that is shown only when it failed.
apt_install() {
	local log status=0
	log=$(mktemp)
	host_apt install -y --no-install-recommends "$@" >"$log" 2>&1 ||
		{ host_apt update && host_apt install -y --no-install-recommends "$@"; } >>"$log" 2>&1 || status=$?
	((status == 0)) || tail -n 5 "$log" >&2
	rm -f "$log"
	return "$status"
}

host_apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=30 "$@" </dev/null
}

# lock NAME [sh]: holds $CACHE/locks/NAME until this script ends, or unlocks $LOCK_FD; says so when it has to wait.
lock() {
	local mode=${2:-ex} fd
	exec {fd}>"$CACHE/locks/$1"
	if ! flock "--$mode" --nonblock "$fd"; then
		say "fwctl: another run holds $CACHE/locks/$1; waiting for it to end"
		flock "--$mode" "$fd"
	fi
	LOCK_FD=$fd
}

# propagation: how to make a mount namespace from which nothing is seen outside. In a plain chroot "/" is no mount point
# and cannot be made private; there whoever mounts has to unmount.
propagation() {
	local how
	for how in private unchanged; do
		if unshare --mount --propagation "$how" true 2>/dev/null; then
			echo "$how"
			return
		fi
	done
	die "this machine does not let root make a mount namespace (a container without CAP_SYS_ADMIN?): run it privileged"
}

# remove_tree DIR: never across a mount point: a root may have had /dev in it.
remove_tree() { rm -rf --one-file-system "$@"; }
