# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by commands-*.sh, in which each command that an emulated device gets goes wrong in several ways, one after the other.
# Whatever comes of it comes to an end; afterwards the device has nothing left, and the next call and the next probe are well.
. /usr/lib/fwctl-vm/lib.sh

# FAULTS=all: make faults.
is_whole() { [ "${FAULTS:-}" = all ]; }

outcomes=/tmp/outcomes

# What went wrong last.
spec=none

# drives DRIVER FUNCTION: which PCI driver has which function
drives() {
	driver=/sys/bus/pci/drivers/$1
	function=$2
}

# probe: the driver takes the function
probe() { echo "$function" >"$driver/bind"; }

# unbind: the driver, if it has taken the function, lets go of it, and there is no fwctl device any more
unbind() {
	[ ! -e "$driver/$function" ] || echo "$function" >"$driver/unbind" || fail "after '$spec': cannot unbind"
	has_devices 0 || fail "after '$spec', unbound, there are: $(devices)"
}

# probe_again: the function is back at last
probe_again() {
	spec=none
	probe || fail "cannot bind $function"
}

# outcome: from what a command says on its standard input, a word for the table
outcome() {
	outcome_text=$(cat)
	case $outcome_text in
	*"(E"*)
		outcome_text=${outcome_text#*"(E"}
		echo "E${outcome_text%%")"*}"
		;;
	*refused*) echo refused ;;
	*"bad reply"*) echo short ;;
	*"Cannot allocate memory") echo ENOMEM ;;
	*"Device or resource busy") echo EBUSY ;;
	*"Input/output error") echo EIO ;;
	*"Invalid argument") echo EINVAL ;;
	*"No such device") echo ENODEV ;;
	*"No such file or directory") echo ENOENT ;;
	*"No such device or address") echo ENXIO ;;
	*"No message of desired type") echo ENOMSG ;;
	*"Numerical result out of range") echo ERANGE ;;
	*"imed out") echo ETIMEDOUT ;;
	*) fail "after '$spec': what is this: $outcome_text" ;;
	esac
}

# counter POINTER: of the device
counter() { emu -p "$1" counters; }

# sweep_one SPEC EXPECTED AFTER COMMAND...: COMMAND with the first of the device's commands that SPEC is about going wrong, then
# with the second, until none does
sweep_one() {
	sweep_spec=$1
	sweep_expected=$2
	sweep_after=$3
	shift 3
	sweep_n=0
	sweep_hits=$(counter /faults_hit) || fail "no counters"
	while :; do
		sweep_n=$((sweep_n + 1))
		[ "$sweep_n" -lt 100 ] || fail "'$sweep_spec' has no end"
		spec="nth=$sweep_n,$sweep_spec"
		emu fault "$spec" >/dev/null || fail "no fault '$spec'"
		came=passed
		"$@" >/tmp/answer 2>&1 || came=$(outcome </tmp/answer) || fail "$came"
		emu clear >/dev/null || fail "the device keeps its faults"
		sweep_before=$sweep_hits
		sweep_hits=$(counter /faults_hit) || fail "after '$spec', no counters"
		if [ "$sweep_hits" = "$sweep_before" ]; then
			[ "$came" = passed ] || fail "after '$spec', which hit nothing: $(cat /tmp/answer)"
			$sweep_after '' passed
			break
		fi
		hit=$(counter /last_hit) || fail "after '$spec', no counters"
		case " $sweep_expected " in
		*" $came "*) ;;
		*) fail "after '$spec' on $hit: $came, and not one of: $sweep_expected" ;;
		esac
		echo "$came" >>$outcomes
		echo "$spec on $hit: $came"
		$sweep_after "$hit" "$came"
	done
	[ "$sweep_n" -gt 1 ] || fail "no command is like '$sweep_spec'"
}

# sweep WHAT WAY EXPECTED WHICH AFTER COMMAND...: COMMAND with one of the device's commands going wrong in that WAY, and then each;
# of those that WHICH lists only, as a fault has them (op=0x805), if it lists any. It passes or fails, as the list EXPECTED has it;
# AFTER looks what is left then, and is told which command it was, and what came of it.
sweep() {
	sweep_what=$1
	sweep_way=$2
	sweep_outcomes=$3
	sweep_which=$4
	shift 4
	: >$outcomes
	if [ -z "$sweep_which" ]; then
		sweep_one "$sweep_way" "$sweep_outcomes" "$@"
	else
		for sweep_match in $sweep_which; do sweep_one "$sweep_match,$sweep_way" "$sweep_outcomes" "$@"; done
	fi
	# For the table of make faults.
	echo "# swept $sweep_what, $sweep_way: $(wc -l <$outcomes) failures:$(grep -v passed $outcomes | sort | uniq -c |
		while read -r count word; do printf ' %s %s' "$word" "$count"; done)"
}
