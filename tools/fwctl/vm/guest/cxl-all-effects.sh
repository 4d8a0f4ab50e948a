# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# A memory device without Features has a fwctl device for its vendor commands: one for every combination of effects.
. /usr/lib/fwctl-vm/lib.sh

load_cxl
wait_for "the fwctl device" has_devices 1
exec /selftests/cxl_commands
