# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mlx5-mstflint-umem.sh register|burn: the calls of mstflint's update by DMA, on the emulated ConnectX
. /usr/lib/fwctl-vm/lib.sh

load_mlx5
device=$(the_device) || fail "$device"
/selftests/mstflint-umem "/dev/fwctl/$device" "$1" >/tmp/out 2>&1
status=$?
cat /tmp/out
[ $status != 4 ] || skip "$(cat /tmp/out)"
[ $status = 0 ] || fail "exit status $status: $(tail -n 1 /tmp/out)"
if [ "$1" = burn ]; then
	burnt=$(emu -p /components_burnt counters)
	[ "$burnt" = 1 ] || fail "the card has burnt $burnt components"
fi
# The driver may give the card pages that belong to the driver instead. Each address must be one of memory.
errors=$(emu -p /dma/errors counters)
[ "$errors" = 0 ] || fail "the card accessed $errors addresses without memory"
nothing_alive umems pds mkeys uids
