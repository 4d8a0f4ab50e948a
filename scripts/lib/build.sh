#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# build.sh PIECE...: builds the pieces that are missing: tools, command, emu, vendor, selftests, kernel-FLAVOUR (test, c,
# builtin, hardened, lto, bench, debug, kcsan, own), kernel-stock, mistakes-debug, mistakes-kcsan, arm64-tools,
# arm64-selftests, arm64-kernel-FLAVOUR (test, 16k, 64k), arm64-kernel-stock, and kernel-stock-NAME and
# arm64-kernel-stock-NAME for the other flavours of Debian's kernel; or "tree", the kernel tree only. The verbs source it
# and use the pieces. Exit status 4: a piece needs the network, which cannot be reached.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$REPO/scripts/lib/progress.sh"
. "$REPO/scripts/lib/staging.sh"
. "$REPO/scripts/lib/pieces.sh"

in_root() { "$REPO/scripts/root/enter" "$@"; }
in_root_script() { in_root "$IN_ROOT_REPO/scripts/$1" "${@:2}"; }

# full_root: prints the path of the root that has what the tests on the host and the packages need.
full_root() { ROOT=$ROOT "$REPO/scripts/root/make" full; }

# in_full_root_script SCRIPT ARG...
in_full_root_script() {
	local full
	full=$(full_root) && FWCTL_BUILD_ROOT=$full in_root_script "$@"
}

# in_arm64_root SCRIPT ARG...: with the identity of the build root, whose folder of compiled crates is used.
in_arm64_root() {
	FWCTL_BUILD_ROOT=$("$REPO/scripts/arm64/root") in_root env "FWCTL_ROOT_ID=${ROOT##*/}" \
		"$IN_ROOT_REPO/scripts/$1" "${@:2}"
}

# Steps of a build from scratch, approximately: the scale of the progress line.
declare -A STEPS=([kernel-test]=2400 [kernel-builtin]=1700 [kernel-bench]=1600 [kernel-debug]=2300 [kernel-kcsan]=2200
	[kernel-c]=1250 [kernel-hardened]=1600 [kernel-lto]=1500 [arm64-kernel-test]=1650 [arm64-kernel-16k]=1650
	[arm64-kernel-64k]=1650)

steps_done() { printf '%s%s steps' "$(grep -cE '^  [A-Z]+[A-Z0-9 ]* ' "$1" || :)" "$steps_total"; }

# is_built_here PIECE: returns whether it is built on machines of this architecture: some are on amd64 only.
is_built_here() { [[ $1 == @(tools|command|emu|tree|arm64-*) || $(dpkg --print-architecture) == amd64 ]]; }

build_piece() {
	local piece=$1 path flavour full run=in_root_script
	flavour=$(flavour_of "$piece")
	path=$(piece_path "$piece")
	if [[ -d $path ]]; then return 0; fi
	if ! is_built_here "$piece"; then
		die "$piece is only built on an amd64 machine: see 'arm64' in tools/fwctl/doc/testing.rst"
	fi
	rm -rf "$path.partial"
	mkdir -p "$path.partial"
	export FWCTL_PIECE=$IN_ROOT_CACHE/pieces/${path##*/}.partial
	case $piece in
	tools)
		run_step tools "Building the tools" crates_done in_root_script inside/tools build || return
		;;
	command)
		run_step command "Building the command" crates_done in_root_script inside/tools command || return
		;;
	emu)
		run_step emu-crates "Fetching the crates of the emulated devices" downloaded online inside/emu fetch || return
		run_step emu "Building the emulated devices" crates_done in_root_script inside/emu build || return
		;;
	vendor)
		run_step vendor-fetch "Fetching the vendors' tools" : "$REPO/scripts/inside/vendor" fetch "$CACHE/vendor" ||
			return
		full_root >/dev/null || return
		run_step vendor "Unpacking the vendors' tools" : in_full_root_script inside/vendor pack "$IN_ROOT_CACHE/vendor" ||
			return
		;;
	selftests)
		run_step selftests "Building the selftests" : in_root_script inside/selftests || return
		;;
	mistakes-*)
		run_step "$piece" "Building modules with seeded bugs ($flavour)" : \
			in_root_script inside/kernel/seeded "$flavour" || return
		;;
	kernel-stock)
		"$REPO/scripts/stock/root" >/dev/null || return
		full=$(full_root) || return
		FWCTL_BUILD_ROOT=$full run_step "$piece" "Installing fwctl-dkms on Debian's own kernel" : \
			"$REPO/scripts/stock/build" "$FWCTL_PIECE" || return
		;;
	kernel-stock-*)
		"$REPO/scripts/stock/root" >/dev/null || return
		full=$(full_root) || return
		FWCTL_BUILD_ROOT=$full run_step "$piece" "Installing fwctl-dkms on Debian's kernel ${piece#kernel-stock-}" : \
			"$REPO/scripts/stock/build" "$FWCTL_PIECE" "${piece#kernel-stock-}" || return
		;;
	arm64-tools | arm64-selftests | arm64-kernel-stock*)
		"$REPO/scripts/arm64/root" >/dev/null || return
		steps_total=
		case ${piece#arm64-} in
		tools) run_step "$piece" "Building the tools for arm64" crates_done in_arm64_root inside/tools cross ;;
		selftests) run_step "$piece" "Building the selftests for arm64" : in_arm64_root inside/selftests arm64 ;;
		kernel-stock)
			run_step "$piece" "Building the modules of fwctl-dkms for Debian's arm64 kernel" steps_done \
				in_arm64_root arm64/pack
			;;
		kernel-stock-*)
			run_step "$piece-fetch" "Adding Debian's kernel ${piece#arm64-kernel-stock-} to the arm64 root" : \
				in_arm64_root arm64/flavour "${piece#arm64-kernel-stock-}" || return
			run_step "$piece" "Building the modules of fwctl-dkms for Debian's kernel ${piece#arm64-kernel-stock-}" \
				steps_done in_arm64_root arm64/pack "${piece#arm64-kernel-stock-}"
			;;
		esac || return
		;;
	kernel-* | arm64-kernel-*)
		steps_total=" of about ${STEPS[$piece]:-?}"
		if [[ -e $FWCTL_WORK_DIR/build-$flavour/vmlinux ]]; then steps_total=; fi
		# gendwarfksyms needs libdw.
		if [[ $flavour == hardened ]]; then
			run=in_full_root_script
			full_root >/dev/null || return
		fi
		run_step "$piece" "Building the kernel ($flavour)" steps_done "$run" inside/kernel/build "$flavour" || return
		run_step "$piece-pack" "Packing the kernel's modules ($flavour)" : "$run" inside/kernel/pack "$flavour" ||
			return
		;;
	esac
	mv "$path.partial" "$path"
}

# online SCRIPT ARG...: runs a script in the root with this machine's name servers, proxy and certificates: behind a
# proxy that intercepts TLS the root's certificates are not sufficient.
online() {
	local certificates=${CARGO_HTTP_CAINFO:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}} name settings=()
	if [[ -r /etc/resolv.conf ]]; then
		cp --remove-destination "$(realpath /etc/resolv.conf)" "$ROOT/etc/resolv.conf"
	fi
	if [[ -r $certificates ]]; then
		mkdir -p "$CACHE/crates"
		cp "$certificates" "$CACHE/crates/ca-certificates.crt"
		settings+=("CARGO_HTTP_CAINFO=$IN_ROOT_CACHE/crates/ca-certificates.crt")
	fi
	for name in {http,https,all,no}_proxy {HTTP,HTTPS,ALL,NO}_PROXY; do
		if [[ -n ${!name:-} ]]; then settings+=("$name=${!name}"); fi
	done
	in_root env "${settings[@]}" "$IN_ROOT_REPO/scripts/$1" "${@:2}"
}

downloaded() { printf '%s crates' "$(grep -cE '^ +Downloaded ' "$1" || :)"; }

crates_done() { printf '%s crates' "$(grep -cE '^ +Compiling ' "$1" || :)"; }

missing_pieces() {
	local piece
	for piece in "$@"; do [[ -d $(piece_path "$piece") ]] || echo "$piece"; done
}

# is_from_tree PIECE: returns whether it is built from the kernel tree.
is_from_tree() {
	[[ $1 != ?(arm64-)kernel-stock* && $1 == @(?(arm64-)kernel-*|mistakes-*|selftests|arm64-selftests) ]]
}

# by_use PIECE...: prints these pieces, those that most tests need first.
by_use() {
	local piece first=(tools selftests kernel-test emu kernel-stock vendor command kernel-builtin)
	for piece in "${first[@]}"; do [[ " $* " != *" $piece "* ]] || echo "$piece"; done
	for piece in "$@"; do [[ " ${first[*]} " == *" $piece "* ]] || echo "$piece"; done
}

# build PIECE...: builds the missing ones under a lock: two runs on one cache take turns. Those from the kernel tree and
# the others are built beside each other, since each leave a processor idle at times. The pieces that OPTIONAL names are
# left out if they need a download that is not possible.
build() {
	local piece missing from_tree=() others=()
	mapfile -t missing < <(missing_pieces "$@")
	if ((${#missing[@]} == 0)); then return 0; fi
	start_logs
	lock build
	need_space "$NEED_MB_LATER"
	mkdir -p "$CACHE/pieces"
	# Under the lock, so these are of interrupted runs.
	remove_tree "$CACHE"/pieces/*.partial
	for piece in $(by_use "${missing[@]}"); do
		if is_from_tree "$piece"; then from_tree+=("$piece"); else others+=("$piece"); fi
	done
	if ((${#from_tree[@]} == 0)); then
		build_pieces "${others[@]}"
	else
		if ((${#others[@]})); then start_beside build_pieces "${others[@]}"; fi
		update_tree
		build_pieces "${from_tree[@]}"
		end_beside || exit
	fi
	flock --unlock "$LOCK_FD"
}

# build_pieces PIECE...: builds them, one after the other. If OUTCOMES is set, it goes on after a failure, and adds a line
# with the name and the status of each to that file. If BUILD_SECONDS is set, it begins none later than that many seconds
# after this script began.
build_pieces() {
	local piece status
	for piece in "$@"; do
		status=0
		if [[ -n ${BUILD_SECONDS:-} ]] && ((SECONDS >= BUILD_SECONDS)); then
			status=$LATE
		else
			build_piece "$piece" || status=$?
		fi
		if [[ -n ${OUTCOMES:-} ]]; then
			echo "$piece $status" >>"$OUTCOMES"
			continue
		fi
		case $status in
		0) ;;
		"$UNAVAILABLE") [[ " ${OPTIONAL:-} " == *" $piece "* ]] || exit "$status" ;;
		"$LATE") exit "$status" ;;
		*) die "building $piece failed: see the lines above" ;;
		esac
	done
}

update_tree() {
	mkdir -p "$FWCTL_WORK_DIR"
	echo "$SOURCE" >"$FWCTL_WORK_DIR/source"
	run_step tree "Preparing the kernel tree ($SOURCE)" : in_root_script inside/tree ||
		die "the kernel tree could not be prepared: see the lines above"
}

# prepare_tree: brings the kernel tree up to date for callers that only read it.
prepare_tree() {
	start_logs
	lock build
	update_tree
}

# start: prints what FIRST_RUN says if nothing has been built in this cache yet.
start() {
	need_root "this target"
	use_cache
	if [[ -n ${FIRST_RUN:-} ]] && ! compgen -G "$CACHE/root-*[0-9a-f]" >/dev/null; then
		say "This is the first run. $FIRST_RUN"
	fi
	use_source
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	start
	if [[ $* == tree ]]; then prepare_tree; else build "$@"; fi
fi
