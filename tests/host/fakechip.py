"""Plays an ESP chip's serial bootloader on a TCP port, for the real esptool: `--port socket://…`.

It speaks the documented protocol (esptool's documentation, "Serial Protocol"): SLIP frames, the
ROM's commands, and those of the stub that esptool loads into RAM. A connection is a reset into the
bootloader. What can break: `answers` (nobody there), `wrong_bits` (flash that keeps other bytes),
`cut_after` (the connection ends after so many data packets).
"""

import hashlib
import socket
import struct
import threading
import zlib

_MAGIC_REGISTER = 0x40001000
_ESP32_MAGIC = 0x00F01D83
_FLASH_IDS = {2 << 20: 0x15, 4 << 20: 0x16, 8 << 20: 0x17}  # of a Winbond W25Qxx
_JEDEC = 0x40EF
_RDID = 0x9F
_UNKNOWN_COMMAND = b"\x01\x05\0\0"

SYNC, WRITE_REG, READ_REG, MEM_END = 0x08, 0x09, 0x0A, 0x06
DEFL_BEGIN, DEFL_DATA, MD5, SECURITY_INFO = 0x10, 0x11, 0x13, 0x14
ERASE_FLASH, READ_FLASH = 0xD0, 0xD2
FLASH_BEGIN, FLASH_DATA = 0x02, 0x03


class FakeChip:
    """A chip with `size` bytes of flash; `chip_id` None is an ESP32, which does not tell it."""

    def __init__(self, chip_id=None, size=4 << 20):
        self.flash = bytearray(b"\x55" * size)
        self.answers = True
        self.wrong_bits = False
        self.cut_after = None
        self.connections = 0
        self.erased = 0
        self._chip_id = chip_id
        self._size = size
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self):
        return f"socket://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                try:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    _Talk(self, connection).run()
                except (ConnectionError, _Cut):
                    pass


class _Cut(Exception):
    """Raised when the connection is to end."""


class _Talk:
    """One connection: registers, the stub, and a transfer that is going on."""

    def __init__(self, chip, connection):
        self.chip = chip
        self.connection = connection
        self.stub = False
        self.registers = {}
        self.address = 0
        self.inflate = None
        self.packets = 0
        self.buffer = b""

    def run(self):
        while (frame := self.read()) is not None:
            if not self.chip.answers or len(frame) < 8:
                continue
            _, command, size, _ = struct.unpack("<BBHI", frame[:8])
            self.handle(command, frame[8 : 8 + size])

    def handle(self, command, data):
        words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
        if command == SYNC:
            for _ in range(8):
                self.reply(command, value=0 if self.stub else 0x20120707)
        elif command == READ_REG:
            self.reply(command, value=self.register(words[0]))
        elif command == WRITE_REG:
            self.registers[words[0]] = words[1]
            self.reply(command)
        elif command == SECURITY_INFO and self.chip._chip_id is None:
            self.send(struct.pack("<BBHI", 1, command, 4, 0) + _UNKNOWN_COMMAND)
        elif command == SECURITY_INFO:
            self.reply(command, struct.pack("<IB7BII", 0, 0, *[0] * 7, self.chip._chip_id, 0))
        elif command == MEM_END:
            self.reply(command)
            self.stub = True
            self.send(b"OHAI")
        elif command in (DEFL_BEGIN, FLASH_BEGIN):
            self.address = words[3]
            self.inflate = zlib.decompressobj() if command == DEFL_BEGIN else None
            self.reply(command)
        elif command in (DEFL_DATA, FLASH_DATA):
            self.program(data[16:])
            self.reply(command)
        elif command == MD5:
            found = self.chip.flash[words[0] : words[0] + words[1]]
            self.reply(command, hashlib.md5(found).digest())
        elif command == ERASE_FLASH:
            self.chip.erased += 1
            self.chip.flash[:] = b"\xff" * self.chip._size
            self.reply(command)
        elif command == READ_FLASH:
            self.reply(command)
            self.stream(*words[:3])
        else:
            self.reply(command)

    def program(self, data):
        self.packets += 1
        if self.packets == self.chip.cut_after:
            raise _Cut
        data = self.inflate.decompress(data) if self.inflate else data
        if self.chip.wrong_bits:
            data = bytes(byte & 0xFE for byte in data)
        self.chip.flash[self.address : self.address + len(data)] = data
        self.address += len(data)

    def stream(self, address, size, block):
        data = bytes(self.chip.flash[address : address + size])
        for start in range(0, size, block):
            self.send(data[start : start + block])
            self.read()  # how much has arrived
        self.send(hashlib.md5(data).digest())

    def register(self, address):
        if address == _MAGIC_REGISTER and self.chip._chip_id is None:
            return _ESP32_MAGIC
        if address & 0xFFF in (0x80, 0x58) and self.spi_command() == _RDID:  # SPI_W0
            return _FLASH_IDS[self.chip._size] << 16 | _JEDEC
        if address & 0xFFF == 0:  # SPI_CMD: done at once
            return 0
        return self.registers.get(address, 0)

    def spi_command(self):
        """Run the flash command in SPI_USER2, where the chip's SPI controller has it."""
        return next((v & 0xFF for v in reversed(self.registers.values()) if v >> 28 == 7), None)

    def reply(self, command, data=b"", value=0):
        data += b"\0\0" if self.stub else b"\0\0\0\0"
        self.send(struct.pack("<BBHI", 1, command, len(data), value) + data)

    def send(self, data):
        data = data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        self.connection.sendall(b"\xc0" + data + b"\xc0")

    def read(self):
        """Return the next SLIP frame; None at the connection's end."""
        while True:
            start = self.buffer.find(b"\xc0")
            end = self.buffer.find(b"\xc0", start + 1) if start >= 0 else -1
            if end > start + 1:
                frame, self.buffer = self.buffer[start + 1 : end], self.buffer[end + 1 :]
                return frame.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            if end == start + 1:
                self.buffer = self.buffer[end:]
                continue
            data = self.connection.recv(65536)
            if not data:
                return None
            self.buffer += data
