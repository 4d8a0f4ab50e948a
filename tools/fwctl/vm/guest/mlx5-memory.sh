# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# Dumps by way of registered memory on the emulated ConnectX: the same as inline, with fewer requests and faster.
. /usr/lib/fwctl-vm/lib.sh

# Regions of the configuration space that are dumped, of 36: more than one step by way of memory, and not many minutes
# without.
count=9

# Aims: fewer requests, and faster, by these factors.
fewer=20
faster=5

outside() { emu -p /dma/outside_umems counters || fail "no counters of the card"; }

requests() { emu -p /commands/ACCESS_REG counters || fail "no counters of the card"; }

# centiseconds: since boot
centiseconds() { cut -d' ' -f1 /proc/uptime | tr -d .; }

# measure COMMAND...: fails unless it succeeds; sets sent and took
measure() {
	local before start
	before=$(requests)
	start=$(centiseconds)
	"$@" || fail "$*: exit status $?"
	took=$(($(centiseconds) - start))
	sent=$(($(requests) - before))
	echo "$*: $sent requests, $took/100 s"
}

load_mlx5
# Other tests may have run on this card.
before=$(outside)
device=$(the_device) || fail "$device"
cd /tmp || exit 1
fwctl mlx5 coredump "$device" --out core.bin 2>error.txt || {
	cat error.txt
	! grep -q 'cannot register memory' error.txt || skip "the driver cannot register memory"
	fail "a core dump: see above"
}

measure fwctl mlx5 dump "$device" EMU_CRSPACE --count1 "$count" --inline --out inline.bin
inline_sent=$sent inline_took=$took
measure fwctl mlx5 dump "$device" EMU_CRSPACE --count1 "$count" --out memory.bin
cmp inline.bin memory.bin || fail "the dumps differ"
[ $((fewer * sent)) -le "$inline_sent" ] || fail "$sent requests instead of $inline_sent"
[ $((faster * took)) -le "$inline_took" ] || fail "$took/100 s instead of $inline_took/100 s"

for dump in MENU "EMU_UCTX --count1 0xffff" "EMU_PATTERN --index1 1000"; do
	# shellcheck disable=SC2086 # arguments
	fwctl mlx5 dump "$device" $dump --inline >inline.txt || fail "$dump: exit status $?"
	# shellcheck disable=SC2086
	fwctl mlx5 dump "$device" $dump >memory.txt || fail "$dump: exit status $?"
	# The number of the context differs.
	sed -i 's/index1 [0-9]* ([0-9a-fx]*)/index1 N/; s/index1 [1-9][0-9]*/index1 N/' inline.txt memory.txt
	cmp inline.txt memory.txt || fail "$dump: the dumps differ"
done

# A core dump in one step, and in many.
measure fwctl mlx5 coredump "$device" --out core.bin
[ "$(wc -c <core.bin)" = 4718592 ] || fail "the core dump has $(wc -c <core.bin) bytes"
fwctl mlx5 coredump "$device" --out small.bin --memory 65536 || fail "exit status $?"
cmp core.bin small.bin || fail "the core dumps differ"

# The firmware fails midway: what came before is kept, and the file of before stays.
emu fault reg=0x402e,nth=3,status=1 >/dev/null || fail "no fault"
fwctl mlx5 coredump "$device" --out core.bin 2>error.txt
[ $? = 3 ] || fail "a failing core dump: $(cat error.txt)"
[ "$(wc -c <core.bin)" = 4718592 ] || fail "the file was replaced"
[ "$(wc -c <core.bin.partial)" = 2097152 ] || fail "$(wc -c <core.bin.partial) bytes were kept"
emu clear >/dev/null

# The memory is the kernel's, so no memory may have to be locked.
measure sh -c "ulimit -l 0; fwctl mlx5 dump '$device' EMU_CRSPACE --count1 $count --out limited.bin"
cmp memory.bin limited.bin || fail "the dumps differ"
[ $((fewer * sent)) -le "$inline_sent" ] || fail "$sent requests instead of $inline_sent without locked memory"

written=$(($(outside) - before))
[ "$written" = 0 ] || fail "the card wrote $written times outside of registered memory"
nothing_alive umems pds mkeys uids
