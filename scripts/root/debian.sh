# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Shared by the scripts that make roots with Debian's packages. They source mirror.sh, too.

# eatmydata: the path of the library that makes a program's fsync() do nothing. dpkg waits for the disk several times per
# package, and a power failure costs no more than another run.
eatmydata() { echo "/usr/lib/$(uname -m)-linux-gnu/libeatmydata.so"; }

# bootstrap ROOT OPTION...: makes a Debian $SUITE with the packages of $MIRROR by mmdebstrap. Its mounts stay in a separate
# mount namespace.
bootstrap() {
	local root=$1 keys=/usr/share/keyrings/debian-archive-keyring.gpg sources options library
	[[ -e $keys ]] || keys=${keys%.gpg}.pgp
	library=$(eatmydata)
	remove_tree "$root"
	sources=$(printf "deb [signed-by=$keys] $MIRROR %s main\n" "$SUITE" "$SUITE-updates" "$SUITE-backports")
	mapfile -t options < <(mirror_options)
	LD_PRELOAD=${library##*/} unshare --mount --propagation "$(propagation)" mmdebstrap --verbose --mode=root \
		--variant=essential "${options[@]}" \
		--aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--extract-hook="cp \"$library\" \"\$1$library\"" "${@:2}" --customize-hook="rm \"\$1$library\"" \
		"$SUITE" "$root" - <<<"$sources"
}

# from_backports PACKAGE...: prints a hook for bootstrap that installs them in a second step: together with the release's
# packages they conflict with these. The hook's bare words are arguments of apt.
from_backports() {
	printf '%s' "APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get install --yes -oDPkg::Chroot-Directory=\"\$1\"" \
		" -t $SUITE-backports $*"
}

# copy_root FROM TO: /usr is not copied but linked, since dpkg replaces files rather than changes them.
copy_root() {
	local from=$1 to=$2
	remove_tree "$to"
	mkdir "$to"
	(cd "$from" && find . -mindepth 1 -maxdepth 1 ! -name etc ! -name var ! -name dev ! -name proc ! -name tmp \
		! -name fwctl -exec cp -al -t "$to" {} +)
	cp -a "$from"/{etc,var} "$to/"
	mkdir -p "$to"/{dev,proc,tmp}
	cp --remove-destination "$(realpath /etc/resolv.conf)" "$to/etc/resolv.conf"
}

# install_in ROOT SCRIPT ARG...: runs a shell script in the root that installs packages there.
install_in() {
	local root=$1 library status=0
	library=$(eatmydata)
	cp "$library" "$root$library"
	FWCTL_BUILD_ROOT=$root "$REPO/scripts/root/enter" /usr/bin/env "LD_PRELOAD=${library##*/}" \
		/bin/sh -c "$2" install "${@:3}" || status=$?
	rm "$root$library"
	return "$status"
}
