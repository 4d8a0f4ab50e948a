# SPDX-License-Identifier: MIT OR Apache-2.0
"""Everything that a device says about itself: snapshot.py mem0 [FILE]

With FILE, writes the document for ``fwctl diff``; otherwise prints the items that could not be read.
"""

import json
import sys
from typing import Optional

import fwctl


def show(device: fwctl.Device, path: Optional[str]) -> None:
    document = device.snapshot(timeout=60)
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return
    items = document["devices"][0]["items"]
    print(f"{device.name}: {len(items)} items")
    for name, item in items.items():
        if item["error"]:
            print(f"{name}: {item['error']['message']}")


if __name__ == "__main__":
    try:
        show(fwctl.open(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    except fwctl.FwctlError as error:
        sys.exit(f"{error}\n{error.remedy or ''}")
