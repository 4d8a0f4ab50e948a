# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Stages our files and patches for a kernel tree beside it: a tree is changed only if everything fits.

# Folders of this repository that go into a kernel tree. tools/fwctl is user space and stays here.
KERNEL_DIRS=(drivers include rust Documentation samples tools/testing)

# our_files: paths of the files that go into a tree, without what editors and builds leave behind.
our_files() {
	local dir dirs=()
	for dir in "${KERNEL_DIRS[@]}"; do
		if [[ -d $REPO/$dir ]]; then dirs+=("$dir"); fi
	done
	(cd "$REPO" && find "${dirs[@]}" \
		\( -name '.*' ! -name .gitignore ! -name .kunitconfig -o -name '*.tmp_*' \) -prune -o -type f \
		! -name '*~' ! -name '*.o' ! -name '*.ko' ! -name '*.a' ! -name '*.mod' ! -name '*.mod.c' ! -name '*.rmeta' \
		! -name '*.orig' ! -name '*.rej' ! -name 'Module.symvers' ! -name 'modules.order' \
		! -name '*_generated.h' -print) | LC_ALL=C sort
}

our_patches() { find "$REPO/patches" -maxdepth 1 -name '*.patch' 2>/dev/null | LC_ALL=C sort; }

# patched_files PATCH...: the files that patches read or write.
patched_files() {
	if (($#)); then sed -nE 's,^(---|\+\+\+) [ab]/([^[:blank:]]+).*,\2,p' "$@" | LC_ALL=C sort -u; fi
}

# check_version TREE
check_version() {
	local ours=$KERNEL_VERSION.$KERNEL_PATCHLEVEL theirs
	[[ -d $1 ]] || die "KDIR=$1 is not a folder: give the top of a Linux $ours source tree"
	[[ -r $1/Makefile && -r $1/Kconfig && -d $1/drivers/fwctl ]] ||
		die "KDIR=$1 is not the top of a Linux source tree with drivers/fwctl: give one of Linux $ours"
	theirs=$(sed -n 's/^VERSION = //p' "$1/Makefile").$(sed -n 's/^PATCHLEVEL = //p' "$1/Makefile")
	[[ $theirs == "$ours" ]] ||
		die "KDIR=$1 is Linux $theirs and our files are for $ours: give a tree of that version"
}

# check_without_ours TREE
check_without_ours() {
	if [[ -e $1/drivers/fwctl/core.rs ]]; then
		die "KDIR=$1 already has our files in it (drivers/fwctl/core.rs):" \
			"give a tree without them (in a git tree: git stash -u)"
	fi
}

# stage_tree BASE DIR: fills DIR/files with the new content of every file that differs from BASE, and writes the lists
# DIR/changed and DIR/removed. Only reads BASE.
stage_tree() {
	local base=$1 dir=$2 file patch patches reason
	mapfile -t patches < <(our_patches)
	mkdir -p "$dir/files"
	{ our_files; patched_files "${patches[@]}"; } | LC_ALL=C sort -u >"$dir/touched"
	# Patches apply to files of the base, so they come before our own files.
	while read -r file; do
		if [[ -e $base/$file ]]; then
			mkdir -p "$dir/files/$(dirname "$file")"
			cp "$base/$file" "$dir/files/$file"
		fi
	done < <(patched_files "${patches[@]}")
	for patch in "${patches[@]}"; do
		if ! patch --directory "$dir/files" -p1 --forward --silent --no-backup-if-mismatch --reject-file=- --fuzz=1 \
			<"$patch" >"$dir/patch.log" 2>&1; then
			reason=$(grep -m1 -iE 'fail|find|exist|revers' "$dir/patch.log" || head -n1 "$dir/patch.log")
			die "patches/${patch##*/} does not apply to $base ($reason):" \
				"is it an unmodified Linux $KERNEL_VERSION.$KERNEL_PATCHLEVEL?"
		fi
	done
	while read -r file; do
		mkdir -p "$dir/files/$(dirname "$file")"
		cp "$REPO/$file" "$dir/files/$file"
	done < <(our_files)
	(cd "$dir/files" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort) >"$dir/changed"
	comm -23 "$dir/touched" "$dir/changed" >"$dir/removed"
}
