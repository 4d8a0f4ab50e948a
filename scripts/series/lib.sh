# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The steps of the mailed series. An entry is a file scripts/series/entries/NN-name: header lines, an empty line, the message.
#   Subject: of the commit (absent: subject and message are those of its first patch)
#   Patch: name of a file in patches/            Files: globs of our files (** crosses folders)
#   Remove: file of the base                     Omit: FILE REGEX: lines of FILE that only a later entry brings

SERIES_AUTHOR='fwctl in Rust developers'
SERIES_EMAIL=fwctl-rust@example.org

entries() { find "$REPO/scripts/series/entries" -name '[0-9][0-9]-*' ! -name '00-cover' -printf '%f\n' | sort; }

# header ENTRY NAME: the values, one per line.
header() { sed -nE "/^\$/q; s/^$2: //p" "$REPO/scripts/series/entries/$1"; }

message() { sed '1,/^$/d' "$REPO/scripts/series/entries/$1"; }

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

# check_entries STAGE: each of our files and patches is in an entry, and nothing is named that is not there.
check_entries() {
	local entry name missing
	missing=$(comm -23 <(our_files) <(for entry in $(entries); do files_of_entry "$entry"; done | LC_ALL=C sort -u))
	[[ -z $missing ]] || die "no entry of scripts/series/entries names $(xargs <<<"$missing"): add them to one"
	missing=$(comm -3 <(our_patches | sed 's,.*/,,') <(for entry in $(entries); do header "$entry" Patch; done | LC_ALL=C sort))
	[[ -z $missing ]] || die "patches/ and the Patch: lines of scripts/series/entries differ: $(xargs <<<"$missing")"
	for entry in $(entries); do
		name=$(files_of_entry "$entry")
		[[ -n $name || -n $(header "$entry" Patch) ]] || die "scripts/series/entries/$entry brings nothing: none of its files is there"
	done
}

# git without anyone's configuration, hooks or signing; the same date for all, so that the same input gives the same mails.
git_quiet() {
	local dir=$1 date
	shift
	date=$(find "$REPO/scripts/series" "$REPO/patches" -type f -printf '%T@\n' | sort -n | tail -n 1)
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=$SERIES_AUTHOR GIT_AUTHOR_EMAIL=$SERIES_EMAIL \
		GIT_COMMITTER_NAME=$SERIES_AUTHOR GIT_COMMITTER_EMAIL=$SERIES_EMAIL \
		GIT_AUTHOR_DATE="@${date%.*} +0000" GIT_COMMITTER_DATE="@${date%.*} +0000" \
		git -C "$dir" -c core.autocrlf=false -c core.filemode=true "$@"
}

# base_repository DIR BASE STAGE: the base's version of all that the series touches.
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
}

# commit_entry DIR ENTRY
commit_entry() {
	local dir=$1 entry=$2 name pattern subject
	git_quiet "$dir" update-index -q --refresh || :
	for name in $(header "$entry" Patch); do
		git_quiet "$dir" apply --index "$REPO/patches/$name" || die "patches/$name does not apply at the step $entry of the series"
	done
	while read -r name; do
		[[ -n $name ]] || continue
		mkdir -p "$dir/$(dirname "$name")"
		cp "$REPO/$name" "$dir/$name"
	done < <(files_of_entry "$entry")
	while read -r name pattern; do
		[[ -z $name ]] || sed -i -E "\\,$pattern,d" "$dir/$name"
	done < <(header "$entry" Omit)
	for name in $(header "$entry" Remove); do git_quiet "$dir" rm --quiet -f "$name"; done
	git_quiet "$dir" add --all --force
	subject=$(header "$entry" Subject)
	if [[ -n $subject ]]; then
		{ printf '%s\n\n' "$subject"; message "$entry"; } | git_quiet "$dir" commit --quiet --file=- ||
			die "the step $entry of the series changes nothing"
	else
		name=$(header "$entry" Patch | head -n 1)
		{ git mailinfo "$dir/.git/body" "$dir/.git/diff" <"$REPO/patches/$name" | sed -n 's/^Subject: //p'
			echo; cat "$dir/.git/body"; } | git_quiet "$dir" commit --quiet --file=- ||
			die "the step $entry of the series changes nothing"
	fi
}

# write_mails DIR TO
write_mails() {
	local dir=$1 to=$2
	git_quiet "$dir" config branch.series.description "$(message 00-cover | sed "1i $(header 00-cover Subject)\n")"
	git_quiet "$dir" format-patch --quiet --cover-letter --cover-from-description=subject --base=HEAD~"$(entries | wc -l)" \
		--no-signature --output-directory="$to" HEAD~"$(entries | wc -l)"
	! grep -lE '^Signed-off-by:' "$to"/*.patch || die "a tool must not sign off: remove the line above"
}

# compare_trees DIR STAGE: after git am, DIR holds what install-into writes, and nothing that it removes.
compare_trees() {
	local dir=$1 stage=$2 file
	while read -r file; do
		cmp -s "$stage/files/$file" "$dir/$file" || die "the series leaves $file different from what install-into writes: fix scripts/series"
	done <"$stage/changed"
	while read -r file; do
		[[ ! -e $dir/$file ]] || die "the series leaves $file, which install-into removes: fix scripts/series"
	done <"$stage/removed"
}
