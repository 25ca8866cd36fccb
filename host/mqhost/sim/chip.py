"""Simulates the chip around the CPU: what the bus reaches, and what survives which reset.

`Chip.handle` carries out one request. Flash, otadata and NVS survive everything; RTC memory and the
clock survive all but the loss of power; watchdog and radio begin anew with every CPU.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from mqhost.flash.partition import DATA, NVS, Partition, PartitionTable
from mqhost.sim.air import Air, Station
from mqhost.sim.bootloader import Bootloader
from mqhost.sim.bus import CLOCK, FOREVER, WAKE_PINS, Op, Request, boot_info
from mqhost.sim.esperror import InvalidArgument
from mqhost.sim.flash import Flash, FlashError
from mqhost.sim.networks import Networks
from mqhost.sim.nvs import Nvs
from mqhost.sim.radio import Radio

RTC_MEMORY_SIZE = 2048
# Where an ESP32's clock begins when power comes: 2000-01-01 00:00:00 UTC, the port's epoch.
CLOCK_START = 946684800
# ESP-IDF's esp_sleep_wakeup_cause_t: by a pin of ext0, by one of ext1, by the timer.
_PIN_WAKES = (2, 3)
_TIMER_WAKE = 4


class ResetCause(IntEnum):
    """The ESP32 port's machine.*_RESET."""

    PWRON = 1
    HARD = 2
    WDT = 3
    DEEPSLEEP = 4
    SOFT = 5


class EndKind(Enum):
    """The ways in which a CPU's run can end."""

    RESET = "reset"
    SOFT_RESET = "soft reset"
    SLEEP = "deep sleep"
    CRASH = "crash"
    WATCHDOG = "watchdog"
    POWER = "power lost"
    BUTTON = "reset button"
    PIN = "woken by a pin"
    STOP = "stopped"


@dataclass(frozen=True)
class End:
    """How one run of the CPU ended. `sleep` is the seconds of deep sleep; None without end."""

    kind: EndKind
    detail: str = ""
    sleep: float | None = None


class CpuEnds(Exception):
    """Raised when a request ends the CPU's run; `end` says how."""

    def __init__(self, end: End):
        super().__init__(end)
        self.end = end


class Chip:
    """One board's peripherals. `mac` is its 6-byte address."""

    def __init__(self, flash: Flash, table: PartitionTable, radio: Radio, mac: bytes):
        self.flash = flash
        self.networks = Networks(radio)
        self.bootloader = Bootloader(flash, table)
        self._nvs_partition = table.find_type(DATA, NVS)
        self._mac = mac
        self.uarts: dict[int, str] = {}  # number: the path of the terminal at it
        self.on_pin: Callable[[int, int], None] = lambda pin, level: None
        self.millivolts: dict[int, float] = {}  # by the pin: what its ADC reads
        self.air: Air | None = None
        self._wake_pins = (0, 0)
        self._wake = 0
        self._handlers: dict[Op, Callable[[Request, bytes], int | bytes]] = {
            op: getattr(self, f"_{op.name.lower()}") for op in Op
        }
        self.power_on(CLOCK_START)

    def power_on(self, clock: float) -> None:
        """Take power: RTC memory is empty, the clock begins at `clock` (seconds since 1970)."""
        self.rtc_memory = b""
        self._lead = int((clock - time.time()) * 1_000_000)

    def start_cpu(self, slot: Partition, cause: ResetCause) -> None:
        """Start a CPU from `slot`: the rest of the chip is as after a reset."""
        self._slot = slot
        self._cause = cause
        if cause != ResetCause.DEEPSLEEP:
            self._wake = 0
        self._nvs = Nvs(self.flash, self._nvs_partition)
        self._timeout = 0.0
        self._fed = 0.0
        self.networks.reset()

    def enter_air(self) -> Station | None:
        """Have the radio enter the air, if there is one."""
        return self.air.enter(self._mac, lambda: self.networks.channel) if self.air else None

    def wake_by(self, pin: int) -> bool:
        """Return whether a level at `pin` ends the deep sleep of the chip; if so it is why."""
        for mask, wake in zip(self._wake_pins, _PIN_WAKES, strict=True):
            if mask >> pin & 1:
                self._wake = wake
                return True
        return False

    def handle(self, request: Request, data: bytes) -> int | bytes:
        """Carry out a request with its `data`; return its result.

        Raises EspError; CpuEnds when the CPU gets no answer any more; PowerLost.
        """
        try:
            return self._handlers[request.op](request, data)
        except FlashError as error:
            raise InvalidArgument() from error

    def watchdog_left(self) -> float | None:
        """Return the seconds until the watchdog bites; None while it is not armed."""
        return self._fed + self._timeout - time.monotonic() if self._timeout else None

    def _ping(self, request: Request, data: bytes) -> int:
        return 0

    def _boot_info(self, request: Request, data: bytes) -> bytes:
        return boot_info(self._slot.offset, self._cause, self._wake, self._mac, self._lead)

    def _reset(self, request: Request, data: bytes) -> int:
        raise CpuEnds(End(EndKind.SOFT_RESET if request.x else EndKind.RESET))

    def _deep_sleep(self, request: Request, data: bytes) -> int:
        sleep = None if request.x == FOREVER else request.x / 1000
        self._wake_pins = WAKE_PINS.unpack(data) if data else (0, 0)
        self._wake = _TIMER_WAKE
        raise CpuEnds(End(EndKind.SLEEP, sleep=sleep))

    def _watchdog(self, request: Request, data: bytes) -> int:
        if request.x:
            self._timeout = request.x / 1000
        self._fed = time.monotonic()
        return 0

    def _erase(self, request: Request, data: bytes) -> int:
        self.flash.erase(request.x, request.y)
        return 0

    def _program(self, request: Request, data: bytes) -> int:
        self.flash.program(request.x, data)
        return 0

    def _boot_slot(self, request: Request, data: bytes) -> int:
        return self.bootloader.boot_slot().offset

    def _set_boot(self, request: Request, data: bytes) -> int:
        self.bootloader.set_boot(request.x)
        return 0

    def _mark_valid(self, request: Request, data: bytes) -> int:
        self.bootloader.mark_valid()
        return 0

    def _nvs_get(self, request: Request, data: bytes) -> bytes:
        namespace, key = data.split(b"\0", 1)
        return self._nvs.get(namespace, key, request.x)

    def _nvs_set(self, request: Request, data: bytes) -> int:
        namespace, key, value = data.split(b"\0", 2)
        self._nvs.set(namespace, key, request.x, value)
        return 0

    def _nvs_erase(self, request: Request, data: bytes) -> int:
        self._nvs.erase(*data.split(b"\0", 1))
        return 0

    def _rtc_read(self, request: Request, data: bytes) -> bytes:
        return self.rtc_memory

    def _rtc_write(self, request: Request, data: bytes) -> int:
        self.rtc_memory = data[:RTC_MEMORY_SIZE]
        return 0

    def _clock_set(self, request: Request, data: bytes) -> bytes:
        self._lead = CLOCK.unpack(data)[0] - int(time.time() * 1_000_000)
        return CLOCK.pack(self._lead)

    def _wifi_active(self, request: Request, data: bytes) -> int:
        self.networks.radio.set_active(bool(request.x))
        return 0

    def _wifi_connect(self, request: Request, data: bytes) -> int:
        ssid, _, password = data.decode(errors="replace").partition("\0")
        self.networks.radio.connect((ssid, password) if data else None, bool(request.x))
        return 0

    def _wifi_disconnect(self, request: Request, data: bytes) -> int:
        self.networks.radio.disconnect()
        return 0

    def _wifi_status(self, request: Request, data: bytes) -> int:
        if request.x == 2:
            return int(self.networks.channel != 0)
        return -self.networks.radio.rssi if request.x else self.networks.radio.status

    def _wifi_scan(self, request: Request, data: bytes) -> bytes:
        found = self.networks.radio.scan()
        return b"".join(bytes((-rssi,)) + ssid.encode() + b"\0" for ssid, rssi in found)

    def _uart(self, request: Request, data: bytes) -> int:
        return int(request.x in self.uarts)

    def _pin(self, request: Request, data: bytes) -> int:
        self.on_pin(request.x, request.y)
        return 0

    def _net_open(self, request: Request, data: bytes) -> int:
        return int(self.networks.open())

    def _lan_active(self, request: Request, data: bytes) -> int:
        self.networks.ethernet.set_active(bool(request.x), bool(request.y))
        return 0

    def _lan_status(self, request: Request, data: bytes) -> int:
        return self.networks.ethernet.status

    def _ppp(self, request: Request, data: bytes) -> int:
        modem = self.networks.modem
        if request.x == 1:
            modem.start_ppp()
        elif request.x == 0:
            modem.hang_up()
        return int(modem.connected)

    def _adc_read(self, request: Request, data: bytes) -> int:
        return int(self.millivolts.get(request.x, 0.0) * 1000)

    def _ap(self, request: Request, data: bytes) -> int:
        ssid, _, password = data.decode(errors="replace").partition("\0")
        self.networks.access_point = (ssid, password) if request.x else None
        return 0

    def _ap_port(self, request: Request, data: bytes) -> int:
        return self.networks.port_of(request.x)

    def _air(self, request: Request, data: bytes) -> int:
        return int(self.air is not None)

    def _wifi_channel(self, request: Request, data: bytes) -> int:
        if request.x and not self.networks.radio.tune(request.x):
            return -1
        return self.networks.radio.channel
