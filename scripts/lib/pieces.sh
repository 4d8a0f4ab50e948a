# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The built pieces: the inputs of each, and its path. A piece is a folder named by a hash of its inputs. It is
# complete or absent and never changes, so a run that uses one is not disturbed by a concurrent build.

. "$REPO/scripts/lib/fragments.sh"

# use_source: sets SOURCE (the pristine kernel source, a Debian version or "kdir") and FWCTL_WORK_DIR (the work tree).
use_source() {
	local id
	ROOT=${ROOT:-$("$REPO/scripts/root/make")}
	# A test on the host has the full root already.
	export FWCTL_BUILD_ROOT=${FWCTL_BUILD_ROOT:-$ROOT}
	if [[ -n ${KDIR:-} ]]; then
		check_version "$KDIR"
		check_without_ours "$KDIR"
		FWCTL_KDIR=$(cd "$KDIR" && pwd -P)
		export FWCTL_KDIR
		SOURCE=kdir
		# As make does, compare names, sizes and times rather than contents.
		SOURCE_ID=$(cd "$FWCTL_KDIR" &&
			find . -path ./.git -prune -o -type f ! -name '.config.old' -printf '%P %s %T@\n' |
			LC_ALL=C sort | sha256sum)
		id=kdir-$(printf '%s' "$FWCTL_KDIR" | sha256sum | cut -c1-8)
	else
		SOURCE=$(dpkg-query --admindir="$ROOT/var/lib/dpkg" -f '${Version}' -W "$KERNEL_SOURCE_PACKAGE")
		SOURCE_ID=$SOURCE
		id=$SOURCE
	fi
	TOOLCHAIN=$(toolchain | sha256sum | cut -c1-12)
	FWCTL_WORK_DIR=$CACHE/work-$id-$TOOLCHAIN
	export FWCTL_WORK_DIR
}

# toolchain: the packages of the root that a built kernel depends on. With all of them, one more crate for the tools
# would rebuild the kernels.
toolchain() {
	dpkg-query --admindir="$ROOT/var/lib/dpkg" -f '${Package} ${Version}\n' -W \
		rustc rust-src bindgen 'clang*' 'lld*' 'llvm*' gcc 'cpp-[0-9][0-9]' binutils libc6-dev libelf-dev libssl-dev \
		flex bison 2>/dev/null | LC_ALL=C sort
}

# files_of PATH...: every file under these paths of the clone, except what builds and editors leave behind.
files_of() {
	local path
	for path in "$@"; do
		if [[ -e $REPO/$path ]]; then
			find "$REPO/$path" \( -name '.?*' -o -name target \) -prune -o -type f \
				! -name '*~' ! -name '*.o' ! -name '*.ko' ! -name '*.mod*' ! -name '*.rmeta' \
				! -path "$REPO/tools/fwctl/Cargo.lock" ! -path '*/fuzz/Cargo.lock' -print0
		fi
	done | LC_ALL=C sort -z
}

# flavour_of PIECE: prints the flavour of a kernel or of modules for it.
flavour_of() { sed -E 's/^(arm64-)?(kernel|mistakes)-/\1/' <<<"$1"; }

# key_of PIECE: the hash of all inputs of PIECE.
key_of() {
	local paths path
	case $1 in
	tools)
		paths=(tools/fwctl/{Cargo.toml,uapi,lib,capi,cli,ioctl-fuzz} tools/fwctl/vm/{Cargo.toml,build.rs,src,guest,tests})
		paths+=(scripts/inside/tools)
		;;
	command)
		paths=(tools/fwctl/{Cargo.toml,uapi,lib,capi,cli,ioctl-fuzz} tools/fwctl/vm/Cargo.toml scripts/inside/tools)
		;;
	emu) paths=(tools/fwctl/emu scripts/inside/emu) ;;
	vendor) paths=(scripts/inside/vendor scripts/versions tools/fwctl/vm/guest/{libcxl-fwctl,map}.c) ;;
	arm64-tools) paths=(tools/fwctl/{Cargo.toml,uapi,lib,capi,cli,ioctl-fuzz} tools/fwctl/vm/{Cargo.toml,build.rs,src,guest}
		scripts/inside/tools scripts/arm64/{packages,root}) ;;
	selftests | arm64-selftests)
		paths=(tools/testing/selftests/fwctl include patches)
		paths+=(drivers/fwctl/{loopback,tests} scripts/inside/{selftests,tree} scripts/lib/staging.sh)
		paths+=(tools/fwctl/vm/guest/mstflint-umem.c)
		if [[ $1 == arm64-* ]]; then paths+=(scripts/arm64/{packages,root}); fi
		;;
	kernel-stock | kernel-stock-*)
		paths=(drivers/fwctl include/linux patches rust/kernel samples/fwctl)
		paths+=(scripts/inside/deb tools/fwctl/packaging/deb/fwctl-dkms scripts/stock)
		;;
	arm64-kernel-stock | arm64-kernel-stock-*)
		paths=(drivers/fwctl include/linux patches rust/kernel samples/fwctl)
		paths+=(tools/fwctl/packaging/deb/fwctl-dkms scripts/arm64 scripts/stock/modules.sh)
		;;
	kernel-* | mistakes-* | arm64-kernel-*)
		paths=(drivers include rust samples tools/testing/cxl patches)
		paths+=(scripts/lib/{arch,coverage,fragments,outside,staging}.sh scripts/inside/tree)
		for path in "$REPO"/scripts/inside/kernel/*; do
			case ${path##*/} in
			clippy | examples* | refused | rustdoc | seeded | without-rust | *.config) continue ;;
			esac
			paths+=("${path#"$REPO/"}")
		done
		for path in $(fragments "$(flavour_of "$1")"); do paths+=("scripts/inside/kernel/$path"); done
		if [[ $1 == kernel-builtin ]]; then paths+=(tools/fwctl/vm/modules/abstraction); fi
		if [[ $1 == mistakes-* ]]; then paths+=(scripts/inside/kernel/seeded tools/fwctl/vm/modules/seeded); fi
		;;
	*) die "no such piece: $1" ;;
	esac
	{
		case $1 in
		tools | command | emu | vendor) echo "$1 ${ROOT##*/}" ;;
		arm64-kernel-stock*) echo "$1 ${ROOT##*/} $SOURCE_ID" ;;
		arm64-kernel-*) echo "$1 $TOOLCHAIN $SOURCE_ID" ;;
		arm64-*) echo "$1 ${ROOT##*/} $SOURCE_ID" ;;
		*) echo "$1 $TOOLCHAIN $SOURCE_ID" ;;
		esac
		files_of "${paths[@]}" | xargs -0 -r sha256sum | sed "s,  $REPO/,  ,"
	} | sha256sum | cut -c1-12
}

piece_path() { printf '%s/pieces/%s-%s\n' "$CACHE" "$1" "$(key_of "$1")"; }

# gather PIECE...: sets OUT to a folder with hard links to these pieces, in the layout that the VM runner reads, and
# locks it until this script ends.
gather() {
	local piece path paths=() name
	for piece in "$@"; do
		path=$(piece_path "$piece")
		[[ -d $path ]] || die "the piece $piece is absent although its build succeeded: please report this"
		touch "$path"
		paths+=("$path")
	done
	name=$(printf '%s\n' "${paths[@]}" | sha256sum | cut -c1-12)
	OUT=$CACHE/out/$name
	mkdir -p "$CACHE/out"
	lock "out-$name" sh
	if [[ ! -d $OUT ]]; then
		path=$(mktemp -d "$OUT.partial.XXXXXX")
		chmod 755 "$path"
		for piece in "${paths[@]}"; do cp -al "$piece/." "$path/"; done
		# Of two runs that do this at the same time, one wins: the folders are equal.
		mv -T "$path" "$OUT" 2>/dev/null || rm -rf "$path"
	fi
	touch "$OUT"
	export FWCTL_OUT=$IN_ROOT_CACHE/out/$name
	drop_old
}

# drop_old: keeps the three newest of each piece, and those gathered folders that are in use or among the five newest.
drop_old() {
	local kind path fd
	for kind in kernel-{test,c,builtin,hardened,lto,bench,debug,kcsan,own,stock} mistakes-{debug,kcsan} selftests tools \
		command emu vendor kernel-stock-{rt,cloud}-amd64 arm64-{tools,selftests,kernel-{stock,test,16k,64k}} \
		arm64-kernel-stock-{rt-arm64,cloud-arm64,arm64-16k}; do
		# With the hash only: the name of one kind can begin with that of another.
		find "$CACHE/pieces" -mindepth 1 -maxdepth 1 -name "$kind-????????????" -printf '%T@ %p\n' | sort -rn | tail -n +4 |
			cut -d' ' -f2- | xargs -r rm -rf
	done
	find "$CACHE" -mindepth 1 -maxdepth 2 \( -path "$CACHE/check.*" -o -path "$CACHE/out/*.partial.*" \) -prune \
		-mmin +600 -exec rm -rf --one-file-system {} +
	find "$CACHE/out" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +6 | cut -d' ' -f2- |
		while read -r path; do
			exec {fd}>"$CACHE/locks/out-${path##*/}"
			if flock --exclusive --nonblock "$fd"; then rm -rf "$path"; fi
			exec {fd}>&-
		done
}
