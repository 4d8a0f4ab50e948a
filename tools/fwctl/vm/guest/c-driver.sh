# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# c-driver.sh MODULE: loads a C driver of mainline on our core and unloads it; the core must be in use meanwhile
. /usr/lib/fwctl-vm/lib.sh

module=$1
line=$(grep "/$module.ko:" "/lib/modules/$(uname -r)/modules.dep") || fail "$module is not in modules.dep"
echo "$line"
case $line in
*/fwctl.ko*) ;;
*) fail "$module does not depend on fwctl" ;;
esac
load "$module"
! grep "_R.*\[$module\]" /proc/kallsyms || fail "$module is not in C"
[ -e "/sys/module/fwctl/holders/$module" ] || fail "$module does not hold fwctl: $(ls /sys/module/fwctl/holders)"
lsmod | grep fwctl
! rmmod fwctl 2>/dev/null || fail "fwctl was unloaded while $module uses it"
modprobe -r "$module" || fail "modprobe -r $module failed"
unload "$module" fwctl
! is_loaded fwctl || fail "fwctl is still loaded"
