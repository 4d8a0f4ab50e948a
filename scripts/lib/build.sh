#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# build PIECE...: builds what is missing of tools, emu, vendor, kernel-test, kernel-builtin, kernel-bench, kernel-stock,
# kernel-debug, kernel-kcsan, mistakes-debug, mistakes-kcsan, selftests. Sourced by those who then use the pieces; run by itself it only builds. Exit status 4: a piece cannot be had
# here, for want of a network.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$REPO/scripts/lib/progress.sh"
. "$REPO/scripts/lib/staging.sh"
. "$REPO/scripts/lib/pieces.sh"

in_root() { "$REPO/scripts/root/enter" "$@"; }
in_root_script() { in_root "$IN_ROOT_REPO/scripts/$1" "${@:2}"; }

# Lines that a build from nothing prints, for "how far": only a scale, so it need not be exact.
declare -A LINES=([kernel-test]=2200 [kernel-builtin]=1600 [kernel-bench]=1600 [kernel-debug]=2300 [kernel-kcsan]=2200)

steps_done() { printf '%s%s steps' "$(grep -cE '^  [A-Z]+[A-Z0-9 ]* ' "$1" || :)" "$steps_total"; }

build_piece() {
	local piece=$1 path
	path=$(piece_path "$piece")
	[[ ! -d $path ]] || return 0
	rm -rf "$path.partial"
	mkdir -p "$path.partial"
	export FWCTL_PIECE=$IN_ROOT_CACHE/pieces/${path##*/}.partial
	case $piece in
	tools)
		run_step tools "Building the tools" crates_done in_root_script inside/tools build || return ;;
	emu)
		run_step emu-crates "Fetching the crates of the emulated devices" downloaded online inside/emu fetch || return
		run_step emu "Building the emulated devices" crates_done in_root_script inside/emu build || return ;;
	vendor)
		run_step vendor-fetch "Fetching the vendors' tools" : "$REPO/scripts/inside/vendor" fetch "$CACHE/vendor" || return
		run_step vendor "Unpacking the vendors' tools" : in_root_script inside/vendor pack "$IN_ROOT_CACHE/vendor" || return ;;
	selftests)
		run_step selftests "Building the selftests" : in_root_script inside/selftests || return ;;
	mistakes-*)
		run_step "$piece" "Building modules with mistakes (${piece#mistakes-})" : in_root_script mistakes/build "${piece#mistakes-}" || return ;;
	kernel-stock)
		"$REPO/scripts/stock/root" >/dev/null || return
		run_step "$piece" "Installing fwctl-dkms on Debian's own kernel" : "$REPO/scripts/stock/build" "$FWCTL_PIECE" || return ;;
	kernel-*)
		steps_total=" of about ${LINES[$piece]:-?}"
		[[ ! -e $FWCTL_WORK_DIR/build-${piece#kernel-}/vmlinux ]] || steps_total=
		run_step "$piece" "Building the kernel (${piece#kernel-})" steps_done in_root_script inside/kernel/build "${piece#kernel-}" &&
			run_step "$piece-pack" "Packing the kernel's modules (${piece#kernel-})" : in_root_script inside/kernel/pack "${piece#kernel-}" ||
			return ;;
	esac
	mv "$path.partial" "$path"
}

# online SCRIPT...: in the root as this machine reaches the network: its certificates (those that come with the root may not be
# enough behind a proxy that looks inside), its proxy.
online() {
	# The root's is as old as the root.
	[[ ! -r /etc/resolv.conf ]] || cp --remove-destination "$(realpath /etc/resolv.conf)" "$ROOT/etc/resolv.conf"
	local certificates=${CARGO_HTTP_CAINFO:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}} name settings=()
	if [[ -r $certificates ]]; then
		mkdir -p "$CACHE/crates"
		cp "$certificates" "$CACHE/crates/ca-certificates.crt"
		settings+=("CARGO_HTTP_CAINFO=$IN_ROOT_CACHE/crates/ca-certificates.crt")
	fi
	for name in {http,https,all,no}_proxy {HTTP,HTTPS,ALL,NO}_PROXY; do
		[[ -z ${!name:-} ]] || settings+=("$name=${!name}")
	done
	in_root env "${settings[@]}" "$IN_ROOT_REPO/scripts/$1" "${@:2}"
}

downloaded() { printf '%s crates' "$(grep -cE '^ +Downloaded ' "$1" || :)"; }

crates_done() { printf '%s crates' "$(grep -cE '^ +Compiling ' "$1" || :)"; }

missing_pieces() {
	local piece
	for piece in "$@"; do [[ -d $(piece_path "$piece") ]] || echo "$piece"; done
}

# build PIECE...: under one lock, so that two runs on one cache take turns. The tools come without the work tree.
build() {
	local piece missing status
	mapfile -t missing < <(missing_pieces "$@")
	((${#missing[@]})) || return 0
	start_logs
	lock build
	need_space "$NEED_MB_LATER"
	mkdir -p "$CACHE/pieces"
	# Only who holds the lock makes pieces: a half one is what an interrupted run left.
	remove_tree "$CACHE"/pieces/*.partial
	[[ " ${missing[*]/kernel-stock/} " != *" "@(kernel-*|mistakes-*|selftests)" "* ]] || update_tree
	for piece in "${missing[@]}"; do
		status=0
		build_piece "$piece" || status=$?
		((status != UNAVAILABLE)) || exit "$status"
		((status == 0)) || die "building $piece failed: see the lines above"
	done
	flock --unlock "$LOCK_FD"
}

update_tree() {
	mkdir -p "$FWCTL_WORK_DIR"
	echo "$SOURCE" >"$FWCTL_WORK_DIR/source"
	run_step tree "Preparing the kernel tree ($SOURCE)" : in_root_script inside/tree ||
		die "the kernel tree could not be prepared: see the lines above"
}

# prepare_tree: for those that only read the tree.
prepare_tree() {
	start_logs
	lock build
	update_tree
}

start() {
	need_root "this target"
	use_cache
	use_source
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	start
	build "$@"
fi
