# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# fuzz.sh MODULE: the corpus, then FUZZ_SECONDS more from the seed FUZZ_SEED on; guided by coverage where the kernel has KCOV.
# FUZZ_OPTION is for the fuzzer: --print-found, --trace.
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
	echo "not looked for: memory that is lost, as this machine has no kmemleak"
fi
unload "$module" fwctl
has_devices 0 || fail "devices are left: $(devices)"
