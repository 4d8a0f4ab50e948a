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
mtutc mpegc mpir mcqs mcqi mcc mcda mcam mirc nic_cap dtor sbcam qcam
""".split()
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
query_cong_statistics query_lag query_vhca_migration_state query_eq query_cq query_qp query_sq query_rq
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
    """(type, name, [dimensions]) of each member; an anonymous body is a type of its own."""
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


def walk(kind, bit, prefix, out):
    """Appends (bit, width, name) of the fields of a struct or union, and returns its width."""
    union, body = kind[0] == "union", kind[1]
    start, widest = bit, 0
    for number, (member, name, dimensions) in enumerate(members(body)):
        path = f"{prefix}{name}"
        if union:
            bit = start
        if isinstance(member, str):
            width = 1
            for dimension in dimensions:
                width *= dimension
            # Of a union only the first member is taken: which one holds is not the struct's to say.
            if width and not name.startswith(("reserved", "rsvd")) and not (union and number):
                out.append((bit, width, path))
        else:
            count = dimensions[0] if dimensions else 1
            fields = []
            size = walk(member, 0, "", fields)
            for index in range(count):
                place = f"{path}[{index}]" if dimensions else path
                for field_bit, field_width, field in fields if not (union and number) else []:
                    dotted = f"{place}.{field}" if place else field
                    out.append((bit + index * size + field_bit, field_width, dotted))
            width = size * count
        bit += width
        widest = max(widest, width)
    return widest if union else bit - start


def section(kind, name, number, struct, skip=0):
    fields = []
    width = walk(types[f"mlx5_ifc_{struct}_bits"], 0, "", fields)
    print(f"{kind} {name} {number:#x} {width // 8}")
    for bit, bits, field in fields:
        if bit >= skip:
            print(f"{bit} {bits} {field}")


print("# SPDX-License-Identifier: MIT OR Apache-2.0")
print("# Made by mlx5-layouts.py from include/linux/mlx5 of Linux 7.3; do not edit.")
print("# A section: kind, name, number that the device knows it by, bytes. A field: first bit, width in bits, name.")
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
