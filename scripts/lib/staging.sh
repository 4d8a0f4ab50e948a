# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What a kernel tree looks like with our files and patches in it, made beside it first: a tree is touched only once
# everything is known to fit.

# Folders of this repository that are folders of a kernel tree. tools/fwctl is user space and stays here.
KERNEL_DIRS=(drivers include rust Documentation samples tools/testing)

# our_files: paths of what we put into a tree, without what editors and builds leave behind.
our_files() {
	local dir dirs=()
	for dir in "${KERNEL_DIRS[@]}"; do [[ ! -d $REPO/$dir ]] || dirs+=("$dir"); done
	(cd "$REPO" && find "${dirs[@]}" \( -name '.*' ! -name .gitignore ! -name .kunitconfig -o -name '*.tmp_*' \) -prune -o -type f \
		! -name '*~' ! -name '*.o' ! -name '*.ko' ! -name '*.a' ! -name '*.mod' ! -name '*.mod.c' ! -name '*.rmeta' \
		! -name '*.orig' ! -name '*.rej' ! -name 'Module.symvers' ! -name 'modules.order' \
		! -name 'exports_generated.h' -print) | LC_ALL=C sort
}

our_patches() { find "$REPO/patches" -maxdepth 1 -name '*.patch' 2>/dev/null | LC_ALL=C sort; }

# removed_files: files of the base tree that ours replace under another name.
removed_files() { sed -e '/^#/d' -e '/^$/d' "$REPO/scripts/series/removed"; }

# patched_files PATCH...: the files that patches read or write.
patched_files() { (($# == 0)) || sed -nE 's,^(---|\+\+\+) [ab]/([^[:blank:]]+).*,\2,p' "$@" | LC_ALL=C sort -u; }

# check_version TREE
check_version() {
	local version patchlevel
	[[ -d $1 ]] || die "KDIR=$1 is not a folder: give the top of a Linux $KERNEL_VERSION.$KERNEL_PATCHLEVEL source tree"
	[[ -r $1/Makefile && -r $1/Kconfig && -d $1/drivers/fwctl ]] ||
		die "KDIR=$1 is not the top of a Linux source tree with drivers/fwctl: give one of Linux $KERNEL_VERSION.$KERNEL_PATCHLEVEL"
	version=$(sed -n 's/^VERSION = //p' "$1/Makefile")
	patchlevel=$(sed -n 's/^PATCHLEVEL = //p' "$1/Makefile")
	[[ $version.$patchlevel == "$KERNEL_VERSION.$KERNEL_PATCHLEVEL" ]] ||
		die "KDIR=$1 is Linux $version.$patchlevel and our files are for $KERNEL_VERSION.$KERNEL_PATCHLEVEL: give a tree of that version"
}

# check_without_ours TREE
check_without_ours() {
	[[ ! -e $1/drivers/fwctl/main.rs ]] ||
		die "KDIR=$1 already has our files in it (drivers/fwctl/main.rs): give a tree without them (in a git tree: git stash -u)"
}

# stage_tree BASE DIR: fills DIR with every file that differs from BASE: DIR/files/... in their new content, and the
# lists DIR/changed and DIR/removed. BASE is only read.
stage_tree() {
	local base=$1 dir=$2 file patch patches
	mapfile -t patches < <(our_patches)
	mkdir -p "$dir/files"
	removed_files >"$dir/removed"
	{ our_files; patched_files "${patches[@]}"; } | LC_ALL=C sort -u >"$dir/touched"
	# Patches come first and see the base; our own files then stand where they stand.
	while read -r file; do
		[[ -e $base/$file ]] || continue
		mkdir -p "$dir/files/$(dirname "$file")"
		cp "$base/$file" "$dir/files/$file"
	done < <(patched_files "${patches[@]}")
	for patch in "${patches[@]}"; do
		patch --directory "$dir/files" -p1 --forward --silent --no-backup-if-mismatch --reject-file=- --fuzz=1 \
			<"$patch" >"$dir/patch.log" 2>&1 ||
			die "patches/${patch##*/} does not apply to $base ($(grep -m1 -iE 'fail|find|exist|revers' "$dir/patch.log" || head -n1 "$dir/patch.log")): is it an unmodified Linux $KERNEL_VERSION.$KERNEL_PATCHLEVEL?"
	done
	while read -r file; do
		mkdir -p "$dir/files/$(dirname "$file")"
		cp "$REPO/$file" "$dir/files/$file"
	done < <(our_files)
	(cd "$dir/files" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort) >"$dir/changed"
	comm -23 "$dir/touched" "$dir/changed" >>"$dir/removed"
}
