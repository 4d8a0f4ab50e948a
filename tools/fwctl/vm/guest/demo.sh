# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# `make run`: what a newcomer came to see.
. /usr/lib/fwctl-vm/lib.sh

bold=''
plain=''
if [ -n "$FWCTL_VM_COLOR" ]; then
	bold=$(printf '\033[1m')
	plain=$(printf '\033[0m')
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# show COMMAND: the command as one would type it, and what it does
show() {
	printf '%s# %s%s\n' "$bold" "$*" "$plain"
	eval "$*" || fail "the demo ends here: \`$*\` failed"
}

title "The core, in Rust"
show modprobe fwctl
title "The kernel's CXL stack finds the emulated memory device"
show modprobe -a cxl_acpi cxl_port cxl_mem cxl_pci
wait_for "a CXL memory device" [ -e /sys/bus/cxl/devices/mem0 ]
show ls -C /sys/bus/cxl/devices
title "The CXL driver, in Rust"
show modprobe cxl_fwctl
wait_for "a fwctl device" has_devices 1
show "lsmod | grep -e ^Module -e fwctl"
title "A fwctl device, below the memory device it belongs to"
show ls -l /dev/fwctl
show readlink -f /sys/class/fwctl/fwctl0
title "What it says of itself: ioctl FWCTL_INFO"
show fwctl list
show fwctl info fwctl0
title "The features of the device: ioctl FWCTL_RPC, command Get Supported Features"
show fwctl cxl features fwctl0
title "One of them read: ioctl FWCTL_RPC, command Get Feature"
show fwctl cxl get fwctl0 patrol-scrub
