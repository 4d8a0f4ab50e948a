# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mstconfig shows what the card is configured to, changes it, and takes that back.
. /usr/lib/fwctl-vm/vendor.sh

need_tool mstconfig
card=$(the_card) || fail "$card"
runs mstconfig -d "$card" query
says 'Device type: ConnectX7' 'Name: EMU-CX7' 'Description: Emulated ConnectX-7 of fwctl-emu' \
	'NUM_OF_VFS 8' 'NUM_OF_PF 1' 'SRIOV_EN True(1)' 'UCTX_EN True(1)' 'CQE_COMPRESSION BALANCED(0)' \
	'KEEP_ETH_LINK_UP_P1 True(1)' 'KEEP_IB_LINK_UP_P1 False(0)' 'BOOT_VLAN 1' 'LEGACY_BOOT_PROTOCOL PXE(1)' \
	'UEFI_HII_EN True(1)'

runs mstconfig -y -d "$card" set NUM_OF_VFS=4 KEEP_ETH_LINK_UP_P1=0
# Factory, current, next: it is for the firmware's next start.
runs mstconfig -d "$card" -e query NUM_OF_VFS KEEP_ETH_LINK_UP_P1 UCTX_EN
says '* NUM_OF_VFS 8 8 4' '* KEEP_ETH_LINK_UP_P1 True(1) True(1) False(0)' 'UCTX_EN True(1) True(1) True(1)'

runs mstconfig -y -d "$card" reset
runs mstconfig -d "$card" -e query NUM_OF_VFS KEEP_ETH_LINK_UP_P1
says 'NUM_OF_VFS 8 8 8' 'KEEP_ETH_LINK_UP_P1 True(1) True(1) True(1)'

# More than the card can do: the tool knows that from the card.
! mstconfig -y -d "$card" set NUM_OF_VFS=128 || fail "it set more virtual functions than the card has"
