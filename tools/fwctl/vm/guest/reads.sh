# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# reads.sh COUNT: measures register reads per second on our core, with a card that takes 1 ms for each, by ioctl and by
# io_uring
. /usr/lib/fwctl-vm/lib.sh

emu fault user,late=1,times=forever || fail "emu fault failed"
exec /bin/sh /usr/lib/fwctl-vm/bench.sh ours mlx5 reads "$1"
