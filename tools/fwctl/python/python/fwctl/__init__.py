# SPDX-License-Identifier: MIT OR Apache-2.0
"""Find Linux fwctl devices, and talk to the firmware behind them. help() is in the stubs."""

from ._fwctl import (
    MAX_LEN,
    Completion,
    CxlCommand,
    CxlFeature,
    Device,
    Entry,
    FwctlError,
    Info,
    Item,
    Memory,
    Queue,
    Reply,
    Status,
    __version__,
    catalogue,
    devices,
    open,
)

__all__ = [
    "MAX_LEN",
    "Completion",
    "CxlCommand",
    "CxlFeature",
    "Device",
    "Entry",
    "FwctlError",
    "Info",
    "Item",
    "Memory",
    "Queue",
    "Reply",
    "Status",
    "__version__",
    "catalogue",
    "devices",
    "open",
]
