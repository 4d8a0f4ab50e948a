# SPDX-License-Identifier: MIT OR Apache-2.0
"""State of a ConnectX, for the vendor's support: dump.py 0000:07:00.0 FILE [TYPE [INDEX]]

Without TYPE, the device's own registers. The firmware writes to memory of this program, where the
kernel can register it. What came before an error is kept in FILE.partial.
"""

import sys
from pathlib import Path

import fwctl


def show(count: int) -> None:
    print(f"\r{count} bytes", end="", file=sys.stderr)


def dump(device: fwctl.Device, numbers: list[int]) -> bytes:
    if not numbers:
        return device.mlx5_core_dump(progress=show, timeout=120)
    index = numbers[1] if len(numbers) > 1 else 0
    return device.mlx5_dump(numbers[0], index1=index, progress=show, timeout=120)


if __name__ == "__main__":
    file = Path(sys.argv[2])
    try:
        result = dump(fwctl.open(sys.argv[1]), [int(text, 0) for text in sys.argv[3:]])
        file.write_bytes(result)
    except fwctl.FwctlError as error:
        if error.partial:
            file.with_name(file.name + ".partial").write_bytes(error.partial)
        sys.exit(f"{error}\n{error.remedy or ''}")
