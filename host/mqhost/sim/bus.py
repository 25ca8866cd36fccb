"""Defines the bus between the CPU (a MicroPython process) and the chip (this process).

The CPU asks and waits; the chip answers. A request and a reply are one small record each, so that a
single write or read moves it whole; data goes through a shared memory, the mailbox, at its start.
The CPU puts data there before its request, the chip before its reply. A reply repeats the number
of its request: when Ctrl-C breaks into an exchange, the CPU passes over the stale reply and no data
is mixed up. The other end is boards/sim/modules/_bus.py.

The CPU process inherits: the bus (a socket) as file descriptor 3, the flash file, read-only, as 4,
the mailbox as 5, the terminals of UART 1 and 2, where they are connected, as 6 and 7, its radio's
end of the air (air.py), where it has joined one, as 8, and a terminal as 0, 1 and 2. Reading flash
needs no request; changing it does.
How long reading takes stands behind the mailbox's data, for the CPU to wait.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

BUS_FD = 3
FLASH_FD = 4
MAILBOX_FD = 5
UART_FDS = {1: 6, 2: 7}
AIR_FD = 8
MAILBOX_SIZE = 8192  # bytes for data

# Operation, number, bytes in the mailbox, two arguments.
_REQUEST = "<BBHII"
REQUEST_SIZE = struct.calcsize(_REQUEST)
# Result (negative: a negated esp_err_t, its name is in the mailbox), number, bytes in the mailbox.
_REPLY = "<iBxH"

# What BOOT_INFO answers: address of the running slot, reset cause, wake cause, MAC address,
# microseconds that the board's clock is ahead of the host's.
_BOOT_INFO = "<IBB6sq"


class Op(IntEnum):
    """The operations. `x` and `y` are the arguments, `data` is what goes through the mailbox."""

    PING = 0  # answers 0
    BOOT_INFO = 1  # answers data: see _BOOT_INFO
    RESET = 2  # x: 1 = soft; never answered
    DEEP_SLEEP = 3  # x: milliseconds, FOREVER = no timer; data: see WAKE_PINS; never answered
    WATCHDOG = 4  # x: new timeout in milliseconds, 0 = feed
    ERASE = 5  # x: address, y: size
    PROGRAM = 6  # x: address, data
    BOOT_SLOT = 7  # answers the address of the slot that otadata selects
    SET_BOOT = 8  # x: address of the slot
    MARK_VALID = 9
    NVS_GET = 10  # x: kind, data: namespace NUL key; answers data
    NVS_SET = 11  # x: kind, data: namespace NUL key NUL value
    NVS_ERASE = 12  # data: namespace NUL key
    RTC_READ = 13  # answers data
    RTC_WRITE = 14  # data
    CLOCK_SET = 15  # data: microseconds since 1970, 8 bytes; answers data: the new lead, 8 bytes
    WIFI_ACTIVE = 16  # x: 0 or 1
    WIFI_CONNECT = 17  # x: 1 = with an address; data: SSID NUL password, or none: the same again
    WIFI_DISCONNECT = 18
    # Answers the port's status number; x: 1 = -dBm of the signal, 0 for none; 2 = whether it is on.
    WIFI_STATUS = 19
    WIFI_SCAN = 20  # answers data, for each network: -dBm as a byte, SSID, NUL
    UART = 21  # x: number, y: baud; answers whether it is connected
    PIN = 22  # x: number, y: the level that it is set to
    NET_OPEN = 23  # something is opened; answers 1 if there is a network that carries it
    LAN_ACTIVE = 24  # x: 0 or 1; y: 1 = with an address
    LAN_STATUS = 25  # answers the port's status number
    PPP = 26  # x: 1 = begin, 0 = stop, 2 = nothing; answers 1 if it is up
    ADC_READ = 27  # x: pin; answers microvolts
    AP = 28  # x: 0 or 1; data: SSID NUL password
    AP_PORT = 29  # x: a port of the board; answers the port of this machine that stands for it
    AIR = 30  # answers 1 if there is an air for ESP-NOW
    WIFI_CHANNEL = 31  # x: a channel to tune to, or 0; answers the channel, -1: not now


FOREVER = 0xFFFFFFFF
READ_TIME = struct.Struct("<I")  # behind the data: microseconds that 4096 bytes of flash take
CLOCK = struct.Struct("<q")
WAKE_PINS = struct.Struct("<QQ")  # bits of the pins that end a deep sleep: by ext0, by ext1


@dataclass(frozen=True)
class Request:
    """One request of the CPU."""

    op: Op
    number: int
    size: int
    x: int
    y: int

    @classmethod
    def from_bytes(cls, data: bytes) -> "Request":
        """Read the REQUEST_SIZE bytes; ValueError if the operation is unknown."""
        op, number, size, x, y = struct.unpack(_REQUEST, data)
        return cls(Op(op), number, min(size, MAILBOX_SIZE), x, y)

    def to_bytes(self) -> bytes:
        """Return the bytes as the CPU sends them."""
        return struct.pack(_REQUEST, self.op, self.number, self.size, self.x, self.y)


@dataclass(frozen=True)
class Reply:
    """The answer to request `number`: a result, and `size` bytes of data in the mailbox."""

    result: int
    number: int
    size: int = 0

    def to_bytes(self) -> bytes:
        """Return the bytes as the chip sends them."""
        return struct.pack(_REPLY, self.result, self.number, self.size)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Reply":
        """Read a reply."""
        return cls(*struct.unpack(_REPLY, data))


def boot_info(address: int, reset_cause: int, wake_cause: int, mac: bytes, lead: int) -> bytes:
    """Make the data that BOOT_INFO answers; `lead` in microseconds."""
    return struct.pack(_BOOT_INFO, address, reset_cause, wake_cause, mac, lead)
