"""Offers the simulated board to tests and commands: put it to power, watch it, break it.

    with Device(path, table=table) as device:
        device.wait_console(">>> ")
        device.cut_power_after(3)
        device.wait_for(lambda device: device.state is State.OFF)

Its life goes on in a thread (life.py). All public members may be used from any thread.
"""

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqhost.flash.partition import PartitionTable
from mqhost.sim.air import Air
from mqhost.sim.chip import CLOCK_START, Chip, End, ResetCause
from mqhost.sim.console import Console
from mqhost.sim.flash import Flash
from mqhost.sim.life import Boot, Life, State
from mqhost.sim.networks import Networks
from mqhost.sim.radio import AccessPoint, Radio

__all__ = ["AccessPoint", "Boot", "Device", "DeviceTimeout", "ResetCause", "State"]

HEAP = "192k"
# With less it does not get through its boot and tries for ever; with more a process may not start.
_LEAST_HEAP, _MOST_HEAP = 96 << 10, 64 << 20
NETWORKS = {"simnet": "simpassword"}
# The first three bytes of Espressif's MAC addresses.
_VENDOR = b"\x24\x0a\xc4"

# Seconds that anything may take on a slow, busy machine, unless the caller knows better.
_PATIENCE = 30.0
# How often `wait_for` looks, apart from when it is told: a condition may look at the flash.
_LOOK_SECONDS = 0.05
_END_SECONDS = 0.2


class DeviceTimeout(ToolError):
    """Raised when what was waited for did not happen in time; its text has the console's end."""


class Device:
    """A board with the flash in file `flash_path` (see `filesystem.provision_flash`).

    `heap` is MicroPython's, see check_heap; `networks` maps SSIDs to passwords or AccessPoints;
    `console` is called with what the board prints, on the board's thread; `mac` (6 bytes) tells
    boards apart, and is made from the flash file's path when not given; `name` is for messages.
    The constructor opens the flash and raises UsageError if it cannot.
    """

    def __init__(
        self,
        flash_path: Path,
        *,
        table: PartitionTable,
        heap: str = HEAP,
        networks: Mapping[str, str | AccessPoint] | None = None,
        console: Callable[[bytes], None] | None = None,
        mac: bytes | None = None,
        name: str = "board",
    ):
        check_heap(heap)
        self.name = name
        self.flash = Flash(flash_path)
        self._changed = threading.Condition(threading.RLock())
        self.console = Console(self._changed, console)
        radio = Radio(NETWORKS if networks is None else networks)
        self._thread: threading.Thread | None = None
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.flash.close)
            chip = Chip(self.flash, table, radio, mac or mac_of(flash_path))
            self.networks = chip.networks
            self._life = Life(chip, heap, self._changed, self.console)
            self.clock(None)
            cleanup.callback(self._life.close)
            self._cleanup = cleanup.pop_all()

    def start(self) -> "Device":
        """Put the board to power; returns at once."""
        if not self._thread:
            self._thread = threading.Thread(
                target=self._life.run, name=f"sim-{self.name}", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """End the board and free its flash file. Nothing is left; stopping again does nothing."""
        self._life.ask(stop=True)
        if self._thread:
            self._thread.join()
        self._cleanup.close()

    def join(self) -> None:
        """Wait until the board has ended by itself, for which something must have broken.

        Ctrl-C may come at any time. A wait for a condition would break in it, which has a lock; one
        that comes just before a long wait ends that only when it is over; and Python 3.11 takes a
        thread for ended when its join is interrupted.
        """
        while self._thread and self.state is not State.STOPPED:
            time.sleep(_END_SECONDS)
        if self._life.error:
            raise self._life.error

    def __enter__(self) -> "Device":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What it does.

    @property
    def state(self) -> State:
        """What the board is doing."""
        return self._life.state

    @property
    def boots(self) -> list[Boot]:
        """Every start of the CPU, the first one first."""
        with self._changed:
            return list(self._life.boots)

    @property
    def ends(self) -> list[End]:
        """How each of them ended."""
        with self._changed:
            return list(self._life.ends)

    @property
    def pid(self) -> int | None:
        """The process that is the CPU; None when there is none."""
        with self._changed:
            return self._life.cpu.pid if self._life.cpu else None

    def wait_for(
        self,
        condition: Callable[["Device"], object],
        timeout: float = _PATIENCE,
        what: str = "an event",
    ) -> None:
        """Return once `condition(device)` is true. Raises DeviceTimeout, or what broke it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition(self):
                if self._life.error:
                    raise self._life.error
                left = deadline - time.monotonic()
                if left <= 0:
                    raise DeviceTimeout(
                        f"{self.name} is {self.state.value} after {timeout:g} s of waiting for "
                        f"{what}; it booted {len(self.boots)} times. Its console ends with:\n"
                        + self.console.tail()
                    )
                self._changed.wait(min(left, _LOOK_SECONDS))

    def wait_boots(self, count: int, timeout: float = _PATIENCE) -> Boot:
        """Wait for boot number `count`, counted from 1, and return it."""
        self.wait_for(lambda _: len(self._life.boots) >= count, timeout, f"boot {count}")
        return self.boots[count - 1]

    def wait_console(self, text: str, timeout: float = _PATIENCE, since: int = 0) -> int:
        """Wait until `text` is printed; return the position behind it, for the next `since`."""
        self.wait_for(lambda _: self.console.find(text, since) >= 0, timeout, repr(text))
        return self.console.find(text, since)

    # What a hand does to it.

    def power_off(self) -> None:
        """Cut the power; returns when the board is dark."""
        self._life.ask(power=False)
        self.wait_for(lambda _: self.state in (State.OFF, State.STOPPED), what="power off")

    def power_on(self) -> None:
        """Give power again; returns at once."""
        self._life.ask(power=True)

    def press_reset(self) -> None:
        """Press the EN button, which for an ESP32 is like power-on: RTC memory is lost."""
        self._life.ask(press=True)

    def raise_pin(self, number: int) -> None:
        """Bring a pin to the level that ends a deep sleep, if it is armed for that."""
        self._life.ask(pin=number)

    def millivolts(self, pin: int, value: float) -> None:
        """Set what the ADC at `pin` reads."""
        with self._changed:
            self._life.chip.millivolts[pin] = value

    def type(self, data: bytes) -> None:
        """Type at the console; b"\\x03" is Ctrl-C."""
        with self._changed:
            if self._life.cpu:
                self._life.cpu.type(data)

    def connect_uart(self, number: int, terminal: str) -> None:
        """Put UART 1 or 2 at the path of a terminal (see `wire.Wire`), from the next boot on."""
        with self._changed:
            self._life.chip.uarts[number] = terminal

    def join_air(self, air: Air) -> None:
        """Have the radio's ESP-NOW go through `air`, from the next boot on."""
        with self._changed:
            self._life.chip.air = air

    def watch_pins(self, told: Callable[[int, int], None]) -> None:
        """Have `told(pin, level)` called on the board's thread whenever it sets a pin."""
        with self._changed:
            self._life.chip.on_pin = told

    # What the world does to it.

    def wifi(self, in_reach: bool, ssid: str | None = None, **changes: str | int | bool) -> None:
        """Take the access points away, or only `ssid`, or bring them back; a connection over one
        that is gone breaks. `changes` are of AccessPoint: wifi(True, "two", rssi=-80)."""
        with self._network_changes() as networks:
            networks.radio.change(ssid, in_reach=in_reach, **changes)

    def ethernet(self, **changes: bool) -> None:
        """Take the cable away or bring it (`cable`), and who gives addresses (`dhcp`)."""
        with self._network_changes() as networks:
            networks.ethernet.change(**changes)

    def modem(self, **changes: bool | str | int) -> None:
        """Change the modem's `World`: modem(silent=True), modem(sim="none")."""
        with self._network_changes() as networks:
            networks.modem.change(**changes)

    @contextlib.contextmanager
    def _network_changes(self) -> Iterator[Networks]:
        """Hold the lock; connections break when what they go over is gone then."""
        with self._changed:
            networks = self.networks
            was_up = networks.up(networks.carrier)
            yield networks
            if was_up and not networks.up(networks.carrier) and self._life.cpu:
                self._life.cpu.drop_connections()

    def cut_power_after(self, operations: int | None, partial: float = 0.0) -> None:
        """Lose power at a flash operation to come; see `Flash.cut_power_after`."""
        with self._changed:
            self.flash.cut_power_after(operations, partial)

    def latency(self, real: bool) -> None:
        """Set whether flash operations take the time that they take on an ESP32."""
        self.flash.latency = real

    def read_latency(self, seconds: float) -> None:
        """Set how long it takes the board to read 4 KiB of flash: 0.016 on a slow ESP32."""
        with self._changed:
            self.flash.read_seconds = seconds
            if self._life.cpu:
                self._life.cpu.set_read_seconds(seconds)

    def clock(self, seconds: float | None) -> None:
        """Set where the clock begins at each power-on, in seconds since 1970 (None: 2000-01-01)."""
        self._life.clock = CLOCK_START if seconds is None else seconds


def check_heap(heap: str) -> None:
    """Raise UsageError unless `heap` is a size, as "192k" or "4m", with which the board boots."""
    number = re.fullmatch(r"(\d+)([km]?)", heap, re.IGNORECASE | re.ASCII)
    unit = {"": 1, "k": 1 << 10, "m": 1 << 20}
    size = int(number[1]) * unit[number[2].lower()] if number and len(heap) < 12 else 0
    if not _LEAST_HEAP <= size <= _MOST_HEAP:
        raise UsageError(
            f"{heap!r} is no heap that the board boots with: give bytes, or as {HEAP} or 4m, "
            f"from {_LEAST_HEAP >> 10}k to {_MOST_HEAP >> 20}m."
        )


def mac_of(flash_path: Path) -> bytes:
    """Return a MAC address that a board with this flash file keeps, and hardly another has."""
    return _VENDOR + hashlib.sha256(str(flash_path.resolve()).encode()).digest()[:3]
