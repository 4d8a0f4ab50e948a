# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The fragments of a flavour's configuration.

# fragments FLAVOUR: prints the names of the files in scripts/inside/kernel that the configuration of a flavour is made
# of. Later lines win. "own" starts from the .config of KDIR, "bench" from nothing.
fragments() {
	case $1 in
	own | bench) ;;
	arm64-*) echo arm64.config ;;
	debug | kcsan) echo base.config test.config ;;
	builtin) echo small.config ;;
	c) echo small.config features.config ;;
	hardened) echo small.config features.config rust.config drivers.config ;;
	lto) echo small.config features.config rust.config ;;
	*) echo base.config ;;
	esac
	echo "$1.config"
}
