# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# fuzz.sh MODULE: the corpus, then FUZZ_SECONDS more from the seed FUZZ_SEED on; guided by coverage where the kernel has KCOV.
# FUZZ_OPTION is for the fuzzer: --print-found, --trace.
. /usr/lib/fwctl-vm/lib.sh

module=$1
kmemleak=/sys/kernel/debug/kmemleak

# scan: what is younger than five seconds does not count
scan() { sleep 6 && echo scan >$kmemleak; }

case $module in
cxl_fwctl) load_cxl ;;
mlx5_fwctl) load_mlx5 ;;
*) load "$module" ;;
esac
device=$(first_device) || fail "$device"
# It cannot scan if it is off.
if echo scan 2>/dev/null >$kmemleak; then
	echo clear >$kmemleak
	looks_for_leaks=yes
fi
# shellcheck disable=SC2086 # none, or a word
fwctl-ioctl-fuzz "/dev/fwctl/$device" --seconds "${FUZZ_SECONDS:-8}" --seed "${FUZZ_SEED:-1}" ${FUZZ_OPTION:-} || fail "see above"
[ "$module" != mlx5_fwctl ] || [ "$(emu -p /alive/uids counters)" = 0 ] || fail "user contexts are left in the firmware: $(emu counters)"
if [ -n "${looks_for_leaks:-}" ]; then
	# Twice: what only a processor's register knows is not seen.
	scan || fail "kmemleak has switched itself off"
	scan || fail "kmemleak has switched itself off"
	leaks=$(cat $kmemleak)
	[ -z "$leaks" ] || { echo "$leaks" | head -n 60; fail "memory is lost: see above"; }
else
	echo "not looked for: memory that is lost, as this machine has no kmemleak"
fi
unload "$module" fwctl
has_devices 0 || fail "devices are left: $(devices)"
