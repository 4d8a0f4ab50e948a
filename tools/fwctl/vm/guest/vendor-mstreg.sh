# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# mstreg lists registers, reads one, writes it, and reads that back.
. /usr/lib/fwctl-vm/vendor.sh

need_tool mstreg
card=$(the_card) || fail "$card"
runs mstreg -d "$card" --show_regs
says MGIR MTMP MRTC MCQI PAOS

sensor=sensor_index=1,slot_index=0,asic_index=0,ig=0,i=0
# threshold HIGH LOW: as mstreg shows them
threshold() {
	runs mstreg -d "$card" --reg_name MTMP --get --indexes $sensor
	says 'sensor_index | 0x00000001' 'temperature | 0x00000168' \
		"temperature_threshold_hi | $1" "temperature_threshold_lo | $2"
	# "modu", "le"
	says 'sensor_name_hi | 0x6d6f6475' 'sensor_name_lo | 0x6c650000'
}

threshold 0x00000348 0x00000320
runs mstreg -d "$card" --yes --reg_name MTMP --indexes $sensor \
	--set temperature_threshold_hi=0x300,temperature_threshold_lo=0x2f0
threshold 0x00000300 0x000002f0

# By number, as bytes: MGIR with its hardware device.
runs mstreg -d "$card" --reg_id 0x9020 --reg_len 0xa0 --get
says '0x00000008 | 0x00000218'

# What the firmware refuses is not a success: there is no sensor 7.
! mstreg -d "$card" --reg_name MTMP --get --indexes sensor_index=7,slot_index=0,asic_index=0,ig=0,i=0 ||
	fail "it read a sensor that there is not"
