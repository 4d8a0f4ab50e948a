# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The built pieces: what each is made of, and where it lies. A piece is a folder named by a hash of all it was made of,
# complete or absent, and never changed afterwards: whoever uses one is not disturbed by a build that runs beside it.

# use_source: sets SOURCE (what a work tree starts from) and FWCTL_WORK_DIR (where it is worked on).
use_source() {
	local id
	ROOT=${ROOT:-$("$REPO/scripts/root/make")}
	export FWCTL_BUILD_ROOT=$ROOT
	if [[ -n ${KDIR:-} ]]; then
		check_version "$KDIR"
		check_without_ours "$KDIR"
		FWCTL_KDIR=$(cd "$KDIR" && pwd -P)
		export FWCTL_KDIR
		SOURCE=kdir
		# Content, as make sees it: names, sizes and times.
		SOURCE_ID=$(cd "$FWCTL_KDIR" && find . -path ./.git -prune -o -type f ! -name '.config.old' -printf '%P %s %T@\n' | LC_ALL=C sort | sha256sum)
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

# toolchain: what a built kernel depends on in the root; with all of the root's packages in it, one more crate for the
# tools would mean a new kernel.
toolchain() {
	dpkg-query --admindir="$ROOT/var/lib/dpkg" -f '${Package} ${Version}\n' -W rustc rust-src bindgen 'clang*' 'lld*' 'llvm*' \
		gcc 'cpp-[0-9][0-9]' binutils libc6-dev libelf-dev libssl-dev flex bison 2>/dev/null | LC_ALL=C sort
}

# files_of PATH...: every file under these paths of the clone, but for what a build or an editor leaves there.
files_of() {
	local path
	for path in "$@"; do
		[[ ! -e $REPO/$path ]] || find "$REPO/$path" \( -name '.?*' -o -name target \) -prune -o -type f ! -name '*~' \
			! -name '*.o' ! -name '*.ko' ! -name '*.mod*' ! -name '*.rmeta' ! -path "$REPO/tools/fwctl/Cargo.lock" \
			! -path '*/fuzz/Cargo.lock' -print0
	done | LC_ALL=C sort -z
}

# key_of PIECE: the hash of all that PIECE is made of.
key_of() {
	local paths path
	case $1 in
	tools) paths=(tools/fwctl/{Cargo.toml,uapi,lib,cli,ioctl-fuzz,vm} scripts/inside/tools) ;;
	emu) paths=(tools/fwctl/emu scripts/inside/emu) ;;
	vendor) paths=(scripts/inside/vendor scripts/versions tools/fwctl/vm/guest/{libcxl-fwctl,map}.c) ;;
	selftests) paths=(tools/testing/selftests/fwctl include samples patches scripts/inside/{selftests,tree} scripts/lib/staging.sh) ;;
	kernel-stock) paths=(drivers/fwctl rust/kernel samples/fwctl scripts/inside/deb tools/fwctl/packaging/deb/fwctl-dkms scripts/stock) ;;
	kernel-* | mistakes-*) paths=(drivers include rust samples tools/testing/cxl patches scripts/series/removed scripts/lib/coverage.sh
		scripts/lib/outside.sh scripts/lib/staging.sh scripts/inside/tree)
		# Another flavour's configuration is none of its business, unless that is on top of it.
		for path in "$REPO"/scripts/inside/kernel/*; do
			case ${path##*/} in
			base.config | "${1#*-}.config") ;;
			test.config) [[ $1 == *-debug || $1 == *-kcsan ]] || continue ;;
			*.config) continue ;;
			esac
			paths+=("${path#"$REPO/"}")
		done
		[[ $1 != mistakes-* ]] || paths+=(scripts/mistakes)
		;;
	*) die "no such piece: $1" ;;
	esac
	{
		case $1 in
		tools | emu | vendor) echo "$1 ${ROOT##*/}" ;;
		*) echo "$1 $TOOLCHAIN $SOURCE_ID" ;;
		esac
		files_of "${paths[@]}" | xargs -0 -r sha256sum | sed "s,  $REPO/,  ,"
	} | sha256sum | cut -c1-12
}

piece_path() { printf '%s/pieces/%s-%s\n' "$CACHE" "$1" "$(key_of "$1")"; }

# gather PIECE...: sets OUT to a folder with these pieces side by side, in the layout that the VM runner reads, and
# holds it until this script ends. Hard links: the pieces never change.
gather() {
	local piece path paths=() name
	for piece in "$@"; do
		path=$(piece_path "$piece")
		[[ -d $path ]] || die "the piece $piece was not built although its build ended well: please report this"
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
		# Two runs may do this at the same time; one of the two equal folders wins.
		mv -T "$path" "$OUT" 2>/dev/null || rm -rf "$path"
	fi
	touch "$OUT"
	export FWCTL_OUT=$IN_ROOT_CACHE/out/$name
	drop_old
}

# drop_old: keeps the three newest of each piece, and of the gathered folders those that are in use or new.
drop_old() {
	local kind path fd
	for kind in kernel-{test,builtin,bench,debug,kcsan,own,stock} mistakes-{debug,kcsan} selftests tools emu vendor; do
		find "$CACHE/pieces" -mindepth 1 -maxdepth 1 -name "$kind-*" -printf '%T@ %p\n' | sort -rn | tail -n +4 |
			cut -d' ' -f2- | xargs -r rm -rf
	done
	find "$CACHE" -mindepth 1 -maxdepth 2 \( -path "$CACHE/check.*" -o -path "$CACHE/out/*.partial.*" \) -prune \
		-mmin +600 -exec rm -rf --one-file-system {} +
	find "$CACHE/out" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +6 | cut -d' ' -f2- |
		while read -r path; do
			exec {fd}>"$CACHE/locks/out-${path##*/}"
			! flock --exclusive --nonblock "$fd" || rm -rf "$path"
			exec {fd}>&-
		done
}
