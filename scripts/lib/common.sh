# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# Sourced first by every script: paths, errors of one sentence, locks.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=scripts/versions
. "$REPO/scripts/versions"

say() { printf '%s\n' "$*" >&2; }

# die SENTENCE: the one way to fail. The sentence says what is wrong and what to do.
die() {
	say "fwctl: $*"
	exit 1
}

# Inside the build root, scripts/root/enter mounts everything at fixed paths: objects built there stay valid when the
# clone or the cache moves.
IN_ROOT_REPO=/fwctl/repo
IN_ROOT_CACHE=/fwctl/cache
IN_ROOT_KDIR=/fwctl/kdir
FWCTL_WORK=/fwctl/work

# Exit status if a download is not possible (crates.io, packages): what needs it is skipped, not failed.
UNAVAILABLE=4

# Exit status if the time for builds was over.
LATE=5

inside_root() { [[ ${FWCTL_INSIDE:-} == yes ]]; }

cache_dir() {
	local home=${HOME:-}
	[[ -n $home ]] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
	printf '%s\n' "${FWCTL_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/fwctl-rust}"
}

# use_cache: creates the cache and sets CACHE to its absolute path.
use_cache() {
	CACHE=$(cache_dir)
	if ! mkdir -p "$CACHE/locks" "$CACHE/logs" 2>/dev/null || [[ ! -w $CACHE || ! -w $CACHE/logs ]]; then
		die "cannot write to the cache $CACHE: name a writable folder with FWCTL_CACHE=/path"
	fi
	CACHE=$(cd "$CACHE" && pwd -P)
}

# need_space MIB: stops before a long step for which the disk is too small.
need_space() {
	local free
	free=$(df --output=avail --block-size=1M "$CACHE" | tail -n 1)
	if ((free < $1)); then
		die "not enough disk space: $CACHE has $((free)) MiB free and this needs $1 MiB;" \
			"free some or set FWCTL_CACHE=/path/on/a/bigger/disk"
	fi
}

need_root() {
	((EUID == 0)) ||
		die "$1 needs root, because it makes a Debian build root and enters it with chroot: run it as root (sudo -E make ...)"
}

# need_tool COMMAND PACKAGE: installs a missing tool if root on Debian; otherwise stops and names the command to do so.
need_tool() {
	command -v "$1" >/dev/null && return
	if ((EUID == 0)) && command -v apt-get >/dev/null; then
		say "fwctl: installing $2, which has $1"
		apt_install "$2" && command -v "$1" >/dev/null && return
	fi
	die "the tool '$1' is missing: install it with 'apt-get install $2'"
}

# apt_install PACKAGE...: updates the package lists if they are absent or stale. Prints messages only if it fails.
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

# lock NAME [sh]: holds $CACHE/locks/NAME until this script ends or unlocks $LOCK_FD. Prints a message if it has to
# wait.
lock() {
	local mode=${2:-ex} fd
	exec {fd}>"$CACHE/locks/$1"
	if ! flock "--$mode" --nonblock "$fd"; then
		say "fwctl: waiting for $CACHE/locks/$1, which another run or step holds"
		flock "--$mode" "$fd"
	fi
	LOCK_FD=$fd
}

# parallel: prints the option of make for parallel jobs: FWCTL_JOBS, or one more than there are processors.
parallel() { echo "-j${FWCTL_JOBS:-$(($(nproc) + 1))}"; }

# propagation: the option of unshare(1) for a mount namespace. In a plain chroot "/" is not a mount point and cannot be
# made private: mounts are visible outside then, and the caller has to unmount.
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

# remove_tree DIR...: does not cross mount points, since /dev may be mounted in a root.
remove_tree() { rm -rf --one-file-system "$@"; }
