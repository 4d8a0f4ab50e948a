# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# c-core.sh PROGRAM [ARGUMENT...]: a selftest on the core in C. A case in differences.list is reported as skipped if it
# fails, since programs see that core differ there, and as failed if it passes.
. /usr/lib/fwctl-vm/lib.sh

list=/usr/lib/fwctl-vm/differences.list
export FWCTL_TEST_DRIVER=c

# judge PROGRAM: reads TAP and prints it with the results of listed cases replaced.
judge() {
	awk -v program="$1" -v list=$list '
		BEGIN {
			while ((getline line < list) > 0) {
				if (line ~ /^(#|$)/) continue
				split(line, part, / *\| /)
				subject[part[1]] = part[2]
			}
		}
		/^(not )?ok [0-9]+ / && !/# SKIP/ {
			name = $0
			sub(/^(not )?ok [0-9]+ (- )?/, "", name)
			sub(/ *#.*/, "", name)
			name = program " " name
			if (name in subject && /^not /) {
				sub(/^not /, "")
				sub(/ *#.*/, "")
				$0 = $0 " # SKIP the core in C differs, see differences.rst: " subject[name]
			} else if (name in subject) {
				print "# differences.list says that the core in C fails: " subject[name]
				$0 = "not " $0
			}
			if (/^not /) failed++
		}
		{ print }
		END { exit failed > 0 }'
}

program=$1
shift
case $program in
# It loads its own driver.
fwctl_careless) load fwctl ;;
*)
	load fwctl_loopback_c
	wait_for "a device" some_device
	;;
esac
"/selftests/$program" "$@" >/tmp/tap
status=$?
judge "$program" </tmp/tap
judged=$?
unload fwctl_loopback_c fwctl
has_devices 0 || fail "devices are left: $(devices)"
# 1: a case failed, which has been judged.
case $status in
0 | 1) exit $judged ;;
*) exit $status ;;
esac
