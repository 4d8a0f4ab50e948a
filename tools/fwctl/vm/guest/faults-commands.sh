# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# faults-commands.sh: each command that the emulated ConnectX gets, in a probe of mlx5_core and in what a program
# does, goes wrong in several ways, one after the other. Whatever comes of it, it comes to an end, the device has nothing left,
# and the next probe and the next call are well.
. /usr/lib/fwctl-vm/lib.sh

# FAULTS=all: make faults.
[ -n "${FAULTS:-}" ] || skip "it takes minutes: make faults runs it"

outcomes=/tmp/outcomes

# outcome: from what a command says on its standard input, a word for the table
outcome() {
	outcome_text=$(cat)
	case $outcome_text in
	*"(E"*)
		outcome_text=${outcome_text#*"(E"}
		echo "E${outcome_text%%")"*}"
		;;
	*refused*) echo refused ;;
	*"Cannot allocate memory") echo ENOMEM ;;
	*"Device or resource busy") echo EBUSY ;;
	*"Input/output error") echo EIO ;;
	*"Invalid argument") echo EINVAL ;;
	*"No such device") echo ENODEV ;;
	*"No such device or address") echo ENXIO ;;
	*"timed out") echo ETIMEDOUT ;;
	*) fail "after '$spec': what is this: $outcome_text" ;;
	esac
}

# act COMMAND...: it ends, well or not
act() {
	act_outcome=passed
	"$@" >/tmp/answer 2>&1 || act_outcome=$(outcome </tmp/answer) || fail "$act_outcome"
	echo "$act_outcome" >>$outcomes
}

# sweep WHAT WAY COMMAND...: COMMAND with the first of its commands to the device going wrong in that WAY, then with the second,
# until none does. `after_it` looks what is left.
sweep() {
	sweep_what=$1
	sweep_way=$2
	shift 2
	sweep_n=0
	sweep_hits=$(emu -p /faults_hit counters)
	: >$outcomes
	while :; do
		sweep_n=$((sweep_n + 1))
		[ $sweep_n -lt 100 ] || fail "$sweep_what has no end"
		spec="nth=$sweep_n,$sweep_way"
		sweep_before=$sweep_hits
		emu fault "$spec" >/dev/null || fail "no fault '$spec'"
		act "$@"
		emu clear >/dev/null || fail "the device keeps its faults"
		after_it
		sweep_hits=$(emu -p /faults_hit counters)
		[ "$sweep_hits" != "$sweep_before" ] || break
	done
	[ $sweep_n -gt 1 ] || fail "$sweep_what sent no command"
	# The last one was not hit.
	[ "$(tail -n 1 $outcomes)" = passed ] || fail "$sweep_what fails without a fault: $(cat /tmp/answer)"
	sed -i '$d' $outcomes
	echo "# swept $sweep_what, $sweep_way: $((sweep_n - 1)) failures:$(grep -v passed $outcomes | sort | uniq -c |
		while read -r count word; do printf ' %s %s' "$word" "$count"; done)"
}

# bind: the driver probes the function
bind() { echo "$function" >"$driver/bind"; }

# unbound: the function has no driver, the device nothing left, and no fwctl device is there
unbound() {
	[ ! -e "$driver/$function" ] || echo "$function" >"$driver/unbind" || fail "after '$spec': cannot unbind"
	has_devices 0 || fail "after '$spec', unbound, there are: $(devices)"
	nothing_left
}

# is_well: the device is there, and answers, and is left alone again
is_well() {
	device=$(the_device) || fail "after '$spec': $device"
	ask "$device" >/tmp/answer 2>&1 || fail "after '$spec': $(cat /tmp/answer)"
	at_rest
}

load_mlx5
device=$(the_device) || fail "$device"
function=$(basename "$(readlink -f "/sys/class/fwctl/$device/device")")
driver=/sys/bus/pci/drivers/mlx5_core

ask() { fwctl mlx5 reg "$1" 0x9020 --size 160; }

# What a command leaves of which nobody knows, or that nobody can destroy, is for the firmware's next reset.
at_rest() {
	case $spec in
	*op=0xa04,garble | *op=0xa04,truncate* | *op=0xa06*) emu forget >/dev/null ;;
	esac
	nothing_alive uids
}

nothing_left() {
	left=$(emu -p /alive counters)
	[ "$left" = '{"eqs":0,"pages":0,"uars":0,"uids":0}' ] || fail "after '$spec', the device still has $left"
}

# Fails, is not delivered, comes late, is noise, is short.
call_ways='status=1 status=0xff/0xffffffff delivery=0x7f late=20 garble truncate=8'
calls='op=0xa04 op=0x805 op=0xa06'

after_it() { is_well; }
for way in $call_ways; do
	for op in $calls; do sweep "call" "$op,$way" ask "$device"; done
done

after_it() { unbound; }
spec=none
unbound
sweep probe status=2 bind
spec=none
bind || fail "cannot bind $function"
is_well
