# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mstflint asks the card who it is; each line of the answer is what the emulated card was made to be.
. /usr/lib/fwctl-vm/vendor.sh

need_tool mstflint
card=$(the_card) || fail "$card"
runs mstflint -d "$card" query full
says 'Image type: FS4' \
	'FW Version: 28.45.1200' \
	'Product Version: 28.45.1200' \
	'Part Number: EMU-CX7' \
	'Description: Emulated ConnectX-7 of fwctl-emu' \
	'Base GUID: 0200150300b30000 2' \
	'Base MAC: 020015b30000 2' \
	'Image VSD: fwctl-emu' \
	'Device VSD: fwctl-emu' \
	'PSID: EMU0000000001' \
	'Default Update Method: fw_ctrl' \
	'Life cycle: PRODUCTION' \
	'Secure Boot Capable: Disabled' \
	'Encryption: Disabled'
# None, as the card's firmware is not signed.
says 'Security Attributes: N/A'
! grep -v '^Security Attributes' /tmp/vendor.words | grep 'N/A' || fail "the query is not complete"

runs mstmget_temp -d "$card"
says 45
