# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The folders of a flavour that are compiled with coverage: the line "# coverage: FOLDER..." of its configuration.

# covered FLAVOUR
covered() { sed -n 's/^# coverage: //p' "$REPO/scripts/inside/kernel/$1.config"; }

# coverage_in_tree FLAVOUR: prints the variable for make's command line that kbuild evaluates in each folder, if any.
coverage_in_tree() {
	local folders
	folders=$(covered "$1")
	# shellcheck disable=SC2016 # make expands it in each folder
	if [[ -n $folders ]]; then printf 'KCOV_INSTRUMENT=$(if $(filter %s,$(obj)),y)\n' "$folders"; fi
}

# coverage_outside FLAVOUR: the same for a module outside the tree, all of which is covered.
coverage_outside() {
	if [[ -n $(covered "$1") ]]; then echo KCOV_INSTRUMENT=y; fi
}
