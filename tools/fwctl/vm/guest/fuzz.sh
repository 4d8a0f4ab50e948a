# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# fuzz.sh MODULE: runs the corpus, then fuzzes for FUZZ_SECONDS with random numbers from FUZZ_SEED, guided by coverage if the
# kernel has KCOV. FUZZ_OPTION is an option of the fuzzer: --print-found, --trace.
. /usr/lib/fwctl-vm/lib.sh

module=$1
load_driver "$module"
device=$(first_device) || fail "$device"
if has_kmemleak; then
	forget_leaks
	looks_for_leaks=yes
fi
# shellcheck disable=SC2086 # none, or a word
fwctl-ioctl-fuzz "/dev/fwctl/$device" --seconds "${FUZZ_SECONDS:-8}" --seed "${FUZZ_SEED:-1}" ${FUZZ_OPTION:-} || fail "see above"
[ "$module" != mlx5_fwctl ] || nothing_alive uids
if [ -n "${looks_for_leaks:-}" ]; then
	no_leaks
else
	echo "not checked: leaks, as this machine has no kmemleak"
fi
unload "$module" fwctl
has_devices 0 || fail "devices are left: $(devices)"
