# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# A locked-down kernel loads Debian's modules and rejects a module signed with a key that is not enrolled.
. /usr/lib/fwctl-vm/lib.sh

mount -t securityfs none /sys/kernel/security 2>/dev/null
grep -F '[integrity]' /sys/kernel/security/lockdown || fail "it is not locked down: $(cat /sys/kernel/security/lockdown)"
load mlx5_core
module=/lib/modules/$(uname -r)/updates/dkms/fwctl.ko
tail -c 28 "$module" | grep -q '~Module signature appended~' || fail "the module is not signed"
error=$(insmod "$module" 2>&1) && fail "a module signed with a key that is not enrolled was loaded"
echo "$error"
! is_loaded fwctl || fail "fwctl is loaded"
