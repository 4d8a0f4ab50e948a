# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# A kernel that is locked down takes no module that is signed with a key it does not know, and Debian's own it takes.
. /usr/lib/fwctl-vm/lib.sh

mount -t securityfs none /sys/kernel/security 2>/dev/null
grep -F '[integrity]' /sys/kernel/security/lockdown || fail "it is not locked down: $(cat /sys/kernel/security/lockdown)"
load mlx5_core
module=/lib/modules/$(uname -r)/updates/dkms/fwctl.ko
tail -c 28 "$module" | grep -q '~Module signature appended~' || fail "the module is not signed"
error=$(insmod "$module" 2>&1) && fail "it takes a module of a key that is not enrolled"
echo "$error"
! is_loaded fwctl || fail "fwctl is loaded"
