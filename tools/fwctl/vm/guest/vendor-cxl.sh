# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# The cxl tool shows the memory device, and its library finds the fwctl device below it.
. /usr/lib/fwctl-vm/vendor.sh

need_tool cxl
load_cxl
wait_for "a fwctl device of the memory device" has_device_on cxl
device=$(device_on cxl)
memdev=$(memdev_of "$device")
runs cxl list -m "$memdev" -F
says "\"memdev\":\"$memdev\"," '"serial":43981,'

# libcxl: cxl_memdev_get_fwctl()
need_tool libcxl-fwctl
runs libcxl-fwctl
says "$memdev $(cat "/sys/class/fwctl/$device/dev")"

# Without our driver it finds nothing there, and the tool goes on.
unload cxl_fwctl
runs libcxl-fwctl
says "$memdev none"
runs cxl list -m "$memdev"
load cxl_fwctl
wait_for "the fwctl device again" has_device_on cxl
