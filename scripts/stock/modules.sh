# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Shared by the scripts that pack Debian's kernel with our modules for the VM: RELEASE is the kernel, TO the folder that
# gets lib/modules/RELEASE.

# The modules that the tests load. The VM's memory cannot hold all of Debian's.
WANTED=(fwctl mlx5_fwctl mlx5_core)

# install_wanted: copies the modules with their dependencies and the kernel's lists.
install_wanted() {
	local module path
	mkdir -p "$TO/lib/modules/$RELEASE"
	cp /lib/modules/"$RELEASE"/modules.{order,builtin,builtin.modinfo} "$TO/lib/modules/$RELEASE/"
	for module in "${WANTED[@]}"; do
		# modprobe prints the paths of a module and its dependencies.
		while read -r _ path _; do
			install_module "$(readlink -f "$path" | sed 's,^/usr,,')"
		done < <(modprobe --show-depends --set-version "$RELEASE" "$module")
	done
}

# install_module PATH: copies a module uncompressed, since the guest's modprobe does not support xz.
install_module() {
	local file=$TO$1
	mkdir -p "${file%/*}"
	case $1 in
	*.xz) xz -dc "$1" >"${file%.xz}" ;;
	*) cp "$1" "$file" ;;
	esac
}

# build_samples CORE TREE: the loopback in CORE, a copy of the package's sources, and the sample as a driver's author
# builds it. TREE is the prepared kernel.
build_samples() {
	local core=$1 samples=/tmp/samples updates=$TO/lib/modules/$RELEASE/updates
	rsync -a "$REPO/drivers/fwctl/loopback" "$core/"
	rsync -a --delete "$REPO/samples/fwctl/" "$samples/"
	# That kernel does not have the header. Nor does it have the flags of registered memory in its uapi, so the loopback
	# in C is built without that.
	make -C "$2" M="$core" -j"$(nproc)" CONFIG_FWCTL=m CONFIG_FWCTL_RUST=y CONFIG_FWCTL_LOOPBACK=m \
		CONFIG_FWCTL_LOOPBACK_C=m KCFLAGS="-I$core/include" modules
	make -C "$2" M="$samples" -j"$(nproc)" KRUSTFLAGS="-L $core" KBUILD_EXTRA_SYMBOLS="$core/Module.symvers" modules
	mkdir -p "$updates"
	cp {"$core/loopback","$samples"}/*.ko "$updates/"
}
