# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The entries of the mailed series, files entries/NN-name: header lines, an empty line, the commit message.
#   Series: name of an independent series of small changes; without it the entry belongs to the series "fwctl"
#   Subject: of the commit; without it, subject and message are those of the entry's patch
#   Patch: file in patches/
#   Files: globs of this repository's files, ** crosses folders
#   Omit: FILE REGEX: drop the matching lines, which a later entry adds
#   Omit-paragraph: FILE REGEX: drop the paragraphs (between empty lines) with a matching line
#   Omit-block: FILE REGEX: drop Kconfig blocks from a matching line to the next block
#   Omit-words: FILE REGEX: drop the matching words from the assignments of a Makefile
# entries/00-cover is the cover letter of "fwctl", entries/00-cover.NAME that of the series NAME. In a cover letter, After:
# names series that have to be applied first.

SERIES_AUTHOR='fwctl in Rust developers'
SERIES_EMAIL=fwctl-rust@example.org
ENTRIES=$REPO/scripts/series/entries

# header ENTRY NAME: the values, one per line.
header() { sed -nE "/^\$/q; s/^$2: //p" "$ENTRIES/$1"; }

message() { sed '1,/^$/d' "$ENTRIES/$1"; }

series_of() { header "$1" Series | grep . || echo fwctl; }

# entries [SERIES]: names of the entries, in order.
entries() {
	local entry
	find "$ENTRIES" -name '[0-9][0-9]-*' ! -name '00-cover*' -printf '%f\n' | LC_ALL=C sort | while read -r entry; do
		if [[ -z ${1:-} || $(series_of "$entry") == "$1" ]]; then echo "$entry"; fi
	done
}

# independent_series: all but "fwctl", in the order of their entries.
independent_series() {
	local entry
	entries | while read -r entry; do header "$entry" Series; done | awk '!seen[$0]++'
}

cover_of() { if [[ $1 == fwctl ]]; then echo 00-cover; else echo "00-cover.$1"; fi; }

# files_of_entry ENTRY
files_of_entry() {
	local file
	(
		cd "$REPO"
		shopt -s globstar nullglob dotglob
		# shellcheck disable=SC2046 # they are globs
		printf '%s\n' $(header "$1" Files)
	) | while read -r file; do [[ ! -f $REPO/$file ]] || echo "$file"; done | grep -xFf <(our_files) || :
}

# check_entries: every file and patch is in an entry, every patch that an entry names exists, no entry is empty.
check_entries() {
	local entry missing
	missing=$(comm -23 <(our_files) <(for entry in $(entries); do files_of_entry "$entry"; done | LC_ALL=C sort -u))
	[[ -z $missing ]] || die "no entry of scripts/series/entries names $(xargs <<<"$missing"): add them to one"
	missing=$(comm -3 <(our_patches | sed 's,.*/,,') <(for entry in $(entries); do header "$entry" Patch; done | LC_ALL=C sort))
	[[ -z $missing ]] || die "patches/ and the Patch: lines of scripts/series/entries differ: $(xargs <<<"$missing")"
	for entry in $(entries); do
		[[ -n $(files_of_entry "$entry")$(header "$entry" Patch) ]] ||
			die "scripts/series/entries/$entry is empty: none of its files exists"
	done
}

# git_quiet DIR ARGS...: independent of configuration, hooks and signing. The date is that of the newest input, so equal
# input gives equal mails.
git_quiet() {
	local dir=$1 date
	shift
	date=$(find "$REPO/scripts/series" "$REPO/patches" -type f -printf '%T@\n' | sort -n | tail -n 1)
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=$SERIES_AUTHOR GIT_AUTHOR_EMAIL=$SERIES_EMAIL \
		GIT_COMMITTER_NAME=$SERIES_AUTHOR GIT_COMMITTER_EMAIL=$SERIES_EMAIL \
		GIT_AUTHOR_DATE="@${date%.*} +0000" GIT_COMMITTER_DATE="@${date%.*} +0000" \
		git -C "$dir" -c core.autocrlf=false -c core.filemode=true "$@"
}

# base_repository DIR BASE STAGE: a repository of the base's files that the series touches, its commit tagged "base".
base_repository() {
	local dir=$1 base=$2 stage=$3 file
	mkdir -p "$dir"
	while read -r file; do
		[[ -e $base/$file ]] || continue
		mkdir -p "$dir/$(dirname "$file")"
		cp -p "$base/$file" "$dir/$file"
	done < <(sort -u "$stage/touched" "$stage/changed" "$stage/removed")
	git_quiet "$dir" init --quiet --initial-branch=series
	git_quiet "$dir" add --all --force
	git_quiet "$dir" commit --quiet --message="Linux $KERNEL_VERSION.$KERNEL_PATCHLEVEL"
	git_quiet "$dir" tag base
}

# commit_series DIR SERIES: branch SERIES, from the base and the series that it comes after.
commit_series() {
	local dir=$1 series=$2 entry before cover
	git_quiet "$dir" checkout --quiet -b "$series" base
	cover=$(cover_of "$series")
	if [[ -e $ENTRIES/$cover ]]; then
		for before in $(header "$cover" After); do git_quiet "$dir" cherry-pick "base..$before" >/dev/null; done
	fi
	git_quiet "$dir" tag "start-$series"
	for entry in $(entries "$series"); do commit_entry "$dir" "$entry"; done
}

# omit DIR ENTRY: drops from the copied files what a later entry adds.
omit() {
	local dir=$1 entry=$2 file pattern
	while read -r file pattern; do
		[[ ! -e $dir/$file ]] || sed -i -E "\\,$pattern,d" "$dir/$file"
	done < <(header "$entry" Omit)
	while read -r file pattern; do
		[[ ! -e $dir/$file ]] || awk -v pattern="$pattern" '
			BEGIN { RS = ""; FS = "\n" }
			{
				for (i = 1; i <= NF; i++) if ($i ~ pattern) next
				printf "%s%s\n", separator, $0
				separator = "\n"
			}' "$dir/$file" >"$dir/.git/omitted"
		[[ ! -e $dir/$file ]] || cp "$dir/.git/omitted" "$dir/$file"
	done < <(header "$entry" Omit-paragraph)
	while read -r file pattern; do
		[[ ! -e $dir/$file ]] || awk -v pattern="$pattern" '
			/^(config|menuconfig|source|menu|endmenu|if|endif|choice|endchoice|comment)([[:blank:]]|$)/ { omitted = $0 ~ pattern }
			!omitted' "$dir/$file" >"$dir/.git/omitted"
		[[ ! -e $dir/$file ]] || cp "$dir/.git/omitted" "$dir/$file"
	done < <(header "$entry" Omit-block)
	while read -r file pattern; do
		[[ ! -e $dir/$file ]] || awk -v pattern="^($pattern)\$" '
			/^[A-Z_]+ [:+]?= / {
				line = $1 " " $2
				for (i = 3; i <= NF; i++) if ($i !~ pattern) line = line " " $i
				if (NF > 2 && line == $1 " +=") next
				$0 = line
			}
			1' "$dir/$file" >"$dir/.git/omitted"
		[[ ! -e $dir/$file ]] || cp "$dir/.git/omitted" "$dir/$file"
	done < <(header "$entry" Omit-words)
}

# commit_entry DIR ENTRY
commit_entry() {
	local dir=$1 entry=$2 name
	git_quiet "$dir" update-index -q --refresh || :
	for name in $(header "$entry" Patch); do
		git_quiet "$dir" apply --index "$REPO/patches/$name" || die "patches/$name does not apply at the step $entry of the series"
	done
	while read -r name; do
		[[ -n $name ]] || continue
		mkdir -p "$dir/$(dirname "$name")"
		cp "$REPO/$name" "$dir/$name"
	done < <(files_of_entry "$entry")
	omit "$dir" "$entry"
	git_quiet "$dir" add --all --force
	commit_message "$dir" "$entry" | git_quiet "$dir" commit --quiet --file=- || die "the step $entry of the series changes nothing"
}

# commit_message DIR ENTRY: of the entry, else of its patch.
commit_message() {
	local dir=$1 subject patch
	subject=$(header "$2" Subject)
	if [[ -n $subject ]]; then
		printf '%s\n\n' "$subject"
		message "$2"
		return
	fi
	patch=$(header "$2" Patch | head -n 1)
	git mailinfo "$dir/.git/body" "$dir/.git/diff" <"$REPO/patches/$patch" | sed -n 's/^Subject: //p'
	echo
	cat "$dir/.git/body"
}

# base_lines BASE STAGE: what the series applies to. Only a git tree has a base-commit.
base_lines() {
	local base=$1 stage=$2 sublevel tarball
	sublevel=$(sed -n 's/^SUBLEVEL = //p' "$base/Makefile")
	if git -C "$base" rev-parse --verify --quiet HEAD >/dev/null 2>&1 && [[ -e $base/.git ]]; then
		[[ -z $(cd "$base" && sort -u "$stage/touched" | xargs git status --porcelain --) ]] ||
			die "KDIR=$base has uncommitted changes to files that the series changes: commit them, so that the series has a base-commit"
		echo "base-commit: $(git -C "$base" rev-parse HEAD)"
		return
	fi
	echo "base: Linux $KERNEL_VERSION.$KERNEL_PATCHLEVEL${sublevel:+.$sublevel}, a source tree without git"
	[[ ${base##*/} == source-* ]] || return 0
	echo "base: Debian $KERNEL_SOURCE_PACKAGE ${base##*/source-}"
	tarball=$(find "${base%/*}" -mindepth 4 -maxdepth 4 -path "*/root-*/usr/src/$KERNEL_SOURCE_PACKAGE.tar.xz" -print -quit 2>/dev/null)
	[[ -z $tarball ]] || echo "base: $KERNEL_SOURCE_PACKAGE.tar.xz sha256 $(sha256sum <"$tarball" | cut -d' ' -f1)"
}

# write_mails DIR SERIES TO LINES: its mails; LINES replace the base-commit, which only exists in DIR.
write_mails() {
	local dir=$1 series=$2 to=$3 lines=$4 cover options=()
	cover=$(cover_of "$series")
	if [[ -e $ENTRIES/$cover ]]; then
		git_quiet "$dir" config "branch.$series.description" "$(message "$cover" | sed "1i $(header "$cover" Subject)\n")"
		options=(--cover-letter --cover-from-description=subject)
	fi
	git_quiet "$dir" checkout --quiet "$series"
	git_quiet "$dir" format-patch --quiet --numbered --full-index --base=base --no-signature "${options[@]}" \
		--output-directory="$to" "start-$series..$series"
	sed -i -e "/^base-commit: /{r $lines" -e 'd}' "$to"/*.patch
	! grep -lE '^Signed-off-by:' "$to"/*.patch || die "a tool must not sign off: remove the line above"
}

# compare_trees DIR STAGE: DIR holds what install-into writes, and nothing that it removes.
compare_trees() {
	local dir=$1 stage=$2 file
	while read -r file; do
		cmp -s "$stage/files/$file" "$dir/$file" ||
			die "the series leaves $file different from what install-into writes: fix scripts/series/entries"
	done <"$stage/changed"
	while read -r file; do
		[[ ! -e $dir/$file ]] || die "the series leaves $file, which install-into removes: fix scripts/series/entries"
	done <"$stage/removed"
}
