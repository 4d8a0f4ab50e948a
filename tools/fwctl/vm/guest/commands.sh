# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Shared by commands-*.sh, which fail each command of an emulated device once, in several ways. Each operation must complete;
# afterwards the device must hold no resources, and the next RPC and the next probe must succeed.
. /usr/lib/fwctl-vm/lib.sh

# FAULTS=all: make faults.
is_whole() { [ "${FAULTS:-}" = all ]; }

outcomes=/tmp/outcomes

# The last injected fault.
spec=none

# drives DRIVER FUNCTION: sets the PCI driver and the function of probe and unbind
drives() {
	driver=/sys/bus/pci/drivers/$1
	function=$2
}

# probe: binds the driver to the function
probe() { echo "$function" >"$driver/bind"; }

# unbind: unbinds the driver if it is bound, and fails if a fwctl device is left
unbind() {
	[ ! -e "$driver/$function" ] || echo "$function" >"$driver/unbind" || fail "after '$spec': cannot unbind"
	has_devices 0 || fail "after '$spec', unbound, there are: $(devices)"
}

# probe_again: binds the driver without a fault
probe_again() {
	spec=none
	probe || fail "cannot bind $function"
}

# outcome: turns the output of a command, on standard input, into a word for the table
outcome() {
	local text
	text=$(cat)
	case $text in
	*"(E"*)
		text=${text#*"(E"}
		echo "E${text%%")"*}"
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
	*) fail "after '$spec': unexpected output: $text" ;;
	esac
}

# counter POINTER: prints a counter of the device
counter() { emu -p "$1" counters; }

# sweep_one SPEC EXPECTED AFTER COMMAND...: runs COMMAND with a fault in the first of the device's commands that match SPEC, then
# in the second, until COMMAND completes without reaching the fault
sweep_one() {
	local fault=$1 allowed=$2 check=$3 n=0 hits before came hit
	shift 3
	hits=$(counter /faults_hit) || fail "no counters"
	while :; do
		n=$((n + 1))
		[ "$n" -lt 100 ] || fail "'$fault' has no end"
		spec="nth=$n,$fault"
		emu fault "$spec" >/dev/null || fail "no fault '$spec'"
		came=passed
		"$@" >/tmp/answer 2>&1 || came=$(outcome </tmp/answer) || fail "$came"
		emu clear >/dev/null || fail "the device keeps its faults"
		before=$hits
		hits=$(counter /faults_hit) || fail "after '$spec', no counters"
		if [ "$hits" = "$before" ]; then
			[ "$came" = passed ] || fail "after '$spec', which hit nothing: $(cat /tmp/answer)"
			$check '' passed
			break
		fi
		hit=$(counter /last_hit) || fail "after '$spec', no counters"
		case " $allowed " in
		*" $came "*) ;;
		*) fail "after '$spec' on $hit: $came, and not one of: $allowed" ;;
		esac
		echo "$came" >>$outcomes
		echo "$spec on $hit: $came"
		$check "$hit" "$came"
	done
	[ "$n" -gt 1 ] || fail "no command matches '$fault'"
}

# sweep WHAT WAY EXPECTED WHICH AFTER COMMAND...: runs COMMAND again and again, each time with another of the device's commands
# failing in the way WAY. WHICH limits them to a list of matches as faults have them (op=0x805), if it is not empty. EXPECTED
# lists the allowed outcomes. AFTER checks the state afterwards; its arguments are the failed command and the outcome.
sweep() {
	local what=$1 way=$2 allowed=$3 which=$4 match
	shift 4
	: >$outcomes
	if [ -z "$which" ]; then
		sweep_one "$way" "$allowed" "$@"
	else
		for match in $which; do sweep_one "$match,$way" "$allowed" "$@"; done
	fi
	# For the table of make faults.
	echo "# swept $what, $way: $(wc -l <$outcomes) failures:$(grep -v passed $outcomes | sort | uniq -c |
		while read -r count word; do printf ' %s %s' "$word" "$count"; done)"
}
