# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# Shared by scripts and tests that install fwctl-dkms on a machine with Debian's own kernel. They call use_cache first.

# build_package: sets PACKAGE to the package, a path in the root.
build_package() {
	local out=$IN_ROOT_CACHE/deb-stock
	rm -rf "$CACHE/deb-stock"
	"$REPO/scripts/root/enter" "$IN_ROOT_REPO/scripts/inside/deb" "$out" fwctl-dkms
	PACKAGE=$out/$(cd "$CACHE/deb-stock" && echo fwctl-dkms_*_all.deb)
}

# prepared: prints the folder of prepared kernels, which is named by a hash of the scripts that prepare them.
prepared() {
	printf '%s/stock-prepared-%s\n' "$CACHE" \
		"$(cat "$REPO"/tools/fwctl/packaging/deb/fwctl-dkms/lib/* | sha256sum | cut -c1-12)"
}

# drop_old_prepared: removes the kernels that other versions of these scripts have prepared, 150 MB each.
drop_old_prepared() {
	find "$CACHE" -maxdepth 1 -name 'stock-prepared-*' ! -path "$(prepared)*" -exec rm -rf --one-file-system {} +
}

# in_stock DIR CMD...: runs CMD on that machine, with the kernels that are already prepared.
in_stock() {
	local dir=$1
	remove_tree "$dir"
	FWCTL_STOCK_PREPARED=${FWCTL_STOCK_PREPARED-$(prepared)} "$REPO/scripts/stock/in" "$@"
}

# stock_package: sets PACKAGE to the package that the piece kernel-stock was built with.
stock_package() {
	local piece
	piece=$(find "$CACHE/pieces" -maxdepth 1 -name 'kernel-stock-????????????' -printf '%T@ %f\n' |
		sort -n | tail -n 1 | cut -d' ' -f2)
	PACKAGE=$IN_ROOT_CACHE/pieces/$piece/kernel/stock/fwctl-dkms.deb
}
