# SPDX-License-Identifier: MIT OR Apache-2.0
"""Number of Features of a CXL memory device: features.py mem0

Get Supported Features, CXL 3.2 section 8.2.10.6.1, in the envelope of include/uapi/fwctl/cxl.h.
"""

import struct
import sys
from typing import Optional

import fwctl


def count(device: fwctl.Device) -> Optional[int]:
    payload = struct.pack("<IHxx", 8, 0)
    request = struct.pack("=IIII", 0x500, 0, len(payload), 0) + payload
    reply = device.rpc("configuration", request, 64, timeout=5)
    if reply.status:
        print(f"the device refused: {reply.status.name}", file=sys.stderr)
        return None
    _, announced = struct.unpack_from("<HH", reply.data, 8)
    return int(announced)


if __name__ == "__main__":
    try:
        print(count(fwctl.open(sys.argv[1])))
    except fwctl.FwctlError as error:
        sys.exit(f"{error}\n{error.remedy or ''}")
