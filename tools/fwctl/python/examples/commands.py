# SPDX-License-Identifier: MIT OR Apache-2.0
"""Commands of a CXL memory device, and the output of one that has no input: commands.py mem0 [OPCODE]

It is sent only if its least scope does not taint the kernel.
"""

import sys
from typing import Optional

import fwctl


def show(device: fwctl.Device, opcode: Optional[int]) -> int:
    commands = device.cxl_commands()
    if commands is None:
        print("this kernel passes only the Feature commands", file=sys.stderr)
        return 1
    for command in commands:
        least = command.scope or f"never ({command.refused})"
        print(f"{command.opcode:#06x} {least:16} {' '.join(command.effect_names)}")
        if command.opcode == opcode and command.scope in ("configuration", "debug-read-only"):
            print(device.cxl_send(command.scope, opcode, timeout=5).hex())
    return 0


if __name__ == "__main__":
    try:
        wanted = int(sys.argv[2], 0) if len(sys.argv) > 2 else None
        sys.exit(show(fwctl.open(sys.argv[1]), wanted))
    except fwctl.FwctlError as error:
        refusal = error.status.name if error.status else error.remedy
        sys.exit(f"{error}\n{refusal or ''}")
