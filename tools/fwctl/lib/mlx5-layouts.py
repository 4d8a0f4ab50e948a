#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes src/mlx5/layouts.txt: names, places and widths of fields, from a kernel tree's include/linux/mlx5.

Use: ./mlx5-layouts.py KDIR > src/mlx5/layouts.txt
"""
import re
import sys

# Sections of the file: what it is, our name, the number that the device knows it by, and the struct (mlx5_ifc_*_bits).
REGISTERS = """
pcap pmtu ptys paos pfcc pptb pbmc pmaos pude pelc pvlc pcmr pmlp pplm pcam mtcap mtmp mfrl mrtc mpein mpcnt mtpps mtppse
mtutc mpegc mpir mcqs mcqi mcc mcda mcam mirc nic_cap dtor sbcam qcam sbpr sbcm qpts qtct qpdpm dcbx_param fpga_cap fpga_ctrl
fpga_access_reg core_dump ppcnt pmpe pddr pphcr mcia mlcr mtrc_cap mtrc_conf mtrc_stdb mtrc_ctrl msecq msees mtptm mtctr mrtcq
resource_dump vhca_icm_ctrl
""".split()
# Members of unions that hold if another field of the register has a value: numbers of device.h, fw.c and mlx5_ifc.h.
CHOICES = {
    "grp": {
        "eth_802_3_cntrs_grp_data_layout": 0x00, "eth_2863_cntrs_grp_data_layout": 0x01,
        "eth_2819_cntrs_grp_data_layout": 0x02, "eth_3635_cntrs_grp_data_layout": 0x03,
        "eth_extended_cntrs_grp_data_layout": 0x05, "eth_per_prio_grp_data_layout": 0x10,
        "eth_per_tc_prio_grp_data_layout": 0x11, "phys_layer_cntrs": 0x12, "eth_per_tc_congest_prio_grp_data_layout": 0x13,
        "phys_layer_statistical_cntrs": 0x16, "phys_layer_recovery_cntrs": 0x1a, "ib_port_cntrs_grp_data_layout": 0x20,
        "ib_ext_port_cntrs_grp_data_layout": 0x21, "rs_histogram_cntrs": 0x23, "pcie_perf_cntrs_grp_data_layout": 0x00,
    },
    "access_reg_group": {"regs_5000_to_507f": 0, "access_regs": 0, "access_regs1": 1, "access_regs2": 2, "access_regs3": 3},
    "info_type": {"mcqi_caps": 0, "mcqi_version": 1, "mcqi_activation_mathod": 5},
    "page_select": {"pddr_troubleshooting_page": 1},
}
# Arrays without a length that have one element in a reply.
SINGLE = {"mcqi_reg": "data"}
CAPABILITIES = {
    "general": (0x00, "cmd_hca_cap"), "ethernet-offloads": (0x01, "per_protocol_networking_offload_caps"),
    "odp": (0x02, "odp_cap"), "atomic": (0x03, "atomic_caps"), "roce": (0x04, "roce_cap"), "qos": (0x0c, "qos_cap"),
    "debug": (0x0d, "debug_cap"), "device-memory": (0x0f, "device_mem_cap"), "tls": (0x11, "tls_cap"),
    "ipsec": (0x15, "ipsec_cap"), "crypto": (0x1a, "crypto_cap"), "macsec": (0x1f, "macsec_cap"),
    "general-2": (0x20, "cmd_hca_cap_2"), "port-selection": (0x25, "port_selection_cap"),
}
COMMANDS = """
query_adapter query_issi query_pages query_special_contexts query_esw_functions query_vport_state query_nic_vport_context
query_hca_vport_context query_roce_address query_vnic_env query_vport_counter query_q_counter query_cong_status
query_cong_statistics query_lag query_vhca_migration_state query_eq query_cq query_qp query_sq query_rq query_tir query_tis
query_rqt query_rmp query_dct query_srq query_xrc_srq query_xrq query_mkey query_l2_table_entry query_esw_vport_context
query_hca_vport_gid query_hca_vport_pkey query_scheduling_element query_flow_table query_flow_group query_flow_counter
query_packet_reformat_context query_mad_demux query_cong_params query_wol_rol
""".split()

kdir = sys.argv[1]
text = ""
for name in ("mlx5_ifc_fpga.h", "mlx5_ifc.h"):
    text += open(f"{kdir}/include/linux/mlx5/{name}").read()
text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
text = re.sub(r"//.*", "", text)
driver = open(f"{kdir}/include/linux/mlx5/driver.h").read()

types = {}
for match in re.finditer(r"^(struct|union) (mlx5_ifc_\w+) \{(.*?)^\};", text, flags=re.S | re.M):
    types[match[2]] = (match[1], match[3])


def members(body):
    """(type, name, [dimensions]) of each member; an anonymous body is a separate type."""
    at = 0
    pattern = re.compile(r"\s*(?:(u8|__be\d+)|(?:struct|union) (mlx5_ifc_\w+)|(struct|union) \{)", re.S)
    while match := pattern.match(body, at):
        if match[3]:
            depth, end = 1, match.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(body[end], 0)
                end += 1
            kind = (match[3], body[match.end():end - 1])
            at = end
        else:
            kind = match[1] or types[match[2]]
            at = match.end()
        tail = re.compile(r"\s*(\w*)((?:\[\w*\])*)\s*;").match(body, at)
        yield kind, tail[1], [int(n, 0) if n else 0 for n in re.findall(r"\[(\w*)\]", tail[2])]
        at = tail.end()


def choices(body):
    """What the members of a union depend on, by their names; nothing if the sources do not say."""
    names = [name for _, name, _ in members(body)]
    for selector, values in CHOICES.items():
        if found := {name: f" {selector}={values[name]:#x}" for name in names if name in values}:
            return found
    return {}


def walk(kind, bit, prefix, out, single=None):
    """Appends (bit, width, name) of the fields of a struct or union, and returns its width."""
    union, body = kind[0] == "union", kind[1]
    start, widest = bit, 0
    when = choices(body) if union else {}
    for number, (member, name, dimensions) in enumerate(members(body)):
        path = f"{prefix}{name}"
        if union:
            bit = start
        # Which member holds is not the struct's to say: those whose selector is known, else the first.
        is_left_out = union and (name not in when if when else number > 0)
        if isinstance(member, str):
            width = 1
            for dimension in dimensions:
                width *= dimension
            if width and not name.startswith(("reserved", "rsvd")) and not is_left_out:
                out.append((bit, width, path))
        else:
            count = dimensions[0] if dimensions and name != single else 1
            fields = []
            size = walk(member, 0, "", fields)
            for index in range(count):
                place = f"{path}[{index}]" if dimensions and name != single else path
                for field_bit, field_width, field in fields if not is_left_out else []:
                    dotted = (f"{place}.{field}" if place else field) + when.get(name, "")
                    out.append((bit + index * size + field_bit, field_width, dotted))
            width = size * count
        bit += width
        widest = max(widest, width)
    return widest if union else bit - start


def section(kind, name, number, struct, skip=0):
    fields = []
    width = walk(types[f"mlx5_ifc_{struct}_bits"], 0, "", fields, SINGLE.get(struct))
    print(f"{kind} {name} {number:#x} {width // 8}")
    for bit, bits, field in fields:
        if bit >= skip:
            print(f"{bit} {bits} {field}")


print("# SPDX-License-Identifier: GPL-2.0-only OR Linux-OpenIB")
print("# Copyright (c) 2013-2015, 2017, Mellanox Technologies, Ltd.  All rights reserved. See LICENSE-mlx5-layouts.")
print("# Made by mlx5-layouts.py from include/linux/mlx5 of Linux 7.3; do not edit.")
print("# A section: kind, name, number that the device knows it by, bytes. A field: first bit, width in bits, name, and the field whose")
print("# value says that it is there, if one does.")
for name in REGISTERS:
    number = re.search(rf"MLX5_REG_{name.upper()}\s*=\s*(\w+)", driver)
    section("reg", name.replace("_", "-"), int(number[1], 0), f"{name}_reg" if f"mlx5_ifc_{name}_reg_bits" in types else name)
for name in re.findall(r"MLX5_REG_(\w+)\s*=", driver):
    if name.lower() not in REGISTERS:
        number = re.search(rf"MLX5_REG_{name}\s*=\s*(\w+)", driver)
        print(f"reg {name.lower().replace('_', '-')} {int(number[1], 0):#x} 0")
for name, (number, struct) in CAPABILITIES.items():
    section("cap", name, number, struct)
for name in COMMANDS:
    number = int(re.search(rf"MLX5_CMD_OP_{name.upper()}\s*=\s*(\w+)", text)[1], 0)
    title = name.removeprefix("query_").replace("_", "-")
    # The headers, 64 bits each, are the command's own business, but for op_mod.
    section("in", title, number, f"{name}_in", 48)
    section("out", title, number, f"{name}_out", 64)
