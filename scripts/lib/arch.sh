# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# The architecture of a flavour: "arm64-NAME" is built for arm64, all others for x86-64. clang, lld and rustc of the
# build root compile for both, gcc for x86-64.

# use_arch FLAVOUR: exports ARCH and LLVM for make in the kernel tree, and sets IMAGE to the path of the kernel's image,
# NAME to the flavour without the architecture, and FOLDER to the folder in a piece that the VM's runner reads it from.
use_arch() {
	NAME=${1#arm64-}
	case $1 in
	arm64-*) ARCH=arm64 IMAGE=arch/arm64/boot/Image FOLDER=arm64/kernel/$NAME ;;
	*) ARCH=x86 IMAGE=arch/x86/boot/bzImage FOLDER=kernel/$NAME ;;
	esac
	# gcc compiles C in three quarters of clang's time, and most distributions use it. The other flavours have options
	# of clang, or are for arm64.
	case $1 in
	'test' | builtin) LLVM= ;;
	*) LLVM=1 ;;
	esac
	export ARCH LLVM
}

# native_arch: prints the architecture of this machine, as the VM's runner calls it.
native_arch() {
	case $(dpkg --print-architecture) in
	arm64) echo arm64 ;;
	*) echo x86-64 ;;
	esac
}

# chosen_arch: prints the architecture that ARCH names, or this machine's.
chosen_arch() {
	case ${ARCH:-} in
	'') native_arch ;;
	x86 | x86[-_]64 | amd64) echo x86-64 ;;
	arm64 | aarch64) echo arm64 ;;
	*) die "there is no architecture '$ARCH': ARCH is x86-64 or arm64" ;;
	esac
}

# kernels_of ARCH: prints the kernels that KERNEL can name; the first is the usual one.
kernels_of() { if [[ $1 == arm64 ]]; then echo 'test 16k 64k'; else echo 'test debug kcsan c builtin hardened lto'; fi; }

# kernel_piece ARCH NAME: prints the piece with that kernel.
kernel_piece() { if [[ $1 == arm64 ]]; then echo "arm64-kernel-$2"; else echo "kernel-$2"; fi; }
