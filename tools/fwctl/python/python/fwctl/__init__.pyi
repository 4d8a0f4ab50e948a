# SPDX-License-Identifier: MIT OR Apache-2.0
"""Find Linux fwctl devices, and talk to the firmware behind them."""

import sys
from types import TracebackType
from typing import Any, Callable, Literal, Optional, Type, Union, final

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    Buffer = Union[bytearray, memoryview]

Scope = Literal["configuration", "debug-read-only", "debug-write", "debug-write-full"]
Backend = Literal["io_uring", "threads"]
Selection = Literal["current", "default", "saved"]

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

__version__: str
#: Maximum length of a request and of a reply buffer.
MAX_LEN: int

class FwctlError(OSError):
    """A call of this package failed. ``errno`` is that of the call, or the nearest one."""

    #: What the error means for the call that failed, if there is more to say.
    meaning: Optional[str]
    #: What may help, if that is known.
    remedy: Optional[str]
    #: The refusal, if the firmware refused a command that this package made; ``rpc()`` has it in the
    #: reply.
    status: Optional[Status]
    #: What came of a dump before the error; of a snapshot, its JSON document.
    partial: bytes

@final
class Entry:
    """A device that sysfs lists. It has not been opened."""

    @property
    def name(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def parent(self) -> str:
        """The device that it controls, such as a PCI address or ``mem0``."""
    @property
    def type(self) -> Optional[str]:
        """Its type as far as sysfs tells, such as ``mlx5``."""

@final
class Info:
    """Answer to FWCTL_INFO."""

    @property
    def type(self) -> str: ...
    @property
    def data(self) -> bytes:
        """The driver's data, up to 4096 bytes of it."""
    @property
    def data_len(self) -> int: ...

@final
class Status:
    """The firmware's refusal."""

    @property
    def code(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def syndrome(self) -> Optional[int]: ...

@final
class Reply:
    """Answer to a request."""

    @property
    def data(self) -> bytes:
        """The reply, up to the size of the buffer."""
    @property
    def true_len(self) -> int:
        """Length of the whole reply."""
    @property
    def status(self) -> Optional[Status]:
        """The firmware's refusal, if it refused and its replies are known."""
    @property
    def is_truncated(self) -> bool: ...

@final
class CxlCommand:
    """A command of a CXL memory device, as the kernel lists it."""

    @property
    def opcode(self) -> int: ...
    @property
    def name(self) -> Optional[str]:
        """Its name in the specification."""
    @property
    def effects(self) -> int:
        """What the device claims that it does: bits of the Command Effects Log of CXL 3.2."""
    @property
    def effect_names(self) -> list[str]:
        """The same in words, such as ``config-immediate``."""
    @property
    def scope(self) -> Optional[Scope]:
        """The least scope in which the kernel sends it; None if it never does."""
    @property
    def by_feature(self) -> bool:
        """The scope depends on the Feature, and is at least ``scope``."""
    @property
    def by_payload(self) -> bool:
        """The scope depends on a command in the payload, and is at least ``scope``."""
    @property
    def refused(self) -> Optional[str]:
        """Why the kernel never sends it, in a word such as ``background``."""

@final
class CxlFeature:
    """A Feature of a CXL memory device."""

    @property
    def uuid(self) -> str: ...
    @property
    def name(self) -> Optional[str]:
        """A short name such as ``patrol-scrub``, if it is one of the specification's Features."""
    @property
    def get_size(self) -> int:
        """Most bytes of its value."""
    @property
    def set_size(self) -> int:
        """Most bytes that can be set; 0 if the kernel keeps the Feature for itself."""
    @property
    def get_version(self) -> int: ...
    @property
    def set_version(self) -> int: ...
    @property
    def flags(self) -> int:
        """Attribute bits: CXL 3.2, table 8-109."""
    @property
    def effects(self) -> int:
        """What a change does: bits of the Command Effects Log of CXL 3.2."""
    @property
    def effect_names(self) -> list[str]:
        """The same in words, such as ``config-immediate``."""
    @property
    def scope(self) -> Optional[Scope]:
        """The scope that a change needs; None if it cannot be changed."""

@final
class Memory:
    """Memory that the firmware of a device can access, until it is closed. Several threads may use it
    at once. In a child process after a fork it has no bytes, and closing it does nothing.

    A context manager closes it. Its bytes are copied, because the device can change them at any time;
    there is no buffer of them."""

    @property
    def address(self) -> int:
        """Its address in this process, for requests that name it."""
    @property
    def umem(self) -> int:
        """The number by which requests name it."""
    @property
    def key(self) -> Optional[int]:
        """The memory key by which requests name it, if it was registered with one."""
    @property
    def resource(self) -> int:
        """The number of the kernel's resource, for logs."""
    @property
    def closed(self) -> bool: ...
    def read(self, offset: int = 0, length: Optional[int] = None) -> bytes:
        """Copies bytes out, by default all from the offset on. If the device writes at the same time,
        some of them are old and some new."""
    def write(self, offset: int, data: Union[bytes, bytearray]) -> None:
        """Copies bytes in, before the next request is sent."""
    def close(self, *, timeout: Optional[float] = None) -> None:
        """Ends the access of the firmware, and unmaps the memory. Closing it again does nothing.

        EBUSY: an RPC of another thread is using it, and it stays open. EIO: the firmware did not
        confirm, and the kernel keeps the pages from everybody else. ETIMEDOUT: it goes on, and close()
        can be called again to wait for it."""
    def __enter__(self) -> Memory: ...
    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
        /,
    ) -> None: ...
    def __len__(self) -> int:
        """Number of bytes: whole pages."""

@final
class Device:
    """An open device. Several threads may use it at once. A context manager closes it."""

    @staticmethod
    def from_fd(fd: int) -> Device:
        """Takes the node that a descriptor is open on. The descriptor is duplicated."""
    @staticmethod
    def from_recording(recording: str) -> Device:
        """A device that answers from a recording, for tests: see fwctl::replay of the crate."""
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str:
        """``mlx5``, ``cxl``, ``bnxt``, ``pds``, ``none`` or ``type-N``."""
    @property
    def closed(self) -> bool: ...
    def close(self) -> None:
        """Closes the device. Queues, memory, and calls of other threads keep the file open until they
        are done. Closing it again does nothing."""
    def __enter__(self) -> Device: ...
    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
        /,
    ) -> None: ...
    def fileno(self) -> int: ...
    def info(self) -> Info: ...
    def rpc(
        self, scope: Scope, request: bytes, reply_len: int, *, timeout: Optional[float] = None
    ) -> Reply:
        """Sends a request. After timeout seconds it fails with ETIMEDOUT; the firmware may still
        carry it out."""
    def rpc_into(
        self, scope: Scope, request: bytes, buffer: Buffer, *, timeout: Optional[float] = None
    ) -> int:
        """As rpc(), with the caller's buffer. Returns the length of the whole reply."""
    def cxl_features(self, *, timeout: Optional[float] = None) -> list[CxlFeature]:
        """The Features of a CXL memory device."""
    def cxl_get_feature(
        self,
        feature: str,
        *,
        selection: Selection = "current",
        offset: int = 0,
        size: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> bytes:
        """The value of a Feature, given by its UUID or its short name; by default all of it."""
    def cxl_set_feature(
        self,
        scope: Scope,
        feature: str,
        data: bytes,
        *,
        offset: int = 0,
        saved: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Replaces bytes of the value of a Feature. The scope must be at least that of
        cxl_features(). With saved, the device is asked to keep the value across resets."""
    def mlx5_read_register(
        self, id: int, data: bytes, *, argument: int = 0, timeout: Optional[float] = None
    ) -> bytes:
        """Reads a register of a ConnectX, in scope debug-read-only. The data have the length of the
        register, and those of its fields set that select what is read, such as a port."""
    def mlx5_write_register(
        self,
        scope: Scope,
        id: int,
        data: bytes,
        *,
        argument: int = 0,
        timeout: Optional[float] = None,
    ) -> None:
        """Writes a register of a ConnectX. Linux 7.3 accepts any scope."""
    def cxl_commands(self) -> Optional[list[CxlCommand]]:
        """The commands of a CXL memory device, as the kernel knows them: the device is not asked.
        None if the kernel passes Feature commands only."""
    def cxl_send(
        self, scope: Scope, opcode: int, data: bytes = b"", *, timeout: Optional[float] = None
    ) -> bytes:
        """Sends a command of a CXL memory device, other than a Feature command; returns its output.
        The scope must be at least that of cxl_commands(). If the device refuses, it fails with
        EREMOTEIO, and ``status`` of the error has the refusal."""
    def register_memory(
        self,
        length: int,
        *,
        key: bool = True,
        pages: bool = False,
        timeout: Optional[float] = None,
    ) -> Memory:
        """Registers new memory for the firmware, which requests name by a memory key, by the number of
        its pages, or both. It is memory of the kernel; if the kernel does not allocate any, of this
        process, which counts against RLIMIT_MEMLOCK. ENOTTY and EOPNOTSUPP: the kernel cannot
        register memory for this device and use. ENOMEM, ENOSPC and EINVAL: it is above a limit."""
    def mlx5_dump(
        self,
        segment_type: int,
        *,
        index1: int = 0,
        index2: int = 0,
        num_of_obj1: int = 0,
        num_of_obj2: int = 0,
        vhca_id: int = 0,
        memory: Union[Memory, int, None] = None,
        max: int = 67108864,
        progress: Optional[Callable[[int], object]] = None,
        timeout: Optional[float] = None,
    ) -> bytes:
        """Dumps objects of a ConnectX, up to max bytes: segments as in mlx5_ifc.h of the kernel. Type
        0xffff is the list of types. The scope is debug-read-only.

        The firmware writes to memory with a key, which no other dump may use meanwhile. By default and
        for a number of bytes it is registered for this dump, or less if a limit forbids so much. If
        there can be none, or the number is 0, it takes many requests instead.

        After each request progress() gets the number of bytes that have come. Its exception ends the
        dump, like one of a signal handler. ``partial`` of a FwctlError has the bytes before it."""
    def mlx5_core_dump(
        self,
        *,
        memory: Union[Memory, int, None] = None,
        max: int = 268435456,
        progress: Optional[Callable[[int], object]] = None,
        timeout: Optional[float] = None,
    ) -> bytes:
        """Dumps the device's own registers of a ConnectX. As mlx5_dump(), but it needs memory: by
        default as much as the device asks for."""
    def snapshot(self, *, timeout: Optional[float] = None) -> dict[str, Any]:
        """Reads all of the catalogue, with many requests in flight: one document, raw and decoded. As
        JSON it is that of the command ``fwctl snapshot``, and ``fwctl diff`` compares two of them.
        Nothing is changed, and no scope is used that taints the kernel.

        An item that the device refuses has its error in the document. FwctlError: the device was
        removed or does not answer. ``partial`` has the document, in JSON, with what was read before.
        """
    def queue(self, *, depth: Optional[int] = None, backend: Optional[Backend] = None) -> Queue:
        """A queue on this device, by io_uring if that is allowed."""

@final
class Item:
    """Something that can be read of a device."""

    @property
    def kind(self) -> str:
        """``register``, ``capability``, ``query``, ``feature``, ``command`` or ``operation``."""
    @property
    def name(self) -> str: ...
    @property
    def about(self) -> str:
        """What it is, in a few words."""
    @property
    def volatility(self) -> str:
        """When it changes: ``identity``, ``configuration``, ``state`` or ``counter``."""
    @property
    def select(self) -> list[str]:
        """Fields of the request whose values select an instance."""
    @property
    def scope(self) -> Scope:
        """Scope of the request that reads it."""

@final
class Completion:
    """The end of an RPC of a queue."""

    @property
    def ticket(self) -> int: ...
    @property
    def reply(self) -> Optional[Reply]: ...
    @property
    def error(self) -> Optional[FwctlError]: ...
    def result(self) -> Reply:
        """Returns the reply, or raises the error."""

@final
class Queue:
    """RPCs in flight on one device, for the thread that created it."""

    @property
    def backend(self) -> str: ...
    @property
    def depth(self) -> int: ...
    def begin(
        self, scope: Scope, request: bytes, reply_len: int, *, timeout: Optional[float] = None
    ) -> int:
        """Begins an RPC; returns its ticket."""
    def wait(
        self, ticket: Optional[int] = None, *, timeout: Optional[float] = None
    ) -> Optional[Completion]:
        """Waits for one RPC, or for any. None if there is none, or the time is over."""
    def wait_all(self) -> list[Completion]:
        """Waits for all RPCs, in the order in which they were begun."""
    def cancel(self, ticket: int) -> bool:
        """Gives an RPC up: it completes at once, with ECANCELED. The firmware may still carry it
        out. False if it has completed already."""
    def cancel_all(self) -> None: ...
    def __len__(self) -> int: ...

def open(name: str) -> Device:
    """Opens a device: ``fwctl0``, the path of a node, a PCI address, a memdev, a netdev, an RDMA
    device or a devlink handle."""

def catalogue(type: str) -> list[Item]:
    """Everything that is known to be readable of devices of a type such as ``mlx5``, without a device.
    Device.snapshot() reads it."""

def devices() -> list[Entry]:
    """Lists the devices, from sysfs alone: none is opened."""
