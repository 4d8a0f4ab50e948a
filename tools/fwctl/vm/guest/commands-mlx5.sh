# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# commands-mlx5.sh: fails each command of the emulated ConnectX, in a probe of mlx5_core and in an RPC.
. /usr/lib/fwctl-vm/commands.sh

load_mlx5
device=$(the_device) || fail "$device"
drives mlx5_core "$(basename "$(readlink -f "/sys/class/fwctl/$device/device")")"

# call: an operation of a program
call() { fwctl mlx5 reg "$device" 0x9020 --size 160; }

# is_well: fails unless the device answers and has no user context left
is_well() {
	case $spec in
	# A user context stays until a reset of the firmware if its uid is unknown, because the answer was lost, or if
	# destroying it failed.
	*op=0xa04,garble | *op=0xa04,truncate* | *op=0xa04,never | *op=0xa04,lost | *op=0xa06*) emu forget >/dev/null ;;
	esac
	emu release >/dev/null || fail "the device keeps its slots"
	device=$(the_device) || fail "after '$spec': $device"
	call >/tmp/answer 2>&1 || fail "after '$spec': $(cat /tmp/answer)"
	nothing_alive uids
}

# nothing_left HIT CAME: unbinds the driver and fails if the device holds objects that the driver should have destroyed
nothing_left() {
	local left leaks expected
	emu release >/dev/null || fail "the device keeps its slots"
	unbind
	left=$(counter /alive)
	case $left in
	*:[1-9]*) fail "after '$spec', the device still has $left" ;;
	'{'*'}') ;;
	*) fail "after '$spec', the device does not tell what it has: $left" ;;
	esac
	leaks=$(emu forgive-leaks)
	case $1:$2 in
	# mainline's mlx5_function_open() omits TEARDOWN_HCA once INIT_HCA is done: the device keeps its pages until DISABLE_HCA.
	"QUERY_HCA_CAP "*", initialised":E*) expected='["72 pages alive at DISABLE_HCA"]' ;;
	*) expected='[]' ;;
	esac
	[ "$leaks" = "$expected" ] || fail "after '$spec' on '$1', the driver has left $leaks, and not $expected"
}

# Not tried, because mainline's mlx5_core does not survive it:
#
# QUERY_PAGES 0x107, CREATE_EQ 0x301, ALLOC_UAR 0x802, QUERY_HCA_CAP 0x100: garbage. It trusts the number of pages, and
# allocates as many, the numbers of the event queue and of the UAR, and the sizes that are capabilities.
# CREATE_EQ, ALLOC_UAR: cut short. It destroys number 0 in their place.
# ENABLE_HCA 0x104, INIT_HCA 0x102, MANAGE_PAGES 0x108: garbage. They are executed, and it cannot tell.
# MANAGE_PAGES, INIT_HCA: never answered, for the same reason.
# QUERY_ISSI 0x10a, SET_DRIVER_VERSION 0x10d, registers but HOST_ENDIANNESS: never answered. It continues, and then waits
# forever for the slot, in mlx5_cmd_allowed_opcode(). So it does, uninterruptibly, if CREATE_EQ or ALLOC_UAR are never
# answered, or if the event of an answer is lost.
probe_garble='op=0x10a op=0x10b op=0x805 op=0x109 op=0x10d op=0x101'
probe_truncate="$probe_garble op=0x104 op=0x107 op=0x108 op=0x100 op=0x102"
probe_never='op=0x104 op=0x10b op=0x107 op=0x100 op=0x109 op=0x101 reg=0x7004'

# sweep_call WAY OPEN RPC CLOSE: fails the command of open, of the RPC and of close in the way WAY; the others are the outcomes
sweep_call() {
	sweep open "$1" "$2" op=0xa04 is_well call
	sweep RPC "$1" "$3" op=0x805 is_well call
	sweep close "$1" "$4" op=0xa06 is_well call
}

# open(2) returns the error, an RPC returns the answer, close(2) cannot fail.
sweep_call status=1 EIO refused passed
sweep_call status=0xff/0xffffffff EIO refused passed
sweep_call delivery=0x7f EINVAL EINVAL passed
sweep_call late=20 passed passed passed
sweep_call garble 'EIO EINVAL' refused passed
sweep_call truncate=8 EIO passed passed
if is_whole; then
	sweep_call silent passed passed passed
	sweep_call lost ETIMEDOUT ETIMEDOUT passed
	sweep_call never ETIMEDOUT ETIMEDOUT passed
fi

spec=none
nothing_left '' passed
sweep probe status=2 'EINVAL passed' '' nothing_left probe
if is_whole; then
	sweep probe delivery=0x7f 'EINVAL passed' '' nothing_left probe
	sweep probe late=20 passed '' nothing_left probe
	sweep probe silent passed '' nothing_left probe
	sweep probe never 'ETIMEDOUT passed' "$probe_never" nothing_left probe
	sweep probe garble 'EIO EINVAL passed' "$probe_garble" nothing_left probe
	sweep probe garble=8 'EIO EINVAL passed' "$probe_garble" nothing_left probe
	sweep probe truncate=8 'EIO EINVAL ENOMEM passed' "$probe_truncate" nothing_left probe
fi
probe_again
is_well
# mainline's mlx5_function_enable() leaks its tree of pages if the MANAGE_PAGES fails for which it was created.
! has_kmemleak || only_leaks 8 give_pages
