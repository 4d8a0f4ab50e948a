# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Modules that are built outside the tree. make does not rebuild them when the kernel's configuration changes, which
# leaves their structures different from the kernel's.

# outside_for FLAVOUR: removes modules that were built for another configuration of this flavour.
outside_for() {
	local flavour=$1 configured
	configured=$(sha256sum <"$FWCTL_WORK/build-$flavour/include/generated/autoconf.h")
	mkdir -p "$FWCTL_WORK/outside"
	if [[ $configured != "$(cat "$FWCTL_WORK/outside/$flavour.configured" 2>/dev/null || :)" ]]; then
		rm -rf "$FWCTL_WORK"/outside/*-"$flavour"
		echo "$configured" >"$FWCTL_WORK/outside/$flavour.configured"
	fi
}
