"""Boots from a damaged filesystem: what a board does with it until it is settled, and no more.

    micropython agent.py FLASH MEMORY CAUSE ADDRESS [DIES]

It runs the frozen _boot.py on the file FLASH, whose filesystem is at ADDRESS, with the file MEMORY
for RTC memory and the reset cause CAUSE. Then it uses the filesystem as the board does: loads and
writes back the configuration, lists folders, reads and writes files. It prints what became of it as
JSON. With DIES it ends at that read of the filesystem, from 0, as a board that the watchdog resets.
"""

import json
import struct
import sys

import uctypes

_WATCHDOG = 4  # operations of the bus, see host/mqhost/sim/bus.py
_ERASE = 5
_PROGRAM = 6
_NVS_GET = 10
_NVS_SET = 11
_RTC_READ = 13
_RTC_WRITE = 14
_NVS_PLACE = 4096
_CONFIG = '{"prefix": "a/b", "networks": [{"ssid": "s"}], "broker": {"host": "h", "tls": false}}'


class Chip:
    """Stands in for the board's `_bus`: flash is a file, and so are RTC memory and, behind it,
    the one text that NVS keeps, so that they survive the end of this process. Flash follows the
    rules of NOR: programming only clears bits.
    """

    running = 0x10000
    wake_cause = clock_lead = slot_bytes_read = 0
    mac = b"\0" * 6

    def __init__(self, flash, memory, cause, filesystem, dies):
        self._flash = open(flash, "r+b")  # noqa: SIM115 (these two are for ever)
        self._memory = open(memory, "r+b")  # noqa: SIM115
        self._filesystem = filesystem
        self._dies = dies
        self.reset_cause = cause
        self.reads = self.writes = 0  # of the filesystem

    def read_flash(self, address, buffer):
        if address >= self._filesystem:
            if self.reads == self._dies:
                uctypes.bytearray_at(0, 8)[0]  # a null pointer: no exception, the end
            self.reads += 1
        self._flash.seek(address)
        self._flash.readinto(buffer)

    def call(self, op, x=0, y=0, data=None, into=None):
        if op == _ERASE:
            self._flash.seek(x)
            self._flash.write(b"\xff" * y)
        elif op == _PROGRAM:
            self.writes += x >= self._filesystem
            old = bytearray(len(data))
            self.read_flash(x, old)
            for index, byte in enumerate(data):
                old[index] &= byte
            self._flash.seek(x)
            self._flash.write(old)
        elif op in (_RTC_WRITE, _NVS_SET):
            self._memory.seek(_NVS_PLACE if op == _NVS_SET else 0)
            self._memory.write(struct.pack("<H", len(data)) + data)
        elif op == _RTC_READ:
            return self._read(0)
        elif op == _NVS_GET:
            known, _, value = self._read(_NVS_PLACE).rpartition(b"\0")
            if known != data:
                raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
            into[: len(value)] = value
            return len(value)
        elif op != _WATCHDOG:
            raise OSError(-0x106, "ESP_ERR_NOT_SUPPORTED")
        return 0

    def _read(self, place):
        self._memory.seek(place)
        size = self._memory.read(2)
        return self._memory.read(struct.unpack("<H", size)[0]) if size else b""


class Copies:
    """The copies that NVS has."""

    def get(self, key, most=0):
        return _CONFIG if key == "config" else None


class Log:
    def warning(self, *_):
        pass

    error = warning


def use(faults):
    """Use the filesystem as a board does. Errors are told, and what a board gets over."""

    def step(name, work, *arguments):
        try:
            return work(*arguments)
        except (OSError, ValueError) as error:
            faults.append(name + ": " + str(error))

    from mqboard import config

    loaded, complaint = config.load("/config.json", Copies())
    if complaint:
        faults.append(complaint)
    if loaded.missing:
        config.write_back(loaded.missing, loaded.text, Log())
    for folder in ("/", "/app", "/certs", "/lib", "/data"):
        step("list", os.listdir, folder)
    for path in ("/config.json", "/certs/ca.pem", "/app/pump.py", "/data/log.txt"):
        step("read", read, path)
    step("write", write, "/new.tmp", 6000)
    step("rewrite", write, "/app/pump.py", 3000)
    step("statvfs", os.statvfs, "/")


def read(path):
    with open(path, "rb") as file:
        for _ in range(500):  # a damaged one may claim to have gigabytes
            if not file.read(4096):
                break


def write(path, size):
    with open(path + ".new", "wb") as file:
        file.write(bytes(size))
    os.rename(path + ".new", path)


def main(flash, memory, cause, filesystem, dies=-1):
    """Do what the module's docstring says."""
    global os
    sys.modules["_bus"] = chip = Chip(flash, memory, int(cause), int(filesystem), int(dies))
    import os  # the board's: it asks the bus

    import vfs

    vfs.umount("/")
    __import__("_boot")
    import mqboard

    told = {"storage": mqboard.storage, "boot_reads": chip.reads, "faults": []}
    told["boot_writes"] = chip.writes
    told["files"] = count_files()
    use(told["faults"])
    told["reads"] = chip.reads
    print(json.dumps(told))


def count_files():
    """Return how many names the root folder has; None when it cannot be listed."""
    try:
        return len(os.listdir("/"))
    except (OSError, ValueError):
        return None


main(*sys.argv[1:])
