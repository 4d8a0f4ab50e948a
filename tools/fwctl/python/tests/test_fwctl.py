# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Python bindings, on recordings."""

import errno
import json
import os
import signal
import sys
import threading
import time
import unittest
import warnings

import fwctl

MLX5 = """
unordered
info mlx5 0500000004000000
rpc configuration 01 -> aabb
rpc configuration 02 -> after 60000 cc
rpc configuration 03 -> errno 19
rpc configuration 04 -> len 4096 dd
rpc configuration 05 -> after 60000 ee
rpc configuration 06 -> 03000000 00001234
rpc configuration 07 -> ff
rpc configuration 08 -> after 300 88
"""


# Set Feature by its effects, a vendor's command, and one that the kernel refuses.
CXL = """
unordered
info cxl 0300000000010000
rpc configuration 00000100 00000000 00000000 00000000 -> 28000000 00000000 04000000 00000000
    0205 0e02 02 00 0100  00c0 0000 01 00 0000  30c0 4000 ff 04 0000  0053 0000 00 00 0200
rpc debug-read-only 00c00000 00000000 02000000 00000000 6869 -> 03000000 00000000 616263
rpc debug-read-only 00c00000 00000000 00000000 00000000 -> 00000000 16000000
rpc debug-read-only 20c00000 00000000 00000000 00000000 -> errno 1
rpc debug-read-only 01c00000 00000000 00000000 00000000 -> after 60000 00000000 00000000
rpc debug-read-only 02c00000 00000000 00000000 00000000 -> ff000000 00000000 61
"""


def device() -> fwctl.Device:
    return fwctl.Device.from_recording(MLX5)


class Calls(unittest.TestCase):
    def test_identity(self) -> None:
        found = device()
        self.assertEqual((found.name, found.type), ("fwctl0", "mlx5"))
        info = found.info()
        self.assertEqual((info.type, info.data_len), ("mlx5", 8))
        self.assertEqual(info.data, bytes.fromhex("0500000004000000"))
        self.assertEqual(repr(found), "<fwctl.Device fwctl0>")
        with self.assertRaises(ValueError):
            found.fileno()

    def test_close(self) -> None:
        with device() as found:
            self.assertFalse(found.closed)
            queue = found.queue()
        self.assertTrue(found.closed)
        found.close()
        self.assertEqual((found.name, repr(found)), ("fwctl0", "<fwctl.Device fwctl0>"))
        for closed in (
            lambda: found.type,
            lambda: found.info(),
            lambda: found.queue(),
            lambda: found.rpc("configuration", b"\x01", 16),
            lambda: found.cxl_commands(),
            lambda: found.mlx5_read_register(1, b""),
        ):
            with self.assertRaisesRegex(ValueError, "closed"):
                closed()
        # What the device was given to goes on.
        ticket = queue.begin("configuration", b"\x01", 16)
        completion = queue.wait(ticket)
        assert completion is not None
        self.assertEqual(completion.result().data, b"\xaa\xbb")

    def test_rpc(self) -> None:
        reply = device().rpc("configuration", b"\x01", 16)
        self.assertEqual((reply.data, reply.true_len), (b"\xaa\xbb", 2))
        self.assertFalse(reply.is_truncated)
        self.assertIsNone(reply.status)
        long = device().rpc("configuration", b"\x04", 1)
        self.assertEqual((long.data, long.true_len, long.is_truncated), (b"\xdd", 4096, True))

    def test_rpc_into(self) -> None:
        buffer = bytearray(b"....")
        self.assertEqual(device().rpc_into("configuration", b"\x01", buffer), 2)
        self.assertEqual(buffer, b"\xaa\xbb..")
        with self.assertRaises(BufferError):
            device().rpc_into("configuration", b"\x01", memoryview(b"...."))  # read-only

    def test_refusal(self) -> None:
        status = device().rpc("configuration", b"\x06", 16).status
        assert status is not None
        self.assertEqual((status.code, status.syndrome), (3, 0x1234))
        self.assertTrue(status.name)

    def test_errors(self) -> None:
        with self.assertRaises(fwctl.FwctlError) as raised:
            device().rpc("configuration", b"\x03", 1)
        self.assertEqual(raised.exception.errno, errno.ENODEV)
        self.assertIn("FWCTL_RPC", str(raised.exception))
        self.assertIsInstance(raised.exception, OSError)
        self.assertTrue(raised.exception.meaning and raised.exception.remedy)
        with self.assertRaises(fwctl.FwctlError) as raised:
            device().rpc("configuration", b"\x01", fwctl.MAX_LEN + 1)
        self.assertEqual(raised.exception.errno, errno.EMSGSIZE)
        self.assertIsNone(raised.exception.meaning)
        for scope in ("read", ""):
            with self.assertRaises(ValueError):
                device().rpc(scope, b"\x01", 1)  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            fwctl.Device.from_recording("nonsense")

    def test_timeout(self) -> None:
        with self.assertRaises(fwctl.FwctlError) as raised:
            device().rpc("configuration", b"\x02", 1, timeout=0.05)
        self.assertEqual(raised.exception.errno, errno.ETIMEDOUT)
        for bad in (-1.0, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                device().rpc("configuration", b"\x01", 1, timeout=bad)

    def test_other_threads_run_meanwhile(self) -> None:
        turns = 0
        end = threading.Event()

        def count() -> None:
            nonlocal turns
            while not end.is_set():
                turns += 1
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        thread.start()
        before = turns
        device().rpc("configuration", b"\x08", 1)
        after = turns
        end.set()
        thread.join()
        self.assertGreater(after, before)

    def test_devices_of_this_machine(self) -> None:
        for entry in fwctl.devices():
            self.assertTrue(entry.name.startswith("fwctl") and entry.node)
        with self.assertRaises(fwctl.FwctlError):
            fwctl.open("no-such-device")
        with self.assertRaises(fwctl.FwctlError):
            with open(os.devnull) as null:
                fwctl.Device.from_fd(null.fileno())
        with self.assertRaises(OSError):
            fwctl.Device.from_fd(9999)


class Registers(unittest.TestCase):
    def test_read_and_write(self) -> None:
        card = fwctl.Device.from_recording(
            """unordered
info mlx5
rpc debug-read-only 08050000 00000001 00009059 00000007 00000002 00000000
    -> 00000000 00000000 00000000 00000000 80000001 01020304
rpc configuration 08050000 00000000 00009059 00000000 80000007 -> 00000000 00000000 00000000 00000000 00000000
rpc debug-read-only 08050000 00000001 00009999 00000000 00000000 -> 03000000 00001234
"""
        )
        data = card.mlx5_read_register(0x9059, bytes.fromhex("0000000200000000"), argument=7)
        self.assertEqual(data.hex(), "8000000101020304")
        card.mlx5_write_register("configuration", 0x9059, bytes.fromhex("80000007"))
        with self.assertRaises(fwctl.FwctlError) as raised:
            card.mlx5_read_register(0x9999, bytes(4), timeout=5)
        self.assertEqual(raised.exception.errno, errno.EREMOTEIO)
        assert raised.exception.status is not None
        self.assertEqual(raised.exception.status.syndrome, 0x1234)
        with self.assertRaises(OverflowError):
            card.mlx5_read_register(0x10000, bytes(4))


class CxlFeatures(unittest.TestCase):
    LIST = """
rpc configuration 00050000 00000000 08000000 00000000 08000000 0000 0000 -> 08000000 00000000 0000 0200 00000000
rpc configuration 00050000 00000000 08000000 00000000 68000000 0000 0000 -> 68000000 00000000 0200 0200 00000000
    96dad7d6fde8482ba73375774e06db8a 0000 0400 0000 00000000 01 01 0202 000000000000000000000000000000000000
    ffffffffffffffffffffffffffffffff 0100 0400 0300 01000000 05 06 0202 000000000000000000000000000000000000
"""
    VENDOR = "ffffffff-ffff-ffff-ffff-ffffffffffff"

    def memory(self, more: str = "") -> fwctl.Device:
        return fwctl.Device.from_recording(f"info cxl\n{self.LIST}{more}")

    def test_list(self) -> None:
        scrub, vendor = self.memory().cxl_features()
        self.assertEqual((scrub.name, scrub.scope), ("patrol-scrub", None))
        self.assertEqual((vendor.name, vendor.uuid), (None, self.VENDOR))
        self.assertEqual((vendor.get_size, vendor.set_size), (4, 3))
        self.assertEqual((vendor.get_version, vendor.set_version, vendor.flags), (5, 6, 1))
        self.assertEqual((vendor.effects, vendor.effect_names), (0x202, ["config-immediate"]))
        self.assertEqual(vendor.scope, "debug-write-full")
        self.assertEqual(repr(scrub), "<fwctl.CxlFeature patrol-scrub>")
        with self.assertRaises(fwctl.FwctlError):
            device().cxl_features()

    def test_value(self) -> None:
        get = "rpc configuration 01050000 00000000 15000000 00000000 "
        whole = get + "96dad7d6fde8482ba73375774e06db8a 0000 0400 00 -> 04000000 00000000 030c0100"
        self.assertEqual(self.memory(whole).cxl_get_feature("patrol-scrub").hex(), "030c0100")
        part = f"info cxl\n{get}ffffffffffffffffffffffffffffffff 0100 0200 02 -> 02000000 00000000 abcd"
        memory = fwctl.Device.from_recording(part)
        value = memory.cxl_get_feature(self.VENDOR, selection="saved", offset=1, size=2)
        self.assertEqual(value.hex(), "abcd")
        with self.assertRaises(ValueError):
            memory.cxl_get_feature("patrol")
        with self.assertRaises(fwctl.FwctlError) as raised:
            self.memory().cxl_get_feature("ecs")
        self.assertIn("does not have this feature", str(raised.exception))

    def test_change(self) -> None:
        change = """rpc debug-write-full 02050000 00000000 22000000 00000000
    ffffffffffffffffffffffffffffffff 08000000 0100 06 000000000000000000 abcd -> 00000000 00000000
"""
        memory = self.memory(change)
        memory.cxl_set_feature("debug-write-full", self.VENDOR, b"\xab\xcd", offset=1, saved=True)


class CxlCommands(unittest.TestCase):
    def test_list(self) -> None:
        commands = fwctl.Device.from_recording(CXL).cxl_commands()
        assert commands is not None
        feature, vendor, refused, tunnel = commands
        self.assertEqual((feature.opcode, feature.name), (0x502, "Set Feature"))
        self.assertEqual((feature.scope, feature.by_feature), ("debug-write", True))
        self.assertEqual(feature.effects, 0x20E)
        self.assertEqual(
            feature.effect_names, ["config-immediate", "data-immediate", "policy-immediate"]
        )
        self.assertEqual((vendor.opcode, vendor.name), (0xC000, None))
        self.assertEqual((vendor.scope, vendor.by_feature), ("debug-read-only", False))
        self.assertEqual((refused.scope, refused.refused), (None, "background"))
        self.assertEqual((tunnel.scope, tunnel.by_payload), ("configuration", True))
        self.assertFalse(feature.by_payload or tunnel.by_feature)
        self.assertEqual(repr(vendor), "<fwctl.CxlCommand 0xc000 debug-read-only>")
        self.assertEqual(repr(refused), "<fwctl.CxlCommand 0xc030 never>")
        self.assertIsNone(fwctl.Device.from_recording("info cxl").cxl_commands())
        with self.assertRaises(fwctl.FwctlError):
            device().cxl_commands()

    def test_send(self) -> None:
        memory = fwctl.Device.from_recording(CXL)
        self.assertEqual(memory.cxl_send("debug-read-only", 0xC000, b"hi"), b"abc")
        with self.assertRaises(fwctl.FwctlError) as raised:
            memory.cxl_send("debug-read-only", 0xC000)
        self.assertEqual(raised.exception.errno, errno.EREMOTEIO)
        assert raised.exception.status is not None
        self.assertEqual(raised.exception.status.code, 0x16)
        for opcode, number in ((0xC020, errno.EPERM), (0xC002, errno.EBADMSG)):
            with self.assertRaises(fwctl.FwctlError) as raised:
                memory.cxl_send("debug-read-only", opcode)
            self.assertEqual(raised.exception.errno, number)
            self.assertIsNone(raised.exception.status)
        with self.assertRaises(fwctl.FwctlError) as raised:
            memory.cxl_send("debug-read-only", 0xC001, timeout=0.05)
        self.assertEqual(raised.exception.errno, errno.ETIMEDOUT)
        with self.assertRaises(ValueError):
            memory.cxl_send("never", 0xC000)  # type: ignore[arg-type]
        for opcode in (-1, 0x10000):
            with self.assertRaises(OverflowError):
                memory.cxl_send("debug-read-only", opcode)


def key_query() -> str:
    return f"""rpc debug-read-only 02010000 00000000 00000001 00000000
    -> len 304 {"00" * 32} 0000000000001000 0000000000100000
"""


def dump_step(word0: str, size: int, answer: str) -> str:
    """A request for a step of RESOURCE_DUMP into memory, or inline if there is no size."""
    place = f"00000142 {size:08x} 0000000000001000" if size else "00" * 16
    return f"""rpc debug-read-only 08050000 00000001 0000c000 00000000
    {word0} 00000000 00000048 {"00" * 20} {place} {"00" * 208} -> {answer}
"""


def dump_reply(word0: str, size: int, data: str = "") -> str:
    return f"""{"00" * 16} {word0} 00000000 00000048 {"00" * 20}
    00000000 {size:08x} 0000000000000000 {data.ljust(416, "0")}"""


#: A dump of one segment inline, and by way of memory in two steps, of which the firmware refuses one.
INLINE = "info mlx5\n" + dump_step(
    "40001234", 0, dump_reply("40011234", 8, "0001beef0001fffb")
)


def stepwise(memory: int, last: str) -> str:
    first = "dma 0001beef then " + dump_reply("80011234", 4)
    return dump_step("00001234", memory, first) + dump_step("80011234", memory, last)


SECOND = "dma 0001fffb then " + dump_reply("00021234", 4)
REFUSED = "09000000 00000077"


def core_step(cookie: int, answer: str) -> str:
    return f"""rpc debug-read-only 08050000 00000001 0000402e 00000000
    00000002 {"00" * 12} 00000142 00002000 0000000000001000 {cookie:016x} {"00" * 24} -> {answer}
"""


def core_reply(word0: str, data: str, cookie: int) -> str:
    return f"""dma {data} then {"00" * 16}
    {word0} {"00" * 12} 00000142 00000004 0000000000001000 {cookie:016x} {"00" * 24}"""


#: It takes 8192 bytes of memory.
CORE = (
    "info mlx5\nmemory 7 0x142\n"
    + f"rpc configuration 01000000 0000001b 00000000 00000000 -> len 4112 {'00' * 16} 00800000\n"
    + key_query()
    + core_step(0, core_reply("80000002", "00010203", 4))
    + core_step(4, core_reply("00000002", "04050607", 0))
)


class Snapshots(unittest.TestCase):
    def test_catalogue(self) -> None:
        items = fwctl.catalogue("mlx5")
        mtmp = next(item for item in items if item.name == "mtmp")
        self.assertEqual((mtmp.kind, mtmp.scope), ("register", "debug-read-only"))
        self.assertEqual((mtmp.select, mtmp.volatility), (["sensor_index"], "configuration"))
        self.assertEqual(mtmp.about, "temperature of a sensor")
        self.assertEqual(repr(mtmp), "<fwctl.Item register/mtmp>")
        self.assertEqual(fwctl.catalogue("bnxt"), [])
        with self.assertRaises(ValueError):
            fwctl.catalogue("mlx")

    def test_snapshot(self) -> None:
        card = fwctl.Device.from_recording("info mlx5 05000000 06000000\notherwise 03000000 00000007")
        document = card.snapshot(timeout=60)
        self.assertEqual((document["kind"], document["format"]), ("snapshot", 2))
        found = document["devices"][0]
        self.assertEqual((found["device"], found["type"]), ("fwctl0", "mlx5"))
        self.assertIsNone(found["error"])
        error = found["items"]["query/adapter"]["error"]
        self.assertEqual((error["firmware_status"], error["syndrome"]), (3, 7))

    def test_what_was_read_before_an_error_is_kept(self) -> None:
        recording = CXL.replace("unordered\n", "unordered\notherwise errno 19\n", 1)
        with self.assertRaises(fwctl.FwctlError) as caught:
            fwctl.Device.from_recording(recording).snapshot()
        self.assertEqual(caught.exception.errno, errno.ENODEV)
        found = json.loads(caught.exception.partial)["devices"][0]
        self.assertEqual(found["error"]["errno_name"], "ENODEV")
        fields = found["items"]["command/entry/opcode=0x5300"]["fields"]
        self.assertEqual(fields["by_payload"], {"value": 1})


class Registered(unittest.TestCase):
    def test_life(self) -> None:
        device = fwctl.Device.from_recording(
            "unordered\ninfo mlx5\nmemory 7 0x142\nmemory errno 12\n"
            "rpc configuration 01 -> dma 0a0b then 0c"
        )
        with device.register_memory(5000, key=True, pages=True) as memory:
            self.assertEqual((memory.umem, memory.key, memory.resource), (7, 0x142, 1))
            self.assertGreaterEqual(len(memory), 5000)
            self.assertEqual((len(memory) % 4096, memory.address % 4096), (0, 0))
            self.assertFalse(memory.closed)
            device.rpc("configuration", b"\x01", 1)
            before = memory.read(0, 3)
            self.assertEqual(before, b"\x0a\x0b\x00")
            memory.write(1, b"abc")
            memory.write(4, bytearray(b"d"))
            self.assertEqual(memory.read(1, 4), b"abcd")
            self.assertEqual(len(memory.read()), len(memory))
            self.assertEqual(memory.read(len(memory)), b"")
            for bad in (
                lambda: memory.read(len(memory) + 1),
                lambda: memory.read(1, len(memory)),
                lambda: memory.read(sys.maxsize, sys.maxsize),
                lambda: memory.write(len(memory) - 1, b"ab"),
            ):
                with self.assertRaises(ValueError):
                    bad()
            with self.assertRaises(OverflowError):
                memory.read(-1)
            # There is no view that could outlive the memory.
            with self.assertRaises(TypeError):
                memoryview(memory)  # type: ignore[arg-type]
            with self.assertRaises(fwctl.FwctlError) as raised:
                device.register_memory(1)
            self.assertEqual(raised.exception.errno, errno.ENOMEM)
            self.assertTrue(raised.exception.remedy)
            self.assertIn("bytes>", repr(memory))
        self.assertTrue(memory.closed)
        self.assertIn("closed", repr(memory))
        memory.close()
        self.assertEqual((before, memory.umem), (b"\x0a\x0b\x00", 7))
        for closed in (memory.read, lambda: memory.write(0, b""), memory.__enter__):
            with self.assertRaises(ValueError):
                closed()
        for length in (0, sys.maxsize):
            with self.assertRaises(fwctl.FwctlError):
                device.register_memory(length)
        with self.assertRaises(ValueError):
            device.register_memory(1, key=False)

    def test_errors_of_close(self) -> None:
        device = fwctl.Device.from_recording(
            "info mlx5\nmemory 7 0\nrelease errno 16\nrelease errno 5\nrelease after 300"
        )
        memory = device.register_memory(1, key=False, pages=True)
        self.assertIsNone(memory.key)
        with self.assertRaises(fwctl.FwctlError) as raised:
            memory.close()
        self.assertEqual((raised.exception.errno, memory.closed), (errno.EBUSY, False))
        self.assertEqual(memory.read(0, 1), b"\0")
        with self.assertRaises(fwctl.FwctlError) as raised:
            with memory:
                pass
        self.assertEqual((raised.exception.errno, memory.closed), (errno.EIO, True))
        self.assertEqual(raised.exception.partial, b"")
        # Its number is free again, and it is not destroyed a second time.
        again = device.register_memory(1)
        self.assertEqual(again.resource, memory.resource)
        del memory
        with self.assertRaises(fwctl.FwctlError) as raised:
            again.close(timeout=0.05)
        self.assertEqual((raised.exception.errno, again.closed), (errno.ETIMEDOUT, False))
        again.close()
        self.assertTrue(again.closed)

    def test_an_exception_closes_it(self) -> None:
        device = fwctl.Device.from_recording("info mlx5\nmemory 7 0")
        with self.assertRaises(ZeroDivisionError):
            with device.register_memory(1) as memory:
                print(1 // 0)
        self.assertTrue(memory.closed)
        # Memory that is dropped is closed, too.
        self.assertEqual(device.register_memory(1).resource, 1)
        self.assertEqual(device.register_memory(1).resource, 1)

    def test_a_child_does_not_have_it(self) -> None:
        device = fwctl.Device.from_recording("info mlx5\nmemory 7 0\nrelease errno 16")
        memory = device.register_memory(1)
        with warnings.catch_warnings():
            # Threads of other tests, which the child does not need.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                memory.read(0, 1)
            except ValueError:
                memory.close()
                del memory
                code = 17
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 17)
        self.assertEqual(memory.read(0, 1), b"\0")

    def test_registration_that_takes_too_long(self) -> None:
        device = fwctl.Device.from_recording("info mlx5\nmemory after 60000 7 0")
        with self.assertRaises(fwctl.FwctlError) as raised:
            device.register_memory(1, timeout=0.05)
        self.assertEqual(raised.exception.errno, errno.ETIMEDOUT)


class Dumps(unittest.TestCase):
    WHOLE = bytes.fromhex("0001beef 0001fffb")

    def test_inline(self) -> None:
        # The kernel registers no memory; it is above a limit; the program wants none.
        for memory, chosen in (("", None), ("memory errno 12\n", None), ("memory 7 0x142\n", 0)):
            device = fwctl.Device.from_recording(memory + INLINE)
            self.assertEqual(device.mlx5_dump(0x1234, index1=0x48, memory=chosen), self.WHOLE)
        with self.assertRaises(fwctl.FwctlError) as raised:
            fwctl.Device.from_recording(INLINE).mlx5_dump(0x1234, index1=0x48, max=7)
        self.assertEqual(raised.exception.errno, errno.EBADMSG)
        self.assertEqual(raised.exception.partial, self.WHOLE)

    def test_memory_for_one_dump(self) -> None:
        for chosen, registered in ((None, 1 << 20), (1 << 16, 1 << 16)):
            told: list[int] = []
            device = fwctl.Device.from_recording(
                "info mlx5\nmemory 7 0x142\n" + key_query() + stepwise(registered, SECOND)
            )
            dump = device.mlx5_dump(0x1234, index1=0x48, memory=chosen, progress=told.append)
            self.assertEqual((dump, told), (self.WHOLE, [4, 8]))
            self.assertEqual(device.register_memory(1).resource, 1)

    def test_memory_for_several_dumps(self) -> None:
        device = fwctl.Device.from_recording(
            "info mlx5\nmemory 7 0x142\n" + key_query() + 2 * stepwise(1 << 16, SECOND)
        )
        with device.register_memory(1 << 16) as memory:
            for _ in range(2):
                dump = device.mlx5_dump(0x1234, index1=0x48, memory=memory, timeout=5)
                self.assertEqual(dump, self.WHOLE)
        with self.assertRaises(ValueError):
            device.mlx5_dump(0x1234, memory=memory)
        with self.assertRaises(ValueError):
            device.mlx5_core_dump(memory=memory)
        device = fwctl.Device.from_recording("info mlx5\nmemory 7 0")
        with device.register_memory(1, key=False, pages=True) as memory:
            with self.assertRaises(ValueError):
                device.mlx5_dump(0x1234, memory=memory)

    def test_what_came_before_an_error_is_kept(self) -> None:
        device = fwctl.Device.from_recording(
            "info mlx5\nmemory 7 0x142\n" + key_query() + stepwise(1 << 20, REFUSED)
        )
        with self.assertRaises(fwctl.FwctlError) as raised:
            device.mlx5_dump(0x1234, index1=0x48)
        error = raised.exception
        self.assertEqual((error.errno, error.partial), (errno.EREMOTEIO, self.WHOLE[:4]))
        assert error.status is not None
        self.assertEqual((error.status.code, error.status.syndrome), (9, 0x77))

    def test_an_exception_ends_it(self) -> None:
        device = fwctl.Device.from_recording(
            "info mlx5\nmemory 7 0x142\n" + key_query() + stepwise(1 << 20, SECOND)
        )

        def end(count: int) -> None:
            raise RuntimeError(str(count))

        with self.assertRaises(RuntimeError) as raised:
            device.mlx5_dump(0x1234, index1=0x48, progress=end)
        self.assertEqual(str(raised.exception), "4")
        self.assertEqual(device.register_memory(1).resource, 1)

    def test_a_signal_ends_it(self) -> None:
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Its second step is not in the recording, which would be an error.
        first = "after 500 " + dump_reply("c0011234", 4, "0001beef")
        device = fwctl.Device.from_recording("info mlx5\n" + dump_step("40001234", 0, first))
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with self.assertRaises(KeyboardInterrupt):
            device.mlx5_dump(0x1234, index1=0x48)

    def test_core_dump(self) -> None:
        dump = fwctl.Device.from_recording(CORE).mlx5_core_dump(max=1 << 20)
        self.assertEqual(dump, bytes(range(8)))
        # A device without core dumps, and a kernel without memory.
        for recording, number in (
            (CORE.replace("00800000", "00000000"), errno.EOPNOTSUPP),
            (CORE.replace("memory 7 0x142", ""), errno.ENOTTY),
        ):
            with self.assertRaises(fwctl.FwctlError) as raised:
                fwctl.Device.from_recording(recording).mlx5_core_dump()
            self.assertEqual(raised.exception.errno, number)
            self.assertEqual((raised.exception.status, raised.exception.partial), (None, b""))
        with self.assertRaises(ValueError):
            device().mlx5_core_dump(memory=0)
        with self.assertRaises(fwctl.FwctlError):
            fwctl.Device.from_recording(CXL).mlx5_core_dump()
        with self.assertRaises(OverflowError):
            device().mlx5_dump(0x10000)


class Queues(unittest.TestCase):
    def test_any_order(self) -> None:
        queue = device().queue(depth=4)
        self.assertEqual((queue.backend, queue.depth), ("threads", 4))
        slow = queue.begin("configuration", b"\x08", 1)
        quick = queue.begin("configuration", b"\x07", 1)
        bad = queue.begin("configuration", b"\x03", 1)
        self.assertEqual(len(queue), 3)
        done = queue.wait(quick)
        assert done is not None and done.reply is not None
        self.assertEqual((done.ticket, done.result().data), (quick, b"\xff"))
        self.assertIsNone(queue.wait(quick))
        rest = queue.wait_all()
        self.assertEqual([done.ticket for done in rest], [slow, bad])
        self.assertEqual(rest[0].result().data, b"\x88")
        assert rest[1].error is not None
        self.assertEqual(rest[1].error.errno, errno.ENODEV)
        with self.assertRaises(fwctl.FwctlError):
            rest[1].result()
        self.assertIsNone(queue.wait())

    def test_cancel_and_timeout(self) -> None:
        queue = device().queue()
        stuck = queue.begin("configuration", b"\x02", 1)
        limited = queue.begin("configuration", b"\x05", 1, timeout=0.05)
        done = queue.wait()
        assert done is not None and done.error is not None
        self.assertEqual((done.ticket, done.error.errno), (limited, errno.ETIMEDOUT))
        self.assertIsNone(queue.wait(timeout=0.02))
        self.assertIsNone(queue.wait(stuck, timeout=0.02))
        self.assertTrue(queue.cancel(stuck))
        self.assertFalse(queue.cancel(stuck))
        done = queue.wait()
        assert done is not None and done.error is not None
        self.assertEqual((done.ticket, done.error.errno), (stuck, errno.ECANCELED))

    def test_io_uring_needs_a_node(self) -> None:
        with self.assertRaises(fwctl.FwctlError):
            device().queue(backend="io_uring")
        with self.assertRaises(ValueError):
            device().queue(backend="smoke")  # type: ignore[arg-type]

    def test_a_signal_ends_a_wait(self) -> None:
        # A shell starts jobs in the background with the signal ignored, and Python keeps that.
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        queue = device().queue()
        queue.begin("configuration", b"\x02", 1)
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with self.assertRaises(KeyboardInterrupt):
            queue.wait()

    def test_another_thread_is_refused(self) -> None:
        queue = device().queue()
        refused = []

        def use() -> None:
            try:
                len(queue)
            except BaseException as error:  # PanicException of PyO3 is no Exception
                refused.append(type(error).__name__)

        silence = sys.stderr
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        self.assertEqual(len(refused), 1, silence)


if __name__ == "__main__":
    unittest.main()
