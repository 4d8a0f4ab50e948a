# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# The conditions of a build, each with the sentence that says what to do if it is not met.

# The kernels that the modules support.
RELEASE=7.3

# flavour: prints the flavour of the kernel (amd64, rt-amd64, arm64-16k, ...), which its meta packages are named by.
flavour() {
	local name
	name=$(sed -E 's/^[^-]*-([0-9]+-)?//' <<<"$KERNEL")
	case $name in
	*amd64 | arm64-16k | *arm64) echo "$name" ;;
	*) dpkg --print-architecture 2>/dev/null || uname -m ;;
	esac
}

# on_debian REMEDY OTHER: prints a remedy for Debian, or one for other distributions, whose packages have other names.
on_debian() { if grep -qsx 'ID=debian' "${OS_RELEASE:-/etc/os-release}"; then echo "$1"; else echo "$2"; fi; }

# newest: prints how to get a kernel of this flavour that the modules support, with its headers.
newest() {
	on_debian "apt install -t trixie-backports linux-image-$(flavour) linux-headers-$(flavour)" \
		"install a kernel $RELEASE with CONFIG_RUST=y, and its headers"
}

removal() { on_debian "apt remove fwctl-dkms" "remove fwctl-dkms"; }

is_newer() { [[ $(printf '%s\n' "$KERNEL" "$RELEASE" | sort -V | tail -n 1) == "$KERNEL" ]]; }

# check_release: no headers are needed to refuse another series.
check_release() {
	if [[ $KERNEL == "$RELEASE".* ]]; then return 0; fi
	if is_newer; then
		die "Linux $KERNEL is not $RELEASE, which this fwctl-dkms is for, and gets no /dev/fwctl:" \
			"install a newer fwctl-dkms, or keep a kernel of $RELEASE and boot that"
	fi
	die "Linux $KERNEL is not $RELEASE, which fwctl-dkms is for: $(newest), and reboot"
}

# check_architecture: sets SOURCE_ARCH, the folder in arch/ of the kernel's source.
check_architecture() {
	case $(sed -n 's/^CONFIG_\(X86_64\|ARM64\)=y$/\1/p' "$HEADERS/.config") in
	X86_64) SOURCE_ARCH=x86 ;;
	ARM64) SOURCE_ARCH=arm64 ;;
	*)
		die "Linux $KERNEL is for an architecture that fwctl-dkms does not support (it supports amd64 and arm64):" \
			"$(removal)"
		;;
	esac
}

# check_kernel: sets HEADERS, HEADERS_VERSION (empty if they are of no Debian package), COMMON (what the Makefile of Debian's
# headers includes, else empty) and HAS_METADATA.
check_kernel() {
	check_release
	HEADERS=$(readlink -f "/lib/modules/$KERNEL/build") || :
	[[ -e $HEADERS/.config ]] ||
		die "the headers of Linux $KERNEL are missing:" \
			"$(on_debian "apt install linux-headers-$KERNEL" "install the package with them (linux-headers, kernel-devel)")"
	grep -q '^CONFIG_RUST=y' "$HEADERS/.config" ||
		die "Linux $KERNEL is built without CONFIG_RUST and supports no modules in Rust: $(newest), and reboot"
	check_architecture
	if grep -q '^CONFIG_FWCTL=' "$HEADERS/.config"; then
		die "Linux $KERNEL already has fwctl, with which these modules would conflict: $(removal)"
	fi
	HEADERS_VERSION=$(dpkg-query -f '${Version}' -W "linux-headers-$KERNEL" 2>/dev/null) || HEADERS_VERSION=
	COMMON=$(sed -n 's,^include \(/.*\)/Makefile$,\1,p' "$HEADERS/Makefile" 2>/dev/null) || COMMON=
	HAS_METADATA=
	if [[ -L $HEADERS/rust || -e $HEADERS/rust/libkernel.rmeta ]]; then
		check_metadata
		HAS_METADATA=yes
	else
		check_source
	fi
}

# check_metadata: Arch's headers have the metadata in rust/, and Ubuntu's a link of that name to another package.
check_metadata() {
	local file files=(rust/lib{core,ffi,bindings,uapi,pin_init,kernel}.rmeta rust/libmacros.so)
	[[ -e $HEADERS/rust ]] ||
		die "the metadata of the Rust crates of Linux $KERNEL are missing: apt install linux-lib-rust-$KERNEL"
	if [[ $SOURCE_ARCH == x86 ]]; then files+=(scripts/target.json); fi
	for file in "${files[@]}"; do
		[[ -e $HEADERS/$file ]] ||
			die "the headers of Linux $KERNEL have metadata of its Rust crates, but no $file, so modules in Rust cannot" \
				"be built: report it to the distribution of that kernel"
	done
}

# check_source: without metadata they are made, for which headers of Debian are needed. Their package names the source.
check_source() {
	[[ -n $HEADERS_VERSION && -n $COMMON && -e $HEADERS/.kernelvariables ]] ||
		die "the headers of Linux $KERNEL have no metadata of its Rust crates (rust/libkernel.rmeta) and are not of the" \
			"Debian package linux-headers-$KERNEL, so these cannot be made from its source: ask its distribution for them, or" \
			"build fwctl in the tree of that kernel, with 'make install-into' of the fwctl repository"
}

# check_rustc: sets RUSTC. Modules have to be built by the compiler of the kernel.
check_rustc() {
	local wanted number version
	wanted=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$HEADERS/.config")
	number=$(cut -d' ' -f2 <<<"$wanted")
	RUSTC=$(rustc --version 2>/dev/null || echo "missing")
	if [[ $RUSTC != "$wanted" ]]; then
		version=$(apt-cache madison rustc 2>/dev/null |
			awk -v number="$number" 'index($3, number "+") == 1 { print $3; exit }')
		version=${version:-$number*}
		die "rustc is '$RUSTC', and Linux $KERNEL and its modules need '$wanted':" "$(on_debian \
			"apt install --allow-downgrades rustc=$version libstd-rust-dev=$version rust-src=$version" \
			"install that one")"
	fi
	# The metadata of the core library are made from it.
	[[ -n $HAS_METADATA || -e $(rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs ]] ||
		die "the source of Rust's core library for rustc $number is missing: apt install --reinstall rust-src"
}

# check_space MIB
check_space() {
	local free
	free=$(df --output=avail --block-size=1M "$STORE" | tail -n 1)
	((free >= $1)) ||
		die "$STORE has $((free)) MB free and preparing Linux $KERNEL takes $1 MB for a minute:" \
			"free some, then run 'dkms autoinstall'"
}

# check_config FILE: a difference means that a tool differs from that on Debian's builder.
check_config() {
	local changed
	changed=$(diff <(grep CONFIG_ "$HEADERS/.config") <(grep CONFIG_ "$1") | sed -n 's/^[<>] //p' | tail -n 1) || :
	[[ -z $changed ]] ||
		die "the configuration of Linux $KERNEL comes out different here ($changed): reinstall the dependencies of" \
			"fwctl-dkms (apt install --reinstall openssl pahole gcc-14 rustc bindgen)"
}

# check_exports BUILD: the kernel has to export every symbol that the metadata name.
check_exports() {
	local missing
	missing=$(sed -n 's/^EXPORT_SYMBOL_RUST_GPL(\(.*\));$/\1/p' "$1"/rust/exports_*_generated.h | sort -u |
		comm -23 - <(cut -f2 "$HEADERS/Module.symvers" | sort -u))
	[[ -z $missing ]] ||
		die "the kernel's crates made here are not those of Linux $KERNEL" \
			"($(wc -l <<<"$missing") symbols that it does not export, first $(head -n 1 <<<"$missing")):" \
			"apt install --reinstall linux-headers-$KERNEL bindgen, and report it if that does not help"
}

# efi_variable NAME: prints the first byte of the value, after four bytes of attributes.
efi_variable() {
	od -An -tu1 -j4 -N1 "/sys/firmware/efi/efivars/$1-8be4df61-93ca-11d2-aa0d-00e098032b8c" 2>/dev/null | tr -d ' '
}

# tell_of_signatures: prints how to enroll DKMS's key. Not an error: enrolling takes a reboot, after which the modules
# load.
tell_of_signatures() {
	local key=/var/lib/dkms/mok.pub why=
	if [[ $(efi_variable SecureBoot) == 1 ]]; then
		why="Secure Boot is on"
	elif grep -qE '\[(integrity|confidentiality)\]' /sys/kernel/security/lockdown 2>/dev/null; then
		why="the kernel is locked down"
	elif [[ $(cat /sys/module/module/parameters/sig_enforce 2>/dev/null) == Y ]]; then
		why="the kernel loads signed modules only"
	else
		return 0
	fi
	if [[ $(mokutil --test-key "$key" 2>&1) == *"already enrolled"* ]]; then return 0; fi
	say "$why and DKMS's key is not enrolled, so the kernel will refuse the modules: run 'mokutil --import $key'," \
		"set a password, reboot, choose 'Enroll MOK' and give it"
}
