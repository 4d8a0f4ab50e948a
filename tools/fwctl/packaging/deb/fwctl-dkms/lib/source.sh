# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# The source that a kernel's headers were built from: the installed package if it has that version, else the one in
# apt's cache, else a download.

# The parts of the source that building the crates needs, beside arch/$SOURCE_ARCH.
SOURCE_PARTS=(Makefile Kbuild include rust scripts kernel security tools/arch tools/include)
# Headers of drivers that the bindings include.
SOURCE_DRIVERS=(drivers/base drivers/android/binder)

# find_source: sets SOURCE to a linux-source package, or its tarball.
find_source() {
	local package=linux-source-$RELEASE offered
	if [[ $(dpkg-query -f '${Version}' -W "$package" 2>/dev/null) == "$HEADERS_VERSION" ]]; then
		SOURCE=/usr/src/$package.tar.xz
		return
	fi
	# During an upgrade it is in apt's cache before it is unpacked.
	SOURCE=/var/cache/apt/archives/${package}_${HEADERS_VERSION//:/%3a}_all.deb
	if [[ -e $SOURCE ]]; then return 0; fi
	offered=$(apt-cache madison "$package" 2>/dev/null | awk '{ print $3 }' | xargs)
	[[ " $offered " == *" $HEADERS_VERSION "* ]] ||
		die "the headers of Linux $KERNEL are of version $HEADERS_VERSION, and apt has $package of ${offered:-no version}:" \
			"source and headers must be of one version, so upgrade the kernel" \
			"(apt update && $(newest))"
	say "downloading $package $HEADERS_VERSION (170 MB)"
	(cd "$WORK" && apt-get download -q "$package=$HEADERS_VERSION" </dev/null) ||
		die "no network: apt could not download $package $HEADERS_VERSION;" \
			"connect this machine and run 'dkms autoinstall', or copy that package to $SOURCE"
	SOURCE=$(echo "$WORK/${package}"_*.deb)
}

tarball() {
	case $SOURCE in
	*.deb) dpkg-deb --fsys-tarfile "$SOURCE" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' ;;
	*) cat "$SOURCE" ;;
	esac
}

# unpack DIR
unpack() {
	local parts=("${SOURCE_PARTS[@]}" "arch/$SOURCE_ARCH")
	# The system calls of every architecture are compared with those of x86.
	if [[ $SOURCE_ARCH != x86 ]]; then parts+=(arch/x86/entry/syscalls); fi
	mkdir -p "$1"
	tarball | xz -dc | tar -x -C "$1" --strip-components=1 --no-same-owner --wildcards --no-wildcards-match-slash \
		"${parts[@]/#/linux-source-*/}" "${SOURCE_DRIVERS[@]/#/linux-source-*/}" \
		--wildcards-match-slash 'linux-source-*/Kconfig*'
}
