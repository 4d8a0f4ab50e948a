# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Which folders of a flavour are compiled with coverage: its configuration says so in a line "# coverage: FOLDER...".

# covered FLAVOUR
covered() { sed -n 's/^# coverage: //p' "$REPO/scripts/inside/kernel/$1.config"; }

# coverage_in_tree FLAVOUR: the variable that kbuild asks in each folder, for make's command line; none if nothing is covered.
coverage_in_tree() {
	local folders
	folders=$(covered "$1")
	# shellcheck disable=SC2016 # for make to expand, anew in each folder
	[[ -z $folders ]] || printf 'KCOV_INSTRUMENT=$(if $(filter %s,$(obj)),y)\n' "$folders"
}

# coverage_outside FLAVOUR: the same for a module outside of the tree, which is covered whole.
coverage_outside() { [[ -z $(covered "$1") ]] || echo KCOV_INSTRUMENT=y; }
