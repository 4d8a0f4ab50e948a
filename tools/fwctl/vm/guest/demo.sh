# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The demo of `make run`, for each device of this machine.
. /usr/lib/fwctl-vm/lib.sh

bold=''
plain=''
if [ -n "$FWCTL_VM_COLOR" ]; then
	bold=$(printf '\033[1m')
	plain=$(printf '\033[0m')
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# show COMMAND: prints the command and runs it
show() {
	printf '%s# %s%s\n' "$bold" "$*" "$plain"
	eval "$*" || fail "the demo ends here: \`$*\` failed"
}

# device_of DRIVER: prints the fwctl device below a function of this driver
device_of() {
	local device
	for device in $(devices); do
		case $(readlink -f "/sys/class/fwctl/$device") in
		"$(readlink -f /sys/bus/pci/drivers/"$1"/0*)"/*) echo "$device" ;;
		esac
	done
}

memories=$(count_functions class '0x0502*')
cards=$(count_functions vendor 0x15b3)

title "The core, in Rust"
if is_builtin fwctl; then
	show "grep -o 'fwctl/.*' /lib/modules/*/modules.builtin"
else
	show modprobe fwctl
fi
if [ "$memories" != 0 ]; then
	title "The kernel's CXL stack finds the emulated memory device; on it, our CXL driver"
	is_builtin cxl_pci || show modprobe -a cxl_acpi cxl_port cxl_mem cxl_pci
	wait_for "a CXL memory device" [ -e /sys/bus/cxl/devices/mem0 ]
	show ls -C /sys/bus/cxl/devices
	is_builtin cxl_fwctl || show modprobe cxl_fwctl
fi
if [ "$cards" != 0 ]; then
	title "The kernel's mlx5_core starts the firmware of the emulated ConnectX; on it, our mlx5 driver"
	show modprobe mlx5_core
	show modprobe mlx5_fwctl
fi
wait_for "$((memories + cards)) fwctl devices" has_devices $((memories + cards))

title "Each has a fwctl device, below the function it belongs to"
show "lsmod | grep -e ^Module -e fwctl"
show ls -l /dev/fwctl
show "ls -l /sys/class/fwctl | grep -o 'fwctl[0-9]* ->.*'"
show fwctl list

if [ "$memories" != 0 ]; then
	memory=$(device_of cxl_pci)
	title "Information about the memory device: ioctl FWCTL_INFO"
	show fwctl info "$memory"
	title "Its Features: ioctl FWCTL_RPC, command Get Supported Features"
	show fwctl cxl features "$memory"
	title "One of them read: ioctl FWCTL_RPC, command Get Feature"
	show fwctl cxl get "$memory" patrol-scrub
fi
if [ "$cards" != 0 ]; then
	card=$(device_of mlx5_core)
	title "Information about the card: ioctl FWCTL_INFO"
	show fwctl info "$card"
	title "Some capabilities of its firmware: ioctl FWCTL_RPC, command QUERY_HCA_CAP"
	show "fwctl mlx5 caps $card | head -n 8"
	title "A register read, and one written: ioctl FWCTL_RPC, command ACCESS_REG"
	show fwctl mlx5 reg "$card" mtmp
	show fwctl mlx5 reg "$card" mtmp --set mte=1 --scope configuration
fi
