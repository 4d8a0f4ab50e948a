# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Headers that come with the metadata of the kernel's crates, as those of other distributions do.

# What macros of the crate "kernel" include, with the header and the macro in C that each of them is made from. Arch's
# headers do not have these.
INCLUDED=(
	'generated_arch_reachable_asm.rs linux/bug.h ARCH_WARN_REACHABLE'
	'generated_arch_static_branch_asm.rs linux/jump_label.h ARCH_STATIC_BRANCH_ASM("{symb} + {off} + {branch}", "{l_yes}")'
	'generated_arch_warn_asm.rs linux/bug.h ARCH_WARN_ASM("{file}", "{line}", "{flags}", "{size}")'
)

has_included() {
	local name
	for name in "${INCLUDED[@]%% *}"; do [[ -e $HEADERS/rust/kernel/$name ]] || return; done
}

# make_included DIR: makes them in DIR, by the rule that kbuild has for such files.
make_included() {
	local name header macro
	mkdir -p "$1"
	for name in "${INCLUDED[@]}"; do
		read -r name header macro <<<"$name"
		printf 'always-y += %s\n' "$name" >>"$1/Kbuild"
		printf '#include <%s>\n// Cut here.\n::kernel::concat_literals!(%s)\n' "$header" "$macro" >"$1/$name.S"
	done
	make -C "$HEADERS" M="$1" modules
}

# link_headers TO: makes a folder that is like the headers, with what make_included made.
link_headers() {
	local entry
	mkdir -p "$1/rust/kernel"
	for entry in "$HEADERS"/{*,.[a-z]*}; do
		[[ ${entry##*/} == rust ]] || ln -s "$entry" "$1/"
	done
	ln -s "$HEADERS"/rust/*.{rmeta,so} "$1/rust/"
	cp "$WORK"/included/*.rs "$1/rust/kernel/"
	# Debian's Makefile names the folder of the headers; others take the one that they are in.
	if [[ -n $COMMON ]]; then
		rm "$1/Makefile"
		printf 'KBUILD_OUTPUT=%s\ninclude %s/Makefile\n' "$STORE/$KERNEL" "$COMMON" >"$1/Makefile"
	fi
}

# use_headers: makes $STORE/$KERNEL a link to the headers, or a folder of links if files are missing.
use_headers() {
	if has_included; then
		if [[ $(readlink "$STORE/$KERNEL") == "$HEADERS" ]]; then return 0; fi
		rm -rf "${STORE:?}/$KERNEL"
		ln -s "$HEADERS" "$STORE/$KERNEL"
	else
		if is_made; then return 0; fi
		step "making what macros of the kernel's crates include" : make_included "$WORK/included"
		link_headers "$WORK/kernel"
		stamp >"$WORK/kernel/stamp"
		rm -rf "${STORE:?}/$KERNEL"
		mv -T "$WORK/kernel" "$STORE/$KERNEL"
	fi
	say "the headers of Linux $KERNEL have the metadata of its Rust crates: nothing to compile"
}
